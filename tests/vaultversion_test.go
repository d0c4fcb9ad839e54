package tests

import (
	"strings"
	"testing"
)

// retired is a plan of faults that has Azure serve Key Vault's control plane as it will from 2027-02-27 on.
const retired = "retire: [{provider: Microsoft.KeyVault, before: 2026-02-01}]"

// newVaultAPI is the configuration of a stack whose vault outlives that day.
const newVaultAPI = `vaultApiVersion="2026-02-01"`

// TestVaultAPIVersion_MovesStackPastRetirement begins with a recorded stack, since the program itself
// refuses the old version once Azure does.
func TestVaultAPIVersion_MovesStackPastRetirement(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.project = replayProject(t, "24f44cf", "dev")
	_, first := c.up(t, "--no-build", "--node=stand-in", "--show-values")
	before := c.inventory(t)

	c.setFaults(t, retired)
	_, err := c.run(t, "", "pulumi", "refresh", "--yes", "--skip-preview", "--non-interactive")
	if err == nil || !strings.Contains(err.Error(), "NoRegisteredProviderFound") {
		t.Errorf("the old version is refused with %v", err)
	}

	c.project = c.built
	c.reconfigure(t, "dev")
	c.pulumi(t, "config", "set", "vaultApiVersion", "2026-02-01")
	wantNothingReplaced(t, c.plan(t))
	if t.Failed() {
		return // the update would delete it
	}
	printed, again := c.up(t, "--show-values", "--config", newVaultAPI)
	wantNothingDeleted(t, printed)
	before.wantKept(t, c.inventory(t))
	if again != first {
		t.Error("the pod reads something else than before")
	}
	c.wantOnlyNewVersion(t)
	c.pulumi(t, "preview", "--expect-no-changes")
}

func TestVaultAPIVersion_CreatesStackPastRetirement(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	printed, lastLine := c.up(t, "--node=stand-in", "--faults", retired, "--config", newVaultAPI)
	if !strings.Contains(lastLine, "my-secret = ") {
		t.Error("the pod reads no secret")
	}
	if strings.Contains(printed, "apiVersion") {
		t.Errorf("there is a warning of the version in\n%s", printed)
	}
	c.wantOnlyNewVersion(t)
	c.wantComplete(t)
	// A secret gets another version, a key comes, and both go, the last of it with the vault.
	c.up(t, "--config", newVaultAPI, "--config", `secrets=[{name: my-secret, generate: {length: 40}}]`,
		"--config", `keys=[{name: my-key, size: 2048}, {name: second, type: EC}]`)
	c.wantOnlyNewVersion(t)
	c.down(t)
}

// wantOnlyNewVersion checks that what the stack has in Key Vault is of the new version.
func (c *cloud) wantOnlyNewVersion(t *testing.T) {
	t.Helper()
	found := 0
	for _, r := range c.state(t) {
		if !strings.Contains(r.Type, "keyvault") || strings.HasPrefix(r.Type, "pulumi:providers:") ||
			strings.HasPrefix(r.Type, "keyvaultaks:") {
			continue
		}
		found++
		if !strings.HasPrefix(r.Type, "azure-native_keyvault_v20260201:") {
			t.Errorf("%s is a %s", r.URN, r.Type)
		}
	}
	if found < 3 {
		t.Errorf("the stack has %d resources in Key Vault, want a vault, a secret and a key", found)
	}
}
