package tests

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestWorkloads_KeepWhatTheyHaveUnderAnotherName renames a workload, and with it an identity and a mount, whose parts are named
// after it. Without its former name Pulumi would create all of it again and delete what its pod uses.
func TestWorkloads_KeepWhatTheyHaveUnderAnotherName(t *testing.T) {
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
		t.Error("nothing would be lost without the former name")
	}

	renamed := workloadsWith(t, "dev", "name: renamed\nformerName: keyvault-demo")
	c.setWorkloads(t, "dev", renamed)
	wantNothingReplaced(t, c.plan(t))
	if t.Failed() {
		return // the update would delete it
	}
	printed, again := c.up(t, "--config", renamed)
	wantNothingDeleted(t, printed)
	before.wantKept(t, c.inventory(t))
	if again != first {
		t.Error("the pod reads something else than before")
	}
	// The former name has done its work.
	c.up(t, "--config", workloadsWith(t, "dev", "name: renamed"))
	before.wantKept(t, c.inventory(t))
	c.isWhole(t)
}

// setWorkloads changes the workloads in a stack's configuration, given as workloads=JSON, without an up.
func (c *cloud) setWorkloads(t *testing.T, stack, workloads string) {
	t.Helper()
	file := filepath.Join(c.home, "config", "Pulumi."+stack+".yaml")
	var config map[string]any
	readYAML(t, file, &config)
	_, list, _ := strings.Cut(workloads, "=")
	config["config"].(map[string]any)["keyvault-aks:workloads"] = list
	writeYAML(t, file, config)
}

// TestComponents_KeepEverythingUnderAnotherNameAndParent gives each of the four components another name, and then a parent, with
// aliases as the documentation of components says. It also says what happens without them.
func TestComponents_KeepEverythingUnderAnotherNameAndParent(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--node=stand-in")
	p := newProgram(t, c, "tests/programs/renames", map[string]string{
		"prefix": "old-", "resourceGroupName": "keyvault-demo", "tenantId": c.running(t).Credentials.TenantID,
	})
	p.up(t)
	before := c.resources(t)
	objects := c.objects(t)

	p.configure(t, map[string]string{"prefix": "new-"})
	plan := planOf(t, p.pulumi(t, "preview", "--json"))
	for _, part := range []string{"old-vault-secret-password", "old-cluster-cluster", "old-identity-identity", "old-mount-class"} {
		if plan[part] != "delete" {
			t.Errorf("without an alias the plan for %s is %q, want it deleted", part, plan[part])
		}
		if again := "new-" + strings.TrimPrefix(part, "old-"); plan[again] != "create" {
			t.Errorf("without an alias the plan for %s is %q, want it created", again, plan[again])
		}
	}
	for _, change := range []map[string]string{
		{"prefix": "new-", "former": "old-"},
		{"prefix": "new-", "former": "new-", "moved": "true"},
	} {
		p.configure(t, change)
		preview := p.pulumi(t, "preview", "--json")
		for name, op := range planOf(t, preview) {
			if op != "same" && name != "platform" {
				t.Errorf("with %v the plan for %s is %q, want nothing", change, name, op)
			}
		}
		var planned struct{ ChangeSummary map[string]int }
		if err := json.Unmarshal([]byte(preview), &planned); err != nil {
			t.Fatal(err)
		}
		if planned.ChangeSummary["same"] < 20 {
			t.Errorf("with %v the preview counts %v", change, planned.ChangeSummary)
		}
		if t.Failed() {
			return // the update would delete it
		}
		p.up(t)
		if now := c.resources(t); !slices.Equal(now, before) {
			t.Errorf("with %v Azure has\n%s\nbefore\n%s", change, strings.Join(now, "\n"), strings.Join(before, "\n"))
		}
		if now := c.objects(t); !slices.Equal(now, objects) {
			t.Errorf("with %v the cluster has\n%s\nbefore\n%s", change, strings.Join(now, "\n"), strings.Join(objects, "\n"))
		}
	}
	p.pulumi(t, "preview", "--expect-no-changes")
}

// planOf returns the operations of a preview's JSON by the names of the resources.
func planOf(t *testing.T, preview string) map[string]string {
	t.Helper()
	var planned struct {
		Steps []struct{ Op, URN string }
	}
	if err := json.Unmarshal([]byte(preview), &planned); err != nil {
		t.Fatal(err)
	}
	plan := map[string]string{}
	for _, step := range planned.Steps {
		plan[step.URN[strings.LastIndex(step.URN, "::")+2:]] = step.Op
	}
	return plan
}
