package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"
)

// program registers the recorded stack whose file the configuration names.
func program(ctx *pulumi.Context) error {
	if ctx.DryRun() {
		return errors.New("a replay cannot be previewed: use up --skip-preview")
	}
	var s state
	content, err := os.ReadFile(config.Require(ctx, "state"))
	if err == nil {
		err = json.Unmarshal(content, &s)
	}
	if err != nil {
		return fmt.Errorf("reading the recorded stack: %w", err)
	}
	return newReplay(ctx, s).run()
}

// replay registers a recorded stack.
type replay struct {
	state
	ctx         *pulumi.Context
	resources   map[string]pulumi.Resource
	outputs     map[string]pulumi.Output // resolve to resource.PropertyMap
	kubeconfigs map[string]pulumi.Output
}

func newReplay(ctx *pulumi.Context, s state) *replay {
	return &replay{
		state: s, ctx: ctx, resources: map[string]pulumi.Resource{}, outputs: map[string]pulumi.Output{},
		kubeconfigs: map[string]pulumi.Output{},
	}
}

// run registers all resources, and then the stack's outputs.
func (r *replay) run() error {
	for _, one := range r.Resources {
		if err := r.register(one); err != nil {
			return fmt.Errorf("registering %s: %w", one.Name, err)
		}
	}
	outputs, err := r.inputs(r.Outputs)
	if err != nil {
		return fmt.Errorf("exporting the stack's outputs: %w", err)
	}
	for name, output := range outputs {
		r.ctx.Export(name, output)
	}
	return nil
}

// register registers one resource.
func (r *replay) register(one recorded) error {
	inputs, err := r.inputs(one.Inputs)
	if err != nil {
		return err
	}
	options, err := r.options(one)
	if err != nil {
		return err
	}
	switch {
	case one.Component:
		component := &pulumi.ResourceState{}
		r.resources[one.Name] = component
		return r.ctx.RegisterComponentResourceV2(one.Type, one.Name, inputs, component, options...)
	case strings.HasPrefix(one.Type, providerPrefix):
		provider := &pulumi.ProviderResourceState{}
		r.resources[one.Name] = provider
		return r.ctx.RegisterResource(one.Type, one.Name, inputs, provider, options...)
	default:
		custom := &pulumi.CustomResourceState{}
		if err := r.ctx.RegisterResource(one.Type, one.Name, inputs, custom, options...); err != nil {
			return err
		}
		r.resources[one.Name], r.outputs[one.Name] = custom, pulumi.InternalGetRawOutputs(&custom.ResourceState)
		return nil
	}
}

// options returns the options that a resource was recorded with.
func (r *replay) options(one recorded) ([]pulumi.ResourceOption, error) {
	options := []pulumi.ResourceOption{
		pulumi.Protect(one.Protect), pulumi.RetainOnDelete(one.RetainOnDelete), pulumi.IgnoreChanges(one.IgnoreChanges),
		pulumi.ReplaceOnChanges(one.ReplaceOnChanges), pulumi.AdditionalSecretOutputs(one.SecretOutputs),
	}
	if one.Version != "" {
		options = append(options, pulumi.Version(one.Version))
	}
	if one.Timeouts != nil {
		options = append(options, pulumi.Timeouts(&pulumi.CustomTimeouts{
			Create: seconds(one.Timeouts.Create),
			Update: seconds(one.Timeouts.Update),
			Delete: seconds(one.Timeouts.Delete),
		}))
	}
	for _, relation := range []struct {
		option func(pulumi.Resource) pulumi.ResourceOption
		names  []string
	}{
		{asParent, []string{one.Parent}},
		{asProvider, []string{one.Provider}},
		{pulumi.DeletedWith, []string{one.DeletedWith}},
		{asDependency, one.DependsOn},
	} {
		for _, name := range relation.names {
			if name == "" {
				continue
			}
			other, err := r.find(name)
			if err != nil {
				return nil, err
			}
			options = append(options, relation.option(other))
		}
	}
	return options, nil
}

func asParent(other pulumi.Resource) pulumi.ResourceOption { return pulumi.Parent(other) }

func asProvider(other pulumi.Resource) pulumi.ResourceOption {
	provider, _ := other.(pulumi.ProviderResource)
	return pulumi.Provider(provider)
}

func asDependency(other pulumi.Resource) pulumi.ResourceOption {
	return pulumi.DependsOn([]pulumi.Resource{other})
}

// seconds returns a timeout as the SDK takes it. Zero is the default timeout.
func seconds(n float64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%gs", n)
}

// find returns a registered resource.
func (r *replay) find(name string) (pulumi.Resource, error) {
	if found, ok := r.resources[name]; ok {
		return found, nil
	}
	return nil, fmt.Errorf("no resource %s was registered before", name)
}
