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

// TestJudge_OpenTofuPlansNoChange has OpenTofu with azapi, which read the same specifications as Azure and nothing of
// ours, make testdata/tofu in a local cloud, look at it, change it and take it down. It runs beside no other test,
// since the first time it compiles for minutes.
func TestJudge_OpenTofuPlansNoChange(t *testing.T) {
	ctx := untilEnding(t)
	tofu, err := judges.OpenTofu(ctx, filepath.Join(checkout, "tests"))
	switch {
	case errors.Is(err, judges.ErrUnavailable) && ctx.Err() == nil:
		t.Skipf("OpenTofu judges nothing here: %v", err)
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
	// azapi reads the location that Azure gives a secret or key in a vault, and takes it for one that the configuration
	// has lost.
	quirk := change{Actions: []string{"delete", "create"}, ReplacePaths: [][]string{{"location"}}}
	quirk.Before.Location = "westeurope"
	wantChanges(t, run("show", "-json", "plan"),
		map[string]change{"azapi_resource.secret": quirk, "azapi_resource.key": quirk})

	// Resource Manager deletes no secrets and keys: they go with their vault.
	run("state", "rm", "azapi_resource.secret", "azapi_resource.key")
	if out := run(
		"apply",
		"-auto-approve",
		"-no-color",
		"-var=team=others",
		"-target=azapi_resource.vault",
	); !strings.Contains(out, "0 added, 1 changed, 0 destroyed") {
		t.Errorf("another tag:\n%s", out)
	}
	if out := run("destroy", "-auto-approve", "-no-color", "-var=team=others"); !strings.Contains(out, "6 destroyed") {
		t.Errorf("destroy:\n%s", out)
	}
	seen := &cloud{home: local.Dir, program: local.Command}
	azure := "https://management.azure.com/subscriptions/" + local.Credentials.SubscriptionID
	if left := names(t, seen, azure+"/resources?api-version=2022-09-01"); len(left) > 0 {
		t.Errorf("this is left: %q", left)
	}
	if deleted := names(
		t,
		seen,
		azure+"/providers/Microsoft.KeyVault/deletedVaults?api-version=2023-07-01",
	); !slices.Equal(deleted, []string{name}) {
		t.Errorf("the deleted vaults are %q", deleted)
	}
}

// change is what a plan does to a resource.
type change struct {
	Actions      []string
	ReplacePaths [][]string `json:"replace_paths"`
	Before       struct{ Location string }
}

// wantChanges compares what a plan, in JSON, does.
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
		t.Errorf("the plan knows of %d resources, not of 8", len(read.Changes))
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

// names are those of a list of Resource Manager's.
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
