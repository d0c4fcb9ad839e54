package plugin

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// description is Pulumi's schema of a resource type in one API version. azure-native drops properties that the schema
// does not name, in inputs and in outputs.
type description struct {
	pkg     *describedPackage
	inputs  map[string]property
	outputs map[string]property
}

// property is a property in Pulumi's schema.
type property struct {
	Type                 string
	Ref                  string `json:"$ref"`
	Items                *property
	AdditionalProperties *property
	Default              any
}

type describedPackage struct {
	Resources map[string]struct{ Properties, InputProperties map[string]property }
	Functions map[string]struct {
		Outputs struct{ Properties map[string]property }
	}
	Types map[string]struct{ Properties map[string]property }
}

var readDescriptions = sync.OnceValues(func() (map[string]*describedPackage, error) {
	all, err := readSchemas()
	if err != nil {
		return nil, err
	}
	packages := map[string]*describedPackage{}
	for name, text := range all.Packages {
		pkg := &describedPackage{}
		if err := json.Unmarshal(text, pkg); err != nil {
			return nil, fmt.Errorf("reading the schema of %s: %w", name, err)
		}
		packages[name] = pkg
	}
	return packages, nil
})

// described returns the schema of a type in an API version. If the SDK has no token for that version, described uses
// the token without a date.
func (rt *resourceType) described(apiVersion string) (description, error) {
	packages, err := readDescriptions()
	if err != nil {
		return description{}, err
	}
	for _, at := range rt.tokens(apiVersion, rt.token) {
		if one, ok := packages[at.pkg].Resources[at.token]; ok {
			outputs := maps.Clone(one.Properties)
			outputs["id"] = property{Type: "string"} // in the SDK, not in the schema
			return description{packages[at.pkg], one.InputProperties, outputs}, nil
		}
	}
	return description{}, fmt.Errorf("no schema of %s", rt.token)
}

// shownBy returns the part of answer that the schema of a function names. The function is given as module:name.
func (rt *resourceType) shownBy(function, apiVersion string, answer map[string]any) (map[string]any, error) {
	packages, err := readDescriptions()
	if err != nil {
		return nil, err
	}
	for _, at := range rt.tokens(apiVersion, function) {
		if one, ok := packages[at.pkg].Functions[at.token]; ok {
			return packages[at.pkg].only(one.Outputs.Properties, answer), nil
		}
	}
	return nil, fmt.Errorf("no schema of %s", function)
}

type placed struct{ pkg, token string }

// tokens returns the places where the schemas may describe a member, given as module:name, in an API version.
func (rt *resourceType) tokens(apiVersion, member string) []placed {
	module, name, _ := strings.Cut(member, ":")
	date := datesOf([]string{apiVersion})[0]
	return []placed{
		{basePackage, basePackage + ":" + module + "/" + date + ":" + name},
		{vaultPackage, vaultPackage + ":" + module + "/" + date + ":" + name},
		{basePackage, basePackage + ":" + member},
	}
}

// only returns the properties of object that the schema names, at every depth, without nulls.
func (p *describedPackage) only(properties map[string]property, object map[string]any) map[string]any {
	kept := map[string]any{}
	for name, value := range object {
		if one, ok := properties[name]; ok && value != nil {
			kept[name] = p.onlyValue(one, value)
		}
	}
	return kept
}

func (p *describedPackage) onlyValue(of property, value any) any {
	switch value := value.(type) {
	case map[string]any:
		if name, ok := strings.CutPrefix(of.Ref, "#/types/"); ok {
			return p.only(p.Types[name].Properties, value)
		}
		if of.AdditionalProperties != nil {
			kept := make(map[string]any, len(value))
			for k, v := range value {
				kept[k] = p.onlyValue(*of.AdditionalProperties, v)
			}
			return kept
		}
	case []any:
		if of.Items != nil {
			kept := make([]any, len(value))
			for i, v := range value {
				kept[i] = p.onlyValue(*of.Items, v)
			}
			return kept
		}
	}
	return value
}

// preview returns the outputs that are known before Resource Manager answers: inputs of the same name and type. All
// other outputs are unknown, at every depth, even if they will have no value.
func (p *describedPackage) preview(outputs map[string]property, inputs resource.PropertyMap) resource.PropertyMap {
	known := resource.PropertyMap{}
	for name, one := range outputs {
		key := resource.PropertyKey(name)
		known[key] = p.previewValue(one, inputs[key])
	}
	return known
}

func (p *describedPackage) previewValue(of property, input resource.PropertyValue) resource.PropertyValue {
	named, isNamed := strings.CutPrefix(of.Ref, "#/types/")
	switch {
	case of.Ref == anything && input.HasValue(),
		of.Type == "string" && input.IsString(), of.Type == "boolean" && input.IsBool(),
		slices.Contains([]string{"integer", "number"}, of.Type) && input.IsNumber():
		return input
	case of.Items != nil && input.IsArray():
		elements := make([]resource.PropertyValue, len(input.ArrayValue()))
		for i, element := range input.ArrayValue() {
			elements[i] = p.previewValue(*of.Items, element)
		}
		return resource.NewArrayProperty(elements)
	case isNamed && input.IsObject():
		return resource.NewObjectProperty(p.preview(p.Types[named].Properties, input.ObjectValue()))
	case of.AdditionalProperties != nil && input.IsObject():
		values := resource.PropertyMap{}
		for k, v := range input.ObjectValue() {
			values[k] = p.previewValue(*of.AdditionalProperties, v)
		}
		return resource.NewObjectProperty(values)
	}
	return resource.MakeComputed(resource.NewStringProperty(""))
}

const anything = "pulumi.json#/Any"
