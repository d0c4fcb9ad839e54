package tests

import (
	"strings"
	"testing"
)

// TestTestPod_FollowsConfiguration checks that up replaces the test pod when its mounts change, and only then, and
// creates it again after somebody deletes it.
func TestTestPod_FollowsConfiguration(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--node=stand-in")
	outputs := c.outputs(t)
	uid := func() string {
		return c.kubectl(t, "get", "pod", "-n", outputs.Namespace, "keyvault-test-pod", "--output=jsonpath={.metadata.uid}")
	}
	value, before := c.mounted(t, outputs, "my-secret"), uid()

	changed := workloadsWith(t, "dev", "mount: [{type: secret, name: my-secret, alias: renamed}]")
	c.up(t, "--config", changed)
	if c.mounted(t, outputs, "renamed") != value {
		t.Error("the renamed file has another value")
	}
	if uid() == before {
		t.Error("the pod was not replaced after its mounts changed")
	}
	c.pulumi(t, "preview", "--expect-no-changes")

	before = uid()
	c.up(t, "--config", changed, "--config", "rotationPollInterval=1m")
	if uid() != before {
		t.Error("the pod was replaced although its mounts did not change")
	}

	c.kubectl(t, "delete", "pod", "-n", outputs.Namespace, "keyvault-test-pod")
	for urn, op := range c.plan(t, "--refresh") {
		name := urn[strings.LastIndex(urn, "::")+2:]
		made := op == "create" && name == "keyvault-demo-mount-test-pod"
		if op != "same" && op != "refresh" && !made {
			t.Errorf("after the pod was deleted, the plan is to %s %s; want only the pod created", op, name)
		}
	}
	c.pulumi(t, "up", "--yes", "--skip-preview", "--refresh")
	if c.mounted(t, outputs, "renamed") != value {
		t.Error("the new pod has another value")
	}
	c.wantComplete(t)
}
