package resourcemanager

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Times is the duration of operations, by resource type and by what they do: Creating, Updating or Deleting. Operations
// that it does not have take no longer than their work. Nil is Instant.
type Times map[string]map[string]time.Duration

// Instant delays no operation.
var Instant Times

// ParseTimes parses a profile: "instant", "azure", or "azure/" and a number of at least 1. The durations are those of
// the types, divided by the number.
func ParseTimes(profile string, types []Type) (Times, error) {
	name, by, divided := strings.Cut(profile, "/")
	divisor := 1.0
	unknown := fmt.Errorf("invalid profile of times %q: must be instant, azure, or azure/ and a number of at least 1, "+
		"such as azure/100 for a hundredth of Azure's times", profile)
	if divided {
		var err error
		divisor, err = strconv.ParseFloat(by, 64)
		if atLeastOne := divisor >= 1; err != nil || !atLeastOne || name != "azure" { // NaN is not
			return nil, unknown
		}
	}
	switch name {
	case "", "instant":
		return Instant, nil
	case "azure":
	default:
		return nil, unknown
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

// Of returns the duration of an operation.
func (t Times) Of(kind, doing string) time.Duration { return t[kind][doing] }

// doingOf returns what a request that was answered at once has done, or "" if it changed nothing.
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

// Wait returns after d or when ctx ends, whichever comes first.
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
