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
	// ResourceGroupName is the resource group that holds the identity. Required for a new identity; not used with
	// ExistingIdentityID, which names the group.
	ResourceGroupName pulumi.StringInput `pulumi:"resourceGroupName,optional"`
	// Location of a new identity, such as eastus. Defaults to the provider's location, or the resource group's.
	Location pulumi.StringPtrInput `pulumi:"location,optional"`
	// Tags of a new identity, by Azure's rules, see [ValidateTags]. What is known late is checked then. Defaults to
	// none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`
	// Cluster is where the namespaces and service accounts are created: [AksWithCsi.Cluster]. Only they wait for it.
	// Defaults to the Kubernetes provider in the component's options, for which all of the component waits. A component
	// that creates neither namespaces nor service accounts needs none.
	Cluster Cluster `pulumi:"-"`
	// IssuerURL is the issuer of the tokens of the service accounts' cluster. Required.
	IssuerURL pulumi.StringInput `pulumi:"issuerUrl"`
	// AdditionalIssuers are further clusters whose service accounts of the same namespaces and names may act as the
	// identity. Only their federated credentials are made: the Kubernetes objects are for the programs of those
	// clusters. Defaults to none.
	AdditionalIssuers []IssuerArgs `pulumi:"additionalIssuers,optional"`
	// Audience is what the service accounts' tokens are issued for, 1-600 characters without spaces. Entra trusts no
	// token for another audience. Defaults to api://AzureADTokenExchange in every cloud, since what mounts a vault
	// takes no other token: the provider of the CSI driver looks for that audience whatever the cloud is, and its chart
	// has the driver ask for it (github.com/Azure/secrets-store-csi-driver-provider-azure, pkg/auth and charts,
	// v1.8.2). What the add-on of AKS asks for in Azure China and Azure US Government is not documented; `kubectl get
	// csidriver secrets-store.csi.k8s.io
	// --output=yaml` shows it in tokenRequests. The names api://AzureADTokenExchangeChina and
	// api://AzureADTokenExchangeUSGov, which Azure documents for those clouds, are for tokens of managed identities
	// (https://learn.microsoft.com/entra/workload-id/workload-identity-federation-config-app-trust-managed-identity).
	Audience string `pulumi:"audience,optional"`

	// IdentityName is 3-128 letters, digits, dashes and underscores, a letter or digit first. Defaults to a name that
	// Pulumi makes. A change replaces the identity. Not with ExistingIdentityID.
	IdentityName string `pulumi:"identityName,optional"`
	// ExistingIdentityID is the ARM id of a user-assigned identity that exists, in the Azure provider's subscription.
	// Nothing of it is managed but the federated credentials; everything else is looked up, which takes the right to
	// read it. Azure refuses to write two credentials of an identity at once and only those of one component wait for
	// each other, so an identity belongs in one component. Defaults to a new identity.
	ExistingIdentityID pulumi.StringInput `pulumi:"existingIdentityId,optional"`
	// RoleAssignments are roles that the identity has besides those that mounts give it. Defaults to none.
	RoleAssignments []RoleAssignmentArgs `pulumi:"roleAssignments,optional"`

	// Namespace of the service accounts that name none, a DNS label. Required unless all of them name one. A change
	// replaces what those accounts have. It may as well stand in the accounts: what they have is named after namespace
	// and account either way.
	Namespace string `pulumi:"namespace,optional"`
	// CreateNamespace creates the namespaces of the service accounts, each once, but none that Kubernetes or AKS make,
	// such as default, kube-system and gatekeeper-system. Defaults to false: they exist already.
	CreateNamespace bool `pulumi:"createNamespace,optional"`
	// ExistingNamespaces are those of the service accounts' namespaces that CreateNamespace does not create, since they
	// exist already. One that the component has created before is deleted when it is named here. Defaults to none.
	ExistingNamespaces []string `pulumi:"existingNamespaces,optional"`
	// PodSecurity is the Pod Security Standard that the created namespaces enforce: restricted, baseline or privileged
	// (https://kubernetes.io/docs/concepts/security/pod-security-standards/). Defaults to restricted. Only with
	// CreateNamespace.
	PodSecurity PodSecurity `pulumi:"podSecurity,optional"`
	// NamespaceLabels are labels of the created namespaces. Defaults to none but PodSecurity's. Only with
	// CreateNamespace.
	NamespaceLabels map[string]string `pulumi:"namespaceLabels,optional"`
	// Labels of the created namespaces and service accounts. Defaults to none.
	Labels map[string]string `pulumi:"labels,optional"`
	// ServiceAccounts that may act as the identity, at least one. Azure allows 20 federated credentials on an identity,
	// and every service account has one for each issuer. Those of accounts that get another name or namespace count
	// until the update that makes the new ones has deleted them at its end. A name is unique in its namespace.
	ServiceAccounts []ServiceAccountArgs `pulumi:"serviceAccounts"`
}

// WorkloadIdentity is a managed identity that service accounts of a cluster can act as, without a password anywhere:
// Entra trusts the tokens that the cluster issues to them.
type WorkloadIdentity struct {
	pulumi.ResourceState

	// Identity is the identity itself, nil for an existing one.
	Identity *managedidentity.UserAssignedIdentity
	// Cluster is that of the arguments once the component's namespaces exist, for mounts in them.
	Cluster Cluster

	// IdentityID is the identity's ARM id.
	IdentityID pulumi.StringOutput `pulumi:"identityId"`
	// ClientID is what applications sign in as.
	ClientID pulumi.StringOutput `pulumi:"clientId"`
	// PrincipalID is what roles are assigned to.
	PrincipalID pulumi.StringOutput `pulumi:"principalId"`
	// TenantID is the identity's Entra tenant.
	TenantID pulumi.StringOutput `pulumi:"tenantId"`
	// Namespace of the first service account; resolves once it exists.
	Namespace pulumi.StringOutput `pulumi:"namespace"`
	// ServiceAccounts are the accounts' names, in the order of the arguments. Each is ready for a pod: it resolves once
	// the account, its federated credentials and RoleAssignments exist.
	ServiceAccounts pulumi.StringArrayOutput `pulumi:"serviceAccounts"`

	objects objects
}

// NewWorkloadIdentity registers an identity, its federated credentials and the service accounts. It returns a
// [ValidationError] if arguments are invalid, and [ErrNoKubernetesProvider] if objects have no cluster to go to, before
// anything is registered.
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
	// What the cluster tells is not among them: the identity would wait for the cluster.
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

// credentialTarget is the identity as its federated credentials name it.
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
	// The provider looks only in its own subscription, and would also write the credentials there. What follows uses
	// only what was checked: another identity of the same name may not get the roles either. Upper and lower case are
	// Azure's.
	checked := pulumi.All(id, found).ApplyT(func(all []any) (map[string]string, error) {
		given, found := all[0].(string), all[1].(managedidentity.LookupUserAssignedIdentityResult)
		if !strings.EqualFold(given, found.Id) {
			return nil, invalid("existingIdentityId", quote(given),
				"an identity in the Azure provider's subscription, which has "+found.Id)
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

// Validate checks every plain value, and returns a [ValidationError] with all violations, or nil. Inputs that other
// resources give may be missing.
func (args *WorkloadIdentityArgs) Validate() error {
	return settled(args).validate().err()
}

func (args *WorkloadIdentityArgs) validate() violations {
	var v violations
	if args.IdentityName != "" {
		v.match(identityName, "identityName", args.IdentityName,
			"3-128 letters, digits, dashes and underscores, a letter or digit first")
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

// requiredForIdentity checks that no Input is missing which the identity cannot do without.
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
