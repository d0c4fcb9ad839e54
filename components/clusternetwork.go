package components

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// azure-native's SDK sends these defaults when an address range is omitted.
const (
	defaultPodCIDR     = "10.244.0.0/16"
	defaultServiceCIDR = "10.0.0.0/16"
)

// https://learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges
const authorizedRangesMax = 200

// APIServerArgs say who may connect to the cluster's API server, before anybody signs in.
type APIServerArgs struct {
	// AuthorizedIPRanges are the public ranges that may reach the API server: at most 200, in CIDR notation such as
	// 203.0.113.0/24, IPv4 only. Defaults to everywhere, which is for development. The machine that runs the program must
	// be in one of them. Outputs are checked once they are known. Not with Private.
	AuthorizedIPRanges pulumi.StringArrayInput `pulumi:"authorizedIpRanges,optional"`
	// Private gives the API server a private address only. Defaults to false, which without AuthorizedIPRanges is for
	// development. The machine that runs the program must reach the cluster's network and resolve its private DNS zone.
	// Azure refuses to change it later.
	Private bool `pulumi:"private,optional"`
	// PrivateDNSZone of a private API server is system for a zone that AKS creates; none for a name in public DNS that
	// resolves to the private address; or the ARM id of a zone privatelink.<region>.azmk8s.io or a subzone of it.
	// IdentityID must be able to write to that zone, as Private DNS Zone Contributor and, on the zone's virtual network,
	// Network Contributor (https://learn.microsoft.com/azure/aks/private-clusters). Outputs are checked once they are
	// known. Defaults to system.
	PrivateDNSZone pulumi.StringInput `pulumi:"privateDnsZone,optional"`
	// DisableRunCommand disables az aks command invoke. Defaults to false, which is for development. That command runs
	// commands in the cluster and bypasses all network rules.
	DisableRunCommand bool `pulumi:"disableRunCommand,optional"`
}

// Values of APIServerArgs.PrivateDNSZone that are not ids.
const (
	systemZone = "system"
	noZone     = "none"
)

const dnsZoneRule = "system, none, the ARM id of a private DNS zone privatelink.<region>.azmk8s.io or of a subzone " +
	"of it"

func validZone(zone string) bool {
	return zone == systemZone || zone == noZone || clusterZoneID.MatchString(zone)
}

// ownsZone reports whether a zone is, or may turn out to be, the caller's own.
func ownsZone(zone pulumi.StringInput) bool {
	plain := plainText(zone)
	return !missing(zone) && plain != systemZone && plain != noZone
}

// authorizedRanges are the rules for the ranges of an API server.
var authorizedRanges = listRule{authorizedRangesMax, "ranges", func(v *violations, path, r string) {
	parsed, ok := v.ipv4Range(path, r, 32, "an IPv4 range in CIDR notation, such as 203.0.113.0/24")
	v.check(!ok || !parsed.Addr().IsPrivate(), path, r,
		"a range of public addresses, because the API server sees only those")
}}

func (args *AksWithCsiArgs) apiServerProfile() containerservice.ManagedClusterAPIServerAccessProfileArgs {
	var api APIServerArgs
	if args.APIServer != nil {
		api = *args.APIServer
	}
	profile := containerservice.ManagedClusterAPIServerAccessProfileArgs{
		EnablePrivateCluster: pulumi.Bool(api.Private),
		DisableRunCommand:    pulumi.Bool(api.DisableRunCommand),
	}
	if !api.Private {
		// An empty list opens the API server again.
		profile.AuthorizedIPRanges = authorizedRanges.checked("apiServer.authorizedIpRanges", api.AuthorizedIPRanges)
		return profile
	}
	var zone pulumi.StringInput = pulumi.String(systemZone)
	if !missing(api.PrivateDNSZone) {
		zone = api.PrivateDNSZone
	}
	known := zone.ToStringOutput().ApplyT(func(zone string) (string, error) {
		if !validZone(zone) {
			return "", invalid("apiServer.privateDnsZone", quote(zone), dnsZoneRule)
		}
		return zone, nil
	}).(pulumi.StringOutput)
	profile.PrivateDNSZone = known.ToStringPtrOutput()
	// Azure's default publishes the private address in public DNS. Without a zone there is no other name.
	profile.EnablePrivateClusterPublicFQDN = known.ApplyT(func(zone string) *bool {
		public := zone == noZone
		return &public
	}).(pulumi.BoolPtrOutput)
	return profile
}

// OutboundArgs configure the public addresses and ports by which nodes reach the internet, for the load balancer or the
// NAT gateway that AKS creates. Omitted arguments have Azure's defaults. The arguments are for
// [AksWithCsiArgs.OutboundType], even if somebody else has changed the cluster's outbound type. A change replaces
// nothing. A change by somebody else, such as with az aks update, stays until these arguments change again
// (https://learn.microsoft.com/azure/aks/load-balancer-standard and https://learn.microsoft.com/azure/aks/nat-gateway).
type OutboundArgs struct {
	// ManagedIPs is the number of public addresses that AKS creates: 1-100, or 1-16 for a NAT gateway. Defaults to 1. Not
	// with IPIDs or IPPrefixIDs.
	ManagedIPs int `pulumi:"managedIps,optional"`
	// IPIDs are the ARM ids of your own public addresses for outbound traffic. The control plane must be able to join
	// them, as Network Contributor. Only for the load balancer. Defaults to none. Outputs are checked once they are known.
	IPIDs pulumi.StringArrayInput `pulumi:"ipIds,optional"`
	// IPPrefixIDs are the ARM ids of your own public address prefixes, with the same conditions as IPIDs. Defaults to
	// none. Not with IPIDs.
	IPPrefixIDs pulumi.StringArrayInput `pulumi:"ipPrefixIds,optional"`
	// AllocatedPorts is the number of ports that the load balancer reserves for each node, a multiple of 8 up to 64000.
	// Each address has 64000 ports, which must be enough for all nodes. Defaults to Azure's choice by the number of nodes.
	// Not for a NAT gateway.
	AllocatedPorts int `pulumi:"allocatedPorts,optional"`
	// IdleTimeoutMinutes is how long an idle connection is kept open, 4-120 minutes. Defaults to 30, for a NAT gateway to
	// 4.
	IdleTimeoutMinutes int `pulumi:"idleTimeoutMinutes,optional"`
}

// AKS' limits of a way out:
// https://learn.microsoft.com/rest/api/aks/managed-clusters/create-or-update#managedclusterloadbalancerprofile and
// https://learn.microsoft.com/azure/aks/load-balancer-standard#configure-the-allocated-outbound-ports
const (
	balancerIPsMax    = 100
	gatewayIPsMax     = 16
	allocatedPortsMax = 64000
	allocatedPortStep = 8
	idleMinutesMin    = 4
	idleMinutesMax    = 120
)

// ownAddresses and ownPrefixes are the rules for the ids of outbound addresses.
var (
	ownAddresses = listRule{balancerIPsMax, "addresses", func(v *violations, path, id string) {
		v.match(publicAddressID, path, id, "the ARM id of a public address")
	}}
	ownPrefixes = listRule{balancerIPsMax, "prefixes", func(v *violations, path, id string) {
		v.match(publicPrefixID, path, id, "the ARM id of a public address prefix")
	}}
)

// profile returns the outbound part of the network profile for Azure Resource Manager.
func (o *OutboundArgs) profile(outbound OutboundType) pulumi.MapOutput {
	addresses := ownAddresses.checked("outbound.ipIds", o.IPIDs)
	prefixes := ownPrefixes.checked("outbound.ipPrefixIds", o.IPPrefixIDs)
	return pulumi.All(addresses, prefixes).ApplyT(func(own []any) map[string]any {
		managed := map[string]any{"count": withDefault(o.ManagedIPs, 1)}
		if outbound == OutboundManagedNATGateway {
			return map[string]any{"natGatewayProfile": map[string]any{
				"managedOutboundIPProfile": managed, "idleTimeoutInMinutes": withDefault(o.IdleTimeoutMinutes, 4),
			}}
		}
		profile := map[string]any{
			"allocatedOutboundPorts": o.AllocatedPorts, "idleTimeoutInMinutes": withDefault(o.IdleTimeoutMinutes, 30),
		}
		references := func(ids []string) []any {
			list := make([]any, len(ids))
			for i, id := range ids {
				list[i] = map[string]any{"id": id}
			}
			return list
		}
		switch addresses, prefixes := own[0].([]string), own[1].([]string); {
		case len(addresses) > 0:
			profile["outboundIPs"] = map[string]any{"publicIPs": references(addresses)}
		case len(prefixes) > 0:
			profile["outboundIPPrefixes"] = map[string]any{"publicIPPrefixes": references(prefixes)}
		default:
			profile["managedOutboundIPs"] = managed
		}
		return map[string]any{"loadBalancerProfile": profile}
	}).(pulumi.MapOutput)
}

func (v *violations) validateOutbound(o *OutboundArgs, outbound OutboundType) {
	if o == nil {
		return
	}
	const path = "outbound"
	most := balancerIPsMax
	switch outbound {
	case "", OutboundLoadBalancer:
	case OutboundManagedNATGateway:
		most = gatewayIPsMax
		for _, own := range []struct {
			path  string
			given pulumi.StringArrayInput
		}{{path + ".ipIds", o.IPIDs}, {path + ".ipPrefixIds", o.IPPrefixIDs}} {
			if !empty(own.given) {
				v.state(own.path, "ids", "nothing with outboundType managedNATGateway, whose addresses AKS creates")
			}
		}
		v.check(o.AllocatedPorts == 0, path+".allocatedPorts", o.AllocatedPorts,
			"nothing with outboundType managedNATGateway")
	default:
		v.state(path, "a value", "nothing with outboundType "+string(outbound)+", which AKS does not manage")
		return
	}
	v.check(o.ManagedIPs >= 0 && o.ManagedIPs <= most, path+".managedIps", o.ManagedIPs,
		fmt.Sprintf("1-%d addresses", most))
	ownAddresses.plain(v, path+".ipIds", o.IPIDs)
	ownPrefixes.plain(v, path+".ipPrefixIds", o.IPPrefixIDs)
	v.check(o.ManagedIPs == 0 || empty(o.IPIDs) && empty(o.IPPrefixIDs), path+".managedIps", o.ManagedIPs,
		"nothing with ipIds or ipPrefixIds")
	if !empty(o.IPIDs) && !empty(o.IPPrefixIDs) {
		v.state(path+".ipPrefixIds", "ids", "none with ipIds")
	}
	v.check(o.AllocatedPorts >= 0 && o.AllocatedPorts <= allocatedPortsMax && o.AllocatedPorts%allocatedPortStep == 0,
		path+".allocatedPorts", o.AllocatedPorts,
		fmt.Sprintf("a multiple of %d up to %d", allocatedPortStep, allocatedPortsMax))
	v.check(o.IdleTimeoutMinutes == 0 || o.IdleTimeoutMinutes >= idleMinutesMin && o.IdleTimeoutMinutes <= idleMinutesMax,
		path+".idleTimeoutMinutes", o.IdleTimeoutMinutes, fmt.Sprintf("%d-%d minutes", idleMinutesMin, idleMinutesMax))
}

// changedByOthers are parts of the network profile that az changes in place, and for which azure-native would replace
// the cluster. Pulumi ignores changes of them; networkTrigger replaces the cluster when the program changes them. The
// engine sends the cluster's previous inputs instead, which are the program's own until a refresh has read those of
// others.
var changedByOthers = []string{
	"networkProfile.networkPolicy", "networkProfile.networkDataplane", "networkProfile.outboundType",
}

// setByOtherTools are parts of a cluster that the program never sets, but that a cluster may have if it was created by
// other tools, such as az with --generate-ssh-keys. azure-native would replace the cluster to remove them.
var setByOtherTools = []string{"linuxProfile", "windowsProfile"}

// keptInState returns the parts of a cluster for which the engine keeps the state's values. They include the node
// resource group if AKS names it: for a cluster whose creation was interrupted, azure-native knows no outputs, and a
// refresh then records the group's name as if it had been given. Without it in the program, azure-native would replace
// the cluster.
func (args *AksWithCsiArgs) keptInState() []string {
	paths := slices.Concat(changedByOthers, setByOtherTools)
	if args.NodeResourceGroup == "" {
		paths = append(paths, "nodeResourceGroup")
	}
	return paths
}

// networkTrigger returns what the program sets of those parts. A stack of an earlier version has no trigger in its
// state, which the engine treats as unchanged.
func (args *AksWithCsiArgs) networkTrigger() pulumi.StringMap {
	return pulumi.StringMap{
		"networkPolicy": pulumi.String(withDefault(args.NetworkPolicy, NetworkPolicyNone)),
		"outboundType":  pulumi.String(withDefault(args.OutboundType, OutboundLoadBalancer)),
	}
}

// warnNetwork warns if a cluster's network differs from what the program sets.
func (c *AksWithCsi) warnNetwork(
	ctx *pulumi.Context, args *AksWithCsiArgs, found containerservice.LookupManagedClusterResult,
) error {
	profile := found.NetworkProfile
	if profile == nil {
		return nil
	}
	for _, of := range []struct {
		path, wanted string
		is           *string
	}{
		{"networkPolicy", string(withDefault(args.NetworkPolicy, NetworkPolicyNone)), profile.NetworkPolicy},
		{"outboundType", string(withDefault(args.OutboundType, OutboundLoadBalancer)), profile.OutboundType},
	} {
		if of.is == nil || *of.is == "" || *of.is == of.wanted {
			continue
		}
		message := fmt.Sprintf("the cluster's %s is %s, but %s in the program: updates leave it unchanged until the "+
			"program's value changes", of.path, *of.is, of.wanted)
		if err := ctx.Log.Warn(message, &pulumi.LogArgs{Resource: c}); err != nil {
			return fmt.Errorf("warning of a different network: %w", err)
		}
	}
	return nil
}

func (args *AksWithCsiArgs) networkProfile() containerservice.ContainerServiceNetworkProfileArgs {
	profile := containerservice.ContainerServiceNetworkProfileArgs{
		NetworkPlugin:     containerservice.NetworkPluginAzure,
		NetworkPluginMode: containerservice.NetworkPluginModeOverlay,
		OutboundType:      optional(string(args.OutboundType)),
		PodCidr:           optional(args.PodCIDR),
		ServiceCidr:       optional(args.ServiceCIDR),
		DnsServiceIP:      optional(args.DNSServiceIP),
	}
	switch args.NetworkPolicy {
	case NetworkPolicyAzure:
		profile.NetworkPolicy = pulumi.String("azure")
	case NetworkPolicyCilium: // Azure has Cilium's policies only with its data plane.
		profile.NetworkPolicy, profile.NetworkDataplane = pulumi.String("cilium"), pulumi.String("cilium")
	}
	// Otherwise azure-native's SDK sends 10.0.0.10, which may be outside the given range.
	if services, err := netip.ParsePrefix(args.ServiceCIDR); err == nil && args.DNSServiceIP == "" {
		profile.DnsServiceIP = pulumi.String(addressIn(services, 10).String())
	}
	return profile
}

// addressIn returns the n-th address of an IPv4 range, which has at least 16.
func addressIn(r netip.Prefix, n byte) netip.Addr {
	bytes := r.Masked().Addr().As4()
	bytes[3] += n
	return netip.AddrFrom4(bytes)
}

func (v *violations) validateNetwork(args *AksWithCsiArgs) {
	oneOf(v, "networkPolicy", withDefault(args.NetworkPolicy, NetworkPolicyNone),
		NetworkPolicyAzure, NetworkPolicyCilium, NetworkPolicyNone)
	oneOf(v, "outboundType", withDefault(args.OutboundType, OutboundLoadBalancer),
		OutboundLoadBalancer, OutboundUserDefinedRouting, OutboundManagedNATGateway, OutboundUserAssignedNATGateway)
	pods, podsOK := v.ipv4Range("podCidr", withDefault(args.PodCIDR, defaultPodCIDR), 24,
		"an IPv4 range in CIDR notation of /24 or larger, because each node takes a /24")
	services, servicesOK := v.ipv4Range("serviceCidr", withDefault(args.ServiceCIDR, defaultServiceCIDR), 28,
		"an IPv4 range in CIDR notation, from /13 to /28")
	if servicesOK && services.Bits() < 13 { // https://learn.microsoft.com/azure/aks/configure-azure-cni
		v.add("serviceCidr", args.ServiceCIDR, "an IPv4 range in CIDR notation, from /13 to /28")
		servicesOK = false
	}
	v.notReservedByAKS("podCidr", pods, podsOK)
	v.notReservedByAKS("serviceCidr", services, servicesOK)
	if podsOK && servicesOK && pods.Overlaps(services) {
		path, given := "podCidr", pods
		if args.PodCIDR == "" {
			path, given = "serviceCidr", services
		}
		v.add(path, given.String(), "a range that does not overlap the other of podCidr and serviceCidr")
	}
	if args.DNSServiceIP != "" && servicesOK {
		ip, err := netip.ParseAddr(args.DNSServiceIP)
		ok := err == nil && services.Contains(ip) && ip != services.Addr() && ip != addressIn(services, 1)
		v.check(ok, "dnsServiceIp", args.DNSServiceIP,
			"an address in serviceCidr ("+services.String()+"), except its first ones")
	}
}

// subnetOf returns the name of a pool's subnet. If there is only one subnet, all pools use it.
func (args *AksWithCsiArgs) subnetOf(pool NodePoolArgs) string {
	if pool.Subnet == "" && len(args.Subnets) == 1 {
		for name := range args.Subnets {
			return name
		}
	}
	return pool.Subnet
}

// subnetIDOf returns the id of a pool's subnet, or nil without subnets. It fails if the id is not a subnet's. It does
// not depend on the other subnets: a new subnet that is not known yet must not plan to replace the pools of the others.
func (args *AksWithCsiArgs) subnetIDOf(pool NodePoolArgs) pulumi.StringPtrInput {
	name := args.subnetOf(pool)
	if name == "" {
		return nil
	}
	return args.Subnets[name].ToStringOutput().ApplyT(func(id string) (*string, error) {
		var v violations
		v.validateSubnetIDs(map[string]string{name: id})
		return &id, v.late()
	}).(pulumi.StringPtrOutput)
}

// validateSubnetIDs checks the subnets' ids by name.
func (v *violations) validateSubnetIDs(ids map[string]string) {
	v.distinctIDs("subnets", ids, subnetID, "a subnet")
	v.validateNetworkOfSubnets(ids)
}

// validateSubnets checks which subnets the pools use, and the ids that are plain values.
func (v *violations) validateSubnets(args *AksWithCsiArgs) {
	v.validateSubnetIDs(v.namedIDs("subnets", args.Subnets))
	names := strings.Join(slices.Sorted(maps.Keys(args.Subnets)), ", ")
	for i, pool := range args.pools() {
		path := "systemPool.subnet"
		if i > 0 {
			path = fmt.Sprintf("nodePools[%d].subnet", i-1)
		}
		_, found := args.Subnets[args.subnetOf(pool)]
		switch {
		case len(args.Subnets) == 0:
			v.check(pool.Subnet == "", path, pool.Subnet, "nothing without subnets")
		default:
			v.check(found, path, pool.Subnet, "a name in subnets: "+names)
		}
	}
	switch args.OutboundType {
	case OutboundUserDefinedRouting, OutboundUserAssignedNATGateway:
		v.check(len(args.Subnets) > 0, "outboundType", args.OutboundType,
			"another type without subnets, because this type uses the subnets' own route or gateway")
	case OutboundManagedNATGateway:
		v.check(len(args.Subnets) == 0, "outboundType", args.OutboundType,
			"another type with subnets, such as userAssignedNATGateway")
	}
}

// ipv4Range checks a range that starts with its first address and has at most the given number of bits.
func (v *violations) ipv4Range(path, given string, bitsMax int, allowed string) (netip.Prefix, bool) {
	r, err := netip.ParsePrefix(given)
	ok := err == nil && r.Addr().Is4() && r == r.Masked() && r.Bits() > 0 && r.Bits() <= bitsMax
	v.check(ok, path, given, allowed)
	return r, ok
}

func (v *violations) validateAPIServer(api *APIServerArgs) {
	if api == nil {
		return
	}
	const path = "apiServer"
	authorizedRanges.plain(v, path+".authorizedIpRanges", api.AuthorizedIPRanges)
	if api.Private && !empty(api.AuthorizedIPRanges) {
		v.state(path+".authorizedIpRanges", "ranges", "nothing with private, because a private API server has no public "+
			"address")
	}
	if missing(api.PrivateDNSZone) {
		return
	}
	zone, plain := api.PrivateDNSZone.(pulumi.String)
	switch {
	case !api.Private:
		v.state(path+".privateDnsZone", "a value", "nothing without private")
	case plain:
		v.check(validZone(string(zone)), path+".privateDnsZone", zone, dnsZoneRule)
	}
}
