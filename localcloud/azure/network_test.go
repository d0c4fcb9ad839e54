package azure_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/keyvault/armkeyvault"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/privatedns/armprivatedns"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
)

type m = map[string]any

const (
	vnetVersion = "?api-version=2023-06-01"
	peVersion   = "?api-version=2021-02-01"
	networks    = "/providers/Microsoft.Network/virtualNetworks/"
	endpoints   = "/providers/Microsoft.Network/privateEndpoints/"
	zones       = "/providers/Microsoft.Network/privateDnsZones/"
	vaultZone   = "privatelink.vaultcore.azure.net"
)

func subnet(name, prefix string, services ...string) m {
	list := []m{}
	for _, service := range services {
		list = append(list, m{"service": service})
	}
	return m{"name": name, "properties": m{"addressPrefix": prefix, "serviceEndpoints": list}}
}

func vnet(space string, subnets ...m) m {
	return m{
		"location":   location,
		"properties": m{"addressSpace": m{"addressPrefixes": []string{space}}, "subnets": subnets},
	}
}

// network creates the group g and a network with one subnet for nodes and one for endpoints.
func (f *fixture) network() string {
	f.Helper()
	id := f.group("g") + networks + "vnet"
	f.put(id+vnetVersion,
		vnet("10.0.0.0/16", subnet("nodes", "10.0.0.0/20", "Microsoft.KeyVault"), subnet("endpoints", "10.0.16.0/24")))
	return id
}

func endpointOf(subnetID, vaultID string) m {
	return m{"location": location, "properties": m{
		"subnet": m{"id": subnetID},
		"privateLinkServiceConnections": []m{
			{"name": "vault", "properties": m{"privateLinkServiceId": vaultID, "groupIds": []string{"vault"}}},
		},
	}}
}

func TestSubnet_IsResourceAndPartOfNetwork(t *testing.T) {
	f := newFixture(t)
	id := f.network()
	if p := f.get(id + "/subnets/nodes" + vnetVersion); p["addressPrefix"] != "10.0.0.0/20" {
		t.Errorf("subnet: %v", p)
	}
	f.put(id+"/subnets/more"+vnetVersion, m{"properties": m{"addressPrefix": "10.0.17.0/24"}})
	var names []string
	for _, s := range f.get(id + vnetVersion)["subnets"].([]any) {
		names = append(names, s.(m)["name"].(string))
	}
	if got := strings.Join(names, " "); got != "nodes endpoints more" {
		t.Errorf("the network has the subnets %s", got)
	}
	f.put(id+vnetVersion, vnet("10.0.0.0/16", subnet("nodes", "10.0.0.0/20")))
	if status, _ := f.call(http.MethodGet, id+"/subnets/more"+vnetVersion, nil); status != http.StatusNotFound {
		t.Errorf("a subnet that the body omits: %d, want 404", status)
	}
}

func TestVirtualNetwork_RefusesInvalidBodies(t *testing.T) {
	f := newFixture(t)
	group := f.group("g")
	for name, test := range map[string]struct {
		body m
		code string
	}{
		"no address space": {m{"location": location, "properties": m{}}, "InvalidAddressSpace"},
		"no CIDR":          {vnet("10.0.0.0"), "InvalidAddressPrefixFormat"},
		"bits of the host": {vnet("10.0.0.1/16"), "InvalidCIDRNotation"},
		"outside":          {vnet("10.0.0.0/16", subnet("s", "10.1.0.0/24")), "NetcfgInvalidSubnet"},
		"overlap": {
			vnet("10.0.0.0/16", subnet("a", "10.0.0.0/24"), subnet("b", "10.0.0.128/25")), "NetcfgSubnetRangesOverlap",
		},
		"too small": {vnet("10.0.0.0/16", subnet("a", "10.0.0.0/30")), "NetcfgSubnetRangeTooSmall"},
		"two of a name": {
			vnet("10.0.0.0/16", subnet("a", "10.0.0.0/24"), subnet("A", "10.0.1.0/24")), "InvalidRequestFormat",
		},
		"an unknown property": {
			m{
				"location": location,
				"properties": m{
					"addressSpace": m{"addressPrefixes": []string{"10.0.0.0/16"}}, "bgpCommunities": m{"virtualNetworkCommunity": "1"},
				},
			},
			"NotImplemented",
		},
		"another's endpoint": {vnet("10.0.0.0/16", subnet("a", "10.0.0.0/24", "Microsoft.Storage")), "NotImplemented"},
	} {
		if status, code := f.call(http.MethodPut, group+networks+"vnet"+vnetVersion, test.body); code != test.code {
			t.Errorf("%s: %d %s, want %s", name, status, code, test.code)
		}
	}
}

func TestPrivateEndpoint_ConnectsVault(t *testing.T) {
	f := newFixture(t)
	id := f.network()
	f.must(f.putVault("g", "kv-pe", nil))
	group := path("resourceGroups/g")
	vault := group + "/providers/Microsoft.KeyVault/vaults/kv-pe"
	pe := group + endpoints + "pe"
	for name, test := range map[string]struct {
		body m
		code string
	}{
		"no such subnet": {endpointOf(id+"/subnets/none", vault), "InvalidResourceReference"},
		"no such vault":  {endpointOf(id+"/subnets/endpoints", vault+"x"), "InvalidResourceReference"},
		"another type":   {endpointOf(id+"/subnets/endpoints", id), "NotImplemented"},
	} {
		if status, code := f.call(http.MethodPut, pe+peVersion, test.body); code != test.code {
			t.Errorf("%s: %d %s, want %s", name, status, code, test.code)
		}
	}
	f.put(pe+peVersion, endpointOf(id+"/subnets/endpoints", vault))
	f.put(pe+peVersion, endpointOf(id+"/subnets/endpoints", vault))
	f.must(f.putVault("g", "kv-pe", nil)) // an update of the vault keeps its connections
	got, err := f.vaults().Get(t.Context(), "g", "kv-pe", nil)
	f.must(err)
	connections := got.Properties.PrivateEndpointConnections
	const approved = armkeyvault.PrivateEndpointServiceConnectionStatusApproved
	if len(connections) != 1 || *connections[0].Properties.PrivateLinkServiceConnectionState.Status != approved {
		t.Fatalf("connections: %v", connections)
	}
	for _, used := range []string{id + "/subnets/endpoints", id} {
		if status, code := f.call(http.MethodDelete, used+vnetVersion, nil); code != "InUseSubnetCannotBeDeleted" {
			t.Errorf("DELETE %s: %d %s", used, status, code)
		}
	}
	if status, code := f.call(http.MethodDelete, pe+peVersion, nil); status != http.StatusOK {
		t.Fatalf("DELETE: %d %s", status, code)
	}
	got, err = f.vaults().Get(t.Context(), "g", "kv-pe", nil)
	f.must(err)
	if n := len(got.Properties.PrivateEndpointConnections); n != 0 {
		t.Errorf("%d connections are left", n)
	}
	if status, code := f.call(http.MethodDelete, id+vnetVersion, nil); status != http.StatusOK {
		t.Errorf("DELETE of the network: %d %s", status, code)
	}
}

// zone creates the private zone of vaults and links a network to it.
func (f *fixture) zone(network string) string {
	f.Helper()
	factory, err := armprivatedns.NewClientFactory(azure.SubscriptionID, f.owner, f.arm())
	f.must(err)
	zone, err := factory.NewPrivateZonesClient().
		BeginCreateOrUpdate(f.Context(), "g", vaultZone, armprivatedns.PrivateZone{Location: to.Ptr("global")}, nil)
	f.must(err)
	made, err := zone.PollUntilDone(f.Context(), nil)
	f.must(err)
	link, err := factory.NewVirtualNetworkLinksClient().
		BeginCreateOrUpdate(f.Context(), "g", vaultZone, "vnet", armprivatedns.VirtualNetworkLink{
			Location:   to.Ptr("global"),
			Properties: &armprivatedns.VirtualNetworkLinkProperties{VirtualNetwork: &armprivatedns.SubResource{ID: &network}},
		}, nil)
	f.must(err)
	_, err = link.PollUntilDone(f.Context(), nil)
	f.must(err)
	return *made.ID
}

func TestPrivateZone_IsGlobalAndLinkedOnce(t *testing.T) {
	f := newFixture(t)
	id := f.network()
	const version = "?api-version=2024-06-01"
	zone := path("resourceGroups/g") + zones + vaultZone
	if _, code := f.call(http.MethodPut, zone+version, m{
		"location": location,
	}); code != "LocationNotAvailableForResourceType" {
		t.Errorf("in a region: %s", code)
	}
	f.zone(id)
	link := m{"location": "global", "properties": m{"virtualNetwork": m{"id": id}, "registrationEnabled": false}}
	if _, code := f.call(http.MethodPut, zone+"/virtualNetworkLinks/again"+version, link); code != "BadRequest" {
		t.Errorf("a second link: %s", code)
	}
	if got := f.get(zone + version)["numberOfVirtualNetworkLinks"]; got != 1.0 {
		t.Errorf("links: %v", got)
	}
	if _, code := f.call(http.MethodDelete, zone+version, nil); code != "CannotDeleteResource" {
		t.Errorf("a zone with links: %s", code)
	}
}

// cluster creates a cluster with nodes in a subnet. An empty ID means that Azure chooses.
func (f *fixture) clusterIn(name, subnet string) string {
	f.Helper()
	pool := m{"name": "system", "mode": "System", "count": 1, "vmSize": "Standard_D2s_v5"}
	if subnet != "" {
		pool["vnetSubnetID"] = subnet
	}
	id := path("resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/" + name)
	f.put(id+aksVersion, m{
		"location":   location,
		"identity":   m{"type": "SystemAssigned"},
		"properties": m{"dnsPrefix": name, "agentPoolProfiles": []m{pool}},
	})
	return id
}

func TestVaultFirewall_AdmitsByRules(t *testing.T) {
	f := newFixture(t)
	id := f.network()
	f.put(id+"/subnets/other"+vnetVersion, m{"properties": m{"addressPrefix": "10.0.32.0/20"}})
	vault := path("resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv-fw")
	f.must(f.putVault("g", "kv-fw", nil))
	w := &world{fixture: f, vaultID: vault, uri: "https://kv-fw.vault.azure.net/"}
	w.officer()
	f.put(vault+"/secrets/s?api-version=2023-02-01", m{"properties": m{"value": "v"}})
	inside := f.clusterIn("inside", id+"/subnets/nodes")
	beside := f.clusterIn("beside", id+"/subnets/other")
	outside := f.clusterIn("outside", "")
	clients := map[string]*http.Client{
		"machine": f.client,
		"inside":  f.from(inside),
		"beside":  f.from(beside),
		"outside": f.from(outside),
	}
	// read returns the inner code of the error that a client receives, or "".
	read := func(client *http.Client) string {
		options := f.options()
		options.Transport = client
		secrets, err := azsecrets.NewClient(w.uri, f.owner, &azsecrets.ClientOptions{ClientOptions: options})
		f.must(err)
		_, err = secrets.GetSecret(t.Context(), "s", "", nil)
		var refused *azcore.ResponseError
		switch {
		case err == nil:
			return ""
		case !errors.As(err, &refused):
			return err.Error()
		case strings.Contains(err.Error(), "ForbiddenByFirewall"):
			return "firewall"
		case strings.Contains(err.Error(), "ForbiddenByConnection"):
			return "connection"
		}
		return refused.ErrorCode
	}
	rules := func(acls *armkeyvault.NetworkRuleSet, public string) {
		f.must(
			f.putVault("g", "kv-fw",
				func(p *armkeyvault.VaultProperties) { p.NetworkACLs, p.PublicNetworkAccess = acls, &public }),
		)
	}
	deny := func(ips []string, subnets ...string) *armkeyvault.NetworkRuleSet {
		acls := &armkeyvault.NetworkRuleSet{
			DefaultAction: to.Ptr(armkeyvault.NetworkRuleActionDeny),
			Bypass:        to.Ptr(armkeyvault.NetworkRuleBypassOptionsAzureServices),
		}
		for _, ip := range ips {
			acls.IPRules = append(acls.IPRules, &armkeyvault.IPRule{Value: to.Ptr(ip)})
		}
		for _, subnet := range subnets {
			acls.VirtualNetworkRules = append(acls.VirtualNetworkRules, &armkeyvault.VirtualNetworkRule{ID: to.Ptr(subnet)})
		}
		return acls
	}
	want := func(what string, want map[string]string) {
		t.Helper()
		for name, client := range clients {
			if got := read(client); got != want[name] {
				t.Errorf("%s: %s: got %q, want %q", what, name, got, want[name])
			}
		}
	}

	want("no rules", map[string]string{})
	rules(deny(nil), "Enabled")
	want("deny", map[string]string{
		"machine": "firewall", "inside": "firewall", "beside": "firewall", "outside": "firewall",
	})
	rules(deny(nil, id+"/subnets/nodes"), "Enabled")
	want("a subnet", map[string]string{"machine": "firewall", "beside": "firewall", "outside": "firewall"})
	rules(deny([]string{"203.0.113.1"}), "Enabled")
	want("an address", map[string]string{"inside": "firewall", "beside": "firewall", "outside": "firewall"})
	// Requests from nodes with a service endpoint match the subnet, not an address.
	rules(deny([]string{"203.0.113.0/24"}), "Enabled")
	want("a range", map[string]string{"inside": "firewall"})
	rules(deny(nil), "Disabled")
	want("closed", map[string]string{
		"machine": "connection", "inside": "connection", "beside": "connection", "outside": "connection",
	})

	pe := path("resourceGroups/g") + endpoints + "pe"
	f.put(pe+peVersion, endpointOf(id+"/subnets/endpoints", vault))
	want("an endpoint that no name leads to", map[string]string{
		"machine": "connection", "inside": "connection", "beside": "connection", "outside": "connection",
	})
	f.put(pe+"/privateDnsZoneGroups/default"+peVersion, m{
		"properties": m{"privateDnsZoneConfigs": []m{{"name": "vault", "properties": m{"privateDnsZoneId": f.zone(id)}}}},
	})
	want("an endpoint", map[string]string{"machine": "connection", "outside": "connection"})

	if _, code := f.call(http.MethodDelete, id+"/subnets/nodes"+vnetVersion, nil); code != "InUseSubnetCannotBeDeleted" {
		t.Errorf("DELETE of the nodes' subnet: %s", code)
	}
}

func TestVaultFirewall_RefusesInvalidRules(t *testing.T) {
	f := newFixture(t)
	id := f.network()
	for name, test := range map[string]struct {
		acls armkeyvault.NetworkRuleSet
		code string
	}{
		"a private address": {
			armkeyvault.NetworkRuleSet{IPRules: []*armkeyvault.IPRule{{Value: to.Ptr("10.0.0.1")}}}, "BadRequest",
		},
		"IPv6": {
			armkeyvault.NetworkRuleSet{IPRules: []*armkeyvault.IPRule{{Value: to.Ptr("2001:db8::1")}}}, "BadRequest",
		},
		"a missing subnet": {
			armkeyvault.NetworkRuleSet{
				VirtualNetworkRules: []*armkeyvault.VirtualNetworkRule{{ID: to.Ptr(id + "/subnets/none")}},
			},
			"InvalidResourceReference",
		},
		"a subnet without service endpoint": {
			armkeyvault.NetworkRuleSet{
				VirtualNetworkRules: []*armkeyvault.VirtualNetworkRule{{ID: to.Ptr(id + "/subnets/endpoints")}},
			},
			"SubnetsHaveNoServiceEndpointsConfigured",
		},
		"an unknown default action": {
			armkeyvault.NetworkRuleSet{DefaultAction: to.Ptr(armkeyvault.NetworkRuleAction("Maybe"))}, "BadRequest",
		},
	} {
		err := f.putVault("g", "kv-rules", func(p *armkeyvault.VaultProperties) { p.NetworkACLs = &test.acls })
		t.Log(name)
		f.refused(err, http.StatusBadRequest, test.code)
	}
}
