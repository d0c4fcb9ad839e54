package arm

import (
	"testing"
	"time"
)

func TestTimesAreAzuresOrAPartOfThem(t *testing.T) {
	for profile, want := range map[string]time.Duration{"": 0, "instant": 0, "azure": 5 * time.Minute, "azure/100": 3 * time.Second} {
		times, err := ParseTimes(profile)
		if got := times.of(clustersType, creating); err != nil || got != want {
			t.Errorf("%q: a cluster takes %s, want %s (%v)", profile, got, want, err)
		}
	}
	for _, profile := range []string{"azure/0", "azure/x", "instant/2", "aws"} {
		if _, err := ParseTimes(profile); err == nil {
			t.Errorf("%q is taken", profile)
		}
	}
}
