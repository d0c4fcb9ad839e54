package infra

import (
	"fmt"
	"net/netip"
	"slices"

	network "github.com/pulumi/pulumi-azure-native-sdk/network/v2/v20240601"
	"github.com/pulumi/pulumi-azure-native-sdk/v2/utilities"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
)

// NetworkConfig describes a virtual network for the stack.
type NetworkConfig struct {
	// AddressSpace of the virtual network, a private IPv4 range such as 10.10.0.0/16. Required.
	AddressSpace string `pulumi:"addressSpace"`
	// Nodes is the range of the nodes' subnet. Required.
	Nodes string `pulumi:"nodes"`
	// Endpoints is the range of the private endpoints' subnet. Required.
	Endpoints string `pulumi:"endpoints"`
}

// Network is a virtual network in which the vault's name resolves to its private endpoint.
type Network struct {
	// NodeSubnetID is the ARM id of the nodes' subnet.
	NodeSubnetID pulumi.StringOutput
	// EndpointSubnetID is the ARM id of the private endpoints' subnet.
	EndpointSubnetID pulumi.StringOutput
	// VaultZoneID is the ARM id of the vaults' private DNS zone. It resolves once the zone is linked to the network. Nil
	// if the vault's endpoint is elsewhere.
	VaultZoneID pulumi.StringOutput
}

const (
	nodeSubnet     = "nodes"
	endpointSubnet = "endpoints"
)

// vaultZones are the private DNS zones of vaults, by cloud:
// https://learn.microsoft.com/azure/private-link/private-endpoint-dns
var vaultZones = map[components.Cloud]string{
	"":                                "privatelink.vaultcore.azure.net",
	components.AzurePublicCloud:       "privatelink.vaultcore.azure.net",
	components.AzureUSGovernmentCloud: "privatelink.vaultcore.usgovcloudapi.net",
	components.AzureChinaCloud:        "privatelink.vaultcore.azure.cn",
}

func newNetwork(ctx *pulumi.Context, cfg *Config, group pulumi.StringInput) (*Network, error) {
	// The SDK's package for virtual networks takes a minute and gigabytes of memory to compile, and would send the same.
	// Subnets are separate resources: the provider sends a network without subnets with those that exist, unchanged.
	vnet := &virtualNetwork{}
	err := ctx.RegisterResource("azure-native:network/v20230601:VirtualNetwork", "network", pulumi.Map{
		"resourceGroupName": group,
		"location":          pulumi.String(cfg.Location),
		"tags":              cfg.allTags,
		"addressSpace":      pulumi.Map{"addressPrefixes": pulumi.ToStringArray([]string{cfg.Network.AddressSpace})},
	}, vnet, utilities.PkgResourceDefaultOpts(nil)...)
	if err != nil {
		return nil, fmt.Errorf("creating the virtual network: %w", err)
	}
	there := vnet.subnets(ctx, cfg)
	nodes, err := vnet.newSubnet(ctx, group, nodeSubnet, cfg.Network.Nodes, there, pulumi.Map{
		"serviceEndpoints": pulumi.Array{pulumi.Map{"service": pulumi.String("Microsoft.KeyVault")}},
	})
	if err != nil {
		return nil, err
	}
	// Azure creates one subnet of a network at a time.
	endpoints, err := vnet.newSubnet(ctx, group, endpointSubnet, cfg.Network.Endpoints, there, nil, nodes)
	if err != nil {
		return nil, err
	}
	// The ids are composed of the network's id and the names, so that a preview knows them before the subnets exist.
	id := func(subnet pulumi.Resource, name string) pulumi.StringOutput {
		of := pulumi.Sprintf("%s/subnets/%s", vnet.ID(), name)
		return pulumi.OutputWithDependencies(ctx.Context(), of, subnet).(pulumi.StringOutput)
	}
	n := &Network{NodeSubnetID: id(nodes, nodeSubnet), EndpointSubnetID: id(endpoints, endpointSubnet)}
	if !cfg.vaultInNetwork() {
		return n, nil
	}
	if n.VaultZoneID, err = newVaultZone(ctx, cfg, group, vnet.ID()); err != nil {
		return nil, err
	}
	return n, nil
}

// virtualNetwork is a virtual network, registered without the SDK's type.
type virtualNetwork struct {
	pulumi.CustomResourceState

	Name pulumi.StringOutput `pulumi:"name"`
}

// subnetProperties are properties that others set on a subnet, through az or a policy, such as the route table and the
// network security group. Azure drops what the next write of the subnet omits, so the program never writes an existing
// subnet. It compares the subnet's range instead.
var subnetProperties = []string{
	"addressPrefix",
	"addressPrefixes",
	"applicationGatewayIPConfigurations",
	"defaultOutboundAccess",
	"delegations",
	"id",
	"ipAllocations",
	"name",
	"natGateway",
	"networkSecurityGroup",
	"privateEndpointNetworkPolicies",
	"privateLinkServiceNetworkPolicies",
	"routeTable",
	"serviceEndpointPolicies",
	"serviceEndpoints",
	"type",
}

// newSubnet registers a subnet. It takes over an existing one unchanged, since earlier versions created subnets as a
// part of the network.
func (vnet *virtualNetwork) newSubnet(
	ctx *pulumi.Context,
	group pulumi.StringInput,
	name, prefix string,
	there pulumi.StringMapOutput,
	more pulumi.Map,
	after ...pulumi.Resource,
) (pulumi.Resource, error) {
	inputs := pulumi.Map{
		"resourceGroupName":  group,
		"virtualNetworkName": vnet.Name,
		"subnetName":         pulumi.String(name),
		"addressPrefix":      pulumi.String(prefix),
	}
	for key, value := range more {
		inputs[key] = value
	}
	found := there.ApplyT(func(ids map[string]string) pulumi.ID { return pulumi.ID(ids[name]) }).(pulumi.IDOutput)
	var subnet pulumi.CustomResourceState
	err := ctx.RegisterResource("azure-native:network/v20230601:Subnet", "network-"+name, inputs, &subnet,
		append(utilities.PkgResourceDefaultOpts(nil),
			pulumi.Import(found), pulumi.IgnoreChanges(subnetProperties), pulumi.DependsOn(after),
			pulumi.RetainOnDelete(true), // it goes with the network
		)...)
	if err != nil {
		return nil, fmt.Errorf("creating the subnet %s: %w", name, err)
	}
	return &subnet, nil
}

// subnets returns the ids of the network's subnets by name, or none if the network is new. It fails if an existing
// subnet has another range than configured: Azure would not change the range of a subnet in use, and the write would
// drop what others have set.
func (vnet *virtualNetwork) subnets(ctx *pulumi.Context, cfg *Config) pulumi.StringMapOutput {
	return pulumi.All(vnet.ID(), vnet.Name).ApplyT(func(all []any) (map[string]string, error) {
		id, name := string(all[0].(pulumi.ID)), all[1].(string)
		var found struct {
			Subnets []struct {
				ID            string `pulumi:"id"`
				Name          string `pulumi:"name"`
				AddressPrefix string `pulumi:"addressPrefix"`
			} `pulumi:"subnets"`
		}
		err := ctx.Invoke("azure-native:network/v20230601:getVirtualNetwork", &struct {
			ResourceGroupName string `pulumi:"resourceGroupName"`
			Name              string `pulumi:"virtualNetworkName"`
		}{cfg.ResourceGroupName, name}, &found, utilities.PkgInvokeDefaultOpts(nil)...)
		if err != nil {
			return nil, fmt.Errorf("looking for the virtual network %s, which this stack created: %w. If it was deleted, run "+
				"pulumi refresh and update to create another", id, err)
		}
		var v violations
		ids := map[string]string{}
		for _, subnet := range found.Subnets {
			ids[subnet.Name] = subnet.ID
			for path, given := range map[string]string{nodeSubnet: cfg.Network.Nodes, endpointSubnet: cfg.Network.Endpoints} {
				if subnet.Name == path && subnet.AddressPrefix != "" && subnet.AddressPrefix != given {
					v.check(false, "network."+path, given, "the subnet's range, "+subnet.AddressPrefix+": change it first, with az "+
						"network vnet subnet update --address-prefixes")
				}
			}
		}
		if len(v) > 0 {
			v.hideLate(func(at string) bool { return ctx.IsConfigSecret(ctx.Project() + ":" + keyOf(at)) })
			return nil, &components.ValidationError{Violations: v}
		}
		return ids, nil
	}).(pulumi.StringMapOutput)
}

// vaultInNetwork reports whether the stack's vault has its endpoint in the stack's network. The zone must not be linked
// for another vault, whose name would then not resolve.
func (cfg *Config) vaultInNetwork() bool {
	return cfg.Network != nil && cfg.ExistingVaultID == "" && cfg.VaultPrivateEndpoint == nil
}

// newVaultZone creates the private DNS zone of the vault's endpoint and links it to the network.
func newVaultZone(
	ctx *pulumi.Context, cfg *Config, group pulumi.StringInput, vnet pulumi.IDOutput,
) (pulumi.StringOutput, error) {
	none := pulumi.StringOutput{}
	zone, err := network.NewPrivateZone(ctx, "vault-zone", &network.PrivateZoneArgs{
		ResourceGroupName: group,
		PrivateZoneName:   pulumi.String(vaultZones[cfg.CloudName]),
		Location:          pulumi.String("global"),
		Tags:              cfg.allTags,
	})
	if err != nil {
		return none, fmt.Errorf("creating the vaults' private DNS zone: %w", err)
	}
	link, err := network.NewVirtualNetworkLink(ctx, "vault-zone-link", &network.VirtualNetworkLinkArgs{
		ResourceGroupName:      group,
		PrivateZoneName:        zone.Name,
		VirtualNetworkLinkName: pulumi.String("network"),
		Location:               pulumi.String("global"),
		Tags:                   cfg.allTags,
		VirtualNetwork:         network.SubResourceArgs{Id: vnet},
		RegistrationEnabled:    pulumi.Bool(false),
	})
	if err != nil {
		return none, fmt.Errorf("linking the vaults' private DNS zone: %w", err)
	}
	return pulumi.OutputWithDependencies(ctx.Context(), zone.ID().ToStringOutput(), link).(pulumi.StringOutput), nil
}

// reservedByAzure are the ranges that no virtual network can use, besides those that AKS reserves:
// https://learn.microsoft.com/azure/virtual-network/virtual-networks-faq#what-address-ranges-can-i-use-in-my-virtual-networks
var reservedByAzure = []netip.Prefix{
	netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("255.255.255.255/32"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("168.63.129.16/32"),
}

// validate checks that the subnets lie in the network without overlapping, and that the network does not overlap the
// cluster's own ranges.
func (n *NetworkConfig) validate(services, pods string) violations {
	var v violations
	parse := func(path, given string) netip.Prefix {
		prefix, err := netip.ParsePrefix(given)
		if err != nil || !prefix.Addr().Is4() || prefix != prefix.Masked() {
			v.check(false, "network."+path, given, "an IPv4 range without bits after the prefix, such as 10.10.0.0/16")
			return netip.Prefix{}
		}
		return prefix
	}
	space, nodes := parse("addressSpace", n.AddressSpace), parse("nodes", n.Nodes)
	endpoints := parse("endpoints", n.Endpoints)
	for _, subnet := range []struct {
		path   string
		prefix netip.Prefix
	}{{"nodes", nodes}, {"endpoints", endpoints}} {
		switch {
		case !space.IsValid() || !subnet.prefix.IsValid():
		case subnet.prefix.Bits() < space.Bits() || !space.Overlaps(subnet.prefix):
			v.check(false, "network."+subnet.path, subnet.prefix.String(), "a range in addressSpace")
		case subnet.prefix.Bits() > 29: // https://learn.microsoft.com/azure/virtual-network/virtual-networks-faq
			v.check(false, "network."+subnet.path, subnet.prefix.String(), "a range of at least 8 addresses (/29)")
		}
	}
	if nodes.IsValid() && endpoints.IsValid() && nodes.Overlaps(endpoints) {
		v.check(false, "network.endpoints", n.Endpoints, "a range that does not overlap nodes")
	}
	if space.IsValid() && (components.ReservedByAKS(space) || slices.ContainsFunc(reservedByAzure, space.Overlaps)) {
		v.check(
			false,
			"network.addressSpace",
			n.AddressSpace,
			"a range that does not overlap those that Azure and AKS reserve, such as 169.254.0.0/16, 172.30.0.0/15, "+
				"192.0.2.0/24 and "+
				"224.0.0.0/4",
		)
	}
	for _, inside := range []string{services, pods} {
		// The cluster reports a range that cannot be parsed. https://learn.microsoft.com/azure/aks/azure-cni-overlay
		if taken, err := netip.ParsePrefix(inside); err == nil && space.IsValid() && taken.Overlaps(space) {
			v.check(false, "network.addressSpace", n.AddressSpace, "a range that does not overlap those inside the cluster, "+
				"here "+inside)
		}
	}
	return v
}
