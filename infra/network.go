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
	// Nodes is the range of the subnet that the nodes are in. Required.
	Nodes string `pulumi:"nodes"`
	// Endpoints is the range of the subnet that private endpoints are in. Required.
	Endpoints string `pulumi:"endpoints"`
}

// Network is a virtual network in which the vault's name leads to its private endpoint.
type Network struct {
	// NodeSubnetID is the ARM id of the nodes' subnet.
	NodeSubnetID pulumi.StringOutput
	// EndpointSubnetID is the ARM id of the private endpoints' subnet.
	EndpointSubnetID pulumi.StringOutput
	// VaultZoneID is the ARM id of the vaults' private DNS zone; it resolves once the zone is linked to the network. There
	// is none where the vault has its endpoint elsewhere.
	VaultZoneID pulumi.StringOutput
}

const (
	nodeSubnet     = "nodes"
	endpointSubnet = "endpoints"
)

// vaultZones are the zones of vaults' private endpoints, by cloud:
// https://learn.microsoft.com/azure/private-link/private-endpoint-dns
var vaultZones = map[components.Cloud]string{
	"":                                "privatelink.vaultcore.azure.net",
	components.AzurePublicCloud:       "privatelink.vaultcore.azure.net",
	components.AzureUSGovernmentCloud: "privatelink.vaultcore.usgovcloudapi.net",
	components.AzureChinaCloud:        "privatelink.vaultcore.azure.cn",
}

func newNetwork(ctx *pulumi.Context, cfg *Config, group pulumi.StringInput) (*Network, error) {
	// The SDK's package with virtual networks takes a minute and gigabytes to compile; it would send the same.
	var vnet pulumi.CustomResourceState
	err := ctx.RegisterResource("azure-native:network/v20230601:VirtualNetwork", "network", pulumi.Map{
		"resourceGroupName": group,
		"location":          pulumi.String(cfg.Location),
		"tags":              cfg.allTags,
		"addressSpace":      pulumi.Map{"addressPrefixes": pulumi.ToStringArray([]string{cfg.Network.AddressSpace})},
		"subnets": pulumi.Array{
			pulumi.Map{
				"name":             pulumi.String(nodeSubnet),
				"addressPrefix":    pulumi.String(cfg.Network.Nodes),
				"serviceEndpoints": pulumi.Array{pulumi.Map{"service": pulumi.String("Microsoft.KeyVault")}},
			},
			pulumi.Map{"name": pulumi.String(endpointSubnet), "addressPrefix": pulumi.String(cfg.Network.Endpoints)},
		},
	}, &vnet, utilities.PkgResourceDefaultOpts(nil)...)
	if err != nil {
		return nil, fmt.Errorf("creating the virtual network: %w", err)
	}
	n := &Network{
		NodeSubnetID:     pulumi.Sprintf("%s/subnets/%s", vnet.ID(), nodeSubnet),
		EndpointSubnetID: pulumi.Sprintf("%s/subnets/%s", vnet.ID(), endpointSubnet),
	}
	if !cfg.vaultInNetwork() {
		return n, nil
	}
	if n.VaultZoneID, err = newVaultZone(ctx, cfg, group, vnet.ID()); err != nil {
		return nil, err
	}
	return n, nil
}

// vaultInNetwork says whether the stack's vault has its endpoint in the stack's network. Another vault's name must not
// be looked for in the network's zone, where it would not be found.
func (cfg *Config) vaultInNetwork() bool {
	return cfg.Network != nil && cfg.ExistingVaultID == "" && cfg.VaultPrivateEndpoint == nil
}

// newVaultZone makes the zone in which the vault's name leads to its endpoint, and shows it to the network.
func newVaultZone(ctx *pulumi.Context, cfg *Config, group pulumi.StringInput, vnet pulumi.IDOutput) (pulumi.StringOutput, error) {
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

// reservedByAzure are the ranges that no virtual network can have, besides those that AKS keeps:
// https://learn.microsoft.com/azure/virtual-network/virtual-networks-faq#what-address-ranges-can-i-use-in-my-virtual-networks
var reservedByAzure = []netip.Prefix{
	netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("255.255.255.255/32"), netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("168.63.129.16/32"),
}

// validate checks that the subnets lie in the network, and apart, and the network apart from the cluster's own ranges.
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
	space, nodes, endpoints := parse("addressSpace", n.AddressSpace), parse("nodes", n.Nodes), parse("endpoints", n.Endpoints)
	for _, subnet := range []struct {
		path   string
		prefix netip.Prefix
	}{{"nodes", nodes}, {"endpoints", endpoints}} {
		switch {
		case !space.IsValid() || !subnet.prefix.IsValid():
		case subnet.prefix.Bits() < space.Bits() || !space.Overlaps(subnet.prefix):
			v.check(false, "network."+subnet.path, subnet.prefix.String(), "a range in addressSpace")
		case subnet.prefix.Bits() > 29: // https://learn.microsoft.com/azure/virtual-network/virtual-networks-faq
			v.check(false, "network."+subnet.path, subnet.prefix.String(), "a range of at least 8 addresses, /29")
		}
	}
	if nodes.IsValid() && endpoints.IsValid() && nodes.Overlaps(endpoints) {
		v.check(false, "network.endpoints", n.Endpoints, "a range apart from nodes")
	}
	if space.IsValid() && (components.ReservedByAKS(space) || slices.ContainsFunc(reservedByAzure, space.Overlaps)) {
		v.check(false, "network.addressSpace", n.AddressSpace,
			"a range apart from those that Azure and AKS reserve, such as 169.254.0.0/16, 172.30.0.0/15, 192.0.2.0/24 and 224.0.0.0/4")
	}
	for _, inside := range []string{services, pods} {
		// A range that cannot be read is the cluster's to report. https://learn.microsoft.com/azure/aks/azure-cni-overlay
		if taken, err := netip.ParsePrefix(inside); err == nil && space.IsValid() && taken.Overlaps(space) {
			v.check(false, "network.addressSpace", n.AddressSpace, "a range apart from those inside the cluster, here "+inside)
		}
	}
	return v
}
