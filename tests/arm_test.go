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

var update = flag.Bool("update", false, "write the golden files anew")

// made are the parts of names and values that are other ones every time.
var made = []struct {
	pattern *regexp.Regexp
	as      string
}{
	{regexp.MustCompile(`\b(kv-[a-z]+)-[a-z0-9]{6}\b`), "$1-(suffix)"},
	{regexp.MustCompile(`([a-z])[0-9a-f]{8}"`), `$1(hex)"`},
	{regexp.MustCompile(`([a-z])[0-9a-f]{8}/`), "$1(hex)/"},
	{regexp.MustCompile(`"(exp|nbf)": [0-9.e+]+`), `"$1": "(time)"`},
}

// guid is a GUID that is another one every time, or that of a built-in role, which is not.
var guid = regexp.MustCompile(`(roleDefinitions/)?\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`)

// wantSent holds what Resource Manager was sent, which `up --record` kept in a folder, against a golden file.
func wantSent(t *testing.T, dir, golden string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("nothing was sent: %v", err)
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
		for _, m := range made {
			text = m.pattern.ReplaceAllString(text, m.as)
		}
		if !json.Valid([]byte(text)) {
			t.Fatalf("%s is no JSON any more", file)
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
		t.Errorf("Resource Manager was sent something else than in %s; where that is meant, run this test with -update.\n%s",
			golden, firstDifference(string(want), got))
	}
}

// firstDifference shows the lines around it.
func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	i := 0
	for i < min(len(w), len(g)) && w[i] == g[i] {
		i++
	}
	part := func(lines []string) string { return strings.Join(lines[max(0, i-8):min(len(lines), i+3)], "\n") }
	return "want:\n" + part(w) + "\ngot:\n" + part(g)
}
