package tests

import (
	"crypto/rand"
	"slices"
	"strings"
	"testing"
)

// refreshed is the command that docs/rotation.md gives for pods with an old value.
var refreshed = []string{"up", "--yes", "--skip-preview", "--refresh"}

// TestDayTwo_PodsFollowTheVault brings up programs/daytwo, whose Deployments have variables from a mount's Secrets,
// most of them without mounting it. The driver polls so rarely that only a pod that starts can bring new values.
func TestDayTwo_PodsFollowTheVault(t *testing.T) {
	needsRealNode(t)
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--config", "rotationPollInterval=12h")
	first := c.outputs(t)
	grant(t, c, first.VaultID, secretsOfficer)
	secrets, _ := vaultClients(t, c, first.VaultURI)
	theirs := rand.Text()
	setSecret(t, secrets, "theirs", theirs)
	p := newProgram(t, c, "tests/programs/daytwo", map[string]string{
		"vaultId": first.VaultID, "clusterId": first.ClusterID, "resourceGroupName": "keyvault-demo", "mounts": "true",
	})
	p.pulumi(t, "up", "--yes", "--skip-preview")
	own := getSecret(t, secrets, "own")
	wantEnv := func(t *testing.T, deployment, own, theirs string) {
		t.Helper()
		got := c.kubectl(t, "exec", "-n", "daytwo", "deploy/"+deployment, "--", "sh", "-c",
			`printf "%s %s" "$OWN" "$THEIRS"`)
		if got != own+" "+theirs {
			t.Errorf("the variables in the pods of %s have other values than wanted", deployment)
		}
	}
	secret := func(t *testing.T) string {
		t.Helper()
		return c.kubectl(t, "get", "secret", "-n", "daytwo", "both", "--output=jsonpath={.metadata.uid}")
	}
	restart := func(t *testing.T, deployment string) {
		t.Helper()
		c.kubectl(t, "rollout", "restart", "-n", "daytwo", "deploy/"+deployment)
		c.kubectl(t, "rollout", "status", "-n", "daytwo", "deploy/"+deployment, "--timeout=120s")
	}
	made := secret(t)

	t.Run("variables without a mount", func(t *testing.T) {
		wantEnv(t, "restarts", own, theirs)
		wantEnv(t, "stays", own, theirs)
	})
	t.Run("label of workload identity", func(t *testing.T) {
		labelled := c.kubectl(t, "get", "pods", "-n", "daytwo", "-l", "azure.workload.identity/use=true",
			"--output=jsonpath={.items[*].metadata.labels.app}")
		if !slices.Contains(strings.Fields(labelled), "mounts") {
			t.Errorf("the apps of pods with the label are %q, want mounts among them", labelled)
		}
	})
	t.Run("without the Deployment that mounts", func(t *testing.T) {
		p.configure(t, map[string]string{"mounts": "false"})
		p.pulumi(t, "up", "--yes", "--skip-preview")
		c.kubectl(t, "wait", "-n", "daytwo", "--for=delete", "pod", "-l", "app=mounts", "--timeout=120s")
		restart(t, "restarts")
		wantEnv(t, "restarts", own, theirs)
		if secret(t) != made {
			t.Error("the Secret was created again")
		}
	})
	t.Run("without the probe's pod", func(t *testing.T) {
		// The driver updates the Secret's owners from time to time, and Kubernetes deletes a Secret without owners.
		eventually(t, "the Secret belongs to the probe's ReplicaSet", func() bool {
			owners := c.kubectl(t, "get", "secret", "-n", "daytwo", "both",
				"--output=jsonpath={.metadata.ownerReferences[*].name}")
			return strings.Contains(owners, "keyvault-probe-")
		})
		c.kubectl(t, "delete", "pod", "-n", "daytwo", "-l", "app.kubernetes.io/name=keyvault-probe", "--timeout=120s")
		restart(t, "restarts")
		c.kubectl(t, "rollout", "status", "-n", "daytwo", "deploy/keyvault-probe", "--timeout=120s")
		wantEnv(t, "restarts", own, theirs)
		if secret(t) != made {
			t.Error("the Secret was created again")
		}
	})
	atFirst := [2]string{own, theirs}
	pods := func(t *testing.T, deployment string) (uid string) {
		t.Helper()
		eventually(t, "there is one pod of "+deployment, func() bool { // the former one may still be stopping
			uid = c.kubectl(t, "get", "pod", "-n", "daytwo", "-l", "app="+deployment,
				"--output=jsonpath={.items[*].metadata.uid}")
			return len(strings.Fields(uid)) == 1
		})
		return uid
	}
	for _, one := range []struct {
		name   string
		change func()
	}{
		{"own", func() { own = rand.Text(); setSecret(t, secrets, "own", own) }},
		{"theirs", func() { theirs = rand.Text(); setSecret(t, secrets, "theirs", theirs) }},
	} {
		t.Run("new value of "+one.name, func(t *testing.T) {
			before := pods(t, "stays")
			one.change()
			p.pulumi(t, refreshed...)
			c.kubectl(t, "rollout", "status", "-n", "daytwo", "deploy/restarts", "--timeout=120s")
			wantEnv(t, "restarts", own, theirs)
			wantEnv(t, "stays", atFirst[0], atFirst[1])
			if pods(t, "stays") != before {
				t.Error("pods without the annotation were restarted")
			}
			restarted := pods(t, "restarts")
			p.pulumi(t, refreshed...)
			if pods(t, "restarts") != restarted {
				t.Error("pods were restarted without a new version")
			}
			if getSecret(t, secrets, "own") != own || getSecret(t, secrets, "theirs") != theirs {
				t.Error("the vault no longer has the values that were rotated by hand")
			}
		})
	}
	p.pulumi(t, "destroy", "--yes", "--skip-preview")
}
