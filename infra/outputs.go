package infra

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
)

// Outputs are the stack's outputs.
type Outputs struct {
	workloads         pulumi.Map
	readSecretCommand string
}

// Add adds a workload's outputs.
func (o *Outputs) Add(w Workload, identity *components.WorkloadIdentity, mount *components.SecretMount) {
	outputs := pulumi.Map{
		"identityId":          identity.IdentityID,
		"clientId":            identity.ClientID,
		"principalId":         identity.PrincipalID,
		"namespace":           identity.Namespace,
		"serviceAccounts":     identity.ServiceAccounts,
		"secretProviderClass": mount.SecretProviderClass,
	}
	if command := w.readSecretCommand(); command != "" {
		outputs["readSecretCommand"] = pulumi.String(command)
		if o.readSecretCommand == "" {
			o.readSecretCommand = command
		}
	}
	if o.workloads == nil {
		o.workloads = pulumi.Map{}
	}
	o.workloads[w.Name] = outputs
}

// Export exports the stack's outputs. readSecretCommand is the one of the first workload with a test pod.
func (o *Outputs) Export(ctx *pulumi.Context, vault *components.KeyVaultStack, cluster *components.AksWithCsi) {
	ctx.Export("vaultId", vault.VaultID)
	ctx.Export("vaultName", vault.VaultName)
	ctx.Export("vaultUri", vault.VaultURI)
	ctx.Export("clusterId", cluster.ClusterID)
	ctx.Export("clusterName", cluster.ClusterName)
	ctx.Export("fqdn", cluster.FQDN)
	ctx.Export("issuerUrl", cluster.IssuerURL)
	ctx.Export("kubeconfig", cluster.Kubeconfig)
	ctx.Export("nodeResourceGroup", cluster.NodeResourceGroup)
	ctx.Export("kubeletPrincipalId", cluster.KubeletPrincipalID)
	ctx.Export("outboundIps", cluster.OutboundIPs)
	ctx.Export("workloads", o.workloads)
	if o.readSecretCommand != "" {
		ctx.Export("readSecretCommand", pulumi.String(o.readSecretCommand))
	}
}
