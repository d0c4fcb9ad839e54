// As many service accounts as it is told on one identity, or those that it is told, from as many clusters as it is told
// besides the first. They exist already, so that no cluster is needed.
package main

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"

	"github.com/keyvault-aks/keyvault-aks/components"
)

func main() { pulumi.Run(program) }

func program(ctx *pulumi.Context) error {
	cfg := config.New(ctx, "")
	args := &components.WorkloadIdentityArgs{
		IssuerURL: pulumi.String(cfg.Require("issuerUrl")),
		Namespace: cmp.Or(cfg.Get("namespace"), "many"),
	}
	if id := cfg.Get("identityId"); id != "" {
		args.ExistingIdentityID = pulumi.String(id)
	} else {
		args.ResourceGroupName = pulumi.String(cfg.Require("resourceGroupName"))
		args.Location = pulumi.String("eastus")
	}
	var accounts, clusters []string
	if err := errors.Join(cfg.GetObject("accounts", &accounts), cfg.GetObject("clusters", &clusters)); err != nil {
		return err
	}
	for i := range cfg.GetInt("count") {
		accounts = append(accounts, fmt.Sprintf("account-%02d", i))
	}
	for _, account := range accounts {
		args.ServiceAccounts = append(args.ServiceAccounts, components.ServiceAccountArgs{Name: account, Existing: true})
	}
	for _, cluster := range clusters {
		args.AdditionalIssuers = append(args.AdditionalIssuers, components.IssuerArgs{
			Name: cluster, URL: pulumi.String("https://issuer.example/" + cluster + "/"),
		})
	}
	_, err := components.NewWorkloadIdentity(ctx, "many", args)
	return err
}
