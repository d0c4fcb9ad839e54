// Package entra implements Microsoft Entra ID for one tenant: instance discovery, OpenID configuration, signing keys,
// and tokens for applications with a secret or a federated token.
package entra

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/activity"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Host is the service's host. IssuerHost is the host in the issuer of its tokens, where the OpenID configuration is
// served too.
const (
	Host       = "login.microsoftonline.com"
	IssuerHost = "sts.windows.net"
)

// resources maps the resources that tokens can be requested for, without a trailing slash.
var resources = []string{
	"https://management.azure.com",
	"https://management.core.windows.net",
	"https://vault.azure.net",
	"https://storage.azure.com",
	KubernetesServer,
	Graph,
	GraphAppID,
}

// Graph is Microsoft Graph, for which any application gets a token. GraphAppID is its application ID, which can be
// requested as well.
const (
	Graph      = "https://graph.microsoft.com"
	GraphAppID = "00000003-0000-0000-c000-000000000000"
)

// KubernetesServer is the application ID of "Azure Kubernetes Service AAD Server". It is Microsoft's own in every
// tenant, and the resource of tokens for clusters' API servers
// (learn.microsoft.com/azure/aks/kubelogin-authentication).
const KubernetesServer = "6dae42f8-4368-4678-94ff-3960e28e3630"

// anyTenant are the names that clients use before they know the tenant
// (https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc).
var anyTenant = []string{"common", "organizations"}

// Service serves one tenant.
type Service struct {
	tenant string
	store  *store.Store
	http   *http.Client
	key    *rsa.PrivateKey
	mux    *http.ServeMux
}

// New returns the service. It uses the client to fetch the keys of federated credentials' issuers.
func New(st *store.Store, tenantID string, client *http.Client) (*Service, error) {
	s := &Service{tenant: tenantID, store: st, http: client, mux: http.NewServeMux()}
	err := st.Update(func(tx *store.Tx) (err error) {
		s.key, err = signingKey(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.mux.HandleFunc("GET /common/discovery/instance", s.instance)
	for _, any := range anyTenant {
		s.mux.HandleFunc("GET /"+any+"/v2.0/.well-known/openid-configuration", s.configuration)
	}
	s.mux.HandleFunc("GET /{tenant}/v2.0/.well-known/openid-configuration", s.inTenant(s.configuration))
	s.mux.HandleFunc("GET /{tenant}/.well-known/openid-configuration", s.inTenant(s.configuration))
	s.mux.HandleFunc("GET /{tenant}/discovery/v2.0/keys", s.inTenant(s.keys))
	s.mux.HandleFunc("POST /{tenant}/oauth2/v2.0/token", s.inTenant(s.token))
	return s, nil
}

func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, pattern := s.mux.Handler(r); pattern == "" {
		http.Error(w, "not implemented here: "+r.Method+" "+r.URL.Path, http.StatusNotImplemented)
		return
	}
	s.mux.ServeHTTP(w, r)
}

func (s *Service) inTenant(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		tenant := r.PathValue("tenant")
		if slices.Contains(anyTenant, tenant) {
			http.Error(w, "not implemented here: "+r.Method+" "+r.URL.Path, http.StatusNotImplemented)
			return
		}
		if !strings.EqualFold(tenant, s.tenant) {
			invalidRequest(90002, "Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing "+
				"into the correct cloud. Check with your subscription administrator, this may happen if there are no active "+
				"subscriptions for the tenant.", tenant).write(w)
			return
		}
		h(w, r)
	}
}

// instance returns the names of this cloud, and where the tenant of an authority is described.
func (s *Service) instance(w http.ResponseWriter, r *http.Request) {
	authority := r.URL.Query().Get("authorization_endpoint")
	tenant, ok := strings.CutPrefix(authority, "https://"+Host+"/")
	tenant, _, _ = strings.Cut(tenant, "/")
	if !ok || tenant == "" {
		invalidRequest(50049, "Unknown or invalid instance.").write(w)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"api-version":               "1.1",
		"tenant_discovery_endpoint": "https://" + Host + "/" + tenant + "/v2.0/.well-known/openid-configuration",
		"metadata": []any{map[string]any{
			"preferred_network": Host,
			"preferred_cache":   "login.windows.net",
			"aliases":           []string{Host, "login.windows.net", "login.microsoft.com", "sts.windows.net"},
		}},
	})
}

func (s *Service) configuration(w http.ResponseWriter, r *http.Request) {
	tenant := s.tenant
	issuer := s.issuer()
	first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case slices.Contains(anyTenant, first): // the tenant is known only after sign-in
		tenant, issuer = first, "https://"+Host+"/{tenantid}/v2.0"
	case strings.Contains(r.URL.Path, "/v2.0/"):
		issuer = "https://" + Host + "/" + s.tenant + "/v2.0"
	}
	base := "https://" + Host + "/" + tenant
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                issuer,
		"authorization_endpoint":                base + "/oauth2/v2.0/authorize",
		"token_endpoint":                        base + "/oauth2/v2.0/token",
		"jwks_uri":                              base + "/discovery/v2.0/keys",
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt"},
		"response_types_supported":              []string{"token"},
		"subject_types_supported":               []string{"pairwise"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"tenant_region_scope":                   nil,
		"cloud_instance_name":                   "microsoftonline.com",
	})
}

func (s *Service) keys(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{
		Key: &s.key.PublicKey, KeyID: keyID(&s.key.PublicKey), Use: "sig", Algorithm: "RS256",
	}}})
}

func (s *Service) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	if err := r.ParseForm(); err != nil {
		refused := invalidRequest(900144, "The request body could not be read.")
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			refused.status = http.StatusRequestEntityTooLarge
		}
		refused.write(w)
		return
	}
	token, err := s.exchange(r)
	var refused *authError
	switch {
	case errors.As(err, &refused):
		refused.write(w)
	case err != nil:
		(&authError{http.StatusInternalServerError, "server_error", 90033, err.Error()}).write(w)
	default:
		seconds := int(tokenLifetime.Seconds())
		writeJSON(w, http.StatusOK, map[string]any{
			"token_type": "Bearer", "access_token": token, "expires_in": seconds, "ext_expires_in": seconds,
		})
	}
}

// exchange checks a token request and issues the token.
func (s *Service) exchange(r *http.Request) (string, error) {
	form := r.PostForm
	for _, name := range []string{"grant_type", "client_id", "scope"} {
		if form.Get(name) == "" {
			return "", invalidRequest(900144, "The request body must contain the following parameter: '%s'.", name)
		}
	}
	if grant := form.Get("grant_type"); grant != "client_credentials" {
		return "", &authError{http.StatusBadRequest, "unsupported_grant_type", 70003,
			fmt.Sprintf("The app requested an unsupported grant type '%s'.", grant)}
	}
	resource, err := resourceOf(form.Get("scope"), s.tenant)
	if err != nil {
		return "", err
	}
	var app Application
	var known bool
	clientID := form.Get("client_id")
	if err := s.store.View(func(tx *store.Tx) (err error) {
		app, known, err = GetApplication(tx, clientID)
		return err
	}); err != nil {
		return "", err
	}
	if !known {
		return "", &authError{http.StatusBadRequest, "unauthorized_client", 700016, fmt.Sprintf(
			"Application with identifier '%s' was not found in the directory '%s'. This can happen if the application has not "+
				"been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent "+
				"your authentication request to the wrong tenant.", clientID, s.tenant)}
	}
	secret, assertion := form.Get("client_secret"), form.Get("client_assertion")
	entry := activity.From(r.Context())
	entry.CalledBy(app.caller(""))
	subject := ""
	switch {
	case secret != "":
		right := app.hasSecret(secret)
		entry.Decided(secretDecision(right))
		if !right {
			return "", invalidClient(
				7000215,
				"Invalid client secret provided. Ensure the secret being sent in the request is the "+
					"client secret value, not the client secret ID, for a secret added to app '%s'.",
				app.ClientID,
			)
		}
	case assertion != "":
		claims, err := s.checkAssertion(r.Context(), app, form.Get("client_assertion_type"), assertion)
		entry.CalledBy(app.caller(claims.Subject))
		entry.Decided(app.decision(claims, err))
		if err != nil {
			return "", err
		}
		subject = claims.Subject
	default:
		return "", invalidClient(7000218, "The request body must contain the following parameter: 'client_assertion' or "+
			"'client_secret'.")
	}
	return s.issue(app, resource, subject)
}

func secretDecision(right bool) authorization.Decision {
	if right {
		return authorization.Decision{Allowed: true, Action: signIn, Because: "client secret"}
	}
	return authorization.Decision{Action: signIn, Missing: "the client secret of the application"}
}

// resourceOf returns the only resource in a scope. OpenID's own scopes are ignored.
func resourceOf(scope, tenant string) (string, error) {
	resource := ""
	for _, one := range strings.Fields(scope) {
		switch one {
		case "openid", "profile", "offline_access":
			continue
		}
		name, ok := strings.CutSuffix(one, "/.default")
		if !ok || resource != "" {
			return "", &authError{http.StatusBadRequest, "invalid_scope", 1002012, fmt.Sprintf(
				"The provided value for scope %s is not valid. Client credential flows must have a scope value with /.default "+
					"suffixed to the resource identifier (application ID URI).", scope)}
		}
		resource = name
	}
	for _, known := range resources {
		if strings.TrimSuffix(resource, "/") == known {
			return resource, nil
		}
	}
	return "", &authError{http.StatusBadRequest, "invalid_resource", 500011, fmt.Sprintf(
		"The resource principal named %s was not found in the tenant named %s.", resource, tenant)}
}
