// Command bench measures the program of this repository and prints tables. It measures what it compares in one run,
// because times of two runs on a busy machine are not comparable. It needs bin/localcloud, which `make bench` builds.
// Arguments are the names of measurements, by default all: cold, build, preview, start, makespan, makespan-tenth,
// mounts, scale, languages, peers, peers-tenth.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only []string) error {
	checkout, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Setenv("TMPDIR", dir); err != nil { // go leaves temporary files when it is interrupted
		return err
	}
	fmt.Printf("%s, %s/%s, %d cores\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	if *checkOnly {
		return check(ctx, checkout, dir, only)
	}
	for _, measure := range []struct {
		name string
		do   func(ctx context.Context, checkout, dir string) error
	}{
		{"cold", cold}, {"build", build}, {"preview", preview}, {"start", start}, {"makespan", makespan},
		{"makespan-tenth", makespanTenth}, {"mounts", mounts}, {"scale", scale}, {"languages", languages},
		{"peers", peers}, {"peers-tenth", peersTenth},
	} {
		if len(only) > 0 && !slices.Contains(only, measure.name) {
			continue
		}
		if err := measure.do(ctx, checkout, dir); err != nil {
			return err
		}
	}
	return nil
}

// output runs a command in a folder and returns its standard output. The error includes all output.
func output(ctx context.Context, dir string, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.Output()
	if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // Output wraps nothing
		err = fmt.Errorf("%s %v: %w\n%s%s", name, args, err, out, exit.Stderr)
	}
	return out, err
}
