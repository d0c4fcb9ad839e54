package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/keyvault-aks/keyvault-aks/tests/judges"
)

// peersRounds is the number of rounds, whose median counts.
const peersRounds = 3

// peer is one of two tools that manage the same eight resources. Its functions return the commands for resources with a
// name, which differs each time, because a deleted vault keeps its name.
type peer struct {
	name                 string
	create, see, destroy func(name string) []*exec.Cmd
	took                 [3][]time.Duration // of create, see and destroy
}

// peers compares OpenTofu with this repository's components: each in turn creates, previews and destroys the same eight
// resources, at a hundredth of Azure's times.
func peers(ctx context.Context, checkout, dir string) error { return peersAt(ctx, checkout, dir, 100) }

// peersTenth does the same at a tenth of Azure's times.
func peersTenth(ctx context.Context, checkout, dir string) error {
	return peersAt(ctx, checkout, dir, 10)
}

func peersAt(ctx context.Context, checkout, dir string, divisor int) (err error) {
	tofu, err := judges.OpenTofu(ctx, filepath.Join(checkout, "tests"))
	if err != nil {
		return err
	}
	dir = filepath.Join(dir, fmt.Sprint("p", divisor))
	c := cloud{checkout, filepath.Join(dir, "h")}
	if err := os.MkdirAll(filepath.Join(dir, "tofu"), 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.down()) }()
	start := c.command(ctx, "start", "--node=stand-in", "--times", fmt.Sprintf("azure/%d", divisor))
	if out, err := start.CombinedOutput(); err != nil {
		return fmt.Errorf("start: %w\n%s", err, out)
	}
	env, err := c.localcloud().Environ(ctx)
	if err != nil {
		return err
	}
	config, err := os.ReadFile(filepath.Join(checkout, "tests", "testdata", "tofu", "main.tf"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "tofu", "main.tf"), config, 0o600)
	}
	if err != nil {
		return err
	}
	program := filepath.Join(dir, "peers")
	source := filepath.Join(checkout, "tests", "programs")
	if _, err := output(ctx, source, nil, "go", "build", "-o", program, "./peers"); err != nil {
		return err
	}
	project, err := json.Marshal(map[string]any{
		"name": "peers", "runtime": map[string]any{"name": "go", "options": map[string]any{"binary": program}},
	})
	if err == nil {
		err = os.MkdirAll(filepath.Join(dir, "pulumi"), 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "pulumi", "Pulumi.yaml"), project, 0o600)
	}
	if err != nil {
		return err
	}
	running, err := c.localcloud().Running()
	if err != nil {
		return err
	}
	opentofu := func(name string, args ...string) *exec.Cmd {
		cmd := c.program(ctx, slices.Concat(env, tofu.Env, []string{"TF_VAR_name=" + name}), "pulumi", args...)
		cmd.Path, cmd.Args[0], cmd.Dir, cmd.Err = tofu.Command, tofu.Command, filepath.Join(dir, "tofu"), nil
		return cmd
	}
	pulumi := func(args ...string) *exec.Cmd {
		cmd := c.program(ctx, env, "pulumi", append(args, "--non-interactive")...)
		cmd.Dir = filepath.Join(dir, "pulumi")
		return cmd
	}
	if out, err := pulumi("stack", "init", "peers").CombinedOutput(); err != nil {
		return fmt.Errorf("stack init: %w\n%s", err, out)
	}
	both := []*peer{{
		name:   "OpenTofu with azapi",
		create: func(name string) []*exec.Cmd { return []*exec.Cmd{opentofu(name, "apply", "-auto-approve")} },
		see:    func(name string) []*exec.Cmd { return []*exec.Cmd{opentofu(name, "plan")} },
		destroy: func(name string) []*exec.Cmd { // Resource Manager cannot delete secrets and keys
			return []*exec.Cmd{
				opentofu(name, "state", "rm", "azapi_resource.secret", "azapi_resource.key"),
				opentofu(name, "destroy", "-auto-approve"),
			}
		},
	}, {
		name:    "the components",
		create:  func(string) []*exec.Cmd { return []*exec.Cmd{pulumi("up", "--yes", "--skip-preview")} },
		see:     func(string) []*exec.Cmd { return []*exec.Cmd{pulumi("preview", "--refresh", "--expect-no-changes")} },
		destroy: func(string) []*exec.Cmd { return []*exec.Cmd{pulumi("destroy", "--yes", "--skip-preview")} },
	}}
	for round := range peersRounds {
		if round%2 == 1 { // alternate which is first
			slices.Reverse(both)
		}
		for i, p := range both {
			name := fmt.Sprintf("kv-peer-%d-%d", round, i)
			configure := pulumi("config", "set-all", "--plaintext", "name="+name,
				"--plaintext", "tenantId="+running.Credentials.TenantID)
			if out, err := configure.CombinedOutput(); err != nil {
				return fmt.Errorf("config: %w\n%s", err, out)
			}
			for step, commands := range [][]*exec.Cmd{p.create(name), p.see(name), p.destroy(name)} {
				begin := time.Now()
				for _, cmd := range commands {
					if out, err := cmd.CombinedOutput(); err != nil {
						return fmt.Errorf("%s: %v: %w\n%s", p.name, cmd.Args, err, out)
					}
				}
				p.took[step] = append(p.took[step], time.Since(begin))
			}
		}
	}
	slices.SortFunc(both, func(a, b *peer) int { return len(b.name) - len(a.name) }) // OpenTofu first
	fmt.Printf("\n| at 1/%d of Azure's times | %s | %s | ratio |\n|---|---:|---:|---:|\n", divisor, both[0].name,
		both[1].name)
	for step, what := range []string{"creating the eight", "second plan or preview", "destroying"} {
		a, b := median(both[0].took[step]), median(both[1].took[step])
		fmt.Printf("| %s | %.1f s | %.1f s | %.2f |\n", what, a.Seconds(), b.Seconds(), b.Seconds()/a.Seconds())
	}
	return nil
}

// median does not change its argument.
func median(of []time.Duration) time.Duration { return slices.Sorted(slices.Values(of))[len(of)/2] }
