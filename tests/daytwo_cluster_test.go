package tests

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestCluster_KeepsObjectsThroughUpgrades upgrades a cluster, replaces its system pool, changes its outbound traffic,
// and changes it from outside Pulumi. The objects in the cluster must remain.
func TestCluster_KeepsObjectsThroughUpgrades(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--node=stand-in", "--config", "kubernetesVersion=1.33", "--config", `nodePools=[{"name":"apps"}]`)
	outputs := c.outputs(t)
	before := c.inventory(t)
	maps.DeleteFunc(before, func(key, _ string) bool { return strings.HasPrefix(key, "Deployment ") })
	isPod := func(key string) bool { return strings.HasPrefix(key, "Pod ") }
	if !slices.ContainsFunc(slices.Collect(maps.Keys(before)), isPod) {
		t.Fatal("the cluster has no pod")
	}
	step := func(name string, run func(t *testing.T)) {
		if !t.Failed() { // each step builds on the previous one
			t.Run(name, run)
		}
	}
	apply := func(t *testing.T, configuration ...string) {
		t.Helper()
		for _, one := range configuration {
			key, value, _ := strings.Cut(one, "=")
			c.pulumi(t, "config", "set", key, value)
		}
		c.pulumi(t, "up", "--yes", "--skip-preview")
		c.pulumi(t, "preview", "--expect-no-changes")
		before.wantKept(t, c.inventory(t))
	}

	step("upgrade", func(t *testing.T) {
		c.wantVersions(t, outputs, "1.33.10 system 1.33.10 apps 1.33.10")
		apply(t, "kubernetesVersion=1.34")
		c.wantVersions(t, outputs, "1.34.10 system 1.34.10 apps 1.34.10")
	})
	step("another system pool", func(t *testing.T) {
		apply(t, `nodePools=[{"name":"apps"},{"name":"next","mode":"System","vmSize":"Standard_D4s_v5"}]`)
		apply(t, `systemPool={"name":"next","vmSize":"Standard_D4s_v5"}`, `nodePools=[{"name":"apps"}]`)
		c.arm(t, http.MethodDelete, outputs.ClusterID+"/agentPools/system", "2024-09-01", "")
		eventually(t, "the pool is deleted", func() bool {
			url := "https://management.azure.com" + outputs.ClusterID + "/agentPools/system?api-version=2024-09-01"
			status, _ := c.request(t, http.MethodGet, url, "")
			return status == http.StatusNotFound
		})
		wantNothingReplaced(t, c.plan(t, "--refresh"))
		if t.Failed() {
			return
		}
		c.mustRun(t, "pulumi", strings.Fields(upRefreshed)[1:]...) // updates the cluster without changes
		for urn, op := range c.plan(t, "--refresh") {
			if op != "same" && op != "refresh" {
				t.Errorf("%s: the plan is to %s again", urn, op)
			}
		}
		before.wantKept(t, c.inventory(t))
	})
	step("upgrade of the new pool", func(t *testing.T) {
		apply(t, "kubernetesVersion=1.35")
		c.wantVersions(t, outputs, "1.35.10 next 1.35.10 apps 1.35.10")
	})
	step("outbound addresses", func(t *testing.T) {
		apply(t, `outbound={"managedIps":2,"allocatedPorts":1024}`)
		c.wantOutbound(t, outputs, 2)
		apply(t, `outbound={"managedIps":3}`)
		c.wantOutbound(t, outputs, 3)
	})
	step("network changes outside Pulumi", func(t *testing.T) {
		c.changeNetwork(t, outputs, func(network map[string]any) {
			network["networkPolicy"] = "azure"
			network["loadBalancerProfile"].(map[string]any)["managedOutboundIPs"].(map[string]any)["count"] = 5
		})
		wantNothingReplaced(t, c.plan(t, "--refresh"))
		if t.Failed() {
			return
		}
		c.mustRun(t, "pulumi", strings.Fields(upRefreshed)[1:]...)
		apply(t, "imageCleanerHours=48")
		network := c.wantOutbound(t, outputs, 5)
		if network["networkPolicy"] != "azure" {
			t.Errorf("the network policy is %v, want azure", network["networkPolicy"])
		}
		c.changeNetwork(t, outputs, func(network map[string]any) {
			network["outboundType"] = "managedNATGateway"
			delete(network, "loadBalancerProfile")
		})
		wantNothingReplaced(t, c.plan(t, "--refresh"))
		printed := c.mustRun(t, "pulumi", strings.Fields(upRefreshed)[1:]...)
		if !strings.Contains(printed, "outboundType") {
			t.Errorf("up does not warn that outboundType differs: %s", printed)
		}
		apply(t, `outbound={"managedIps":4}`)
		network = c.network(t, outputs)
		if network["outboundType"] != "managedNATGateway" || network["networkPolicy"] != "azure" {
			t.Errorf("after another change outboundType is %v and networkPolicy %v, want managedNATGateway and azure",
				network["outboundType"], network["networkPolicy"])
		}
		before.wantKept(t, c.inventory(t))
	})
	step("network changes in the program", func(t *testing.T) {
		c.pulumi(t, "config", "set", "outboundType", "managedNATGateway")
		c.pulumi(t, "config", "set", "outbound", "")
		replaced := ""
		for urn, op := range c.plan(t) {
			if strings.HasSuffix(urn, "::cluster-cluster") {
				replaced = op
			}
		}
		if !strings.Contains(replaced, "replace") {
			t.Errorf("the plan for the cluster is %q, want a replacement", replaced)
		}
		c.pulumi(t, "config", "set", "outboundType", "")
	})
	step("container registry", func(t *testing.T) {
		group := outputs.ClusterID[:strings.Index(outputs.ClusterID, "/providers/")]
		registry := group + "/providers/Microsoft.ContainerRegistry/registries/images"
		c.arm(t, http.MethodPut, registry, "2023-07-01", `{"location": "eastus", "sku": {"name": "Basic"}}`)
		apply(t, fmt.Sprintf(`containerRegistryIds={"hub":%q}`, registry))
		id := c.resourceNamed(t, "cluster-registry-role-hub").ID
		role := c.arm(t, http.MethodGet, id, "2022-04-01", "")["properties"].(map[string]any)
		cluster := c.arm(t, http.MethodGet, outputs.ClusterID, "2024-09-01", "")["properties"].(map[string]any)
		kubelet := cluster["identityProfile"].(map[string]any)["kubeletidentity"].(map[string]any)
		if role["principalId"] != kubelet["objectId"] {
			t.Errorf("the role belongs to %v, want the nodes' identity %v", role["principalId"], kubelet["objectId"])
		}
	})
	step("Windows nodes", func(t *testing.T) {
		apply(t, `nodePools=[{"name":"apps"},{"name":"win","osSku":"Windows2022"}]`)
		pool := c.arm(t, http.MethodGet, outputs.ClusterID+"/agentPools/win", "2024-09-01", "")["properties"].(map[string]any)
		if pool["osType"] != "Windows" || pool["osSKU"] != "Windows2022" {
			t.Errorf("the pool has %v, %v, want Windows, Windows2022", pool["osType"], pool["osSKU"])
		}
	})
	c.pulumi(t, "destroy", "--yes", "--skip-preview")
	if left := resourceGroups(t, c); left != 0 {
		t.Errorf("%d resource groups are left, want 0", left)
	}
}

// wantVersions checks the versions of the control plane and the pools.
func (c *cloud) wantVersions(t *testing.T, outputs stackOutputs, want string) {
	t.Helper()
	properties := c.arm(t, http.MethodGet, outputs.ClusterID, "2024-09-01", "")["properties"].(map[string]any)
	got := properties["currentKubernetesVersion"].(string)
	for _, pool := range properties["agentPoolProfiles"].([]any) {
		got += fmt.Sprintf(" %s %s", pool.(map[string]any)["name"], pool.(map[string]any)["currentOrchestratorVersion"])
	}
	if got != want {
		t.Errorf("the versions are %s, want %s", got, want)
	}
}

// wantOutbound checks the number of the cluster's outbound addresses, and returns its network profile.
func (c *cloud) wantOutbound(t *testing.T, outputs stackOutputs, want int) map[string]any {
	t.Helper()
	network := c.network(t, outputs)
	profile, _ := network["loadBalancerProfile"].(map[string]any)
	if addresses, _ := profile["effectiveOutboundIPs"].([]any); len(addresses) != want {
		t.Errorf("the cluster has %d outbound addresses, want %d", len(addresses), want)
	}
	return network
}

// network returns the cluster's network profile.
func (c *cloud) network(t *testing.T, outputs stackOutputs) map[string]any {
	t.Helper()
	properties := c.arm(t, http.MethodGet, outputs.ClusterID, "2024-09-01", "")["properties"].(map[string]any)
	return properties["networkProfile"].(map[string]any)
}

// changeNetwork changes the cluster's network profile, as az does.
func (c *cloud) changeNetwork(t *testing.T, outputs stackOutputs, change func(network map[string]any)) {
	t.Helper()
	cluster := c.arm(t, http.MethodGet, outputs.ClusterID, "2024-09-01", "")
	change(cluster["properties"].(map[string]any)["networkProfile"].(map[string]any))
	body, err := json.Marshal(cluster)
	if err != nil {
		t.Fatal(err)
	}
	c.arm(t, http.MethodPut, outputs.ClusterID, "2024-09-01", string(body))
	eventually(t, "the cluster is updated", func() bool {
		properties := c.arm(t, http.MethodGet, outputs.ClusterID, "2024-09-01", "")["properties"].(map[string]any)
		return properties["provisioningState"] == "Succeeded"
	})
}
