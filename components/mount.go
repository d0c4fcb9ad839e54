package components

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apiextensions"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

const secretMountType = "keyvaultaks:index:SecretMount"

const defaultVolumeName = "secrets-store"

// The driver reports on each mount in an object called <pod>-<namespace>-<class>, which must be a name for Kubernetes, too. The pods
// of workloads have names of at most 63 characters, and so have namespaces.
const (
	maxClassName = 253 - 2*(maxPodName+1)
	maxPodName   = 63
)

// publicCloud is what the provider is started with by default, and assumes if the class names no cloud.
const publicCloud = "AzurePublicCloud"

// The provider's rules for what is passed on. It trims values, and takes another way to sign in if there is no client id.
var (
	mountedVaultName = regexp.MustCompile(`^[a-zA-Z0-9-]{3,24}$`)
	identifier       = regexp.MustCompile(`^\S+$`)
)

// SecretMountArgs are the arguments of [NewSecretMount].
type SecretMountArgs struct {
	// VaultID is the vault's ARM id, the scope of the roles. Required unless Access is none.
	VaultID pulumi.StringInput `pulumi:"vaultId,optional"`
	// VaultName is the vault's name. Required.
	VaultName pulumi.StringInput `pulumi:"vaultName"`
	// TenantID is the Entra tenant that the vault trusts. Required.
	TenantID pulumi.StringInput `pulumi:"tenantId"`
	// ClientID is the identity that the mount signs in as. Required.
	ClientID pulumi.StringInput `pulumi:"clientId"`
	// PrincipalID is the same identity as roles know it. Required unless Access is none.
	PrincipalID pulumi.StringInput `pulumi:"principalId,optional"`
	// Namespace of the class and of the pods that mount it. Required.
	Namespace pulumi.StringInput `pulumi:"namespace"`
	// ServiceAccountName is the service account of the test pod, of the probe, and of the specs given to [AddMount]. It
	// must be one that may act as the identity. Required with TestPod and with Probe.
	ServiceAccountName pulumi.StringInput `pulumi:"serviceAccountName,optional"`

	// ClassName names the SecretProviderClass, a DNS subdomain of at most 125 characters. Left out: Pulumi names it.
	ClassName string `pulumi:"className,optional"`
	// VolumeName names the volume in pods, a DNS label; pods with several mounts need different ones. Left out:
	// secrets-store.
	VolumeName string `pulumi:"volumeName,optional"`
	// CloudName is the cloud of the vault: AzurePublicCloud, AzureUSGovernmentCloud or AzureChinaCloud. The class does not name
	// the public cloud, which the provider assumes unless the cluster set it up otherwise. Left out: AzurePublicCloud.
	CloudName string `pulumi:"cloudName,optional"`
	// Objects to mount, at least one, no two in the same file. They decide the roles that Access grants.
	Objects []ObjectArgs `pulumi:"objects"`
	// Access says where the identity is granted what mounting takes, Key Vault Secrets User for secrets and Key Vault Reader for
	// keys and certificates: object is on each mounted object and nowhere else; vault is once for each needed role on the vault,
	// which is wider, since the identity may then read every secret of the vault, or the metadata of all that is in it; none is
	// that somebody else grants it, and VaultID and PrincipalID are not used. Two mounts of one object by one identity would
	// assign one role twice, which Azure refuses: give the second none. Vault suits a vault of the workload's own with many
	// objects, since a subscription has at most 4000 role assignments. Left out: object.
	Access string `pulumi:"access,optional"`
	// SyncSecrets are Kubernetes Secrets that the CSI driver makes from mounted files, for what cannot read files: environment
	// variables, see [Env], and an Ingress. Left out: none.
	SyncSecrets []SyncSecretArgs `pulumi:"syncSecrets,optional"`
	// Versions of what is mounted, by names of the caller's choice, as far as the program knows them, such as the versions of
	// secrets that it puts into the vault itself. They go into [SecretMount.PodAnnotations] and nowhere else. Give versions, not
	// values: whoever may see the pods sees a digest of them. Left out: none.
	Versions pulumi.StringMapInput `pulumi:"versions,optional"`
	// TestPod adds a pod that shows the files. Left out: none.
	TestPod *TestPodArgs `pulumi:"testPod,optional"`
	// Probe adds a Deployment that is ready while the files are there. Left out: none.
	Probe *ProbeArgs `pulumi:"probe,optional"`
}

// Files are the paths, relative to the mount, of the files that every pod with the mount has, sorted. Of a version history that
// is the newest version; how many there are besides is known to the vault alone.
func (args *SecretMountArgs) Files() []string {
	files := names(args.Objects, ObjectArgs.FileName)
	slices.Sort(files)
	return files
}

// SecretMount lets pods of a namespace mount objects of a vault as files: the roles, the SecretProviderClass, the volume. [AddMount] puts
// it into a pod's spec; [Volume] and [VolumeMount] are its parts, and [Env] takes variables from its Kubernetes Secrets.
//
// Its Kubernetes objects go through the Kubernetes provider in the component's options ([AksWithCsi.InCluster], pulumi.Provider or
// pulumi.Providers, or a parent's); without one it returns an error, so that nothing lands in whatever cluster the machine's kubeconfig points at.
//
// A role may take Azure up to ten minutes to honour. The kubelet retries the mount until then, so pods that use the volume
// need an await timeout above it.
type SecretMount struct {
	pulumi.ResourceState
	withObjects

	// SecretProviderClass is the class's name; resolves once the class and the roles exist.
	SecretProviderClass pulumi.StringOutput `pulumi:"secretProviderClass"`
	// SyncedSecrets are the names of the Kubernetes Secrets, in the order of SyncSecrets; resolves once the class and the roles
	// exist. The Secrets themselves exist while a pod mounts the class, so a pod that uses one must mount the volume, too.
	SyncedSecrets pulumi.StringArrayOutput `pulumi:"syncedSecrets"`

	volumeName         string
	serviceAccountName pulumi.StringInput
	podAnnotations     pulumi.StringMapOutput
	secrets            map[string]syncedSecret
}

// NewSecretMount registers the roles, the class and, where asked, the test pod and the probe. It returns [Violations] before
// anything is registered if arguments are invalid. Violations of Inputs, which are known later, fail the class and the roles: at
// preview if they are known then.
func NewSecretMount(ctx *pulumi.Context, name string, args *SecretMountArgs, opts ...pulumi.ResourceOption) (*SecretMount, error) {
	if args == nil {
		args = &SecretMountArgs{}
	}
	if err := args.validateAll().Err(); err != nil {
		return nil, fmt.Errorf("arguments of %s: %w", name, err)
	}

	c := &SecretMount{
		volumeName:         withDefault(args.VolumeName, defaultVolumeName),
		serviceAccountName: args.ServiceAccountName,
	}
	if err := ctx.RegisterComponentResourceV2(secretMountType, name, args.inputs(), c, opts...); err != nil {
		return nil, fmt.Errorf("registering %s: %w", name, err)
	}
	if err := c.placeObjects(name, c); err != nil {
		return nil, err
	}
	if err := c.logAccess(ctx, args); err != nil {
		return nil, fmt.Errorf("logging the access of %s: %w", name, err)
	}
	roles, err := c.newRoleAssignments(ctx, name, args)
	if err != nil {
		return nil, err
	}
	spec, err := args.classSpec()
	if err != nil {
		return nil, err
	}
	class, className, err := c.newClass(ctx, name, args, spec)
	if err != nil {
		return nil, err
	}
	c.SecretProviderClass = after(ctx, className, append(roles, class)...)
	c.podAnnotations = checksumAnnotations(spec, args.Versions)
	c.setSyncedSecrets(ctx, args.SyncSecrets, append(roles, class))
	if args.TestPod != nil {
		if err := c.newTestPod(ctx, name, args); err != nil {
			return nil, fmt.Errorf("creating the test pod: %w", err)
		}
	}
	if args.Probe != nil {
		if err := c.newProbe(ctx, name, args); err != nil {
			return nil, fmt.Errorf("creating the probe: %w", err)
		}
	}
	outputs := pulumi.Map{"secretProviderClass": c.SecretProviderClass, "syncedSecrets": c.SyncedSecrets}
	if err := ctx.RegisterResourceOutputs(c, outputs); err != nil {
		return nil, fmt.Errorf("registering outputs of %s: %w", name, err)
	}
	return c, nil
}

// inputs are what the state shows of the arguments. The namespace is not among them: the roles would wait for it, and so for the cluster.
func (args *SecretMountArgs) inputs() pulumi.Map {
	inputs := pulumi.Map{
		"clientId": args.ClientID,
		"objects":  pulumi.ToStringArray(names(args.Objects, func(o ObjectArgs) string { return o.Type + "/" + o.Name })),
	}
	if args.VaultID != nil {
		inputs["vaultId"] = args.VaultID
	}
	return inputs
}

// newClass registers the class. It returns its name as well: the class's type would be in a method's signature, see podspec.go.
func (c *SecretMount) newClass(ctx *pulumi.Context, name string, args *SecretMountArgs, spec pulumi.Map) (
	pulumi.Resource, pulumi.StringOutput, error,
) {
	class, err := apiextensions.NewCustomResource(ctx, name+"-class", &apiextensions.CustomResourceArgs{
		ApiVersion: pulumi.String("secrets-store.csi.x-k8s.io/v1"),
		Kind:       pulumi.String("SecretProviderClass"),
		Metadata: metav1.ObjectMetaArgs{
			Name:      optional(args.ClassName),
			Namespace: args.Namespace.ToStringOutput().ToStringPtrOutput(),
			// Nobody else writes a field of the class: what somebody has edited by hand is put back, instead of a conflict with him
			// that no run gets over (pulumi.com/registry/packages/kubernetes/how-to-guides/managing-resources-with-server-side-apply).
			Annotations: pulumi.StringMap{"pulumi.com/patchForce": pulumi.String("true")},
		},
		OtherFields: kubernetes.UntypedArgs{"spec": spec},
	}, c.object(deletedAtOnce)...)
	if err != nil {
		return nil, pulumi.StringOutput{}, fmt.Errorf("creating the secret provider class: %w", err)
	}
	return class, class.Metadata.Name().Elem(), nil
}

// classSpec is the class's spec as the driver and the provider read it.
func (args *SecretMountArgs) classSpec() (pulumi.Map, error) {
	objects, err := objectsParameter(args.Objects)
	if err != nil {
		return nil, err
	}
	// Nothing else: useVMManagedIdentity, usePodIdentity and their like would override workload identity.
	parameters := pulumi.StringMap{
		"clientID":     checked(args.ClientID, "clientId", identifier, "a client id"),
		"keyvaultName": checked(args.VaultName, "vaultName", mountedVaultName, "3-24 letters, digits and dashes"),
		"tenantID":     checked(args.TenantID, "tenantId", identifier, "a tenant id"),
		"objects":      pulumi.String(objects),
	}
	if args.CloudName != "" && args.CloudName != publicCloud {
		parameters["cloudName"] = pulumi.String(args.CloudName)
	}
	spec := pulumi.Map{"provider": pulumi.String("azure"), "parameters": parameters}
	if len(args.SyncSecrets) > 0 {
		spec["secretObjects"] = secretObjects(args.SyncSecrets)
	}
	return spec, nil
}

// setSyncedSecrets fills what Env and the output tell of the Secrets, once the resources exist.
func (c *SecretMount) setSyncedSecrets(ctx *pulumi.Context, secrets []SyncSecretArgs, resources []pulumi.Resource) {
	list := pulumi.ToStringArray(names(secrets, func(s SyncSecretArgs) string { return s.Name })).ToStringArrayOutput()
	c.SyncedSecrets = pulumi.OutputWithDependencies(ctx.Context(), list, resources...).(pulumi.StringArrayOutput)
	c.secrets = map[string]syncedSecret{}
	for _, s := range secrets {
		c.secrets[s.Name] = syncedSecret{
			name: after(ctx, pulumi.String(s.Name).ToStringOutput(), resources...),
			keys: names(s.Data, func(d SyncDataArgs) string { return d.Key }),
		}
	}
}

// checked holds an input against a rule as soon as it is known. The value is not repeated, since it may be secret.
func checked(input pulumi.StringInput, path string, rule *regexp.Regexp, allowed string) pulumi.StringOutput {
	return input.ToStringOutput().ApplyT(func(given string) (string, error) {
		if !rule.MatchString(given) {
			return "", Violations{{Path: path, Given: "something else", Allowed: allowed}}
		}
		return given, nil
	}).(pulumi.StringOutput)
}

// Validate checks every plain argument and returns all violations. A mount without any shows exactly its files: those of
// [SecretMountArgs.Files], and of version histories what the vault has.
func (args *SecretMountArgs) Validate() Violations {
	var v Violations
	if args.ClassName != "" {
		v.check(len(args.ClassName) <= maxClassName && dnsSubdomain.MatchString(args.ClassName), "className", args.ClassName,
			fmt.Sprintf("1-%d lower-case letters, digits, dashes and dots, a letter or digit first and last", maxClassName))
	}
	v.dnsLabel("volumeName", withDefault(args.VolumeName, defaultVolumeName))
	if args.CloudName != "" {
		v.oneOf("cloudName", args.CloudName, publicCloud, "AzureUSGovernmentCloud", "AzureChinaCloud")
	}
	v.validateObjects("objects", args.Objects)
	v.oneOf("access", withDefault(args.Access, accessObject), accessObject, accessVault, accessNone)
	v.validateSyncSecrets("syncSecrets", args.SyncSecrets, args.Objects)
	if args.TestPod != nil {
		v.validateTestPod("testPod", *args.TestPod)
	}
	if args.Probe != nil {
		v.validateProbe("probe", *args.Probe)
	}
	return v
}

// validateAll is Validate and that no input is missing.
func (args *SecretMountArgs) validateAll() Violations {
	v := args.Validate()
	needsRoles := args.Access != accessNone
	if needsRoles {
		v.required("vaultId", args.VaultID)
	}
	v.required("vaultName", args.VaultName)
	v.required("tenantId", args.TenantID)
	v.required("clientId", args.ClientID)
	if needsRoles {
		v.required("principalId", args.PrincipalID)
	}
	v.required("namespace", args.Namespace)
	if args.TestPod != nil || args.Probe != nil {
		v.required("serviceAccountName", args.ServiceAccountName)
	}
	return v
}

// podName checks the name of a pod that mounts the class.
func (v *Violations) podName(path, given string) {
	v.check(len(given) <= maxPodName && dnsSubdomain.MatchString(given), path, given,
		fmt.Sprintf("1-%d lower-case letters, digits, dashes and dots, a letter or digit first and last", maxPodName))
}
