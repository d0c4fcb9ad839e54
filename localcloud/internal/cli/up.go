package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/arm"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/faults"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/daemon"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/engine"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/machine"
	"github.com/keyvault-aks/keyvault-aks/localcloud/kube"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// UpOptions are those of `up`.
type UpOptions struct {
	Stack      string
	Config     []string // key=value, over the stack's file
	Node       kube.Node
	Plugins    engine.PluginKind
	NoBuild    bool
	ShowValues bool
	Serving    home.Serving
	Way        thirdparty.Way
}

func (c *cloud) upCommand() *cobra.Command {
	var o UpOptions
	var get ways
	var failing string
	cmd := &cobra.Command{
		Use: "up", Short: "Start the local cloud, bring the stack up in it and read the secret from inside the pod", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			o.Way = get.way()
			if o.Serving.Faults, err = faults.Load(failing); err != nil {
				return fmt.Errorf("--faults: %w", err)
			}
			if _, err := arm.ParseTimes(o.Serving.Times); err != nil {
				return fmt.Errorf("--times: %w", err)
			}
			return c.up(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Stack, "stack", "dev", "the `stack` to bring up: its configuration is Pulumi.<stack>.yaml")
	flags.StringArrayVar(&o.Config, "config", nil,
		"`key=value` of the program's configuration, over that of the file; the value is YAML")
	flags.Var(&choice[kube.Node]{&o.Node, "node", kube.RealNode, kube.StandInNode}, "node",
		"what runs pods: `real` (Linux and root), or stand-in, which mounts volumes and runs no container (default: real where it can be)")
	flags.Var(&choice[engine.PluginKind]{&o.Plugins, "plugins", engine.RealPlugins, engine.StandInPlugins}, "plugins",
		"which azure-native and random the engine runs: `real`, as pulumi has installed them (--releases downloads what is missing), or stand-in (default: as before, at first stand-in)")
	flags.BoolVar(&o.NoBuild, "no-build", false,
		"leave it to the engine to build the program: prepare or an earlier up has, and no module is missing")
	flags.BoolVar(&o.ShowValues, "show-values", false,
		"show what is in each file that the pod has mounted; without, only what is in the guide's")
	flags.StringVar(&failing, "faults", "",
		"`plan` of what fails, a file or YAML; for a local cloud that starts, and changed or ended at "+
			"https://localcloud.internal/faults")
	flags.StringVar(&o.Serving.Times, "times", "",
		"`profile` of how long operations on Azure take: instant, azure, or azure/100 for a hundredth of that; for "+
			"a local cloud that starts (default: instant)")
	flags.StringVar(&o.Serving.Record, "record", "",
		"`folder` that is given what Resource Manager is sent, without the values of secrets; for a local cloud "+
			"that starts")
	get.flags(cmd)
	return cmd
}

// up brings everything to where a pod has read its secret: programs, the local cloud, the stack. What is there is kept.
func (c *cloud) up(ctx context.Context, o UpOptions) error {
	if r, err := c.Running(); err == nil && r.Build == daemon.Build() && !reflect.DeepEqual(o.Serving, home.Serving{}) {
		c.say("the local cloud runs already and keeps the faults, times and record that it began with: --faults, --times and --record are not for it")
	}
	begin := time.Now()
	done, err := c.Alone()
	if err != nil {
		return err
	}
	defer done()
	if err := engine.CheckProgram(c.Home); err != nil {
		return err
	}
	if _, _, err := engine.GivenConfiguration(c.Home, o.Stack, o.Config); err != nil { // before anything is downloaded or built for it
		return err
	}
	progress := c.progress()
	have, err := c.setUp(ctx, o, progress)
	if err != nil {
		return err
	}
	// Neither the local cloud nor a stack needs the program: it is compiled, or found to be, while they are made.
	compiled := func() error { return nil }
	if !o.NoBuild {
		compiling, stop := context.WithCancel(ctx)
		result := make(chan error, 1)
		go func() { result <- engine.Compile(compiling, c.Home, progress) }()
		compiled = sync.OnceValue(func() error { return <-result })
		defer func() { stop(); _ = compiled() }()
	}
	s, err := c.startWithStack(ctx, o, have)
	if err != nil {
		return err
	}
	s.Compiled = compiled
	upAndRead := func() (string, error) {
		shown, err := s.Up(ctx)
		if err != nil {
			return "", err
		}
		return s.ReadMounted(ctx, shown, o.ShowValues)
	}
	read, err := upAndRead()
	if err != nil && ctx.Err() == nil {
		if gone, look := s.ForgetPods(ctx); look == nil && gone {
			read, err = upAndRead()
		}
	}
	if err != nil {
		return err
	}
	down, env := "make down", "bin/localcloud env"
	if !c.Program.IsOurs() {
		down, env = "localcloud down", "localcloud env"
	}
	c.say("up in %s; `%s` removes it all, `eval \"$(%s)\"` lets pulumi, kubectl and az use it", time.Since(begin).Round(100*time.Millisecond), down, env)
	if read != "" {
		c.say("%s", read) // what it is all about: the secret and the public key, read from inside the pod
	}
	return nil
}

// startWithStack starts the local cloud, and makes and configures the stack meanwhile, which takes a backend in files
// alone.
func (c *cloud) startWithStack(ctx context.Context, o UpOptions, have home.Setup) (*engine.Stack, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s, err := engine.New(c.Home, o.Stack, have, c.terminal())
	if err != nil {
		return nil, err
	}
	configured := make(chan error, 1)
	go func() { configured <- s.Configure(ctx, o.Config) }()
	r, err := daemon.Start(ctx, c.Home, c.say)
	if err != nil {
		stop()
		<-configured //nolint:errcheck // the error of the start is the first
		return nil, err
	}
	c.say("local cloud: Azure behind the proxy %s, log in %s", r.Proxy, c.Path(home.LogFile))
	if err := <-configured; err != nil {
		return nil, err
	}
	s.Join(r)
	return s, nil
}

// setUp finds or makes what the local cloud and the engine need of this machine.
func (c *cloud) setUp(ctx context.Context, o UpOptions, progress *thirdparty.Progress) (have home.Setup, err error) {
	have.Serving = o.Serving
	var download func(name, version string) (string, error)
	if o.Way == thirdparty.Releases {
		download = func(name, version string) (string, error) {
			program, err := thirdparty.Plugin(ctx, c.thirdParty(o.Way), name, version)
			return filepath.Dir(program), err
		}
	}
	needsVersion3 := engine.Configured(c.Home, o.Stack, o.Config, "vaultApiVersion") == "2026-02-01"
	if have.RealPlugins, err = engine.ChoosePlugins(c.Home, o.Plugins, needsVersion3, download, c.say); err != nil {
		return have, err
	}
	var also []string
	if engine.Configured(c.Home, o.Stack, o.Config, "entra") != nil { // kubelogin is otherwise built when it is first run
		also = append(also, thirdparty.Kubelogin)
	}
	if host := thirdparty.LanguageHost(c.Program.Runtime.Name); thirdparty.IsLater(host) {
		also = append(also, host)
	}
	get := c.thirdParty(o.Way, also...)
	get.Progress = progress
	if !o.NoBuild {
		get.Program = engine.Source(c.Home)
	}
	if err := c.makeHome(); err != nil {
		return have, err
	}
	if have.Node, err = c.chooseNode(o.Node); err != nil {
		return have, err
	}
	if have.Programs, err = c.programs(ctx, have.Node, get); err != nil {
		return have, err
	}
	if o.Serving.Record != "" {
		if have.Record, err = filepath.Abs(o.Serving.Record); err != nil {
			return have, err
		}
		if err := os.MkdirAll(have.Record, 0o700); err != nil {
			return have, fmt.Errorf("making the folder of the record: %w", err)
		}
	}
	return have, c.SaveSetup(have)
}

// programs installs and builds what is shared by all local clouds of this machine.
func (c *cloud) programs(ctx context.Context, node kube.Node, get thirdparty.Options) (thirdparty.Programs, error) {
	if node == kube.RealNode {
		if err := machine.InstallPackages(ctx, kube.MissingPackages(), c.say); err != nil {
			return nil, err
		}
	}
	return thirdparty.Ensure(ctx, get)
}

// chooseNode takes the real node where it was not said otherwise and the machine can run it. A local cloud keeps its
// kind.
func (c *cloud) chooseNode(asked kube.Node) (kube.Node, error) {
	before, has, err := c.SetupBefore()
	if err != nil {
		return "", err
	}
	because := "as asked for"
	if has {
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
		c.say("node: a stand-in, %s: pods get their volumes, but no container runs", because)
	case why != nil:
		c.say("node: a stand-in, since a real one cannot run here (%v): pods get their volumes, but no container runs", why)
		asked = kube.StandInNode
	default:
		asked = kube.RealNode
	}
	return asked, nil
}

// makeHome makes the folder of all state, and says early what would fail late.
func (c *cloud) makeHome() error {
	if err := machine.CheckCompilers(); err != nil {
		return err
	}
	if err := machine.CheckLimits(); err != nil {
		return err
	}
	if err := c.Make(c.say); err != nil {
		return err
	}
	return c.enoughDisk(2 << 30)
}

// enoughDisk holds the free space against what a home needs in the end. One that has served has most of that.
func (c *cloud) enoughDisk(need uint64) error {
	if c.HasServed() {
		return nil
	}
	return machine.EnoughDisk(c.Dir, need)
}

// choice is a flag that has one of two values, or none.
type choice[T ~string] struct {
	value    *T
	name     string
	one, two T
}

func (f *choice[T]) String() string {
	if f.value == nil { // pflag's, of the zero value
		return ""
	}
	return string(*f.value)
}

func (f *choice[T]) Type() string { return f.name }

func (f *choice[T]) Set(given string) error {
	if given != string(f.one) && given != string(f.two) {
		return fmt.Errorf("%q is neither %s nor %s", given, f.one, f.two)
	}
	*f.value = T(given)
	return nil
}
