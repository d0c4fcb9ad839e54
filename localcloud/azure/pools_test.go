package azure_test

import (
	"maps"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

const (
	aksVersion = "?api-version=2024-09-01"
	aksID      = "resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/aks"
)

func (f *fixture) pools() *armcontainerservice.AgentPoolsClient {
	f.Helper()
	client, err := armcontainerservice.NewAgentPoolsClient(azure.SubscriptionID, f.owner, f.arm())
	f.must(err)
	return client
}

func (f *fixture) poolNames() string {
	f.Helper()
	var names []string
	for _, pool := range f.get(path(aksID) + aksVersion)["agentPoolProfiles"].([]any) {
		names = append(names, pool.(m)["name"].(string))
	}
	return strings.Join(names, " ")
}

func TestAgentPools_AreCreatedAndDeleted(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	_, err := f.putCluster(nil)
	f.must(err)
	spot := armcontainerservice.AgentPool{Properties: &armcontainerservice.ManagedClusterAgentPoolProfileProperties{
		VMSize:            to.Ptr("Standard_D2s_v5"),
		Mode:              to.Ptr(armcontainerservice.AgentPoolModeUser),
		EnableAutoScaling: to.Ptr(true),
		MinCount:          to.Ptr[int32](0),
		MaxCount:          to.Ptr[int32](3),
		ScaleSetPriority:  to.Ptr(armcontainerservice.ScaleSetPrioritySpot),
	}}
	put, err := f.pools().BeginCreateOrUpdate(t.Context(), "g", "aks", "spot", spot, nil)
	f.must(err)
	made, err := put.PollUntilDone(t.Context(), &runtime.PollUntilDoneOptions{Frequency: 1})
	f.must(err)
	if *made.Properties.ProvisioningState != "Succeeded" || len(made.Properties.NodeTaints) != 1 ||
		*made.Properties.Count != 0 {
		t.Errorf("made: %v", *made.Properties)
	}
	starts := f.clusters.starts()
	_, err = f.putCluster(nil) // the body has only the system pool
	f.must(err)
	if got := f.poolNames(); got != "system spot" {
		t.Errorf("the cluster has %s", got)
	}
	if f.clusters.starts() != starts+1 || f.clusters.started[starts] != f.clusters.started[0] {
		t.Error("a pool changes the cluster's specification")
	}

	gone, err := f.pools().BeginDelete(t.Context(), "g", "aks", "spot", nil)
	f.must(err)
	_, err = gone.PollUntilDone(t.Context(), &runtime.PollUntilDoneOptions{Frequency: 1})
	f.must(err)
	if got := f.poolNames(); got != "system" {
		t.Errorf("the cluster has %s", got)
	}
	_, err = f.pools().BeginDelete(t.Context(), "g", "aks", "system", nil)
	f.refused(err, http.StatusBadRequest, "OperationNotAllowed")
}

func TestManagedCluster_RequiresVersionsOfAllPoolsOrNone(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	put := func(versions ...string) error {
		_, err := f.putCluster(func(p *armcontainerservice.ManagedClusterProperties) {
			p.KubernetesVersion = to.Ptr("1.34")
			one := *p.AgentPoolProfiles[0]
			p.AgentPoolProfiles = nil
			for i, name := range []string{"system", "apps"}[:len(versions)] {
				pool := one
				pool.Name = to.Ptr(name)
				if versions[i] != "" {
					pool.OrchestratorVersion = to.Ptr(versions[i])
				}
				p.AgentPoolProfiles = append(p.AgentPoolProfiles, &pool)
			}
		})
		return err
	}
	f.must(put("1.34"))
	f.must(put("1.34"))
	f.put(path(aksID)+"/agentPools/apps"+aksVersion, m{
		"properties": m{"vmSize": "Standard_B2s", "mode": "System", "orchestratorVersion": "1.33"},
	})
	f.must(f.cloud.Settle(t.Context()))
	for _, refused := range [][]string{{"1.34"}, {"1.34", ""}, {"1.34", "1.32"}} {
		f.refused(put(refused...), http.StatusBadRequest, "NotAllAgentPoolOrchestratorVersionSpecifiedAndUnchanged")
	}
	for _, taken := range [][]string{{""}, {"", ""}, {"1.34", "1.33"}, {"1.34", "1.34"}} {
		f.must(put(taken...))
	}
}

func TestAgentPools_SystemPoolCanBeReplaced(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	_, err := f.putCluster(nil)
	f.must(err)
	f.put(path(aksID)+"/agentPools/next"+aksVersion, m{"properties": m{"vmSize": "Standard_D4s_v5", "mode": "System"}})
	f.must(f.cloud.Settle(t.Context()))
	takeOver := func(p *armcontainerservice.ManagedClusterProperties) {
		p.AgentPoolProfiles[0].Name, p.AgentPoolProfiles[0].VMSize = to.Ptr("next"), to.Ptr("Standard_D4s_v5")
	}
	_, err = f.putCluster(takeOver)
	f.must(err)
	if status, code := f.call(http.MethodDelete, path(aksID)+"/agentPools/system"+aksVersion,
		nil); status != http.StatusAccepted {
		t.Errorf("deleting the first pool: %d %s", status, code)
	}
	f.must(f.cloud.Settle(t.Context()))
	_, err = f.putCluster(takeOver)
	f.must(err)
	if got := f.poolNames(); got != "next" {
		t.Errorf("the cluster has %s", got)
	}
	f.stop()
	f.start()
	f.must(f.cloud.Settle(t.Context()))
	for _, spec := range f.clusters.started {
		if spec.PoolName != "system" {
			t.Errorf("the node is one of %s", spec.PoolName)
		}
	}
}

func TestManagedCluster_BodyAddsNoPool(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	_, err := f.putCluster(nil)
	f.must(err)
	_, err = f.putCluster(func(p *armcontainerservice.ManagedClusterProperties) {
		added := *p.AgentPoolProfiles[0]
		added.Name = to.Ptr("added")
		p.AgentPoolProfiles = append(p.AgentPoolProfiles, &added)
	})
	f.refused(err, http.StatusBadRequest, "InvalidParameter")
	if got := f.poolNames(); got != "system" {
		t.Errorf("the cluster has %s", got)
	}
}

// versions returns the versions of the cluster's control plane and pools.
func (f *fixture) versions() string {
	f.Helper()
	cluster := f.get(path(aksID) + aksVersion)
	versions := cluster["currentKubernetesVersion"].(string)
	for _, pool := range cluster["agentPoolProfiles"].([]any) {
		versions += " " + pool.(m)["name"].(string) + " " + pool.(m)["currentOrchestratorVersion"].(string)
	}
	return versions
}

func TestAgentPools_KeepVersionUntilUpgraded(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	cluster := func(version string) error {
		_, err := f.putCluster(func(p *armcontainerservice.ManagedClusterProperties) {
			p.KubernetesVersion = to.Ptr(version)
		})
		return err
	}
	pool := func(name string, properties m) string {
		f.must(f.cloud.Settle(t.Context()))
		all := m{"vmSize": "Standard_B2s", "mode": "System"}
		maps.Copy(all, properties)
		_, code := f.call(http.MethodPut, path(aksID)+"/agentPools/"+name+aksVersion, m{"properties": all})
		f.must(f.cloud.Settle(t.Context()))
		return code
	}
	want := func(versions string) {
		t.Helper()
		if got := f.versions(); got != versions {
			t.Errorf("the versions are %s, want %s", got, versions)
		}
	}
	f.refused(cluster("1.99"), http.StatusBadRequest, "K8sVersionNotSupported")
	f.must(cluster("1.33.5"))
	f.must(cluster("1.33")) // same minor version
	want("1.33.5 system 1.33.5")
	f.refused(cluster("1.33.4"), http.StatusBadRequest, "OperationNotAllowed")
	f.refused(cluster("1.35"), http.StatusBadRequest, "OperationNotAllowed")
	f.must(cluster("1.34"))
	want("1.34.10 system 1.33.5")
	for version, code := range map[string]string{
		"1.35":   "AgentPoolUpgradeVersionNotAllowed",
		"1.33.4": "AgentPoolUpgradeVersionNotAllowed",
		"2":      "K8sVersionNotSupported",
	} {
		if got := pool("system", m{"orchestratorVersion": version}); got != code {
			t.Errorf("to %s: %s, want %s", version, got, code)
		}
	}
	pool("apps", m{})
	pool("old", m{"orchestratorVersion": "1.33.9"})
	want("1.34.10 system 1.33.5 apps 1.34.10 old 1.33.9")
	if code := pool("apps", m{"orchestratorVersion": "1.35"}); code != "NodePoolMcVersionIncompatible" {
		t.Errorf("newer than the control plane: %s", code)
	}
	f.must(cluster("1.35"))
	if code := pool("old", m{"orchestratorVersion": "1.35"}); code != "AgentPoolUpgradeVersionNotAllowed" {
		t.Errorf("past a minor version: %s", code)
	}
	if code := pool("system", m{"orchestratorVersion": "1.34"}); code != "" {
		t.Errorf("the upgrade of a pool: %s", code)
	}
	pool("system", m{}) // keeps the version
	want("1.35.10 system 1.34.10 apps 1.34.10 old 1.33.9")
	f.must(cluster("1.36"))
	want("1.36.10 system 1.34.10 apps 1.34.10 old 1.33.9")
}

func TestManagedCluster_RefusesConcurrentOperations(t *testing.T) {
	f := newFixture(t)
	f.slowPool = time.Hour
	f.stop()
	f.start()
	f.group("g")
	_, err := f.putCluster(nil)
	f.must(err)
	pool := m{"properties": m{"vmSize": "Standard_D2s_v5"}}
	if status, code := f.call(http.MethodPut, path(aksID)+"/agentPools/one"+aksVersion,
		pool); status != http.StatusCreated {
		t.Fatalf("%d %s", status, code)
	}
	for _, test := range []struct{ method, path string }{
		{http.MethodPut, "/agentPools/two"}, {http.MethodPut, "/agentPools/one"}, {http.MethodDelete, "/agentPools/one"},
	} {
		if status, code := f.call(test.method, path(aksID)+test.path+aksVersion, pool); status != http.StatusConflict ||
			code != "OperationNotAllowed" {
			t.Errorf("%s %s: %d %s", test.method, test.path, status, code)
		}
	}
	_, err = f.putCluster(nil)
	f.refused(err, http.StatusConflict, "OperationNotAllowed")
	// Operations in progress continue after a restart.
	f.slowPool = 0
	f.stop()
	f.start()
	f.must(f.cloud.Settle(t.Context()))
	if state := f.get(path(aksID) + "/agentPools/one" + aksVersion)["provisioningState"]; state != "Succeeded" {
		t.Errorf("the pool is %v", state)
	}
}

func TestAgentPools_RefuseInvalidBodies(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	_, err := f.putCluster(nil)
	f.must(err)
	at := path(aksID) + "/agentPools/"
	for name, test := range map[string]struct {
		pool   string
		change m
		code   string
	}{
		"name":                 {"Has-Dashes", m{}, "InvalidParameter"},
		"no VM size":           {"one", m{"vmSize": nil}, "InvalidParameter"},
		"mode":                 {"one", m{"mode": "Both"}, "InvalidParameter"},
		"system without nodes": {"one", m{"mode": "System", "count": 0}, "InvalidParameter"},
		"system on spot":       {"one", m{"mode": "System", "scaleSetPriority": "Spot"}, "InvalidParameter"},
		"system with a taint": {
			"one", m{"mode": "System", "nodeTaints": []string{"a=b:NoSchedule"}}, "InvalidParameter",
		},
		"scaling without a range": {"one", m{"enableAutoScaling": true}, "InvalidParameter"},
		"a range without scaling": {"one", m{"minCount": 1, "maxCount": 2}, "InvalidParameter"},
		"upside down":             {"one", m{"enableAutoScaling": true, "minCount": 3, "maxCount": 2}, "InvalidParameter"},
		"count beside the range": {
			"one", m{"enableAutoScaling": true, "minCount": 1, "maxCount": 2, "count": 3}, "InvalidParameter",
		},
		"taint":          {"one", m{"nodeTaints": []string{"a=b"}}, "InvalidParameter"},
		"label's value":  {"one", m{"nodeLabels": m{"a": "two words"}}, "InvalidParameter"},
		"reserved label": {"one", m{"nodeLabels": m{"kubernetes.azure.com/mode": "x"}}, "InvalidParameter"},
		"zone":           {"one", m{"availabilityZones": []string{"4"}}, "AvailabilityZoneNotSupported"},
		"pods":           {"one", m{"maxPods": 9}, "InvalidParameter"},
		"disk":           {"one", m{"osDiskType": "Floppy"}, "InvalidParameter"},
		"missing subnet": {
			"one", m{"vnetSubnetID": path("resourceGroups/g") + networks + "vnet/subnets/none"}, "InvalidResourceReference",
		},
		"what AKS does not know":    {"one", m{"nodeColour": "red"}, "InvalidRequestContent"},
		"what cannot change":        {"system", m{"vmSize": "Standard_D4s_v5", "mode": "System"}, "PropertyChangeNotAllowed"},
		"no system pool any more":   {"system", m{"vmSize": "Standard_B2s", "mode": "User"}, "OperationNotAllowed"},
		"system of Windows":         {"one", m{"osSKU": "Windows2022"}, "InvalidParameter"},
		"system of its nodes":       {"one", m{"osSKU": "Debian"}, "InvalidParameter"},
		"Windows":                   {"windows", m{"osType": "Windows"}, "InvalidParameter"},
		"proximity placement group": {"one", m{"proximityPlacementGroupID": "/x"}, "NotImplemented"},
	} {
		properties := m{"vmSize": "Standard_D2s_v5", "mode": "User"}
		maps.Copy(properties, test.change)
		if status, code := f.call(http.MethodPut, at+test.pool+aksVersion, m{"properties": properties}); code != test.code {
			t.Errorf("%s: %d %s, want %s", name, status, code, test.code)
		}
	}
	if got := f.poolNames(); got != "system" {
		t.Errorf("the cluster has %s", got)
	}
}

func TestMaintenanceConfigurations_AreStoredAndValidated(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	_, err := f.putCluster(nil)
	f.must(err)
	at := path(aksID) + "/maintenanceConfigurations/"
	window := func(schedule m) m {
		return m{
			"properties": m{
				"maintenanceWindow": m{
					"schedule":      schedule,
					"durationHours": 8,
					"startTime":     "02:00",
					"utcOffset":     "+01:00",
					"startDate":     "2030-01-01",
				},
			},
		}
	}
	weekly := m{"weekly": m{"intervalWeeks": 1, "dayOfWeek": "Sunday"}}
	for _, name := range []string{"aksManagedAutoUpgradeSchedule", "aksManagedNodeOSUpgradeSchedule"} {
		f.put(at+name+aksVersion, window(weekly))
	}
	f.put(at+"default"+aksVersion, m{"properties": m{"timeInWeek": []m{{"day": "Monday", "hourSlots": []int{1, 2}}}}})
	short := window(weekly)
	short["properties"].(m)["maintenanceWindow"].(m)["durationHours"] = 3
	for what, test := range map[string]struct {
		name string
		body m
	}{
		"another name": {"mine", window(weekly)},
		"no window":    {"aksManagedAutoUpgradeSchedule", m{"properties": m{}}},
		"three hours":  {"aksManagedAutoUpgradeSchedule", short},
		"no schedule":  {"aksManagedAutoUpgradeSchedule", window(m{})},
		"two schedules": {
			"aksManagedAutoUpgradeSchedule", window(m{"daily": m{"intervalDays": 1}, "weekly": weekly["weekly"]}),
		},
		"an unknown day": {
			"aksManagedAutoUpgradeSchedule", window(m{"weekly": m{"intervalWeeks": 1, "dayOfWeek": "Caturday"}}),
		},
		"every eighth week": {
			"aksManagedAutoUpgradeSchedule", window(m{"weekly": m{"intervalWeeks": 8, "dayOfWeek": "Sunday"}}),
		},
	} {
		if status, code := f.call(http.MethodPut, at+test.name+aksVersion, test.body); code != "InvalidParameter" {
			t.Errorf("%s: %d %s", what, status, code)
		}
	}
}

// production returns a cluster's body with all features that the local cloud has.
func production(workspace, identity, subnet string) m {
	return m{
		"location": location, "sku": m{"name": "Base", "tier": "Standard"},
		"identity": m{"type": "UserAssigned", "userAssignedIdentities": m{identity: m{}}},
		"properties": m{
			"dnsPrefix":            "aks",
			"kubernetesVersion":    "1.34",
			"enableRBAC":           true,
			"disableLocalAccounts": true,
			"aadProfile": m{
				"managed":             true,
				"enableAzureRBAC":     true,
				"tenantID":            azure.TenantID,
				"adminGroupObjectIDs": []string{"11111111-1111-1111-1111-111111111111"},
			},
			"apiServerAccessProfile": m{"authorizedIPRanges": []string{"203.0.113.0/24"}, "disableRunCommand": true},
			"autoUpgradeProfile":     m{"upgradeChannel": "patch", "nodeOSUpgradeChannel": "NodeImage"},
			"oidcIssuerProfile":      m{"enabled": true},
			"securityProfile": m{
				"workloadIdentity": m{"enabled": true}, "imageCleaner": m{"enabled": true, "intervalHours": 48},
				"defender": m{"logAnalyticsWorkspaceResourceId": workspace, "securityMonitoring": m{"enabled": true}},
			},
			"addonProfiles": m{
				"azurepolicy": m{
					"enabled": true,
				},
				"omsagent": m{"enabled": true, "config": m{"logAnalyticsWorkspaceResourceID": workspace, "useAADAuth": "true"}},
				"azureKeyvaultSecretsProvider": m{
					"enabled": true,
					"config":  m{"enableSecretRotation": "true", "rotationPollInterval": "2m"},
				},
			},
			"networkProfile": m{
				"networkPlugin":     "azure",
				"networkPluginMode": "overlay",
				"networkPolicy":     "cilium",
				"networkDataplane":  "cilium",
				"outboundType":      "loadBalancer",
				"podCidr":           "10.244.0.0/16",
				"serviceCidr":       "10.245.0.0/16",
				"dnsServiceIP":      "10.245.0.10",
			},
			"agentPoolProfiles": []m{
				{
					"name":              "system",
					"mode":              "System",
					"vmSize":            "Standard_D4ds_v5",
					"count":             3,
					"enableAutoScaling": true,
					"minCount":          3,
					"maxCount":          5,
					"availabilityZones": []string{
						"1",
						"2",
						"3",
					},
					"nodeTaints":             []string{"CriticalAddonsOnly=true:NoSchedule"},
					"osDiskType":             "Ephemeral",
					"enableEncryptionAtHost": true,
					"vnetSubnetID":           subnet,
					"type":                   "VirtualMachineScaleSets",
					"osType":                 "Linux",
				},
			},
		},
	}
}

func TestManagedCluster_AcceptsProductionBody(t *testing.T) {
	f := newFixture(t)
	network := f.network()
	workspace := f.workspace("logs")
	uai := f.identity("g", "aks")
	body := func() m { return production(workspace, *uai.ID, network+"/subnets/nodes") }
	at := path(aksID) + aksVersion
	if status, code := f.call(http.MethodPut, at, body()); status != http.StatusForbidden ||
		code != "LinkedAuthorizationFailed" {
		t.Errorf("an identity that may not join the subnet: %d %s", status, code)
	}
	_, err := f.assign(network+"/subnets/nodes", "4d97b98b-1d4f-4787-a291-c67834d212e7", *uai.Properties.PrincipalID,
		servicePrincipal)
	f.must(err)
	f.put(at, body())
	f.put(at, body())
	spec := f.clusters.started[0]
	if !spec.Entra || !spec.AzureRBAC || spec.LocalAccounts ||
		spec.AdminGroups != "11111111-1111-1111-1111-111111111111" ||
		spec.PoolName != "system" {
		t.Errorf("the cluster was started as %+v", spec)
	}
	_, err = f.assign(path(aksID)+"/namespaces/default", "7f6c6a51-bcf8-42ba-9220-52d62157d7db",
		*uai.Properties.PrincipalID, servicePrincipal)
	f.must(err)
	_, err = f.managedClusters().ListClusterUserCredentials(t.Context(), "g", "aks", nil)
	f.must(err)
	_, err = f.managedClusters().ListClusterAdminCredentials(t.Context(), "g", "aks", nil)
	f.refused(err, http.StatusBadRequest, "BadRequest")

	for name, test := range map[string]struct {
		change func(p m)
		code   string
	}{
		"no Entra":       {func(p m) { delete(p, "aadProfile") }, "InvalidParameter"},
		"legacy":         {func(p m) { p["aadProfile"] = m{"clientAppID": "x"} }, "AADLegacyNotSupported"},
		"another tenant": {func(p m) { p["aadProfile"].(m)["tenantID"] = "x" }, "InvalidParameter"},
		"an admin group": {
			func(p m) { p["aadProfile"].(m)["adminGroupObjectIDs"] = []string{"x"} }, "InvalidParameter",
		},
		"ranges and private": {
			func(p m) { p["apiServerAccessProfile"].(m)["enablePrivateCluster"] = true }, "InvalidParameter",
		},
		"zone of a public one": {
			func(p m) { p["apiServerAccessProfile"].(m)["privateDNSZone"] = "system" }, "InvalidParameter",
		},
		"private range": {
			func(p m) { p["apiServerAccessProfile"].(m)["authorizedIPRanges"] = []string{"10.0.0.0/8"} }, "InvalidParameter",
		},
		"channel": {func(p m) { p["autoUpgradeProfile"].(m)["upgradeChannel"] = "beta" }, "InvalidParameter"},
		"incompatible channels": {
			func(p m) { p["autoUpgradeProfile"] = m{"upgradeChannel": "node-image", "nodeOSUpgradeChannel": "None"} },
			"InvalidParameter",
		},
		"cleaner": {
			func(p m) { p["securityProfile"].(m)["imageCleaner"].(m)["intervalHours"] = 1 }, "InvalidParameter",
		},
		"Defender's workspace": {func(p m) {
			p["securityProfile"].(m)["defender"].(m)["logAnalyticsWorkspaceResourceId"] = workspace + "x"
		}, "ResourceNotFound"},
		"add-on": {
			func(p m) { p["addonProfiles"].(m)["magic"] = m{"enabled": true} }, "InvalidParameter",
		},
		"insights without a workspace": {
			func(p m) { delete(p["addonProfiles"].(m)["omsagent"].(m), "config") }, "InvalidParameter",
		},
		"policy without its dataplane": {
			func(p m) { p["networkProfile"].(m)["networkDataplane"] = "azure" }, "InvalidParameter",
		},
		"overlapping ranges": {
			func(p m) { p["networkProfile"].(m)["podCidr"] = "10.245.0.0/20" }, "ServiceCidrOverlapPodCidr",
		},
		"DNS outside": {
			func(p m) { p["networkProfile"].(m)["dnsServiceIP"] = "10.1.0.10" }, "InvalidParameter",
		},
		"way out":               {func(p m) { p["networkProfile"].(m)["outboundType"] = "magic" }, "InvalidParameter"},
		"plan without its tier": {func(p m) { p["supportPlan"] = "AKSLongTermSupport" }, "InvalidParameter"},
	} {
		changed := body()
		test.change(changed["properties"].(m))
		if status, code := f.call(http.MethodPut, at, changed); code != test.code {
			t.Errorf("%s: %d %s, want %s", name, status, code, test.code)
		}
	}
	unknown := body()
	unknown["identity"] = m{"type": "UserAssigned", "userAssignedIdentities": m{*uai.ID + "x": m{}}}
	if status, code := f.call(http.MethodPut, at, unknown); code != "FailedIdentityOperation" {
		t.Errorf("missing identity: %d %s", status, code)
	}
}

func TestManagedCluster_LimitsNameOfNodeResourceGroup(t *testing.T) {
	f := newFixture(t)
	group := strings.Repeat("g", 40)
	f.group(group)
	long := strings.Repeat("a", 80-len("MC_"+group+"__"+location)+1)
	body := m{"location": location, "identity": m{"type": "SystemAssigned"}, "properties": m{
		"dnsPrefix": "aks", "agentPoolProfiles": []m{{"name": "system", "mode": "System", "vmSize": "Standard_B2s"}},
	}}
	at := path("resourceGroups/" + group + "/providers/Microsoft.ContainerService/managedClusters/")
	if status, code := f.call(http.MethodPut, at+long+aksVersion, body); status != http.StatusBadRequest ||
		code != "InvalidParameter" {
		t.Errorf("%d %s", status, code)
	}
	f.put(at+long[1:]+aksVersion, body)
	body["properties"].(m)["nodeResourceGroup"] = "nodes"
	f.put(at+long+aksVersion, body)
}

func TestManagedCluster_KeepsOmittedSettings(t *testing.T) {
	f := newFixture(t)
	network := f.network()
	uai := f.identity("g", "aks")
	_, err := f.assign(network+"/subnets/nodes", "4d97b98b-1d4f-4787-a291-c67834d212e7", *uai.Properties.PrincipalID,
		servicePrincipal)
	f.must(err)
	body := production(f.workspace("logs"), *uai.ID, network+"/subnets/nodes")
	at := path(aksID) + aksVersion
	f.put(at, body)
	before := f.get(at)

	properties := body["properties"].(m)
	properties["addonProfiles"] = m{
		"AzureKeyvaultSecretsProvider": properties["addonProfiles"].(m)["azureKeyvaultSecretsProvider"],
	}
	properties["securityProfile"] = m{"workloadIdentity": m{"enabled": true}}
	delete(properties, "autoUpgradeProfile")
	delete(properties, "apiServerAccessProfile")
	f.put(at, body)
	after := f.get(at)
	for _, of := range []string{"securityProfile", "autoUpgradeProfile", "apiServerAccessProfile", "nodeResourceGroup"} {
		if !reflect.DeepEqual(after[of], before[of]) {
			t.Errorf("%s is %v, was %v", of, after[of], before[of])
		}
	}
	addons := after["addonProfiles"].(m)
	for _, name := range []string{"azurepolicy", "omsagent"} {
		if !reflect.DeepEqual(addons[name], before["addonProfiles"].(m)[name]) {
			t.Errorf("%s is %v", name, addons[name])
		}
	}
	if len(addons) != 3 {
		t.Errorf("duplicate add-on: %v", addons)
	}

	properties["addonProfiles"].(m)["azurepolicy"], properties["addonProfiles"].(m)["omsagent"] = m{
		"enabled": false,
	}, m{
		"enabled": false,
	}
	properties["securityProfile"].(m)["defender"] = m{"securityMonitoring": m{"enabled": false}}
	properties["securityProfile"].(m)["imageCleaner"] = m{"enabled": false}
	properties["apiServerAccessProfile"] = m{"authorizedIPRanges": []string{}, "disableRunCommand": false}
	f.put(at, body)
	after = f.get(at)
	for _, name := range []string{"azurepolicy", "omsagent"} {
		if after["addonProfiles"].(m)[name].(m)["enabled"] != false {
			t.Errorf("%s stays on", name)
		}
	}
	if api := after["apiServerAccessProfile"].(m); len(api["authorizedIPRanges"].([]any)) != 0 ||
		api["disableRunCommand"] != false {
		t.Errorf("the API server is still restricted: %v", api)
	}
}

func TestManagedCluster_OfOlderHomeHasPools(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	_, err := f.putCluster(nil)
	f.must(err)
	pool := path(aksID) + "/agentPools/system"
	f.stop()
	st, err := store.Open(filepath.Join(f.dir, "azure", "azure.db"))
	f.must(err)
	f.must(st.Update(func(tx *store.Tx) error { return store.Delete(tx, "resources", strings.ToLower(pool)) }))
	f.must(st.Close())
	f.start()
	if mode := f.get(pool + aksVersion)["mode"]; mode != "System" {
		t.Errorf("its mode is %v", mode)
	}
}
