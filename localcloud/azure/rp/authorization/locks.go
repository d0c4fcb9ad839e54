package authorization

import (
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
)

const locksType = "Microsoft.Authorization/locks"

const (
	canNotDelete = "CanNotDelete"
	readOnly     = "ReadOnly"
)

func putLock(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.BeginExtension(locksType)
	if err != nil {
		return arm.Reply{}, err
	}
	if level := arm.Text(arm.Child(res, "properties"), "level"); level != canNotDelete && level != readOnly {
		return arm.Reply{}, arm.BadRequest("InvalidLockLevel",
			"The lock level '%s' is not valid: it must be CanNotDelete or ReadOnly.", level)
	}
	return c.Written(old, res)
}

// locksOf returns all locks.
func locksOf(tx *store.Tx) ([]arm.Lock, error) {
	all, err := arm.Under(tx, "/subscriptions", locksType)
	var found []arm.Lock
	for _, one := range all {
		found = append(found, arm.Lock{
			Scope:    arm.ScopeOf(arm.Text(one, "id")),
			ReadOnly: arm.Text(arm.Child(one, "properties"), "level") == readOnly,
		})
	}
	return found, err
}
