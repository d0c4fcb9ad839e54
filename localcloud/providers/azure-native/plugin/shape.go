package plugin

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// A resource has three shapes: inputs (what a program writes), ARM's body, and outputs (what a program reads). This
// file converts between them. The values are JSON values. Unknown values stay as PropertyMap.Mappable returns them.

// id returns the type's path with its parameters filled from inputs.
func (rt *resourceType) id(inputs map[string]any, subscriptionID string) (string, error) {
	id := strings.ReplaceAll(rt.path, "{subscriptionId}", url.PathEscape(subscriptionID))
	for _, name := range rt.parameters() {
		value, ok := inputs[name].(string)
		if !ok || value == "" {
			return "", fmt.Errorf("%s: want a non-empty string, got %T", name, inputs[name])
		}
		if isPath(name) {
			value = strings.Trim(value, "/")
		} else {
			value = url.PathEscape(value)
		}
		id = strings.ReplaceAll(id, "{"+name+"}", value)
	}
	return id, nil
}

// parseID returns the inputs in an ID of this type, as they are written in it. A scope has no leading slash.
func (rt *resourceType) parseID(id string) (map[string]string, error) {
	groups := strings.NewReplacer(
		`\{scope\}`, `(?P<scope>.+)`,
		`\{resourceUri\}`, `(?P<resourceUri>.+)`,
		`\{`, `(?P<`,
		`\}`, `>[^/]+)`,
	)
	pattern := groups.Replace(regexp.QuoteMeta(rt.path))
	re, err := regexp.Compile(`(?i)^` + pattern + `$`)
	if err != nil {
		return nil, fmt.Errorf("reading the path of %s: %w", rt.token, err)
	}
	m := re.FindStringSubmatch(id)
	if m == nil {
		return nil, fmt.Errorf("%q is not an ID of %s: want %s", id, rt.token, rt.path)
	}
	values := map[string]string{}
	for i, name := range re.SubexpNames() {
		if name == "" || name == "subscriptionId" {
			continue
		}
		values[name] = m[i]
	}
	return values, nil
}

// isPath reports whether a parameter is an ID itself: the ID of the resource that an extension belongs to.
func isPath(parameter string) bool { return parameter == "scope" || parameter == "resourceUri" }

// body converts inputs to ARM's body.
func (rt *resourceType) body(inputs map[string]any) map[string]any {
	inputs = clone(inputs).(map[string]any)
	for _, path := range rt.sets {
		visit(inputs, path, listToObject)
	}
	body, properties := map[string]any{}, map[string]any{}
	for k, v := range inputs {
		switch {
		case strings.HasPrefix(k, "__"), slices.Contains(rt.parameters(), k):
		case slices.Contains(rt.top, k):
			body[k] = v
		default:
			properties[k] = v
		}
	}
	if len(properties) > 0 {
		body["properties"] = properties
	}
	for _, path := range rt.nested {
		visit(body, path, eachObject(intoProperties))
	}
	for _, s := range rt.spellings {
		visit(body, s.at, renameKeys(s.toARM))
	}
	return body
}

// outputs converts ARM's body to outputs.
func (rt *resourceType) outputs(body map[string]any, apiVersion string) (map[string]any, error) {
	d, err := rt.described(apiVersion)
	if err != nil {
		return nil, err
	}
	outputs := d.pkg.only(d.outputs, rt.shape(body))
	outputs["azureApiVersion"] = apiVersion
	return outputs, nil
}

// shape converts ARM's body to the shape of outputs, including properties that the schema does not name.
func (rt *resourceType) shape(body map[string]any) map[string]any {
	outputs := clone(body).(map[string]any)
	for _, s := range rt.spellings {
		visit(outputs, s.at, renameKeys(s.toSDK))
	}
	for _, path := range rt.nested {
		visit(outputs, path, eachObject(outOfProperties))
	}
	if properties, ok := outputs["properties"].(map[string]any); ok && rt.flat {
		delete(outputs, "properties")
		for k, v := range properties {
			if _, taken := outputs[k]; !taken {
				outputs[k] = v
			}
		}
	}
	return outputs
}

// settable returns the part of outputs that inputs can set, in the shape of inputs. It omits properties that outputs
// have in another place than inputs, such as all properties of a key.
func (rt *resourceType) settable(outputs map[string]any, apiVersion string) (map[string]any, error) {
	d, err := rt.described(apiVersion)
	if err != nil {
		return nil, err
	}
	rest := clone(outputs).(map[string]any)
	for _, path := range rt.sets {
		visit(rest, path, objectToList)
	}
	return d.pkg.only(rt.bodyInputs(d), rest), nil
}

// imported returns the inputs that produce an ARM body, without the parameters of the ID and without empty values.
func (rt *resourceType) imported(body map[string]any, apiVersion string) (map[string]any, error) {
	d, err := rt.described(apiVersion)
	if err != nil {
		return nil, err
	}
	given := clone(body).(map[string]any)
	for _, s := range rt.spellings {
		visit(given, s.at, renameKeys(s.toSDK))
	}
	for _, path := range rt.nested {
		visit(given, path, eachObject(outOfProperties))
	}
	for _, path := range rt.sets {
		visit(given, path, objectToList)
	}
	if !slices.Contains(rt.top, "properties") {
		inside, _ := given["properties"].(map[string]any)
		maps.DeleteFunc(given, func(k string, _ any) bool { return !slices.Contains(rt.top, k) })
		for k, v := range inside {
			given[k] = v
		}
	}
	inputs := d.pkg.only(rt.bodyInputs(d), given)
	delete(inputs, "id")
	for k, v := range inputs {
		if inputs[k] = withoutEmpty(v); inputs[k] == nil {
			delete(inputs, k)
		}
	}
	return inputs, nil
}

// bodyInputs returns the inputs of a type without the parameters of its ID.
func (rt *resourceType) bodyInputs(d description) map[string]property {
	inputs := maps.Clone(d.inputs)
	for _, name := range rt.parameters() {
		delete(inputs, name)
	}
	return inputs
}

// withoutEmpty returns a value without empty objects and arrays. It returns nil if nothing is left.
func withoutEmpty(value any) any {
	switch value := value.(type) {
	case map[string]any:
		kept := map[string]any{}
		for k, v := range value {
			if v = withoutEmpty(v); v != nil {
				kept[k] = v
			}
		}
		if len(kept) > 0 {
			return kept
		}
		return nil
	case []any:
		var kept []any
		for _, v := range value {
			if v = withoutEmpty(v); v != nil {
				kept = append(kept, v)
			}
		}
		if len(kept) > 0 {
			return kept
		}
		return nil
	}
	return value
}

// eachObject returns a visitor that applies change to an object, or to each object in an array.
func eachObject(change func(map[string]any) map[string]any) func(map[string]any, string) {
	return func(holder map[string]any, key string) {
		switch value := holder[key].(type) {
		case map[string]any:
			holder[key] = change(value)
		case []any:
			for i, element := range value {
				if element, ok := element.(map[string]any); ok {
					value[i] = change(element)
				}
			}
		}
	}
}

// besideProperties are the fields beside "properties" in a nested resource or an event subscription's destination.
var besideProperties = []string{"id", "name", "type", "etag", "endpointType"}

func intoProperties(flat map[string]any) map[string]any {
	nested, properties := map[string]any{}, map[string]any{}
	for k, v := range flat {
		if slices.Contains(besideProperties, k) {
			nested[k] = v
		} else {
			properties[k] = v
		}
	}
	if len(properties) > 0 {
		nested["properties"] = properties
	}
	return nested
}

func outOfProperties(nested map[string]any) map[string]any {
	properties, ok := nested["properties"].(map[string]any)
	if !ok {
		return nested
	}
	flat := map[string]any{}
	for k, v := range properties {
		flat[k] = v
	}
	for k, v := range nested {
		if k != "properties" {
			flat[k] = v
		}
	}
	return flat
}

func listToObject(holder map[string]any, key string) {
	list, ok := holder[key].([]any)
	if !ok {
		return
	}
	object := map[string]any{}
	for _, e := range list {
		if e, ok := e.(string); ok {
			object[e] = map[string]any{}
		}
	}
	holder[key] = object
}

func objectToList(holder map[string]any, key string) {
	object, ok := holder[key].(map[string]any)
	if !ok {
		return
	}
	list := []any{}
	for _, k := range slices.Sorted(maps.Keys(object)) {
		list = append(list, k)
	}
	holder[key] = list
}
