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

// peersRounds is how often each of the two makes its resources: medians count.
const peersRounds = 3

// peer is one of those who make the same eight resources. name is that of the resource group, the vault, and what is in
// the group, which is another one each time, since a deleted vault keeps its name.
type peer struct {
	name                 string
	create, see, destroy func(name string) []*exec.Cmd
	took                 [3][]time.Duration
}

// peers has OpenTofu and this repository's components make the same eight resources in turn, look at what they made, and
// take it down, at a hundredth of Azure's times.
func peers(ctx context.Context, checkout, dir string) error { return peersAt(ctx, checkout, dir, 100) }

// peersTenth does so at a tenth of Azure's times.
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
	if out, err := c.command(ctx, "start", "--node=stand-in", "--times", fmt.Sprintf("azure/%d", divisor)).
		CombinedOutput(); err != nil {
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
	if _, err := output(
		ctx,
		filepath.Join(checkout, "tests", "programs"),
		nil,
		"go",
		"build",
		"-o",
		program,
		"./peers",
	); err != nil {
		return err
	}
	project, err := json.Marshal(
		map[string]any{
			"name":    "peers",
			"runtime": map[string]any{"name": "go", "options": map[string]any{"binary": program}},
		},
	)
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
		destroy: func(name string) []*exec.Cmd { // Resource Manager deletes no secrets and keys
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
		if round%2 == 1 { // not always the same one first
			slices.Reverse(both)
		}
		for i, p := range both {
			name := fmt.Sprintf("kv-peer-%d-%d", round, i)
			if out, err := pulumi(
				"config",
				"set-all",
				"--plaintext",
				"name="+name,
				"--plaintext",
				"tenantId="+running.Credentials.TenantID,
			).CombinedOutput(); err != nil {
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

// median leaves what it is given as it was.
func median(of []time.Duration) time.Duration { return slices.Sorted(slices.Values(of))[len(of)/2] }
