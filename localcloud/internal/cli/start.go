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

// StartOptions are those of `start`, and of what starts a local cloud by the way.
type StartOptions struct {
	Node    kube.Node
	Plugins engine.PluginKind
	Serving home.Serving
	Way     thirdparty.Way
}

// flags has a command take these options. The function that it returns reads what the flags do not.
func (o *StartOptions) flags(cmd *cobra.Command) (read func() error) {
	var get ways
	var failing string
	flags := cmd.Flags()
	flags.Var(
		&choice[kube.Node]{&o.Node, "node", kube.RealNode, kube.StandInNode},
		"node",
		"what runs pods: `real` (Linux and root), or stand-in, which mounts volumes and runs no container (default: real where it can be)",
	)
	flags.Var(
		&choice[engine.PluginKind]{&o.Plugins, "plugins", engine.RealPlugins, engine.StandInPlugins},
		"plugins",
		"which azure-native and random the engine runs: `real`, as pulumi has installed them (--releases downloads what is missing), or stand-in (default: as before, at first stand-in)",
	)
	flags.StringVar(
		&failing,
		"faults",
		"",
		"`plan` of what fails, a file or YAML; for a local cloud that starts, and changed or ended at https://localcloud.internal/faults",
	)
	flags.StringVar(
		&o.Serving.Times,
		"times",
		"",
		"`profile` of how long operations on Azure take: instant, azure, or azure/100 for a hundredth of that; for a local cloud that starts (default: instant)",
	)
	flags.StringVar(
		&o.Serving.Record,
		"record",
		"",
		"`folder` that is given what Resource Manager is sent, without the values of secrets; for a local cloud that starts",
	)
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
		Short: "Start the local cloud without a stack in it, for programs that `run` or a shell with `env` runs",
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

// start has the local cloud serve, and the engine find its home. What is there is kept.
func (c *cloud) start(ctx context.Context, o StartOptions) error {
	c.sayWhatIsKept(o)
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
	c.say(
		"started in %s; `%[2]s run -- COMMAND`, or `eval \"$(%[2]s env)\"` in a shell, lets pulumi, kubectl and clients of Azure use it",
		time.Since(begin).Round(100*time.Millisecond),
		c.self,
	)
	c.say("`%[1]s stop` ends it and keeps what it has, `%[1]s down` removes it", c.self)
	return nil
}

// sayWhatIsKept tells that options for a local cloud that starts are not for one that runs.
func (c *cloud) sayWhatIsKept(o StartOptions) {
	if r, err := c.Running(); err == nil && r.Build == daemon.Build() && !reflect.DeepEqual(o.Serving, home.Serving{}) {
		c.say(
			"the local cloud runs already and keeps the faults, times and record that it began with: --faults, --times and --record are not for it",
		)
	}
}

// stop ends the local cloud with its clusters, and what a killed `up` has left. All state stays.
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
	c.say("the local cloud has stopped; `%[1]s start` goes on with what it has, `%[1]s down` removes it", c.self)
	return nil
}

// end leaves no process of the local cloud and nothing of one on the machine but its home.
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
