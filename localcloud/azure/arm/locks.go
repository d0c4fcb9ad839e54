package arm

import (
	"net/http"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
)

const locksType = "Microsoft.Authorization/locks"

// Levels of locks.
const (
	canNotDelete = "CanNotDelete"
	readOnly     = "ReadOnly"
)

func (c *call) putLock() (reply, error) {
	old, res, err := c.beginExtension(locksType)
	if err != nil {
		return reply{}, err
	}
	if level := text(child(res, "properties"), "level"); level != canNotDelete && level != readOnly {
		return reply{}, badRequest("InvalidLockLevel", "The lock level '%s' is not valid: CanNotDelete or ReadOnly.", level)
	}
	return c.written(old, res)
}

// checkLocks refuses what a lock forbids (learn.microsoft.com/azure/azure-resource-manager/management/lock-resources): each of them to
// delete what is at its scope or below it, and what its scope is in; one of level ReadOnly also to change and to call actions. Locks
// themselves are free to go.
func (c *call) checkLocks(kind *resourceType) error {
	if c.method == http.MethodGet || c.method == http.MethodHead || kind.name == locksType || len(c.names) == 0 {
		return nil
	}
	scope := c.path
	if c.action != "" {
		scope = cut(scope, 1)
	}
	locks, err := under(c.tx, "/subscriptions", locksType)
	if err != nil {
		return err
	}
	var by []string
	verb := "write"
	for _, lock := range locks {
		at := scopeOf(text(lock, "id"))
		if c.method == http.MethodDelete {
			verb = "delete"
			if authorization.Covers(at, scope) || authorization.Covers(scope, at) {
				by = append(by, at)
			}
		} else if text(child(lock, "properties"), "level") == readOnly && authorization.Covers(at, scope) {
			by = append(by, at)
		}
	}
	if by == nil {
		return nil
	}
	return conflict("ScopeLocked", "The scope '%s' cannot perform %s operation because following scope(s) are locked: '%s'. Please remove "+
		"the lock and try again.", scope, verb, strings.Join(by, "','"))
}
