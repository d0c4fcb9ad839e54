package components

import (
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"time"

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
	kubernetesVersion = regexp.MustCompile(`^[0-9]+\.[0-9]+(\.[0-9]+)?$`)
	vmSize            = regexp.MustCompile(`^[0-9a-zA-Z_-]+$`)
)

const nodeCountMax = 1000

// Defaults of AksWithCsiArgs.
const (
	defaultNodeVMSize           = "Standard_D2s_v5"
	defaultRotationPollInterval = "2m"
)

// AksWithCsiArgs are the arguments of [NewAksWithCsi].
type AksWithCsiArgs struct {
	// ResourceGroupName is the resource group that holds the cluster. Required.
	ResourceGroupName pulumi.StringInput `pulumi:"resourceGroupName"`
	// Location of the cluster, such as eastus. Left out: the provider's location, or the resource group's.
	Location pulumi.StringPtrInput `pulumi:"location,optional"`
	// Tags of the cluster. Left out: none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`

	// ClusterName is 1-63 letters, digits, dashes and underscores, a letter or digit first and last. Left out: Pulumi names
	// the cluster. A change replaces it.
	ClusterName string `pulumi:"clusterName,optional"`
	// DNSPrefix starts the name of the cluster's API server: 1-54 letters, digits and dashes, a letter or digit first and
	// last. Left out: the cluster's name, or the component's where Pulumi names the cluster. A change replaces the cluster.
	DNSPrefix string `pulumi:"dnsPrefix,optional"`
	// KubernetesVersion is a version that AKS offers, such as 1.34 (its latest patch at creation) or 1.34.1. Left out: AKS
	// chooses.
	KubernetesVersion string `pulumi:"kubernetesVersion,optional"`
	// NodeCount is the number of nodes in the system pool, 1-1000. Left out: 1.
	NodeCount int `pulumi:"nodeCount,optional"`
	// NodeVMSize is the size of the nodes. Left out: Standard_D2s_v5.
	NodeVMSize string `pulumi:"nodeVmSize,optional"`
	// RotationPollInterval is how often the add-on looks for new versions of what pods have mounted: a duration of at least 1s,
	// such as 30s or 2m. Every look is one request to Key Vault for each object of each pod. Left out: 2m.
	RotationPollInterval string `pulumi:"rotationPollInterval,optional"`
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
	// Kubeconfig is the user's kubeconfig; a secret.
	Kubeconfig pulumi.StringOutput `pulumi:"kubeconfig"`
	// Provider reaches the cluster; pass it to whatever creates objects in it.
	Provider *kubernetes.Provider
}

// NewAksWithCsi registers a cluster and a Kubernetes provider for it. It returns [Violations] before anything is registered if
// arguments are invalid.
func NewAksWithCsi(ctx *pulumi.Context, name string, args *AksWithCsiArgs, opts ...pulumi.ResourceOption) (*AksWithCsi, error) {
	if args == nil {
		args = &AksWithCsiArgs{}
	}
	dns := withDefault(args.DNSPrefix, withDefault(args.ClusterName, name))
	violations := args.Validate()
	violations.required("resourceGroupName", args.ResourceGroupName)
	if args.DNSPrefix == "" && args.ClusterName == "" {
		violations.match(dnsPrefix, "dnsPrefix", dns, dnsPrefixRule)
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
	cluster, err := c.newCluster(ctx, name, dns, args)
	if err != nil {
		return nil, fmt.Errorf("creating the cluster: %w", err)
	}
	c.ClusterID = cluster.ID().ToStringOutput()
	c.ClusterName = cluster.Name
	c.IssuerURL = cluster.OidcIssuerProfile.IssuerURL().Elem()
	c.Kubeconfig = userKubeconfig(ctx, c, args.ResourceGroupName, cluster.Name)
	c.Provider, err = kubernetes.NewProvider(ctx, name+"-kubernetes", &kubernetes.ProviderArgs{
		Kubeconfig: c.Kubeconfig,
		// The issuer's URL stands for this very cluster: a renewed kubeconfig keeps it, and what is in the cluster stays; a
		// cluster made anew under the same name changes it, and what was in the old one is made anew too.
		ClusterIdentifier:     c.IssuerURL,
		EnableServerSideApply: pulumi.Bool(true),
	}, pulumi.Parent(c))
	if err != nil {
		return nil, fmt.Errorf("creating the cluster's Kubernetes provider: %w", err)
	}
	outputs := pulumi.Map{
		"clusterId": c.ClusterID, "clusterName": c.ClusterName, "issuerUrl": c.IssuerURL, "kubeconfig": c.Kubeconfig,
	}
	if err := ctx.RegisterResourceOutputs(c, outputs); err != nil {
		return nil, fmt.Errorf("registering outputs of %s: %w", name, err)
	}
	return c, nil
}

func (c *AksWithCsi) newCluster(ctx *pulumi.Context, name, dns string, args *AksWithCsiArgs) (*containerservice.ManagedCluster, error) {
	return containerservice.NewManagedCluster(ctx, name+"-cluster", &containerservice.ManagedClusterArgs{
		ResourceGroupName: args.ResourceGroupName,
		Location:          args.Location,
		ResourceName:      optional(args.ClusterName),
		Tags:              args.Tags,
		DnsPrefix:         pulumi.String(dns),
		KubernetesVersion: optional(args.KubernetesVersion),
		EnableRBAC:        pulumi.Bool(true),
		Identity: containerservice.ManagedClusterIdentityArgs{
			Type: containerservice.ResourceIdentityTypeSystemAssigned,
		},
		// Azure compares inline pools by position, so there is one; further pools are resources of their own.
		AgentPoolProfiles: containerservice.ManagedClusterAgentPoolProfileArray{
			containerservice.ManagedClusterAgentPoolProfileArgs{
				Name:   pulumi.String("system"),
				Mode:   containerservice.AgentPoolModeSystem,
				Type:   containerservice.AgentPoolTypeVirtualMachineScaleSets,
				OsType: pulumi.String("Linux"),
				Count:  pulumi.Int(withDefault(args.NodeCount, 1)),
				VmSize: pulumi.String(withDefault(args.NodeVMSize, defaultNodeVMSize)),
			},
		},
		NetworkProfile: containerservice.ContainerServiceNetworkProfileArgs{
			NetworkPlugin:     containerservice.NetworkPluginAzure,
			NetworkPluginMode: containerservice.NetworkPluginModeOverlay,
		},
		AddonProfiles: containerservice.ManagedClusterAddonProfileMap{
			"azureKeyvaultSecretsProvider": containerservice.ManagedClusterAddonProfileArgs{
				Enabled: pulumi.Bool(true),
				Config: pulumi.StringMap{
					"enableSecretRotation": pulumi.String("true"),
					"rotationPollInterval": pulumi.String(withDefault(args.RotationPollInterval, defaultRotationPollInterval)),
				},
			},
		},
		OidcIssuerProfile: containerservice.ManagedClusterOIDCIssuerProfileArgs{Enabled: pulumi.Bool(true)},
		SecurityProfile: containerservice.ManagedClusterSecurityProfileArgs{
			WorkloadIdentity: containerservice.ManagedClusterSecurityProfileWorkloadIdentityArgs{Enabled: pulumi.Bool(true)},
		},
	}, pulumi.Parent(c))
}

// userKubeconfig asks for the kubeconfig once the cluster exists. Azure's answer is not marked secret.
func userKubeconfig(ctx *pulumi.Context, c *AksWithCsi, group pulumi.StringInput, cluster pulumi.StringInput) pulumi.StringOutput {
	credentials := containerservice.ListManagedClusterUserCredentialsOutput(ctx, containerservice.ListManagedClusterUserCredentialsOutputArgs{
		ResourceGroupName: group,
		ResourceName:      cluster,
	}, pulumi.Parent(c))
	kubeconfig := credentials.Kubeconfigs().ApplyT(func(all []containerservice.CredentialResultResponse) (string, error) {
		if len(all) == 0 {
			return "", errors.New("reading the cluster's kubeconfig: Azure returned none")
		}
		decoded, err := base64.StdEncoding.DecodeString(all[0].Value)
		if err != nil {
			return "", errors.New("reading the cluster's kubeconfig: Azure's answer is not base64")
		}
		return string(decoded), nil
	})
	return pulumi.ToSecret(kubeconfig).(pulumi.StringOutput)
}

const dnsPrefixRule = "(the cluster's name unless given) 1-54 letters, digits and dashes, a letter or digit first and last"

// Validate checks every plain argument and returns all violations.
func (args *AksWithCsiArgs) Validate() Violations {
	var v Violations
	if args.ClusterName != "" {
		v.match(clusterName, "clusterName", args.ClusterName,
			"1-63 letters, digits, dashes and underscores, a letter or digit first and last")
	}
	if dns := withDefault(args.DNSPrefix, args.ClusterName); dns != "" {
		v.match(dnsPrefix, "dnsPrefix", dns, dnsPrefixRule)
	}
	if args.KubernetesVersion != "" {
		v.match(kubernetesVersion, "kubernetesVersion", args.KubernetesVersion, "a version such as 1.34 or 1.34.1")
	}
	count := withDefault(args.NodeCount, 1)
	v.check(count >= 1 && count <= nodeCountMax, "nodeCount", count, fmt.Sprintf("1-%d nodes", nodeCountMax))
	v.match(vmSize, "nodeVmSize", withDefault(args.NodeVMSize, defaultNodeVMSize), "a VM size such as "+defaultNodeVMSize)
	interval, err := time.ParseDuration(withDefault(args.RotationPollInterval, defaultRotationPollInterval))
	v.check(err == nil && interval >= time.Second, "rotationPollInterval", args.RotationPollInterval,
		"a duration of at least 1s, such as 30s or 2m")
	return v
}
