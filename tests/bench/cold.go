package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

var writeCosts = flag.Bool("costs", false,
	"cold: also write each package's time to localcloud/thirdparty/costs.txt, from which builds show their progress")

// The names of the action graphs in the order of their builds: of the first `make up`, and of programs built on demand.
var (
	coldBuilds = []string{
		"localcloud", "kubernetes", "pulumi", "pulumi-language-go", "pulumi-kubernetes", "secrets-store-csi-driver",
		"provider-azure", "the Pulumi program",
	}
	laterBuilds = []string{
		"kubectl", "kubelogin", "pulumi-language-yaml", "pulumi-language-nodejs", "pulumi-language-python",
	}
)

// cold builds everything with empty caches, except the module cache, and sums up the times that go build
// -debug-actiongraph reports for each package. They are processor times, which hardly depend on what else runs.
func cold(ctx context.Context, checkout, dir string) error {
	graphs := filepath.Join(dir, "graphs")
	if err := os.MkdirAll(graphs, 0o755); err != nil {
		return err
	}
	caches := []string{
		"GOCACHE=" + filepath.Join(dir, "go-build"),
		"XDG_CACHE_HOME=" + filepath.Join(dir, "cache"),
		"KEYVAULT_AKS_ACTION_GRAPHS=" + graphs,
	}
	flags := strings.TrimSpace(os.Getenv("GOFLAGS") + " -debug-actiongraph=" + filepath.Join(graphs, "localcloud.json"))
	if _, err := output(ctx, checkout, append(caches, "GOFLAGS="+flags), "make", "build"); err != nil {
		return err
	}
	// First the programs that every up needs, as the first up does, and then the others.
	later := append([]string{"programs", "build", "--build"}, laterBuilds...)
	for _, args := range [][]string{{"programs", "build", "--build"}, {"prepare", "--build"}, later} {
		cmd := cloud{checkout, filepath.Join(dir, "h")}.command(ctx, args...)
		cmd.Env = append(os.Environ(), caches...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("localcloud %v: %w\n%s", args, err, out)
		}
	}
	all := map[string]float64{}
	table := func(title string, names []string) (err error) {
		fmt.Printf("\n| %s | processor | packages | linker |\n|---|---:|---:|---:|\n", title)
		var sum built
		for _, name := range names {
			b, e := readGraph(filepath.Join(graphs, name+".json"), all)
			err = errors.Join(err, e)
			fmt.Printf("| %s | %.1f s | %d | %.1f s |\n", name, b.cpu, b.packages, b.linker)
			sum.cpu, sum.packages, sum.linker = sum.cpu+b.cpu, sum.packages+b.packages, sum.linker+b.linker
		}
		fmt.Printf("| together | %.1f s | %d | %.1f s |\n", sum.cpu, sum.packages, sum.linker)
		return err
	}
	err := errors.Join(table("built by the first `make up`", coldBuilds),
		table("built when it is first needed", laterBuilds))
	if err != nil || !*writeCosts {
		return err
	}
	return saveCosts(filepath.Join(checkout, "localcloud", "thirdparty", "costs.txt"), all)
}

// built is what one call of go build took.
type built struct {
	cpu, linker float64 // seconds of processor time; cpu includes linker
	packages    int
}

// readGraph sums up an action graph, and adds each package's time to all.
func readGraph(file string, all map[string]float64) (b built, err error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return b, err
	}
	var actions []struct {
		Mode, Package   string
		CmdUser, CmdSys int64 // nanoseconds
	}
	if err := json.Unmarshal(content, &actions); err != nil {
		return b, fmt.Errorf("reading %s: %w", file, err)
	}
	for _, a := range actions {
		took := float64(a.CmdUser+a.CmdSys) / 1e9
		b.cpu += took
		switch {
		case took == 0:
		case a.Mode == "link":
			b.linker += took
			all["link "+a.Package] += took
		case a.Mode == "build":
			b.packages++
			all[a.Package] = max(all[a.Package], took) // a package may be built in several versions
		}
	}
	return b, nil
}

// saveCosts writes the costs of packages that take long, and the average of the others.
func saveCosts(file string, all map[string]float64) error {
	const matters = 0.1
	var lines []string
	var other float64
	var others int
	for name, took := range all {
		if took < matters && !strings.HasPrefix(name, "link ") {
			other, others = other+took, others+1
			continue
		}
		lines = append(lines, fmt.Sprintf("%s\t%.2f\n", name, took))
	}
	slices.Sort(lines)
	lines = append(lines, fmt.Sprintf("other\t%.3f\n", other/float64(max(1, others))))
	return os.WriteFile(file, []byte(strings.Join(lines, "")), 0o644)
}
