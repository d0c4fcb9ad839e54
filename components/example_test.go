package components_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

// registered runs a program with an engine that only records. Your own program calls pulumi.Run.
func registered(program func(ctx *pulumi.Context) error) *mockengine.Engine {
	e := &mockengine.Engine{}
	if err := e.Run(program); err != nil {
		fmt.Println(err)
	}
	return e
}

func printNames(e *mockengine.Engine) {
	var names []string
	for _, one := range e.Resources() {
		names = append(names, one.Name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Println(name)
	}
}

// A vault with a generated secret, and a key.
func ExampleNewKeyVaultStack() {
	e := registered(func(ctx *pulumi.Context) error {
		vault, err := components.NewKeyVaultStack(ctx, "vault", &components.KeyVaultStackArgs{
			ResourceGroupName: pulumi.String("payments"),
			TenantID:          pulumi.String("00000000-0000-0000-0000-000000000001"),
			APIVersion:        components.VaultAPI20260201,
			NamePrefix:        "kv-payments",
			Secrets:           []components.SecretArgs{{Name: "db-password", Generate: &components.GenerateArgs{Length: 40}}},
			Keys:              []components.KeyArgs{{Name: "signing", Type: components.KeyEC}},
		})
		if err != nil {
			return err
		}
		ctx.Export("vaultName", vault.VaultName)
		return nil
	})
	printNames(e)
	// Output:
	// vault
	// vault-key-signing
	// vault-secret-db-password
	// vault-suffix
	// vault-value-db-password
	// vault-vault
}

// A cluster, and a ConfigMap of the program's own in it.
func ExampleNewAksWithCsi() {
	e := registered(func(ctx *pulumi.Context) error {
		aks, err := components.NewAksWithCsi(ctx, "cluster", &components.AksWithCsiArgs{
			ResourceGroupName: pulumi.String("payments"),
			Tier:              components.TierStandard,
			NetworkPolicy:     components.NetworkPolicyCilium,
		})
		if err != nil {
			return err
		}
		var settings pulumi.CustomResourceState
		return ctx.RegisterResource("kubernetes:core/v1:ConfigMap", "settings", pulumi.Map{
			"apiVersion": pulumi.String("v1"),
			"kind":       pulumi.String("ConfigMap"),
			"data":       pulumi.StringMap{"level": pulumi.String("info")},
		}, &settings, aks.Cluster.Option())
	})
	printNames(e)
	// Output:
	// cluster
	// cluster-cluster
	// cluster-kubernetes
	// settings
}

// A transform changes any property of a part before it is registered, here one without an argument.
func ExampleNewAksWithCsi_transform() {
	perimeter := func(_ context.Context, part *pulumi.ResourceTransformArgs) *pulumi.ResourceTransformResult {
		if part.Name != "cluster-cluster" {
			return nil
		}
		part.Props["publicNetworkAccess"] = pulumi.String("SecuredByPerimeter")
		return &pulumi.ResourceTransformResult{Props: part.Props, Opts: part.Opts}
	}
	e := registered(func(ctx *pulumi.Context) error {
		_, err := components.NewAksWithCsi(ctx, "cluster", &components.AksWithCsiArgs{
			ResourceGroupName: pulumi.String("payments"),
		}, pulumi.Transforms([]pulumi.ResourceTransform{perimeter}))
		return err
	})
	for _, one := range e.Resources() {
		if access := one.Inputs["publicNetworkAccess"]; access.IsString() {
			fmt.Println(one.Name, access.StringValue())
		}
	}
	// Output:
	// cluster-cluster SecuredByPerimeter
}

// An identity for pods of a service account, and the roles and the class with which they mount a secret of a vault.
func ExampleNewSecretMount() {
	e := registered(func(ctx *pulumi.Context) error {
		aks, err := components.NewAksWithCsi(ctx, "cluster", &components.AksWithCsiArgs{
			ExistingCluster: &components.ExistingClusterArgs{
				IssuerURL: pulumi.String(mockengine.IssuerURL), Kubeconfig: pulumi.String(mockengine.Kubeconfig),
			},
		})
		if err != nil {
			return err
		}
		identity, err := components.NewWorkloadIdentity(ctx, "api", &components.WorkloadIdentityArgs{
			Cluster:           aks.Cluster,
			IssuerURL:         aks.IssuerURL,
			ResourceGroupName: pulumi.String("payments"),
			Namespace:         "payments",
			CreateNamespace:   true,
			ServiceAccounts:   []components.ServiceAccountArgs{{Name: "api"}},
		})
		if err != nil {
			return err
		}
		_, err = components.NewSecretMount(ctx, "api-mount", &components.SecretMountArgs{
			VaultID:            pulumi.String(mockengine.Group + "/providers/Microsoft.KeyVault/vaults/kv-payments"),
			VaultName:          pulumi.String("kv-payments"),
			TenantID:           identity.TenantID,
			ClientID:           identity.ClientID,
			PrincipalID:        identity.PrincipalID,
			Cluster:            identity.Cluster, // in which the namespace exists
			Namespace:          "payments",
			ServiceAccountName: identity.ServiceAccounts.Index(pulumi.Int(0)),
			Objects: []components.ObjectArgs{{Type: components.ObjectSecret, Name: "db-password",
				Alias: "db/password"}},
		})
		return err
	})
	printNames(e)
	// Output:
	// api
	// api-account-payments_api
	// api-credential-payments_api
	// api-identity
	// api-mount
	// api-mount-class
	// api-mount-role-secret-db-password
	// api-namespace-payments
	// cluster
	// cluster-kubernetes
}

// An existing identity for an existing service account. Nothing is created in the cluster, so no cluster is needed.
func ExampleNewWorkloadIdentity() {
	e := registered(func(ctx *pulumi.Context) error {
		_, err := components.NewWorkloadIdentity(ctx, "api", &components.WorkloadIdentityArgs{
			IssuerURL: pulumi.String(mockengine.IssuerURL),
			ExistingIdentityID: pulumi.String(
				mockengine.Group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/api"),
			Namespace:       "payments",
			ServiceAccounts: []components.ServiceAccountArgs{{Name: "api", Existing: true}},
		})
		return err
	})
	printNames(e)
	// Output:
	// api
	// api-credential-payments_api
}

// All violations are reported at once, before anything is registered.
func ExampleValidationError() {
	args := &components.SecretMountArgs{
		Namespace: "Payments",
		Objects: []components.ObjectArgs{
			{Type: "Secret", Name: "db-password"},
			{Type: "key", Name: "signing", Alias: "../key"},
		},
	}
	fmt.Println(args.Validate())
	// Output: 3 invalid value(s):
	//   namespace: given "Payments", allowed: 1-63 lower-case letters, digits and dashes, starting and ending with a letter or digit
	//   objects[0].type: given "Secret", allowed: secret, key, cert
	//   objects[1].alias: given "../key", allowed: a clean relative path of printable characters without .., not starting or ending with a space, at most 255 bytes between slashes
}
