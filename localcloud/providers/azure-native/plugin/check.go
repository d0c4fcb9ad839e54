package plugin

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/specs"
	"github.com/keyvault-aks/keyvault-aks/localcloud/providers/unknowntypes"
)

// createBeforeDelete is an input that records that the plugin chose a unique name. A replacement can then be created
// before the old resource is deleted.
const createBeforeDelete = "__createBeforeDelete"

// Check fills in the name and the location if the program omits them, and reports all missing and invalid inputs.
func (p *azureNative) Check(ctx context.Context, req *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	rt, apiVersion, err := p.typeOf(req.GetUrn())
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
	return &pulumirpc.CheckResponse{Inputs: inputs, Failures: rt.validate(news.Mappable(), apiVersion)}, nil
}

// autoname sets the name if the program omits it: to the previous name, or else as the stack's autonaming configuration
// says, or else as the type's naming says.
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

// defaultLocation returns the resource's previous location, or else the provider's, or else the resource group's.
func (p *azureNative) defaultLocation(
	ctx context.Context,
	olds, news resource.PropertyMap,
) (resource.PropertyValue, bool) {
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
		return resource.PropertyValue{}, false // validate then reports the missing location
	}
	p.groupLocations.Store(name.StringValue(), location)
	return resource.NewStringProperty(location), true
}

// validate reports missing inputs, a name that ARM would refuse, and violations of the type's specification. Unknown
// values count as given.
//
// It checks exactly what azure-native checks (validateType and validateProperty in its
// provider/pkg/provider/provider.go). It does not check enumerations, lengths of arrays, read-only or unknown
// properties, booleans and objects where another type is expected, or anything inside maps and objects with a
// discriminator. As in azure-native, a failure has its path in the reason, so that the engine does not show the value.
func (rt *resourceType) validate(inputs map[string]any, apiVersion string) []*pulumirpc.CheckFailure {
	var failures []*pulumirpc.CheckFailure
	fail := func(format string, args ...any) {
		failures = append(failures, &pulumirpc.CheckFailure{Reason: fmt.Sprintf(format, args...)})
	}
	for _, name := range rt.parameters() {
		if inputs[name] == nil {
			fail("missing required property '%s'", name)
		}
	}
	body := rt.body(inputs)
	if _, ok := body["properties"]; !ok && rt.flat && !slices.Contains(rt.top, "properties") {
		body["properties"] = map[string]any{} // makes its required properties required inputs
	}
	if described, ok := specs.Lookup(rt.armType(), apiVersion); ok {
		for _, v := range described.Check(body) {
			if reason := reasonOf(rt.sdkPath(v.Path), v); reason != "" && !v.Within {
				fail("%s", reason)
			}
		}
	}
	if name, ok := inputs[rt.name].(string); ok && rt.nameRule != nil && !rt.nameRule.MatchString(name) {
		fail("'%s' does not match expression '%s'", rt.name, rt.nameRule)
	}
	return failures
}

// reasonOf describes a violation at a path in azure-native's words, without the value. It returns "" for violations
// that azure-native does not report.
func reasonOf(path string, v specs.Violation) string {
	switch v.Rule {
	case specs.Required:
		if path == "location" {
			return "missing required property 'location'. Either set it explicitly or configure it with " +
				"'pulumi config set azure-native:location <value>'."
		}
		return fmt.Sprintf("missing required property '%s'", path)
	case specs.Kind:
		article, checked := map[string]string{"array": "an", "string": "a", "number": "a"}[v.Given]
		if !checked {
			return ""
		}
		want := strings.Replace(v.Want, "number", "integer", 1)
		return fmt.Sprintf("'%s' should be of type '%s' but got %s %s", path, want, article, v.Given)
	case specs.Pattern:
		return fmt.Sprintf("'%s' does not match expression '%s'", path, v.Want)
	case specs.MinLength:
		return fmt.Sprintf("'%s' is too short (%s): at least %s characters required", path, v.Given, v.Want)
	case specs.MaxLength:
		return fmt.Sprintf("'%s' is too long (%s): at most %s characters allowed", path, v.Given, v.Want)
	case specs.MinValue:
		return fmt.Sprintf("'%s' is too low: at least %s", path, v.Want)
	case specs.MaxValue:
		return fmt.Sprintf("'%s' is too high: at most %s", path, v.Want)
	}
	return ""
}

// armType returns Resource Manager's name of the type.
func (rt *resourceType) armType() string {
	_, path, ok := strings.Cut(rt.path, "/providers/")
	if !ok {
		return "Microsoft.Resources/subscriptions/resourceGroups"
	}
	segments := strings.Split(path, "/")
	name := segments[0]
	for i := 1; i < len(segments); i += 2 {
		name += "/" + segments[i]
	}
	return name
}

var listIndex = regexp.MustCompile(`\[\d+\]`)

// sdkPath translates a path in ARM's body to the SDK's path, without the "properties" that the SDK does not have.
func (rt *resourceType) sdkPath(path string) string {
	var at string // path in ARM's body, without indexes
	var names []string
	for name := range strings.SplitSeq(path, ".") {
		within := at
		at = strings.TrimPrefix(at+"."+listIndex.ReplaceAllString(name, ""), ".")
		if name == "properties" &&
			(within == "" && !slices.Contains(rt.top, "properties") || slices.Contains(rt.nested, within)) {
			continue
		}
		for _, s := range rt.spellings {
			if s.at == within {
				name = s.toSDK(name)
			}
		}
		names = append(names, name)
	}
	return strings.Join(names, ".")
}
