package components

import (
	"fmt"
	"regexp"
	"strings"

	managedidentity "github.com/pulumi/pulumi-azure-native-sdk/managedidentity/v2/v20230131"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

const workloadIdentityType = "keyvaultaks:index:WorkloadIdentity"

// https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations and
// https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftmanagedidentity
const (
	credentialsMax    = 20
	credentialNameMax = 120
	// tokenAudience is what AKS asks for when it issues a token to exchange with Entra.
	tokenAudience = "api://AzureADTokenExchange"
)

var identityName = regexp.MustCompile(`^[0-9a-zA-Z][0-9a-zA-Z_-]{2,127}$`)

// WorkloadIdentityArgs are the arguments of [NewWorkloadIdentity].
type WorkloadIdentityArgs struct {
	// ResourceGroupName is the resource group that holds the identity. Required.
	ResourceGroupName pulumi.StringInput `pulumi:"resourceGroupName"`
	// Location of the identity, such as eastus. Left out: the provider's location, or the resource group's.
	Location pulumi.StringPtrInput `pulumi:"location,optional"`
	// Tags of the identity. Left out: none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`
	// IssuerURL is the issuer of the cluster's service account tokens. Required.
	IssuerURL pulumi.StringInput `pulumi:"issuerUrl"`

	// IdentityName is 3-128 letters, digits, dashes and underscores, a letter or digit first. Left out: Pulumi names the
	// identity. A change replaces it.
	IdentityName string `pulumi:"identityName,optional"`
	// Namespace of the service accounts, a DNS label. Required.
	Namespace string `pulumi:"namespace"`
	// CreateNamespace creates the namespace. Left out: it exists already.
	CreateNamespace bool `pulumi:"createNamespace,optional"`
	// ServiceAccounts that may act as the identity, 1-20, which is Azure's limit of federated credentials. Names are unique.
	ServiceAccounts []ServiceAccountArgs `pulumi:"serviceAccounts"`
}

// ServiceAccountArgs is one service account that the component creates.
type ServiceAccountArgs struct {
	// Name of the service account, a DNS subdomain; with the namespace at most 119 characters, since both name the federated
	// credential. Required.
	Name string `pulumi:"name"`
}

// WorkloadIdentity is a managed identity that service accounts of a cluster can act as, without a password anywhere: Entra trusts
// the tokens that the cluster issues to them.
//
// Its Kubernetes objects go through the Kubernetes provider in the component's options (pulumi.Provider or pulumi.Providers, or
// a parent's); without one it returns an error, so that nothing lands in whatever cluster the machine's kubeconfig points at.
type WorkloadIdentity struct {
	pulumi.ResourceState

	// IdentityID is the identity's ARM id.
	IdentityID pulumi.StringOutput `pulumi:"identityId"`
	// ClientID is what applications sign in as.
	ClientID pulumi.StringOutput `pulumi:"clientId"`
	// PrincipalID is what roles are assigned to.
	PrincipalID pulumi.StringOutput `pulumi:"principalId"`
	// TenantID is the identity's Entra tenant.
	TenantID pulumi.StringOutput `pulumi:"tenantId"`
	// Namespace resolves once the namespace exists.
	Namespace pulumi.StringOutput `pulumi:"namespace"`
	// ServiceAccounts are the accounts' names, in the order of the arguments; each is ready for a pod once the account and its
	// federated credential exist.
	ServiceAccounts pulumi.StringArrayOutput `pulumi:"serviceAccounts"`
}

// NewWorkloadIdentity registers an identity, its federated credentials and the service accounts. It returns [Violations] before
// anything is registered if arguments are invalid.
func NewWorkloadIdentity(ctx *pulumi.Context, name string, args *WorkloadIdentityArgs, opts ...pulumi.ResourceOption) (*WorkloadIdentity, error) {
	if args == nil {
		args = &WorkloadIdentityArgs{}
	}
	violations := args.Validate()
	violations.required("resourceGroupName", args.ResourceGroupName)
	violations.required("issuerUrl", args.IssuerURL)
	if err := violations.Err(); err != nil {
		return nil, fmt.Errorf("arguments of %s: %w", name, err)
	}

	c := &WorkloadIdentity{}
	inputs := pulumi.Map{
		"resourceGroupName": args.ResourceGroupName,
		"issuerUrl":         args.IssuerURL,
		"namespace":         pulumi.String(args.Namespace),
		"serviceAccounts":   pulumi.ToStringArray(names(args.ServiceAccounts, func(s ServiceAccountArgs) string { return s.Name })),
	}
	if err := ctx.RegisterComponentResourceV2(workloadIdentityType, name, inputs, c, opts...); err != nil {
		return nil, fmt.Errorf("registering %s: %w", name, err)
	}
	if err := requireKubernetesProvider(name, c); err != nil {
		return nil, err
	}
	identity, err := managedidentity.NewUserAssignedIdentity(ctx, name+"-identity", &managedidentity.UserAssignedIdentityArgs{
		ResourceGroupName: args.ResourceGroupName,
		Location:          args.Location,
		ResourceName:      optional(args.IdentityName),
		Tags:              args.Tags,
	}, pulumi.Parent(c))
	if err != nil {
		return nil, fmt.Errorf("creating the identity: %w", err)
	}
	c.IdentityID = identity.ID().ToStringOutput()
	c.ClientID = identity.ClientId
	c.PrincipalID = identity.PrincipalId
	c.TenantID = identity.TenantId
	if c.Namespace, err = c.newNamespace(ctx, name, args); err != nil {
		return nil, err
	}
	if c.ServiceAccounts, err = c.newServiceAccounts(ctx, name, args, identity); err != nil {
		return nil, err
	}
	outputs := pulumi.Map{
		"identityId": c.IdentityID, "clientId": c.ClientID, "principalId": c.PrincipalID, "tenantId": c.TenantID,
		"namespace": c.Namespace, "serviceAccounts": c.ServiceAccounts,
	}
	if err := ctx.RegisterResourceOutputs(c, outputs); err != nil {
		return nil, fmt.Errorf("registering outputs of %s: %w", name, err)
	}
	return c, nil
}

func (c *WorkloadIdentity) newNamespace(ctx *pulumi.Context, name string, args *WorkloadIdentityArgs) (pulumi.StringOutput, error) {
	namespace := pulumi.String(args.Namespace).ToStringOutput()
	if !args.CreateNamespace {
		return namespace, nil
	}
	created, err := corev1.NewNamespace(ctx, name+"-namespace", &corev1.NamespaceArgs{
		Metadata: metav1.ObjectMetaArgs{Name: namespace},
	}, pulumi.Parent(c))
	if err != nil {
		return namespace, fmt.Errorf("creating the namespace: %w", err)
	}
	return after(ctx, namespace, created), nil
}

func (c *WorkloadIdentity) newServiceAccounts(ctx *pulumi.Context, name string, args *WorkloadIdentityArgs, identity *managedidentity.UserAssignedIdentity) (pulumi.StringArrayOutput, error) {
	ready := pulumi.StringArray{}
	var previous []pulumi.Resource
	for _, account := range args.ServiceAccounts {
		credential, err := managedidentity.NewFederatedIdentityCredential(ctx, name+"-credential-"+account.Name,
			&managedidentity.FederatedIdentityCredentialArgs{
				ResourceGroupName:                       args.ResourceGroupName,
				ResourceName:                            identity.Name,
				FederatedIdentityCredentialResourceName: pulumi.String(credentialName(args.Namespace, account.Name)),
				Issuer:                                  args.IssuerURL,
				Subject:                                 pulumi.Sprintf("system:serviceaccount:%s:%s", args.Namespace, account.Name),
				Audiences:                               pulumi.StringArray{pulumi.String(tokenAudience)},
				// Azure answers 409 to concurrent writes on one identity.
			}, pulumi.Parent(c), pulumi.DependsOn(previous))
		if err != nil {
			return pulumi.StringArrayOutput{}, fmt.Errorf("creating the federated credential of %s: %w", account.Name, err)
		}
		created, err := corev1.NewServiceAccount(ctx, name+"-account-"+account.Name, &corev1.ServiceAccountArgs{
			Metadata: metav1.ObjectMetaArgs{
				Name:        pulumi.String(account.Name),
				Namespace:   c.Namespace,
				Annotations: pulumi.StringMap{"azure.workload.identity/client-id": c.ClientID},
			},
		}, pulumi.Parent(c))
		if err != nil {
			return pulumi.StringArrayOutput{}, fmt.Errorf("creating the service account %s: %w", account.Name, err)
		}
		ready = append(ready, after(ctx, pulumi.String(account.Name).ToStringOutput(), created, credential))
		previous = []pulumi.Resource{credential}
	}
	return ready.ToStringArrayOutput(), nil
}

// credentialName is unique in an identity: neither a namespace nor a service account can contain an underscore, and a namespace
// contains no dot.
func credentialName(namespace, account string) string {
	return namespace + "_" + strings.ReplaceAll(account, ".", "_")
}

// Validate checks every plain argument and returns all violations.
func (args *WorkloadIdentityArgs) Validate() Violations {
	var v Violations
	if args.IdentityName != "" {
		v.match(identityName, "identityName", args.IdentityName,
			"3-128 letters, digits, dashes and underscores, a letter or digit first")
	}
	v.dnsLabel("namespace", args.Namespace)
	v.check(len(args.ServiceAccounts) >= 1 && len(args.ServiceAccounts) <= credentialsMax, "serviceAccounts",
		len(args.ServiceAccounts), fmt.Sprintf("1-%d service accounts", credentialsMax))
	seen := map[string]bool{}
	for i, account := range args.ServiceAccounts {
		path := fmt.Sprintf("serviceAccounts[%d].name", i)
		v.dnsSubdomain(path, account.Name)
		v.check(!seen[account.Name], path, account.Name, "a name used once in the list")
		seen[account.Name] = true
		credential := credentialName(args.Namespace, account.Name)
		v.check(len(credential) <= credentialNameMax, path, account.Name,
			fmt.Sprintf("at most %d characters together with the namespace", credentialNameMax-1))
	}
	return v
}
