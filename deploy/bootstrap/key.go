package main

import (
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/infra"
)

// secretsKey is the key that encrypts the stacks' secrets.
type secretsKey struct {
	// id is the key's ARM id, nil without a vault.
	id pulumi.StringInput
	// provider is the value for `pulumi stack init --secrets-provider`.
	provider pulumi.StringInput
}

// vault returns the arguments of the vault that holds the key. The key never expires and is not rotated: a stack's data
// key is encrypted with the version that its state names, and cannot be decrypted without it.
func (cfg *config) vault(group, tenantID pulumi.StringInput) *components.KeyVaultStackArgs {
	return &components.KeyVaultStackArgs{
		ResourceGroupName:       group,
		Location:                pulumi.String(cfg.Location),
		TenantID:                tenantID,
		Tags:                    cfg.allTags,
		APIVersion:              cfg.VaultAPIVersion,
		NamePrefix:              cfg.VaultNamePrefix,
		Sku:                     cfg.VaultSku,
		SoftDeleteRetentionDays: cfg.VaultRetentionDays,
		PurgeProtection:         cfg.VaultPurgeProtection,
		Network:                 cfg.VaultNetwork,
		Keys: []components.KeyArgs{{
			Name: cfg.KeyName, Type: cfg.keyType(), Size: cfg.KeySize, Operations: []string{"encrypt", "decrypt"},
		}},
		Protect: cfg.Protect,
	}
}

// keyType returns a type whose keys stay in a hardware security module if the vault has one.
func (cfg *config) keyType() components.KeyType {
	if cfg.VaultSku == components.VaultSkuPremium {
		return components.KeyRSAHSM
	}
	return components.KeyRSA
}

func newSecretsKey(
	ctx *pulumi.Context, cfg *config, client infra.Client, group pulumi.StringInput,
) (secretsKey, error) {
	if cfg.SecretsProvider != secretsInVault {
		return secretsKey{provider: pulumi.String(cfg.SecretsProvider)}, nil
	}
	vault, err := components.NewKeyVaultStack(ctx, "secrets", cfg.vault(group, pulumi.String(client.TenantID)))
	if err != nil {
		return secretsKey{}, fmt.Errorf("creating the vault: %w", err)
	}
	host := vault.VaultURI.ApplyT(func(uri string) string {
		return strings.TrimSuffix(strings.TrimPrefix(uri, "https://"), "/")
	}).(pulumi.StringOutput)
	return secretsKey{
		id:       vault.KeyIDs.MapIndex(pulumi.String(cfg.KeyName)),
		provider: pulumi.Sprintf("azurekeyvault://%s/keys/%s", host, cfg.KeyName),
	}, nil
}
