package entra

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// assertionType is the only type that OAuth defines for tokens (RFC 7523).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// checkAssertion decides whether a token of somebody else stands for the application: a federated credential names its
// issuer, subject and audience, the issuer's published keys verify it, and it is valid now. Entra supports RS256 only.
func (s *Service) checkAssertion(ctx context.Context, app Application, kind, assertion string) error {
	if kind != assertionType {
		return invalidRequest(50027, "client_assertion_type has to be %s.", assertionType)
	}
	token, err := jwt.ParseSigned(assertion, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || len(token.Headers) != 1 {
		return invalidRequest(50027, "JWT token is invalid or malformed.")
	}
	var unverified jwt.Claims
	if err := token.UnsafeClaimsWithoutVerification(&unverified); err != nil {
		return invalidRequest(50027, "JWT token is invalid or malformed.")
	}
	if err := matchCredential(app.Federated, unverified); err != nil {
		return err
	}
	key, err := s.issuerKey(ctx, unverified.Issuer, token.Headers[0].KeyID)
	if err != nil {
		return err
	}
	var c jwt.Claims
	if err := token.Claims(key, &c); err != nil {
		return invalidClient(700027, "Client assertion failed signature validation.")
	}
	return checkTime(c)
}

// matchCredential names what no credential has, in the order in which Entra looks.
func matchCredential(credentials []FederatedCredential, c jwt.Claims) error {
	const advice = "Check your federated identity credential Subject, Audience and Issuer against the presented assertion. " +
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
