package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/engine"
	"github.com/keyvault-aks/keyvault-aks/localcloud/kube"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// thirdParty returns the options for getting the programs that every `up` needs, and also the named ones.
func (c *cloud) thirdParty(way thirdparty.Way, also ...string) thirdparty.Options {
	return thirdparty.Options{Cache: c.Cache, Also: also, Way: way, Progress: c.progress()}
}

// PrepareOptions are the options of `prepare`.
type PrepareOptions struct {
	Way thirdparty.Way
}

func (c *cloud) prepareCommand() *cobra.Command {
	var get ways
	cmd := &cobra.Command{
		Use:   "prepare",
		Short: "Install and build everything that the first `up` needs, without starting the local cloud",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return c.prepare(cmd.Context(), PrepareOptions{get.way()}) },
	}
	get.flags(cmd)
	return cmd
}

// prepare installs and builds everything that the first `up` needs.
func (c *cloud) prepare(ctx context.Context, o PrepareOptions) error {
	if c.ProgramErr != nil {
		return c.ProgramErr
	}
	node := kube.RealNode
	if kube.CanRunRealNode() != nil {
		node = kube.StandInNode
	}
	get := c.thirdParty(o.Way)
	get.Program = engine.Source(c.Home)
	if _, err := c.programs(ctx, node, get); err != nil {
		return err
	}
	if err := engine.Compile(ctx, c.Home, get.Progress); err != nil {
		return err
	}
	also := []string{thirdparty.Kubectl, thirdparty.Kubelogin}
	if host := thirdparty.LanguageHost(c.Program.Runtime.Name); thirdparty.IsLater(host) {
		also = append(also, host)
	}
	_, err := thirdparty.Ensure(ctx, c.thirdParty(o.Way, also...))
	return err
}

// programsCommand returns the commands for third-party programs, which need no local cloud.
func (c *cloud) programsCommand(located func(*cobra.Command) *cobra.Command) *cobra.Command {
	programs := &cobra.Command{
		Use:   "programs",
		Short: "Get, export and import the third-party programs that the local cloud runs",
	}
	programs.AddCommand(located(c.buildCommand()), located(&cobra.Command{
		Use: "export FILE", Args: cobra.ExactArgs(1),
		Short: "Write the installed programs to an archive, for machines with the same system and architecture",
		RunE: func(cmd *cobra.Command, args []string) error {
			return thirdparty.Export(cmd.Context(), c.thirdParty(""), args[0])
		},
	}), located(c.importCommand()))
	return programs
}

// BuildOptions are the options of `programs build`.
type BuildOptions struct {
	Names []string
	Path  bool // get only these, and print their paths
	Way   thirdparty.Way
}

func (c *cloud) buildCommand() *cobra.Command {
	var o BuildOptions
	var get ways
	cmd := &cobra.Command{
		Use:       "build [NAME]...",
		Short:     "Download or build what `up` needs and the named programs: " + strings.Join(thirdparty.Later(), ", "),
		ValidArgs: thirdparty.Later(),
		Args:      cobra.OnlyValidArgs,
		RunE: func(cmd *cobra.Command, names []string) error {
			o.Names, o.Way = names, get.way()
			return c.build(cmd.Context(), o)
		},
	}
	cmd.Flags().BoolVar(&o.Path, "path", false,
		"get only the named programs, print their paths to standard output and everything else to standard error")
	get.flags(cmd)
	return cmd
}

func (c *cloud) build(ctx context.Context, o BuildOptions) error {
	if o.Path {
		c.screen.out = c.stderr
	}
	get := c.thirdParty(o.Way, o.Names...)
	get.Only = o.Path
	programs, err := thirdparty.Ensure(ctx, get)
	if err != nil || !o.Path {
		return err
	}
	for _, name := range o.Names {
		fmt.Fprintln(c.stdout, programs[name])
	}
	return nil
}

// ImportOptions are the options of `programs import`.
type ImportOptions struct {
	From string // a file or a URL
	Sum  string // SHA-256 of the archive; may be empty for a file
}

func (c *cloud) importCommand() *cobra.Command {
	var o ImportOptions
	cmd := &cobra.Command{
		Use: "import FILE|URL", Args: cobra.ExactArgs(1),
		Short: "Install the programs of an archive, instead of downloading or building them",
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if o.Sum == "" && cmd.Flags().Changed("sha256") { // most likely a variable that is not set
			return errors.New("--sha256 is empty: set it to the sum that `programs export` printed, or omit the flag")
		}
		o.From = args[0]
		return thirdparty.Import(cmd.Context(), c.thirdParty(""), o.From, o.Sum)
	}
	cmd.Flags().StringVar(&o.Sum, "sha256", "",
		"SHA-256 `sum` of the archive, as `programs export` prints it; required for a URL")
	return cmd
}
