package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/provider"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/hooknames"
)

// construct checks a component's arguments and constructs the component if they are valid. Otherwise not even the
// component itself is registered.
func construct(
	ctx context.Context, pkg *schema, engine *grpc.ClientConn, request *pulumirpc.ConstructRequest,
) (*pulumirpc.ConstructResponse, error) {
	maker, ok := makers[request.GetType()]
	if !ok {
		return nil, fmt.Errorf("the package %s has no component %s, only %s", pkg.Name, request.GetType(),
			strings.Join(slices.Sorted(maps.Keys(makers)), ", "))
	}
	all := plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true, KeepResources: true, KeepOutputValues: true}
	inputs, err := plugin.UnmarshalProperties(request.GetInputs(), all)
	if err != nil {
		return nil, fmt.Errorf("reading the arguments: %w", err)
	}
	checked := proto.Clone(request).(*pulumirpc.ConstructRequest)
	wrong := pkg.check(request.GetType(), inputs, dependencies(checked, inputs))
	if len(wrong) > 0 {
		checked.InputDependencies = nil // of what was taken out, too
	}
	if checked.Inputs, err = plugin.MarshalProperties(inputs, all); err != nil {
		return nil, fmt.Errorf("encoding the arguments: %w", err)
	}
	// A component's parent and name are the same in every process.
	ctx = hooknames.Within(ctx, request.GetParent()+"::"+request.GetType()+"::"+request.GetName())
	made, err := provider.Construct(ctx, checked, engine, func(
		ctx *pulumi.Context, _, name string, inputs provider.ConstructInputs, options pulumi.ResourceOption,
	) (*provider.ConstructResult, error) {
		made, err := maker(&call{
			ctx: ctx, name: name, inputs: inputs, options: options, wrong: wrong,
			kubernetes: request.GetProviders()["kubernetes"] != "",
		})
		if err != nil {
			return nil, rewriteError(err) // the SDK keeps only its text
		}
		return provider.NewConstructResult(made)
	})
	return made, rewriteError(err)
}

var noProvider = components.Violation{
	Path: "providers", Given: "no provider for Kubernetes",
	Allowed: "a provider for the cluster, in the component's option providers",
}

// rewriteError rewrites a component's error for other languages. It removes the component, which the engine names, and
// the path by which the SDK reached a value that is known late, and it refers to a missing provider as an option.
func rewriteError(err error) error {
	var invalid *components.ValidationError
	switch found := errors.As(err, &invalid); {
	case errors.Is(err, components.ErrNoKubernetesProvider) && found:
		return &components.ValidationError{Violations: append([]components.Violation{noProvider}, invalid.Violations...)}
	case errors.Is(err, components.ErrNoKubernetesProvider):
		return &components.ValidationError{Violations: []components.Violation{noProvider}}
	case found:
		return invalid
	}
	return err
}

// dependencies returns the arguments that depend on resources as a whole, by name. The SDK needs to know where in a
// list or an object the outputs are. If a language does not say, the component as a whole depends on the resources.
func dependencies(request *pulumirpc.ConstructRequest, inputs resource.PropertyMap) map[string]bool {
	whole := map[string]bool{}
	for name, on := range request.GetInputDependencies() {
		said := map[string]bool{}
		outputsIn(inputs[resource.PropertyKey(name)], said)
		if !slices.ContainsFunc(on.GetUrns(), func(urn string) bool { return !said[urn] }) {
			continue
		}
		whole[name] = true
		if value := inputs[resource.PropertyKey(name)]; value.IsArray() || value.IsObject() {
			request.Dependencies = append(request.Dependencies, on.GetUrns()...)
			delete(request.InputDependencies, name)
		}
	}
	return whole
}

// outputsIn collects the resources that outputs in a value depend on.
func outputsIn(v resource.PropertyValue, urns map[string]bool) {
	switch {
	case v.IsOutput():
		for _, urn := range v.OutputValue().Dependencies {
			urns[string(urn)] = true
		}
		outputsIn(v.OutputValue().Element, urns)
	case v.IsSecret():
		outputsIn(v.SecretValue().Element, urns)
	case v.IsArray():
		for _, item := range v.ArrayValue() {
			outputsIn(item, urns)
		}
	case v.IsObject():
		for _, item := range v.ObjectValue() {
			outputsIn(item, urns)
		}
	}
}

// makers construct the components, by type.
var makers = map[string]func(*call) (pulumi.ComponentResource, error){
	"keyvaultaks:index:KeyVaultStack": func(c *call) (pulumi.ComponentResource, error) {
		args := &components.KeyVaultStackArgs{}
		if err := c.read(args); err != nil {
			return nil, err
		}
		return components.NewKeyVaultStack(c.ctx, c.name, args, c.options)
	},
	"keyvaultaks:index:AksWithCsi": func(c *call) (pulumi.ComponentResource, error) {
		args := &components.AksWithCsiArgs{}
		if err := c.read(args); err != nil {
			return nil, err
		}
		return components.NewAksWithCsi(c.ctx, c.name, args, c.options)
	},
	"keyvaultaks:index:WorkloadIdentity": func(c *call) (pulumi.ComponentResource, error) {
		args := &components.WorkloadIdentityArgs{}
		err := c.readPlaced(args, &args.Cluster, func() bool {
			return args.CreateNamespace ||
				slices.ContainsFunc(args.ServiceAccounts, func(a components.ServiceAccountArgs) bool { return !a.Existing })
		})
		if err != nil {
			return nil, err
		}
		return components.NewWorkloadIdentity(c.ctx, c.name, args, c.options)
	},
	"keyvaultaks:index:SecretMount": func(c *call) (pulumi.ComponentResource, error) {
		args := &components.SecretMountArgs{}
		if err := c.readPlaced(args, &args.Cluster, func() bool { return true }); err != nil {
			return nil, err
		}
		return components.NewSecretMount(c.ctx, c.name, args, c.options)
	},
}

// call is a request for a component.
type call struct {
	ctx     *pulumi.Context
	name    string
	inputs  provider.ConstructInputs
	options pulumi.ResourceOption
	// wrong are the violations of the schema. Their values were removed from the arguments.
	wrong []components.Violation
	// kubernetes reports whether the options contain a Kubernetes provider.
	kubernetes bool
}

// read reads the component's arguments. If something is wrong already, it returns that together with everything else
// that is wrong.
func (c *call) read(args interface{ Validate() error }) error {
	if err := c.inputs.CopyTo(args); err != nil {
		return fmt.Errorf("reading the arguments: %w", err)
	}
	return c.err(args)
}

// readPlaced reads the arguments of a component that may create objects in a cluster. The option deletedWith applies
// only to those: the component's resources in Azure are not deleted with the cluster.
func (c *call) readPlaced(args interface{ Validate() error }, cluster *components.Cluster, objects func() bool) error {
	if err := c.inputs.CopyTo(args); err != nil {
		return fmt.Errorf("reading the arguments: %w", err)
	}
	if len(c.wrong) > 0 && !c.kubernetes && objects() { // else the component says so, and what else it lacks
		c.wrong = append(c.wrong, noProvider)
	}
	given, err := pulumi.NewResourceOptions(c.options)
	if err != nil {
		return fmt.Errorf("reading the options: %w", err)
	}
	if given.DeletedWith != nil {
		cluster.DeletedWith = given.DeletedWith
		c.options = pulumi.Composite(c.options, pulumi.DeletedWith(nil))
	}
	return c.err(args)
}

// err returns everything that is wrong, if the schema or the options have violations.
func (c *call) err(args interface{ Validate() error }) error {
	if len(c.wrong) == 0 {
		return nil
	}
	all := slices.Clone(c.wrong)
	var more *components.ValidationError
	if errors.As(args.Validate(), &more) {
		for _, v := range more.Violations {
			// An argument that was removed as invalid now appears to be missing.
			if !slices.ContainsFunc(c.wrong, func(w components.Violation) bool { return related(w.Path, v.Path) }) {
				all = append(all, v)
			}
		}
	}
	return &components.ValidationError{Violations: all}
}
