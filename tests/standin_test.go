package tests

import (
	"strings"
	"testing"
)

// TestAStandInNodeGivesPodsTheirFilesAndRunsNoContainer is the local cloud of a machine that cannot run a node.
func TestAStandInNodeGivesPodsTheirFilesAndRunsNoContainer(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	record := t.TempDir()
	_, lastLine := c.up(t, "--node=stand-in", "--record", record)
	wantSent(t, record, "arm-dev.json")
	outputs := c.outputs(t)
	grant(t, c, outputs["vaultId"], secretsOfficer)
	secrets, _ := vaultClients(t, c, outputs["vaultUri"])
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
