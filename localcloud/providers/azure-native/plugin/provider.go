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

// azureNative is the plugin. As the one it stands in for, it does not ask the engine for secrets: the engine takes
// their marks off before each call and puts them back on what it returns.
type azureNative struct {
	pulumirpc.UnimplementedResourceProviderServer

	version string // Version2 or Version3
	pkg     string // whose tokens are served; none for Version3 until it is parameterized

	// options reach every client; a test's transport goes in here.
	options azcore.ClientOptions
	scale   float64              // see waitsScale
	host    *provider.HostClient // nil in tests of the plugin alone

	// alive ends with Cancel, and every request under way with it.
	alive context.Context
	stop  context.CancelFunc

	config     map[string]string
	credential azcore.TokenCredential
	arm        *armClient

	groupLocations sync.Map // resource group's name -> location
}

func newAzureNative(version string) *azureNative {
	alive, stop := context.WithCancel(context.Background())
	p := &azureNative{version: version, alive: alive, stop: stop, config: map[string]string{}, scale: 1}
	if version == Version2 {
		p.pkg = basePackage
	}
	return p
}

// setting reads one setting: the provider's configuration first, then the environment.
func (p *azureNative) setting(name, env string) string {
	if v := p.config[name]; v != "" {
		return v
	}
	return os.Getenv(env)
}

func (p *azureNative) subscriptionID() string {
	return p.setting("subscriptionId", "ARM_SUBSCRIPTION_ID")
}

// GetPluginInfo says which version of azure-native this plugin answers as.
func (p *azureNative) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: p.version}, nil
}

// CheckConfig takes the configuration as it is.
func (p *azureNative) CheckConfig(_ context.Context, req *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	return &pulumirpc.CheckResponse{Inputs: req.GetNews()}, nil
}

// DiffConfig never replaces a provider, and so none of its resources.
func (p *azureNative) DiffConfig(context.Context, *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	return &pulumirpc.DiffResponse{}, nil
}

// Configure authenticates as a service principal with a client secret or an OIDC token, from azure-native:clientId,
// clientSecret, tenantId and subscriptionId or the environment's ARM_CLIENT_ID, ARM_CLIENT_SECRET, ARM_TENANT_ID and
// ARM_SUBSCRIPTION_ID, and those that signIn reads.
func (p *azureNative) Configure(
	_ context.Context,
	req *pulumirpc.ConfigureRequest,
) (*pulumirpc.ConfigureResponse, error) {
	for k, v := range req.GetVariables() { //nolint:staticcheck // what azure-native reads, and the engine sends
		p.config[strings.TrimPrefix(k, p.pkg+":config:")] = v
	}
	credential, err := p.signIn()
	if err != nil {
		return nil, fmt.Errorf("authenticating as a service principal: %w", err)
	}
	arm, err := newARMClient(p, credential)
	if err != nil {
		return nil, fmt.Errorf("making a client for Azure Resource Manager: %w", err)
	}
	p.credential, p.arm = credential, arm
	return &pulumirpc.ConfigureResponse{SupportsPreview: true, SupportsAutonamingConfiguration: true}, nil
}

// Cancel aborts every request under way. What ARM had accepted by then is reported as partly created.
func (p *azureNative) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	p.stop()
	return &emptypb.Empty{}, nil
}

// operation bounds a call by the caller's context, by Cancel, and by the resource's customTimeouts in seconds, where 0
// means the two hours that azure-native gives.
func (p *azureNative) operation(ctx context.Context, seconds float64) (context.Context, context.CancelFunc) {
	limit := 2 * time.Hour
	if seconds > 0 {
		limit = time.Duration(seconds * float64(time.Second))
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	unhook := context.AfterFunc(p.alive, cancel)
	return ctx, func() { unhook(); cancel() }
}

// warn says something of a resource to the user.
func (p *azureNative) warn(ctx context.Context, urn, message string) {
	if p.host != nil {
		_ = p.host.Log(ctx, diag.Warning, resource.URN(urn), message) // an engine that is gone shows no warning
	}
}

// serves refuses the tokens of packages that the plugin is not the plugin of.
func (p *azureNative) serves(token string) error {
	if pkg, _, _ := strings.Cut(token, ":"); pkg != p.pkg {
		return p.notServed(token)
	}
	return nil
}

// notServed is notImplemented for what another version of azure-native has.
func (p *azureNative) notServed(what string) error {
	err := notImplemented(what + " of " + basePackage + " " + p.version)
	if p.version == Version2 {
		return err
	}
	return fmt.Errorf("%w (of that there is the package which `pulumi package add %s@%s keyvault v20260201` adds; "+
		"version %s has the rest, which a program in YAML asks for with `options: {version: %[4]s}` at each resource and "+
		"function, or once with `pulumi package add %[2]s@%[4]s`)", err, basePackage, Version3, Version2)
}

// typeOf finds the resource type a URN speaks of.
func (p *azureNative) typeOf(urn string) (*resourceType, string, error) {
	token := string(resource.URN(urn).Type())
	if err := p.serves(token); err != nil {
		return nil, "", err
	}
	return lookup(token)
}

// decode reads a property bag without its secrets' marks.
func decode(s *structpb.Struct) (resource.PropertyMap, error) {
	return plugin.UnmarshalProperties(s, plugin.MarshalOptions{KeepUnknowns: true, SkipNulls: true})
}

// encode writes a property bag; the marks of secrets in it stay.
func encode(m resource.PropertyMap) (*structpb.Struct, error) {
	return plugin.MarshalProperties(m, plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true, SkipNulls: true})
}
