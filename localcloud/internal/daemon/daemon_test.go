package daemon

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
)

func TestStop_EndsOnlyTheLocksOwner(t *testing.T) {
	h := &home.Home{Dir: t.TempDir()}
	// flock(1) holds the lock for as long as it runs.
	if _, err := exec.LookPath("flock"); err != nil {
		t.Skip(err)
	}
	stranger := exec.Command("sleep", "60")
	server := exec.Command("flock", "--no-fork", h.Path(home.LockFile), "sleep", "60")
	for _, cmd := range []*exec.Cmd{stranger, server} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Process.Kill()
	}
	for { // until the server holds the lock
		if _, err := h.Holder(); errors.Is(err, home.ErrStarting) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := h.SaveRunning(home.Running{PID: stranger.Process.Pid, Settled: true}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.Path(home.LockFile), []byte(strconv.Itoa(server.Process.Pid)), 0o600); err != nil {
		t.Fatal(err)
	}
	go server.Wait()
	if err := Stop(t.Context(), h); err != nil {
		t.Error(err)
	}
	if ended, err := syscall.Wait4(stranger.Process.Pid, nil, syscall.WNOHANG, nil); ended != 0 || err != nil {
		t.Errorf("the stranger's process ended: %v", err)
	}
}

func TestStart_NamesFailedClusters(t *testing.T) {
	r, err := whole(&home.Running{Failed: []string{"starting cluster c: its etcd is gone"}}, nil)
	if err == nil || r != nil || !strings.Contains(err.Error(), "its etcd is gone") {
		t.Errorf("got %v, %v", r, err)
	}
	if _, err := whole(&home.Running{}, nil); err != nil {
		t.Error(err)
	}
}

func TestServerCommand_PassesOnlyAllowedVariables(t *testing.T) {
	h := &home.Home{Dir: t.TempDir()}
	for _, name := range []string{
		"ETCD_NAME", "KUBECONFIG", "TMPDIR", "LC_ALL", "PULUMI_ACCESS_TOKEN", "ARM_CLIENT_ID", "HTTPS_PROXY",
		"LD_PRELOAD_X", "GODEBUG", "NOTIFY_SOCKET", "SSL_CERT_FILE", "KUBERNETES_SERVICE_HOST", "CONTAINERD_NAMESPACE",
	} {
		t.Setenv(name, "x")
	}
	t.Setenv("PATH", "/nowhere")
	t.Setenv("HOME", "/home/me")
	cmd := serverCommand(h, "/bin/true")
	if cmd.Dir != "/" {
		t.Errorf("its working directory is %q", cmd.Dir)
	}
	allowed := []string{"PATH", "HOME", "USER", "LOGNAME", "GOMAXPROCS"}
	for _, v := range cmd.Env {
		name, value, _ := strings.Cut(v, "=")
		if !slices.Contains(allowed, name) || value == "/nowhere" {
			t.Errorf("it gets %s", v)
		}
	}
	if !slices.Contains(cmd.Env, "HOME=/home/me") {
		t.Error("it does not get HOME")
	}
}
