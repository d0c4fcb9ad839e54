package entra

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
)

// assertionType is the only type that OAuth defines for tokens (RFC 7523).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// checkAssertion decides whether a token of somebody else stands for the application: a federated credential names its
// issuer, subject and audience, the issuer's published keys verify it, and it is valid now. Entra supports RS256 only.
// It returns what the token claims, also with an error.
func (s *Service) checkAssertion(ctx context.Context, app Application, kind, assertion string) (jwt.Claims, error) {
	var c jwt.Claims
	if kind != assertionType {
		return c, invalidRequest(50027, "client_assertion_type has to be %s.", assertionType)
	}
	token, err := jwt.ParseSigned(assertion, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || len(token.Headers) != 1 {
		return c, invalidRequest(50027, "JWT token is invalid or malformed.")
	}
	if err := token.UnsafeClaimsWithoutVerification(&c); err != nil {
		return c, invalidRequest(50027, "JWT token is invalid or malformed.")
	}
	if err := matchCredential(app.Federated, c); err != nil {
		return c, err
	}
	key, err := s.issuerKey(ctx, c.Issuer, token.Headers[0].KeyID)
	if err != nil {
		return c, err
	}
	if err := token.Claims(key, &c); err != nil {
		return c, invalidClient(700027, "Client assertion failed signature validation.")
	}
	return c, checkTime(c)
}

// decision says by which federated credential an application signs in, or why it does not.
func (a *Application) decision(c jwt.Claims, err error) authorization.Decision {
	d := authorization.Decision{Allowed: err == nil, Action: signIn}
	now := time.Now()
	for _, f := range a.Federated {
		switch {
		case matchCredential([]FederatedCredential{f}, c) == nil:
			d.Because = "federated credential " + f.Name
		case f.Issuer == c.Issuer && f.Subject == c.Subject && now.Before(f.EffectiveOn):
			d.Missing = fmt.Sprintf("the federated credential %s is not honoured before %s",
				f.Name, f.EffectiveOn.UTC().Format(time.RFC3339))
		}
	}
	var refused *authError
	switch {
	case d.Allowed || d.Missing != "":
	case !errors.As(err, &refused):
		d.Missing = "an answer of the local cloud"
	case refused.code == 700211:
		d.Missing = "a federated credential with the issuer " + c.Issuer
	case refused.code == 700213:
		d.Missing = "a federated credential with the subject " + c.Subject
	case refused.code == 700212:
		d.Missing = "a federated credential with the audience " + strings.Join(c.Audience, " ")
	default:
		d.Missing = "a federated token that is valid"
	}
	if !d.Allowed {
		d.Because = ""
	}
	return d
}

// signIn is what the record of requests calls the request for a token.
const signIn = "sign in"

// matchCredential names what no credential has, in the order in which Entra looks.
func matchCredential(credentials []FederatedCredential, c jwt.Claims) error {
	const advice = "Check your federated identity credential Subject, Audience and Issuer against the presented " +
		"assertion. " +
		"https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
	now := time.Now()
	left := slices.DeleteFunc(slices.Clone(credentials), func(f FederatedCredential) bool {
		return f.Issuer != c.Issuer || now.Before(f.EffectiveOn)
	})
	if len(left) == 0 {
		return invalidClient(700211, "No matching federated identity record found for presented assertion issuer '%s'. %s",
			c.Issuer, advice)
	}
	left = slices.DeleteFunc(left, func(f FederatedCredential) bool { return f.Subject != c.Subject })
	if len(left) == 0 {
		return invalidClient(700213, "No matching federated identity record found for presented assertion subject '%s'. %s",
			c.Subject, advice)
	}
	for _, f := range left {
		if slices.ContainsFunc(f.Audiences, c.Audience.Contains) {
			return nil
		}
	}
	return invalidClient(700212, "No matching federated identity record found for presented assertion audience '%s'. %s",
		strings.Join(c.Audience, " "), advice)
}

func checkTime(c jwt.Claims) error {
	now := time.Now()
	if c.Expiry != nil && now.Before(c.Expiry.Time()) && (c.NotBefore == nil || !now.Before(c.NotBefore.Time())) {
		return nil
	}
	return invalidClient(
		700024,
		"Client assertion is not within its valid time range. Current time: %s, assertion valid from "+
			"%s, expiry time of assertion %s. Review the documentation at "+
			"https://learn.microsoft.com/entra/identity-platform/certificate-credentials .",
		now.UTC().Format(time.RFC3339),
		formatDate(c.NotBefore),
		formatDate(c.Expiry),
	)
}

func formatDate(d *jwt.NumericDate) string {
	if d == nil {
		return "(none)"
	}
	return d.Time().UTC().Format(time.RFC3339)
}

// issuerKey fetches the published key of an issuer with a key ID.
func (s *Service) issuerKey(ctx context.Context, issuer, keyID string) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var configuration struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
	}
	if err := s.fetch(
		ctx,
		strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration",
		&configuration,
	); err != nil {
		return nil, invalidClient(50166, "Request to External OIDC endpoint failed: %v", err)
	}
	if configuration.Issuer != issuer {
		return nil, invalidClient(50166, "Request to External OIDC endpoint failed: it is the configuration of issuer '%s'",
			configuration.Issuer)
	}
	var set jose.JSONWebKeySet
	if err := s.fetch(ctx, configuration.JWKS, &set); err != nil {
		return nil, invalidClient(50166, "Request to External OIDC endpoint failed: %v", err)
	}
	for _, key := range set.Key(keyID) {
		if key.IsPublic() && key.Valid() {
			return key.Key, nil
		}
	}
	return nil, invalidClient(700027, "Client assertion failed signature validation. [Reason - The key was not found., "+
		"key identifier: '%s']", keyID)
}

func (s *Service) fetch(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(into)
}
