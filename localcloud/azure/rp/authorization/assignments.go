package authorization

import (
	"cmp"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
)

const (
	roleAssignmentsType = "Microsoft.Authorization/roleAssignments"
	roleDefinitionsType = "Microsoft.Authorization/roleDefinitions"
)

var (
	// GUID matches the ids of principals and the names of role assignments.
	GUID           = regexp.MustCompile(`^(?i)[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$`)
	roleDefinition = regexp.MustCompile(
		`^(?i)(/subscriptions/[^/]+)?/providers/Microsoft\.Authorization/roleDefinitions/([0-9a-f-]{36})$`,
	)
	principalTypes = []string{"User", "Group", "ServicePrincipal", "ForeignGroup", "Device"}
)

// assignmentProperties are the properties of a role assignment.
type assignmentProperties struct {
	RoleDefinitionID string `json:"roleDefinitionId"`
	PrincipalID      string `json:"principalId"`
	PrincipalType    string `json:"principalType"`
	Description      string `json:"description"`
	Condition        string `json:"condition"`
	ConditionVersion string `json:"conditionVersion"`
}

// conditionVersion is the version of the language of conditions. Other versions are not implemented.
const conditionVersion = "2.0"

// about returns the attributes that conditions of role assignments test: the action, the existing role assignment and
// the requested one.
func about(c *arm.Call, action string) (authorization.About, error) {
	about := authorization.About{Action: action}
	if c.Collection {
		return about, nil
	}
	existing, ok, err := authorization.Get(c.Tx, c.Path)
	if ok {
		about.Resource = &existing
	}
	if err != nil || c.Method != http.MethodPut {
		return about, err
	}
	var given assignmentProperties
	if err := arm.Decode(arm.Child(c.Body, "properties"), &given); err != nil {
		return about, err
	}
	about.Request = &authorization.Assignment{
		PrincipalID:   given.PrincipalID,
		PrincipalType: cmp.Or(given.PrincipalType, "ServicePrincipal"),
	}
	if match := roleDefinition.FindStringSubmatch(given.RoleDefinitionID); match != nil {
		about.Request.RoleID = match[2]
	}
	return about, nil
}

func putAssignment(c *arm.Call) (arm.Reply, error) {
	var given assignmentProperties
	if err := arm.Decode(arm.Child(c.Body, "properties"), &given); err != nil {
		return arm.Reply{}, err
	}
	role, err := checkAssignment(c, &given)
	if err != nil {
		return arm.Reply{}, err
	}
	created := time.Now().UTC()
	now := created.Format(time.RFC3339Nano)
	a := authorization.Assignment{
		ID:            c.Scope + "/providers/" + roleAssignmentsType + "/" + c.Name(),
		Name:          c.Name(),
		Scope:         c.Scope,
		RoleID:        role.ID,
		PrincipalID:   given.PrincipalID,
		PrincipalType: given.PrincipalType,
		Description:   given.Description,
		Condition:     given.Condition,
		CreatedOn:     now,
		UpdatedOn:     now,
		CreatedBy:     c.Principal.ObjectID,
	}
	if wait := c.Faults.RolesAfter(); wait > 0 {
		a.EffectiveOn = created.Add(wait)
	}
	old, exists, err := authorization.Get(c.Tx, a.ID)
	if err != nil {
		return arm.Reply{}, err
	}
	if exists {
		if !fold.Equal(old.PrincipalID, a.PrincipalID) || old.RoleID != a.RoleID {
			return arm.Reply{}, updateNotPermitted()
		}
		a.CreatedOn, a.CreatedBy, a.EffectiveOn = old.CreatedOn, old.CreatedBy, old.EffectiveOn
		return arm.Reply{Body: assignmentBody(c, a)}, authorization.Put(c.Tx, a)
	}
	if err := checkUniqueName(c); err != nil {
		return arm.Reply{}, err
	}
	theirs, err := authorization.Of(c.Tx, a.PrincipalID)
	if err != nil {
		return arm.Reply{}, err
	}
	for _, other := range theirs {
		if other.RoleID == a.RoleID && fold.Equal(other.Scope, a.Scope) {
			return arm.Reply{}, arm.Conflict("RoleAssignmentExists", "The role assignment already exists. The ID of the "+
				"existing role assignment is %s.", strings.ReplaceAll(other.Name, "-", ""))
		}
	}
	return arm.Reply{Status: http.StatusCreated, Body: assignmentBody(c, a)}, authorization.Put(c.Tx, a)
}

// checkUniqueName refuses the name of an assignment at another scope. Names are unique in the tenant, so Azure treats
// such a request as an update (learn.microsoft.com/azure/role-based-access-control/troubleshooting).
func checkUniqueName(c *arm.Call) error {
	all, err := authorization.List(c.Tx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(a authorization.Assignment) bool { return fold.Equal(a.Name, c.Name()) }) {
		return updateNotPermitted()
	}
	return nil
}

func updateNotPermitted() error {
	return arm.BadRequest("RoleAssignmentUpdateNotPermitted",
		"Tenant ID, application ID, principal ID, and scope are not allowed to be updated.")
}

// checkAssignment checks that the role, the principal and the scope of an assignment exist. It sets the principal type
// if the request has none.
func checkAssignment(c *arm.Call, given *assignmentProperties) (authorization.Role, error) {
	none := authorization.Role{}
	if given.Condition != "" {
		if given.ConditionVersion != conditionVersion {
			return none, arm.NotImplemented("conditions of role assignments in version %q", given.ConditionVersion)
		}
		if _, err := authorization.ParseCondition(given.Condition); err != nil {
			return none, arm.NotImplemented("%v", err)
		}
	}
	match := roleDefinition.FindStringSubmatch(given.RoleDefinitionID)
	if match == nil {
		return none, arm.BadRequest("InvalidRoleDefinitionId", "The role definition ID '%s' is not valid.",
			given.RoleDefinitionID)
	}
	role, known, err := authorization.FindRole(c.Tx, match[2])
	if err != nil {
		return none, err
	}
	if known && !role.AssignableAt(c.Scope) {
		return none, arm.BadRequest("RoleAssignmentScopeNotAssignableToRoleDefinition",
			"The role definition '%s' cannot be assigned at the scope '%s'. Its assignable scopes are: %s.",
			role.Name, c.Scope, strings.Join(role.AssignableScopes, ", "))
	}
	if !known {
		return none, arm.Refuse(http.StatusNotFound, "RoleDefinitionDoesNotExist",
			"The specified role definition with ID '%s' does not exist.", strings.ReplaceAll(match[2], "-", ""))
	}
	if !GUID.MatchString(given.PrincipalID) {
		return none, arm.BadRequest("InvalidPrincipalId", "A valid principal ID must be provided for role assignment.")
	}
	kind, err := entra.PrincipalType(c.Tx, given.PrincipalID)
	if err != nil {
		return none, err
	}
	switch {
	case given.PrincipalType != "" && !slices.Contains(principalTypes, given.PrincipalType):
		return none, arm.BadRequest("InvalidPrincipalType", "The principal type '%s' is not valid: it must be one of %s.",
			given.PrincipalType, strings.Join(principalTypes, ", "))
	case kind == "" && given.PrincipalType == "":
		return none, arm.BadRequest("PrincipalNotFound", "Principal %s does not exist in the directory %s. Check that "+
			"you have the correct principal ID. If you are creating this principal and then immediately assigning a "+
			"role, this error might be related to a replication delay. In this case, set the role assignment "+
			"principalType property to a value, such as ServicePrincipal, User, or Group. See "+
			"https://aka.ms/docs-principaltype", strings.ReplaceAll(given.PrincipalID, "-", ""), c.TenantID)
	case kind != "" && given.PrincipalType != "" && given.PrincipalType != kind:
		return none, arm.BadRequest("UnmatchedPrincipalType", "The PrincipalId '%s' has type '%s', which is different from "+
			"specified PrincipalType '%s'.", strings.ReplaceAll(given.PrincipalID, "-", ""), kind, given.PrincipalType)
	case given.PrincipalType == "":
		given.PrincipalType = kind
	}
	return role, c.CheckScope()
}

func assignmentBody(c *arm.Call, a authorization.Assignment) arm.Object {
	roles := "/subscriptions/" + c.CanonicalSubscription() + "/providers/" + roleDefinitionsType
	properties := arm.Object{
		"roleDefinitionId": roles + "/" + a.RoleID,
		"principalId":      a.PrincipalID,
		"principalType":    a.PrincipalType,
		"scope":            a.Scope,
		"createdOn":        a.CreatedOn,
		"updatedOn":        a.UpdatedOn,
		"createdBy":        a.CreatedBy,
		"updatedBy":        a.CreatedBy,
	}
	if a.Description != "" {
		properties["description"] = a.Description
	}
	if a.Condition != "" {
		properties["condition"], properties["conditionVersion"] = a.Condition, conditionVersion
	}
	return arm.Object{"id": a.ID, "name": a.Name, "type": roleAssignmentsType, "properties": properties}
}

func getAssignment(c *arm.Call) (arm.Reply, error) {
	a, ok, err := authorization.Get(c.Tx, c.Path)
	if err == nil && !ok {
		err = arm.Refuse(http.StatusNotFound, "RoleAssignmentNotFound", "The role assignment '%s' is not found.", c.Name())
	}
	return arm.Reply{Body: assignmentBody(c, a)}, err
}

// deleteAssignment answers with the deleted role assignment.
func deleteAssignment(c *arm.Call) (arm.Reply, error) {
	a, ok, err := authorization.Get(c.Tx, c.Path)
	if err != nil || !ok {
		return arm.Reply{Status: http.StatusNoContent}, err
	}
	return arm.Reply{Body: assignmentBody(c, a)}, authorization.Delete(c.Tx, a.ID)
}

// listAssignments lists the role assignments at, above and below the scope that match the filter.
func listAssignments(c *arm.Call) (arm.Reply, error) {
	wanted := func(a authorization.Assignment) bool {
		return authorization.Covers(a.Scope, c.Scope) || authorization.Covers(c.Scope, a.Scope)
	}
	filter := c.Query.Get("$filter")
	principal, byPrincipal := arm.Quoted(filter, "principalId eq ")
	switch {
	case filter == "":
	case filter == "atScope()":
		wanted = func(a authorization.Assignment) bool { return authorization.Covers(a.Scope, c.Scope) }
	case byPrincipal:
		all := wanted
		wanted = func(a authorization.Assignment) bool { return all(a) && fold.Equal(a.PrincipalID, principal) }
	default:
		return arm.Reply{}, arm.NotImplemented("the filter %q", filter)
	}
	assignments, err := authorization.List(c.Tx)
	var found []arm.Object
	for _, a := range assignments {
		if wanted(a) {
			found = append(found, assignmentBody(c, a))
		}
	}
	return arm.Values(found), err
}

func definitionBody(c *arm.Call, role authorization.Role) arm.Object {
	list := func(actions []string) []string { return append([]string{}, actions...) }
	kind, scopes := "BuiltInRole", []string{"/"}
	if role.Custom() {
		kind, scopes = "CustomRole", role.AssignableScopes
	}
	return arm.Object{
		"id":   "/subscriptions/" + c.CanonicalSubscription() + "/providers/" + roleDefinitionsType + "/" + role.ID,
		"name": role.ID, "type": roleDefinitionsType,
		"properties": arm.Object{
			"roleName": role.Name, "type": kind, "description": role.Description, "assignableScopes": scopes,
			"permissions": []arm.Object{{
				"actions": list(role.Actions), "notActions": list(role.NotActions),
				"dataActions": list(role.DataActions), "notDataActions": list(role.NotDataActions),
			}},
		},
	}
}

func getDefinition(c *arm.Call) (arm.Reply, error) {
	role, ok, err := authorization.FindRole(c.Tx, c.Name())
	if err != nil {
		return arm.Reply{}, err
	}
	if !ok {
		return arm.Reply{}, arm.Refuse(http.StatusNotFound, "RoleDefinitionDoesNotExist", "The specified role definition "+
			"with ID '%s' does not exist.", c.Name())
	}
	return arm.Reply{Body: definitionBody(c, role)}, nil
}

func listDefinitions(c *arm.Call) (arm.Reply, error) {
	name, byName := arm.Quoted(c.Query.Get("$filter"), "roleName eq ")
	kind, byKind := arm.Quoted(c.Query.Get("$filter"), "type eq ")
	if filter := c.Query.Get("$filter"); filter != "" && !byName && !byKind {
		return arm.Reply{}, arm.NotImplemented("the filter %q", filter)
	}
	roles, err := authorization.ListRoles(c.Tx)
	var found []arm.Object
	for _, role := range roles {
		if byName && role.Name != name || byKind && role.Custom() != (kind == "CustomRole") || !role.AssignableAt(c.Scope) {
			continue
		}
		found = append(found, definitionBody(c, role))
	}
	return arm.Values(found), err
}
