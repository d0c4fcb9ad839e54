package plugin

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// A resource has three shapes: inputs (what a program writes), ARM's body, and outputs (what a program reads). This file
// turns one into another. The values are JSON's; what is unknown at preview stays what PropertyMap.Mappable made of it.

// id fills the parameters of the type's path from inputs.
func (rt *resourceType) id(inputs map[string]any, subscriptionID string) (string, error) {
	id := strings.ReplaceAll(rt.path, "{subscriptionId}", url.PathEscape(subscriptionID))
	for _, name := range rt.parameters() {
		value, ok := inputs[name].(string)
		if !ok || value == "" {
			return "", fmt.Errorf("%s: want a string that is not empty, got %T", name, inputs[name])
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

// parseID takes an ID of this type apart into the inputs that make it up, as they stand in it: a scope has no slash
// before it.
func (rt *resourceType) parseID(id string) (map[string]string, error) {
	pattern := strings.NewReplacer(`\{scope\}`, `(?P<scope>.+)`, `\{resourceUri\}`, `(?P<resourceUri>.+)`, `\{`, `(?P<`, `\}`, `>[^/]+)`).
		Replace(regexp.QuoteMeta(rt.path))
	re, err := regexp.Compile(`(?i)^` + pattern + `$`)
	if err != nil {
		return nil, fmt.Errorf("reading the path of %s: %w", rt.token, err)
	}
	m := re.FindStringSubmatch(id)
	if m == nil {
		return nil, fmt.Errorf("%q is no ID of %s: want %s", id, rt.token, rt.path)
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

// isPath tells the parameters that are IDs themselves: of what a resource is an extension of.
func isPath(parameter string) bool { return parameter == "scope" || parameter == "resourceUri" }

// body makes ARM's body from inputs.
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

// outputs makes outputs from ARM's body.
func (rt *resourceType) outputs(body map[string]any, apiVersion string) (map[string]any, error) {
	d, err := rt.described(apiVersion)
	if err != nil {
		return nil, err
	}
	outputs := d.pkg.only(d.outputs, rt.shape(body))
	outputs["azureApiVersion"] = apiVersion
	return outputs, nil
}

// shape puts ARM's body into the shape of outputs.
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

// settable is the part of outputs that inputs could have set, in the shape of inputs. What the outputs have elsewhere
// than the inputs, as all of a key's properties, is no part of it.
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

// imported are the inputs that make this body of ARM's, without those of the ID and without what is empty.
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

// bodyInputs are the inputs that make up the body, which those of the ID do not.
func (rt *resourceType) bodyInputs(d description) map[string]property {
	inputs := maps.Clone(d.inputs)
	for _, name := range rt.parameters() {
		delete(inputs, name)
	}
	return inputs
}

// withoutEmpty takes empty objects and arrays out of a value; nil is what is left of nothing else.
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

// eachObject applies change to the object at a place, or to those in the array there.
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

// besideProperties is what a nested resource, or the destination of an event subscription, has beside its properties.
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
