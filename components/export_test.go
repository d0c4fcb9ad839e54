package components

import (
	"testing"
	"time"
)

// The tests run on a day on which Azure serves every version of Key Vault's control plane.
func init() {
	now = func() time.Time { return time.Date(2026, time.November, 1, 12, 0, 0, 0, time.UTC) }
}

// SetClock stops the clock at a time until the test ends.
func SetClock(t testing.TB, at time.Time) {
	before := now
	now = func() time.Time { return at }
	t.Cleanup(func() { now = before })
}

// AddDuration returns the time after an ISO 8601 duration, or false if the duration is invalid.
func AddDuration(t time.Time, text string) (time.Time, bool) {
	d, ok := parseDuration(text)
	return d.from(t), ok
}

// NeverLonger reports whether a duration is never longer than another, on any day.
func NeverLonger(text, other string) bool {
	d, ok := parseDuration(text)
	o, otherOK := parseDuration(other)
	return ok && otherOK && d.fitsIn(o)
}

// PublicRange reports whether a firewall can allow the addresses.
var PublicRange = publicRange

// LateRoleWait returns how long to wait for a late role after a number of tries, or false to give up.
var LateRoleWait = retryDelay

// NotThere reports whether a lookup's error means that the object does not exist.
var NotThere = notThere.MatchString
