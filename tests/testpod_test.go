package tests

import (
	"strings"
	"testing"
)

// TestTestPod_FollowsConfiguration changes the mount list under a running pod, and deletes the pod as somebody would.
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
		t.Error("the file under its new name has something else")
	}
	if uid() == before {
		t.Error("the pod is the one that mounted the files of before")
	}
	c.pulumi(t, "preview", "--expect-no-changes")

	before = uid()
	c.up(t, "--config", changed, "--config", "rotationPollInterval=1m")
	if uid() != before {
		t.Error("the pod is another, though it mounts the same")
	}

	c.kubectl(t, "delete", "pod", "-n", outputs.Namespace, "keyvault-test-pod")
	for urn, op := range c.plan(t, "--refresh") {
		name := urn[strings.LastIndex(urn, "::")+2:]
		made := op == "create" && name == "keyvault-demo-mount-test-pod"
		if op != "same" && op != "refresh" && !made {
			t.Errorf("after somebody deleted the pod, an up with a refresh would %s %s", op, name)
		}
	}
	c.pulumi(t, "up", "--yes", "--skip-preview", "--refresh")
	if c.mounted(t, outputs, "renamed") != value {
		t.Error("the new pod has something else")
	}
	c.wantComplete(t)
}
