// Package resources implements Microsoft.Resources: tenants, subscriptions, resource groups, resource providers and
// deployments.
package resources

import (
	"context"
	"regexp"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/specs"
)

const (
	subscriptionsType = "Microsoft.Resources/subscriptions"
	GroupsType        = subscriptionsType + "/resourceGroups"
)

// Provider returns the provider Microsoft.Resources.
func Provider() arm.Provider {
	// All types get all versions, including versions that only some of them have.
	resourceVersions := append(specs.Versions(GroupsType), "2016-06-01", "2019-11-01", "2020-01-01", "2022-12-01",
		"2024-11-01", "2025-04-01")
	return arm.Provider{Elsewhere: []string{"Microsoft.Resources"}, Types: []arm.Type{
		{
			Name: "Microsoft.Resources/tenants", Versions: resourceVersions, Place: arm.Itself, ListForAll: true,
			List: listTenants,
		},
		{
			Name: subscriptionsType, Versions: resourceVersions, Place: arm.Itself, ListForAll: true,
			Get: getSubscription, List: listSubscriptions,
		},
		{
			Name: "Microsoft.Resources/providers", Versions: resourceVersions, Place: arm.AtAnyScope,
			Get: getProvider,
		},
		{
			Name: GroupsType, Versions: resourceVersions, Place: arm.Itself,
			Valid: regexp.MustCompile(`^[-\w._()]{0,89}[-\w_()]$`),
			Rule:  "up to 90 letters, digits, underscores, hyphens, parentheses and periods, without a period at the end",
			Get:   (*arm.Call).GetStored, List: listGroups,
			Put: putGroup, PutModel: func() any { return new(armresources.ResourceGroup) },
			Patch: (*arm.Call).PatchTags, PatchModel: func() any { return new(armresources.ResourceGroupPatchable) },
			Delete: deleteGroup, Head: headGroup, Remove: removeGroup, Poll: resultOf,
			// Creation took 2 s and 4 s in github.com/turbot/steampipe-plugin-azure/pull/76 and /83. There is no measurement
			// of the deletion of an empty group.
			Times: map[string]time.Duration{arm.Creating: 3 * time.Second, arm.Updating: 3 * time.Second,
				arm.Deleting: 15 * time.Second},
		},
		{Name: subscriptionsType + "/resources", Versions: resourceVersions, Place: arm.Itself, List: listResources},
		{Name: GroupsType + "/resources", Versions: resourceVersions, Place: arm.Itself, List: listResources},
		{
			Name:     subscriptionsType + "/operationresults",
			Versions: resourceVersions,
			Place:    arm.Itself,
			Get:      (*arm.Call).GetOperationResult,
		},
		{
			Name: deploymentsType, Versions: resourceVersions,
			Valid: regexp.MustCompile(`^[-\w._()]{1,64}$`),
			Rule:  "1 to 64 letters, digits, underscores, hyphens, parentheses and periods",
			Get:   (*arm.Call).GetStored, List: (*arm.Call).ListStored,
			Put: putDeployment, PutModel: func() any { return new(armresources.Deployment) },
			Delete: deleteDeployment, Finish: deploy, Poll: pollDeployment,
			Remove: func(ctx context.Context, s *arm.Service, op arm.Operation) error { return s.RemoveStored(ctx, op) },
		},
		{Name: deploymentsType + "/operationStatuses", Versions: resourceVersions, Get: (*arm.Call).GetOperation},
	}}
}
