package cli

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// checkout is the flag that selects this checkout as the project.
const checkout = "--project=../../.."

func TestBuildAndReleases_ExcludeEachOther(t *testing.T) {
	for _, args := range [][]string{{"up"}, {"start"}, {"prepare"}, {"programs", "build"}} {
		args = append(args, checkout, "--home="+t.TempDir(), "--build", "--releases")
		err := Run(t.Context(), args, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), "[build releases]") {
			t.Errorf("%s takes both: %v", args, err)
		}
	}
}

// TestReleases_FailWithoutNetwork uses a proxy that refuses all connections.
func TestReleases_FailWithoutNetwork(t *testing.T) {
	const child = "LOCALCLOUD_TEST_PROGRAMS"
	if os.Getenv(child) != "" {
		err := Run(t.Context(), []string{"programs", "build", checkout, "--releases"}, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), "kubernetes: ") || !strings.Contains(err.Error(), "127.0.0.1:1:") {
			t.Errorf("got error %v", err)
		}
		return
	}
	cache := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), child+"=1", "HTTPS_PROXY=http://127.0.0.1:1", "https_proxy=", "NO_PROXY=", "no_proxy=",
		"KEYVAULT_AKS_HOME=", "XDG_CACHE_HOME="+cache, "PATH=") // without a PATH nothing can be built
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "keyvault-aks", "*")); len(left) != 1 { // the lock
		t.Errorf("left: %v", left)
	}
}

func TestImport_RejectsEmptySum(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for _, sum := range []string{"", "sha256:"} {
		args := []string{"programs", "import", os.DevNull, "--sha256", sum, checkout, "--home=" + t.TempDir()}
		err := Run(t.Context(), args, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), "sha256") && !strings.Contains(err.Error(), "SHA-256") {
			t.Errorf("with the sum %q: %v", sum, err)
		}
	}
}
