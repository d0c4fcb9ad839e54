// Package specs describes Azure's resource types as their official specifications do: the API versions of each type,
// and the allowed bodies in each version.
//
// The descriptions come from github.com/Azure/bicep-types-az (MIT, (c) Microsoft Corporation), which Azure generates
// from github.com/Azure/azure-rest-api-specs. The module github.com/Azure/terraform-provider-azapi v1.15.0 contains
// them as of August 2024. Later API versions are missing. generate.go writes specs.json.gz.
package specs

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
)

//go:generate go run generate.go

//go:embed specs.json.gz
var compressed []byte

// document is the content of specs.json.gz. A node is the type of a value. Nodes refer to each other by index.
type document struct {
	Types  map[string]map[string]int `json:"types"` // nodes by resource type and API version
	Others []string                  `json:"others"`
	Nodes  []node                    `json:"nodes"`
}

type node struct {
	// Kind is o for an object, d for an object with a discriminator, a for an array, s for a string, n for a number,
	// b for a boolean, e for an enumeration, u for a union, or * for any value.
	Kind       string              `json:"k"`
	Properties map[string]property `json:"p"` // of an object
	Additional *int                `json:"x"` // type of an object's other properties; nil if it cannot have any
	Key        string              `json:"d"` // name of the discriminator
	Cases      map[string]int      `json:"c"` // objects by value of the discriminator
	Item       int                 `json:"t"` // of an array
	Values     []string            `json:"v"` // of an enumeration
	Any        []int               `json:"u"` // of a union
	Pattern    string              `json:"r"` // of a string
	Min        *float64            `json:"m"` // least number, or least length of a string or array
	Max        *float64            `json:"n"`
}

// property has flags and the index of a node.
type property [2]int

func (p property) required() bool { return p[0]&1 != 0 }
func (p property) readOnly() bool { return p[0]&2 != 0 }

// data is the document with indexes by names in lower case.
type data struct {
	document
	types  map[string]map[string]int
	others map[string]bool
}

var load = sync.OnceValue(func() data {
	all, err := read(compressed)
	if err != nil {
		panic(err) // the data is embedded
	}
	return all
})

func read(compressed []byte) (data, error) {
	all := data{types: map[string]map[string]int{}, others: map[string]bool{}}
	r, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return all, fmt.Errorf("reading the descriptions of types: %w", err)
	}
	if err := json.NewDecoder(r).Decode(&all.document); err != nil {
		return all, fmt.Errorf("reading the descriptions of types: %w", err)
	}
	for name, versions := range all.Types {
		all.types[fold.Lower(name)] = versions
	}
	for _, name := range all.Others {
		all.others[fold.Lower(name)] = true
	}
	return all, nil
}

// Exists reports whether Azure has a resource type. It knows the types of the described namespaces, including types
// without a description. It ignores case.
func Exists(resourceType string) bool {
	resourceType = fold.Lower(resourceType)
	return load().types[resourceType] != nil || load().others[resourceType]
}

// Versions returns the described API versions of a type, oldest first, or nil if the type is not described. It ignores
// case.
func Versions(resourceType string) []string {
	return slices.Sorted(maps.Keys(load().types[fold.Lower(resourceType)]))
}

// Type is a resource type in one API version.
type Type struct {
	// Version is the described API version: the requested one or, if that is newer, the one used in its place.
	Version string
	root    int
}

// Lookup returns the description of a type in an API version. For a version that is newer than all described ones, it
// returns the newest described version that is not a preview. ok is false if there is no description. Lookup ignores
// case.
func Lookup(resourceType, apiVersion string) (t *Type, ok bool) {
	versions := load().types[fold.Lower(resourceType)]
	apiVersion = fold.Lower(apiVersion)
	if root, ok := versions[apiVersion]; ok {
		return &Type{apiVersion, root}, true
	}
	described := Versions(resourceType)
	if len(described) == 0 || apiVersion < described[len(described)-1] {
		return nil, false
	}
	for _, version := range slices.Backward(described) {
		if !strings.Contains(version, "preview") {
			return &Type{version, versions[version]}, true
		}
	}
	return &Type{described[len(described)-1], versions[described[len(described)-1]]}, true
}

// Rule is a rule that a body violates.
type Rule int

const (
	// Required means that a required property is missing.
	Required Rule = iota
	// Kind means that a value has the wrong JSON type.
	Kind
	// Enum means that a value is not in its enumeration.
	Enum
	// Pattern means that a string does not match its regular expression.
	Pattern
	// MinLength and MaxLength limit the length of a string in characters.
	MinLength
	MaxLength
	// MinItems and MaxItems limit the length of an array.
	MinItems
	MaxItems
	// MinValue and MaxValue limit a number.
	MinValue
	MaxValue
	// ReadOnly means that only the service sets a property.
	ReadOnly
	// Unknown means that the type does not have a property in its API version.
	Unknown
)

// Violation is a violation of a rule in a body.
type Violation struct {
	// Path is the path of the value, such as properties.accessPolicies[0].tenantId.
	Path string
	Rule Rule
	// Given is the JSON type of the value, or a length. It is never the value, which may be a secret.
	Given string
	// Want is the allowed JSON type, the values of an enumeration, a regular expression or a number. It is empty for
	// Required, ReadOnly and Unknown.
	Want string
	// Within is set if an object around the value has properties of any name or depends on a discriminator.
	Within bool
}

// String describes the violation.
func (v Violation) String() string {
	switch v.Rule {
	case Required:
		return fmt.Sprintf("'%s' is required", v.Path)
	case Kind:
		return fmt.Sprintf("'%s' is of type %s, and must be of type %s", v.Path, v.Given, v.Want)
	case Enum:
		return fmt.Sprintf("the value of '%s' must be one of %s", v.Path, v.Want)
	case Pattern:
		return fmt.Sprintf("the value of '%s' must match the pattern '%s'", v.Path, v.Want)
	case MinLength, MinItems:
		return fmt.Sprintf("the length of '%s' is %s, and must be at least %s", v.Path, v.Given, v.Want)
	case MaxLength, MaxItems:
		return fmt.Sprintf("the length of '%s' is %s, and must be at most %s", v.Path, v.Given, v.Want)
	case MinValue:
		return fmt.Sprintf("the value of '%s' must be at least %s", v.Path, v.Want)
	case MaxValue:
		return fmt.Sprintf("the value of '%s' must be at most %s", v.Path, v.Want)
	case ReadOnly:
		return fmt.Sprintf("'%s' is read-only", v.Path)
	default:
		return fmt.Sprintf("there is no '%s'", v.Path)
	}
}

// Check returns all violations in a body, sorted by path. The body is a map as encoding/json decodes it. A value of any
// other Go type counts as not yet known and is allowed everywhere. Nulls count as not sent. Values of enumerations are
// compared without case, as in most of Azure.
//
// Check reports read-only properties as ReadOnly, whatever their values. The caller decides what that means, because a
// client that changes a resource may send back what it has read.
func (t *Type) Check(body map[string]any) []Violation {
	c := checker{data: load()}
	c.value("", t.root, body)
	slices.SortStableFunc(c.found, func(a, b Violation) int { return strings.Compare(a.Path, b.Path) })
	return c.found
}

type checker struct {
	data
	within bool
	found  []Violation
}

func (c *checker) report(path string, rule Rule, given, want string) {
	c.found = append(c.found, Violation{path, rule, given, want, c.within})
}

func (c *checker) value(path string, at int, value any) {
	n := &c.Nodes[at]
	given := kindOf(value)
	if given == "" || n.Kind == "*" {
		return
	}
	if want := n.want(); want != "" && given != want {
		c.report(path, Kind, given, want)
		return
	}
	switch n.Kind {
	case "o", "d":
		c.object(path, n, value.(map[string]any))
	case "a":
		list := value.([]any)
		c.length(path, n, len(list), MinItems, MaxItems)
		for i, item := range list {
			c.value(fmt.Sprintf("%s[%d]", path, i), n.Item, item)
		}
	case "s":
		text := value.(string)
		c.length(path, n, utf8.RuneCountInString(text), MinLength, MaxLength)
		if n.Pattern != "" && !compile(n.Pattern).MatchString(text) {
			c.report(path, Pattern, given, n.Pattern)
		}
	case "n":
		c.number(path, n, value)
	case "e":
		if !slices.ContainsFunc(n.Values, func(v string) bool { return fold.Equal(v, value.(string)) }) {
			c.report(path, Enum, given, strings.Join(n.Values, ", "))
		}
	case "u":
		c.union(path, n, value)
	}
}

// object checks an object, including the properties that its discriminator selects.
func (c *checker) object(path string, n *node, value map[string]any) {
	properties, additional, known := n.Properties, n.Additional, true
	defer func(within bool) { c.within = within }(c.within)
	if n.Kind == "d" {
		c.within = true
		properties = map[string]property{}
		maps.Copy(properties, n.Properties)
		var chosen *node
		if chosen, known = c.chosen(path, n, value); known {
			maps.Copy(properties, chosen.Properties)
			additional = chosen.Additional
		}
	}
	for name, p := range properties {
		if p.required() && !p.readOnly() && value[name] == nil && !(path == "" && envelope[name]) {
			c.report(join(path, name), Required, "", "")
		}
	}
	for name, v := range value {
		p, ok := properties[name]
		switch {
		case v == nil || path == "" && envelope[name]:
		case ok && p.readOnly():
			c.report(join(path, name), ReadOnly, "", "")
		case ok:
			c.value(join(path, name), p[1], v)
		case additional != nil:
			within := c.within
			c.within = true
			c.value(join(path, name), *additional, v)
			c.within = within
		case known:
			c.report(join(path, name), Unknown, "", "")
		}
	}
}

// envelope lists top-level properties that every resource may have, whatever its specification says.
var envelope = map[string]bool{
	"id":         true,
	"name":       true,
	"type":       true,
	"apiVersion": true,
	"systemData": true,
	"etag":       true,
}

// chosen returns the object that the discriminator selects.
func (c *checker) chosen(path string, n *node, value map[string]any) (*node, bool) {
	at := join(path, n.Key)
	switch given := value[n.Key].(type) {
	case nil:
		c.report(at, Required, "", "")
	case string:
		for name, i := range n.Cases {
			if fold.Equal(name, given) {
				return &c.Nodes[i], true
			}
		}
		c.report(at, Enum, "string", strings.Join(slices.Sorted(maps.Keys(n.Cases)), ", "))
	default:
		if kind := kindOf(given); kind != "" {
			c.report(at, Kind, kind, "string")
		}
	}
	return nil, false
}

func (c *checker) length(path string, n *node, length int, least, most Rule) {
	if n.Min != nil && length < int(*n.Min) {
		c.report(path, least, fmt.Sprint(length), fmt.Sprint(int(*n.Min)))
	}
	if n.Max != nil && length > int(*n.Max) {
		c.report(path, most, fmt.Sprint(length), fmt.Sprint(int(*n.Max)))
	}
}

// number checks the range of a number. It accepts fractions, because the descriptions call all numbers integers
// (github.com/Azure/bicep-types-az/issues/1404).
func (c *checker) number(path string, n *node, value any) {
	number, ok := value.(float64)
	if !ok {
		var err error
		if number, err = value.(json.Number).Float64(); err != nil {
			return
		}
	}
	if n.Min != nil && number < *n.Min {
		c.report(path, MinValue, "number", fmt.Sprint(*n.Min))
	}
	if n.Max != nil && number > *n.Max {
		c.report(path, MaxValue, "number", fmt.Sprint(*n.Max))
	}
}

// union checks that a value satisfies one of several nodes. Otherwise it reports the violations of the first node with
// the JSON type of the value.
func (c *checker) union(path string, n *node, value any) {
	var first []Violation
	var wanted []string
	for _, at := range n.Any {
		one := checker{data: c.data, within: c.within}
		one.value(path, at, value)
		wrong := slices.DeleteFunc(slices.Clone(one.found), func(v Violation) bool { return v.Rule == ReadOnly })
		if len(wrong) == 0 {
			c.found = append(c.found, one.found...)
			return
		}
		if want := c.Nodes[at].want(); want == kindOf(value) && first == nil {
			first = one.found
		} else if want != "" && !slices.Contains(wanted, want) {
			wanted = append(wanted, want)
		}
	}
	if first == nil {
		first = []Violation{{path, Kind, kindOf(value), strings.Join(wanted, " or "), c.within}}
	}
	c.found = append(c.found, first...)
}

// want returns the JSON type of the node's values, or "" if there is more than one.
func (n *node) want() string {
	switch n.Kind {
	case "o", "d":
		return "object"
	case "a":
		return "array"
	case "s", "e":
		return "string"
	case "n":
		return "number"
	case "b":
		return "boolean"
	}
	return ""
}

// kindOf returns the JSON type of a value, or "" for null and for values that JSON does not have.
func kindOf(value any) string {
	switch value.(type) {
	case map[string]any:
		return "object"
	case []any:
		return "array"
	case string:
		return "string"
	case bool:
		return "boolean"
	case float64, json.Number:
		return "number"
	}
	return ""
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

var patterns sync.Map // *regexp.Regexp by pattern

func compile(pattern string) *regexp.Regexp {
	if re, ok := patterns.Load(pattern); ok {
		return re.(*regexp.Regexp)
	}
	re := regexp.MustCompile(pattern) // generate.go drops patterns that do not compile
	patterns.Store(pattern, re)
	return re
}
