// A vault, a cluster, and a pod that reads a secret of the vault without a password.
package main

import (
	resources "github.com/pulumi/pulumi-azure-native-sdk/resources/v2/v20220901"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"

	"github.com/keyvault-aks/keyvault-aks/components"
)

func main() { pulumi.Run(program) }

func program(ctx *pulumi.Context) error {
	cfg := config.New(ctx, "")
	location, namespace := pulumi.String(cfg.Require("location")), cfg.Require("namespace")
	group, err := resources.NewResourceGroup(ctx, "group", &resources.ResourceGroupArgs{Location: location})
	if err != nil {
		return err
	}

	aks, err := components.NewAksWithCsi(ctx, "cluster", &components.AksWithCsiArgs{
		ResourceGroupName: group.Name,
		Location:          location,
	})
	if err != nil {
		return err
	}

	// Pods of the service account use the identity.
	identity, err := components.NewWorkloadIdentity(ctx, "app", &components.WorkloadIdentityArgs{
		ResourceGroupName: group.Name,
		Location:          location,
		Cluster:           aks.Cluster,
		IssuerURL:         aks.IssuerURL,
		Namespace:         namespace,
		CreateNamespace:   true,
		ServiceAccounts:   []components.ServiceAccountArgs{{Name: "app"}},
	})
	if err != nil {
		return err
	}

	vault, err := components.NewKeyVaultStack(ctx, "vault", &components.KeyVaultStackArgs{
		ResourceGroupName:       group.Name,
		Location:                location,
		TenantID:                identity.TenantID,
		APIVersion:              components.VaultAPI20260201,
		NamePrefix:              "kv-app",
		SoftDeleteRetentionDays: 7,
		Secrets:                 []components.SecretArgs{{Name: "password", Generate: &components.GenerateArgs{}}},
	})
	if err != nil {
		return err
	}

	// The mounted objects decide the roles. The test pod has them in /mnt/secrets. Package podmount adds them to your own
	// pods.
	_, err = components.NewSecretMount(ctx, "app-mount", &components.SecretMountArgs{
		VaultID:            vault.VaultID,
		VaultName:          vault.VaultName,
		TenantID:           vault.TenantID,
		ClientID:           identity.ClientID,
		PrincipalID:        identity.PrincipalID,
		Cluster:            identity.Cluster,
		Namespace:          namespace,
		ServiceAccountName: identity.ServiceAccounts.Index(pulumi.Int(0)),
		Objects:            []components.ObjectArgs{{Type: components.ObjectSecret, Name: "password"}},
		TestPod:            &components.TestPodArgs{Name: "app"},
	})
	if err != nil {
		return err
	}

	ctx.Export("vaultId", vault.VaultID)
	ctx.Export("vaultUri", vault.VaultURI)
	ctx.Export("clusterId", aks.ClusterID)
	ctx.Export("kubeconfig", aks.Kubeconfig)
	ctx.Export("readSecretCommand",
		pulumi.String("kubectl exec --namespace "+namespace+" app -- cat /mnt/secrets/password"))
	return nil
}
