package containerservice_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager/armtest"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/containerservice"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/managedidentity"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/network"
)

type m = arm.Object

// TestCluster_RefusesInvalidProperties sends clusters with one invalid property each.
func TestCluster_RefusesInvalidProperties(t *testing.T) {
	t.Parallel()
	service := containerservice.New(containerservice.Config{})
	rm := armtest.New(t, service.Provider(), network.Provider(), managedidentity.Provider(0))
	group := rm.Group("g")
	at := func(name string) string {
		return group + "/providers/Microsoft.ContainerService/managedClusters/" + name + "?api-version=2024-09-01"
	}
	cluster := func(change func(properties, pool m)) m {
		pool := m{"name": "system", "mode": "System", "count": 1, "vmSize": "Standard_B2s"}
		properties := m{"dnsPrefix": "aks", "agentPoolProfiles": []m{pool}}
		change(properties, pool)
		return m{"location": armtest.Location, "identity": m{"type": "SystemAssigned"}, "properties": properties}
	}
	for name, change := range map[string]func(properties, pool m){
		"no pool":          func(p, _ m) { p["agentPoolProfiles"] = []m{} },
		"no system pool":   func(_, pool m) { pool["mode"] = "User" },
		"long pool name":   func(_, pool m) { pool["name"] = strings.Repeat("a", 13) },
		"negative count":   func(_, pool m) { pool["count"] = -1 },
		"unknown version":  func(p, _ m) { p["kubernetesVersion"] = "0.1" },
		"invalid range":    func(p, _ m) { p["apiServerAccessProfile"] = m{"authorizedIPRanges": []string{"x"}} },
		"invalid taint":    func(_, pool m) { pool["nodeTaints"] = []string{"x"} },
		"unknown property": func(p, _ m) { p["nope"] = 1 },
	} {
		status, answer := rm.Ask(http.MethodPut, at("aks"), cluster(change))
		if status != http.StatusBadRequest || armtest.Code(answer) == "" {
			t.Errorf("%s: %d %v", name, status, answer)
		}
	}
	for _, id := range []string{
		"/",
		"x",
		"//",
		"/subscriptions/s",
		group,
		group + "/providers/Microsoft.Network/virtualNetworks/v/subnets",
		"/a/b/c/d/e/f/g/h/i/j/k",
	} {
		for _, change := range []func(properties, pool m){
			func(_, pool m) { pool["vnetSubnetID"] = id }, func(p, _ m) { p["diskEncryptionSetID"] = id },
			func(p, _ m) { p["apiServerAccessProfile"] = m{"enablePrivateCluster": true, "privateDNSZone": id} },
		} {
			status, answer := rm.Ask(http.MethodPut, at("aks"), cluster(change))
			if status < 400 || status == 500 || armtest.Code(answer) == "" {
				t.Errorf("%q: %d %v", id, status, answer)
			}
		}
	}
	rm.Refused(http.MethodPut, at("-aks"), cluster(func(_, _ m) {}), 400, "InvalidResourceName")
	rm.Refused(http.MethodGet, at("aks"), nil, 404, "ResourceNotFound")
}

// TestCluster_ServesOldClients creates a cluster as az 2.45 does.
func TestCluster_ServesOldClients(t *testing.T) {
	t.Parallel()
	service := containerservice.New(containerservice.Config{Clusters: noClusters{}})
	rm := armtest.New(t, service.Provider(), network.Provider(), managedidentity.Provider(0))
	at := rm.Group("g") + "/providers/Microsoft.ContainerService/managedClusters/aks?api-version=2022-11-01"
	rm.Put(at, m{"location": armtest.Location, "identity": m{"type": "SystemAssigned"}, "properties": m{
		"dnsPrefix":         "aks",
		"kubernetesVersion": "",
		"networkProfile":    m{"dockerBridgeCidr": "172.17.0.1/16"},
		"agentPoolProfiles": []m{
			{"name": "system", "mode": "System", "count": 1, "vmSize": "Standard_B2s", "orchestratorVersion": ""},
		},
	}})
	rm.Settle()
	principal := arm.Child(arm.Child(rm.Get(at), "properties"), "servicePrincipalProfile")
	if got := arm.Text(principal, "clientId"); got != "msi" {
		t.Errorf("the service principal is %q", got)
	}
}

func TestCluster_NeedsAnIdentityOrAPrincipal(t *testing.T) {
	t.Parallel()
	service := containerservice.New(containerservice.Config{Clusters: noClusters{}})
	rm := armtest.New(t, service.Provider(), network.Provider(), managedidentity.Provider(0))
	group := rm.Group("g") + "/providers/Microsoft.ContainerService/managedClusters/"
	const version = "?api-version=2024-09-01"
	cluster := func(identity, principal any) m {
		return m{"location": armtest.Location, "identity": identity, "properties": m{
			"dnsPrefix":               "aks",
			"servicePrincipalProfile": principal,
			"agentPoolProfiles":       []m{{"name": "system", "mode": "System", "count": 1, "vmSize": "Standard_B2s"}},
		}}
	}
	for name, body := range map[string]m{
		"neither":                 cluster(nil, nil),
		"type None":               cluster(m{"type": "None"}, nil),
		"msi without an identity": cluster(nil, m{"clientId": "msi"}),
		"msi with type None":      cluster(m{"type": "None"}, m{"clientId": "MSI"}),
	} {
		if status, answer := rm.Ask(http.MethodPut, group+"aks"+version, body); status != http.StatusBadRequest {
			t.Errorf("%s: %d %v", name, status, answer)
		}
	}
	// Clients send back what they have read.
	rm.Put(group+"aks"+version, cluster(m{"type": "SystemAssigned"}, m{"clientId": "msi"}))
}

// TestCluster_KnowsDockerBridgeCidrInOldVersionsOnly sets a property that newer API versions do not have. 2024-05-01 is
// described; the versions after it are checked against the newest description.
func TestCluster_KnowsDockerBridgeCidrInOldVersionsOnly(t *testing.T) {
	t.Parallel()
	service := containerservice.New(containerservice.Config{Clusters: noClusters{}})
	rm := armtest.New(t, service.Provider(), network.Provider(), managedidentity.Provider(0))
	at := rm.Group("g") + "/providers/Microsoft.ContainerService/managedClusters/aks?api-version="
	body := m{"location": armtest.Location, "identity": m{"type": "SystemAssigned"}, "properties": m{
		"dnsPrefix":         "aks",
		"networkProfile":    m{"dockerBridgeCidr": "172.17.0.1/16"},
		"agentPoolProfiles": []m{{"name": "system", "mode": "System", "count": 1, "vmSize": "Standard_B2s"}},
	}}
	for _, version := range []string{"2024-05-01", "2024-09-01", "2025-02-01"} {
		rm.Refused(http.MethodPut, at+version, body, http.StatusBadRequest, "InvalidRequestContent")
	}
	rm.Put(at+"2022-11-01", body)
}

// noClusters runs nothing.
type noClusters struct{ containerservice.Clusters }

func (noClusters) Start(context.Context, containerservice.ClusterSpec) error { return nil }
