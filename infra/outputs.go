package infra

import (
	"cmp"
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
)

// Export makes the stack's outputs. readSecretCommand is there only with the test pod.
func Export(ctx *pulumi.Context, cfg *Config, vault *components.KeyVaultStack, cluster *components.AksWithCsi,
	identity *components.WorkloadIdentity, mount *components.SecretMount,
) {
	ctx.Export("vaultId", vault.VaultID)
	ctx.Export("vaultName", vault.VaultName)
	ctx.Export("vaultUri", vault.VaultURI)
	ctx.Export("clusterId", cluster.ClusterID)
	ctx.Export("clusterName", cluster.ClusterName)
	ctx.Export("issuerUrl", cluster.IssuerURL)
	ctx.Export("kubeconfig", cluster.Kubeconfig)
	ctx.Export("clientId", identity.ClientID)
	ctx.Export("namespace", identity.Namespace)
	ctx.Export("serviceAccount", identity.ServiceAccounts.Index(pulumi.Int(0)))
	ctx.Export("secretProviderClass", mount.SecretProviderClass)
	if cfg.TestPod {
		ctx.Export("readSecretCommand", pulumi.String(readSecretCommand(cfg)))
	}
}

// readSecretCommand shows the first secret that the test pod has mounted, or the first object if there is no secret.
func readSecretCommand(cfg *Config) string {
	file := cfg.Objects[0].FileName()
	for _, o := range cfg.Objects {
		if o.Type == "secret" {
			file = o.FileName()
			break
		}
	}
	pod := cmp.Or(cfg.TestPodName, components.DefaultTestPodName)
	return fmt.Sprintf("kubectl exec -n %s %s -- cat %s/%s", cfg.Namespace, pod, components.TestPodMountPath, file)
}
