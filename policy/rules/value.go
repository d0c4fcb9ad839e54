package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

// get returns the value at a path such as properties.sku.name, or null if there is none. Known is false if that is
// unknown before an update.
func get(m property.Map, path string) (v property.Value, known bool) {
	return getKeys(m, strings.Split(path, ".")...)
}

func getKeys(m property.Map, keys ...string) (v property.Value, known bool) {
	v = property.New(m)
	secret := false
	for _, key := range keys {
		if !v.IsMap() {
			return property.Value{}, !v.IsComputed()
		}
		v = v.AsMap().Get(key)
		secret = secret || v.Secret()
	}
	return v.WithSecret(secret), !v.IsComputed()
}

func asText(v property.Value) (string, bool) {
	if !v.IsString() {
		return "", false
	}
	return v.AsString(), true
}

// list returns the items of a list. Known is false if there may be more.
func list(m property.Map, path string) (items []property.Value, known bool) {
	v, known := get(m, path)
	if !v.IsArray() {
		return nil, known
	}
	for _, item := range v.AsArray().All {
		switch {
		case item.IsComputed():
			known = false
		case !item.IsNull():
			items = append(items, item.WithSecret(item.Secret() || v.Secret()))
		}
	}
	return items, known
}

// maps returns the items of a list that are maps.
func maps(m property.Map, path string) (items []property.Map, known bool) {
	all, known := list(m, path)
	for _, item := range all {
		if item.IsMap() {
			items = append(items, inside(item))
		}
	}
	return items, known
}

// inside returns the value as a map, or an empty map. The parts of a secret map are marked as secret.
func inside(v property.Value) property.Map {
	if !v.IsMap() {
		return property.Map{}
	}
	m := v.AsMap()
	if v.Secret() {
		for key, part := range m.All {
			m = m.Set(key, part.WithSecret(true))
		}
	}
	return m
}

// need is a requirement on a value, with its description for messages.
type need struct {
	what string
	met  func(property.Value) bool
}

// given wants anything that is not empty.
var given = need{"", func(v property.Value) bool {
	switch {
	case v.IsString():
		return v.AsString() != ""
	case v.IsArray():
		return v.AsArray().Len() > 0
	case v.IsMap():
		return v.AsMap().Len() > 0
	}
	return !v.IsNull()
}}

// yes wants true, which add-ons take as a text.
var yes = need{"true", func(v property.Value) bool {
	return v.IsBool() && v.AsBool() || v.IsString() && strings.EqualFold(v.AsString(), "true")
}}

// not wants anything but false, or true.
func not(unwanted bool) need {
	return need{fmt.Sprintf("%t, nothing", !unwanted), func(v property.Value) bool {
		return !v.IsBool() || v.AsBool() != unwanted
	}}
}

// oneOf wants one of the texts, in Azure's upper or lower case. An empty one allows for nothing.
func oneOf(texts ...string) need {
	named := slices.Clone(texts)
	for i := range named {
		if named[i] == "" {
			named[i] = "nothing"
		}
	}
	return need{strings.Join(named, ", "), func(v property.Value) bool {
		text, ok := asText(v)
		for _, want := range texts {
			if (ok || v.IsNull()) && strings.EqualFold(text, want) {
				return true
			}
		}
		return false
	}}
}

func atLeast(n float64) need {
	return need{fmt.Sprintf("at least %v", n), func(v property.Value) bool { return v.IsNumber() && v.AsNumber() >= n }}
}

// unless is what is wrong with the value at a path.
func (n need) unless(m property.Map, path string) []string {
	v, known := get(m, path)
	if !known || n.met(v) {
		return nil
	}
	if n.what == "" {
		return say("%s: not given", path)
	}
	return say("%s: given %s, allowed: %s", path, shown(v), n.what)
}

// shown is a value as a message may have it.
func shown(v property.Value) string {
	switch {
	case v.Secret():
		return "a secret"
	case v.IsNull():
		return "nothing"
	case v.IsString():
		return fmt.Sprintf("%q", v.AsString())
	case v.IsBool():
		return fmt.Sprint(v.AsBool())
	case v.IsNumber():
		return fmt.Sprint(v.AsNumber())
	case v.IsArray() && v.AsArray().Len() == 0:
		return "empty"
	}
	return "something else"
}

// needs is a rule about the value at a path.
func needs(path string, n need) func(Resource) []string {
	return func(one Resource) []string { return n.unless(one.Properties, path) }
}

// each is a rule of several parts.
func each(parts ...func(Resource) []string) func(Resource) []string {
	return func(one Resource) (problems []string) {
		for _, part := range parts {
			problems = append(problems, part(one)...)
		}
		return problems
	}
}
