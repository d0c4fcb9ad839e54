package infra

import (
	"cmp"
	"maps"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
)

// Config is the stack's configuration. Pulumi.yaml describes every key and holds its default. An empty value omits a
// key. The components check the arguments that they get from it.
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
	VaultExpiryEvents        *components.ExpiryEventsArgs    `pulumi:"vaultExpiryEvents"`
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

	// allTags are Tags and the tags that every resource gets.
	allTags pulumi.StringMap
}

// Tags of every resource of the program.
const (
	projectTag = "pulumi-project"
	stackTag   = "pulumi-stack"
)

var ownTags = []string{projectTag, stackTag}

// LoadConfig reads the configuration from the values that the engine passes to the program (RunInfo.Config). Its error
// is a [components.ValidationError] with every mistake: values of a wrong type, unknown keys, and everything that the
// components reject.
func LoadConfig(ctx *pulumi.Context, values map[string]string) (*Config, error) {
	cfg := &Config{}
	// Secret values are hidden even if the list of secrets is not encrypted.
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

// Vault returns the arguments of the configured vault. For an existing vault, it passes only keys that are set
// deliberately, for the component to reject. Keys with a default in Pulumi.yaml always have a value and do not apply to
// it.
func (cfg *Config) Vault(s *Surroundings) *components.KeyVaultStackArgs {
	args := &components.KeyVaultStackArgs{
		APIVersion:      cfg.VaultAPIVersion,
		VaultName:       cfg.VaultName,
		PurgeProtection: cfg.VaultPurgeProtection,
		Network:         cfg.VaultNetwork,
		PrivateEndpoint: cfg.VaultPrivateEndpoint,
		ExpiryEvents:    cfg.VaultExpiryEvents,
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
		// If no workload needs a role, the vault may use access policies.
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

// Cluster returns the arguments of the configured cluster. For an existing cluster, it passes only keys that are set
// deliberately, as Vault does.
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
		useNodeSubnet(args, s.Network)
	}
	args.LogAnalyticsWorkspaceID = s.LogAnalyticsWorkspaceID
	args.RotationPollInterval = cfg.RotationPollInterval
	args.Lock = cfg.Lock
	args.Protect = cfg.Protect
	return args
}

// given returns an id as an Input, or nil if it is empty.
func given(id string) pulumi.StringInput {
	if id == "" {
		return nil
	}
	return pulumi.String(id)
}

// useNodeSubnet puts pools without a subnet into the stack's network.
func useNodeSubnet(args *components.AksWithCsiArgs, network *Network) {
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
