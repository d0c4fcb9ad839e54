package components_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

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

func newIdentity(ctx *pulumi.Context, name string, args *components.WorkloadIdentityArgs) (*components.WorkloadIdentity, error) {
	provider, err := kubernetes.NewProvider(ctx, name+"-k8s", &kubernetes.ProviderArgs{Kubeconfig: pulumi.String("{}")})
	if err != nil {
		return nil, err
	}
	return components.NewWorkloadIdentity(ctx, name, args, pulumi.Provider(provider))
}

func TestServiceAccountsMayActAsTheIdentity(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := newIdentity(ctx, "identity", identityArgs())
		return err
	})
	wantInputs(t, e.Get(t, "identity-identity"), map[string]any{"resourceName": "uai", "resourceGroupName": "group"})
	wantInputs(t, e.Get(t, "identity-namespace"), map[string]any{"metadata.name": "ns"})
	for account, credential := range map[string]string{"one": "ns_one", "two.x": "ns_two_x", "three": "ns_three"} {
		wantInputs(t, e.Get(t, "identity-credential-"+account), map[string]any{
			"federatedIdentityCredentialResourceName": credential,
			"resourceName": "uai",
			"issuer":       mockengine.IssuerURL,
			"subject":      "system:serviceaccount:ns:" + account,
			"audiences[0]": "api://AzureADTokenExchange",
			"audiences[1]": nil,
		})
		wantInputs(t, e.Get(t, "identity-account-"+account), map[string]any{
			"metadata.name":      account,
			"metadata.namespace": "ns",
			`metadata.annotations["azure.workload.identity/client-id"]`: "client-id",
		})
	}
}

// Azure answers 409 to concurrent writes and deletes on one identity.
func TestCredentialsOfAnIdentityAreWrittenOneAfterAnother(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := newIdentity(ctx, "identity", identityArgs())
		return err
	})
	one, two, three := e.Get(t, "identity-credential-one"), e.Get(t, "identity-credential-two.x"), e.Get(t, "identity-credential-three")
	if !two.WaitsFor(one) || !three.WaitsFor(two) {
		t.Error("two credentials could be written at once")
	}
}

func TestServiceAccountNamesWaitForTheirCredential(t *testing.T) {
	for _, dryRun := range []bool{false, true} {
		run(t, &mockengine.Engine{DryRun: dryRun}, func(ctx *pulumi.Context) error {
			c, err := newIdentity(ctx, "identity", identityArgs())
			if err != nil {
				return err
			}
			got := mockengine.Await(t, ctx, c.ServiceAccounts.Index(pulumi.Int(1)))
			for _, want := range []string{"identity-credential-two.x", "identity-account-two.x"} {
				if !slices.Contains(resourceNames(got.Dependencies), want) {
					t.Errorf("the name does not wait for %s", want)
				}
			}
			if got.Value != "two.x" || !got.Known {
				t.Errorf("dry run %t: got %v, known: %t", dryRun, got.Value, got.Known)
			}
			namespace := mockengine.Await(t, ctx, c.Namespace)
			if namespace.Value != "ns" || !slices.Contains(resourceNames(namespace.Dependencies), "identity-namespace") {
				t.Errorf("the namespace is %v, and waits for %v", namespace.Value, resourceNames(namespace.Dependencies))
			}
			return nil
		})
	}
}

func TestIdentityDoesNotWaitForTheCluster(t *testing.T) {
	e := &mockengine.Engine{DryRun: true}
	run(t, e, func(ctx *pulumi.Context) error {
		cluster, err := components.NewAksWithCsi(ctx, "cluster", aksArgs())
		if err != nil {
			return err
		}
		args := identityArgs()
		args.IssuerURL = cluster.IssuerURL
		_, err = components.NewWorkloadIdentity(ctx, "identity", args, pulumi.Provider(cluster.Provider))
		return err
	})
	if e.Get(t, "identity-identity").WaitsFor(e.Get(t, "cluster-cluster")) {
		t.Error("the identity waits for the cluster")
	}
	credential := e.Get(t, "identity-credential-one")
	if !credential.WaitsFor(e.Get(t, "cluster-cluster")) {
		t.Error("the credential does not wait for the cluster")
	}
	if issuer := credential.At("issuer"); issuer == nil || !issuer.IsComputed() {
		t.Errorf("the issuer is %v in a preview, want it unknown", issuer)
	}
}

func TestExistingNamespaceIsNotCreated(t *testing.T) {
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
	wantInputs(t, e.Get(t, "identity-account-one"), map[string]any{"metadata.namespace": "ns"})
}

func TestKubernetesObjectsGoThroughTheGivenProvider(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := newIdentity(ctx, "identity", identityArgs())
		return err
	})
	for _, name := range []string{"identity-namespace", "identity-account-one"} {
		if got := e.Get(t, name).RPC.GetProvider(); !strings.Contains(got, "::identity-k8s::") {
			t.Errorf("%s goes through %q", name, got)
		}
	}
}

func TestWithoutKubernetesProviderNothingReachesTheMachinesCluster(t *testing.T) {
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
				if one.RPC.GetCustom() {
					t.Errorf("%s was registered", one.Name)
				}
			}
		})
	}
}

func TestTwoIdentitiesInOneStackDoNotCollide(t *testing.T) {
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
}

func accounts(count int) []components.ServiceAccountArgs {
	list := make([]components.ServiceAccountArgs, count)
	for i := range list {
		list[i].Name = fmt.Sprintf("sa-%d", i)
	}
	return list
}

func TestIdentityRules(t *testing.T) {
	type args = components.WorkloadIdentityArgs
	testRules(t, identityArgs, (*args).Validate, []rule[args]{
		{"an identity's name is long enough", "identityName", func(a *args) { a.IdentityName = "ab" }},
		{"an identity's name's characters", "identityName", func(a *args) { a.IdentityName = "my.id" }},
		{"a namespace is needed", "namespace", func(a *args) { a.Namespace = "" }},
		{"a namespace has no dot", "namespace", func(a *args) { a.Namespace = "my.ns" }},
		{"a namespace's length", "namespace", func(a *args) { a.Namespace = strings.Repeat("n", 64) }},
		{"an account is needed", "serviceAccounts", func(a *args) { a.ServiceAccounts = nil }},
		{"twenty accounts at most", "serviceAccounts", func(a *args) { a.ServiceAccounts = accounts(21) }},
		{"an account has a name", "serviceAccounts[0].name", func(a *args) { a.ServiceAccounts[0].Name = "" }},
		{"an account's characters", "serviceAccounts[0].name", func(a *args) { a.ServiceAccounts[0].Name = "My_SA" }},
		{"an account once", "serviceAccounts[2].name", func(a *args) { a.ServiceAccounts[2].Name = "one" }},
		{"a credential's name fits", "serviceAccounts[0].name", func(a *args) { a.ServiceAccounts[0].Name = strings.Repeat("s", 118) }},
	})
}

func TestTwentyServiceAccountsAreAccepted(t *testing.T) {
	args := identityArgs()
	args.ServiceAccounts = accounts(20)
	if v := args.Validate(); len(v) > 0 {
		t.Fatal(v)
	}
}

func TestInvalidIdentityRegistersNothing(t *testing.T) {
	wantRefused(t, func(ctx *pulumi.Context) error {
		_, err := components.NewWorkloadIdentity(ctx, "identity", &components.WorkloadIdentityArgs{
			Namespace: "NS", ServiceAccounts: []components.ServiceAccountArgs{{Name: "-"}},
		})
		return err
	}, "namespace", "serviceAccounts[0].name", "resourceGroupName", "issuerUrl")
}
