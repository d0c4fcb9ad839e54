// Command accounts gives one identity credentials for service accounts: a configured number, and those that the
// configuration names, from the first cluster and any others. The accounts exist already, so it needs no cluster.
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
