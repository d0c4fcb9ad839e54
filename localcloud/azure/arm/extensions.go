package arm

import (
	"net/http"
	"slices"
	"strings"
)

// Resources that belong to any other one, at whose path they are.

// beginExtension is begin for a resource at a scope, which has to be there.
func (c *call) beginExtension(kind string) (old, res object, err error) {
	if err := c.checkScope(); err != nil {
		return nil, nil, err
	}
	old, res, err = c.begin(kind, false)
	if err != nil || old != nil {
		return old, res, err
	}
	scope := c.scope
	if at, ok, err := load(c.tx, c.scope); err != nil {
		return nil, nil, err
	} else if ok {
		scope = text(at, "id")
	}
	res["id"] = scope + "/providers/" + kind + "/" + c.name()
	return nil, res, nil
}

// listAtScope shows those at the scope, and below it.
func (c *call) listAtScope() (reply, error) {
	found, err := under(c.tx, c.scope, c.kind)
	if c.query.Get("$filter") == "atScope()" {
		found = slices.DeleteFunc(found, func(res object) bool { return !strings.EqualFold(scopeOf(text(res, "id")), c.scope) })
	} else if filter := c.query.Get("$filter"); filter != "" {
		return reply{}, notImplemented("the filter %q", filter)
	}
	return values(found), err
}

// scopeOf is the scope of the extension resource with an id.
func scopeOf(id string) string { return parse(http.MethodGet, id).scope }

// checkLinked asks for the caller's permission at a resource that the one he writes refers to.
func (c *call) checkLinked(permission, scope string) error {
	return c.checkLinkedOf(c.principal.ClientID, c.principal.ObjectID, permission, scope)
}

func (c *call) checkLinkedOf(clientID, objectID, permission, scope string) error {
	allowed, err := c.allowed(objectID, permission, scope)
	if err != nil || allowed {
		return err
	}
	return refuse(http.StatusForbidden, "LinkedAuthorizationFailed", "The client '%s' with object id '%s' has permission to perform action "+
		"'%s/write' on scope '%s'; however, it does not have permission to perform action(s) '%s' on the linked scope(s) '%s' "+
		"(respectively) or the linked scope(s) are invalid.", clientID, objectID, c.kind, c.path, permission, scope)
}
