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

// UpOptions are the options of `up`.
type UpOptions struct {
	StartOptions
	Stack      string
	Config     []string // key=value, overrides the stack's file
	NoBuild    bool
	ShowValues bool
}

func (c *cloud) upCommand() *cobra.Command {
	var o UpOptions
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start the local cloud, deploy the stack to it and read the secret from inside the pod",
		Args:  cobra.NoArgs,
		Long: "Start the local cloud, deploy the stack to it and read the secret from inside the pod.\n\n" +
			"With --project it deploys another Pulumi program in Go, YAML, TypeScript, JavaScript or Python that uses\n" +
			"only the types listed by `" + command + " types`. A YAML program that uses azure-native directly must set\n" +
			"its version: with `options: {version: " + plugin.Version2 + "}` on each resource and function, or once with\n" +
			"`pulumi package add azure-native@" + plugin.Version2 + "`.",
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Stack, "stack", "dev", "the `stack` to deploy, configured in Pulumi.<stack>.yaml")
	flags.StringArrayVar(&o.Config, "config", nil,
		"`key=value` that overrides the stack's configuration file; the value is YAML")
	flags.BoolVar(&o.NoBuild, "no-build", false,
		"do not build the program first; requires an earlier prepare or up. Pulumi still compiles changes, but cannot "+
			"download modules")
	flags.BoolVar(&o.ShowValues, "show-values", false,
		"show the contents of every file mounted in the pod (default: only of the guide's secret and key)")
	read := o.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := read(); err != nil {
			return err
		}
		return c.up(cmd.Context(), o)
	}
	return cmd
}

// up gets the programs, starts the local cloud, deploys the stack and reads the secret from its pod. It keeps what
// exists already.
func (c *cloud) up(ctx context.Context, o UpOptions) error {
	c.warnOfIgnored(o.StartOptions)
	begin := time.Now()
	done, err := c.Alone()
	if err != nil {
		return err
	}
	defer done()
	if err := engine.CheckProgram(c.Home); err != nil {
		return err
	}
	// Check the configuration before anything is downloaded or built for it.
	if _, _, err := engine.GivenConfiguration(c.Home, o.Stack, o.Config); err != nil {
		return err
	}
	get := c.thirdParty(o.Way)
	if engine.Configured(c.Home, o.Stack, o.Config, "entra") != nil { // otherwise it is built when it is first run
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
	// Compile the program while the local cloud starts and the stack is created: neither needs it.
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
	took := time.Since(begin).Round(100 * time.Millisecond)
	c.say("up in %s. `eval \"$(%s)\"` connects pulumi, kubectl and az to it; `%s` removes it", took, env, down)
	if read != "" {
		c.say("%s", read)
	}
	return nil
}

// startWithStack starts the local cloud and meanwhile creates and configures the stack, which needs only the backend's
// files.
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
		<-configured //nolint:errcheck // the first error is the start's
		return nil, err
	}
	c.say("local cloud: Azure behind the proxy %s, log in %s", r.Proxy, c.Path(home.LogFile))
	if err := <-configured; err != nil {
		return nil, err
	}
	s.Join(r)
	return s, nil
}

// setUp prepares this machine for the local cloud and the engine: packages, the programs that get asks for, plugins and
// the home's folder. If needsVersion3 is set and the plugins are real ones, azure-native v3 is among them.
func (c *cloud) setUp(
	ctx context.Context, o StartOptions, get thirdparty.Options, needsVersion3 bool,
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
			return have, fmt.Errorf("creating the folder of --record: %w", err)
		}
	}
	return have, c.SaveSetup(have)
}

// programs installs the packages and programs that all local clouds of this machine share.
func (c *cloud) programs(ctx context.Context, node kube.Node, get thirdparty.Options) (thirdparty.Programs, error) {
	if err := machine.InstallPackages(ctx, node.MissingPackages(), c.say); err != nil {
		return nil, err
	}
	return thirdparty.Ensure(ctx, get)
}

// chooseNode returns the kind of node to run. A local cloud keeps its first kind. A new one gets what was asked for, or
// else a real node if the machine can run it.
func (c *cloud) chooseNode(asked kube.Node) (kube.Node, error) {
	before, has, err := c.SetupBefore()
	if err != nil {
		return "", err
	}
	because := "as requested"
	if has {
		if asked == "" {
			because = fmt.Sprintf("as when this local cloud was created (to change it, run `%s down` first)", c.self)
		}
		if asked != "" && asked != before.Node {
			return "", fmt.Errorf("this local cloud has a %s node: run `%s down` first, or use another --home",
				before.Node, c.self)
		}
		asked = before.Node
	}
	why := kube.CanRunRealNode()
	switch {
	case asked == kube.RealNode && why != nil:
		return "", fmt.Errorf("a real node cannot run here: %w; --node=stand-in mounts volumes but runs no containers", why)
	case asked == kube.StandInNode:
		c.say("node: stand-in, %s: pods get their volumes, but no containers run", because)
	case why != nil:
		c.say("node: stand-in, since a real node cannot run here (%v): pods get their volumes, but no containers run", why)
		asked = kube.StandInNode
	default:
		asked = kube.RealNode
	}
	return asked, nil
}

// makeHome creates the folder for all state, after it has checked what would otherwise fail late.
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

// enoughDisk checks that a new home has need bytes of free space. A home that has served uses most of them already.
func (c *cloud) enoughDisk(need uint64) error {
	if c.HasServed() {
		return nil
	}
	return machine.EnoughDisk(c.Dir, need)
}

// choice is a flag with one of two values, or none.
type choice[T ~string] struct {
	value    *T
	name     string
	one, two T
}

func (f *choice[T]) String() string {
	if f.value == nil { // pflag calls String on the zero value
		return ""
	}
	return string(*f.value)
}

func (f *choice[T]) Type() string { return f.name }

func (f *choice[T]) Set(given string) error {
	if given != string(f.one) && given != string(f.two) {
		return fmt.Errorf("%q is not allowed: use %s or %s", given, f.one, f.two)
	}
	*f.value = T(given)
	return nil
}
