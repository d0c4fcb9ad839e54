// One vault and two clusters for five teams. Each team has a namespace, an identity and secrets of its own, and its
// pods can read no other team's.
package main

import (
	"fmt"

	resources "github.com/pulumi/pulumi-azure-native-sdk/resources/v2/v20220901"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"

	"github.com/keyvault-aks/keyvault-aks/components"
)

var clusterNames = []string{"east", "west"}

// team is a team of the platform. Its name is also the name of its namespace and its service account, and the prefix of
// its secrets in the vault.
type team struct {
	name    string
	cluster string
	secrets []string
}

var teams = []team{
	{name: "payments", cluster: "east", secrets: []string{"database", "gateway"}},
	{name: "orders", cluster: "east", secrets: []string{"database"}},
	{name: "catalog", cluster: "east", secrets: []string{"database", "search"}},
	{name: "accounts", cluster: "west", secrets: []string{"database"}},
	{name: "reports", cluster: "west", secrets: []string{"warehouse"}},
}

func main() { pulumi.Run(program) }

func program(ctx *pulumi.Context) error {
	cfg := config.New(ctx, "")
	location := pulumi.String(cfg.Require("location"))
	group, err := resources.NewResourceGroup(ctx, "platform", &resources.ResourceGroupArgs{Location: location})
	if err != nil {
		return err
	}

	var secrets []components.SecretArgs
	for _, t := range teams {
		for _, secret := range t.secrets {
			secrets = append(secrets, components.SecretArgs{
				Name: t.inVault(secret), Generate: &components.GenerateArgs{}, Tags: map[string]string{"team": t.name},
			})
		}
	}
	vault, err := components.NewKeyVaultStack(ctx, "vault", &components.KeyVaultStackArgs{
		ResourceGroupName:       group.Name,
		Location:                location,
		TenantID:                pulumi.String(cfg.Require("tenantId")),
		APIVersion:              components.VaultAPI20260201,
		NamePrefix:              "kv-platform",
		SoftDeleteRetentionDays: 7,
		Secrets:                 secrets,
	})
	if err != nil {
		return err
	}

	clusters, kubeconfigs := map[string]*components.AksWithCsi{}, pulumi.StringMap{}
	for _, name := range clusterNames {
		clusters[name], err = components.NewAksWithCsi(ctx, name, &components.AksWithCsiArgs{
			ResourceGroupName: group.Name,
			Location:          location,
		})
		if err != nil {
			return err
		}
		kubeconfigs[name] = clusters[name].Kubeconfig
	}

	for _, t := range teams {
		if err := t.settle(ctx, group.Name, vault, clusters[t.cluster]); err != nil {
			return fmt.Errorf("team %s: %w", t.name, err)
		}
	}
	ctx.Export("vaultName", vault.VaultName)
	ctx.Export("vaultId", vault.VaultID)
	ctx.Export("vaultUri", vault.VaultURI)
	ctx.Export("kubeconfigs", kubeconfigs)
	return nil
}

func (t team) inVault(secret string) string { return t.name + "-" + secret }

// settle creates a team's resources: its namespace, its identity, the roles on its secrets only, and the class with
// which its pods mount them.
func (t team) settle(
	ctx *pulumi.Context, group pulumi.StringInput, vault *components.KeyVaultStack, aks *components.AksWithCsi,
) error {
	identity, err := components.NewWorkloadIdentity(ctx, t.name, &components.WorkloadIdentityArgs{
		ResourceGroupName: group,
		Cluster:           aks.Cluster,
		IssuerURL:         aks.IssuerURL,
		Namespace:         t.name,
		CreateNamespace:   true,
		Labels:            map[string]string{"team": t.name},
		ServiceAccounts:   []components.ServiceAccountArgs{{Name: t.name}},
	})
	if err != nil {
		return err
	}
	var objects []components.ObjectArgs
	for _, secret := range t.secrets {
		objects = append(objects, components.ObjectArgs{
			Type: components.ObjectSecret, Name: t.inVault(secret), Alias: secret,
		})
	}
	_, err = components.NewSecretMount(ctx, t.name+"-mount", &components.SecretMountArgs{
		VaultID:            vault.VaultID,
		VaultName:          vault.VaultName,
		TenantID:           vault.TenantID,
		ClientID:           identity.ClientID,
		PrincipalID:        identity.PrincipalID,
		Cluster:            identity.Cluster,
		Namespace:          t.name,
		ServiceAccountName: identity.ServiceAccounts.Index(pulumi.Int(0)),
		ClassName:          "secrets", // what the team's own manifests name
		Objects:            objects,
		TestPod:            &components.TestPodArgs{},
	})
	return err
}
