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
	// Location of a new identity, such as eastus. Left out: the provider's location, or the resource group's.
	Location pulumi.StringPtrInput `pulumi:"location,optional"`
	// Tags of a new identity. Left out: none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`
	// IssuerURL is the issuer of the tokens of the service accounts' cluster. Required.
	IssuerURL pulumi.StringInput `pulumi:"issuerUrl"`
	// AdditionalIssuers are further clusters whose service accounts of the same namespaces and names may act as the identity. Only
	// their federated credentials are made: the Kubernetes objects are for the programs of those clusters. Left out: none.
	AdditionalIssuers []IssuerArgs `pulumi:"additionalIssuers,optional"`

	// IdentityName is 3-128 letters, digits, dashes and underscores, a letter or digit first. Left out: Pulumi names the
	// identity. A change replaces it. Not with ExistingIdentityID.
	IdentityName string `pulumi:"identityName,optional"`
	// ExistingIdentityID is the ARM id of a user-assigned identity that exists, in the Azure provider's subscription. Nothing of it
	// is managed but the federated credentials; everything else is looked up, which takes the right to read it. Azure refuses to
	// write two credentials of an identity at once and only those of one component wait for each other, so an identity belongs
	// in one component. Left out: a new identity.
	ExistingIdentityID pulumi.StringInput `pulumi:"existingIdentityId,optional"`
	// RoleAssignments are roles that the identity has besides those that mounts give it. Left out: none.
	RoleAssignments []RoleAssignmentArgs `pulumi:"roleAssignments,optional"`

	// Namespace of the service accounts that name none, a DNS label. Required unless all of them name one. A change replaces what
	// those accounts have. Do not leave it out later where accounts then name it themselves: what they have gets other names in
	// Pulumi, Azure refuses the credentials, which are there, and going back would delete the namespace.
	Namespace string `pulumi:"namespace,optional"`
	// CreateNamespace creates the namespaces of the service accounts, each once. Left out: they exist already.
	CreateNamespace bool `pulumi:"createNamespace,optional"`
	// ExistingNamespaces are those of the service accounts' namespaces that CreateNamespace does not create, since they exist
	// already. Left out: none.
	ExistingNamespaces []string `pulumi:"existingNamespaces,optional"`
	// PodSecurity is the Pod Security Standard that the created namespaces enforce: restricted, baseline or privileged
	// (https://kubernetes.io/docs/concepts/security/pod-security-standards/). Left out: no label, so the cluster's default. Only with
	// CreateNamespace.
	PodSecurity string `pulumi:"podSecurity,optional"`
	// NamespaceLabels are labels of the created namespaces. Left out: none but that of PodSecurity. Only with CreateNamespace.
	NamespaceLabels map[string]string `pulumi:"namespaceLabels,optional"`
	// ServiceAccounts that may act as the identity, at least one. Azure allows 20 federated credentials on an identity, and every
	// service account has one for each issuer. A name is unique in its namespace.
	ServiceAccounts []ServiceAccountArgs `pulumi:"serviceAccounts"`
}

// WorkloadIdentity is a managed identity that service accounts of a cluster can act as, without a password anywhere: Entra trusts
// the tokens that the cluster issues to them.
//
// Its Kubernetes objects go through the Kubernetes provider in the component's options ([AksWithCsi.InCluster], pulumi.Provider or
// pulumi.Providers, or a parent's); without one it returns an error, so that nothing lands in whatever cluster the machine's kubeconfig points at. A
// component that creates neither a namespace nor a service account needs none.
type WorkloadIdentity struct {
	pulumi.ResourceState
	withObjects

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
	// ServiceAccounts are the accounts' names, in the order of the arguments. Each is ready for a pod: it resolves once the account,
	// its federated credentials and RoleAssignments exist.
	ServiceAccounts pulumi.StringArrayOutput `pulumi:"serviceAccounts"`
}

// NewWorkloadIdentity registers an identity, its federated credentials and the service accounts. It returns [Violations] before
// anything is registered if arguments are invalid.
func NewWorkloadIdentity(ctx *pulumi.Context, name string, args *WorkloadIdentityArgs, opts ...pulumi.ResourceOption) (*WorkloadIdentity, error) {
	if args == nil {
		args = &WorkloadIdentityArgs{}
	}
	if err := args.validateAll().Err(); err != nil {
		return nil, fmt.Errorf("arguments of %s: %w", name, err)
	}

	c := &WorkloadIdentity{}
	// What the cluster tells is not among them: the identity would wait for the cluster.
	inputs := pulumi.Map{
		"namespace":       pulumi.String(args.Namespace),
		"serviceAccounts": pulumi.ToStringArray(names(args.ServiceAccounts, func(s ServiceAccountArgs) string { return s.Name })),
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
		if err := c.placeObjects(name, c); err != nil {
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
func (c *WorkloadIdentity) newIdentity(ctx *pulumi.Context, name string, args *WorkloadIdentityArgs) (credentialTarget, error) {
	if args.ExistingIdentityID != nil {
		return c.lookUpIdentity(ctx, args.ExistingIdentityID), nil
	}
	identity, err := managedidentity.NewUserAssignedIdentity(ctx, name+"-identity", &managedidentity.UserAssignedIdentityArgs{
		ResourceGroupName: args.ResourceGroupName,
		Location:          args.Location,
		ResourceName:      optional(args.IdentityName),
		Tags:              args.Tags,
	}, pulumi.Parent(c))
	if err != nil {
		return credentialTarget{}, fmt.Errorf("creating the identity: %w", err)
	}
	c.IdentityID = identity.ID().ToStringOutput()
	c.ClientID = identity.ClientId
	c.PrincipalID = identity.PrincipalId
	c.TenantID = identity.TenantId
	return credentialTarget{args.ResourceGroupName, identity.Name}, nil
}

func (c *WorkloadIdentity) lookUpIdentity(ctx *pulumi.Context, id pulumi.StringInput) credentialTarget {
	parts := id.ToStringOutput().ApplyT(func(id string) ([]string, error) {
		match := identityID.FindStringSubmatch(id)
		if match == nil {
			return nil, Violations{{Path: "existingIdentityId", Given: quote(id), Allowed: "the ARM id of a user-assigned identity"}}
		}
		return match[1:], nil
	}).(pulumi.StringArrayOutput)
	found := managedidentity.LookupUserAssignedIdentityOutput(ctx, managedidentity.LookupUserAssignedIdentityOutputArgs{
		ResourceGroupName: parts.Index(pulumi.Int(0)), ResourceName: parts.Index(pulumi.Int(1)),
	}, pulumi.Parent(c))
	// The provider looks only in its own subscription, and would also write the credentials there. What follows uses only what was
	// checked: another identity of the same name may not get the roles either. Upper and lower case are Azure's.
	checked := pulumi.All(id, found).ApplyT(func(all []any) (map[string]string, error) {
		given, found := all[0].(string), all[1].(managedidentity.LookupUserAssignedIdentityResult)
		if !strings.EqualFold(given, found.Id) {
			return nil, Violations{{Path: "existingIdentityId", Given: quote(given),
				Allowed: "an identity in the Azure provider's subscription, which has " + found.Id}}
		}
		parts := identityID.FindStringSubmatch(found.Id)
		return map[string]string{
			"id": found.Id, "group": parts[1], "name": parts[2],
			"clientId": found.ClientId, "principalId": found.PrincipalId, "tenantId": found.TenantId,
		}, nil
	}).(pulumi.StringMapOutput)
	of := func(key string) pulumi.StringOutput { return checked.MapIndex(pulumi.String(key)) }
	c.IdentityID, c.ClientID, c.PrincipalID, c.TenantID = of("id"), of("clientId"), of("principalId"), of("tenantId")
	return credentialTarget{of("group"), of("name")}
}

var identityID = regexp.MustCompile(
	`(?i)^/subscriptions/[^/]+/resourceGroups/([^/]+)/providers/Microsoft\.ManagedIdentity/userAssignedIdentities/([^/]+)$`)

// Validate checks every plain argument and returns all violations.
func (args *WorkloadIdentityArgs) Validate() Violations {
	var v Violations
	if args.IdentityName != "" {
		v.match(identityName, "identityName", args.IdentityName,
			"3-128 letters, digits, dashes and underscores, a letter or digit first")
		v.check(args.ExistingIdentityID == nil, "identityName", args.IdentityName, "nothing with existingIdentityId")
	}
	v.validateRoleAssignments("roleAssignments", args.RoleAssignments)
	v.validateNamespaces(args)
	v.validateServiceAccounts(args)
	v.validateIssuers(args)
	return v
}

// validateAll is Validate and that no input is missing.
func (args *WorkloadIdentityArgs) validateAll() Violations {
	v := args.Validate()
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
	return v
}
