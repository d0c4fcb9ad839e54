// Package authorization implements Azure RBAC over the role assignments in the store.
package authorization

import (
	"strings"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Plane selects the actions of a role that apply.
type Plane bool

const (
	Control Plane = false // Azure Resource Manager: actions
	Data    Plane = true  // a service's own endpoint: dataActions
)

// Assignment assigns a role to a principal at a scope and below.
type Assignment struct {
	ID            string // Resource Manager's ID
	Name          string // a GUID
	Scope         string
	RoleID        string // GUID of the role definition
	PrincipalID   string // object ID
	PrincipalType string
	Description   string
	Condition     string // empty means none
	CreatedOn     string
	UpdatedOn     string
	CreatedBy     string
	EffectiveOn   time.Time `json:",omitzero"` // time from which it takes effect; zero means always
}

// Assignments are stored twice: by ID, and by principal, which every request needs.
const (
	byID        = "roleAssignments"
	byPrincipal = "roleAssignmentsByPrincipal"
)

func principalKey(a Assignment) string { return fold.Lower(a.PrincipalID + " " + a.ID) }

// Put stores an assignment. The principal of an ID must not change.
func Put(tx *store.Tx, a Assignment) error {
	if err := store.Put(tx, byPrincipal, principalKey(a), a); err != nil {
		return err
	}
	return store.Put(tx, byID, fold.Lower(a.ID), a)
}

// Get returns the assignment with an ID.
func Get(tx *store.Tx, id string) (Assignment, bool, error) {
	return store.Get[Assignment](tx, byID, fold.Lower(id))
}

// Delete deletes the assignment with an ID.
func Delete(tx *store.Tx, id string) error {
	a, ok, err := Get(tx, id)
	if err != nil || !ok {
		return err
	}
	if err := store.Delete(tx, byPrincipal, principalKey(a)); err != nil {
		return err
	}
	return store.Delete(tx, byID, fold.Lower(id))
}

// List returns all assignments.
func List(tx *store.Tx) ([]Assignment, error) { return store.List[Assignment](tx, byID, "") }

// Effective reports whether the assignment is in effect.
func (a Assignment) Effective() bool { return !time.Now().Before(a.EffectiveOn) }

// HonourAll makes all assignments take effect now.
func HonourAll(tx *store.Tx) error {
	assignments, err := List(tx)
	if err != nil {
		return err
	}
	for _, a := range assignments {
		a.EffectiveOn = time.Time{}
		if err := Put(tx, a); err != nil {
			return err
		}
	}
	return nil
}

// Of returns the assignments of a principal, including those that are not in effect yet.
func Of(tx *store.Tx, principalID string) ([]Assignment, error) {
	return store.List[Assignment](tx, byPrincipal, fold.Lower(principalID+" "))
}

// DeleteUnder deletes the assignments at a scope and below, as Azure does when the resource is deleted.
func DeleteUnder(tx *store.Tx, scope string) error {
	assignments, err := List(tx)
	if err != nil {
		return err
	}
	for _, a := range assignments {
		if Covers(scope, a.Scope) {
			if err := Delete(tx, a.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// Allowed says whether an assignment at the scope or above it lets the principal do the action.
func Allowed(tx *store.Tx, principalID, action, scope string, plane Plane) (bool, error) {
	d, err := Decide(tx, principalID, scope, plane, About{Action: action})
	return d.Allowed, err
}

// Covers reports whether scope is at or below above. It compares whole segments of IDs without case.
func Covers(above, scope string) bool {
	above, scope = fold.Lower(strings.TrimRight(above, "/")), fold.Lower(strings.TrimRight(scope, "/"))
	return above == scope || strings.HasPrefix(scope, above+"/")
}
