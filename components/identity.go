package components

import (
	"fmt"
	"regexp"
	"strings"

	managedidentity "github.com/pulumi/pulumi-azure-native-sdk/managedidentity/v2/v20230131"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

const workloadIdentityType = "keyvaultaks:index:WorkloadIdentity"

// https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftmanagedidentity
var identityName = regexp.MustCompile(`^[0-9a-zA-Z][0-9a-zA-Z_-]{2,127}$`)

// WorkloadIdentityArgs are the arguments of [NewWorkloadIdentity].
type WorkloadIdentityArgs struct {
	// ResourceGroupName is the resource group that holds the identity. Required for a new identity. Not used with
	// ExistingIdentityID, which names the group.
	ResourceGroupName pulumi.StringInput `pulumi:"resourceGroupName,optional"`
	// Location of a new identity, such as eastus. Defaults to the provider's location, or the resource group's.
	Location pulumi.StringPtrInput `pulumi:"location,optional"`
	// Tags of a new identity, by Azure's rules, see [ValidateTags]. Outputs are checked once they are known. Defaults to
	// none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`
	// Cluster is where the namespaces and service accounts are created: [AksWithCsi.Cluster]. Only they wait for it.
	// Defaults to the Kubernetes provider in the component's options, for which the whole component waits. A component
	// that creates neither namespaces nor service accounts needs none.
	Cluster Cluster `pulumi:"-"`
	// IssuerURL is the issuer of the cluster's service account tokens. Required.
	IssuerURL pulumi.StringInput `pulumi:"issuerUrl"`
	// AdditionalIssuers are further clusters whose service accounts, of the same namespaces and names, may use the
	// identity. Only their federated credentials are created: the Kubernetes objects belong to those clusters' programs.
	// Defaults to none.
	AdditionalIssuers []IssuerArgs `pulumi:"additionalIssuers,optional"`
	// Audience is the audience of the service accounts' tokens, 1-600 characters without spaces. Entra trusts no token for
	// another audience. Defaults to api://AzureADTokenExchange in every cloud, since mounting a vault works with no other:
	// the provider of the CSI driver expects that audience in all clouds, and its chart makes the driver request it
	// (github.com/Azure/secrets-store-csi-driver-provider-azure, pkg/auth and charts, v1.8.2). It is not documented what
	// the AKS add-on requests in Azure China and Azure US Government; `kubectl get csidriver secrets-store.csi.k8s.io
	// --output=yaml` shows it in tokenRequests. The audiences api://AzureADTokenExchangeChina and
	// api://AzureADTokenExchangeUSGov, which Azure documents for those clouds, are for tokens of managed identities
	// (https://learn.microsoft.com/entra/workload-id/workload-identity-federation-config-app-trust-managed-identity).
	Audience string `pulumi:"audience,optional"`

	// IdentityName is 3-128 letters, digits, dashes and underscores, starting with a letter or digit. Defaults to a name
	// that Pulumi generates. A change replaces the identity. Not with ExistingIdentityID.
	IdentityName string `pulumi:"identityName,optional"`
	// ExistingIdentityID is the ARM id of an existing user-assigned identity in the Azure provider's subscription. The
	// component manages only its federated credentials and looks up the rest, which requires the right to read it. Azure
	// refuses concurrent writes of an identity's credentials, and only those of one component wait for each other, so use
	// an identity in one component only. Defaults to a new identity.
	ExistingIdentityID pulumi.StringInput `pulumi:"existingIdentityId,optional"`
	// RoleAssignments are roles of the identity besides those that mounts assign. Defaults to none.
	RoleAssignments []RoleAssignmentArgs `pulumi:"roleAssignments,optional"`

	// Namespace of the service accounts that name none, a DNS label. Required unless all of them name one. A change
	// replaces the resources of those accounts. Moving the namespace into the accounts changes nothing: resources are
	// named after namespace and account either way.
	Namespace string `pulumi:"namespace,optional"`
	// CreateNamespace creates the namespaces of the service accounts, except those that Kubernetes or AKS create, such as
	// default, kube-system and gatekeeper-system. Defaults to false: they exist already.
	CreateNamespace bool `pulumi:"createNamespace,optional"`
	// ExistingNamespaces are namespaces of the service accounts that exist already, so CreateNamespace does not create
	// them. If the component created such a namespace earlier, listing it here deletes the namespace. Defaults to none.
	ExistingNamespaces []string `pulumi:"existingNamespaces,optional"`
	// PodSecurity is the Pod Security Standard that the created namespaces enforce: restricted, baseline or privileged
	// (https://kubernetes.io/docs/concepts/security/pod-security-standards/). Defaults to restricted. Only with
	// CreateNamespace.
	PodSecurity PodSecurity `pulumi:"podSecurity,optional"`
	// NamespaceLabels are labels of the created namespaces. Defaults to PodSecurity's only. Only with CreateNamespace.
	NamespaceLabels map[string]string `pulumi:"namespaceLabels,optional"`
	// Labels of the created namespaces and service accounts. Defaults to none.
	Labels map[string]string `pulumi:"labels,optional"`
	// ServiceAccounts that may use the identity, at least one. Azure allows 20 federated credentials for each identity,
	// and every service account has one for each issuer. If you change an account's name or namespace, its old credentials
	// count until the end of the update. A name is unique in its namespace.
	ServiceAccounts []ServiceAccountArgs `pulumi:"serviceAccounts"`
}

// WorkloadIdentity is a managed identity that service accounts of a cluster can use without a password: Entra trusts
// the tokens that the cluster issues to them.
type WorkloadIdentity struct {
	pulumi.ResourceState

	// Identity is the identity itself, nil for an existing one.
	Identity *managedidentity.UserAssignedIdentity
	// Cluster is the cluster of the arguments, for mounts in the component's namespaces. Objects created with it wait for
	// these namespaces.
	Cluster Cluster

	// IdentityID is the identity's ARM id.
	IdentityID pulumi.StringOutput `pulumi:"identityId"`
	// ClientID is the id that applications sign in with.
	ClientID pulumi.StringOutput `pulumi:"clientId"`
	// PrincipalID is the id that roles are assigned to.
	PrincipalID pulumi.StringOutput `pulumi:"principalId"`
	// TenantID is the identity's Entra tenant.
	TenantID pulumi.StringOutput `pulumi:"tenantId"`
	// Namespace of the first service account. It resolves once the namespace exists.
	Namespace pulumi.StringOutput `pulumi:"namespace"`
	// ServiceAccounts are the accounts' names, in the order of the arguments. Each resolves once the account is ready for
	// a pod: once it exists with its federated credentials and RoleAssignments.
	ServiceAccounts pulumi.StringArrayOutput `pulumi:"serviceAccounts"`

	objects objects
}

// NewWorkloadIdentity registers an identity, its federated credentials and the service accounts. If arguments are
// invalid it returns a [ValidationError], and if objects have no cluster, [ErrNoKubernetesProvider]. It then registers
// nothing.
func NewWorkloadIdentity(
	ctx *pulumi.Context, name string, args *WorkloadIdentityArgs, opts ...pulumi.ResourceOption,
) (*WorkloadIdentity, error) {
	args = settled(args)
	violations := args.validate()
	violations.requiredForIdentity(args)
	unplaced := args.createsObjects() && lacksProvider(args.Cluster, opts)
	if err := invalidOrUnplaced(name, violations, unplaced); err != nil {
		return nil, err
	}
	args.checkLate()

	c := &WorkloadIdentity{}
	// The cluster's outputs are not among the inputs: the identity would wait for the cluster.
	inputs := pulumi.Map{
		"namespace": pulumi.String(args.Namespace),
		"serviceAccounts": pulumi.ToStringArray(names(args.ServiceAccounts,
			func(s ServiceAccountArgs) string { return s.Name })),
	}
	if args.ExistingIdentityID == nil {
		inputs["resourceGroupName"] = args.ResourceGroupName
	} else {
		inputs["existingIdentityId"] = args.ExistingIdentityID
	}
	if err := ctx.RegisterComponentResourceV2(workloadIdentityType, name, inputs, c, opts...); err != nil {
		return nil, fmt.Errorf("registering %s: %w", name, err)
	}
	if args.createsObjects() {
		var err error
		if c.objects, err = placeObjects(ctx, name, c, args.Cluster); err != nil {
			return nil, err
		}
	}
	target, err := c.newIdentity(ctx, name, args)
	if err != nil {
		return nil, err
	}
	roles, err := assignRoles(ctx, name, args.RoleAssignments, c.PrincipalID, c)
	if err != nil {
		return nil, err
	}
	credentials, err := c.newCredentials(ctx, name, args, target)
	if err != nil {
		return nil, err
	}
	namespaces, err := c.newNamespaces(ctx, name, args)
	if err != nil {
		return nil, err
	}
	c.Namespace = namespaces[args.namespaceOf(args.ServiceAccounts[0])]
	accounts := pulumi.StringArray{}
	for i, account := range args.ServiceAccounts {
		ready, err := c.newServiceAccount(ctx, name, args, account, namespaces[args.namespaceOf(account)])
		if err != nil {
			return nil, err
		}
		accounts = append(accounts, after(ctx, ready, append(credentials[i], roles...)...))
	}
	c.ServiceAccounts = accounts.ToStringArrayOutput()
	outputs := pulumi.Map{
		"identityId": c.IdentityID, "clientId": c.ClientID, "principalId": c.PrincipalID, "tenantId": c.TenantID,
		"namespace": c.Namespace, "serviceAccounts": c.ServiceAccounts,
	}
	if err := ctx.RegisterResourceOutputs(c, outputs); err != nil {
		return nil, fmt.Errorf("registering outputs of %s: %w", name, err)
	}
	return c, nil
}

// credentialTarget is the identity as federated credentials refer to it.
type credentialTarget struct {
	resourceGroupName, identityName pulumi.StringInput
}

// newIdentity creates or looks up the identity and sets the outputs about it.
func (c *WorkloadIdentity) newIdentity(
	ctx *pulumi.Context, name string, args *WorkloadIdentityArgs,
) (credentialTarget, error) {
	if args.ExistingIdentityID != nil {
		return c.lookUpIdentity(ctx, args.ExistingIdentityID), nil
	}
	identity, err := managedidentity.NewUserAssignedIdentity(ctx, name+"-identity",
		&managedidentity.UserAssignedIdentityArgs{
			ResourceGroupName: args.ResourceGroupName,
			Location:          args.Location,
			ResourceName:      optional(args.IdentityName),
			Tags:              args.Tags,
		}, pulumi.Parent(c))
	if err != nil {
		return credentialTarget{}, fmt.Errorf("creating the identity: %w", err)
	}
	c.Identity = identity
	c.IdentityID = identity.ID().ToStringOutput()
	c.ClientID = readBack(identity.ClientId, name+"-identity")
	c.PrincipalID = readBack(identity.PrincipalId, name+"-identity")
	c.TenantID = readBack(identity.TenantId, name+"-identity")
	return credentialTarget{args.ResourceGroupName, identity.Name}, nil
}

func (c *WorkloadIdentity) lookUpIdentity(ctx *pulumi.Context, id pulumi.StringInput) credentialTarget {
	parts := id.ToStringOutput().ApplyT(func(id string) ([]string, error) {
		match := identityID.FindStringSubmatch(id)
		if match == nil {
			return nil, invalid("existingIdentityId", quote(id), "the ARM id of a user-assigned identity")
		}
		return match[2:], nil
	}).(pulumi.StringArrayOutput)
	found := managedidentity.LookupUserAssignedIdentityOutput(ctx, managedidentity.LookupUserAssignedIdentityOutputArgs{
		ResourceGroupName: parts.Index(pulumi.Int(0)), ResourceName: parts.Index(pulumi.Int(1)),
	}, pulumi.Parent(c))
	// The provider looks only in its own subscription, and would write the credentials there. Everything below uses only
	// what was checked, so that another identity of the same name gets no roles. The spelling is Azure's.
	checked := pulumi.All(id, found).ApplyT(func(all []any) (map[string]string, error) {
		given, found := all[0].(string), all[1].(managedidentity.LookupUserAssignedIdentityResult)
		if !strings.EqualFold(given, found.Id) {
			return nil, invalid("existingIdentityId", quote(given),
				"an identity in the Azure provider's subscription, where this name belongs to "+found.Id)
		}
		parts := identityID.FindStringSubmatch(found.Id)
		return map[string]string{
			"id": found.Id, "group": parts[2], "name": parts[3],
			"clientId": found.ClientId, "principalId": found.PrincipalId, "tenantId": found.TenantId,
		}, nil
	}).(pulumi.StringMapOutput)
	of := func(key string) pulumi.StringOutput { return checked.MapIndex(pulumi.String(key)) }
	c.IdentityID, c.ClientID, c.PrincipalID, c.TenantID = of("id"), of("clientId"), of("principalId"), of("tenantId")
	return credentialTarget{of("group"), of("name")}
}

// Validate checks every plain value. It returns a [ValidationError] with all violations, or nil. Inputs that come from
// other resources may be missing.
func (args *WorkloadIdentityArgs) Validate() error {
	return settled(args).validate().err()
}

func (args *WorkloadIdentityArgs) validate() violations {
	var v violations
	if args.IdentityName != "" {
		v.match(identityName, "identityName", args.IdentityName,
			"3-128 letters, digits, dashes and underscores, starting with a letter or digit")
		v.check(missing(args.ExistingIdentityID), "identityName", args.IdentityName, "nothing with existingIdentityId")
	}
	if args.Audience != "" {
		v.match(tokenAudienceRule, "audience", args.Audience, "1-600 characters without spaces")
	}
	v.plainID("existingIdentityId", args.ExistingIdentityID, identityID, "the ARM id of a user-assigned identity")
	v.validateRoleAssignments("roleAssignments", args.RoleAssignments)
	v.validateLabels("labels", args.Labels, podSecurityLabel, namespaceNameLabel)
	v.validateNamespaceLabels("labels", args.Labels)
	v.validateNamespaces(args)
	v.validateServiceAccounts(args)
	v.validateIssuers(args)
	v.validateAzureIdentity(args)
	v.validateProvider(args.Cluster)
	return v
}

// requiredForIdentity checks that all required Inputs are given.
func (v *violations) requiredForIdentity(args *WorkloadIdentityArgs) {
	if args.ExistingIdentityID == nil {
		v.required("resourceGroupName", args.ResourceGroupName)
	}
	v.required("issuerUrl", args.IssuerURL)
	for i, issuer := range args.AdditionalIssuers {
		v.required(fmt.Sprintf("additionalIssuers[%d].url", i), issuer.URL)
	}
	for i, role := range args.RoleAssignments {
		v.required(fmt.Sprintf("roleAssignments[%d].scope", i), role.Scope)
	}
}
