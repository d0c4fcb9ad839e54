package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// preview times a preview of the prod stack, which is up.
func preview(ctx context.Context, checkout, dir string) (err error) {
	program := filepath.Join(checkout, "bin", "localcloud")
	local := func(args ...string) []string {
		return append([]string{"--project", checkout, "--home", filepath.Join(dir, "home")}, args...)
	}
	defer func() {
		down := exec.Command(program, local("down")...) // also after an interrupt
		out, failed := down.CombinedOutput()
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("down: %w\n%s", failed, out))
		}
	}()
	if _, err := output(ctx, checkout, nil, program, local("up", "--stack", "prod")...); err != nil {
		return err
	}
	// The last one is as warm as can be.
	var times []time.Duration
	for range 3 {
		begin := time.Now()
		script := fmt.Sprintf(`eval "$(%q --project %q --home %q env)" && pulumi preview --stack prod --non-interactive --expect-no-changes`,
			program, checkout, filepath.Join(dir, "home"))
		if _, err := output(ctx, checkout, []string{"PULUMI_SKIP_UPDATE_CHECK=true"}, "bash", "-c", script); err != nil {
			return err
		}
		times = append(times, time.Since(begin))
	}
	slices.Sort(times)
	fmt.Printf("\nA preview of the prod stack, which is up, takes %.1f s (%.1f s, %.1f s).\n", times[0].Seconds(), times[1].Seconds(), times[2].Seconds())
	return nil
}
