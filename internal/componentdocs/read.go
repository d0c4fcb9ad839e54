package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// reader reads the package and collects everything that is undocumented.
type reader struct {
	fset  *token.FileSet
	pkg   *doc.Package
	types map[string]*doc.Type
	// goOnly are the types of arguments that only Go can pass.
	goOnly []*doc.Type
	errs   []error
}

// component is one component: its arguments, and the fields of the component itself.
type component struct {
	typ *doc.Type
	// args are the structs of the arguments, the outermost first.
	args    []structure
	outputs []field
}

type structure struct {
	name, doc string
	fields    []field
}

type field struct {
	// name is the name in the pulumi tag. A field without a tag has only goName.
	name, goName string
	typ          ast.Expr
	optional     bool
	doc          string
}

func read(dir string) (*reader, []component, error) {
	r, err := readPackage(dir)
	if err != nil {
		return nil, nil, err
	}
	components := r.components()
	if len(components) == 0 {
		r.errs = append(r.errs, fmt.Errorf("there is no component in %s", dir))
	}
	return r, components, errors.Join(r.errs...)
}

func readPackage(dir string) (*reader, error) {
	r := &reader{fset: token.NewFileSet(), types: map[string]*doc.Type{}}
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", dir, err)
	}
	var files []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(r.fset, path, nil, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("parsing: %w", err)
		}
		files = append(files, file)
	}
	if r.pkg, err = doc.NewFromFiles(r.fset, files, filepath.Base(dir)); err != nil {
		return nil, fmt.Errorf("reading documentation: %w", err)
	}
	for _, t := range r.pkg.Types {
		r.types[t.Name] = t
	}
	return r, nil
}

var docLink = regexp.MustCompile(`\[(\w+)\]`)

// components returns the components in the order in which the package's documentation first names them.
func (r *reader) components() []component {
	place := map[string]int{}
	for i, match := range docLink.FindAllStringSubmatch(r.pkg.Doc, -1) {
		if _, ok := place[match[1]]; !ok {
			place[match[1]] = i
		}
	}
	var list []component
	for _, t := range r.pkg.Types {
		if !isComponent(t) {
			continue
		}
		if _, ok := place[t.Name]; !ok {
			r.fail(t.Decl.Pos(), "%s is not named in the package's documentation", t.Name)
		}
		r.needDoc(t.Decl.Pos(), t.Name, t.Doc)
		list = append(list, component{typ: t, args: r.arguments(t), outputs: r.fields(t, false)})
	}
	slices.SortFunc(list, func(a, b component) int { return place[a.typ.Name] - place[b.typ.Name] })
	return list
}

// isComponent reports whether a struct embeds pulumi.ResourceState.
func isComponent(t *doc.Type) bool {
	for _, f := range structFields(t) {
		if selector, ok := f.Type.(*ast.SelectorExpr); ok && len(f.Names) == 0 && selector.Sel.Name == "ResourceState" {
			return true
		}
	}
	return false
}

func structFields(t *doc.Type) []*ast.Field {
	for _, spec := range t.Decl.Specs {
		if spec, ok := spec.(*ast.TypeSpec); ok && spec.Name.Name == t.Name {
			if s, ok := spec.Type.(*ast.StructType); ok {
				return s.Fields.List
			}
		}
	}
	return nil
}

// arguments returns the type that the component's constructor takes, and every struct in it.
func (r *reader) arguments(t *doc.Type) []structure {
	args := r.types[t.Name+"Args"]
	if args == nil {
		r.fail(t.Decl.Pos(), "%s has no %sArgs", t.Name, t.Name)
		return nil
	}
	var list []structure
	seen := map[string]bool{}
	var visit func(t *doc.Type)
	visit = func(t *doc.Type) {
		if seen[t.Name] {
			return
		}
		seen[t.Name] = true
		r.needDoc(t.Decl.Pos(), t.Name, t.Doc)
		s := structure{name: t.Name, doc: t.Doc, fields: r.fields(t, true)}
		list = append(list, s)
		for _, f := range s.fields {
			if inner := r.structIn(f.typ); inner != nil && f.name != "" {
				visit(inner)
			}
		}
	}
	visit(args)
	return list
}

// structIn returns the package's own struct that a type is, points to, or is a list or a map of.
func (r *reader) structIn(expr ast.Expr) *doc.Type {
	switch e := expr.(type) {
	case *ast.StarExpr:
		return r.structIn(e.X)
	case *ast.ArrayType:
		return r.structIn(e.Elt)
	case *ast.MapType:
		return r.structIn(e.Value)
	case *ast.Ident:
		if t := r.types[e.Name]; t != nil && structFields(t) != nil {
			return t
		}
	}
	return nil
}

// fields returns a struct's exported fields. An argument must have a tag. A component's fields other than outputs have
// none.
func (r *reader) fields(t *doc.Type, arguments bool) []field {
	var list []field
	for _, f := range structFields(t) {
		var tag string
		if f.Tag != nil {
			tag = reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("pulumi")
		}
		name, options, _ := strings.Cut(tag, ",")
		if len(f.Names) == 0 && arguments {
			r.fail(f.Pos(), "%s embeds a type; arguments must be fields", t.Name)
		}
		for _, ident := range f.Names {
			if !ident.IsExported() {
				continue
			}
			if name == "" && arguments {
				r.fail(f.Pos(), "%s.%s has no pulumi tag", t.Name, ident.Name)
			}
			r.needDoc(f.Pos(), t.Name+"."+ident.Name, f.Doc.Text())
			if name == "-" { // what only Go can pass
				r.goOnly = appendNew(r.goOnly, r.structIn(f.Type))
				name = ""
			}
			list = append(list, field{
				name: name, goName: ident.Name, typ: f.Type, optional: strings.Contains(options, "optional"), doc: f.Doc.Text(),
			})
		}
	}
	return list
}

func appendNew(list []*doc.Type, t *doc.Type) []*doc.Type {
	if t == nil || slices.Contains(list, t) {
		return list
	}
	return append(list, t)
}

// isString reports whether a type of the package is a string with a closed set of values.
func (r *reader) isString(name string) bool {
	t := r.types[name]
	if t == nil {
		return false
	}
	for _, spec := range t.Decl.Specs {
		if spec, ok := spec.(*ast.TypeSpec); ok && spec.Name.Name == name {
			underlying, ok := spec.Type.(*ast.Ident)
			return ok && underlying.Name == "string"
		}
	}
	return false
}

// source returns a node's source code.
func (r *reader) source(node ast.Node) string {
	var b strings.Builder
	if err := printer.Fprint(&b, r.fset, node); err != nil {
		return err.Error()
	}
	return b.String()
}

func (r *reader) needDoc(pos token.Pos, name, text string) {
	if strings.TrimSpace(text) == "" {
		r.fail(pos, "%s has no doc comment", name)
	}
}

func (r *reader) fail(pos token.Pos, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s: %s", r.fset.Position(pos), fmt.Sprintf(format, args...)))
}
