package components

import (
	"fmt"
	"net/netip"
	"regexp"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// What azure-native's SDK sends where an address range is left out.
const (
	defaultPodCIDR     = "10.244.0.0/16"
	defaultServiceCIDR = "10.0.0.0/16"
)

// https://learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges
const authorizedRangesMax = 200

var clusterDNSZoneID = regexp.MustCompile(
	`(?i)^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Network/privateDnsZones/[^/]+$`)

// APIServerArgs say who reaches the cluster's API server, before anybody is asked who they are.
type APIServerArgs struct {
	// AuthorizedIPRanges are the public IPv4 ranges from which the API server is reached, at most 200, each in CIDR notation such as
	// 203.0.113.0/24. Whoever runs the program has to be in one. Not with Private. Left out: from everywhere.
	AuthorizedIPRanges []string `pulumi:"authorizedIpRanges,optional"`
	// Private gives the API server a private address only. Whoever runs the program has to reach the cluster's network and resolve
	// its private DNS zone. Left out: a public address. Azure refuses to change it later.
	Private bool `pulumi:"private,optional"`
	// PrivateDNSZone of a private API server: system for one that AKS makes; none for a public name of the private address; or the
	// ARM id of a zone, which IdentityID has to be allowed to write, as Private DNS Zone Contributor and, on the zone's virtual
	// network, Network Contributor (https://learn.microsoft.com/azure/aks/private-clusters). Left out: system.
	PrivateDNSZone string `pulumi:"privateDnsZone,optional"`
	// DisableRunCommand forbids az aks command invoke, which runs commands in the cluster past all network rules. Left out: it is
	// allowed.
	DisableRunCommand bool `pulumi:"disableRunCommand,optional"`
}

func (args *AksWithCsiArgs) apiServerProfile() containerservice.ManagedClusterAPIServerAccessProfileArgs {
	var api APIServerArgs
	if args.APIServer != nil {
		api = *args.APIServer
	}
	profile := containerservice.ManagedClusterAPIServerAccessProfileArgs{
		EnablePrivateCluster: pulumi.Bool(api.Private),
		DisableRunCommand:    pulumi.Bool(api.DisableRunCommand),
	}
	if api.Private {
		zone := withDefault(api.PrivateDNSZone, "system")
		profile.PrivateDNSZone = pulumi.String(zone)
		// Azure's default tells the private address to everybody; without a zone there is no other name.
		profile.EnablePrivateClusterPublicFQDN = pulumi.Bool(zone == "none")
		return profile
	}
	// An empty list opens the API server again.
	profile.AuthorizedIPRanges = pulumi.ToStringArray(api.AuthorizedIPRanges)
	return profile
}

func (args *AksWithCsiArgs) networkProfile() containerservice.ContainerServiceNetworkProfileArgs {
	profile := containerservice.ContainerServiceNetworkProfileArgs{
		NetworkPlugin:     containerservice.NetworkPluginAzure,
		NetworkPluginMode: containerservice.NetworkPluginModeOverlay,
		OutboundType:      optional(args.OutboundType),
		PodCidr:           optional(args.PodCIDR),
		ServiceCidr:       optional(args.ServiceCIDR),
		DnsServiceIP:      optional(args.DNSServiceIP),
	}
	switch args.NetworkPolicy {
	case "azure":
		profile.NetworkPolicy = pulumi.String("azure")
	case "cilium": // Azure has Cilium's policies only with its data plane.
		profile.NetworkPolicy, profile.NetworkDataplane = pulumi.String("cilium"), pulumi.String("cilium")
	}
	// Else azure-native's SDK sends 10.0.0.10, which may be outside of the given range.
	if services, err := netip.ParsePrefix(args.ServiceCIDR); err == nil && args.DNSServiceIP == "" {
		profile.DnsServiceIP = pulumi.String(addressIn(services, 10).String())
	}
	return profile
}

// addressIn is the n-th address of an IPv4 range of at least 16.
func addressIn(r netip.Prefix, n byte) netip.Addr {
	bytes := r.Masked().Addr().As4()
	bytes[3] += n
	return netip.AddrFrom4(bytes)
}

func (v *Violations) validateNetwork(args *AksWithCsiArgs) {
	v.oneOf("networkPolicy", withDefault(args.NetworkPolicy, "none"), "azure", "cilium", "none")
	v.oneOf("outboundType", withDefault(args.OutboundType, "loadBalancer"),
		"loadBalancer", "userDefinedRouting", "managedNATGateway", "userAssignedNATGateway")
	pods, podsOK := v.ipv4Range("podCidr", withDefault(args.PodCIDR, defaultPodCIDR), 24,
		"an IPv4 range in CIDR notation of at least /24, which is what each node takes of it")
	services, servicesOK := v.ipv4Range("serviceCidr", withDefault(args.ServiceCIDR, defaultServiceCIDR), 28,
		"an IPv4 range in CIDR notation, from /13 to /28")
	if servicesOK && services.Bits() < 13 { // https://learn.microsoft.com/azure/aks/configure-azure-cni
		v.add("serviceCidr", args.ServiceCIDR, "an IPv4 range in CIDR notation, from /13 to /28")
		servicesOK = false
	}
	if podsOK && servicesOK && pods.Overlaps(services) {
		path, given := "podCidr", pods
		if args.PodCIDR == "" {
			path, given = "serviceCidr", services
		}
		v.add(path, given.String(), "a range that the other of podCidr, serviceCidr does not overlap")
	}
	if args.DNSServiceIP != "" && servicesOK {
		ip, err := netip.ParseAddr(args.DNSServiceIP)
		ok := err == nil && services.Contains(ip) && ip != services.Addr() && ip != addressIn(services, 1)
		v.check(ok, "dnsServiceIp", args.DNSServiceIP, "an address in serviceCidr ("+services.String()+"), not its first ones")
	}
}

// validateSubnets checks which pools have a subnet, not which one.
func (v *Violations) validateSubnets(args *AksWithCsiArgs) {
	system := args.systemPool()
	for i, pool := range args.NodePools {
		path := fmt.Sprintf("nodePools[%d].subnetId", i)
		if system.SubnetID != nil {
			v.required(path, pool.SubnetID)
		} else if pool.SubnetID != nil {
			*v = append(*v, Violation{Path: path, Given: "a subnet", Allowed: "nothing, since systemPool has none"})
		}
	}
	switch args.OutboundType {
	case "userDefinedRouting", "userAssignedNATGateway":
		v.required("systemPool.subnetId", system.SubnetID)
	case "managedNATGateway":
		v.check(system.SubnetID == nil, "outboundType", args.OutboundType, "another one with subnets, which have to have their own gateway")
	}
}

// ipv4Range checks a range that names its first address and has at most so many bits.
func (v *Violations) ipv4Range(path, given string, bitsMax int, allowed string) (netip.Prefix, bool) {
	r, err := netip.ParsePrefix(given)
	ok := err == nil && r.Addr().Is4() && r == r.Masked() && r.Bits() > 0 && r.Bits() <= bitsMax
	v.check(ok, path, given, allowed)
	return r, ok
}

func (v *Violations) validateAPIServer(api *APIServerArgs) {
	if api == nil {
		return
	}
	const path = "apiServer"
	v.check(len(api.AuthorizedIPRanges) <= authorizedRangesMax, path+".authorizedIpRanges", len(api.AuthorizedIPRanges),
		fmt.Sprintf("at most %d ranges", authorizedRangesMax))
	v.check(len(api.AuthorizedIPRanges) == 0 || !api.Private, path+".authorizedIpRanges", len(api.AuthorizedIPRanges),
		"none with private, which has no public address")
	for i, r := range api.AuthorizedIPRanges {
		at := fmt.Sprintf("%s.authorizedIpRanges[%d]", path, i)
		parsed, ok := v.ipv4Range(at, r, 32, "an IPv4 range in CIDR notation, such as 203.0.113.0/24")
		v.check(!ok || !parsed.Addr().IsPrivate(), at, r, "a range of public addresses, which are those that the API server sees")
	}
	switch zone := api.PrivateDNSZone; {
	case zone == "":
	case !api.Private:
		v.add(path+".privateDnsZone", zone, "nothing without private")
	case zone != "system" && zone != "none":
		v.match(clusterDNSZoneID, path+".privateDnsZone", zone, "system, none, the ARM id of a private DNS zone")
	}
}
