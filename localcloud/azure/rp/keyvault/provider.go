// Package keyvault implements Microsoft.KeyVault: vaults, and the control plane of their secrets and keys. Package
// azure/keyvault stores the contents of vaults and serves the data plane.
package keyvault

import (
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/keyvault/armkeyvault"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/keyvault"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/specs"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Provider returns the provider Microsoft.KeyVault.
func Provider() arm.Provider {
	newer := []string{"2024-11-01", vaultRBACVersion}
	all := append(specs.Versions(VaultsType), newer...)
	return arm.Provider{
		Elsewhere: []string{
			"Microsoft.KeyVault/locations",
			"Microsoft.KeyVault/vaults/privateLinkResources", "Microsoft.KeyVault/operations",
			"Microsoft.KeyVault/checkMhsmNameAvailability",
		},
		Scopes: map[string]func(*store.Tx, arm.Target) (bool, error){
			VaultsType + "/secrets":      objectExists(keyvault.Secret),
			VaultsType + "/keys":         objectExists(keyvault.Key),
			VaultsType + "/certificates": objectExists(keyvault.Secret), // a certificate is stored as a secret
		}, Types: []arm.Type{
			{
				Name: VaultsType, Versions: newer, InvalidValue: "BadRequest",
				Get: (*arm.Call).GetStored, List: (*arm.Call).ListStored,
				Put: putVault, PutModel: func() any { return new(armkeyvault.VaultCreateOrUpdateParameters) },
				Patch: patchVault, PatchModel: func() any { return new(armkeyvault.VaultPatchParameters) },
				Delete: (*arm.Call).DeleteStored, Deleted: softDelete, Public: true, PrivateLinkGroups: []string{"vault"},
				// learn.microsoft.com/azure/azure-monitor/reference/logs-index
				LogCategories: []string{"AuditEvent", "AzurePolicyEvaluationDetails"},
				// With Terraform, which also waits for the name to resolve, creation takes more than 1m20s and 3m6s:
				// github.com/turbot/steampipe-plugin-azure/pull/76 and
				// github.com/Azure/terraform-azurerm-avm-res-keyvault-vault/pull/79. There is no measurement of Resource Manager
				// alone.
				Times: map[string]time.Duration{
					arm.Creating: 45 * time.Second,
					arm.Updating: 5 * time.Second,
					arm.Deleting: 10 * time.Second,
				},
			},
			{
				Name: "Microsoft.KeyVault", Versions: all, Place: arm.InSubscription,
				Actions: []arm.Action{{
					Name: "checkNameAvailability", Permission: "Microsoft.KeyVault/checkNameAvailability/read", ReadOnly: true,
					Model: func() any { return new(armkeyvault.VaultCheckNameAvailabilityParameters) }, Do: checkVaultName,
				}},
			},
			{Name: "Microsoft.KeyVault/deletedVaults", Versions: all, Place: arm.InSubscription, List: listDeletedVaults},
			{ // az lists them to recover one; there are no managed HSMs here
				Name: "Microsoft.KeyVault/deletedManagedHSMs", Versions: all, Place: arm.InSubscription,
				List: func(*arm.Call) (arm.Reply, error) { return arm.Values[arm.Object](nil), nil },
			},
			{
				Name: "Microsoft.KeyVault/locations/deletedVaults", Versions: all, Place: arm.InSubscription, Get: getDeletedVault,
				Actions: []arm.Action{{Name: "purge", Do: purgeVault}},
			},
			{
				Name:         VaultsType + "/secrets",
				Versions:     newer,
				InvalidValue: "BadParameter",
				MaxTags:      -1,
				Valid:        vaultObjectName,
				Rule:         vaultObjectRule,
				Get:          getSecret,
				List:         listSecrets,
				Put:          putSecret,
				PutModel:     func() any { return new(armkeyvault.SecretCreateOrUpdateParameters) },
				Patch:        patchSecret,
				PatchModel:   func() any { return new(armkeyvault.SecretPatchParameters) },
				// There are no measurements for secrets and keys. Resource Manager forwards the requests to the vault.
				Times: map[string]time.Duration{arm.Creating: time.Second, arm.Updating: time.Second},
			},
			{
				Name:         VaultsType + "/keys",
				Versions:     newer,
				InvalidValue: "BadParameter",
				MaxTags:      -1,
				Valid:        vaultObjectName,
				Rule:         vaultObjectRule,
				Get:          getKey,
				List:         listKeys,
				Put:          putKey,
				PutModel:     func() any { return new(armkeyvault.KeyCreateParameters) },
				Times:        map[string]time.Duration{arm.Creating: 2 * time.Second, arm.Updating: 2 * time.Second},
			},
			{
				Name: VaultsType + "/keys/versions", Versions: newer,
				Get: getKeyVersion, List: listKeyVersions,
			},
		}}
}

// objectExists returns a function that reports whether an object of a kind exists in its vault.
func objectExists(kind keyvault.Kind) func(*store.Tx, arm.Target) (bool, error) {
	return func(tx *store.Tx, at arm.Target) (bool, error) {
		vault, ok, err := keyvault.GetVault(tx, at.Names[0])
		if err != nil || !ok || vault.Deleted != nil || !fold.Equal(vault.ID, at.Top()) {
			return false, err
		}
		_, ok, err = keyvault.Get(tx, vault, kind, at.Names[1])
		return ok, err
	}
}
