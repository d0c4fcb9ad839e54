package components

import (
	"fmt"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apiextensions"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

const secretMountType = "keyvaultaks:index:SecretMount"

const defaultVolumeName = "secrets-store"

// SecretMountArgs are the arguments of [NewSecretMount].
type SecretMountArgs struct {
	// VaultID is the vault's ARM id, the scope of the roles. Required.
	VaultID pulumi.StringInput `pulumi:"vaultId"`
	// VaultName is the vault's name. Required.
	VaultName pulumi.StringInput `pulumi:"vaultName"`
	// TenantID is the Entra tenant that the vault trusts. Required.
	TenantID pulumi.StringInput `pulumi:"tenantId"`
	// ClientID is the identity that the mount signs in as. Required.
	ClientID pulumi.StringInput `pulumi:"clientId"`
	// PrincipalID is the same identity as roles know it. Required.
	PrincipalID pulumi.StringInput `pulumi:"principalId"`
	// Namespace of the class and of the pods that mount it. Required.
	Namespace pulumi.StringInput `pulumi:"namespace"`
	// ServiceAccountName is the test pod's service account. Required with TestPod.
	ServiceAccountName pulumi.StringInput `pulumi:"serviceAccountName,optional"`

	// ClassName names the SecretProviderClass, a DNS subdomain. Left out: Pulumi names it.
	ClassName string `pulumi:"className,optional"`
	// VolumeName names the volume in pods, a DNS label; pods with several mounts need different ones. Left out:
	// secrets-store.
	VolumeName string `pulumi:"volumeName,optional"`
	// Objects to mount, at least one. They decide the roles: the identity gets the least role on each of them and nothing
	// else. Two mounts of the same object by the same identity would assign the same role twice, which Azure refuses.
	Objects []ObjectArgs `pulumi:"objects"`
	// TestPod adds a pod that shows the files. Left out: none.
	TestPod *TestPodArgs `pulumi:"testPod,optional"`
}

// SecretMount lets pods of a namespace mount objects of a vault as files: the roles, the SecretProviderClass, the volume.
//
// Its Kubernetes objects go through the Kubernetes provider in the component's options (pulumi.Provider or pulumi.Providers, or
// a parent's); without one it returns an error, so that nothing lands in whatever cluster the machine's kubeconfig points at.
//
// A role may take Azure up to ten minutes to honour. The kubelet retries the mount until then, so pods that use the volume
// need an await timeout above it.
type SecretMount struct {
	pulumi.ResourceState

	// SecretProviderClass is the class's name; resolves once the class and the roles exist.
	SecretProviderClass pulumi.StringOutput `pulumi:"secretProviderClass"`

	volumeName string
}

// NewSecretMount registers the roles, the class and, where asked, the test pod. It returns [Violations] before anything is
// registered if arguments are invalid.
func NewSecretMount(ctx *pulumi.Context, name string, args *SecretMountArgs, opts ...pulumi.ResourceOption) (*SecretMount, error) {
	if args == nil {
		args = &SecretMountArgs{}
	}
	if err := args.validateAll().Err(); err != nil {
		return nil, fmt.Errorf("arguments of %s: %w", name, err)
	}

	c := &SecretMount{volumeName: withDefault(args.VolumeName, defaultVolumeName)}
	inputs := pulumi.Map{
		"vaultId":   args.VaultID,
		"clientId":  args.ClientID,
		"namespace": args.Namespace,
		"objects":   pulumi.ToStringArray(names(args.Objects, func(o ObjectArgs) string { return o.Type + "/" + o.Name })),
	}
	if err := ctx.RegisterComponentResourceV2(secretMountType, name, inputs, c, opts...); err != nil {
		return nil, fmt.Errorf("registering %s: %w", name, err)
	}
	if err := requireKubernetesProvider(name, c); err != nil {
		return nil, err
	}
	roles, err := newRoleAssignments(ctx, name, args.VaultID, args.PrincipalID, args.Objects, c)
	if err != nil {
		return nil, err
	}
	class, err := c.newClass(ctx, name, args)
	if err != nil {
		return nil, fmt.Errorf("creating the secret provider class: %w", err)
	}
	c.SecretProviderClass = after(ctx, class.Metadata.Name().Elem(), append(roles, class)...)
	if args.TestPod != nil {
		if err := c.newTestPod(ctx, name, args); err != nil {
			return nil, fmt.Errorf("creating the test pod: %w", err)
		}
	}
	outputs := pulumi.Map{"secretProviderClass": c.SecretProviderClass}
	if err := ctx.RegisterResourceOutputs(c, outputs); err != nil {
		return nil, fmt.Errorf("registering outputs of %s: %w", name, err)
	}
	return c, nil
}

func (c *SecretMount) newClass(ctx *pulumi.Context, name string, args *SecretMountArgs) (*apiextensions.CustomResource, error) {
	objects, err := objectsParameter(args.Objects)
	if err != nil {
		return nil, err
	}
	return apiextensions.NewCustomResource(ctx, name+"-class", &apiextensions.CustomResourceArgs{
		ApiVersion: pulumi.String("secrets-store.csi.x-k8s.io/v1"),
		Kind:       pulumi.String("SecretProviderClass"),
		Metadata: metav1.ObjectMetaArgs{
			Name:      optional(args.ClassName),
			Namespace: args.Namespace.ToStringOutput().ToStringPtrOutput(),
		},
		OtherFields: kubernetes.UntypedArgs{
			"spec": pulumi.Map{
				"provider": pulumi.String("azure"),
				// Nothing else: useVMManagedIdentity, usePodIdentity and their like would override workload identity.
				"parameters": pulumi.StringMap{
					"clientID":     args.ClientID,
					"keyvaultName": args.VaultName,
					"tenantID":     args.TenantID,
					"objects":      pulumi.String(objects),
				},
			},
		},
	}, pulumi.Parent(c))
}

// Volume is the volume for a pod's spec, read-only. A pod that uses it is created after the roles and the class, and deleted
// before them. The pod's service account must be one that may act as the mount's identity.
func (c *SecretMount) Volume() corev1.VolumeArgs {
	return corev1.VolumeArgs{
		Name: pulumi.String(c.volumeName),
		Csi: corev1.CSIVolumeSourceArgs{
			Driver:           pulumi.String("secrets-store.csi.k8s.io"),
			ReadOnly:         pulumi.Bool(true),
			VolumeAttributes: pulumi.StringMap{"secretProviderClass": c.SecretProviderClass},
		},
	}
}

// VolumeMount shows the volume's files to a container under an absolute path, such as /mnt/secrets, read-only. There is no
// subPath, since a subPath never sees a rotation.
func (c *SecretMount) VolumeMount(path string) corev1.VolumeMountArgs {
	return corev1.VolumeMountArgs{
		Name:      pulumi.String(c.volumeName),
		MountPath: pulumi.String(path),
		ReadOnly:  pulumi.Bool(true),
	}
}

// Validate checks every plain argument and returns all violations.
func (args *SecretMountArgs) Validate() Violations {
	var v Violations
	if args.ClassName != "" {
		v.dnsSubdomain("className", args.ClassName)
	}
	v.dnsLabel("volumeName", withDefault(args.VolumeName, defaultVolumeName))
	v.validateObjects("objects", args.Objects)
	if args.TestPod != nil {
		v.validateTestPod("testPod", *args.TestPod)
	}
	return v
}

// validateAll is Validate and that no input is missing.
func (args *SecretMountArgs) validateAll() Violations {
	v := args.Validate()
	v.required("vaultId", args.VaultID)
	v.required("vaultName", args.VaultName)
	v.required("tenantId", args.TenantID)
	v.required("clientId", args.ClientID)
	v.required("principalId", args.PrincipalID)
	v.required("namespace", args.Namespace)
	if args.TestPod != nil {
		v.required("serviceAccountName", args.ServiceAccountName)
	}
	return v
}
