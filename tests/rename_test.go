package tests

import (
	"strings"
	"testing"
)

// TestWorkloads_KeepResourcesWhenRenamed renames a workload, and with it the resources of its identity and mount.
// Without its former name Pulumi would replace all of them and delete what its pod uses.
func TestWorkloads_KeepResourcesWhenRenamed(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	_, first := c.up(t, "--node=stand-in")
	before := c.inventory(t)

	c.setWorkloads(t, "dev", workloadsWith(t, "dev", "name: renamed"))
	lost := 0
	for urn, op := range c.plan(t) {
		if strings.Contains(op, "delete") && strings.Contains(urn, "keyvault-demo") {
			lost++
		}
	}
	if lost == 0 {
		t.Error("the plan without the former name deletes nothing, so the test proves nothing")
	}

	renamed := workloadsWith(t, "dev", "name: renamed\nformerName: keyvault-demo")
	c.setWorkloads(t, "dev", renamed)
	wantNothingReplaced(t, c.plan(t))
	if t.Failed() {
		return // the update would delete resources
	}
	printed, again := c.up(t, "--config", renamed)
	wantNothingDeleted(t, printed)
	before.wantKept(t, c.inventory(t))
	if again != first {
		t.Error("the pod reads another value than before")
	}
	// The former name is no longer needed.
	c.up(t, "--config", workloadsWith(t, "dev", "name: renamed"))
	before.wantKept(t, c.inventory(t))
	c.wantComplete(t)
}

// setWorkloads sets the workloads, given as workloads=JSON, in a stack's configuration.
func (c *cloud) setWorkloads(t *testing.T, stack, workloads string) {
	t.Helper()
	_, list, _ := strings.Cut(workloads, "=")
	c.changeConfiguration(t, stack, func(file map[string]any) {
		file["config"].(map[string]any)["keyvault-aks:workloads"] = list
	})
}
