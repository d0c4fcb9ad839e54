package plugin

import (
	"context"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"github.com/keyvault-aks/keyvault-aks/localcloud/providers/unknowntypes"
)

// createBeforeDelete is the input that remembers that the plugin chose a name that no other resource has, so that a
// replacement can exist beside what it replaces.
const createBeforeDelete = "__createBeforeDelete"

// Check fills in the name and the location that the program left out, and reports every input that is missing or wrong.
func (p *azureNative) Check(ctx context.Context, req *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	rt, _, err := p.typeOf(req.GetUrn())
	if err != nil {
		if unknowntypes.Note(err) {
			return &pulumirpc.CheckResponse{Inputs: req.GetNews()}, nil
		}
		return nil, err
	}
	olds, err := decode(req.GetOlds())
	if err != nil {
		return nil, fmt.Errorf("reading the old inputs: %w", err)
	}
	news, err := decode(req.GetNews())
	if err != nil {
		return nil, fmt.Errorf("reading the inputs: %w", err)
	}

	if err := rt.autoname(req, olds, news); err != nil {
		return nil, err
	}
	if rt.hasLocation() && !news.HasValue("location") {
		if v, ok := p.defaultLocation(ctx, olds, news); ok {
			news["location"] = v
		}
	}

	inputs, err := encode(news)
	if err != nil {
		return nil, fmt.Errorf("writing the inputs: %w", err)
	}
	return &pulumirpc.CheckResponse{Inputs: inputs, Failures: rt.validate(news.Mappable())}, nil
}

// autoname gives the resource a name where the program gave none: the one it had before, else what the stack's
// autonaming configuration asks for, else one in the type's way.
func (rt *resourceType) autoname(req *pulumirpc.CheckRequest, olds, news resource.PropertyMap) error {
	key := resource.PropertyKey(rt.name)
	if news.HasValue(key) {
		return nil
	}
	set := func(name string, unique bool) {
		news[key] = resource.NewStringProperty(name)
		if unique {
			news[createBeforeDelete] = resource.NewBoolProperty(true)
		}
	}
	if old, ok := olds[key]; ok && old.IsString() {
		flag, ok := olds[createBeforeDelete]
		set(old.StringValue(), ok && flag.IsBool() && flag.BoolValue())
		return nil
	}
	if options := req.GetAutonaming(); options != nil {
		switch options.GetMode() {
		case pulumirpc.CheckRequest_AutonamingOptions_DISABLE:
			return nil
		case pulumirpc.CheckRequest_AutonamingOptions_ENFORCE:
			set(options.GetProposedName(), true)
			return nil
		case pulumirpc.CheckRequest_AutonamingOptions_PROPOSE:
			if rt.naming != nameUUID {
				set(options.GetProposedName(), true)
				return nil
			}
		}
	}

	name := resource.URN(req.GetUrn()).Name()
	switch rt.naming {
	case nameCopy:
		set(name, false)
	case nameRandom:
		unique, err := resource.NewUniqueName(req.GetRandomSeed(), name, 8, 0, nil)
		if err != nil {
			return fmt.Errorf("naming %s: %w", name, err)
		}
		set(unique, true)
	case nameUUID:
		hex, err := resource.NewUniqueName(req.GetRandomSeed(), "", 32, 0, nil)
		if err != nil {
			return fmt.Errorf("naming %s: %w", name, err)
		}
		set(strings.Join([]string{hex[:8], hex[8:12], hex[12:16], hex[16:20], hex[20:]}, "-"), true)
	}
	return nil
}

// defaultLocation is where the resource was before, else the provider's location, else that of the resource group.
func (p *azureNative) defaultLocation(ctx context.Context, olds, news resource.PropertyMap) (resource.PropertyValue, bool) {
	if v, ok := olds["location"]; ok {
		return v, true
	}
	if v := p.config["location"]; v != "" {
		return resource.NewStringProperty(v), true
	}
	name, ok := news["resourceGroupName"]
	switch {
	case !ok:
		return resource.PropertyValue{}, false
	case name.ContainsUnknowns():
		return resource.MakeComputed(resource.NewStringProperty("")), true
	case !name.IsString():
		return resource.PropertyValue{}, false
	}
	if v, ok := p.groupLocations.Load(name.StringValue()); ok {
		return resource.NewStringProperty(v.(string)), true
	}
	ctx, cancel := p.operation(ctx, 0)
	defer cancel()
	rt, apiVersion, err := lookup("azure-native:resources:ResourceGroup")
	if err != nil {
		return resource.PropertyValue{}, false
	}
	id, err := rt.id(map[string]any{"resourceGroupName": name.StringValue()}, p.subscriptionID())
	if err != nil {
		return resource.PropertyValue{}, false
	}
	found, err := p.arm.get(ctx, id, apiVersion)
	location, ok := found["location"].(string)
	if err != nil || !ok {
		return resource.PropertyValue{}, false // validate reports the location as missing
	}
	p.groupLocations.Store(name.StringValue(), location)
	return resource.NewStringProperty(location), true
}

// validate reports the inputs that are missing, and the name where ARM would not take it. What is unknown counts as
// given.
func (rt *resourceType) validate(inputs map[string]any) []*pulumirpc.CheckFailure {
	var failures []*pulumirpc.CheckFailure
	fail := func(path, format string, args ...any) {
		failures = append(failures, &pulumirpc.CheckFailure{Property: path, Reason: fmt.Sprintf(format, args...)})
	}
	for _, path := range append(rt.parameters(), rt.required...) {
		if has(inputs, path) {
			continue
		}
		hint := ""
		if path == "location" {
			hint = ". Either set it explicitly or configure it with 'pulumi config set azure-native:location <value>'."
		}
		fail(path, "missing required property '%s'%s", path, hint)
	}
	if name, ok := inputs[rt.name].(string); ok && rt.nameRule != nil && !rt.nameRule.MatchString(name) {
		fail(rt.name, "'%s' does not match expression '%s'", rt.name, rt.nameRule)
	}
	return failures
}

// has tells whether there is, or may be, a value at a dotted path. Of an object that is missing as a whole only the
// object itself is reported, not all that it lacks.
func has(inputs map[string]any, path string) bool {
	head, rest, nested := strings.Cut(path, ".")
	v, ok := inputs[head]
	if !nested {
		return ok && v != nil
	}
	inner, isObject := v.(map[string]any)
	return !isObject || has(inner, rest)
}
