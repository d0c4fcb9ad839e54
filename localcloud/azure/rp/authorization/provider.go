// Package authorization implements Microsoft.Authorization: role assignments, role definitions and locks. Package
// azure/authorization evaluates roles.
package authorization

import (
	"regexp"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armlocks"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
)

// Provider returns the provider Microsoft.Authorization.
func Provider() arm.Provider {
	return arm.Provider{
		Elsewhere: []string{
			"Microsoft.Authorization/permissions", "Microsoft.Authorization/denyAssignments",
			"Microsoft.Authorization/operations", "Microsoft.Authorization/classicAdministrators",
			"Microsoft.Authorization/providerOperations",
		},
		Locks: locksOf, Types: []arm.Type{
			{
				Name: roleAssignmentsType, Place: arm.AtAnyScope, About: about,
				// More than 10 s: github.com/Azure/terraform-azurerm-avm-res-keyvault-vault/pull/79.
				Times: map[string]time.Duration{arm.Creating: 10 * time.Second, arm.Deleting: 5 * time.Second},
				Valid: GUID, Rule: "a GUID",
				Get: getAssignment, List: listAssignments,
				Put: putAssignment, PutModel: func() any { return new(armauthorization.RoleAssignmentCreateParameters) },
				Delete: deleteAssignment,
			},
			{
				Name: roleDefinitionsType, Versions: []string{"2020-04-01-preview"}, Place: arm.AtAnyScope,
				Valid: GUID, Rule: "a GUID",
				Get: getDefinition, List: listDefinitions,
				Put: putDefinition, PutModel: func() any { return new(armauthorization.RoleDefinition) },
				Delete: deleteDefinition,
			},
			{
				Name:     locksType,
				Place:    arm.AtAnyScope,
				Unlocked: true,
				Valid:    regexp.MustCompile(`^[^<>%&:\\?/]{1,90}$`),
				Rule:     `1 to 90 characters except <>%&:\?/`,
				Get:      (*arm.Call).GetStored,
				List:     (*arm.Call).ListAtScope,
				Put:      putLock,
				PutModel: func() any { return new(armlocks.ManagementLockObject) },
				Delete:   (*arm.Call).DeleteStored,
			},
		}}
}
