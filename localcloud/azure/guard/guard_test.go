package guard_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	authentication "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/guard"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

const (
	tenant       = "11111111-0000-4000-8000-000000000001"
	other        = "11111111-0000-4000-8000-000000000002" // another tenant
	caller       = "22222222-0000-4000-8000-000000000001"
	group        = "33333333-0000-4000-8000-000000000001"
	subscription = "/subscriptions/44444444-0000-4000-8000-000000000001"
	cluster      = subscription + "/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/aks"

	clusterAdmin = "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b"
	reader       = "7f6c6a51-bcf8-42ba-9220-52d62157d7db"
	writer       = "a7ffa36f-339b-4b5c-8bdf-e2c188b2c0eb"
)

// fixture is a guard with a directory that has one caller.
type fixture struct {
	*testing.T
	*guard.Guard
	store  *store.Store
	tokens *entra.Service
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t}
	var err error
	f.store, err = store.Open(filepath.Join(t.TempDir(), "azure.db"))
	f.must(err)
	t.Cleanup(func() { f.must(f.store.Close()) })
	f.tokens, err = entra.New(f.store, tenant, http.DefaultClient)
	f.must(err)
	app := entra.Application{ClientID: "client", ObjectID: caller, Groups: []string{group}}
	app.SetSecret("secret")
	f.must(f.store.Update(func(tx *store.Tx) error { return entra.PutApplication(tx, app) }))
	f.Guard = guard.New(f.store, f.tokens)
	return f
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// token returns the caller's token for a resource.
func (f *fixture) token(resource string) string {
	f.Helper()
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"client"}, "client_secret": {"secret"},
		"scope": {resource + "/.default openid offline_access profile"},
	}
	r := httptest.NewRequest(http.MethodPost, "https://login.microsoftonline.com/"+tenant+"/oauth2/v2.0/token",
		strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	f.tokens.ServeHTTP(w, r)
	var answer struct {
		Token string `json:"access_token"`
	}
	f.must(json.Unmarshal(w.Body.Bytes(), &answer))
	if answer.Token == "" {
		f.Fatalf("no token for %s: %s", resource, w.Body)
	}
	return answer.Token
}

// forged returns the caller's token with another claim, signed with the tenant's key unless another key is given.
func (f *fixture) forged(key *rsa.PrivateKey, claim string, value any) string {
	f.Helper()
	if key == nil {
		f.must(f.store.View(func(tx *store.Tx) error {
			der, _, err := store.Get[[]byte](tx, "entra", "signingKey")
			f.must(err)
			key, err = x509.ParsePKCS1PrivateKey(der)
			return err
		}))
	}
	parsed, err := jwt.ParseSigned(f.token(entra.KubernetesServer), []jose.SignatureAlgorithm{jose.RS256})
	f.must(err)
	var claims map[string]any
	f.must(parsed.UnsafeClaimsWithoutVerification(&claims))
	claims[claim] = value
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, nil)
	f.must(err)
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	f.must(err)
	return token
}

// post sends a review to a URL of the guard, as the API server does.
func (f *fixture) post(url string, review any) {
	f.Helper()
	body, err := json.Marshal(review)
	f.must(err)
	w := httptest.NewRecorder()
	f.ServeHTTP(w, httptest.NewRequest(http.MethodPost, url, bytes.NewReader(body)))
	if w.Code != http.StatusOK {
		f.Fatalf("%d %s", w.Code, w.Body)
	}
	f.must(json.Unmarshal(w.Body.Bytes(), review))
}

func (f *fixture) authenticate(token string) authentication.TokenReviewStatus {
	f.Helper()
	review := &authentication.TokenReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "authentication.k8s.io/v1", Kind: "TokenReview"},
	}
	review.Spec.Token = token
	f.post(guard.TokenReviewURL(cluster), review)
	return review.Status
}

func (f *fixture) authorize(spec authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
	f.Helper()
	review := &authorizationv1.SubjectAccessReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "authorization.k8s.io/v1", Kind: "SubjectAccessReview"}, Spec: spec,
	}
	f.post(guard.AccessReviewURL(cluster), review)
	return review.Status
}

// assign assigns a role and returns a function that deletes the assignment.
func (f *fixture) assign(role, principal, scope string) func() {
	f.Helper()
	id := scope + "/providers/Microsoft.Authorization/roleAssignments/" + role
	f.must(f.store.Update(func(tx *store.Tx) error {
		return authorization.Put(tx, authorization.Assignment{ID: id, Scope: scope, RoleID: role, PrincipalID: principal})
	}))
	return func() {
		f.must(f.store.Update(func(tx *store.Tx) error { return authorization.Delete(tx, id) }))
	}
}

// by is a request by the caller, with the attributes from the review of the caller's token.
func by(resource *authorizationv1.ResourceAttributes) authorizationv1.SubjectAccessReviewSpec {
	return authorizationv1.SubjectAccessReviewSpec{
		User:               caller,
		Groups:             []string{group, "system:authenticated"},
		Extra:              map[string]authorizationv1.ExtraValue{"oid": {caller}},
		ResourceAttributes: resource,
	}
}

// to parses a request such as "list apps/deployments" or "create pods/exec" (core group). An empty ns means the whole
// cluster.
func to(verb, apiGroup, resource, ns string) *authorizationv1.ResourceAttributes {
	resource, subresource, _ := strings.Cut(resource, "/")
	return &authorizationv1.ResourceAttributes{
		Verb:        verb,
		Group:       apiGroup,
		Version:     "v1",
		Resource:    resource,
		Subresource: subresource,
		Namespace:   ns,
	}
}

func TestTokenReview_ReturnsObjectIDAndGroups(t *testing.T) {
	f := newFixture(t)
	got := f.authenticate(f.token(entra.KubernetesServer))
	if !got.Authenticated || got.User.Username != caller || !slices.Equal(got.User.Groups, []string{group}) ||
		!slices.Equal(got.User.Extra["oid"], []string{caller}) {
		t.Errorf("got %+v", got)
	}
}

func TestTokenReview_RefusesOtherTokens(t *testing.T) {
	f := newFixture(t)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	f.must(err)
	if !f.authenticate(f.forged(nil, "jti", "another")).Authenticated {
		t.Fatal("a token signed here is refused without a fault: the others prove nothing")
	}
	for name, token := range map[string]string{
		"for Resource Manager": f.token("https://management.azure.com"),
		"for another app":      f.forged(nil, "aud", "55555555-0000-4000-8000-000000000001"),
		"of another tenant":    f.forged(nil, "iss", "https://sts.windows.net/"+other+"/"),
		"expired":              f.forged(nil, "exp", time.Now().Add(-time.Minute).Unix()),
		"not valid yet":        f.forged(nil, "nbf", time.Now().Add(time.Hour).Unix()),
		"of another's key":     f.forged(stranger, "jti", "another"),
		"no token":             "a.b.c",
		"nothing":              "",
	} {
		if got := f.authenticate(token); got.Authenticated || got.User.Username != "" || got.Error == "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestAccessReview_AllowsByRoleAndScope(t *testing.T) {
	f := newFixture(t)
	const ns = cluster + "/namespaces/ns"
	for name, test := range map[string]struct {
		role, principal, scope string
		request                *authorizationv1.ResourceAttributes
		allowed                bool
	}{
		"the administrator's all, on the subscription": {
			clusterAdmin, caller, subscription, to("create", "", "namespaces", ""), true,
		},
		"on the resource group": {
			clusterAdmin, caller, subscription + "/resourceGroups/g", to("delete", "", "nodes", ""), true,
		},
		"on the cluster, in a namespace": {
			clusterAdmin, caller, cluster, to("patch", "", "secrets", "ns"), true,
		},
		"of a kind that Azure does not know": {
			clusterAdmin, caller, cluster, to("get", "secrets-store.csi.x-k8s.io", "secretproviderclasses", "ns"), true,
		},
		"with a verb that Azure does not know": {
			clusterAdmin, caller, cluster, to("approve", "certificates.k8s.io", "signers", ""), true,
		},
		"the right to give roles": {
			clusterAdmin, caller, cluster, to("escalate", "rbac.authorization.k8s.io", "clusterroles", ""), true,
		},
		"on another cluster": {
			clusterAdmin, caller, cluster + "2", to("get", "", "pods", "ns"), false,
		},
		"on another resource group": {
			clusterAdmin, caller, subscription + "/resourceGroups/g2", to("get", "", "pods", "ns"), false,
		},
		"of somebody else":             {clusterAdmin, tenant, cluster, to("get", "", "pods", "ns"), false},
		"of a group":                   {clusterAdmin, group, cluster, to("get", "", "pods", "ns"), true},
		"on the namespace":             {clusterAdmin, caller, ns, to("list", "", "pods", "ns"), true},
		"on the namespace, in another": {clusterAdmin, caller, ns, to("list", "", "pods", "ns2"), false},
		"on the namespace, in all":     {clusterAdmin, caller, ns, to("list", "", "pods", ""), false},
		"a reader reads":               {reader, caller, cluster, to("watch", "", "pods", ""), true},
		"a reader reads what a group has": {
			reader, caller, cluster, to("get", "apps", "deployments", "ns"), true,
		},
		"a reader reads a subresource":      {reader, caller, cluster, to("get", "", "pods/log", "ns"), true},
		"a reader does not read secrets":    {reader, caller, cluster, to("get", "", "secrets", "ns"), false},
		"a reader does not write":           {reader, caller, cluster, to("update", "", "pods", "ns"), false},
		"a reader runs no command in a pod": {reader, caller, cluster, to("get", "", "pods/exec", "ns"), false},
		"a writer does": {
			writer, caller, cluster, to("create", "", "pods/exec", "ns"), true,
		},
		"a writer deletes": {
			writer, caller, cluster, to("deletecollection", "", "pods", "ns"), true,
		},
		"a writer does not let himself more": {
			writer, caller, cluster, to("bind", "rbac.authorization.k8s.io", "clusterroles", ""), false,
		},
		"all that there is": {clusterAdmin, caller, cluster, to("*", "*", "*", ""), true},
		"the owner of the subscription has no such role": {
			authorization.OwnerID, caller, subscription, to("get", "", "pods", "ns"), false,
		},
	} {
		take := f.assign(test.role, test.principal, test.scope)
		if got := f.authorize(by(test.request)); got.Allowed != test.allowed || got.Denied == test.allowed {
			t.Errorf("%s: %+v, want allowed %t", name, got, test.allowed)
		}
		take()
		if got := f.authorize(by(test.request)); got.Allowed {
			t.Errorf("%s: allowed without the role: %+v", name, got)
		}
	}
}

func TestAccessReview_ChecksDataActionOfPaths(t *testing.T) {
	f := newFixture(t)
	f.assign(writer, caller, cluster)
	request := by(nil)
	for path, allowed := range map[string]bool{"/metrics": false, "/pods": true, "/../managedClusters/pods": false} {
		request.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Path: path, Verb: "get"}
		if got := f.authorize(request); got.Allowed != allowed {
			t.Errorf("%s: %+v, want allowed %t", path, got, allowed)
		}
	}
}

func TestAccessReview_HasNoOpinionOnOthers(t *testing.T) {
	f := newFixture(t)
	pods := to("get", "", "pods", "ns")
	certificate, system, wildcard := by(pods), by(pods), by(to("*", "", "pods", "ns"))
	f.assign(clusterAdmin, caller, cluster+"/namespaces/ns2")
	f.assign(writer, caller, cluster)
	certificate.Extra = nil
	system.User = "system:serviceaccount:ns:sa"
	for name, request := range map[string]authorizationv1.SubjectAccessReviewSpec{
		"a certificate's user":                        certificate,
		"a service account":                           system,
		"a wildcard, where not everything is allowed": wildcard,
	} {
		if got := f.authorize(request); got.Allowed || got.Denied || got.Reason == "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestGuard_AnswersVersion1Only(t *testing.T) {
	f := newFixture(t)
	for _, test := range []struct {
		method, url, body string
		want              int
	}{
		{
			http.MethodPost,
			guard.TokenReviewURL(cluster),
			`{"apiVersion":"authentication.k8s.io/v1beta1"}`,
			http.StatusBadRequest,
		},
		{
			http.MethodPost,
			guard.AccessReviewURL(cluster),
			`{"apiVersion":"authorization.k8s.io/v1beta1"}`,
			http.StatusBadRequest,
		},
		{http.MethodPost, guard.AccessReviewURL(cluster), `{`, http.StatusBadRequest},
		{http.MethodPost, "https://" + guard.Host + cluster, `{}`, http.StatusNotFound},
		{http.MethodGet, guard.TokenReviewURL(cluster), ``, http.StatusNotImplemented},
	} {
		w := httptest.NewRecorder()
		f.ServeHTTP(w, httptest.NewRequest(test.method, test.url, strings.NewReader(test.body)))
		if w.Code != test.want {
			t.Errorf("%s %s %s: %d, want %d", test.method, test.url, test.body, w.Code, test.want)
		}
	}
}
