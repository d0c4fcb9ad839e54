package entra

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/activity"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// tokenLifetime is the lifetime of an application's access token.
const tokenLifetime = time.Hour

// Principal identifies the principal that a token was issued to.
type Principal struct {
	ClientID string
	ObjectID string
	Issuer   string
	Groups   []string // object IDs
	Roles    []string // application permissions on what the token is for
	// Caller is what the record of requests shows of the principal. Nothing is decided by it.
	Caller activity.Caller `json:"-"`
}

// TokenFault is the reason why an access token is invalid.
type TokenFault int

const (
	Malformed TokenFault = iota + 1 // not a token of this tenant
	Expired
	WrongAudience
)

// TokenError is the error of Verify. Audience is the token's audience, if that is wrong.
type TokenError struct {
	Fault    TokenFault
	Audience string
}

func (e *TokenError) Error() string {
	switch e.Fault {
	case Expired:
		return "the access token has expired"
	case WrongAudience:
		return fmt.Sprintf("the access token is for %q", e.Audience)
	default:
		return "the access token is not one of this tenant"
	}
}

type claims struct {
	jwt.Claims
	AppID    string   `json:"appid"`
	ObjectID string   `json:"oid"`
	TenantID string   `json:"tid"`
	IDType   string   `json:"idtyp"`
	Version  string   `json:"ver"`
	Groups   []string `json:"groups,omitempty"`
	Roles    []string `json:"roles,omitempty"`
	// Internal is "an internal claim that's used to record data for token reuse. Resources shouldn't use this claim."
	// (https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference). It is opaque to everybody else.
	// Here it records the caller for the record of requests, with the subject that it signed in with.
	Internal []byte `json:"aio,omitempty"`
}

// signingKey returns the key of the tenant, generated once per store.
func signingKey(tx *store.Tx) (*rsa.PrivateKey, error) {
	const bucket, name = "entra", "signingKey"
	der, ok, err := store.Get[[]byte](tx, bucket, name)
	if err != nil {
		return nil, err
	}
	if ok {
		return x509.ParsePKCS1PrivateKey(der)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("making the tenant's signing key: %w", err)
	}
	return key, store.Put(tx, bucket, name, x509.MarshalPKCS1PrivateKey(key))
}

func keyID(key *rsa.PublicKey) string {
	sum := sha256.Sum256(x509.MarshalPKCS1PublicKey(key))
	return base64.RawURLEncoding.EncodeToString(sum[:15])
}

// issuer is that of tokens in version 1.0, the version of the tokens for Resource Manager, Key Vault and AKS alike.
func (s *Service) issuer() string { return "https://" + IssuerHost + "/" + s.tenant + "/" }

// issue makes an access token for a resource. Subject is that of the federated token that was shown, if one was.
func (s *Service) issue(app Application, resource, subject string) (string, error) {
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: s.key, KeyID: keyID(&s.key.PublicKey)}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("signing an access token: %w", err)
	}
	var roles []string
	if of := strings.TrimSuffix(resource, "/"); of == Graph || of == GraphAppID {
		roles = app.GraphRoles
	}
	caller, err := json.Marshal(app.caller(subject))
	if err != nil {
		return "", fmt.Errorf("signing an access token: %w", err)
	}
	now := time.Now()
	return jwt.Signed(signer).Claims(claims{
		Claims: jwt.Claims{
			Issuer:    s.issuer(),
			Subject:   app.ObjectID,
			Audience:  jwt.Audience{resource},
			IssuedAt:  jwt.NewNumericDate(now),
			NotBefore: jwt.NewNumericDate(now),
			Expiry:    jwt.NewNumericDate(now.Add(tokenLifetime)),
			ID:        uuid.NewString(),
		},
		AppID: app.ClientID, ObjectID: app.ObjectID, TenantID: s.tenant, IDType: "app", Version: "1.0",
		Groups: app.Groups, Roles: roles, Internal: caller,
	}).Serialize()
}

// Verify checks an access token: it must be signed by this tenant, not expired, and for one of the audiences, with or
// without a trailing slash. The error is a *TokenError.
func (s *Service) Verify(token string, audiences ...string) (Principal, error) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return Principal{}, &TokenError{Fault: Malformed}
	}
	var c claims
	if err := parsed.Claims(&s.key.PublicKey, &c); err != nil || c.Issuer != s.issuer() || c.Expiry == nil {
		return Principal{}, &TokenError{Fault: Malformed}
	}
	if err := c.ValidateWithLeeway(jwt.Expected{Time: time.Now()}, 0); err != nil {
		return Principal{}, &TokenError{Fault: Expired}
	}
	if !slices.ContainsFunc(c.Audience, func(found string) bool {
		return slices.Contains(audiences, strings.TrimSuffix(found, "/"))
	}) {
		return Principal{}, &TokenError{Fault: WrongAudience, Audience: strings.Join(c.Audience, ", ")}
	}
	p := Principal{ClientID: c.AppID, ObjectID: c.ObjectID, Issuer: c.Issuer, Groups: c.Groups, Roles: c.Roles}
	if json.Unmarshal(c.Internal, &p.Caller) != nil { // a token of an earlier version
		p.Caller = activity.Caller{ObjectID: c.ObjectID, Kind: activity.ServicePrincipal}
	}
	return p, nil
}
