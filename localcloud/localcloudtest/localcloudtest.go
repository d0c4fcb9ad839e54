// Package localcloudtest starts local clouds for tests, as net/http/httptest starts servers. A local cloud has Azure
// and Kubernetes on this machine, behind a proxy on loopback, and a Pulumi engine that uses them. Local clouds are
// isolated from one another, so tests can run in parallel. When its test ends, a local cloud is removed completely.
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
// The engine writes a stack's configuration beside Pulumi.yaml, where it stays for the next run. Tests that run the
// same program in parallel must therefore give their stacks different names.
//
// With Pulumi's Automation API, use [Home.Dir] as Root of the PulumiCommandOptions and [Cloud.Variables] as EnvVars.
//
// The engine builds Go programs behind the proxy, where modules cannot be downloaded. Modules that the programs import
// must be in the module cache. `go mod download` puts those there that the test's own module requires.
//
// YAML programs that use azure-native directly must set its version: with options: {version: 2.92.0} on each resource
// and function, or once with `pulumi package add azure-native@2.92.0`. Otherwise the engine uses the newest version, of
// which the local cloud supports only Key Vault.
//
// Importing this package does not compile the local cloud. The first Start in a process builds the command localcloud,
// unless Options.Command is set. The first Start on a machine also downloads or builds the third-party programs that
// the cloud runs, which can take minutes. `localcloud prepare` does that ahead of time.
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

// Options are the options of [Start].
type Options struct {
	// Command is the path of the command localcloud. By default Start builds it from the version of this package's
	// module in the test's own go.mod, and keeps it in the user's cache folder.
	Command string
	// Flags are additional flags of `localcloud start`, such as --node=stand-in, --times=azure/100 or --faults.
	Flags []string
}

// Cloud is a local cloud that runs until its test ends.
type Cloud struct {
	Home
	// Running tells how to reach the cloud.
	Running
	// Env is the environment for programs that use the cloud, in the form of [exec.Cmd]: the test's own environment,
	// without variables that lead to another cloud and with those that lead to this one.
	Env []string
	// Client reaches only the cloud and trusts its certificates. It can be the Transport of Azure's SDK
	// (azcore.ClientOptions).
	Client *http.Client
}

// Start starts a local cloud. It is removed when the test ends, even if the test's process is killed. If the test
// fails, Start's cleanup logs the last part of the cloud's logs. If the cloud does not start, the test fails
// immediately.
func Start(t testing.TB, o Options) *Cloud {
	t.Helper()
	if o.Command == "" {
		program, err := built()
		if err != nil {
			t.Fatalf("building localcloud: %v", err)
		}
		o.Command = program
	}
	// The paths of sockets are limited, and t.TempDir would have the test's name in its path.
	dir, err := os.MkdirTemp("", "lc-")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cloud{Home: Home{Command: o.Command, Dir: filepath.Join(dir, "home"), Project: dir}}
	alive, end, err := c.guard()
	if err != nil {
		_ = os.Remove(dir)
		t.Fatalf("starting the process that removes the local cloud: %v", err)
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

// start starts the local cloud. Until it has started, the guard waits, even if the test is killed meanwhile.
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
	cmd.ExtraFiles = []*os.File{alive} // the command closes it when it ends; the cloud does not inherit it
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
	c.Env = append(c.Env, layout.EngineVariable+"="+c.Dir) // so that down ends what a killed test has left running
	c.Client, err = c.Running.HTTPClient()
	return err
}

// passphrase returns the passphrase of the stacks' secrets, and creates it the first time. All test clouds of this user
// share it: the engine leaves a value derived from it in Pulumi.<stack>.yaml in the program's folder, and rejects the
// stack if the passphrase is another one.
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
	part, err := os.CreateTemp(folder, "passphrase-") // only its owner can read it
	if err != nil {
		return nil, err
	}
	defer os.Remove(part.Name())
	_, err = part.WriteString(rand.Text())
	if err := errors.Join(err, part.Close()); err != nil {
		return nil, err
	}
	// If several tests begin at the same time, the first one's passphrase is kept.
	if err := os.Link(part.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return os.ReadFile(file)
}

// guard starts a process that removes the local cloud when end is called or this process ends, after all other
// processes have closed the file alive. It has its own session, so that Ctrl-C does not reach it.
func (c *Cloud) guard() (alive *os.File, end func() ([]byte, error), err error) {
	// While a command of a killed test, such as up, is still running, down fails. Retry it for a minute.
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

// Program returns a command that runs a program in the cloud's environment: the cloud's own, such as pulumi or kubectl,
// or one on PATH. When ctx is done, the program is interrupted, and killed a minute later.
func (c *Cloud) Program(ctx context.Context, name string, args ...string) *exec.Cmd {
	return c.Home.Program(ctx, c.Env, name, args...)
}

// Variables returns the environment for programs that use the cloud, by name. Variables of the test's environment that
// the programs must not have are set to "".
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
