package keyvault

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// RotationPolicy says when a key is rotated (learn.microsoft.com/azure/key-vault/keys/how-to-configure-key-rotation).
// It is stored and returned, and applies to rotations on request. No key is rotated automatically here.
type RotationPolicy struct {
	Attributes struct {
		ExpiryTime string `json:"expiryTime,omitempty"` // of new versions, a duration such as P90D
		Created    int64  `json:"created,omitempty"`
		Updated    int64  `json:"updated,omitempty"`
	} `json:"attributes"`
	LifetimeActions []LifetimeAction `json:"lifetimeActions"`
}

// LifetimeAction rotates or notifies at a time in the life of a version.
type LifetimeAction struct {
	Trigger struct {
		TimeAfterCreate  string `json:"timeAfterCreate,omitempty"`
		TimeBeforeExpiry string `json:"timeBeforeExpiry,omitempty"`
	} `json:"trigger"`
	Action struct {
		Type string `json:"type"`
	} `json:"action"`
}

var duration = regexp.MustCompile(`^P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?$`)

// after adds an ISO 8601 duration in whole days to a time.
func after(t time.Time, given string) (time.Time, bool) {
	m := duration.FindStringSubmatch(given)
	if m == nil || given == "P" {
		return t, false
	}
	n := func(i int) int { v, _ := strconv.Atoi(m[i]); return v }
	return t.AddDate(n(1), n(2), 7*n(3)+n(4)), true
}

// check checks a policy against Key Vault's rules: versions live at least 28 days, a rotation is at least 7 days from
// both ends, and a notification at least 7 days from the end.
func (p *RotationPolicy) check() error {
	start := time.Unix(0, 0).UTC()
	const day = 24 * time.Hour
	end, hasEnd := start, p.Attributes.ExpiryTime != ""
	if hasEnd {
		var ok bool
		if end, ok = after(start, p.Attributes.ExpiryTime); !ok || end.Sub(start) < 28*day {
			return badParameter("The expiryTime %q of the rotation policy is not a duration of at least 28 days, such as P90D.",
				p.Attributes.ExpiryTime)
		}
	}
	types := map[string]bool{}
	for i, action := range p.LifetimeActions {
		kind := strings.ToLower(action.Action.Type)
		if kind != "rotate" && kind != "notify" || types[kind] {
			return badParameter("The lifetime actions of a rotation policy are one of each type: rotate and notify, not %q.",
				action.Action.Type)
		}
		types[kind] = true
		trigger := action.Trigger
		fromStart, fromEnd := trigger.TimeAfterCreate, trigger.TimeBeforeExpiry
		switch {
		case (fromStart == "") == (fromEnd == ""):
			return badParameter("The trigger of a lifetime action is one of timeAfterCreate and timeBeforeExpiry.")
		case kind == "notify" && fromStart != "":
			return badParameter("The trigger of the lifetime action notify is timeBeforeExpiry.")
		case fromEnd != "" && !hasEnd:
			return badParameter("The trigger timeBeforeExpiry needs the expiryTime of the rotation policy.")
		}
		at, ok := after(start, fromStart+fromEnd)
		rest := end.Sub(at)
		if !ok || at.Sub(start) < 7*day || hasEnd && (rest <= 0 || kind == "rotate" && rest < 7*day) {
			const format = "The trigger %q of the lifetime action %s is too near to the creation of a version, or to its expiry."
			return badParameter(format, fromStart+fromEnd, kind)
		}
		p.LifetimeActions[i].Action.Type = kind
	}
	return nil
}

// has reports whether the policy has an action of a type.
func (p *RotationPolicy) has(kind string) bool {
	return slices.ContainsFunc(p.LifetimeActions, func(a LifetimeAction) bool { return a.Action.Type == kind })
}

// NoticeTime is how long before the expiry of an object its vault publishes an event, unless a key's rotation policy
// says otherwise (learn.microsoft.com/azure/key-vault/general/event-grid-overview).
const NoticeTime = 30 * 24 * time.Hour

// NoticeOf returns when a vault announces the expiry of a version of the object. The expiry is in seconds since 1970.
func (o Object) NoticeOf(expires int64) time.Time {
	end := time.Unix(expires, 0).UTC()
	if o.Rotation != nil {
		for _, action := range o.Rotation.LifetimeActions {
			if action.Action.Type != "notify" {
				continue
			}
			// Computed forwards from an instant, as in check.
			if at, ok := after(time.Unix(0, 0).UTC(), action.Trigger.TimeBeforeExpiry); ok {
				return end.Add(-at.Sub(time.Unix(0, 0)))
			}
		}
	}
	return end.Add(-NoticeTime)
}

// SetRotationPolicy sets a key's policy and returns the stored policy.
func SetRotationPolicy(tx *store.Tx, v Vault, name string, policy RotationPolicy) (Object, error) {
	o, ok, err := Get(tx, v, Key, name)
	if err == nil && !ok {
		err = notFound(Key, name, "")
	}
	if err != nil {
		return o, err
	}
	if o.Managed {
		return o, notImplemented("a rotation policy of the key of a certificate")
	}
	if err := policy.check(); err != nil {
		return o, err
	}
	policy.Attributes.Updated = time.Now().Unix()
	policy.Attributes.Created = policy.Attributes.Updated
	if o.Rotation != nil {
		policy.Attributes.Created = o.Rotation.Attributes.Created
	}
	o.Rotation = &policy
	return o, put(tx, o)
}

func (c *call) getRotationPolicy() (any, error) {
	o, _, err := c.find(Key)
	if err != nil {
		return nil, err
	}
	return c.vault.rotationBundle(o), nil
}

func (c *call) setRotationPolicy() (any, error) {
	var body struct {
		ID string `json:"id"`
		RotationPolicy
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	o, err := SetRotationPolicy(c.tx, c.vault, c.name, body.RotationPolicy)
	if err != nil {
		return nil, err
	}
	return c.vault.rotationBundle(o), nil
}

// rotationBundle returns a key's policy. The default policy notifies 30 days before the expiry. The data plane
// capitalizes the types of actions.
func (v Vault) rotationBundle(o Object) bundle {
	actions, attributes := []bundle{}, bundle{"expiryTime": nil}
	if o.Rotation != nil {
		attributes = bundle{
			"created":    o.Rotation.Attributes.Created,
			"updated":    o.Rotation.Attributes.Updated,
			"expiryTime": nil,
		}
		if expiry := o.Rotation.Attributes.ExpiryTime; expiry != "" {
			attributes["expiryTime"] = expiry
		}
		for _, action := range o.Rotation.LifetimeActions {
			kind := action.Action.Type
			actions = append(actions, bundle{
				"trigger": action.Trigger, "action": bundle{"type": strings.ToUpper(kind[:1]) + kind[1:]},
			})
		}
	}
	if o.Rotation == nil || !o.Rotation.has("notify") {
		actions = append(actions, bundle{"trigger": bundle{"timeBeforeExpiry": "P30D"}, "action": bundle{"type": "Notify"}})
	}
	return bundle{"id": v.id(Key, o.Name, "rotationpolicy"), "lifetimeActions": actions, "attributes": attributes}
}
