package arm

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
)

// definitionProperties are those of a custom role.
type definitionProperties struct {
	RoleName         string   `json:"roleName"`
	Description      string   `json:"description"`
	Type             string   `json:"type"`
	AssignableScopes []string `json:"assignableScopes"`
	Permissions      []struct {
		Actions        []string `json:"actions"`
		NotActions     []string `json:"notActions"`
		DataActions    []string `json:"dataActions"`
		NotDataActions []string `json:"notDataActions"`
	} `json:"permissions"`
}

// roleAction is an action of a role, or a pattern of some.
var roleAction = regexp.MustCompile(`^(\*|[A-Za-z][A-Za-z0-9.]*|\*)(/[A-Za-z0-9.*_-]+)+$|^\*$`)

// putDefinition makes a custom role (learn.microsoft.com/azure/role-based-access-control/custom-roles), for which one
// needs the right in each scope that it may be assigned at.
func (c *call) putDefinition() (reply, error) {
	var given definitionProperties
	if err := decode(child(c.body, "properties"), &given); err != nil {
		return reply{}, err
	}
	old, exists, err := authorization.FindRole(c.tx, c.name())
	if err != nil {
		return reply{}, err
	}
	switch {
	case given.Type != "" && given.Type != "CustomRole", exists && !old.Custom():
		return reply{}, badRequest("RoleDefinitionTypeInvalid", "The role definition '%s' is none of a custom role.", c.name())
	case given.RoleName == "" || len(given.RoleName) > 512:
		return reply{}, badRequest("RoleDefinitionNameNullOrEmpty", "A custom role needs a name of up to 512 characters.")
	case len(given.AssignableScopes) == 0:
		return reply{}, badRequest("MissingAssignableScopes", "A custom role needs a scope that it can be assigned at.")
	case len(given.Permissions) != 1:
		return reply{}, notImplemented("a custom role with %d permissions", len(given.Permissions))
	}
	for _, scope := range given.AssignableScopes {
		if err := c.checkAssignableScope(scope); err != nil {
			return reply{}, err
		}
	}
	permission := given.Permissions[0]
	for _, list := range [][]string{permission.Actions, permission.NotActions, permission.DataActions, permission.NotDataActions} {
		for _, action := range list {
			if !roleAction.MatchString(action) {
				return reply{}, badRequest("InvalidActionOrNotAction", "'%s' does not match any of the actions supported by the providers.", action)
			}
		}
	}
	roles, err := authorization.ListRoles(c.tx)
	if err != nil {
		return reply{}, err
	}
	for _, other := range roles {
		if strings.EqualFold(other.Name, given.RoleName) && !strings.EqualFold(other.ID, c.name()) {
			return reply{}, conflict("RoleDefinitionWithSameNameExists", "A custom role with the same name already exists in this directory. Use "+
				"a different name")
		}
	}
	role := authorization.Role{
		ID: strings.ToLower(c.name()), Name: given.RoleName, Description: given.Description, AssignableScopes: given.AssignableScopes,
		Actions: permission.Actions, NotActions: permission.NotActions, DataActions: permission.DataActions, NotDataActions: permission.NotDataActions,
	}
	return reply{status: http.StatusCreated, body: c.definitionBody(role)}, authorization.PutRole(c.tx, role)
}

// checkAssignableScope refuses a scope that is not the subscription or one of its groups, and who may not define
// roles there.
func (c *call) checkAssignableScope(scope string) error {
	t := parse(http.MethodGet, scope)
	if !strings.EqualFold(t.kind, subscriptionsType) && !strings.EqualFold(t.kind, groupsType) {
		return notImplemented("the assignable scope %s", scope)
	}
	if _, there, err := load(c.tx, scope); err != nil {
		return err
	} else if !strings.EqualFold(t.subscription, c.SubscriptionID) || t.group != "" && !there {
		return badRequest("LinkedInvalidPropertyId", "The assignable scope '%s' is not there.", scope)
	}
	return c.checkLinked(roleDefinitionsType+"/write", scope)
}

func (c *call) deleteDefinition() (reply, error) {
	role, ok, err := authorization.FindRole(c.tx, c.name())
	if err != nil || !ok {
		return reply{status: http.StatusNoContent}, err
	}
	if !role.Custom() {
		return reply{}, badRequest("RoleDefinitionCannotBeDeleted", "The role definition '%s' is none of a custom role.", c.name())
	}
	assignments, err := authorization.List(c.tx)
	if err != nil {
		return reply{}, err
	}
	for _, a := range assignments {
		if strings.EqualFold(a.RoleID, role.ID) {
			return reply{}, badRequest("RoleDefinitionHasAssignments", "There are existing role assignments referencing role (code: "+
				"RoleDefinitionHasAssignments)")
		}
	}
	return reply{body: c.definitionBody(role)}, authorization.DeleteRole(c.tx, role.ID)
}
