package resourcemanager

import (
	"slices"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
)

// Locations lists the regions of the public cloud.
var Locations = strings.Fields(
	`australiacentral australiacentral2 australiaeast australiasoutheast austriaeast belgiumcentral
	brazilsouth brazilsoutheast canadacentral canadaeast centralindia centralus chilecentral eastasia eastus eastus2
	francecentral francesouth germanynorth germanywestcentral indonesiacentral israelcentral italynorth japaneast
	japanwest jioindiacentral jioindiawest koreacentral koreasouth malaysiawest mexicocentral newzealandnorth
	northcentralus northeurope norwayeast norwaywest polandcentral qatarcentral southafricanorth southafricawest
	southcentralus southindia southeastasia spaincentral swedencentral swedensouth switzerlandnorth switzerlandwest
	uaecentral uaenorth uksouth ukwest westcentralus westeurope westindia westus westus2 westus3`,
)

// ParseLocation returns the name of a location. Like Azure, it ignores case and spaces: "East US" is eastus.
func ParseLocation(given string) (string, error) {
	if given == "" {
		return "", BadRequest("LocationRequired", "The location property is required for this definition.")
	}
	location := fold.Lower(strings.ReplaceAll(given, " ", ""))
	if !slices.Contains(Locations, location) {
		return "", BadRequest("LocationNotAvailableForResourceType", "The provided location '%s' is not available. List of "+
			"available regions is '%s'.", given, strings.Join(Locations, ","))
	}
	return location, nil
}

// CanonicalSubscription returns the id of the path's subscription as Azure spells it. It returns the first subscription
// if the path has none or an unknown one.
func (c *Call) CanonicalSubscription() string {
	if c.HubID != "" && fold.Equal(c.Subscription, c.HubID) {
		return c.HubID
	}
	return c.SubscriptionID
}
