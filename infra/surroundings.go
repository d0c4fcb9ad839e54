package infra

import (
	"fmt"
	"strings"

	authorization "github.com/pulumi/pulumi-azure-native-sdk/authorization/v2/v20220401"
	operationalinsights "github.com/pulumi/pulumi-azure-native-sdk/operationalinsights/v2/v20201001"
	"github.com/pulumi/pulumi-azure-native-sdk/v2/utilities"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
)

// Surroundings are the resources and facts that the components share.
type Surroundings struct {
	// TenantID is the Entra tenant of the client that runs the program.
	TenantID pulumi.StringInput
	// SubscriptionID is the stack's subscription.
	SubscriptionID string
	// ResourceGroupName is the resource group of the stack.
	ResourceGroupName pulumi.StringInput
	// Network is the stack's virtual network, or nil.
	Network *Network
	// LogAnalyticsWorkspaceID is the workspace for the audit logs, or nil.
	LogAnalyticsWorkspaceID pulumi.StringInput

	groupName pulumi.StringInput // without the wait for a role
	client    Client
}

// ResourceGroup is a resource group, registered without the SDK's type.
type ResourceGroup struct {
	pulumi.CustomResourceState

	Name pulumi.StringOutput `pulumi:"name"`
}

// NewSurroundings registers the resource group, or looks up the existing one, and registers the network and the
// workspace if they are configured.
func NewSurroundings(ctx *pulumi.Context, cfg *Config) (*Surroundings, error) {
	client, err := LookUpClient(ctx)
	if err != nil {
		return nil, err
	}
	if err := cfg.validateIn(client.SubscriptionID); err != nil {
		return nil, fmt.Errorf("configuration of stack %s: %w", ctx.Stack(), err)
	}
	if err := checkHandover(ctx, cfg); err != nil {
		return nil, err
	}
	s := &Surroundings{TenantID: pulumi.String(client.TenantID), SubscriptionID: client.SubscriptionID, client: client}
	if err := s.placeInGroup(ctx, cfg); err != nil {
		return nil, err
	}
	group := s.groupName
	if cfg.Network != nil {
		if s.Network, err = newNetwork(ctx, cfg, group); err != nil {
			return nil, err
		}
	}
	if cfg.LogRetentionDays != 0 {
		workspace, err := operationalinsights.NewWorkspace(ctx, "logs", &operationalinsights.WorkspaceArgs{
			ResourceGroupName: group,
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

// placeInGroup creates the resource group, or finds it.
func (s *Surroundings) placeInGroup(ctx *pulumi.Context, cfg *Config) error {
	if cfg.ExistingResourceGroup {
		s.groupName, s.ResourceGroupName = pulumi.String(cfg.ResourceGroupName), pulumi.String(cfg.ResourceGroupName)
		return checkExistingGroup(ctx, cfg)
	}
	hint, err := hintAtExistingGroup(ctx, cfg.ResourceGroupName)
	if err != nil {
		return err
	}
	group, err := NewResourceGroup(ctx, cfg.ResourceGroupName, cfg.Location, cfg.allTags, hint)
	if err != nil {
		return err
	}
	s.groupName, s.ResourceGroupName = group.Name, group.Name
	if !cfg.needsClusterAdmin() {
		return nil
	}
	admin, err := s.newClusterAdmin(ctx, group.ID().ToStringOutput())
	if err != nil {
		return err
	}
	s.ResourceGroupName = pulumi.OutputWithDependencies(ctx.Context(), group.Name, admin).(pulumi.StringOutput)
	return nil
}

// NewResourceGroup registers a resource group.
func NewResourceGroup(
	ctx *pulumi.Context, name, location string, tags pulumi.StringMap, opts ...pulumi.ResourceOption,
) (*ResourceGroup, error) {
	// Importing the SDK's package for resource groups would add a tenth to the program's compile time. It would send the
	// same.
	group := &ResourceGroup{}
	err := ctx.RegisterResource("azure-native:resources/v20220901:ResourceGroup", "resource-group", pulumi.Map{
		"resourceGroupName": pulumi.String(name),
		"location":          pulumi.String(location),
		"tags":              tags,
	}, group, append(utilities.PkgResourceDefaultOpts(nil), opts...)...)
	if err != nil {
		return nil, fmt.Errorf("creating the resource group: %w", err)
	}
	return group, nil
}

// checkExistingGroup fails if the resource group does not exist.
func checkExistingGroup(ctx *pulumi.Context, cfg *Config) error {
	return FindResourceGroup(ctx, cfg.ResourceGroupName, "existingResourceGroup")
}

// FindResourceGroup fails if the resource group that the given configuration key names does not exist.
func FindResourceGroup(ctx *pulumi.Context, name, key string) error {
	var found struct {
		Tags map[string]string `pulumi:"tags"`
	}
	err := ctx.Invoke("azure-native:resources/v20220901:getResourceGroup", &struct {
		ResourceGroupName string `pulumi:"resourceGroupName"`
	}{name}, &found, utilities.PkgInvokeDefaultOpts(nil)...)
	if err != nil {
		return fmt.Errorf("looking for the resource group %s, which must exist with %s: %w", name, key, err)
	}
	return nil
}

// hintAtExistingGroup returns an option for the group. If creating it fails because it exists, the option says how to
// use the existing group.
func hintAtExistingGroup(ctx *pulumi.Context, name string) (pulumi.ResourceOption, error) {
	hook, err := ctx.RegisterErrorHook("resource-group-exists", func(args *pulumi.ErrorHookArgs) (bool, error) {
		latest := args.Errors[0]
		if args.FailedOperation != "create" || !strings.Contains(latest, "already exist") {
			return false, nil
		}
		return false, ctx.Log.Error(
			fmt.Sprintf("the resource group %s exists. To use it without ever changing or deleting it, run pulumi config set "+
				"existingResourceGroup true. If an interrupted update of this stack created it, run pulumi refresh, which asks "+
				"for its id", name),
			nil,
		)
	})
	if err != nil {
		return nil, fmt.Errorf("registering the hint for the resource group: %w", err)
	}
	return pulumi.ResourceHooks(&pulumi.ResourceHookBinding{OnError: []*pulumi.ErrorHook{hook}}), nil
}

// needsClusterAdmin reports whether managing objects in the stack's cluster requires a role in Azure that nobody has
// yet.
func (cfg *Config) needsClusterAdmin() bool { return cfg.Entra != nil && cfg.ExistingClusterID == "" }

// InCluster returns the cluster for workloads, once the client may manage Kubernetes objects in it. In a resource group
// of the stack's own, the role is assigned on the group, before the cluster is created. In an existing group, which may
// contain other clusters, it is assigned on the cluster only.
func (s *Surroundings) InCluster(
	ctx *pulumi.Context, cfg *Config, aks *components.AksWithCsi,
) (components.Cluster, error) {
	if !cfg.ExistingResourceGroup || !cfg.needsClusterAdmin() {
		return aks.Cluster, nil
	}
	admin, err := s.newClusterAdmin(ctx, aks.ClusterID)
	if err != nil {
		return components.Cluster{}, err
	}
	return aks.Cluster.After(admin), nil
}

// newClusterAdmin lets the first deployer manage Kubernetes objects in the clusters at the scope, if these take their
// users' roles from Azure. Others get access through administrator groups. The role on a group takes effect while Azure
// creates the cluster.
func (s *Surroundings) newClusterAdmin(ctx *pulumi.Context, scope pulumi.StringInput) (pulumi.Resource, error) {
	// https://learn.microsoft.com/azure/aks/manage-azure-rbac
	const rbacClusterAdmin = "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b"
	assignment, err := authorization.NewRoleAssignment(ctx, "cluster-admin", &authorization.RoleAssignmentArgs{
		Scope: scope,
		RoleDefinitionId: pulumi.Sprintf("/subscriptions/%s/providers/Microsoft.Authorization/roleDefinitions/%s",
			s.client.SubscriptionID, rbacClusterAdmin),
		PrincipalId:   pulumi.String(s.client.ObjectID),
		PrincipalType: pulumi.String(s.client.PrincipalType()), // left out, the SDK would say User
	}, pulumi.IgnoreChanges([]string{"principalId", "principalType"}))
	if err != nil {
		return nil, fmt.Errorf("assigning the cluster administrator's role: %w", err)
	}
	return assignment, nil
}

// Client is the identity that runs the program, with its tenant and subscription.
type Client struct {
	ClientID       string `pulumi:"clientId"`
	ObjectID       string `pulumi:"objectId"`
	SubscriptionID string `pulumi:"subscriptionId"`
	TenantID       string `pulumi:"tenantId"`
}

// azureCLI is the application through which people sign in with az login. Service principals and managed identities
// have applications of their own
// (https://learn.microsoft.com/troubleshoot/entra/entra-id/governance/verify-first-party-apps-sign-in).
const azureCLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"

// PrincipalType returns the type of the client in role assignments: User or ServicePrincipal.
func (c Client) PrincipalType() string {
	if c.ClientID == azureCLI {
		return "User"
	}
	return "ServicePrincipal"
}

// deployer returns the client as the vault's deployer.
func (s *Surroundings) deployer() *components.DeployerArgs {
	return &components.DeployerArgs{
		PrincipalID: pulumi.String(s.client.ObjectID), PrincipalType: components.PrincipalType(s.client.PrincipalType()),
	}
}

// LookUpClient asks the Azure provider who runs the program. Previews know the result, and it waits for no resource.
func LookUpClient(ctx *pulumi.Context) (Client, error) {
	// No dated package contains getClientConfig, and the undated one would double the program's compile time.
	var c Client
	err := ctx.Invoke("azure-native:authorization:getClientConfig", nil, &c, utilities.PkgInvokeDefaultOpts(nil)...)
	if err != nil {
		return c, fmt.Errorf("asking the Azure provider who runs the program: %w", err)
	}
	return c, nil
}
