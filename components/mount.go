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

// The driver reports on each mount in an object called <pod>-<namespace>-<class>, which must be a name for Kubernetes,
// too. The pods of workloads have names of at most 63 characters, and so have namespaces.
const (
	maxClassName = 253 - 2*(maxPodName+1)
	maxPodName   = 63
)

// The provider's rules for what is passed on. It trims values, and takes another way to sign in if there is no client
// id.
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
	// Cluster is where the class and the pods are created: [AksWithCsi.Cluster], or [WorkloadIdentity.Cluster] for a
	// namespace that an identity creates. Only they wait for it. Defaults to the Kubernetes provider in the component's
	// options, for which all of the component waits.
	Cluster Cluster `pulumi:"-"`
	// Namespace of the class and of the pods that mount it, a DNS label. Required. A change replaces them.
	Namespace string `pulumi:"namespace"`
	// ServiceAccountName is the service account of the test pod and of the probe; in Go, also of pod specs that
	// podmount adds the mount to. It must be one that may act as the identity. Required with TestPod and with Probe.
	ServiceAccountName pulumi.StringInput `pulumi:"serviceAccountName,optional"`

	// ClassName names the SecretProviderClass, a DNS subdomain of at most 125 characters. Defaults to a name that
	// Pulumi makes.
	ClassName string `pulumi:"className,optional"`
	// Labels of the class, and of the test pod and the probe. Defaults to none.
	Labels map[string]string `pulumi:"labels,optional"`
	// VolumeName names the volume in pods, a DNS label; pods with several mounts need different ones. Defaults to
	// secrets-store.
	VolumeName string `pulumi:"volumeName,optional"`
	// CloudName is the cloud of the vault: AzurePublicCloud, AzureUSGovernmentCloud or AzureChinaCloud. The class does
	// not name the public cloud, which the provider assumes unless the cluster set it up otherwise. Defaults to
	// AzurePublicCloud.
	CloudName Cloud `pulumi:"cloudName,optional"`
	// Objects to mount, at least one, no two in the same file. They decide the roles that Access grants.
	Objects []ObjectArgs `pulumi:"objects"`
	// Access says where the identity is granted what mounting takes, Key Vault Secrets User for secrets and Key Vault
	// Reader for keys and certificates: object is on each mounted object and nowhere else; vault is once for each
	// needed role on the vault, which is wider, since the identity may then read every secret of the vault, or the
	// metadata of all that is in it; none is that somebody else grants it, and VaultID and PrincipalID are not used.
	// Two mounts of one object by one identity would assign one role twice, which Azure refuses: give the second none.
	// Vault suits a vault of the workload's own with many objects, since a subscription has at most 4000 role
	// assignments. Defaults to object.
	Access Access `pulumi:"access,optional"`
	// SyncSecrets are Kubernetes Secrets that the CSI driver makes from mounted files, for what cannot read files:
	// environment variables and an Ingress. They exist while a pod mounts the class; Probe is one that stays. Defaults
	// to none.
	SyncSecrets []SyncSecretArgs `pulumi:"syncSecrets,optional"`
	// Versions of what is mounted, by names of the caller's choice, as far as the program knows them: those of secrets
	// that it puts into the vault itself, [KeyVaultStack.SecretVersions], as of the last refresh; and those of others'
	// that it looks up, such as secretUriWithVersion of azure-native's getSecret, which shows no value and takes the
	// right to read in the control plane. They go into [SecretMount.PodAnnotations] and nowhere else. Give versions,
	// not values: whoever may see the pods sees a digest of them. Defaults to none.
	Versions pulumi.StringMapInput `pulumi:"versions,optional"`
	// TestPod adds a pod that shows the files. Defaults to none.
	TestPod *TestPodArgs `pulumi:"testPod,optional"`
	// Probe adds a Deployment that is ready while the files are there, and keeps SyncSecrets there. Defaults to none.
	Probe *ProbeArgs `pulumi:"probe,optional"`
}

// Files are the paths, relative to the mount, of the files that every pod with the mount has, sorted. Of a version
// history that is the newest version; how many there are besides is known to the vault alone.
func (args *SecretMountArgs) Files() []string {
	files := names(args.Objects, ObjectArgs.FileName)
	slices.Sort(files)
	return files
}

// SecretMount lets pods of a namespace mount objects of a vault as files: the roles, the SecretProviderClass, the
// volume. A pod's spec takes Volume, PodLabels and PodAnnotations; in Go, package podmount puts them there.
//
// A role may take Azure up to ten minutes to honour. The kubelet retries the mount until then, so pods that use the
// volume need an await timeout above it.
type SecretMount struct {
	pulumi.ResourceState

	// SecretProviderClass is the class's name; resolves once the class and the roles exist.
	SecretProviderClass pulumi.StringOutput `pulumi:"secretProviderClass"`
	// SyncedSecrets are the names of the Kubernetes Secrets, in the order of SyncSecrets; resolves once the class and
	// the roles exist, and the Probe is ready if there is one. The Secrets themselves exist while a pod mounts the
	// class: a pod, a chart or an Ingress that uses one needs the Probe, or must mount the volume, too.
	SyncedSecrets pulumi.StringArrayOutput `pulumi:"syncedSecrets"`
	// Volume is an item of a pod spec's volumes: name, and csi with driver, readOnly and volumeAttributes. A pod that
	// uses it is created after the roles and the class, and deleted before them. Its service account must be one that
	// may act as the mount's identity.
	Volume pulumi.MapOutput `pulumi:"volume"`
	// VolumeName is the volume's name, by which containers mount it.
	VolumeName pulumi.StringOutput `pulumi:"volumeName"`
	// ServiceAccountName is that of the arguments, for the pods; empty where it was left out.
	ServiceAccountName pulumi.StringOutput `pulumi:"serviceAccountName"`
	// PodLabels are for pods whose containers sign in to Azure themselves, with Azure's SDKs: the label
	// azure.workload.identity/use, which has AKS put a token of the service account into them
	// (https://learn.microsoft.com/azure/aks/workload-identity-overview). The mount itself needs none.
	PodLabels pulumi.StringMapOutput `pulumi:"podLabels"`
	// PodAnnotations are for the pod template of a workload that must restart when what it mounts changes: because it
	// reads its files only at start, or has environment variables from SyncedSecrets. They have the key
	// keyvault-aks/checksum, whose value is the SHA-256 of the class and of the arguments' Versions, so it changes with
	// any of them, and Kubernetes rolls the workload out. Without Versions it sees what is mounted change, but not a
	// new version in the vault. With them, `pulumi up --refresh` restarts what has an old value, whoever put the new
	// one into the vault: run it after a rotation, or on a schedule. With a Probe, pods that have variables from
	// SyncedSecrets start after the driver was given the new values; without it, run it no sooner than the poll
	// interval after the rotation.
	PodAnnotations pulumi.StringMapOutput `pulumi:"podAnnotations"`

	args    SecretMountArgs
	objects objects
}

// NewSecretMount registers the roles, the class and, where asked, the test pod and the probe. It returns a
// [ValidationError] if arguments are invalid, and [ErrNoKubernetesProvider] if the class has no cluster to go to,
// before anything is registered. Violations of Inputs, which are known later, fail the class and the roles: at preview
// if they are known then.
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

// Args returns the arguments that the mount was made with. VolumeName has its default if it was left out.
func (c *SecretMount) Args() SecretMountArgs {
	return c.args
}

// setOutputs has everything that pods use resolve once the class and the roles exist.
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

// volume is the volume of a pod, read-only.
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

// inputs are what the state shows of the arguments. The namespace is not among them: the roles would wait for it, and
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

// newClass registers the class.
func (c *SecretMount) newClass(ctx *pulumi.Context, name string, args *SecretMountArgs, spec pulumi.Map,
) (*object, error) {
	return c.objects.add(ctx, "secrets-store.csi.x-k8s.io/v1", "SecretProviderClass", name+"-class", pulumi.Map{
		"metadata": metadata{
			name: args.ClassName, namespace: pulumi.String(args.Namespace), labels: args.Labels,
		}.input(),
		"spec": spec,
	}, deletedAtOnce)
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
	if args.CloudName != "" && args.CloudName != AzurePublicCloud {
		parameters["cloudName"] = pulumi.String(args.CloudName)
	}
	spec := pulumi.Map{"provider": pulumi.String("azure"), "parameters": parameters}
	if len(args.SyncSecrets) > 0 {
		spec["secretObjects"] = secretObjects(args.SyncSecrets)
	}
	return spec, nil
}

// checked holds an input against a rule as soon as it is known. The value is not repeated, since it may be secret.
func checked(input pulumi.StringInput, path string, rule *regexp.Regexp, allowed string) pulumi.StringOutput {
	return input.ToStringOutput().ApplyT(func(given string) (string, error) {
		if !rule.MatchString(given) {
			return "", invalid(path, notShown, allowed)
		}
		return given, nil
	}).(pulumi.StringOutput)
}

// Validate checks every plain value, and returns a [ValidationError] with all violations, or nil. Inputs that other
// resources give may be missing. A mount without violations shows exactly its files: those of [SecretMountArgs.Files],
// and of version histories what the vault has.
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
			fmt.Sprintf("1-%d lower-case letters, digits, dashes and dots, a letter or digit first and last",
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
			v.check(o.othersRead(), fmt.Sprintf("objects[%d].filePermission", i), o.FilePermission,
				"a last digit from 4 to 7, which lets the test pod read the file: it does not run as root, who owns it")
		}
	}
	if args.Probe != nil {
		v.validateProbe("probe", *args.Probe)
	}
	return v
}

// requiredForMount checks that no Input is missing which the mount cannot do without.
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
		fmt.Sprintf("1-%d lower-case letters, digits, dashes and dots, a letter or digit first and last", maxPodName))
}
