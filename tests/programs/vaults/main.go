// Command vaults creates a vault, or uses an existing one, with the configured secrets and keys.
package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"

	"github.com/keyvault-aks/keyvault-aks/components"
)

func main() { pulumi.Run(program) }

// secret is a configured secret with a plain value.
type secret struct {
	components.SecretArgs
	Value string
}

func program(ctx *pulumi.Context) error {
	cfg := config.New(ctx, "")
	var secrets []secret
	args := &components.KeyVaultStackArgs{APIVersion: components.VaultAPIVersion(cfg.Get("apiVersion"))}
	if err := cfg.GetObject("secrets", &secrets); err != nil {
		return err
	}
	if err := cfg.GetObject("keys", &args.Keys); err != nil {
		return err
	}
	for _, s := range secrets {
		if s.SecretArgs.Value = pulumi.String(s.Value); s.Value == "" {
			s.SecretArgs.Value = nil
		}
		args.Secrets = append(args.Secrets, s.SecretArgs)
	}
	if id := cfg.Get("existingVaultId"); id != "" {
		args.ExistingVaultID = pulumi.String(id)
	} else {
		args.ResourceGroupName, args.Location = pulumi.String(cfg.Require("resourceGroupName")), pulumi.String("eastus")
		args.TenantID, args.NamePrefix = pulumi.String(cfg.Require("tenantId")), cfg.Require("prefix")
		args.SoftDeleteRetentionDays = 7
	}
	vault, err := components.NewKeyVaultStack(ctx, "vault", args)
	if err != nil {
		return err
	}
	ctx.Export("vaultId", vault.VaultID)
	ctx.Export("vaultUri", vault.VaultURI)
	return nil
}
