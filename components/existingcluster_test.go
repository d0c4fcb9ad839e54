package components_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

const existingID = "/subscriptions/22222222-2222-2222-2222-222222222222/resourceGroups/theirs" +
	"/providers/Microsoft.ContainerService/managedClusters/old"

// existingCluster returns Azure's description of a cluster with everything that mounts need.
func existingCluster(change map[string]any) map[string]any {
	cluster := map[string]any{
		"id": strings.Replace(existingID, "resourceGroups", "resourcegroups", 1), "name": "old",
		"oidcIssuerProfile": map[string]any{"enabled": true, "issuerURL": mockengine.IssuerURL},
		"securityProfile":   map[string]any{"workloadIdentity": map[string]any{"enabled": true}},
		"addonProfiles":     map[string]any{"azureKeyVaultSecretsProvider": map[string]any{"enabled": true}},
	}
	maps.Copy(cluster, change)
	return cluster
}

func existingArgs() *components.AksWithCsiArgs {
	return &components.AksWithCsiArgs{ExistingCluster: &components.ExistingClusterArgs{ID: pulumi.String(existingID)}}
}

func runExisting(
	e *mockengine.Engine, args *components.AksWithCsiArgs, check func(*pulumi.Context, *components.AksWithCsi),
) error {
	return e.Run(func(ctx *pulumi.Context) error {
		c, err := components.NewAksWithCsi(ctx, "cluster", args)
		if err == nil && check != nil {
			check(ctx, c)
		}
		return err
	})
}

func wantOutput(t *testing.T, ctx *pulumi.Context, name string, o pulumi.StringOutput, want string) {
	t.Helper()
	if got := mockengine.Await(t, ctx, o); got.Value != want {
		t.Errorf("%s is %v, want %s", name, got.Value, want)
	}
}

func TestExistingCluster_IsLookedUpAndNotManaged(t *testing.T) {
	for _, dryRun := range []bool{false, true} {
		e := &mockengine.Engine{DryRun: dryRun, Answers: map[string]map[string]any{lookupFunction: existingCluster(nil)}}
		err := runExisting(e, existingArgs(), func(ctx *pulumi.Context, c *components.AksWithCsi) {
			wantOutput(t, ctx, "ClusterID", c.ClusterID, strings.Replace(existingID, "resourceGroups", "resourcegroups", 1))
			wantOutput(t, ctx, "ClusterName", c.ClusterName, "old")
			wantOutput(t, ctx, "IssuerURL", c.IssuerURL, mockengine.IssuerURL)
			wantOutput(t, ctx, "Kubeconfig", c.Kubeconfig, mockengine.Kubeconfig)
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Resources(); len(got) != 2 || got[1].Name != "cluster-kubernetes" {
			t.Errorf("%d resources, want the component and the Kubernetes provider", len(got))
		}
		for _, call := range e.Invoked() {
			if call.Args["resourceGroupName"].StringValue() != "theirs" || call.Args["resourceName"].StringValue() != "old" {
				t.Errorf("%s asks for %v", call.Token, call.Args)
			}
		}
		provider := e.Get(t, "cluster-kubernetes")
		wantInputs(t, provider, map[string]any{"clusterIdentifier": mockengine.IssuerURL})
		if kubeconfig := provider.At("kubeconfig"); kubeconfig == nil || !kubeconfig.IsSecret() {
			t.Error("the provider's kubeconfig is not a secret")
		}
		if found := e.Plaintext(strings.TrimSpace(mockengine.Kubeconfig)); len(found) > 0 {
			t.Errorf("the kubeconfig is in the clear in %v", found)
		}
		wantOutputs(t, e, "cluster", components.AksWithCsi{})
	}
}

// TestEntra_PreviewAcceptsClusterWithoutEntra previews an update that enables Entra ID.
func TestEntra_PreviewAcceptsClusterWithoutEntra(t *testing.T) {
	on := map[string]any{"aadProfile": map[string]any{"managed": true, "enableAzureRBAC": true}}
	for _, dryRun := range []bool{false, true} {
		e := &mockengine.Engine{DryRun: dryRun, Answers: map[string]map[string]any{lookupFunction: existingCluster(on)}}
		args := existingArgs()
		args.Entra = &components.EntraArgs{}
		err := runExisting(e, args, func(ctx *pulumi.Context, c *components.AksWithCsi) {
			if dryRun {
				wantOutput(t, ctx, "Kubeconfig", c.Kubeconfig, mockengine.Kubeconfig)
			}
		})
		if (err == nil) != dryRun {
			t.Errorf("preview %t: the error is %v", dryRun, err)
		}
	}
}

func TestExistingCluster_IsNotLookedUpWhileUnknown(t *testing.T) {
	e := &mockengine.Engine{DryRun: true}
	run(t, e, func(ctx *pulumi.Context) error {
		made, err := components.NewAksWithCsi(ctx, "made", aksArgs())
		if err != nil {
			return err
		}
		args := existingArgs()
		args.ExistingCluster.ID = made.ClusterID
		c, err := components.NewAksWithCsi(ctx, "cluster", args)
		if err != nil {
			return err
		}
		for name, output := range map[string]pulumi.StringOutput{"ClusterID": c.ClusterID, "IssuerURL": c.IssuerURL,
			"Kubeconfig": c.Kubeconfig} {
			if mockengine.Await(t, ctx, output).Known {
				t.Errorf("%s is known", name)
			}
		}
		return nil
	})
	if calls := e.Invoked(); len(calls) > 0 {
		t.Errorf("%s is called", calls[0].Token)
	}
}

func TestExistingCluster_ReportsEverythingMissing(t *testing.T) {
	const at = " --resource-group theirs --name old"
	entra := map[string]any{"managed": true}
	for name, test := range map[string]struct {
		change map[string]any
		entra  *components.EntraArgs
		want   []string
	}{
		"everything": {map[string]any{"oidcIssuerProfile": nil, "securityProfile": nil, "addonProfiles": nil}, nil, []string{
			"az aks update --enable-oidc-issuer" + at, "az aks update --enable-workload-identity" + at,
			"az aks enable-addons --addons azure-keyvault-secrets-provider" + at,
		}},
		"all switched off": {map[string]any{
			"oidcIssuerProfile": map[string]any{"enabled": false, "issuerURL": ""},
			"securityProfile":   map[string]any{"workloadIdentity": map[string]any{"enabled": false}},
			"addonProfiles":     map[string]any{"azureKeyvaultSecretsProvider": map[string]any{"enabled": false}},
		}, nil, []string{"--enable-oidc-issuer", "--enable-workload-identity", "azure-keyvault-secrets-provider"}},
		"workload identity": {map[string]any{"securityProfile": map[string]any{}}, nil,
			[]string{"--enable-workload-identity"}},
		"a login": {map[string]any{"aadProfile": entra}, nil, []string{"entra"}},
		"Entra ID": {nil, &components.EntraArgs{},
			[]string{"az aks update --enable-aad --enable-azure-rbac" + at}},
		"the same subscription": {map[string]any{"id": strings.Replace(existingID, "2222-", "3333-", 1)}, nil,
			[]string{"subscription"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := &mockengine.Engine{
				Answers: map[string]map[string]any{lookupFunction: existingCluster(test.change)},
				DryRun:  true,
			}
			args := existingArgs()
			args.Entra = test.entra
			err := runExisting(e, args, nil)
			if err == nil {
				t.Fatal("it is accepted")
			}
			if v := violations(t, err); len(v) != len(test.want) {
				t.Errorf("got %d violations, want %d: %v", len(v), len(test.want), err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
			for _, call := range e.Invoked() {
				if call.Token == credentialsFunction {
					t.Error("its kubeconfig is asked for")
				}
			}
		})
	}
}

func TestExistingCluster_RejectsOtherIDs(t *testing.T) {
	args := existingArgs()
	args.ExistingCluster.ID = pulumi.String("old")
	if err := runExisting(&mockengine.Engine{}, args, nil); err == nil ||
		!strings.Contains(err.Error(), "existingCluster.id") {
		t.Errorf("got error %v", err)
	}
}

func TestExistingCluster_UsesGivenLogin(t *testing.T) {
	e := &mockengine.Engine{Answers: entraAnswers()}
	e.Answers[lookupFunction] = existingCluster(map[string]any{"aadProfile": map[string]any{"managed": true}})
	args := existingArgs()
	args.Entra = &components.EntraArgs{Login: "workloadidentity"}
	err := runExisting(e, args, func(ctx *pulumi.Context, c *components.AksWithCsi) {
		if got := mockengine.Await(t, ctx, c.Kubeconfig); !got.Secret ||
			!strings.Contains(got.Value.(string), "workloadidentity") {
			t.Error("the kubeconfig is not that of the login, or no secret")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestExistingCluster_WithKubeconfigNeedsNoAzure(t *testing.T) {
	e := &mockengine.Engine{}
	args := &components.AksWithCsiArgs{ExistingCluster: &components.ExistingClusterArgs{
		IssuerURL: pulumi.String("https://issuer/"), Kubeconfig: pulumi.String("given-kubeconfig"),
	}}
	err := runExisting(e, args, func(ctx *pulumi.Context, c *components.AksWithCsi) {
		wantOutput(t, ctx, "IssuerURL", c.IssuerURL, "https://issuer/")
		if got := mockengine.Await(t, ctx, c.Kubeconfig); !got.Secret || got.Value != "given-kubeconfig" {
			t.Error("the kubeconfig is not the given one, or no secret")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Invoked()) > 0 || len(e.Resources()) != 2 {
		t.Error("Azure is asked")
	}
	if found := e.Plaintext("given-kubeconfig"); len(found) > 0 {
		t.Errorf("the kubeconfig is in the clear in %v", found)
	}
}

func TestExistingCluster_Validates(t *testing.T) {
	type args = components.AksWithCsiArgs
	testRules(t, existingArgs, (*args).Validate, []rule[args]{
		{"a name", "clusterName", func(a *args) { a.ClusterName = "aks" }},
		{"a group", "resourceGroupName", func(a *args) { a.ResourceGroupName = pulumi.String("group") }},
		{"tags", "tags", func(a *args) { a.Tags = pulumi.StringMap{} }},
		{"a pool", "systemPool", func(a *args) { a.SystemPool = &components.NodePoolArgs{} }},
		{"subnets", "subnets", func(a *args) { a.Subnets = map[string]pulumi.StringInput{} }},
		{"pools", "nodePools", func(a *args) { a.NodePools = []components.NodePoolArgs{{Name: "apps"}} }},
		{"a lock", "lock", func(a *args) { a.Lock = true }},
		{"a version", "kubernetesVersion", func(a *args) { a.KubernetesVersion = "1.34" }},
		{"admin groups", "entra.adminGroupIds", func(a *args) {
			a.Entra = &components.EntraArgs{
				AdminGroupIDs: pulumi.ToStringArray([]string{"44444444-4444-4444-4444-444444444444"}),
			}
		}},
		{"a login", "entra.login", func(a *args) { a.Entra = &components.EntraArgs{Login: "interactive"} }},
	})
}

func TestExistingCluster_AcceptsOneWayOnly(t *testing.T) {
	issuer, kubeconfig := pulumi.String("https://issuer/"), pulumi.String("kubeconfig")
	for name, existing := range map[string]components.ExistingClusterArgs{
		"nothing":            {},
		"an issuer alone":    {IssuerURL: issuer},
		"a kubeconfig alone": {Kubeconfig: kubeconfig},
		"an id and more":     {ID: pulumi.String(existingID), Kubeconfig: kubeconfig},
		"everything":         {ID: pulumi.String(existingID), IssuerURL: issuer, Kubeconfig: kubeconfig},
	} {
		t.Run(name, func(t *testing.T) {
			args := &components.AksWithCsiArgs{ExistingCluster: &existing}
			// All of them are Inputs, which may come from other resources.
			wantViolations(t, args.Validate())
			wantRefused(t, func(ctx *pulumi.Context) error {
				_, err := components.NewAksWithCsi(ctx, "cluster", args)
				return err
			}, "existingCluster")
		})
	}
}
