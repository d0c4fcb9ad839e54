package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/faults"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/daemon"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/engine"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/kube"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// StartOptions are the options of `start` and of the commands that also start a local cloud.
type StartOptions struct {
	Node    kube.Node
	Plugins engine.PluginKind
	Serving home.Serving
	Way     thirdparty.Way
}

// flags adds these options to a command. The command must call read before it uses them.
func (o *StartOptions) flags(cmd *cobra.Command) (read func() error) {
	var get ways
	var failing string
	flags := cmd.Flags()
	flags.Var(&choice[kube.Node]{&o.Node, "node", kube.RealNode, kube.StandInNode}, "node",
		"`kind` of node that runs pods: real (needs Linux and root), or stand-in, which mounts volumes but runs no "+
			"containers (default: real if the machine can run it)")
	flags.Var(&choice[engine.PluginKind]{&o.Plugins, "plugins", engine.RealPlugins, engine.StandInPlugins}, "plugins",
		"`kind` of azure-native and random plugins: real, as installed by pulumi (--releases downloads missing ones), or "+
			"stand-in (default: the kind used before, initially stand-in)")
	flags.StringVar(&failing, "faults", "",
		"fault `plan`, a file or YAML, for a local cloud that is not running yet; to change or remove it later, use "+
			"https://localcloud.internal/faults")
	flags.StringVar(&o.Serving.Times, "times", "",
		"`profile` of how long Azure's operations take: instant, azure, or azure/100 for a hundredth of Azure's times; "+
			"only for a local cloud that is not running yet (default: instant)")
	flags.StringVar(&o.Serving.Record, "record", "",
		"`folder` in which to record requests to Resource Manager, without secret values; only for a local cloud that "+
			"is not running yet")
	get.flags(cmd)
	return func() (err error) {
		o.Way = get.way()
		if o.Serving.Faults, err = faults.Load(failing); err != nil {
			return fmt.Errorf("--faults: %w", err)
		}
		if _, err := azure.ParseTimes(o.Serving.Times); err != nil {
			return fmt.Errorf("--times: %w", err)
		}
		return nil
	}
}

func (c *cloud) startCommand() *cobra.Command {
	var o StartOptions
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Start the local cloud without a stack, for programs that you run with `run` or after `env`",
		Args:  cobra.NoArgs,
	}
	read := o.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := read(); err != nil {
			return err
		}
		return c.start(cmd.Context(), o)
	}
	return cmd
}

// start starts the local cloud, with the state it has, and sets up the engine's home.
func (c *cloud) start(ctx context.Context, o StartOptions) error {
	c.warnOfIgnored(o)
	begin := time.Now()
	done, err := c.Alone()
	if err != nil {
		return err
	}
	defer done()
	get := c.thirdParty(o.Way)
	have, err := c.setUp(ctx, o, get, false)
	if err != nil {
		return err
	}
	if _, err := engine.New(c.Home, "", have, c.terminal()); err != nil {
		return err
	}
	r, err := daemon.Start(ctx, c.Home, c.say)
	if err != nil {
		return err
	}
	c.say("local cloud: Azure behind the proxy %s, log in %s", r.Proxy, c.Path(home.LogFile))
	took := time.Since(begin).Round(100 * time.Millisecond)
	c.say("started in %s. `%[2]s run -- COMMAND`, or `eval \"$(%[2]s env)\"` in a shell, connects pulumi, kubectl and "+
		"Azure clients to it", took, c.self)
	c.say("`%[1]s stop` stops it and keeps its state; `%[1]s down` removes it", c.self)
	return nil
}

// warnOfIgnored warns if a local cloud is already running and o has options that only take effect at its start.
func (c *cloud) warnOfIgnored(o StartOptions) {
	if r, err := c.Running(); err == nil && r.Build == daemon.Build() && !reflect.DeepEqual(o.Serving, home.Serving{}) {
		c.say("the local cloud is already running: --faults, --times and --record are ignored, since they take effect " +
			"only when it starts")
	}
}

// stop stops the local cloud with its clusters, and ends what a killed `up` has left running. All state stays.
func (c *cloud) stop(ctx context.Context) error {
	if _, err := os.Stat(c.Dir); errors.Is(err, os.ErrNotExist) {
		c.say("there is no local cloud at %s", c.Dir)
		return nil
	}
	done, err := c.Alone()
	if err != nil {
		return err
	}
	defer done()
	if err := c.end(ctx); err != nil {
		return err
	}
	c.say("the local cloud has stopped; `%[1]s start` starts it again with its state, `%[1]s down` removes it", c.self)
	return nil
}

// end ends all processes of the local cloud and removes everything of them from the machine but its home.
func (c *cloud) end(ctx context.Context) error {
	if err := engine.EndPulumis(c.Home); err != nil {
		return err
	}
	if err := engine.EndEngines(c.Home); err != nil {
		return err
	}
	if err := daemon.Stop(ctx, c.Home); err != nil {
		return err
	}
	kube.Sweep(c.Path(home.KubeDir))
	return nil
}
