// Command theirprovider creates a mount with its own Kubernetes provider, which has the default options.
package main

import (
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"

	"github.com/keyvault-aks/keyvault-aks/components"
)

func main() { pulumi.Run(program) }

func program(ctx *pulumi.Context) error {
	cfg := config.New(ctx, "")
	provider, err := kubernetes.NewProvider(ctx, "theirs",
		&kubernetes.ProviderArgs{Kubeconfig: cfg.RequireSecret("kubeconfig")})
	if err != nil {
		return err
	}
	_, err = components.NewSecretMount(ctx, "mount", &components.SecretMountArgs{
		VaultName: pulumi.String("vault"), TenantID: pulumi.String("tenant"), ClientID: pulumi.String("client"),
		Access: components.AccessNone, Namespace: cfg.Require("namespace"), ClassName: cfg.Require("className"),
		Objects: []components.ObjectArgs{{Type: components.ObjectSecret, Name: cfg.Require("secret")}},
	}, pulumi.Provider(provider))
	return err
}
