package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	languageWorkloads = 100
	goalOfPackage     = 1.3 // time of a program in another language divided by the time in Go
)

// language is a language of programs/fleet, and its language host.
type language struct{ name, host string }

// languagesOf are the languages in the order of the tables. The others are compared with Go.
var languagesOf = []language{{name: "Go"}, {"YAML", "pulumi-language-yaml"}, {"TypeScript", "pulumi-language-nodejs"}}

// everything has the engine and all programs that it starts.
var everything = []string{
	"program", "engine", "language host", "package", "azure-native", "Kubernetes provider", others,
}

// languages brings programs/fleet up in Go, which imports the components, and in YAML and TypeScript, which use the
// Pulumi package. A program without workloads shows what its language takes to start and to read the packages' schemas.
// The minimum of two alternating previews and ups counts.
func languages(ctx context.Context, checkout, dir string) error {
	took, err := runLanguages(ctx, checkout, dir, []int{0, languageWorkloads}, 2, 2)
	if err != nil {
		return err
	}
	printLanguages(took)
	return nil
}

// languageRun is a command on a stack of a language.
type languageRun struct {
	language, command string
	workloads         int
}

// runLanguages measures each language with each number of workloads.
func runLanguages(
	ctx context.Context, checkout, dir string, counts []int, previews, ups int,
) (map[languageRun][]measured, error) {
	folder := filepath.Join(dir, "languages")
	if err := buildLanguages(ctx, checkout, folder); err != nil {
		return nil, err
	}
	took := map[languageRun][]measured{}
	for round := range max(previews, ups) {
		for _, count := range counts {
			made := map[string][]string{}
			for i := range languagesOf {
				l := languagesOf[(i+round)%len(languagesOf)] // each round begins with another language
				var commands []string
				if round < previews {
					commands = append(commands, "preview")
				}
				if round < ups {
					commands = append(commands, "up")
				}
				one, has, err := l.run(ctx, checkout, dir, folder, count, commands)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", l.name, err)
				}
				for command, m := range one {
					fmt.Fprintf(os.Stderr, "%s, %d workloads: %s %.1f s, processor %.1f s\n",
						l.name, count, command, m.wall.Seconds(), m.of(everything...).cpu.Seconds())
					run := languageRun{l.name, command, count}
					took[run] = append(took[run], m)
				}
				made[l.name] = has
			}
			for _, l := range languagesOf[1:] {
				if round < ups && !slices.Equal(made[l.name], made["Go"]) {
					return nil, fmt.Errorf("with %d workloads the program in %s creates\n%s\nwant as in Go\n%s", count, l.name,
						strings.Join(made[l.name], "\n"), strings.Join(made["Go"], "\n"))
				}
			}
		}
	}
	return took, nil
}

// run measures commands in a new local cloud, and returns the resources that they created.
func (l language) run(
	ctx context.Context, checkout, dir, folder string, workloads int, commands []string,
) (_ map[string]measured, made []string, err error) {
	f, err := newFleet(ctx, checkout, dir)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, f.down()) }()
	if l.host != "" {
		if err := l.write(ctx, checkout, folder, f, workloads); err != nil {
			return nil, nil, err
		}
	}
	stack := fleetStack{workloads: workloads}
	if err := f.configure(ctx, stack); err != nil {
		return nil, nil, err
	}
	f.env = append(f.env, "PULUMI_SKIP_CHECKPOINTS=true") // as in scale
	// The first run in a home checks and compiles TypeScript, which takes three seconds.
	if _, err := f.measure(ctx, stack, "preview"); err != nil {
		return nil, nil, err
	}
	took := map[string]measured{}
	for _, command := range commands {
		args := []string{command}
		if command == "up" {
			args = append(args, "--yes", "--skip-preview")
		}
		if took[command], err = f.measure(ctx, stack, args...); err != nil {
			return nil, nil, err
		}
	}
	made, err = f.made(ctx, stack)
	return took, made, err
}

// buildLanguages builds what all runs share: the package's plugin, and for TypeScript its SDK and npm packages.
func buildLanguages(ctx context.Context, checkout, folder string) error {
	typescript := filepath.Join(folder, "typescript")
	err := os.CopyFS(typescript, os.DirFS(filepath.Join(checkout, "tests", "programs", "fleet", "typescript")))
	if err != nil {
		return err
	}
	for _, step := range []struct {
		dir  string
		args []string
	}{
		{checkout, []string{"go", "build", "-o", filepath.Join(folder, "pulumi-resource-keyvaultaks"), "./provider"}},
		{
			filepath.Join(checkout, "tests", "sdks"),
			[]string{"go", "run", ".", "-language", "nodejs", "-out", filepath.Join(typescript, "sdks", "keyvaultaks")},
		},
		{typescript, []string{"npm", "install", "--no-audit", "--no-fund", "--prefer-offline"}},
		{typescript, []string{filepath.Join("node_modules", ".bin", "tsc"), "--project", "."}},
	} {
		if out, err := output(ctx, step.dir, nil, step.args[0], step.args[1:]...); err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
	}
	return nil
}

// write writes a program that uses the package to a folder, which becomes the fleet's.
func (l language) write(ctx context.Context, checkout, folder string, f *fleet, workloads int) error {
	localcloud := filepath.Join(checkout, "bin", "localcloud")
	host, err := output(ctx, checkout, nil, localcloud, "programs", "build", "--path", l.host)
	if err != nil {
		return err
	}
	project := "name: fleet-typescript\nruntime: nodejs\n"
	program := filepath.Join(f.dir, "fleet")
	f.dir = filepath.Join(folder, strings.ToLower(l.name))
	if l.name == "YAML" {
		written, err := output(ctx, checkout, nil, program, "yaml", fmt.Sprint(workloads))
		if err != nil {
			return err
		}
		project = string(written)
	}
	project += fmt.Sprintf("plugins:\n  providers: [{name: keyvaultaks, path: %q}]\n  languages: [{name: %s, path: %q}]\n",
		folder, strings.TrimPrefix(l.host, "pulumi-language-"), filepath.Dir(strings.TrimSpace(string(host))))
	// Stack files from another local cloud are encrypted with its passphrase.
	stacks, _ := filepath.Glob(filepath.Join(f.dir, "Pulumi.*.yaml"))
	for _, stack := range stacks {
		if err := os.Remove(stack); err != nil {
			return err
		}
	}
	return errors.Join(os.MkdirAll(f.dir, 0o700),
		os.WriteFile(filepath.Join(f.dir, "Pulumi.yaml"), []byte(project), 0o600))
}

// made returns type and name of each resource of a stack, without the component that only the Go program needs, to get
// the cluster's provider.
func (f *fleet) made(ctx context.Context, s fleetStack) (made []string, err error) {
	exported, err := output(ctx, f.dir, f.env, f.pulumi(), "stack", "export", "--stack", s.name())
	if err != nil {
		return nil, err
	}
	var state struct {
		Deployment struct{ Resources []struct{ Type, URN string } }
	}
	if err := json.Unmarshal(exported, &state); err != nil {
		return nil, fmt.Errorf("reading the state: %w", err)
	}
	for _, r := range state.Deployment.Resources {
		name := r.URN[strings.LastIndex(r.URN, "::")+2:]
		switch {
		case r.Type == "pulumi:pulumi:Stack", strings.HasSuffix(r.Type, ":AksWithCsi"),
			strings.HasPrefix(r.Type, "pulumi:providers:") && name != "cluster-kubernetes": // the engine's own
		default:
			made = append(made, r.Type+" "+name)
		}
	}
	slices.Sort(made)
	return made, nil
}

// printLanguages prints the tables.
func printLanguages(took map[languageRun][]measured) {
	fmt.Printf("\n| %d workloads | |", languageWorkloads)
	for _, l := range languagesOf {
		fmt.Printf(" %s |", l.name)
		if l.host != "" {
			fmt.Printf(" by Go |")
		}
	}
	fmt.Printf("\n|---|---|---:|---:|---:|---:|---:|\n")
	for _, command := range []string{"preview", "up"} {
		row := func(name string, of func(language) float64) {
			fmt.Printf("| %s | %s |", command, name)
			inGo := of(languagesOf[0])
			for _, l := range languagesOf {
				fmt.Printf(" %.1f s |", of(l))
				if l.host != "" {
					if inGo == 0 {
						fmt.Printf(" |")
					} else {
						fmt.Printf(" %.2f |", of(l)/inGo)
					}
				}
			}
			fmt.Println()
		}
		least := func(l language, count int) measured { return leastOf(took[languageRun{l.name, command, count}]) }
		row("wall", func(l language) float64 { return least(l, languageWorkloads).wall.Seconds() })
		row("wall without workloads", func(l language) float64 { return least(l, 0).wall.Seconds() })
		row("wall, what workloads add", func(l language) float64 {
			return (least(l, languageWorkloads).wall - least(l, 0).wall).Seconds()
		})
		row("processor", func(l language) float64 { return least(l, languageWorkloads).of(everything...).cpu.Seconds() })
		row("processor without workloads", func(l language) float64 { return least(l, 0).of(everything...).cpu.Seconds() })
		row("processor, what workloads add", func(l language) float64 {
			return (least(l, languageWorkloads).of(everything...).cpu - least(l, 0).of(everything...).cpu).Seconds()
		})
		for _, name := range []string{"program", "engine", "package", "azure-native", "Kubernetes provider"} {
			row("of that: "+name, func(l language) float64 {
				return (least(l, languageWorkloads).of(name).cpu - least(l, 0).of(name).cpu).Seconds()
			})
		}
	}
	fmt.Printf("\nThe goal of the package is %.1f.\n", goalOfPackage)
}
