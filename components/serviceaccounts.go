package components

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	managedidentity "github.com/pulumi/pulumi-azure-native-sdk/managedidentity/v2/v20230131"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations and
// https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftmanagedidentity
const (
	credentialsMax    = 20
	credentialNameMax = 120
	// defaultTokenAudience is the only audience that the provider of the CSI driver accepts.
	defaultTokenAudience = "api://AzureADTokenExchange"
)

// https://learn.microsoft.com/entra/workload-id/workload-identity-federation-create-trust-user-assigned-managed-identity
var tokenAudienceRule = regexp.MustCompile(`^\S{1,600}$`)

// credentialNameRule is Azure's rule for the names of credentials:
// https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftmanagedidentity
var credentialNameRule = regexp.MustCompile(`^[0-9a-zA-Z][0-9a-zA-Z_-]{2,119}$`)

const (
	clientIDAnnotation = "azure.workload.identity/client-id"
	podSecurityLabel   = "pod-security.kubernetes.io/enforce"
)

// ServiceAccountArgs is a service account that may use the identity.
type ServiceAccountArgs struct {
	// Name of the service account, a DNS subdomain. Together with the namespace and, for a further cluster, the issuer's
	// name, it names the federated credential, with at most 120 characters. Not default, which Kubernetes creates in every
	// namespace, unless Existing. Required.
	Name string `pulumi:"name"`
	// Namespace of the service account, a DNS label. Defaults to the component's.
	Namespace string `pulumi:"namespace,optional"`
	// Existing says that the service account is created elsewhere. It stays unchanged: only its federated credentials are
	// created. Mounts need nothing else. For pods that use Azure's SDKs, the account needs the annotation
	// azure.workload.identity/client-id with the identity's client id. If the component created the account before,
	// setting Existing deletes it. Defaults to false: the component creates the service account.
	Existing bool `pulumi:"existing,optional"`
	// Annotations of the service account besides azure.workload.identity/client-id, which it always has. Defaults to
	// none. Not with Existing.
	Annotations map[string]string `pulumi:"annotations,optional"`
	// Labels of the service account. Defaults to none. Not with Existing.
	Labels map[string]string `pulumi:"labels,optional"`
	// CredentialName is the name of the account's federated credential for IssuerURL, for a credential whose name must not
	// change, such as one that pulumi import takes over: 3-120 letters, digits, dashes and underscores, starting with a
	// letter or digit, unique in the identity. Defaults to a name derived from the account's. A change replaces the
	// credential, so the service account briefly cannot use the identity.
	CredentialName string `pulumi:"credentialName,optional"`
}

// IssuerArgs describe a further cluster to an identity.
type IssuerArgs struct {
	// Name distinguishes the clusters, a DNS label, unique in the list. It is a part of the credentials' names, so keep it
	// short. Required. An identity has one credential for each issuer and account, so Azure refuses to rename a cluster,
	// or to make it the one of IssuerURL instead, in a single update. Remove the cluster in one update and add it again in
	// the next.
	Name string `pulumi:"name"`
	// URL is the issuer of the cluster's service account tokens, different for each cluster. Required.
	URL pulumi.StringInput `pulumi:"url"`
}

func (args *WorkloadIdentityArgs) namespaceOf(account ServiceAccountArgs) string {
	return withDefault(account.Namespace, args.Namespace)
}

// resourceName returns the name of an account's resources in Pulumi, and the name that earlier versions used: in the
// component's own namespace, the account's alone.
func (args *WorkloadIdentityArgs) resourceName(prefix string, account ServiceAccountArgs, suffix string,
) (string, pulumi.ResourceOption) {
	namespace := args.namespaceOf(account)
	name := prefix + namespace + "_" + account.Name + suffix
	if namespace != args.Namespace {
		return name, pulumi.Aliases(nil)
	}
	return name, pulumi.Aliases([]pulumi.Alias{{Name: pulumi.String(prefix + account.Name + suffix)}})
}

// createsObjects reports whether the component creates anything in the cluster.
func (args *WorkloadIdentityArgs) createsObjects() bool {
	return args.CreateNamespace || slices.ContainsFunc(args.ServiceAccounts,
		func(s ServiceAccountArgs) bool { return !s.Existing })
}

// newNamespaces creates the namespaces that do not exist. Each name resolves once its namespace exists.
func (c *WorkloadIdentity) newNamespaces(
	ctx *pulumi.Context, name string, args *WorkloadIdentityArgs,
) (map[string]pulumi.StringOutput, error) {
	namespaces := map[string]pulumi.StringOutput{}
	if c.Cluster = args.Cluster; missing(c.Cluster.Provider) {
		c.Cluster.Provider = c.GetProvider("kubernetes:core/v1:Namespace")
	}
	for _, account := range args.ServiceAccounts {
		namespace := args.namespaceOf(account)
		if _, ok := namespaces[namespace]; ok {
			continue
		}
		namespaces[namespace] = pulumi.String(namespace).ToStringOutput()
		if !args.CreateNamespace || slices.Contains(args.ExistingNamespaces, namespace) {
			continue
		}
		var aliases []pulumi.Alias
		if namespace == args.Namespace { // what earlier versions called it
			aliases = []pulumi.Alias{{Name: pulumi.String(name + "-namespace")}}
		}
		created, err := c.objects.add(ctx, "v1", "Namespace", name+"-namespace-"+namespace,
			pulumi.Map{"metadata": metadata{name: namespace, labels: args.namespaceLabels()}.input()},
			pulumi.Aliases(aliases))
		if err != nil {
			return nil, fmt.Errorf("namespace %s: %w", namespace, err)
		}
		namespaces[namespace] = after(ctx, namespaces[namespace], created)
		c.Cluster = c.Cluster.After(created)
	}
	return namespaces, nil
}

func (args *WorkloadIdentityArgs) namespaceLabels() map[string]string {
	security := map[string]string{podSecurityLabel: string(withDefault(args.PodSecurity, PodSecurityRestricted))}
	return withLabels(args.Labels, args.NamespaceLabels, security)
}

// newServiceAccount creates the service account unless it exists. Its name resolves once the account and the namespace
// exist.
func (c *WorkloadIdentity) newServiceAccount(
	ctx *pulumi.Context, name string, args *WorkloadIdentityArgs, account ServiceAccountArgs,
	namespace pulumi.StringOutput,
) (pulumi.StringOutput, error) {
	ready := namespace.ApplyT(func(string) string { return account.Name }).(pulumi.StringOutput)
	if account.Existing {
		return ready, nil
	}
	annotations := pulumi.ToStringMap(account.Annotations)
	annotations[clientIDAnnotation] = c.ClientID
	resourceName, alias := args.resourceName(name+"-account-", account, "")
	created, err := c.objects.add(ctx, "v1", "ServiceAccount", resourceName, pulumi.Map{"metadata": metadata{
		name: account.Name, namespace: namespace, annotations: annotations,
		labels: withLabels(args.Labels, account.Labels),
	}.input()}, deletedAtOnce, alias)
	if err != nil {
		return ready, fmt.Errorf("service account %s: %w", account.Name, err)
	}
	return after(ctx, ready, created), nil
}

// newCredentials creates the federated credentials by which Entra trusts the tokens of every service account from every
// issuer. It returns them by account, in the order of the arguments. The first cluster's come first, so that they do
// not wait for further clusters.
func (c *WorkloadIdentity) newCredentials(
	ctx *pulumi.Context, name string, args *WorkloadIdentityArgs, target credentialTarget,
) ([][]pulumi.Resource, error) {
	credentials := make([][]pulumi.Resource, len(args.ServiceAccounts))
	var before []pulumi.Resource
	audience := withDefault(args.Audience, defaultTokenAudience)
	for _, issuer := range append([]IssuerArgs{{URL: args.IssuerURL}}, args.furtherIssuers()...) {
		for i, account := range args.ServiceAccounts {
			namespace := args.namespaceOf(account)
			resourceName, alias := args.resourceName(name+"-credential-", account, ofIssuer("", issuer.Name))
			credential, err := managedidentity.NewFederatedIdentityCredential(ctx, resourceName,
				&managedidentity.FederatedIdentityCredentialArgs{
					ResourceGroupName:                       target.resourceGroupName,
					ResourceName:                            target.identityName,
					FederatedIdentityCredentialResourceName: pulumi.String(args.credentialName(account, issuer.Name)),
					Issuer:                                  issuer.URL,
					Subject: pulumi.Sprintf("system:serviceaccount:%s:%s", namespace,
						account.Name),
					Audiences: pulumi.ToStringArray([]string{audience}),
					// Azure answers concurrent writes and deletes on one identity with 409. Each credential depends on all before it:
					// the engine would delete two at once if only a credential that stays were between them.
				}, pulumi.Parent(c), pulumi.DependsOn(before), alias)
			if err != nil {
				return nil, fmt.Errorf("creating the federated credential of %s: %w", account.Name, err)
			}
			credentials[i] = append(credentials[i], credential)
			before = append(before, credential)
		}
	}
	return credentials, nil
}

// furtherIssuers returns AdditionalIssuers whose URLs fail if two clusters have the same one. Azure would refuse a
// second credential for the same issuer and subject only after the first was created.
func (args *WorkloadIdentityArgs) furtherIssuers() []IssuerArgs {
	issuers := slices.Clone(args.AdditionalIssuers)
	before := pulumi.StringArray{args.IssuerURL}
	for i := range issuers {
		before = append(before, issuers[i].URL)
		path := fmt.Sprintf("additionalIssuers[%d].url", i)
		issuers[i].URL = before.ToStringArrayOutput().ApplyT(func(urls []string) (string, error) {
			url := urls[len(urls)-1]
			if slices.Contains(urls[:len(urls)-1], url) {
				return "", invalid(path, quote(url), "an issuer that no other cluster has")
			}
			return url, nil
		}).(pulumi.StringOutput)
	}
	return issuers
}

// credentialName returns the name of an account's credential for an issuer.
func (args *WorkloadIdentityArgs) credentialName(account ServiceAccountArgs, issuer string) string {
	if account.CredentialName != "" && issuer == "" {
		return account.CredentialName
	}
	return credentialName(args.namespaceOf(account), account.Name, issuer)
}

// credentialName returns a name that is unique in an identity: namespaces, service accounts and issuers contain no
// underscore, a namespace contains no dot, and a service account no two dots in a row.
func credentialName(namespace, account, issuer string) string {
	return ofIssuer(namespace+"_"+strings.ReplaceAll(account, ".", "_"), issuer)
}

// ofIssuer returns the name for a further cluster. The first cluster's issuer has no name.
func ofIssuer(name, issuer string) string {
	if issuer == "" {
		return name
	}
	return name + "__" + issuer
}

func (v *violations) validateNamespaces(args *WorkloadIdentityArgs) {
	needed := slices.ContainsFunc(args.ServiceAccounts, func(s ServiceAccountArgs) bool { return s.Namespace == "" })
	if args.Namespace != "" || needed {
		v.dnsLabel("namespace", args.Namespace)
	}
	var used []string
	for i, account := range args.ServiceAccounts {
		used = append(used, args.namespaceOf(account))
		if account.Namespace != "" {
			v.dnsLabel(fmt.Sprintf("serviceAccounts[%d].namespace", i), account.Namespace)
		}
	}
	for i, namespace := range args.ExistingNamespaces {
		v.check(slices.Contains(used, namespace), fmt.Sprintf("existingNamespaces[%d]", i), namespace,
			"the namespace of a service account")
	}
	if args.PodSecurity != "" {
		oneOf(v, "podSecurity", args.PodSecurity, PodSecurityRestricted, PodSecurityBaseline, PodSecurityPrivileged)
	}
	v.validateLabels("namespaceLabels", args.NamespaceLabels, podSecurityLabel, namespaceNameLabel)
	v.validateNamespaceLabels("namespaceLabels", args.NamespaceLabels)
	v.validateReservedNames(args)
	if !args.CreateNamespace {
		const allowed = "nothing without createNamespace"
		v.check(len(args.ExistingNamespaces) == 0, "existingNamespaces", strings.Join(args.ExistingNamespaces, ", "),
			allowed)
		v.check(args.PodSecurity == "", "podSecurity", args.PodSecurity, allowed)
		v.check(len(args.NamespaceLabels) == 0, "namespaceLabels", len(args.NamespaceLabels), allowed)
	}
}

func (v *violations) validateServiceAccounts(args *WorkloadIdentityArgs) {
	v.check(len(args.ServiceAccounts) >= 1 && len(args.ServiceAccounts) <= credentialsMax, "serviceAccounts",
		len(args.ServiceAccounts), fmt.Sprintf("1-%d service accounts", credentialsMax))
	longest := ""
	for _, issuer := range args.AdditionalIssuers {
		if len(issuer.Name) > len(longest) {
			longest = issuer.Name
		}
	}
	seen, credentials := map[string]bool{}, map[string]bool{}
	for i, account := range args.ServiceAccounts {
		path := fmt.Sprintf("serviceAccounts[%d]", i)
		v.dnsSubdomain(path+".name", account.Name)
		if account.CredentialName != "" {
			v.match(credentialNameRule, path+".credentialName", account.CredentialName,
				"3-120 letters, digits, dashes and underscores, starting with a letter or digit")
		}
		for _, issuer := range append([]IssuerArgs{{}}, args.AdditionalIssuers...) {
			credential := strings.ToLower(args.credentialName(account, issuer.Name))
			v.check(account.CredentialName == "" || !credentials[credential], path+".credentialName",
				account.CredentialName, "a name that no other credential of the identity has")
			credentials[credential] = true
		}
		name := args.namespaceOf(account) + "/" + account.Name
		v.check(!seen[name], path+".name", account.Name, "a name used once in its namespace")
		seen[name] = true
		credential := credentialName(args.namespaceOf(account), account.Name, longest)
		v.check(len(credential) <= credentialNameMax, path+".name", account.Name,
			fmt.Sprintf("a name short enough for a credential that is named %s: %d characters at most, not %d",
				credential, credentialNameMax, len(credential)))
		if account.Existing {
			const allowed = "nothing for an existing service account"
			v.check(len(account.Annotations) == 0, path+".annotations", len(account.Annotations), allowed)
			v.check(len(account.Labels) == 0, path+".labels", len(account.Labels), allowed)
			continue
		}
		v.validateAnnotations(path+".annotations", account.Annotations, clientIDAnnotation)
		v.validateAccountAnnotations(path+".annotations", account.Annotations)
		v.validateLabels(path+".labels", account.Labels)
	}
}

func (v *violations) validateIssuers(args *WorkloadIdentityArgs) {
	seen := map[string]bool{}
	for i, issuer := range args.AdditionalIssuers {
		path := fmt.Sprintf("additionalIssuers[%d].name", i)
		v.dnsLabel(path, issuer.Name)
		v.check(!seen[issuer.Name], path, issuer.Name, "a name used once in the list")
		seen[issuer.Name] = true
	}
	// Too many accounts are reported as a violation of their own.
	credentials := len(args.ServiceAccounts) * (1 + len(args.AdditionalIssuers))
	v.check(credentials <= credentialsMax || len(args.ServiceAccounts) > credentialsMax, "additionalIssuers",
		len(args.AdditionalIssuers),
		fmt.Sprintf("as many as leave at most %d federated credentials: %d service accounts with one for each issuer "+
			"take %d",
			credentialsMax, len(args.ServiceAccounts), credentials))
}
