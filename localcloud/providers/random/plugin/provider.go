package plugin

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/keyvault-aks/keyvault-aks/localcloud/providers/unknowntypes"
)

// random implements the plugin. It has no configuration and keeps nothing outside the engine's state.
type random struct {
	pulumirpc.UnimplementedResourceProviderServer
}

// GetPluginInfo returns the version of the random provider that this plugin replaces.
func (*random) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: Version}, nil
}

// schema is the schema of this version of the SDK, without descriptions.
//
//go:embed schema.json
var schema string

// GetSchema returns the schema of the types in kinds.
func (*random) GetSchema(context.Context, *pulumirpc.GetSchemaRequest) (*pulumirpc.GetSchemaResponse, error) {
	return &pulumirpc.GetSchemaResponse{Schema: schema}, nil
}

func (*random) CheckConfig(_ context.Context, req *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	return &pulumirpc.CheckResponse{Inputs: req.GetNews()}, nil
}

func (*random) DiffConfig(context.Context, *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	return &pulumirpc.DiffResponse{}, nil
}

func (*random) Configure(context.Context, *pulumirpc.ConfigureRequest) (*pulumirpc.ConfigureResponse, error) {
	return &pulumirpc.ConfigureResponse{SupportsPreview: true, AcceptResources: true}, nil
}

func (*random) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// Check reports missing and invalid inputs and returns the inputs unchanged.
func (*random) Check(_ context.Context, req *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	k, err := kindOf(req.GetUrn())
	if err != nil {
		if unknowntypes.Note(err) {
			return &pulumirpc.CheckResponse{Inputs: req.GetNews()}, nil
		}
		return nil, err
	}
	news, err := decode(req.GetNews())
	if err != nil {
		return nil, err
	}
	resp := &pulumirpc.CheckResponse{Inputs: req.GetNews()}
	for _, reason := range k.check(news) {
		resp.Failures = append(resp.Failures, &pulumirpc.CheckFailure{Reason: reason})
	}
	return resp, nil
}

func (k kind) check(news resource.PropertyMap) []string {
	if k.required != "" && !news.HasValue(resource.PropertyKey(k.required)) {
		return []string{fmt.Sprintf("missing required property '%s'", k.required)}
	}
	if news.ContainsUnknowns() {
		return nil
	}
	var wrong []string
	for key, want := range typesOf(k, news) {
		if v := news[key]; v.TypeString() != want {
			wrong = append(wrong, fmt.Sprintf("%s: want a %s, got a %s", key, want, v.TypeString()))
		}
	}
	if len(wrong) > 0 {
		slices.Sort(wrong)
		return wrong
	}
	return k.validate(k.effective(news))
}

// typesOf returns the types that the given inputs must have, for inputs that the plugin computes with.
func typesOf(k kind, news resource.PropertyMap) map[resource.PropertyKey]string {
	types := map[resource.PropertyKey]string{}
	for key, v := range k.defaults {
		if news.HasValue(key) {
			types[key] = v.TypeString()
		}
	}
	if k.required != "" {
		types[resource.PropertyKey(k.required)] = resource.NewNumberProperty(0).TypeString()
	}
	if _, given := news["number"]; given && len(k.defaults) > 0 {
		types["number"] = resource.NewBoolProperty(true).TypeString()
	}
	return types
}

// effective returns inputs with defaults filled in. number is the former name of numeric.
func (k kind) effective(inputs resource.PropertyMap) resource.PropertyMap {
	full := k.defaults.Copy()
	maps.Copy(full, inputs)
	if _, hasCharacters := k.defaults["numeric"]; hasCharacters {
		if number, given := inputs["number"]; given && !inputs.HasValue("numeric") {
			full["numeric"] = number
		}
		full["number"] = full["numeric"]
	}
	return full
}

// Diff replaces the resource on any change, because a random value cannot be updated.
func (*random) Diff(_ context.Context, req *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	k, err := kindOf(req.GetUrn())
	if err != nil {
		return nil, err
	}
	olds, err := decode(req.GetOldInputs())
	if err != nil {
		return nil, err
	}
	news, err := decode(req.GetNews())
	if err != nil {
		return nil, err
	}
	olds, news = k.effective(olds), k.effective(news)
	resp := &pulumirpc.DiffResponse{
		Changes: pulumirpc.DiffResponse_DIFF_NONE, HasDetailedDiff: true, DetailedDiff: map[string]*pulumirpc.PropertyDiff{},
	}
	keys := slices.Collect(maps.Keys(olds))
	keys = append(keys, slices.Collect(maps.Keys(news))...)
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		if olds[key].DeepEquals(news[key]) {
			continue
		}
		change := pulumirpc.PropertyDiff_UPDATE_REPLACE
		switch {
		case !olds.HasValue(key):
			change = pulumirpc.PropertyDiff_ADD_REPLACE
		case !news.HasValue(key):
			change = pulumirpc.PropertyDiff_DELETE_REPLACE
		}
		resp.Changes = pulumirpc.DiffResponse_DIFF_SOME
		resp.Diffs = append(resp.Diffs, string(key))
		resp.Replaces = append(resp.Replaces, string(key))
		resp.DetailedDiff[string(key)] = &pulumirpc.PropertyDiff{Kind: change, InputDiff: true}
	}
	return resp, nil
}

// Create generates a value.
func (*random) Create(_ context.Context, req *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	k, err := kindOf(req.GetUrn())
	if err != nil {
		if req.GetPreview() && unknowntypes.Note(err) {
			return &pulumirpc.CreateResponse{Properties: &structpb.Struct{}}, nil
		}
		return nil, err
	}
	inputs, err := decode(req.GetProperties())
	if err != nil {
		return nil, err
	}
	inputs = k.effective(inputs)
	var id string
	outputs := resource.PropertyMap{}
	if req.GetPreview() {
		for _, name := range k.outputs {
			outputs[resource.PropertyKey(name)] = resource.MakeComputed(resource.NewStringProperty(""))
		}
	} else if id, outputs, err = k.generate(inputs); err != nil {
		return nil, err
	}
	state, err := encode(k.state(id, inputs, outputs))
	if err != nil {
		return nil, err
	}
	return &pulumirpc.CreateResponse{Id: id, Properties: state}, nil
}

// state returns inputs and outputs merged, with the secrets marked.
func (k kind) state(id string, inputs, outputs resource.PropertyMap) resource.PropertyMap {
	state := inputs.Copy()
	maps.Copy(state, outputs)
	k.mark(state)
	if id != "" {
		state["id"] = resource.NewStringProperty(id)
		if k.meta != "" {
			state["__meta"] = resource.NewStringProperty(fmt.Sprintf(`{"schema_version":"%s"}`, k.meta))
		}
	}
	return state
}

// mark marks the outputs in state as secrets if the kind's outputs are.
func (k kind) mark(state resource.PropertyMap) {
	for _, name := range k.outputs {
		key := resource.PropertyKey(name)
		if v, ok := state[key]; ok && k.secret {
			state[key] = resource.MakeSecret(v)
		}
	}
}

// Read returns the existing state, or builds it from the ID given to pulumi import.
func (*random) Read(_ context.Context, req *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	k, err := kindOf(req.GetUrn())
	if err != nil {
		return nil, err
	}
	known, err := decode(req.GetProperties())
	if err != nil {
		return nil, err
	}
	if len(known) > 0 {
		k.mark(known)
		state, err := encode(known)
		return &pulumirpc.ReadResponse{Id: req.GetId(), Properties: state, Inputs: req.GetInputs()}, err
	}
	id, inputs, outputs, err := k.adopt(req.GetId())
	if err != nil {
		return nil, fmt.Errorf("importing a value: %w", err)
	}
	state, err := encode(k.state(id, k.effective(inputs), outputs))
	if err != nil {
		return nil, err
	}
	sent, err := encode(inputs)
	if err != nil {
		return nil, err
	}
	return &pulumirpc.ReadResponse{Id: id, Properties: state, Inputs: sent}, nil
}

// Update fails. The engine never calls it, because Diff always replaces.
func (*random) Update(context.Context, *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	return nil, errors.New("a random value cannot be updated, only replaced")
}

// Delete does nothing: the value exists only in the engine's state.
func (*random) Delete(context.Context, *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// Types returns the tokens of all types, sorted.
func Types() []string { return slices.Sorted(maps.Keys(kinds)) }

func kindOf(urn string) (kind, error) {
	token := string(resource.URN(urn).Type())
	k, ok := kinds[token]
	if !ok {
		return kind{}, fmt.Errorf("not implemented here: %s (implemented: %s)", token, strings.Join(Types(), ", "))
	}
	return k, nil
}

func decode(s *structpb.Struct) (resource.PropertyMap, error) {
	m, err := plugin.UnmarshalProperties(s, plugin.MarshalOptions{KeepUnknowns: true, SkipNulls: true})
	if err != nil {
		return nil, fmt.Errorf("reading properties: %w", err)
	}
	return m, nil
}

func encode(m resource.PropertyMap) (*structpb.Struct, error) {
	s, err := plugin.MarshalProperties(m, plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true, SkipNulls: true})
	if err != nil {
		return nil, fmt.Errorf("writing properties: %w", err)
	}
	return s, nil
}
