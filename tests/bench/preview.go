package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// preview measures a preview of the prod stack after it was brought up.
func preview(ctx context.Context, checkout, dir string) (err error) {
	c := cloud{checkout, filepath.Join(dir, "home")}
	defer func() { err = errors.Join(err, c.down()) }()
	if err := c.up(ctx, "--stack", "prod"); err != nil {
		return err
	}
	env, err := c.localcloud().Environ(ctx)
	if err != nil {
		return err
	}
	var times []time.Duration
	for range 3 {
		begin := time.Now()
		previewed := c.program(ctx, env, "pulumi", "preview", "--stack", "prod", "--non-interactive", "--expect-no-changes")
		if out, err := previewed.CombinedOutput(); err != nil {
			return fmt.Errorf("preview: %w\n%s", err, out)
		}
		times = append(times, time.Since(begin))
	}
	slices.Sort(times)
	fmt.Printf("\nA preview of the prod stack, which is up, takes %.1f s (%.1f s, %.1f s).\n", times[0].Seconds(),
		times[1].Seconds(), times[2].Seconds())
	return nil
}
