package main

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

// sent is what a resource of the prod stack has to be registered with: a value at a path, or one that a function
// accepts, or nil for none.
type sent struct {
	resource, path string
	want           any
}

type accepts func(resource.PropertyValue) bool

var (
	given   accepts = func(v resource.PropertyValue) bool { return v.HasValue() }
	atLeast         = func(n float64) accepts {
		return func(v resource.PropertyValue) bool { return v.IsNumber() && v.NumberValue() >= n }
	}
	has = func(item string) accepts {
		return func(v resource.PropertyValue) bool {
			for _, one := range v.ArrayValue() {
				if one == resource.NewProperty(item) || one.IsObject() && one.ObjectValue()["category"] == resource.NewProperty(item) {
					return true
				}
			}
			return false
		}
	}
)

// TestProdHoldsToTheReviewersRules has a row for each rule that reviewers hold a vault, its objects and a cluster to,
// with its ids in Checkov (CKV_*) and PSRule for Azure. What prod does otherwise is said, and why, in Pulumi.prod.yaml.
func TestProdHoldsToTheReviewersRules(t *testing.T) {
	e := runStack(t, "prod", false, nil)
	const (
		vault, secret, key   = "vault-vault", "vault-secret-my-secret", "vault-key-my-key"
		cluster, apps        = "cluster-cluster", "cluster-pool-apps"
		system               = "agentPoolProfiles[0]."
		clusterLogs, vaultOf = "cluster-diagnostics", "vault-diagnostics"
	)
	for _, rule := range []struct {
		name string
		ids  string
		sent []sent
	}{
		{"the vault cannot be purged", "CKV_AZURE_110 CKV_AZURE_42 Azure.KeyVault.PurgeProtect", []sent{{vault, "properties.enablePurgeProtection", true}}},
		{"the deleted vault is kept", "CKV_AZURE_111 CKV_AZURE_42 Azure.KeyVault.SoftDelete", []sent{{vault, "properties.enableSoftDelete", true}, {vault, "properties.softDeleteRetentionInDays", 90.0}}},
		{"the vault authorizes by roles", "Azure.KeyVault.RBAC", []sent{{vault, "properties.enableRbacAuthorization", true}}},
		{"the vault's firewall denies", "CKV_AZURE_109 Azure.KeyVault.Firewall", []sent{{vault, "properties.networkAcls.defaultAction", "Deny"}}},
		{"the vault has no public access", "CKV_AZURE_189", []sent{{vault, "properties.publicNetworkAccess", "Disabled"}}},
		{"the vault has a private endpoint", "CKV2_AZURE_32", []sent{
			{"vault-private-endpoint", "privateLinkServiceConnections[0].groupIds", has("vault")}, {"vault-dns-zone-group", "privateDnsZoneConfigs[0].privateDnsZoneId", given},
		}},
		{"who reads secrets is logged", "Azure.KeyVault.Logs", []sent{{vaultOf, "logs", has("AuditEvent")}, {vaultOf, "workspaceId", given}}},
		{"secrets expire", "CKV_AZURE_41", []sent{{secret, "properties.attributes.expires", given}}},
		{"secrets say what they are", "CKV_AZURE_114", []sent{{secret, "properties.contentType", "text/plain"}}},
		{"keys expire", "CKV_AZURE_40", []sent{{key, "properties.attributes.expires", given}}},
		{"keys are in an HSM", "CKV_AZURE_112", []sent{{key, "properties.kty", "RSA-HSM"}, {vault, "properties.sku.name", "premium"}}},
		{"keys are rotated", "Azure.KeyVault.AutoRotationPolicy", []sent{{key, "properties.rotationPolicy.lifetimeActions[0].action.type", "rotate"}}},

		{"secrets are mounted by the add-on", "Azure.AKS.SecretStore", []sent{{cluster, "addonProfiles.azureKeyvaultSecretsProvider.enabled", true}}},
		{"mounted secrets are rotated", "CKV_AZURE_172 Azure.AKS.SecretStoreRotation", []sent{{cluster, "addonProfiles.azureKeyvaultSecretsProvider.config.enableSecretRotation", "true"}}},
		{"workloads sign in without a credential", "", []sent{{cluster, "oidcIssuerProfile.enabled", true}, {cluster, "securityProfile.workloadIdentity.enabled", true}}},
		{"Kubernetes authorizes by roles", "CKV_AZURE_5 Azure.AKS.UseRBAC", []sent{{cluster, "enableRBAC", true}}},
		{"Entra ID decides who gets in", "Azure.AKS.ManagedAAD", []sent{{cluster, "aadProfile.managed", true}}},
		{"Azure decides who may do what", "Azure.AKS.AzureRBAC", []sent{{cluster, "aadProfile.enableAzureRBAC", true}}},
		{"there are no local accounts", "CKV_AZURE_141 Azure.AKS.LocalAccounts", []sent{{cluster, "disableLocalAccounts", true}}},
		{"only listed addresses reach the API server", "CKV_AZURE_6 Azure.AKS.AuthorizedIPs", []sent{{cluster, "apiServerAccessProfile.authorizedIPRanges", given}}},
		{"nobody runs commands through Azure", "", []sent{{cluster, "apiServerAccessProfile.disableRunCommand", true}}},
		{"network policies hold", "CKV_AZURE_7 Azure.AKS.NetworkPolicy", []sent{{cluster, "networkProfile.networkPolicy", "cilium"}}},
		{"pods have addresses of their own", "", []sent{{cluster, "networkProfile.networkPlugin", "azure"}, {cluster, "networkProfile.networkPluginMode", "overlay"}}},
		{"the load balancer is AKS's default, which is Standard", "", []sent{{cluster, "networkProfile.loadBalancerSku", nil}}},
		{"nodes have no public addresses", "CKV_AZURE_143", []sent{{cluster, system + "enableNodePublicIP", false}, {apps, "enableNodePublicIP", false}}},
		{"Azure Policy is on", "CKV_AZURE_116 Azure.AKS.AzurePolicyAddOn", []sent{{cluster, "addonProfiles.azurepolicy.enabled", true}}},
		{"who changes what is logged", "Azure.AKS.AuditLogs Azure.AKS.AuditAdmin", []sent{{clusterLogs, "logs", has("kube-audit-admin")}, {clusterLogs, "logs", has("guard")}}},
		{"what the control plane does is logged", "Azure.AKS.PlatformLogs", []sent{
			{clusterLogs, "logs", has("kube-apiserver")}, {clusterLogs, "logs", has("kube-controller-manager")}, {clusterLogs, "logs", has("kube-scheduler")},
			{clusterLogs, "logs", has("cluster-autoscaler")}, {clusterLogs, "metrics", has("AllMetrics")},
		}},
		{"the cluster is monitored", "CKV_AZURE_4 Azure.AKS.ContainerInsights", []sent{{cluster, "addonProfiles.omsagent.enabled", true}}},
		{"Defender watches", "Azure.AKS.DefenderProfile", []sent{{cluster, "securityProfile.defender.securityMonitoring.enabled", true}}},
		{"the cluster is upgraded", "CKV_AZURE_171 Azure.AKS.AutoUpgrade", []sent{{cluster, "autoUpgradeProfile.upgradeChannel", "stable"}}},
		{"the nodes' system is upgraded", "Azure.AKS.NodeAutoUpgrade", []sent{{cluster, "autoUpgradeProfile.nodeOSUpgradeChannel", "NodeImage"}}},
		{"upgrades have their time", "Azure.AKS.MaintenanceWindow", []sent{
			{"cluster-maintenance-upgrades", "maintenanceWindow.durationHours", atLeast(4)}, {"cluster-maintenance-node-os", "maintenanceWindow.durationHours", atLeast(4)},
		}},
		{"the control plane has an SLA", "CKV_AZURE_170 Azure.AKS.UptimeSLA", []sent{{cluster, "sku.tier", "Standard"}}},
		{"nodes are in three zones", "Azure.AKS.AvailabilityZone", []sent{{cluster, system + "availabilityZones[2]", "3"}, {apps, "availabilityZones[2]", "3"}}},
		{"nodes come and go with the load", "Azure.AKS.AutoScaling", []sent{{cluster, system + "enableAutoScaling", true}, {apps, "enableAutoScaling", true}}},
		{"there are three nodes", "Azure.AKS.MinNodeCount Azure.AKS.MinUserPoolNodes", []sent{{cluster, system + "minCount", atLeast(3)}, {apps, "minCount", atLeast(3)}}},
		{"nodes take 50 pods", "CKV_AZURE_168 Azure.AKS.NodeMinPods", []sent{{cluster, system + "maxPods", atLeast(50)}, {apps, "maxPods", atLeast(50)}}},
		{"nodes are in scale sets", "CKV_AZURE_169 Azure.AKS.PoolScaleSet", []sent{{cluster, system + "type", "VirtualMachineScaleSets"}, {apps, "type", "VirtualMachineScaleSets"}}},
		{"the system pool is the system's", "CKV_AZURE_232", []sent{{cluster, system + "nodeTaints", has("CriticalAddonsOnly=true:NoSchedule")}, {apps, "mode", "User"}}},
		{"the nodes' disks hold nothing", "CKV_AZURE_226 Azure.AKS.EphemeralOSDisk", []sent{{cluster, system + "osDiskType", "Ephemeral"}, {apps, "osDiskType", "Ephemeral"}}},
		{"the nodes' hosts encrypt", "CKV_AZURE_227", []sent{{cluster, system + "enableEncryptionAtHost", true}, {apps, "enableEncryptionAtHost", true}}},
		{"unused images are removed", "", []sent{{cluster, "securityProfile.imageCleaner.enabled", true}}},
		{"the cluster has a managed identity", "Azure.AKS.ManagedIdentity", []sent{{cluster, "identity.type", "UserAssigned"}}},
		{"vault and cluster are locked", "", []sent{{"vault-lock", "level", "CanNotDelete"}, {"cluster-lock", "level", "CanNotDelete"}}},
		{"pods of the namespace are restricted", "", []sent{{"api-namespace-keyvault-ns", `metadata.labels["pod-security.kubernetes.io/enforce"]`, "restricted"},
			{"billing-namespace-billing", `metadata.labels["pod-security.kubernetes.io/enforce"]`, "restricted"}}},
	} {
		t.Run(rule.name, func(t *testing.T) {
			for _, s := range rule.sent {
				if err := s.holds(t, e); err != nil {
					t.Errorf("%s: %v", rule.ids, err)
				}
			}
		})
	}
}

func (s sent) holds(t *testing.T, e *mockengine.Engine) error {
	t.Helper()
	at := e.Get(t, s.resource).At(s.path)
	if s.want == nil && at == nil {
		return nil
	}
	if at == nil {
		return fmt.Errorf("%s has nothing at %s", s.resource, s.path)
	}
	if accept, ok := s.want.(accepts); ok {
		if !accept(*at) {
			return fmt.Errorf("%s has %v at %s", s.resource, at, s.path)
		}
		return nil
	}
	if !reflect.DeepEqual(*at, resource.NewPropertyValue(s.want)) {
		return fmt.Errorf("%s has %v at %s, want %v", s.resource, at, s.path, s.want)
	}
	return nil
}

// TestProdHasNoPodOfItsOwn: what runs in production is the workload's.
func TestProdHasNoPodOfItsOwn(t *testing.T) {
	e := runStack(t, "prod", false, nil)
	if _, ok := e.StackOutputs()["readSecretCommand"]; ok {
		t.Error("there is a command for a pod that does not exist")
	}
	for _, one := range e.Resources() {
		if one.Type == "kubernetes:core/v1:Pod" || one.Type == "kubernetes:apps/v1:Deployment" {
			t.Errorf("%s is a %s", one.Name, one.Type)
		}
	}
}

// TestProdIsProtected: neither Pulumi nor Azure deletes by accident what cannot be had back.
func TestProdIsProtected(t *testing.T) {
	e := runStack(t, "prod", false, nil)
	for _, name := range []string{"vault-vault", "vault-secret-my-secret", "vault-key-my-key", "cluster-cluster"} {
		if !e.Get(t, name).RPC.GetProtect() {
			t.Errorf("%s is not protected", name)
		}
	}
}
