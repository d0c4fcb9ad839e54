package components

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/utilities"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Cluster is a cluster for components that create objects in it. [AksWithCsi.Cluster] returns one. Only the objects
// wait for the cluster: the component's resources in Azure do not.
//
// The zero value stands for the Kubernetes provider in a component's options (pulumi.Provider, pulumi.Providers, or a
// parent's). The whole component then waits for that provider, and so for the cluster.
type Cluster struct {
	// Provider is the Kubernetes provider that reaches the cluster. Defaults to the one in the component's options. The
	// provider of an [AksWithCsi] fails to create objects that exist, and so does any other with enableServerSideApply set
	// to false. With server-side apply, its default, a provider takes over an existing object of the same name
	// (https://github.com/pulumi/pulumi-kubernetes/issues/2926, fixed after version 4.25). The preview then fails for
	// objects that Pulumi did not create, but an update without a preview finds out too late. A provider of your own
	// requires Pulumi 3.238 or later; that of an AksWithCsi requires 3.219.
	Provider pulumi.ProviderResource
	// DeletedWith is a resource of the program that is deleted or replaced exactly when the cluster is. Pulumi then does
	// not delete the objects one by one, because they disappear with the cluster. When the cluster is replaced, Pulumi
	// could not delete them, since it has already closed the provider (https://github.com/pulumi/pulumi/issues/14650).
	// Defaults to the provider of a cluster that [AksWithCsi] creates, and otherwise to none: a cluster that is managed
	// elsewhere would keep the objects.
	DeletedWith pulumi.Resource

	after []pulumi.Resource // what the objects wait for
}

// After returns a cluster whose objects also depend on the given resources, such as a namespace of the program's own.
// Objects are created after them and deleted before them.
func (c Cluster) After(resources ...pulumi.Resource) Cluster {
	c.after = append(slices.Clip(c.after), slices.DeleteFunc(slices.Clone(resources),
		func(r pulumi.Resource) bool { return missing(r) })...)
	return c
}

// Option returns the resource option for a Kubernetes object that the program itself creates in the cluster. Without a
// Provider, it leaves the choice of the provider to the object's other options. A remote component, such as a Helm v4
// Chart, needs pulumi.Provider with the cluster's Provider instead.
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

// newProvider registers the provider of a cluster. The issuer's URL identifies the cluster: it stays the same when a
// kubeconfig is renewed, so the objects stay, and it changes when the cluster is replaced, so the objects are created
// again.
//
// Objects are created client-side, unless they are to be adopted. A server-side apply would take over somebody else's
// object of the same name, and later change and delete it (https://github.com/pulumi/pulumi-kubernetes/issues/2926).
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

// ErrNoKubernetesProvider reports that a component has no Kubernetes provider.
var ErrNoKubernetesProvider = errors.New(
	"no Kubernetes provider: set cluster to that of AksWithCsi, or pass pulumi.Provider or pulumi.Providers with one " +
		"for the cluster",
)

// invalidOrUnplaced returns all that is wrong with a component before anything is registered: invalid arguments, and
// objects without a cluster. It returns nil if nothing is wrong.
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

// lacksProvider reports whether a component has no Kubernetes provider in its arguments, its options or its parent.
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

// placeObjects decides which cluster a component's objects are created in. Without a provider they would go to the
// cluster that the machine's kubeconfig names, so that is an error.
func placeObjects(ctx *pulumi.Context, name string, component withProviders, cluster Cluster) (objects, error) {
	if missing(cluster.Provider) {
		if cluster.Provider = component.GetProvider(namespaceToken); cluster.Provider == nil {
			return objects{}, fmt.Errorf("%s: %w", name, ErrNoKubernetesProvider)
		}
	}
	opts := append([]pulumi.ResourceOption{pulumi.Parent(component)}, cluster.options()...)
	if _, own := cluster.Provider.(*Provider); !own {
		onFail, err1 := onObjectFailure(ctx, component, name, "")
		notTaken, err2 := preventTakeover(ctx, name)
		if err := errors.Join(err1, err2); err != nil {
			return objects{}, err
		}
		opts = append(opts, onFail, notTaken)
	}
	return objects{options: opts}, nil
}

// withProviders is a component with the providers of its options.
type withProviders interface {
	pulumi.Resource
	GetProvider(token string) pulumi.ProviderResource
}

// object is a Kubernetes object. It is registered without the Kubernetes SDK's types, which would triple the compile
// time of importers.
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
			return "", errors.New("the API server returned an object without a name")
		}
		return name, nil
	}).(pulumi.StringOutput)
}

// metadata is an object's metadata. Empty fields are omitted.
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

// add registers an object of the given API version, such as v1 or apps/v1, and kind. The body is the object without
// apiVersion and kind.
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
