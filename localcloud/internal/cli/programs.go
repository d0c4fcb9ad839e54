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

// thirdParty says where third-party programs are kept and how they are got, and which are wanted beside those that
// every up needs.
func (c *cloud) thirdParty(way thirdparty.Way, also ...string) thirdparty.Options {
	return thirdparty.Options{Cache: c.Cache, Also: also, Way: way, Progress: c.progress()}
}

// PrepareOptions are those of `prepare`.
type PrepareOptions struct {
	Way thirdparty.Way
}

func (c *cloud) prepareCommand() *cobra.Command {
	var get ways
	cmd := &cobra.Command{
		Use: "prepare", Short: "Install and build what the first up would, and start nothing", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.prepare(cmd.Context(), PrepareOptions{get.way()}) },
	}
	get.flags(cmd)
	return cmd
}

// prepare does ahead what the first `up` would do, and starts nothing.
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

// programsCommand returns the commands about third-party programs, which need no local cloud.
func (c *cloud) programsCommand(located func(*cobra.Command) *cobra.Command) *cobra.Command {
	programs := &cobra.Command{
		Use:   "programs",
		Short: "Get, keep and move the third-party programs that the local cloud runs",
	}
	programs.AddCommand(located(c.buildCommand()), located(&cobra.Command{
		Use: "export FILE", Args: cobra.ExactArgs(1),
		Short: "Write the programs that there are into an archive, for other machines of this kind",
		RunE: func(cmd *cobra.Command, args []string) error {
			return thirdparty.Export(cmd.Context(), c.thirdParty(""), args[0])
		},
	}), located(c.importCommand()))
	return programs
}

// BuildOptions are those of `programs build`.
type BuildOptions struct {
	Names []string
	Path  bool // get these alone, and print where they are
	Way   thirdparty.Way
}

func (c *cloud) buildCommand() *cobra.Command {
	var o BuildOptions
	var get ways
	cmd := &cobra.Command{
		Use:       "build [NAME]...",
		Short:     "Download or build what up needs, and the programs named: " + strings.Join(thirdparty.Later(), ", "),
		ValidArgs: thirdparty.Later(),
		Args:      cobra.OnlyValidArgs,
		RunE: func(cmd *cobra.Command, names []string) error {
			o.Names, o.Way = names, get.way()
			return c.build(cmd.Context(), o)
		},
	}
	cmd.Flags().BoolVar(&o.Path, "path", false,
		"get only the programs named and print where they are, and all else to standard error")
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

// ImportOptions are those of `programs import`.
type ImportOptions struct {
	From string // a file or a URL
	Sum  string // that the archive must have; empty: any, of a file
}

func (c *cloud) importCommand() *cobra.Command {
	var o ImportOptions
	cmd := &cobra.Command{
		Use: "import FILE|URL", Args: cobra.ExactArgs(1),
		Short: "Put the programs of an archive where up looks for them, instead of building them",
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if o.Sum == "" && cmd.Flags().Changed("sha256") { // a variable that is not set, most likely
			return errors.New("--sha256 is empty: give the sum that export printed, or leave the flag out")
		}
		o.From = args[0]
		return thirdparty.Import(cmd.Context(), c.thirdParty(""), o.From, o.Sum)
	}
	cmd.Flags().StringVar(&o.Sum, "sha256", "",
		"`sum` that the archive must have, which export prints; a URL needs one")
	return cmd
}
