package docs

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// readmeLines is how long README.md may be: two screens.
const readmeLines = 150

func TestREADME_FitsTwoScreens(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(source, []byte("\n")); lines > readmeLines {
		t.Errorf("README.md has %d lines, more than %d: move details to a page in docs/", lines, readmeLines)
	}
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
