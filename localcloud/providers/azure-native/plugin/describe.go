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

// description is what Pulumi's schema says of a resource type in one API version. The values of azure-native have no
// properties but those that it names, on their way in and out.
type description struct {
	pkg     *describedPackage
	inputs  map[string]property
	outputs map[string]property
}

// property is one in Pulumi's schema.
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

// described finds what the schema says of a type in an API version, by the token of that version or, where the SDK has
// none, by the one without a date.
func (rt *resourceType) described(apiVersion string) (description, error) {
	packages, err := readDescriptions()
	if err != nil {
		return description{}, err
	}
	for _, at := range rt.tokens(apiVersion, rt.token) {
		if one, ok := packages[at.pkg].Resources[at.token]; ok {
			outputs := maps.Clone(one.Properties)
			outputs["id"] = property{Type: "string"} // which the SDK has of every resource
			return description{packages[at.pkg], one.InputProperties, outputs}, nil
		}
	}
	return description{}, fmt.Errorf("there is no schema of %s", rt.token)
}

// shownBy keeps of an answer what the schema of a function of a type names. The function is module:name.
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
	return nil, fmt.Errorf("there is no schema of %s", function)
}

type placed struct{ pkg, token string }

// tokens are where the schemas may have a member of the type's module, as module:name, in an API version.
func (rt *resourceType) tokens(apiVersion, member string) []placed {
	module, name, _ := strings.Cut(member, ":")
	date := datesOf([]string{apiVersion})[0]
	return []placed{
		{basePackage, basePackage + ":" + module + "/" + date + ":" + name},
		{vaultPackage, vaultPackage + ":" + module + "/" + date + ":" + name},
		{basePackage, basePackage + ":" + member},
	}
}

// only keeps of an object the properties that a schema names, at every depth, and no nulls.
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

// preview is what is known of outputs before Resource Manager has answered: what the inputs say in the outputs' own
// types. All else is unknown, at every depth, whether or not there will be a value.
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
