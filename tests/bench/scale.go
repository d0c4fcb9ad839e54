package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

var (
	sizes = flag.String("sizes", "10,100,1000", "scale: numbers of `workloads` to measure, in ascending order")
	saved = flag.Int("saved", 100, "scale: up to this number of `workloads`, also measure with an engine that saves the "+
		"whole state after each step, its default, whose cost grows with the square of their number")
)

// The goals of scale at the largest size.
const (
	goalAgainstBare = 1.15 // time with components divided by the bare time
	goalOfGrowth    = 1.2  // time of a workload divided by its time in the next smaller stack
)

// scale brings up programs/fleet in stacks of several sizes, with the components and bare, each in its own instant
// local cloud with a stand-in node. The program is compiled ahead. The fastest of three previews and of two ups counts,
// in turn with the bare ones, because on a shared machine times differ by half.
func scale(ctx context.Context, checkout, dir string) error {
	var counts []int
	for given := range strings.SplitSeq(*sizes, ",") {
		count, err := strconv.Atoi(given)
		if err != nil {
			return fmt.Errorf("-sizes: %w", err)
		}
		counts = append(counts, count)
	}
	previews, err := previewFleets(ctx, checkout, dir, counts, 3)
	if err != nil {
		return err
	}
	runs := map[int]*[2]fleetRun{} // by size: with components, bare
	for i, count := range counts {
		runs[count] = &[2]fleetRun{
			{preview: leastOf(previews[fleetStack{count, false}])},
			{preview: leastOf(previews[fleetStack{count, true}])},
		}
		for j := range 4 {
			bare := (i + j) % 2 // alternate which is first
			run := &runs[count][bare]
			if err := run.measure(ctx, checkout, dir, count, bare == 1, false); err != nil {
				return err
			}
			if j >= 2 || count > *saved {
				continue
			}
			if err := run.measure(ctx, checkout, dir, count, bare == 1, true); err != nil {
				return err
			}
		}
	}
	printScale(counts, runs)
	return nil
}

// fleetRun is what a new stack took. In up the engine saves its state at the end, in saving after each step.
type fleetRun struct{ preview, up, saving measured }

// measure brings up a stack in a new local cloud, and keeps the minimum of what it took.
func (run *fleetRun) measure(ctx context.Context, checkout, dir string, workloads int, bare, saving bool) (err error) {
	f, err := newFleet(ctx, checkout, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.down()) }()
	stack := fleetStack{workloads, bare}
	if err := f.configure(ctx, stack); err != nil {
		return err
	}
	name, up := "up, state saved at the end", &run.up
	if saving {
		name, up = "up", &run.saving
	} else {
		f.env = append(f.env, "PULUMI_SKIP_CHECKPOINTS=true")
	}
	took, err := f.measure(ctx, stack, "up", "--yes", "--skip-preview")
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s: %s %.1f s\n", stack, name, took.wall.Seconds())
	if up.wall > 0 {
		took = up.least(took)
	}
	*up = took
	return nil
}

// fleetStack is a stack of the fleet.
type fleetStack struct {
	workloads int
	bare      bool
}

func (s fleetStack) String() string {
	return fmt.Sprintf("%d workloads, %s", s.workloads, map[bool]string{false: "with components", true: "bare"}[s.bare])
}

// previewFleets previews fleets in one local cloud, with the components and bare in turn, and returns what each took in
// each round.
func previewFleets(
	ctx context.Context, checkout, dir string, counts []int, rounds int,
) (_ map[fleetStack][]measured, err error) {
	f, err := newFleet(ctx, checkout, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.down()) }()
	took := map[fleetStack][]measured{}
	for round := range rounds {
		for _, count := range counts {
			for i := range 2 {
				s := fleetStack{count, (i+round)%2 == 1} // alternate which is first
				if round == 0 {
					if err := f.configure(ctx, s); err != nil {
						return nil, err
					}
				}
				one, err := f.measure(ctx, s, "preview")
				if err != nil {
					return nil, err
				}
				fmt.Fprintf(os.Stderr, "%s: preview %.1f s\n", s, one.wall.Seconds())
				took[s] = append(took[s], one)
			}
		}
	}
	return took, nil
}

// checkScale compares the processor times of previews, which depend less on other processes than the wall time. Because
// the speed of a shared machine varies, it compares times of the same round, and the median of the rounds counts.
func checkScale(ctx context.Context, checkout, dir string) ([]ratio, error) {
	const few, many, rounds = 20, 100, 9
	took, err := previewFleets(ctx, checkout, dir, []int{few, many}, rounds)
	if err != nil {
		return nil, err
	}
	by := func(over, under fleetStack) float64 {
		var ratios []float64
		for round := range rounds {
			each := func(s fleetStack) float64 { return took[s][round].of(ours...).cpu.Seconds() / float64(s.workloads) }
			ratios = append(ratios, each(over)/each(under))
		}
		slices.Sort(ratios)
		return ratios[rounds/2]
	}
	return []ratio{
		{
			"preview of 100 workloads: processor time of program and engine with components, by bare",
			by(fleetStack{many, false}, fleetStack{many, true}),
			1.35,
		},
		{
			"preview: processor time of a workload in 100, by that in 20",
			by(fleetStack{many, false}, fleetStack{few, false}),
			0.9,
		},
	}, nil
}

// ours are the programs whose work depends on the registered resources.
var ours = []string{"program", "engine", "language host"}

// fleet is a local cloud for programs/fleet, whose stacks are in dir.
type fleet struct {
	cloud
	dir    string
	env    []string
	pid    int // of the local cloud
	config map[string]string
}

// newFleet brings up a local cloud with the dev stack, whose vault and cluster the fleet uses. The caller must call
// down.
func newFleet(ctx context.Context, checkout, dir string) (_ *fleet, err error) {
	f := &fleet{cloud: cloud{checkout, filepath.Join(dir, "f")}, dir: filepath.Join(dir, "fleet")}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.down())
		}
	}()
	// A new folder, because stack files from another local cloud are encrypted with its passphrase.
	if err := errors.Join(os.RemoveAll(f.dir), os.MkdirAll(f.dir, 0o700)); err != nil {
		return nil, err
	}
	program := filepath.Join(f.dir, "fleet")
	source := filepath.Join(checkout, "tests", "programs", "fleet")
	if _, err := output(ctx, source, nil, "go", "build", "-o", program, "."); err != nil {
		return nil, err
	}
	project := fmt.Sprintf("name: fleet\nruntime: {name: go, options: {binary: %q}}\n", program)
	if err := os.WriteFile(filepath.Join(f.dir, "Pulumi.yaml"), []byte(project), 0o600); err != nil {
		return nil, err
	}
	if err := f.up(ctx, "--node=stand-in"); err != nil {
		return nil, err
	}
	env, err := f.localcloud().Environ(ctx)
	if err != nil {
		return nil, err
	}
	f.env = slices.DeleteFunc(env, func(v string) bool { // variables of the dev stack
		return strings.HasPrefix(v, "PULUMI_STACK=") || strings.HasPrefix(v, "PULUMI_OPTION_CONFIG_FILE=")
	})
	return f, f.find(ctx)
}

// find reads the fleet's configuration from the local cloud and the dev stack.
func (f *fleet) find(ctx context.Context) error {
	running, err := f.localcloud().Running()
	if err != nil {
		return err
	}
	shown, err := f.run(ctx, "", "pulumi", "stack", "output", "--json", "--show-secrets")
	if err != nil {
		return err
	}
	outputs, err := outputsOf(shown)
	if err != nil {
		return err
	}
	f.pid = running.PID
	f.config = map[string]string{
		"tenantId":          running.Credentials.TenantID,
		"resourceGroupName": "keyvault-demo",
		"value":             "of the bench",
		"vaultId":           outputs.VaultID,
		"vaultName":         outputs.VaultName,
		"issuerUrl":         outputs.IssuerURL,
		"kubeconfig":        outputs.Kubeconfig,
		"namespace":         outputs.Workloads[devWorkload].Namespace,
	}
	return nil
}

func (f *fleet) pulumi() string { return f.localcloud().Tool("pulumi") }

// name returns the stack's name.
func (s fleetStack) name() string { return fmt.Sprintf("s%d-%t", s.workloads, s.bare) }

// configure creates a stack.
func (f *fleet) configure(ctx context.Context, s fleetStack) error {
	if _, err := output(ctx, f.dir, f.env, f.pulumi(), "stack", "init", s.name()); err != nil {
		return err
	}
	args := []string{
		"config", "set-all", "--stack", s.name(),
		"--plaintext", "workloads=" + strconv.Itoa(s.workloads),
		"--plaintext", "bare=" + strconv.FormatBool(s.bare),
	}
	for key, value := range f.config {
		kind := "--plaintext"
		if key == "kubeconfig" || key == "value" {
			kind = "--secret"
		}
		args = append(args, kind, key+"="+value)
	}
	_, err := output(ctx, f.dir, f.env, f.pulumi(), args...)
	return err
}

// measure runs pulumi on a stack.
func (f *fleet) measure(ctx context.Context, s fleetStack, args ...string) (measured, error) {
	args = append(args, "--stack", s.name(), "--non-interactive", "--color=never", "--suppress-outputs")
	cmd := exec.CommandContext(ctx, f.pulumi(), args...)
	cmd.Dir, cmd.Env = f.dir, f.env
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	return measure(ctx, f.pid, cmd)
}

// printScale prints the tables.
func printScale(counts []int, runs map[int]*[2]fleetRun) {
	fmt.Printf("\n| workloads | | with components | bare | ratio |\n|---|---|---|---|---|\n")
	commands := []struct {
		name string
		of   func(fleetRun) measured
	}{
		{"preview", func(r fleetRun) measured { return r.preview }},
		{"up, state saved at the end", func(r fleetRun) measured { return r.up }},
		{"up", func(r fleetRun) measured { return r.saving }},
	}
	for _, count := range counts {
		for _, command := range commands {
			with, bare := command.of(runs[count][0]), command.of(runs[count][1])
			if with.wall == 0 {
				continue
			}
			fmt.Printf("| %d | %s | %.1f s | %.1f s | %.2f |\n", count, command.name, with.wall.Seconds(), bare.wall.Seconds(),
				with.wall.Seconds()/bare.wall.Seconds())
			a, b := with.of(ours...).cpu.Seconds(), bare.of(ours...).cpu.Seconds()
			fmt.Printf("| | %s, processor time of program and engine | %.1f s | %.1f s | %.2f |\n", command.name, a, b, a/b)
			for _, of := range []struct {
				name     string
				programs []string
			}{
				{"program", []string{"program"}},
				{"engine", []string{"engine", "language host"}},
				{"providers", []string{"azure-native", "Kubernetes provider"}},
			} {
				a, b := with.of(of.programs...), bare.of(of.programs...)
				fmt.Printf("| | %s, memory of the %s | %d MiB | %d MiB | %.2f |\n", command.name, of.name, a.memory>>20,
					b.memory>>20, float64(a.memory)/float64(b.memory))
			}
		}
	}
	fmt.Printf("\nThe goals at the largest size: a ratio of %.2f, and a growth of %.2f below.\n", goalAgainstBare,
		goalOfGrowth)
	fmt.Printf("\nWith components, for each workload, in ms:\n\n| |")
	for _, count := range counts {
		fmt.Printf(" %d |", count)
	}
	fmt.Printf(" growth |\n|---|%s---|\n", strings.Repeat("---|", len(counts)))
	for _, command := range commands {
		row := func(name string, of func(measured) float64) {
			fmt.Printf("| %s, %s |", command.name, name)
			var each []float64
			for _, count := range counts {
				m := command.of(runs[count][0])
				if m.wall == 0 {
					fmt.Printf(" |")
					continue
				}
				each = append(each, 1000*of(m)/float64(count))
				fmt.Printf(" %.1f |", each[len(each)-1])
			}
			if len(each) > 1 {
				fmt.Printf(" %.2f |\n", each[len(each)-1]/each[len(each)-2])
			} else {
				fmt.Printf(" |\n")
			}
		}
		row("time", func(m measured) float64 { return m.wall.Seconds() })
		for _, name := range []string{
			"program", "engine", "language host", "azure-native", "Kubernetes provider", "local cloud", "kube-apiserver",
			"etcd", others,
		} {
			row("processor, "+name, func(m measured) float64 { return m.of(name).cpu.Seconds() })
		}
	}
}
