package network_test

import (
	"net/http"
	"testing"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager/armtest"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/network"
)

type m = arm.Object

// at returns the path of a resource of the namespace.
func at(kindAndName string) string {
	return armtest.ID("resourceGroups/g/providers/Microsoft.Network", kindAndName) + "?api-version=2023-02-01"
}

// id returns the id of a resource of the namespace.
func id(kindAndName string) string {
	return armtest.ID("resourceGroups/g/providers/Microsoft.Network", kindAndName)
}

func space(prefixes ...string) m {
	return m{"location": armtest.Location, "properties": m{"addressSpace": m{"addressPrefixes": prefixes}}}
}

func subnet(prefix string, more m) m {
	properties := m{"addressPrefix": prefix}
	for key, value := range more {
		properties[key] = value
	}
	return m{"properties": properties}
}

func TestNetwork_ChecksAddressRanges(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, network.Provider())
	rm.Group("g")
	rm.Put(at("virtualNetworks/vnet"), space("10.0.0.0/16"))
	rm.Put(at("virtualNetworks/vnet/subnets/one"), subnet("10.0.0.0/24", nil))
	two := at("virtualNetworks/vnet/subnets/two")
	sql := m{"serviceEndpoints": []m{{"service": "Microsoft.Sql"}}}
	for name, test := range map[string]struct {
		path string
		body m
		code string
	}{
		"no space":      {at("virtualNetworks/other"), space(), "InvalidAddressSpace"},
		"reserved":      {at("virtualNetworks/other"), space("127.0.0.0/8"), "InvalidAddressSpace"},
		"no length":     {at("virtualNetworks/other"), space("10.0.0.0"), "InvalidAddressPrefixFormat"},
		"host bits":     {at("virtualNetworks/other"), space("10.0.0.1/16"), "InvalidCIDRNotation"},
		"overlap":       {two, subnet("10.0.0.128/25", nil), "NetcfgSubnetRangesOverlap"},
		"outside":       {two, subnet("10.1.0.0/24", nil), "NetcfgInvalidSubnet"},
		"invalid name":  {at("virtualNetworks/-vnet"), space("10.0.0.0/16"), "InvalidResourceName"},
		"other service": {two, subnet("10.0.2.0/24", sql), "NotImplemented"},
	} {
		if status, answer := rm.Ask(http.MethodPut, test.path, test.body); status < 400 || armtest.Code(answer) != test.code {
			t.Errorf("%s: %d %v, want %s", name, status, answer, test.code)
		}
	}
	if subnets := arm.Child(rm.Get(at("virtualNetworks/vnet")), "properties")["subnets"].([]any); len(subnets) != 1 {
		t.Errorf("the network shows the subnets %v", subnets)
	}
}

func TestNetwork_ChecksNamesInBodies(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, network.Provider())
	rm.Group("g")
	for _, name := range []string{"a/b", "-a", "a-", "\u212a", "..", "a/providers/Microsoft.Authorization/locks/l"} {
		vnet := space("10.0.0.0/16")
		inner := subnet("10.0.0.0/24", nil)
		inner["name"] = name
		arm.Child(vnet, "properties")["subnets"] = []m{inner}
		rm.Refused(http.MethodPut, at("virtualNetworks/vnet"), vnet, http.StatusBadRequest, "InvalidResourceName")
		route := m{"name": name, "properties": m{"addressPrefix": "0.0.0.0/0", "nextHopType": "None"}}
		table := m{"location": armtest.Location, "properties": m{"routes": []m{route}}}
		rm.Refused(http.MethodPut, at("routeTables/table"), table, http.StatusBadRequest, "InvalidResourceName")
	}
}

func TestNetwork_RefusesInvalidIDs(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, network.Provider())
	rm.Group("g")
	rm.Put(at("virtualNetworks/vnet"), space("10.0.0.0/16"))
	rm.Put(id("privateDnsZones/example.com")+"?api-version=2020-06-01", m{"location": "global"})
	for _, given := range []string{
		"/",
		"//",
		"x",
		"/subscriptions",
		"/subscriptions/s",
		"/providers",
		id("virtualNetworks"),
		id("virtualNetworks/vnet/subnets"),
		id("virtualNetworks/vnet/subnets/"),
		"/subscriptions/s/resourceGroups/g/providers",
		"\u017f",
	} {
		connection := m{"privateLinkServiceId": given, "groupIds": []string{"vault"}}
		for path, body := range map[string]m{
			at("virtualNetworks/vnet/subnets/two"): subnet("10.0.2.0/24", m{"routeTable": m{"id": given}}),
			at("natGateways/nat"): {
				"location":   armtest.Location,
				"sku":        m{"name": "Standard"},
				"properties": m{"publicIpAddresses": []m{{"id": given}}},
			},
			at("privateEndpoints/pe"): {"location": armtest.Location, "properties": m{
				"subnet":                        m{"id": given},
				"privateLinkServiceConnections": []m{{"name": "c", "properties": connection}},
			}},
			id("privateDnsZones/example.com/virtualNetworkLinks/link") + "?api-version=2020-06-01": {
				"location":   "global",
				"properties": m{"virtualNetwork": m{"id": given}},
			},
		} {
			status, answer := rm.Ask(http.MethodPut, path, body)
			if status < 400 || status == 500 || armtest.Code(answer) == "" {
				t.Errorf("%s with %q: %d %v", path, given, status, answer)
			}
		}
	}
}

// TestNetwork_RefusesLookalikeIDs refers to a route table by ids with the Kelvin sign and the dotted capital I, which
// package strings takes for k and i.
func TestNetwork_RefusesLookalikeIDs(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, network.Provider())
	rm.Group("g")
	rm.Put(at("virtualNetworks/vnet"), space("10.0.0.0/16"))
	rm.Put(at("routeTables/kilo"), m{"location": armtest.Location, "properties": m{}})
	one := at("virtualNetworks/vnet/subnets/one")
	rm.Put(one, subnet("10.0.0.0/24", m{"routeTable": m{"id": id("routeTables/KILO")}}))
	for _, name := range []string{"\u212ailo", "k\u0130lo"} {
		lookalike := subnet("10.0.0.0/24", m{"routeTable": m{"id": id("routeTables/" + name)}})
		rm.Refused(http.MethodPut, one, lookalike, http.StatusBadRequest, "InvalidResourceReference")
	}
	rm.Refused(http.MethodGet, at("routeTables/k\u0130lo"), nil, http.StatusBadRequest, "InvalidRequestUri")
}

func TestPrivateDNS_HonoursIfNoneMatch(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, network.Provider())
	rm.Group("g")
	zone := id("privateDnsZones/example.com") + "?api-version=2020-06-01"
	for _, want := range []int{http.StatusCreated, http.StatusPreconditionFailed} {
		if status, answer := rm.AskWith(http.MethodPut, zone, m{"location": "global"}, "If-None-Match", "*"); status != want {
			t.Errorf("PUT with If-None-Match: %d %v, want %d", status, answer, want)
		}
	}
}
