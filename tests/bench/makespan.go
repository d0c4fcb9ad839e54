package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// forced is the longest chain of the dev stack's resources in which each needs an output of the one before it.
var forced = []string{
	"resource-group",
	"cluster-cluster",
	"keyvault-demo-credential-keyvault-ns_keyvault-sa",
	"keyvault-demo-mount-test-pod",
}

// step matches a line of the engine about the beginning or the end of a resource's creation.
var step = regexp.MustCompile(` \S+ (\S+) (creating|created) \(`)

// way is a way to bring the stack up, with the times of its resources.
type way struct {
	name  string
	spans map[string]span
}

// makespan compares an up of the dev stack with the times of the forced chain in the same run. Operations take a
// hundredth of Azure's times.
func makespan(ctx context.Context, checkout, dir string) error {
	return makespanAt(ctx, checkout, dir, 100)
}

// makespanTenth does the same with a tenth of Azure's times, where costs that do not depend on Azure weigh less.
func makespanTenth(ctx context.Context, checkout, dir string) error {
	return makespanAt(ctx, checkout, dir, 10)
}

// makespanAt also sends the stack's requests in other orders without an engine. With a stand-in node, it does not
// measure a container runtime.
func makespanAt(ctx context.Context, checkout, dir string, divisor int) (err error) {
	c, record := cloud{checkout, filepath.Join(dir, "m")}, filepath.Join(dir, "record")
	defer func() { err = errors.Join(err, c.down()) }()
	if err := c.up(ctx, "--node=stand-in", "--times", fmt.Sprintf("azure/%d", divisor), "--record", record); err != nil {
		return err
	}
	spans, took, s, err := c.again(ctx)
	if err != nil {
		return err
	}
	requests, err := requestsOf(s, record)
	if err != nil {
		return err
	}
	if err := c.destroy(ctx); err != nil {
		return err
	}
	ways := []way{{"this program", spans}}
	for _, other := range []struct {
		name string
		in   order
	}{
		{"its requests as early as they can be, without an engine", asNeeded},
		{"its requests as Terraform sends them where modules wait for modules", byModule},
		{"its requests as the guide sends them, one after another", inTurn},
	} {
		r, err := newReplay(ctx, c, s, fmt.Sprint(len(ways)))
		if err != nil {
			return err
		}
		spans, err := send(ctx, requests, other.in, r.do)
		if err != nil {
			return fmt.Errorf("%s: %w", other.name, err)
		}
		ways = append(ways, way{other.name, spans})
		if err := r.delete(ctx, requests); err != nil {
			return err
		}
	}
	return report(ways, s, divisor, took)
}

// destroy destroys the dev stack. The local cloud keeps running.
func (c cloud) destroy(ctx context.Context) error {
	_, err := c.run(ctx, "", "pulumi", "destroy", "--yes", "--skip-preview", "--non-interactive")
	return err
}

// again destroys the dev stack and brings it up again, without the costs of a first up: compiling, and starting the
// local cloud.
func (c cloud) again(ctx context.Context) (spans map[string]span, took time.Duration, s state, err error) {
	if err := c.destroy(ctx); err != nil {
		return nil, 0, s, err
	}
	env, err := c.localcloud().Environ(ctx)
	if err != nil {
		return nil, 0, s, err
	}
	begin := time.Now()
	spans, err = watch(c.program(ctx, env, "pulumi", "up", "--yes", "--skip-preview", "--non-interactive",
		"--color=never", "--suppress-outputs"))
	took = time.Since(begin)
	if err != nil {
		return nil, 0, s, err
	}
	exported, err := c.run(ctx, "", "pulumi", "stack", "export")
	if err == nil {
		err = json.Unmarshal(exported, &s)
	}
	for _, r := range s.Deployment.Resources {
		if r.ID == "" { // a component, which takes no time itself
			delete(spans, r.name())
		}
	}
	return spans, took, s, err
}

// besideTheCluster are resources that do not depend on the cluster, so their creation must begin before it ends.
var besideTheCluster = []string{
	"vault-vault",
	"keyvault-demo-identity",
	"keyvault-demo-mount-role-secret-my-secret",
	"keyvault-demo-mount-role-key-my-key",
}

// checkMakespan measures only the program. The better of two runs counts.
func checkMakespan(ctx context.Context, checkout, dir string) (_ []ratio, err error) {
	c := cloud{checkout, filepath.Join(dir, "m")}
	defer func() { err = errors.Join(err, c.down()) }()
	if err := c.up(ctx, "--node=stand-in", "--times", "azure/100"); err != nil {
		return nil, err
	}
	least := math.Inf(1)
	for range 2 {
		spans, _, _, err := c.again(ctx)
		if err != nil {
			return nil, err
		}
		all, chain, err := way{"this program", spans}.makespan()
		if err != nil {
			return nil, err
		}
		least = min(least, all.Seconds()/chain.Seconds())
		for _, name := range besideTheCluster {
			if one := spans[name]; one.begin.IsZero() || one.begin.After(spans["cluster-cluster"].end) {
				return nil, fmt.Errorf("the creation of %s did not begin while the cluster was created", name)
			}
		}
	}
	return []ratio{{"makespan at 1/100 of Azure's times, by the forced chain", least, 1.35}}, nil
}

// makespan returns the time from the resource group to the pod, and the sum of the times in the forced chain.
func (w way) makespan() (all, chain time.Duration, err error) {
	for _, name := range forced {
		if w.spans[name].end.IsZero() {
			return 0, 0, fmt.Errorf("%s: the end of the creation of %s is unknown", w.name, name)
		}
		chain += w.spans[name].took()
	}
	return w.spans[forced[len(forced)-1]].end.Sub(w.spans[forced[0]].begin), chain, nil
}

// report prints the tables.
func report(ways []way, s state, divisor int, took time.Duration) error {
	fmt.Printf(
		"\n| at 1/%d of Azure's times | resource group to pod | its forced chain | times the chain |\n|---|---:|---:|---:|\n",
		divisor)
	for _, w := range ways {
		all, chain, err := w.makespan()
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %.2f s | %.2f s | %.2f |\n", w.name, all.Seconds(), chain.Seconds(), all.Seconds()/chain.Seconds())
	}
	fmt.Printf("\nThe whole up takes %.2f s. What it waited for, from the end to the beginning:\n", took.Seconds())
	fmt.Printf("\n| resource | began after the one above | took |\n|---|---:|---:|\n")
	path := critical(ways[0].spans, s, forced[len(forced)-1])
	for i, name := range path {
		waited := time.Duration(0)
		if i > 0 {
			waited = ways[0].spans[name].begin.Sub(ways[0].spans[path[i-1]].end)
		}
		fmt.Printf("| %s | %.2f s | %.2f s |\n", name, waited.Seconds(), ways[0].spans[name].took().Seconds())
	}
	return nil
}

func (s span) took() time.Duration { return s.end.Sub(s.begin) }

// critical returns the critical path to the last resource: before each resource the one that it waited for longest.
func critical(spans map[string]span, s state, last string) []string {
	byURN, byName := map[string]stateResource{}, map[string]stateResource{}
	for _, r := range s.Deployment.Resources {
		byURN[r.URN], byName[r.name()] = r, r
	}
	path := []string{last}
	for {
		var before string
		for _, urn := range byName[path[0]].waits() {
			if name := byURN[urn].name(); spans[name].end.After(spans[before].end) {
				before = name
			}
		}
		if before == "" {
			return path
		}
		path = append([]string{before}, path...)
	}
}

// watch runs the engine and returns when it printed each resource's first beginning and its end.
func watch(cmd *exec.Cmd) (map[string]span, error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	spans := map[string]span{}
	var printed strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		printed.WriteString(lines.Text() + "\n")
		match := step.FindStringSubmatch(lines.Text())
		if match == nil {
			continue
		}
		s := spans[match[1]]
		if match[2] == "creating" && s.begin.IsZero() {
			s.begin = time.Now()
		} else if match[2] == "created" && s.end.IsZero() {
			s.end = time.Now()
		}
		spans[match[1]] = s
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("pulumi: %w\n%s", err, printed.String())
	}
	return spans, nil
}
