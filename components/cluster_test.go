package components_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

// existingByKubeconfig returns the arguments for a cluster that is not looked up.
func existingByKubeconfig() *components.AksWithCsiArgs {
	return &components.AksWithCsiArgs{ExistingCluster: &components.ExistingClusterArgs{
		IssuerURL:  pulumi.String(mockengine.IssuerURL),
		Kubeconfig: pulumi.ToSecret(pulumi.String(mockengine.Kubeconfig)).(pulumi.StringOutput),
	}}
}

// placed registers a mount, an identity with a namespace and an account, and an object of the program's own, in a
// cluster.
func placed(ctx *pulumi.Context, name string, cluster components.Cluster, opts ...pulumi.ResourceOption) error {
	mount, identity := mountArgs(), identityArgs()
	mount.Cluster, identity.Cluster = cluster, cluster
	mount.Probe = &components.ProbeArgs{}
	_, err1 := components.NewSecretMount(ctx, name+"-mount", mount, opts...)
	_, err2 := components.NewWorkloadIdentity(ctx, name+"-identity", identity, opts...)
	return errors.Join(err1, err2)
}

// placedObjects returns the names of the objects of placed.
func placedObjects(name string) []string {
	return []string{
		name + "-mount-class", name + "-mount-test-pod", name + "-mount-probe",
		name + "-identity-namespace-ns", name + "-identity-account-ns_one",
	}
}

// wantPlaced checks the provider of objects, and their DeletedWith.
func wantPlaced(t *testing.T, e *mockengine.Engine, provider, with string, names ...string) {
	t.Helper()
	if with != "" {
		with = e.Get(t, with).URN
	}
	for _, name := range names {
		got := e.Get(t, name).RPC
		if want := e.Get(t, provider).URN; !strings.HasPrefix(got.GetProvider(), want+"::") {
			t.Errorf("%s goes through %s, want %s", name, got.GetProvider(), want)
		}
		if got.GetDeletedWith() != with {
			t.Errorf("%s is deleted with %q, want %q", name, got.GetDeletedWith(), with)
		}
	}
}

func TestCluster_DeletesObjectsWithCreatedClusterOnly(t *testing.T) {
	withEntra := func() *components.AksWithCsiArgs {
		args := aksArgs()
		args.Entra = &components.EntraArgs{}
		return args
	}
	for name, test := range map[string]struct {
		args *components.AksWithCsiArgs
		with string
	}{
		"made":            {aksArgs(), "cluster-kubernetes"},
		"made with Entra": {withEntra(), "cluster-kubernetes"},
		"existing":        {existingByKubeconfig(), ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := &mockengine.Engine{}
			if test.args.Entra != nil {
				e.Answers = entraAnswers()
			}
			run(t, e, func(ctx *pulumi.Context) error {
				cluster, err := components.NewAksWithCsi(ctx, "cluster", test.args)
				if err != nil {
					return err
				}
				_, err1 := corev1.NewConfigMap(ctx, "own", nil, cluster.Cluster.Option())
				return errors.Join(err1,
					placed(ctx, "given", cluster.Cluster),
					// The same provider through the component's options.
					placed(ctx, "option", components.Cluster{}, pulumi.Provider(cluster.Cluster.Provider)),
					placed(ctx, "options", components.Cluster{}, pulumi.Providers(cluster.Cluster.Provider)),
				)
			})
			wantPlaced(t, e, "cluster-kubernetes", test.with,
				append(slices.Concat(placedObjects("given"), placedObjects("option"), placedObjects("options")), "own")...)
			for _, name := range []string{"given-identity-identity", "given-mount-role-secret-my-secret"} {
				if got := e.Get(t, name).RPC; got.GetDeletedWith() != "" || len(got.GetHooks().GetOnError()) > 0 {
					t.Errorf("%s is deleted with %q and has hooks %v", name, got.GetDeletedWith(), got.GetHooks())
				}
			}
		})
	}
}

// TestCluster_ExplainsExistingObject makes the API server refuse an object, through the cluster's own provider and
// through the caller's.
func TestCluster_ExplainsExistingObject(t *testing.T) {
	for _, through := range []string{"its own provider", "the caller's provider"} {
		t.Run(through, func(t *testing.T) {
			const refusal = `resource "urn" was not successfully created by the Kubernetes API server: serviceaccounts "one" already exists`
			e := &mockengine.Engine{Refusals: map[string][]string{"in-identity-account-ns_one": {refusal}}}
			err := e.Run(func(ctx *pulumi.Context) error {
				if through == "its own provider" {
					cluster, err := components.NewAksWithCsi(ctx, "cluster", aksArgs())
					return errors.Join(err, placed(ctx, "in", cluster.Cluster))
				}
				theirs, err := kubernetes.NewProvider(ctx, "theirs", nil)
				return errors.Join(err, placed(ctx, "in", components.Cluster{Provider: theirs}))
			})
			if err == nil || !strings.Contains(err.Error(), refusal) {
				t.Errorf("the program ends with %v, want what the API server says", err)
			}
			const named = "ServiceAccount ns/one "
			if said := strings.Join(e.Errors(), "\n"); !strings.Contains(said, named) || !strings.Contains(said, "existing") {
				t.Errorf("the program says %q, which names neither %q nor a way out", said, named)
			}
		})
	}
}

// TestCluster_ArgumentOverridesOptions gives components several providers.
func TestCluster_ArgumentOverridesOptions(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		one, err1 := components.NewAksWithCsi(ctx, "one", aksArgs())
		two, err2 := components.NewAksWithCsi(ctx, "two", aksArgs())
		other, err3 := kubernetes.NewProvider(ctx, "other", &kubernetes.ProviderArgs{Kubeconfig: pulumi.String("{}")})
		if err := errors.Join(err1, err2, err3); err != nil {
			return err
		}
		around := &pulumi.ResourceState{}
		return errors.Join(
			ctx.RegisterComponentResource("test:index:Component", "around", around, pulumi.Providers(one.Cluster.Provider)),
			placed(ctx, "a", two.Cluster, pulumi.Parent(around)),
			placed(ctx, "b", one.Cluster, pulumi.Provider(other)),
			placed(ctx, "c", components.Cluster{Provider: other}, pulumi.Provider(one.Cluster.Provider)),
			placed(ctx, "d", components.Cluster{}, pulumi.Parent(around)),
			placed(ctx, "e", components.Cluster{}, pulumi.Parent(around), pulumi.Provider(other)),
		)
	})
	wantPlaced(t, e, "two-kubernetes", "two-kubernetes", placedObjects("a")...)
	wantPlaced(t, e, "one-kubernetes", "one-kubernetes", placedObjects("b")...)
	wantPlaced(t, e, "other", "", placedObjects("c")...)
	wantPlaced(t, e, "one-kubernetes", "one-kubernetes", placedObjects("d")...)
	wantPlaced(t, e, "other", "", placedObjects("e")...)
}

func TestSecretMount_UsesProviderInOptions(t *testing.T) {
	for name, options := range map[string]func(pulumi.ProviderResource) []pulumi.ResourceOption{
		"Provider": func(p pulumi.ProviderResource) []pulumi.ResourceOption {
			return []pulumi.ResourceOption{pulumi.Provider(p)}
		},
		"Providers": func(p pulumi.ProviderResource) []pulumi.ResourceOption {
			return []pulumi.ResourceOption{pulumi.Providers(p)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := &mockengine.Engine{}
			run(t, e, func(ctx *pulumi.Context) error {
				provider, err := kubernetes.NewProvider(ctx, "theirs", &kubernetes.ProviderArgs{Kubeconfig: pulumi.String("{}")})
				if err != nil {
					return err
				}
				return placed(ctx, "in", components.Cluster{}, options(provider)...)
			})
			// It is unknown whether the cluster uses Entra ID, so errors about missing roles are retried.
			wantPlaced(t, e, "theirs", "", placedObjects("in")...)
		})
	}
}

// TestCluster_DeletedWithAppliesToForeignProvider sets the resource with which the objects are deleted.
func TestCluster_DeletedWithAppliesToForeignProvider(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		provider, err := kubernetes.NewProvider(ctx, "theirs", &kubernetes.ProviderArgs{Kubeconfig: pulumi.String("{}")})
		if err != nil {
			return err
		}
		cluster := &pulumi.CustomResourceState{}
		if err := ctx.RegisterResource("test:index:Cluster", "their-cluster", pulumi.Map{}, cluster); err != nil {
			return err
		}
		given := components.Cluster{Provider: provider, DeletedWith: cluster}
		_, err = corev1.NewConfigMap(ctx, "own", nil, given.Option())
		return errors.Join(err,
			placed(ctx, "given", given),
			placed(ctx, "option", components.Cluster{DeletedWith: cluster}, pulumi.Provider(provider)),
		)
	})
	wantPlaced(t, e, "theirs", "their-cluster", append(placedObjects("given"), placedObjects("option")...)...)
	wantPlaced(t, e, "theirs", "their-cluster", "own")
}

func TestCluster_DeletedWithAppliesToOwnProvider(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		cluster, err := components.NewAksWithCsi(ctx, "cluster", existingByKubeconfig())
		if err != nil {
			return err
		}
		theirs := &pulumi.CustomResourceState{}
		if err := ctx.RegisterResource("test:index:Cluster", "their-cluster", pulumi.Map{}, theirs); err != nil {
			return err
		}
		given := cluster.Cluster
		given.DeletedWith = theirs
		return placed(ctx, "in", given)
	})
	wantPlaced(t, e, "cluster-kubernetes", "their-cluster", placedObjects("in")...)
}

func TestCluster_AfterDelaysObjectsOnly(t *testing.T) {
	for name, provider := range map[string]bool{"its provider": true, "the options' provider": false} {
		t.Run(name, func(t *testing.T) {
			e := &mockengine.Engine{}
			run(t, e, func(ctx *pulumi.Context) error {
				cluster, err := components.NewAksWithCsi(ctx, "cluster", aksArgs())
				if err != nil {
					return err
				}
				one, err1 := corev1.NewNamespace(ctx, "one", nil, cluster.Cluster.Option())
				two, err2 := corev1.NewNamespace(ctx, "two", nil, cluster.Cluster.Option())
				if err := errors.Join(err1, err2); err != nil {
					return err
				}
				given, option := cluster.Cluster, pulumi.Composite()
				if !provider {
					given, option = components.Cluster{}, pulumi.Provider(cluster.Cluster.Provider)
				}
				// A list of three may have spare capacity for a fourth, which the two derived lists must not share.
				afterOne := given.After(one).After(one).After(one)
				afterTwo, afterNoMore := afterOne.After(two), afterOne.After(one)
				return errors.Join(
					placed(ctx, "at-once", given, option),
					placed(ctx, "after-one", afterOne, option),
					placed(ctx, "after-two", afterTwo, option),
					placed(ctx, "after-no-more", afterNoMore, option),
				)
			})
			one, two := e.Get(t, "one"), e.Get(t, "two")
			for place, want := range map[string][2]bool{
				"at-once": {false, false}, "after-one": {true, false}, "after-two": {true, true}, "after-no-more": {true, false},
			} {
				for _, name := range placedObjects(place) {
					object := e.Get(t, name)
					if got := [2]bool{object.WaitsFor(one), object.WaitsFor(two)}; got != want {
						t.Errorf("%s waits for the namespaces: %v, want %v", name, got, want)
					}
				}
				for _, name := range []string{place + "-mount-role-secret-my-secret", place + "-identity-credential-ns_one"} {
					if azure := e.Get(t, name); azure.WaitsFor(one) || azure.WaitsFor(two) {
						t.Errorf("%s, which is in Azure, waits for what is in the cluster", name)
					}
				}
			}
			wantPlaced(t, e, "cluster-kubernetes", "cluster-kubernetes", placedObjects("after-two")...)
		})
	}
}

func TestWorkloadIdentity_ClusterWaitsForNamespaces(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		cluster, err := components.NewAksWithCsi(ctx, "cluster", aksArgs())
		if err != nil {
			return err
		}
		for name, create := range map[string]bool{"creating": true, "using": false} {
			args := twoClusters()
			args.Cluster, args.CreateNamespace = cluster.Cluster, create
			if !create {
				args.ExistingNamespaces, args.PodSecurity, args.NamespaceLabels = nil, "", nil
			}
			identity, err := components.NewWorkloadIdentity(ctx, name, args)
			if err != nil {
				return err
			}
			if err := placed(ctx, "in-"+name, identity.Cluster); err != nil {
				return err
			}
		}
		return nil
	})
	for _, object := range placedObjects("in-creating") {
		for _, namespace := range []string{"creating-namespace-ns", "creating-namespace-other"} {
			if !e.Get(t, object).WaitsFor(e.Get(t, namespace)) {
				t.Errorf("%s does not wait for %s", object, namespace)
			}
		}
		if e.Get(t, object).WaitsFor(e.Get(t, "creating-account-ns_one")) {
			t.Errorf("%s waits for a service account that it need not have", object)
		}
	}
	for _, place := range []string{"in-creating", "in-using"} {
		wantPlaced(t, e, "cluster-kubernetes", "cluster-kubernetes", placedObjects(place)...)
	}
	for _, account := range []string{"creating-account-ns_one", "using-account-ns_one"} {
		wantPlaced(t, e, "cluster-kubernetes", "cluster-kubernetes", account)
	}
}

// TestSecretMount_RolesDoNotWaitForCluster makes the cluster wait for the roles. A dependency the other way would
// deadlock.
func TestSecretMount_RolesDoNotWaitForCluster(t *testing.T) {
	e := &mockengine.Engine{}
	waits := newMeeting(t)
	e.Hold = func(name string) {
		switch name {
		case "mount-role-secret-my-secret":
			waits.arrive()
		case "cluster-cluster":
			waits.await("the role waits for the cluster")
		}
	}
	run(t, e, func(ctx *pulumi.Context) error {
		cluster, err := components.NewAksWithCsi(ctx, "cluster", aksArgs())
		if err != nil {
			return err
		}
		args := mountArgs()
		args.Cluster = cluster.Cluster
		_, err = components.NewSecretMount(ctx, "mount", args)
		return err
	})
	// The class waits for the cluster through the provider, which has the kubeconfig.
	if !e.Get(t, "cluster-kubernetes").WaitsFor(e.Get(t, "cluster-cluster")) {
		t.Error("the provider does not wait for the cluster")
	}
}

// A provider in the options is also the provider of the identity's cluster, so that objects in it use the same one.
func TestWorkloadIdentity_ClusterHasProviderOfOptions(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		provider := &kubernetesProvider{}
		if err := ctx.RegisterResource("pulumi:providers:kubernetes", "theirs", pulumi.Map{}, provider); err != nil {
			return err
		}
		args := identityArgs()
		args.Cluster, args.CreateNamespace = components.Cluster{}, true
		identity, err := components.NewWorkloadIdentity(ctx, "identity", args, pulumi.Provider(provider))
		if err != nil {
			return err
		}
		var settings pulumi.CustomResourceState
		return ctx.RegisterResource("kubernetes:core/v1:ConfigMap", "settings", pulumi.Map{}, &settings,
			identity.Cluster.Option())
	})
	if got, want := e.Get(t, "settings").RPC.GetProvider(), e.Get(t, "theirs").URN; !strings.HasPrefix(got, want+"::") {
		t.Errorf("it goes through %q, want %s", got, want)
	}
}

// kubernetesProvider is a provider of the program's own.
type kubernetesProvider struct{ pulumi.ProviderResourceState }

func TestCluster_OmitsNil(t *testing.T) {
	var nothing *kubernetesProvider
	run(t, &mockengine.Engine{}, func(ctx *pulumi.Context) error {
		cluster := components.Cluster{Provider: nothing, DeletedWith: nothing}.After(nothing)
		args := identityArgs()
		args.Cluster = cluster
		_, err := components.NewWorkloadIdentity(ctx, "identity", args)
		if !errors.Is(err, components.ErrNoKubernetesProvider) {
			t.Errorf("got error %v", err)
		}
		return nil
	})
}
