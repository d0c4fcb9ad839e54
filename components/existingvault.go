package components

import (
	"regexp"
	"slices"

	keyvault "github.com/pulumi/pulumi-azure-native-sdk/keyvault/v2/v20241101"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

var existingVaultID = regexp.MustCompile(`(?i)^/subscriptions/[^/]+/resourceGroups/([^/]+)/providers/Microsoft\.KeyVault/vaults/([^/]+)$`)

// findVault looks up a vault that exists.
func (c *KeyVaultStack) findVault(ctx *pulumi.Context, id pulumi.StringInput, objectOptions []pulumi.ResourceOption) *vaultRef {
	parts := id.ToStringOutput().ApplyT(func(id string) ([]string, error) {
		match := existingVaultID.FindStringSubmatch(id)
		if match == nil {
			return nil, Violations{{Path: "existingVaultId", Given: quote(id), Allowed: "the ARM id of a vault"}}
		}
		return match[1:], nil
	}).(pulumi.StringArrayOutput)
	group, name := parts.Index(pulumi.Int(0)), parts.Index(pulumi.Int(1))
	found := keyvault.LookupVaultOutput(ctx, keyvault.LookupVaultOutputArgs{ResourceGroupName: group, VaultName: name}, pulumi.Parent(c))
	return &vaultRef{
		group: group, id: id.ToStringOutput(), name: name, uri: found.Properties().VaultUri(), tenantID: found.Properties().TenantId(),
		objectOptions: slices.Clip(objectOptions),
	}
}

// validateExistingVault refuses what an existing vault would silently not get.
func (v *Violations) validateExistingVault(args *KeyVaultStackArgs) {
	v.nothingBeside(*args, "nothing beside existingVaultId, whose vault is not managed", "existingVaultId", "protect", "secrets", "keys")
}
