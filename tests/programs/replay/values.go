package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// inputs returns recorded values with this run's outputs.
func (r *replay) inputs(of map[string]any) (pulumi.Map, error) {
	inputs := pulumi.Map{}
	for key, value := range of {
		input, err := r.input(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		inputs[key] = input
	}
	return inputs, nil
}

// input returns a recorded value with this run's outputs.
func (r *replay) input(value any) (pulumi.Input, error) {
	switch value := value.(type) {
	case string:
		return r.text(value)
	case float64:
		return pulumi.Float64(value), nil
	case bool:
		return pulumi.Bool(value), nil
	case nil:
		return nil, nil
	case []any:
		list := pulumi.Array{}
		for i, one := range value {
			input, err := r.input(one)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			list = append(list, input)
		}
		return list, nil
	case map[string]any:
		secret, ok := value[secretKey].(string)
		if !ok {
			return r.inputs(value)
		}
		text, err := r.text(secret)
		if err != nil {
			return nil, err
		}
		return pulumi.ToSecret(text).(pulumi.StringOutput), nil
	default:
		return nil, fmt.Errorf("a recorded stack has no values such as %v", value)
	}
}

// reference matches a reference to an output: the name of a resource and a path.
var reference = regexp.MustCompile(`\$\{([^#}]+)#([^}]+)\}`)

// text returns a recorded text with this run's outputs. It is not secret: the recorded stack says which texts are.
func (r *replay) text(text string) (pulumi.StringInput, error) {
	matches := reference.FindAllStringSubmatch(text, -1)
	if matches == nil {
		return pulumi.String(text), nil
	}
	var outputs []any
	var paths []resource.PropertyPath
	for _, match := range matches {
		path, err := resource.ParsePropertyPath(match[2])
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", match[0], err)
		}
		output, err := r.output(match[1], path)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", match[0], err)
		}
		outputs, paths = append(outputs, output), append(paths, path)
	}
	filled := pulumi.All(outputs...).ApplyT(func(values []any) (string, error) {
		filled := text
		for i, match := range matches {
			value, ok := stringAt(values[i].(resource.PropertyMap), paths[i])
			if !ok {
				return "", fmt.Errorf("there is no output %s", match[0])
			}
			filled = strings.Replace(filled, match[0], value, 1)
		}
		return filled, nil
	})
	return pulumi.Unsecret(filled).(pulumi.StringOutput), nil
}

// stringAt returns a string in outputs, secret or not.
func stringAt(outputs resource.PropertyMap, path resource.PropertyPath) (string, bool) {
	value := resource.NewProperty(outputs)
	for _, key := range path {
		var found bool
		if value, found = (resource.PropertyPath{key}).Get(value); !found {
			return "", false
		}
		value = revealed(value)
	}
	text, ok := value.V.(string)
	return text, ok
}

// revealed returns a value without its secret wrapping.
func revealed(value resource.PropertyValue) resource.PropertyValue {
	for value.IsSecret() {
		value = value.SecretValue().Element
	}
	return value
}

// output returns the outputs that a path leads into: those of a resource, the caller, or a cluster's kubeconfig.
func (r *replay) output(name string, path resource.PropertyPath) (pulumi.Output, error) {
	of, ask := r.outputs, r.noOutputs
	switch {
	case name == callerName:
		ask = r.askCaller
	case path[0] == "kubeconfig":
		of, ask = r.kubeconfigs, r.askKubeconfig
	}
	if _, ok := of[name]; !ok {
		output, err := ask(name)
		if err != nil {
			return nil, err
		}
		of[name] = output
	}
	return of[name], nil
}

func (r *replay) noOutputs(name string) (pulumi.Output, error) {
	return nil, fmt.Errorf("no resource %s with outputs was registered before", name)
}
