package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
)

var checkOnly = flag.Bool(
	"check",
	false,
	"measure only what has a limit, small, and fail where one is passed; arguments choose among these: makespan, mounts, scale",
)

// ratio compares two things that were measured in one run. Its limit has room for the noise of a shared machine: what passes it has
// become worse.
type ratio struct {
	name         string
	value, limit float64
}

// checks are small versions of what is measured.
var checks = []struct {
	name string
	do   func(ctx context.Context, checkout, dir string) ([]ratio, error)
}{{"makespan", checkMakespan}, {"mounts", checkMounts}, {"scale", checkScale}}

// check prints the ratios and fails where one is above its limit.
func check(ctx context.Context, checkout, dir string, only []string) error {
	var all []ratio
	for _, one := range checks {
		if len(only) > 0 && !slices.Contains(only, one.name) {
			continue
		}
		ratios, err := one.do(ctx, checkout, dir)
		if err != nil {
			return err
		}
		all = append(all, ratios...)
	}
	var failed error
	fmt.Printf("\n| ratio | | limit |\n|---|---|---|\n")
	for _, r := range all {
		fmt.Printf("| %s | %.2f | %.2f |\n", r.name, r.value, r.limit)
		if !(r.value <= r.limit) { // a NaN too
			failed = errors.Join(failed, fmt.Errorf("%s is %.2f, above %.2f", r.name, r.value, r.limit))
		}
	}
	return failed
}
