package infra

import (
	"fmt"

	authorization "github.com/pulumi/pulumi-azure-native-sdk/authorization/v2/v20220401"
	operationalinsights "github.com/pulumi/pulumi-azure-native-sdk/operationalinsights/v2/v20201001"
	"github.com/pulumi/pulumi-azure-native-sdk/v2/utilities"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Surroundings are what the components are put into.
type Surroundings struct {
	// TenantID is the Entra tenant of whoever runs the program.
	TenantID pulumi.StringInput
	// SubscriptionID is the subscription that everything of the stack is in.
	SubscriptionID string
	// ResourceGroupName is the group that holds everything of the stack.
	ResourceGroupName pulumi.StringInput
	// Network is the stack's virtual network; nil without one.
	Network *Network
	// LogAnalyticsWorkspaceID is the workspace that takes the audit logs; nil without one.
	LogAnalyticsWorkspaceID pulumi.StringInput
}

// resourceGroup is a resource group that is registered without the SDK's type.
type resourceGroup struct {
	pulumi.CustomResourceState

	Name pulumi.StringOutput `pulumi:"name"`
}

// NewSurroundings registers the resource group and what else the configuration asks for.
func NewSurroundings(ctx *pulumi.Context, cfg *Config) (*Surroundings, error) {
	client, err := clientConfig(ctx)
	if err != nil {
		return nil, err
	}
	if err := cfg.validateIn(client.SubscriptionID); err != nil {
		return nil, fmt.Errorf("configuration of stack %s: %w", ctx.Stack(), err)
	}
	// The SDK's package with resource groups would take a tenth of the program's compile time; it would send the same.
	group := &resourceGroup{}
	err = ctx.RegisterResource("azure-native:resources/v20220901:ResourceGroup", "resource-group", pulumi.Map{
		"resourceGroupName": pulumi.String(cfg.ResourceGroupName),
		"location":          pulumi.String(cfg.Location),
		"tags":              cfg.allTags,
	}, group, utilities.PkgResourceDefaultOpts(nil)...)
	if err != nil {
		return nil, fmt.Errorf("creating the resource group: %w", err)
	}
	s := &Surroundings{TenantID: pulumi.String(client.TenantID), SubscriptionID: client.SubscriptionID, ResourceGroupName: group.Name}
	if cfg.Entra != nil && cfg.ExistingClusterID == "" {
		if s.ResourceGroupName, err = newClusterAdmin(ctx, group, client); err != nil {
			return nil, err
		}
	}
	if cfg.Network != nil {
		if s.Network, err = newNetwork(ctx, cfg, group.Name); err != nil {
			return nil, err
		}
	}
	if cfg.LogRetentionDays != 0 {
		workspace, err := operationalinsights.NewWorkspace(ctx, "logs", &operationalinsights.WorkspaceArgs{
			ResourceGroupName: group.Name,
			Location:          pulumi.String(cfg.Location),
			Tags:              cfg.allTags,
			RetentionInDays:   pulumi.Int(cfg.LogRetentionDays),
			Sku:               operationalinsights.WorkspaceSkuArgs{Name: pulumi.String("PerGB2018")},
		})
		if err != nil {
			return nil, fmt.Errorf("creating the Log Analytics workspace: %w", err)
		}
		s.LogAnalyticsWorkspaceID = workspace.ID().ToStringOutput()
	}
	return s, nil
}

// newClusterAdmin lets whoever brings the stack up first manage Kubernetes objects in the group's clusters, which take their users' roles
// from Azure; others come in through the groups of administrators. The minutes that Azure needs to honour the role are those in
// which it makes the cluster. It returns the group's name as it is once the role is assigned.
func newClusterAdmin(ctx *pulumi.Context, group *resourceGroup, client client) (pulumi.StringOutput, error) {
	// https://learn.microsoft.com/azure/aks/manage-azure-rbac
	const rbacClusterAdmin = "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b"
	assignment, err := authorization.NewRoleAssignment(ctx, "cluster-admin", &authorization.RoleAssignmentArgs{
		Scope: group.ID().ToStringOutput(),
		RoleDefinitionId: pulumi.Sprintf("/subscriptions/%s/providers/Microsoft.Authorization/roleDefinitions/%s",
			client.SubscriptionID, rbacClusterAdmin),
		PrincipalId:   pulumi.String(client.ObjectID),
		PrincipalType: pulumi.String(client.principalType()), // left out, the SDK would say User
	}, pulumi.IgnoreChanges([]string{"principalId", "principalType"}))
	if err != nil {
		return pulumi.StringOutput{}, fmt.Errorf("assigning the clusters' administrator: %w", err)
	}
	return pulumi.OutputWithDependencies(ctx.Context(), group.Name, assignment).(pulumi.StringOutput), nil
}

// client is whoever runs the program.
type client struct {
	ClientID       string `pulumi:"clientId"`
	ObjectID       string `pulumi:"objectId"`
	SubscriptionID string `pulumi:"subscriptionId"`
	TenantID       string `pulumi:"tenantId"`
}

// azureCLI is the application through which people sign in with az login; service principals and managed identities are
// applications themselves (https://learn.microsoft.com/troubleshoot/entra/entra-id/governance/verify-first-party-apps-sign-in).
const azureCLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"

func (c client) principalType() string {
	if c.ClientID == azureCLI {
		return "User"
	}
	return "ServicePrincipal"
}

// clientConfig is known in every preview, and waits for no resource.
func clientConfig(ctx *pulumi.Context) (client, error) {
	// No dated package has getClientConfig, and the undated one would double the program's compile time.
	var c client
	err := ctx.Invoke("azure-native:authorization:getClientConfig", nil, &c, utilities.PkgInvokeDefaultOpts(nil)...)
	if err != nil {
		return c, fmt.Errorf("asking the Azure provider who runs the program: %w", err)
	}
	return c, nil
}
