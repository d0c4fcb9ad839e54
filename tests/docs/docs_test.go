package docs

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is the repository's, as seen from this folder.
const root = "../.."

func allPages(t *testing.T) map[string]*page {
	t.Helper()
	all, err := pages(root)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestLinks(t *testing.T) {
	t.Parallel()
	all := allPages(t)
	for _, name := range []string{"README.md", "docs/troubleshooting.md", "docs/pipelines.md", "policy/README.md"} {
		if p := all[name]; p == nil || len(p.links) == 0 {
			t.Errorf("no links found in %s", name)
		}
	}
	for _, wrong := range broken(root, all) {
		t.Error(wrong)
	}
}

// Each link of this page but the last ones is broken in a way of its own.
func TestLinks_FindsEachKindOfMistake(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("docs/a.md", `---
title: no heading
---

# A `+"`code`"+` and *more*: 100 %

## Twice

## Twice

[1](missing.md) [2](b.md#missing) [3](#no-heading) [4](../../outside.md) [5](/absolute.md) [6](https://)
[7](http://a%zz/) ![8](missing.svg) <img src="missing.png" alt="">
[9](../code.go#L3)

| table |
|---|
| [10](in-a-table.md) |

[11]: unused.md
[12][ref]

[ref]: reference.md
[13](https://github.com/keyvault-aks/keyvault-aks/blob/main/nothing.md)

[fine](#a-code-and-more-100-) [fine](#twice-1) [fine](b.md#b) [fine](../folder#readme) [fine](../folder/)
[fine](b.md?plain=1) [fine](https://example.com/nowhere#anything) <mailto:a@example.com> https://example.com [fine](b.md#here)
[fine](https://github.com/keyvault-aks/keyvault-aks/blob/main/docs/b.md#b) `+"`[code](none.md)`"+`
`)
	write("docs/b.md", "# B\n\n<a id=\"here\"></a>\n")
	write("code.go", "package code\n")
	write("folder/README.md", "# Readme\n")
	write("node_modules/x/README.md", "[other's](missing.md)\n")
	all, err := pages(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := strings.Join(broken(dir, all), "\n")
	want := []string{
		"docs/a.md:11: missing.md: there is no docs/missing.md",
		"docs/a.md:11: b.md#missing: docs/b.md has no heading #missing",
		"docs/a.md:11: #no-heading: docs/a.md has no heading #no-heading",
		`docs/a.md:11: ../../outside.md: "../../outside.md" leads out of the repository`,
		`docs/a.md:11: /absolute.md: "/absolute.md" is absolute: make it relative to the page`,
		`docs/a.md:11: https://: "https://" is not a complete URL`,
		"docs/a.md:12: http://a%zz/: parse \"http://a%zz/\": invalid URL escape \"%zz\"",
		"docs/a.md:12: missing.svg: there is no docs/missing.svg",
		"docs/a.md:12: missing.png: there is no docs/missing.png",
		"docs/a.md:13: ../code.go#L3: code.go is no page, and has no anchors",
		"docs/a.md:17: in-a-table.md: there is no docs/in-a-table.md",
		"docs/a.md:20: reference.md: there is no docs/reference.md",
		"docs/a.md:23: https://github.com/keyvault-aks/keyvault-aks/blob/main/nothing.md: there is no nothing.md",
	}
	slices.Sort(want)
	if found != strings.Join(want, "\n") {
		t.Errorf("found\n%s\nand not\n%s", found, strings.Join(want, "\n"))
	}
}

func TestSlug(t *testing.T) {
	t.Parallel()
	for heading, want := range map[string]string{
		"At work":                        "at-work",
		"Again, at once, cut off, back":  "again-at-once-cut-off-back",
		"pulumi up":                      "pulumi-up",
		"What `up` does: 1/100, on_time": "what-up-does-1100-on_time",
		"Über Größe":                     "über-größe",
		"a - b":                          "a---b",
	} {
		if got := slug(strings.ReplaceAll(heading, "`", "")); got != want {
			t.Errorf("slug(%q) = %q, want %q", heading, got, want)
		}
	}
}

// testName matches a test that a page names, and a family of tests with an asterisk at its end.
var testName = regexp.MustCompile(`\bTest[A-Z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*(?:_?\*)?`)

var testFunc = regexp.MustCompile(`(?m)^func (Test\w+)\(`)

func TestNamedTests_Exist(t *testing.T) {
	t.Parallel()
	var exist []string
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(file, "_test.go") {
			return err
		}
		source, err := os.ReadFile(file)
		for _, found := range testFunc.FindAllSubmatch(source, -1) {
			exist = append(exist, string(found[1]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range allPages(t) {
		if name == "CHANGELOG.md" || name == "docs/components.md" { // earlier versions, and types such as TestPod
			continue
		}
		for _, named := range testName.FindAllString(strings.Join(p.code, "\n"), -1) {
			if !slices.ContainsFunc(exist, func(test string) bool { return matches(named, test) }) {
				t.Errorf("%s names %s, which does not exist", name, named)
			}
		}
	}
}

// matches reports whether a page means the test with a name, which may end in an asterisk.
func matches(named, test string) bool {
	family, isFamily := strings.CutSuffix(named, "*")
	return named == test || isFamily && strings.HasPrefix(test, family)
}

// The Registry needs front matter of this form, and links that work on its own site
// (https://www.pulumi.com/docs/iac/guides/building-extending/packages/publishing-packages/).
func TestRegistryPages(t *testing.T) {
	t.Parallel()
	for name, layout := range map[string]string{"_index.md": "package", "installation-configuration.md": "installation"} {
		source, err := os.ReadFile(filepath.Join(root, "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		front, body, ok := strings.Cut(strings.TrimPrefix(string(source), "---\n"), "\n---\n")
		if !ok {
			t.Errorf("docs/%s has no front matter", name)
		}
		for _, want := range []string{`title: \S.*`, `meta_desc: \S.*`, "layout: " + layout} {
			if !regexp.MustCompile("(?m)^" + want + "$").MatchString(front) {
				t.Errorf("docs/%s: the front matter has no line %s:\n%s", name, want, front)
			}
		}
		p := parse(path.Join("docs", name), source)
		if p.titles > 0 {
			t.Errorf("docs/%s: the Registry makes the first heading from the title", name)
		}
		for _, l := range p.links {
			if !strings.HasPrefix(l.to, "https://") {
				t.Errorf("docs/%s:%d: %s must be a complete URL", name, l.line, l.to)
			}
		}
		for _, kind := range []string{"chooser", "choosable"} {
			opened := len(regexp.MustCompile(`\{\{[<%] `+kind+` `).FindAllString(body, -1))
			closed := len(regexp.MustCompile(`\{\{[<%] /`+kind+` `).FindAllString(body, -1))
			if opened != closed {
				t.Errorf("docs/%s: %d %s shortcodes are opened, and %d closed", name, opened, kind, closed)
			}
		}
	}
}
