package tests

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

// TestStop_KeepsState checks that a local cloud without a program keeps its resources, address and credentials when it
// is stopped and started again, by `start` and by `run`.
func TestStop_KeepsState(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.project = t.TempDir()
	localcloud := func(args ...string) string {
		t.Helper()
		out, err := c.command(t, args...).CombinedOutput()
		c.printed.Write(out)
		if err != nil {
			t.Fatalf("localcloud %s: %v\n%s", args[0], err, out)
		}
		return string(out)
	}
	out, err := c.command(t, "up", "--node=stand-in").CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("Pulumi.yaml")) {
		t.Errorf("up without a program: got %v, want an error about Pulumi.yaml\n%s", err, out)
	}
	localcloud("start", "--node=stand-in")
	before := c.running(t)
	group := "https://management.azure.com/subscriptions/" + before.Credentials.SubscriptionID +
		"/resourceGroups/kept?api-version=2022-09-01"
	if status, body := c.request(t, http.MethodPut, group, `{"location": "westeurope"}`); status != http.StatusCreated {
		t.Fatalf("creating the resource group: %d %s", status, body)
	}
	for _, again := range [][]string{{"start"}, {"run", "--", "true"}} {
		localcloud("stop")
		if left := c.processes(); len(left) > 0 {
			t.Errorf("processes are left: %q", left)
		}
		if status := localcloud("status"); !strings.Contains(status, "not running") {
			t.Errorf("status after a stop:\n%s", status)
		}
		localcloud(again...)
		if now := c.running(t); now.Proxy != before.Proxy || now.Credentials != before.Credentials || now.PID == before.PID {
			t.Errorf("after %s the cloud is %v, want another process with the address and credentials of %v", again[0], now,
				before)
		}
		if status, body := c.request(t, http.MethodGet, group, ""); status != http.StatusOK {
			t.Errorf("the resource group after %s: %d %s", again[0], status, body)
		}
	}
	// The backend has no stack, and none is selected.
	printed := localcloud("run", "--", "sh", "-c", `pulumi stack ls --all --json; echo "[$PULUMI_STACK]"`)
	if !strings.Contains(printed, "[]\n[]") {
		t.Errorf("run printed\n%s\nwant no stacks", printed)
	}
}

// TestLocalcloudtest_CleansUpAfterKilledTest kills the process of TestLocalcloudtest_RunsCloudsSideBySide while its
// stacks come up, and checks that its clouds disappear.
func TestLocalcloudtest_CleansUpAfterKilledTest(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "k-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	cmd := exec.CommandContext(untilEnding(t), self, "-test.run", "^TestLocalcloudtest_RunsCloudsSideBySide$")
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	clouds := filepath.Join(dir, "e2e-*", "lc-*")
	eventually(t, "a stack comes up", func() bool {
		stacks, _ := filepath.Glob(
			filepath.Join(clouds, "home", localcloudtest.StacksDir, ".pulumi", "stacks", "*", "test.json.bak"),
		)
		return len(stacks) > 0
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	var left []string
	eventually(t, "nothing is left", func() bool {
		left, _ = filepath.Glob(clouds)
		left = append(left, processesWith(dir+"/")...)
		return len(left) == 0
	})
	time.Sleep(2 * time.Second) // an engine that still ran would write to the folder again
	if left, _ = filepath.Glob(clouds); len(left) > 0 {
		t.Errorf("the killed test left %q", left)
	}
}

// TestLocalcloudtest_RunsCloudsSideBySide brings a program up in two clouds at once, as tests of other repositories do.
// The clouds must disappear with their tests, without a destroy.
func TestLocalcloudtest_RunsCloudsSideBySide(t *testing.T) {
	t.Parallel()
	clouds := make([]*localcloudtest.Cloud, 2)
	// Parallel subtests would wait for all other parallel tests.
	var side sync.WaitGroup
	for i := range clouds {
		side.Go(func() {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				cloud := localcloudtest.Start(t, localcloudtest.Options{
					Command: filepath.Join(checkout, "bin", "localcloud"), Flags: []string{"--node=stand-in", "--times=azure/1000"},
				})
				clouds[i] = cloud
				dir := t.TempDir()
				builtIn(t, checkout, dir)
				config, err := os.ReadFile(filepath.Join(checkout, "Pulumi.dev.yaml"))
				if err == nil {
					err = os.WriteFile(filepath.Join(dir, "Pulumi.test.yaml"), config, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, args := range [][]string{
					{"pulumi", "stack", "init", "test"},
					{"pulumi", "up", "--yes", "--skip-preview"},
					{"pulumi", "preview", "--expect-no-changes"},
					{"sh", "-c", `(umask 077; pulumi stack output kubeconfig --show-secrets > "$KUBECONFIG")`},
					{"kubectl", "get", "pod", "keyvault-test-pod", "--namespace=keyvault-ns"},
				} {
					cmd := cloud.Program(untilEnding(t), args[0], args[1:]...)
					cmd.Dir = dir
					if out, err := cmd.CombinedOutput(); err != nil {
						t.Fatalf("%q: %v\n%s", args, err, out)
					}
				}
				mounted, err := filepath.Glob(
					cloud.Path(localcloudtest.ClustersDir, "*", "pods", "keyvault-ns", "keyvault-test-pod", "*", "my-secret"),
				)
				if err != nil || len(mounted) != 1 {
					t.Errorf("the pod has the files %q, want one: %v", mounted, err)
				}
			})
		})
	}
	side.Wait()
	for _, cloud := range clouds {
		if cloud == nil {
			continue
		}
		if _, err := os.Stat(filepath.Dir(cloud.Dir)); err == nil {
			t.Errorf("%s is left", cloud.Dir)
		}
		if left := processesWith(cloud.Dir); len(left) > 0 {
			t.Errorf("processes are left: %q", left)
		}
	}
}

// TestLocalcloudtest_AcceptsLeftStackFile creates a stack of the same name in two clouds, one after the other, although
// the engine leaves Pulumi.test.yaml in the program's folder.
func TestLocalcloudtest_AcceptsLeftStackFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Pulumi.yaml"), []byte("{name: left, runtime: yaml}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, run := range []string{"first", "second"} {
		t.Run(run, func(t *testing.T) {
			cloud := localcloudtest.Start(t, localcloudtest.Options{
				Command: filepath.Join(checkout, "bin", "localcloud"), Flags: []string{"--node=stand-in"},
			})
			cmd := cloud.Program(t.Context(), "pulumi", "stack", "init", "test")
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("stack init: %v\n%s", err, out)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "Pulumi.test.yaml")); err != nil {
		t.Errorf("the engine left no stack file, so the test proves nothing: %v", err)
	}
}
