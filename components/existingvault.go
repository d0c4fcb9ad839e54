package components

import (
	"slices"
	"strings"

	keyvault "github.com/pulumi/pulumi-azure-native-sdk/keyvault/v2/v20241101"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// findVault looks up a vault that exists.
func (c *KeyVaultStack) findVault(ctx *pulumi.Context, id pulumi.StringInput, objectOptions []pulumi.ResourceOption) *vaultRef {
	parts := id.ToStringOutput().ApplyT(func(id string) ([]string, error) {
		match := vaultID.FindStringSubmatch(id)
		if match == nil {
			return nil, invalid("existingVaultId", quote(id), "the ARM id of a vault")
		}
		return match[2:], nil
	}).(pulumi.StringArrayOutput)
	found := c.api.find(ctx, keyvault.LookupVaultOutputArgs{
		ResourceGroupName: parts.Index(pulumi.Int(0)), VaultName: parts.Index(pulumi.Int(1)),
	}, pulumi.Parent(c))
	// What follows uses only what was checked.
	checked := pulumi.All(id, parts, found).ApplyT(func(all []any) (map[string]string, error) {
		id, parts, found := all[0].(string), all[1].([]string), all[2].(keyvault.LookupVaultResult)
		if err := checkExistingVault(id, found).late(); err != nil {
			return nil, err
		}
		return map[string]string{
			"id": id, "group": parts[0], "name": parts[1], "uri": found.Properties.VaultUri, "tenantId": found.Properties.TenantId,
		}, nil
	}).(pulumi.StringMapOutput)
	of := func(key string) pulumi.StringOutput { return checked.MapIndex(pulumi.String(key)) }
	return &vaultRef{
		group: of("group"), id: of("id"), name: of("name"), uri: of("uri"), tenantID: of("tenantId"),
		objectOptions: slices.Clip(objectOptions),
	}
}

// checkExistingVault says what keeps the vault from being used: that it is another one, or that roles mean nothing to
// it.
func checkExistingVault(id string, found keyvault.LookupVaultResult) violations {
	var v violations
	if !strings.EqualFold(found.Id, id) {
		v.add("existingVaultId", id, "a vault in the Azure provider's subscription, where its name stands for "+found.Id)
	}
	if !isTrue(found.Properties.EnableRbacAuthorization) {
		v.state("existingVaultId", "a vault with access policies", "one that authorizes by roles, as after: "+
			"az keyvault update --enable-rbac-authorization true --name "+found.Name)
	}
	return v
}

// validateExistingVault refuses what an existing vault would silently not get.
func (v *violations) validateExistingVault(args *KeyVaultStackArgs) {
	v.nothingBeside(*args, "nothing beside existingVaultId, whose vault is not managed",
		"existingVaultId", "apiVersion", "deployer", "protect", "secrets", "keys")
}
