// Package keyvault is Azure Key Vault: the vaults' global names, the objects in them, and the data plane that gives them out.
// Resource Manager's half of the service is package arm's.
package keyvault

import (
	"encoding/json"
	"net/netip"
	"strings"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Hosts is where vaults answer, the vault's name in place of the star.
const Hosts = "*.vault.azure.net"

// Vault is what the service knows of a vault: one name in all of Azure, also while it is deleted.
type Vault struct {
	ID            string // the ARM id
	Name          string
	Location      string
	TenantID      string
	Premium       bool
	RBAC          bool           // false: access policies
	Policies      []AccessPolicy // nil: written by a version that read none
	Public        bool           // false: publicNetworkAccess is Disabled
	DefaultDeny   bool           // networkAcls.defaultAction is Deny
	Addresses     []netip.Prefix // networkAcls.ipRules
	Subnets       []string       // networkAcls.virtualNetworkRules: ARM ids
	RetentionDays int
	NoPurge       bool // purge protection
	Deleted       *Deletion
}

// Deletion is the state of a vault or object between its deletion and its purge.
type Deletion struct {
	On, PurgeOn time.Time
	Resource    json.RawMessage // of a vault: the ARM resource, for its recovery
}

const (
	vaults  = "vaults"
	objects = "vaultObjects"
)

// URI is where the vault answers.
func (v Vault) URI() string { return "https://" + strings.ToLower(v.Name) + ".vault.azure.net/" }

// recoveryLevel is what Key Vault calls the way a deleted object can still go.
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

// GetVault finds a vault by name, deleted ones too.
func GetVault(tx *store.Tx, name string) (Vault, bool, error) {
	return store.Get[Vault](tx, vaults, strings.ToLower(name))
}

// PutVault writes a vault.
func PutVault(tx *store.Tx, v Vault) error { return store.Put(tx, vaults, strings.ToLower(v.Name), v) }

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

// SoftDelete takes a vault out of use and keeps it, its objects and its ARM resource for the retention time.
func SoftDelete(tx *store.Tx, v Vault, resource json.RawMessage) error {
	v.Deleted = v.deletion(time.Now())
	v.Deleted.Resource = resource
	return PutVault(tx, v)
}

// Purge forgets a vault and everything in it; its name is free again.
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
	return store.Delete(tx, vaults, strings.ToLower(v.Name))
}
