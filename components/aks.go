package components

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

const aksWithCsiType = "keyvaultaks:index:AksWithCsi"

// Azure's limits:
// https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftcontainerservice and
// https://learn.microsoft.com/azure/aks/quotas-skus-regions
var (
	clusterName       = regexp.MustCompile(`^[0-9a-zA-Z]([0-9a-zA-Z_-]{0,61}[0-9a-zA-Z])?$`)
	dnsPrefix         = regexp.MustCompile(`^[0-9a-zA-Z]([0-9a-zA-Z-]{0,52}[0-9a-zA-Z])?$`)
	nodeGroup         = regexp.MustCompile(`^[\p{L}\p{N}_().-]{0,79}[\p{L}\p{N}_()-]$`)
	kubernetesVersion = regexp.MustCompile(`^[0-9]+\.[0-9]+(\.[0-9]+)?$`)
	minorVersion      = regexp.MustCompile(`^[0-9]+\.[0-9]+$`)
)

// AksWithCsiArgs are the arguments of [NewAksWithCsi].
//
// With ExistingCluster, only Entra can be given beside it. Without, ResourceGroupName is required.
type AksWithCsiArgs struct {
	// ResourceGroupName is the resource group that holds the cluster.
	ResourceGroupName pulumi.StringInput `pulumi:"resourceGroupName,optional"`
	// Location of the cluster, such as eastus. Left out: the provider's location, or the resource group's. A change replaces the
	// cluster.
	Location pulumi.StringPtrInput `pulumi:"location,optional"`
	// Tags of the cluster and its node pools. Left out: none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`

	// ExistingCluster is a cluster to use instead of a new one; Entra is then given for its login alone. Left out: a cluster is created.
	ExistingCluster *ExistingClusterArgs `pulumi:"existingCluster,optional"`

	// ClusterName is 1-63 letters, digits, dashes and underscores, a letter or digit first and last. Left out: Pulumi names
	// the cluster. A change replaces it.
	ClusterName string `pulumi:"clusterName,optional"`
	// DNSPrefix starts the name of the cluster's API server: 1-54 letters, digits and dashes, a letter or digit first and
	// last. Left out: the cluster's name, or the component's where Pulumi names the cluster. A change replaces the cluster.
	DNSPrefix string `pulumi:"dnsPrefix,optional"`
	// NodeResourceGroup is the name of the resource group that AKS makes for the nodes and what belongs to them: 1-80 letters, digits,
	// underscores, parentheses, dashes and dots, no dot last, and not the name of a group that exists
	// (https://learn.microsoft.com/azure/aks/faq). Left out: MC_ and the names of ResourceGroupName, the cluster and its location with
	// underscores between, which has to be no longer either, see [DefaultNodeResourceGroup]. A change replaces the cluster.
	NodeResourceGroup string `pulumi:"nodeResourceGroup,optional"`
	// Tier is Free; Standard, with a promise of uptime; or Premium, which adds long-term support and switches it on
	// (https://learn.microsoft.com/azure/aks/free-standard-pricing-tiers). Left out: Free.
	Tier string `pulumi:"tier,optional"`
	// KubernetesVersion of control plane and nodes is one that AKS offers, such as 1.34 (its latest patch at that time) or 1.34.1.
	// The upgrade channels rapid and stable choose it alone, and patch takes one without patch. It is sent with NodePools, but not
	// with the system pool, whose version is AKS' choice: in the cluster's body AKS takes the versions of all pools or of none
	// (https://github.com/Azure/azure-cli/issues/22807). Left out: AKS chooses.
	KubernetesVersion string `pulumi:"kubernetesVersion,optional"`
	// UpgradeChannel is what AKS upgrades by itself: rapid, stable (one minor version behind), patch, node-image or none
	// (https://learn.microsoft.com/azure/aks/auto-upgrade-cluster). Left out: nothing.
	UpgradeChannel string `pulumi:"upgradeChannel,optional"`
	// NodeOSUpgradeChannel is how nodes get security updates: None, Unmanaged (by the system itself), SecurityPatch or NodeImage
	// (https://learn.microsoft.com/azure/aks/auto-upgrade-node-os-image). Left out: Azure's default, NodeImage.
	NodeOSUpgradeChannel string `pulumi:"nodeOsUpgradeChannel,optional"`
	// Maintenance says when. Left out: at any time.
	Maintenance *MaintenanceArgs `pulumi:"maintenance,optional"`

	// SystemPool runs what AKS needs, and workloads unless CriticalAddonsOnly is set. Left out: one Standard_D2s_v5.
	SystemPool *NodePoolArgs `pulumi:"systemPool,optional"`
	// NodePools are further pools for workloads, created and changed one after another. The Kubernetes provider is usable when all
	// of them exist. Left out: none.
	NodePools []NodePoolArgs `pulumi:"nodePools,optional"`

	// Entra has the API's users sign in with Entra ID. Azure cannot take it back. Left out: users have the cluster's own
	// certificates.
	Entra *EntraArgs `pulumi:"entra,optional"`
	// DisableLocalAccounts leaves Entra ID as the only way to sign in; only with Entra, as AKS demands from Kubernetes 1.25 on
	// (https://learn.microsoft.com/azure/aks/manage-local-accounts-managed-azure-ad). Left out: the cluster's own certificates
	// are valid too.
	DisableLocalAccounts bool `pulumi:"disableLocalAccounts,optional"`
	// IdentityID is the ARM id of a user-assigned identity for the control plane, which needs Network Contributor on the pools'
	// subnets, and Reader on the disk encryption set. Left out: one that is made, with these roles, where a pool has a SubnetID or there
	// is a DiskEncryptionSetID; else one that Azure makes.
	IdentityID pulumi.StringInput `pulumi:"identityId,optional"`

	// APIServer restricts who reaches the API server. Left out: its address is public.
	APIServer *APIServerArgs `pulumi:"apiServer,optional"`
	// NetworkPolicy is what enforces NetworkPolicy objects: azure, cilium (with its data plane), or none. Left out: none. A change
	// replaces the cluster, as azure-native does on any change of the network.
	NetworkPolicy string `pulumi:"networkPolicy,optional"`
	// OutboundType is how nodes reach the internet: loadBalancer; managedNATGateway, only without subnets; or userDefinedRouting,
	// userAssignedNATGateway, which the subnets have to have (https://learn.microsoft.com/azure/aks/egress-outboundtype). Left
	// out: loadBalancer. A change replaces the cluster.
	OutboundType string `pulumi:"outboundType,optional"`
	// PodCIDR is the IPv4 range of the pods' addresses, at least /24, of which every node takes a /24; it is not seen outside of
	// the cluster. Left out: 10.244.0.0/16. A change replaces the cluster.
	PodCIDR string `pulumi:"podCidr,optional"`
	// ServiceCIDR is the IPv4 range of the services' addresses, /13 to /28. Left out: 10.0.0.0/16. A change replaces the cluster.
	ServiceCIDR string `pulumi:"serviceCidr,optional"`
	// DNSServiceIP is the address of the cluster's DNS, in ServiceCIDR and not its first one. Left out: the tenth. A change replaces
	// the cluster.
	DNSServiceIP string `pulumi:"dnsServiceIp,optional"`

	// RotationPollInterval is how often the add-on looks for new versions of what pods have mounted: a duration of at least 1s,
	// such as 30s or 2m. Every look is one request to Key Vault for each object of each pod. Left out: 2m.
	RotationPollInterval string `pulumi:"rotationPollInterval,optional"`
	// AzurePolicy switches on the add-on that holds the cluster to policies assigned in Azure. Left out: off.
	AzurePolicy bool `pulumi:"azurePolicy,optional"`
	// LogAnalyticsWorkspaceID is the ARM id of the workspace that takes the control plane's logs kube-audit-admin, guard,
	// cluster-autoscaler, kube-apiserver, kube-controller-manager and kube-scheduler, and its metrics. Left out: nothing is logged.
	LogAnalyticsWorkspaceID pulumi.StringInput `pulumi:"logAnalyticsWorkspaceId,optional"`
	// ContainerInsights sends the containers' logs and metrics to the workspace: the add-on, with an identity and no key, and the data
	// collection rule that it follows. It needs LogAnalyticsWorkspaceID, of a workspace in the cluster's region, or in one that Azure
	// allows for it (https://learn.microsoft.com/azure/azure-monitor/containers/container-insights-region-mapping). Left out: off.
	ContainerInsights bool `pulumi:"containerInsights,optional"`
	// Defender switches on Microsoft Defender's sensor on the nodes; it needs LogAnalyticsWorkspaceID. Left out: off.
	Defender bool `pulumi:"defender,optional"`
	// ImageCleanerHours is how often unused images with known vulnerabilities are removed from the nodes, in hours, 24-2160. Left
	// out: never.
	ImageCleanerHours int `pulumi:"imageCleanerHours,optional"`
	// DiskEncryptionSetID is the ARM id of a disk encryption set whose key encrypts the nodes' disks, in the cluster's location; its key is
	// in a vault with purge protection, where the set's own identity is Key Vault Crypto Service Encryption User
	// (https://learn.microsoft.com/azure/aks/azure-disk-customer-managed-keys). Left out: a key of Azure's. A change replaces the cluster.
	DiskEncryptionSetID pulumi.StringInput `pulumi:"diskEncryptionSetId,optional"`

	// Lock puts a CanNotDelete lock on the cluster. While it is there, Azure refuses to delete the cluster and what Azure Resource
	// Manager keeps on it, such as its pools and role assignments; so take it off, in an update of its own, before a pool is removed or
	// replaced or the stack is destroyed. It does not keep anybody from deleting what is in the cluster. Left out: no lock.
	Lock bool `pulumi:"lock,optional"`
	// Protect has Pulumi refuse to delete or replace the cluster until it is switched off. Left out: it may, unless the component itself
	// is protected.
	Protect bool `pulumi:"protect,optional"`
}

// AksWithCsi is a cluster on which pods can mount what a Key Vault holds: with the Azure Key Vault provider for the Secrets Store
// CSI driver, rotation, an OIDC issuer and workload identity.
type AksWithCsi struct {
	pulumi.ResourceState

	// ClusterID is the cluster's ARM id.
	ClusterID pulumi.StringOutput `pulumi:"clusterId"`
	// ClusterName is the cluster's name.
	ClusterName pulumi.StringOutput `pulumi:"clusterName"`
	// IssuerURL is the issuer of the cluster's service account tokens, which federated credentials trust.
	IssuerURL pulumi.StringOutput `pulumi:"issuerUrl"`
	// Kubeconfig is the user's kubeconfig; a secret. It resolves once all node pools exist.
	Kubeconfig pulumi.StringOutput `pulumi:"kubeconfig"`
	// Provider reaches the cluster. What creates objects in it takes [AksWithCsi.InCluster], or this alone.
	Provider *kubernetes.Provider

	made     bool                  // the cluster is the component's own
	honoured pulumi.ResourceOption // of objects in a cluster of which the role that lets them be made may just have been assigned; else nil
}

// InCluster is the option for whatever creates objects in the cluster, a component or a resource: the objects go through the cluster's
// Kubernetes provider and, unless the cluster existed before, Pulumi leaves them to go with the cluster when that is deleted or
// replaced. To delete them one by one is of no use then, and where the cluster is replaced Pulumi's engine cannot: it has closed the
// provider (https://github.com/pulumi/pulumi/issues/14650).
//
// With pulumi.Provider a component, and with it all its parts in Azure, would wait until the cluster is there. With InCluster only the
// objects do. What has a Kubernetes provider by pulumi.Provider or pulumi.Providers, its own or that of what it is part of, keeps that.
//
// It is a transformation, and of several that set options of one resource Pulumi takes the last. The objects of this package's components
// do not depend on that. It reaches what the program registers, not what a remote component does, such as a Helm v4 Chart: that one
// takes pulumi.Provider.
func (c *AksWithCsi) InCluster() pulumi.ResourceOption {
	return pulumi.Transformations([]pulumi.ResourceTransformation{c.putInCluster})
}

// NewAksWithCsi registers a cluster and a Kubernetes provider for it. It returns [Violations] before anything is registered if
// arguments are invalid.
func NewAksWithCsi(ctx *pulumi.Context, name string, args *AksWithCsiArgs, opts ...pulumi.ResourceOption) (*AksWithCsi, error) {
	if args == nil {
		args = &AksWithCsiArgs{}
	}
	violations := args.Validate()
	if args.ExistingCluster == nil {
		violations.validateNewCluster(name, args)
	}
	if err := violations.Err(); err != nil {
		return nil, fmt.Errorf("arguments of %s: %w", name, err)
	}

	c := &AksWithCsi{}
	inputs := pulumi.Map{
		"resourceGroupName":    args.ResourceGroupName,
		"clusterName":          optional(args.ClusterName),
		"rotationPollInterval": pulumi.String(withDefault(args.RotationPollInterval, defaultRotationPollInterval)),
	}
	if err := ctx.RegisterComponentResourceV2(aksWithCsiType, name, inputs, c, opts...); err != nil {
		return nil, fmt.Errorf("registering %s: %w", name, err)
	}
	var pools []pulumi.Resource
	if args.ExistingCluster != nil {
		c.useExisting(ctx, args.ExistingCluster, args.Entra)
	} else {
		var err error
		if pools, err = c.createCluster(ctx, name, args); err != nil {
			return nil, err
		}
	}
	var err error
	c.Provider, err = kubernetes.NewProvider(ctx, name+"-kubernetes", &kubernetes.ProviderArgs{
		Kubeconfig: c.Kubeconfig,
		// The issuer's URL stands for this very cluster: a renewed kubeconfig keeps it, and what is in the cluster stays; a
		// cluster made anew under the same name changes it, and what was in the old one is made anew too.
		ClusterIdentifier:     c.IssuerURL,
		EnableServerSideApply: pulumi.Bool(true),
		// A tainted system pool runs no workloads. A dependency that is no data, since the replacement of a pool must not
		// replace what is in the cluster.
	}, pulumi.Parent(c), pulumi.DependsOn(pools))
	if err != nil {
		return nil, fmt.Errorf("creating the cluster's Kubernetes provider: %w", err)
	}
	c.made = args.ExistingCluster == nil
	c.Kubeconfig = after(ctx, c.Kubeconfig, pools...)
	outputs := pulumi.Map{
		"clusterId": c.ClusterID, "clusterName": c.ClusterName, "issuerUrl": c.IssuerURL, "kubeconfig": c.Kubeconfig,
	}
	if err := ctx.RegisterResourceOutputs(c, outputs); err != nil {
		return nil, fmt.Errorf("registering outputs of %s: %w", name, err)
	}
	return c, nil
}

// putInCluster gives Kubernetes objects the cluster's provider, unless they have another one, and tells this package's components of the
// cluster, which give it to their objects themselves.
func (c *AksWithCsi) putInCluster(of *pulumi.ResourceTransformationArgs) *pulumi.ResourceTransformationResult {
	if component, ok := of.Resource.(interface{ reaches(*AksWithCsi) }); ok {
		component.reaches(c)
	}
	if !strings.HasPrefix(of.Type, "kubernetes:") || c.isElsewhere(of) {
		return nil
	}
	return &pulumi.ResourceTransformationResult{Props: of.Props, Opts: slices.Concat(of.Opts, c.objectOptions())}
}

// objectOptions are those of every object in the cluster. It is deleted with the provider, which is deleted or replaced exactly when the
// cluster is: of the cluster itself the engine takes no notice where that is what it begins with.
func (c *AksWithCsi) objectOptions() []pulumi.ResourceOption {
	opts := []pulumi.ResourceOption{pulumi.Provider(c.Provider)}
	if c.made {
		opts = append(opts, pulumi.DeletedWith(c.Provider))
	}
	if c.honoured != nil {
		opts = append(opts, c.honoured)
	}
	return opts
}

// isElsewhere says whether an object has a provider, of its own or from its parent, that is not the cluster's.
func (c *AksWithCsi) isElsewhere(of *pulumi.ResourceTransformationArgs) bool {
	opts, err := pulumi.NewResourceOptions(of.Opts...)
	if err != nil {
		return true // the registration fails with it
	}
	has := opts.Provider
	for _, one := range opts.Providers {
		if _, ok := one.(*kubernetes.Provider); ok && has == nil {
			has = one
		}
	}
	if parent, ok := opts.Parent.(withProviders); ok && has == nil {
		has = parent.GetProvider(of.Type)
	}
	return has != nil && has != pulumi.ProviderResource(c.Provider)
}

// createCluster creates the cluster with what belongs to it, sets the outputs, and returns the pools besides the system pool.
func (c *AksWithCsi) createCluster(ctx *pulumi.Context, name string, args *AksWithCsiArgs) ([]pulumi.Resource, error) {
	self, err := c.newControlPlane(ctx, name, args)
	if err != nil {
		return nil, err
	}
	cluster, err := c.newCluster(ctx, name, args, self)
	if err != nil {
		return nil, fmt.Errorf("creating the cluster: %w", err)
	}
	c.ClusterID = cluster.ID().ToStringOutput()
	c.ClusterName = cluster.Name
	c.IssuerURL = issuerURL(ctx, c, args.ResourceGroupName, cluster.Name)
	c.Kubeconfig = userKubeconfig(ctx, c, args.ResourceGroupName, cluster.Name, args.Entra)
	if args.Entra != nil {
		if c.honoured, err = untilHonoured(ctx, c, name, lacksAzureRBAC); err != nil {
			return nil, err
		}
	}
	pools, err := c.newNodePools(ctx, name, args, cluster, self)
	if err != nil {
		return nil, err
	}
	if err := c.newMaintenance(ctx, name, args, cluster); err != nil {
		return nil, err
	}
	var watchers []pulumi.Resource
	if args.ContainerInsights {
		if watchers, err = c.newContainerInsights(ctx, name, args); err != nil {
			return nil, err
		}
	}
	if args.LogAnalyticsWorkspaceID != nil {
		setting, err := newDiagnostics(ctx, name, c.ClusterID, args.LogAnalyticsWorkspaceID, controlPlaneLogs, c)
		if err != nil {
			return nil, err
		}
		watchers = append(watchers, setting)
	}
	if args.Lock {
		// Under the lock, Azure would refuse to delete those too.
		if err := newLock(ctx, name, after(ctx, c.ClusterID, watchers...), c); err != nil {
			return nil, err
		}
	}
	return pools, nil
}

func (c *AksWithCsi) newCluster(
	ctx *pulumi.Context, name string, args *AksWithCsiArgs, self controlPlane,
) (*containerservice.ManagedCluster, error) {
	opts := append([]pulumi.ResourceOption{pulumi.Parent(c)}, self.opts...)
	if args.Protect { // false would undo what the component was protected with
		opts = append(opts, pulumi.Protect(true))
	}
	if args.NodeResourceGroup != "" { // the next cluster cannot have it before
		opts = append(opts, pulumi.DeleteBeforeReplace(true))
	}
	// What is left out is sent as off, or as Azure's default: AKS keeps what a body does not mention as it was before
	// (https://github.com/Azure/AKS/issues/2904).
	cluster := &containerservice.ManagedClusterArgs{
		ResourceGroupName: args.ResourceGroupName,
		Location:          args.Location,
		ResourceName:      optional(args.ClusterName),
		Tags:              args.Tags,
		DnsPrefix:         pulumi.String(args.dnsPrefix(name)),
		NodeResourceGroup: optional(args.NodeResourceGroup),
		KubernetesVersion: optional(args.KubernetesVersion),
		EnableRBAC:        pulumi.Bool(true),
		Identity:          self.identity,
		// Azure compares inline pools by position, so there is one; further pools are resources of their own.
		AgentPoolProfiles:      containerservice.ManagedClusterAgentPoolProfileArray{args.systemPool().profile(args.Tags)},
		NetworkProfile:         args.networkProfile(),
		ApiServerAccessProfile: args.apiServerProfile(),
		AadProfile:             args.Entra.profile(),
		DisableLocalAccounts:   pulumi.Bool(args.DisableLocalAccounts),
		AddonProfiles:          args.addons(),
		OidcIssuerProfile:      containerservice.ManagedClusterOIDCIssuerProfileArgs{Enabled: pulumi.Bool(true)},
		SecurityProfile:        args.securityProfile(),
		DiskEncryptionSetID:    optionalInput(args.DiskEncryptionSetID),
		Sku: containerservice.ManagedClusterSKUArgs{
			Name: pulumi.String("Base"), Tier: pulumi.String(withDefault(args.Tier, "Free")),
		},
		SupportPlan: pulumi.String("KubernetesOfficial"),
		AutoUpgradeProfile: containerservice.ManagedClusterAutoUpgradeProfileArgs{
			UpgradeChannel:       pulumi.String(withDefault(args.UpgradeChannel, "none")),
			NodeOSUpgradeChannel: pulumi.String(withDefault(args.NodeOSUpgradeChannel, "NodeImage")),
		},
	}
	if args.Tier == "Premium" {
		cluster.SupportPlan = pulumi.String("AKSLongTermSupport")
	}
	return containerservice.NewManagedCluster(ctx, name+"-cluster", cluster, opts...)
}

// issuerURL asks for the issuer of a cluster that exists. The resource's own output would not be known in the preview of an update of
// the cluster, and a Kubernetes provider whose identifier is unknown has everything in the cluster planned to be replaced.
func issuerURL(ctx *pulumi.Context, c *AksWithCsi, group, cluster pulumi.StringInput) pulumi.StringOutput {
	return containerservice.LookupManagedClusterOutput(ctx, containerservice.LookupManagedClusterOutputArgs{
		ResourceGroupName: group, ResourceName: cluster,
	}, pulumi.Parent(c)).OidcIssuerProfile().IssuerURL().Elem()
}

// DefaultNodeResourceGroup is the name that AKS gives the resource group of a cluster's nodes. AKS refuses a cluster for which it would
// be longer than 80 characters; [AksWithCsiArgs.NodeResourceGroup] is the way out.
func DefaultNodeResourceGroup(resourceGroup, cluster, location string) string {
	return "MC_" + resourceGroup + "_" + cluster + "_" + location
}

const dnsPrefixRule = "(the cluster's name unless given) 1-54 letters, digits and dashes, a letter or digit first and last"

// dnsPrefix is the given one, or made of a name.
func (args *AksWithCsiArgs) dnsPrefix(component string) string {
	return withDefault(args.DNSPrefix, withDefault(args.ClusterName, component))
}

// Validate checks every argument that is known before the program runs, and returns all violations. Of an Input it checks whether
// there is one, so whoever calls it without the resources gives any value, such as pulumi.String(""), for those that it will have.
func (args *AksWithCsiArgs) Validate() Violations {
	var v Violations
	if args.ExistingCluster != nil {
		v.validateExisting(args)
		v.validateEntra(args.Entra)
		return v
	}
	if args.ClusterName != "" {
		v.match(clusterName, "clusterName", args.ClusterName,
			"1-63 letters, digits, dashes and underscores, a letter or digit first and last")
	}
	if dns := withDefault(args.DNSPrefix, args.ClusterName); dns != "" {
		v.match(dnsPrefix, "dnsPrefix", dns, dnsPrefixRule)
	}
	if args.NodeResourceGroup != "" {
		v.match(nodeGroup, "nodeResourceGroup", args.NodeResourceGroup,
			"1-80 letters, digits, underscores, parentheses, dashes and dots, no dot last")
	}
	v.oneOf("tier", withDefault(args.Tier, "Free"), "Free", "Standard", "Premium")
	v.validateUpgrades(args)
	v.validatePools(args)
	v.validateEntra(args.Entra)
	v.check(!args.DisableLocalAccounts || args.Entra != nil, "disableLocalAccounts", args.DisableLocalAccounts,
		"false without entra, since nobody could sign in")
	v.validateAPIServer(args.APIServer)
	if args.APIServer != nil && clusterDNSZoneID.MatchString(args.APIServer.PrivateDNSZone) {
		v.required("identityId", args.IdentityID)
	}
	v.validateNetwork(args)
	v.validateSubnets(args)
	v.validateAddons(args)
	return v
}

// validateNewCluster checks what depends on the component's name, or is given by another resource.
func (v *Violations) validateNewCluster(name string, args *AksWithCsiArgs) {
	v.required("resourceGroupName", args.ResourceGroupName)
	if args.DNSPrefix == "" && args.ClusterName == "" {
		v.match(dnsPrefix, "dnsPrefix", name, dnsPrefixRule)
	}
}
