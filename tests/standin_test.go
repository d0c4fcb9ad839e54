package tests

import (
	"strings"
	"testing"
)

// wantStandIn checks a stack on a stand-in node: the pod's file has the vault's value, no container runs, and down
// leaves no process.
func wantStandIn(t *testing.T, c *cloud, lastLine string) {
	t.Helper()
	outputs := c.outputs(t)
	grant(t, c, outputs.VaultID, secretsOfficer)
	secrets, _ := vaultClients(t, c, outputs.VaultURI)
	if !strings.Contains(lastLine, "my-secret = "+getSecret(t, secrets, "my-secret")) {
		t.Error("the pod's file does not have the vault's value")
	}
	if !strings.Contains(lastLine, "no container") {
		t.Error("up does not mention that no container runs")
	}
	for _, process := range c.processes() {
		if strings.Contains(process, "containerd") || strings.Contains(process, "kubelet ") {
			t.Errorf("a process of a real node runs: %s", process)
		}
	}
	c.down(t)
	if left := c.processes(); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
}
