package tests

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

const heldBy = "example.com/held-by-somebody"

// TestScenarioDestroyIsHeldByAFinalizer has somebody's finalizer keep an object that is deleted: one of the stack while pulumi destroys
// it, and any in its namespace while `down` does.
func TestScenarioDestroyIsHeldByAFinalizer(t *testing.T) {
	scenario(t, func(t *testing.T, _ uint64, random *rand.Rand) {
		c := newCloud(t)
		c.up(t, "--node=stand-in")
		outputs := c.outputs(t)
		namespace := outputs["namespace"]
		own := []struct{ kind, name, resource string }{
			{"ServiceAccount", outputs["serviceAccount"], "workload-account-keyvault-sa"},
			{"SecretProviderClass", outputs["secretProviderClass"], "mount-class"},
		}
		hold := func(kind, name, finalizers string) {
			c.kubectl(t, "patch", kind, name, "-n", namespace, "--type=merge", `--patch={"metadata": {"finalizers": `+finalizers+`}}`)
		}

		t.Run("pulumi says which resource, and goes on when it is released", func(t *testing.T) {
			one := own[random.IntN(len(own))]
			hold(one.kind, one.name, `["`+heldBy+`"]`)
			printed, err := c.run(t, "", "pulumi", "destroy", "--yes", "--skip-preview", "--non-interactive")
			if err == nil {
				t.Fatal("destroy succeeds")
			}
			printed += err.Error()
			named := false
			for _, match := range failedResource.FindAllStringSubmatch(printed, -1) {
				named = named || match[1] == one.resource
			}
			if !named || !strings.Contains(printed, heldBy) {
				t.Errorf("destroy does not name %s and its finalizer: %s", one.resource, printed)
			}
			hold(one.kind, one.name, "null")
			c.pulumi(t, "destroy", "--yes", "--skip-preview")
			if left := c.state(t); len(left) > 0 {
				t.Errorf("the stack has %v", left)
			}
			if left := resourceGroups(t, c); left != 0 {
				t.Errorf("%d resource groups are left", left)
			}
		})
		t.Run("down says which object, and removes the cloud", func(t *testing.T) {
			c.up(t)
			c.apply(t, fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: of-somebody, namespace: %s}\n", namespace))
			object := [][2]string{{own[0].kind, own[0].name}, {own[1].kind, own[1].name}, {"ConfigMap", "of-somebody"}}[random.IntN(3)]
			hold(object[0], object[1], `["`+heldBy+`"]`)
			out, err := c.command(t, "down").CombinedOutput()
			if err != nil {
				t.Fatalf("down: %v\n%s", err, out)
			}
			if want := object[0] + " " + namespace + "/" + object[1]; !strings.Contains(string(out), want) || !strings.Contains(string(out), heldBy) {
				t.Errorf("down does not name %s and its finalizer: %s", want, out)
			}
			if left := c.processes(); len(left) > 0 {
				t.Errorf("processes are left: %q", left)
			}
		})
	})
}
