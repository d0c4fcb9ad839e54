// Package cli implements the commands of localcloud: their flags and their output.
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

// Run runs the command that args name and stops when ctx is done. Output goes to stdout, the log of the serving process
// to stderr.
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
		return fmt.Errorf("interrupted: run the same command again to continue, or `%s down` to remove everything", c.self)
	}
	return err
}

// command is the name of the command.
const command = "localcloud"

// cloud is the local cloud that a command works on, with the command's output.
type cloud struct {
	*home.Home
	*screen
	stdout, stderr io.Writer
	self           string // the command line that reaches the same local cloud, for hints
}

// terminal returns where the engine reports to.
func (c *cloud) terminal() engine.Terminal {
	return engine.Terminal{Say: c.say, Stdout: c.stdout, Stderr: c.stderr}
}

// callFor returns the command line that reaches h from the working directory.
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

// word quotes a path for a shell, if necessary.
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
		// The programs that the commands start inherit these settings.
		PersistentPreRunE: func(*cobra.Command, []string) error { return machine.DropInherited() },
	}
	var project, dir string
	flags := root.PersistentFlags()
	flags.StringVar(&project, "project", ".",
		"`folder` of the Pulumi program, if any; each folder has its own local cloud")
	flags.StringVar(&dir, "home", "",
		"`folder` for the local cloud's state (default: one for each project, in $XDG_STATE_HOME or ~/.local/state)")
	// located adds the local cloud that the flags select, which need not exist yet.
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
			Short: "Stop the local cloud and its clusters, and keep their state for the next start",
			Args:  cobra.NoArgs,
			RunE:  func(cmd *cobra.Command, _ []string) error { return c.stop(cmd.Context()) },
		}),
		located(c.runCommand()),
		located(c.prepareCommand()),
		located(c.downCommand()),
		c.programsCommand(located),
		located(&cobra.Command{
			Use:   "status",
			Short: "Show the running programs, the health of the clusters, and the stacks",
			Args:  cobra.NoArgs,
			RunE:  func(cmd *cobra.Command, _ []string) error { return c.status(cmd.Context()) },
		}),
		located(c.logsCommand()),
		&cobra.Command{
			Use:   "types",
			Short: "List the resource types that the stand-in plugins support, with their API versions",
			Args:  cobra.NoArgs,
			RunE:  func(*cobra.Command, []string) error { return c.types() },
		},
		located(c.envCommand()),
		located(c.ciTokenCommand()),
		located(c.dashboardCommand()),
		&cobra.Command{ // for tests, which skip what needs a real node
			Use:    "can-run-real-node",
			Short:  "Fail with the reason if this machine cannot run a real node",
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
		Short: "Print the exports that pulumi, kubectl and Azure clients need in a shell: eval \"$(localcloud env)\"",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return c.env(asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false,
		"print the whole environment of a command instead, as a JSON list of NAME=value, for use in other programs")
	return cmd
}

// ways holds the flags that choose between building third-party programs and downloading their releases.
type ways struct{ build, releases bool }

func (w *ways) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&w.build, "build", false,
		"build all third-party programs from source (default: download the vendor's release, or build the program if "+
			"the vendor does not answer within two seconds)")
	cmd.Flags().BoolVar(&w.releases, "releases", false,
		"download the vendors' releases of third-party programs, and fail if one is not available; build only the "+
			"programs without releases")
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
