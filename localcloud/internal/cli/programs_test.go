package cli

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// checkout is the flag with which this checkout is the project.
const checkout = "--project=../../.."

func TestTheWaysToGetProgramsExcludeEachOther(t *testing.T) {
	for _, args := range [][]string{{"up"}, {"start"}, {"prepare"}, {"programs", "build"}} {
		args = append(args, checkout, "--home="+t.TempDir(), "--build", "--releases")
		if err := Run(
			t.Context(),
			args,
			io.Discard,
			io.Discard,
		); err == nil ||
			!strings.Contains(err.Error(), "[build releases]") {
			t.Errorf("%s takes both: %v", args, err)
		}
	}
}

// A proxy that refuses all stands for a machine without a network.
func TestReleasesAreAskedForAndNotHad(t *testing.T) {
	const child = "LOCALCLOUD_TEST_PROGRAMS"
	if os.Getenv(child) != "" {
		err := Run(t.Context(), []string{"programs", "build", checkout, "--releases"}, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), "kubernetes: ") || !strings.Contains(err.Error(), "127.0.0.1:1:") {
			t.Errorf("it is %v", err)
		}
		return
	}
	cache := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(
		os.Environ(),
		child+"=1",
		"HTTPS_PROXY=http://127.0.0.1:1",
		"https_proxy=",
		"NO_PROXY=",
		"no_proxy=",
		"KEYVAULT_AKS_HOME=",
		"XDG_CACHE_HOME="+cache,
		"PATH=",
	) // so that nothing is built
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "keyvault-aks", "*")); len(left) != 1 { // the lock
		t.Errorf("left: %v", left)
	}
}

func TestImport_TakesNoEmptySum(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for _, sum := range []string{"", "sha256:"} {
		args := []string{"programs", "import", os.DevNull, "--sha256", sum, checkout, "--home=" + t.TempDir()}
		if err := Run(
			t.Context(),
			args,
			io.Discard,
			io.Discard,
		); err == nil ||
			!strings.Contains(err.Error(), "sha256") && !strings.Contains(err.Error(), "SHA-256") {
			t.Errorf("with the sum %q: %v", sum, err)
		}
	}
}
