// As many service accounts as it is told on one identity. They exist already, so that no cluster is needed.
package main

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"

	"github.com/keyvault-aks/keyvault-aks/components"
)

func main() { pulumi.Run(program) }

func program(ctx *pulumi.Context) error {
	cfg := config.New(ctx, "")
	args := &components.WorkloadIdentityArgs{
		ResourceGroupName: pulumi.String(cfg.Require("resourceGroupName")),
		IssuerURL:         pulumi.String(cfg.Require("issuerUrl")),
		Location:          pulumi.String("eastus"),
		Namespace:         "many",
	}
	for i := range cfg.RequireInt("count") {
		args.ServiceAccounts = append(args.ServiceAccounts, components.ServiceAccountArgs{Name: fmt.Sprintf("account-%02d", i), Existing: true})
	}
	_, err := components.NewWorkloadIdentity(ctx, "many", args)
	return err
}
