// Package resourcemanager implements Azure Resource Manager for one tenant. It authenticates and authorizes requests,
// resolves paths, checks bodies and locks, orders reads after writes, and runs asynchronous operations. It has no
// resource types of its own: resource providers register theirs.
package resourcemanager

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/activity"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/faults"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/specs"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Host is the host name of Resource Manager.
const Host = "management.azure.com"

// audiences lists the accepted audiences of tokens.
var audiences = []string{"https://management.azure.com", "https://management.core.windows.net"}

// Config configures a Service.
type Config struct {
	Store          *store.Store
	Tokens         *entra.Service
	TenantID       string
	SubscriptionID string // the subscription that clients use
	HubID          string // another subscription of the tenant, for shared resources; empty if there is none
	// Times is the least duration of operations. Defaults to Instant.
	Times Times
	// Asked is called for each permission check, with the principal's object id and the action. May be nil.
	Asked func(objectID, action string)
	// Faults delays grants and retires API versions.
	Faults *faults.Faults
}

// Service serves the subscriptions of one tenant.
type Service struct {
	Config
	types     []Type
	providers []Provider

	background context.Context // ends with the service; operations run in it
	stop       context.CancelFunc
	running    sync.WaitGroup

	order order
}

// New returns a service of resource providers. It resumes operations that the last run left, and the providers resume
// what they had running.
func New(config Config, providers ...Provider) (*Service, error) {
	s := &Service{Config: config, providers: providers}
	for _, provider := range providers {
		s.types = append(s.types, provider.Types...)
	}
	for i, kind := range s.types {
		all := append(specs.Versions(kind.Name), kind.Versions...)
		slices.Sort(all)
		s.types[i].Versions = slices.Compact(all)
	}
	s.background, s.stop = context.WithCancel(context.Background())
	if err := s.resume(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close interrupts the operations under way and waits for them to return. They stay in the store, and New resumes them.
func (s *Service) Close() {
	s.stop()
	s.running.Wait()
}

// Call is an authenticated and authorized request in a transaction.
type Call struct {
	*Service
	Target
	kindOf    *Type
	Tx        *store.Tx
	Method    string
	Query     url.Values
	Body      Object
	Principal entra.Principal
	entry     *activity.Entry
}

// Reply is the answer to a call.
type Reply struct {
	Status    int // Defaults to 200.
	Body      any
	header    http.Header
	operation *Operation // starts after the commit of the transaction
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
	if answer.Status == 0 {
		answer.Status = http.StatusOK
	}
	if answer.Body == nil {
		w.WriteHeader(answer.Status)
		return
	}
	writeJSON(w, answer.Status, answer.Body)
}

func (s *Service) handle(w http.ResponseWriter, r *http.Request) (Reply, error) {
	t := Parse(r.Method, r.URL.Path)
	if r.Method == http.MethodGet {
		s.order.read(t.Path)
	} else {
		defer s.order.write(t.Path)()
	}
	principal, err := s.authenticate(w, r)
	if err != nil {
		activity.From(r.Context()).Unauthenticated(r)
		return Reply{}, err
	}
	activity.From(r.Context()).CalledBy(principal.Caller)
	return s.handleAs(principal, w, r)
}

// handleAs answers a request of an authenticated principal.
func (s *Service) handleAs(principal entra.Principal, w http.ResponseWriter, r *http.Request) (Reply, error) {
	t := Parse(r.Method, r.URL.Path)
	// Packages that compare with package strings would take these letters for i, s and k.
	if fold.Foreign(t.Path) {
		return Reply{}, BadRequest("InvalidRequestUri", "The path has characters that no name has.")
	}
	if err := checkPath(r.URL); err != nil {
		return Reply{}, err
	}
	kind, err := s.find(t, r.URL.Query().Get("api-version"))
	if err != nil {
		return Reply{}, err
	}
	op, err := kind.operation(t, r.Method)
	if err != nil {
		return Reply{}, err
	}
	if err := kind.checkPreconditions(r); err != nil {
		return Reply{}, err
	}
	body, err := readBody(w, r, op.model != nil)
	if err != nil {
		return Reply{}, err
	}
	if op.exclusive != nil {
		release, err := op.exclusive(t)
		if err != nil {
			return Reply{}, err
		}
		defer release(r.Context())
	}
	run := s.Store.Update
	if op.readOnly {
		run = s.Store.View
	}
	var answer Reply
	err = run(func(tx *store.Tx) (err error) {
		c := &Call{
			Service:   s,
			Target:    t,
			kindOf:    kind,
			Tx:        tx,
			Method:    r.Method,
			Query:     r.URL.Query(),
			Body:      body,
			Principal: principal,
			entry:     activity.From(r.Context()),
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
		if err := c.checkBody(op.model, r.URL.Query().Get("api-version")); err != nil {
			return err
		}
		if err := kind.checkTags(c.Body); err != nil {
			return err
		}
		if err := c.checkNew(r.Header.Get("If-None-Match")); err != nil {
			return err
		}
		answer, err = op.do(c)
		return err
	})
	switch {
	case err != nil:
	case answer.operation != nil:
		s.run(*answer.operation)
		if kind.Poll != nil {
			answer.header = kind.Poll(s, *answer.operation)
		}
	default:
		Wait(r.Context(), s.Times.Of(kind.Name, doingOf(r.Method, answer.Status)))
	}
	return answer, err
}

func (s *Service) authenticate(w http.ResponseWriter, r *http.Request) (entra.Principal, error) {
	unauthorized := func(code, format string, args ...any) (entra.Principal, error) {
		err := Refuse(http.StatusUnauthorized, code, format, args...)
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(
			`Bearer authorization_uri="https://login.windows.net/%s", error="invalid_token", error_description="%s"`,
			s.TenantID, err.Message))
		return entra.Principal{}, err
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if token == "" {
		return unauthorized("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
	}
	if !fold.Equal(scheme, "Bearer") {
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
		return unauthorized("InvalidAuthenticationTokenAudience", "The access token has been obtained for wrong "+
			"audience or resource '%s'. It should exactly match with one of the allowed audiences '%s'.",
			fault.Audience, strings.Join(audiences, "','"))
	}
	return unauthorized("InvalidAuthenticationToken", "The access token is invalid.")
}

// authorize checks that the caller has a permission at the resource. A collection or action is checked at the resource
// that it belongs to.
func (c *Call) authorize(permission string) error {
	if permission == "" {
		c.entry.Decided(authorization.Decision{Allowed: true, Because: "no role needed"})
		return nil
	}
	scope := c.Path
	if c.Collection || c.action != "" {
		scope = Cut(scope, 1)
		if len(c.Names) == 0 {
			scope = c.Scope
		}
	}
	about := authorization.About{Action: permission}
	if c.kindOf.About != nil {
		var err error
		if about, err = c.kindOf.About(c, permission); err != nil {
			return err
		}
	}
	decision, err := c.decide(c.Principal.ObjectID, scope, about)
	if err != nil {
		return err
	}
	c.entry.Decided(decision)
	if decision.Allowed {
		return nil
	}
	return Refuse(http.StatusForbidden, "AuthorizationFailed", "The client '%s' with object id '%s' does not have "+
		"authorization to perform action '%s' over scope '%s' or the scope is invalid. If access was recently granted, "+
		"please refresh your credentials.", c.Principal.ClientID, c.Principal.ObjectID, permission, scope)
}

// Allowed reports whether a principal has a role at a scope that allows an action. If not, the request must be refused.
func (c *Call) Allowed(objectID, action, scope string) (bool, error) {
	decision, err := c.decide(objectID, scope, authorization.About{Action: action})
	if err == nil && !decision.Allowed {
		c.entry.Decided(decision)
	}
	return decision.Allowed, err
}

// decide asks whether somebody may do an action at a scope. Assignments of groups do not count.
func (c *Call) decide(objectID, scope string, about authorization.About) (authorization.Decision, error) {
	if c.Asked != nil {
		c.Asked(objectID, about.Action)
	}
	decision, err := authorization.Decide(c.Tx, objectID, scope, authorization.Control, about)
	switch {
	case err != nil || decision.Allowed:
		return decision, err
	case objectID == c.Principal.ObjectID:
		return decision, decision.OfGroups(c.Tx, c.Principal.Groups, authorization.Control)
	}
	other, err := entra.CallerOf(c.Tx, objectID) // such as a cluster's own identity
	decision.Missing = strings.Replace(decision.Missing, "the caller", cmp.Or(other.Name, objectID), 1)
	return decision, err
}

// checkPlace checks that the subscription, the resource group and the parent of a nested resource exist.
func (c *Call) checkPlace(kind *Type) error {
	if c.Subscription != "" && !fold.Equal(c.Subscription, c.CanonicalSubscription()) {
		return Refuse(http.StatusNotFound, "SubscriptionNotFound", "The subscription '%s' could not be found.",
			c.Subscription)
	}
	if !kind.belongsAt(c.Target) {
		return Refuse(http.StatusNotFound, "InvalidResourceType", "The resource type '%s' could not be found at the scope "+
			"'%s'.", kind.Name, c.Scope)
	}
	if c.Subscription == "" || c.Group == "" || fold.Equal(c.Path, c.GroupPath()) {
		return nil
	}
	group, ok, err := Load(c.Tx, c.GroupPath())
	if err != nil {
		return err
	}
	if !ok {
		return Refuse(http.StatusNotFound, "ResourceGroupNotFound", "Resource group '%s' could not be found.", c.Group)
	}
	if c.Method == http.MethodPut && ProvisioningState(group) == Deleting {
		return Conflict("ResourceGroupBeingDeleted",
			"The resource group '%s' is in deprovisioning state and cannot perform this operation.", c.Group)
	}
	if !kind.nested() {
		return nil
	}
	if _, ok, err := Load(c.Tx, c.Top()); err != nil || ok {
		return err
	}
	return Refuse(http.StatusNotFound, "ParentResourceNotFound", "Failed to perform '%s' on resource(s) of type '%s', "+
		"because the parent resource '%s' could not be found.",
		strings.ToLower(c.Method), kind.short(), strings.TrimPrefix(c.Top(), "/"))
}

// readBody reads the body of a request. A PUT or PATCH that needs a body must have one.
func readBody(w http.ResponseWriter, r *http.Request, needed bool) (Object, error) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, Refuse(http.StatusRequestEntityTooLarge, "RequestContentTooLarge",
			"The request content size exceeds the maximum size of 4 MB.")
	case err != nil:
		return nil, BadRequest("InvalidRequestContent", "The request content could not be read.")
	}
	if len(data) == 0 {
		if needed && r.Method != http.MethodPost {
			return nil, BadRequest("MissingRequestBody", "The request body is missing.")
		}
		return Object{}, nil
	}
	if err := checkContent(r.Header.Get("Content-Type"), data); err != nil {
		return nil, err
	}
	var body Object
	if err := json.Unmarshal(data, &body); err != nil || body == nil {
		return nil, invalidContent("it is not a JSON object")
	}
	if err := errors.Join(checkDuplicates(data), checkSpelling(body)); err != nil {
		return nil, err
	}
	return body, nil
}

// find returns the type that a path names. It returns an error if the type or its API version is not served.
func (s *Service) find(t Target, version string) (*Type, error) {
	kind := s.typeNamed(t.Kind)
	if kind == nil {
		return nil, s.unknownType(t, version)
	}
	if version == "" {
		return nil, BadRequest("MissingApiVersionParameter",
			"The api-version query parameter (?api-version=) is required for all requests.")
	}
	versions := s.supported(kind)
	supported := strings.Join(versions, ", ")
	if slices.Contains(versions, fold.Lower(version)) {
		return kind, nil
	}
	if mayExist(kind, version) {
		return nil, NotImplemented("the API version '%s' of %s. Supported are '%s'", version, kind.Name, supported)
	}
	if strings.HasPrefix(kind.Name, "Microsoft.Resources/") {
		return nil, BadRequest("InvalidApiVersionParameter", "The api-version '%s' is invalid. The supported versions are "+
			"'%s'.", version, supported)
	}
	return nil, BadRequest("NoRegisteredProviderFound", "No registered resource provider found for API version '%s' for "+
		"type '%s'. The supported api-versions are '%s'.", version, kind.short(), supported)
}

// apiVersion matches API versions.
var apiVersion = regexp.MustCompile(`^(\d{4}-\d{2}-\d{2})(-preview)?$`)

// mayExist reports whether Azure may have an API version of a type that is not served here. All versions up to the
// newest described one are known, and so are retired ones. Dates in the future do not exist.
func mayExist(kind *Type, version string) bool {
	version = fold.Lower(version)
	described := specs.Versions(kind.Name)
	date := apiVersion.FindStringSubmatch(version)
	if date == nil || len(described) == 0 || slices.Contains(kind.Versions, version) {
		return false
	}
	return version > described[len(described)-1] && date[1] <= time.Now().UTC().Format(time.DateOnly)
}

// supported returns the API versions of a type without those that the fault plan retires.
func (s *Service) supported(kind *Type) []string {
	return slices.DeleteFunc(slices.Clone(kind.Versions), func(version string) bool {
		return s.Faults.Retired(kind.namespace(), version)
	})
}

// unknownType returns Azure's error for a type that Azure does not have, and NotImplemented for one that it may have.
func (s *Service) unknownType(t Target, version string) error {
	namespace, short, _ := strings.Cut(t.Kind, "/")
	within := func(name string) bool {
		return fold.Equal(name, t.Kind) || strings.HasPrefix(fold.Lower(t.Kind), fold.Lower(name)+"/")
	}
	known := slices.ContainsFunc(s.types, func(r Type) bool { return fold.Equal(r.namespace(), namespace) })
	elsewhere := specs.Exists(t.Kind) ||
		slices.ContainsFunc(s.providers, func(p Provider) bool { return slices.ContainsFunc(p.Elsewhere, within) })
	switch {
	case !known && !strings.HasPrefix(fold.Lower(namespace), "microsoft."):
		return Refuse(http.StatusNotFound, "InvalidResourceNamespace", "The resource namespace '%s' is invalid.", namespace)
	case known && !elsewhere:
		return Refuse(http.StatusNotFound, "InvalidResourceType", "The resource type '%s' could not be found in the "+
			"namespace '%s' for api version '%s'.", short, namespace, version)
	}
	return NotImplemented("%s %s", t.Kind, t.Path)
}

// typeNamed returns the type with a name, ignoring case, or nil.
func (s *Service) typeNamed(name string) *Type {
	i := slices.IndexFunc(s.types, func(r Type) bool { return fold.Equal(r.Name, name) })
	if i < 0 {
		return nil
	}
	return &s.types[i]
}

// TypeOf returns the type of the resource with an id, or nil if no provider serves it.
func (s *Service) TypeOf(id string) *Type { return s.typeNamed(Parse(http.MethodGet, id).Kind) }

// Types returns the served types.
func (s *Service) Types() []Type { return s.types }

// APIVersions returns the served API versions of a type.
func (s *Service) APIVersions(kind *Type) []string { return s.supported(kind) }

// Context returns a context that ends when the service is closed.
func (s *Service) Context() context.Context { return s.background }
