package resourcemanager

import (
	"net/http"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
)

// checkLocks refuses what a lock forbids (learn.microsoft.com/azure/azure-resource-manager/management/lock-resources).
// Every lock prevents the deletion of the resources at its scope, below it and above it. A lock of level ReadOnly also
// prevents changes and actions. Locks themselves can always be deleted.
func (c *Call) checkLocks(kind *Type) error {
	if c.Method == http.MethodGet || c.Method == http.MethodHead || kind.Unlocked || len(c.Names) == 0 {
		return nil
	}
	scope := c.Path
	if c.action != "" {
		scope = Cut(scope, 1)
	}
	var locks []Lock
	for _, provider := range c.providers {
		if provider.Locks == nil {
			continue
		}
		found, err := provider.Locks(c.Tx)
		if err != nil {
			return err
		}
		locks = append(locks, found...)
	}
	var by []string
	verb := "write"
	for _, lock := range locks {
		at := lock.Scope
		if c.Method == http.MethodDelete {
			verb = "delete"
			if authorization.Covers(at, scope) || authorization.Covers(scope, at) {
				by = append(by, at)
			}
		} else if lock.ReadOnly && authorization.Covers(at, scope) {
			by = append(by, at)
		}
	}
	if by == nil {
		return nil
	}
	return Conflict("ScopeLocked", "The scope '%s' cannot perform %s operation because following scope(s) are locked: "+
		"'%s'. Please remove the lock and try again.", scope, verb, strings.Join(by, "','"))
}
