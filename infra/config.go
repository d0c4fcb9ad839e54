package infra

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
)

// Config is the stack's configuration. Pulumi.yaml describes every key and holds its default; an empty one leaves a key out. What a
// component takes from it, the component checks.
type Config struct {
	Location          string            `pulumi:"location"`
	ResourceGroupName string            `pulumi:"resourceGroupName"`
	Tags              map[string]string `pulumi:"tags"`
	Network           *NetworkConfig    `pulumi:"network"`
	LogRetentionDays  int               `pulumi:"logRetentionDays"`
	Lock              bool              `pulumi:"lock"`
	Protect           bool              `pulumi:"protect"`

	ExistingVaultID          string                          `pulumi:"existingVaultId"`
	VaultNamePrefix          string                          `pulumi:"vaultNamePrefix"`
	VaultCreateMode          string                          `pulumi:"vaultCreateMode"`
	VaultSku                 string                          `pulumi:"vaultSku"`
	VaultRetentionDays       int                             `pulumi:"vaultRetentionDays"`
	VaultPurgeProtection     bool                            `pulumi:"vaultPurgeProtection"`
	VaultPublicNetworkAccess string                          `pulumi:"vaultPublicNetworkAccess"`
	VaultNetwork             *components.VaultNetworkArgs    `pulumi:"vaultNetwork"`
	VaultPrivateEndpoint     *components.PrivateEndpointArgs `pulumi:"vaultPrivateEndpoint"`
	Secrets                  []components.SecretArgs         `pulumi:"secrets"`
	Keys                     []components.KeyArgs            `pulumi:"keys"`

	ExistingClusterID    string                      `pulumi:"existingClusterId"`
	ClusterName          string                      `pulumi:"clusterName"`
	NodeResourceGroup    string                      `pulumi:"nodeResourceGroup"`
	ClusterTier          string                      `pulumi:"clusterTier"`
	KubernetesVersion    string                      `pulumi:"kubernetesVersion"`
	UpgradeChannel       string                      `pulumi:"upgradeChannel"`
	NodeOSUpgradeChannel string                      `pulumi:"nodeOsUpgradeChannel"`
	Maintenance          *components.MaintenanceArgs `pulumi:"maintenance"`
	SystemPool           *components.NodePoolArgs    `pulumi:"systemPool"`
	NodePools            []components.NodePoolArgs   `pulumi:"nodePools"`
	Entra                *components.EntraArgs       `pulumi:"entra"`
	DisableLocalAccounts bool                        `pulumi:"disableLocalAccounts"`
	APIServer            *components.APIServerArgs   `pulumi:"apiServer"`
	NetworkPolicy        string                      `pulumi:"networkPolicy"`
	OutboundType         string                      `pulumi:"outboundType"`
	PodCIDR              string                      `pulumi:"podCidr"`
	ServiceCIDR          string                      `pulumi:"serviceCidr"`
	DNSServiceIP         string                      `pulumi:"dnsServiceIp"`
	ClusterIdentityID    string                      `pulumi:"clusterIdentityId"`
	AzurePolicy          bool                        `pulumi:"azurePolicy"`
	ContainerInsights    bool                        `pulumi:"containerInsights"`
	Defender             bool                        `pulumi:"defender"`
	ImageCleanerHours    int                         `pulumi:"imageCleanerHours"`
	DiskEncryptionSetID  string                      `pulumi:"diskEncryptionSetId"`
	RotationPollInterval string                      `pulumi:"rotationPollInterval"`

	Namespace      string `pulumi:"namespace"`
	PodSecurity    string `pulumi:"podSecurity"`
	ServiceAccount string `pulumi:"serviceAccount"`

	SecretProviderClass string                      `pulumi:"secretProviderClass"`
	Objects             []components.ObjectArgs     `pulumi:"mount"`
	Access              string                      `pulumi:"access"`
	SyncSecrets         []components.SyncSecretArgs `pulumi:"syncSecrets"`
	CloudName           string                      `pulumi:"cloudName"`
	TestPod             bool                        `pulumi:"testPod"`
	TestPodName         string                      `pulumi:"testPodName"`
	TestPodImage        string                      `pulumi:"testPodImage"`
	Probe               bool                        `pulumi:"probe"`

	// allTags are Tags and those that every resource gets.
	allTags pulumi.StringMap
}

// LoadConfig reads the configuration from the values that the engine handed to the program (RunInfo.Config). Its error is
// [components.Violations] with every mistake: values of a wrong type, unknown keys, and what the components refuse.
func LoadConfig(ctx *pulumi.Context, values map[string]string) (*Config, error) {
	namespace := ctx.Project() + ":"
	own := map[string]string{}
	for key, value := range values {
		if name, ok := strings.CutPrefix(key, namespace); ok {
			own[name] = value
		}
	}
	cfg := &Config{}
	// The list of secrets is not shown where it is not encrypted either.
	violations := decodeConfig(own, func(key string) bool { return key == "secrets" || ctx.IsConfigSecret(namespace+key) }, cfg)
	violations = append(violations, unreported(violations, cfg.validate())...)
	if err := violations.Err(); err != nil {
		return nil, fmt.Errorf("configuration %s* of stack %s: %w", namespace, ctx.Stack(), err)
	}
	tags := map[string]string{"pulumi-project": ctx.Project(), "pulumi-stack": ctx.Stack()}
	maps.Copy(tags, cfg.Tags)
	cfg.allTags = pulumi.ToStringMap(tags)
	return cfg, nil
}

// Vault is the vault that is configured. An existing one is given, for the component to refuse it, what else is only there on purpose: keys with
// a default in Pulumi.yaml always have a value, and mean nothing to it.
func (cfg *Config) Vault(s *Surroundings) *components.KeyVaultStackArgs {
	args := &components.KeyVaultStackArgs{
		PurgeProtection: cfg.VaultPurgeProtection,
		Network:         cfg.VaultNetwork,
		PrivateEndpoint: cfg.VaultPrivateEndpoint,
		Secrets:         cfg.Secrets,
		Keys:            cfg.Keys,
		Protect:         cfg.Protect,
	}
	if cfg.ExistingVaultID != "" {
		args.ExistingVaultID = pulumi.String(cfg.ExistingVaultID)
		return args
	}
	args.ResourceGroupName = s.ResourceGroupName
	args.Location = pulumi.String(cfg.Location)
	args.TenantID = s.TenantID
	args.Tags = cfg.allTags
	args.NamePrefix = cfg.VaultNamePrefix
	args.CreateMode = cfg.VaultCreateMode
	args.Sku = cfg.VaultSku
	args.SoftDeleteRetentionDays = cfg.VaultRetentionDays
	args.PublicNetworkAccess = cfg.VaultPublicNetworkAccess
	if cfg.vaultInNetwork() {
		args.PrivateEndpoint = &components.PrivateEndpointArgs{SubnetID: s.Network.EndpointSubnetID, PrivateDNSZoneID: s.Network.VaultZoneID}
	}
	args.LogAnalyticsWorkspaceID = s.LogAnalyticsWorkspaceID
	args.Lock = cfg.Lock
	return args
}

// Cluster is the cluster that is configured. Of what an existing one is given the same holds as in Vault.
func (cfg *Config) Cluster(s *Surroundings) *components.AksWithCsiArgs {
	args := &components.AksWithCsiArgs{
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
		system := *cmp.Or(cfg.SystemPool, &components.NodePoolArgs{})
		args.SystemPool = &system
		args.NodePools = slices.Clone(cfg.NodePools)
		inNetwork(args.SystemPool, s.Network)
		for i := range args.NodePools {
			inNetwork(&args.NodePools[i], s.Network)
		}
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

// inNetwork puts a pool into the stack's network unless it is in another.
func inNetwork(pool *components.NodePoolArgs, network *Network) {
	if pool.SubnetID == nil {
		pool.SubnetID = network.NodeSubnetID
	}
}

// Identity completes the identity's arguments with what is configured. The program owns the namespace.
func (cfg *Config) Identity(s *Surroundings, args components.WorkloadIdentityArgs) *components.WorkloadIdentityArgs {
	args.ResourceGroupName = s.ResourceGroupName
	args.Location = pulumi.String(cfg.Location)
	args.Tags = cfg.allTags
	args.Namespace = cfg.Namespace
	args.CreateNamespace = true
	args.PodSecurity = cfg.PodSecurity
	args.ServiceAccounts = []components.ServiceAccountArgs{{Name: cfg.ServiceAccount}}
	return &args
}

// Mount completes the mount's arguments with what is configured.
func (cfg *Config) Mount(args components.SecretMountArgs) *components.SecretMountArgs {
	args.ClassName = cfg.SecretProviderClass
	args.Objects = cfg.Objects
	args.Access = cfg.Access
	args.SyncSecrets = cfg.SyncSecrets
	args.CloudName = cfg.CloudName
	if cfg.TestPod {
		args.TestPod = &components.TestPodArgs{Name: cfg.TestPodName, Image: cfg.TestPodImage}
	}
	if cfg.Probe {
		args.Probe = &components.ProbeArgs{}
	}
	return &args
}
