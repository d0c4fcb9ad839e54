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
		Short:   "Run a command in the environment that `env` prints; start the local cloud first if it is not running",
		Example: "  localcloud run -- pulumi up",
		// The command inherits the umask, the open files and the limits of the shell.
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE:              func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), args) },
	}
	cmd.Flags().SetInterspersed(false) // flags after the command's name belong to the command
	return cmd
}

// run replaces this process by the command, which thus has its own signals, exit code and standard files.
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
	if err := engine.LinkOthers(c.Home); err != nil { // plugins may have been installed since the start
		return err
	}
	env := engine.Environment(c.Home, r, c.shellStack())
	for _, v := range env {
		if path, is := strings.CutPrefix(v, "PATH="); is { // exec.LookPath uses it
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

// startApart starts the local cloud in another process, so that the cloud inherits nothing from this one. The output of
// that process goes to standard error.
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

// shellStack returns the stack that pulumi finds selected in a shell: the only stack, or else dev, if `up` has
// configured it.
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
