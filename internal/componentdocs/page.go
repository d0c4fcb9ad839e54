package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"go/ast"
	"go/doc"
	"go/doc/comment"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const introduction = `<!-- Generated from the code of components/ by internal/componentdocs. To update it, run go generate ./... -->

# Components

Arguments and outputs have their names in Pulumi; each description begins with the name in Go. An *Input* may be an
output of another resource, which is known later. All other arguments are plain values, which decide what is created and
are checked before anything is registered.
`

// languages describes what other languages use in place of what is for Go only.
//
//go:embed languages.md
var languages string

// page writes Markdown.
type page struct {
	bytes.Buffer
	r *reader
	// described are the types with a heading, which links can refer to.
	described map[string]bool
}

// generate returns the reference of the components of the package in a directory. It fails if anything is undocumented.
func generate(dir string) ([]byte, error) {
	r, components, err := read(dir)
	if err != nil {
		return nil, err
	}
	p := &page{r: r, described: map[string]bool{}}
	for _, c := range components {
		p.described[c.typ.Name] = true
		for _, s := range c.args {
			p.described[s.name] = true
		}
	}
	for _, t := range r.goOnly {
		p.described[t.Name] = true
	}
	p.WriteString(introduction + languages)
	for _, name := range slices.Sorted(maps.Keys(onlyGo)) {
		fmt.Fprintf(p, "| `%s` | nothing: %s |\n", name, onlyGo[name])
	}
	written := map[string]bool{}
	for _, c := range components {
		fmt.Fprintf(p, "\n## %s\n\n%s", c.typ.Name, p.markdown(c.typ.Doc))
		for _, s := range c.args {
			// Types that two components share are described with the first.
			if !written[s.name] {
				p.arguments(s)
			}
			written[s.name] = true
		}
		p.outputs(c)
		p.methods(c.typ)
	}
	for _, t := range r.goOnly {
		fmt.Fprintf(p, "\n## %s\n\n%s\n| field, in Go only | type | description |\n|---|---|---|\n", t.Name,
			p.markdown(t.Doc))
		for _, f := range r.fields(t, false) {
			fmt.Fprintf(p, "| `%s` | %s | %s |\n", f.goName, cell(p.typeText(f.typ)), p.cell(f.doc))
		}
		p.methods(t)
	}
	if err := p.podmount(filepath.Join(dir, "podmount")); err != nil {
		return nil, err
	}
	return p.Bytes(), errors.Join(r.errs...)
}

// podmount describes the functions of the package for pods, if there is one.
func (p *page) podmount(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		return err
	}
	r, err := readPackage(dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(p, "\n## Package podmount\n\n%s\n| function, in Go only | description |\n|---|---|\n",
		p.markdown(r.pkg.Doc))
	for _, f := range r.pkg.Funcs {
		r.needDoc(f.Decl.Pos(), f.Name, f.Doc)
		fmt.Fprintf(p, "| %s | %s |\n", cell("`"+f.Name+strings.TrimPrefix(p.source(f.Decl.Type), "func")+"`"), p.cell(f.Doc))
	}
	return errors.Join(r.errs...)
}

func (p *page) arguments(s structure) {
	fmt.Fprintf(p, "\n### %s\n\n%s\n| argument | type | required | description |\n|---|---|---|---|\n", s.name,
		p.markdown(s.doc))
	for _, f := range s.fields {
		required := "yes"
		if f.optional || f.name == "" {
			required = "no"
		}
		name := "`" + f.name + "`"
		if f.name == "" {
			name = "`" + f.goName + "`, in Go only"
		}
		fmt.Fprintf(p, "| %s | %s | %s | %s |\n", name, cell(p.typeText(f.typ)), required, p.cell(f.doc))
	}
}

func (p *page) outputs(c component) {
	fmt.Fprintf(p, "\n### Outputs of %s\n\n| output | type | description |\n|---|---|---|\n", c.typ.Name)
	for _, f := range c.outputs {
		if f.name == "" {
			fmt.Fprintf(p, "| `%s`, in Go only | %s | %s |\n", f.goName, cell(p.typeText(f.typ)), p.cell(f.doc))
			continue
		}
		fmt.Fprintf(p, "| `%s` | %s | %s |\n", f.name, cell(p.typeText(f.typ)), p.cell(f.doc))
	}
}

// methods writes a component's methods, and the functions with a component as the first parameter. Functions that
// return a type of the package are not among them: go/doc lists them with that type.
func (p *page) methods(t *doc.Type) {
	all := slices.Clone(t.Methods)
	for _, f := range p.r.pkg.Funcs {
		if list := f.Decl.Type.Params.List; len(list) > 0 && p.source(list[0].Type) == "*"+t.Name {
			all = append(all, f)
		}
	}
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(p, "\n### Methods and functions of %s\n\n| in Go only | description |\n|---|---|\n", t.Name)
	for _, m := range all {
		signature := strings.TrimPrefix(p.source(m.Decl.Type), "func")
		fmt.Fprintf(p, "| %s | %s |\n", cell("`"+m.Name+signature+"`"), p.cell(m.Doc))
	}
}

// markdown converts a doc comment to Markdown.
func (p *page) markdown(text string) string {
	printer := p.r.pkg.Printer()
	printer.HeadingLevel = 4
	printer.DocLinkURL = func(link *comment.DocLink) string {
		if link.ImportPath == "" && link.Recv == "" && p.described[link.Name] {
			return "#" + strings.ToLower(link.Name)
		}
		return ""
	}
	return string(printer.Markdown(p.r.pkg.Parser().Parse(text)))
}

func (p *page) cell(text string) string {
	return cell(p.markdown(text))
}

// cell converts Markdown for a table cell: one line, with bars escaped.
func cell(markdown string) string {
	var lines []string
	for line := range strings.Lines(markdown) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.ReplaceAll(strings.Join(lines, "<br>"), "|", `\|`)
}

var (
	pulumiType = regexp.MustCompile(`^(String|Int|Bool|Float64|ID|URN)?(Ptr|Map|Array)?(Input|Output)$`)
	words      = map[string]string{
		"string":  "string",
		"int":     "integer",
		"bool":    "boolean",
		"float64": "number",
		"id":      "id",
		"urn":     "URN",
	}
	plurals = map[string]string{
		"":        "values",
		"boolean": "booleans",
		"integer": "integers",
		"string":  "strings",
		"number":  "numbers",
	}
)

// typeText describes a type in words, or else as in the code.
func (p *page) typeText(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.StarExpr:
		if p.r.structIn(e) != nil || isIdent(e.X) {
			return p.typeText(e.X)
		}
	case *ast.ArrayType:
		return "list of " + p.plural(p.typeText(e.Elt))
	case *ast.MapType:
		if of := p.typeText(e.Value); strings.HasPrefix(of, "Input of ") {
			return "map of Inputs of " + strings.TrimPrefix(of, "Input of ")
		}
		return "map of " + p.plural(p.typeText(e.Value))
	case *ast.Ident:
		if word, ok := words[e.Name]; ok {
			return word
		}
		if p.r.isString(e.Name) {
			return "string"
		}
		if p.described[e.Name] {
			return fmt.Sprintf("[%s](#%s)", e.Name, strings.ToLower(e.Name))
		}
	case *ast.SelectorExpr:
		if match := pulumiType.FindStringSubmatch(e.Sel.Name); match != nil && p.source(e.X) == "pulumi" {
			return p.pulumiText(match)
		}
	}
	return "`" + p.source(expr) + "`"
}

func (p *page) pulumiText(match []string) string {
	of := words[strings.ToLower(match[1])]
	switch match[2] {
	case "Map":
		of = "map of " + p.plural(of)
	case "Array":
		of = "list of " + p.plural(of)
	}
	switch {
	case match[3] == "Output" && of != "":
		return of
	case of == "":
		return match[3]
	}
	return "Input of " + of
}

func (p *page) plural(text string) string {
	if plural, ok := plurals[text]; ok {
		return plural
	}
	return text
}

func isIdent(expr ast.Expr) bool {
	_, ok := expr.(*ast.Ident)
	return ok
}

// source returns a node's source code.
func (p *page) source(node ast.Node) string {
	return p.r.source(node)
}
