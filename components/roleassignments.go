package components

import (
	"fmt"

	authorization "github.com/pulumi/pulumi-azure-native-sdk/authorization/v2/v20220401"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// RoleAssignmentArgs is a role that an identity has on a scope in Azure. Azure refuses to assign the same role to the
// same identity at the same scope twice, no matter who assigned it first.
type RoleAssignmentArgs struct {
	// Name distinguishes the identity's assignments, a DNS label, unique in the list. Azure does not see it. Required.
	Name string `pulumi:"name"`
	// RoleDefinitionID is the GUID of a built-in role
	// (https://learn.microsoft.com/azure/role-based-access-control/built-in-roles), or of a custom role that can be
	// assigned in the scope's subscription. Required. A change replaces the assignment.
	RoleDefinitionID string `pulumi:"roleDefinitionId"`
	// Scope is the ARM id of the scope: a subscription, a resource group or a resource. Required. A change replaces the
	// assignment.
	Scope pulumi.StringInput `pulumi:"scope"`
}

// assignRoles assigns the roles to the principal.
func assignRoles(
	ctx *pulumi.Context, name string, roles []RoleAssignmentArgs, principalID pulumi.StringInput, parent pulumi.Resource,
) ([]pulumi.Resource, error) {
	var assignments []pulumi.Resource
	for i, role := range roles {
		path := fmt.Sprintf("roleAssignments[%d].scope", i)
		assignment, err := authorization.NewRoleAssignment(ctx, name+"-role-"+role.Name, &authorization.RoleAssignmentArgs{
			Scope:            role.Scope,
			RoleDefinitionId: roleInSubscriptionOf(path, role.Scope, role.RoleDefinitionID),
			PrincipalId:      principalID,
			// Without the type, Azure looks the principal up and may not find a new one.
			PrincipalType: pulumi.String("ServicePrincipal"),
			// For another scope or principal the provider replaces the assignment, but it would send another role as an update.
		}, pulumi.Parent(parent), pulumi.ReplaceOnChanges([]string{"roleDefinitionId"}))
		if err != nil {
			return nil, fmt.Errorf("assigning the role %s: %w", role.Name, err)
		}
		assignments = append(assignments, assignment)
	}
	return assignments, nil
}

func (v *violations) validateRoleAssignments(at string, roles []RoleAssignmentArgs) {
	seen := map[string]bool{}
	for i, role := range roles {
		path := fmt.Sprintf("%s[%d]", at, i)
		v.dnsLabel(path+".name", role.Name)
		v.check(!seen[role.Name], path+".name", role.Name, "a name used once in the list")
		seen[role.Name] = true
		v.match(guid, path+".roleDefinitionId", role.RoleDefinitionID, "the GUID of a role")
	}
}
