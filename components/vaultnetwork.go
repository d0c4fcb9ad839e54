package components

import (
	"fmt"
	"net/netip"

	keyvault "github.com/pulumi/pulumi-azure-native-sdk/keyvault/v2/v20241101"
	network "github.com/pulumi/pulumi-azure-native-sdk/network/v2/v20210201"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Azure's limits: https://learn.microsoft.com/azure/key-vault/general/network-security#restrictions-and-considerations
const (
	ipRulesMax     = 1000
	subnetRulesMax = 200
)

// VaultNetworkArgs are the vault's firewall, which filters traffic from the public network. It does not apply to
// private endpoints, nor to Azure Resource Manager, which creates the vault's secrets and keys.
type VaultNetworkArgs struct {
	// DefaultAction is what happens to traffic that no rule allows: Allow or Deny. Defaults to Deny.
	DefaultAction FirewallAction `pulumi:"defaultAction,optional"`
	// Bypass is AzureServices, which lets trusted Azure services bypass the firewall
	// (https://learn.microsoft.com/azure/key-vault/general/network-security), or None. Defaults to AzureServices.
	Bypass FirewallBypass `pulumi:"bypass,optional"`
	// AllowedIPRanges are up to 1000 public IPv4 addresses or ranges, such as 203.0.113.7 or 203.0.113.0/24. Outputs are
	// checked once they are known. Defaults to none.
	AllowedIPRanges pulumi.StringArrayInput `pulumi:"allowedIpRanges,optional"`
	// SubnetIDs are the ARM ids of up to 200 subnets that may reach the vault. Each must have the service endpoint
	// Microsoft.KeyVault. Defaults to none.
	SubnetIDs pulumi.StringArrayInput `pulumi:"subnetIds,optional"`
}

// PrivateEndpointArgs give the vault an address in a virtual network. Give exactly one of SubnetID and External.
type PrivateEndpointArgs struct {
	// SubnetID is the ARM id of the subnet of the address, in the vault's location. A change replaces the endpoint.
	SubnetID pulumi.StringInput `pulumi:"subnetId,optional"`
	// PrivateDNSZoneID is the ARM id of the private DNS zone for the vault's name, in the public cloud
	// privatelink.vaultcore.azure.net. Defaults to none: you must make the vault's name resolve to the address yourself.
	PrivateDNSZoneID pulumi.StringInput `pulumi:"privateDnsZoneId,optional"`
	// External says that somebody else creates the nodes' connection to the vault, such as a private endpoint that Azure
	// Policy creates in a hub. The component creates no endpoint then. Not together with PrivateDNSZoneID. Defaults to
	// false.
	External bool `pulumi:"external,optional"`
}

// networkRules returns the firewall for Azure, or nil if there is none.
func networkRules(args *VaultNetworkArgs) keyvault.NetworkRuleSetPtrInput {
	if args == nil {
		return nil
	}
	ranges := allowedRanges.checked("network.allowedIpRanges", args.AllowedIPRanges)
	ipRules := ranges.ApplyT(func(ranges []string) []keyvault.IPRule {
		rules := make([]keyvault.IPRule, len(ranges))
		for i, r := range ranges {
			rules[i].Value = r
		}
		return rules
	}).(keyvault.IPRuleArrayOutput)
	subnets := allowedSubnets.checked("network.subnetIds", args.SubnetIDs)
	networkRules := subnets.ApplyT(func(ids []string) []keyvault.VirtualNetworkRule {
		rules := make([]keyvault.VirtualNetworkRule, len(ids))
		for i, id := range ids {
			rules[i].Id = id
		}
		return rules
	}).(keyvault.VirtualNetworkRuleArrayOutput)
	return keyvault.NetworkRuleSetArgs{
		DefaultAction:       pulumi.String(withDefault(args.DefaultAction, FirewallDeny)),
		Bypass:              pulumi.String(withDefault(args.Bypass, BypassAzureServices)),
		IpRules:             ipRules,
		VirtualNetworkRules: networkRules,
	}
}

// Rules for the firewall's lists.
var (
	allowedRanges = listRule{ipRulesMax, "ranges", func(v *violations, path, r string) {
		v.check(publicRange(r), path, r,
			"a public IPv4 address or range whose address is the range's first, such as 203.0.113.7 or 203.0.113.0/24")
	}}
	allowedSubnets = listRule{subnetRulesMax, "subnets", func(v *violations, path, id string) {
		v.match(subnetID, path, id, "the ARM id of a subnet")
	}}
)

// newPrivateEndpoint creates the private endpoint, and returns the last resource that pods need to reach the vault
// through it.
func (c *KeyVaultStack) newPrivateEndpoint(
	ctx *pulumi.Context, name string, args *KeyVaultStackArgs, vaultID pulumi.StringInput,
) (pulumi.Resource, error) {
	endpoint, err := network.NewPrivateEndpoint(ctx, name+"-private-endpoint", &network.PrivateEndpointArgs{
		ResourceGroupName: args.ResourceGroupName,
		Location:          args.Location,
		Tags:              args.Tags,
		Subnet:            network.SubnetArgs{Id: optionalInput(args.PrivateEndpoint.SubnetID)},
		PrivateLinkServiceConnections: network.PrivateLinkServiceConnectionArray{network.PrivateLinkServiceConnectionArgs{
			Name:                 pulumi.String("vault"),
			PrivateLinkServiceId: optionalInput(vaultID),
			GroupIds:             pulumi.ToStringArray([]string{"vault"}),
		}},
		// Azure refuses to connect an existing endpoint to another vault (PrivateLinkServiceIdCannotBeChanged).
	}, pulumi.Parent(c), pulumi.ReplaceOnChanges([]string{"privateLinkServiceConnections"}))
	if err != nil {
		return nil, fmt.Errorf("creating the private endpoint: %w", err)
	}
	if args.PrivateEndpoint.PrivateDNSZoneID == nil {
		return endpoint, nil
	}
	group, err := network.NewPrivateDnsZoneGroup(ctx, name+"-dns-zone-group", &network.PrivateDnsZoneGroupArgs{
		ResourceGroupName:       args.ResourceGroupName,
		PrivateEndpointName:     endpoint.Name,
		PrivateDnsZoneGroupName: pulumi.String("default"),
		PrivateDnsZoneConfigs: network.PrivateDnsZoneConfigArray{network.PrivateDnsZoneConfigArgs{
			Name:             pulumi.String("vault"),
			PrivateDnsZoneId: optionalInput(args.PrivateEndpoint.PrivateDNSZoneID),
		}},
	}, pulumi.Parent(c))
	if err != nil {
		return nil, fmt.Errorf("registering the private endpoint in the DNS zone: %w", err)
	}
	return group, nil
}

func (v *violations) validateVaultNetwork(args *KeyVaultStackArgs) {
	access := withDefault(args.PublicNetworkAccess, PublicNetworkEnabled)
	oneOf(v, "publicNetworkAccess", access, PublicNetworkEnabled, PublicNetworkDisabled)
	if e := args.PrivateEndpoint; e != nil && e.External {
		const others = "nothing with external, because the endpoint is created elsewhere"
		if e.SubnetID != nil {
			v.state("privateEndpoint.subnetId", "a value", others)
		}
		if e.PrivateDNSZoneID != nil {
			v.state("privateEndpoint.privateDnsZoneId", "a value", others)
		}
	}
	v.validateWayIn(args, access)
	n := args.Network
	if n == nil {
		return
	}
	oneOf(v, "network.defaultAction", withDefault(n.DefaultAction, FirewallDeny), FirewallAllow, FirewallDeny)
	oneOf(v, "network.bypass", withDefault(n.Bypass, BypassAzureServices), BypassAzureServices, BypassNone)
	allowedRanges.plain(v, "network.allowedIpRanges", n.AllowedIPRanges)
	allowedSubnets.plain(v, "network.subnetIds", n.SubnetIDs)
	if access == PublicNetworkDisabled {
		const ignored = "nothing while publicNetworkAccess is Disabled, because Azure would ignore it"
		if !empty(n.AllowedIPRanges) {
			v.state("network.allowedIpRanges", "ranges", ignored)
		}
		if !empty(n.SubnetIDs) {
			v.state("network.subnetIds", "subnets", ignored)
		}
	}
}

// validateWayIn rejects a vault that no node could reach: pods would wait forever for their files
// (https://learn.microsoft.com/azure/key-vault/general/network-security).
func (v *violations) validateWayIn(args *KeyVaultStackArgs, access PublicNetworkAccess) {
	const ways = "access for the nodes: privateEndpoint.subnetId, or privateEndpoint.external if the endpoint is " +
		"created elsewhere"
	n := args.Network
	switch {
	case args.PrivateEndpoint != nil:
	case access == PublicNetworkDisabled:
		v.state("publicNetworkAccess", string(access)+" without privateEndpoint", ways)
	case n != nil && n.closed():
		v.state("network", "a firewall that lets nobody in", ways+"; or the nodes' subnet in subnetIds; or their outbound "+
			"addresses in allowedIpRanges")
	}
}

// closed reports whether the firewall rejects everybody.
func (n *VaultNetworkArgs) closed() bool {
	return withDefault(n.DefaultAction, FirewallDeny) == FirewallDeny && empty(n.SubnetIDs) && empty(n.AllowedIPRanges)
}

// notPublic are ranges that never occur on the internet. Key Vault rejects those of RFC 1918.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/3"),
}

func publicRange(text string) bool {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		address, err := netip.ParseAddr(text)
		if err != nil {
			return false
		}
		prefix = netip.PrefixFrom(address, address.BitLen())
	}
	if !prefix.Addr().Is4() || prefix.Masked() != prefix {
		return false
	}
	for _, other := range notPublic {
		if prefix.Overlaps(other) {
			return false
		}
	}
	return true
}
