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

	groupName pulumi.StringInput // without the wait for a role
	client    Client
}

// ResourceGroup is a resource group that is registered without the SDK's type.
type ResourceGroup struct {
	pulumi.CustomResourceState

	Name pulumi.StringOutput `pulumi:"name"`
}

// NewSurroundings registers the resource group, or looks up the one that exists, and what else the configuration asks
// for.
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

// placeInGroup makes the resource group, or finds it.
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
	// The SDK's package with resource groups would take a tenth of the program's compile time; it would send the same.
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

// checkExistingGroup refuses a group that is not there.
func checkExistingGroup(ctx *pulumi.Context, cfg *Config) error {
	return FindResourceGroup(ctx, cfg.ResourceGroupName, "existingResourceGroup")
}

// FindResourceGroup refuses a group that is not there, as what the key of the configuration names has to be.
func FindResourceGroup(ctx *pulumi.Context, name, key string) error {
	var found struct {
		Tags map[string]string `pulumi:"tags"`
	}
	err := ctx.Invoke("azure-native:resources/v20220901:getResourceGroup", &struct {
		ResourceGroupName string `pulumi:"resourceGroupName"`
	}{name}, &found, utilities.PkgInvokeDefaultOpts(nil)...)
	if err != nil {
		return fmt.Errorf("looking for the resource group %s, which has to be there with %s: %w", name, key, err)
	}
	return nil
}

// hintAtExistingGroup is an option of the group that says, where creating it fails since it is there, how to use it.
func hintAtExistingGroup(ctx *pulumi.Context, name string) (pulumi.ResourceOption, error) {
	hook, err := ctx.RegisterErrorHook("resource-group-exists", func(args *pulumi.ErrorHookArgs) (bool, error) {
		latest := args.Errors[0]
		if args.FailedOperation != "create" || !strings.Contains(latest, "already exist") {
			return false, nil
		}
		return false, ctx.Log.Error(
			fmt.Sprintf("the resource group %s exists. To put the stack into it, without ever changing or "+
				"deleting it: pulumi config set existingResourceGroup true. If an update of this stack that was cut off has made it, "+
				"pulumi refresh asks for its id", name),
			nil,
		)
	})
	if err != nil {
		return nil, fmt.Errorf("watching over the resource group: %w", err)
	}
	return pulumi.ResourceHooks(&pulumi.ResourceHookBinding{OnError: []*pulumi.ErrorHook{hook}}), nil
}

// needsClusterAdmin says whether nobody could manage what is in the stack's cluster without a role in Azure.
func (cfg *Config) needsClusterAdmin() bool { return cfg.Entra != nil && cfg.ExistingClusterID == "" }

// InCluster is the cluster as workloads take it: once whoever runs the program may manage Kubernetes objects in it.
// In a group of the stack's own the role is assigned there and before; in a group of others, who may have clusters in
// it, on the cluster alone.
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

// newClusterAdmin lets whoever brings the stack up first manage Kubernetes objects in the clusters at the scope,
// which take their users' roles from Azure; others come in through the groups of administrators. The minutes that
// Azure needs to honour the role on a group are those in which it makes the cluster.
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
		return nil, fmt.Errorf("assigning the clusters' administrator: %w", err)
	}
	return assignment, nil
}

// Client is whoever runs the program, and where.
type Client struct {
	ClientID       string `pulumi:"clientId"`
	ObjectID       string `pulumi:"objectId"`
	SubscriptionID string `pulumi:"subscriptionId"`
	TenantID       string `pulumi:"tenantId"`
}

// azureCLI is the application through which people sign in with az login; service principals and managed identities are
// applications themselves
// (https://learn.microsoft.com/troubleshoot/entra/entra-id/governance/verify-first-party-apps-sign-in).
const azureCLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"

// PrincipalType is what Azure's role assignments call the client: User or ServicePrincipal.
func (c Client) PrincipalType() string {
	if c.ClientID == azureCLI {
		return "User"
	}
	return "ServicePrincipal"
}

// deployer is whoever runs the program, as the vault takes him.
func (s *Surroundings) deployer() *components.DeployerArgs {
	return &components.DeployerArgs{
		PrincipalID: pulumi.String(s.client.ObjectID), PrincipalType: components.PrincipalType(s.client.PrincipalType()),
	}
}

// LookUpClient asks the Azure provider who runs the program. It is known in every preview, and waits for no resource.
func LookUpClient(ctx *pulumi.Context) (Client, error) {
	// No dated package has getClientConfig, and the undated one would double the program's compile time.
	var c Client
	err := ctx.Invoke("azure-native:authorization:getClientConfig", nil, &c, utilities.PkgInvokeDefaultOpts(nil)...)
	if err != nil {
		return c, fmt.Errorf("asking the Azure provider who runs the program: %w", err)
	}
	return c, nil
}
