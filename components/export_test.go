package components

import (
	"testing"
	"time"
)

// The tests stand on a day on which Azure serves every version of Key Vault's control plane, on whatever day they run.
func init() {
	now = func() time.Time { return time.Date(2026, time.November, 1, 12, 0, 0, 0, time.UTC) }
}

// SetClock stops the clock at a time until the test ends.
func SetClock(t testing.TB, at time.Time) {
	before := now
	now = func() time.Time { return at }
	t.Cleanup(func() { now = before })
}

// AddDuration is a time and an ISO 8601 duration after it; false if the duration is refused.
func AddDuration(t time.Time, text string) (time.Time, bool) {
	d, ok := parseDuration(text)
	return d.from(t), ok
}

// NeverLonger says whether a duration is no longer than another one, whatever day they are counted from.
func NeverLonger(text, other string) bool {
	d, ok := parseDuration(text)
	o, otherOK := parseDuration(other)
	return ok && otherOK && d.fitsIn(o)
}

// PublicRange says whether a firewall can allow the addresses.
var PublicRange = publicRange

// LateRoleWait is how long a late role is waited for after a number of tries; false if no longer.
var LateRoleWait = lateRoleWait

// NotThere says whether an error of a lookup means that there is nothing.
var NotThere = notThere.MatchString
