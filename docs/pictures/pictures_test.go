package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const checkout = "../.."

// TestPictures_AreCurrent draws every picture again and compares it with the file.
func TestPictures_AreCurrent(t *testing.T) {
	pictures, err := draw(t.Context(), checkout)
	if err != nil {
		t.Fatal(err)
	}
	for name, svg := range pictures {
		file, err := os.ReadFile(filepath.Join(checkout, name))
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(file, svg) {
			t.Errorf("%s is not what its source draws; run `make pictures`", name)
		}
		if len(svg) > 150_000 {
			t.Errorf("%s has %d bytes", name, len(svg))
		}
	}
	for _, folder := range []string{"graphs", "charts"} {
		files, _ := filepath.Glob(filepath.Join(checkout, "docs", folder, "*.svg"))
		for _, file := range files {
			if name, _ := filepath.Rel(checkout, file); pictures[name] == nil {
				t.Errorf("nothing draws %s", name)
			}
		}
	}
}

func TestPictures_AreTheSameEachTime(t *testing.T) {
	first, err := draw(t.Context(), checkout)
	if err != nil {
		t.Fatal(err)
	}
	again, err := draw(t.Context(), checkout)
	if err != nil {
		t.Fatal(err)
	}
	for name, svg := range first {
		if !bytes.Equal(svg, again[name]) {
			t.Errorf("%s is drawn in another way the second time", name)
		}
	}
}

// TestGraphs_NameEveryStackAndExample looks for examples and stacks that have no graph.
func TestGraphs_NameEveryStackAndExample(t *testing.T) {
	stacks, _ := filepath.Glob(filepath.Join(checkout, "Pulumi.*.yaml"))
	examples, _ := filepath.Glob(filepath.Join(checkout, "examples", "*", "Pulumi.yaml"))
	var names []string
	for _, file := range stacks {
		names = append(names, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "Pulumi."), ".yaml"))
	}
	for _, file := range examples {
		names = append(names, filepath.Base(filepath.Dir(file)))
	}
	if !slices.Contains(names, "prod") || !slices.Contains(names, "go-app") {
		t.Errorf("there are the stacks and examples %q", names)
	}
	for _, name := range names {
		if name == "python-app" { // its test brings it up only where Python's SDK is
			continue
		}
		if _, err := os.Stat(filepath.Join(checkout, "docs", "graphs", name+".json")); err != nil {
			t.Errorf("%v; `make graphs` makes it", err)
		}
	}
}

// TestGraphs_HoldNoValue looks in the sources for what names and types do not have: GUIDs, addresses, and text as long
// as a key or a generated value.
func TestGraphs_HoldNoValue(t *testing.T) {
	graph := regexp.MustCompile(`^\[\n(\{"key":"\w+ [\w.-]+","type":"[\w./:-]+"(,"in":"\w+ [\w.-]+")?` +
		`(,"needs":\["\w+ [\w.-]+"(,"\w+ [\w.-]+")*\])?\},?\n)+\]\n$`)
	sequence := regexp.MustCompile(`^\[\n(\{"from":"[\w ]+","to":"[\w ]+"(,"asks":"\w+( [\w./…-]+)?")?` +
		`(,"answer":"\w+")?(,"because":"[\w :/-]+")?\},?\n)+\]\n$`)
	suspicious := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}|/subscriptions/|[A-Za-z0-9+=]{32}`)
	sources, err := filepath.Glob(filepath.Join(checkout, "docs", "graphs", "*.json"))
	if err != nil || len(sources) == 0 {
		t.Fatalf("there are no graphs: %v", err)
	}
	for _, source := range sources {
		content, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		if valid := graph.Match(content) || sequence.Match(content); !valid || suspicious.Match(content) {
			t.Errorf("%s has more than names, types and needs, or than who asked for what and why it was allowed", source)
		}
	}
}

// TestReduce_LeavesOutWhatFollows has a chain with a shortcut, and a component that is needed as a whole.
func TestReduce_LeavesOutWhatFollows(t *testing.T) {
	needs := reduce([]resource{
		{Key: "Group g", Type: "azure-native:resources:ResourceGroup"},
		{Key: "KeyVaultStack v", Type: "keyvaultaks:index:KeyVaultStack", Needs: []string{"Group g"}},
		{Key: "Vault v", Type: "azure-native:keyvault:Vault", In: "KeyVaultStack v", Needs: []string{"Group g"}},
		{Key: "Secret s", Type: "azure-native:keyvault:Secret", In: "KeyVaultStack v", Needs: []string{"Group g", "Vault v"}},
		{Key: "Pod p", Type: "kubernetes:core/v1:Pod", Needs: []string{"Group g", "KeyVaultStack v"}},
	})
	for key, want := range map[string][]string{
		"Group g": nil, "Vault v": {"Group g"}, "Secret s": {"Vault v"}, "Pod p": {"Secret s"},
	} {
		if !slices.Equal(needs[key], want) {
			t.Errorf("%s needs %q, want %q", key, needs[key], want)
		}
	}
}

// TestSimplify_JoinsWhatIsAlike has three teams in two clusters. The two of the first are alike, even if one has a role
// more.
func TestSimplify_JoinsWhatIsAlike(t *testing.T) {
	var resources []resource
	add := func(kind, name, in string, needs ...string) {
		pack := "azure-native:x:"
		if kind == "Team" {
			pack = "keyvaultaks:index:"
		}
		resources = append(resources, resource{Key: kind + " " + name, Type: pack + kind, In: in, Needs: needs})
	}
	add("Cluster", "east", "")
	add("Cluster", "west", "")
	for team, cluster := range map[string]string{"a": "east", "b": "east", "c": "west"} {
		add("Team", team, "")
		add("Identity", team+"-identity", "Team "+team, "Cluster "+cluster)
		add("Role", team+"-role", "Team "+team, "Identity "+team+"-identity")
	}
	add("Role", "a-role-too", "Team a", "Identity a-identity")
	slices.SortFunc(resources, func(a, b resource) int { return strings.Compare(a.Key, b.Key) })
	boxes, _ := simplify(resources)
	var got []string
	for _, b := range boxes {
		got = append(got, b.title()+": "+strings.Join(b.names, ", "))
	}
	want := []string{
		"Cluster: east", "Cluster: west", "Identity × 2: identity", "Identity: identity",
		"Role × 3: role, role-too", "Role: role", "Team × 2: a, b", "Team: c",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestChart_SaysWhatItLacks draws from pages without the table, and without numbers in it.
func TestChart_SaysWhatItLacks(t *testing.T) {
	c := chart{name: "c", section: "Start", values: []int{1}, ours: 1}
	for page, want := range map[string]string{
		"## End\n\n| a | b |\n|---|---|\n| x | 1.0 s |\n":     `0 tables are below the heading "Start"`,
		"## Start\n\n| a | b |\n|---|---|\n| x | 3 MiB |\n":   "no row",
		"## Start\n\n| a | b |\n|---|---|\n| x | 1,000 s |\n": "",
	} {
		svg, err := drawChart(c, []byte(page))
		if want == "" && (err != nil || !bytes.Contains(svg, []byte(">1,000<"))) {
			t.Errorf("%v\n%s", err, svg)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestSequence_RefusesWhatItCannotPlace has somebody take part that has no lifeline.
func TestSequence_RefusesWhatItCannotPlace(t *testing.T) {
	for source, want := range map[string]string{
		`[{"from":"kubelet","to":"somebody","asks":"GET /"}]`:               `"somebody" takes part`,
		`[{"from":"kubelet","to":"API server","token":"eyJhbGciOiJSUzI1"}]`: "unknown field",
	} {
		if _, err := drawSequence(t.Context(), "it", []byte(source)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestWrap_BreaksIntoEvenLines(t *testing.T) {
	for text, want := range map[string][]string{
		"short":                          {"short"},
		"pods that mount and read again": {"pods that mount", "and read again"},
	} {
		if got := wrap(text, 20); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
