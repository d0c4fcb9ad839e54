package resourcemanager

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Provider is a resource provider: it serves the types of a namespace.
type Provider struct {
	// Types are the resource types that the provider serves.
	Types []Type
	// Elsewhere lists types of Azure that neither the provider nor package specs has, or a namespace that may have more
	// types. Requests for them are not implemented, as are requests for types of package specs that no provider serves.
	// Other types are refused as Azure refuses unknown ones.
	Elsewhere []string
	// Scopes reports, by type, whether a scope exists that is not a resource of Resource Manager. Roles can be assigned
	// at these scopes.
	Scopes map[string]func(tx *store.Tx, at Target) (bool, error)
	// Locks returns all locks. Nil if the provider has none.
	Locks func(tx *store.Tx) ([]Lock, error)
	// Resume restarts what was running when the store was closed, except operations. underWay reports whether an
	// operation on the resource with an id resumes. Nil if there is nothing to restart.
	Resume func(s *Service, tx *store.Tx, underWay func(id string) bool) error
}

// Type is a resource type. Methods that are nil are answered with status 405.
type Type struct {
	// Name is Azure's name, such as Microsoft.KeyVault/vaults/secrets.
	Name string
	// Versions lists API versions that are served besides those that package specs describes.
	Versions []string
	// Valid matches the names that the type allows, and Rule describes them. Defaults to any name.
	Valid *regexp.Regexp
	Rule  string
	// Place is where resources of the type are. Defaults to InGroup.
	Place Place
	// CreateOnly implements "If-None-Match: *", with which a PUT fails if the resource exists. The header is not
	// implemented for other types.
	CreateOnly bool
	// Public resources have a public endpoint. Their names cannot have reserved words.
	Public bool
	// MaxTags is the maximum number of tags; with -1, the provider checks the tags. Defaults to 50.
	MaxTags int

	// Get, List, Head, Put, Patch and Delete answer the HTTP methods; List answers GET of a collection.
	Get, List, Head, Put, Patch, Delete func(*Call) (Reply, error)
	// Actions answer POST.
	Actions []Action
	// PutModel and PatchModel return new models of the bodies. Partial models are not Azure's official ones and lack
	// properties that Azure has.
	PutModel, PatchModel func() any
	Partial              bool
	// InvalidValue is the error code for bodies that violate the description of the type. Defaults to
	// InvalidRequestContent, which values of a wrong JSON type always get.
	InvalidValue string
	// Ignored lists the paths of properties of older API versions that Azure accepts and does not act on. Versions whose
	// description does not have the property refuse it.
	Ignored []string
	// ListForAll lets List answer callers without a role at the scope. List shows only what they have a role in.
	ListForAll bool
	// Unlocked types ignore locks.
	Unlocked bool
	// About returns the attributes of a request that conditions of role assignments test. Nil if there is only the
	// action.
	About func(c *Call, action string) (authorization.About, error)
	// Exclusive locks the resource during a PUT or DELETE, or returns an error if it is locked. Nil if there is no need.
	Exclusive func(t Target) (Release, error)

	// Finish does the work of an operation that creates or updates a resource. Remove does the work of an operation that
	// deletes one, and is also called when the resource group is deleted. Nil if there is no work, only time to pass.
	Finish, Remove func(ctx context.Context, s *Service, op Operation) error
	// Ended is called after an operation on a resource. May be nil.
	Ended func(tx *store.Tx, res Object) error
	// Poll returns the headers with which clients poll an operation. Nil if they poll the resource.
	Poll func(s *Service, op Operation) http.Header
	// Deleted cleans up after the deletion of a resource. May be nil.
	Deleted func(s *Service, tx *store.Tx, res Object) error
	// Uses returns the ids of resources that this one uses and that cannot be deleted because of that. May be nil.
	Uses func(res Object) []string
	// LogCategories lists the type's log categories in Azure Monitor. Nil if diagnostic settings of the type are not
	// implemented.
	LogCategories []string
	// PrivateLinkGroups lists the group ids for private endpoints. Nil if the type has none.
	PrivateLinkGroups []string
	// Times is the duration of operations in the public cloud, by what they do: Creating, Updating or Deleting. These
	// are round numbers between measurements that differ by region and day. They serve to compare orders of the same
	// operations and promise nothing.
	Times map[string]time.Duration
}

// Action is a POST action of a resource.
type Action struct {
	Name       string
	Permission string // Defaults to <type>/<name>/action.
	ReadOnly   bool
	Model      func() any
	Do         func(*Call) (Reply, error)
}

// Release unlocks a resource after the write has taken its time.
type Release func(ctx context.Context)

// Place is where resources of a type are.
type Place int

const (
	// InGroup means in a resource group.
	InGroup Place = iota
	// InSubscription means in a subscription, outside its resource groups.
	InSubscription
	// AtAnyScope means at any scope.
	AtAnyScope
	// Itself means a scope that contains other resources: the tenant, a subscription or a resource group.
	Itself
)

// Lock is a management lock. It prevents deletion at its scope and below, and changes too if ReadOnly.
type Lock struct {
	Scope    string
	ReadOnly bool
}

// operation is what a request does to a resource of a type.
type operation struct {
	do         func(*Call) (Reply, error)
	permission string
	readOnly   bool
	model      func() any
	exclusive  func(Target) (Release, error)
}

// short returns the name of the type without its namespace.
func (r *Type) short() string {
	_, short, _ := strings.Cut(r.Name, "/")
	return short
}

// namespace returns the namespace of the type.
func (r *Type) namespace() string {
	namespace, _, _ := strings.Cut(r.Name, "/")
	return namespace
}

// nested reports whether resources of the type have a parent resource.
func (r *Type) nested() bool { return r.Place == InGroup && strings.Count(r.Name, "/") > 1 }

// belongsAt reports whether resources of the type can be at the scope of a path. Roles and locks are checked at the
// path as sent, while most resources are stored by their group and names. A path through another resource would bypass
// both.
func (r *Type) belongsAt(t Target) bool {
	inSubscription := t.Subscription != "" && fold.Equal(t.Scope, "/subscriptions/"+t.Subscription)
	switch r.Place {
	case AtAnyScope:
		return true
	case Itself:
		return !strings.Contains(fold.Lower(t.Path), "/providers/")
	case InSubscription:
		return inSubscription
	}
	if t.Collection && len(t.Names) == 0 && inSubscription {
		return true // the resources of all groups
	}
	return t.Group != "" && fold.Equal(t.Scope, t.GroupPath())
}

// operation returns what a request does. It refuses a name that the type does not allow.
func (r *Type) operation(t Target, method string) (operation, error) {
	var op operation
	switch {
	case t.action != "":
		for _, a := range r.Actions {
			if fold.Equal(a.Name, t.action) {
				op = operation{do: a.Do, permission: a.Permission, readOnly: a.ReadOnly, model: a.Model}
				if op.permission == "" {
					op.permission = r.Name + "/" + a.Name + "/action"
				}
			}
		}
		if op.do == nil {
			return op, NotImplemented("action %s of %s", t.action, r.Name)
		}
	case t.Collection && method == http.MethodGet:
		op = operation{do: r.List, permission: r.Name + "/read", readOnly: true}
		if r.ListForAll {
			op.permission = ""
		}
	case t.Collection, len(t.Names) == 0: // not a resource, such as a namespace in a group
	case method == http.MethodGet:
		op = operation{do: r.Get, permission: r.Name + "/read", readOnly: true}
	case method == http.MethodHead:
		op = operation{do: r.Head, permission: r.Name + "/read", readOnly: true}
	case method == http.MethodPut:
		op = operation{do: r.Put, permission: r.Name + "/write", model: r.PutModel, exclusive: r.Exclusive}
		if r.Put != nil && r.Valid != nil && !r.Valid.MatchString(t.Name()) {
			return op, BadRequest("InvalidResourceName",
				"Resource name %s is invalid. The name must be %s.", t.Name(), r.Rule)
		}
		if err := r.checkReserved(t.Name()); err != nil {
			return op, err
		}
	case method == http.MethodPatch:
		op = operation{do: r.Patch, permission: r.Name + "/write", model: r.PatchModel}
	case method == http.MethodDelete:
		op = operation{do: r.Delete, permission: r.Name + "/delete", exclusive: r.Exclusive}
	}
	if op.do == nil {
		return op, Refuse(http.StatusMethodNotAllowed, "HttpMethodNotSupported",
			"The HTTP method '%s' is not supported for resource type '%s'.", method, r.Name)
	}
	return op, nil
}
