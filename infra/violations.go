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

// of adds a component's violations, under the configuration keys that set its arguments.
func (v *violations) of(err error, keys map[string]string) {
	v.within("", err, keys)
}

// within does the same for arguments that are set within an item of a list.
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

// hide removes the values of the given encrypted keys from the violations: from their own, and from those of other keys
// whose rules repeat them.
func (v violations) hide(
	encrypted func(key string) bool, namespace string, values map[string]string, known map[string]reflect.Value,
) {
	var names, hidden []string
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if encrypted(namespace + key) {
			value := parse(values[key], reflect.Map)
			if named, ok := value.(map[string]any); ok && known[key].Kind() == reflect.Map {
				// The names in a map are configured values, too.
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

// keyOf returns the configuration key at the start of a path.
func keyOf(path string) string {
	if end := strings.IndexAny(path, ".["); end >= 0 {
		return path[:end]
	}
	return path
}

// hideLate removes the values of encrypted keys from violations that are found late.
func (v violations) hideLate(encrypted func(path string) bool) {
	for i := range v {
		if encrypted(v[i].Path) {
			v[i].Given = notShown
		}
	}
}

// replace replaces hidden texts, except those that are too short to reveal anything.
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

// texts returns the strings in a parsed value.
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

// distinct returns the violations without duplicates, if two components report the same value.
func (v violations) distinct() violations {
	var list violations
	for _, one := range v {
		if !slices.Contains(list, one) {
			list = append(list, one)
		}
	}
	return list
}

// unreported returns the violations of values that could be read. Others have been reported already.
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
