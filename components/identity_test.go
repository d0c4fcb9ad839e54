package components_test

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"pgregory.net/rapid"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

func identityArgs() *components.WorkloadIdentityArgs {
	return &components.WorkloadIdentityArgs{
		ResourceGroupName: pulumi.String("group"),
		IssuerURL:         pulumi.String(mockengine.IssuerURL),
		IdentityName:      "uai",
		Namespace:         "ns",
		CreateNamespace:   true,
		ServiceAccounts:   []components.ServiceAccountArgs{{Name: "one"}, {Name: "two.x"}, {Name: "three"}},
	}
}

func newIdentity(
	ctx *pulumi.Context, name string, args *components.WorkloadIdentityArgs,
) (*components.WorkloadIdentity, error) {
	provider, err := kubernetes.NewProvider(ctx, name+"-k8s", &kubernetes.ProviderArgs{Kubeconfig: pulumi.String("{}")})
	if err != nil {
		return nil, err
	}
	return components.NewWorkloadIdentity(ctx, name, args, pulumi.Provider(provider))
}

// TestCredentialName_AppliesToFirstCluster gives an account's credential a name, which the credentials for further
// clusters cannot share.
func TestCredentialName_AppliesToFirstCluster(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		args := identityArgs()
		args.ServiceAccounts[0].CredentialName = "theirs"
		args.AdditionalIssuers = []components.IssuerArgs{{Name: "west", URL: pulumi.String("https://west.example/")}}
		_, err := newIdentity(ctx, "identity", args)
		return err
	})
	for resource, name := range map[string]string{"ns_one": "theirs", "ns_one__west": "ns_one__west",
		"ns_three": "ns_three"} {
		wantInputs(t, e.Get(t, "identity-credential-"+resource),
			map[string]any{"federatedIdentityCredentialResourceName": name})
	}
}

func TestServiceAccounts_GetCredentials(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := newIdentity(ctx, "identity", identityArgs())
		return err
	})
	wantInputs(t, e.Get(t, "identity-identity"), map[string]any{"resourceName": "uai", "resourceGroupName": "group"})
	wantInputs(t, e.Get(t, "identity-namespace-ns"), map[string]any{
		"metadata.name": "ns", "metadata.labels": map[string]any{"pod-security.kubernetes.io/enforce": "restricted"},
	})
	for account, credential := range map[string]string{"one": "ns_one", "two.x": "ns_two_x", "three": "ns_three"} {
		wantInputs(t, e.Get(t, "identity-credential-ns_"+account), map[string]any{
			"federatedIdentityCredentialResourceName": credential,
			"resourceName": "uai",
			"issuer":       mockengine.IssuerURL,
			"subject":      "system:serviceaccount:ns:" + account,
			"audiences[0]": "api://AzureADTokenExchange",
			"audiences[1]": nil,
		})
		wantInputs(t, e.Get(t, "identity-account-ns_"+account), map[string]any{
			"metadata.name":      account,
			"metadata.namespace": "ns",
			`metadata.annotations["azure.workload.identity/client-id"]`: "client-id",
		})
	}
}

func TestCredentials_TrustGivenAudience(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		args := twoClusters()
		args.Audience = "api://AzureADTokenExchangeChina"
		_, err := newIdentity(ctx, "identity", args)
		return err
	})
	for _, name := range []string{"identity-credential-ns_one", "identity-credential-other_one__west"} {
		wantInputs(t, e.Get(t, name), map[string]any{"audiences[0]": "api://AzureADTokenExchangeChina", "audiences[1]": nil})
	}
}

// Azure answers concurrent writes and deletes on one identity with 409.
func TestCredentials_AreWrittenOneAfterAnother(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := newIdentity(ctx, "identity", identityArgs())
		return err
	})
	one, two := e.Get(t, "identity-credential-ns_one"), e.Get(t, "identity-credential-ns_two.x")
	three := e.Get(t, "identity-credential-ns_three")
	if !two.WaitsFor(one) || !three.WaitsFor(two) {
		t.Error("two credentials could be written at once")
	}
	// If the second one stayed, the engine could otherwise delete the others concurrently.
	if !three.WaitsFor(one) {
		t.Error("two credentials could be deleted at once")
	}
}

// twoClusters returns accounts of the same name in two namespaces, with one existing namespace and one existing
// account.
func twoClusters() *components.WorkloadIdentityArgs {
	args := identityArgs()
	args.ServiceAccounts = []components.ServiceAccountArgs{
		{Name: "one"},
		{Name: "one", Namespace: "other", Annotations: map[string]string{"a": "b"}, Labels: map[string]string{"team": "x"}},
		{Name: "external", Namespace: "kube-system", Existing: true},
		{Name: "default", Namespace: "other", Existing: true},
	}
	args.ExistingNamespaces = []string{"kube-system"}
	args.PodSecurity = "restricted"
	args.NamespaceLabels = map[string]string{"team": "x"}
	args.AdditionalIssuers = []components.IssuerArgs{
		{Name: "west", URL: pulumi.String("https://west/")},
		{Name: "north", URL: pulumi.String("https://north/")},
	}
	return args
}

func TestServiceAccounts_OfSeveralNamespacesAndClusters(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := newIdentity(ctx, "identity", twoClusters())
		return err
	})
	for _, credential := range []string{"ns_one", "other_one", "kube-system_external"} {
		namespace, account, _ := strings.Cut(credential, "_")
		for issuer, url := range map[string]string{"": mockengine.IssuerURL, "__west": "https://west/",
			"__north": "https://north/"} {
			wantInputs(t, e.Get(t, "identity-credential-"+credential+issuer), map[string]any{
				"federatedIdentityCredentialResourceName": credential + issuer,
				"issuer":       url,
				"subject":      "system:serviceaccount:" + namespace + ":" + account,
				"audiences[0]": "api://AzureADTokenExchange",
			})
		}
	}
	wantInputs(t, e.Get(t, "identity-account-ns_one"), map[string]any{
		"metadata.name": "one", "metadata.namespace": "ns", "metadata.labels": nil,
	})
	wantInputs(t, e.Get(t, "identity-account-other_one"), map[string]any{
		"metadata.name": "one", "metadata.namespace": "other", "metadata.labels.team": "x", "metadata.annotations.a": "b",
		`metadata.annotations["azure.workload.identity/client-id"]`: "client-id",
	})
	wantRegistered(t, e, "kubernetes:core/v1:ServiceAccount", "identity-account-ns_one", "identity-account-other_one")
	wantRegistered(t, e, "kubernetes:core/v1:Namespace", "identity-namespace-ns", "identity-namespace-other")
	for _, name := range []string{"identity-namespace-ns", "identity-namespace-other"} {
		wantInputs(t, e.Get(t, name), map[string]any{
			`metadata.labels["pod-security.kubernetes.io/enforce"]`: "restricted", "metadata.labels.team": "x",
		})
	}
	if !e.Get(t, "identity-account-other_one").WaitsFor(e.Get(t, "identity-namespace-other")) {
		t.Error("an account does not wait for its namespace")
	}
}

// wantRegistered checks the names of the resources of a type.
func wantRegistered(t *testing.T, e *mockengine.Engine, typ string, want ...string) {
	t.Helper()
	var got []string
	for _, one := range e.Resources() {
		if one.Type == typ {
			got = append(got, one.Name)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("registered as %s: %v, want %v", typ, got, want)
	}
}

func TestCredentials_OfSeveralClustersAreWrittenOneAfterAnother(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := newIdentity(ctx, "identity", twoClusters())
		return err
	})
	var before []string
	for _, issuer := range []string{"", "__west", "__north"} {
		for _, account := range []string{"ns_one", "other_one", "kube-system_external", "other_default"} {
			name := "identity-credential-" + account + issuer
			for _, one := range before {
				if !e.Get(t, name).WaitsFor(e.Get(t, one)) {
					t.Errorf("%s does not wait for %s", name, one)
				}
			}
			before = append(before, name)
		}
	}
}

func TestServiceAccounts_ResolveOnceReady(t *testing.T) {
	want := [][]string{
		{
			"identity-namespace-ns", "identity-account-ns_one",
			"identity-credential-ns_one", "identity-credential-ns_one__west",
		},
		{
			"identity-namespace-other",
			"identity-account-other_one",
			"identity-credential-other_one",
			"identity-credential-other_one__north",
		},
		{"identity-credential-kube-system_external", "identity-credential-kube-system_external__west"},
		{"identity-namespace-other", "identity-credential-other_default"},
	}
	for _, dryRun := range []bool{false, true} {
		run(t, &mockengine.Engine{DryRun: dryRun}, func(ctx *pulumi.Context) error {
			args := twoClusters()
			args.RoleAssignments = roles()
			c, err := newIdentity(ctx, "identity", args)
			if err != nil {
				return err
			}
			for i, account := range args.ServiceAccounts {
				got := mockengine.Await(t, ctx, c.ServiceAccounts.Index(pulumi.Int(i)))
				if got.Value != account.Name || !got.Known {
					t.Errorf("dry run %t: got %v, known: %t", dryRun, got.Value, got.Known)
				}
				for _, resource := range append(want[i], "identity-role-reader", "identity-role-pull") {
					if !slices.Contains(resourceNames(got.Dependencies), resource) {
						t.Errorf("the name of account %d does not wait for %s", i, resource)
					}
				}
			}
			return nil
		})
	}
}

// TestWorkloadIdentity_KeepsNamesOfEarlierVersions checks names in the component's own namespace, which contain the
// account only.
func TestWorkloadIdentity_KeepsNamesOfEarlierVersions(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := newIdentity(ctx, "identity", twoClusters())
		return err
	})
	for name, was := range map[string]string{
		"identity-namespace-ns":                    "identity-namespace",
		"identity-namespace-other":                 "",
		"identity-account-ns_one":                  "identity-account-one",
		"identity-account-other_one":               "",
		"identity-credential-ns_one":               "identity-credential-one",
		"identity-credential-ns_one__west":         "identity-credential-one__west",
		"identity-credential-other_one__west":      "",
		"identity-credential-kube-system_external": "",
	} {
		if got := strings.Join(aliasNames(e.Get(t, name)), ", "); got != was {
			t.Errorf("%s is also known as %q, want %q", name, got, was)
		}
	}
}

// TestWorkloadIdentity_KeepsNamesIfNamespaceMoves sets the namespace in the component's arguments and in those of the
// accounts.
func TestWorkloadIdentity_KeepsNamesIfNamespaceMoves(t *testing.T) {
	var names [2][]string
	for i := range names {
		args := identityArgs()
		if i == 1 {
			args.Namespace = ""
			for j := range args.ServiceAccounts {
				args.ServiceAccounts[j].Namespace = "ns"
			}
		}
		e := &mockengine.Engine{}
		run(t, e, func(ctx *pulumi.Context) error {
			_, err := newIdentity(ctx, "identity", args)
			return err
		})
		for _, one := range e.Resources() {
			names[i] = append(names[i], one.URN)
		}
		slices.Sort(names[i])
	}
	if !slices.Equal(names[0], names[1]) {
		t.Errorf("%v became %v", names[0], names[1])
	}
}

func TestPodSecurity_DefaultsToRestricted(t *testing.T) {
	for given, want := range map[components.PodSecurity]string{
		"": "restricted", components.PodSecurityBaseline: "baseline", components.PodSecurityPrivileged: "privileged",
	} {
		args := twoClusters()
		args.PodSecurity = given
		e := &mockengine.Engine{}
		run(t, e, func(ctx *pulumi.Context) error {
			_, err := newIdentity(ctx, "identity", args)
			return err
		})
		for _, namespace := range []string{"identity-namespace-ns", "identity-namespace-other"} {
			wantInputs(t, e.Get(t, namespace), map[string]any{
				`metadata.labels["pod-security.kubernetes.io/enforce"]`: want, "metadata.labels.team": "x",
			})
		}
	}
}

func TestWorkloadIdentity_LabelsNamespacesAndAccounts(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		args := twoClusters()
		args.Labels = map[string]string{"team": "all", "app": "shop"}
		args.NamespaceLabels = map[string]string{"team": "namespaces"}
		_, err := newIdentity(ctx, "identity", args)
		return err
	})
	namespace := map[string]any{"team": "namespaces", "app": "shop", "pod-security.kubernetes.io/enforce": "restricted"}
	for name, want := range map[string]map[string]any{
		// Labels of one kind, or of one account, take precedence.
		"identity-namespace-ns":      namespace,
		"identity-namespace-other":   namespace,
		"identity-account-ns_one":    {"team": "all", "app": "shop"},
		"identity-account-other_one": {"team": "x", "app": "shop"},
	} {
		wantInputs(t, e.Get(t, name), map[string]any{"metadata.labels": want})
	}
}

func TestWorkloadIdentity_ExposesIdentity(t *testing.T) {
	run(t, &mockengine.Engine{}, func(ctx *pulumi.Context) error {
		made, err := newIdentity(ctx, "made", identityArgs())
		if err != nil {
			return err
		}
		args := identityArgs()
		args.IdentityName, args.ExistingIdentityID = "", pulumi.String(existingIdentity)
		existing, err := newIdentity(ctx, "existing", args)
		if err != nil {
			return err
		}
		if existing.Identity != nil {
			t.Error("an identity of others is handed out")
		}
		if made.Identity == nil {
			t.Fatal("the identity is not handed out")
		}
		wantOutput(t, ctx, "its name", made.Identity.Name, "uai")
		return nil
	})
}

func roles() []components.RoleAssignmentArgs {
	return []components.RoleAssignmentArgs{
		{
			Name:             "reader",
			RoleDefinitionID: "acdd72a7-3385-48ef-bd42-f606fba81ae7",
			Scope:            pulumi.String("/subscriptions/sub"),
		},
		{Name: "pull", RoleDefinitionID: "7F951DDA-4ED3-4680-A7CA-43FE172D538D",
			Scope: pulumi.String("/subscriptions/sub2/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/r")},
	}
}

func TestWorkloadIdentity_AssignsExtraRoles(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		args := identityArgs()
		args.RoleAssignments = roles()
		_, err := newIdentity(ctx, "identity", args)
		return err
	})
	wantInputs(t, e.Get(t, "identity-role-reader"), map[string]any{
		"scope":            "/subscriptions/sub",
		"roleDefinitionId": "/subscriptions/sub/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7",
		"principalId":      "principal-id",
		"principalType":    "ServicePrincipal",
	})
	if got := e.Get(t, "identity-role-reader").RPC.GetReplaceOnChanges(); !slices.Contains(got, "roleDefinitionId") {
		t.Errorf("an assignment is replaced on a change of %v", got)
	}
	wantInputs(t, e.Get(t, "identity-role-pull"), map[string]any{
		"scope":            "/subscriptions/sub2/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/r",
		"roleDefinitionId": "/subscriptions/sub2/providers/Microsoft.Authorization/roleDefinitions/7f951dda-4ed3-4680-a7ca-43fe172d538d",
	})
}

const existingIdentity = mockengine.Group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/existing"

// TestWorkloadIdentity_FailsIfNotReadBack expects an error that says what to do, since the state has no principal.
func TestWorkloadIdentity_FailsIfNotReadBack(t *testing.T) {
	e := &mockengine.Engine{Unread: []string{"identity-identity"}}
	err := e.Run(func(ctx *pulumi.Context) error {
		args := identityArgs()
		args.RoleAssignments = roles()
		_, err := newIdentity(ctx, "identity", args)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "identity-identity") ||
		!strings.Contains(err.Error(), "pulumi refresh") {
		t.Errorf("got %v", err)
	}
	for _, one := range e.Resources() {
		if strings.Contains(one.Type, "RoleAssignment") {
			t.Errorf("%s is made", one.Name)
		}
	}
}

func TestExistingIdentity_ManagesCredentialsOnly(t *testing.T) {
	for _, dryRun := range []bool{false, true} {
		e := &mockengine.Engine{DryRun: dryRun}
		run(t, e, func(ctx *pulumi.Context) error {
			args := identityArgs()
			args.ResourceGroupName, args.IdentityName = nil, ""
			args.ExistingIdentityID = pulumi.String(existingIdentity)
			c, err := newIdentity(ctx, "identity", args)
			if err != nil {
				return err
			}
			for want, output := range map[string]pulumi.StringOutput{
				existingIdentity: c.IdentityID, "existing-client-id": c.ClientID, "existing-principal-id": c.PrincipalID,
				mockengine.TenantID: c.TenantID,
			} {
				if got := mockengine.Await(t, ctx, output); got.Value != want {
					t.Errorf("got %v, want %s", got.Value, want)
				}
			}
			return nil
		})
		wantRegistered(t, e, "azure-native:managedidentity/v20230131:UserAssignedIdentity")
		wantInputs(t, e.Get(t, "identity-credential-ns_one"), map[string]any{
			"resourceGroupName": "group", "resourceName": "existing",
		})
		wantInputs(t, e.Get(t, "identity-account-ns_one"), map[string]any{
			`metadata.annotations["azure.workload.identity/client-id"]`: "existing-client-id",
		})
	}
}

// TestExistingIdentity_RejectsNamesakeElsewhere makes the provider find an identity in its own subscription instead of
// the given one.
func TestExistingIdentity_RejectsNamesakeElsewhere(t *testing.T) {
	e := &mockengine.Engine{}
	err := e.Run(func(ctx *pulumi.Context) error {
		args := identityArgs()
		args.IdentityName, args.RoleAssignments = "", roles()
		args.ExistingIdentityID = pulumi.String(
			"/subscriptions/other/resourceGroups/group/providers/Microsoft.ManagedIdentity/userAssignedIdentities/existing",
		)
		_, err := newIdentity(ctx, "identity", args)
		return err
	})
	if err == nil {
		t.Error("there is no error")
	}
	for _, one := range e.Resources() {
		if strings.HasPrefix(one.Type, "azure-native:") {
			t.Errorf("%s is registered: %v", one.Name, one.Inputs)
		}
	}
}

func TestInputs_AreCheckedInPreview(t *testing.T) {
	for name, one := range map[string]struct {
		path   string
		change func(*components.WorkloadIdentityArgs)
	}{
		"not an identity": {"existingIdentityId", func(a *components.WorkloadIdentityArgs) {
			a.ExistingIdentityID = pulumi.String(mockengine.Group + "/providers/Microsoft.KeyVault/vaults/existing")
		}},
		"an identity in another subscription": {"existingIdentityId", func(a *components.WorkloadIdentityArgs) {
			a.ExistingIdentityID = pulumi.String("/subscriptions/other/resourceGroups/group/providers/Microsoft.ManagedIdentity/userAssignedIdentities/u")
		}},
		"a scope without subscription": {"roleAssignments[1].scope", func(a *components.WorkloadIdentityArgs) {
			a.RoleAssignments = roles()
			a.RoleAssignments[1].Scope = pulumi.String("/providers/Microsoft.Management/managementGroups/m")
		}},
		"a cluster twice": {"additionalIssuers[1].url", func(a *components.WorkloadIdentityArgs) {
			a.AdditionalIssuers = twoClusters().AdditionalIssuers
			a.AdditionalIssuers[1].URL = pulumi.String(mockengine.IssuerURL)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			e := &mockengine.Engine{DryRun: true}
			err := e.Run(func(ctx *pulumi.Context) error {
				args := identityArgs()
				args.IdentityName = ""
				one.change(args)
				_, err := newIdentity(ctx, "identity", args)
				return err
			})
			if err == nil || !strings.Contains(err.Error(), one.path+": ") {
				t.Errorf("got error %v, want a violation at %s", err, one.path)
			}
		})
	}
}

func TestExisting_IsNotManaged(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		// Nothing is created in the cluster, so no Kubernetes provider is needed.
		_, err := components.NewWorkloadIdentity(ctx, "identity", &components.WorkloadIdentityArgs{
			ExistingIdentityID: pulumi.String(existingIdentity),
			IssuerURL:          pulumi.String(mockengine.IssuerURL),
			ServiceAccounts:    []components.ServiceAccountArgs{{Name: "one", Namespace: "ns", Existing: true}},
		})
		return err
	})
	wantDistinct(t, e, 2)
	wantRegistered(t, e, "azure-native:managedidentity/v20230131:FederatedIdentityCredential",
		"identity-credential-ns_one")
}

func TestServiceAccounts_WaitForCredential(t *testing.T) {
	for _, dryRun := range []bool{false, true} {
		run(t, &mockengine.Engine{DryRun: dryRun}, func(ctx *pulumi.Context) error {
			c, err := newIdentity(ctx, "identity", identityArgs())
			if err != nil {
				return err
			}
			got := mockengine.Await(t, ctx, c.ServiceAccounts.Index(pulumi.Int(1)))
			for _, want := range []string{"identity-credential-ns_two.x", "identity-account-ns_two.x"} {
				if !slices.Contains(resourceNames(got.Dependencies), want) {
					t.Errorf("the name does not wait for %s", want)
				}
			}
			if got.Value != "two.x" || !got.Known {
				t.Errorf("dry run %t: got %v, known: %t", dryRun, got.Value, got.Known)
			}
			namespace := mockengine.Await(t, ctx, c.Namespace)
			if namespace.Value != "ns" || !slices.Contains(resourceNames(namespace.Dependencies), "identity-namespace-ns") {
				t.Errorf("the namespace is %v, and waits for %v", namespace.Value, resourceNames(namespace.Dependencies))
			}
			return nil
		})
	}
}

func TestWorkloadIdentity_OnlyCredentialsWaitForCluster(t *testing.T) {
	made := newMeeting(t)
	e := &mockengine.Engine{Hold: func(name string) {
		switch name {
		case "identity-identity":
			made.arrive()
		case "cluster-cluster":
			made.await("the identity waits for the cluster")
		}
	}}
	run(t, e, func(ctx *pulumi.Context) error {
		cluster, err := components.NewAksWithCsi(ctx, "cluster", aksArgs())
		if err != nil {
			return err
		}
		args := identityArgs()
		args.IssuerURL, args.Cluster = cluster.IssuerURL, cluster.Cluster
		_, err = components.NewWorkloadIdentity(ctx, "identity", args)
		return err
	})
	if !e.Get(t, "identity-credential-ns_one").WaitsFor(e.Get(t, "cluster-cluster")) {
		t.Error("the credential does not wait for the cluster")
	}
}

func TestCredentials_OfFirstClusterComeFirst(t *testing.T) {
	e := &mockengine.Engine{DryRun: true}
	run(t, e, func(ctx *pulumi.Context) error {
		cluster, err := components.NewAksWithCsi(ctx, "cluster", aksArgs())
		if err != nil {
			return err
		}
		args := twoClusters()
		args.AdditionalIssuers[0].URL = cluster.IssuerURL
		_, err = newIdentity(ctx, "identity", args)
		return err
	})
	first, further := e.Get(t, "identity-credential-ns_one"), e.Get(t, "identity-credential-ns_one__west")
	if cluster := e.Get(t, "cluster-cluster"); first.WaitsFor(cluster) || !further.WaitsFor(cluster) {
		t.Errorf("the first cluster waits for the further one: %t, the further one's credential for it: %t",
			first.WaitsFor(cluster), further.WaitsFor(cluster))
	}
	if issuer := further.At("issuer"); issuer == nil || !issuer.IsComputed() {
		t.Errorf("the issuer is %v in a preview, want it unknown", issuer)
	}
	wantInputs(t, first, map[string]any{"issuer": mockengine.IssuerURL})
}

func TestExistingNamespace_IsNotCreated(t *testing.T) {
	args := identityArgs()
	args.CreateNamespace = false
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := newIdentity(ctx, "identity", args)
		return err
	})
	for _, one := range e.Resources() {
		if one.Type == "kubernetes:core/v1:Namespace" {
			t.Errorf("%s was registered", one.Name)
		}
	}
	wantInputs(t, e.Get(t, "identity-account-ns_one"), map[string]any{"metadata.namespace": "ns"})
}

func TestObjects_UseGivenProvider(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := newIdentity(ctx, "identity", identityArgs())
		return err
	})
	for _, name := range []string{"identity-namespace-ns", "identity-account-ns_one"} {
		if got := e.Get(t, name).RPC.GetProvider(); !strings.Contains(got, "::identity-k8s::") {
			t.Errorf("%s goes through %q", name, got)
		}
	}
}

func TestNoKubernetesProvider_Fails(t *testing.T) {
	for name, construct := range map[string]func(ctx *pulumi.Context) error{
		"identity": func(ctx *pulumi.Context) error {
			_, err := components.NewWorkloadIdentity(ctx, "identity", identityArgs())
			return err
		},
		"mount": func(ctx *pulumi.Context) error {
			_, err := components.NewSecretMount(ctx, "mount", mountArgs())
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := &mockengine.Engine{}
			err := e.Run(construct)
			if !errors.Is(err, components.ErrNoKubernetesProvider) {
				t.Errorf("got error %v", err)
			}
			for _, one := range e.Resources() {
				t.Errorf("%s was registered", one.Name)
			}
		})
	}
}

// A transformation may give the component its provider, which is known only after registering the component.
func TestObjects_UseTransformedProvider(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		provider := &kubernetesProvider{}
		if err := ctx.RegisterResource("pulumi:providers:kubernetes", "cluster", pulumi.Map{}, provider); err != nil {
			return err
		}
		give := func(args *pulumi.ResourceTransformationArgs) *pulumi.ResourceTransformationResult {
			if args.Type != "keyvaultaks:index:WorkloadIdentity" {
				return nil
			}
			return &pulumi.ResourceTransformationResult{Props: args.Props, Opts: append(args.Opts, pulumi.Providers(provider))}
		}
		_, err := components.NewWorkloadIdentity(ctx, "it", identityArgs(),
			pulumi.Transformations([]pulumi.ResourceTransformation{give}))
		return err
	})
}

// A provider of another package does not count, and other violations are reported in the same error.
func TestNoKubernetesProvider_ReportsOtherViolations(t *testing.T) {
	for name, construct := range map[string]func(ctx *pulumi.Context, other pulumi.ProviderResource) error{
		"identity": func(ctx *pulumi.Context, other pulumi.ProviderResource) error {
			args := identityArgs()
			args.ServiceAccounts[0].Name = "a_b"
			_, err := components.NewWorkloadIdentity(ctx, "it", args, pulumi.Providers(other))
			return err
		},
		"mount": func(ctx *pulumi.Context, other pulumi.ProviderResource) error {
			args := mountArgs()
			args.Namespace = "a_b"
			_, err := components.NewSecretMount(ctx, "it", args, pulumi.Provider(other))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := &mockengine.Engine{}
			err := e.Run(func(ctx *pulumi.Context) error {
				other := &kubernetesProvider{}
				if err := ctx.RegisterResource("pulumi:providers:random", "other", pulumi.Map{}, other); err != nil {
					return err
				}
				return construct(ctx, other)
			})
			var invalid *components.ValidationError
			if !errors.Is(err, components.ErrNoKubernetesProvider) || !errors.As(err, &invalid) || len(invalid.Violations) != 1 {
				t.Errorf("got error %v", err)
			}
			if registered := e.Resources(); len(registered) != 1 {
				t.Errorf("%d resources were registered beside the provider", len(registered)-1)
			}
		})
	}
}

func TestWorkloadIdentity_TwoDoNotCollide(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		for _, name := range []string{"a", "b"} {
			if _, err := newIdentity(ctx, name, identityArgs()); err != nil {
				return err
			}
		}
		return nil
	})
	wantDistinct(t, e, 2*10)

	e = &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		for _, name := range []string{"a", "b"} {
			args := twoClusters()
			args.RoleAssignments = roles()
			if _, err := newIdentity(ctx, name, args); err != nil {
				return err
			}
		}
		return nil
	})
	// Component, provider, identity, roles, credentials, namespaces, accounts.
	wantDistinct(t, e, 2*(1+1+1+2+3*4+2+2))
}

func accounts(count int) []components.ServiceAccountArgs {
	list := make([]components.ServiceAccountArgs, count)
	for i := range list {
		list[i].Name = fmt.Sprintf("sa-%d", i)
	}
	return list
}

func TestWorkloadIdentity_Validates(t *testing.T) {
	type args = components.WorkloadIdentityArgs
	testRules(t, identityArgs, (*args).Validate, []rule[args]{
		{"an identity's name is long enough", "identityName", func(a *args) { a.IdentityName = "ab" }},
		{"an identity's name's characters", "identityName", func(a *args) { a.IdentityName = "my.id" }},
		{"an audience without spaces", "audience", func(a *args) { a.Audience = "api://a b" }},
		{"an audience's length", "audience", func(a *args) { a.Audience = strings.Repeat("a", 601) }},
		{"a namespace is needed", "namespace", func(a *args) { a.Namespace = "" }},
		{"a namespace has no dot", "namespace", func(a *args) { a.Namespace = "my.ns" }},
		{"a namespace's length", "namespace", func(a *args) { a.Namespace = strings.Repeat("n", 64) }},
		{"an account is needed", "serviceAccounts", func(a *args) { a.ServiceAccounts = nil }},
		{"twenty accounts at most", "serviceAccounts", func(a *args) { a.ServiceAccounts = accounts(21) }},
		{"an account has a name", "serviceAccounts[0].name", func(a *args) { a.ServiceAccounts[0].Name = "" }},
		{"an account's characters", "serviceAccounts[0].name", func(a *args) { a.ServiceAccounts[0].Name = "My_SA" }},
		{"an account once", "serviceAccounts[2].name", func(a *args) { a.ServiceAccounts[2].Name = "one" }},
		{"an account once in its namespace", "serviceAccounts[2].name", func(a *args) {
			a.ServiceAccounts[2] = components.ServiceAccountArgs{Name: "one", Namespace: "ns"}
		}},
		{
			"an account's namespace",
			"serviceAccounts[1].namespace",
			func(a *args) { a.ServiceAccounts[1].Namespace = "my.ns" },
		},
		{
			"a credential's name fits",
			"serviceAccounts[0].name",
			func(a *args) { a.ServiceAccounts[0].Name = strings.Repeat("s", 118) },
		},
		{
			"a credential's name",
			"serviceAccounts[0].credentialName",
			func(a *args) { a.ServiceAccounts[0].CredentialName = "a.b" },
		},
		{
			"a short name of a credential",
			"serviceAccounts[0].credentialName",
			func(a *args) { a.ServiceAccounts[0].CredentialName = "ab" },
		},
		{"a credential's name once", "serviceAccounts[1].credentialName", func(a *args) {
			a.ServiceAccounts[0].CredentialName, a.ServiceAccounts[1].CredentialName = "theirs", "Theirs"
		}},
		{"a credential's name that another is given", "serviceAccounts[2].credentialName", func(a *args) {
			a.ServiceAccounts[2].CredentialName = "ns_one"
		}},
		{"a further cluster's credential's name fits", "serviceAccounts[0].name", func(a *args) {
			a.ServiceAccounts[0].Name = strings.Repeat("s", 112)
			a.AdditionalIssuers = []components.IssuerArgs{{Name: "w"}, {Name: "west"}}
		}},
		{"annotations of an existing account", "serviceAccounts[0].annotations", func(a *args) {
			a.ServiceAccounts[0].Existing, a.ServiceAccounts[0].Annotations = true, map[string]string{"a": "b"}
		}},
		{"labels of an existing account", "serviceAccounts[0].labels", func(a *args) {
			a.ServiceAccounts[0].Existing, a.ServiceAccounts[0].Labels = true, map[string]string{"a": "b"}
		}},
		{"the component's annotation", "serviceAccounts[0].annotations", func(a *args) {
			a.ServiceAccounts[0].Annotations = map[string]string{"azure.workload.identity/client-id": "x"}
		}},
		{
			"a label's key",
			"serviceAccounts[0].labels",
			func(a *args) { a.ServiceAccounts[0].Labels = map[string]string{"a/b/c": "x"} },
		},
		{
			"a label's prefix",
			"serviceAccounts[0].labels",
			func(a *args) { a.ServiceAccounts[0].Labels = map[string]string{"/b": "x"} },
		},
		{
			"a label's value",
			"serviceAccounts[0].labels.a/b",
			func(a *args) { a.ServiceAccounts[0].Labels = map[string]string{"a/b": "x y"} },
		},
		{"a label's key for all", "labels", func(a *args) { a.Labels = map[string]string{"a/b/c": "x"} }},
		{"a label's value for all", "labels.a", func(a *args) { a.Labels = map[string]string{"a": "x y"} }},
		{"the component's label for all", "labels", func(a *args) {
			a.Labels = map[string]string{"pod-security.kubernetes.io/enforce": "privileged"}
		}},
		{"a standard that there is", "podSecurity", func(a *args) { a.PodSecurity = "strict" }},
		{
			"a standard for an existing namespace",
			"podSecurity",
			func(a *args) { a.PodSecurity, a.CreateNamespace = "restricted", false },
		},
		{"labels for an existing namespace", "namespaceLabels", func(a *args) {
			a.NamespaceLabels, a.CreateNamespace = map[string]string{"a": "b"}, false
		}},
		{"the component's label", "namespaceLabels", func(a *args) {
			a.NamespaceLabels = map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}
		}},
		{
			"an existing namespace that is used",
			"existingNamespaces[1]",
			func(a *args) { a.ExistingNamespaces = []string{"ns", "other"} },
		},
		{"existing namespaces where none is created", "existingNamespaces", func(a *args) {
			a.ExistingNamespaces, a.CreateNamespace = []string{"ns"}, false
		}},
		{
			"an existing identity has its name",
			"identityName",
			func(a *args) { a.ExistingIdentityID = pulumi.String(existingIdentity) },
		},
		{
			"a cluster has a name",
			"additionalIssuers[0].name",
			func(a *args) { a.AdditionalIssuers = []components.IssuerArgs{{}} },
		},
		{"a cluster's name's characters", "additionalIssuers[0].name", func(a *args) {
			a.AdditionalIssuers = []components.IssuerArgs{{Name: "west_1"}}
		}},
		{"a cluster once", "additionalIssuers[1].name", func(a *args) {
			a.AdditionalIssuers = []components.IssuerArgs{{Name: "west"}, {Name: "west"}}
		}},
		{"twenty credentials at most", "additionalIssuers", func(a *args) {
			a.ServiceAccounts, a.AdditionalIssuers = accounts(7), []components.IssuerArgs{{Name: "west"}, {Name: "north"}}
		}},
		{
			"a role has a name",
			"roleAssignments[0].name",
			func(a *args) { a.RoleAssignments = roles(); a.RoleAssignments[0].Name = "" },
		},
		{
			"a role's name once",
			"roleAssignments[1].name",
			func(a *args) { a.RoleAssignments = roles(); a.RoleAssignments[1].Name = "reader" },
		},
		{"a role is a GUID", "roleAssignments[1].roleDefinitionId", func(a *args) {
			a.RoleAssignments = roles()
			a.RoleAssignments[1].RoleDefinitionID = "AcrPull"
		}},
	})
}

func TestServiceAccounts_AcceptTwenty(t *testing.T) {
	issuers := []components.IssuerArgs{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	for further, count := range []int{20, 10, 6, 5} {
		args := identityArgs()
		args.ServiceAccounts, args.AdditionalIssuers = accounts(count), issuers[:further]
		if err := args.Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestNamespace_IsOptionalIfAccountsNameOne(t *testing.T) {
	args := identityArgs()
	args.Namespace = ""
	for i := range args.ServiceAccounts {
		args.ServiceAccounts[i].Namespace = "ns"
	}
	if err := args.Validate(); err != nil {
		t.Fatal(err)
	}
}

// Names of two letters, which only dots, dashes and their position distinguish, are drawn as often as others.
func TestCredentialNames_AreUniqueAndValid(t *testing.T) {
	azurePattern := regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{2,119}$`)
	rapid.Check(t, func(t *rapid.T) {
		label, subdomain := rapid.StringMatching(`[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`), rapid.StringMatching(
			`[a-z0-9]([a-z0-9.-]{0,118}[a-z0-9])?`,
		)
		if rapid.Bool().Draw(t, "alike") {
			label, subdomain = rapid.SampledFrom([]string{"a", "b", "a-b", "a--b"}), rapid.SampledFrom(
				[]string{"a", "b", "a-b", "a.b", "b.a"},
			)
		}
		args := identityArgs()
		args.CreateNamespace = false
		args.Namespace = label.Draw(t, "namespace")
		account := rapid.Custom(func(t *rapid.T) components.ServiceAccountArgs {
			account := components.ServiceAccountArgs{Name: subdomain.Draw(t, "account")}
			if rapid.Bool().Draw(t, "own namespace") {
				account.Namespace = label.Draw(t, "account's namespace")
			}
			return account
		})
		args.ServiceAccounts = rapid.SliceOfNDistinct(account, 1, 5, func(s components.ServiceAccountArgs) string {
			return cmp.Or(s.Namespace, args.Namespace) + "/" + s.Name
		}).Draw(t, "accounts")
		for _, name := range rapid.SliceOfNDistinct(label, 0, 2, rapid.ID).Draw(t, "issuers") {
			args.AdditionalIssuers = append(args.AdditionalIssuers,
				components.IssuerArgs{Name: name, URL: pulumi.String("https://" + name)})
		}
		if args.Validate() != nil {
			t.Skip("refused")
		}
		e := &mockengine.Engine{}
		if err := e.Run(func(ctx *pulumi.Context) error {
			_, err := newIdentity(ctx, "identity", args)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		urns, known, credentials, subjects := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
		for _, one := range e.Resources() {
			if urns[one.URN] {
				t.Fatalf("%s is registered twice", one.URN)
			}
			urns[one.URN] = true
			for _, name := range append(aliasNames(one), one.Name) {
				if known[one.Type+" "+name] {
					t.Fatalf("two are known as the %s %s", one.Type, name)
				}
				known[one.Type+" "+name] = true
			}
			if one.Type != "azure-native:managedidentity/v20230131:FederatedIdentityCredential" {
				continue
			}
			name := one.At("federatedIdentityCredentialResourceName").StringValue()
			if !azurePattern.MatchString(name) || credentials[name] {
				t.Fatalf("%q is not a valid name, or not the only one", name)
			}
			credentials[name] = true
			subjects[one.At("issuer").StringValue()+" "+one.At("subject").StringValue()] = true
		}
		if want := len(args.ServiceAccounts) * (1 + len(args.AdditionalIssuers)); len(credentials) != want ||
			len(subjects) != want {
			t.Fatalf("%d credentials for %d subjects, want %d", len(credentials), len(subjects), want)
		}
	})
}

func TestWorkloadIdentity_RegistersNothingIfInvalid(t *testing.T) {
	wantRefused(t, func(ctx *pulumi.Context) error {
		_, err := components.NewWorkloadIdentity(ctx, "identity", &components.WorkloadIdentityArgs{
			Namespace: "NS", ServiceAccounts: []components.ServiceAccountArgs{{Name: "-"}},
			AdditionalIssuers: []components.IssuerArgs{{Name: "west"}},
			RoleAssignments:   []components.RoleAssignmentArgs{{Name: "reader", RoleDefinitionID: roles()[0].RoleDefinitionID}},
		})
		return err
	}, "namespace", "serviceAccounts[0].name", "resourceGroupName", "issuerUrl", "additionalIssuers[0].url", "roleAssignments[0].scope")
}
