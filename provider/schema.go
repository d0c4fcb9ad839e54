package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/keyvault-aks/keyvault-aks/components"
)

// schema is the part of the package's schema that the plugin needs.
type schema struct {
	Name      string            `json:"name"`
	Version   string            `json:"version"`
	Types     map[string]object `json:"types"`
	Resources map[string]struct {
		InputProperties map[string]property `json:"inputProperties"`
		RequiredInputs  []string            `json:"requiredInputs"`
	} `json:"resources"`
}

// object is a type of the schema: an object, or a string of a closed set, whose values the components check.
type object struct {
	Type       string              `json:"type"`
	Properties map[string]property `json:"properties"`
	Required   []string            `json:"required"`
}

type property struct {
	Type                 string    `json:"type"`
	Ref                  string    `json:"$ref"`
	Items                *property `json:"items"`
	AdditionalProperties *property `json:"additionalProperties"`
	Plain                bool      `json:"plain"`
	Secret               bool      `json:"secret"`
}

func readSchema(content []byte) (*schema, error) {
	read := &schema{}
	if err := json.Unmarshal(content, read); err != nil {
		return read, fmt.Errorf("reading the package's schema: %w", err)
	}
	return read, nil
}

// check checks a program's arguments against the schema and removes what is wrong, so that the rest can be checked as
// well. A value that may be an output is checked as far as it is known. Arguments that depend on resources as a whole
// are outputs, even if they look like plain values.
func (s *schema) check(
	component string, inputs resource.PropertyMap, dependent map[string]bool,
) []components.Violation {
	c := &checker{schema: s, dependent: dependent}
	r := s.Resources[component]
	c.properties("", inputs, r.InputProperties, r.RequiredInputs)
	return c.found
}

const mustBePlain = "a plain value, known without waiting for another resource: "

type checker struct {
	schema    *schema
	dependent map[string]bool
	found     []components.Violation
}

func (c *checker) add(path, given, allowed string) {
	c.found = append(c.found, components.Violation{Path: path, Given: given, Allowed: allowed})
}

// properties checks an object's properties.
func (c *checker) properties(at string, given resource.PropertyMap, known map[string]property, required []string) {
	for _, key := range slices.Sorted(maps.Keys(given)) {
		name, path := string(key), join(at, string(key))
		if isValue(given[key]) { // an output, but no more than its value, which may be nothing
			given[key] = given[key].OutputValue().Element
		}
		if resource.IsInternalPropertyKey(key) || given[key].IsNull() {
			continue
		}
		p, ok := known[name]
		if !ok {
			c.add(path, "an unknown property", nearest(name, known))
			delete(given, key)
			continue
		}
		if value, ok := c.value(path, given[key], p); ok {
			given[key] = value
		} else {
			given[key] = resource.NewNullProperty()
		}
	}
	for _, name := range required {
		if value, ok := given[resource.PropertyKey(name)]; !ok || value.IsNull() && !c.covers(join(at, name)) {
			c.add(join(at, name), "nothing", "a value")
		}
	}
}

// covers reports whether there is a violation at the path or inside it.
func (c *checker) covers(path string) bool {
	return slices.ContainsFunc(c.found, func(v components.Violation) bool { return related(v.Path, path) })
}

// value checks one value. It returns the value without its invalid parts, or false if the whole value is invalid.
func (c *checker) value(path string, v resource.PropertyValue, p property) (resource.PropertyValue, bool) {
	kind := c.kind(p)
	switch {
	case isValue(v):
		return c.value(path, v.OutputValue().Element, p)
	case v.IsSecret() || v.IsComputed() || v.IsOutput():
		if p.Plain {
			c.add(path, late(v), mustBePlain+article(kind))
			return v, false
		}
		if element, known := known(v); known && !c.is(element, kind) {
			c.add(path, "an output of another type", article(kind))
			return v, false
		}
		return unknownOutput(v), true
	case !c.is(v, kind):
		c.add(path, c.shown(v, p), article(kind))
		return v, false
	case c.dependent[path] && p.Plain && !v.IsArray() && !v.IsObject():
		c.add(path, "an output", mustBePlain+article(kind))
		return v, false
	}
	switch kind {
	case "list":
		items := v.ArrayValue()
		for i := range items {
			item, ok := c.value(fmt.Sprintf("%s[%d]", path, i), items[i], *p.Items)
			if !ok {
				item = resource.NewNullProperty()
			}
			items[i] = item
		}
	case "map":
		items := v.ObjectValue()
		for _, key := range slices.Sorted(maps.Keys(items)) {
			if value, ok := c.value(join(path, string(key)), items[key], *p.AdditionalProperties); ok {
				items[key] = value
			} else {
				delete(items, key)
			}
		}
	case "object":
		of := c.schema.Types[strings.TrimPrefix(p.Ref, "#/types/")]
		c.properties(path, v.ObjectValue(), of.Properties, of.Required)
	}
	return v, true
}

// kind describes the kind of a property's value.
func (c *checker) kind(p property) string {
	switch {
	case p.Ref != "":
		return c.schema.Types[strings.TrimPrefix(p.Ref, "#/types/")].Type // object, or string
	case p.Type == "array":
		return "list"
	case p.Type == "object":
		return "map"
	}
	return p.Type
}

// is reports whether a plain value is of a kind.
func (c *checker) is(v resource.PropertyValue, kind string) bool {
	switch kind {
	case "list":
		return v.IsArray()
	case "map", "object":
		return v.IsObject()
	case "boolean":
		return v.IsBool()
	case "integer":
		return v.IsNumber() && v.NumberValue() == float64(int64(v.NumberValue()))
	case "number":
		return v.IsNumber()
	}
	return v.IsString()
}

// shown returns a plain value of the wrong kind for a message, unless it may be part of a secret.
func (c *checker) shown(v resource.PropertyValue, p property) string {
	switch {
	case v.IsArray():
		return "a list"
	case v.IsObject():
		return "a map"
	case v.IsResourceReference():
		return "a resource"
	case c.hides(p) || !v.IsString() && !v.IsBool() && !v.IsNumber():
		return "another value (not shown)"
	case v.IsString():
		return fmt.Sprintf("%q", v.StringValue())
	}
	return fmt.Sprintf("%v", v.V)
}

// hides reports whether a property is or contains a secret. A value in its place may then be secret.
func (c *checker) hides(p property) bool {
	if p.Secret || p.Items != nil && c.hides(*p.Items) ||
		p.AdditionalProperties != nil && c.hides(*p.AdditionalProperties) {
		return true
	}
	for _, of := range c.schema.Types[strings.TrimPrefix(p.Ref, "#/types/")].Properties {
		if c.hides(of) {
			return true
		}
	}
	return false
}

// isValue reports whether an output is only its value.
func isValue(v resource.PropertyValue) bool {
	return v.IsOutput() && v.OutputValue().Known && !v.OutputValue().Secret && len(v.OutputValue().Dependencies) == 0
}

// known returns the value of a secret or an output, and whether it is known.
func known(v resource.PropertyValue) (resource.PropertyValue, bool) {
	switch {
	case v.IsSecret():
		return known(v.SecretValue().Element)
	case v.IsOutput():
		if !v.OutputValue().Known {
			return v, false
		}
		return known(v.OutputValue().Element)
	}
	return v, !v.IsComputed() && !v.IsNull()
}

// unknownOutput returns an output for a value that a language only marks as unknown. The SDK treats such a value as a
// string, even in place of a list or a map.
func unknownOutput(v resource.PropertyValue) resource.PropertyValue {
	switch {
	case v.IsComputed():
		return resource.NewProperty(resource.Output{})
	case v.IsSecret() && v.SecretValue().Element.IsComputed():
		return resource.NewProperty(resource.Output{Secret: true})
	}
	return v
}

// late describes an output in the place of a plain value.
func late(v resource.PropertyValue) string {
	if v.IsSecret() || v.IsOutput() && v.OutputValue().Known && len(v.OutputValue().Dependencies) == 0 {
		return "a secret"
	}
	return "an output"
}

func article(kind string) string {
	if strings.ContainsRune("aeio", rune(kind[0])) {
		return "an " + kind
	}
	return "a " + kind
}

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

// related reports whether two paths are equal, or one is inside the other.
func related(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	return a == b || strings.HasPrefix(b, a) && strings.ContainsAny(b[len(a):len(a)+1], ".[")
}

// nearest returns the property with the most similar name, or all properties.
func nearest(name string, known map[string]property) string {
	names := slices.Sorted(maps.Keys(known))
	best := slices.MinFunc(names, func(a, b string) int { return distance(name, a) - distance(name, b) })
	if distance(name, best) <= max(2, len(name)/3) {
		return best
	}
	return strings.Join(names, ", ")
}

// distance returns the number of letters to insert, delete or replace to get from one name to the other, ignoring case
// and underscores.
func distance(a, b string) int {
	plain := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "_", "") }
	a, b = plain(a), plain(b)
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := before
			if a[i] != b[j] {
				cost = 1 + min(before, row[j], row[j+1])
			}
			before, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
