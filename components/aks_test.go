package components_test

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

func aksArgs() *components.AksWithCsiArgs {
	return &components.AksWithCsiArgs{ResourceGroupName: pulumi.String("group"), ClusterName: "aks"}
}

func TestClusterHasWhatMountsNeed(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := components.NewAksWithCsi(ctx, "cluster", aksArgs())
		return err
	})
	wantInputs(t, e.Get(t, "cluster-cluster"), map[string]any{
		"resourceName": "aks",
		"dnsPrefix":    "aks",
		"enableRBAC":   true,
		"addonProfiles.azureKeyvaultSecretsProvider.enabled":                     true,
		"addonProfiles.azureKeyvaultSecretsProvider.config.enableSecretRotation": "true",
		"addonProfiles.azureKeyvaultSecretsProvider.config.rotationPollInterval": "2m",
		"oidcIssuerProfile.enabled":                                              true,
		"securityProfile.workloadIdentity.enabled":                               true,
		"identity.type":                    "SystemAssigned",
		"networkProfile.networkPlugin":     "azure",
		"networkProfile.networkPluginMode": "overlay",
		"agentPoolProfiles[0].mode":        "System",
		"agentPoolProfiles[0].count":       1.0,
		"agentPoolProfiles[0].vmSize":      "Standard_D2s_v5",
		"agentPoolProfiles[1]":             nil,
		"kubernetesVersion":                nil,
	})
}

func TestClusterPassesOnWhatIsAsked(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := components.NewAksWithCsi(ctx, "cluster", &components.AksWithCsiArgs{
			ResourceGroupName: pulumi.String("group"), Location: pulumi.String("westeurope"),
			DNSPrefix: "prefix", KubernetesVersion: "1.34", NodeCount: 3, NodeVMSize: "Standard_D4s_v5", RotationPollInterval: "30s",
		})
		return err
	})
	wantInputs(t, e.Get(t, "cluster-cluster"), map[string]any{
		"location":                    "westeurope",
		"resourceName":                nil,
		"dnsPrefix":                   "prefix",
		"kubernetesVersion":           "1.34",
		"agentPoolProfiles[0].count":  3.0,
		"agentPoolProfiles[0].vmSize": "Standard_D4s_v5",
		"addonProfiles.azureKeyvaultSecretsProvider.config.rotationPollInterval": "30s",
	})
}

func TestKubeconfigIsSecretAndDecoded(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		c, err := components.NewAksWithCsi(ctx, "cluster", aksArgs())
		if err != nil {
			return err
		}
		got := mockengine.Await(t, ctx, c.Kubeconfig)
		if !got.Secret || got.Value != mockengine.Kubeconfig {
			t.Errorf("secret: %t, as the cluster has it: %t", got.Secret, got.Value == mockengine.Kubeconfig)
		}
		return nil
	})
	if found := e.Plaintext(strings.TrimSpace(mockengine.Kubeconfig)); len(found) > 0 {
		t.Errorf("the kubeconfig is in the clear in %v", found)
	}
	provider := e.Get(t, "cluster-kubernetes")
	if kubeconfig := provider.At("kubeconfig"); kubeconfig == nil || !kubeconfig.IsSecret() {
		t.Error("the provider's kubeconfig is not a secret")
	}
	if !provider.WaitsFor(e.Get(t, "cluster-cluster")) {
		t.Error("the provider does not wait for the cluster")
	}
	// What changes when, and only when, the cluster is another one.
	wantInputs(t, provider, map[string]any{"clusterIdentifier": mockengine.IssuerURL})
}

func TestClusterOutputsAreUnknownBeforeItExists(t *testing.T) {
	for _, dryRun := range []bool{false, true} {
		run(t, &mockengine.Engine{DryRun: dryRun}, func(ctx *pulumi.Context) error {
			c, err := components.NewAksWithCsi(ctx, "cluster", aksArgs())
			if err != nil {
				return err
			}
			for name, output := range map[string]pulumi.StringOutput{
				"ClusterID": c.ClusterID, "ClusterName": c.ClusterName, "IssuerURL": c.IssuerURL, "Kubeconfig": c.Kubeconfig,
			} {
				if got := mockengine.Await(t, ctx, output); got.Known == dryRun {
					t.Errorf("dry run %t: %s known: %t", dryRun, name, got.Known)
				}
			}
			return nil
		})
	}
}

func TestClusterRules(t *testing.T) {
	type args = components.AksWithCsiArgs
	testRules(t, aksArgs, (*args).Validate, []rule[args]{
		{"a name's characters", "clusterName", func(a *args) { a.ClusterName, a.DNSPrefix = "my.cluster", "aks" }},
		{"a name's end", "clusterName", func(a *args) { a.ClusterName, a.DNSPrefix = "aks-", "aks" }},
		{"a name's length", "clusterName", func(a *args) { a.ClusterName, a.DNSPrefix = strings.Repeat("a", 64), "aks" }},
		{"a DNS prefix from a name with underscore", "dnsPrefix", func(a *args) { a.ClusterName = "my_cluster" }},
		{"a DNS prefix from a long name", "dnsPrefix", func(a *args) { a.ClusterName = strings.Repeat("a", 55) }},
		{"a DNS prefix's characters", "dnsPrefix", func(a *args) { a.DNSPrefix = "-aks" }},
		{"a version", "kubernetesVersion", func(a *args) { a.KubernetesVersion = "v1.34" }},
		{"too few nodes", "nodeCount", func(a *args) { a.NodeCount = -1 }},
		{"too many nodes", "nodeCount", func(a *args) { a.NodeCount = 1001 }},
		{"a VM size", "nodeVmSize", func(a *args) { a.NodeVMSize = "Standard D2s" }},
		{"an interval without unit", "rotationPollInterval", func(a *args) { a.RotationPollInterval = "120" }},
		{"a short interval", "rotationPollInterval", func(a *args) { a.RotationPollInterval = "10ms" }},
	})
}

func TestInvalidClusterRegistersNothing(t *testing.T) {
	wantRefused(t, func(ctx *pulumi.Context) error {
		_, err := components.NewAksWithCsi(ctx, "my_cluster", &components.AksWithCsiArgs{NodeCount: -1})
		return err
	}, "nodeCount", "resourceGroupName", "dnsPrefix")
}
