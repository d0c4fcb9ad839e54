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

// DownOptions are those of `down`.
type DownOptions struct {
	SkipDestroy bool // of the stacks, which go with the cloud that they are in
}

func (c *cloud) downCommand() *cobra.Command {
	var o DownOptions
	cmd := &cobra.Command{
		Use: "down", Short: "Destroy the stacks, stop the local cloud and remove its state", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.down(cmd.Context(), o) },
	}
	cmd.Flags().BoolVar(&o.SkipDestroy, "skip-destroy", false,
		"do not destroy the stacks first: they go with the cloud that they are in")
	return cmd
}

// down destroys every stack and removes the local cloud. It works also when half of that is gone: what cannot be
// destroyed any more, or need not be, is removed with the cloud that it was in.
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
				return fmt.Errorf("%w; `%s down --skip-destroy` removes it all the same", err, c.self)
			}
			c.say("stack %s could not be destroyed and goes with its cloud: %v", name, err)
		}
	}
	if others := c.OtherStacks(); len(others) > 0 && !o.SkipDestroy {
		why := "which are not of the program in " + c.Project
		if c.ProgramErr != nil {
			why = "whose program is not known: " + c.ProgramErr.Error()
		}
		c.say("not destroyed, and gone with the local cloud: the stacks %s, %s", strings.Join(others, ", "), why)
	}
	if len(stacks) > 0 {
		if err := c.sayWhatIsLeft(ctx); ctx.Err() != nil {
			return ctx.Err()
		} else if err != nil {
			c.say("what is left in Azure is not known: %v", err)
		}
	}
	if err := c.end(ctx); err != nil {
		return err
	}
	if err := c.Remove(); err != nil {
		return fmt.Errorf("removing the local cloud's state: %w", err)
	}
	c.say("the local cloud is down and its state removed; third-party programs stay in %s", c.Cache)
	return nil
}

// sayWhatIsLeft names the resource groups that would still be there if this were Azure: somebody else's, or forgotten
// by a stack.
func (c *cloud) sayWhatIsLeft(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second) // faults may have it wait
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
		c.say("left in Azure, and gone with the local cloud: the resource groups %s", strings.Join(names, ", "))
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
			return fmt.Errorf("a program is gone: %w", err)
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
