package azure_test

import (
	"maps"
	"net/http"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/keyvault/armkeyvault"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
)

const (
	routeTables        = "/providers/Microsoft.Network/routeTables/"
	gateways           = "/providers/Microsoft.Network/natGateways/"
	addresses          = "/providers/Microsoft.Network/publicIPAddresses/"
	networkContributor = "4d97b98b-1d4f-4787-a291-c67834d212e7"
)

// route returns a default route.
func route(hop, address string) m {
	properties := m{"addressPrefix": "0.0.0.0/0", "nextHopType": hop}
	if address != "" {
		properties["nextHopIpAddress"] = address
	}
	return m{"name": "default", "properties": properties}
}

func routes(list ...m) m { return m{"location": location, "properties": m{"routes": list}} }

func publicAddress() m {
	return m{"location": location, "sku": m{"name": "Standard"}, "properties": m{"publicIPAllocationMethod": "Static"}}
}

func gateway(addresses ...string) m {
	list := []m{}
	for _, id := range addresses {
		list = append(list, m{"id": id})
	}
	return m{"location": location, "sku": m{"name": "Standard"}, "properties": m{"publicIpAddresses": list}}
}

// waysOut creates a network with three subnets: nat has a NAT gateway, routed a route table to an appliance, and the
// third neither.
func (f *fixture) waysOut() (network string) {
	f.Helper()
	network = f.network()
	group := path("resourceGroups/g")
	f.put(group+addresses+"out"+vnetVersion, publicAddress())
	f.put(group+gateways+"out"+vnetVersion, gateway(group+addresses+"out"))
	f.put(group+routeTables+"out"+vnetVersion, routes(route("VirtualAppliance", "10.0.16.4")))
	f.put(network+"/subnets/nat"+vnetVersion, m{
		"properties": m{"addressPrefix": "10.0.32.0/20", "natGateway": m{"id": group + gateways + "out"}},
	})
	f.put(network+"/subnets/routed"+vnetVersion, m{
		"properties": m{"addressPrefix": "10.0.48.0/20", "routeTable": m{"id": group + routeTables + "out"}},
	})
	return network
}

func TestEgress_UsedResourcesCannotBeDeleted(t *testing.T) {
	f := newFixture(t)
	network := f.waysOut()
	group := path("resourceGroups/g")
	for _, of := range []struct{ id, subnet string }{
		{group + routeTables + "out", "routed"},
		{group + gateways + "out", "nat"},
	} {
		shown := f.get(of.id + vnetVersion)["subnets"].([]any)
		if len(shown) != 1 || shown[0].(m)["id"] != network+"/subnets/"+of.subnet {
			t.Errorf("%s is shown with the subnets %v", of.id, shown)
		}
	}
	inUse := func(want map[string]string) {
		t.Helper()
		for id, code := range want {
			if status, got := f.call(http.MethodDelete, group+id+"out"+vnetVersion, nil); got != code {
				t.Errorf("DELETE %s: %d %s, want %q", id, status, got, code)
			}
		}
	}
	inUse(map[string]string{
		routeTables: "InUseRouteTableCannotBeDeleted",
		gateways:    "InUseNatGatewayCannotBeDeleted",
		addresses:   "PublicIPAddressCannotBeDeleted",
	})
	f.put(network+vnetVersion, vnet("10.0.0.0/16", subnet("nodes", "10.0.0.0/20")))
	inUse(map[string]string{routeTables: "", gateways: ""})
	inUse(map[string]string{addresses: ""})
}

func TestEgress_RefusesInvalidResources(t *testing.T) {
	f := newFixture(t)
	network := f.waysOut()
	group := path("resourceGroups/g")
	elsewhere := routes()
	elsewhere["location"] = "westeurope"
	f.put(group+routeTables+"elsewhere"+vnetVersion, elsewhere)
	other := route("None", "")
	other["name"] = "other"
	basic := publicAddress()
	basic["sku"] = m{"name": "Basic"}
	dynamic := publicAddress()
	dynamic["properties"] = m{"publicIPAllocationMethod": "Dynamic"}
	slow := gateway()
	slow["properties"].(m)["idleTimeoutInMinutes"] = 121
	in := func(part, id string) m {
		return m{"properties": m{"addressPrefix": "10.0.64.0/20", part: m{"id": group + id}}}
	}
	for name, test := range map[string]struct {
		path string
		body m
		code string
	}{
		"an unknown hop": {group + routeTables + "t", routes(route("Firewall", "")), "InvalidRequestFormat"},
		"an appliance nowhere": {
			group + routeTables + "t", routes(route("VirtualAppliance", "")), "InvalidNextHopIpAddress",
		},
		"an address of the internet": {
			group + routeTables + "t", routes(route("Internet", "10.0.0.1")), "InvalidNextHopIpAddress",
		},
		"two routes of a name": {
			group + routeTables + "t", routes(route("None", ""), route("None", "")), "InvalidRequestFormat",
		},
		"two routes to the same":  {group + routeTables + "t", routes(route("None", ""), other), "RouteConflict"},
		"a Basic address":         {group + addresses + "a", basic, "NotImplemented"},
		"an address that changes": {group + addresses + "a", dynamic, "NotImplemented"},
		"no such address": {
			group + gateways + "n", gateway(group + addresses + "none"), "InvalidResourceReference",
		},
		"the address of another": {group + gateways + "n", gateway(group + addresses + "out"), "PublicIPAddressInUse"},
		"two hours and a minute": {group + gateways + "n", slow, "InvalidIdleTimeoutInMinutes"},
		"no such route table": {
			network + "/subnets/s", in("routeTable", routeTables+"none"), "InvalidResourceReference",
		},
		"a route table elsewhere": {
			network + "/subnets/s", in("routeTable", routeTables+"elsewhere"), "InvalidResourceReference",
		},
		"no such gateway": {
			network + "/subnets/s", in("natGateway", gateways+"none"), "InvalidResourceReference",
		},
		"a route table for a gateway": {
			network + "/subnets/s", in("natGateway", routeTables+"out"), "LinkedInvalidPropertyId",
		},
	} {
		if status, code := f.call(http.MethodPut, test.path+vnetVersion, test.body); code != test.code {
			t.Errorf("%s: %d %s, want %s", name, status, code, test.code)
		}
	}
}

// clusterBody returns the body of a cluster in a subnet, with an identity that may join it. An empty subnet means that
// Azure chooses.
func (f *fixture) clusterBody(subnet string, change m) m {
	f.Helper()
	pool := m{"name": "system", "mode": "System", "count": 1, "vmSize": "Standard_D2s_v5"}
	body := m{"location": location, "identity": m{"type": "SystemAssigned"}}
	if subnet != "" {
		uai := f.identity("g", "aks")
		_, _ = f.assign(subnet, networkContributor, *uai.Properties.PrincipalID, servicePrincipal)
		body["identity"] = m{"type": "UserAssigned", "userAssignedIdentities": m{*uai.ID: m{}}}
		pool["vnetSubnetID"] = subnet
	}
	properties := m{"dnsPrefix": "aks", "agentPoolProfiles": []m{pool}}
	maps.Copy(properties, change)
	body["properties"] = properties
	return body
}

func outbound(kind string) m {
	return m{"networkProfile": m{"networkPlugin": "azure", "networkPluginMode": "overlay", "outboundType": kind}}
}

func TestManagedCluster_RequiresEgressOfItsSubnet(t *testing.T) {
	f := newFixture(t)
	network := f.waysOut()
	group := path("resourceGroups/g")
	f.put(group+gateways+"mute"+vnetVersion, gateway())
	f.put(group+routeTables+"nowhere"+vnetVersion, routes())
	f.put(group+routeTables+"internet"+vnetVersion, routes(route("Internet", "")))
	for i, part := range []struct{ name, part, id string }{
		{"mute", "natGateway", gateways + "mute"}, {"nowhere", "routeTable", routeTables + "nowhere"}, {
			"internet", "routeTable", routeTables + "internet",
		},
	} {
		prefix := []string{"10.0.64.0/20", "10.0.80.0/20", "10.0.96.0/20"}[i]
		f.put(network+"/subnets/"+part.name+vnetVersion, m{
			"properties": m{"addressPrefix": prefix, part.part: m{"id": group + part.id}},
		})
	}
	at := path(aksID) + aksVersion
	for _, test := range []struct{ outbound, subnet, code string }{
		{"userDefinedRouting", "", "InvalidParameter"},
		{"userAssignedNATGateway", "", "InvalidParameter"},
		{"managedNATGateway", "nodes", "InvalidParameter"},
		{"userDefinedRouting", "nodes", "ExistingRouteTableNotAssociatedWithSubnet"},
		{"userDefinedRouting", "nowhere", "RouteTableMissingDefaultRouteError"},
		{"userDefinedRouting", "internet", "RouteTableInvalidNextHop"},
		{"userAssignedNATGateway", "nodes", "SubnetNotAssociatedWithNATGateway"},
		{"userAssignedNATGateway", "mute", "NATGatewayNotAssociatedWithPublicIPOrIPPrefix"},
	} {
		id := test.subnet
		if id != "" {
			id = network + "/subnets/" + id
		}
		if status, code := f.call(http.MethodPut, at, f.clusterBody(id, outbound(test.outbound))); code != test.code {
			t.Errorf("%s with the subnet %q: %d %s, want %s", test.outbound, test.subnet, status, code, test.code)
		}
	}

	f.put(at, f.clusterBody(network+"/subnets/routed", outbound("userDefinedRouting")))
	pool := m{"properties": m{"vmSize": "Standard_D2s_v5", "vnetSubnetID": network + "/subnets/nodes"}}
	f.clusterBody(network+"/subnets/nodes", nil) // assigns the role
	if status, code := f.call(http.MethodPut, path(aksID)+"/agentPools/more"+aksVersion,
		pool); code != "ExistingRouteTableNotAssociatedWithSubnet" {
		t.Errorf("a pool in a subnet without a route table: %d %s", status, code)
	}
}

func TestManagedCluster_ChangesOutboundTypeAsAKSAllows(t *testing.T) {
	f := newFixture(t)
	network := f.waysOut()
	both := path("resourceGroups/g")
	f.put(network+"/subnets/routed"+vnetVersion, m{"properties": m{
		"addressPrefix": "10.0.48.0/20",
		"routeTable":    m{"id": both + routeTables + "out"},
		"natGateway":    m{"id": both + gateways + "out"},
	}})
	for subnet, changes := range map[string][]struct{ outbound, code string }{
		"": {
			{"loadBalancer", ""}, {"managedNATGateway", ""}, {"none", "PropertyChangeNotAllowed"}, {"loadBalancer", ""},
		},
		network + "/subnets/routed": {
			{"loadBalancer", ""}, {"userDefinedRouting", ""}, {"userAssignedNATGateway", ""}, {"loadBalancer", ""},
		},
	} {
		at := path(aksID) + map[bool]string{true: "managed", false: "own"}[subnet == ""] + aksVersion
		was := ""
		for _, change := range changes {
			status, code := f.call(http.MethodPut, at, f.clusterBody(subnet, outbound(change.outbound)))
			f.must(f.cloud.Settle(t.Context()))
			if code != change.code {
				t.Errorf("from %q to %s: %d %s, want %q", was, change.outbound, status, code, change.code)
			}
			was = change.outbound
		}
		left := f.clusterBody(subnet, nil)
		f.put(at, left)
		if got := f.get(at)["networkProfile"].(m)["outboundType"]; got != "loadBalancer" {
			t.Errorf("omitted, it becomes %v", got)
		}
	}
}

func TestVaultFirewall_SeesAddressOfNATGateway(t *testing.T) {
	f := newFixture(t)
	network := f.waysOut()
	vault := path("resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv-nat")
	f.must(f.putVault("g", "kv-nat", nil))
	w := &world{fixture: f, vaultID: vault, uri: "https://kv-nat.vault.azure.net/"}
	w.officer()
	f.put(vault+"/secrets/s?api-version=2023-02-01", m{"properties": m{"value": "v"}})
	address, _ := f.get(path("resourceGroups/g") + addresses + "out" + vnetVersion)["ipAddress"].(string)
	balanced := f.clusterIn("balanced", "")
	clients := map[string]*http.Client{
		"nat":      f.from(f.clusterIn("nat", network+"/subnets/nat")),
		"routed":   f.from(f.clusterIn("routed", network+"/subnets/routed")),
		"balanced": f.from(balanced),
	}
	own := f.addressesOf(balanced, "loadBalancerProfile")[0]
	for allowed, who := range map[string]string{address: "nat", own: "balanced"} {
		f.must(f.putVault("g", "kv-nat", func(p *armkeyvault.VaultProperties) {
			p.NetworkACLs = &armkeyvault.NetworkRuleSet{
				DefaultAction: to.Ptr(armkeyvault.NetworkRuleActionDeny), IPRules: []*armkeyvault.IPRule{{Value: to.Ptr(allowed)}},
			}
		}))
		for name, client := range clients {
			if err := w.readAs(client); (err == nil) != (name == who) {
				t.Errorf("%s allowed: %s: got %v", allowed, name, err)
			}
		}
	}
}

// readAs reads the secret s with a client.
func (w *world) readAs(client *http.Client) error {
	w.Helper()
	options := w.options()
	options.Transport = client
	secrets, err := azsecrets.NewClient(w.uri, w.owner, &azsecrets.ClientOptions{ClientOptions: options})
	w.must(err)
	_, err = secrets.GetSecret(w.Context(), "s", "", nil)
	return err
}
