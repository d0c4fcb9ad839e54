package plugin

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/provider"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// azureNative implements the plugin. Like the real one, it does not accept secrets: the engine removes their marks
// before each call and restores them on the result.
type azureNative struct {
	pulumirpc.UnimplementedResourceProviderServer

	version string // Version2 or Version3
	pkg     string // package whose tokens are served; empty for Version3 until Parameterize

	// options apply to every client. Tests set their transport here.
	options azcore.ClientOptions
	scale   float64              // see waitsScale
	host    *provider.HostClient // nil in tests of the plugin alone

	// alive is canceled by Cancel, which ends every request in flight.
	alive context.Context
	stop  context.CancelFunc

	config     map[string]string
	credential azcore.TokenCredential
	arm        *armClient

	groupLocations sync.Map // name of a resource group -> location
}

func newAzureNative(version string) *azureNative {
	alive, stop := context.WithCancel(context.Background())
	p := &azureNative{version: version, alive: alive, stop: stop, config: map[string]string{}, scale: 1}
	if version == Version2 {
		p.pkg = basePackage
	}
	return p
}

// setting returns a setting from the provider's configuration or else from the environment.
func (p *azureNative) setting(name, env string) string {
	if v := p.config[name]; v != "" {
		return v
	}
	return os.Getenv(env)
}

func (p *azureNative) subscriptionID() string {
	return p.setting("subscriptionId", "ARM_SUBSCRIPTION_ID")
}

// GetPluginInfo returns the version of azure-native that this plugin stands in for.
func (p *azureNative) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: p.version}, nil
}

// CheckConfig accepts any configuration.
func (p *azureNative) CheckConfig(_ context.Context, req *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	return &pulumirpc.CheckResponse{Inputs: req.GetNews()}, nil
}

// DiffConfig reports no difference, so providers and their resources are never replaced.
func (p *azureNative) DiffConfig(context.Context, *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	return &pulumirpc.DiffResponse{}, nil
}

// Configure authenticates as a service principal with a client secret or an OIDC token. It reads azure-native:clientId,
// clientSecret, tenantId and subscriptionId, or else ARM_CLIENT_ID, ARM_CLIENT_SECRET, ARM_TENANT_ID and
// ARM_SUBSCRIPTION_ID from the environment, and the settings that signIn reads.
func (p *azureNative) Configure(
	_ context.Context,
	req *pulumirpc.ConfigureRequest,
) (*pulumirpc.ConfigureResponse, error) {
	for k, v := range req.GetVariables() { //nolint:staticcheck // azure-native reads these, and the engine sends them
		p.config[strings.TrimPrefix(k, p.pkg+":config:")] = v
	}
	credential, err := p.signIn()
	if err != nil {
		return nil, fmt.Errorf("authenticating as a service principal: %w", err)
	}
	arm, err := newARMClient(p, credential)
	if err != nil {
		return nil, fmt.Errorf("creating a client for Azure Resource Manager: %w", err)
	}
	p.credential, p.arm = credential, arm
	return &pulumirpc.ConfigureResponse{SupportsPreview: true, SupportsAutonamingConfiguration: true}, nil
}

// Cancel aborts every request in flight. Resources whose PUT ARM has already accepted are reported as partly created.
func (p *azureNative) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	p.stop()
	return &emptypb.Empty{}, nil
}

// operation returns a context that ends with the caller's context, with Cancel, or after the resource's customTimeouts
// in seconds. 0 means azure-native's default, two hours.
func (p *azureNative) operation(ctx context.Context, seconds float64) (context.Context, context.CancelFunc) {
	limit := 2 * time.Hour
	if seconds > 0 {
		limit = time.Duration(seconds * float64(time.Second))
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	unhook := context.AfterFunc(p.alive, cancel)
	return ctx, func() { unhook(); cancel() }
}

// warn shows the user a warning about a resource.
func (p *azureNative) warn(ctx context.Context, urn, message string) {
	if p.host != nil {
		_ = p.host.Log(ctx, diag.Warning, resource.URN(urn), message) // fails only if the engine is gone
	}
}

// serves returns an error unless the token belongs to the package that the plugin serves.
func (p *azureNative) serves(token string) error {
	if pkg, _, _ := strings.Cut(token, ":"); pkg != p.pkg {
		return p.notServed(token)
	}
	return nil
}

// notServed is notImplemented with a hint at the version of azure-native that has it.
func (p *azureNative) notServed(what string) error {
	err := notImplemented(what + " of " + basePackage + " " + p.version)
	if p.version == Version2 {
		return err
	}
	return fmt.Errorf("%w (version %[3]s has only the package that `pulumi package add %[2]s@%[3]s keyvault v20260201` "+
		"adds. Version %[4]s has the rest: in a YAML program, set `options: {version: %[4]s}` on each resource and "+
		"function, or run `pulumi package add %[2]s@%[4]s` once)", err, basePackage, Version3, Version2)
}

// typeOf returns the resource type of a URN and its API version.
func (p *azureNative) typeOf(urn string) (*resourceType, string, error) {
	token := string(resource.URN(urn).Type())
	if err := p.serves(token); err != nil {
		return nil, "", err
	}
	return lookup(token)
}

// decode unmarshals properties and drops the marks of secrets.
func decode(s *structpb.Struct) (resource.PropertyMap, error) {
	return plugin.UnmarshalProperties(s, plugin.MarshalOptions{KeepUnknowns: true, SkipNulls: true})
}

// encode marshals properties and keeps the marks of secrets.
func encode(m resource.PropertyMap) (*structpb.Struct, error) {
	return plugin.MarshalProperties(m, plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true, SkipNulls: true})
}
