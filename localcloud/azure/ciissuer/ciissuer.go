// Package ciissuer issues the ID tokens of CI services, as GitHub Actions, GitLab CI/CD and Pulumi Cloud do, under their
// names: what federated credentials trust. Who may have which token is what those services know; here it is whoever owns
// the local cloud.
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

// Service issues tokens, and publishes the keys that verify them.
type Service struct{ store *store.Store }

// New makes the service. Each issuer's key is made when it is first needed, and kept in the store.
func New(st *store.Store) *Service { return &Service{st} }

// Ask says which token is asked for.
type Ask struct {
	// CI is the service: one of [Names].
	CI string `json:"ci"`
	// Subject is the token's "sub". It has to be one that the service forms.
	Subject string `json:"subject"`
	// Audience is the token's "aud". Defaults to what the service gives Azure.
	Audience string `json:"audience,omitempty"`
	// Claims replace those claims that do not follow from the subject.
	Claims map[string]string `json:"claims,omitempty"`
}

// azureAudience is what Azure recommends as the audience of federated credentials
// (https://learn.microsoft.com/entra/workload-id/workload-identity-federation-create-trust).
const azureAudience = "api://AzureADTokenExchange"

// issuer is one service.
type issuer struct {
	url  string // "iss"
	keys string // the path of its keys, below the host
	// lifetime is how long a token is valid, and early how long before it was issued.
	lifetime, early time.Duration
	// claims are those of a token with a subject: those that follow from it, and what is taken for the rest. Its error says
	// which subjects there are.
	claims func(subject string) (derived, free map[string]any, err error)
	// property is the prefix of claims that the service's users name. Empty: there are none.
	property string
	// audience is the one that tokens for Azure have; fixed says that there is no other.
	audience func(derived map[string]any) (audience string, fixed bool)
}

func azureOrAny(map[string]any) (string, bool) { return azureAudience, false }

var issuers = map[string]issuer{
	"github": {
		url: githubURL, keys: "/.well-known/jwks", lifetime: 5 * time.Minute, early: 10 * time.Minute,
		claims: githubClaims, property: "repo_property_", audience: azureOrAny,
	},
	"gitlab": { // whose tokens live as long as a job may run: an hour by default
		url: gitlabURL, keys: "/oauth/discovery/keys", lifetime: time.Hour, early: 5 * time.Second,
		claims: gitlabClaims, audience: azureOrAny,
	},
	"pulumi": {
		url: pulumiURL, keys: "/oidc/.well-known/jwks", lifetime: time.Hour,
		claims: pulumiClaims, audience: pulumiAudience,
	},
}

// Names are those of the services.
func Names() []string { return slices.Sorted(maps.Keys(issuers)) }

// Hosts are what answers for the issuers, and for GitHub's runners.
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
	_ = json.NewEncoder(w).Encode(body) // the client has gone: nobody to tell
}

// key is the key of an issuer, made once a store.
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
			return fmt.Errorf("making the signing key of %s: %w", name, err)
		}
		return store.Put(tx, bucket, name, x509.MarshalPKCS1PrivateKey(key))
	})
	return key, err
}

// claims checks what is asked for.
func (a Ask) claims() (issuer, map[string]any, error) {
	i, ok := issuers[a.CI]
	if !ok {
		return i, nil, fmt.Errorf("there is no issuer %q: it is one of %s", a.CI, strings.Join(Names(), ", "))
	}
	derived, all, err := i.claims(a.Subject)
	if err != nil {
		return i, nil, err
	}
	audience, fixed := i.audience(derived)
	switch {
	case a.Audience == "":
	case fixed && a.Audience != audience:
		return i, nil, fmt.Errorf("a token with the subject %q has no audience but %q", a.Subject, audience)
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
			return i, nil, fmt.Errorf(
				"the claim %q cannot be chosen for the subject %q: those that can are %s",
				name,
				a.Subject,
				strings.Join(allowed, ", "),
			)
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
