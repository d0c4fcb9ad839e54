package authorization_test

import (
	"net/http"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager/armtest"
)

type m = arm.Object

const (
	reader  = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
	name    = "11111111-2222-4333-8444-555555555555"
	another = "11111111-2222-4333-8444-666666666666"
)

// at returns the path of a role assignment.
func at(scope, name string) string {
	return scope + "/providers/Microsoft.Authorization/roleAssignments/" + name + "?api-version=2022-04-01"
}

// grant returns the body of a role assignment.
func grant(p *armtest.Principal) m {
	return m{"properties": m{
		"roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/" + reader, "principalId": p.ObjectID,
	}}
}

func TestRoleAssignment_NameIsUniqueInTheTenant(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t)
	one, other := rm.Group("one"), rm.Group("other")
	to := rm.Principal("", "")
	rm.Put(at(one, name), grant(to))
	rm.Put(at(one, name), grant(to)) // the same again
	for _, scope := range []string{other, "/subscriptions/" + armtest.SubscriptionID, "/subscriptions/" + armtest.HubID} {
		rm.Refused(http.MethodPut, at(scope, name), grant(to), http.StatusBadRequest, "RoleAssignmentUpdateNotPermitted")
	}
	rm.Refused(http.MethodPut, at(other, name), grant(rm.Principal("", "")), http.StatusBadRequest,
		"RoleAssignmentUpdateNotPermitted")
	rm.Refused(http.MethodPut, at(one, another), grant(to), http.StatusConflict, "RoleAssignmentExists")
	if status, answer := rm.Ask(http.MethodDelete, at(one, name), nil); status != http.StatusOK {
		t.Fatalf("DELETE: %d %v", status, answer)
	}
	rm.Put(at(other, name), grant(to)) // the name is free again
}

func TestRoleAssignment_NeedsRolePrincipalAndScope(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t)
	group := rm.Group("g")
	to := rm.Principal("", "")
	with := func(key string, value any) m {
		body := grant(to)
		arm.Child(body, "properties")[key] = value
		return body
	}
	const unknownRole = "/providers/Microsoft.Authorization/roleDefinitions/" + name
	for _, test := range []struct {
		path   string
		body   m
		status int
		code   string
	}{
		{at(group, name), with("roleDefinitionId", "reader"), 400, "InvalidRoleDefinitionId"},
		{at(group, name), with("roleDefinitionId", unknownRole), 404, "RoleDefinitionDoesNotExist"},
		{at(group, name), with("principalId", "me"), 400, "InvalidPrincipalId"},
		{at(group, name), with("principalId", name), 400, "PrincipalNotFound"},
		{at(group, name), with("principalType", "Robot"), 400, "InvalidPrincipalType"},
		{at(group, name), with("principalType", "User"), 400, "UnmatchedPrincipalType"},
		{at(group, name), with("condition", "true"), 501, "NotImplemented"},
		{at(group+"x", name), grant(to), 404, "ResourceGroupNotFound"},
	} {
		rm.Refused(http.MethodPut, test.path, test.body, test.status, test.code)
	}
}

// TestRoleDefinition_NeedsTheRightAtAllItsScopes lets the owner of a group change and delete a role of another group.
func TestRoleDefinition_NeedsTheRightAtAllItsScopes(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t)
	mine, other := rm.Group("mine"), rm.Group("other")
	role := func(scope string) string {
		return scope + "/providers/Microsoft.Authorization/roleDefinitions/" + name + "?api-version=2022-04-01"
	}
	body := func(scopes ...string) m {
		return m{"properties": m{
			"roleName":         "tagger",
			"type":             "CustomRole",
			"assignableScopes": scopes,
			"permissions":      []m{{"actions": []string{"*/read"}}},
		}}
	}
	rm.Put(role(other), body(other))
	owner := rm.Principal(authorization.OwnerID, mine)
	const refused = "LinkedAuthorizationFailed"
	rm.RefusedTo(owner, http.MethodPut, role(mine), body(mine), http.StatusForbidden, refused)
	rm.RefusedTo(owner, http.MethodPut, role(mine), body(mine, other), http.StatusForbidden, refused)
	rm.RefusedTo(owner, http.MethodDelete, role(mine), nil, http.StatusForbidden, refused)
	rm.Put(role(other), body(mine))
	if status, answer := rm.AskAs(owner, http.MethodDelete, role(mine), nil); status != http.StatusOK {
		t.Errorf("DELETE of a role of their group: %d %v", status, answer)
	}
}
