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

// These are the packages whose tokens the plugin serves: as v2 azure-native itself, and as v3 the one it is
// parameterized to.
const (
	basePackage  = "azure-native"
	vaultPackage = "azure-native_keyvault_v20260201"
)

// vaultParameter selects the part of azure-native that becomes vaultPackage, as in
// `pulumi package add azure-native keyvault v20260201`.
const vaultParameter = `{"module":"keyvault","version":"v20260201"}`

// plainToken spells a token of vaultPackage as one of azure-native. Sources differ in whether such tokens repeat the
// version: github.com/pulumi/pulumi-azure-native/pull/4010 does, Pulumi's announcement of v3 does not.
var plainToken = strings.NewReplacer(
	vaultPackage+":keyvault/v20260201:", basePackage+":keyvault/v20260201:",
	vaultPackage+":keyvault:", basePackage+":keyvault/v20260201:",
)

// Parameterize turns the plugin into that of vaultPackage. As in azure-native, the value is base64 even after the
// wire's own encoding is removed.
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
		return nil, notImplemented(fmt.Sprintf("packages with the parameter %q, only with %q", given, vaultParameter))
	}
	p.pkg = vaultPackage
	return &pulumirpc.ParameterizeResponse{Name: vaultPackage, Version: p.version}, nil
}

// readParameter returns the parameter as JSON, whether a program gives it or somebody on the command line.
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
