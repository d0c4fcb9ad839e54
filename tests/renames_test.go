package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

// TestRename_WithAliasesLosesNothing renames each of the four components, and then moves them below a parent, with the
// aliases that the components' documentation asks for. A preview without aliases shows what they prevent.
func TestRename_WithAliasesLosesNothing(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--node=stand-in")
	p := newProgram(t, c, "tests/programs/renames", map[string]string{
		"prefix": "old-", "resourceGroupName": "keyvault-demo", "tenantId": c.running(t).Credentials.TenantID,
	})
	p.up(t)
	before, names := p.inventory(t), p.names(t)

	t.Run("without aliases", func(t *testing.T) {
		p.configure(t, map[string]string{"prefix": "new-"})
		plan := p.plan(t)
		for _, name := range names {
			if op := plan[name]; op != "delete" {
				t.Errorf("the plan for %s is %q, want it deleted", name, op)
			}
			again := "new-" + strings.TrimPrefix(name, "old-")
			if op := plan[again]; op != "create" {
				t.Errorf("the plan for %s is %q, want it created", again, op)
			}
		}
	})
	// The DNS prefix defaults to the component's name, and Azure cannot change it.
	t.Run("cluster without name and DNS prefix", func(t *testing.T) {
		p.configure(t, map[string]string{"former": "old-"})
		if op := p.plan(t)["new-cluster-cluster"]; !strings.Contains(op, "replace") {
			t.Errorf("the plan for the cluster is %q, want a replacement", op)
		}
	})
	for _, change := range []struct {
		what          string
		configuration map[string]string
		creates       string // the only resource that the update creates
	}{
		{"new names", map[string]string{"dnsPrefix": "old-cluster"}, ""},
		{"new parent", map[string]string{"former": "", "moved": "true"}, "platform"},
	} {
		t.Run(change.what+" with aliases", func(t *testing.T) {
			p.configure(t, change.configuration)
			plan := p.plan(t)
			for name, op := range plan {
				created := name == change.creates && op == "create"
				if op != "same" && !created {
					t.Errorf("the plan for %s is %q, want nothing", name, op)
				}
			}
			for _, name := range names {
				if now := "new-" + strings.TrimPrefix(name, "old-"); plan[now] == "" {
					t.Errorf("the plan has no %s", now)
				}
			}
			if t.Failed() {
				return // the update would delete resources
			}
			up := []string{"up", "--yes", "--skip-preview", "--json"}
			if change.creates == "" {
				up = append(up, "--expect-no-changes")
			}
			p.pulumi(t, up...)
			now := p.inventory(t)
			before.wantKept(t, now)
			now.wantKept(t, before) // no other resources
			p.pulumi(t, "preview", "--expect-no-changes")
		})
		if t.Failed() {
			return
		}
	}
	t.Run("names in the state", func(t *testing.T) {
		for _, name := range p.names(t) {
			if !strings.HasPrefix(name, "new-") {
				t.Errorf("the state still has %s", name)
			}
		}
	})
}

// plan returns what a preview would do, by the resource's name.
func (p *program) plan(t *testing.T) map[string]string {
	t.Helper()
	var preview struct {
		Steps []struct{ Op, URN string }
	}
	if err := json.Unmarshal([]byte(p.pulumi(t, "preview", "--json", "--show-sames")), &preview); err != nil {
		t.Fatal(err)
	}
	plan := map[string]string{}
	for _, step := range preview.Steps {
		name := step.URN[strings.LastIndex(step.URN, "::")+2:]
		// A replacement has several steps, one of which is called replace.
		if !strings.Contains(plan[name], "replace") && !strings.Contains(step.URN, "pulumi:pulumi:Stack::") &&
			!strings.Contains(step.URN, "::pulumi:providers:") {
			plan[name] = step.Op
		}
	}
	return plan
}

// names returns the names of the components and their resources in the program's state.
func (p *program) names(t *testing.T) (names []string) {
	t.Helper()
	for _, r := range p.state(t) {
		if name := r.URN[strings.LastIndex(r.URN, "::")+2:]; strings.Contains(r.URN, "keyvaultaks:") &&
			!strings.HasPrefix(r.Type, "pulumi:providers:") {
			names = append(names, name)
		}
	}
	if len(names) < 20 {
		t.Fatalf("the state has only %q", names)
	}
	return names
}

// inventory returns the resources in the state of the program's stack.
func (p *program) inventory(t *testing.T) inventory {
	t.Helper()
	found := inventory{}
	for _, r := range p.state(t) {
		if r.ID != "" && !strings.HasPrefix(r.Type, "pulumi:providers:") {
			found[r.Type[strings.LastIndex(r.Type, ":")+1:]+" "+strings.ToLower(r.ID)] = identity(r.Outputs)
		}
	}
	return found
}

// state returns the resources of the program's stack as the engine's backend stores them.
func (p *program) state(t *testing.T) []resource {
	t.Helper()
	var file struct {
		Checkpoint struct{ Latest checkpoint }
	}
	content, err := os.ReadFile(
		filepath.Join(p.home, localcloudtest.StacksDir, ".pulumi", "stacks", filepath.Base(p.dir), "test.json"),
	)
	if err == nil {
		err = json.Unmarshal(content, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file.Checkpoint.Latest.Resources
}
