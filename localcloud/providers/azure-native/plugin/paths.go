package plugin

import "strings"

// valueAt returns the value at a dotted path without wildcards, or nil.
func valueAt(object map[string]any, path string) any {
	var found any
	visit(object, path, func(holder map[string]any, key string) { found = holder[key] })
	return found
}

// setAt sets the value at a dotted path and creates missing objects on the way.
func setAt(object map[string]any, path string, value any) {
	head, rest, nested := strings.Cut(path, ".")
	if !nested {
		object[head] = value
		return
	}
	inner, ok := object[head].(map[string]any)
	if !ok {
		inner = map[string]any{}
		object[head] = inner
	}
	setAt(inner, rest, value)
}

// visit calls do for every place that a dotted path matches, whether or not it holds a value. A path through a missing
// object does not match.
func visit(object map[string]any, path string, do func(holder map[string]any, key string)) {
	head, rest, nested := strings.Cut(path, ".")
	if !nested {
		if object != nil {
			do(object, head)
		}
		return
	}
	switch inner := object[head].(type) {
	case map[string]any:
		descend(inner, rest, do)
	case []any:
		descend(inner, rest, do)
	}
}

func descend(inner any, path string, do func(holder map[string]any, key string)) {
	rest, each := strings.CutPrefix(path, "*.")
	switch inner := inner.(type) {
	case map[string]any:
		if !each {
			visit(inner, path, do)
			return
		}
		for _, element := range inner {
			if element, ok := element.(map[string]any); ok {
				visit(element, rest, do)
			}
		}
	case []any:
		if !each {
			return
		}
		for _, element := range inner {
			if element, ok := element.(map[string]any); ok {
				visit(element, rest, do)
			}
		}
	}
}

// clone returns a deep copy of a JSON value.
func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		copied := make(map[string]any, len(v))
		for k, e := range v {
			copied[k] = clone(e)
		}
		return copied
	case []any:
		copied := make([]any, len(v))
		for i, e := range v {
			copied[i] = clone(e)
		}
		return copied
	default:
		return v
	}
}
