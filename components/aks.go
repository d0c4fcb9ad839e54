package components

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
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
// With ExistingCluster, only Entra can be given as well; in Go, AdoptObjects too. Without it, ResourceGroupName is
// required.
type AksWithCsiArgs struct {
	// ResourceGroupName is the resource group that holds the cluster.
	ResourceGroupName pulumi.StringInput `pulumi:"resourceGroupName,optional"`
	// Location of the cluster, such as eastus. Defaults to the provider's location, or the resource group's. A change
	// replaces the cluster.
	Location pulumi.StringPtrInput `pulumi:"location,optional"`
	// Tags of the cluster and its node pools, by Azure's rules, see [ValidateTags]. A private cluster with a DNS zone that
	// AKS creates can have at most 15, since the zone gets them too. Outputs are checked once they are known. Defaults to
	// none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`

	// ExistingCluster is a cluster to use instead of creating one. Entra then only says how to sign in to it. Defaults to
	// a new cluster.
	ExistingCluster *ExistingClusterArgs `pulumi:"existingCluster,optional"`
	// AdoptObjects makes the Kubernetes provider take over objects that already exist in the cluster under the names of
	// this program's objects, instead of failing. Use it for one update, after an interrupted update or destroy has lost
	// this stack's objects from the state. Every object of such a name that Pulumi created then belongs to the stack, and
	// is deleted with it. The preview fails for objects that Pulumi did not create. Do not use it for objects that have
	// been renamed in Pulumi: deleting the old name would delete them. It causes a warning and requires Pulumi 3.238.
	// Defaults to false.
	AdoptObjects bool `pulumi:"adoptObjects,optional"`

	// ClusterName is 1-63 letters, digits, dashes and underscores, starting and ending with a letter or digit, and no name
	// that Azure reserves
	// (https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-reserved-resource-name). Defaults to
	// a name that Pulumi generates. A change replaces the cluster.
	ClusterName string `pulumi:"clusterName,optional"`
	// DNSPrefix starts the host name of the API server: 1-54 letters, digits and dashes, starting and ending with a letter
	// or digit. Defaults to ClusterName, or to the component's name if Pulumi names the cluster. A change replaces the
	// cluster. When you rename a component that sets neither ClusterName nor DNSPrefix, set DNSPrefix to the old name.
	DNSPrefix string `pulumi:"dnsPrefix,optional"`
	// NodeResourceGroup is the name of the resource group that AKS creates for the nodes and their resources: 1-80
	// letters, digits, underscores, parentheses, dashes and dots, not ending in a dot. The group must not exist yet
	// (https://learn.microsoft.com/azure/aks/faq). Defaults to MC_ and the names of the resource group, the cluster and
	// its location, joined by underscores, which must be no longer than 80 characters either, see
	// [DefaultNodeResourceGroup]. A change replaces the cluster. Once set, it keeps its value when you leave it out again.
	NodeResourceGroup string `pulumi:"nodeResourceGroup,optional"`
	// Tier is Free, Standard or Premium. Defaults to Free, which is for development. Standard comes with an uptime SLA.
	// Premium adds long-term support and enables it (https://learn.microsoft.com/azure/aks/free-standard-pricing-tiers).
	Tier ClusterTier `pulumi:"tier,optional"`
	// KubernetesVersion of the control plane and the nodes is a version that AKS offers, such as 1.34.1, or 1.34 for its
	// latest patch at that time. The upgrade channels rapid and stable choose the version themselves. With the channel
	// patch, give the minor version only. An update upgrades the control plane first, then the system pool (by a
	// deployment of Azure Resource Manager), then NodePools. AKS never downgrades and never skips a minor version
	// (https://learn.microsoft.com/azure/aks/upgrade-aks-cluster). The first update of a stack of an earlier version
	// upgrades the system pool, too. Defaults to AKS' choice.
	KubernetesVersion string `pulumi:"kubernetesVersion,optional"`
	// UpgradeChannel is what AKS upgrades automatically. Defaults to none, which is for development. The other channels
	// are rapid, stable (one minor version behind), patch and node-image
	// (https://learn.microsoft.com/azure/aks/auto-upgrade-cluster).
	UpgradeChannel UpgradeChannel `pulumi:"upgradeChannel,optional"`
	// NodeOSUpgradeChannel is how nodes get security updates: None, Unmanaged (by the operating system), SecurityPatch or
	// NodeImage (https://learn.microsoft.com/azure/aks/auto-upgrade-node-os-image). Defaults to NodeImage, as in Azure.
	NodeOSUpgradeChannel NodeOSUpgradeChannel `pulumi:"nodeOsUpgradeChannel,optional"`
	// Maintenance says when AKS may upgrade automatically. Defaults to any time.
	Maintenance *MaintenanceArgs `pulumi:"maintenance,optional"`

	// Subnets are the ARM ids of the subnets of the node pools, by names that you choose, each a DNS label. All must be in
	// one virtual network. The names of the subnet, the network and the network's resource group can have at most 63
	// characters each, since AKS labels nodes with them
	// (https://learn.microsoft.com/azure/aks/azure-cni-overlay#limitations-with-azure-cni-overlay). Unless IdentityID is
	// given, the control plane gets a role on each subnet that a pool uses, so each subnet can have only one name.
	// Defaults to none: AKS creates a network.
	Subnets map[string]pulumi.StringInput `pulumi:"subnets,optional"`
	// SystemPool runs the pods of AKS itself. Defaults to one Standard_D2s_v5 node, which is for development. Workloads
	// run there too unless CriticalAddonsOnly is set.
	SystemPool *NodePoolArgs `pulumi:"systemPool,optional"`
	// NodePools are further pools for workloads, at most 99. They are created and changed one after another
	// (https://learn.microsoft.com/azure/aks/create-node-pools). All pools together start with at most 5000 nodes, or 1000
	// with the tier Free (https://learn.microsoft.com/azure/aks/quotas-skus-regions). The Kubernetes provider waits for
	// all of them. Defaults to none.
	NodePools []NodePoolArgs `pulumi:"nodePools,optional"`

	// Entra makes users sign in to the API server with Entra ID. Defaults to the cluster's own certificates, which is for
	// development. Azure cannot turn it off again.
	Entra *EntraArgs `pulumi:"entra,optional"`
	// DisableLocalAccounts leaves Entra ID as the only way to sign in. Defaults to false, which is for development. It
	// requires Entra, as AKS does from Kubernetes 1.25 on
	// (https://learn.microsoft.com/azure/aks/manage-local-accounts-managed-azure-ad).
	DisableLocalAccounts bool `pulumi:"disableLocalAccounts,optional"`
	// IdentityID is the ARM id of a user-assigned identity for the control plane. It needs Network Contributor on the
	// pools' subnets, and Reader on the disk encryption set. Defaults to an identity that the component creates with these
	// roles if Subnets or DiskEncryptionSetID are given, and otherwise to one that Azure creates.
	IdentityID pulumi.StringInput `pulumi:"identityId,optional"`

	// APIServer restricts access to the API server. Defaults to no restriction, which is for development.
	APIServer *APIServerArgs `pulumi:"apiServer,optional"`
	// NetworkPolicy is what enforces NetworkPolicy objects. Defaults to none, which is for development. The others are
	// azure, and cilium with its data plane (https://learn.microsoft.com/azure/aks/use-network-policies). A change
	// replaces the cluster. If somebody else changes it, the component warns: until a refresh has read that change, the
	// next change of the cluster reverts it; after a refresh it stays.
	NetworkPolicy NetworkPolicy `pulumi:"networkPolicy,optional"`
	// OutboundType is how nodes reach the internet: loadBalancer; managedNATGateway, only without subnets; or
	// userDefinedRouting or userAssignedNATGateway, which the subnets must provide
	// (https://learn.microsoft.com/azure/aks/egress-outboundtype). Defaults to loadBalancer. A change replaces the
	// cluster. A change by somebody else is treated like one of NetworkPolicy.
	OutboundType OutboundType `pulumi:"outboundType,optional"`
	// Outbound configures the addresses and ports of the outbound type, if AKS manages them. Defaults to Azure's default:
	// one address. Removing it leaves the cluster unchanged.
	Outbound *OutboundArgs `pulumi:"outbound,optional"`
	// PodCIDR is the IPv4 range of the pods' addresses, /24 or larger; every node takes a /24 of it. It is not visible
	// outside the cluster, and must not overlap 169.254.0.0/16, 172.30.0.0/16, 172.31.0.0/16 or 192.0.2.0/24, which AKS
	// reserves, see [ReservedByAKS]. Defaults to 10.244.0.0/16. A change replaces the cluster.
	PodCIDR string `pulumi:"podCidr,optional"`
	// ServiceCIDR is the IPv4 range of the services' addresses, /13 to /28. Like PodCIDR, it must not overlap what AKS
	// reserves, see [ReservedByAKS]. Defaults to 10.0.0.0/16. A change replaces the cluster.
	ServiceCIDR string `pulumi:"serviceCidr,optional"`
	// DNSServiceIP is the address of the cluster's DNS service, in ServiceCIDR but not its first address. Defaults to the
	// tenth. A change replaces the cluster.
	DNSServiceIP string `pulumi:"dnsServiceIp,optional"`

	// RotationPollInterval is how often the add-on looks for new versions of mounted objects: a duration of at least 1s,
	// such as 30s or 2m. Each poll makes one request to Key Vault for each object of each pod. Defaults to 2m.
	RotationPollInterval string `pulumi:"rotationPollInterval,optional"`
	// AzurePolicy enforces policies assigned in Azure on the cluster. Defaults to false, which is for development.
	AzurePolicy bool `pulumi:"azurePolicy,optional"`
	// ContainerRegistryIDs are the ARM ids of container registries, by names that you choose, each a DNS label. The nodes'
	// identity gets AcrPull on each (https://learn.microsoft.com/azure/aks/cluster-container-registry-integration). Azure
	// refuses to assign the same role twice, no matter who assigned it first, so each registry can have only one name. The
	// Kubernetes provider waits for the roles. Defaults to none.
	ContainerRegistryIDs map[string]pulumi.StringInput `pulumi:"containerRegistryIds,optional"`
	// LogAnalyticsWorkspaceID is the ARM id of the workspace that receives the control plane's logs. Defaults to none,
	// which is for development. The logs are kube-audit-admin, guard, cluster-autoscaler, kube-apiserver,
	// kube-controller-manager and kube-scheduler. Metrics go there too.
	LogAnalyticsWorkspaceID pulumi.StringInput `pulumi:"logAnalyticsWorkspaceId,optional"`
	// ContainerInsights sends the containers' logs and metrics to the workspace. Defaults to false, which is for
	// development. It enables the add-on, which signs in with an identity and has no key, and creates its data collection
	// rule. It requires LogAnalyticsWorkspaceID, of a workspace in the cluster's region or in one that Azure maps to it
	// (https://learn.microsoft.com/azure/azure-monitor/containers/container-insights-region-mapping).
	ContainerInsights bool `pulumi:"containerInsights,optional"`
	// Defender enables Microsoft Defender's sensor on the nodes. Defaults to false, which is for development. It requires
	// LogAnalyticsWorkspaceID.
	Defender bool `pulumi:"defender,optional"`
	// ImageCleanerHours is the interval, in hours, at which unused vulnerable images are removed: 24-2160. Defaults to
	// never, which is for development.
	ImageCleanerHours int `pulumi:"imageCleanerHours,optional"`
	// DiskEncryptionSetID is the ARM id of a disk encryption set in the cluster's location whose key encrypts the nodes'
	// disks. The key must be in a vault with purge protection, on which the set's own identity is Key Vault Crypto Service
	// Encryption User (https://learn.microsoft.com/azure/aks/azure-disk-customer-managed-keys). Defaults to a key that
	// Azure manages. A change replaces the cluster.
	DiskEncryptionSetID pulumi.StringInput `pulumi:"diskEncryptionSetId,optional"`

	// Lock puts a CanNotDelete lock on the cluster. Defaults to false, which is for development. While the lock exists,
	// Azure refuses to delete the cluster and what Azure Resource Manager keeps on it, such as its pools and role
	// assignments. Remove the lock in an update of its own before you remove or replace a pool or destroy the stack. The
	// lock does not protect objects in the cluster.
	Lock bool `pulumi:"lock,optional"`
	// Protect makes Pulumi refuse to delete or replace the cluster. Defaults to false, which is for development. If the
	// component itself is protected, the cluster stays protected.
	Protect bool `pulumi:"protect,optional"`
}

// AksWithCsi is a cluster whose pods can mount objects of a Key Vault. It has the Azure Key Vault provider for the
// Secrets Store CSI driver, with rotation, an OIDC issuer and workload identity.
type AksWithCsi struct {
	pulumi.ResourceState

	// ManagedCluster is the cluster itself, nil for an existing one.
	ManagedCluster *containerservice.ManagedCluster
	// Cluster is passed to [WorkloadIdentityArgs] and [SecretMountArgs], and provides the option for other objects in the
	// cluster.
	Cluster Cluster

	// ClusterID is the cluster's ARM id.
	ClusterID pulumi.StringOutput `pulumi:"clusterId"`
	// ClusterName is the cluster's name.
	ClusterName pulumi.StringOutput `pulumi:"clusterName"`
	// IssuerURL is the issuer of the cluster's service account tokens, which federated credentials trust.
	IssuerURL pulumi.StringOutput `pulumi:"issuerUrl"`
	// Kubeconfig is the user's kubeconfig, a Pulumi secret. It resolves when workloads can run: once all node pools exist,
	// Outbound and KubernetesVersion are deployed, and the nodes have their roles on ContainerRegistryIDs.
	Kubeconfig pulumi.StringOutput `pulumi:"kubeconfig"`
	// FQDN is the API server's host name, which is private for a private cluster. Empty if a kubeconfig was given.
	FQDN pulumi.StringOutput `pulumi:"fqdn"`
	// NodeResourceGroup is the name of the resource group that holds the nodes. Empty if a kubeconfig was given.
	NodeResourceGroup pulumi.StringOutput `pulumi:"nodeResourceGroup"`
	// KubeletIdentityID is the ARM id of the nodes' identity, which pulls images. Empty if a kubeconfig was given.
	KubeletIdentityID pulumi.StringOutput `pulumi:"kubeletIdentityId"`
	// KubeletClientID is the client id that the nodes' identity signs in with. Empty if a kubeconfig was given.
	KubeletClientID pulumi.StringOutput `pulumi:"kubeletClientId"`
	// KubeletPrincipalID is the id that roles of the nodes' identity, such as AcrPull, are assigned to. Empty if a
	// kubeconfig was given.
	KubeletPrincipalID pulumi.StringOutput `pulumi:"kubeletPrincipalId"`
	// OutboundIPs are the addresses from which the cluster's own load balancer or NAT gateway reaches the internet,
	// without those that the program may not read. Empty if AKS does not manage the outbound type.
	OutboundIPs pulumi.StringArrayOutput `pulumi:"outboundIps"`
}

// NewAksWithCsi registers a cluster and a Kubernetes provider for it. If arguments are invalid, it returns a
// [ValidationError] and registers nothing.
func NewAksWithCsi(
	ctx *pulumi.Context, name string, args *AksWithCsiArgs, opts ...pulumi.ResourceOption,
) (*AksWithCsi, error) {
	args = settled(args)
	violations := args.validate()
	violations.requiredForCluster(name, args)
	if err := violations.err(); err != nil {
		return nil, fmt.Errorf("arguments of %s: %w", name, err)
	}
	args.checkLate()

	c := &AksWithCsi{}
	inputs := pulumi.Map{
		"resourceGroupName":    args.ResourceGroupName,
		"clusterName":          optional(args.ClusterName),
		"rotationPollInterval": pulumi.String(withDefault(args.RotationPollInterval, defaultRotationPollInterval)),
	}
	if err := ctx.RegisterComponentResourceV2(aksWithCsiType, name, inputs, c, opts...); err != nil {
		return nil, fmt.Errorf("registering %s: %w", name, err)
	}
	onFail, err := onObjectFailure(ctx, c, name,
		" If an interrupted update or destroy lost it from the state, set adoptObjects for one update.")
	if err != nil {
		return nil, err
	}
	provider := &Provider{made: args.ExistingCluster == nil, adopts: args.AdoptObjects, onFail: onFail}
	if args.AdoptObjects {
		notTaken, err := preventTakeover(ctx, name)
		if err != nil {
			return nil, err
		}
		provider.onFail = pulumi.Composite(onFail, notTaken)
		err = ctx.Log.Warn(
			"adoptObjects takes over existing objects with the names of this program's objects: set it for one update only",
			&pulumi.LogArgs{Resource: c},
		)
		if err != nil {
			return nil, fmt.Errorf("warning of adoptObjects: %w", err)
		}
	}
	var ready []pulumi.Resource
	if args.ExistingCluster != nil {
		c.useExisting(ctx, args.ExistingCluster, args.Entra)
	} else if ready, err = c.createCluster(ctx, name, args); err != nil {
		return nil, err
	}
	// Workloads need a pool that runs them (a tainted system pool does not), its outbound configuration and its images.
	// This is a dependency without data, because replacing a pool must not replace the objects in the cluster.
	err = newProvider(ctx, name+"-kubernetes", c.Kubeconfig, c.IssuerURL, provider, pulumi.Parent(c),
		pulumi.DependsOn(ready))
	if err != nil {
		return nil, err
	}
	c.Cluster = Cluster{Provider: provider}
	c.Kubeconfig = after(ctx, c.Kubeconfig, ready...)
	outputs := pulumi.Map{
		"clusterId":          c.ClusterID,
		"clusterName":        c.ClusterName,
		"issuerUrl":          c.IssuerURL,
		"kubeconfig":         c.Kubeconfig,
		"fqdn":               c.FQDN,
		"nodeResourceGroup":  c.NodeResourceGroup,
		"outboundIps":        c.OutboundIPs,
		"kubeletIdentityId":  c.KubeletIdentityID,
		"kubeletClientId":    c.KubeletClientID,
		"kubeletPrincipalId": c.KubeletPrincipalID,
	}
	if err := ctx.RegisterResourceOutputs(c, outputs); err != nil {
		return nil, fmt.Errorf("registering outputs of %s: %w", name, err)
	}
	return c, nil
}

// createCluster creates the cluster and everything that belongs to it, and sets the outputs. It returns what workloads
// must wait for: the deployments, the pools besides the system pool, and the nodes' roles on registries.
func (c *AksWithCsi) createCluster(ctx *pulumi.Context, name string, args *AksWithCsiArgs) ([]pulumi.Resource, error) {
	self, err := c.newControlPlane(ctx, name, args)
	if err != nil {
		return nil, err
	}
	body := args.cluster(name, self)
	cluster, err := c.newCluster(ctx, name, args, body, self)
	if err != nil {
		return nil, fmt.Errorf("creating the cluster: %w", err)
	}
	c.ManagedCluster = cluster
	c.ClusterID = cluster.ID().ToStringOutput()
	c.ClusterName = cluster.Name
	// During a preview of an update, the cluster's own outputs are unknown. A Kubernetes provider with an unknown
	// identifier would plan to replace every object in the cluster.
	found := containerservice.LookupManagedClusterOutput(ctx, containerservice.LookupManagedClusterOutputArgs{
		ResourceGroupName: args.ResourceGroupName, ResourceName: cluster.Name,
	}, pulumi.Parent(c))
	c.describe(ctx, found)
	found.ApplyT(func(found containerservice.LookupManagedClusterResult) (string, error) {
		return "", c.warnNetwork(ctx, args, found)
	})
	c.Kubeconfig = userKubeconfig(ctx, c, args.ResourceGroupName, cluster.Name, args.Entra)
	// One after another, see newNodePools.
	last, err := c.setOutbound(ctx, name, args, cluster, body, nil)
	if err != nil {
		return nil, err
	}
	if last, err = c.upgradeSystemPool(ctx, name, args, cluster, last); err != nil {
		return nil, err
	}
	ready, err := c.newNodePools(ctx, name, args, cluster, self, last)
	if err != nil {
		return nil, err
	}
	pulls, err := c.newRegistryRoles(ctx, name, args)
	if err != nil {
		return nil, err
	}
	ready = append(ready, pulls...)
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
		// The lock comes last, because Azure would refuse to delete these under it.
		if err := newLock(ctx, name, after(ctx, c.ClusterID, watchers...), c); err != nil {
			return nil, err
		}
	}
	return ready, nil
}

func (c *AksWithCsi) newCluster(
	ctx *pulumi.Context, name string, args *AksWithCsiArgs, body *containerservice.ManagedClusterArgs, self controlPlane,
) (*containerservice.ManagedCluster, error) {
	// An older CLI does not know replacement triggers.
	if err := ctx.RequirePulumiVersion(">=3.219.0"); err != nil {
		return nil, fmt.Errorf("registering the cluster's replacement trigger: %w", err)
	}
	opts := append([]pulumi.ResourceOption{
		pulumi.Parent(c), pulumi.IgnoreChanges(args.keptInState()),
		pulumi.ReplacementTrigger(args.networkTrigger()),
	}, self.opts...)
	if args.Protect { // false would undo what the component was protected with
		opts = append(opts, pulumi.Protect(true))
	}
	if args.NodeResourceGroup != "" { // the next cluster cannot have it before
		opts = append(opts, pulumi.DeleteBeforeReplace(true))
	}
	return containerservice.NewManagedCluster(ctx, name+"-cluster", body, opts...)
}

// cluster returns the body of the cluster. Omitted arguments are sent as disabled, or as Azure's default, because AKS
// keeps the previous value of whatever a body omits (https://github.com/Azure/AKS/issues/2904).
func (args *AksWithCsiArgs) cluster(name string, self controlPlane) *containerservice.ManagedClusterArgs {
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
		// azure-native compares inline pools by position, so there is only one. Further pools are separate resources.
		AgentPoolProfiles:      containerservice.ManagedClusterAgentPoolProfileArray{args.profile(args.systemPool())},
		NetworkProfile:         args.networkProfile(),
		ApiServerAccessProfile: args.apiServerProfile(),
		AadProfile:             args.Entra.profile(),
		DisableLocalAccounts:   pulumi.Bool(args.DisableLocalAccounts),
		AddonProfiles:          args.addons(),
		OidcIssuerProfile:      containerservice.ManagedClusterOIDCIssuerProfileArgs{Enabled: pulumi.Bool(true)},
		SecurityProfile:        args.securityProfile(),
		DiskEncryptionSetID:    optionalInput(args.DiskEncryptionSetID),
		Sku: containerservice.ManagedClusterSKUArgs{
			Name: pulumi.String("Base"), Tier: pulumi.String(withDefault(args.Tier, TierFree)),
		},
		SupportPlan: pulumi.String("KubernetesOfficial"),
		AutoUpgradeProfile: containerservice.ManagedClusterAutoUpgradeProfileArgs{
			UpgradeChannel:       pulumi.String(withDefault(args.UpgradeChannel, UpgradeNone)),
			NodeOSUpgradeChannel: pulumi.String(withDefault(args.NodeOSUpgradeChannel, NodeOSNodeImage)),
		},
	}
	if args.Tier == TierPremium {
		cluster.SupportPlan = pulumi.String("AKSLongTermSupport")
	}
	return cluster
}

// DefaultNodeResourceGroup returns the name that AKS gives to the resource group of a cluster's nodes. AKS refuses a
// cluster for which this name is longer than 80 characters; set [AksWithCsiArgs.NodeResourceGroup] then.
func DefaultNodeResourceGroup(resourceGroup, cluster, location string) string {
	return "MC_" + resourceGroup + "_" + cluster + "_" + location
}

const dnsPrefixRule = "(defaults to the cluster's name) 1-54 letters, digits and dashes, starting and ending with a " +
	"letter or digit"

// dnsPrefix returns the given prefix, or the one derived from a name.
func (args *AksWithCsiArgs) dnsPrefix(component string) string {
	return withDefault(args.DNSPrefix, withDefault(args.ClusterName, component))
}

// Validate checks every plain value. It returns a [ValidationError] with all violations, or nil. Inputs that come from
// other resources may be missing.
func (args *AksWithCsiArgs) Validate() error {
	return settled(args).validate().err()
}

func (args *AksWithCsiArgs) validate() violations {
	var v violations
	v.validateEntra(args.Entra)
	if args.ExistingCluster != nil {
		v.plainID("existingCluster.id", args.ExistingCluster.ID, clusterID, "the ARM id of a cluster")
		v.validateExisting(args)
		return v
	}
	if args.ClusterName != "" {
		v.match(clusterName, "clusterName", args.ClusterName,
			"1-63 letters, digits, dashes and underscores, starting and ending with a letter or digit")
	}
	if dns := withDefault(args.DNSPrefix, args.ClusterName); dns != "" {
		v.match(dnsPrefix, "dnsPrefix", dns, dnsPrefixRule)
	}
	if args.NodeResourceGroup != "" {
		v.match(nodeGroup, "nodeResourceGroup", args.NodeResourceGroup,
			"1-80 letters, digits, underscores, parentheses, dashes and dots, not ending in a dot")
	}
	oneOf(&v, "tier", withDefault(args.Tier, TierFree), TierFree, TierStandard, TierPremium)
	v.validateUpgrades(args)
	v.validatePools(args)
	v.check(!args.DisableLocalAccounts || args.Entra != nil, "disableLocalAccounts", args.DisableLocalAccounts,
		"false without entra, because nobody could sign in")
	v.validateAPIServer(args.APIServer)
	v.validateNetwork(args)
	v.validateSubnets(args)
	v.validateOutbound(args.Outbound, args.OutboundType)
	v.validateRegistryIDs(v.namedIDs("containerRegistryIds", args.ContainerRegistryIDs))
	v.validateAddons(args)
	v.validateAzureCluster(args)
	return v
}

// requiredForCluster checks the name derived from the component's, and that all required Inputs are given.
func (v *violations) requiredForCluster(name string, args *AksWithCsiArgs) {
	if args.ExistingCluster != nil {
		v.requiredForExisting(args.ExistingCluster)
		return
	}
	v.required("resourceGroupName", args.ResourceGroupName)
	v.validateClusterName(name, args)
	if args.DNSPrefix == "" && args.ClusterName == "" {
		v.match(dnsPrefix, "dnsPrefix", name, dnsPrefixRule)
	}
	for _, subnet := range slices.Sorted(maps.Keys(args.Subnets)) {
		v.required("subnets."+subnet, args.Subnets[subnet])
	}
	for _, registry := range slices.Sorted(maps.Keys(args.ContainerRegistryIDs)) {
		v.required("containerRegistryIds."+registry, args.ContainerRegistryIDs[registry])
	}
	if args.APIServer != nil && ownsZone(args.APIServer.PrivateDNSZone) {
		v.required("identityId", args.IdentityID)
	}
	if args.ContainerInsights || args.Defender {
		v.required("logAnalyticsWorkspaceId", args.LogAnalyticsWorkspaceID)
	}
}
