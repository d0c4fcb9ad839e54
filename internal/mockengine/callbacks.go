package mockengine

import (
	"context"
	"fmt"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

// call makes the program run one of its callbacks.
func call(ctx context.Context, callback *pulumirpc.Callback, request, response proto.Message) error {
	encoded, err := proto.Marshal(request)
	if err != nil {
		return fmt.Errorf("encoding a callback's request: %w", err)
	}
	program, err := grpc.NewClient(callback.GetTarget(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("reaching the program: %w", err)
	}
	defer program.Close()
	answer, err := pulumirpc.NewCallbacksClient(program).Invoke(ctx,
		&pulumirpc.CallbackInvokeRequest{Token: callback.GetToken(), Request: encoded})
	if err != nil {
		return fmt.Errorf("calling the program back: %w", err)
	}
	if err := proto.Unmarshal(answer.GetResponse(), response); err != nil {
		return fmt.Errorf("decoding a callback's response: %w", err)
	}
	return nil
}

// transform applies the transforms of a resource, and then those of its parents, to its inputs.
func (m *monitor) transform(ctx context.Context, in *pulumirpc.RegisterResourceRequest) error {
	m.engine.mu.Lock()
	transforms := append(in.GetTransforms(), m.engine.inherited[in.GetParent()]...)
	m.engine.mu.Unlock()
	for _, transform := range transforms {
		var response pulumirpc.TransformResponse
		err := call(ctx, transform, &pulumirpc.TransformRequest{
			Type: in.GetType(), Name: in.GetName(), Custom: in.GetCustom(), Parent: in.GetParent(), Properties: in.GetObject(),
			Options: &pulumirpc.TransformResourceOptions{
				Aliases:          in.GetAliases(),
				DependsOn:        in.GetDependencies(),
				Protect:          in.Protect,
				IgnoreChanges:    in.GetIgnoreChanges(),
				ReplaceOnChanges: in.GetReplaceOnChanges(),
				RetainOnDelete:   in.RetainOnDelete,
				DeletedWith:      in.GetDeletedWith(),
				Provider:         in.GetProvider(),
				Import:           in.GetImportId(),
				Hooks:            in.GetHooks(),
				Version:          in.GetVersion(),
			},
		}, &response)
		if err != nil {
			return err
		}
		if response.GetProperties() != nil {
			in.Object = response.GetProperties()
		}
		if o := response.GetOptions(); o != nil { // they replace all options, as in the engine
			in.Aliases, in.Dependencies = o.GetAliases(), o.GetDependsOn()
			in.Protect, in.RetainOnDelete, in.DeletedWith = o.Protect, o.RetainOnDelete, o.GetDeletedWith()
			in.IgnoreChanges, in.ReplaceOnChanges = o.GetIgnoreChanges(), o.GetReplaceOnChanges()
			in.Provider, in.ImportId, in.Hooks, in.Version = o.GetProvider(), o.GetImport(), o.GetHooks(), o.GetVersion()
		}
	}
	m.engine.mu.Lock()
	defer m.engine.mu.Unlock()
	if m.engine.inherited == nil {
		m.engine.inherited = map[string][]*pulumirpc.Callback{}
	}
	m.engine.inherited[urnOf(in)] = transforms
	return nil
}
