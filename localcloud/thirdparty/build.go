package thirdparty

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// build makes dir whole or not at all: it builds beside it and renames. What is there already, and not whole, goes.
func (u unit) build(ctx context.Context, source, dir, title string, say func(string, ...any)) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("making the cache: %w", err)
	}
	part, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+partMark)
	if err != nil {
		return fmt.Errorf("making room in the cache: %w", err)
	}
	defer os.RemoveAll(part)
	if err := os.Chmod(part, 0o755); err != nil {
		return err
	}

	args := []string{"build", "-v", sameAnywhere, "-gcflags", CompilerFlags, "-ldflags", "-s -w " + u.ldflags, "-o", part + string(filepath.Separator)}
	for pkg := range u.programs {
		args = append(args, pkg)
	}
	if err := goCommand(ctx, filepath.Join(source, u.dir), noStamp, title, say, args...); err != nil {
		return fmt.Errorf("building %s: %w", u.name, err)
	}
	for pkg, name := range u.programs {
		if err := os.Rename(filepath.Join(part, goBinaryName(pkg)), filepath.Join(part, name)); err != nil {
			return fmt.Errorf("naming %s: %w", name, err)
		}
	}
	if err := u.copyFiles(ctx, source, part); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(dir), os.Rename(part, dir)); err != nil {
		return fmt.Errorf("moving %s into the cache: %w", u.name, err)
	}
	return nil
}

// copyFiles puts what a program needs beside it.
func (u unit) copyFiles(ctx context.Context, source, part string) error {
	if len(u.files) == 0 {
		return nil
	}
	root, err := moduleDir(ctx, filepath.Join(source, u.dir), u.filesOf)
	if err != nil {
		return err
	}
	for _, name := range u.files {
		content, err := os.ReadFile(filepath.Join(root, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(part, filepath.Base(name)), content, 0o644)
		}
		if err != nil {
			return fmt.Errorf("copying %s of %s: %w", name, u.filesOf, err)
		}
	}
	return nil
}

// Compile compiles the program in dir into Go's own cache, and links it into the target, if there is one, unless it is there already. It
// tells how far it is as Ensure does.
func Compile(ctx context.Context, dir, target, title string, say func(format string, args ...any)) error {
	args := []string{"build", "-v"}
	if target == "" {
		args = append(args, "./...") // linked as well, and thrown away
	} else {
		args = append(args, "-o", target, ".")
	}
	if err := goCommand(ctx, dir, ProgramFlags(), title, say, args...); err != nil {
		return fmt.Errorf("compiling %s: %w", title, err)
	}
	defer Waiting(func(passed time.Duration) { say("  %s: looking for its modules, %s", title, passed) })()
	// The engine's language host asks for all modules, also for those that this system's build leaves out.
	if _, err := goOutput(ctx, dir, "list", "-m", "-json", "all"); err != nil {
		return fmt.Errorf("finding the modules of %s: %w", title, err)
	}
	return nil
}

func goBinaryName(pkg string) string {
	base := filepath.Base(pkg)
	if base == "v3" {
		base = filepath.Base(filepath.Dir(pkg))
	}
	return base
}

func moduleDir(ctx context.Context, dir, path string) (string, error) {
	return goOutput(ctx, dir, "list", "-m", "-f", "{{.Dir}}", path)
}

func goOutput(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = buildEnv(noStamp)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", args[0], err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// HomeVariable is in the environment that `localcloud env` prints, and names that local cloud's home.
const HomeVariable = "KEYVAULT_AKS_HOME"

// proxyVariables are those that lead the clients in that environment to the local cloud, from where nothing else can be had.
var proxyVariables = []string{"HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"}

// noStamp keeps version control out of what is built, which changes with each commit.
const noStamp = "-buildvcs=false"

// ProgramFlags are the GOFLAGS of whoever calls, and ours for what they leave open. The Pulumi program is built ahead with them and then by
// the engine, which with others would link it again, at each command.
func ProgramFlags() string {
	flags := strings.Fields(os.Getenv("GOFLAGS"))
	for _, ours := range []string{sameAnywhere, "-gcflags=" + CompilerFlags, "-ldflags=-s", noStamp} {
		name, _, _ := strings.Cut(ours, "=")
		given := func(flag string) bool {
			given, _, _ := strings.Cut("-"+strings.TrimLeft(flag, `'"-`), "=")
			return given == name
		}
		if !slices.ContainsFunc(flags, given) {
			flags = append(flags, ours)
		}
	}
	return strings.Join(flags, " ")
}

// OutsideEnv is this process's environment without the way into a local cloud, for what is to be had from outside.
func OutsideEnv() []string {
	env := os.Environ()
	if os.Getenv(HomeVariable) == "" {
		return env
	}
	return slices.DeleteFunc(env, func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(proxyVariables, name)
	})
}

// leaveLocalCloud takes the way into a local cloud out of this process's own environment. It must come before the first request, since
// net/http and crypto/x509 read the environment once.
func leaveLocalCloud() {
	if os.Getenv(HomeVariable) == "" {
		return
	}
	for _, name := range proxyVariables {
		_ = os.Unsetenv(name)
	}
}

// buildEnv has the builds depend on no other flags, also where `go env -w` has set some, and trades memory for time: a quarter of what the
// compiler does is to collect garbage.
func buildEnv(goflags string) []string {
	env := append(OutsideEnv(), "GOFLAGS="+goflags, "GOWORK=off")
	if os.Getenv("GOGC") == "" {
		env = append(env, "GOGC=400")
	}
	return env
}

// Waiting calls tell every ten seconds, with the time that has passed, until the function that it returns is called.
func Waiting(tell func(passed time.Duration)) (stop func()) {
	start, done, ended := time.Now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(10 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				tell(time.Since(start).Round(time.Second))
			}
		}
	}()
	return func() { close(done); <-ended }
}

// goCommand runs go and tells how many packages are compiled, since that is all that is known of how far it is.
func goCommand(ctx context.Context, dir, goflags, title string, say func(string, ...any), args ...string) error {
	temp, err := os.MkdirTemp("", "localcloud-build-") // go leaves what it has there when it is interrupted
	if err != nil {
		return fmt.Errorf("making room to build in: %w", err)
	}
	defer os.RemoveAll(temp)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(buildEnv(goflags), "GOTMPDIR="+temp)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var progress lineCounter
	cmd.Stderr = &progress
	start := time.Now()
	stop := Waiting(func(passed time.Duration) { say("  %s: %d packages, %s", title, progress.lines.Load(), passed) })
	err = cmd.Run()
	stop()
	if err != nil {
		return fmt.Errorf("go build: %w\n%s", err, progress.tail())
	}
	if progress.lines.Load() > 0 {
		say("  %s: built in %s", title, time.Since(start).Round(time.Second))
	}
	return nil
}

// lineCounter counts lines and keeps the last of them for an error message.
type lineCounter struct {
	lines atomic.Int64
	kept  bytes.Buffer
}

func (c *lineCounter) Write(p []byte) (int, error) {
	c.lines.Add(int64(bytes.Count(p, []byte("\n"))))
	c.kept.Write(p)
	return len(p), nil
}

func (c *lineCounter) tail() string {
	lines := strings.Split(strings.TrimSpace(c.kept.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}
