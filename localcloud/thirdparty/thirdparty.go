// Package thirdparty builds the programs that the local cloud runs and does not write, once, from modules pinned in the
// go.mod files of the folders beside this file.
package thirdparty

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"
)

// module is one go.mod: programs whose dependencies agree. They are built by one call, so that both cores are used.
type module struct {
	dir      string            // below localcloud/
	programs map[string]string // package -> the name that the program is given
	ldflags  string
	idle     string   // packages that are compiled in and hardly run: optimising them would be for nothing
	files    []string // what is put beside the programs, of the module filesOf
	filesOf  string
}

// CompilerFlags leave out what the linker would strip: it takes the compiler a sixth of its time. All that is built for the
// local cloud is built with them, so that packages that several programs share are compiled once.
const CompilerFlags = "all=-dwarf=false"

// sameAnywhere leaves the checkout's folder out of what is compiled, so that another checkout finds it compiled. A stack's state then has
// source positions by module instead of in the project.
const sameAnywhere = "-trimpath"

const kubernetesVersion = "v1.34.10"

// The order is that of their cost: who waits sees the long ones first.
var modules = []module{
	{
		dir:      "thirdparty/pulumi-kubernetes",
		programs: map[string]string{"./" + KubernetesPlugin: KubernetesPlugin},
		ldflags:  "-X github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version.Version=" + KubernetesPluginVersion,
		idle:     "github.com/pulumi/pulumi-kubernetes/sdk/v4/...",
		files:    []string{"cmd/pulumi-resource-kubernetes/schema.json", "cmd/pulumi-resource-kubernetes/terraform-mapping.json"},
		filesOf:  "github.com/pulumi/pulumi-kubernetes/provider/v4",
	},
	{
		dir: "thirdparty/kubernetes",
		programs: map[string]string{
			"go.etcd.io/etcd/server/v3":                     Etcd,
			"k8s.io/kubernetes/cmd/kube-apiserver":          APIServer,
			"k8s.io/kubernetes/cmd/kube-controller-manager": ControllerManager,
			"k8s.io/kubernetes/cmd/kube-scheduler":          Scheduler,
			"k8s.io/kubernetes/cmd/kubectl":                 Kubectl,
			"k8s.io/kubernetes/cmd/kubelet":                 Kubelet,
		},
		ldflags: "-X k8s.io/component-base/version.gitVersion=" + kubernetesVersion +
			" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34" +
			" -X k8s.io/client-go/pkg/version.gitVersion=" + kubernetesVersion,
	},
	{
		dir:      "thirdparty/pulumi",
		programs: map[string]string{"github.com/pulumi/pulumi/pkg/v3/cmd/pulumi": Pulumi},
		ldflags:  "-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=" + PulumiVersion,
	},
	{
		dir:      "thirdparty/pulumi-language-go",
		programs: map[string]string{"github.com/pulumi/pulumi/sdk/go/pulumi-language-go/v3": LanguageGo},
	},
	{
		dir:      "thirdparty/secrets-store-csi-driver",
		programs: map[string]string{"sigs.k8s.io/secrets-store-csi-driver/cmd/secrets-store-csi-driver": CSIDriver},
		filesOf:  "sigs.k8s.io/secrets-store-csi-driver",
		files: []string{
			"deploy/rbac-secretproviderclass.yaml", "deploy/rbac-secretprovidersyncing.yaml",
			"deploy/secrets-store.csi.x-k8s.io_secretproviderclasses.yaml", "deploy/secrets-store.csi.x-k8s.io_secretproviderclasspodstatuses.yaml",
		},
	},
	{
		dir:      "thirdparty/provider-azure",
		programs: map[string]string{"github.com/Azure/secrets-store-csi-driver-provider-azure/cmd": AzureProvider},
	},
	{
		// Its versions are those of Kubernetes and Pulumi above, so that little is left to compile.
		dir:      "thirdparty/kubelogin",
		programs: map[string]string{"github.com/Azure/kubelogin": Kubelogin},
		ldflags:  "-X main.gitTag=v0.2.10",
	},
}

// The programs, by the names under which Programs finds them.
const (
	Pulumi            = "pulumi"
	LanguageGo        = "pulumi-language-go"
	KubernetesPlugin  = "pulumi-resource-kubernetes"
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Kubectl           = "kubectl"
	Kubelet           = "kubelet"
	CSIDriver         = "secrets-store-csi-driver"
	AzureProvider     = "secrets-store-csi-driver-provider-azure"
	Kubelogin         = "kubelogin"
)

// The versions that the engine asks for.
const (
	PulumiVersion           = "3.259.0"
	KubernetesPluginVersion = "4.25.0"
)

// Programs is where each program is.
type Programs map[string]string

// CSIManifests are the manifests that the Secrets Store CSI driver is installed with.
func (p Programs) CSIManifests() ([]string, error) {
	return filepath.Glob(filepath.Join(filepath.Dir(p[CSIDriver]), "*.yaml"))
}

// Ensure returns every program, building into cache what is not there yet. source is the folder localcloud/ of a checkout.
// A pulumi of the right version on PATH, with its Go language host, is used instead of one built here. say is told what is
// going on, at least every ten seconds.
func Ensure(ctx context.Context, source, cache string, say func(format string, args ...any)) (Programs, error) {
	found, missing, err := look(ctx, source, cache)
	if err != nil || len(missing) == 0 {
		return found, err
	}
	unlock, err := lockCache(ctx, cache, say)
	if err != nil {
		return nil, err
	}
	defer unlock()
	// Somebody else may have built them meanwhile.
	if found, missing, err = look(ctx, source, cache); err != nil {
		return nil, err
	}
	removeParts(cache)
	if err := enoughDisk(cache); len(missing) > 0 && err != nil {
		return nil, err
	}
	for i, m := range missing {
		if i == 0 {
			say("building third-party programs, once, into %s", cache)
		}
		dir, err := m.cacheDir(source, cache)
		if err != nil {
			return nil, err
		}
		if err := m.build(ctx, source, dir, fmt.Sprintf("%d/%d %s", i+1, len(missing), filepath.Base(m.dir)), say); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// enoughDisk holds the free space against what Go's own cache and the programs take.
func enoughDisk(cache string) error {
	const need = 10 << 30
	var disk unix.Statfs_t
	if err := unix.Statfs(cache, &disk); err != nil {
		return fmt.Errorf("looking for disk space: %w", err)
	}
	if free := disk.Bavail * uint64(disk.Bsize); free < need {
		return fmt.Errorf("%s has %d MiB free, and building the third-party programs takes up to %d: make room, or move the cache with XDG_CACHE_HOME",
			cache, free>>20, need>>20)
	}
	return nil
}

// look says where every program is or is to be, and which modules have to be built for that.
func look(ctx context.Context, source, cache string) (found Programs, missing []module, err error) {
	found = Programs{}
	for _, m := range modules {
		if (m.programs[pulumiPackage] != "" || m.programs[languagePackage] != "") && installedPulumi(ctx, found) {
			continue
		}
		dir, err := m.cacheDir(source, cache)
		if err != nil {
			return nil, nil, err
		}
		for _, name := range m.programs {
			found[name] = filepath.Join(dir, name)
		}
		if !m.whole(dir) {
			missing = append(missing, m)
		}
	}
	return found, missing, nil
}

// whole says whether dir has all that build puts there: whoever cleans up a cache does not know what belongs together.
func (m module) whole(dir string) bool {
	var names []string
	for _, name := range m.programs {
		names = append(names, name)
	}
	for _, file := range m.files {
		names = append(names, filepath.Base(file))
	}
	return !slices.ContainsFunc(names, func(name string) bool {
		info, err := os.Stat(filepath.Join(dir, name))
		return err != nil || !info.Mode().IsRegular()
	})
}

const partMark = ".part-"

// removeParts removes what killed builds left in a cache whose lock is held.
func removeParts(cache string) {
	parts, _ := filepath.Glob(filepath.Join(cache, "*"+partMark+"*"))
	for _, part := range parts {
		_ = os.RemoveAll(part)
	}
}

// lockCache waits until nobody else builds into the cache: two builds of the same take both twice as long.
func lockCache(ctx context.Context, cache string, say func(string, ...any)) (unlock func(), err error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("making the cache: %w", err)
	}
	lock := flock.New(filepath.Join(cache, "lock"))
	for {
		waiting, cancel := context.WithTimeout(ctx, 10*time.Second)
		_, err := lock.TryLockContext(waiting, 100*time.Millisecond)
		cancel()
		switch {
		case err == nil:
			return func() { _ = lock.Unlock() }, nil
		case ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded):
			return nil, fmt.Errorf("locking the cache: %w", err)
		}
		say("another command builds third-party programs into %s: waiting", cache)
	}
}

const (
	pulumiPackage   = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
	languagePackage = "github.com/pulumi/pulumi/sdk/go/pulumi-language-go/v3"
)

func installedPulumi(ctx context.Context, found Programs) bool {
	pulumi, err := exec.LookPath(Pulumi)
	if err != nil {
		return false
	}
	// In a shell with the environment of a local cloud, its own pulumi is the first on PATH, and goes when that cloud does.
	if home := os.Getenv(HomeVariable); home != "" && strings.HasPrefix(pulumi, home+string(filepath.Separator)) {
		return false
	}
	language, err := exec.LookPath(LanguageGo)
	if err != nil {
		return false
	}
	version, err := exec.CommandContext(ctx, pulumi, "version").Output()
	if err != nil || strings.TrimPrefix(strings.TrimSpace(string(version)), "v") != PulumiVersion {
		return false
	}
	found[Pulumi], found[LanguageGo] = pulumi, language
	return true
}

// cacheDir is named after all that decides what is built, so that two checkouts share a build exactly when it is the same.
func (m module) cacheDir(source, cache string) (string, error) {
	h := sha256.New()
	err := filepath.WalkDir(filepath.Join(source, m.dir), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		fmt.Fprintf(h, "%s %d\n%s", d.Name(), len(content), content)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("reading the pins of %s: %w", m.dir, err)
	}
	fmt.Fprint(h, runtime.Version(), runtime.GOOS, runtime.GOARCH, m.ldflags, sameAnywhere, CompilerFlags, m.idle, m.programs, m.filesOf, m.files)
	return filepath.Join(cache, filepath.Base(m.dir)+"-"+hex.EncodeToString(h.Sum(nil))[:12]), nil
}

// build makes dir whole or not at all: it builds beside it and renames. What is there already, and not whole, goes.
func (m module) build(ctx context.Context, source, dir, title string, say func(string, ...any)) error {
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

	args := []string{"build", "-v", sameAnywhere, "-gcflags", CompilerFlags, "-ldflags", "-s -w " + m.ldflags, "-o", part + string(filepath.Separator)}
	if m.idle != "" {
		args = append(args, "-gcflags", m.idle+"=-dwarf=false -N -l")
	}
	for pkg := range m.programs {
		args = append(args, pkg)
	}
	if err := goCommand(ctx, filepath.Join(source, m.dir), noStamp, title, say, args...); err != nil {
		return fmt.Errorf("building %s: %w", m.dir, err)
	}
	for pkg, name := range m.programs {
		if err := os.Rename(filepath.Join(part, goBinaryName(pkg)), filepath.Join(part, name)); err != nil {
			return fmt.Errorf("naming %s: %w", name, err)
		}
	}
	if err := m.copyFiles(ctx, source, part); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(dir), os.Rename(part, dir)); err != nil {
		return fmt.Errorf("moving %s into the cache: %w", m.dir, err)
	}
	return nil
}

// copyFiles puts what a program needs beside it.
func (m module) copyFiles(ctx context.Context, source, part string) error {
	if len(m.files) == 0 {
		return nil
	}
	root, err := moduleDir(ctx, filepath.Join(source, m.dir), m.filesOf)
	if err != nil {
		return err
	}
	for _, name := range m.files {
		content, err := os.ReadFile(filepath.Join(root, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(part, filepath.Base(name)), content, 0o644)
		}
		if err != nil {
			return fmt.Errorf("copying %s of %s: %w", name, m.filesOf, err)
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
