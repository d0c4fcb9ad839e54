// Package operationalinsights implements Microsoft.OperationalInsights: Log Analytics workspaces.
package operationalinsights

import (
	"regexp"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/operationalinsights/armoperationalinsights"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
)

// Provider returns the provider Microsoft.OperationalInsights.
func Provider() arm.Provider {
	return arm.Provider{Elsewhere: []string{"Microsoft.OperationalInsights"}, Types: []arm.Type{
		{
			Name:  workspacesType,
			Valid: regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]$`),
			Rule:  "4 to 63 letters, digits and hyphens, with a letter or digit first and last",
			Get:   (*arm.Call).GetStored, List: (*arm.Call).ListStored,
			Put: putWorkspace, PutModel: func() any { return new(armoperationalinsights.Workspace) },
			Delete: (*arm.Call).DeleteStored,
		},
	}}
}
