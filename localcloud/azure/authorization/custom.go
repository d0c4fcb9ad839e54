package authorization

import (
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

const customRoles = "roleDefinitions" // by id

// PutRole writes a custom role.
func PutRole(tx *store.Tx, role Role) error {
	return store.Put(tx, customRoles, strings.ToLower(role.ID), role)
}

// DeleteRole removes a custom role.
func DeleteRole(tx *store.Tx, id string) error {
	return store.Delete(tx, customRoles, strings.ToLower(id))
}

// FindRole finds a role by its GUID, built-in or custom.
func FindRole(tx *store.Tx, id string) (Role, bool, error) {
	if role, ok := builtIn(id); ok {
		return role, true, nil
	}
	return store.Get[Role](tx, customRoles, strings.ToLower(id))
}

// ListRoles reads every role, built-in ones first.
func ListRoles(tx *store.Tx) ([]Role, error) {
	custom, err := store.List[Role](tx, customRoles, "")
	return append(append([]Role{}, Roles...), custom...), err
}

// Custom says whether somebody in the tenant has defined the role.
func (r Role) Custom() bool { return len(r.AssignableScopes) > 0 }

// AssignableAt says whether the role can be assigned at a scope.
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
