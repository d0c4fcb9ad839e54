package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"

	"github.com/keyvault-aks/keyvault-aks/localcloud/providers/azure-native/plugin"
)

// state is a stack's state as the engine exports it. Parts that are not changed stay as they are.
type state struct {
	exported   apitype.UntypedDeployment
	deployment map[string]json.RawMessage
	operations []json.RawMessage
}

func parseState(exported apitype.UntypedDeployment) (*state, error) {
	s := &state{exported: exported}
	var err error
	if exported.Deployment != nil { // nil after a run that was killed before its first resource
		err = json.Unmarshal(exported.Deployment, &s.deployment)
	}
	if operations := s.deployment["pending_operations"]; err == nil && operations != nil {
		err = json.Unmarshal(operations, &s.operations)
	}
	if err == nil {
		for _, one := range s.operations {
			err = errors.Join(err, json.Unmarshal(one, &pendingOperation{}))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the stack's state: %w", err)
	}
	return s, nil
}

// pending returns the operations that the engine had begun.
func (s *state) pending() []pendingOperation {
	var all []pendingOperation
	for _, one := range s.operations {
		var op pendingOperation
		_ = json.Unmarshal(one, &op) // parseState has checked it
		all = append(all, op)
	}
	return all
}

// created is a resource that exists although the state does not have it.
type created struct {
	id      string
	outputs map[string]any
}

// settled returns the state with the resources in found, by URN, added to the others, and without the remaining
// operations of the type "creating". The added resources need their outputs. Otherwise a refresh would take the values
// that Azure chose for inputs that the program has dropped, and the next up would replace the resources.
func (s *state) settled(found map[string]created) ([]byte, error) {
	resources, rest := []json.RawMessage{}, []json.RawMessage(nil)
	var err error
	if have := s.deployment["resources"]; have != nil { // nil after a run that was killed at its first resource
		err = json.Unmarshal(have, &resources)
	}
	for _, one := range s.operations {
		var op struct {
			Type     string                     `json:"type"`
			Resource map[string]json.RawMessage `json:"resource"`
		}
		var urn string
		err = errors.Join(err, json.Unmarshal(one, &op), json.Unmarshal(op.Resource["urn"], &urn))
		switch there := found[urn]; {
		case op.Type != "creating":
			rest = append(rest, one)
		case there.id != "":
			op.Resource["id"], _ = json.Marshal(there.id)
			op.Resource["outputs"], _ = json.Marshal(there.outputs)
			resource, _ := json.Marshal(op.Resource)
			resources = append(resources, resource)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the stack's state: %w", err)
	}
	delete(s.deployment, "pending_operations")
	if len(rest) > 0 {
		s.deployment["pending_operations"], _ = json.Marshal(rest)
	}
	s.deployment["resources"], _ = json.Marshal(resources)
	s.exported.Deployment, _ = json.Marshal(s.deployment)
	return json.Marshal(s.exported)
}

// pendingOperation is an operation that the engine had begun when it was killed.
type pendingOperation struct {
	Type     string `json:"type"`
	Resource struct {
		URN      string         `json:"urn"`
		Type     string         `json:"type"`
		Provider string         `json:"provider"` // URN and id
		Inputs   map[string]any `json:"inputs"`
	} `json:"resource"`
}

// errUnnamed is returned for an operation whose resource cannot be looked up: the local cloud does not know its type or
// API version, or its inputs have no name.
var errUnnamed = errors.New("the local cloud cannot look it up")

// created returns the resource that the operation was creating if it exists, or else a resource without an id. It waits
// until Azure has finished creating it. It finds no random values, which are only in the state.
func (op pendingOperation) created(
	ctx context.Context, azure *armresources.Client, subscriptionID string, in objects,
) (created, error) {
	if op.Type == "creating" && strings.HasPrefix(op.Resource.Type, "kubernetes:") {
		return op.createdObject(ctx, in)
	}
	// The prefix also covers azure-native's parameterized packages.
	if op.Type != "creating" || !strings.HasPrefix(op.Resource.Type, "azure-native") {
		return created{}, nil
	}
	id, apiVersion, err := plugin.ResourceID(op.Resource.Type, op.Resource.Inputs, subscriptionID)
	if err != nil {
		return created{}, fmt.Errorf("%w: %w", errUnnamed, err)
	}
	for {
		var resp *http.Response
		_, err := azure.GetByID(policy.WithCaptureResponse(ctx, &resp), id, apiVersion, nil)
		var refused *azcore.ResponseError
		if errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound {
			return created{}, nil
		}
		var answer map[string]any
		if err == nil {
			err = runtime.UnmarshalAsJSON(resp, &answer) // all fields, unlike the client's type
		}
		if err != nil {
			return created{}, fmt.Errorf("looking up %s: %w", id, err)
		}
		properties, _ := answer["properties"].(map[string]any)
		switch state, _ := properties["provisioningState"].(string); state {
		case "Creating", "Updating", "RegisteringDns":
		default:
			outputs, err := plugin.Outputs(op.Resource.Type, answer)
			return created{id, outputs}, err
		}
		select {
		case <-ctx.Done():
			return created{}, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// objects looks up an object in an operation's cluster. It returns the object as JSON, or nothing if there is none.
type objects func(ctx context.Context, apiVersion, kind, namespace, name string) ([]byte, error)

// createdObject does what created does, for an object in a cluster. It accepts only an object that the Kubernetes
// provider has created with the stack's inputs: any other may have existed before.
func (op pendingOperation) createdObject(ctx context.Context, in objects) (created, error) {
	var wanted struct {
		Kind       string
		APIVersion string
		Metadata   struct{ Name, Namespace string }
	}
	text, err := json.Marshal(op.Resource.Inputs)
	if err == nil {
		err = json.Unmarshal(text, &wanted)
	}
	if err != nil {
		return created{}, fmt.Errorf("%w: %w", errUnnamed, err)
	}
	if wanted.Kind == "" || wanted.Metadata.Name == "" { // not one object, such as a Helm release
		return created{}, nil
	}
	found, err := in(ctx, wanted.APIVersion, wanted.Kind, wanted.Metadata.Namespace, wanted.Metadata.Name)
	if err != nil || len(found) == 0 {
		return created{}, err
	}
	var live map[string]any
	var made struct {
		Metadata struct {
			ManagedFields []struct{ Manager string }
		}
	}
	if err := errors.Join(json.Unmarshal(found, &live), json.Unmarshal(found, &made)); err != nil {
		return created{}, fmt.Errorf("reading %s: %w", op.Resource.URN, err)
	}
	isProvider := func(by struct{ Manager string }) bool { return by.Manager == "pulumi-kubernetes" }
	ours := slices.ContainsFunc(made.Metadata.ManagedFields, isProvider)
	if !ours || !covers(live, op.Resource.Inputs) {
		return created{}, nil
	}
	return created{path.Join(wanted.Metadata.Namespace, wanted.Metadata.Name), live}, nil
}

// covers reports whether an object has everything that was asked for. It may have more.
func covers(has, asked any) bool {
	switch asked := asked.(type) {
	case map[string]any:
		has, ok := has.(map[string]any)
		if !ok {
			return false
		}
		for key, value := range asked {
			if !covers(has[key], value) {
				return false
			}
		}
		return true
	case []any:
		has, ok := has.([]any)
		if !ok || len(has) < len(asked) {
			return false
		}
		for i, value := range asked {
			if !covers(has[i], value) {
				return false
			}
		}
		return true
	default:
		return has == asked
	}
}
