package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
)

var checkOnly = flag.Bool("check", false,
	"measure only small ratios with limits, and fail where one is above its limit; arguments: makespan, mounts, scale")

// ratio compares two measurements of one run. Its limit allows for the noise of a shared machine.
type ratio struct {
	name         string
	value, limit float64
}

// checks are small versions of the measurements.
var checks = []struct {
	name string
	do   func(ctx context.Context, checkout, dir string) ([]ratio, error)
}{{"makespan", checkMakespan}, {"mounts", checkMounts}, {"scale", checkScale}}

// check prints the ratios, and returns an error where one is above its limit.
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
		if !(r.value <= r.limit) { // also for NaN
			failed = errors.Join(failed, fmt.Errorf("%s is %.2f, above %.2f", r.name, r.value, r.limit))
		}
	}
	return failed
}
