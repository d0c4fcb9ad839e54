package tests

import (
	"crypto/rand"
	"slices"
	"strings"
	"testing"
)

// refreshed is the command of docs/rotation.md for pods that have an old value.
var refreshed = []string{"up", "--yes", "--skip-preview", "--refresh"}

// TestDayTwo_PodsFollowTheVault brings up programs/daytwo, whose Deployments have variables from a mount's Secrets
// and mostly mount nothing. The driver looks for new values so rarely that they come with a pod that starts, or not at
// all.
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
		if got := c.kubectl(
			t,
			"exec",
			"-n",
			"daytwo",
			"deploy/"+deployment,
			"--",
			"sh",
			"-c",
			`printf "%s %s" "$OWN" "$THEIRS"`,
		); got != own+" "+theirs {
			t.Errorf("the pods of %s have other values than wanted", deployment)
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

	t.Run("a Deployment that mounts nothing has its variables", func(t *testing.T) {
		wantEnv(t, "restarts", own, theirs)
		wantEnv(t, "stays", own, theirs)
	})
	t.Run("a pod that was made with podmount has the label of workload identity", func(t *testing.T) {
		labelled := c.kubectl(t, "get", "pods", "-n", "daytwo", "-l", "azure.workload.identity/use=true",
			"--output=jsonpath={.items[*].metadata.labels.app}")
		if !slices.Contains(strings.Fields(labelled), "mounts") {
			t.Errorf("those with the label are of %q", labelled)
		}
	})
	t.Run("it goes on when another that mounts goes away, and restarts", func(t *testing.T) {
		p.configure(t, map[string]string{"mounts": "false"})
		p.pulumi(t, "up", "--yes", "--skip-preview")
		c.kubectl(t, "wait", "-n", "daytwo", "--for=delete", "pod", "-l", "app=mounts", "--timeout=120s")
		restart(t, "restarts")
		wantEnv(t, "restarts", own, theirs)
		if secret(t) != made {
			t.Error("the Secret is another one")
		}
	})
	t.Run("it goes on when the probe's pod goes away, and restarts", func(t *testing.T) {
		// The driver says now and then whose the Secret is, and Kubernetes deletes what is nobody's any more.
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
			t.Error("the Secret is another one")
		}
	})
	atFirst := [2]string{own, theirs}
	pods := func(t *testing.T, deployment string) (uid string) {
		t.Helper()
		eventually(t, "there is one pod of "+deployment, func() bool { // and none that is still stopping
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
		t.Run("a new value of "+one.name+" is in the pods that restart with it, and in no other", func(t *testing.T) {
			before := pods(t, "stays")
			one.change()
			p.pulumi(t, refreshed...)
			c.kubectl(t, "rollout", "status", "-n", "daytwo", "deploy/restarts", "--timeout=120s")
			wantEnv(t, "restarts", own, theirs)
			wantEnv(t, "stays", atFirst[0], atFirst[1])
			if pods(t, "stays") != before {
				t.Error("pods without the annotation are others than before")
			}
			restarted := pods(t, "restarts")
			p.pulumi(t, refreshed...)
			if pods(t, "restarts") != restarted {
				t.Error("without a new version the pods are others than before")
			}
			if getSecret(t, secrets, "own") != own || getSecret(t, secrets, "theirs") != theirs {
				t.Error("a value that was rotated by hand is gone")
			}
		})
	}
	p.pulumi(t, "destroy", "--yes", "--skip-preview")
}
