// Package network implements Microsoft.Network: virtual networks, the outbound connections of their subnets, private
// endpoints and private DNS zones.
package network

import (
	"regexp"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/privatedns/armprivatedns"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
)

var networkVersions = []string{"2024-03-01", "2024-05-01"}

// Provider returns the provider Microsoft.Network.
func Provider() arm.Provider {
	return arm.Provider{Elsewhere: []string{"Microsoft.Network"}, Types: []arm.Type{
		{
			Name: networksType, Versions: networkVersions, Valid: networkName, Rule: networkNameRule, Partial: true,
			Get: (*arm.Call).GetStored, List: (*arm.Call).ListStored,
			Put: putNetwork, PutModel: func() any { return new(arm.TrackedResource[NetworkProperties]) },
			Patch: (*arm.Call).PatchTags, PatchModel: func() any { return new(arm.TrackedResource[struct{}]) },
			Delete: deleteNetwork, LogCategories: []string{"VMProtectionAlerts"},
		},
		{
			Name: SubnetsType, Versions: networkVersions, Valid: networkName, Rule: networkNameRule, Partial: true,
			Get: (*arm.Call).GetStored, List: (*arm.Call).ListStored,
			Put: putSubnet, PutModel: func() any { return new(arm.NestedResource[SubnetProperties]) },
			Delete: deleteSubnet,
		},
		{
			Name: endpointsType, Versions: networkVersions, Partial: true,
			Valid: regexp.MustCompile(`^[a-zA-Z0-9]([-\w.]{0,62}\w)?$`),
			Rule: "1 to 64 letters, digits, underscores, periods and hyphens, starting with a letter or digit and not " +
				"ending with a period or hyphen",
			Get: (*arm.Call).GetStored, List: (*arm.Call).ListStored,
			Put: putEndpoint, PutModel: func() any { return new(arm.TrackedResource[endpointProperties]) },
			Delete: (*arm.Call).DeleteStored, Deleted: disconnect, Uses: usedByEndpoint,
		},
		{
			Name: zoneGroupsType, Versions: networkVersions, Partial: true,
			Get: (*arm.Call).GetStored, List: (*arm.Call).ListStored,
			Put: putZoneGroup, PutModel: func() any { return new(arm.NestedResource[zoneGroupProperties]) },
			Delete: (*arm.Call).DeleteStored,
		},
		{
			Name: routeTablesType, Versions: networkVersions, Valid: networkName, Rule: networkNameRule, Partial: true,
			Get: getOfSubnets("routeTable"), List: (*arm.Call).ListStored,
			Put: putRouteTable, PutModel: func() any { return new(arm.TrackedResource[routeTableProperties]) },
			Patch: (*arm.Call).PatchTags, PatchModel: func() any { return new(arm.TrackedResource[struct{}]) },
			Delete: deleteOfSubnets("routeTable", "InUseRouteTableCannotBeDeleted"),
		},
		{
			Name: gatewaysType, Versions: networkVersions, Valid: networkName, Rule: networkNameRule, Partial: true,
			Get: getOfSubnets("natGateway"), List: (*arm.Call).ListStored,
			Put: putGateway, PutModel: func() any { return new(arm.PlacedResource[GatewayProperties]) },
			Patch: (*arm.Call).PatchTags, PatchModel: func() any { return new(arm.TrackedResource[struct{}]) },
			Delete: deleteOfSubnets("natGateway", "InUseNatGatewayCannotBeDeleted"), Uses: usedByGateway,
		},
		{
			Name: securityType, Versions: networkVersions, Valid: networkName, Rule: networkNameRule, Partial: true,
			Get: getOfSubnets("networkSecurityGroup"), List: (*arm.Call).ListStored,
			Put: putSecurityGroup, PutModel: func() any { return new(arm.TrackedResource[securityGroupProperties]) },
			Patch: (*arm.Call).PatchTags, PatchModel: func() any { return new(arm.TrackedResource[struct{}]) },
			Delete: deleteOfSubnets("networkSecurityGroup", "InUseNetworkSecurityGroupCannotBeDeleted"),
		},
		{
			Name: AddressesType, Versions: networkVersions, Valid: networkName, Rule: networkNameRule, Partial: true,
			Get: (*arm.Call).GetStored, List: (*arm.Call).ListStored,
			Put: putAddress, PutModel: func() any { return new(arm.PlacedResource[addressProperties]) },
			Patch: (*arm.Call).PatchTags, PatchModel: func() any { return new(arm.TrackedResource[struct{}]) },
			Delete: deleteAddress,
		},
		{
			Name: ZonesType, CreateOnly: true, MaxTags: MaxZoneTags, Valid: zoneName,
			Rule: "two or more labels of up to 63 letters, digits, underscores and hyphens",
			Get:  getZone, List: (*arm.Call).ListStored,
			Put: putZone, PutModel: func() any { return new(armprivatedns.PrivateZone) },
			Delete: deleteZone,
		},
		{
			Name: LinksType, CreateOnly: true, MaxTags: MaxZoneTags, Valid: networkName, Rule: networkNameRule,
			Get: (*arm.Call).GetStored, List: (*arm.Call).ListStored,
			Put: putLink, PutModel: func() any { return new(armprivatedns.VirtualNetworkLink) },
			Delete: (*arm.Call).DeleteStored,
		},
	}}
}

var networkName = regexp.MustCompile(`^[a-zA-Z0-9]([-\w.]{0,78}\w)?$`)

const networkNameRule = "1 to 80 letters, digits, underscores, periods and hyphens, starting with a letter or digit " +
	"and not ending with a period or hyphen"

// checkName checks the name of a nested resource in the body of its parent.
func checkName(name string) error {
	if networkName.MatchString(name) {
		return nil
	}
	return arm.BadRequest("InvalidResourceName",
		"Resource name %s is invalid. The name must be %s.", name, networkNameRule)
}

// MaxZoneTags is the maximum number of tags of a private DNS zone or its virtual network link
// (learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations).
const MaxZoneTags = 15

// usedByEndpoint returns the subnet that a private endpoint is in.
func usedByEndpoint(res arm.Object) []string {
	return []string{arm.Text(arm.Child(arm.Child(res, "properties"), "subnet"), "id")}
}

// usedByGateway returns the public addresses of a NAT gateway.
func usedByGateway(res arm.Object) []string {
	var p GatewayProperties
	if err := arm.Decode(arm.Child(res, "properties"), &p); err != nil {
		return nil // putGateway has decoded it
	}
	var used []string
	for _, address := range p.Addresses {
		used = append(used, address.ID)
	}
	return used
}
