package plugin

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Packages whose tokens the plugin serves: azure-native itself in v2, and the parameterized package in v3.
const (
	basePackage  = "azure-native"
	vaultPackage = "azure-native_keyvault_v20260201"
)

// vaultParameter selects the part of azure-native that becomes vaultPackage, as in
// `pulumi package add azure-native keyvault v20260201`.
const vaultParameter = `{"module":"keyvault","version":"v20260201"}`

// plainToken translates a token of vaultPackage to one of azure-native. Sources differ on whether such tokens repeat
// the version: in github.com/pulumi/pulumi-azure-native/pull/4010 they do, in Pulumi's announcement of v3 they do not.
var plainToken = strings.NewReplacer(
	vaultPackage+":keyvault/v20260201:", basePackage+":keyvault/v20260201:",
	vaultPackage+":keyvault:", basePackage+":keyvault/v20260201:",
)

// Parameterize makes the plugin serve vaultPackage. As in azure-native, the value is base64 inside the encoding of the
// wire.
func (p *azureNative) Parameterize(
	_ context.Context, req *pulumirpc.ParameterizeRequest,
) (*pulumirpc.ParameterizeResponse, error) {
	if p.version != Version3 {
		return nil, notImplemented("parameterized packages of azure-native " + p.version)
	}
	given, err := readParameter(req)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "reading the parameter: %v", err)
	}
	if given != vaultParameter {
		return nil, notImplemented(fmt.Sprintf("packages with the parameter %q (implemented: %q)", given, vaultParameter))
	}
	p.pkg = vaultPackage
	return &pulumirpc.ParameterizeResponse{Name: vaultPackage, Version: p.version}, nil
}

// readParameter returns the parameter as JSON, from a program's value or from the command line's arguments.
func readParameter(req *pulumirpc.ParameterizeRequest) (string, error) {
	if req.GetArgs() != nil {
		args := req.GetArgs().GetArgs()
		if len(args) != 2 {
			return "", fmt.Errorf("want a module and an API version, got %d arguments", len(args))
		}
		return fmt.Sprintf(`{"module":%q,"version":%q}`, args[0], args[1]), nil
	}
	text, err := base64.StdEncoding.DecodeString(string(req.GetValue().GetValue()))
	if err != nil {
		return "", fmt.Errorf("want base64 of JSON: %w", err)
	}
	return string(text), nil
}
