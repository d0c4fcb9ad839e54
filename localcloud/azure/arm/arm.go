// Package arm is Azure Resource Manager for one tenant: who may call, what the path means, what the body may
// hold, and the resource providers behind it. What a resource type does is one entry of the table in types.go.
package arm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/faults"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Host is where the service answers.
const Host = "management.azure.com"

// audiences are what tokens for Resource Manager are for.
var audiences = []string{"https://management.azure.com", "https://management.core.windows.net"}

// Config is what the service stands on.
type Config struct {
	Store          *store.Store
	Tokens         *entra.Service
	TenantID       string
	SubscriptionID string // of which clients are told
	HubID          string // another subscription of the tenant, for what stacks find there; empty: none
	Clusters       Clusters
	// FederatedWriteTime is how long a write of a federated credential keeps its identity busy; Azure takes seconds.
	FederatedWriteTime time.Duration
	// PoolTime is how long an operation on a node pool takes; Azure takes minutes.
	PoolTime time.Duration
	// Times is how long operations take beyond what they need.
	Times Times
	// Asked is told of each action on Resource Manager that somebody is asked a right for, by object id. Default:
	// nobody is.
	Asked func(objectID, action string)
	// Faults says how long grants are not honoured, and which API versions are retired.
	Faults *faults.Faults
}

// Service answers for the subscriptions of one tenant.
type Service struct {
	Config
	types []resourceType

	background context.Context // of operations that outlive their request
	stop       context.CancelFunc
	running    sync.WaitGroup

	order order

	mu   sync.Mutex
	busy map[string]bool // identities with a credential being written
}

// New makes the service and goes on with what the last run left: clusters that exist are started, operations under way
// are finished.
func New(config Config) (*Service, error) {
	s := &Service{Config: config, busy: map[string]bool{}}
	s.types = s.table()
	s.background, s.stop = context.WithCancel(context.Background())
	if err := s.resume(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close interrupts the operations under way and waits for them. They stay in the store, for the next run.
func (s *Service) Close() {
	s.stop()
	s.running.Wait()
}

// call is one request, authenticated, authorised, and in a transaction.
type call struct {
	*Service
	target
	tx        *store.Tx
	method    string
	query     url.Values
	body      object
	principal entra.Principal
}

// reply is the answer to a call.
type reply struct {
	status int // default 200
	body   any
	header http.Header
	after  func() // runs once the transaction is kept
}

func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := s.handle(w, r)
	if err != nil {
		writeError(w, err)
		return
	}
	for name, values := range answer.header {
		w.Header()[name] = values
	}
	if answer.status == 0 {
		answer.status = http.StatusOK
	}
	if answer.body == nil {
		w.WriteHeader(answer.status)
		return
	}
	writeJSON(w, answer.status, answer.body)
}

func (s *Service) handle(w http.ResponseWriter, r *http.Request) (reply, error) {
	t := parse(r.Method, r.URL.Path)
	if r.Method == http.MethodGet {
		s.order.read(t.path)
	} else {
		defer s.order.write(t.path)()
	}
	principal, err := s.authenticate(w, r)
	if err != nil {
		return reply{}, err
	}
	return s.handleAs(principal, w, r)
}

// handleAs answers a request of somebody who is known.
func (s *Service) handleAs(principal entra.Principal, w http.ResponseWriter, r *http.Request) (reply, error) {
	t := parse(r.Method, r.URL.Path)
	// Without case, two letters that are not ASCII are s and k to some comparisons of text, and not to others.
	if strings.ContainsAny(t.path, "\u017f\u212a") {
		return reply{}, badRequest("InvalidRequestUri", "The path has characters that no name has.")
	}
	kind, err := s.find(t, r.URL.Query().Get("api-version"))
	if err != nil {
		return reply{}, err
	}
	op, err := kind.operation(t, r.Method)
	if err != nil {
		return reply{}, err
	}
	body, err := readBody(w, r, op.model, kind.partial)
	if err != nil {
		return reply{}, err
	}
	if op.exclusive != nil {
		release, err := op.exclusive(s, t)
		if err != nil {
			return reply{}, err
		}
		defer release(r.Context())
	}
	run := s.Store.Update
	if op.readOnly {
		run = s.Store.View
	}
	var answer reply
	err = run(func(tx *store.Tx) (err error) {
		c := &call{
			Service: s, target: t, tx: tx, method: r.Method, query: r.URL.Query(), body: body, principal: principal,
		}
		if err := c.authorize(op.permission); err != nil {
			return err
		}
		if err := c.checkPlace(kind); err != nil {
			return err
		}
		if err := c.checkLocks(kind); err != nil {
			return err
		}
		if err := kind.checkTags(body); err != nil {
			return err
		}
		answer, err = op.do(c)
		return err
	})
	if err == nil && answer.after != nil {
		answer.after()
	} else if err == nil {
		wait(r.Context(), s.Times.of(kind.name, doingOf(r.Method, answer.status)))
	}
	return answer, err
}

func (s *Service) authenticate(w http.ResponseWriter, r *http.Request) (entra.Principal, error) {
	unauthorized := func(code, format string, args ...any) (entra.Principal, error) {
		err := refuse(http.StatusUnauthorized, code, format, args...)
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(
			`Bearer authorization_uri="https://login.windows.net/%s", error="invalid_token", error_description="%s"`,
			s.TenantID, err.Message))
		return entra.Principal{}, err
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if token == "" {
		return unauthorized("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
	}
	if !strings.EqualFold(scheme, "Bearer") {
		return unauthorized("AuthenticationFailedInvalidHeader",
			"Authentication failed. The 'Authorization' header is provided in an invalid format.")
	}
	principal, err := s.Tokens.Verify(token, audiences...)
	var fault *entra.TokenError
	switch {
	case err == nil:
		return principal, nil
	case errors.As(err, &fault) && fault.Fault == entra.Expired:
		return unauthorized("ExpiredAuthenticationToken", "The access token has expired.")
	case errors.As(err, &fault) && fault.Fault == entra.WrongAudience:
		return unauthorized("InvalidAuthenticationTokenAudience", "The access token has been obtained for wrong audience or "+
			"resource '%s'. It should exactly match with one of the allowed audiences '%s'.",
			fault.Audience, strings.Join(audiences, "','"))
	}
	return unauthorized("InvalidAuthenticationToken", "The access token is invalid.")
}

// authorize asks for a role with the permission at the resource, or above it.
func (c *call) authorize(permission string) error {
	if permission == "" {
		return nil
	}
	scope := c.path
	if c.collection || c.action != "" {
		scope = cut(scope, 1)
		if len(c.names) == 0 {
			scope = c.scope
		}
	}
	about, err := c.about(permission)
	if err != nil {
		return err
	}
	allowed, err := c.allowedAbout(c.principal.ObjectID, scope, about)
	if err != nil || allowed {
		return err
	}
	return refuse(http.StatusForbidden, "AuthorizationFailed", "The client '%s' with object id '%s' does not have authorization to "+
		"perform action '%s' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your "+
		"credentials.", c.principal.ClientID, c.principal.ObjectID, permission, scope)
}

// allowed says whether somebody may do an action at a scope.
func (c *call) allowed(objectID, action, scope string) (bool, error) {
	return c.allowedAbout(objectID, scope, authorization.About{Action: action})
}

func (c *call) allowedAbout(objectID, scope string, about authorization.About) (bool, error) {
	if c.Asked != nil {
		c.Asked(objectID, about.Action)
	}
	return authorization.AllowedAbout(c.tx, objectID, scope, authorization.Control, about)
}

// checkPlace finds the subscription, the resource group and, of a nested resource, the parent.
func (c *call) checkPlace(kind *resourceType) error {
	if c.subscription != "" && !strings.EqualFold(c.subscription, c.subscriptionID()) {
		return refuse(http.StatusNotFound, "SubscriptionNotFound", "The subscription '%s' could not be found.", c.subscription)
	}
	if !kind.belongsAt(c.target) {
		return refuse(http.StatusNotFound, "InvalidResourceType", "The resource type '%s' could not be found at the scope '%s'.", kind.name, c.scope)
	}
	if c.subscription == "" || c.group == "" || kind.name == groupsType {
		return nil
	}
	group, ok, err := load(c.tx, c.groupPath())
	if err != nil {
		return err
	}
	if !ok {
		return refuse(http.StatusNotFound, "ResourceGroupNotFound", "Resource group '%s' could not be found.", c.group)
	}
	if c.method == http.MethodPut && provisioningState(group) == deleting {
		return conflict("ResourceGroupBeingDeleted", "The resource group '%s' is in deprovisioning state and cannot perform this "+
			"operation.", c.group)
	}
	if !kind.nested() {
		return nil
	}
	if _, ok, err := load(c.tx, c.top()); err != nil || ok {
		return err
	}
	return refuse(http.StatusNotFound, "ParentResourceNotFound", "Failed to perform '%s' on resource(s) of type '%s', because the "+
		"parent resource '%s' could not be found.", strings.ToLower(c.method), kind.short(), strings.TrimPrefix(c.top(), "/"))
}

// readBody reads the request's body and holds it against the model of the operation.
func readBody(w http.ResponseWriter, r *http.Request, model func() any, partial bool) (object, error) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<20))
	if err != nil {
		return nil, badRequest("InvalidRequestContent", "The request content could not be read.")
	}
	if len(data) == 0 {
		if model != nil && r.Method != http.MethodPost {
			return nil, badRequest("MissingRequestBody", "The request body is missing.")
		}
		return object{}, nil
	}
	var body object
	if err := json.Unmarshal(data, &body); err != nil {
		return nil, badRequest("InvalidRequestContent", "The request content was invalid and could not be deserialized: it is not "+
			"a JSON object.")
	}
	if model != nil {
		if err := checkBody(model(), body, partial); err != nil {
			return nil, err
		}
	}
	return clone(body), nil
}

// find looks up the type that a path names, and its API version.
func (s *Service) find(t target, version string) (*resourceType, error) {
	i := slices.IndexFunc(s.types, func(r resourceType) bool { return strings.EqualFold(r.name, t.kind) })
	if i < 0 {
		return nil, unknownType(s.types, t, version)
	}
	kind := &s.types[i]
	if version == "" {
		return nil, badRequest("MissingApiVersionParameter",
			"The api-version query parameter (?api-version=) is required for all requests.")
	}
	versions := s.supported(kind)
	if slices.Contains(versions, strings.ToLower(version)) {
		return kind, nil
	}
	supported := strings.Join(versions, ", ")
	if strings.HasPrefix(kind.name, "Microsoft.Resources/") {
		return nil, badRequest("InvalidApiVersionParameter", "The api-version '%s' is invalid. The supported versions are '%s'.",
			version, supported)
	}
	return nil, badRequest("NoRegisteredProviderFound", "No registered resource provider found for API version '%s' for type '%s'. "+
		"The supported api-versions are '%s'.", version, kind.short(), supported)
}

// supported are the API versions of a type, without those that the plan of faults has retired.
func (s *Service) supported(kind *resourceType) []string {
	namespace, _, _ := strings.Cut(kind.name, "/")
	return slices.DeleteFunc(slices.Clone(kind.versions), func(version string) bool {
		return s.Faults.Retired(namespace, version)
	})
}

// unknownType refuses a type as Azure does where Azure does not have it either, and says so where Azure might.
func unknownType(types []resourceType, t target, version string) error {
	namespace, short, _ := strings.Cut(t.kind, "/")
	known := slices.ContainsFunc(types, func(r resourceType) bool {
		return strings.HasPrefix(strings.ToLower(r.name), strings.ToLower(namespace)+"/")
	})
	switch {
	case !known && !strings.HasPrefix(strings.ToLower(namespace), "microsoft."):
		return refuse(http.StatusNotFound, "InvalidResourceNamespace", "The resource namespace '%s' is invalid.", namespace)
	case known && !slices.ContainsFunc(elsewhere, func(name string) bool {
		return strings.EqualFold(name, t.kind) || strings.HasPrefix(strings.ToLower(t.kind), strings.ToLower(name)+"/")
	}) && namespace != "Microsoft.Resources":
		return refuse(http.StatusNotFound, "InvalidResourceType", "The resource type '%s' could not be found in the namespace '%s' "+
			"for api version '%s'.", short, namespace, version)
	}
	return notImplemented("%s %s", t.kind, t.path)
}
