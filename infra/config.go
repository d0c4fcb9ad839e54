package infra

import (
	"fmt"
	"maps"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
)

// Config is the stack's configuration. Pulumi.yaml describes every key and holds its default. What a component takes from it,
// the component checks.
type Config struct {
	Location          string            `pulumi:"location"`
	ResourceGroupName string            `pulumi:"resourceGroupName"`
	Tags              map[string]string `pulumi:"tags"`

	VaultNamePrefix          string                  `pulumi:"vaultNamePrefix"`
	VaultSku                 string                  `pulumi:"vaultSku"`
	VaultRetentionDays       int                     `pulumi:"vaultRetentionDays"`
	VaultPurgeProtection     bool                    `pulumi:"vaultPurgeProtection"`
	VaultPublicNetworkAccess string                  `pulumi:"vaultPublicNetworkAccess"`
	Secrets                  []components.SecretArgs `pulumi:"secrets"`
	Keys                     []components.KeyArgs    `pulumi:"keys"`

	ClusterName          string `pulumi:"clusterName"`
	KubernetesVersion    string `pulumi:"kubernetesVersion"`
	NodeCount            int    `pulumi:"nodeCount"`
	NodeVMSize           string `pulumi:"nodeVmSize"`
	RotationPollInterval string `pulumi:"rotationPollInterval"`

	Namespace      string `pulumi:"namespace"`
	ServiceAccount string `pulumi:"serviceAccount"`

	SecretProviderClass string                  `pulumi:"secretProviderClass"`
	Objects             []components.ObjectArgs `pulumi:"mount"`
	TestPod             bool                    `pulumi:"testPod"`
	TestPodName         string                  `pulumi:"testPodName"`
	TestPodImage        string                  `pulumi:"testPodImage"`

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
	violations := decodeConfig(own, func(key string) bool { return ctx.IsConfigSecret(namespace + key) }, cfg)
	violations = append(violations, unreported(violations, cfg.validate())...)
	if err := violations.Err(); err != nil {
		return nil, fmt.Errorf("configuration %s* of stack %s: %w", namespace, ctx.Stack(), err)
	}
	tags := map[string]string{"pulumi-project": ctx.Project(), "pulumi-stack": ctx.Stack()}
	maps.Copy(tags, cfg.Tags)
	cfg.allTags = pulumi.ToStringMap(tags)
	return cfg, nil
}

// Vault completes the vault's arguments with what is configured.
func (cfg *Config) Vault(args components.KeyVaultStackArgs) *components.KeyVaultStackArgs {
	args.Location = pulumi.String(cfg.Location)
	args.Tags = cfg.allTags
	args.NamePrefix = cfg.VaultNamePrefix
	args.Sku = cfg.VaultSku
	args.SoftDeleteRetentionDays = cfg.VaultRetentionDays
	args.PurgeProtection = cfg.VaultPurgeProtection
	args.PublicNetworkAccess = cfg.VaultPublicNetworkAccess
	args.Secrets = cfg.Secrets
	args.Keys = cfg.Keys
	return &args
}

// Cluster completes the cluster's arguments with what is configured.
func (cfg *Config) Cluster(args components.AksWithCsiArgs) *components.AksWithCsiArgs {
	args.Location = pulumi.String(cfg.Location)
	args.Tags = cfg.allTags
	args.ClusterName = cfg.ClusterName
	args.KubernetesVersion = cfg.KubernetesVersion
	args.SystemPool = &components.NodePoolArgs{Count: cfg.NodeCount, VMSize: cfg.NodeVMSize}
	args.RotationPollInterval = cfg.RotationPollInterval
	return &args
}

// Identity completes the identity's arguments with what is configured. The program owns the namespace.
func (cfg *Config) Identity(args components.WorkloadIdentityArgs) *components.WorkloadIdentityArgs {
	args.Location = pulumi.String(cfg.Location)
	args.Tags = cfg.allTags
	args.Namespace = cfg.Namespace
	args.CreateNamespace = true
	args.ServiceAccounts = []components.ServiceAccountArgs{{Name: cfg.ServiceAccount}}
	return &args
}

// Mount completes the mount's arguments with what is configured.
func (cfg *Config) Mount(args components.SecretMountArgs) *components.SecretMountArgs {
	args.ClassName = cfg.SecretProviderClass
	args.Objects = cfg.Objects
	if cfg.TestPod {
		args.TestPod = &components.TestPodArgs{Name: cfg.TestPodName, Image: cfg.TestPodImage}
	}
	return &args
}
