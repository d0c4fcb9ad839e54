package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/doc"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// packageName is the name of the Pulumi package, the first part of the components' types.
const packageName = "keyvaultaks"

// onlyGo are arguments and outputs that are not in the schema, with the reasons.
var onlyGo = map[string]string{
	"AksWithCsiArgs.AdoptObjects": "it configures the provider of an AksWithCsi, which only Go programs can use; " +
		"a provider of your own takes over existing objects with `enableServerSideApply: true`",
}

// schemaSpec is a package's schema: https://www.pulumi.com/docs/iac/guides/building-extending/packages/schema/
type schemaSpec struct {
	Name              string                  `json:"name"`
	DisplayName       string                  `json:"displayName"`
	Version           string                  `json:"version"`
	Description       string                  `json:"description"`
	Keywords          []string                `json:"keywords"`
	Homepage          string                  `json:"homepage"`
	License           string                  `json:"license"`
	Repository        string                  `json:"repository"`
	PluginDownloadURL string                  `json:"pluginDownloadURL"`
	Publisher         string                  `json:"publisher"`
	Language          map[string]any          `json:"language"`
	Types             map[string]typeSpec     `json:"types"`
	Resources         map[string]resourceSpec `json:"resources"`
}

type resourceSpec struct {
	Description     string                  `json:"description"`
	IsComponent     bool                    `json:"isComponent"`
	InputProperties map[string]propertySpec `json:"inputProperties"`
	RequiredInputs  []string                `json:"requiredInputs,omitempty"`
	Properties      map[string]propertySpec `json:"properties"`
	Required        []string                `json:"required"`
}

// typeSpec is an object, or a string with a closed set of values.
type typeSpec struct {
	Description string                  `json:"description"`
	Type        string                  `json:"type"`
	Properties  map[string]propertySpec `json:"properties,omitempty"`
	Required    []string                `json:"required,omitempty"`
	Enum        []enumSpec              `json:"enum,omitempty"`
}

type enumSpec struct {
	Name  string `json:"name,omitempty"`
	Value string `json:"value"`
}

// propertySpec is a property, or an item of one. Items have no description.
type propertySpec struct {
	Description          string        `json:"description,omitempty"`
	Type                 string        `json:"type,omitempty"`
	Ref                  string        `json:"$ref,omitempty"`
	Items                *propertySpec `json:"items,omitempty"`
	AdditionalProperties *propertySpec `json:"additionalProperties,omitempty"`
	Plain                bool          `json:"plain,omitempty"`
	Secret               bool          `json:"secret,omitempty"`
}

// generateSchema returns the schema of the components of the package in a directory.
func generateSchema(dir, version string) ([]byte, error) {
	r, components, err := read(dir)
	if err != nil {
		return nil, err
	}
	s := &schemaWriter{r: r, words: newWording(r, components), types: map[string]typeSpec{}}
	spec := schemaSpec{
		Name:        packageName,
		DisplayName: "Key Vault on AKS",
		Version:     version,
		Description: strings.TrimPrefix(s.words.of(r.pkg.Synopsis(r.pkg.Doc), nil), "Package components "),
		Keywords: []string{"azure", "kubernetes", "aks", "keyvault", "secrets", "kind/component",
			"category/infrastructure"},
		Homepage:   "https://github.com/keyvault-aks/keyvault-aks",
		License:    "Apache-2.0",
		Repository: "https://github.com/keyvault-aks/keyvault-aks",
		Publisher:  "keyvault-aks",
		// Where Pulumi downloads the plugin from.
		PluginDownloadURL: "github://api.github.com/keyvault-aks/keyvault-aks",
		Language: map[string]any{
			"nodejs": map[string]any{"packageName": "@keyvault-aks/keyvaultaks", "respectSchemaVersion": true},
			"python": map[string]any{"packageName": "keyvaultaks", "respectSchemaVersion": true,
				"pyproject": map[string]any{"enabled": true}},
			"csharp": map[string]any{"rootNamespace": "KeyvaultAks", "respectSchemaVersion": true,
				"namespaces": map[string]any{packageName: "Components"}},
			"go": map[string]any{"importBasePath": "github.com/keyvault-aks/keyvault-aks/sdk/go/keyvaultaks",
				"respectSchemaVersion": true},
			"java": map[string]any{"basePackage": "com.keyvaultaks"},
		},
		Resources: map[string]resourceSpec{},
	}
	spec.Description = strings.ToUpper(spec.Description[:1]) + spec.Description[1:]
	for _, c := range components {
		spec.Resources[s.token(c.typ.Name)] = s.resource(c)
		for _, one := range c.args[1:] {
			scope := s.words.scope(one, c)
			if _, there := s.types[s.token(withoutArgs(one.name))]; there {
				continue // what two components share is described once
			}
			object := typeSpec{Description: s.words.of(one.doc, scope), Type: "object"}
			object.Properties, object.Required = s.properties(one, scope)
			s.types[s.token(withoutArgs(one.name))] = object
		}
	}
	spec.Types = s.types
	if err := errors.Join(s.errs...); err != nil {
		return nil, err
	}
	content, err := json.MarshalIndent(spec, "", "    ")
	if err != nil {
		return nil, fmt.Errorf("encoding the schema: %w", err)
	}
	return append(content, '\n'), nil
}

// writeSchema writes the schema, with the version in the file next to it.
func writeSchema(source, out string) error {
	version, err := os.ReadFile(filepath.Join(filepath.Dir(out), "VERSION"))
	if err != nil {
		return fmt.Errorf("reading the package's version: %w", err)
	}
	content, err := generateSchema(source, strings.TrimSpace(string(version)))
	if err != nil {
		return err
	}
	return os.WriteFile(out, content, 0o644)
}

type schemaWriter struct {
	r     *reader
	words *wording
	types map[string]typeSpec
	errs  []error
}

func (s *schemaWriter) token(name string) string { return packageName + ":index:" + name }

func withoutArgs(name string) string { return strings.TrimSuffix(name, "Args") }

func (s *schemaWriter) resource(c component) resourceSpec {
	spec := resourceSpec{IsComponent: true, Properties: map[string]propertySpec{}}
	outputs := structure{name: c.typ.Name, doc: c.typ.Doc, fields: c.outputs}
	spec.Description = s.words.of(c.typ.Doc, s.words.scope(outputs, c))
	// The first paragraph only says to which function the arguments belong.
	if _, more, ok := strings.Cut(c.args[0].doc, "\n\n"); ok {
		spec.Description += "\n\n" + s.words.of(more, s.words.scope(c.args[0], c))
	}
	spec.InputProperties, spec.RequiredInputs = s.properties(c.args[0], s.words.scope(c.args[0], c))
	for _, f := range c.outputs {
		if f.name == "" {
			continue
		}
		property := propertySpec{}
		if s.r.source(f.typ) == "pulumi.MapOutput" {
			property.Ref = s.volume(f.name)
		} else {
			property = s.typeOf(f.typ, false)
		}
		s.describe(&property, f, s.words.scope(outputs, c))
		spec.Properties[f.name] = property
		spec.Required = append(spec.Required, f.name)
	}
	slices.Sort(spec.Required)
	return spec
}

func (s *schemaWriter) properties(of structure, scope map[string]string) (map[string]propertySpec, []string) {
	properties := map[string]propertySpec{}
	var required []string
	for _, f := range of.fields {
		if _, left := onlyGo[of.name+"."+f.goName]; left || f.name == "" {
			continue
		}
		property := s.typeOf(f.typ, true)
		s.describe(&property, f, scope)
		properties[f.name] = property
		if !f.optional {
			required = append(required, f.name)
		}
	}
	slices.Sort(required)
	return properties, required
}

func (s *schemaWriter) describe(property *propertySpec, f field, scope map[string]string) {
	property.Description = s.words.of(f.doc, scope)
	property.Secret = strings.Contains(f.doc, "Pulumi secret")
}

// typeOf returns the type of an argument or an output. A plain argument is not an Input; outputs are never plain.
func (s *schemaWriter) typeOf(expr ast.Expr, argument bool) propertySpec {
	simple := map[string]string{"string": "string", "int": "integer", "bool": "boolean", "float64": "number"}
	switch e := expr.(type) {
	case *ast.StarExpr:
		return s.typeOf(e.X, argument)
	case *ast.ArrayType:
		of := s.typeOf(e.Elt, argument)
		return propertySpec{Type: "array", Items: &of, Plain: argument}
	case *ast.MapType:
		of := s.typeOf(e.Value, argument)
		return propertySpec{Type: "object", AdditionalProperties: &of, Plain: argument}
	case *ast.Ident:
		if t, ok := simple[e.Name]; ok {
			return propertySpec{Type: t, Plain: argument}
		}
		if s.r.isString(e.Name) {
			s.enum(s.r.types[e.Name])
		} else if s.r.structIn(e) == nil {
			break
		}
		return propertySpec{Ref: "#/types/" + s.token(withoutArgs(e.Name)), Plain: argument}
	case *ast.SelectorExpr:
		match := pulumiType.FindStringSubmatch(e.Sel.Name)
		if match == nil || s.r.source(e.X) != "pulumi" || simple[strings.ToLower(match[1])] == "" {
			break
		}
		of := propertySpec{Type: simple[strings.ToLower(match[1])]}
		switch match[2] {
		case "Array":
			return propertySpec{Type: "array", Items: &of}
		case "Map":
			return propertySpec{Type: "object", AdditionalProperties: &of}
		}
		return of
	}
	s.errs = append(s.errs, fmt.Errorf("the schema has no type for %s", s.r.source(expr)))
	return propertySpec{}
}

// enum returns a closed set of strings from its constants.
func (s *schemaWriter) enum(t *doc.Type) {
	spec := typeSpec{
		Description: t.Name + s.words.paragraph(strings.TrimSuffix(strings.TrimPrefix(t.Doc, t.Name), "\n"), nil),
		Type:        "string",
	}
	for _, group := range t.Consts {
		for _, one := range group.Decl.Specs {
			one := one.(*ast.ValueSpec)
			literal, ok := one.Values[0].(*ast.BasicLit)
			if !ok {
				continue
			}
			value := constant.StringVal(constant.MakeFromLiteral(literal.Value, token.STRING, 0))
			item := enumSpec{Value: value}
			if value[0] >= '0' && value[0] <= '9' { // which no language takes as a name
				item.Name = "V" + strings.ReplaceAll(value, "-", "")
			}
			spec.Enum = append(spec.Enum, item)
		}
	}
	s.types[s.token(t.Name)] = spec
}

// volume returns the type of a pod's volume as an output, which is a map in Go.
func (s *schemaWriter) volume(name string) string {
	text := func(description string) propertySpec { return propertySpec{Type: "string", Description: description} }
	typ := strings.ToUpper(name[:1]) + name[1:]
	s.types[s.token(typ+"Csi")] = typeSpec{
		Description: "The attributes of a volume for the CSI driver.", Type: "object",
		Properties: map[string]propertySpec{
			"driver":   text("The driver's name, secrets-store.csi.k8s.io."),
			"readOnly": {Type: "boolean", Description: "Always true: nothing is written into a vault."},
			"volumeAttributes": {
				Type: "object", AdditionalProperties: &propertySpec{Type: "string"},
				Description: "The name of the class, under the key secretProviderClass.",
			},
		},
		Required: []string{"driver", "readOnly", "volumeAttributes"},
	}
	s.types[s.token(typ)] = typeSpec{
		Description: "An item of a pod spec's volumes.", Type: "object",
		Properties: map[string]propertySpec{
			"name": text("The volume's name, which containers mount it by."),
			"csi":  {Ref: "#/types/" + s.token(typ+"Csi"), Description: "What the CSI driver is told."},
		},
		Required: []string{"csi", "name"},
	}
	return "#/types/" + s.token(typ)
}

// wording turns doc comments, which use Go's names, into descriptions, which use property names.
type wording struct {
	r *reader
	// types are the names of argument types in Go, with their names in the schema.
	types map[string]string
	// fields are the properties of each struct, by the field's name in Go.
	fields map[string]map[string]string
	// all are the properties whose Go names consist of several words, so that they cannot be ordinary words.
	all map[string]string
}

func newWording(r *reader, components []component) *wording {
	w := &wording{r: r, types: map[string]string{}, fields: map[string]map[string]string{}, all: map[string]string{}}
	for _, c := range components {
		for _, one := range append(slices.Clone(c.args), structure{name: c.typ.Name, fields: c.outputs}) {
			w.types[one.name] = withoutArgs(one.name)
			w.fields[one.name] = map[string]string{}
			for _, f := range one.fields {
				if f.name == "" {
					continue
				}
				w.fields[one.name][f.goName] = f.name
				if severalWords.MatchString(f.goName) && f.goName != "ID" && f.goName != "URL" {
					w.all[f.goName] = f.name
				}
			}
		}
	}
	return w
}

// scope returns the properties that a struct's comment may refer to: its own, and those of the component.
func (w *wording) scope(of structure, c component) map[string]string {
	scope := maps.Clone(w.fields[c.args[0].name])
	maps.Copy(scope, w.fields[of.name])
	return scope
}

var (
	severalWords = regexp.MustCompile(`^[A-Z].*[A-Z]`)
	// A name on its own, with or without the brackets of a link. Parts of longer words are not Go names.
	goName = regexp.MustCompile("`[^`]*`" + `|https?://[^\s)]+|[\w./-]+/[\w./-]*|Key Vault [A-Z]\w+( [A-Z]\w+)?|` +
		`Entra (ID|tenant|groups)|Microsoft Defender|Private DNS Zone Contributor|NetworkPolicy objects|` +
		`the SecretProviderClass|CriticalAddonsOnly=\S+|and CriticalAddonsOnly|\[?[A-Z]\w*(\.[A-Z]\w*)?\]?`)
	// At the start, a one-word name before one of these is an ordinary word of the sentence.
	asWord = regexp.MustCompile(`^ (of|in|to|with|that|from) `)
	// Text for Go only is removed if it stands apart.
	forGo = regexp.MustCompile(`,? see \[([\w.]+)\]|; in Go, [^.]*`)
	// "Arguments" is plural, but a type is singular.
	plural = regexp.MustCompile(`^(\w+)Args (are|have|say|describe|give) `)
)

// of returns a comment as a description. It removes what is for Go only: "see [ValidateTags]", and "; in Go, ..." at
// the end of a sentence.
func (w *wording) of(text string, scope map[string]string) string {
	var paragraphs []string
	for _, paragraph := range strings.Split(strings.TrimSpace(text), "\n\n") {
		paragraphs = append(paragraphs, w.paragraph(strings.Join(strings.Fields(paragraph), " "), scope))
	}
	return strings.Join(paragraphs, "\n\n")
}

func (w *wording) paragraph(text string, scope map[string]string) string {
	text = forGo.ReplaceAllString(text, "")
	if match := plural.FindStringSubmatch(text); match != nil {
		singular := map[string]string{"are": "is", "have": "has", "say": "says", "describe": "describes", "give": "gives"}
		text = match[1] + "Args " + singular[match[2]] + " " + text[len(match[0]):]
	}
	var b strings.Builder
	end := 0
	for _, at := range goName.FindAllStringIndex(text, -1) {
		b.WriteString(text[end:at[0]])
		end = at[1]
		b.WriteString(w.name(text[at[0]:at[1]], text[:at[0]], text[at[1]:], scope))
	}
	return b.String() + text[end:]
}

// name returns the name for other languages. before and after are the surrounding text.
func (w *wording) name(given, before, after string, scope map[string]string) string {
	name := strings.Trim(given, "[]")
	if of, f, ok := strings.Cut(name, "."); ok {
		if property := w.fields[of][f]; property != "" {
			return "`" + property + "` of " + w.types[of]
		}
		return given
	}
	if typ, ok := w.types[name]; ok {
		return typ
	}
	property := scope[name]
	if property == "" {
		property = w.all[name]
	}
	begins := before == "" || strings.HasSuffix(before, ". ")
	switch {
	case property == "":
		return strings.TrimPrefix(strings.TrimSuffix(given, "]"), "[")
	case severalWords.MatchString(name) || !begins || before == "" && !asWord.MatchString(after):
		return "`" + property + "`"
	}
	return name
}
