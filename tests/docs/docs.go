// Package docs checks the Markdown of this repository: its links, the tests that it names, and the messages that
// docs/troubleshooting.md quotes.
package docs

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
)

// here is where the pages refer to their own repository on GitHub: such links are checked as relative ones are.
const here = "https://github.com/keyvault-aks/keyvault-aks/"

// A page is a Markdown file. Its path is relative to the repository's root, with slashes.
type page struct {
	path    string
	links   []link
	anchors map[string]bool
	titles  int      // headings of the first level
	code    []string // spans, not blocks
	rows    []row
}

// A link is a destination as written in a page.
type link struct {
	to   string
	line int
}

// A row is a row of a table: the code spans in its first cell, and its line.
type row struct {
	code []string
	line int
}

// skipped are folders without pages of this repository.
var skipped = []string{".git", "node_modules", "bin", "dist", "sdks"}

// pages returns the Markdown files below root by their path. A fragment that another page includes is not a page.
func pages(root string) (map[string]*page, error) {
	all := map[string]*page{}
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if entry.IsDir() {
			if slices.Contains(skipped, entry.Name()) && name != "tests/sdks" {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".md" || name == "internal/componentdocs/languages.md" {
			return nil
		}
		source, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		all[name] = parse(name, source)
		return nil
	})
	return all, err
}

// attributes are those of HTML that link.
var attributes = regexp.MustCompile(`(?i)\b(?:src|href|srcset)\s*=\s*["']([^"']*)["']`)

// named are the anchors that HTML sets.
var named = regexp.MustCompile(`(?i)<[a-z][^>]*\b(?:id|name)\s*=\s*["']([^"']*)["']`)

// parse reads a page as GitHub does: CommonMark with tables and bare URLs, and front matter apart.
func parse(name string, source []byte) *page {
	source = withoutFrontMatter(source)
	p := &page{path: name, anchors: map[string]bool{}}
	doc := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(source))
	line := 1
	html := func(content string) {
		for _, found := range attributes.FindAllStringSubmatch(content, -1) {
			p.links = append(p.links, link{found[1], line})
		}
		for _, found := range named.FindAllStringSubmatch(content, -1) {
			p.anchors[found[1]] = true
		}
	}
	_ = ast.Walk(doc, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		if at := start(node); at >= 0 {
			line = 1 + strings.Count(string(source[:at]), "\n")
		}
		switch node := node.(type) {
		case *ast.Heading:
			if node.Level == 1 {
				p.titles++
			}
			p.anchors[unused(p.anchors, slug(content(node, source)))] = true
		case *ast.Link:
			p.links = append(p.links, link{string(node.Destination), line})
		case *ast.Image:
			p.links = append(p.links, link{string(node.Destination), line})
		case *ast.AutoLink:
			if node.AutoLinkType == ast.AutoLinkURL {
				p.links = append(p.links, link{string(node.URL(source)), line})
			}
		case *ast.RawHTML:
			html(string(node.Segments.Value(source)))
		case *ast.HTMLBlock:
			html(string(node.Lines().Value(source)))
		case *ast.CodeSpan:
			p.code = append(p.code, content(node, source))
		case *extast.TableRow:
			p.rows = append(p.rows, row{codeOf(node.FirstChild(), source), line})
		}
		return ast.WalkContinue, nil
	})
	return p
}

// start returns where a node begins in the source, or -1 where the parser does not say.
func start(node ast.Node) int {
	if textNode, ok := node.(*ast.Text); ok {
		return textNode.Segment.Start
	}
	if node.Type() == ast.TypeBlock && node.Lines().Len() > 0 {
		return node.Lines().At(0).Start
	}
	if first := node.FirstChild(); first != nil {
		return start(first)
	}
	return -1
}

// content returns the text of a node without its markup.
func content(node ast.Node, source []byte) string {
	var b strings.Builder
	_ = ast.Walk(node, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if textNode, ok := node.(*ast.Text); ok && entering {
			b.Write(textNode.Value(source))
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

func codeOf(node ast.Node, source []byte) []string {
	var code []string
	_ = ast.Walk(node, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if span, ok := node.(*ast.CodeSpan); ok && entering {
			code = append(code, strings.ReplaceAll(content(span, source), `\|`, "|"))
		}
		return ast.WalkContinue, nil
	})
	return code
}

func withoutFrontMatter(source []byte) []byte {
	rest, ok := strings.CutPrefix(string(source), "---\n")
	if !ok {
		return source
	}
	front, body, ok := strings.Cut(rest, "\n---\n")
	if !ok {
		return source
	}
	return []byte(strings.Repeat("\n", strings.Count(front, "\n")+3) + body)
}

// slug returns the anchor that GitHub gives a heading: its letters in lower case, digits, dashes and underscores, and a
// dash for each space.
func slug(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ' || r == '-':
			return '-'
		case unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.Is(unicode.Mn, r) || r == '_':
			return unicode.ToLower(r)
		}
		return -1
	}, strings.TrimSpace(heading))
}

// unused returns the anchor with the number that GitHub appends to later headings of the same text.
func unused(taken map[string]bool, anchor string) string {
	if !taken[anchor] {
		return anchor
	}
	for n := 1; ; n++ {
		if numbered := fmt.Sprintf("%s-%d", anchor, n); !taken[numbered] {
			return numbered
		}
	}
}

// target returns the file or folder that a link of p leads to within the repository, and the anchor in it. The name is
// empty for a link that leads elsewhere. A link that is no URL, or that leads out of the repository, is an error.
func (p *page) target(to string) (name, anchor string, err error) {
	parsed, err := url.Parse(to)
	if err != nil {
		return "", "", err
	}
	switch inside := repositoryPath(to); {
	case inside != "":
		name, _, _ = strings.Cut(inside, "#")
	case parsed.Scheme == "mailto":
		return "", "", nil
	case parsed.Scheme != "" || parsed.Host != "":
		if parsed.Scheme != "https" && parsed.Scheme != "http" || parsed.Host == "" {
			return "", "", fmt.Errorf("%q is not a complete URL", to)
		}
		return "", "", nil
	case parsed.Path == "":
		name = p.path
	case strings.HasPrefix(parsed.Path, "/"):
		return "", "", fmt.Errorf("%q is absolute: make it relative to the page", to)
	default:
		name = path.Join(path.Dir(p.path), parsed.Path)
	}
	if name == ".." || strings.HasPrefix(name, "../") {
		return "", "", fmt.Errorf("%q leads out of the repository", to)
	}
	return name, parsed.Fragment, nil
}

// repositoryPath returns the path, with its anchor, that a URL names in the main branch of this repository, or "".
func repositoryPath(to string) string {
	rest, ok := strings.CutPrefix(to, here)
	if !ok {
		return ""
	}
	for _, kind := range []string{"blob/main/", "tree/main/"} {
		if inside, ok := strings.CutPrefix(rest, kind); ok {
			return path.Clean(inside)
		}
	}
	return ""
}

// broken returns what is wrong with the links of all pages, a line for each.
func broken(root string, all map[string]*page) []string {
	var wrong []string
	for _, p := range all {
		for _, l := range p.links {
			report := func(format string, args ...any) {
				wrong = append(wrong, fmt.Sprintf("%s:%d: %s: ", p.path, l.line, l.to)+fmt.Sprintf(format, args...))
			}
			name, anchor, err := p.target(l.to)
			if err != nil {
				report("%v", err)
				continue
			}
			if name == "" {
				continue
			}
			info, err := os.Stat(filepath.Join(root, filepath.FromSlash(name)))
			if err != nil {
				report("there is no %s", name)
				continue
			}
			if anchor == "" {
				continue
			}
			if info.IsDir() {
				name = path.Join(name, "README.md")
			}
			if to := all[name]; to == nil {
				report("%s is no page, and has no anchors", name)
			} else if !to.anchors[anchor] {
				report("%s has no heading #%s", name, anchor)
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

// reachable returns the pages that links lead to from the page named, itself among them.
func reachable(all map[string]*page, from string) map[string]bool {
	seen := map[string]bool{from: true}
	for next := []string{from}; len(next) > 0; next = next[1:] {
		p := all[next[0]]
		if p == nil {
			continue
		}
		for _, l := range p.links {
			name, _, err := p.target(l.to)
			if err != nil || name == "" {
				continue
			}
			for _, name := range []string{name, path.Join(name, "README.md")} {
				if all[name] != nil && !seen[name] {
					seen[name] = true
					next = append(next, name)
				}
			}
		}
	}
	return seen
}
