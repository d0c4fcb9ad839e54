package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestLocalCloudWorkflow_RestoresCachedPrograms runs the workflow in docs/workflows for other repositories twice. The
// first run finds nothing in GitHub's cache, and the second, on another machine, finds what the first left there.
func TestLocalCloudWorkflow_RestoresCachedPrograms(t *testing.T) {
	t.Parallel()
	var w workflow
	content, err := os.ReadFile(filepath.Join(checkout, "docs", "workflows", "localcloud.yml"))
	if err == nil {
		err = yaml.Unmarshal(content, &w)
	}
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/tmp", "w-") // short, because the local cloud's sockets are below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	folders := strings.Fields(string(out))
	if err != nil || len(folders) != 2 {
		t.Fatalf("go env: %v\n%s", err, out)
	}
	const archive = "localcloud-programs.tar.zst"
	for _, run := range []string{"1", "2"} {
		home, workspace := filepath.Join(dir, run), filepath.Join(dir, run, "program")
		copyCheckout(t, workspace)
		env := append(os.Environ(), "HOME="+home, "GOCACHE="+folders[0], "GOMODCACHE="+folders[1],
			"PATH="+filepath.Join(checkout, "bin")+":"+os.Getenv("PATH"), "XDG_CACHE_HOME="+filepath.Join(home, ".cache"),
			"XDG_STATE_HOME="+filepath.Join(home, "s"))
		if run == "1" {
			env = append(env, "XDG_CACHE_HOME="+theirs) // this machine has the built programs
		} else if err := os.Rename(filepath.Join(dir, "1", archive), filepath.Join(home, archive)); err != nil {
			t.Fatal(err) // as actions/cache restores it
		}
		for _, step := range w.Jobs["up"].Steps {
			if step.Run == "" || strings.HasPrefix(step.Run, "go install ") { // needs a release
				continue
			}
			cmd := exec.CommandContext(untilEnding(t), "bash", "-e", "-c", step.Run)
			cmd.Dir, cmd.Env = workspace, env
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("run %s: %s: %v\n%s", run, step.Run, err, out)
			}
			if strings.Contains(step.Run, "import") && (run == "2") != strings.Contains(string(out), "imported") {
				t.Errorf("run %s: want programs imported: %t\n%s", run, run == "2", out)
			}
		}
	}
}
