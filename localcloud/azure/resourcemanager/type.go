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

// Provider is a resource provider: the types of a namespace, and what else Resource Manager has to ask it.
type Provider struct {
	// Types are those that it serves.
	Types []Type
	// Elsewhere are the types that Azure has, package specs does not know and the provider has not, or the namespace where
	// it may have any: they are not implemented here, as those that package specs knows. Of others Azure's own refusal is
	// given.
	Elsewhere []string
	// Scopes find what roles can be assigned at although it is no resource, by type.
	Scopes map[string]func(tx *store.Tx, at Target) (bool, error)
	// Locks returns all locks. Nil: the provider knows of none.
	Locks func(tx *store.Tx) ([]Lock, error)
	// Resume takes up what was running when the store was closed, apart from operations. underWay reports whether an
	// operation on the resource with an id is taken up. Nil: nothing was.
	Resume func(s *Service, tx *store.Tx, underWay func(id string) bool) error
}

// Type is a resource type, with what it does. An operation that is nil is answered with 405.
type Type struct {
	// Name is Azure's, such as Microsoft.KeyVault/vaults/secrets.
	Name string
	// Versions are the API versions that are understood besides those that package specs has of the type.
	Versions []string
	// Valid matches the names that the type allows, and Rule says the same in words. Defaults to any.
	Valid *regexp.Regexp
	Rule  string
	// Place is where resources of the type are. Defaults to InGroup.
	Place Place
	// CreateOnly has a PUT with the header "If-None-Match: *" write only what is not there. Elsewhere the header is not
	// implemented.
	CreateOnly bool
	// Public is set of resources with a name on the internet, which cannot have reserved words in it.
	Public bool
	// MaxTags is how many tags a resource can have; -1 leaves that to the provider. Defaults to 50.
	MaxTags int

	// Get, List, Head, Put, Patch and Delete answer the methods of HTTP; List answers GET without a name.
	Get, List, Head, Put, Patch, Delete func(*Call) (Reply, error)
	// Actions are what can be POSTed.
	Actions []Action
	// PutModel and PatchModel make the models of the bodies. Partial says that they are not the official ones, and know
	// less.
	PutModel, PatchModel func() any
	Partial              bool
	// InvalidValue is the code of refusals of what the description of the type does not allow, but for values of another
	// JSON type. Defaults to InvalidRequestContent, as those have.
	InvalidValue string
	// Ignored lists the paths of properties of older API versions that Azure accepts and does not act on. Versions whose
	// description does not have the property refuse it.
	Ignored []string
	// ListForAll has List answer everybody, each with what he has a role in.
	ListForAll bool
	// Unlocked is set where locks do not count.
	Unlocked bool
	// About says more than the action to the conditions of role assignments. Nil: there is nothing more to say.
	About func(c *Call, action string) (authorization.About, error)
	// Exclusive keeps others out while a PUT or DELETE is under way. Nil: nobody is.
	Exclusive func(t Target) (Release, error)

	// Finish does the work of an operation that creates or updates, and Remove that of one that deletes, which is also
	// asked where a resource's group is deleted. Nil: there is none to do, but for the time that it takes.
	Finish, Remove func(ctx context.Context, s *Service, op Operation) error
	// Ended is told that an operation on a resource has ended. Nil: nobody is.
	Ended func(tx *store.Tx, res Object) error
	// Poll is where clients are told to ask for an operation. Nil: they ask for the resource.
	Poll func(s *Service, op Operation) http.Header
	// Deleted cleans up after a resource that is deleted. Nil: nothing is left of it.
	Deleted func(s *Service, tx *store.Tx, res Object) error
	// Uses returns the ids of resources that cannot be deleted because of this one. Nil: there are none.
	Uses func(res Object) []string
	// LogCategories are the logs that Azure Monitor has of the type. Nil: diagnostic settings are not implemented for it.
	LogCategories []string
	// PrivateLinkGroups are the group ids that private endpoints connect to. Nil: there are none.
	PrivateLinkGroups []string
	// Times are how long operations take in the public cloud, by what they do: Creating, Updating or Deleting. They are
	// round numbers between measurements that differ by region and day, and good for comparing orders of the same
	// operations with each other; they promise nothing.
	Times map[string]time.Duration
}

// Action is a POST.
type Action struct {
	Name       string
	Permission string // Defaults to <type>/<name>/action.
	ReadOnly   bool
	Model      func() any
	Do         func(*Call) (Reply, error)
}

// Release lets others in again, not before the write has taken its time.
type Release func(ctx context.Context)

// Place is where resources of a type are.
type Place int

const (
	// InGroup is in a resource group.
	InGroup Place = iota
	// InSubscription is in a subscription, and in none of its groups.
	InSubscription
	// AtAnyScope is at any scope.
	AtAnyScope
	// Itself is what other resources are in: the tenant, subscriptions and resource groups.
	Itself
)

// Lock is what forbids to delete, or to change, what is at its scope or below it.
type Lock struct {
	Scope    string
	ReadOnly bool
}

// operation is what a method does to a type.
type operation struct {
	do         func(*Call) (Reply, error)
	permission string
	readOnly   bool
	model      func() any
	exclusive  func(Target) (Release, error)
}

// short is the type without its namespace.
func (r *Type) short() string {
	_, short, _ := strings.Cut(r.Name, "/")
	return short
}

// namespace is the type's.
func (r *Type) namespace() string {
	namespace, _, _ := strings.Cut(r.Name, "/")
	return namespace
}

// nested reports whether the type's resources are inside one of another type.
func (r *Type) nested() bool { return r.Place == InGroup && strings.Count(r.Name, "/") > 1 }

// belongsAt reports whether resources of the type are at the scope that a path has. Roles and locks are asked for at
// the path as it was sent, and most resources are kept by their group and names: a path by way of another resource
// would get around both.
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
		return true // those of all groups
	}
	return t.Group != "" && fold.Equal(t.Scope, t.GroupPath())
}

// operation finds what a request does, and refuses a name that the type does not allow.
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
	case t.Collection, len(t.Names) == 0: // no resource, such as a namespace in a group
	case method == http.MethodGet:
		op = operation{do: r.Get, permission: r.Name + "/read", readOnly: true}
	case method == http.MethodHead:
		op = operation{do: r.Head, permission: r.Name + "/read", readOnly: true}
	case method == http.MethodPut:
		op = operation{do: r.Put, permission: r.Name + "/write", model: r.PutModel, exclusive: r.Exclusive}
		if r.Put != nil && r.Valid != nil && !r.Valid.MatchString(t.Name()) {
			return op, BadRequest("InvalidResourceName", "Resource name %s is invalid. The name must be %s.", t.Name(), r.Rule)
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
