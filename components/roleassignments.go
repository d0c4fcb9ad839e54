package components

import (
	"fmt"

	authorization "github.com/pulumi/pulumi-azure-native-sdk/authorization/v2/v20220401"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// RoleAssignmentArgs is a role that an identity has somewhere in Azure. Azure refuses the same role of the same
// identity at the same scope twice, whoever assigned it first.
type RoleAssignmentArgs struct {
	// Name tells the identity's assignments apart, a DNS label, unique in the list; Azure does not see it. Required.
	Name string `pulumi:"name"`
	// RoleDefinitionID is the GUID of a built-in role
	// (https://learn.microsoft.com/azure/role-based-access-control/built-in-roles), or of a custom role that may be
	// assigned in the scope's subscription. Required. A change replaces the assignment.
	RoleDefinitionID string `pulumi:"roleDefinitionId"`
	// Scope is the ARM id of what the role is for: a subscription, a resource group or a resource. Required. A change
	// replaces the assignment.
	Scope pulumi.StringInput `pulumi:"scope"`
}

// assignRoles gives the principal each of the roles.
func assignRoles(
	ctx *pulumi.Context,
	name string,
	roles []RoleAssignmentArgs,
	principalID pulumi.StringInput,
	parent pulumi.Resource,
) ([]pulumi.Resource, error) {
	var assignments []pulumi.Resource
	for i, role := range roles {
		path := fmt.Sprintf("roleAssignments[%d].scope", i)
		assignment, err := authorization.NewRoleAssignment(ctx, name+"-role-"+role.Name, &authorization.RoleAssignmentArgs{
			Scope:            role.Scope,
			RoleDefinitionId: roleInSubscriptionOf(path, role.Scope, role.RoleDefinitionID),
			PrincipalId:      principalID,
			// Without the type, Azure looks the principal up and may not find a fresh one.
			PrincipalType: pulumi.String("ServicePrincipal"),
			// The provider replaces an assignment for another scope or principal, but would send another role as an update.
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
