// Pictures draws the pictures of the documentation. The resource graphs and the sequence in docs/graphs come from the
// JSON files there, which end-to-end tests compare with real stacks. The charts in docs/charts come from the tables in
// docs/benchmarks.md. `make pictures` runs it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(context.Background(), filepath.Join("..", "..")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run writes all pictures of a checkout.
func run(ctx context.Context, checkout string) error {
	pictures, err := draw(ctx, checkout)
	for name, svg := range pictures {
		file := filepath.Join(checkout, name)
		err = errors.Join(err, os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, svg, 0o644))
	}
	return err
}

// draw returns all pictures of a checkout by their files.
func draw(ctx context.Context, checkout string) (map[string][]byte, error) {
	pictures := map[string][]byte{}
	sources, err := filepath.Glob(filepath.Join(checkout, "docs", "graphs", "*.json"))
	if err != nil {
		return nil, err
	}
	for _, source := range sources {
		name := strings.TrimSuffix(filepath.Base(source), ".json")
		content, err := os.ReadFile(source)
		if err != nil {
			return nil, err
		}
		drawing, title := drawGraph, "The stack "+name
		if _, err := os.Stat(filepath.Join(checkout, "examples", name)); err == nil {
			title = "The example " + name
		}
		if name == "sequence" {
			drawing, title = drawSequence, "From the pod to the secret"
		}
		svg, err := drawing(ctx, title, content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", source, err)
		}
		pictures[filepath.Join("docs", "graphs", name+".svg")] = svg
	}
	page, err := os.ReadFile(filepath.Join(checkout, "docs", "benchmarks.md"))
	if err != nil {
		return nil, err
	}
	for _, c := range benchmarks {
		svg, err := drawChart(c, page)
		if err != nil {
			return nil, err
		}
		pictures[filepath.Join("docs", "charts", c.name+".svg")] = svg
	}
	return pictures, nil
}
