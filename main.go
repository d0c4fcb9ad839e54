// The program mounts the secrets, keys and certificates of an Azure Key Vault into pods on Azure Kubernetes Service.
package main

import (
	_ "embed"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/infra"
)

// readme is the stack's page in Pulumi Cloud, which puts the stack's outputs in the place of ${outputs.NAME}
// (https://www.pulumi.com/docs/pulumi-cloud/projects-and-stacks/#stack-readme).
//
//go:embed Pulumi.README.md
var readme string

func main() {
	var config map[string]string
	pulumi.Run(
		func(ctx *pulumi.Context) error { return program(ctx, config) },
		func(run *pulumi.RunInfo) { config = run.Config },
	)
}

// program is the whole system. The vault, the cluster and the identities do not wait for each other. A mount's roles
// wait for the vault and the identity, and its Kubernetes objects for all three.
func program(ctx *pulumi.Context, config map[string]string) error {
	cfg, err := infra.LoadConfig(ctx, config)
	if err != nil {
		return err
	}
	around, err := infra.NewSurroundings(ctx, cfg)
	if err != nil {
		return err
	}
	vault, err := components.NewKeyVaultStack(ctx, "vault", cfg.Vault(around))
	if err != nil {
		return err
	}
	aks, err := components.NewAksWithCsi(ctx, "cluster", cfg.Cluster(around))
	if err != nil {
		return err
	}
	cluster, err := around.InCluster(ctx, cfg, aks)
	if err != nil {
		return err
	}
	var outputs infra.Outputs
	for _, w := range cfg.Workloads {
		identity, err := components.NewWorkloadIdentity(ctx, w.Name, w.Identity(around, components.WorkloadIdentityArgs{
			Cluster:   cluster,
			IssuerURL: aks.IssuerURL,
		}), w.IdentityAliases())
		if err != nil {
			return err
		}
		mount, err := components.NewSecretMount(ctx, w.Name+"-mount", w.Mount(components.SecretMountArgs{
			VaultID:            vault.VaultID,
			VaultName:          vault.VaultName,
			TenantID:           vault.TenantID,
			ClientID:           identity.ClientID,
			PrincipalID:        identity.PrincipalID,
			Cluster:            identity.Cluster,
			ServiceAccountName: identity.ServiceAccounts.Index(pulumi.Int(0)),
		}, vault.SecretVersions), w.MountAliases())
		if err != nil {
			return err
		}
		outputs.Add(w, identity, mount)
	}
	outputs.Export(ctx, vault, aks)
	ctx.Export("readme", pulumi.String(readme))
	return nil
}
