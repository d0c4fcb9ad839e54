package arm

// Models of the bodies of Microsoft.Network. The official package is as big as all others together; these have what is acted on, or
// only kept and shown. What else Azure knows is not implemented here.

type subResource struct {
	ID string `json:"id"`
}

// nestedResource is a resource that is written inside another one's body.
type nestedResource[P any] struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Type       string `json:"type"`
	Etag       string `json:"etag"`
	Properties P      `json:"properties"`
}

type trackedResource[P any] struct {
	Location   string            `json:"location"`
	Tags       map[string]string `json:"tags"`
	Properties P                 `json:"properties"`
}

// placedResource has a sku, and may be in zones.
type placedResource[P any] struct {
	Location string            `json:"location"`
	Tags     map[string]string `json:"tags"`
	Zones    []string          `json:"zones"`
	SKU      struct {
		Name string `json:"name"`
		Tier string `json:"tier"`
	} `json:"sku"`
	Properties P `json:"properties"`
}

type routeTableProperties struct {
	Routes                []nestedResource[routeProperties] `json:"routes"`
	DisableBGPPropagation bool                              `json:"disableBgpRoutePropagation"`
	Subnets               []any                             `json:"subnets"`
	ProvisioningState     string                            `json:"provisioningState"`
	ResourceGUID          string                            `json:"resourceGuid"`
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

type gatewayProperties struct {
	Addresses         []subResource `json:"publicIpAddresses"`
	Prefixes          []subResource `json:"publicIpPrefixes"`
	IdleMinutes       *int          `json:"idleTimeoutInMinutes"`
	Subnets           []any         `json:"subnets"`
	ProvisioningState string        `json:"provisioningState"`
	ResourceGUID      string        `json:"resourceGuid"`
}

type addressProperties struct {
	Method            string `json:"publicIPAllocationMethod"`
	Version           string `json:"publicIPAddressVersion"`
	Address           string `json:"ipAddress"`
	IdleMinutes       int    `json:"idleTimeoutInMinutes"`
	ProvisioningState string `json:"provisioningState"`
	ResourceGUID      string `json:"resourceGuid"`
}

type networkProperties struct {
	AddressSpace struct {
		AddressPrefixes []string `json:"addressPrefixes"`
	} `json:"addressSpace"`
	DHCPOptions struct {
		DNSServers []string `json:"dnsServers"`
	} `json:"dhcpOptions"`
	Subnets              []nestedResource[subnetProperties] `json:"subnets"`
	EnableDDoSProtection bool                               `json:"enableDdosProtection"`
	EnableVMProtection   bool                               `json:"enableVmProtection"`
	FlowTimeoutInMinutes int                                `json:"flowTimeoutInMinutes"`
	Peerings             []struct{}                         `json:"virtualNetworkPeerings"`
	ProvisioningState    string                             `json:"provisioningState"`
	ResourceGUID         string                             `json:"resourceGuid"`
}

type subnetProperties struct {
	AddressPrefix    string   `json:"addressPrefix"`
	AddressPrefixes  []string `json:"addressPrefixes"`
	ServiceEndpoints []struct {
		Service           string   `json:"service"`
		Locations         []string `json:"locations"`
		ProvisioningState string   `json:"provisioningState"`
	} `json:"serviceEndpoints"`
	Delegations                       []struct{}  `json:"delegations"`
	RouteTable                        subResource `json:"routeTable"`
	NATGateway                        subResource `json:"natGateway"`
	SecurityGroup                     subResource `json:"networkSecurityGroup"`
	PrivateEndpointNetworkPolicies    string      `json:"privateEndpointNetworkPolicies"`
	PrivateLinkServiceNetworkPolicies string      `json:"privateLinkServiceNetworkPolicies"`
	DefaultOutboundAccess             *bool       `json:"defaultOutboundAccess"`
	PrivateEndpoints                  []any       `json:"privateEndpoints"`
	ProvisioningState                 string      `json:"provisioningState"`
}

type endpointProperties struct {
	Subnet            endpointSubnet                         `json:"subnet"`
	Connections       []nestedResource[connectionProperties] `json:"privateLinkServiceConnections"`
	ManualConnections []nestedResource[connectionProperties] `json:"manualPrivateLinkServiceConnections"`
	CustomDNSConfigs  []any                                  `json:"customDnsConfigs"`
	NetworkInterfaces []subResource                          `json:"networkInterfaces"`
	ProvisioningState string                                 `json:"provisioningState"`
	ResourceGUID      string                                 `json:"resourceGuid"`
}

// endpointSubnet is a reference to a subnet, with which clients send the subnet's defaults; they change nothing about it.
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
