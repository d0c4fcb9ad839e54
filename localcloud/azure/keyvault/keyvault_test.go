package keyvault_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/keyvault"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

const (
	tenantID     = "5f4e2d3c-0000-4000-8000-00000000a1b2"
	subscription = "/subscriptions/1c0d5b6a-0000-4000-8000-00000000c3d4"
	uri          = "https://kv-one.vault.azure.net/"

	administrator       = "00482a5a-887f-4fb3-b363-3b7fe8e74483"
	reader              = "21090545-7ca7-4776-b22c-e363652d74d2"
	secretsUser         = "4633458b-17de-408a-b874-0445c86b69e6"
	secretsOfficer      = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
	cryptoOfficer       = "14b46e9e-c2b7-41b4-b07b-48a6ebf60603"
	cryptoUser          = "12338af0-0e69-4776-bea7-57ae8d297424"
	encryptionUser      = "e147488a-f6f5-4113-8e2d-b22465e65bf6"
	certificatesOfficer = "a4417e6f-fecd-4de8-b567-7b0420556985"
	certificateUser     = "db79e9a7-68ee-4b58-9aeb-b90e7c24fcba"
)

// world is a data plane by itself. Clients of Azure's SDK reach it in process.
type world struct {
	testing.TB
	store  *store.Store
	server *keyvault.Server
	tokens *entra.Service
	admin  caller
}

// caller is a principal with a token.
type caller string

func (c caller) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(c), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func newWorld(t testing.TB) *world {
	t.Helper()
	st, err := store.Open(filepath.Join(t.TempDir(), "azure.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	w := &world{TB: t, store: st}
	w.tokens, err = entra.New(st, tenantID, http.DefaultClient)
	w.must(err)
	w.server = keyvault.NewServer(st, w.tokens, nil, tenantID)
	w.vault("kv-one", nil)
	w.admin = w.as(administrator)
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) update(f func(*store.Tx) error) {
	w.Helper()
	w.must(w.store.Update(f))
}

// vault creates a vault with a change.
func (w *world) vault(name string, change func(*keyvault.Vault)) {
	w.Helper()
	v := keyvault.Vault{
		ID:            subscription + "/resourceGroups/g/providers/Microsoft.KeyVault/vaults/" + name,
		Name:          name,
		Location:      "eastus",
		TenantID:      tenantID,
		RBAC:          true,
		Public:        true,
		RetentionDays: 90,
	}
	if change != nil {
		change(&v)
	}
	w.update(func(tx *store.Tx) error { return keyvault.PutVault(tx, v) })
}

// as returns a caller with roles at the tenant's scope.
func (w *world) as(roles ...string) caller {
	w.Helper()
	return w.application(entra.Application{ClientID: uuid.NewString(), ObjectID: uuid.NewString(), Name: "app"}, roles...)
}

func (w *world) application(app entra.Application, roles ...string) caller {
	w.Helper()
	app.SetSecret("secret")
	w.update(func(tx *store.Tx) error {
		for _, role := range roles {
			id := uuid.NewString()
			if err := authorization.Put(tx, authorization.Assignment{
				ID: "/" + id, Name: id, Scope: "/", RoleID: role, PrincipalID: app.ObjectID,
			}); err != nil {
				return err
			}
		}
		return entra.PutApplication(tx, app)
	})
	form := url.Values{
		"grant_type": {
			"client_credentials",
		},
		"client_id":     {app.ClientID},
		"client_secret": {"secret"},
		"scope":         {"https://vault.azure.net/.default"},
	}
	r := httptest.NewRequest(http.MethodPost, "https://login.microsoftonline.com/"+tenantID+"/oauth2/v2.0/token",
		strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer := httptest.NewRecorder()
	w.tokens.ServeHTTP(answer, r)
	var body struct {
		Token string `json:"access_token"`
	}
	w.must(json.Unmarshal(answer.Body.Bytes(), &body))
	return caller(body.Token)
}

// role creates a role with data actions.
func (w *world) role(actions, notActions []string) string {
	w.Helper()
	role := authorization.Role{
		ID:               uuid.NewString(),
		Name:             "custom",
		DataActions:      actions,
		NotDataActions:   notActions,
		AssignableScopes: []string{"/"},
	}
	w.update(func(tx *store.Tx) error { return authorization.PutRole(tx, role) })
	return role.ID
}

// Do is the transport of clients.
func (w *world) Do(r *http.Request) (*http.Response, error) {
	sent := r.Clone(r.Context())
	if sent.Body == nil {
		sent.Body = http.NoBody
	}
	sent.Host = r.URL.Host
	answer := httptest.NewRecorder()
	w.server.ServeHTTP(answer, sent)
	resp := answer.Result()
	resp.Request = r
	return resp, nil
}

func (w *world) options() azcore.ClientOptions {
	return azcore.ClientOptions{Transport: w, Retry: policy.RetryOptions{MaxRetries: -1}}
}

func (w *world) keys(c caller) *azkeys.Client {
	w.Helper()
	client, err := azkeys.NewClient(uri, c, &azkeys.ClientOptions{ClientOptions: w.options()})
	w.must(err)
	return client
}

func (w *world) secrets(c caller) *azsecrets.Client {
	w.Helper()
	client, err := azsecrets.NewClient(uri, c, &azsecrets.ClientOptions{ClientOptions: w.options()})
	w.must(err)
	return client
}

func (w *world) certificates(c caller) *azcertificates.Client {
	w.Helper()
	return w.certificatesOf(uri, c)
}

func (w *world) certificatesOf(uri string, c caller) *azcertificates.Client {
	w.Helper()
	client, err := azcertificates.NewClient(uri, c, &azcertificates.ClientOptions{ClientOptions: w.options()})
	w.must(err)
	return client
}

// refused checks an error's status and its code or inner code.
func (w *world) refused(name string, err error, status int, code string) {
	w.Helper()
	var refused *azcore.ResponseError
	if !errors.As(err, &refused) || refused.StatusCode != status ||
		refused.ErrorCode != code && !strings.Contains(err.Error(), `"code": "`+code+`"`) &&
			!strings.Contains(err.Error(), code) {
		w.Errorf("%s: %v, want %d %s", name, err, status, code)
	}
}

// send sends a body unchanged.
func (w *world) send(c caller, method, path, contentType string, body []byte) (int, string) {
	w.Helper()
	r := httptest.NewRequest(method, uri+strings.TrimPrefix(path, "/")+"?api-version=7.6", bytes.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+string(c))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	resp, err := w.Do(r)
	w.must(err)
	text, err := io.ReadAll(resp.Body)
	w.must(err)
	var fault struct {
		Error struct {
			Code  string
			Inner struct{ Code string } `json:"innererror"`
		}
	}
	_ = json.Unmarshal(text, &fault)
	if fault.Error.Inner.Code != "" {
		return resp.StatusCode, fault.Error.Inner.Code
	}
	return resp.StatusCode, fault.Error.Code
}

func (w *world) json(c caller, method, path, body string) string {
	w.Helper()
	status, code := w.send(c, method, path, "application/json", []byte(body))
	return strings.TrimSpace(fmt.Sprint(status, " ", code))
}

// cut splits a request such as GET /keys.
func cut(request string) (method, path string, ok bool) { return strings.Cut(request, " ") }

func (w *world) set(name, value string) error {
	w.Helper()
	_, err := w.secrets(w.admin).SetSecret(context.Background(), name, azsecrets.SetSecretParameters{Value: &value}, nil)
	return err
}

// text returns the response to a caller's request.
func (w *world) text(c caller, method, path string) (int, string) {
	w.Helper()
	r := httptest.NewRequest(method, uri+strings.TrimPrefix(path, "/")+"?api-version=7.6", strings.NewReader("{}"))
	r.Header.Set("Authorization", "Bearer "+string(c))
	r.Header.Set("Content-Type", "application/json")
	resp, err := w.Do(r)
	w.must(err)
	text, err := io.ReadAll(resp.Body)
	w.must(err)
	return resp.StatusCode, string(text)
}
