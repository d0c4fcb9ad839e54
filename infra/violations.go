package infra

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/components"
)

// violations collects the mistakes in a stack's configuration.
type violations []components.Violation

func (v *violations) add(path, given, allowed string) {
	*v = append(*v, components.Violation{Path: path, Given: given, Allowed: allowed})
}

// check adds a violation unless ok.
func (v *violations) check(ok bool, path, given, allowed string) {
	if !ok {
		v.add(path, fmt.Sprintf("%q", given), allowed)
	}
}

func (v *violations) match(pattern *regexp.Regexp, path, given, allowed string) {
	v.check(pattern.MatchString(given), path, given, allowed)
}

// of adds what a component has against its arguments, at the keys that set them.
func (v *violations) of(err error, keys map[string]string) {
	v.within("", err, keys)
}

// within is of for arguments that are set within an item of a list.
func (v *violations) within(item string, err error, keys map[string]string) {
	var invalid *components.ValidationError
	if !errors.As(err, &invalid) {
		return
	}
	for _, one := range invalid.Violations {
		for argument, key := range keys {
			if covers(argument, one.Path) {
				one.Path = key + strings.TrimPrefix(one.Path, argument)
				break
			}
		}
		if item != "" {
			one.Path = item + "." + one.Path
		}
		*v = append(*v, one)
	}
}

// hide takes the values of encrypted keys, of those given, out of the violations: out of their own, and where the rule
// of another key repeats them.
func (v violations) hide(
	encrypted func(key string) bool, namespace string, values map[string]string, known map[string]reflect.Value,
) {
	var names, hidden []string
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if encrypted(namespace + key) {
			value := parse(values[key], reflect.Map)
			if named, ok := value.(map[string]any); ok && known[key].Kind() == reflect.Map {
				// Its names are the stack's, too.
				names = append(names, slices.Sorted(maps.Keys(named))...)
			}
			hidden = append(hidden, texts(value)...)
		}
	}
	for i := range v {
		if encrypted(namespace + keyOf(v[i].Path)) {
			v[i].Given = notShown
		}
		replace(names, &v[i].Path, &v[i].Given, &v[i].Allowed)
		replace(hidden, &v[i].Given, &v[i].Allowed)
	}
}

const notShown = "an invalid value (not shown)"

// keyOf returns the key of the configuration that a path begins with.
func keyOf(path string) string {
	if end := strings.IndexAny(path, ".["); end >= 0 {
		return path[:end]
	}
	return path
}

// hideGiven takes out the values of encrypted keys, of violations that are found late.
func (v violations) hideGiven(encrypted func(path string) bool) {
	for i := range v {
		if encrypted(v[i].Path) {
			v[i].Given = notShown
		}
	}
}

// replace takes hidden texts out of what is said, but those too short to tell anything.
func replace(hidden []string, said ...*string) {
	const short = 4
	for _, text := range hidden {
		for _, one := range said {
			if len(text) >= short {
				*one = strings.ReplaceAll(*one, text, "(not shown)")
			}
		}
	}
}

// texts are the strings in a value that was parsed.
func texts(value any) []string {
	var found []string
	switch value := value.(type) {
	case string:
		found = append(found, value)
	case []any:
		for _, item := range value {
			found = append(found, texts(item)...)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			found = append(found, texts(value[key])...)
		}
	}
	return found
}

// distinct are the violations without those that two components report of one value.
func (v violations) distinct() violations {
	var list violations
	for _, one := range v {
		if !slices.Contains(list, one) {
			list = append(list, one)
		}
	}
	return list
}

// unreported are the violations about values that could be read; a value that could not has been reported already.
func unreported(reported, found violations) violations {
	return slices.DeleteFunc(found, func(v components.Violation) bool {
		return slices.ContainsFunc(reported, func(r components.Violation) bool {
			return covers(r.Path, v.Path) || covers(v.Path, r.Path)
		})
	})
}

// covers reports whether the inner path is the outer one or lies in it.
func covers(outer, inner string) bool {
	rest, ok := strings.CutPrefix(inner, outer)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}
