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
// With ExistingCluster, only Entra can be given beside it; in Go, AdoptObjects too. Without it, ResourceGroupName is
// required.
type AksWithCsiArgs struct {
	// ResourceGroupName is the resource group that holds the cluster.
	ResourceGroupName pulumi.StringInput `pulumi:"resourceGroupName,optional"`
	// Location of the cluster, such as eastus. Defaults to the provider's location, or the resource group's. A change
	// replaces the cluster.
	Location pulumi.StringPtrInput `pulumi:"location,optional"`
	// Tags of the cluster and its node pools, by Azure's rules, see [ValidateTags]; at most 15 for a private cluster
	// with a DNS zone of AKS', which has them too. What is known late is checked then. Defaults to none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`

	// ExistingCluster is a cluster to use instead of a new one; Entra is then given for its login alone. Defaults to a new
	// cluster.
	ExistingCluster *ExistingClusterArgs `pulumi:"existingCluster,optional"`
	// AdoptObjects has the Kubernetes provider take over objects that are in the cluster under the names of this program's,
	// instead of failing since they exist. It is for one update after an update or a destroy that ended half-way, when the
	// state has lost objects that are this stack's: whatever Pulumi has made under such a name is then the stack's, and is
	// deleted with it. The preview fails for what Pulumi has not made. Not for objects that have another name in Pulumi, whose
	// earlier name would delete them. It makes a warning, and takes Pulumi 3.238. Defaults to false.
	AdoptObjects bool `pulumi:"adoptObjects,optional"`

	// ClusterName is 1-63 letters, digits, dashes and underscores, a letter or digit first and last, and none that Azure
	// reserves (https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-reserved-resource-name).
	// Defaults to a name that Pulumi makes. A change replaces the cluster.
	ClusterName string `pulumi:"clusterName,optional"`
	// DNSPrefix starts the name of the cluster's API server: 1-54 letters, digits and dashes, a letter or digit first and
	// last. Defaults to the cluster's name, or the component's where Pulumi names the cluster. A change replaces the
	// cluster.
	// So a component that gets another name, and has neither, sets the earlier name here.
	DNSPrefix string `pulumi:"dnsPrefix,optional"`
	// NodeResourceGroup is the name of the resource group that AKS makes for the nodes and what belongs to them: 1-80
	// letters, digits, underscores, parentheses, dashes and dots, no dot last, and not the name of a group that exists
	// (https://learn.microsoft.com/azure/aks/faq). Defaults to MC_ and the names of ResourceGroupName, the cluster and its
	// location with underscores between, which must be no longer either, see [DefaultNodeResourceGroup]. A change replaces
	// the cluster; a cluster that has a name keeps it where it is left out from then on.
	NodeResourceGroup string `pulumi:"nodeResourceGroup,optional"`
	// Tier is Free, Standard or Premium. Defaults to Free, which is for development.
	// Standard comes with an uptime SLA; Premium adds long-term support and switches it on
	// (https://learn.microsoft.com/azure/aks/free-standard-pricing-tiers).
	Tier ClusterTier `pulumi:"tier,optional"`
	// KubernetesVersion of control plane and nodes is one that AKS offers, such as 1.34 (its latest patch at that time)
	// or 1.34.1. The upgrade channels rapid and stable choose it alone, and patch takes one without patch. The control
	// plane is brought there first, then the system pool, by a deployment of Azure Resource Manager's, then NodePools.
	// AKS goes to no older version, and past no minor one (https://learn.microsoft.com/azure/aks/upgrade-aks-cluster).
	// The first update of a stack of an earlier version brings the system pool there, too. Defaults to AKS' choice.
	KubernetesVersion string `pulumi:"kubernetesVersion,optional"`
	// UpgradeChannel is what AKS upgrades by itself. Defaults to none, which is for development.
	// The others are rapid, stable (one minor version behind), patch and node-image
	// (https://learn.microsoft.com/azure/aks/auto-upgrade-cluster).
	UpgradeChannel UpgradeChannel `pulumi:"upgradeChannel,optional"`
	// NodeOSUpgradeChannel is how nodes get security updates: None, Unmanaged (by the system itself), SecurityPatch or
	// NodeImage (https://learn.microsoft.com/azure/aks/auto-upgrade-node-os-image). Defaults to NodeImage, as in Azure.
	NodeOSUpgradeChannel NodeOSUpgradeChannel `pulumi:"nodeOsUpgradeChannel,optional"`
	// Maintenance says when. Defaults to any time.
	Maintenance *MaintenanceArgs `pulumi:"maintenance,optional"`

	// Subnets are the ARM ids of the subnets that pools are in, by names of the caller's choice, each a DNS label. All are
	// in one virtual network. Subnet, network and the network's resource group have names of at most 63 characters, of which
	// AKS makes labels (https://learn.microsoft.com/azure/aks/azure-cni-overlay#limitations-with-azure-cni-overlay). The
	// control plane is given a role on each subnet that a pool is in, unless IdentityID is given; so one subnet has one
	// name. Defaults to none: AKS makes a network.
	Subnets map[string]pulumi.StringInput `pulumi:"subnets,optional"`
	// SystemPool runs what AKS needs. Defaults to one Standard_D2s_v5, which is for development.
	// Workloads run there too unless CriticalAddonsOnly is set.
	SystemPool *NodePoolArgs `pulumi:"systemPool,optional"`
	// NodePools are further pools for workloads, at most 99, created and changed one after another
	// (https://learn.microsoft.com/azure/aks/create-node-pools). All pools together start with 5000 nodes at most, with
	// the tier Free 1000 (https://learn.microsoft.com/azure/aks/quotas-skus-regions). The Kubernetes provider waits for
	// all of them. Defaults to none.
	NodePools []NodePoolArgs `pulumi:"nodePools,optional"`

	// Entra has the API's users sign in with Entra ID. Defaults to the cluster's own certificates, which is for
	// development. Azure cannot take it back.
	Entra *EntraArgs `pulumi:"entra,optional"`
	// DisableLocalAccounts leaves Entra ID as the only way to sign in. Defaults to false, which is for development.
	// It takes Entra, as AKS demands from Kubernetes 1.25 on
	// (https://learn.microsoft.com/azure/aks/manage-local-accounts-managed-azure-ad).
	DisableLocalAccounts bool `pulumi:"disableLocalAccounts,optional"`
	// IdentityID is the ARM id of a user-assigned identity for the control plane, which needs Network Contributor on the
	// pools' subnets, and Reader on the disk encryption set. Defaults to one that is made, with these roles, where there
	// are Subnets or a DiskEncryptionSetID; else to one that Azure makes.
	IdentityID pulumi.StringInput `pulumi:"identityId,optional"`

	// APIServer restricts who reaches the API server. Defaults to everybody, which is for development.
	APIServer *APIServerArgs `pulumi:"apiServer,optional"`
	// NetworkPolicy is what enforces NetworkPolicy objects. Defaults to none, which is for development.
	// The others are azure, and cilium with its data plane
	// (https://learn.microsoft.com/azure/aks/use-network-policies). A change replaces the cluster. A change by somebody
	// else makes a warning, and is left as it is once a refresh has seen it: before, another change of the cluster
	// undoes it.
	NetworkPolicy NetworkPolicy `pulumi:"networkPolicy,optional"`
	// OutboundType is how nodes reach the internet: loadBalancer; managedNATGateway, only without subnets; or
	// userDefinedRouting, userAssignedNATGateway, which the subnets must have
	// (https://learn.microsoft.com/azure/aks/egress-outboundtype). Defaults to loadBalancer. A change replaces the
	// cluster. For a change by somebody else, the same holds as for that of NetworkPolicy.
	OutboundType OutboundType `pulumi:"outboundType,optional"`
	// Outbound are the addresses and ports of that way out, where AKS manages it. Defaults to what Azure has: one address.
	// Taken out again, it leaves the cluster as it is.
	Outbound *OutboundArgs `pulumi:"outbound,optional"`
	// PodCIDR is the IPv4 range of the pods' addresses, at least /24, of which every node takes a /24; it is not seen
	// outside of the cluster, and apart from 169.254.0.0/16, 172.30.0.0/16, 172.31.0.0/16 and 192.0.2.0/24, which AKS
	// reserves, see [ReservedByAKS]. Defaults to 10.244.0.0/16. A change replaces the cluster.
	PodCIDR string `pulumi:"podCidr,optional"`
	// ServiceCIDR is the IPv4 range of the services' addresses, /13 to /28, and apart from what AKS reserves, as
	// PodCIDR, see [ReservedByAKS]. Defaults to 10.0.0.0/16. A change replaces the cluster.
	ServiceCIDR string `pulumi:"serviceCidr,optional"`
	// DNSServiceIP is the address of the cluster's DNS, in ServiceCIDR and not its first one. Defaults to the tenth. A
	// change replaces the cluster.
	DNSServiceIP string `pulumi:"dnsServiceIp,optional"`

	// RotationPollInterval is how often the add-on looks for new versions of what pods have mounted: a duration of at
	// least 1s, such as 30s or 2m. Every look is one request to Key Vault for each object of each pod. Defaults to 2m.
	RotationPollInterval string `pulumi:"rotationPollInterval,optional"`
	// AzurePolicy holds the cluster to policies assigned in Azure. Defaults to false, which is for development.
	AzurePolicy bool `pulumi:"azurePolicy,optional"`
	// ContainerRegistryIDs are the ARM ids of container registries, by names of the caller's choice, each a DNS label.
	// The nodes' identity gets AcrPull on each
	// (https://learn.microsoft.com/azure/aks/cluster-container-registry-integration). Azure refuses the same role
	// twice, whoever assigned it first; so one registry has one name. The Kubernetes provider waits for the roles.
	// Defaults to none.
	ContainerRegistryIDs map[string]pulumi.StringInput `pulumi:"containerRegistryIds,optional"`
	// LogAnalyticsWorkspaceID is the workspace that takes the control plane's logs. Defaults to none, which is for
	// development. It is an ARM id. The logs are kube-audit-admin, guard, cluster-autoscaler, kube-apiserver,
	// kube-controller-manager and kube-scheduler; metrics go there too.
	LogAnalyticsWorkspaceID pulumi.StringInput `pulumi:"logAnalyticsWorkspaceId,optional"`
	// ContainerInsights sends the containers' logs and metrics to the workspace. Defaults to false, which is for
	// development. It is the add-on, with an identity and no key, and the data collection rule that it follows. It takes
	// LogAnalyticsWorkspaceID, of a workspace in the cluster's region, or in one that Azure allows for it
	// (https://learn.microsoft.com/azure/azure-monitor/containers/container-insights-region-mapping).
	ContainerInsights bool `pulumi:"containerInsights,optional"`
	// Defender switches on Microsoft Defender's sensor on the nodes. Defaults to false, which is for development.
	// It takes LogAnalyticsWorkspaceID.
	Defender bool `pulumi:"defender,optional"`
	// ImageCleanerHours is how often unused vulnerable images are removed, in hours. Defaults to never, which is for
	// development. Allowed are 24-2160.
	ImageCleanerHours int `pulumi:"imageCleanerHours,optional"`
	// DiskEncryptionSetID is the ARM id of a disk encryption set whose key encrypts the nodes' disks, in the cluster's
	// location; its key is in a vault with purge protection, where the set's own identity is Key Vault Crypto Service
	// Encryption User (https://learn.microsoft.com/azure/aks/azure-disk-customer-managed-keys). Defaults to a key of
	// Azure's. A change replaces the cluster.
	DiskEncryptionSetID pulumi.StringInput `pulumi:"diskEncryptionSetId,optional"`

	// Lock puts a CanNotDelete lock on the cluster. Defaults to false, which is for development.
	// While it is there, Azure refuses to delete the cluster and what Azure Resource Manager keeps on it, such as its
	// pools and role assignments; so take it off, in an update of its own, before a pool is removed or replaced or the
	// stack is destroyed. It does not keep anybody from deleting what is in the cluster.
	Lock bool `pulumi:"lock,optional"`
	// Protect has Pulumi refuse to delete or replace the cluster. Defaults to false, which is for development.
	// A component that is itself protected stays so.
	Protect bool `pulumi:"protect,optional"`
}

// AksWithCsi is a cluster on which pods can mount what a Key Vault holds: with the Azure Key Vault provider for the
// Secrets Store CSI driver, rotation, an OIDC issuer and workload identity.
type AksWithCsi struct {
	pulumi.ResourceState

	// ManagedCluster is the cluster itself, nil for an existing one.
	ManagedCluster *containerservice.ManagedCluster
	// Cluster is what [WorkloadIdentityArgs] and [SecretMountArgs] take, and gives the option of other objects in the
	// cluster.
	Cluster Cluster

	// ClusterID is the cluster's ARM id.
	ClusterID pulumi.StringOutput `pulumi:"clusterId"`
	// ClusterName is the cluster's name.
	ClusterName pulumi.StringOutput `pulumi:"clusterName"`
	// IssuerURL is the issuer of the cluster's service account tokens, which federated credentials trust.
	IssuerURL pulumi.StringOutput `pulumi:"issuerUrl"`
	// Kubeconfig is the user's kubeconfig; a Pulumi secret. It resolves when workloads can run: once all node pools
	// exist, Outbound and KubernetesVersion are deployed, and the nodes may pull from ContainerRegistryIDs.
	Kubeconfig pulumi.StringOutput `pulumi:"kubeconfig"`
	// FQDN is the API server's name, the private one of a private cluster. Empty where a kubeconfig was given.
	FQDN pulumi.StringOutput `pulumi:"fqdn"`
	// NodeResourceGroup is the name of the resource group that holds the nodes. Empty where a kubeconfig was given.
	NodeResourceGroup pulumi.StringOutput `pulumi:"nodeResourceGroup"`
	// KubeletIdentityID is the ARM id of the nodes' identity, which pulls images. Empty where a kubeconfig was given.
	KubeletIdentityID pulumi.StringOutput `pulumi:"kubeletIdentityId"`
	// KubeletClientID is what the nodes' identity signs in as. Empty where a kubeconfig was given.
	KubeletClientID pulumi.StringOutput `pulumi:"kubeletClientId"`
	// KubeletPrincipalID is what roles of the nodes' identity are assigned to, such as AcrPull. Empty where a kubeconfig
	// was given.
	KubeletPrincipalID pulumi.StringOutput `pulumi:"kubeletPrincipalId"`
	// OutboundIPs are the addresses from which the cluster's own load balancer or NAT gateway reaches the internet, as far
	// as the program may read them. Empty where the nodes leave by a way that AKS does not manage.
	OutboundIPs pulumi.StringArrayOutput `pulumi:"outboundIps"`
}

// NewAksWithCsi registers a cluster and a Kubernetes provider for it. It returns a [ValidationError] before anything is
// registered if arguments are invalid.
func NewAksWithCsi(
	ctx *pulumi.Context,
	name string,
	args *AksWithCsiArgs,
	opts ...pulumi.ResourceOption,
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
	onFail, err := whereObjectsFail(ctx, c, name,
		" If an update or a destroy that ended half-way has lost it, set adoptObjects for one update.")
	if err != nil {
		return nil, err
	}
	provider := &Provider{made: args.ExistingCluster == nil, adopts: args.AdoptObjects, onFail: onFail}
	if args.AdoptObjects {
		notTaken, err := notTakenOver(ctx, name)
		if err != nil {
			return nil, err
		}
		provider.onFail = pulumi.Composite(onFail, notTaken)
		err = ctx.Log.Warn(
			"adoptObjects takes over whatever is in the cluster under the names of this program's objects: set it for one "+
				"update only",
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
	// Workloads need a pool that runs them, which a tainted system pool is not, its way out and its images. A
	// dependency that is no data, since the replacement of a pool must not replace what is in the cluster.
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

// createCluster creates the cluster with what belongs to it, sets the outputs, and returns what workloads wait for: the
// deployments, the pools besides the system pool, and the nodes' roles on registries.
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
	// The cluster's own outputs would not be known in the preview of an update of it, and a Kubernetes provider whose
	// identifier is unknown has everything in the cluster planned to be replaced.
	found := containerservice.LookupManagedClusterOutput(ctx, containerservice.LookupManagedClusterOutputArgs{
		ResourceGroupName: args.ResourceGroupName, ResourceName: cluster.Name,
	}, pulumi.Parent(c))
	c.describe(ctx, found)
	found.ApplyT(func(found containerservice.LookupManagedClusterResult) (string, error) {
		return "", c.sayNetwork(ctx, args, found)
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
		// Under the lock, Azure would refuse to delete those too.
		if err := newLock(ctx, name, after(ctx, c.ClusterID, watchers...), c); err != nil {
			return nil, err
		}
	}
	return ready, nil
}

func (c *AksWithCsi) newCluster(
	ctx *pulumi.Context, name string, args *AksWithCsiArgs, body *containerservice.ManagedClusterArgs, self controlPlane,
) (*containerservice.ManagedCluster, error) {
	// An older CLI does not know the trigger.
	if err := ctx.RequirePulumiVersion(">=3.219.0"); err != nil {
		return nil, fmt.Errorf("replacing what the program changes: %w", err)
	}
	opts := append([]pulumi.ResourceOption{
		pulumi.Parent(c), pulumi.IgnoreChanges(args.unsaid()),
		pulumi.ReplacementTrigger(args.chosenNetwork()),
	}, self.opts...)
	if args.Protect { // false would undo what the component was protected with
		opts = append(opts, pulumi.Protect(true))
	}
	if args.NodeResourceGroup != "" { // the next cluster cannot have it before
		opts = append(opts, pulumi.DeleteBeforeReplace(true))
	}
	return containerservice.NewManagedCluster(ctx, name+"-cluster", body, opts...)
}

// cluster is the body of the cluster. What is left out is sent as off, or as Azure's default: AKS keeps what a body does
// not mention as it was before (https://github.com/Azure/AKS/issues/2904).
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
		// Azure compares inline pools by position, so there is one; further pools are resources of their own.
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

// DefaultNodeResourceGroup is the name that AKS gives the resource group of a cluster's nodes. AKS refuses a cluster
// for which it would be longer than 80 characters; [AksWithCsiArgs.NodeResourceGroup] is the way out.
func DefaultNodeResourceGroup(resourceGroup, cluster, location string) string {
	return "MC_" + resourceGroup + "_" + cluster + "_" + location
}

const dnsPrefixRule = "(the cluster's name unless given) 1-54 letters, digits and dashes, a letter or digit first and last"

// dnsPrefix is the given one, or made of a name.
func (args *AksWithCsiArgs) dnsPrefix(component string) string {
	return withDefault(args.DNSPrefix, withDefault(args.ClusterName, component))
}

// Validate checks every plain value, and returns a [ValidationError] with all violations, or nil. Inputs that other
// resources give may be missing.
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
			"1-63 letters, digits, dashes and underscores, a letter or digit first and last")
	}
	if dns := withDefault(args.DNSPrefix, args.ClusterName); dns != "" {
		v.match(dnsPrefix, "dnsPrefix", dns, dnsPrefixRule)
	}
	if args.NodeResourceGroup != "" {
		v.match(nodeGroup, "nodeResourceGroup", args.NodeResourceGroup,
			"1-80 letters, digits, underscores, parentheses, dashes and dots, no dot last")
	}
	oneOf(&v, "tier", withDefault(args.Tier, TierFree), TierFree, TierStandard, TierPremium)
	v.validateUpgrades(args)
	v.validatePools(args)
	v.check(!args.DisableLocalAccounts || args.Entra != nil, "disableLocalAccounts", args.DisableLocalAccounts,
		"false without entra, since nobody could sign in")
	v.validateAPIServer(args.APIServer)
	v.validateNetwork(args)
	v.validateSubnets(args)
	v.validateOutbound(args.Outbound, args.OutboundType)
	v.validateRegistryIDs(v.namedIDs("containerRegistryIds", args.ContainerRegistryIDs))
	v.validateAddons(args)
	v.validateAzureCluster(args)
	return v
}

// requiredForCluster checks what depends on the component's name, and that no Input is missing which the cluster cannot
// do without.
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
