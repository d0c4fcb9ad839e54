// Command peers creates the resources of tests/testdata/tofu with the components: a resource group, a vault with a
// secret and a key, a cluster, and an identity with a credential and a role.
package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"

	"github.com/keyvault-aks/keyvault-aks/components"
)

func main() { pulumi.Run(program) }

type resourceGroup struct {
	pulumi.CustomResourceState
	Name pulumi.StringOutput `pulumi:"name"`
}

func program(ctx *pulumi.Context) error {
	name, location := config.Require(ctx, "name"), pulumi.String("westeurope")
	group := &resourceGroup{} // the SDK's package with resource groups takes long to compile
	err := ctx.RegisterResource("azure-native:resources/v20220901:ResourceGroup", "group", pulumi.Map{
		"resourceGroupName": pulumi.String(name), "location": location,
	}, group, pulumi.Version("2.92.0"))
	if err != nil {
		return err
	}
	vault, err := components.NewKeyVaultStack(ctx, "vault", &components.KeyVaultStackArgs{
		ResourceGroupName:       group.Name,
		Location:                location,
		TenantID:                pulumi.String(config.Require(ctx, "tenantId")),
		VaultName:               name,
		SoftDeleteRetentionDays: 7,
		Secrets:                 []components.SecretArgs{{Name: "my-secret", Value: pulumi.String("not a secret")}},
		Keys:                    []components.KeyArgs{{Name: "my-key", Size: 2048}},
	})
	if err != nil {
		return err
	}
	cluster, err := components.NewAksWithCsi(ctx, "cluster", &components.AksWithCsiArgs{
		ResourceGroupName: group.Name, Location: location, ClusterName: name,
	})
	if err != nil {
		return err
	}
	_, err = components.NewWorkloadIdentity(ctx, "identity", &components.WorkloadIdentityArgs{
		ResourceGroupName: group.Name,
		Location:          location,
		IdentityName:      name,
		IssuerURL:         cluster.IssuerURL,
		Cluster:           cluster.Cluster,
		Namespace:         "default",
		ServiceAccounts:   []components.ServiceAccountArgs{{Name: "default", Existing: true}},
		RoleAssignments: []components.RoleAssignmentArgs{{
			Name: "secrets", RoleDefinitionID: "4633458b-17de-408a-b874-0445c86b69e6", Scope: vault.VaultID,
		}},
	})
	return err
}
