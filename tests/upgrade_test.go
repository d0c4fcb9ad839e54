package tests

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// before is the commit with the first version of the components, and of the program on them.
const before = "56ba00e"

// TestANewVersionReplacesNothingThatHoldsData brings the dev stack up with the first version, and then with this one.
func TestANewVersionReplacesNothingThatHoldsData(t *testing.T) {
	t.Parallel()
	if out, err := exec.CommandContext(t.Context(), "git", "-C", checkout, "cat-file", "-e", before).CombinedOutput(); err != nil {
		t.Skipf("the first version cannot be brought up: this clone does not have commit %s, as a shallow one: %v: %s", before, err, out)
	}
	old := filepath.Join(t.TempDir(), "old")
	// The programs around it, the versions of the SDKs, and that it is linked once, are today's.
	unpack := exec.CommandContext(t.Context(), "bash", "-o", "pipefail", "-ec", `
		mkdir "$2" && git -C "$0" archive "$1" | tar -x -C "$2"
		rm -r "$2/localcloud" && mkdir "$2/localcloud" && cp -r "$0"/localcloud/{go.mod,thirdparty} "$2/localcloud" && cp "$0"/go.* "$2"
		sed -i.bak 's|^runtime: go$|runtime: {name: go, options: {buildTarget: bin/keyvault-aks}}|' "$2/Pulumi.yaml"
		`, checkout, before, old)
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("unpacking the first version: %v\n%s", err, out)
	}
	c := newCloud(t)
	c.project = old
	_, first := c.up(t, "--node=stand-in")
	c.project = c.built

	plan := c.plan(t)
	for urn, op := range plan {
		if strings.Contains(op, "replace") || strings.Contains(op, "delete") {
			t.Errorf("%s: %s", op, urn)
		}
	}
	if len(plan) == 0 {
		t.Error("there is no plan")
	}
	if _, again := c.up(t); again != first {
		t.Error("the pod reads something else than before")
	}
}
