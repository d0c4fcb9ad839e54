package authorization

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Decision says whether somebody may do an action, and why.
type Decision struct {
	Allowed bool   `json:"allowed"`
	Action  string `json:"action,omitempty"`
	Scope   string `json:"scope,omitempty"`
	// Plane is empty where no role is asked for.
	Plane PlaneName `json:"plane,omitempty"`
	// Role is the name of the role that allows the action, Assignment the ARM id of the assignment that gives it, and
	// AssignedAt the scope of that assignment. They are empty unless a role assignment allows the action.
	Role       string `json:"role,omitempty"`
	Assignment string `json:"assignment,omitempty"`
	AssignedAt string `json:"assignedAt,omitempty"`
	// Because says what allows the action where no role assignment of the caller does.
	Because string `json:"because,omitempty"`

	// Missing says what would be needed. It is empty where the action is allowed.
	Missing string `json:"missing,omitempty"`
	// Candidates are the built-in roles known here that allow the action, the role that allows least first.
	Candidates []string `json:"candidates,omitempty"`
	// Pending are the assignments that would allow the action but are not honoured yet.
	Pending []Pending `json:"pending,omitempty"`
	// Others are the assignments that would allow the action if it were not for what they say.
	Others []Other `json:"others,omitempty"`
}

// PlaneName is a plane as it is written: control or data.
type PlaneName string

// Name returns control or data.
func (p Plane) Name() PlaneName {
	if p == Data {
		return "data"
	}
	return "control"
}

// Pending is a role assignment that is not honoured before a time.
type Pending struct {
	Role        string    `json:"role"`
	AssignedAt  string    `json:"assignedAt"`
	EffectiveOn time.Time `json:"effectiveOn"`
}

// Other is a role assignment that does not allow an action although its role does.
type Other struct {
	Role       string `json:"role"`
	AssignedAt string `json:"assignedAt"`
	Why        string `json:"why"`
}

// NoAssignment is what is missing where no role assignment allows an action.
const NoAssignment = "no role assignment of the caller at the scope or above it allows the action"

// most is how many candidates, pending or other assignments a decision lists. The rest tells a reader nothing new.
const most = 6

// Decide looks for an assignment at the scope or above it that lets the principal do the action.
func Decide(tx *store.Tx, principalID, scope string, plane Plane, about About) (Decision, error) {
	d := Decision{Action: about.Action, Scope: scope, Plane: plane.Name()}
	assignments, err := Of(tx, principalID)
	if err != nil {
		return d, err
	}
	for _, a := range assignments {
		role, ok, err := FindRole(tx, a.RoleID)
		if err != nil {
			return d, err
		}
		if !ok || !role.allows(about.Action, plane) {
			continue
		}
		why, err := a.refuses(scope, about)
		if err != nil {
			return d, err
		}
		switch {
		case why == "":
			d = Decision{Allowed: true, Action: d.Action, Scope: scope, Plane: d.Plane}
			d.Role, d.Assignment, d.AssignedAt = role.Name, a.ID, a.Scope
			return d, nil
		case !a.Effective() && Covers(a.Scope, scope):
			d.Pending = append(d.Pending, Pending{role.Name, a.Scope, a.EffectiveOn})
		default:
			d.Others = append(d.Others, Other{role.Name, a.Scope, why})
		}
	}
	d.Missing = NoAssignment
	d.Candidates = Candidates(about.Action, plane)
	d.Pending = d.Pending[:min(len(d.Pending), most)]
	d.Others = d.Others[:min(len(d.Others), most)]
	return d, nil
}

// refuses says why an assignment of a role that allows an action does not allow it, or nothing where it does.
func (a Assignment) refuses(scope string, about About) (string, error) {
	switch {
	case !Covers(a.Scope, scope):
		return "it is assigned at another scope", nil
	case !a.Effective():
		return "it is not honoured yet", nil
	case a.Condition == "":
		return "", nil
	}
	condition, err := ParseCondition(a.Condition)
	if err != nil || condition(about) {
		return "", err
	}
	return "its condition does not hold", nil
}

// OfGroups adds the assignments of groups that the principal is in to a refusal: there, they do not count.
func (d *Decision) OfGroups(tx *store.Tx, groups []string, plane Plane) error {
	for _, group := range groups {
		theirs, err := Decide(tx, group, d.Scope, plane, About{Action: d.Action})
		if err != nil {
			return err
		}
		if theirs.Allowed && len(d.Others) < most {
			d.Others = append(d.Others, Other{theirs.Role, theirs.AssignedAt, fmt.Sprintf("it is of the group %s, and "+
				"assignments of groups do not count here", group)})
		}
	}
	return nil
}

// Candidates returns the names of built-in roles that allow an action, at most six, the role that allows least first.
func Candidates(action string, plane Plane) []string {
	var names []string
	action = strings.ToLower(action)
	matched := func(patterns []string) bool {
		return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, action) })
	}
	for _, role := range byReach() {
		granted, excluded := role.patterns(plane)
		if len(names) < most && matched(granted) && !matched(excluded) {
			names = append(names, role.Name)
		}
	}
	return names
}

// byReach returns the built-in roles, the one that allows least first: how much is counted over all actions that the
// built-in roles name, each pattern as an action of its own. Their patterns are in lower case because each refusal
// compares all of them.
var byReach = sync.OnceValue(func() []Role {
	var control, data []string
	for _, role := range Roles {
		control = append(append(control, role.Actions...), role.NotActions...)
		data = append(append(data, role.DataActions...), role.NotDataActions...)
	}
	reach := map[string]int{}
	for plane, actions := range map[Plane][]string{Control: control, Data: data} {
		slices.Sort(actions)
		for _, action := range slices.Compact(actions) {
			for _, role := range Roles {
				if role.allows(action, plane) {
					reach[role.ID]++
				}
			}
		}
	}
	roles := slices.Clone(Roles)
	for i := range roles {
		role := &roles[i]
		for _, patterns := range []*[]string{&role.Actions, &role.NotActions, &role.DataActions, &role.NotDataActions} {
			*patterns = slices.Clone(*patterns)
			for j, pattern := range *patterns {
				(*patterns)[j] = strings.ToLower(pattern)
			}
		}
	}
	slices.SortStableFunc(roles, func(a, b Role) int {
		if less := reach[a.ID] - reach[b.ID]; less != 0 {
			return less
		}
		return strings.Compare(a.Name, b.Name)
	})
	return roles
})
