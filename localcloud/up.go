package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"sigs.k8s.io/yaml"

	"github.com/keyvault-aks/keyvault-aks/localcloud/kube"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// up brings everything to where a pod has read its secret: programs, the local cloud, the stack. What is there is kept.
func (l *localCloud) up(ctx context.Context, stackName string, node kube.Node, whose pluginKind, serve serving, config []string, compile, show bool) error {
	begin := time.Now()
	done, err := l.alone()
	if err != nil {
		return err
	}
	defer done()
	if _, _, err := l.givenConfiguration(stackName, config); err != nil { // before anything is downloaded or built for it
		return err
	}
	var download func(pluginOf) (string, error)
	if l.way == thirdparty.Releases {
		download = l.downloadPlugin(ctx)
	}
	real, err := l.choosePlugins(whose, l.configured(stackName, config, "vaultApiVersion") == "2026-02-01", download)
	if err != nil {
		return err
	}
	var also []string
	if l.configured(stackName, config, "entra") != nil { // kubelogin is otherwise built when it is first run
		also = append(also, thirdparty.Kubelogin)
	}
	get := l.thirdParty(compile, also...)
	have, err := l.prepare(ctx, node, real, serve, get)
	if err != nil {
		return err
	}
	// Neither the local cloud nor a stack needs the program: it is compiled, or found to be, while they are made.
	compiled := func() error { return nil }
	if compile {
		compiling, stop := context.WithCancel(ctx)
		result := make(chan error, 1)
		go func() { result <- l.compileProgram(compiling, get.Progress) }()
		compiled = sync.OnceValue(func() error { return <-result })
		defer func() { stop(); _ = compiled() }()
	}
	s, err := l.startWithStack(ctx, stackName, have, config)
	if err != nil {
		return err
	}
	s.compiled = compiled
	upAndRead := func() (string, error) {
		shown, err := s.up(ctx)
		if err != nil {
			return "", err
		}
		return s.readMounted(ctx, shown, show)
	}
	read, err := upAndRead()
	if err != nil && ctx.Err() == nil {
		if gone, look := s.forgetPods(ctx); look == nil && gone {
			read, err = upAndRead()
		}
	}
	if err != nil {
		return err
	}
	say("up in %s; `make down` removes it all, `eval \"$(bin/localcloud env)\"` lets pulumi, kubectl and az use it", time.Since(begin).Round(100*time.Millisecond))
	say("%s", read) // what it is all about: the secret and the public key, read from inside the pod
	return nil
}

// startWithStack starts the local cloud, and makes and configures the stack meanwhile, which takes a backend in files
// alone.
func (l *localCloud) startWithStack(ctx context.Context, name string, have *setup, config []string) (*stack, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s, err := l.stack(name, have)
	if err != nil {
		return nil, err
	}
	configured := make(chan error, 1)
	go func() { configured <- s.configure(ctx, config) }()
	r, err := l.start(ctx)
	if err != nil {
		stop()
		<-configured //nolint:errcheck // the error of the start is the first
		return nil, err
	}
	say("local cloud: Azure behind the proxy %s, log in %s", r.Proxy, l.path(logFile))
	if err := <-configured; err != nil {
		return nil, err
	}
	s.join(r)
	return s, nil
}

// prepare finds or makes what the local cloud needs of this machine.
func (l *localCloud) prepare(
	ctx context.Context, node kube.Node, real map[string]string, serve serving, get thirdparty.Options,
) (*setup, error) {
	if err := l.makeHome(); err != nil {
		return nil, err
	}
	node, err := l.chooseNode(node)
	if err != nil {
		return nil, err
	}
	programs, err := machine(ctx, node, get)
	if err != nil {
		return nil, err
	}
	have := &setup{Programs: programs, Node: node, RealPlugins: real, serving: serve}
	if serve.Record != "" {
		if have.Record, err = filepath.Abs(serve.Record); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(have.Record, 0o700); err != nil {
			return nil, fmt.Errorf("making the folder of the record: %w", err)
		}
	}
	return have, writeJSON(l.path(setupFile), have)
}

// machine installs and builds what is shared by all local clouds of this machine.
func machine(ctx context.Context, node kube.Node, get thirdparty.Options) (thirdparty.Programs, error) {
	if node == kube.RealNode {
		if err := installPackages(ctx, kube.MissingPackages()); err != nil {
			return nil, err
		}
	}
	return thirdparty.Ensure(ctx, get)
}

// prepareMachine does ahead what the first `up` would do, and starts nothing.
func (l *localCloud) prepareMachine(ctx context.Context) error {
	node := kube.RealNode
	if kube.CanRunRealNode() != nil {
		node = kube.StandInNode
	}
	get := l.thirdParty(true)
	if _, err := machine(ctx, node, get); err != nil {
		return err
	}
	if err := l.compileProgram(ctx, get.Progress); err != nil {
		return err
	}
	_, err := thirdparty.Ensure(ctx, l.thirdParty(false, thirdparty.Kubectl, thirdparty.Kubelogin))
	return err
}

// thirdParty says where third-party programs come from, which are wanted beside those that every up needs, and whether
// the Pulumi program is compiled after them.
func (l *localCloud) thirdParty(compile bool, also ...string) thirdparty.Options {
	get := thirdparty.Options{
		Source: filepath.Join(l.project, "localcloud"), Cache: l.cache, Also: also, Way: l.way, Progress: progress(),
	}
	if compile {
		get.Program = l.project
	}
	return get
}

// chooseNode takes the real node where it was not said otherwise and the machine can run it. A local cloud keeps its kind.
func (l *localCloud) chooseNode(asked kube.Node) (kube.Node, error) {
	var before setup
	because := "as asked for"
	if err := readJSON(l.path(setupFile), &before); err != nil && (!errors.Is(err, fs.ErrNotExist) || l.hasServed()) {
		return "", fmt.Errorf("what this local cloud was set up with is lost: %w: %s", err, wayOut)
	} else if err == nil {
		if asked == "" {
			because = "as this local cloud has had from the start (`make down` first for another)"
		}
		if asked != "" && asked != before.Node {
			return "", fmt.Errorf("this local cloud has a %s node: `make down` first, or use another --home", before.Node)
		}
		asked = before.Node
	}
	why := kube.CanRunRealNode()
	switch {
	case asked == kube.RealNode && why != nil:
		return "", fmt.Errorf("a real node cannot run here: %w; --node=stand-in mounts volumes and runs no container", why)
	case asked == kube.StandInNode:
		say("node: a stand-in, %s: pods get their volumes, but no container runs", because)
	case why != nil:
		say("node: a stand-in, since a real one cannot run here (%v): pods get their volumes, but no container runs", why)
		asked = kube.StandInNode
	default:
		asked = kube.RealNode
	}
	return asked, nil
}

// makeHome makes the folder of all state, and says early what would fail late.
func (l *localCloud) makeHome() error {
	for _, program := range []string{"go", "cc"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is not on PATH: the local cloud builds the programs it runs; install Go and a C compiler (Debian: apt-get install golang gcc)", program)
		}
	}
	if err := checkLimits(); err != nil {
		return err
	}
	for _, dir := range []string{l.home, l.cache} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("making %s: %w", dir, err)
		}
	}
	if err := l.closeHome(); err != nil {
		return err
	}
	return l.enoughDisk(2 << 30)
}

// closeHome keeps others out of the home, in which there are credentials. One that others can have written into is refused: its owner
// would run what they have put there.
func (l *localCloud) closeHome() error {
	info, err := os.Stat(l.home)
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d: choose another folder with --home", l.home, owner.Uid)
	}
	if info.Mode().Perm() == 0o700 {
		return nil
	}
	within, err := os.ReadDir(l.home)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o022 != 0 && len(within) > 0 {
		return fmt.Errorf("others can write into %s (%v), and may have: look what is in it, then `chmod 700` it, or choose another folder with --home",
			l.home, info.Mode())
	}
	say("%s was open to others (%v): it is not any more", l.home, info.Mode())
	return os.Chmod(l.home, 0o700)
}

// enoughDisk holds the free space against what a home needs in the end. One that has served has most of that.
func (l *localCloud) enoughDisk(need uint64) error {
	if l.hasServed() {
		return nil
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(l.home, &disk); err != nil {
		return fmt.Errorf("looking for disk space: %w", err)
	}
	if free := disk.Bavail * uint64(disk.Bsize); free < need {
		return fmt.Errorf("%s has %d MiB free, and a node needs %d: make room, or choose another folder with --home", l.home, free>>20, need>>20)
	}
	return nil
}

// installPackages installs Debian packages, and does nothing for none.
func installPackages(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("the node needs %s, and there is no apt-get to install them: install them by hand", strings.Join(names, ", "))
	}
	say("installing Debian's %s", strings.Join(names, ", "))
	for _, args := range [][]string{{"update"}, append([]string{"install", "--yes", "--no-install-recommends"}, names...)} {
		if err := ctx.Err(); err != nil {
			return err
		}
		// An interrupted dpkg leaves packages half configured: it is let finish, and Ctrl-C does not reach its process group.
		cmd := exec.Command("apt-get", append([]string{"-qq", "-o=Dpkg::Use-Pty=0"}, args...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Env = append(thirdparty.OutsideEnv(), "DEBIAN_FRONTEND=noninteractive")
		stop := thirdparty.Waiting(func(passed time.Duration) { say("  apt-get %s: %s", args[0], passed) })
		impatient := context.AfterFunc(ctx, func() { say("interrupted: waiting for apt-get %s to finish", args[0]) })
		out, err := cmd.CombinedOutput()
		impatient()
		stop()
		if err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, out)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if left := kube.MissingPackages(); len(left) > 0 {
		return fmt.Errorf("installed, but not where they are looked for: %s", strings.Join(left, ", "))
	}
	return nil
}

// compileProgram compiles the Pulumi program before the engine does. The engine's own build runs behind the proxy, from
// where no module can be had, and says nothing while it takes its time.
func (l *localCloud) compileProgram(ctx context.Context, p *thirdparty.Progress) error {
	target, err := buildTarget(l.project)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(l.project))
	mark := filepath.Join(l.cache, "compiled-"+hex.EncodeToString(sum[:6]))
	return thirdparty.Compile(ctx, l.project, target, mark, p)
}

// buildTarget is the file that a project has the engine link its program into; empty: a new one each time.
func buildTarget(project string) (string, error) {
	content, err := os.ReadFile(filepath.Join(project, "Pulumi.yaml"))
	if err != nil {
		return "", err
	}
	var file struct {
		Runtime any `json:"runtime"` // a name, or a name with options
	}
	if err := yaml.Unmarshal(content, &file); err != nil {
		return "", fmt.Errorf("reading Pulumi.yaml: %w", err)
	}
	runtime, _ := file.Runtime.(map[string]any)
	options, _ := runtime["options"].(map[string]any)
	target, _ := options["buildTarget"].(string)
	return target, nil
}
