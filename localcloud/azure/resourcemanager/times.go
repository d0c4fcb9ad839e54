package resourcemanager

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Times is how long operations take, by type and by what is done: creating, updating or deleting. What is not in it
// takes the time it needs. Nil is Instant.
type Times map[string]map[string]time.Duration

// Instant has nothing take longer than it needs.
var Instant Times

// ParseTimes reads "instant", "azure", or "azure/" and a number that Azure's times are divided by, which the types
// know.
func ParseTimes(profile string, types []Type) (Times, error) {
	name, by, divided := strings.Cut(profile, "/")
	divisor := 1.0
	if divided {
		var err error
		if divisor, err = strconv.ParseFloat(by, 64); err != nil || divisor < 1 || name != "azure" {
			return nil, fmt.Errorf("%q is no profile of times: instant, azure, or azure/100 for a hundredth of it", profile)
		}
	}
	switch name {
	case "", "instant":
		return Instant, nil
	case "azure":
	default:
		return nil, fmt.Errorf("%q is no profile of times: instant, azure, or azure/100 for a hundredth of it", profile)
	}
	times := Times{}
	for _, kind := range types {
		times[kind.Name] = map[string]time.Duration{}
		for doing, takes := range kind.Times {
			times[kind.Name][doing] = time.Duration(float64(takes) / divisor)
		}
	}
	return times, nil
}

// Of is how long an operation takes.
func (t Times) Of(kind, doing string) time.Duration { return t[kind][doing] }

// doingOf is what a request that was answered at once has done.
func doingOf(method string, status int) string {
	switch {
	case method == http.MethodPut && status == http.StatusCreated:
		return Creating
	case method == http.MethodPut, method == http.MethodPatch:
		return Updating
	case method == http.MethodDelete && status != http.StatusNoContent:
		return Deleting
	}
	return ""
}

// Wait returns after a time, or when ctx ends.
func Wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
