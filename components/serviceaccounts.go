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
	// defaultTokenAudience is what a token must be issued for, or the provider of the CSI driver does not take it.
	defaultTokenAudience = "api://AzureADTokenExchange"
)

// https://learn.microsoft.com/entra/workload-id/workload-identity-federation-create-trust-user-assigned-managed-identity
var tokenAudienceRule = regexp.MustCompile(`^\S{1,600}$`)

// credentialNameRule is Azure's rule for what names a credential:
// https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftmanagedidentity
var credentialNameRule = regexp.MustCompile(`^[0-9a-zA-Z][0-9a-zA-Z_-]{2,119}$`)

const (
	clientIDAnnotation = "azure.workload.identity/client-id"
	podSecurityLabel   = "pod-security.kubernetes.io/enforce"
)

// ServiceAccountArgs is one service account that may act as the identity.
type ServiceAccountArgs struct {
	// Name of the service account, a DNS subdomain. It names the federated credential together with its namespace and,
	// for a further cluster, the issuer's name, 120 characters at most. Not default, which Kubernetes makes in every
	// namespace, unless Existing. Required.
	Name string `pulumi:"name"`
	// Namespace of the service account, a DNS label. Defaults to the component's.
	Namespace string `pulumi:"namespace,optional"`
	// Existing says that the service account is there, or made by somebody else, and stays as it is: only its federated
	// credentials are made. Mounts need nothing else; pods that use Azure's SDKs need the account to have the
	// annotation azure.workload.identity/client-id with the identity's client id. One that the component has
	// created before is deleted when Existing is set. Defaults to false: the service account is created.
	Existing bool `pulumi:"existing,optional"`
	// Annotations of the service account besides azure.workload.identity/client-id, which it always has. Defaults to
	// none. Not with Existing.
	Annotations map[string]string `pulumi:"annotations,optional"`
	// Labels of the service account. Defaults to none. Not with Existing.
	Labels map[string]string `pulumi:"labels,optional"`
	// CredentialName is the name of the account's federated credential for IssuerURL, for one that has its name
	// already, such as a credential that pulumi import takes up: 3-120 letters, digits, dashes and underscores, a
	// letter or digit first, unique in the identity. Defaults to a name made of the account's. A change replaces the
	// credential, and for that moment nobody can act as the identity through it.
	CredentialName string `pulumi:"credentialName,optional"`
}

// IssuerArgs is a further cluster, as far as an identity has to know it.
type IssuerArgs struct {
	// Name tells the clusters apart, a DNS label, unique in the list; it is a part of the credentials' names, so short
	// is better. Required. An identity has one credential for an issuer and account, so that Azure refuses a change,
	// and the same cluster as IssuerURL instead: take the cluster out in an update of its own, and put it in again in
	// the next.
	Name string `pulumi:"name"`
	// URL is the issuer of the cluster's service account tokens, another one for each cluster. Required.
	URL pulumi.StringInput `pulumi:"url"`
}

func (args *WorkloadIdentityArgs) namespaceOf(account ServiceAccountArgs) string {
	return withDefault(account.Namespace, args.Namespace)
}

// resourceName names what an account has in Pulumi, and what earlier versions called that: in the component's own
// namespace, by the account alone.
func (args *WorkloadIdentityArgs) resourceName(prefix string, account ServiceAccountArgs, suffix string,
) (string, pulumi.ResourceOption) {
	namespace := args.namespaceOf(account)
	name := prefix + namespace + "_" + account.Name + suffix
	if namespace != args.Namespace {
		return name, pulumi.Aliases(nil)
	}
	return name, pulumi.Aliases([]pulumi.Alias{{Name: pulumi.String(prefix + account.Name + suffix)}})
}

// createsObjects says whether anything is created in the cluster.
func (args *WorkloadIdentityArgs) createsObjects() bool {
	return args.CreateNamespace || slices.ContainsFunc(args.ServiceAccounts,
		func(s ServiceAccountArgs) bool { return !s.Existing })
}

// newNamespaces creates the namespaces that do not exist. Each one's name resolves once it exists.
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

// newServiceAccount creates the service account unless it exists. Its name resolves once it does, and the namespace.
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

// newCredentials makes Entra trust the tokens of every service account from every issuer. They are returned by account,
// in the order of the arguments. The first cluster's come first, so that they do not wait for further clusters.
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
					// Azure answers 409 to concurrent writes and deletes on one identity. Each waits for all before it,
					// since the engine would delete two at once that depend on each other only through one that stays.
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

// furtherIssuers are AdditionalIssuers whose URLs fail if two clusters have the same one: Azure would refuse a second
// credential for the same issuer and subject only after the first was made.
func (args *WorkloadIdentityArgs) furtherIssuers() []IssuerArgs {
	issuers := slices.Clone(args.AdditionalIssuers)
	before := pulumi.StringArray{args.IssuerURL}
	for i := range issuers {
		before = append(before, issuers[i].URL)
		path := fmt.Sprintf("additionalIssuers[%d].url", i)
		issuers[i].URL = before.ToStringArrayOutput().ApplyT(func(urls []string) (string, error) {
			url := urls[len(urls)-1]
			if slices.Contains(urls[:len(urls)-1], url) {
				return "", invalid(path, quote(url), "an issuer that no cluster before it has")
			}
			return url, nil
		}).(pulumi.StringOutput)
	}
	return issuers
}

// credentialName is what an account's credential for an issuer is called.
func (args *WorkloadIdentityArgs) credentialName(account ServiceAccountArgs, issuer string) string {
	if account.CredentialName != "" && issuer == "" {
		return account.CredentialName
	}
	return credentialName(args.namespaceOf(account), account.Name, issuer)
}

// credentialName is unique in an identity: neither a namespace, a service account nor an issuer can contain an
// underscore, a namespace contains no dot and a service account no two in a row.
func credentialName(namespace, account, issuer string) string {
	return ofIssuer(namespace+"_"+strings.ReplaceAll(account, ".", "_"), issuer)
}

// ofIssuer is the name for a further cluster; the first one's issuer has no name.
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
				"3-120 letters, digits, dashes and underscores, a letter or digit first")
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
			const allowed = "nothing for a service account that exists"
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
	// Too many accounts are a violation of their own.
	credentials := len(args.ServiceAccounts) * (1 + len(args.AdditionalIssuers))
	v.check(credentials <= credentialsMax || len(args.ServiceAccounts) > credentialsMax, "additionalIssuers",
		len(args.AdditionalIssuers),
		fmt.Sprintf("as many as leave at most %d federated credentials: %d service accounts with one for each issuer "+
			"take %d",
			credentialsMax, len(args.ServiceAccounts), credentials))
}
