package azure_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/keyvault/armkeyvault"
)

// TestTags_AreLimited tries one resource for each way to write tags. The limits hold for every resource.
func TestTags_AreLimited(t *testing.T) {
	f := newFixture(t)
	group := f.group("g")
	f.putIdentity(group, "there", nil)
	many := func(count int) m {
		tags := m{}
		for i := range count {
			tags[fmt.Sprint("tag-", i)] = "x"
		}
		return tags
	}
	const version = "?api-version=2023-01-31"
	for name, tags := range map[string]m{
		"51":                            many(51),
		"a name's length":               {strings.Repeat("n", 513): "x"},
		"a name's characters":           {"a/b": "x"},
		"no name":                       {"": "x"},
		"a name of Azure's":             {"Azure-region": "x"},
		"a name of Microsoft's":         {"microsoft": "x"},
		"a name of Windows":             {"windowsVersion": "x"},
		"two names that differ in case": {"Team": "x", "team": "y"},
		"a value's length":              {"team": strings.Repeat("v", 257)},
	} {
		for path, method := range map[string]string{
			path("resourceGroups/other?api-version=2022-09-01"):                                   http.MethodPut,
			group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/made" + version:  http.MethodPut,
			group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/there" + version: http.MethodPatch,
		} {
			body := m{"tags": tags}
			if method == http.MethodPut {
				body["location"] = location
			}
			if status, code := f.call(method, path, body); status != http.StatusBadRequest {
				t.Errorf("%s of %s with %s: %d %s", method, path, name, status, code)
			}
		}
	}
	f.putIdentity(group, "made", many(50))
	f.putIdentity(group, "made", m{strings.Repeat("n", 512): strings.Repeat("ü", 256), "my-azure": ""})
}

func (f *fixture) putIdentity(group, name string, tags m) {
	f.Helper()
	body := m{"location": location}
	if tags != nil {
		body["tags"] = tags
	}
	f.put(group+"/providers/Microsoft.ManagedIdentity/userAssignedIdentities/"+name+"?api-version=2023-01-31", body)
}

// TestTags_AreFifteenInPrivateZone also checks a private cluster, whose tags its zone has as well.
func TestTags_AreFifteenInPrivateZone(t *testing.T) {
	f := newFixture(t)
	network := f.network()
	tags := func(count int) m {
		tags := m{}
		for i := range count {
			tags[fmt.Sprint("tag-", i)] = "x"
		}
		return tags
	}
	zone := path("resourceGroups/g") + zones + vaultZone
	link := zone + "/virtualNetworkLinks/l"
	linked := m{"virtualNetwork": m{"id": network}, "registrationEnabled": false}
	for _, count := range []int{16, 15} {
		for _, one := range []struct {
			path string
			body m
		}{
			{zone + "?api-version=2024-06-01", m{"location": "global", "tags": tags(count)}},
			{link + "?api-version=2024-06-01", m{"location": "global", "tags": tags(count), "properties": linked}},
			{path(aksID) + aksVersion, f.clusterBody("", m{"apiServerAccessProfile": m{"enablePrivateCluster": true}})},
		} {
			one.body["tags"] = tags(count)
			if status, code := f.call(http.MethodPut, one.path, one.body); (status == http.StatusBadRequest) != (count == 16) &&
				status != http.StatusNotFound {
				t.Errorf("%s with %d tags: %d %s", one.path, count, status, code)
			}
		}
	}
}

func TestNames_ReservedAreRefused(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	f.group("windows") // names of groups are not reserved, because they are not public
	for _, name := range []string{"azure", "Office", "login-1", "my-microsoft", "mywindows1"} {
		f.refused(f.putVault("g", name, nil), http.StatusBadRequest, "ReservedResourceName")
		id := path("resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/" + name)
		if status, code := f.call(http.MethodPut, id+aksVersion, f.clusterBody("", nil)); code != "ReservedResourceName" {
			t.Errorf("%s: %d %s", name, status, code)
		}
	}
	f.must(f.putVault("g", "azure-1", func(*armkeyvault.VaultProperties) {}))
}

func TestRanges_ReservedAreRefused(t *testing.T) {
	f := newFixture(t)
	group := f.group("g")
	for _, space := range []string{"224.0.0.0/8", "127.1.0.0/16", "169.254.0.0/16", "168.63.0.0/16", "255.255.255.0/24"} {
		if status, code := f.call(http.MethodPut, group+networks+"refused"+vnetVersion,
			vnet(space)); status != http.StatusBadRequest {
			t.Errorf("a network of %s: %d %s", space, status, code)
		}
	}
	for _, r := range []string{"169.254.0.0/16", "172.30.0.0/16", "172.31.0.0/16", "192.0.2.0/24"} {
		for _, profile := range []m{
			{"networkPlugin": "azure", "networkPluginMode": "overlay", "podCidr": r},
			{
				"networkPlugin":     "azure",
				"networkPluginMode": "overlay",
				"serviceCidr":       r,
				"dnsServiceIP":      strings.Replace(r, ".0/", ".10/", 1)[:len(r)-2],
			},
		} {
			if status, code := f.call(http.MethodPut, path(aksID)+aksVersion,
				f.clusterBody("", m{"networkProfile": profile})); code != "InvalidParameter" {
				t.Errorf("a cluster with %v: %d %s", profile, status, code)
			}
		}
	}
	// Azure accepts such a network, but AKS refuses pools in it.
	long := strings.Repeat("n", 64)
	for name, body := range map[string]m{
		"reserved": vnet("172.30.0.0/16", subnet("nodes", "172.30.0.0/20")),
		long:       vnet("10.1.0.0/16", subnet("nodes", "10.1.0.0/20")),
		"named":    vnet("10.1.0.0/16", subnet(long, "10.1.0.0/20")),
	} {
		f.put(group+networks+name+vnetVersion, body)
	}
	for _, id := range []string{"reserved/subnets/nodes", long + "/subnets/nodes", "named/subnets/" + long} {
		if status, code := f.call(http.MethodPut, path(aksID)+aksVersion,
			f.clusterBody(group+networks+id, nil)); code != "InvalidParameter" {
			t.Errorf("a cluster in %s: %d %s", id, status, code)
		}
	}
}

func TestAgentPools_AreLimited(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	pools := []m{}
	for i := range 6 {
		pools = append(pools, m{"name": fmt.Sprint("p", i), "mode": "System", "vmSize": "Standard_D2s_v5", "count": 1000})
	}
	if status, code := f.call(http.MethodPut, path(aksID)+aksVersion,
		f.clusterBody("", m{"agentPoolProfiles": pools})); code != "InvalidParameter" {
		t.Errorf("6000 nodes: %d %s", status, code)
	}
	body := f.clusterBody("", m{"agentPoolProfiles": pools[:5]})
	if status, code := f.call(http.MethodPut, path(aksID)+aksVersion, body); code != "InvalidParameter" {
		t.Errorf("5000 nodes of the tier Free: %d %s", status, code)
	}
	body["sku"] = m{"name": "Base", "tier": "Standard"}
	f.put(path(aksID)+aksVersion, body)
	more := func(count int) m {
		return m{"properties": m{"mode": "System", "vmSize": "Standard_D2s_v5", "count": count}}
	}
	if status, code := f.call(http.MethodPut, path(aksID)+"/agentPools/more"+aksVersion,
		more(1)); code != "InvalidParameter" {
		t.Errorf("a node more: %d %s", status, code)
	}
	f.put(path(aksID)+"/agentPools/p4"+aksVersion, more(999))
	f.put(path(aksID)+"/agentPools/more"+aksVersion, more(1))
}
