package components_test

import (
	"slices"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
)

const dnsZone = "/subscriptions/s/resourceGroups/dns/providers/Microsoft.Network/privateDnsZones/privatelink.eastus.azmk8s.io"

func TestAPIServer_PrivateHasNoPublicName(t *testing.T) {
	for _, test := range []struct {
		zone, sent string
		public     bool
	}{
		{"", "system", false},
		{"system", "system", false},
		{dnsZone, dnsZone, false},
		{"none", "none", true}, // there is no other name then
	} {
		e := runCluster(t, func(args *components.AksWithCsiArgs) {
			args.APIServer = &components.APIServerArgs{Private: true}
			if test.zone != "" {
				args.APIServer.PrivateDNSZone = pulumi.String(test.zone)
			}
			args.IdentityID = pulumi.String(existingIdentity)
		})
		wantInputs(t, e.Get(t, "cluster-cluster"), map[string]any{
			"apiServerAccessProfile.enablePrivateCluster":           true,
			"apiServerAccessProfile.privateDNSZone":                 test.sent,
			"apiServerAccessProfile.enablePrivateClusterPublicFQDN": test.public,
			"apiServerAccessProfile.authorizedIPRanges":             nil,
		})
	}
}

func TestNetworkProfile_PassesArguments(t *testing.T) {
	e := runCluster(t, func(args *components.AksWithCsiArgs) {
		args.NetworkPolicy, args.OutboundType = "azure", "managedNATGateway"
		args.PodCIDR, args.ServiceCIDR, args.DNSServiceIP = "192.168.0.0/16", "172.16.0.0/20", "172.16.0.53"
	})
	wantInputs(t, e.Get(t, "cluster-cluster"), map[string]any{
		"networkProfile.networkPolicy":    "azure",
		"networkProfile.networkDataplane": nil,
		"networkProfile.outboundType":     "managedNATGateway",
		"networkProfile.podCidr":          "192.168.0.0/16",
		"networkProfile.serviceCidr":      "172.16.0.0/20",
		"networkProfile.dnsServiceIP":     "172.16.0.53",
	})
}

func TestNetwork_Validates(t *testing.T) {
	type args = components.AksWithCsiArgs
	api := func(change func(*components.APIServerArgs)) func(*args) {
		return func(a *args) {
			a.APIServer = &components.APIServerArgs{}
			change(a.APIServer)
		}
	}
	testRules(t, aksArgs, (*args).Validate, []rule[args]{
		{"a policy", "networkPolicy", func(a *args) { a.NetworkPolicy = "calico" }},
		{"an outbound type", "outboundType", func(a *args) { a.OutboundType = "loadbalancer" }},
		{"a pod range", "podCidr", func(a *args) { a.PodCIDR = "192.168.0.0" }},
		{"a pod range's first address", "podCidr", func(a *args) { a.PodCIDR = "192.168.0.1/16" }},
		{"a pod range for no node", "podCidr", func(a *args) { a.PodCIDR = "192.168.0.0/25" }},
		{"a pod range of IPv6", "podCidr", func(a *args) { a.PodCIDR = "fd00::/16" }},
		{"a large service range", "serviceCidr", func(a *args) { a.ServiceCIDR = "172.16.0.0/12" }},
		{"a small service range", "serviceCidr", func(a *args) { a.ServiceCIDR = "172.16.0.0/29" }},
		{"pods among the services", "podCidr", func(a *args) { a.PodCIDR = "10.0.0.0/8" }},
		{"services among the pods", "serviceCidr", func(a *args) { a.ServiceCIDR = "10.244.0.0/20" }},
		{"a DNS outside of the services", "dnsServiceIp", func(a *args) { a.DNSServiceIP = "10.1.0.10" }},
		{"a DNS in place of the API", "dnsServiceIp", func(a *args) { a.DNSServiceIP = "10.0.0.1" }},
		{"a DNS that is no address", "dnsServiceIp", func(a *args) { a.DNSServiceIP = "dns" }},
		{"an address instead of a range", "apiServer.authorizedIpRanges[0]", api(func(a *components.APIServerArgs) {
			a.AuthorizedIPRanges = pulumi.ToStringArray([]string{"203.0.113.1"})
		})},
		{"the whole internet", "apiServer.authorizedIpRanges[0]", api(func(a *components.APIServerArgs) {
			a.AuthorizedIPRanges = pulumi.ToStringArray([]string{"0.0.0.0/0"})
		})},
		{"addresses that no API server sees", "apiServer.authorizedIpRanges[0]", api(func(a *components.APIServerArgs) {
			a.AuthorizedIPRanges = pulumi.ToStringArray([]string{"10.1.0.0/16"})
		})},
		{"ranges of a private API", "apiServer.authorizedIpRanges", api(func(a *components.APIServerArgs) {
			a.Private, a.AuthorizedIPRanges = true, pulumi.ToStringArray([]string{"203.0.113.0/24"})
		})},
		{"more ranges than Azure takes", "apiServer.authorizedIpRanges", api(func(a *components.APIServerArgs) {
			a.AuthorizedIPRanges = pulumi.ToStringArray(slices.Repeat([]string{"203.0.113.0/24"}, 201))
		})},
		{"a zone of a public API", "apiServer.privateDnsZone", api(func(a *components.APIServerArgs) {
			a.PrivateDNSZone = pulumi.String("system")
		})},
		{"a zone's name", "apiServer.privateDnsZone", api(func(a *components.APIServerArgs) {
			a.Private, a.PrivateDNSZone = true, pulumi.String("privatelink.eastus.azmk8s.io")
		})},
		{"a zone that is not AKS'", "apiServer.privateDnsZone", api(func(a *components.APIServerArgs) {
			a.Private, a.PrivateDNSZone = true, pulumi.String(vaultZone)
		})},
	})
}
