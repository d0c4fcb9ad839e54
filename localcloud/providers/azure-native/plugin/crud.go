package plugin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil/rpcerror"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/keyvault-aks/keyvault-aks/localcloud/providers/unknowntypes"
)

// Create creates a resource. It fails if the resource exists.
func (p *azureNative) Create(ctx context.Context, req *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	rt, apiVersion, err := p.typeOf(req.GetUrn())
	if err != nil {
		if req.GetPreview() && unknowntypes.Note(err) {
			return &pulumirpc.CreateResponse{Properties: &structpb.Struct{}}, nil
		}
		return nil, err
	}
	inputs, err := decode(req.GetProperties())
	if err != nil {
		return nil, fmt.Errorf("reading the inputs: %w", err)
	}
	values := inputs.Mappable()
	if req.GetPreview() {
		d, err := rt.described(apiVersion)
		if err != nil {
			return nil, err
		}
		outputs, err := encode(d.pkg.preview(d.outputs, inputs))
		return &pulumirpc.CreateResponse{Properties: outputs}, err
	}

	ctx, cancel := p.operation(ctx, req.GetTimeout())
	defer cancel()
	id, err := rt.id(values, p.subscriptionID())
	if err != nil {
		return nil, fmt.Errorf("building the resource's ID: %w", err)
	}
	if err := p.arm.canCreate(ctx, id, apiVersion); err != nil {
		return nil, err
	}
	body := rt.body(values)
	for _, path := range rt.keep {
		if valueAt(body, path) == nil {
			setAt(body, path, []any{})
		}
	}
	w := write{
		rt:         rt,
		urn:        req.GetUrn(),
		did:        "Create",
		id:         id,
		apiVersion: apiVersion,
		inputs:     inputs,
		sent:       req.GetProperties(),
	}
	if w.recover, err = p.recovery(rt, id); err != nil {
		return nil, err
	}
	id, state, err := p.write(ctx, w, body)
	if err != nil {
		return nil, err
	}
	return &pulumirpc.CreateResponse{Id: id, Properties: state}, nil
}

// Update writes the new inputs to a resource.
func (p *azureNative) Update(ctx context.Context, req *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	rt, apiVersion, err := p.typeOf(req.GetUrn())
	if err != nil {
		return nil, err
	}
	inputs, err := decode(req.GetNews())
	if err != nil {
		return nil, fmt.Errorf("reading the inputs: %w", err)
	}
	values := inputs.Mappable()
	if req.GetPreview() {
		olds, err := decode(req.GetOlds())
		if err != nil {
			return nil, fmt.Errorf("reading the state: %w", err)
		}
		d, err := rt.described(apiVersion)
		if err != nil {
			return nil, err
		}
		known := d.pkg.preview(d.outputs, inputs)
		for _, key := range []resource.PropertyKey{"name", "location"} { // an update does not change these
			if v, ok := olds[key]; ok {
				known[key] = v
			}
		}
		outputs, err := encode(known)
		return &pulumirpc.UpdateResponse{Properties: outputs}, err
	}

	ctx, cancel := p.operation(ctx, req.GetTimeout())
	defer cancel()
	id, err := rt.id(values, p.subscriptionID())
	if err != nil {
		return nil, fmt.Errorf("building the resource's ID: %w", err)
	}
	body := rt.body(values)
	missing := slices.DeleteFunc(slices.Clone(rt.keep), func(path string) bool { return valueAt(body, path) != nil })
	if len(missing) > 0 {
		current, err := p.arm.get(ctx, id, apiVersion)
		if err != nil {
			return nil, fmt.Errorf("failed maintaining unset sub-resource properties: reading cloud state: %w", err)
		}
		for _, path := range missing {
			if v := valueAt(current, path); v != nil {
				setAt(body, path, v)
			}
		}
	}
	w := write{
		rt:         rt,
		urn:        req.GetUrn(),
		did:        "Update",
		id:         id,
		apiVersion: apiVersion,
		inputs:     inputs,
		sent:       req.GetNews(),
	}
	_, state, err := p.write(ctx, w, body)
	if err != nil {
		return nil, err
	}
	return &pulumirpc.UpdateResponse{Properties: state}, nil
}

// write describes a PUT.
type write struct {
	rt             *resourceType
	urn, did       string // did names the operation in warnings
	id, apiVersion string
	inputs         resource.PropertyMap
	sent           *structpb.Struct // inputs as the engine sent them
	recover        recovery         // nil means that a conflict is an error
}

// write sends a body, waits for the operation and reads the resource. If the resource cannot be read, the response of
// the PUT becomes the outputs. Once ARM has accepted the body, the resource may exist. A later error therefore carries
// its state: the engine keeps the resource, and the next update converges.
func (p *azureNative) write(ctx context.Context, w write, body map[string]any) (string, *structpb.Struct, error) {
	answer, accepted, err := p.put(ctx, w, body)
	if err != nil && accepted {
		return "", nil, p.partlyDone(ctx, w, err)
	}
	if err != nil {
		return "", nil, timedOut(err)
	}
	if id, ok := answer["id"].(string); ok {
		w.id = id // as the service spells it
	}
	outputs := map[string]any{"azureApiVersion": w.apiVersion}
	if found, err := p.arm.get(ctx, w.id, w.apiVersion); err != nil {
		p.warn(ctx, w.urn, "Failed to read resource after "+w.did+": "+err.Error())
		maps.Copy(outputs, answer)
	} else if outputs, err = w.rt.outputs(found, w.apiVersion); err != nil {
		return "", nil, err
	}
	state, err := p.checkpoint(outputs, w.inputs)
	return w.id, state, err
}

// partlyDone returns the error for a write that failed after ARM had accepted it. The error carries the current state
// of the resource. If the resource cannot be read, it carries the inputs only. This is so after a cancellation or a
// timeout, which also ends the read.
func (p *azureNative) partlyDone(ctx context.Context, w write, err error) error {
	var state *structpb.Struct
	found, unread := p.arm.get(ctx, w.id, w.apiVersion)
	if unread == nil {
		outputs, undescribed := w.rt.outputs(found, w.apiVersion)
		if undescribed == nil {
			state, undescribed = p.checkpoint(outputs, w.inputs)
		}
		if undescribed != nil {
			return errors.Join(err, undescribed)
		}
	} else {
		err = timedOut(fmt.Errorf("resource created but read failed %w: %w", unread, err))
	}
	return rpcerror.WithDetails(rpcerror.New(codes.Unknown, err.Error()), &pulumirpc.ErrorResourceInitFailed{
		Id: w.id, Properties: state, Inputs: w.sent, Reasons: []string{err.Error()},
	})
}

// checkpoint returns the properties for the state: the outputs and, only in v2 as in azure-native, the inputs as one
// secret.
func (p *azureNative) checkpoint(outputs map[string]any, inputs resource.PropertyMap) (*structpb.Struct, error) {
	state := resource.NewPropertyMapFromMap(outputs)
	if p.version == Version2 {
		state["__inputs"] = resource.MakeSecret(resource.NewObjectProperty(inputs))
	}
	s, err := encode(state)
	if err != nil {
		return nil, fmt.Errorf("writing the state: %w", err)
	}
	return s, nil
}

// Read refreshes a resource's state, or imports the resource if it has no state.
func (p *azureNative) Read(ctx context.Context, req *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	rt, apiVersion, err := p.typeOf(req.GetUrn())
	if err != nil {
		if unknowntypes.Note(err) {
			return &pulumirpc.ReadResponse{Id: req.GetId(), Properties: &structpb.Struct{}}, nil
		}
		return nil, err
	}
	before, err := decode(req.GetProperties())
	if err != nil {
		return nil, fmt.Errorf("reading the state: %w", err)
	}
	ctx, cancel := p.operation(ctx, req.GetTimeout())
	defer cancel()
	found, err := p.arm.get(ctx, req.GetId(), apiVersion)
	if isNotFound(err) {
		return &pulumirpc.ReadResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	outputs, err := rt.outputs(found, apiVersion)
	if err != nil {
		return nil, err
	}

	var inputs resource.PropertyMap
	if req.GetInputs() == nil && !before.HasValue("__inputs") {
		inputs, err = rt.importInputs(req.GetId(), found, apiVersion)
	} else if inputs, err = oldInputs(req.GetInputs(), before); err == nil {
		inputs, err = rt.refreshInputs(inputs, before.Mappable(), outputs, apiVersion)
	}
	if err != nil {
		return nil, err
	}
	state, err := p.checkpoint(outputs, inputs)
	if err != nil {
		return nil, err
	}
	sent, err := encode(inputs)
	if err != nil {
		return nil, fmt.Errorf("writing the inputs: %w", err)
	}
	return &pulumirpc.ReadResponse{Id: req.GetId(), Properties: state, Inputs: sent}, nil
}

// withoutKept returns settable without the parts that inputs leave to resources of their own, so that their drift does
// not count as drift of this resource.
func (rt *resourceType) withoutKept(inputs, settable resource.PropertyMap) resource.PropertyMap {
	values := settable.Copy()
	for _, path := range rt.keep {
		if rt.flat {
			path = strings.TrimPrefix(path, "properties.")
		}
		parsed, err := resource.ParsePropertyPath(path)
		if err != nil {
			continue // cannot happen: the catalog's paths are valid
		}
		if _, given := parsed.Get(resource.NewObjectProperty(inputs)); !given {
			parsed.Delete(resource.NewObjectProperty(values))
		}
	}
	return values
}

// importInputs returns inputs derived from ARM's response alone.
func (rt *resourceType) importInputs(id string, found map[string]any, apiVersion string) (resource.PropertyMap, error) {
	inputs, err := rt.imported(found, apiVersion)
	if err != nil {
		return nil, err
	}
	parameters, err := rt.parseID(id)
	if err != nil {
		return nil, err
	}
	for k, v := range parameters {
		inputs[k] = v
	}
	return resource.NewPropertyMapFromMap(inputs), nil
}

// refreshInputs applies the differences between two outputs to inputs.
func (rt *resourceType) refreshInputs(
	inputs resource.PropertyMap, before, now map[string]any, apiVersion string,
) (resource.PropertyMap, error) {
	was, err := rt.settable(before, apiVersion)
	if err != nil {
		return nil, err
	}
	is, err := rt.settable(now, apiVersion)
	if err != nil {
		return nil, err
	}
	return drift(inputs,
		rt.withoutKept(inputs, resource.NewPropertyMapFromMap(was)),
		rt.withoutKept(inputs, resource.NewPropertyMapFromMap(is))), nil
}

// drift applies to inputs the changes from was to is. It does not compare is with the inputs, because is has the
// service's defaults for omitted inputs.
func drift(inputs, was, is resource.PropertyMap) resource.PropertyMap {
	drifted := inputs.Copy()
	for k, now := range is {
		if then, ok := was[k]; !ok || !then.DeepEquals(now) {
			drifted[k] = driftedValue(inputs[k], was[k], now)
		}
	}
	for k := range was {
		if !is.HasValue(k) {
			delete(drifted, k)
		}
	}
	return drifted
}

func driftedValue(input, was, is resource.PropertyValue) resource.PropertyValue {
	switch {
	case input.IsObject() && was.IsObject() && is.IsObject():
		return resource.NewObjectProperty(drift(input.ObjectValue(), was.ObjectValue(), is.ObjectValue()))
	case input.IsArray() && was.IsArray() && is.IsArray():
		ins, before, now := input.ArrayValue(), was.ArrayValue(), is.ArrayValue()
		elements := slices.Clone(now)
		for i := range min(len(ins), len(before), len(now)) {
			if before[i].DeepEquals(now[i]) {
				elements[i] = ins[i]
			} else {
				elements[i] = driftedValue(ins[i], before[i], now[i])
			}
		}
		return resource.NewArrayProperty(elements)
	default:
		return is
	}
}

// Delete deletes a resource. It succeeds if the resource does not exist.
func (p *azureNative) Delete(ctx context.Context, req *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	rt, apiVersion, err := p.typeOf(req.GetUrn())
	if err != nil {
		return nil, err
	}
	ctx, cancel := p.operation(ctx, req.GetTimeout())
	defer cancel()
	if rt.dataPlane != nil {
		var parameters map[string]string
		if parameters, err = rt.parseID(req.GetId()); err == nil {
			err = rt.dataPlane.delete(ctx, p, parameters)
		}
	} else {
		err = p.arm.delete(ctx, req.GetId(), apiVersion, rt.waits&waitDelete != 0)
	}
	if err != nil {
		return nil, timedOut(err)
	}
	return &emptypb.Empty{}, nil
}
