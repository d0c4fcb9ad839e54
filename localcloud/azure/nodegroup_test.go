package azure_test

import (
	"maps"
	"net/http"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

const (
	groupVersion    = "?api-version=2022-09-01"
	identityVersion = "?api-version=2023-01-31"
	nodeGroup       = "resourceGroups/MC_g_aks_eastus"
)

// kubelet returns the kubelet identity in a cluster's properties.
func (f *fixture) kubelet(cluster string) m {
	f.Helper()
	profile, _ := f.get(cluster + aksVersion)["identityProfile"].(m)
	kubelet, ok := profile["kubeletidentity"].(m)
	if !ok {
		f.Fatalf("%s shows the identities %v", cluster, profile)
	}
	return kubelet
}

// outboundIDs returns the IDs of the outbound addresses in a profile of a cluster's network.
func (f *fixture) outboundIDs(cluster, profile string) (ids []string) {
	f.Helper()
	shown, _ := f.get(cluster + aksVersion)["networkProfile"].(m)[profile].(m)
	addresses, _ := shown["effectiveOutboundIPs"].([]any)
	for _, address := range addresses {
		ids = append(ids, address.(m)["id"].(string))
	}
	return ids
}

// addressesOf returns the addresses with outboundIDs.
func (f *fixture) addressesOf(cluster, profile string) (addresses []string) {
	f.Helper()
	for _, id := range f.outboundIDs(cluster, profile) {
		address, _ := f.get(id + vnetVersion)["ipAddress"].(string)
		addresses = append(addresses, address)
	}
	return addresses
}

// delete deletes a resource and waits for operations. It fails the test on errors.
func (f *fixture) delete(path string) {
	f.Helper()
	if status, code := f.call(http.MethodDelete, path, nil); status >= 400 {
		f.Fatalf("DELETE %s: %d %s", path, status, code)
	}
	f.must(f.cloud.Settle(f.Context()))
}

// restart restarts the local cloud.
func (f *fixture) restart() {
	f.Helper()
	f.stop()
	f.start()
	f.must(f.cloud.Settle(f.Context()))
}

// balanced returns a change to a cluster's body that sets a load balancer's profile.
func balanced(profile m) m {
	change := outbound("loadBalancer")
	change["networkProfile"].(m)["loadBalancerProfile"] = profile
	return change
}

func TestManagedCluster_ShowsKubeletIdentity(t *testing.T) {
	f := newFixture(t)
	group := f.group("g")
	at := path(aksID)
	f.put(at+aksVersion, f.clusterBody("", nil))
	kubelet := f.kubelet(at)
	id, _ := kubelet["resourceId"].(string)
	want := path(nodeGroup) + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/aks-agentpool"
	if !strings.EqualFold(id, want) {
		t.Errorf("its id is %s, want %s", id, want)
	}
	shown := m{"clientId": kubelet["clientId"], "principalId": kubelet["objectId"], "tenantId": azure.TenantID}
	if got := f.get(id + identityVersion); !reflect.DeepEqual(got, shown) {
		t.Errorf("the identity is %v, the cluster shows %v", got, kubelet)
	}
	principal, _ := kubelet["objectId"].(string)
	_, err := f.assign(group, secretsUser, principal, servicePrincipal)
	f.must(err)

	f.put(at+aksVersion, f.clusterBody("", m{"identityProfile": m{"kubeletidentity": kubelet}}))
	f.restart()
	f.put(at+aksVersion, f.clusterBody("", nil))
	if got := f.kubelet(at); !reflect.DeepEqual(got, kubelet) {
		t.Errorf("after updates and a restart: got %v, want %v", got, kubelet)
	}

	f.delete(at + aksVersion)
	if status, code := f.call(http.MethodGet, id+identityVersion, nil); status != http.StatusNotFound {
		t.Errorf("GET without the cluster: %d %s", status, code)
	}
	_, err = f.assign(group, vaultReader, principal, nil)
	f.refused(err, http.StatusBadRequest, "PrincipalNotFound")
	f.put(at+aksVersion, f.clusterBody("", nil))
	if f.kubelet(at)["objectId"] == principal {
		t.Error("a new cluster has the identity of the old one")
	}
}

func TestManagedCluster_KeepsIdentityOfReenabledAddOn(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	at := path(aksID)
	enable := func(name string, enabled bool) any {
		f.put(at+aksVersion, f.clusterBody("", m{"addonProfiles": m{name: m{"enabled": enabled}}}))
		return f.get(at + aksVersion)["addonProfiles"].(m)[name].(m)["identity"]
	}
	identity, _ := enable("azurepolicy", true).(m)
	if got := f.get(identity["resourceId"].(string) + identityVersion); got["principalId"] != identity["objectId"] {
		t.Errorf("the identity is %v, the cluster shows %v", got, identity)
	}
	enable("azurepolicy", false)
	if got := enable("azurepolicy", true); !reflect.DeepEqual(got, any(identity)) {
		t.Errorf("it has %v, had %v", got, identity)
	}
}

func TestManagedCluster_ShowsAddressesOfLoadBalancer(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	at := path(aksID)
	f.put(at+aksVersion, f.clusterBody("", outbound("loadBalancer")))
	ids := f.outboundIDs(at, "loadBalancerProfile")
	if len(ids) != 1 || !strings.HasPrefix(ids[0], path(nodeGroup)+addresses) {
		t.Fatalf("it shows %v", ids)
	}
	address := f.get(ids[0] + vnetVersion)
	ip, err := netip.ParseAddr(address["ipAddress"].(string))
	if err != nil || !netip.MustParsePrefix("203.0.113.0/24").Contains(ip) {
		t.Errorf("its address is %v", address)
	}
	if status, code := f.call(http.MethodDelete, ids[0]+vnetVersion, nil); code != "PublicIPAddressCannotBeDeleted" {
		t.Errorf("DELETE of the address: %d %s", status, code)
	}

	count := func(n int) m { return balanced(m{"managedOutboundIPs": m{"count": n}}) }
	f.put(at+aksVersion, f.clusterBody("", count(3)))
	three := f.outboundIDs(at, "loadBalancerProfile")
	if len(three) != 3 || three[0] != ids[0] {
		t.Errorf("with three addresses it shows %v, showed %v", three, ids)
	}
	f.restart()
	f.put(at+aksVersion, f.clusterBody("", outbound("loadBalancer"))) // omits them
	if got := f.outboundIDs(at, "loadBalancerProfile"); !slices.Equal(got, three) {
		t.Errorf("after a restart and an update it shows %v, showed %v", got, three)
	}
	f.put(at+aksVersion, f.clusterBody("", count(1)))
	if got := f.outboundIDs(at, "loadBalancerProfile"); !slices.Equal(got, ids) {
		t.Errorf("with one address again it shows %v, showed %v", got, ids)
	}
	if status, _ := f.call(http.MethodGet, three[2]+vnetVersion, nil); status != http.StatusNotFound {
		t.Errorf("GET of the surplus address: %d", status)
	}

	other := f.clusterIn("other", "")
	if got := f.addressesOf(other, "loadBalancerProfile"); got[0] == address["ipAddress"] {
		t.Errorf("two clusters have the address %s", got[0])
	}
	f.delete(at + aksVersion)
	if status, _ := f.call(http.MethodGet, ids[0]+vnetVersion, nil); status != http.StatusNotFound {
		t.Errorf("GET of the address without the cluster: %d", status)
	}
}

func TestManagedCluster_ShowsAddressesOfNATGateway(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	at := path(aksID)
	f.put(at+aksVersion, f.clusterBody("", outbound("loadBalancer")))
	before := f.outboundIDs(at, "loadBalancerProfile")
	f.put(at+aksVersion, f.clusterBody("", outbound("managedNATGateway")))
	ids := f.outboundIDs(at, "natGatewayProfile")
	if len(ids) != 1 || ids[0] == before[0] || f.outboundIDs(at, "loadBalancerProfile") != nil {
		t.Errorf("it shows %v, showed %v before", ids, before)
	}
	f.get(ids[0] + vnetVersion)
	if status, _ := f.call(http.MethodGet, before[0]+vnetVersion, nil); status != http.StatusNotFound {
		t.Errorf("GET of the load balancer's address: %d", status)
	}
}

func TestManagedCluster_KeepsOmittedNetworkProfile(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	at := path(aksID) + aksVersion
	change := outbound("managedNATGateway")
	network := change["networkProfile"].(m)
	network["networkPolicy"], network["networkDataplane"] = "cilium", "cilium"
	f.put(at, f.clusterBody("", change))
	for _, key := range []string{"outboundType", "networkPolicy", "networkDataplane"} {
		delete(network, key)
	}
	f.put(at, f.clusterBody("", change))
	shown := f.get(at)["networkProfile"].(m)
	for key, want := range map[string]string{
		"outboundType": "managedNATGateway", "networkPolicy": "cilium", "networkDataplane": "cilium",
	} {
		if shown[key] != want {
			t.Errorf("its %s is %v, want %s", key, shown[key], want)
		}
	}
}

func TestManagedCluster_HasNoAddressesForUserEgress(t *testing.T) {
	f := newFixture(t)
	network := f.waysOut()
	at := path(aksID)
	for kind, body := range map[string]m{
		"userDefinedRouting":     f.clusterBody(network+"/subnets/routed", outbound("userDefinedRouting")),
		"userAssignedNATGateway": f.clusterBody(network+"/subnets/nat", outbound("userAssignedNATGateway")),
		"none":                   f.clusterBody("", outbound("none")),
		"a basic load balancer":  f.clusterBody("", m{"networkProfile": m{"loadBalancerSku": "basic"}}),
	} {
		f.put(at+aksVersion, body)
		for _, profile := range []string{"loadBalancerProfile", "natGatewayProfile"} {
			if got := f.outboundIDs(at, profile); got != nil {
				t.Errorf("%s: %s shows %v", kind, profile, got)
			}
		}
		f.delete(at + aksVersion)
	}
}

func TestManagedCluster_UsesGivenOutboundAddresses(t *testing.T) {
	f := newFixture(t)
	f.waysOut()
	at := path(aksID)
	own := path("resourceGroups/g") + addresses + "own"
	given := func(id string) m { return balanced(m{"outboundIPs": m{"publicIPs": []m{{"id": id}}}}) }
	f.put(own+vnetVersion, publicAddress())
	f.put(at+aksVersion, f.clusterBody("", given(own)))
	if got := f.outboundIDs(at, "loadBalancerProfile"); !slices.Equal(got, []string{own}) {
		t.Errorf("it shows %v", got)
	}
	if status, code := f.call(http.MethodDelete, own+vnetVersion, nil); code != "PublicIPAddressCannotBeDeleted" {
		t.Errorf("DELETE of the address: %d %s", status, code)
	}
	other := strings.TrimSuffix(at, "aks") + "other"
	prefixes := balanced(m{"outboundIPPrefixes": m{"publicIPPrefixes": []m{{"id": own}}}})
	for what, test := range map[string]struct {
		change m
		code   string
	}{
		"another cluster's":  {given(own), "PublicIPAddressInUse"},
		"a NAT gateway's":    {given(path("resourceGroups/g") + addresses + "out"), "PublicIPAddressInUse"},
		"a missing one":      {given(own + "x"), "InvalidResourceReference"},
		"a prefix":           {prefixes, "NotImplemented"},
		"IPv6":               {balanced(m{"managedOutboundIPs": m{"countIPv6": 1}}), "NotImplemented"},
		"none":               {balanced(m{"managedOutboundIPs": m{"count": 0}}), "InvalidParameter"},
		"a hundred and one":  {balanced(m{"managedOutboundIPs": m{"count": 101}}), "InvalidParameter"},
		"odd ports":          {balanced(m{"allocatedOutboundPorts": 1025}), "InvalidParameter"},
		"too many ports":     {balanced(m{"allocatedOutboundPorts": 64008}), "InvalidParameter"},
		"a short timeout":    {balanced(m{"idleTimeoutInMinutes": 3}), "InvalidParameter"},
		"a kubelet identity": {m{"identityProfile": m{"kubeletidentity": m{"resourceId": own}}}, "NotImplemented"},
	} {
		if status, code := f.call(http.MethodPut, other+aksVersion, f.clusterBody("", test.change)); code != test.code {
			t.Errorf("%s: %d %s, want %s", what, status, code, test.code)
		}
	}
	f.put(at+aksVersion, f.clusterBody("", balanced(m{"managedOutboundIPs": m{"count": 1}})))
	if got := f.outboundIDs(at, "loadBalancerProfile"); len(got) != 1 || got[0] == own {
		t.Errorf("it shows %v", got)
	}
	f.delete(own + vnetVersion)
}

func TestManagedCluster_HasNodeResourceGroup(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	at := path(aksID)
	read := func(group string) m {
		_, answer := f.ask(http.MethodGet, path("resourceGroups/"+group)+groupVersion, nil)
		return answer
	}
	named := f.clusterBody("", m{"nodeResourceGroup": "nodes"})
	for group, body := range map[string]m{"MC_g_aks_eastus": f.clusterBody("", nil), "nodes": named} {
		f.put(at+aksVersion, body)
		p := f.get(at + aksVersion)
		name, _ := p["fqdn"].(string)
		if p["nodeResourceGroup"] != group || !strings.HasSuffix(name, ".hcp.eastus.azmk8s.io") {
			t.Errorf("the cluster is %v", p)
		}
		if got := read(group); got["managedBy"] != at || got["location"] != location {
			t.Errorf("the group is %v", got)
		}
		f.delete(at + aksVersion)
		if got := read(group); got["id"] != nil {
			t.Errorf("without the cluster the group is %v", got)
		}
	}

	f.group("taken")
	for group, code := range map[string]string{
		"taken": "NodeResourceGroupAlreadyExists", "G": "NodeResourceGroupSameAsResourceGroup",
		"a/providers/b": "InvalidParameter",
	} {
		body := f.clusterBody("", m{"nodeResourceGroup": group})
		if status, got := f.call(http.MethodPut, at+aksVersion, body); got != code {
			t.Errorf("the group %s: %d %s, want %s", group, status, got, code)
		}
	}

	f.put(at+aksVersion, named)
	f.delete(path("resourceGroups/g") + groupVersion)
	if got := read("nodes"); got["id"] != nil {
		t.Errorf("the node resource group without the cluster's group: %v", got)
	}
}

func TestManagedCluster_IsDeletedWithoutNodeResourceGroup(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	at := path(aksID)
	f.put(at+aksVersion, f.clusterBody("", nil))
	kubelet := f.kubelet(at)
	f.delete(path(nodeGroup) + groupVersion)
	f.restart()
	if status, code := f.call(http.MethodGet, path(nodeGroup)+groupVersion, nil); status != http.StatusNotFound {
		t.Errorf("a restart brings the group back: %d %s", status, code)
	}
	f.put(at+aksVersion, f.clusterBody("", nil))
	if got := f.kubelet(at); !reflect.DeepEqual(got, kubelet) {
		t.Errorf("after an update: got %v, want %v", got, kubelet)
	}
	f.get(f.outboundIDs(at, "loadBalancerProfile")[0] + vnetVersion)
	f.delete(path(nodeGroup) + groupVersion)
	f.delete(at + aksVersion)
}

// older changes a stored cluster to one of an older local cloud, which did not create node resource groups.
func (f *fixture) older(cluster string, change func(properties m)) {
	f.Helper()
	f.stop()
	st, err := store.Open(filepath.Join(f.dir, "azure", "azure.db"))
	f.must(err)
	f.must(st.Update(func(tx *store.Tx) error {
		const bucket = "resources"
		inGroup, err := store.List[m](tx, bucket, strings.ToLower(path(nodeGroup)))
		f.must(err)
		for _, res := range inGroup {
			f.must(store.Delete(tx, bucket, strings.ToLower(res["id"].(string))))
		}
		res, _, err := store.Get[m](tx, bucket, strings.ToLower(cluster))
		f.must(err)
		change(res["properties"].(m))
		return store.Put(tx, bucket, strings.ToLower(cluster), res)
	}))
	f.must(st.Close())
	f.start()
	f.must(f.cloud.Settle(f.Context()))
}

func TestManagedCluster_OfOlderHomeGetsNodeResourceGroup(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	at := path(aksID)
	f.put(at+aksVersion, f.clusterBody("", nil))
	kubelet, before := f.kubelet(at), f.get(at+aksVersion)
	f.older(at, func(properties m) { delete(properties["networkProfile"].(m), "loadBalancerProfile") })
	if got := f.kubelet(at); !reflect.DeepEqual(got, kubelet) {
		t.Errorf("it has the identity %v, had %v", got, kubelet)
	}
	if got := f.get(kubelet["resourceId"].(string) + identityVersion); got["principalId"] != kubelet["objectId"] {
		t.Errorf("the identity is %v", got)
	}
	f.get(f.outboundIDs(at, "loadBalancerProfile")[0] + vnetVersion)
	after := f.get(at + aksVersion)
	for _, properties := range []m{before, after} {
		delete(properties["networkProfile"].(m)["loadBalancerProfile"].(m), "effectiveOutboundIPs")
	}
	if !maps.EqualFunc(before, after, func(a, b any) bool { return reflect.DeepEqual(a, b) }) {
		t.Errorf("it is %v, was %v", after, before)
	}

	f.older(at, func(properties m) {
		delete(properties["networkProfile"].(m), "loadBalancerProfile")
		delete(properties, "identityProfile")
	})
	f.get(f.kubelet(at)["resourceId"].(string) + identityVersion)
	f.delete(at + aksVersion)
	if status, _ := f.call(http.MethodGet, path(nodeGroup)+groupVersion, nil); status != http.StatusNotFound {
		t.Errorf("GET of the node resource group without the cluster: %d", status)
	}
}
