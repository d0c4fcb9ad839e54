package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/daemon"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/engine"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/machine"
	"github.com/keyvault-aks/keyvault-aks/localcloud/kube"
	"github.com/keyvault-aks/keyvault-aks/localcloud/providers/azure-native/plugin"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// UpOptions are those of `up`.
type UpOptions struct {
	StartOptions
	Stack      string
	Config     []string // key=value, over the stack's file
	NoBuild    bool
	ShowValues bool
}

func (c *cloud) upCommand() *cobra.Command {
	var o UpOptions
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start the local cloud, bring the stack up in it and read the secret from inside the pod",
		Args:  cobra.NoArgs,
		Long: "Start the local cloud, bring the stack up in it and read the secret from inside the pod.\n\n" +
			"With --project it brings up any other Pulumi program in Go, YAML or TypeScript, of the types that\n" +
			"`" + command + " types` lists. One in YAML that uses azure-native directly names its version, with\n" +
			"`options: {version: " + plugin.Version2 + "}` at each resource and function, or once with\n" +
			"`pulumi package add azure-native@" + plugin.Version2 + "`.",
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Stack, "stack", "dev", "the `stack` to bring up: its configuration is Pulumi.<stack>.yaml")
	flags.StringArrayVar(&o.Config, "config", nil,
		"`key=value` of the program's configuration, over that of the file; the value is YAML")
	flags.BoolVar(&o.NoBuild, "no-build", false,
		"leave it to the engine to build the program: prepare or an earlier up has, and no module is missing")
	flags.BoolVar(&o.ShowValues, "show-values", false,
		"show what is in each file that the pod has mounted; without, only what is in the guide's")
	read := o.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := read(); err != nil {
			return err
		}
		return c.up(cmd.Context(), o)
	}
	return cmd
}

// up brings everything to where a pod has read its secret: programs, the local cloud, the stack. What is there is kept.
func (c *cloud) up(ctx context.Context, o UpOptions) error {
	c.sayWhatIsKept(o.StartOptions)
	begin := time.Now()
	done, err := c.Alone()
	if err != nil {
		return err
	}
	defer done()
	if err := engine.CheckProgram(c.Home); err != nil {
		return err
	}
	if _, _, err := engine.GivenConfiguration(
		c.Home,
		o.Stack,
		o.Config,
	); err != nil { // before anything is downloaded or built for it
		return err
	}
	get := c.thirdParty(o.Way)
	if engine.Configured(c.Home, o.Stack, o.Config, "entra") != nil { // kubelogin is otherwise built when it is first run
		get.Also = append(get.Also, thirdparty.Kubelogin)
	}
	if !o.NoBuild {
		get.Program = engine.Source(c.Home)
	}
	needsVersion3 := engine.Configured(c.Home, o.Stack, o.Config, "vaultApiVersion") == "2026-02-01"
	have, err := c.setUp(ctx, o.StartOptions, get, needsVersion3)
	if err != nil {
		return err
	}
	// Neither the local cloud nor a stack needs the program: it is compiled, or found to be, while they are made.
	compiled := func() error { return nil }
	if !o.NoBuild {
		compiling, stop := context.WithCancel(ctx)
		result := make(chan error, 1)
		go func() { result <- engine.Compile(compiling, c.Home, get.Progress) }()
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
	down, env := c.self+" down", c.self+" env"
	if c.Program.IsOurs() && c.self == command { // in the checkout, as `make up` has it
		down, env = "make down", "bin/localcloud env"
	}
	c.say(
		"up in %s; `%s` removes it all, `eval \"$(%s)\"` lets pulumi, kubectl and az use it",
		time.Since(begin).Round(100*time.Millisecond),
		down,
		env,
	)
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

// setUp finds or makes what the local cloud and the engine need of this machine: the programs that get says, and where
// real plugins are asked for, azure-native v3 if that is needed, too.
func (c *cloud) setUp(
	ctx context.Context,
	o StartOptions,
	get thirdparty.Options,
	needsVersion3 bool,
) (have home.Setup, err error) {
	have.Serving = o.Serving
	var download func(name, version string) (string, error)
	if o.Way == thirdparty.Releases {
		download = func(name, version string) (string, error) {
			program, err := thirdparty.Plugin(ctx, c.thirdParty(o.Way), name, version)
			return filepath.Dir(program), err
		}
	}
	if have.RealPlugins, err = engine.ChoosePlugins(c.Home, o.Plugins, needsVersion3, download, c.say); err != nil {
		return have, err
	}
	if host := thirdparty.LanguageHost(c.Program.Runtime.Name); thirdparty.IsLater(host) {
		get.Also = append(get.Also, host)
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
	if err := machine.InstallPackages(ctx, node.MissingPackages(), c.say); err != nil {
		return nil, err
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
			because = fmt.Sprintf("as this local cloud has had from the start (`%s down` first for another)", c.self)
		}
		if asked != "" && asked != before.Node {
			return "", fmt.Errorf("this local cloud has a %s node: `%s down` first, or use another --home", before.Node, c.self)
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
