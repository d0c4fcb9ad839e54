package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
)

func TestEndPulumis_EndsOnlyThoseOfTheHome(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("looks into /proc")
	}
	h := &home.Home{Dir: t.TempDir()}
	ours, theirs := fakePulumi(t, h.Path(home.EngineDir)), fakePulumi(t, t.TempDir())
	ended := make(chan error, 1)
	go func() { ended <- ours.Wait() }()
	if err := EndPulumis(h); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := <-ended; !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGINT {
		t.Errorf("the home's ended with %v", err)
	}
	if err := theirs.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("another home's: %v", err)
	}
}

// fakePulumi runs a program named pulumi in a folder until the test ends.
func fakePulumi(t *testing.T, folder string) *exec.Cmd {
	t.Helper()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip(err)
	}
	content, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	pulumi := filepath.Join(folder, "pulumi")
	if err := errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(pulumi, content, 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(pulumi, "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd
}

// TestAtWork_FindsRunningEngine lets a program named pulumi hold the stack's lock, and then end.
func TestAtWork_FindsRunningEngine(t *testing.T) {
	cmd := fakePulumi(t, t.TempDir())
	s := &Stack{Home: &home.Home{Dir: t.TempDir()}, name: "dev"}
	if err := os.MkdirAll(s.StackLocks("dev"), 0o700); err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	hold := func(content string) error {
		if err := os.WriteFile(filepath.Join(s.StackLocks("dev"), "a.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return s.atWork()
	}
	lock := fmt.Sprintf(`{"pid": %d, "hostname": %q}`, cmd.Process.Pid, host)
	if err := hold(lock); !errors.Is(err, ErrAtWork) {
		t.Errorf("while it runs: %v", err)
	}
	others := []string{
		"", "{", `{"pid": 0}`, lock[:len(lock)-2], fmt.Sprintf(`{"pid": %d, "hostname": %q}`, os.Getpid(), host),
	}
	for _, other := range others {
		if err := hold(other); err != nil {
			t.Errorf("%s: %v", other, err)
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if err := hold(lock); err != nil {
		t.Errorf("after it ended: %v", err)
	}
}

// TestKubeconfigOf_ReadsEveryForm covers every form in which programs set a provider's kubeconfig.
func TestKubeconfigOf_ReadsEveryForm(t *testing.T) {
	s := &Stack{Home: &home.Home{Dir: t.TempDir()}}
	file := filepath.Join(t.TempDir(), "theirs")
	for path, content := range map[string]string{s.Path(home.KubeconfigFile): "of the environment", file: "of a file"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	quoted := func(text string) string {
		content, _ := json.Marshal(text)
		return string(content)
	}
	for inputs, want := range map[string]string{
		`{}`:                                   "of the environment",
		`{"kubeconfig": "kind: Config"}`:       "kind: Config",
		`{"kubeconfig": ` + quoted(file) + `}`: "of a file",
		`{"kubeconfig": {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
			"plaintext": ` + quoted(quoted("kind: Config")) + `}}`: "kind: Config",
	} {
		if got, err := s.kubeconfigOf(json.RawMessage(inputs)); got != want || err != nil {
			t.Errorf("%s: %q, %v", inputs, got, err)
		}
	}
}

// TestCreated_IgnoresHelmReleases checks that no object is looked up, since a release is not an object of the cluster.
func TestCreated_IgnoresHelmReleases(t *testing.T) {
	op := pendingOperation{Type: "creating"}
	op.Resource.Type = "kubernetes:helm.sh/v3:Release"
	op.Resource.Inputs = map[string]any{"chart": "c", "name": "n"}
	// Without clients, any request would panic.
	if there, err := op.created(t.Context(), nil, "s", nil); there.id != "" || err != nil {
		t.Errorf("%q, %v", there.id, err)
	}
}
