package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// programsCommand returns the commands about third-party programs, which need no local cloud.
func programsCommand(withHome func(func(*localCloud, context.Context, []string) error) func(*cobra.Command, []string) error,
	gets func(*cobra.Command) *cobra.Command) *cobra.Command {
	programs := &cobra.Command{Use: "programs", Short: "Get, keep and move the third-party programs that the local cloud runs"}
	programs.AddCommand(gets(&cobra.Command{
		Use: "build [NAME]...", Short: "Download or build what up needs, and the programs named: " + thirdparty.Kubectl + ", " + thirdparty.Kubelogin,
		ValidArgs: []string{thirdparty.Kubectl, thirdparty.Kubelogin}, Args: cobra.OnlyValidArgs,
		RunE: withHome((*localCloud).buildPrograms),
	}))
	return programs
}

func (l *localCloud) buildPrograms(ctx context.Context, names []string) error {
	_, err := thirdparty.Ensure(ctx, l.thirdParty(names...))
	return err
}
