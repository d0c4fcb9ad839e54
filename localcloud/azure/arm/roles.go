package arm

import (
	"cmp"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/keyvault"
)

const (
	roleAssignmentsType = "Microsoft.Authorization/roleAssignments"
	roleDefinitionsType = "Microsoft.Authorization/roleDefinitions"
)

var (
	guid           = regexp.MustCompile(`^(?i)[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$`)
	roleDefinition = regexp.MustCompile(`^(?i)(/subscriptions/[^/]+)?/providers/Microsoft\.Authorization/roleDefinitions/([0-9a-f-]{36})$`)
	principalTypes = []string{"User", "Group", "ServicePrincipal", "ForeignGroup", "Device"}
)

// assignmentProperties are those of a role assignment.
type assignmentProperties struct {
	RoleDefinitionID string `json:"roleDefinitionId"`
	PrincipalID      string `json:"principalId"`
	PrincipalType    string `json:"principalType"`
	Description      string `json:"description"`
	Condition        string `json:"condition"`
	ConditionVersion string `json:"conditionVersion"`
}

// conditionVersion is that of the language of conditions, the only one that is assigned with.
const conditionVersion = "2.0"

// about is what conditions of role assignments know of an action: of a role assignment, which one is asked for and which is there.
func (c *call) about(action string) (authorization.About, error) {
	about := authorization.About{Action: action}
	if !strings.EqualFold(c.kind, roleAssignmentsType) || c.collection {
		return about, nil
	}
	there, ok, err := authorization.Get(c.tx, c.path)
	if ok {
		about.Resource = &there
	}
	if err != nil || c.method != http.MethodPut {
		return about, err
	}
	var given assignmentProperties
	if err := decode(child(c.body, "properties"), &given); err != nil {
		return about, err
	}
	about.Request = &authorization.Assignment{PrincipalID: given.PrincipalID, PrincipalType: cmp.Or(given.PrincipalType, "ServicePrincipal")}
	if match := roleDefinition.FindStringSubmatch(given.RoleDefinitionID); match != nil {
		about.Request.RoleID = match[2]
	}
	return about, nil
}

func (c *call) putAssignment() (reply, error) {
	var given assignmentProperties
	if err := decode(child(c.body, "properties"), &given); err != nil {
		return reply{}, err
	}
	role, err := c.checkAssignment(&given)
	if err != nil {
		return reply{}, err
	}
	created := time.Now().UTC()
	now := created.Format(time.RFC3339Nano)
	a := authorization.Assignment{
		ID: c.scope + "/providers/" + roleAssignmentsType + "/" + c.name(), Name: c.name(), Scope: c.scope, RoleID: role.ID,
		PrincipalID: given.PrincipalID, PrincipalType: given.PrincipalType, Description: given.Description, Condition: given.Condition,
		CreatedOn: now, UpdatedOn: now, CreatedBy: c.principal.ObjectID,
	}
	if wait := c.Faults.RolesAfter(); wait > 0 {
		a.EffectiveOn = created.Add(wait)
	}
	old, exists, err := authorization.Get(c.tx, a.ID)
	if err != nil {
		return reply{}, err
	}
	if exists {
		if !strings.EqualFold(old.PrincipalID, a.PrincipalID) || old.RoleID != a.RoleID {
			return reply{}, badRequest("RoleAssignmentUpdateNotPermitted",
				"Tenant ID, application ID, principal ID, and scope are not allowed to be updated.")
		}
		a.CreatedOn, a.CreatedBy, a.EffectiveOn = old.CreatedOn, old.CreatedBy, old.EffectiveOn
		return reply{body: c.assignmentBody(a)}, authorization.Put(c.tx, a)
	}
	theirs, err := authorization.Of(c.tx, a.PrincipalID)
	if err != nil {
		return reply{}, err
	}
	for _, other := range theirs {
		if other.RoleID == a.RoleID && strings.EqualFold(other.Scope, a.Scope) {
			return reply{}, conflict("RoleAssignmentExists", "The role assignment already exists. The ID of the existing role assignment "+
				"is %s.", strings.ReplaceAll(other.Name, "-", ""))
		}
	}
	return reply{status: http.StatusCreated, body: c.assignmentBody(a)}, authorization.Put(c.tx, a)
}

// checkAssignment finds the role, the principal and the scope that an assignment joins.
func (c *call) checkAssignment(given *assignmentProperties) (authorization.Role, error) {
	none := authorization.Role{}
	if given.Condition != "" {
		if given.ConditionVersion != conditionVersion {
			return none, notImplemented("conditions of role assignments in version %q", given.ConditionVersion)
		}
		if _, err := authorization.ParseCondition(given.Condition); err != nil {
			return none, notImplemented("%v", err)
		}
	}
	match := roleDefinition.FindStringSubmatch(given.RoleDefinitionID)
	if match == nil {
		return none, badRequest("InvalidRoleDefinitionId", "The role definition ID '%s' is not valid.", given.RoleDefinitionID)
	}
	role, known, err := authorization.FindRole(c.tx, match[2])
	if err != nil {
		return none, err
	}
	if known && !role.AssignableAt(c.scope) {
		return none, badRequest("RoleAssignmentScopeNotAssignableToRoleDefinition", "The scope '%s' is none that the role definition '%s' "+
			"can be assigned at: %s.", c.scope, role.Name, strings.Join(role.AssignableScopes, ", "))
	}
	if !known {
		return none, refuse(http.StatusNotFound, "RoleDefinitionDoesNotExist", "The specified role definition with ID '%s' does not exist.",
			strings.ReplaceAll(match[2], "-", ""))
	}
	if !guid.MatchString(given.PrincipalID) {
		return none, badRequest("InvalidPrincipalId", "A valid principal ID must be provided for role assignment.")
	}
	exists, err := entra.PrincipalExists(c.tx, given.PrincipalID)
	if err != nil {
		return none, err
	}
	switch {
	case given.PrincipalType != "" && !slices.Contains(principalTypes, given.PrincipalType):
		return none, badRequest("InvalidPrincipalType", "The principal type '%s' is not valid: it is one of %s.",
			given.PrincipalType, strings.Join(principalTypes, ", "))
	case !exists && given.PrincipalType == "":
		return none, badRequest("PrincipalNotFound", "Principal %s does not exist in the directory %s. Check that you have the correct "+
			"principal ID. If you are creating this principal and then immediately assigning a role, this error might be related to a "+
			"replication delay. In this case, set the role assignment principalType property to a value, such as ServicePrincipal, "+
			"User, or Group. See https://aka.ms/docs-principaltype", strings.ReplaceAll(given.PrincipalID, "-", ""), c.TenantID)
	case exists && given.PrincipalType != "" && given.PrincipalType != "ServicePrincipal":
		return none, badRequest("UnmatchedPrincipalType", "The PrincipalId '%s' has type 'ServicePrincipal', which is different from "+
			"specified PrincipalType '%s'.", given.PrincipalID, given.PrincipalType)
	case given.PrincipalType == "":
		given.PrincipalType = "ServicePrincipal"
	}
	return role, c.checkScope()
}

// checkScope refuses a scope that is not there: a group, a resource, or a vault's object.
func (c *call) checkScope() error {
	t := parse(http.MethodGet, c.scope)
	if strings.EqualFold(t.kind, subscriptionsType) || strings.EqualFold(t.kind, groupsType) {
		return nil // looked up before
	}
	missing := refuse(http.StatusNotFound, "ResourceNotFound", "The Resource '%s/%s' under resource group '%s' was not found. For more "+
		"details please go to https://aka.ms/ARMResourceNotFoundFix", t.kind, strings.Join(t.names, "/"), t.group)
	if t.collection || len(t.names) == 0 {
		return badRequest("InvalidScope", "The scope '%s' is not valid.", c.scope)
	}
	kinds := map[string]keyvault.Kind{
		strings.ToLower(vaultsType + "/secrets"): keyvault.Secret, strings.ToLower(vaultsType + "/keys"): keyvault.Key,
		strings.ToLower(vaultsType + "/certificates"): keyvault.Secret, // a certificate is the secret that holds it
	}
	if kind, ok := kinds[strings.ToLower(t.kind)]; ok {
		vault, ok, err := keyvault.GetVault(c.tx, t.names[0])
		if err != nil {
			return err
		}
		if !ok || vault.Deleted != nil || !strings.EqualFold(vault.ID, t.top()) {
			return missing
		}
		if _, ok, err = keyvault.Get(c.tx, vault, kind, t.names[1]); err == nil && !ok {
			err = missing
		}
		return err
	}
	scope := c.scope
	if strings.EqualFold(t.kind, clustersType+"/namespaces") { // what is in a cluster is unknown to Resource Manager
		scope = t.top()
	}
	_, ok, err := load(c.tx, scope)
	if err == nil && !ok {
		err = missing
	}
	return err
}

func (c *call) assignmentBody(a authorization.Assignment) object {
	properties := object{
		"roleDefinitionId": "/subscriptions/" + c.subscriptionID() + "/providers/" + roleDefinitionsType + "/" + a.RoleID,
		"principalId":      a.PrincipalID, "principalType": a.PrincipalType, "scope": a.Scope,
		"createdOn": a.CreatedOn, "updatedOn": a.UpdatedOn, "createdBy": a.CreatedBy, "updatedBy": a.CreatedBy,
	}
	if a.Description != "" {
		properties["description"] = a.Description
	}
	if a.Condition != "" {
		properties["condition"], properties["conditionVersion"] = a.Condition, conditionVersion
	}
	return object{"id": a.ID, "name": a.Name, "type": roleAssignmentsType, "properties": properties}
}

func (c *call) getAssignment() (reply, error) {
	a, ok, err := authorization.Get(c.tx, c.path)
	if err == nil && !ok {
		err = refuse(http.StatusNotFound, "RoleAssignmentNotFound", "The role assignment '%s' is not found.", c.name())
	}
	return reply{body: c.assignmentBody(a)}, err
}

// deleteAssignment answers with what was deleted.
func (c *call) deleteAssignment() (reply, error) {
	a, ok, err := authorization.Get(c.tx, c.path)
	if err != nil || !ok {
		return reply{status: http.StatusNoContent}, err
	}
	return reply{body: c.assignmentBody(a)}, authorization.Delete(c.tx, a.ID)
}

// listAssignments shows those at the scope, above and below it, as far as the filter wants them.
func (c *call) listAssignments() (reply, error) {
	wanted := func(a authorization.Assignment) bool {
		return authorization.Covers(a.Scope, c.scope) || authorization.Covers(c.scope, a.Scope)
	}
	filter := c.query.Get("$filter")
	principal, byPrincipal := quoted(filter, "principalId eq ")
	switch {
	case filter == "":
	case filter == "atScope()":
		wanted = func(a authorization.Assignment) bool { return authorization.Covers(a.Scope, c.scope) }
	case byPrincipal:
		all := wanted
		wanted = func(a authorization.Assignment) bool { return all(a) && strings.EqualFold(a.PrincipalID, principal) }
	default:
		return reply{}, notImplemented("the filter %q", filter)
	}
	assignments, err := authorization.List(c.tx)
	var found []object
	for _, a := range assignments {
		if wanted(a) {
			found = append(found, c.assignmentBody(a))
		}
	}
	return values(found), err
}

func (c *call) definitionBody(role authorization.Role) object {
	list := func(actions []string) []string { return append([]string{}, actions...) }
	kind, scopes := "BuiltInRole", []string{"/"}
	if role.Custom() {
		kind, scopes = "CustomRole", role.AssignableScopes
	}
	return object{
		"id":   "/subscriptions/" + c.subscriptionID() + "/providers/" + roleDefinitionsType + "/" + role.ID,
		"name": role.ID, "type": roleDefinitionsType,
		"properties": object{
			"roleName": role.Name, "type": kind, "description": role.Description, "assignableScopes": scopes,
			"permissions": []object{{
				"actions": list(role.Actions), "notActions": list(role.NotActions),
				"dataActions": list(role.DataActions), "notDataActions": list(role.NotDataActions),
			}},
		},
	}
}

func (c *call) getDefinition() (reply, error) {
	role, ok, err := authorization.FindRole(c.tx, c.name())
	if err != nil {
		return reply{}, err
	}
	if !ok {
		return reply{}, refuse(http.StatusNotFound, "RoleDefinitionDoesNotExist", "The specified role definition with ID '%s' does not exist.", c.name())
	}
	return reply{body: c.definitionBody(role)}, nil
}

func (c *call) listDefinitions() (reply, error) {
	name, byName := quoted(c.query.Get("$filter"), "roleName eq ")
	kind, byKind := quoted(c.query.Get("$filter"), "type eq ")
	if filter := c.query.Get("$filter"); filter != "" && !byName && !byKind {
		return reply{}, notImplemented("the filter %q", filter)
	}
	roles, err := authorization.ListRoles(c.tx)
	var found []object
	for _, role := range roles {
		if byName && role.Name != name || byKind && role.Custom() != (kind == "CustomRole") || !role.AssignableAt(c.scope) {
			continue
		}
		found = append(found, c.definitionBody(role))
	}
	return values(found), err
}
