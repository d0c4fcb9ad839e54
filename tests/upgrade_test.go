package tests

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

// TestUpgrade_ReplacesNothing brings up stacks of earlier versions, which tests/programs/replay recorded, and then this
// version with its own configuration on the same stacks. It must replace and delete nothing.
func TestUpgrade_ReplacesNothing(t *testing.T) {
	t.Parallel()
	for _, earlier := range []struct{ version, stack string }{
		{"56ba00e", "dev"}, // the first version
		{"24f44cf", "dev"},
		{"24f44cf", "prod"},
	} {
		t.Run(earlier.version+"-"+earlier.stack, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			c.project = replayProject(t, earlier.version, earlier.stack)
			_, first := c.up(t, "--stack", earlier.stack, "--no-build", "--node=stand-in", "--show-values")
			if earlier.stack == "dev" && !strings.Contains(first, "my-secret = ") {
				t.Error("the pod does not read the secret")
			}
			before := c.inventory(t)
			before.wantAllKinds(t)

			c.project = c.built
			c.reconfigure(t, earlier.stack)
			wantNothingReplaced(t, c.plan(t))
			if t.Failed() {
				return // the update would delete resources
			}
			printed, again := c.up(t, "--stack", earlier.stack, "--show-values")
			wantNothingDeleted(t, printed)
			before.wantKept(t, c.inventory(t))
			if again != first {
				t.Error("the pod reads other values than before")
			}
			c.pulumi(t, "preview", "--expect-no-changes")
		})
	}
}

// replayProject creates a folder with the program that replays the stack of an earlier version.
func replayProject(t *testing.T, version, stack string) string {
	t.Helper()
	dir := t.TempDir()
	builtIn(t, filepath.Join(checkout, "tests", "programs", "replay"), dir)
	file := filepath.Join(dir, "Pulumi.yaml")
	var replay project
	readYAML(t, file, &replay)
	replay["name"] = "keyvault-aks" // the project in the stack's URNs
	writeYAML(t, file, replay)
	state := filepath.Join(checkout, "tests", "testdata", "state-"+version+"-"+stack+".json")
	writeYAML(t, filepath.Join(dir, "Pulumi."+stack+".yaml"), map[string]any{
		"config": map[string]string{"keyvault-aks:state": state},
	})
	return dir
}

// reconfigure gives a stack the checkout's configuration, as the next up does.
func (c *cloud) reconfigure(t *testing.T, stack string) {
	t.Helper()
	var next map[string]any
	readYAML(t, filepath.Join(checkout, "Pulumi."+stack+".yaml"), &next)
	c.changeConfiguration(t, stack, func(file map[string]any) { file["config"] = next["config"] })
}

// changeConfiguration changes the configuration file that the engine reads for a stack. It also has the salt of the
// stack's secrets.
func (c *cloud) changeConfiguration(t *testing.T, stack string, change func(file map[string]any)) {
	t.Helper()
	name := filepath.Join(c.home, localcloudtest.ConfigDir, "Pulumi."+stack+".json")
	var file map[string]any
	readYAML(t, name, &file)
	change(file)
	content, err := json.Marshal(file)
	if err == nil {
		err = os.WriteFile(name, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// readYAML decodes a YAML or JSON file.
func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err == nil {
		err = yaml.Unmarshal(content, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// writeYAML writes a value to a YAML file.
func writeYAML(t *testing.T, file string, value any) {
	t.Helper()
	content, err := yaml.Marshal(value)
	if err == nil {
		err = os.WriteFile(file, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// wantNothingReplaced checks that a plan replaces and deletes nothing.
func wantNothingReplaced(t *testing.T, plan map[string]string) {
	t.Helper()
	for _, urn := range slices.Sorted(maps.Keys(plan)) {
		if op := plan[urn]; strings.Contains(op, "replace") || strings.Contains(op, "delete") {
			t.Errorf("the plan for %s is %s", urn, op)
		}
	}
	if len(plan) == 0 {
		t.Error("the plan is empty")
	}
}

// counted matches the number of resources with the same operation in the engine's summary of an update.
var counted = regexp.MustCompile(`(\d+) (\w+)`)

// wantNothingDeleted checks that an update's summary has only operations that keep resources.
func wantNothingDeleted(t *testing.T, printed string) {
	t.Helper()
	_, summary, _ := strings.Cut(printed, "\nResources:\n")
	summary, _, _ = strings.Cut(summary, "\n\n")
	t.Logf("the update:\n%s", summary)
	operations := counted.FindAllStringSubmatch(summary, -1)
	if len(operations) == 0 {
		t.Errorf("up printed no summary: %s", printed)
	}
	for _, match := range operations {
		if !slices.Contains([]string{"created", "imported", "updated", "unchanged", "changes"}, match[2]) {
			t.Errorf("the update has %s %s", match[1], match[2])
		}
	}
}

// inventory has the resources of a stack by kind and id, such as an ARM id or a namespace and name, each with what
// distinguishes it from another resource with this id.
type inventory map[string]string

// inventory reads the resources from the stack's state.
func (c *cloud) inventory(t *testing.T) inventory {
	t.Helper()
	found := inventory{}
	for _, r := range c.checkpoint(t).Resources {
		if r.ID == "" || strings.HasPrefix(r.Type, "pulumi:providers:") {
			continue
		}
		kind := r.Type[strings.LastIndex(r.Type, ":")+1:]
		found[kind+" "+strings.ToLower(r.ID)] = identity(r.Outputs)
	}
	return found
}

// identifying are outputs that change when a resource is created again, or a secret or key gets another version.
var identifying = []string{"secretUriWithVersion", "keyUriWithVersion", "clientId", "principalId", "fqdn", "uid"}

// identity returns a resource's identifying outputs.
func identity(outputs map[string]any) string {
	identity := map[string]any{}
	properties, _ := outputs["properties"].(map[string]any)
	metadata, _ := outputs["metadata"].(map[string]any)
	for _, level := range []map[string]any{outputs, properties, metadata} {
		for _, key := range identifying {
			if value, ok := level[key]; ok {
				identity[key] = value
			}
		}
	}
	text, _ := json.Marshal(identity)
	return string(text)
}

// wantAllKinds checks that the stack has each kind of resource that an upgrade must keep.
func (i inventory) wantAllKinds(t *testing.T) {
	t.Helper()
	for _, kind := range []string{
		"ResourceGroup", "Vault", "Secret", "Key", "ManagedCluster", "UserAssignedIdentity",
		"FederatedIdentityCredential", "RoleAssignment", "Namespace", "ServiceAccount", "SecretProviderClass",
	} {
		isKind := func(key string) bool { return strings.HasPrefix(key, kind+" ") }
		if !slices.ContainsFunc(slices.Collect(maps.Keys(i)), isKind) {
			t.Errorf("the stack has no %s", kind)
		}
	}
}

// wantKept checks that all resources are still there and the same.
func (i inventory) wantKept(t *testing.T, now inventory) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(i)) {
		if is, ok := now[key]; !ok {
			t.Errorf("%s is gone", key)
		} else if is != i[key] {
			t.Errorf("%s is %s, want %s as before", key, is, i[key])
		}
	}
}
