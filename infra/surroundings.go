package infra

import (
	"fmt"

	resources "github.com/pulumi/pulumi-azure-native-sdk/resources/v2/v20220901"
	"github.com/pulumi/pulumi-azure-native-sdk/v2/utilities"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// NewResourceGroup registers the resource group that holds everything of the stack.
func NewResourceGroup(ctx *pulumi.Context, cfg *Config) (*resources.ResourceGroup, error) {
	group, err := resources.NewResourceGroup(ctx, "resource-group", &resources.ResourceGroupArgs{
		ResourceGroupName: pulumi.String(cfg.ResourceGroupName),
		Location:          pulumi.String(cfg.Location),
		Tags:              cfg.allTags,
	})
	if err != nil {
		return nil, fmt.Errorf("creating the resource group: %w", err)
	}
	return group, nil
}

// TenantID is the Entra tenant of whoever runs the program: azure-native:tenantId where configured, else that of the login. It
// is known in every preview, and waits for no resource.
func TenantID(ctx *pulumi.Context) (string, error) {
	// No dated package has getClientConfig, and the undated one would double the program's compile time.
	var client struct {
		TenantID string `pulumi:"tenantId"`
	}
	err := ctx.Invoke("azure-native:authorization:getClientConfig", nil, &client, utilities.PkgInvokeDefaultOpts(nil)...)
	if err != nil {
		return "", fmt.Errorf("asking the Azure provider for its tenant: %w", err)
	}
	return client.TenantID, nil
}
