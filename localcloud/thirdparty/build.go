package thirdparty

import (
	"bytes"
	"cmp"
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

// build builds the unit into dir, completely or not at all.
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

// buildArgs returns the flags and packages for go build and go list.
func (u unit) buildArgs() []string {
	args := []string{sameAnywhere, "-gcflags", CompilerFlags, "-ldflags", "-s -w " + u.ldflags}
	_, forAll, _ := strings.Cut(CompilerFlags, "=")
	for _, packages := range seldom {
		args = append(args, "-gcflags", packages+"="+forAll+" -l")
	}
	return append(args, slices.Sorted(maps.Keys(u.programs))...)
}

// copyFiles copies the unit's files beside its programs.
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

// Compile compiles the Pulumi program in dir into Go's build cache and, if target is not empty, links it to target. It
// writes the file mark, by which a later call sees that nothing has changed. The engine then builds the program again
// and would notice a change that Compile has missed.
func Compile(ctx context.Context, dir, target, mark string, p *Progress) error {
	began := time.Now()
	// If these folders are empty, the user has removed what was downloaded and compiled.
	with, err := goOutput(ctx, dir, noStamp, "env", "GOVERSION", "GOCACHE", "GOMODCACHE")
	if err != nil {
		return err
	}
	folders := strings.Split(with, "\n")[1:]
	with += "\n" + ProgramFlags()
	before, err := os.ReadFile(mark)
	if target != "" && err == nil && string(before) == with && !slices.ContainsFunc(folders, isEmpty) &&
		!changedSince(mark, dir, target) {
		return nil
	}
	// The engine's language host lists all modules, including those that the build does not need on this system.
	found := make(chan error, 1)
	go func() {
		_, err := goOutput(ctx, dir, noStamp, "list", "-m", "-json", "all")
		found <- err
	}()
	if err := p.goBuild(ctx, programJob, dir, ProgramFlags(), compileArgs(target)...); err != nil {
		<-found //nolint:errcheck // the build's error says more
		return fmt.Errorf("compiling %s: %w", programJob, err)
	}
	defer Waiting(func(passed time.Duration) { p.Say("  %s: fetching its modules, %s", programJob, passed) })()
	if err := <-found; err != nil {
		return fmt.Errorf("fetching the modules of %s: %w", programJob, err)
	}
	if os.WriteFile(mark, []byte(with), 0o600) == nil {
		_ = os.Chtimes(mark, began, began)
	}
	return nil
}

func isEmpty(dir string) bool {
	within, err := os.ReadDir(dir)
	return err != nil || len(within) == 0
}

// changedSince reports whether target is missing, or a Go file, go.mod, go.sum or folder in dir has changed since mark
// was written. It ignores target's own folder and hidden ones.
func changedSince(mark, dir, target string) bool {
	target = filepath.Join(dir, target)
	made, err := os.Stat(mark)
	if err != nil || !exists(target) {
		return true
	}
	changed := errors.New("changed")
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path == filepath.Dir(target) && path != dir, d.IsDir() && path != dir && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case path == filepath.Dir(target):
			return nil
		case !d.IsDir() && filepath.Ext(path) != ".go" && d.Name() != "go.mod" && d.Name() != "go.sum":
			return nil
		}
		info, err := d.Info()
		if err == nil && !info.ModTime().Before(made.ModTime()) {
			return changed
		}
		return err
	}) != nil
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

const programJob = "the Pulumi program"

func compileArgs(target string) []string {
	return []string{"-o", cmp.Or(target, os.DevNull), "."}
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
	cmd.WaitDelay = 10 * time.Second // its child processes may keep standard error open
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", args[0], err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// graphsVariable names a folder to which builds write their action graphs (go build -debug-actiongraph), with the times
// of each action.
const graphsVariable = "KEYVAULT_AKS_ACTION_GRAPHS"

// HomeVariable is set to the local cloud's home in the environment that `localcloud env` prints.
const HomeVariable = "KEYVAULT_AKS_HOME"

// proxyVariables are the variables of that environment that lead clients to the local cloud, and to no other hosts.
var proxyVariables = []string{
	"HTTPS_PROXY",
	"https_proxy",
	"NO_PROXY",
	"no_proxy",
	"SSL_CERT_FILE",
	"REQUESTS_CA_BUNDLE",
	"CURL_CA_BUNDLE",
	"NODE_EXTRA_CA_CERTS",
}

// noStamp keeps the commit out of binaries, which would otherwise change with it.
const noStamp = "-buildvcs=false"

// ProgramFlags returns the user's GOFLAGS with the local cloud's flags added, unless the user has set the same ones.
// Compile and the engine both build the Pulumi program with them. With different flags the engine would link it again
// for each command.
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

// OutsideEnv returns this process's environment without the variables that lead to a local cloud, for downloads from
// other hosts.
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

// buildEnv returns the environment for builds. It overrides the user's flags, including those of `go env -w`, and
// trades memory for time: garbage collection takes a quarter of the compiler's time.
func buildEnv(goflags string) []string {
	env := append(OutsideEnv(), "GOFLAGS="+goflags, "GOWORK=off")
	if goflags == noStamp { // third-party programs, which other machines may import
		env = append(env, "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=")
	}
	if os.Getenv("GOGC") == "" {
		env = append(env, "GOGC=400")
	}
	return env
}

// goBuild runs go build and reports its progress. name is the job's name in the plan.
func (p *Progress) goBuild(ctx context.Context, name, dir, goflags string, args ...string) error {
	temp, err := os.MkdirTemp("", "localcloud-build-") // removed below, since an interrupted go leaves its files
	if err != nil {
		return fmt.Errorf("creating a folder for the build: %w", err)
	}
	defer os.RemoveAll(temp)
	if graphs := os.Getenv(graphsVariable); graphs != "" {
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
