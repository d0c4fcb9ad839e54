package infra

import (
	"cmp"
	"maps"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
)

// Config is the stack's configuration. Pulumi.yaml describes every key and holds its default; an empty one leaves a key
// out. What a component takes from it, the component checks.
type Config struct {
	Location          string            `pulumi:"location"`
	ResourceGroupName string            `pulumi:"resourceGroupName"`
	Tags              map[string]string `pulumi:"tags"`
	Network           *NetworkConfig    `pulumi:"network"`
	LogRetentionDays  int               `pulumi:"logRetentionDays"`
	Lock              bool              `pulumi:"lock"`
	Protect           bool              `pulumi:"protect"`

	ExistingResourceGroup bool `pulumi:"existingResourceGroup"`
	DeployerRoles         bool `pulumi:"deployerRoles"`

	ExistingVaultID          string                          `pulumi:"existingVaultId"`
	VaultAPIVersion          components.VaultAPIVersion      `pulumi:"vaultApiVersion"`
	VaultNamePrefix          string                          `pulumi:"vaultNamePrefix"`
	VaultName                string                          `pulumi:"vaultName"`
	VaultCreateMode          components.VaultCreateMode      `pulumi:"vaultCreateMode"`
	VaultSku                 components.VaultSku             `pulumi:"vaultSku"`
	VaultRetentionDays       int                             `pulumi:"vaultRetentionDays"`
	VaultPurgeProtection     bool                            `pulumi:"vaultPurgeProtection"`
	VaultPublicNetworkAccess components.PublicNetworkAccess  `pulumi:"vaultPublicNetworkAccess"`
	VaultNetwork             *components.VaultNetworkArgs    `pulumi:"vaultNetwork"`
	VaultPrivateEndpoint     *components.PrivateEndpointArgs `pulumi:"vaultPrivateEndpoint"`
	Secrets                  []components.SecretArgs         `pulumi:"secrets"`
	Keys                     []components.KeyArgs            `pulumi:"keys"`

	AdoptObjects         bool                            `pulumi:"adoptObjects"`
	ExistingClusterID    string                          `pulumi:"existingClusterId"`
	ClusterName          string                          `pulumi:"clusterName"`
	ClusterDNSPrefix     string                          `pulumi:"clusterDnsPrefix"`
	NodeResourceGroup    string                          `pulumi:"nodeResourceGroup"`
	ClusterTier          components.ClusterTier          `pulumi:"clusterTier"`
	KubernetesVersion    string                          `pulumi:"kubernetesVersion"`
	UpgradeChannel       components.UpgradeChannel       `pulumi:"upgradeChannel"`
	NodeOSUpgradeChannel components.NodeOSUpgradeChannel `pulumi:"nodeOsUpgradeChannel"`
	Maintenance          *components.MaintenanceArgs     `pulumi:"maintenance"`
	Subnets              map[string]pulumi.StringInput   `pulumi:"subnets"`
	SystemPool           *components.NodePoolArgs        `pulumi:"systemPool"`
	NodePools            []components.NodePoolArgs       `pulumi:"nodePools"`
	Entra                *components.EntraArgs           `pulumi:"entra"`
	DisableLocalAccounts bool                            `pulumi:"disableLocalAccounts"`
	APIServer            *components.APIServerArgs       `pulumi:"apiServer"`
	NetworkPolicy        components.NetworkPolicy        `pulumi:"networkPolicy"`
	OutboundType         components.OutboundType         `pulumi:"outboundType"`
	Outbound             *components.OutboundArgs        `pulumi:"outbound"`
	ContainerRegistryIDs map[string]pulumi.StringInput   `pulumi:"containerRegistryIds"`
	PodCIDR              string                          `pulumi:"podCidr"`
	ServiceCIDR          string                          `pulumi:"serviceCidr"`
	DNSServiceIP         string                          `pulumi:"dnsServiceIp"`
	ClusterIdentityID    string                          `pulumi:"clusterIdentityId"`
	AzurePolicy          bool                            `pulumi:"azurePolicy"`
	ContainerInsights    bool                            `pulumi:"containerInsights"`
	Defender             bool                            `pulumi:"defender"`
	ImageCleanerHours    int                             `pulumi:"imageCleanerHours"`
	DiskEncryptionSetID  string                          `pulumi:"diskEncryptionSetId"`
	RotationPollInterval string                          `pulumi:"rotationPollInterval"`

	CloudName  components.Cloud `pulumi:"cloudName"`
	ProbeImage string           `pulumi:"probeImage"`
	Workloads  []Workload       `pulumi:"workloads"`

	// allTags are Tags and those that every resource gets.
	allTags pulumi.StringMap
}

// Tags that every resource of the program gets.
const (
	projectTag = "pulumi-project"
	stackTag   = "pulumi-stack"
)

var ownTags = []string{projectTag, stackTag}

// LoadConfig reads the configuration from the values that the engine handed to the program (RunInfo.Config). Its error
// is a [components.ValidationError] with every mistake: values of a wrong type, unknown keys, and what the components
// refuse.
func LoadConfig(ctx *pulumi.Context, values map[string]string) (*Config, error) {
	cfg := &Config{}
	// The list of secrets is not shown where it is not encrypted either.
	check := func() []components.Violation { return cfg.validate() }
	if err := Decode(ctx, values, cfg, check, "secrets"); err != nil {
		return nil, err
	}
	tags := map[string]string{projectTag: ctx.Project(), stackTag: ctx.Stack()}
	maps.Copy(tags, cfg.Tags)
	cfg.allTags = pulumi.ToStringMap(tags)
	for i := range cfg.Workloads {
		cfg.Workloads[i].complete(cfg, i)
	}
	return cfg, nil
}

// Vault is the vault that is configured. An existing one is given, for the component to refuse it, what else is only
// there on purpose: keys with a default in Pulumi.yaml always have a value, and mean nothing to it.
func (cfg *Config) Vault(s *Surroundings) *components.KeyVaultStackArgs {
	args := &components.KeyVaultStackArgs{
		APIVersion:      cfg.VaultAPIVersion,
		VaultName:       cfg.VaultName,
		PurgeProtection: cfg.VaultPurgeProtection,
		Network:         cfg.VaultNetwork,
		PrivateEndpoint: cfg.VaultPrivateEndpoint,
		Secrets:         cfg.Secrets,
		Keys:            cfg.Keys,
		Protect:         cfg.Protect,
	}
	if cfg.DeployerRoles {
		args.Deployer = s.deployer()
	}
	args.ExpectedObjects = cfg.madeByOthers()
	if cfg.ExistingVaultID != "" {
		args.ExistingVaultID = pulumi.String(cfg.ExistingVaultID)
		// Where no workload has a role, it may be a vault to which roles mean nothing.
		needsRole := func(w Workload) bool { return w.Access != components.AccessNone }
		args.AllowAccessPolicies = !slices.ContainsFunc(cfg.Workloads, needsRole)
		if cfg.vaultElsewhere(s.SubscriptionID) {
			args.TenantID = s.TenantID
		}
		return args
	}
	args.ResourceGroupName = s.ResourceGroupName
	args.Location = pulumi.String(cfg.Location)
	args.TenantID = s.TenantID
	args.Tags = cfg.allTags
	if args.VaultName == "" { // the prefix has a default
		args.NamePrefix = cfg.VaultNamePrefix
	}
	args.CreateMode = cfg.VaultCreateMode
	args.Sku = cfg.VaultSku
	args.SoftDeleteRetentionDays = cfg.VaultRetentionDays
	args.PublicNetworkAccess = cfg.VaultPublicNetworkAccess
	if cfg.vaultInNetwork() {
		args.PrivateEndpoint = &components.PrivateEndpointArgs{
			SubnetID: s.Network.EndpointSubnetID, PrivateDNSZoneID: s.Network.VaultZoneID,
		}
	}
	args.LogAnalyticsWorkspaceID = s.LogAnalyticsWorkspaceID
	args.Lock = cfg.Lock
	return args
}

// Cluster is the cluster that is configured. Of what an existing one is given the same holds as in Vault.
func (cfg *Config) Cluster(s *Surroundings) *components.AksWithCsiArgs {
	args := &components.AksWithCsiArgs{
		AdoptObjects:         cfg.AdoptObjects,
		DNSPrefix:            cfg.ClusterDNSPrefix,
		NodeResourceGroup:    cfg.NodeResourceGroup,
		KubernetesVersion:    cfg.KubernetesVersion,
		UpgradeChannel:       cfg.UpgradeChannel,
		NodeOSUpgradeChannel: cfg.NodeOSUpgradeChannel,
		Maintenance:          cfg.Maintenance,
		SystemPool:           cfg.SystemPool,
		NodePools:            append([]components.NodePoolArgs(nil), cfg.NodePools...), // nil where there are none
		Entra:                cfg.Entra,
		DisableLocalAccounts: cfg.DisableLocalAccounts,
		APIServer:            cfg.APIServer,
		NetworkPolicy:        cfg.NetworkPolicy,
		OutboundType:         cfg.OutboundType,
		Outbound:             cfg.Outbound,
		PodCIDR:              cfg.PodCIDR,
		ServiceCIDR:          cfg.ServiceCIDR,
		DNSServiceIP:         cfg.DNSServiceIP,
		AzurePolicy:          cfg.AzurePolicy,
		ContainerInsights:    cfg.ContainerInsights,
		Defender:             cfg.Defender,
		ImageCleanerHours:    cfg.ImageCleanerHours,
		DiskEncryptionSetID:  given(cfg.DiskEncryptionSetID),
		IdentityID:           given(cfg.ClusterIdentityID),
	}
	if len(cfg.Subnets) > 0 {
		args.Subnets = maps.Clone(cfg.Subnets)
	}
	if len(cfg.ContainerRegistryIDs) > 0 {
		args.ContainerRegistryIDs = maps.Clone(cfg.ContainerRegistryIDs)
	}
	if cfg.ExistingClusterID != "" {
		args.ExistingCluster = &components.ExistingClusterArgs{ID: pulumi.String(cfg.ExistingClusterID)}
		return args
	}
	args.ResourceGroupName = s.ResourceGroupName
	args.Location = pulumi.String(cfg.Location)
	args.Tags = cfg.allTags
	args.ClusterName = cfg.ClusterName
	args.Tier = cfg.ClusterTier
	if s.Network != nil {
		putInNetwork(args, s.Network)
	}
	args.LogAnalyticsWorkspaceID = s.LogAnalyticsWorkspaceID
	args.RotationPollInterval = cfg.RotationPollInterval
	args.Lock = cfg.Lock
	args.Protect = cfg.Protect
	return args
}

// given is an id as an Input; the empty one leaves it out.
func given(id string) pulumi.StringInput {
	if id == "" {
		return nil
	}
	return pulumi.String(id)
}

// putInNetwork puts the pools that name no subnet into the stack's network.
func putInNetwork(args *components.AksWithCsiArgs, network *Network) {
	if args.Subnets == nil {
		args.Subnets = map[string]pulumi.StringInput{}
	}
	args.Subnets[nodeSubnet] = network.NodeSubnetID
	system := *cmp.Or(args.SystemPool, &components.NodePoolArgs{})
	system.Subnet = cmp.Or(system.Subnet, nodeSubnet)
	args.SystemPool = &system
	for i := range args.NodePools {
		args.NodePools[i].Subnet = cmp.Or(args.NodePools[i].Subnet, nodeSubnet)
	}
}
