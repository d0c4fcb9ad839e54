package tests

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// random are the parts of names and values that differ each time.
var random = []struct {
	pattern *regexp.Regexp
	as      string
}{
	{regexp.MustCompile(`\b(kv-[a-z]+)-[a-z0-9]{6}\b`), "$1-(suffix)"},
	{regexp.MustCompile(`([a-z])[0-9a-f]{8}"`), `$1(hex)"`},
	{regexp.MustCompile(`([a-z])[0-9a-f]{8}/`), "$1(hex)/"},
	{regexp.MustCompile(`"(exp|nbf)": [0-9.e+]+`), `"$1": "(time)"`},
}

// guid matches a GUID: one that differs each time, or the constant one of a built-in role.
var guid = regexp.MustCompile(`(roleDefinitions/)?\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`)

// wantSent compares the requests to Resource Manager, which `up --record` wrote to a folder, with a golden file.
func wantSent(t *testing.T, dir, golden string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no request was recorded: %v", err)
	}
	var sent []string
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.TrimSpace(string(content))
		text = guid.ReplaceAllStringFunc(text, func(found string) string {
			if strings.HasPrefix(found, "roleDefinitions/") {
				return found
			}
			return "(guid)"
		})
		for _, m := range random {
			text = m.pattern.ReplaceAllString(text, m.as)
		}
		if !json.Valid([]byte(text)) {
			t.Fatalf("%s is not valid JSON after replacing random parts", file)
		}
		sent = append(sent, text)
	}
	slices.Sort(sent)
	got := "[\n" + strings.Join(sent, ",\n") + "\n]\n"
	golden = filepath.Join("testdata", golden)
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("requests to Resource Manager differ from %s; if that is intended, run this test with -update.\n%s",
			golden, firstDifference(string(want), got))
	}
}

// firstDifference returns the lines around the first difference.
func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	i := 0
	for i < min(len(w), len(g)) && w[i] == g[i] {
		i++
	}
	part := func(lines []string) string { return strings.Join(lines[max(0, i-8):min(len(lines), i+3)], "\n") }
	return "want:\n" + part(w) + "\ngot:\n" + part(g)
}
