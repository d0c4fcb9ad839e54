package docs

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// readmeLines is how long README.md may be, two screens, without what a reader unfolds.
const readmeLines = 120

var folded = regexp.MustCompile(`(?s)<details>.*?</details>\n`)

func TestREADME_FitsTwoScreens(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(folded.ReplaceAll(source, nil), []byte("\n")); lines > readmeLines {
		t.Errorf("README.md has %d lines, more than %d: move details to a page in docs/", lines, readmeLines)
	}
}

// TestREADME_ShowsExamples proves that the code in README.md is from programs that the tests run.
func TestREADME_ShowsExamples(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for language, file := range map[string]string{
		"go":   "examples/go-app/main.go",
		"ts":   "examples/typescript-app/index.ts",
		"yaml": "examples/yaml-app/Pulumi.yaml",
	} {
		program, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		blocks := regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllSubmatch(readme, -1)
		if len(blocks) == 0 {
			t.Errorf("README.md has no code in %s", language)
		}
		for _, block := range blocks {
			if !strings.Contains(unindented(program), unindented(block[1])) {
				t.Errorf("README.md shows code that is not in %s:\n%s", file, block[1])
			}
		}
	}
}

// unindented returns the text without the blanks at the start of each line.
func unindented(text []byte) string {
	return regexp.MustCompile(`(?m)^[ \t]+`).ReplaceAllString(string(text), "")
}

func TestPages_AreReachableFromREADME(t *testing.T) {
	t.Parallel()
	all := allPages(t)
	if lost := unreachable(all); len(lost) > 0 {
		t.Errorf("no links lead from README.md to %s", strings.Join(lost, ", "))
	}
	for _, p := range all {
		p.links = slices.DeleteFunc(p.links, func(l link) bool { return strings.Contains(l.to, "troubleshooting.md") })
	}
	if lost := unreachable(all); !slices.Contains(lost, "docs/troubleshooting.md") {
		t.Errorf("without links to it, docs/troubleshooting.md is still reachable; unreachable are %q", lost)
	}
}

// unreachable returns the pages in docs/ that README.md does not lead to.
func unreachable(all map[string]*page) []string {
	seen := reachable(all, "README.md")
	var lost []string
	for name := range all {
		if strings.HasPrefix(name, "docs/") && !seen[name] {
			lost = append(lost, name)
		}
	}
	slices.Sort(lost)
	return lost
}
