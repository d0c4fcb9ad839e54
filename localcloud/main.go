// Command localcloud stands in for Azure on this machine and runs Kubernetes for real, so that the program of this repository
// can be seen at work, from the engine to a pod that reads its secret, without a subscription.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/arm"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/faults"
	"github.com/keyvault-aks/keyvault-aks/localcloud/kube"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

func main() {
	if err := dropInherited(); err != nil {
		fmt.Fprintf(os.Stderr, "localcloud: %v\n", err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted: the same command goes on from here, and `make down` removes what there is")
		}
		told.clear()
		fmt.Fprintf(os.Stderr, "localcloud: %v\n", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var project, home, stack, failing string
	var config []string
	var serve serving
	var skipDestroy, noBuild, showValues, built, released bool
	node := nodeFlag{}
	ofPlugins := pluginsFlag{}
	root := &cobra.Command{
		Use:           "localcloud",
		Short:         "Azure on one machine, for the program in this repository",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	flags := root.PersistentFlags()
	flags.StringVar(&project, "project", ".", "`folder` of the Pulumi program, in a checkout of this repository")
	flags.StringVar(&home, "home", "", "`folder` of the local cloud's state (default: one for each project folder, below $XDG_STATE_HOME or ~/.local/state)")

	withArgs := func(run func(*localCloud, context.Context, []string) error) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, args []string) error {
			l, err := locate(project, home)
			if err != nil {
				return err
			}
			switch {
			case built:
				l.way = thirdparty.Build
			case released:
				l.way = thirdparty.Releases
			}
			return run(l, cmd.Context(), args)
		}
	}
	// gets is a command that gets third-party programs, the one way or the other.
	gets := func(cmd *cobra.Command) *cobra.Command {
		cmd.Flags().BoolVar(&built, "build", false, "build all third-party programs, and ask no vendor (default: release where the vendor answers within two seconds)")
		cmd.Flags().BoolVar(&released, "releases", false, "take the vendors' releases of third-party programs, and fail where one cannot be had; what has none is built")
		cmd.MarkFlagsMutuallyExclusive("build", "releases")
		return cmd
	}
	withHome := func(run func(*localCloud, context.Context) error) func(*cobra.Command, []string) error {
		return withArgs(func(l *localCloud, ctx context.Context, _ []string) error { return run(l, ctx) })
	}
	up := &cobra.Command{
		Use: "up", Short: "Start the local cloud, bring the stack up in it and read the secret from inside the pod", Args: cobra.NoArgs,
		RunE: withHome(func(l *localCloud, ctx context.Context) (err error) {
			if serve.Faults, err = faults.Load(failing); err != nil {
				return fmt.Errorf("--faults: %w", err)
			}
			if _, err := arm.ParseTimes(serve.Times); err != nil {
				return fmt.Errorf("--times: %w", err)
			}
			if r, err := l.running(); err == nil && r.Build == build() && !reflect.DeepEqual(serve, serving{}) {
				say("the local cloud runs already and keeps the faults, times and record that it began with: --faults, --times and --record are not for it")
			}
			return l.up(ctx, stack, node.Node, ofPlugins.pluginKind, serve, config, !noBuild, showValues)
		}),
	}
	up.Flags().StringVar(&stack, "stack", "dev", "the `stack` to bring up: its configuration is Pulumi.<stack>.yaml")
	up.Flags().StringArrayVar(&config, "config", nil, "`key=value` of the program's configuration, over that of the file; the value is YAML")
	up.Flags().Var(&node, "node", "what runs pods: `real` (Linux and root), or stand-in, which mounts volumes and runs no container (default: real where it can be)")
	up.Flags().Var(&ofPlugins, "plugins", "which azure-native and random the engine runs: `real`, as pulumi has installed them (--releases downloads what is missing), or stand-in (default: as before, at first stand-in)")
	up.Flags().BoolVar(&noBuild, "no-build", false, "leave it to the engine to build the program: prepare or an earlier up has, and no module is missing")
	up.Flags().BoolVar(&showValues, "show-values", false, "show what is in each file that the pod has mounted; without, only what is in the guide's")
	up.Flags().StringVar(&failing, "faults", "", "`plan` of what fails, a file or YAML; for a local cloud that starts, and changed or ended at https://localcloud.internal/faults")
	up.Flags().StringVar(&serve.Times, "times", "", "`profile` of how long operations on Azure take: instant, azure, or azure/100 for a hundredth of that; for a local cloud that starts (default: instant)")
	up.Flags().StringVar(&serve.Record, "record", "", "`folder` that is given what Resource Manager is sent, without the values of secrets; for a local cloud that starts")
	down := &cobra.Command{
		Use: "down", Short: "Destroy the stacks, stop the local cloud and remove its state", Args: cobra.NoArgs,
		RunE: withHome(func(l *localCloud, ctx context.Context) error { return l.down(ctx, skipDestroy) }),
	}
	down.Flags().BoolVar(&skipDestroy, "skip-destroy", false, "do not destroy the stacks first: they go with the cloud that they are in")
	root.AddCommand(
		gets(up),
		gets(&cobra.Command{
			Use: "prepare", Short: "Install and build what the first up would, and start nothing", Args: cobra.NoArgs,
			RunE: withHome((*localCloud).prepareMachine),
		}),
		down,
		programsCommand(withArgs, gets),
		&cobra.Command{
			Use: "status", Short: "Say what runs and which stacks there are", Args: cobra.NoArgs,
			RunE: withHome((*localCloud).status),
		},
		&cobra.Command{
			Use: "env", Short: "Print what to export to use pulumi, kubectl and clients of Azure by hand: eval \"$(localcloud env)\"", Args: cobra.NoArgs,
			RunE: withHome((*localCloud).env),
		},
		&cobra.Command{ // for tests, which skip what cannot be
			Use: "can-run-real-node", Short: "Say why this machine cannot run a real node, or nothing", Hidden: true, Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return kube.CanRunRealNode() },
		},
		&cobra.Command{
			Use: serveCommand, Hidden: true, Args: cobra.NoArgs,
			RunE: withHome((*localCloud).serve),
		},
		&cobra.Command{
			Use: kube.SupervisorCommand, Hidden: true, DisableFlagParsing: true,
			RunE: func(cmd *cobra.Command, args []string) error { return kube.Supervise(cmd.Context(), args) },
		},
	)
	return root
}

// nodeFlag is the kind of node that was asked for, or none.
type nodeFlag struct{ kube.Node }

func (f *nodeFlag) String() string { return string(f.Node) }
func (f *nodeFlag) Type() string   { return "node" }

func (f *nodeFlag) Set(given string) error {
	switch n := kube.Node(given); n {
	case kube.RealNode, kube.StandInNode:
		f.Node = n
		return nil
	}
	return fmt.Errorf("%q is neither %s nor %s", given, kube.RealNode, kube.StandInNode)
}

// pluginsFlag is whose plugins were asked for, or none.
type pluginsFlag struct{ pluginKind }

func (f *pluginsFlag) String() string { return string(f.pluginKind) }
func (f *pluginsFlag) Type() string   { return "plugins" }

func (f *pluginsFlag) Set(given string) error {
	switch k := pluginKind(given); k {
	case realPlugins, standInPlugins:
		f.pluginKind = k
		return nil
	}
	return fmt.Errorf("%q is neither %s nor %s", given, realPlugins, standInPlugins)
}
