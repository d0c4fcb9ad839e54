package cli

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/daemon"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/engine"
)

func (c *cloud) runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "run -- COMMAND [ARG]...", Args: cobra.MinimumNArgs(1),
		Short:   "Run a command in the environment that `env` prints, and start the local cloud where it does not run",
		Example: "  localcloud run -- pulumi up",
		// The command has what it would have without this one: the mask, the open files and the limits are not dropped.
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE:              func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), args) },
	}
	cmd.Flags().SetInterspersed(false) // what follows the command's name is for the command
	return cmd
}

// run becomes the command: signals, the exit code and the standard files are then its own.
func (c *cloud) run(ctx context.Context, args []string) error {
	r, err := c.Running()
	if err != nil || r.Build != daemon.Build() || len(r.Failed) > 0 {
		if err := c.startApart(ctx); err != nil {
			return err
		}
		if r, err = c.Running(); err != nil {
			return err
		}
	}
	if err := engine.LinkOthers(c.Home); err != nil { // those installed since the start, too
		return err
	}
	env := engine.Environment(c.Home, r, c.shellStack())
	for _, v := range env {
		if path, is := strings.CutPrefix(v, "PATH="); is { // by which the command is looked for
			if err := os.Setenv("PATH", path); err != nil {
				return err
			}
		}
	}
	program, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	if err := syscall.Exec(program, args, env); err != nil {
		return fmt.Errorf("running %s: %w", program, err)
	}
	return nil
}

// startApart starts the local cloud by another process of this program, which has nothing of this one pass to the
// cloud. What it tells goes to standard error.
func (c *cloud) startApart(ctx context.Context) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, exe, "start", "--project", c.Project, "--home", c.Dir)
	cmd.Stdout, cmd.Stderr = c.stderr, c.stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("starting the local cloud: %w", err)
	}
	return nil
}

// shellStack is the stack that pulumi finds selected by hand: the only one, or else dev, if `up` has configured it.
func (c *cloud) shellStack() string {
	if c.ProgramErr != nil {
		return ""
	}
	stack := "dev"
	if s := c.Stacks(); len(s) == 1 {
		stack = s[0]
	}
	if _, err := os.Stat(c.ConfigFile(stack)); err != nil {
		return ""
	}
	return stack
}
