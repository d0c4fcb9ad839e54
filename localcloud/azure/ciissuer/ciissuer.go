// Package ciissuer issues ID tokens, which federated credentials trust, in the names of GitHub Actions, GitLab CI/CD
// and Pulumi Cloud. These services decide who gets which token. Here, the owner of the local cloud gets any token.
package ciissuer

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/oidcissuer"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Service issues tokens and publishes the keys that verify them.
type Service struct{ store *store.Store }

// New returns a new Service. It creates the key of an issuer on first use and keeps it in the store.
func New(st *store.Store) *Service { return &Service{st} }

// Ask describes the token that a client asks for.
type Ask struct {
	// CI is the name of the service, one of [Names].
	CI string `json:"ci"`
	// Subject is the claim "sub". It must have the form of the service's subjects.
	Subject string `json:"subject"`
	// Audience is the claim "aud". Defaults to the audience of the service's tokens for Azure.
	Audience string `json:"audience,omitempty"`
	// Claims sets claims that do not follow from the subject.
	Claims map[string]string `json:"claims,omitempty"`
}

// azureAudience is the audience that Azure recommends for federated credentials
// (https://learn.microsoft.com/entra/workload-id/workload-identity-federation-create-trust).
const azureAudience = "api://AzureADTokenExchange"

// issuer is a CI service.
type issuer struct {
	url  string // the claim "iss"
	keys string // path of the key set
	// A token is valid for lifetime from its issue on, and for early before.
	lifetime, early time.Duration
	// claims returns the claims that follow from a subject, and defaults of the other claims. Its error describes the
	// valid subjects.
	claims func(subject string) (derived, free map[string]any, err error)
	// property is the prefix of claims with names that users choose. Empty if there are none.
	property string
	// audience returns the audience of tokens for Azure. fixed reports whether there is no other.
	audience func(derived map[string]any) (audience string, fixed bool)
}

func azureOrAny(map[string]any) (string, bool) { return azureAudience, false }

var issuers = map[string]issuer{
	"github": {
		url: githubURL, keys: "/.well-known/jwks", lifetime: 5 * time.Minute, early: 10 * time.Minute,
		claims: githubClaims, property: "repo_property_", audience: azureOrAny,
	},
	"gitlab": { // tokens are valid for the timeout of a job, an hour by default
		url: gitlabURL, keys: "/oauth/discovery/keys", lifetime: time.Hour, early: 5 * time.Second,
		claims: gitlabClaims, audience: azureOrAny,
	},
	"pulumi": {
		url: pulumiURL, keys: "/oidc/.well-known/jwks", lifetime: time.Hour,
		claims: pulumiClaims, audience: pulumiAudience,
	},
}

// Names returns the names of the services.
func Names() []string { return slices.Sorted(maps.Keys(issuers)) }

// Hosts returns the handlers of the issuers' hosts and of the host for GitHub's runners.
func (s *Service) Hosts() map[string]http.Handler {
	hosts := map[string]http.Handler{runnerHost: http.HandlerFunc(s.idToken)}
	for name, i := range issuers {
		host, path, _ := strings.Cut(strings.TrimPrefix(i.url, "https://"), "/")
		if path != "" {
			path = "/" + path
		}
		mux := http.NewServeMux()
		mux.HandleFunc("GET "+path+"/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, map[string]any{
				"issuer": i.url, "jwks_uri": "https://" + host + i.keys,
				"response_types_supported":              []string{"id_token"},
				"subject_types_supported":               []string{"public"},
				"id_token_signing_alg_values_supported": []string{"RS256"},
			})
		})
		mux.HandleFunc("GET "+i.keys, func(w http.ResponseWriter, _ *http.Request) {
			key, err := s.key(name)
			var set jose.JSONWebKeySet
			if err == nil {
				set, err = oidcissuer.KeySet([]crypto.PublicKey{&key.PublicKey})
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			writeJSON(w, set)
		})
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "not implemented here: "+r.Method+" "+r.Host+r.URL.Path, http.StatusNotImplemented)
		})
		hosts[host] = mux
	}
	return hosts
}

func writeJSON(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(body) // fails only if the client is gone
}

// key returns the key of an issuer. It creates the key if the store has none.
func (s *Service) key(name string) (key *rsa.PrivateKey, err error) {
	const bucket = "ciKeys"
	err = s.store.Update(func(tx *store.Tx) error {
		der, ok, err := store.Get[[]byte](tx, bucket, name)
		if err != nil {
			return err
		}
		if ok {
			key, err = x509.ParsePKCS1PrivateKey(der)
			return err
		}
		if key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			return fmt.Errorf("creating the signing key of %s: %w", name, err)
		}
		return store.Put(tx, bucket, name, x509.MarshalPKCS1PrivateKey(key))
	})
	return key, err
}

// claims returns the issuer and the claims of the token, or an error if the service issues no such token.
func (a Ask) claims() (issuer, map[string]any, error) {
	i, ok := issuers[a.CI]
	if !ok {
		return i, nil, fmt.Errorf("there is no issuer %q: it must be one of %s", a.CI, strings.Join(Names(), ", "))
	}
	derived, all, err := i.claims(a.Subject)
	if err != nil {
		return i, nil, err
	}
	audience, fixed := i.audience(derived)
	switch {
	case a.Audience == "":
	case fixed && a.Audience != audience:
		return i, nil, fmt.Errorf("invalid audience %q: a token with the subject %q has the audience %q",
			a.Audience, a.Subject, audience)
	default:
		audience = a.Audience
	}
	for _, name := range slices.Sorted(maps.Keys(a.Claims)) {
		_, free := all[name]
		if !free && (i.property == "" || !strings.HasPrefix(name, i.property)) {
			allowed := slices.Sorted(maps.Keys(all))
			if i.property != "" {
				allowed = append(allowed, i.property+"*")
			}
			return i, nil, fmt.Errorf("the claim %q cannot be set for the subject %q: only %s can",
				name, a.Subject, strings.Join(allowed, ", "))
		}
		all[name] = a.Claims[name]
	}
	maps.Copy(all, derived)
	all["iss"], all["sub"], all["aud"] = i.url, a.Subject, audience
	return i, all, nil
}

// Token issues a token.
func (s *Service) Token(a Ask) (string, error) {
	i, claims, err := a.claims()
	if err != nil {
		return "", err
	}
	key, err := s.key(a.CI)
	if err != nil {
		return "", err
	}
	id, err := oidcissuer.KeyID(&key.PublicKey)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: id}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	now := time.Now()
	claims["jti"] = uuid.NewString()
	claims["iat"] = jwt.NewNumericDate(now)
	claims["nbf"] = jwt.NewNumericDate(now.Add(-i.early))
	claims["exp"] = jwt.NewNumericDate(now.Add(i.lifetime))
	return jwt.Signed(signer).Claims(claims).Serialize()
}
