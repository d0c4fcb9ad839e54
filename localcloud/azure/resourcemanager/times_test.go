package resourcemanager_test

import (
	"testing"
	"time"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
)

func TestParseTimes_DividesAzuresTimes(t *testing.T) {
	t.Parallel()
	types := []arm.Type{{Name: boxes, Times: map[string]time.Duration{arm.Creating: time.Minute}}}
	for profile, want := range map[string]time.Duration{
		"":           0,
		"instant":    0,
		"azure":      time.Minute,
		"azure/1":    time.Minute,
		"azure/60":   time.Second,
		"azure/1e99": 0,
	} {
		times, err := arm.ParseTimes(profile, types)
		if got := times.Of(boxes, arm.Creating); err != nil || got != want {
			t.Errorf("%q: %s, %v, want %s", profile, got, err, want)
		}
	}
	for _, profile := range []string{"azure/", "azure/0.5", "azure/-1", "azure/NaN", "azure/x", "instant/2", "aws"} {
		if times, err := arm.ParseTimes(profile, types); err == nil {
			t.Errorf("%q is accepted: %v", profile, times)
		}
	}
}
