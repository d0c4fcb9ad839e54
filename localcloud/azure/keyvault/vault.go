// Package keyvault implements Azure Key Vault: the global names of vaults, their objects, and the data plane. Its
// resource provider is in azure/rp/keyvault.
package keyvault

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Hosts is the pattern of vaults' host names, with a star for the vault's name.
const Hosts = "*.vault.azure.net"

// Vault describes a vault. Its name is unique in all of Azure, even while it is deleted.
type Vault struct {
	ID            string // Resource Manager's ID
	Name          string
	Location      string
	TenantID      string
	Premium       bool
	RBAC          bool           // false means access policies
	Policies      []AccessPolicy // nil means written by a version without access policies
	Public        bool           // false means publicNetworkAccess is Disabled
	DefaultDeny   bool           // networkAcls.defaultAction is Deny
	Addresses     []netip.Prefix // networkAcls.ipRules
	Subnets       []string       // networkAcls.virtualNetworkRules, as IDs
	RetentionDays int
	NoPurge       bool // purge protection
	Deleted       *Deletion
}

// Deletion describes a vault or object between its deletion and its purge.
type Deletion struct {
	On, PurgeOn time.Time
	Resource    json.RawMessage // Resource Manager's resource of a vault, for its recovery
}

const (
	vaults  = "vaults"
	objects = "vaultObjects"
)

// URI returns the URI of the vault's data plane.
func (v Vault) URI() string { return "https://" + fold.Lower(v.Name) + ".vault.azure.net/" }

// recoveryLevel returns Key Vault's term for how a deleted object can be removed.
func (v Vault) recoveryLevel() string {
	level := "Recoverable"
	if v.RetentionDays < 90 {
		level = "CustomizedRecoverable"
	}
	if !v.NoPurge {
		level += "+Purgeable"
	}
	return level
}

func (v Vault) deletion(now time.Time) *Deletion {
	now = now.UTC().Truncate(time.Second)
	return &Deletion{On: now, PurgeOn: now.AddDate(0, 0, v.RetentionDays)}
}

// GetVault returns the vault with a name, even if it is deleted.
func GetVault(tx *store.Tx, name string) (Vault, bool, error) {
	return store.Get[Vault](tx, vaults, fold.Lower(name))
}

// PutVault writes a vault.
func PutVault(tx *store.Tx, v Vault) error { return store.Put(tx, vaults, fold.Lower(v.Name), v) }

// Vaults lists all vaults, deleted ones too.
func Vaults(tx *store.Tx) ([]Vault, error) { return store.List[Vault](tx, vaults, "") }

// DeletedVaults lists the vaults that can be recovered or purged.
func DeletedVaults(tx *store.Tx) ([]Vault, error) {
	all, err := Vaults(tx)
	var deleted []Vault
	for _, v := range all {
		if v.Deleted != nil {
			deleted = append(deleted, v)
		}
	}
	return deleted, err
}

// SoftDelete deletes a vault. It keeps the vault, its objects and its resource for the retention period.
func SoftDelete(tx *store.Tx, v Vault, resource json.RawMessage) error {
	v.Deleted = v.deletion(time.Now())
	v.Deleted.Resource = resource
	return PutVault(tx, v)
}

// Purge deletes a vault and its content permanently. The name becomes available again.
func Purge(tx *store.Tx, v Vault) error {
	all, err := store.List[Object](tx, objects, v.prefix(""))
	if err != nil {
		return err
	}
	for _, o := range all {
		if err := store.Delete(tx, objects, o.key()); err != nil {
			return err
		}
	}
	return store.Delete(tx, vaults, fold.Lower(v.Name))
}
