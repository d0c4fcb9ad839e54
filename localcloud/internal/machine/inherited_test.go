package machine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/kube"
)

// asChild names the variable that makes the test binary drop what it inherited and print what its own child inherits.
const asChild = "KEYVAULT_AKS_TEST_INHERITED"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == kube.SupervisorCommand { // CanRunRealNode starts this program
		_ = kube.Supervise(context.Background(), os.Args[2:])
		os.Exit(0)
	}
	if os.Getenv(asChild) == "" {
		os.Exit(m.Run())
	}
	if os.Getenv(asChild) == "limits" {
		fmt.Println(CheckLimits())
		os.Exit(0)
	}
	if err := DropInherited(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	cmd := exec.Command("/bin/sh", "-c", `umask; ulimit -c; [ -e /proc/$$/fd/9 ] && echo open || echo closed
[ $(ulimit -S -n) = $(ulimit -H -n) ] && echo raised; exec grep SigBlk /proc/self/status`)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

func TestDropInherited_ResetsWhatChildrenGet(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("looks into /proc")
	}
	const script = `umask 0777; ulimit -c unlimited 2>/dev/null; ulimit -S -n 256; exec 9</dev/null; exec "$0"`
	cmd := exec.Command("/bin/sh", "-c", script, os.Args[0])
	if python, err := exec.LookPath("python3"); err == nil { // a shell cannot block signals
		cmd.Args[3] = python
		cmd.Args[2] += ` -c "$1" "$2"`
		cmd.Args = append(cmd.Args, "import os, signal, sys; os.set_inheritable(9, True); "+
			"signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGCHLD]); "+
			"os.execv(sys.argv[1], sys.argv[1:])", os.Args[0])
	}
	cmd.Env = append(os.Environ(), asChild+"=1")
	out, err := cmd.CombinedOutput()
	var lines []string
	for s := bufio.NewScanner(strings.NewReader(string(out))); s.Scan(); {
		lines = append(lines, s.Text())
	}
	want := []string{"0022", "0", "closed", "raised", "SigBlk:\t0000000000000000"}
	if err != nil || !slices.Equal(lines, want) {
		t.Errorf("got %q, %v; want %q", lines, err, want)
	}
}

func TestCheckLimits_NamesLowLimit(t *testing.T) {
	for _, limit := range []string{"-n 256", "-f 1000", "-v 20000000", "-t 600"} {
		cmd := exec.Command("/bin/sh", "-c", "ulimit "+limit+" && exec \"$0\"", os.Args[0])
		cmd.Env = append(os.Environ(), asChild+"=limits")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "`ulimit "+limit[:2]+"`") {
			t.Errorf("with ulimit %s: %s, %v", limit, out, err)
		}
	}
	cmd := exec.Command("/bin/sh", "-c", "ulimit -S -n 64 && exec \"$0\"", os.Args[0]) // programs raise it themselves
	cmd.Env = append(os.Environ(), asChild+"=limits")
	if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "<nil>" {
		t.Errorf("with a soft limit of open files: %s, %v", out, err)
	}
}

func TestCheckLimits_RejectsMissingTMPDIR(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "gone"))
	if err := CheckLimits(); err == nil || !strings.Contains(err.Error(), "TMPDIR") {
		t.Errorf("got %v", err)
	}
}

func TestCanRunRealNode_IgnoresTMPDIR(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "gone"))
	if err := kube.CanRunRealNode(); errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
