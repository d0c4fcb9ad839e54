package plugin

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
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

// parseID takes an ID of this type apart into the inputs that make it up.
func (rt *resourceType) parseID(id string) (map[string]string, error) {
	pattern := strings.NewReplacer(`\{scope\}`, `(?P<scope>.+)`, `\{resourceUri\}`, `(?P<resourceUri>.+)`, `\{`, `(?P<`, `\}`, `>[^/]+)`).Replace(regexp.QuoteMeta(rt.path))
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
		if values[name], err = url.PathUnescape(m[i]); err != nil {
			return nil, fmt.Errorf("reading %s of %q: %w", name, id, err)
		}
		if isPath(name) { // as programs write it
			values[name] = "/" + values[name]
		}
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
func (rt *resourceType) outputs(body map[string]any, apiVersion string) map[string]any {
	outputs := rt.shape(body)
	outputs["azureApiVersion"] = apiVersion
	return outputs
}

// shape is outputs without what the plugin adds, as functions return it.
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

// settable is the part of outputs that inputs could have set, in the shape of inputs.
func (rt *resourceType) settable(outputs map[string]any) map[string]any {
	rest := clone(outputs).(map[string]any)
	for _, path := range append(slices.Clone(readOnlyEverywhere), rt.readOnly...) {
		visit(rest, path, func(holder map[string]any, key string) { delete(holder, key) })
	}
	for _, path := range rt.sets {
		visit(rest, path, objectToList)
	}
	if !rt.flat || !slices.Contains(rt.top, "properties") {
		return rest
	}
	inputs, properties := map[string]any{}, map[string]any{}
	for k, v := range rest {
		if slices.Contains(rt.top, k) {
			inputs[k] = v
		} else {
			properties[k] = v
		}
	}
	inputs["properties"] = properties
	return inputs
}

// preview is what is known of the outputs before ARM has answered: the inputs, with what ARM adds inside them unknown.
// An output that is missing here is unknown to the engine's clients anyway.
func (rt *resourceType) preview(inputs map[string]any) map[string]any {
	outputs := rt.shape(rt.previewBody(inputs))
	for _, path := range rt.readOnly {
		if strings.Contains(path, ".") {
			visit(outputs, path, func(holder map[string]any, key string) {
				holder[key] = resource.Computed{Element: resource.NewStringProperty("")}
			})
		}
	}
	for _, path := range rt.secret {
		visit(outputs, path, func(holder map[string]any, key string) { delete(holder, key) })
	}
	return outputs
}

func (rt *resourceType) previewBody(inputs map[string]any) map[string]any {
	body := map[string]any{}
	for k, v := range inputs {
		if k != rt.name && !strings.HasPrefix(k, "__") && !(slices.Contains(rt.parameters(), k) && k != "scope") {
			body[k] = v
		}
	}
	return body
}

// redact takes the secrets among inputs out of a message.
func (rt *resourceType) redact(message string, inputs map[string]any) string {
	for _, path := range rt.secret {
		visit(inputs, path, func(holder map[string]any, key string) {
			if s, ok := holder[key].(string); ok && s != "" {
				message = strings.ReplaceAll(message, s, "[secret]")
			}
		})
	}
	return message
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
