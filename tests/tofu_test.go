package tests

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
	"github.com/keyvault-aks/keyvault-aks/tests/judges"
)

// TestJudge_OpenTofuPlansNoChange creates, reads, changes and destroys testdata/tofu in a local cloud with OpenTofu and
// its provider azapi, which has Azure's own specifications and no code of this repository. It does not run in parallel,
// because the first run compiles for minutes.
func TestJudge_OpenTofuPlansNoChange(t *testing.T) {
	ctx := untilEnding(t)
	tofu, err := judges.OpenTofu(ctx, filepath.Join(checkout, "tests"))
	switch {
	case errors.Is(err, judges.ErrUnavailable) && ctx.Err() == nil:
		t.Skipf("OpenTofu cannot be built here: %v", err)
	case err != nil:
		t.Fatal(err)
	}
	local := localcloudtest.Start(t, localcloudtest.Options{
		Command: filepath.Join(checkout, "bin", "localcloud"), Flags: []string{"--node=stand-in"},
	})
	const name = "kv-judge"
	dir := t.TempDir()
	content, err := os.ReadFile(filepath.Join("testdata", "tofu", "main.tf"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "main.tf"), content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		cmd := local.Program(ctx, tofu.Command, args...)
		cmd.Dir, cmd.Env = dir, append(slices.Concat(local.Env, tofu.Env), "TF_VAR_name="+name)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("tofu %v: %v\n%s", args, err, out)
		}
		return string(out)
	}

	run("apply", "-auto-approve", "-no-color")
	run("plan", "-no-color", "-out=plan")
	// azapi reads the location that Azure sets for a secret or key, and plans to remove it.
	quirk := change{Actions: []string{"delete", "create"}, ReplacePaths: [][]string{{"location"}}}
	quirk.Before.Location = "westeurope"
	wantChanges(t, run("show", "-json", "plan"),
		map[string]change{"azapi_resource.secret": quirk, "azapi_resource.key": quirk})

	// Resource Manager cannot delete secrets and keys. They go with their vault.
	run("state", "rm", "azapi_resource.secret", "azapi_resource.key")
	changed := run("apply", "-auto-approve", "-no-color", "-var=team=others", "-target=azapi_resource.vault")
	if !strings.Contains(changed, "0 added, 1 changed, 0 destroyed") {
		t.Errorf("apply with another tag, want 1 changed:\n%s", changed)
	}
	if out := run("destroy", "-auto-approve", "-no-color", "-var=team=others"); !strings.Contains(out, "6 destroyed") {
		t.Errorf("destroy, want 6 destroyed:\n%s", out)
	}
	seen := &cloud{home: local.Dir, program: local.Command}
	azure := "https://management.azure.com/subscriptions/" + local.Credentials.SubscriptionID
	if left := names(t, seen, azure+"/resources?api-version=2022-09-01"); len(left) > 0 {
		t.Errorf("destroy left %q", left)
	}
	deleted := names(t, seen, azure+"/providers/Microsoft.KeyVault/deletedVaults?api-version=2023-07-01")
	if !slices.Equal(deleted, []string{name}) {
		t.Errorf("the deleted vaults are %q, want %q", deleted, name)
	}
}

// change is a planned change of a resource.
type change struct {
	Actions      []string
	ReplacePaths [][]string `json:"replace_paths"`
	Before       struct{ Location string }
}

// wantChanges checks the changes in a plan, which is JSON.
func wantChanges(t *testing.T, plan string, want map[string]change) {
	t.Helper()
	var read struct {
		Changes []struct {
			Address string
			Change  change
		} `json:"resource_changes"`
	}
	if err := json.Unmarshal([]byte(plan), &read); err != nil {
		t.Fatalf("%v\n%s", err, plan)
	}
	if len(read.Changes) != 8 {
		t.Errorf("the plan has %d resources, want 8", len(read.Changes))
	}
	got := map[string]change{}
	for _, c := range read.Changes {
		if !slices.Equal(c.Change.Actions, []string{"no-op"}) {
			got[c.Address] = c.Change
		}
	}
	if !maps.EqualFunc(got, want, func(a, b change) bool {
		return slices.Equal(a.Actions, b.Actions) &&
			slices.EqualFunc(a.ReplacePaths, b.ReplacePaths, slices.Equal[[]string]) &&
			a.Before == b.Before
	}) {
		t.Errorf("the plan changes\n%v, want\n%v", got, want)
	}
}

// names returns the names in a list of Resource Manager.
func names(t *testing.T, c *cloud, url string) (all []string) {
	t.Helper()
	status, content := c.request(t, http.MethodGet, url, "")
	var list struct{ Value []struct{ Name string } }
	if err := json.Unmarshal(content, &list); err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d %s: %v", url, status, content, err)
	}
	for _, one := range list.Value {
		all = append(all, one.Name)
	}
	return all
}
