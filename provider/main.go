// Pulumi-resource-keyvaultaks provides the components as a Pulumi package for programs in every language. It is a
// plugin that the engine starts, and asks for the package's schema and for components.
package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/provider"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/emptypb"
)

// schemaJSON is generated from the components' code by go generate.
//
//go:embed schema.json
var schemaJSON []byte

func main() {
	pkg, err := readSchema(schemaJSON)
	if err == nil {
		err = provider.Main(pkg.Name, func(engine *provider.HostClient) (pulumirpc.ResourceProviderServer, error) {
			return &server{pkg: pkg, engine: engine}, nil
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, pkg.Name+":", err)
		os.Exit(1)
	}
}

// server answers requests of the engine.
type server struct {
	pulumirpc.UnimplementedResourceProviderServer

	pkg    *schema
	engine *provider.HostClient
}

// GetPluginInfo returns the plugin's version.
func (s *server) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: s.pkg.Version}, nil
}

// GetSchema returns the package's schema.
func (s *server) GetSchema(context.Context, *pulumirpc.GetSchemaRequest) (*pulumirpc.GetSchemaResponse, error) {
	return &pulumirpc.GetSchemaResponse{Schema: string(schemaJSON)}, nil
}

// Configure accepts everything: the package has no configuration of its own.
func (s *server) Configure(context.Context, *pulumirpc.ConfigureRequest) (*pulumirpc.ConfigureResponse, error) {
	return &pulumirpc.ConfigureResponse{
		AcceptSecrets: true, SupportsPreview: true, AcceptResources: true, AcceptOutputs: true,
	}, nil
}

// Attach connects to an engine that did not start the plugin.
func (s *server) Attach(_ context.Context, request *pulumirpc.PluginAttach) (*emptypb.Empty, error) {
	engine, err := provider.NewHostClient(request.GetAddress())
	if err != nil {
		return nil, fmt.Errorf("connecting to the engine: %w", err)
	}
	s.engine = engine
	return &emptypb.Empty{}, nil
}

// Cancel does nothing: what a component waits for ends with the plugin.
func (s *server) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// Construct constructs a component.
func (s *server) Construct(
	ctx context.Context, request *pulumirpc.ConstructRequest,
) (*pulumirpc.ConstructResponse, error) {
	return construct(ctx, s.pkg, s.engine.EngineConn(), request)
}
