package components

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/utilities"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Cluster is a cluster as the components take it that create objects in it, and as [AksWithCsi.Cluster] hands it out.
// Only the objects wait for the cluster: what a component has in Azure does not.
//
// The zero value stands for the Kubernetes provider in a component's options (pulumi.Provider, pulumi.Providers, or a
// parent's). Pulumi has the whole component wait for that provider, and so for the cluster.
type Cluster struct {
	// Provider is the provider of the package kubernetes that reaches the cluster. Defaults to that in the component's options.
	// The provider of an [AksWithCsi] fails to create what exists. So does one of the caller's own with
	// enableServerSideApply set to false. With server-side apply, which is its default, it takes over whatever has the
	// name (https://github.com/pulumi/pulumi-kubernetes/issues/2926, mended after version 4.25): the preview then fails
	// for what Pulumi has not made, but an update without a preview comes too late. A provider of the caller's own takes
	// Pulumi 3.238 or later, and that of an AksWithCsi 3.219.
	Provider pulumi.ProviderResource
	// DeletedWith is a resource of the program that is deleted or replaced exactly when the cluster is: Pulumi then leaves
	// the objects to go with the cluster, instead of deleting them one by one. Where the cluster is replaced it cannot
	// delete them, since it has closed the provider (https://github.com/pulumi/pulumi/issues/14650). Defaults to the
	// provider of a cluster that [AksWithCsi] creates, and otherwise to none: a cluster that something else manages keeps
	// what nobody deletes.
	DeletedWith pulumi.Resource

	after []pulumi.Resource // what the objects wait for
}

// After returns the cluster once the resources exist, such as a namespace of the program's own: objects are created
// after them and deleted before them.
func (c Cluster) After(resources ...pulumi.Resource) Cluster {
	c.after = append(slices.Clip(c.after), slices.DeleteFunc(slices.Clone(resources),
		func(r pulumi.Resource) bool { return missing(r) })...)
	return c
}

// Option returns the option of a Kubernetes object that the program itself creates in the cluster. Of a Cluster without
// Provider it leaves the provider to the object's other options. A remote component, such as a Helm v4 Chart, takes
// pulumi.Provider with the cluster's Provider instead.
func (c Cluster) Option() pulumi.ResourceOption {
	return pulumi.Composite(c.options()...)
}

func (c Cluster) options() []pulumi.ResourceOption {
	var opts []pulumi.ResourceOption
	if !missing(c.Provider) {
		opts = append(opts, pulumi.Provider(c.Provider))
	}
	own, _ := c.Provider.(*Provider) // nil where there is none
	switch {
	case !missing(c.DeletedWith):
		opts = append(opts, pulumi.DeletedWith(c.DeletedWith))
	case own != nil && own.made:
		opts = append(opts, pulumi.DeletedWith(own))
	}
	if own != nil {
		opts = append(opts, own.onFail)
	}
	if len(c.after) > 0 {
		opts = append(opts, pulumi.DependsOn(c.after))
	}
	return opts
}

// Provider is the Kubernetes provider of an [AksWithCsi]'s cluster.
type Provider struct {
	pulumi.ProviderResourceState

	made   bool                  // the cluster is the component's own
	adopts bool                  // what is there is taken over
	onFail pulumi.ResourceOption // of each object
}

// newProvider registers the provider of a cluster. An issuer's URL stands for one cluster: a renewed kubeconfig keeps
// it, and what is in the cluster stays; a cluster that replaces another changes it, and what was in the other is
// created again.
//
// Objects are created client-side, unless they are to be adopted. A server-side apply takes over whatever has the name,
// and the provider would then change what is somebody else's and delete it
// (https://github.com/pulumi/pulumi-kubernetes/issues/2926).
func newProvider(ctx *pulumi.Context, name string, kubeconfig, issuerURL pulumi.StringInput, provider *Provider,
	opts ...pulumi.ResourceOption) error {
	err := ctx.RegisterResource("pulumi:providers:kubernetes", name, pulumi.Map{
		"kubeconfig":            kubeconfig,
		"clusterIdentifier":     issuerURL,
		"enableServerSideApply": pulumi.Bool(provider.adopts),
	}, provider, utilities.PkgResourceDefaultOpts(opts)...)
	if err != nil {
		return fmt.Errorf("creating the cluster's Kubernetes provider: %w", err)
	}
	return nil
}

// ErrNoKubernetesProvider says that a component was given no way to the cluster.
var ErrNoKubernetesProvider = errors.New(
	"no Kubernetes provider: set cluster to that of AksWithCsi, or pass pulumi.Provider or pulumi.Providers with one for the cluster",
)

// invalidOrUnplaced is all that is wrong with a component before anything is registered: its arguments, and that its
// objects have no cluster to go to. It is nil if nothing is.
func invalidOrUnplaced(name string, v violations, unplaced bool) error {
	invalid := v.err()
	switch {
	case invalid != nil && unplaced:
		return fmt.Errorf("arguments of %s: %w\n  %w", name, invalid, ErrNoKubernetesProvider)
	case invalid != nil:
		return fmt.Errorf("arguments of %s: %w", name, invalid)
	case unplaced:
		return fmt.Errorf("%s: %w", name, ErrNoKubernetesProvider)
	}
	return nil
}

// lacksProvider says whether a component will have no provider for Kubernetes: none in its arguments, its options or
// its parent.
func lacksProvider(cluster Cluster, opts []pulumi.ResourceOption) bool {
	given, err := pulumi.NewResourceOptions(opts...)
	if err != nil || !missing(cluster.Provider) { // registering says what is wrong with an option
		return false
	}
	if len(given.Transformations) > 0 { // which may give it one
		return false
	}
	for _, provider := range append(given.Providers, given.Provider) {
		if pkg, known := packageOf(provider); !missing(provider) && (!known || pkg == "kubernetes") {
			return false
		}
	}
	parent, ok := given.Parent.(withProviders)
	return !ok || missing(parent.GetProvider(namespaceToken))
}

const namespaceToken = "kubernetes:core/v1:Namespace"

// objects creates a component's objects in a cluster.
type objects struct {
	options []pulumi.ResourceOption // of each
}

// placeObjects decides where a component's objects go. Without a provider they would go wherever the machine's
// kubeconfig points at, so that is an error.
func placeObjects(ctx *pulumi.Context, name string, component withProviders, cluster Cluster) (objects, error) {
	if missing(cluster.Provider) {
		if cluster.Provider = component.GetProvider(namespaceToken); cluster.Provider == nil {
			return objects{}, fmt.Errorf("%s: %w", name, ErrNoKubernetesProvider)
		}
	}
	opts := append([]pulumi.ResourceOption{pulumi.Parent(component)}, cluster.options()...)
	if _, own := cluster.Provider.(*Provider); !own {
		onFail, err1 := whereObjectsFail(ctx, component, name, "")
		notTaken, err2 := notTakenOver(ctx, name)
		if err := errors.Join(err1, err2); err != nil {
			return objects{}, err
		}
		opts = append(opts, onFail, notTaken)
	}
	return objects{options: opts}, nil
}

// withProviders is a component, which has the providers of its options.
type withProviders interface {
	pulumi.Resource
	GetProvider(token string) pulumi.ProviderResource
}

// object is a Kubernetes object. It is registered without the Kubernetes SDK's types, which would triple what an
// importer compiles.
type object struct {
	pulumi.CustomResourceState

	// Metadata of the object as the API server has it.
	Metadata pulumi.MapOutput `pulumi:"metadata"`
}

// name returns the object's name once it exists.
func (o *object) name() pulumi.StringOutput {
	return o.Metadata.ApplyT(func(metadata map[string]any) (string, error) {
		name, ok := metadata["name"].(string)
		if !ok {
			return "", errors.New("the API server gave an object no name")
		}
		return name, nil
	}).(pulumi.StringOutput)
}

// metadata is an object's. What is empty is left out.
type metadata struct {
	name        string
	namespace   pulumi.StringInput
	labels      map[string]string
	annotations pulumi.StringMapInput
}

func (m metadata) input() pulumi.Map {
	input := pulumi.Map{}
	if m.name != "" {
		input["name"] = pulumi.String(m.name)
	}
	if m.namespace != nil {
		input["namespace"] = m.namespace
	}
	if len(m.labels) > 0 {
		input["labels"] = pulumi.ToStringMap(m.labels)
	}
	if m.annotations != nil {
		input["annotations"] = m.annotations
	}
	return input
}

// add registers an object of a kind such as v1:Pod or apps/v1:Deployment. The body is the object without apiVersion and
// kind.
func (o objects) add(ctx *pulumi.Context, apiVersion, kind, name string, body pulumi.Map,
	opts ...pulumi.ResourceOption) (*object, error) {
	group := apiVersion
	if group == "v1" {
		group = "core/v1"
	}
	inputs := pulumi.Map{"apiVersion": pulumi.String(apiVersion), "kind": pulumi.String(kind)}
	for key, value := range body {
		inputs[key] = value
	}
	created := &object{}
	err := ctx.RegisterResource("kubernetes:"+group+":"+kind, name, inputs, created,
		utilities.PkgResourceDefaultOpts(slices.Concat(o.options, opts))...)
	if err != nil {
		return nil, fmt.Errorf("creating the %s: %w", kind, err)
	}
	return created, nil
}
