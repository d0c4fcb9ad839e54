// Package armtest serves Resource Manager to the tests of resource providers, without sockets.
package armtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/faults"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	authorizationrp "github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/resources"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// The tenant and the subscriptions of every Manager.
const (
	TenantID       = "11111111-0000-4000-8000-000000000001"
	SubscriptionID = "11111111-0000-4000-8000-000000000002"
	HubID          = "11111111-0000-4000-8000-000000000003"
)

// Location is the location of the groups that Group creates.
const Location = "eastus"

// Object is a JSON object.
type Object = arm.Object

// Manager is Resource Manager with its own store. Its methods fail the test if they cannot do their work.
type Manager struct {
	testing.TB
	Store *store.Store

	config    arm.Config
	providers []arm.Provider
	service   *arm.Service
	owner     *Principal
}

// Principal is a service principal.
type Principal struct {
	ObjectID string

	clientID, secret string
	token            func() string
}

// New serves providers, resource groups, roles and locks until the test ends. Owner returns the owner of the
// subscriptions.
func New(t testing.TB, providers ...arm.Provider) *Manager {
	t.Helper()
	return NewWith(t, arm.Config{}, providers...)
}

// NewWith is New with the Times, Faults and Store of a configuration. It overwrites the other fields. Store defaults to
// a new one.
func NewWith(t testing.TB, config arm.Config, providers ...arm.Provider) *Manager {
	t.Helper()
	always := []arm.Provider{resources.Provider(), authorizationrp.Provider()}
	m := &Manager{TB: t, config: config, providers: append(always, providers...)}
	st := config.Store
	if st == nil {
		var err error
		st, err = store.Open(filepath.Join(t.TempDir(), "azure.db"))
		m.must(err)
	}
	m.Store = st
	m.config.Store, m.config.TenantID, m.config.SubscriptionID, m.config.HubID = st, TenantID, SubscriptionID, HubID
	if m.config.Faults == nil {
		m.config.Faults = faults.New(faults.Plan{})
	}
	var err error
	m.config.Tokens, err = entra.New(st, TenantID, http.DefaultClient)
	m.must(err)
	m.start()
	t.Cleanup(func() {
		m.service.Close()
		_ = st.Close()
	})
	m.owner = m.Principal(authorization.OwnerID, "/subscriptions/"+SubscriptionID)
	m.Grant(m.owner, authorization.OwnerID, "/subscriptions/"+HubID)
	return m
}

func (m *Manager) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

func (m *Manager) start() {
	m.Helper()
	service, err := arm.New(m.config, m.providers...)
	m.must(err)
	m.service = service
}

// Restart closes the service and starts another one with the same store.
func (m *Manager) Restart() {
	m.Helper()
	m.service.Close()
	m.start()
}

// Settle waits until no operation is under way.
func (m *Manager) Settle() {
	m.Helper()
	ctx, cancel := context.WithTimeout(m.Context(), time.Minute)
	defer cancel()
	m.must(m.service.Settle(ctx))
}

// Principal creates a principal and assigns a role at a scope to it. role is the id of the role; if it is empty, the
// principal has none.
func (m *Manager) Principal(role, scope string) *Principal {
	m.Helper()
	p := &Principal{ObjectID: uuid.NewString(), clientID: uuid.NewString(), secret: rand.Text()}
	p.token = sync.OnceValue(func() string { return m.tokenOf(p) })
	app := entra.Application{ClientID: p.clientID, ObjectID: p.ObjectID, Name: "principal"}
	app.SetSecret(p.secret)
	m.must(m.Store.Update(func(tx *store.Tx) error { return entra.PutApplication(tx, app) }))
	if role != "" {
		m.Grant(p, role, scope)
	}
	return p
}

// Grant assigns the role with an id at a scope.
func (m *Manager) Grant(p *Principal, role, scope string) {
	m.Helper()
	name := uuid.NewString()
	m.must(m.Store.Update(func(tx *store.Tx) error {
		return authorization.Put(tx, authorization.Assignment{
			ID: scope + "/providers/Microsoft.Authorization/roleAssignments/" + name, Name: name, Scope: scope, RoleID: role,
			PrincipalID: p.ObjectID, PrincipalType: "ServicePrincipal",
		})
	}))
}

// tokenOf asks Entra ID for a token for Resource Manager.
func (m *Manager) tokenOf(p *Principal) string {
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {p.clientID}, "client_secret": {p.secret},
		"scope": {"https://management.azure.com/.default"},
	}
	at := "https://" + entra.Host + "/" + TenantID + "/oauth2/v2.0/token"
	req := httptest.NewRequest(http.MethodPost, at, strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer := httptest.NewRecorder()
	m.config.Tokens.ServeHTTP(answer, req)
	var given struct {
		Token string `json:"access_token"`
	}
	m.must(json.Unmarshal(answer.Body.Bytes(), &given))
	if given.Token == "" {
		m.must(errors.New("no token: " + answer.Body.String()))
	}
	return given.Token
}

// Owner returns the owner of the subscriptions.
func (m *Manager) Owner() *Principal { return m.owner }

// Send sends a request as a principal, or without a token if p is nil.
func (m *Manager) Send(p *Principal, req *http.Request) *httptest.ResponseRecorder {
	if p != nil {
		req.Header.Set("Authorization", "Bearer "+p.token())
	}
	answer := httptest.NewRecorder()
	m.service.ServeHTTP(answer, req)
	return answer
}

// AskAs sends a request as a principal. body may be nil. It returns the status and the body of the answer.
func (m *Manager) AskAs(p *Principal, method, path string, body any) (int, Object) {
	m.Helper()
	return m.ask(p, method, path, body)
}

// AskWith is Ask with headers: names and values in turn.
func (m *Manager) AskWith(method, path string, body any, headers ...string) (int, Object) {
	m.Helper()
	return m.ask(m.owner, method, path, body, headers...)
}

func (m *Manager) ask(p *Principal, method, path string, body any, headers ...string) (int, Object) {
	m.Helper()
	var content []byte
	if body != nil {
		var err error
		content, err = json.Marshal(body)
		m.must(err)
	}
	req := httptest.NewRequest(method, "https://"+arm.Host+path, bytes.NewReader(content))
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	answer := m.Send(p, req)
	var decoded Object
	_ = json.Unmarshal(answer.Body.Bytes(), &decoded) // fails if the answer has no body
	return answer.Code, decoded
}

// Ask is AskAs as the owner.
func (m *Manager) Ask(method, path string, body any) (int, Object) {
	m.Helper()
	return m.AskAs(m.owner, method, path, body)
}

// Put sends a PUT as the owner, which must succeed. It waits for operations under way and returns the answer.
func (m *Manager) Put(path string, body any) Object {
	m.Helper()
	status, answer := m.Ask(http.MethodPut, path, body)
	if status >= http.StatusBadRequest {
		m.Fatalf("PUT %s: %d %v", path, status, answer)
	}
	m.Settle()
	return answer
}

// Get returns a resource, which must exist.
func (m *Manager) Get(path string) Object {
	m.Helper()
	status, answer := m.Ask(http.MethodGet, path, nil)
	if status != http.StatusOK {
		m.Fatalf("GET %s: %d %v", path, status, answer)
	}
	return answer
}

// Refused reports an error if the owner's request is not answered with a status and an error code.
func (m *Manager) Refused(method, path string, body any, status int, code string) {
	m.Helper()
	m.RefusedTo(m.owner, method, path, body, status, code)
}

// RefusedTo is Refused as another principal.
func (m *Manager) RefusedTo(p *Principal, method, path string, body any, status int, code string) {
	m.Helper()
	if got, answer := m.AskAs(p, method, path, body); got != status || Code(answer) != code {
		m.Errorf("%s %s %v: %d %v, want %d %s", method, path, body, got, answer, status, code)
	}
}

// Code returns the code of the error in an answer, or "".
func Code(answer Object) string {
	fault, _ := answer["error"].(Object)
	return arm.Text(fault, "code")
}

// Group creates a resource group and returns its id.
func (m *Manager) Group(name string) string {
	m.Helper()
	return arm.Text(m.Put(ID("resourceGroups", name)+"?api-version=2022-09-01", Object{"location": Location}), "id")
}

// ID returns the id in the subscription that consists of segments.
func ID(segments ...string) string {
	return "/subscriptions/" + SubscriptionID + "/" + strings.Join(segments, "/")
}
