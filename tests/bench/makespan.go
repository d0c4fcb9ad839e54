package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// forced is the longest chain of resources that Azure itself forces on the dev stack: each needs what only the one before it has.
var forced = []string{"resource-group", "cluster-cluster", "workload-credential-keyvault-sa", "mount-test-pod"}

// step is a line of the engine that tells of the beginning or the end of a resource.
var step = regexp.MustCompile(` \S+ (\S+) (creating|created) \(`)

// makespan holds an up of the dev stack from nothing, in a cloud where everything takes a hundredth of Azure's time, against the
// longest chain, with the times that its resources took in this very run. The node is a stand-in, so that no container runtime is
// measured.
func makespan(ctx context.Context, checkout, dir string) (err error) {
	program, home := filepath.Join(checkout, "bin", "localcloud"), filepath.Join(dir, "m")
	local := func(args ...string) []string { return append([]string{"--project", checkout, "--home", home}, args...) }
	defer func() {
		down := exec.Command(program, local("down")...) // also after an interrupt
		if out, failed := down.CombinedOutput(); failed != nil {
			err = errors.Join(err, fmt.Errorf("down: %w\n%s", failed, out))
		}
	}()
	if _, err := output(ctx, checkout, nil, program, local("up", "--node=stand-in", "--times", "azure/100")...); err != nil {
		return err
	}
	// Once more, without what only a first time does: compiling, and starting the local cloud.
	script := func(command string) (string, []string) {
		return "bash", []string{"-c", fmt.Sprintf(`eval "$(%q --project %q --home %q env)" && cd %q && exec %s`, program, checkout, home, checkout, command)}
	}
	name, args := script("pulumi destroy --yes --skip-preview --non-interactive")
	if _, err := output(ctx, checkout, nil, name, args...); err != nil {
		return err
	}
	name, args = script("pulumi up --yes --skip-preview --non-interactive --color=never --suppress-outputs")
	begin := time.Now()
	began, ended, err := watch(ctx, name, args...)
	took := time.Since(begin)
	if err != nil {
		return err
	}
	var chain time.Duration
	fmt.Printf("\n| the longest chain, in a hundredth of Azure's time | |\n|---|---|\n")
	for _, resource := range forced {
		if began[resource].IsZero() || ended[resource].IsZero() {
			return fmt.Errorf("up did not tell when it created %s", resource)
		}
		alone := ended[resource].Sub(began[resource])
		chain += alone
		fmt.Printf("| %s | %.2f s |\n", resource, alone.Seconds())
	}
	resources := ended[forced[len(forced)-1]].Sub(began[forced[0]])
	fmt.Printf("| together | %.2f s |\n", chain.Seconds())
	fmt.Printf("\nFrom the chain's beginning to its end pass %.2f s, %.2f times the chain. The whole up takes %.2f s, %.2f times the chain: at Azure's "+
		"own pace what the engine adds to that, %.2f s, stays as it is.\n", resources.Seconds(), resources.Seconds()/chain.Seconds(), took.Seconds(),
		took.Seconds()/chain.Seconds(), (took - chain).Seconds())
	return nil
}

// watch runs a command and notes when it tells of a resource's first beginning and of its end.
func watch(ctx context.Context, name string, args ...string) (began, ended map[string]time.Time, err error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	began, ended = map[string]time.Time{}, map[string]time.Time{}
	var said strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if match := step.FindStringSubmatch(lines.Text()); match != nil {
			when := map[string]map[string]time.Time{"creating": began, "created": ended}[match[2]]
			if when[match[1]].IsZero() {
				when[match[1]] = time.Now()
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		return nil, nil, fmt.Errorf("%s: %w\n%s", name, err, said.String())
	}
	return began, ended, nil
}
