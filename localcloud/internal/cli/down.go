package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/daemon"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/engine"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// DownOptions are the options of `down`.
type DownOptions struct {
	SkipDestroy bool // do not destroy the stacks before their cloud is removed
}

func (c *cloud) downCommand() *cobra.Command {
	var o DownOptions
	cmd := &cobra.Command{
		Use: "down", Short: "Destroy the stacks, stop the local cloud and remove its state", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.down(cmd.Context(), o) },
	}
	cmd.Flags().BoolVar(&o.SkipDestroy, "skip-destroy", false,
		"do not destroy the stacks first; removing the local cloud removes them too")
	return cmd
}

// down destroys every stack and removes the local cloud. It also works when half of that is already gone: a stack that
// cannot be destroyed is removed with the cloud.
func (c *cloud) down(ctx context.Context, o DownOptions) error {
	if _, err := os.Stat(c.Dir); errors.Is(err, os.ErrNotExist) {
		c.say("there is no local cloud at %s", c.Dir)
		return nil
	}
	done, err := c.Alone()
	if err != nil {
		return err
	}
	defer done()
	var stacks []string
	if !o.SkipDestroy {
		stacks = c.Stacks()
	}
	for _, name := range stacks {
		if err := c.destroy(ctx, name); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if errors.Is(err, engine.ErrAtWork) {
				return fmt.Errorf("%w; `%s down --skip-destroy` removes the stack nevertheless", err, c.self)
			}
			c.say("stack %s could not be destroyed and is removed with the local cloud: %v", name, err)
		}
	}
	if others := c.OtherStacks(); len(others) > 0 && !o.SkipDestroy {
		why := "which do not belong to the program in " + c.Project
		if c.ProgramErr != nil {
			why = "whose program is unknown: " + c.ProgramErr.Error()
		}
		c.say("removed with the local cloud without being destroyed: the stacks %s, %s", strings.Join(others, ", "), why)
	}
	if len(stacks) > 0 {
		if err := c.listLeftGroups(ctx); ctx.Err() != nil {
			return ctx.Err()
		} else if err != nil {
			c.say("cannot tell which resource groups are left in Azure: %v", err)
		}
	}
	if err := c.end(ctx); err != nil {
		return err
	}
	if err := c.Remove(); err != nil {
		return fmt.Errorf("removing the local cloud's state: %w", err)
	}
	c.say("the local cloud and its state are removed; third-party programs stay in %s", c.Cache)
	return nil
}

// listLeftGroups names the resource groups that the destroyed stacks would leave in Azure, because they belong to
// others or a stack has lost track of them.
func (c *cloud) listLeftGroups(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second) // a fault plan may delay the answer
	defer cancel()
	r, err := c.Running()
	if err != nil {
		return err
	}
	names, err := engine.ResourceGroups(ctx, r)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		c.say("left in Azure, and removed with the local cloud: the resource groups %s", strings.Join(names, ", "))
	}
	return nil
}

func (c *cloud) destroy(ctx context.Context, name string) error {
	have, err := c.Setup()
	if err != nil {
		return err
	}
	for name, program := range have.Programs {
		if _, err := os.Stat(program); err != nil && !thirdparty.IsLater(name) {
			return fmt.Errorf("a third-party program is missing: %w", err)
		}
	}
	r, err := daemon.Start(ctx, c.Home, c.say)
	if err != nil {
		return err
	}
	s, err := engine.New(c.Home, name, have, c.terminal())
	if err != nil {
		return err
	}
	s.Join(r)
	return s.Destroy(ctx)
}
