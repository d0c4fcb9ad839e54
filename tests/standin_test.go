package tests

import (
	"strings"
	"testing"
)

// wantStandIn checks of a stack that came up on a stand-in node, as on a machine that cannot run a node, that the pod
// has the vault's value in its file and runs in no container, and that taking all of it down leaves no process.
func wantStandIn(t *testing.T, c *cloud, lastLine string) {
	t.Helper()
	outputs := c.outputs(t)
	grant(t, c, outputs.VaultID, secretsOfficer)
	secrets, _ := vaultClients(t, c, outputs.VaultURI)
	if !strings.Contains(lastLine, "my-secret = "+getSecret(t, secrets, "my-secret")) {
		t.Error("the pod's file is not the value in the vault")
	}
	if !strings.Contains(lastLine, "no container") {
		t.Error("up does not say that no container runs")
	}
	for _, process := range c.processes() {
		if strings.Contains(process, "containerd") || strings.Contains(process, "kubelet ") {
			t.Errorf("this runs: %s", process)
		}
	}
	c.down(t)
	if left := c.processes(); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
}
