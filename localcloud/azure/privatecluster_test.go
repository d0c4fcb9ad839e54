package azure_test

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
)

const (
	zoneVersion     = "?api-version=2024-06-01"
	clusterZone     = "privatelink." + location + ".azmk8s.io"
	zoneContributor = "b12aa53e-6015-4669-85d0-8515ebb3ae7f"
)

func private(change m) m {
	profile := m{"enablePrivateCluster": true}
	maps.Copy(profile, change)
	return m{"apiServerAccessProfile": profile}
}

// server has a name that the edge serves, and counts requests.
func (f *fixture) server(name string) (reaches func(*http.Client) bool) {
	var came atomic.Int64
	f.way.Tunnel(name, func(context.Context) (net.Conn, error) {
		came.Add(1)
		return nil, errors.New("there is no server")
	})
	return func(client *http.Client) bool {
		before := came.Load()
		req, err := http.NewRequestWithContext(f.Context(), http.MethodGet, "https://"+name, nil)
		f.must(err)
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
		}
		return came.Load() > before
	}
}

func TestAPIServer_AdmitsAuthorizedRangesOnly(t *testing.T) {
	f := newFixture(t)
	f.network()
	other := f.from(f.clusterIn("other", ""))
	at := path(aksID) + aksVersion
	body := func(ranges ...string) m {
		return f.clusterBody("", m{"apiServerAccessProfile": m{"authorizedIPRanges": ranges}})
	}
	f.put(at, body())
	name, _ := f.get(at)["fqdn"].(string)
	reaches := f.server(name)
	own := f.from(path(aksID))
	for ranges, want := range map[string][2]bool{ // admits this machine, and another cluster
		"":                {true, true},
		"203.0.113.1/32":  {true, false},
		"203.0.113.2":     {false, true},
		"203.0.113.0/24":  {true, true},
		"198.51.100.0/24": {},
	} {
		f.put(at, body(strings.Fields(ranges)...))
		if got := [2]bool{reaches(f.client), reaches(other)}; got != want {
			t.Errorf("%q: admitted: %t, want %t", ranges, got, want)
		}
		if !reaches(own) {
			t.Errorf("%q excludes the cluster's own nodes", ranges)
		}
	}
}

func TestAPIServer_PrivateIsReachedFromItsNetwork(t *testing.T) {
	f := newFixture(t)
	network := f.network()
	f.put(network+"/subnets/beside"+vnetVersion, m{"properties": m{"addressPrefix": "10.0.32.0/20"}})
	inside, outside := f.from(f.clusterIn("inside", network+"/subnets/beside")), f.from(f.clusterIn("outside", ""))
	at := path(aksID) + aksVersion
	body := func(profile m) m { return f.clusterBody(network+"/subnets/nodes", private(profile)) }
	f.put(at, body(nil))
	p := f.get(at)
	public, _ := p["fqdn"].(string)
	name, _ := p["privateFQDN"].(string)
	if !regexp.MustCompile(`^aks-[0-9a-f]{8}\.[0-9a-f-]{36}\.privatelink\.eastus\.azmk8s\.io$`).MatchString(name) ||
		!strings.HasSuffix(public, ".hcp.eastus.azmk8s.io") {
		t.Errorf("the names are %q and %q", name, public)
	}
	spec := f.clusters.started[len(f.clusters.started)-1]
	if spec.FQDN != name || spec.AlsoFQDN != public {
		t.Errorf("it was started as %+v", spec)
	}
	for _, name := range []string{name, public} {
		reaches := f.server(name)
		if reaches(f.client) || reaches(outside) || !reaches(inside) || !reaches(f.from(path(aksID))) {
			t.Errorf("%s is reachable from another network", name)
		}
	}
	kubeconfig := func(options *armcontainerservice.ManagedClustersClientListClusterUserCredentialsOptions) string {
		t.Helper()
		credentials, err := f.managedClusters().ListClusterUserCredentials(t.Context(), "g", "aks", options)
		f.must(err)
		return strings.TrimPrefix(string(credentials.Kubeconfigs[0].Value), "server: https://")
	}
	if got := kubeconfig(nil); got != name {
		t.Errorf("the kubeconfig's server is %s", got)
	}
	if got := kubeconfig(&armcontainerservice.ManagedClustersClientListClusterUserCredentialsOptions{
		ServerFqdn: to.Ptr("public"),
	}); got != public {
		t.Errorf("the kubeconfig's public server is %s", got)
	}

	f.put(at, body(m{"enablePrivateClusterPublicFQDN": false}))
	if p := f.get(at); p["fqdn"] != nil || p["privateFQDN"] != name {
		t.Errorf("without a public name the names are %v and %v", p["privateFQDN"], p["fqdn"])
	}
	f.put(at, f.clusterBody(network+"/subnets/nodes", nil))
	if p := f.get(at); p["fqdn"] != nil || p["privateFQDN"] != name {
		t.Errorf("after an update that omits them, the names are %v and %v", p["privateFQDN"], p["fqdn"])
	}
	for what, test := range map[string]struct {
		body m
		code string
	}{
		"public": {
			f.clusterBody(network+"/subnets/nodes", m{"apiServerAccessProfile": m{"enablePrivateCluster": false}}),
			"InvalidParameter",
		},
		"no name at all": {
			body(m{"privateDNSZone": "none", "enablePrivateClusterPublicFQDN": false}), "InvalidParameter",
		},
		"ranges": {body(m{"authorizedIPRanges": []string{"203.0.113.0/24"}}), "InvalidParameter"},
		"another zone": {
			body(m{"privateDNSZone": path("resourceGroups/g") + zones + clusterZone}), "PropertyChangeNotAllowed",
		},
		"a basic balancer": {
			f.clusterBody(network+"/subnets/nodes", m{"networkProfile": m{"loadBalancerSku": "basic"}}),
			"PrivateClusterNotSupportedWithBasicLoadBalancer",
		},
		"a zone that is not": {body(m{"privateDNSZone": "mine"}), "PropertyChangeNotAllowed"},
	} {
		if status, code := f.call(http.MethodPut, at, test.body); code != test.code {
			t.Errorf("%s: %d %s, want %s", what, status, code, test.code)
		}
	}
	f.put(at, body(m{"privateDNSZone": "none", "enablePrivateClusterPublicFQDN": true}))
	if p := f.get(at); p["fqdn"] != public || p["privateFQDN"] != nil {
		t.Errorf("without a zone the names are %v and %v", p["privateFQDN"], p["fqdn"])
	}
	if status, code := f.call(http.MethodPut, at,
		body(m{"privateDNSZone": "system"})); code != "PropertyChangeNotAllowed" {
		t.Errorf("back to a zone: %d %s", status, code)
	}
	public2 := f.clusterBody("", nil)
	other := strings.TrimSuffix(path(aksID), "aks") + "public" + aksVersion
	f.put(other, public2)
	if status, code := f.call(http.MethodPut, other, f.clusterBody("", private(nil))); code != "PropertyChangeNotAllowed" {
		t.Errorf("public to private: %d %s", status, code)
	}
}

func TestManagedCluster_PrivateRequiresRoleOnZone(t *testing.T) {
	f := newFixture(t)
	network := f.network()
	group := path("resourceGroups/g")
	zone := group + zones + clusterZone
	for _, name := range []string{clusterZone, "privatelink.westeurope.azmk8s.io"} {
		f.put(group+zones+name+zoneVersion, m{"location": "global"})
	}
	at := path(aksID) + aksVersion
	body := func(zone string) m {
		return f.clusterBody(network+"/subnets/nodes",
			private(m{"privateDNSZone": zone, "enablePrivateClusterPublicFQDN": false}))
	}
	refused := func(what string, body m, want string) {
		t.Helper()
		if status, code := f.call(http.MethodPut, at, body); code != want {
			t.Errorf("%s: %d %s, want %s", what, status, code, want)
		}
	}
	refused("no zone", body("mine"), "InvalidParameter")
	refused("the zone of another region", body(group+zones+"privatelink.westeurope.azmk8s.io"), "InvalidParameter")
	refused("a zone that is not there", body(group+zones+"sub."+clusterZone), "InvalidResourceReference")
	system := body(zone)
	system["identity"] = m{"type": "SystemAssigned"}
	refused("an identity that Azure makes", system, "InvalidParameter")
	refused("an identity without a role", body(zone), "CustomPrivateDNSZoneMissingPermissionError")
	uai := f.identity("g", "aks")
	_, err := f.assign(zone, zoneContributor, *uai.Properties.PrincipalID, servicePrincipal)
	f.must(err)
	refused("one that may not link the network", body(zone), "LinkedAuthorizationFailed")
	_, err = f.assign(network, networkContributor, *uai.Properties.PrincipalID, servicePrincipal)
	f.must(err)
	f.put(at, body(zone))
	name, _ := f.get(at)["privateFQDN"].(string)
	label, in, _ := strings.Cut(name, ".")
	if in != clusterZone {
		t.Errorf("its name is %s", name)
	}
	f.put(network+"/subnets/beside"+vnetVersion, m{"properties": m{"addressPrefix": "10.0.32.0/20"}})
	inside := f.from(f.clusterIn("inside", network+"/subnets/beside"))
	reaches := f.server(name)
	if reaches(f.client) || !reaches(inside) {
		t.Error("its name is reachable from another network")
	}
	if status, code := f.call(http.MethodDelete, zone+zoneVersion, nil); code != "CannotDeleteResource" {
		t.Errorf("DELETE of the zone: %d %s", status, code)
	}
	link := zone + "/virtualNetworkLinks/" + label + zoneVersion
	if got := f.get(link)["virtualNetwork"].(m)["id"]; got != network {
		t.Errorf("the zone is linked to %v", got)
	}
	if status, code := f.call(http.MethodDelete, link, nil); status != http.StatusOK {
		t.Errorf("DELETE of the link: %d %s", status, code)
	}
	if reaches(inside) {
		t.Error("a name in an unlinked zone resolves")
	}
	f.put(at, body(zone))
	if !reaches(inside) {
		t.Error("an update did not link the zone again")
	}
	if status, code := f.call(http.MethodDelete, at, nil); status != http.StatusAccepted {
		t.Fatalf("DELETE: %d %s", status, code)
	}
	f.must(f.cloud.Settle(t.Context()))
	if status, code := f.call(http.MethodDelete, zone+zoneVersion, nil); status != http.StatusOK {
		t.Errorf("DELETE of the zone without a cluster: %d %s", status, code)
	}
}
