package arm

import (
	"regexp"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/privatedns/armprivatedns"
)

var (
	networkVersions = []string{
		"2020-11-01", "2021-02-01", "2021-05-01", "2021-08-01", "2022-01-01", "2022-05-01", "2022-07-01", "2022-09-01", "2022-11-01", "2023-02-01",
		"2023-04-01", "2023-05-01", "2023-06-01", "2023-09-01", "2023-11-01", "2024-01-01", "2024-03-01", "2024-05-01",
	}
	privateDNSVersions = []string{"2018-09-01", "2020-01-01", "2020-06-01", "2024-06-01"}
)

var networkTypes = []resourceType{
	{
		name: networksType, versions: networkVersions, valid: networkName, rule: networkNameRule, partial: true,
		get: (*call).getStored, list: (*call).listStored,
		put: (*call).putNetwork, putModel: func() any { return new(trackedResource[networkProperties]) },
		patch: (*call).patchTags, patchModel: func() any { return new(trackedResource[struct{}]) },
		delete: (*call).deleteNetwork,
	},
	{
		name: subnetsType, versions: networkVersions, valid: networkName, rule: networkNameRule, partial: true,
		get: (*call).getStored, list: (*call).listStored,
		put: (*call).putSubnet, putModel: func() any { return new(nestedResource[subnetProperties]) },
		delete: (*call).deleteSubnet,
	},
	{
		name: endpointsType, versions: networkVersions, partial: true,
		valid: regexp.MustCompile(`^[a-zA-Z0-9]([-\w.]{0,62}\w)?$`),
		rule:  "1 to 64 letters, digits, underscores, periods and hyphens, a letter or digit first, and no period or hyphen last",
		get:   (*call).getStored, list: (*call).listStored,
		put: (*call).putEndpoint, putModel: func() any { return new(trackedResource[endpointProperties]) },
		delete: (*call).deleteEndpoint,
	},
	{
		name: zoneGroupsType, versions: networkVersions, partial: true,
		get: (*call).getStored, list: (*call).listStored,
		put: (*call).putZoneGroup, putModel: func() any { return new(nestedResource[zoneGroupProperties]) },
		delete: (*call).deleteStored,
	},
	{
		name: routeTablesType, versions: networkVersions, valid: networkName, rule: networkNameRule, partial: true,
		get: getOfSubnets("routeTable"), list: (*call).listStored,
		put: (*call).putRouteTable, putModel: func() any { return new(trackedResource[routeTableProperties]) },
		patch: (*call).patchTags, patchModel: func() any { return new(trackedResource[struct{}]) },
		delete: deleteOfSubnets("routeTable", "InUseRouteTableCannotBeDeleted"),
	},
	{
		name: gatewaysType, versions: networkVersions, valid: networkName, rule: networkNameRule, partial: true,
		get: getOfSubnets("natGateway"), list: (*call).listStored,
		put: (*call).putGateway, putModel: func() any { return new(placedResource[gatewayProperties]) },
		patch: (*call).patchTags, patchModel: func() any { return new(trackedResource[struct{}]) },
		delete: deleteOfSubnets("natGateway", "InUseNatGatewayCannotBeDeleted"),
	},
	{
		name: securityType, versions: networkVersions, valid: networkName, rule: networkNameRule, partial: true,
		get: getOfSubnets("networkSecurityGroup"), list: (*call).listStored,
		put: (*call).putSecurityGroup, putModel: func() any { return new(trackedResource[securityGroupProperties]) },
		patch: (*call).patchTags, patchModel: func() any { return new(trackedResource[struct{}]) },
		delete: deleteOfSubnets("networkSecurityGroup", "InUseNetworkSecurityGroupCannotBeDeleted"),
	},
	{
		name: addressesType, versions: networkVersions, valid: networkName, rule: networkNameRule, partial: true,
		get: (*call).getStored, list: (*call).listStored,
		put: (*call).putAddress, putModel: func() any { return new(placedResource[addressProperties]) },
		patch: (*call).patchTags, patchModel: func() any { return new(trackedResource[struct{}]) },
		delete: (*call).deleteAddress,
	},
	{
		name: zonesType, versions: privateDNSVersions, valid: zoneName, rule: "two labels or more of up to 63 letters, digits, underscores and hyphens",
		get: (*call).getZone, list: (*call).listStored,
		put: (*call).putZone, putModel: func() any { return new(armprivatedns.PrivateZone) },
		delete: (*call).deleteZone,
	},
	{
		name: linksType, versions: privateDNSVersions, valid: networkName, rule: networkNameRule,
		get: (*call).getStored, list: (*call).listStored,
		put: (*call).putLink, putModel: func() any { return new(armprivatedns.VirtualNetworkLink) },
		delete: (*call).deleteStored,
	},
}

var networkName = regexp.MustCompile(`^[a-zA-Z0-9]([-\w.]{0,78}\w)?$`)

const networkNameRule = "1 to 80 letters, digits, underscores, periods and hyphens, a letter or digit first, and no period or hyphen last"
