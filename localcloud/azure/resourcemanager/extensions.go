package resourcemanager

import (
	"net/http"
	"slices"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
)

// Extension resources: their paths start with the path of any other resource, their scope.

// BeginExtension is Begin for an extension resource. It returns an error if the scope does not exist.
func (c *Call) BeginExtension(kind string) (old, res Object, err error) {
	if err := c.CheckScope(); err != nil {
		return nil, nil, err
	}
	old, res, err = c.Begin(kind, false)
	if err != nil || old != nil {
		return old, res, err
	}
	scope := c.Scope
	if at, ok, err := Load(c.Tx, c.Scope); err != nil {
		return nil, nil, err
	} else if ok {
		scope = Text(at, "id")
	}
	res["id"] = scope + "/providers/" + kind + "/" + c.Name()
	return nil, res, nil
}

// ListAtScope lists the resources at the scope and below it. The filter atScope() leaves out those below.
func (c *Call) ListAtScope() (Reply, error) {
	found, err := Under(c.Tx, c.Scope, c.Kind)
	if c.Query.Get("$filter") == "atScope()" {
		found = slices.DeleteFunc(found, func(res Object) bool {
			return !fold.Equal(ScopeOf(Text(res, "id")), c.Scope)
		})
	} else if filter := c.Query.Get("$filter"); filter != "" {
		return Reply{}, NotImplemented("the filter %q", filter)
	}
	return Values(found), err
}

// ScopeOf returns the scope of the extension resource with an id.
func ScopeOf(id string) string { return Parse(http.MethodGet, id).Scope }

// CheckLinked checks that the caller has a permission at a resource that the written one refers to.
func (c *Call) CheckLinked(permission, scope string) error {
	return c.CheckLinkedOf(c.Principal.ClientID, c.Principal.ObjectID, permission, scope)
}

// CheckLinkedOf is CheckLinked for a principal other than the caller.
func (c *Call) CheckLinkedOf(clientID, objectID, permission, scope string) error {
	allowed, err := c.Allowed(objectID, permission, scope)
	if err != nil || allowed {
		return err
	}
	return Refuse(http.StatusForbidden, "LinkedAuthorizationFailed", "The client '%s' with object id '%s' has "+
		"permission to perform action '%s/write' on scope '%s'; however, it does not have permission to perform "+
		"action(s) '%s' on the linked scope(s) '%s' (respectively) or the linked scope(s) are invalid.",
		clientID, objectID, c.Kind, c.Path, permission, scope)
}

// CheckScope returns an error if the scope does not exist. A scope is a subscription, a resource group, a resource or
// one of Provider.Scopes.
func (c *Call) CheckScope() error {
	t := Parse(http.MethodGet, c.Scope)
	if kind := c.typeNamed(t.Kind); kind != nil && kind.Place == Itself {
		return nil // checkPlace has looked it up
	}
	missing := Refuse(http.StatusNotFound, "ResourceNotFound", "The Resource '%s/%s' under resource group '%s' was not "+
		"found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
		t.Kind, strings.Join(t.Names, "/"), t.Group)
	if t.Collection || len(t.Names) == 0 {
		return BadRequest("InvalidScope", "The scope '%s' is not valid.", c.Scope)
	}
	for _, provider := range c.providers {
		for kind, exists := range provider.Scopes {
			if !fold.Equal(kind, t.Kind) {
				continue
			}
			ok, err := exists(c.Tx, t)
			if err == nil && !ok {
				err = missing
			}
			return err
		}
	}
	_, ok, err := Load(c.Tx, c.Scope)
	if err == nil && !ok {
		err = missing
	}
	return err
}
