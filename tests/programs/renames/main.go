// Command renames creates the four components with configured names, and optionally below a parent.
package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"

	"github.com/keyvault-aks/keyvault-aks/components"
)

func main() { pulumi.Run(program) }

// names are the names of the components: a prefix and the kind. The former prefix is empty if they were never renamed.
type names struct {
	prefix, former string
	parent         pulumi.Resource
}

func (n names) of(kind string) string { return n.prefix + kind }

// options returns the aliases of a component that had another name or no parent.
func (n names) options(kind string) []pulumi.ResourceOption {
	var opts []pulumi.ResourceOption
	if n.parent != nil {
		opts = append(opts, pulumi.Parent(n.parent), pulumi.Aliases([]pulumi.Alias{{NoParent: pulumi.Bool(true)}}))
	}
	if n.former != "" {
		opts = append(opts, pulumi.Aliases([]pulumi.Alias{{Name: pulumi.String(n.former + kind)}}))
	}
	return opts
}

func program(ctx *pulumi.Context) error {
	cfg := config.New(ctx, "")
	n := names{prefix: cfg.Require("prefix"), former: cfg.Get("former")}
	if cfg.GetBool("moved") {
		var platform pulumi.ResourceState
		if err := ctx.RegisterComponentResource("renames:index:Platform", "platform", &platform); err != nil {
			return err
		}
		n.parent = &platform
	}
	group, location := pulumi.String(cfg.Require("resourceGroupName")), pulumi.String("eastus")
	vault, err := components.NewKeyVaultStack(ctx, n.of("vault"), &components.KeyVaultStackArgs{
		ResourceGroupName: group, Location: location, TenantID: pulumi.String(cfg.Require("tenantId")),
		NamePrefix: "renames", SoftDeleteRetentionDays: 7,
		Secrets: []components.SecretArgs{{Name: "password", Generate: &components.GenerateArgs{}, Expires: "P90D"}},
		Keys:    []components.KeyArgs{{Name: "signing", Type: components.KeyEC}},
	}, n.options("vault")...)
	if err != nil {
		return err
	}
	aks, err := components.NewAksWithCsi(ctx, n.of("cluster"), &components.AksWithCsiArgs{
		ResourceGroupName: group, Location: location, DNSPrefix: cfg.Get("dnsPrefix"),
		NodePools: []components.NodePoolArgs{{Name: "apps"}},
	}, n.options("cluster")...)
	if err != nil {
		return err
	}
	identity, err := components.NewWorkloadIdentity(ctx, n.of("identity"), &components.WorkloadIdentityArgs{
		ResourceGroupName: group, Location: location, IssuerURL: aks.IssuerURL, Cluster: aks.Cluster,
		Namespace: "renames", CreateNamespace: true,
		ServiceAccounts: []components.ServiceAccountArgs{{Name: "renames"}, {Name: "second", Namespace: "renames-too"}},
	}, n.options("identity")...)
	if err != nil {
		return err
	}
	_, err = components.NewSecretMount(ctx, n.of("mount"), &components.SecretMountArgs{
		VaultID: vault.VaultID, VaultName: vault.VaultName, TenantID: vault.TenantID,
		ClientID: identity.ClientID, PrincipalID: identity.PrincipalID,
		Cluster: identity.Cluster, Namespace: "renames", ServiceAccountName: identity.ServiceAccounts.Index(pulumi.Int(0)),
		Objects: []components.ObjectArgs{
			{Type: components.ObjectSecret, Name: "password"}, {Type: components.ObjectKey, Name: "signing"},
		},
		TestPod: &components.TestPodArgs{},
	}, n.options("mount")...)
	return err
}
