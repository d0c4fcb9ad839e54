package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// phase is a phase of `make up`. It ends with a line in the output or, with log, in the local cloud's log.
type phase struct {
	name, ends string
	log        bool
}

// phases are the phases of `make up` in their order.
var phases = []phase{
	{name: "programs are there", ends: "local cloud: starting"},
	{name: "local cloud started", ends: "local cloud: Azure behind"},
	{name: "stack made, program compiled", ends: "Updating (dev)"},
	{name: "engine, plugins and program started", ends: " resource-group creating ("},
	{name: "resource group", ends: " cluster-cluster creating ("},
	{name: "cluster: control plane", ends: `msg="API server ready"`, log: true},
	{name: "cluster: controllers, rest of the node", ends: `msg="cluster ready"`, log: true},
	{name: "cluster: known to the engine", ends: " cluster-cluster created ("},
	{name: "Kubernetes provider, namespace, class", ends: " keyvault-demo-mount-test-pod creating ("},
	{name: "pod mounts and runs", ends: " keyvault-demo-mount-test-pod created ("},
	{name: "engine ends", ends: "Duration:"},
	{name: "secret read in the pod", ends: "up in "},
}

// start measures the phases of `make up`, when everything is built and no local cloud runs. The fastest of three runs
// counts.
func start(ctx context.Context, checkout, dir string) error {
	begin := time.Now()
	if _, err := output(ctx, checkout, nil, "make", "build"); err != nil {
		return err
	}
	building := time.Since(begin)
	var best []time.Duration
	var all []time.Duration
	for i := range 3 {
		took, err := startOnce(ctx, cloud{checkout, filepath.Join(dir, fmt.Sprint("s", i))})
		if err != nil {
			return err
		}
		all = append(all, sum(took))
		if best == nil || sum(took) < sum(best) {
			best = took
		}
	}
	fmt.Printf("\n| `make up`, warm | takes |\n|---|---:|\n| make build: nothing to do | %.2f s |\n", building.Seconds())
	for i, p := range phases {
		fmt.Printf("| %s | %.2f s |\n", p.name, best[i].Seconds())
	}
	fmt.Printf("| together | %.2f s |\n\nThe quickest of three:", (building + sum(best)).Seconds())
	for _, took := range all {
		fmt.Printf(" %.2f s", took.Seconds())
	}
	fmt.Println(" without make build.")
	return nil
}

func sum(all []time.Duration) (total time.Duration) {
	for _, one := range all {
		total += one
	}
	return total
}

// startOnce runs up once and returns how long each phase took.
func startOnce(ctx context.Context, c cloud) (took []time.Duration, err error) {
	defer func() { err = errors.Join(err, c.down()) }()
	cmd := c.command(ctx, "up")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = cmd.Stdout
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ends := make([]time.Time, len(phases))
	var printed strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		now := time.Now()
		printed.WriteString(lines.Text() + "\n")
		for i, p := range phases {
			if !p.log && ends[i].IsZero() && strings.Contains(lines.Text(), p.ends) {
				ends[i] = now
				break
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("up: %w\n%s", err, printed.String())
	}
	if err := c.readLog(ends); err != nil {
		return nil, err
	}
	for i, p := range phases {
		if ends[i].IsZero() {
			return nil, fmt.Errorf("no line has %q, which ends the phase %q", p.ends, p.name)
		}
		took = append(took, ends[i].Sub(begin))
		begin = ends[i]
	}
	return took, nil
}

// readLog finds the ends of phases in the log.
func (c cloud) readLog(ends []time.Time) error {
	content, err := os.ReadFile(c.log())
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(content)) {
		for i, p := range phases {
			if !p.log || !ends[i].IsZero() || !strings.Contains(line, p.ends) {
				continue
			}
			at, _, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
			if ends[i], err = time.Parse(time.RFC3339Nano, at); err != nil {
				return fmt.Errorf("reading the log: %w", err)
			}
		}
	}
	return nil
}
