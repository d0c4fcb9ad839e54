// Package localcloudtest starts local clouds for tests, as net/http/httptest starts servers: Azure and Kubernetes on
// this machine, behind a proxy on loopback, with an engine of Pulumi that finds them. Each is apart from all others, so
// that tests run side by side, and nothing is left of it when the test ends.
//
//	func TestProgram(t *testing.T) {
//		t.Parallel()
//		cloud := localcloudtest.Start(t, localcloudtest.Options{})
//		for _, args := range [][]string{{"stack", "init", "test"}, {"up", "--yes"}} {
//			cmd := cloud.Program(t.Context(), "pulumi", args...)
//			cmd.Dir = "../program"
//			if out, err := cmd.CombinedOutput(); err != nil {
//				t.Fatalf("pulumi %v: %v\n%s", args, err, out)
//			}
//		}
//	}
//
// The engine writes a stack's configuration beside Pulumi.yaml, where it stays for the next run. So two tests that run side by
// side give the same program stacks of different names.
//
// Pulumi's Automation API takes the folder [Home.Dir] as the Root of its PulumiCommandOptions, and [Cloud.Variables] as
// EnvVars.
//
// Programs in Go are built behind the proxy, from where no module can be had: those that they import must be in the
// module cache, as those are that the test's own module names, once `go mod download` has run.
//
// Programs in YAML that use azure-native directly name its version, with options: {version: 2.92.0} at each resource and
// function, or once with `pulumi package add azure-native@2.92.0`. Without, the engine takes the newest that there is, of
// which the cloud has Key Vault alone.
//
// The package compiles nothing of the cloud. The first Start of a process builds the command localcloud, unless
// it is named, and the first one on a machine gets the programs of third parties that the cloud runs, which can take
// minutes: `localcloud prepare` does it ahead.
package localcloudtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/layout"
)

// Options of a local cloud.
type Options struct {
	// Command is the path of the command localcloud. Defaults to one that is built from the version of this package's
	// module that the test's own go.mod names, and kept in the user's cache folder.
	Command string
	// Flags are further ones of `localcloud start`, such as --node=stand-in, --times=azure/100 or --faults.
	Flags []string
}

// Cloud is a local cloud that runs until its test ends.
type Cloud struct {
	Home
	// Running says how it is reached, and by whom.
	Running
	// Env is the environment of programs that use it, as [exec.Cmd] takes it: that of the test without what leads
	// to another cloud, and with what leads to this one.
	Env []string
	// Client reaches it and nothing else, and trusts its certificates. It is a Transporter of Azure's SDK
	// (azcore.ClientOptions).
	Client *http.Client
}

// Start starts a local cloud, which ends and is removed when the test has ended, also where the test's process is
// killed. A test that fails logs the ends of its logs. An error fails the test at once.
func Start(t testing.TB, o Options) *Cloud {
	t.Helper()
	if o.Command == "" {
		program, err := built()
		if err != nil {
			t.Fatalf("building localcloud: %v", err)
		}
		o.Command = program
	}
	// The path is short since those of sockets are limited, and a test's own folder has its name in it.
	dir, err := os.MkdirTemp("", "lc-")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cloud{Home: Home{Command: o.Command, Dir: filepath.Join(dir, "home"), Project: dir}}
	alive, end, err := c.guard()
	if err != nil {
		_ = os.Remove(dir)
		t.Fatalf("readying the end of a local cloud: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.Logs(30_000))
		}
		if out, err := end(); err != nil {
			t.Errorf("removing the local cloud: %v\n%s", err, out)
		}
	})
	if err := c.start(t.Context(), alive, o.Flags); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Client.CloseIdleConnections)
	return c
}

// start starts the local cloud. While that goes on the guard waits, also where the test is killed meanwhile.
func (c *Cloud) start(ctx context.Context, alive *os.File, flags []string) error {
	if err := os.Mkdir(c.Dir, 0o700); err != nil {
		return err
	}
	phrase, err := passphrase()
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.Path(layout.PassphraseFile), phrase, 0o600); err != nil {
		return err
	}
	cmd := c.Localcloud(ctx, append([]string{"start"}, flags...)...)
	cmd.ExtraFiles = []*os.File{alive} // which the cloud itself does not have
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("localcloud start: %w\n%s", err, out)
	}
	if c.Running, err = c.Home.Running(); err != nil {
		return err
	}
	if c.Env, err = c.Environ(ctx); err != nil {
		return err
	}
	c.Env = append(c.Env, layout.EngineVariable+"="+c.Dir) // down ends what a killed test has left running
	c.Client, err = c.Running.HTTPClient()
	return err
}

// passphrase is that of the stacks' secrets in all clouds of this user's tests, made at first. Pulumi.<stack>.yaml, which
// the engine leaves in the program's folder, has what it derives from it: with another one it refuses the stack.
func passphrase() ([]byte, error) {
	folder, err := cacheFolder()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(folder, "localcloudtest-passphrase")
	content, err := os.ReadFile(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return content, err
	}
	part, err := os.CreateTemp(folder, "passphrase-") // for its owner only
	if err != nil {
		return nil, err
	}
	defer os.Remove(part.Name())
	_, err = part.WriteString(rand.Text())
	if err := errors.Join(err, part.Close()); err != nil {
		return nil, err
	}
	// Of tests that begin at once the first one's counts.
	if err := os.Link(part.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return os.ReadFile(file)
}

// guard starts a process that removes the local cloud once end is called or this process ends, and nobody else has the
// file alive either. It is in a session of its own, where no Ctrl-C reaches it.
func (c *Cloud) guard() (alive *os.File, end func() ([]byte, error), err error) {
	// While a command that a killed test has run goes on, such as up, down is refused.
	const script = `cat >/dev/null; i=0; until said=$("$@" 2>&1); do
	i=$((i + 1)); [ $i -lt 60 ] || { echo "$said"; exit 1; }; sleep 1
done; rmdir "$0"`
	down := c.Localcloud(context.Background(), "down", "--skip-destroy")
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, c.Project}, down.Args...)...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	ended, alive, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer ended.Close()
	cmd.Stdin = ended
	if err := cmd.Start(); err != nil {
		_ = alive.Close()
		return nil, nil, err
	}
	return alive, func() ([]byte, error) {
		_ = alive.Close()
		err := cmd.Wait()
		return []byte(said.String()), err
	}, nil
}

// Program returns a program that uses the cloud: one of its own, such as pulumi and kubectl, or one on PATH. It is
// interrupted when ctx is done, and killed a minute later.
func (c *Cloud) Program(ctx context.Context, name string, args ...string) *exec.Cmd {
	return c.Home.Program(ctx, c.Env, name, args...)
}

// Variables is the environment of programs that use the cloud, by name. Those that the test has and the programs must
// not have are empty.
func (c *Cloud) Variables() map[string]string {
	all := map[string]string{}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		all[name] = ""
	}
	for _, v := range c.Env {
		name, value, _ := strings.Cut(v, "=")
		all[name] = value
	}
	return all
}
