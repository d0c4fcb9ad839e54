package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestReference_IsCurrent(t *testing.T) {
	want, err := generate("../../components")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/components.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/components.md is not what the code says: run go generate ./...")
	}
}

const sample = `// Package p has one: [Thing].
package p

import "github.com/pulumi/pulumi/sdk/v3/go/pulumi"

// ThingArgs are the arguments of [NewThing].
type ThingArgs struct {
	// ID of something, a|b, at https://<name>.example/, with *s and
	// a second line; see [Thing].
	//
	// A paragraph.
	ID pulumi.StringInput ` + "`pulumi:\"id\"`" + `
	// Tags of it.
	Tags pulumi.StringMapInput ` + "`pulumi:\"tags,optional\"`" + `
	// Labels of it.
	Labels map[string]string ` + "`pulumi:\"labels,optional\"`" + `
	// Parts of it.
	Parts []*PartArgs ` + "`pulumi:\"parts,optional\"`" + `
	hidden int
}

// PartArgs is a part.
type PartArgs struct {
	// Count of it.
	Count int ` + "`pulumi:\"count\"`" + `
	// Parts of the part.
	Parts []PartArgs ` + "`pulumi:\"parts,optional\"`" + `
}

// Thing is a component.
type Thing struct {
	pulumi.ResourceState
	// IDs of it.
	IDs pulumi.StringMapOutput ` + "`pulumi:\"ids\"`" + `
	// Provider for it.
	Provider *kubernetes.Provider
}

// NewThing makes one.
func NewThing(args *ThingArgs) (*Thing, error) { return nil, nil }

// Volume is for a pod.
func (t *Thing) Volume(path string) corev1.VolumeArgs { return nil }

// Use takes a thing.
func Use(thing *Thing, path string) error { return nil }

// Other takes none.
func Other(path string) error { return nil }
`

func generateFrom(t *testing.T, source string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "p.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	page, err := generate(dir)
	return string(page), err
}

func TestGenerate_DocumentsEveryArgumentAndOutput(t *testing.T) {
	page, err := generateFrom(t, sample)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"## Thing\n\nThing is a component.\n",
		"### ThingArgs\n",
		"| `id` | Input of string | yes | ID of something, a\\|b, at https://\\<name>.example/, with \\*s and a second line; see [Thing](#thing).<br>A paragraph. |",
		"| `tags` | Input of map of strings | no | Tags of it. |",
		"| `labels` | map of strings | no |",
		"| `parts` | list of [PartArgs](#partargs) | no |",
		"### PartArgs\n\nPartArgs is a part.\n",
		"| `count` | integer | yes |",
		"| `ids` | map of strings | IDs of it. |",
		"| `Provider`, in Go only | `*kubernetes.Provider` | Provider for it. |",
		"| `Volume(path string) corev1.VolumeArgs` | Volume is for a pod. |",
		"| `Use(thing *Thing, path string) error` | Use takes a thing. |",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("there is no %q", want)
		}
	}
	if strings.Count(page, "### PartArgs") != 1 || strings.Contains(page, "hidden") || strings.Contains(page, "Other") {
		t.Error("a type has two tables, or an unexported field a row, or a function that takes no component")
	}
	bars := regexp.MustCompile(`[^\\]\|`)
	for line := range strings.Lines(page) {
		if columns := len(bars.FindAllString(line, -1)); strings.HasPrefix(line, "|") && columns != 2 && columns != 3 &&
			columns != 4 {
			t.Errorf("a row has %d columns: %s", columns, line)
		}
	}
	if t.Failed() {
		t.Log(page)
	}
}

func TestGenerate_RejectsUndocumentedCode(t *testing.T) {
	for name, one := range map[string]struct{ old, replacement, want string }{
		"an argument":        {"// Tags of it.", "", "ThingArgs.Tags has no doc comment"},
		"a nested argument":  {"// Count of it.", "", "PartArgs.Count has no doc comment"},
		"an output":          {"// IDs of it.", "", "Thing.IDs has no doc comment"},
		"a struct":           {"// PartArgs is a part.", "", "PartArgs has no doc comment"},
		"a component":        {"[Thing].", "nothing.", "Thing is not named in the package's documentation"},
		"a tag":              {"`pulumi:\"count\"`", "", "PartArgs.Count has no pulumi tag"},
		"embedded arguments": {"hidden int", "PartArgs", "ThingArgs embeds a type"},
		"no component":       {"pulumi.ResourceState", "", "there is no component"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(sample, one.old) {
				t.Fatalf("the sample has no %q", one.old)
			}
			_, err := generateFrom(t, strings.Replace(sample, one.old, one.replacement, 1))
			if err == nil || !strings.Contains(err.Error(), one.want) {
				t.Errorf("got error %v, want %q", err, one.want)
			}
		})
	}
}
