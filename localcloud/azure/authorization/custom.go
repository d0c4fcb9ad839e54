package authorization

import (
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

const customRoles = "roleDefinitions" // by id

// PutRole writes a custom role.
func PutRole(tx *store.Tx, role Role) error {
	return store.Put(tx, customRoles, fold.Lower(role.ID), role)
}

// DeleteRole deletes a custom role.
func DeleteRole(tx *store.Tx, id string) error {
	return store.Delete(tx, customRoles, fold.Lower(id))
}

// FindRole returns the built-in or custom role with a GUID.
func FindRole(tx *store.Tx, id string) (Role, bool, error) {
	if role, ok := builtIn(id); ok {
		return role, true, nil
	}
	return store.Get[Role](tx, customRoles, fold.Lower(id))
}

// ListRoles returns all roles, built-in ones first.
func ListRoles(tx *store.Tx) ([]Role, error) {
	custom, err := store.List[Role](tx, customRoles, "")
	return append(append([]Role{}, Roles...), custom...), err
}

// Custom reports whether the role is a custom role.
func (r Role) Custom() bool { return len(r.AssignableScopes) > 0 }

// AssignableAt reports whether the role can be assigned at a scope.
func (r Role) AssignableAt(scope string) bool {
	if !r.Custom() {
		return true
	}
	for _, above := range r.AssignableScopes {
		if Covers(above, scope) {
			return true
		}
	}
	return false
}
