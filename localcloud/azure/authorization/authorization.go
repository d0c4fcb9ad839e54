// Package authorization decides who may do what: Azure RBAC over the role assignments in the store.
package authorization

import (
	"strings"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Plane says which of a role's actions count.
type Plane bool

const (
	Control Plane = false // Azure Resource Manager: actions
	Data    Plane = true  // a service's own endpoint: dataActions
)

// Assignment gives a principal a role at a scope and below.
type Assignment struct {
	ID            string // the ARM id
	Name          string // a GUID
	Scope         string
	RoleID        string // the GUID of the role definition
	PrincipalID   string // the object id
	PrincipalType string
	Description   string
	Condition     string // empty: none
	CreatedOn     string
	UpdatedOn     string
	CreatedBy     string
	EffectiveOn   time.Time `json:",omitzero"` // when it begins to count; zero: from the beginning
}

// Assignments are kept twice: by id, and by principal for the question that every request asks.
const (
	byID        = "roleAssignments"
	byPrincipal = "roleAssignmentsByPrincipal"
)

func principalKey(a Assignment) string { return strings.ToLower(a.PrincipalID + " " + a.ID) }

// Put writes an assignment. The principal of an id never changes.
func Put(tx *store.Tx, a Assignment) error {
	if err := store.Put(tx, byPrincipal, principalKey(a), a); err != nil {
		return err
	}
	return store.Put(tx, byID, strings.ToLower(a.ID), a)
}

// Get reads the assignment with an ARM id.
func Get(tx *store.Tx, id string) (Assignment, bool, error) {
	return store.Get[Assignment](tx, byID, strings.ToLower(id))
}

// Delete removes the assignment with an ARM id.
func Delete(tx *store.Tx, id string) error {
	a, ok, err := Get(tx, id)
	if err != nil || !ok {
		return err
	}
	if err := store.Delete(tx, byPrincipal, principalKey(a)); err != nil {
		return err
	}
	return store.Delete(tx, byID, strings.ToLower(id))
}

// List reads every assignment.
func List(tx *store.Tx) ([]Assignment, error) { return store.List[Assignment](tx, byID, "") }

// Effective says whether the assignment counts by now.
func (a Assignment) Effective() bool { return !time.Now().Before(a.EffectiveOn) }

// HonourAll has every assignment count from now on.
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

// Of reads the assignments of a principal, also those that do not count yet.
func Of(tx *store.Tx, principalID string) ([]Assignment, error) {
	return store.List[Assignment](tx, byPrincipal, strings.ToLower(principalID+" "))
}

// DeleteUnder removes the assignments at a scope and below, as happens when the resource there is deleted.
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

// Covers says whether scope is at or below above. Ids compare without case, whole segments at a time.
func Covers(above, scope string) bool {
	above, scope = strings.ToLower(strings.TrimRight(above, "/")), strings.ToLower(strings.TrimRight(scope, "/"))
	return above == scope || strings.HasPrefix(scope, above+"/")
}
