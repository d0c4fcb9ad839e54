package tests

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

const heldBy = "example.com/held-by-somebody"

// TestScenarioDestroyIsHeldByAFinalizer has somebody's finalizer keep objects that are deleted: one of a stack in a cluster that stays, and
// one in the cluster of the stack, which goes with it.
func TestScenarioDestroyIsHeldByAFinalizer(t *testing.T) {
	scenario(t, twice, func(t *testing.T, seed uint64, _ *rand.Rand) {
		c := newCloud(t)
		c.up(t, "--node=stand-in")
		first := c.outputs(t)
		p := newProgram(t, c, ".", map[string]string{
			"resourceGroupName": "second", "existingVaultId": first["vaultId"], "existingClusterId": first["clusterId"],
			"secrets": "[]", "keys": "[]", "mount": `[{"type":"secret","name":"my-secret"}]`, "testPod": "false",
			"namespace": "second", "serviceAccount": "second", "secretProviderClass": "second",
		})
		p.up(t)
		hold := func(namespace, kind, name, finalizers string) {
			c.kubectl(t, "patch", kind, name, "-n", namespace, "--type=merge", `--patch={"metadata": {"finalizers": `+finalizers+`}}`)
		}
		one := []struct{ kind, resource string }{
			{"ServiceAccount", "workload-account-second"}, {"SecretProviderClass", "mount-class"},
		}[seed%2]
		hold("second", one.kind, "second", `["`+heldBy+`"]`)
		printed, err := p.tryPulumi(t, "destroy", "--yes", "--skip-preview")
		if err == nil {
			t.Fatal("destroy succeeds")
		}
		printed += err.Error()
		if !slices.Contains(failedResources(printed), one.resource) || !strings.Contains(printed, heldBy) {
			t.Errorf("destroy does not name %s and its finalizer: %s", one.resource, printed)
		}
		hold("second", one.kind, "second", "null")
		p.pulumi(t, "destroy", "--yes", "--skip-preview")
		p.pulumi(t, "stack", "rm", "--yes")

		hold(first["namespace"], "ServiceAccount", first["serviceAccount"], `["`+heldBy+`"]`)
		c.pulumi(t, "destroy", "--yes", "--skip-preview")
		if left := resourceGroups(t, c); left != 0 {
			t.Errorf("%d resource groups are left", left)
		}
	})
}
