package tests

import (
	"strings"
	"testing"
)

// retired is a fault plan that retires old API versions of Key Vault's control plane, as Azure will on 2027-02-27.
const retired = "retire: [{provider: Microsoft.KeyVault, before: 2026-02-01}]"

// newVaultAPI is the configuration of a stack that works after that day.
const newVaultAPI = `vaultApiVersion="2026-02-01"`

// TestVaultAPIVersion_MovesStackPastRetirement moves a stack to the new API version after the old one is retired. It
// begins with a recorded stack, because the program itself rejects a retired version.
func TestVaultAPIVersion_MovesStackPastRetirement(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.project = replayProject(t, "24f44cf", "dev")
	_, first := c.up(t, "--no-build", "--node=stand-in", "--show-values")
	before := c.inventory(t)

	c.setFaults(t, retired)
	_, err := c.run(t, "", "pulumi", "refresh", "--yes", "--skip-preview", "--non-interactive")
	if err == nil || !strings.Contains(err.Error(), "NoRegisteredProviderFound") {
		t.Errorf("refresh with the retired version: got %v, want NoRegisteredProviderFound", err)
	}

	c.project = c.built
	c.reconfigure(t, "dev")
	c.pulumi(t, "config", "set", "vaultApiVersion", "2026-02-01")
	wantNothingReplaced(t, c.plan(t))
	if t.Failed() {
		return // the update would delete resources
	}
	printed, again := c.up(t, "--show-values", "--config", newVaultAPI)
	wantNothingDeleted(t, printed)
	before.wantKept(t, c.inventory(t))
	if again != first {
		t.Error("the pod reads other values than before")
	}
	c.wantOnlyNewVersion(t)
	c.pulumi(t, "preview", "--expect-no-changes")
}

// TestVaultAPIVersion_CreatesStackPastRetirement creates, changes and destroys a stack with the new API version after
// the old one is retired.
func TestVaultAPIVersion_CreatesStackPastRetirement(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	printed, lastLine := c.up(t, "--node=stand-in", "--faults", retired, "--config", newVaultAPI)
	if !strings.Contains(lastLine, "my-secret = ") {
		t.Error("the pod does not read the secret")
	}
	if strings.Contains(printed, "apiVersion") {
		t.Errorf("up warns about the API version:\n%s", printed)
	}
	c.wantOnlyNewVersion(t)
	c.wantComplete(t)
	// A new version of the secret and a new key, before down deletes everything.
	c.up(t, "--config", newVaultAPI, "--config", `secrets=[{name: my-secret, generate: {length: 40}}]`,
		"--config", `keys=[{name: my-key, size: 2048}, {name: second, type: EC}]`)
	c.wantOnlyNewVersion(t)
	c.down(t)
}

// wantOnlyNewVersion checks that all the stack's resources in Key Vault have the new API version.
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
			t.Errorf("%s has the type %s, want API version 2026-02-01", r.URN, r.Type)
		}
	}
	if found < 3 {
		t.Errorf("the stack has %d resources in Key Vault, want a vault, a secret and a key", found)
	}
}
