package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"os/exec"
)

// build compares a cold build of the program with a build of the third-party packages that it needs. The difference is
// its own code and the linker.
func build(ctx context.Context, checkout, dir string) error {
	const format = "{{if not .Standard}}{{.ImportPath}}{{end}}"
	listed, err := output(ctx, checkout, nil, "go", "list", "-deps", "-f", format, ".")
	if err != nil {
		return err
	}
	var packages []string
	for path := range strings.FieldsSeq(string(listed)) {
		if !strings.HasPrefix(path, "github.com/keyvault-aks/") {
			packages = append(packages, path)
		}
	}
	// Both builds start with a compiled standard library.
	standard := filepath.Join(dir, "standard")
	if _, err := output(ctx, checkout, []string{"GOCACHE=" + standard}, "go", "build", "std"); err != nil {
		return err
	}
	program := filepath.Join(dir, "program")
	sdk, err := compile(ctx, checkout, standard, filepath.Join(dir, "sdk-cache"), packages...)
	if err != nil {
		return err
	}
	cache := filepath.Join(dir, "program-cache")
	cold, err := compile(ctx, checkout, standard, cache, "-o", program, ".")
	if err != nil {
		return err
	}
	warm, err := compile(ctx, checkout, "", cache, "-o", program, ".")
	if err != nil {
		return err
	}
	size, err := os.Stat(program)
	if err != nil {
		return err
	}
	fmt.Printf("\n| build | wall | processor | largest process |\n|---|---|---|---|\n")
	for _, row := range []struct {
		name string
		took usage
	}{
		{fmt.Sprintf("the %d packages of others, cold", len(packages)), sdk},
		{"the program, cold", cold},
		{"the program, warm", warm},
	} {
		fmt.Printf("| %s | %.1f s | %.1f s | %d MiB |\n", row.name, row.took.wall.Seconds(), row.took.cpu.Seconds(),
			row.took.memory>>20)
	}
	fmt.Printf(
		"\nThe program takes %.2f times the wall time of its packages, %.2f times the processor time; its file has %d MiB.\n",
		cold.wall.Seconds()/sdk.wall.Seconds(), cold.cpu.Seconds()/sdk.cpu.Seconds(), size.Size()>>20)
	return os.RemoveAll(dir + "/sdk-cache")
}

type usage struct {
	wall, cpu time.Duration
	memory    int64 // of the largest process, in bytes
}

// compile builds with a new cache, which starts as a copy of another one if from is set.
func compile(ctx context.Context, checkout, from, cache string, args ...string) (usage, error) {
	if from != "" {
		if err := os.CopyFS(cache, os.DirFS(from)); err != nil {
			return usage{}, err
		}
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"build"}, args...)...)
	cmd.Dir, cmd.Env = checkout, append(os.Environ(), "GOCACHE="+cache)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		return usage{}, fmt.Errorf("go build: %w", err)
	}
	took := usage{wall: time.Since(begin), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if of, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		took.memory = of.Maxrss << 10
	}
	return took, nil
}
