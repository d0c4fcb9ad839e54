package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// programsCommand returns the commands about third-party programs, which need no local cloud.
func programsCommand(withArgs func(func(*localCloud, context.Context, []string) error) func(*cobra.Command, []string) error,
	gets func(*cobra.Command) *cobra.Command) *cobra.Command {
	programs := &cobra.Command{Use: "programs", Short: "Get, keep and move the third-party programs that the local cloud runs"}
	var path bool
	build := &cobra.Command{
		Use: "build [NAME]...", Short: "Download or build what up needs, and the programs named: " + strings.Join(thirdparty.Later(), ", "),
		ValidArgs: thirdparty.Later(), Args: cobra.OnlyValidArgs,
		RunE: withArgs(func(l *localCloud, ctx context.Context, names []string) error {
			return l.buildPrograms(ctx, names, path)
		}),
	}
	build.Flags().BoolVar(&path, "path", false, "get only the programs named and print where they are, and all else to standard error")
	programs.AddCommand(gets(build))
	programs.AddCommand(&cobra.Command{
		Use: "export FILE", Args: cobra.ExactArgs(1),
		Short: "Write the programs that there are into an archive, for other machines of this kind",
		RunE:  withArgs((*localCloud).exportPrograms),
	})
	var sum string
	imports := &cobra.Command{
		Use: "import FILE|URL", Args: cobra.ExactArgs(1),
		Short: "Put the programs of an archive where up looks for them, instead of building them",
	}
	imports.RunE = withArgs(func(l *localCloud, ctx context.Context, args []string) error {
		if sum == "" && imports.Flags().Changed("sha256") { // a variable that is not set, most likely
			return errors.New("--sha256 is empty: give the sum that export printed, or leave the flag out")
		}
		return thirdparty.Import(ctx, l.thirdParty(false), args[0], sum)
	})
	imports.Flags().StringVar(&sum, "sha256", "", "`sum` that the archive must have, which export prints; a URL needs one")
	programs.AddCommand(imports)
	return programs
}

func (l *localCloud) exportPrograms(ctx context.Context, args []string) error {
	return thirdparty.Export(ctx, l.thirdParty(false), args[0])
}

func (l *localCloud) buildPrograms(ctx context.Context, names []string, path bool) error {
	if path {
		told.out = os.Stderr
	}
	get := l.thirdParty(false, names...)
	get.Only = path
	programs, err := thirdparty.Ensure(ctx, get)
	if err != nil || !path {
		return err
	}
	for _, name := range names {
		fmt.Println(programs[name])
	}
	return nil
}
