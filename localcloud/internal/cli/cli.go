// Package cli has the commands of localcloud: their flags, and what they say.
package cli

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/daemon"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/engine"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/machine"
	"github.com/keyvault-aks/keyvault-aks/localcloud/kube"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// Run runs the command that the arguments name, until ctx is done at the latest. What it tells goes to stdout, and what
// the one that serves logs, to stderr.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c := &cloud{screen: &screen{out: stdout}, stdout: stdout, stderr: stderr, self: command}
	root := c.command()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return nil
	}
	c.clear()
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted: the same command goes on from here, and `%s down` removes what there is", c.self)
	}
	return err
}

// command is the name of the command.
const command = "localcloud"

// cloud is the local cloud that a command is for, and where it tells what happens.
type cloud struct {
	*home.Home
	*screen        // for the one who waits
	stdout, stderr io.Writer
	self           string // how to call this command for the same local cloud
}

// terminal is where the engine tells what happens.
func (c *cloud) terminal() engine.Terminal {
	return engine.Terminal{Say: c.say, Stdout: c.stdout, Stderr: c.stderr}
}

// callFor is how to call this command, where it was called, for the same local cloud.
func callFor(h *home.Home) string {
	self := command
	if here, err := filepath.Abs("."); err != nil || here != h.Project {
		self += " --project " + word(h.Project)
	}
	if standard, err := home.Locate(h.Project, ""); err != nil || standard.Dir != h.Dir {
		self += " --home " + word(h.Dir)
	}
	return self
}

// word is a path as somebody writes it in a shell.
func word(path string) string {
	plain := func(c rune) bool {
		return unicode.IsLetter(c) || unicode.IsDigit(c) || strings.ContainsRune("/._+@-", c)
	}
	if strings.IndexFunc(path, func(c rune) bool { return !plain(c) }) < 0 {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

func (c *cloud) command() *cobra.Command {
	root := &cobra.Command{
		Use:           command,
		Short:         "Azure on one machine, for Pulumi programs",
		SilenceUsage:  true,
		SilenceErrors: true,
		// For what the commands start.
		PersistentPreRunE: func(*cobra.Command, []string) error { return machine.DropInherited() },
	}
	var project, dir string
	flags := root.PersistentFlags()
	flags.StringVar(&project, "project", ".",
		"`folder` of the Pulumi program, if there is one: each folder has a local cloud of its own")
	flags.StringVar(&dir, "home", "",
		"`folder` of the local cloud's state (default: one for each project folder, below $XDG_STATE_HOME or "+
			"~/.local/state)")
	// located is a command for a local cloud that is found, or could be there.
	located := func(cmd *cobra.Command) *cobra.Command {
		cmd.PreRunE = func(*cobra.Command, []string) (err error) {
			if c.Home, err = home.Locate(project, dir); err == nil {
				c.self = callFor(c.Home)
			}
			return err
		}
		return cmd
	}
	root.AddCommand(
		located(c.upCommand()),
		located(c.startCommand()),
		located(&cobra.Command{
			Use:   "stop",
			Short: "End the local cloud and its clusters, and keep their state for the next start",
			Args:  cobra.NoArgs,
			RunE:  func(cmd *cobra.Command, _ []string) error { return c.stop(cmd.Context()) },
		}),
		located(c.runCommand()),
		located(c.prepareCommand()),
		located(c.downCommand()),
		c.programsCommand(located),
		located(&cobra.Command{
			Use: "status", Short: "Say what runs, how the clusters are, and which stacks there are", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return c.status(cmd.Context()) },
		}),
		located(c.logsCommand()),
		&cobra.Command{
			Use:   "types",
			Short: "List the types of resources that the stand-in plugins know, with their API versions",
			Args:  cobra.NoArgs,
			RunE:  func(*cobra.Command, []string) error { return c.types() },
		},
		located(c.envCommand()),
		located(c.ciTokenCommand()),
		&cobra.Command{ // for tests, which skip what cannot be
			Use:    "can-run-real-node",
			Short:  "Say why this machine cannot run a real node, or nothing",
			Hidden: true,
			Args:   cobra.NoArgs,
			RunE:   func(*cobra.Command, []string) error { return kube.CanRunRealNode() },
		},
		located(&cobra.Command{
			Use: daemon.Command, Hidden: true, Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return daemon.Serve(cmd.Context(), c.Home, c.stderr) },
		}),
		&cobra.Command{
			Use: kube.SupervisorCommand, Hidden: true, DisableFlagParsing: true,
			RunE: func(cmd *cobra.Command, args []string) error { return kube.Supervise(cmd.Context(), args) },
		},
	)
	return root
}

func (c *cloud) envCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print what to export to use pulumi, kubectl and clients of Azure by hand: eval \"$(localcloud env)\"",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return c.env(asJSON) },
	}
	cmd.Flags().
		BoolVar(&asJSON, "json", false, "print the whole environment of a command instead, as a list of NAME=value, for programs that start others")
	return cmd
}

// ways are the flags of a command that gets third-party programs, the one way or the other.
type ways struct{ build, releases bool }

func (w *ways) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&w.build, "build", false,
		"build all third-party programs, and ask no vendor (default: release where the vendor answers within two "+
			"seconds)")
	cmd.Flags().BoolVar(&w.releases, "releases", false,
		"take the vendors' releases of third-party programs, and fail where one cannot be had; what has none is "+
			"built")
	cmd.MarkFlagsMutuallyExclusive("build", "releases")
}

func (w *ways) way() (way thirdparty.Way) {
	switch {
	case w.build:
		way = thirdparty.Build
	case w.releases:
		way = thirdparty.Releases
	}
	return way
}
