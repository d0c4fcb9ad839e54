// Package monitor implements Microsoft.Insights: diagnostic settings, data collection rules and action groups.
package monitor

import (
	"regexp"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/monitor/armmonitor"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
)

// ActionGroupsType is the resource type of action groups.
const ActionGroupsType = "Microsoft.Insights/actionGroups"

// Provider returns the provider Microsoft.Insights.
func Provider() arm.Provider {
	return arm.Provider{Elsewhere: []string{"Microsoft.Insights"}, Types: []arm.Type{
		{
			Name: settingsType, Place: arm.AtAnyScope, Valid: regexp.MustCompile(`^[^<>%&:\\?/]{1,260}$`),
			Rule: `1 to 260 characters except <>%&:\?/`,
			Get:  (*arm.Call).GetStored, List: (*arm.Call).ListAtScope,
			Put: putSetting, PutModel: func() any { return new(armmonitor.DiagnosticSettingsResource) },
			Delete: (*arm.Call).DeleteStored,
		},
		{
			Name:  rulesType,
			Valid: regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,62}[A-Za-z0-9]$`),
			Rule:  "3 to 64 letters, digits, hyphens, underscores and periods, with a letter or digit first and last",
			Get:   (*arm.Call).GetStored, List: (*arm.Call).ListStored,
			Put: putRule, PutModel: func() any { return new(armmonitor.DataCollectionRuleResource) },
			Delete: deleteRule,
		},
		{
			Name: associationsType, Place: arm.AtAnyScope,
			Get: (*arm.Call).GetStored, List: (*arm.Call).ListAtScope,
			Put:    putAssociation,
			Delete: (*arm.Call).DeleteStored,
			PutModel: func() any {
				return new(armmonitor.DataCollectionRuleAssociationProxyOnlyResource)
			},
		},
		{
			Name: ActionGroupsType, Partial: true,
			Valid: regexp.MustCompile(`^[^/&%?+:<>]{0,259}[^/&%?+:<>. ]$`),
			Rule:  "1 to 260 characters except /&%?+:<>, without a space or period at the end",
			Get:   (*arm.Call).GetStored, List: (*arm.Call).ListStored,
			Put: putActionGroup, PutModel: func() any { return new(arm.TrackedResource[actionGroupProperties]) },
			Patch: (*arm.Call).PatchTags, PatchModel: func() any { return new(arm.TrackedResource[struct{}]) },
			Delete: (*arm.Call).DeleteStored, Deleted: deleteEmails,
		},
	}}
}
