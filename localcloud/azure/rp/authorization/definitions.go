package authorization

import (
	"net/http"
	"regexp"
	"slices"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
)

// definitionProperties are the properties of a custom role.
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

// roleAction matches the actions of a role, which may have wildcards.
var roleAction = regexp.MustCompile(`^\*$|^(\*|[A-Za-z][A-Za-z0-9.]*)(/[A-Za-z0-9.*_-]+)+$`)

// putDefinition writes a custom role. The caller needs the permission at each assignable scope
// (learn.microsoft.com/azure/role-based-access-control/custom-roles).
func putDefinition(c *arm.Call) (arm.Reply, error) {
	var given definitionProperties
	if err := arm.Decode(arm.Child(c.Body, "properties"), &given); err != nil {
		return arm.Reply{}, err
	}
	old, exists, err := authorization.FindRole(c.Tx, c.Name())
	if err != nil {
		return arm.Reply{}, err
	}
	switch {
	case given.Type != "" && given.Type != "CustomRole", exists && !old.Custom():
		return arm.Reply{}, arm.BadRequest("RoleDefinitionTypeInvalid",
			"The role definition '%s' is not a custom role.", c.Name())
	case given.RoleName == "" || len(given.RoleName) > 512:
		return arm.Reply{}, arm.BadRequest("RoleDefinitionNameNullOrEmpty",
			"A custom role needs a name of up to 512 characters.")
	case len(given.AssignableScopes) == 0:
		return arm.Reply{}, arm.BadRequest("MissingAssignableScopes",
			"A custom role needs at least one assignable scope.")
	case len(given.Permissions) != 1:
		return arm.Reply{}, arm.NotImplemented("a custom role with %d permissions", len(given.Permissions))
	}
	for _, scope := range given.AssignableScopes {
		if err := checkAssignableScope(c, scope); err != nil {
			return arm.Reply{}, err
		}
	}
	if err := checkOldScopes(c, old, "write"); err != nil {
		return arm.Reply{}, err
	}
	permission := given.Permissions[0]
	actions := slices.Concat(
		permission.Actions, permission.NotActions, permission.DataActions, permission.NotDataActions)
	for _, action := range actions {
		if !roleAction.MatchString(action) {
			return arm.Reply{}, arm.BadRequest("InvalidActionOrNotAction",
				"'%s' does not match any of the actions supported by the providers.", action)
		}
	}
	roles, err := authorization.ListRoles(c.Tx)
	if err != nil {
		return arm.Reply{}, err
	}
	for _, other := range roles {
		if fold.Equal(other.Name, given.RoleName) && !fold.Equal(other.ID, c.Name()) {
			return arm.Reply{}, arm.Conflict("RoleDefinitionWithSameNameExists",
				"A custom role with the same name already exists in this directory. Use a different name")
		}
	}
	role := authorization.Role{
		ID:               fold.Lower(c.Name()),
		Name:             given.RoleName,
		Description:      given.Description,
		AssignableScopes: given.AssignableScopes,
		Actions:          permission.Actions,
		NotActions:       permission.NotActions,
		DataActions:      permission.DataActions,
		NotDataActions:   permission.NotDataActions,
	}
	return arm.Reply{Status: http.StatusCreated, Body: definitionBody(c, role)}, authorization.PutRole(c.Tx, role)
}

// checkAssignableScope checks that a scope is the subscription or one of its groups, and that the caller may define
// roles there.
func checkAssignableScope(c *arm.Call, scope string) error {
	t := arm.Parse(http.MethodGet, scope)
	if kind := c.TypeOf(scope); kind == nil || kind.Place != arm.Itself || t.Subscription == "" {
		return arm.NotImplemented("the assignable scope %s", scope)
	}
	if _, there, err := arm.Load(c.Tx, scope); err != nil {
		return err
	} else if !fold.Equal(t.Subscription, c.SubscriptionID) || t.Group != "" && !there {
		return arm.BadRequest("LinkedInvalidPropertyId", "The assignable scope '%s' was not found.", scope)
	}
	return c.CheckLinked(roleDefinitionsType+"/write", scope)
}

// checkOldScopes checks that the caller has a permission at all assignable scopes of an existing role. See
// learn.microsoft.com/azure/role-based-access-control/custom-roles#who-can-create-delete-update-or-view-a-custom-role.
func checkOldScopes(c *arm.Call, role authorization.Role, action string) error {
	for _, scope := range role.AssignableScopes {
		if err := c.CheckLinked(roleDefinitionsType+"/"+action, scope); err != nil {
			return err
		}
	}
	return nil
}

func deleteDefinition(c *arm.Call) (arm.Reply, error) {
	role, ok, err := authorization.FindRole(c.Tx, c.Name())
	if err != nil || !ok {
		return arm.Reply{Status: http.StatusNoContent}, err
	}
	if !role.Custom() {
		return arm.Reply{}, arm.BadRequest("RoleDefinitionCannotBeDeleted",
			"The role definition '%s' is not a custom role.", c.Name())
	}
	if err := checkOldScopes(c, role, "delete"); err != nil {
		return arm.Reply{}, err
	}
	assignments, err := authorization.List(c.Tx)
	if err != nil {
		return arm.Reply{}, err
	}
	for _, a := range assignments {
		if fold.Equal(a.RoleID, role.ID) {
			return arm.Reply{}, arm.BadRequest("RoleDefinitionHasAssignments",
				"There are existing role assignments referencing role (code: RoleDefinitionHasAssignments)")
		}
	}
	return arm.Reply{Body: definitionBody(c, role)}, authorization.DeleteRole(c.Tx, role.ID)
}
