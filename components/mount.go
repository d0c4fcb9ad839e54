package components

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

const secretMountType = "keyvaultaks:index:SecretMount"

const defaultVolumeName = "secrets-store"

// The driver records each mount in an object called <pod>-<namespace>-<class>, which must be a valid name. The pods of
// workloads have names of at most 63 characters, and so do namespaces.
const (
	maxClassName = 253 - 2*(maxPodName+1)
	maxPodName   = 63
)

// The provider's rules for the values that the class passes on. The provider trims values, and signs in differently if
// there is no client id.
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
	// ClientID is the client id of the identity that the mount signs in with. Required.
	ClientID pulumi.StringInput `pulumi:"clientId"`
	// PrincipalID is the principal id of the same identity, for the roles. Required unless Access is none.
	PrincipalID pulumi.StringInput `pulumi:"principalId,optional"`
	// Cluster is where the class and the pods are created: [AksWithCsi.Cluster], or [WorkloadIdentity.Cluster] for a
	// namespace that an identity creates. Only they wait for it. Defaults to the Kubernetes provider in the component's
	// options, for which the whole component waits.
	Cluster Cluster `pulumi:"-"`
	// Namespace of the class and of the pods that mount it, a DNS label. Required. A change replaces them.
	Namespace string `pulumi:"namespace"`
	// ServiceAccountName is the service account of the test pod and of the probe; in Go, also of pod specs to which
	// podmount adds the mount. It must be able to use the identity. Required with TestPod and with Probe.
	ServiceAccountName pulumi.StringInput `pulumi:"serviceAccountName,optional"`

	// ClassName names the SecretProviderClass, a DNS subdomain of at most 125 characters. Defaults to a name that Pulumi
	// generates.
	ClassName string `pulumi:"className,optional"`
	// Labels of the class, and of the test pod and the probe. Defaults to none.
	Labels map[string]string `pulumi:"labels,optional"`
	// VolumeName names the volume in pods, a DNS label. Mounts in the same pod need different names. Defaults to
	// secrets-store.
	VolumeName string `pulumi:"volumeName,optional"`
	// CloudName is the vault's cloud: AzurePublicCloud, AzureUSGovernmentCloud or AzureChinaCloud. The class omits the
	// public cloud, which the provider assumes unless the cluster configures another one. Defaults to AzurePublicCloud.
	CloudName Cloud `pulumi:"cloudName,optional"`
	// Objects to mount, at least one, each in a file of its own. They decide which roles Access assigns.
	Objects []ObjectArgs `pulumi:"objects"`
	// Access says where the identity gets the roles that mounting requires: Key Vault Secrets User for secrets, and Key
	// Vault Reader for keys and certificates. object assigns them on each mounted object and nowhere else. vault assigns
	// each required role once, on the vault, which is wider: the identity may then read every secret of the vault, or the
	// metadata of everything in it. none assigns nothing: permissions come from elsewhere, and VaultID and PrincipalID are
	// not used. If two mounts of one identity share an object, give the second none, since Azure refuses to assign the
	// same role twice. Use vault for a workload with a vault of its own and many objects, since a subscription has at most
	// 4000 role assignments. Defaults to object.
	Access Access `pulumi:"access,optional"`
	// SyncSecrets are Kubernetes Secrets that the CSI driver creates from mounted files, for consumers that cannot read
	// files, such as environment variables and an Ingress. They exist only while a pod mounts the class; Probe adds a
	// permanent one. Defaults to none.
	SyncSecrets []SyncSecretArgs `pulumi:"syncSecrets,optional"`
	// Versions of mounted objects, by names that you choose, as far as the program knows them. They can be versions of
	// secrets that the program itself creates, [KeyVaultStack.SecretVersions], as of the last refresh. They can also be
	// versions of others' secrets that the program looks up, such as secretUriWithVersion of azure-native's getSecret,
	// which shows no value and requires permission to read in the control plane. They are only used in
	// [SecretMount.PodAnnotations]. Give versions, not values: everybody who may see the pods sees a digest of them.
	// Defaults to none.
	Versions pulumi.StringMapInput `pulumi:"versions,optional"`
	// TestPod adds a pod in which you can look at the files. Defaults to none.
	TestPod *TestPodArgs `pulumi:"testPod,optional"`
	// Probe adds a Deployment that is ready while the files exist, and that keeps the SyncSecrets. Defaults to none.
	Probe *ProbeArgs `pulumi:"probe,optional"`
}

// Files returns the sorted paths, relative to the mount, of the files that every pod with the mount has. Of a version
// history that is the newest version; only the vault knows how many others there are.
func (args *SecretMountArgs) Files() []string {
	files := names(args.Objects, ObjectArgs.FileName)
	slices.Sort(files)
	return files
}

// SecretMount mounts objects of a vault as files in pods of a namespace. It consists of the roles, the
// SecretProviderClass and the volume. A pod's spec uses Volume, PodLabels and PodAnnotations; in Go, package podmount
// adds them.
//
// A new role may take up to ten minutes to take effect. The kubelet retries the mount until then, so pods that use the
// volume need an await timeout above it.
type SecretMount struct {
	pulumi.ResourceState

	// SecretProviderClass is the class's name. It resolves once the class and the roles exist.
	SecretProviderClass pulumi.StringOutput `pulumi:"secretProviderClass"`
	// SyncedSecrets are the names of the Kubernetes Secrets, in the order of SyncSecrets. They resolve once the class and
	// the roles exist, and the Probe, if given, is ready. The Secrets themselves exist while a pod mounts the class: a
	// pod, a chart or an Ingress that uses one must mount the volume too, or needs the Probe.
	SyncedSecrets pulumi.StringArrayOutput `pulumi:"syncedSecrets"`
	// Volume is an item of a pod spec's volumes: name, and csi with driver, readOnly and volumeAttributes. A pod that uses
	// it is created after the roles and the class, and deleted before them. Its service account must be able to use the
	// mount's identity.
	Volume pulumi.MapOutput `pulumi:"volume"`
	// VolumeName is the name by which containers mount the volume.
	VolumeName pulumi.StringOutput `pulumi:"volumeName"`
	// ServiceAccountName is the service account of the arguments, for the pods. Empty if it was omitted.
	ServiceAccountName pulumi.StringOutput `pulumi:"serviceAccountName"`
	// PodLabels are for pods whose containers sign in to Azure themselves, with Azure's SDKs. They contain the label
	// azure.workload.identity/use, which makes AKS project a token of the service account into the containers
	// (https://learn.microsoft.com/azure/aks/workload-identity-overview). The mount itself does not need them.
	PodLabels pulumi.StringMapOutput `pulumi:"podLabels"`
	// PodAnnotations are for the pod template of a workload that must restart when its mounted objects change, because it
	// reads files only at start or has environment variables from SyncedSecrets. They contain the key
	// keyvault-aks/checksum with the SHA-256 of the class and of the argument Versions. When one of these changes, so does
	// the annotation, and Kubernetes rolls the workload out.
	//
	// Without Versions, the annotation changes when the list of mounted objects does, but not with a new version in the
	// vault. With them, `pulumi up --refresh` restarts workloads that have an old value, no matter who wrote the new one:
	// run it after a rotation, or on a schedule. With a Probe, pods with variables from SyncedSecrets start after the
	// driver has the new values. Without one, wait for the poll interval after the rotation before you run it.
	PodAnnotations pulumi.StringMapOutput `pulumi:"podAnnotations"`

	args    SecretMountArgs
	objects objects
}

// NewSecretMount registers the roles, the class and, if requested, the test pod and the probe. If arguments are invalid
// it returns a [ValidationError], and if the class has no cluster, [ErrNoKubernetesProvider]. It then registers
// nothing. If Inputs turn out to be invalid, the class and the roles fail: during the preview if the values are known
// there.
func NewSecretMount(
	ctx *pulumi.Context, name string, args *SecretMountArgs, opts ...pulumi.ResourceOption,
) (*SecretMount, error) {
	args = settled(args)
	violations := args.validate()
	violations.requiredForMount(args)
	if err := invalidOrUnplaced(name, violations, lacksProvider(args.Cluster, opts)); err != nil {
		return nil, err
	}

	c := &SecretMount{args: *args}
	c.args.VolumeName = withDefault(args.VolumeName, defaultVolumeName)
	if err := ctx.RegisterComponentResourceV2(secretMountType, name, args.inputs(), c, opts...); err != nil {
		return nil, fmt.Errorf("registering %s: %w", name, err)
	}
	var err error
	if c.objects, err = placeObjects(ctx, name, c, args.Cluster); err != nil {
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
	class, err := c.newClass(ctx, name, args, spec)
	if err != nil {
		return nil, err
	}
	c.setOutputs(ctx, spec, class, append(roles, class))
	if args.TestPod != nil {
		if err := c.newTestPod(ctx, name, args); err != nil {
			return nil, fmt.Errorf("creating the test pod: %w", err)
		}
	}
	if args.Probe != nil {
		probe, err := c.newProbe(ctx, name, args)
		if err != nil {
			return nil, fmt.Errorf("creating the probe: %w", err)
		}
		waiting := pulumi.OutputWithDependencies(ctx.Context(), c.SyncedSecrets, probe)
		c.SyncedSecrets = waiting.(pulumi.StringArrayOutput)
	}
	outputs := pulumi.Map{
		"secretProviderClass": c.SecretProviderClass, "syncedSecrets": c.SyncedSecrets,
		"volume": c.Volume, "volumeName": c.VolumeName, "serviceAccountName": c.ServiceAccountName,
		"podLabels": c.PodLabels, "podAnnotations": c.PodAnnotations,
	}
	if err := ctx.RegisterResourceOutputs(c, outputs); err != nil {
		return nil, fmt.Errorf("registering outputs of %s: %w", name, err)
	}
	return c, nil
}

// Args returns the arguments of the mount, with the default of VolumeName if it was omitted.
func (c *SecretMount) Args() SecretMountArgs {
	return c.args
}

// setOutputs sets everything that pods use. It resolves once the class and the roles exist.
func (c *SecretMount) setOutputs(ctx *pulumi.Context, spec pulumi.Map, class *object, ready []pulumi.Resource) {
	c.SecretProviderClass = after(ctx, class.name(), ready...)
	secrets := pulumi.ToStringArray(names(c.args.SyncSecrets, func(s SyncSecretArgs) string { return s.Name }))
	c.SyncedSecrets = pulumi.OutputWithDependencies(ctx.Context(), secrets.ToStringArrayOutput(),
		ready...).(pulumi.StringArrayOutput)
	c.Volume = c.volume().ToMapOutput()
	c.VolumeName = pulumi.String(c.args.VolumeName).ToStringOutput()
	c.ServiceAccountName = pulumi.String("").ToStringOutput()
	if c.args.ServiceAccountName != nil {
		c.ServiceAccountName = c.args.ServiceAccountName.ToStringOutput()
	}
	c.PodLabels = pulumi.ToStringMap(podLabels()).ToStringMapOutput()
	c.PodAnnotations = checksumAnnotations(spec, c.args.Versions)
}

// volume returns the volume of a pod, read-only.
func (c *SecretMount) volume() pulumi.Map {
	return pulumi.Map{
		"name": pulumi.String(c.args.VolumeName),
		"csi": pulumi.Map{
			"driver":           pulumi.String("secrets-store.csi.k8s.io"),
			"readOnly":         pulumi.Bool(true),
			"volumeAttributes": pulumi.StringMap{"secretProviderClass": c.SecretProviderClass},
		},
	}
}

func podLabels() map[string]string {
	return map[string]string{"azure.workload.identity/use": "true"}
}

// inputs returns the arguments that the state shows. The namespace is not among them: the roles would wait for it, and
// so for the cluster.
func (args *SecretMountArgs) inputs() pulumi.Map {
	inputs := pulumi.Map{
		"clientId": args.ClientID,
		"objects": pulumi.ToStringArray(names(args.Objects,
			func(o ObjectArgs) string { return string(o.Type) + "/" + o.Name })),
	}
	if args.VaultID != nil {
		inputs["vaultId"] = args.VaultID
	}
	return inputs
}

func (c *SecretMount) newClass(ctx *pulumi.Context, name string, args *SecretMountArgs, spec pulumi.Map,
) (*object, error) {
	return c.objects.add(ctx, "secrets-store.csi.x-k8s.io/v1", "SecretProviderClass", name+"-class", pulumi.Map{
		"metadata": metadata{
			name: args.ClassName, namespace: pulumi.String(args.Namespace), labels: args.Labels,
		}.input(),
		"spec": spec,
	}, deletedAtOnce)
}

// classSpec returns the class's spec for the driver and the provider.
func (args *SecretMountArgs) classSpec() (pulumi.Map, error) {
	objects, err := objectsParameter(args.Objects)
	if err != nil {
		return nil, err
	}
	// No other parameters: useVMManagedIdentity, usePodIdentity and the like would override workload identity.
	parameters := pulumi.StringMap{
		"clientID":     checked(args.ClientID, "clientId", identifier, "a client id"),
		"keyvaultName": checked(args.VaultName, "vaultName", mountedVaultName, "3-24 letters, digits and dashes"),
		"tenantID":     checked(args.TenantID, "tenantId", identifier, "a tenant id"),
		"objects":      pulumi.String(objects),
	}
	if args.CloudName != "" && args.CloudName != AzurePublicCloud {
		parameters["cloudName"] = pulumi.String(args.CloudName)
	}
	spec := pulumi.Map{"provider": pulumi.String("azure"), "parameters": parameters}
	if len(args.SyncSecrets) > 0 {
		spec["secretObjects"] = secretObjects(args.SyncSecrets)
	}
	return spec, nil
}

// checked returns an input that fails if it turns out to break a rule. The error does not repeat the value, which may
// be secret.
func checked(input pulumi.StringInput, path string, rule *regexp.Regexp, allowed string) pulumi.StringOutput {
	return input.ToStringOutput().ApplyT(func(given string) (string, error) {
		if !rule.MatchString(given) {
			return "", invalid(path, notShown, allowed)
		}
		return given, nil
	}).(pulumi.StringOutput)
}

// Validate checks every plain value. It returns a [ValidationError] with all violations, or nil. Inputs that come from
// other resources may be missing. A valid mount contains exactly the files of [SecretMountArgs.Files], and of version
// histories what the vault has.
func (args *SecretMountArgs) Validate() error {
	return settled(args).validate().err()
}

func (args *SecretMountArgs) validate() violations {
	var v violations
	v.dnsLabel("namespace", args.Namespace)
	own := slices.Sorted(maps.Keys(podLabels()))
	if args.Probe != nil {
		own = append(own, probeLabel)
	}
	v.validateLabels("labels", args.Labels, own...)
	v.plainID("vaultId", args.VaultID, vaultID, "the ARM id of a vault")
	if args.ClassName != "" {
		v.check(len(args.ClassName) <= maxClassName && dnsSubdomain.MatchString(args.ClassName), "className",
			args.ClassName,
			fmt.Sprintf("1-%d lower-case letters, digits, dashes and dots, starting and ending with a letter or digit",
				maxClassName))
	}
	v.dnsLabel("volumeName", withDefault(args.VolumeName, defaultVolumeName))
	if args.CloudName != "" {
		oneOf(&v, "cloudName", args.CloudName, AzurePublicCloud, AzureUSGovernmentCloud, AzureChinaCloud)
	}
	v.validateProvider(args.Cluster)
	v.plainID("serviceAccountName", args.ServiceAccountName, dnsSubdomain, "a service account's name")
	v.validateObjects("objects", args.Objects)
	oneOf(&v, "access", withDefault(args.Access, AccessObject), AccessObject, AccessVault, AccessNone)
	v.validateSyncSecrets("syncSecrets", args.SyncSecrets, args.Objects)
	if args.TestPod != nil {
		v.validateTestPod("testPod", *args.TestPod)
		for i, o := range args.Objects {
			v.check(o.readableByOthers(), fmt.Sprintf("objects[%d].filePermission", i), o.FilePermission,
				"a last digit from 4 to 7, which lets the test pod read the file: the file belongs to root, and the pod does not "+
					"run as root")
		}
	}
	if args.Probe != nil {
		v.validateProbe("probe", *args.Probe)
	}
	return v
}

// requiredForMount checks that all required Inputs are given.
func (v *violations) requiredForMount(args *SecretMountArgs) {
	needsRoles := args.Access != AccessNone
	if needsRoles {
		v.required("vaultId", args.VaultID)
	}
	v.required("vaultName", args.VaultName)
	v.required("tenantId", args.TenantID)
	v.required("clientId", args.ClientID)
	if needsRoles {
		v.required("principalId", args.PrincipalID)
	}
	if args.TestPod != nil || args.Probe != nil {
		v.required("serviceAccountName", args.ServiceAccountName)
	}
}

// podName checks the name of a pod that mounts the class.
func (v *violations) podName(path, given string) {
	v.check(len(given) <= maxPodName && dnsSubdomain.MatchString(given), path, given,
		fmt.Sprintf("1-%d lower-case letters, digits, dashes and dots, starting and ending with a letter or "+
			"digit", maxPodName))
}
