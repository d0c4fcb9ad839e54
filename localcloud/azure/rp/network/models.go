package network

import (
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
)

// Models of the bodies of Microsoft.Network. Other properties are not implemented. The models replace Azure's package
// armnetwork, which is as large as all other Azure packages together.

type routeTableProperties struct {
	Routes                []arm.NestedResource[routeProperties] `json:"routes"`
	DisableBGPPropagation bool                                  `json:"disableBgpRoutePropagation"`
	Subnets               []any                                 `json:"subnets"`
	ProvisioningState     string                                `json:"provisioningState"`
	ResourceGUID          string                                `json:"resourceGuid"`
}

type routeProperties struct {
	Prefix            string `json:"addressPrefix"`
	Hop               string `json:"nextHopType"`
	HopAddress        string `json:"nextHopIpAddress"`
	ProvisioningState string `json:"provisioningState"`
}

type securityGroupProperties struct {
	Rules             []struct{} `json:"securityRules"`
	Subnets           []any      `json:"subnets"`
	ProvisioningState string     `json:"provisioningState"`
	ResourceGUID      string     `json:"resourceGuid"`
}

// GatewayProperties are the properties of a NAT gateway.
type GatewayProperties struct {
	Addresses         []arm.SubResource `json:"publicIpAddresses"`
	Prefixes          []arm.SubResource `json:"publicIpPrefixes"`
	IdleMinutes       *int              `json:"idleTimeoutInMinutes"`
	Subnets           []any             `json:"subnets"`
	ProvisioningState string            `json:"provisioningState"`
	ResourceGUID      string            `json:"resourceGuid"`
}

type addressProperties struct {
	Method            string `json:"publicIPAllocationMethod"`
	Version           string `json:"publicIPAddressVersion"`
	Address           string `json:"ipAddress"`
	IdleMinutes       int    `json:"idleTimeoutInMinutes"`
	ProvisioningState string `json:"provisioningState"`
	ResourceGUID      string `json:"resourceGuid"`
}

// NetworkProperties are the properties of a virtual network.
type NetworkProperties struct {
	AddressSpace struct {
		AddressPrefixes []string `json:"addressPrefixes"`
	} `json:"addressSpace"`
	DHCPOptions struct {
		DNSServers []string `json:"dnsServers"`
	} `json:"dhcpOptions"`
	Subnets              []arm.NestedResource[SubnetProperties] `json:"subnets"`
	EnableDDoSProtection bool                                   `json:"enableDdosProtection"`
	EnableVMProtection   bool                                   `json:"enableVmProtection"`
	FlowTimeoutInMinutes int                                    `json:"flowTimeoutInMinutes"`
	Peerings             []struct{}                             `json:"virtualNetworkPeerings"`
	ProvisioningState    string                                 `json:"provisioningState"`
	ResourceGUID         string                                 `json:"resourceGuid"`
}

// SubnetProperties are the properties of a subnet.
type SubnetProperties struct {
	AddressPrefix    string   `json:"addressPrefix"`
	AddressPrefixes  []string `json:"addressPrefixes"`
	ServiceEndpoints []struct {
		Service           string   `json:"service"`
		Locations         []string `json:"locations"`
		ProvisioningState string   `json:"provisioningState"`
	} `json:"serviceEndpoints"`
	Delegations                       []struct{}      `json:"delegations"`
	RouteTable                        arm.SubResource `json:"routeTable"`
	NATGateway                        arm.SubResource `json:"natGateway"`
	SecurityGroup                     arm.SubResource `json:"networkSecurityGroup"`
	PrivateEndpointNetworkPolicies    string          `json:"privateEndpointNetworkPolicies"`
	PrivateLinkServiceNetworkPolicies string          `json:"privateLinkServiceNetworkPolicies"`
	DefaultOutboundAccess             *bool           `json:"defaultOutboundAccess"`
	PrivateEndpoints                  []any           `json:"privateEndpoints"`
	ProvisioningState                 string          `json:"provisioningState"`
}

type endpointProperties struct {
	Subnet            endpointSubnet                             `json:"subnet"`
	Connections       []arm.NestedResource[connectionProperties] `json:"privateLinkServiceConnections"`
	ManualConnections []arm.NestedResource[connectionProperties] `json:"manualPrivateLinkServiceConnections"`
	CustomDNSConfigs  []any                                      `json:"customDnsConfigs"`
	NetworkInterfaces []arm.SubResource                          `json:"networkInterfaces"`
	ProvisioningState string                                     `json:"provisioningState"`
	ResourceGUID      string                                     `json:"resourceGuid"`
}

// endpointSubnet is a reference to a subnet. Clients send defaults of the subnet with it, which have no effect.
type endpointSubnet struct {
	ID         string `json:"id"`
	Properties struct {
		PrivateEndpointNetworkPolicies    string `json:"privateEndpointNetworkPolicies"`
		PrivateLinkServiceNetworkPolicies string `json:"privateLinkServiceNetworkPolicies"`
	} `json:"properties"`
}

type connectionProperties struct {
	ServiceID         string         `json:"privateLinkServiceId"`
	GroupIDs          []string       `json:"groupIds"`
	RequestMessage    string         `json:"requestMessage"`
	State             map[string]any `json:"privateLinkServiceConnectionState"`
	ProvisioningState string         `json:"provisioningState"`
}

type zoneGroupProperties struct {
	Configs           []zoneConfig `json:"privateDnsZoneConfigs"`
	ProvisioningState string       `json:"provisioningState"`
}

type zoneConfig struct {
	Name       string `json:"name"`
	Properties struct {
		ZoneID     string `json:"privateDnsZoneId"`
		RecordSets []any  `json:"recordSets"`
	} `json:"properties"`
}
