package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/daemon"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
)

// runIn returns `localcloud run -- command` for the local cloud h.
func runIn(t *testing.T, h *home.Home, command ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, append([]string{"run", "--home", h.Dir, "--"}, command...)...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	cmd.Dir = t.TempDir() // without a Pulumi.yaml
	return cmd
}

// runningHome returns the home of a local cloud that seems to be running: the test holds its lock.
func runningHome(t *testing.T) *home.Home {
	t.Helper()
	h := &home.Home{Dir: t.TempDir()}
	lock := flock.New(h.Path(home.LockFile))
	if _, err := lock.TryLock(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Unlock() })
	err := errors.Join(
		os.WriteFile(h.Path(home.LockFile), []byte(strconv.Itoa(os.Getpid())), 0o600),
		h.SaveRunning(
			home.Running{PID: os.Getpid(), Proxy: "127.0.0.1:7", CAFile: "/ca.pem", Build: daemon.Build(), Settled: true},
		),
		os.MkdirAll(h.BinDir(), 0o755),
		os.WriteFile(filepath.Join(h.BinDir(), "pulumi"), []byte("#!/bin/sh\necho \"pulumi $*\"\n"), 0o755),
	)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestRun_ReplacesItselfByTheCommand compares standard files, the exit code, what is inherited and the environment with
// those of a shell that evaluates what env prints.
func TestRun_ReplacesItselfByTheCommand(t *testing.T) {
	t.Setenv("ARM_CLIENT_ID", "theirs")
	h := runningHome(t)
	const script = `cat; pulumi up --yes; echo "$HTTPS_PROXY $SSL_CERT_FILE [$ARM_CLIENT_ID] [$PULUMI_STACK] $(umask)"
echo five >&5; echo err >&2; exit 7`
	cmd := runIn(t, h, "sh", "-c", script)
	shell := exec.Command("/bin/sh", append([]string{"-c", `umask 027; exec "$0" "$@"`}, cmd.Args...)...)
	shell.Dir, shell.Env = cmd.Dir, cmd.Env
	fifth, err := os.Create(filepath.Join(t.TempDir(), "fifth"))
	if err != nil {
		t.Fatal(err)
	}
	defer fifth.Close()
	shell.ExtraFiles = []*os.File{nil, nil, fifth}
	var out, errs bytes.Buffer
	shell.Stdin, shell.Stdout, shell.Stderr = strings.NewReader("in\n"), &out, &errs
	var exit *exec.ExitError
	if err := shell.Run(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("it ended with %v", err)
	}
	if want := "in\npulumi up --yes\nhttp://127.0.0.1:7 /ca.pem [] [] 0027\n"; out.String() != want ||
		errs.String() != "err\n" {
		t.Errorf("got %q and %q, want %q", out.String(), errs.String(), want)
	}
	if said, err := os.ReadFile(fifth.Name()); string(said) != "five\n" {
		t.Errorf("the fifth file has %q, %v", said, err)
	}

	// Pulumi finds the stack selected that `up` has configured.
	if err := errors.Join(
		os.MkdirAll(h.Path(home.ConfigDir), 0o700),
		os.WriteFile(h.Path(home.ConfigDir, "Pulumi.dev.json"), []byte("{}"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	if out, err := runIn(t, h, "sh", "-c", `echo "$PULUMI_STACK"`).Output(); err != nil || string(out) != "dev\n" {
		t.Errorf("the stack is %q, %v", out, err)
	}
	bare := runIn(t, h, "sh", "-c", "exit 0")
	bare.Args = slices.DeleteFunc(bare.Args, func(arg string) bool { return arg == "--" })
	if out, err := bare.CombinedOutput(); err != nil {
		t.Errorf("without --: %v\n%s", err, out)
	}
	said, err := runIn(t, h, "no-such-command").CombinedOutput()
	if err == nil || !strings.Contains(string(said), "no-such-command") {
		t.Errorf("a command that does not exist: %s, %v", said, err)
	}
}

// TestRun_PassesOneInterrupt interrupts the whole process group, as a terminal does.
func TestRun_PassesOneInterrupt(t *testing.T) {
	const script = `trap 'echo interrupted' INT; echo ready; for i in 1 2 3 4 5; do sleep 0.1; done; echo end`
	cmd := runIn(t, runningHome(t), "sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for {
		var word string
		if _, err := fmt.Fscanln(out, &word); err != nil {
			break
		}
		if said = append(said, word); word == "ready" {
			time.Sleep(50 * time.Millisecond) // let the shell begin to sleep
			if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
				t.Error(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil || !slices.Equal(said, []string{"ready", "interrupted", "end"}) {
		t.Errorf("it said %q and ended with %v", said, err)
	}
}
