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

// TestCluster_KeepsObjectsThroughUpgrades upgrades a cluster, gives it another system pool and another way out, and
// has somebody else change it too. Nothing in the cluster is made again.
func TestCluster_KeepsObjectsThroughUpgrades(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--node=stand-in", "--config", "kubernetesVersion=1.33", "--config", `nodePools=[{"name":"apps"}]`)
	outputs := c.outputs(t)
	before := c.inventory(t)
	maps.DeleteFunc(before, func(key, _ string) bool { return strings.HasPrefix(key, "Deployment ") })
	if !slices.ContainsFunc(
		slices.Collect(maps.Keys(before)),
		func(key string) bool { return strings.HasPrefix(key, "Pod ") },
	) {
		t.Fatal("there is no pod")
	}
	step := func(name string, run func(t *testing.T)) {
		if !t.Failed() { // else it is not known what the next one begins with
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

	step("the pools follow the control plane", func(t *testing.T) {
		c.wantVersions(t, outputs, "1.33.10 system 1.33.10 apps 1.33.10")
		apply(t, "kubernetesVersion=1.34")
		c.wantVersions(t, outputs, "1.34.10 system 1.34.10 apps 1.34.10")
	})
	step("another system pool takes over", func(t *testing.T) {
		apply(t, `nodePools=[{"name":"apps"},{"name":"next","mode":"System","vmSize":"Standard_D4s_v5"}]`)
		apply(t, `systemPool={"name":"next","vmSize":"Standard_D4s_v5"}`, `nodePools=[{"name":"apps"}]`)
		c.arm(t, http.MethodDelete, outputs.ClusterID+"/agentPools/system", "2024-09-01", "")
		eventually(t, "the pool is gone", func() bool {
			status, _ := c.request(t, http.MethodGet,
				"https://management.azure.com"+outputs.ClusterID+"/agentPools/system?api-version=2024-09-01", "")
			return status == http.StatusNotFound
		})
		wantNothingReplaced(t, c.plan(t, "--refresh"))
		if t.Failed() {
			return
		}
		c.mustRun(t, "pulumi", strings.Fields(upRefreshed)[1:]...) // and sends the cluster as it is
		for urn, op := range c.plan(t, "--refresh") {
			if op != "same" && op != "refresh" {
				t.Errorf("%s: the plan is to %s it again", urn, op)
			}
		}
		before.wantKept(t, c.inventory(t))
	})
	step("the new system pool follows too", func(t *testing.T) {
		apply(t, "kubernetesVersion=1.35")
		c.wantVersions(t, outputs, "1.35.10 next 1.35.10 apps 1.35.10")
	})
	step("the way out changes in place", func(t *testing.T) {
		apply(t, `outbound={"managedIps":2,"allocatedPorts":1024}`)
		c.wantOutbound(t, outputs, 2)
		apply(t, `outbound={"managedIps":3}`)
		c.wantOutbound(t, outputs, 3)
	})
	step("what somebody else changes of the network stays and replaces nothing", func(t *testing.T) {
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
			t.Errorf("the policy is %v", network["networkPolicy"])
		}
		c.changeNetwork(t, outputs, func(network map[string]any) {
			network["outboundType"] = "managedNATGateway"
			delete(network, "loadBalancerProfile")
		})
		wantNothingReplaced(t, c.plan(t, "--refresh"))
		printed := c.mustRun(t, "pulumi", strings.Fields(upRefreshed)[1:]...)
		if !strings.Contains(printed, "outboundType") {
			t.Errorf("up does not say that the way out is another one: %s", printed)
		}
		apply(t, `outbound={"managedIps":4}`)
		network = c.network(t, outputs)
		if network["outboundType"] != "managedNATGateway" || network["networkPolicy"] != "azure" {
			t.Errorf("another change of the way out leaves %v, %v", network["outboundType"], network["networkPolicy"])
		}
		before.wantKept(t, c.inventory(t))
	})
	step("what the program changes of it still replaces", func(t *testing.T) {
		c.pulumi(t, "config", "set", "outboundType", "managedNATGateway")
		c.pulumi(t, "config", "set", "outbound", "")
		replaced := ""
		for urn, op := range c.plan(t) {
			if strings.HasSuffix(urn, "::cluster-cluster") {
				replaced = op
			}
		}
		if !strings.Contains(replaced, "replace") {
			t.Errorf("the plan is to %q the cluster", replaced)
		}
		c.pulumi(t, "config", "set", "outboundType", "")
	})
	step("the nodes may pull images", func(t *testing.T) {
		group := outputs.ClusterID[:strings.Index(outputs.ClusterID, "/providers/")]
		registry := group + "/providers/Microsoft.ContainerRegistry/registries/images"
		c.arm(t, http.MethodPut, registry, "2023-07-01", `{"location": "eastus", "sku": {"name": "Basic"}}`)
		apply(t, fmt.Sprintf(`containerRegistryIds={"hub":%q}`, registry))
		role := c.arm(t, http.MethodGet, c.resourceNamed(t, "cluster-registry-role-hub").ID, "2022-04-01", "")["properties"].(map[string]any)
		cluster := c.arm(t, http.MethodGet, outputs.ClusterID, "2024-09-01", "")["properties"].(map[string]any)
		kubelet := cluster["identityProfile"].(map[string]any)["kubeletidentity"].(map[string]any)
		if role["principalId"] != kubelet["objectId"] {
			t.Errorf("the role is that of %v, and the nodes are %v", role["principalId"], kubelet["objectId"])
		}
	})
	step("nodes run Windows, too", func(t *testing.T) {
		apply(t, `nodePools=[{"name":"apps"},{"name":"win","osSku":"Windows2022"}]`)
		pool := c.arm(t, http.MethodGet, outputs.ClusterID+"/agentPools/win", "2024-09-01", "")["properties"].(map[string]any)
		if pool["osType"] != "Windows" || pool["osSKU"] != "Windows2022" {
			t.Errorf("the pool has %v, %v", pool["osType"], pool["osSKU"])
		}
	})
	c.pulumi(t, "destroy", "--yes", "--skip-preview")
	if left := resourceGroups(t, c); left != 0 {
		t.Errorf("%d resource groups are left", left)
	}
}

// wantVersions compares the versions of the control plane and the pools.
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

// wantOutbound compares the number of public addresses that the cluster leaves by, and returns its network.
func (c *cloud) wantOutbound(t *testing.T, outputs stackOutputs, want int) map[string]any {
	t.Helper()
	network := c.network(t, outputs)
	profile, _ := network["loadBalancerProfile"].(map[string]any)
	if addresses, _ := profile["effectiveOutboundIPs"].([]any); len(addresses) != want {
		t.Errorf("the cluster has %d addresses, want %d", len(addresses), want)
	}
	return network
}

// network is the cluster's network as Azure shows it.
func (c *cloud) network(t *testing.T, outputs stackOutputs) map[string]any {
	t.Helper()
	properties := c.arm(t, http.MethodGet, outputs.ClusterID, "2024-09-01", "")["properties"].(map[string]any)
	return properties["networkProfile"].(map[string]any)
}

// changeNetwork changes the cluster's network as az does.
func (c *cloud) changeNetwork(t *testing.T, outputs stackOutputs, change func(network map[string]any)) {
	t.Helper()
	cluster := c.arm(t, http.MethodGet, outputs.ClusterID, "2024-09-01", "")
	change(cluster["properties"].(map[string]any)["networkProfile"].(map[string]any))
	body, err := json.Marshal(cluster)
	if err != nil {
		t.Fatal(err)
	}
	c.arm(t, http.MethodPut, outputs.ClusterID, "2024-09-01", string(body))
	eventually(t, "the cluster has the network", func() bool {
		return c.arm(t, http.MethodGet, outputs.ClusterID, "2024-09-01", "")["properties"].(map[string]any)["provisioningState"] == "Succeeded"
	})
}
