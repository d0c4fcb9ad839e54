package resourcemanager

import (
	"net/http"
	"slices"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// resources is the store's bucket of resources, by path in lower case.
const resources = "resources"

// Provisioning states.
const (
	Creating  = "Creating"
	Updating  = "Updating"
	Succeeded = "Succeeded"
	Failed    = "Failed"
	Deleting  = "Deleting"
)

// Load reads the resource at a path, ignoring case, and reports whether it exists.
func Load(tx *store.Tx, path string) (Object, bool, error) {
	return store.Get[Object](tx, resources, fold.Lower(path))
}

// Save writes a resource under its id.
func Save(tx *store.Tx, res Object) error {
	return store.Put(tx, resources, fold.Lower(Text(res, "id")), res)
}

// Under lists the resources of a type below a path. An empty type matches all.
func Under(tx *store.Tx, path, kind string) ([]Object, error) {
	within := "" // in each path, the last part of the type stands before the name
	if i := strings.LastIndexByte(kind, '/'); i >= 0 {
		within = fold.Lower(kind[i:]) + "/"
	}
	all, err := store.ListWith[Object](tx, resources, fold.Lower(path)+"/", within)
	return slices.DeleteFunc(all, func(res Object) bool {
		return kind != "" && !fold.Equal(Text(res, "type"), kind)
	}), err
}

// Destroy removes a resource, its nested resources, and the role assignments at all of them.
func (s *Service) Destroy(tx *store.Tx, res Object) error {
	id := Text(res, "id")
	nested, err := Under(tx, id, "")
	if err != nil {
		return err
	}
	for _, one := range append(nested, res) {
		if kind := s.typeNamed(Text(one, "type")); kind != nil && kind.Deleted != nil {
			if err := kind.Deleted(s, tx, one); err != nil {
				return err
			}
		}
		if err := store.Delete(tx, resources, fold.Lower(Text(one, "id"))); err != nil {
			return err
		}
	}
	return authorization.DeleteUnder(tx, id)
}

// UserOf returns the id of a resource that uses another one, which therefore cannot be deleted. It returns "" if there
// is none.
func (s *Service) UserOf(tx *store.Tx, id string) (string, error) {
	for i := range s.types {
		kind := &s.types[i]
		if kind.Uses == nil {
			continue
		}
		all, err := Under(tx, "/subscriptions", kind.Name)
		if err != nil {
			return "", err
		}
		for _, res := range all {
			if slices.ContainsFunc(kind.Uses(res), func(used string) bool { return fold.Equal(used, id) }) {
				return Text(res, "id"), nil
			}
		}
	}
	return "", nil
}

// ProvisioningState returns the provisioning state of a resource, or "" if it has none.
func ProvisioningState(res Object) string {
	properties, _ := res["properties"].(Object)
	return Text(properties, "provisioningState")
}

// SetState sets the provisioning state of a resource.
func SetState(res Object, state string) { Child(res, "properties")["provisioningState"] = state }

// Begin returns the existing resource, or nil, and the resource that a PUT writes: its body with the existing or a new
// envelope. A tracked resource needs a location, which cannot change.
func (c *Call) Begin(kind string, tracked bool) (old, res Object, err error) {
	old, exists, err := Load(c.Tx, c.Path)
	if err != nil {
		return nil, nil, err
	}
	res = Clone(c.Body)
	for _, key := range envelope {
		delete(res, key)
	}
	res["id"], res["name"], res["type"] = c.newID(kind), c.Name(), kind
	if exists {
		res["id"], res["name"] = old["id"], old["name"]
	}
	if !tracked {
		return old, res, nil
	}
	location, err := ParseLocation(Text(res, "location"))
	if err != nil {
		return nil, nil, err
	}
	if exists && Text(old, "location") != location {
		return nil, nil, Conflict("InvalidResourceLocation", "The resource '%s' already exists in location '%s' in "+
			"resource group '%s'. A resource with the same name cannot be created in location '%s'. Please select a new "+
			"resource name.", c.Name(), Text(old, "location"), c.Group, location)
	}
	res["location"] = location
	return old, res, nil
}

// newID returns the id of a new resource: names as given, types as Azure spells them.
func (c *Call) newID(kind string) string {
	id := "/subscriptions/" + c.CanonicalSubscription() + "/resourceGroups/" + c.Group
	if c.kindOf.Place == Itself {
		return id
	}
	types := strings.Split(kind, "/")
	id += "/providers/" + types[0]
	for i, name := range c.Names {
		id += "/" + types[i+1] + "/" + name
	}
	return id
}

// Written saves a resource and answers the PUT: with 201 if the resource is new, else with 200.
func (c *Call) Written(old, res Object) (Reply, error) {
	if err := Save(c.Tx, res); err != nil {
		return Reply{}, err
	}
	if old == nil {
		return Reply{Status: http.StatusCreated, Body: res}, nil
	}
	return Reply{Body: res}, nil
}

// NotFound returns the error for a path whose resource does not exist.
func (c *Call) NotFound() *Error {
	if c.kindOf.Place == Itself {
		return Refuse(http.StatusNotFound, "ResourceGroupNotFound", "Resource group '%s' could not be found.", c.Group)
	}
	return Refuse(http.StatusNotFound, "ResourceNotFound", "The Resource '%s/%s' under resource group '%s' was not "+
		"found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
		c.Kind, strings.Join(c.Names, "/"), c.Group)
}

// GetStored answers a GET with the stored resource.
func (c *Call) GetStored() (Reply, error) {
	res, ok, err := Load(c.Tx, c.Path)
	if err == nil && !ok {
		err = c.NotFound()
	}
	return Reply{Body: res}, err
}

// ListStored answers a GET with the stored resources of the type at the scope or in the parent resource.
func (c *Call) ListStored() (Reply, error) {
	path := c.Scope
	if len(c.Names) > 0 {
		path = Cut(c.Path, 1)
	}
	found, err := Under(c.Tx, path, c.Kind)
	return Values(found), err
}

// PatchTags answers a PATCH that can only replace the tags.
func (c *Call) PatchTags() (Reply, error) {
	res, ok, err := Load(c.Tx, c.Path)
	if err != nil {
		return Reply{}, err
	}
	if !ok {
		return Reply{}, c.NotFound()
	}
	for key := range c.Body {
		if key != "tags" && !slices.Contains(envelope, key) && (key != "location" || c.Body[key] != res[key]) {
			return Reply{}, NotImplemented("PATCH of %s of %s", key, c.Kind)
		}
	}
	if tags, ok := c.Body["tags"]; ok {
		res["tags"] = tags
	}
	return Reply{Body: res}, Save(c.Tx, res)
}

// Values returns the answer of a list.
func Values[T any](list []T) Reply {
	if list == nil {
		list = []T{}
	}
	return Reply{Body: Object{"value": list}}
}

// Quoted returns the value in a filter of the form prefix'value', and whether the filter has that form.
func Quoted(filter, prefix string) (string, bool) {
	rest, ok := strings.CutPrefix(filter, prefix)
	if !ok || len(rest) < 2 || rest[0] != '\'' || rest[len(rest)-1] != '\'' {
		return "", false
	}
	return rest[1 : len(rest)-1], !strings.Contains(rest[1:len(rest)-1], "'")
}

// Mirror writes the nested resources of type kind, as shown returns them, into a property of their parent. It keeps the
// order of those that the property already has.
func Mirror(tx *store.Tx, parent, kind, property string, shown func(Object) Object) error {
	res, ok, err := Load(tx, parent)
	if err != nil || !ok {
		return err
	}
	nested, err := Under(tx, parent, kind)
	if err != nil {
		return err
	}
	before, _ := Child(res, "properties")[property].([]any)
	place := func(nested Object) int {
		i := slices.IndexFunc(before, func(one any) bool {
			was, _ := one.(Object)
			return fold.Equal(Text(was, "name"), Text(nested, "name"))
		})
		if i < 0 {
			return len(before)
		}
		return i
	}
	slices.SortStableFunc(nested, func(a, b Object) int { return place(a) - place(b) })
	list := make([]any, len(nested))
	for i, one := range nested {
		list[i] = shown(one)
	}
	Child(res, "properties")[property] = list
	return Save(tx, res)
}

// DeleteStored removes the stored resource. It answers 204 if there is none.
func (c *Call) DeleteStored() (Reply, error) {
	res, ok, err := Load(c.Tx, c.Path)
	if err != nil || !ok {
		return Reply{Status: http.StatusNoContent}, err
	}
	return Reply{}, c.Destroy(c.Tx, res)
}
