package thirdparty

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// build makes dir whole or not at all.
func (u unit) build(ctx context.Context, source, dir string, p *Progress) error {
	return wholeOrNot(dir, func(part string) error {
		for _, one := range u.parts() {
			if err := one.buildInto(ctx, source, part, p); err != nil {
				return err
			}
		}
		return nil
	})
}

func (u unit) buildInto(ctx context.Context, source, part string, p *Progress) error {
	args := append([]string{"-o", part + string(filepath.Separator)}, u.buildArgs()...)
	if err := p.goBuild(ctx, u.name, filepath.Join(source, u.dir), noStamp, args...); err != nil {
		return fmt.Errorf("building %s: %w", u.name, err)
	}
	for pkg, name := range u.programs {
		if err := os.Rename(filepath.Join(part, goBinaryName(pkg)), filepath.Join(part, name)); err != nil {
			return fmt.Errorf("naming %s: %w", name, err)
		}
	}
	return u.copyFiles(ctx, source, part)
}

// buildArgs are the flags and packages that go build and go list are given.
func (u unit) buildArgs() []string {
	args := []string{sameAnywhere, "-gcflags", CompilerFlags, "-ldflags", "-s -w " + u.ldflags}
	_, forAll, _ := strings.Cut(CompilerFlags, "=")
	for _, packages := range seldom {
		args = append(args, "-gcflags", packages+"="+forAll+" -l")
	}
	return append(args, slices.Sorted(maps.Keys(u.programs))...)
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

// Compile compiles the Pulumi program in dir into Go's own cache, and links it into the target, if there is one, unless it is there already.
// mark is a file by which it knows that nothing has changed since the last time; the engine builds the program again, and would find more.
func Compile(ctx context.Context, dir, target, mark string, p *Progress) error {
	if target != "" && !changedSince(mark, dir, filepath.Join(dir, target)) {
		return nil
	}
	began := time.Now()
	// The engine's language host asks for all modules, also for those that this system's build leaves out.
	found := make(chan error, 1)
	go func() {
		_, err := goOutput(ctx, dir, noStamp, "list", "-m", "-json", "all")
		found <- err
	}()
	if err := p.goBuild(ctx, programJob, dir, ProgramFlags(), compileArgs(target)...); err != nil {
		<-found
		return fmt.Errorf("compiling %s: %w", programJob, err)
	}
	defer Waiting(func(passed time.Duration) { p.Say("  %s: looking for its modules, %s", programJob, passed) })()
	if err := <-found; err != nil {
		return fmt.Errorf("finding the modules of %s: %w", programJob, err)
	}
	if os.WriteFile(mark, nil, 0o600) == nil {
		_ = os.Chtimes(mark, began, began)
	}
	return nil
}

// changedSince reports whether what a Go program is built from has changed after mark was made, or one of the files that must be there is not.
func changedSince(mark, dir string, must ...string) bool {
	of, err := os.Stat(mark)
	if err != nil || slices.ContainsFunc(must, func(file string) bool { _, err := os.Stat(file); return err != nil }) {
		return true
	}
	changed := errors.New("changed")
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name := d.Name()
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != dir && strings.HasPrefix(name, "."):
			return fs.SkipDir
		case !d.IsDir() && filepath.Ext(name) != ".go" && name != "go.mod" && name != "go.sum":
			return nil
		}
		info, err := d.Info()
		if err == nil && !d.IsDir() && !info.ModTime().Before(of.ModTime()) {
			return changed
		}
		return err
	})
	return err != nil
}

const programJob = "the Pulumi program"

func compileArgs(target string) []string {
	if target == "" {
		return []string{"./..."} // linked as well, and thrown away
	}
	return []string{"-o", target, "."}
}

func goBinaryName(pkg string) string {
	base := filepath.Base(pkg)
	if base == "v3" {
		base = filepath.Base(filepath.Dir(pkg))
	}
	return base
}

func moduleDir(ctx context.Context, dir, path string) (string, error) {
	return goOutput(ctx, dir, noStamp, "list", "-m", "-f", "{{.Dir}}", path)
}

func goOutput(ctx context.Context, dir, goflags string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = buildEnv(goflags)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", args[0], err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// GraphsVariable names a folder that each build writes its action graph into, as go build -debug-actiongraph does: what it took.
const GraphsVariable = "KEYVAULT_AKS_ACTION_GRAPHS"

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

// buildEnv has the builds depend on no other flags, also where `go env -w` has set some, and trades memory for time: a quarter of what the
// compiler does is to collect garbage.
func buildEnv(goflags string) []string {
	env := append(OutsideEnv(), "GOFLAGS="+goflags, "GOWORK=off")
	if os.Getenv("GOGC") == "" {
		env = append(env, "GOGC=400")
	}
	return env
}

// goBuild runs go build and tells how far it is. name is that of the job which it was planned as.
func (p *Progress) goBuild(ctx context.Context, name, dir, goflags string, args ...string) error {
	temp, err := os.MkdirTemp("", "localcloud-build-") // go leaves what it has there when it is interrupted
	if err != nil {
		return fmt.Errorf("making room to build in: %w", err)
	}
	defer os.RemoveAll(temp)
	if graphs := os.Getenv(GraphsVariable); graphs != "" {
		args = append([]string{"-debug-actiongraph=" + filepath.Join(graphs, name+".json")}, args...)
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-v"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(buildEnv(goflags), "GOTMPDIR="+temp)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	said, done := p.follow(name)
	cmd.Stderr = said
	err = cmd.Run()
	done()
	if err != nil {
		return fmt.Errorf("go build: %w\n%s", err, said.tail())
	}
	return nil
}
