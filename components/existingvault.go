package components

import (
	"slices"
	"strings"

	keyvault "github.com/pulumi/pulumi-azure-native-sdk/keyvault/v2/v20241101"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// findVault looks up an existing vault, unless its tenant is given.
func (c *KeyVaultStack) findVault(
	ctx *pulumi.Context, args *KeyVaultStackArgs, objectOptions []pulumi.ResourceOption,
) *vaultRef {
	id := args.ExistingVaultID
	parts := id.ToStringOutput().ApplyT(func(id string) ([]string, error) {
		match := vaultID.FindStringSubmatch(id)
		if match == nil {
			return nil, invalid("existingVaultId", quote(id), "the ARM id of a vault")
		}
		return append(match[2:], id), nil
	}).(pulumi.StringArrayOutput)
	if !missing(args.TenantID) {
		return &vaultRef{
			group: parts.Index(pulumi.Int(0)), name: parts.Index(pulumi.Int(1)), id: parts.Index(pulumi.Int(2)),
			uri: pulumi.String("").ToStringOutput(), tenantID: args.TenantID.ToStringOutput(),
		}
	}
	found := c.api.find(ctx, keyvault.LookupVaultOutputArgs{
		ResourceGroupName: parts.Index(pulumi.Int(0)), VaultName: parts.Index(pulumi.Int(1)),
	}, pulumi.Parent(c))
	// Everything below uses only what was checked.
	checked := pulumi.All(id, parts, found).ApplyT(func(all []any) (map[string]string, error) {
		id, parts, found := all[0].(string), all[1].([]string), all[2].(keyvault.LookupVaultResult)
		if err := checkExistingVault(id, found, args.AllowAccessPolicies).late(); err != nil {
			return nil, err
		}
		return map[string]string{
			"id": id, "group": parts[0], "name": parts[1], "uri": found.Properties.VaultUri,
			"tenantId": found.Properties.TenantId,
		}, nil
	}).(pulumi.StringMapOutput)
	of := func(key string) pulumi.StringOutput { return checked.MapIndex(pulumi.String(key)) }
	return &vaultRef{
		group: of("group"), id: of("id"), name: of("name"), uri: of("uri"), tenantID: of("tenantId"),
		objectOptions: slices.Clip(objectOptions),
	}
}

// checkExistingVault reports why the vault cannot be used: it is another one, or it ignores roles and something here
// depends on them.
func checkExistingVault(id string, found keyvault.LookupVaultResult, allowPolicies bool) violations {
	var v violations
	if !strings.EqualFold(found.Id, id) {
		v.add("existingVaultId", id, "a vault in the Azure provider's subscription, where this name belongs to "+
			found.Id+
			"; for another, a provider of its subscription, or tenantId where no secrets and keys are given")
	}
	if !allowPolicies && !isTrue(found.Properties.EnableRbacAuthorization) {
		v.state("existingVaultId", "a vault with access policies", "one that uses Azure RBAC; to enable it, run az "+
			"keyvault update --enable-rbac-authorization true --name "+found.Name+
			"; or access none in every mount (allowAccessPolicies)")
	}
	return v
}

// validateExistingVault rejects arguments that an existing vault would silently ignore.
func (v *violations) validateExistingVault(args *KeyVaultStackArgs) {
	v.rejectOthers(*args, "nothing beside existingVaultId, whose vault is not managed",
		"existingVaultId", "allowAccessPolicies", "tenantId", "apiVersion", "deployer", "protect", "secrets", "keys",
		"expectedObjects")
	if missing(args.TenantID) {
		return
	}
	const lookedUp = "nothing with tenantId, with which the vault is not looked up; leave it out and pass a provider " +
		"of the vault's subscription"
	if len(args.Secrets) > 0 {
		v.state("secrets", "secrets", lookedUp)
	}
	if len(args.Keys) > 0 {
		v.state("keys", "keys", lookedUp)
	}
}
