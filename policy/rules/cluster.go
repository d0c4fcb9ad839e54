package rules

import (
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

const (
	cluster     = "containerservice:ManagedCluster"
	agentPool   = "containerservice:AgentPool"
	maintenance = "containerservice:MaintenanceConfiguration"
)

// ofCluster returns a rule about the value at a path of a cluster.
func ofCluster(id, title, path string, n need, remedy string, also ...string) Rule {
	return Rule{
		ID: id, Title: title, Remedy: remedy, Also: also, When: Production, Kinds: []string{cluster}, alone: needs(path, n),
	}
}

// ofPools returns a rule about node pools, inline or as separate resources.
func ofPools(id, title string, rule func(property.Map) []string, remedy string, also ...string) Rule {
	return Rule{
		ID: id, Title: title, Remedy: remedy, Also: also, When: Production, Kinds: []string{cluster, agentPool},
		alone: func(one Resource) (problems []string) {
			if Kind(one.Type) == agentPool {
				return rule(one.Properties)
			}
			pools, _ := maps(one.Properties, "agentPoolProfiles")
			for i, pool := range pools {
				for _, problem := range rule(pool) {
					problems = append(problems, fmt.Sprintf("agentPoolProfiles[%d].%s", i, problem))
				}
			}
			return problems
		},
	}
}

func inPool(path string, n need) func(property.Map) []string {
	return func(pool property.Map) []string { return n.unless(pool, path) }
}

var clusterRules = []Rule{
	ofCluster("cluster-secrets-store", "The add-on mounts secrets",
		"addonProfiles.azureKeyvaultSecretsProvider.enabled", yes,
		"Set addonProfiles.azureKeyvaultSecretsProvider.enabled to true", "Azure.AKS.SecretStore"),
	ofCluster("cluster-secrets-rotation", "Mounted secrets are rotated",
		"addonProfiles.azureKeyvaultSecretsProvider.config.enableSecretRotation", yes,
		"Set the add-on's config.enableSecretRotation to \"true\"", "CKV_AZURE_172", "Azure.AKS.SecretStoreRotation"),
	{
		ID: "cluster-workload-identity", When: Production, Kinds: []string{cluster},
		Title:  "Workloads sign in without a credential",
		Remedy: "Set oidcIssuerProfile.enabled and securityProfile.workloadIdentity.enabled to true",
		alone:  each(needs("oidcIssuerProfile.enabled", yes), needs("securityProfile.workloadIdentity.enabled", yes)),
	},
	ofCluster("cluster-rbac", "Kubernetes RBAC is on", "enableRBAC", yes,
		"Set enableRBAC to true", "CKV_AZURE_5", "Azure.AKS.UseRBAC"),
	ofCluster("cluster-entra", "Users sign in with Entra ID", "aadProfile.managed", yes,
		"Set aadProfile.managed to true", "Azure.AKS.ManagedAAD"),
	ofCluster("cluster-azure-rbac", "Azure RBAC authorizes users", "aadProfile.enableAzureRBAC", yes,
		"Set aadProfile.enableAzureRBAC to true", "Azure.AKS.AzureRBAC"),
	ofCluster("cluster-local-accounts", "There are no local accounts", "disableLocalAccounts", yes,
		"Set disableLocalAccounts to true", "CKV_AZURE_141", "Azure.AKS.LocalAccounts"),
	{
		ID: "cluster-api-access", When: Production, Kinds: []string{cluster},
		Also:   []string{"CKV_AZURE_6", "Azure.AKS.AuthorizedIPs"},
		Title:  "Only listed addresses reach the API server",
		Remedy: "List them in apiServerAccessProfile.authorizedIPRanges, or set enablePrivateCluster to true",
		alone: func(one Resource) []string {
			if v, known := get(one.Properties, "apiServerAccessProfile.enablePrivateCluster"); !known || yes.met(v) {
				return nil
			}
			ranges, known := list(one.Properties, "apiServerAccessProfile.authorizedIPRanges")
			for _, r := range ranges {
				if text, _ := asText(r); strings.HasSuffix(text, "/0") {
					return say("apiServerAccessProfile.authorizedIPRanges has everybody's addresses, %s", shown(r))
				}
			}
			if !known {
				return nil
			}
			return given.unless(one.Properties, "apiServerAccessProfile.authorizedIPRanges")
		},
	},
	ofCluster("cluster-run-command", "The run command is disabled", "apiServerAccessProfile.disableRunCommand", yes,
		"Set apiServerAccessProfile.disableRunCommand to true"),
	ofCluster("cluster-network-policy", "Network policies are enforced", "networkProfile.networkPolicy",
		oneOf("azure", "cilium", "calico"),
		"Set networkProfile.networkPolicy; a change replaces the cluster",
		"CKV_AZURE_7", "Azure.AKS.NetworkPolicy"),
	{
		ID: "cluster-cni", When: Production, Kinds: []string{cluster},
		Title:  "Pods have addresses outside the virtual network's range",
		Remedy: "Set networkProfile.networkPlugin to azure and networkPluginMode to overlay",
		alone: each(needs("networkProfile.networkPlugin", oneOf("azure")),
			needs("networkProfile.networkPluginMode", oneOf("overlay"))),
	},
	ofCluster("cluster-load-balancer", "The load balancer is Standard", "networkProfile.loadBalancerSku",
		oneOf("standard", ""), "Omit networkProfile.loadBalancerSku, or set it to Standard", "Azure.AKS.StandardLB"),
	ofCluster("cluster-policy-addon", "The Azure Policy add-on is on", "addonProfiles.azurepolicy.enabled", yes,
		"Set addonProfiles.azurepolicy.enabled to true", "CKV_AZURE_116", "Azure.AKS.AzurePolicyAddOn"),
	{
		ID: "cluster-audit-logs", When: Production, Kinds: []string{cluster},
		Also:   []string{"Azure.AKS.AuditLogs", "Azure.AKS.AuditAdmin"},
		Title:  "Changes to objects and sign-ins are logged",
		Remedy: "Give it a DiagnosticSetting with the categories kube-audit-admin (or kube-audit) and guard, and a workspace",
		among:  withoutLogs("resourceName", []string{"kube-audit-admin|kube-audit", "guard"}),
	},
	{
		ID: "cluster-platform-logs", When: Production, Kinds: []string{cluster},
		Also:  []string{"Azure.AKS.PlatformLogs"},
		Title: "The control plane's logs and metrics are collected",
		Remedy: "Give it a DiagnosticSetting with the categories kube-apiserver, kube-controller-manager, " +
			"kube-scheduler and cluster-autoscaler, the metrics AllMetrics, and a workspace",
		among: withoutLogs("resourceName",
			[]string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "cluster-autoscaler", "AllMetrics"}),
	},
	ofCluster("cluster-monitoring", "The cluster is monitored", "addonProfiles.omsagent.enabled", yes,
		"Set addonProfiles.omsagent.enabled to true and give it a workspace", "CKV_AZURE_4", "Azure.AKS.ContainerInsights"),
	ofCluster("cluster-defender", "Defender is on", "securityProfile.defender.securityMonitoring.enabled", yes,
		"Set securityProfile.defender.securityMonitoring.enabled to true and give it a workspace",
		"Azure.AKS.DefenderProfile"),
	ofCluster("cluster-upgrades", "AKS upgrades the cluster", "autoUpgradeProfile.upgradeChannel",
		oneOf("patch", "stable", "rapid", "node-image"),
		"Set autoUpgradeProfile.upgradeChannel to stable", "CKV_AZURE_171", "Azure.AKS.AutoUpgrade"),
	ofCluster("cluster-node-upgrades", "AKS upgrades the nodes' operating system",
		"autoUpgradeProfile.nodeOSUpgradeChannel", oneOf("NodeImage", "SecurityPatch"),
		"Set autoUpgradeProfile.nodeOSUpgradeChannel to NodeImage or SecurityPatch", "Azure.AKS.NodeAutoUpgrade"),
	{
		ID: "cluster-maintenance", When: Production, Kinds: []string{cluster},
		Also:  []string{"Azure.AKS.MaintenanceWindow"},
		Title: "Upgrades have maintenance windows",
		Remedy: "Give it a MaintenanceConfiguration called aksManagedAutoUpgradeSchedule and one called " +
			"aksManagedNodeOSUpgradeSchedule",
		among: func(one Resource, stack Stack) (problems []string) {
			for _, name := range []string{"aksManagedAutoUpgradeSchedule", "aksManagedNodeOSUpgradeSchedule"} {
				found := false
				for _, window := range stack.of(maintenance) {
					v, known := get(window.Properties, "configName")
					found = found || (!known || oneOf(name).met(v)) && stack.isAbout(window, "resourceName", one, "resourceName")
				}
				if !found {
					problems = append(problems, name+" is not in the stack")
				}
			}
			return problems
		},
	},
	ofCluster("cluster-sla", "The control plane has an SLA", "sku.tier", oneOf("Standard", "Premium"),
		"Set sku.tier to Standard", "CKV_AZURE_170", "Azure.AKS.UptimeSLA"),
	ofCluster("cluster-image-cleaner", "Unused images are removed", "securityProfile.imageCleaner.enabled", yes,
		"Set securityProfile.imageCleaner.enabled to true"),
	ofCluster("cluster-managed-identity", "The cluster has a managed identity", "identity.type",
		oneOf("UserAssigned", "SystemAssigned"),
		"Set identity.type to UserAssigned, and omit servicePrincipalProfile", "Azure.AKS.ManagedIdentity"),
	ofPools("pool-public-addresses", "Nodes have no public addresses", inPool("enableNodePublicIP", not(true)),
		"Omit enableNodePublicIP, or set it to false", "CKV_AZURE_143"),
	ofPools("pool-zones", "Nodes are in three zones", func(pool property.Map) []string {
		zones, known := list(pool, "availabilityZones")
		if !known || len(zones) >= 3 {
			return nil
		}
		return say("availabilityZones has %d zones, not 3", len(zones))
	}, "Set availabilityZones to 1, 2 and 3; a change replaces the pool", "Azure.AKS.AvailabilityZone"),
	ofPools("pool-autoscaling", "The number of nodes follows the load", inPool("enableAutoScaling", yes),
		"Set enableAutoScaling to true, and minCount and maxCount", "Azure.AKS.AutoScaling"),
	ofPools("pool-nodes", "There are at least three nodes", func(pool property.Map) []string {
		if v, known := get(pool, "enableAutoScaling"); !known || yes.met(v) {
			return atLeast(3).unless(pool, "minCount")
		}
		return atLeast(3).unless(pool, "count")
	}, "Set minCount, or count without autoscaling, to 3 or more", "Azure.AKS.MinNodeCount", "Azure.AKS.MinUserPoolNodes"),
	ofPools("pool-pods", "Nodes allow at least 50 pods", inPool("maxPods", atLeast(50)),
		"Set maxPods to 50 or more; a change replaces the pool", "CKV_AZURE_168", "Azure.AKS.NodeMinPods"),
	ofPools("pool-scale-sets", "Nodes are in scale sets", inPool("type", oneOf("VirtualMachineScaleSets")),
		"Set type to VirtualMachineScaleSets", "CKV_AZURE_169", "Azure.AKS.PoolScaleSet"),
	ofPools("pool-system", "System pools run system pods only", func(pool property.Map) []string {
		mode, known := get(pool, "mode")
		taints, all := list(pool, "nodeTaints")
		if !known || !oneOf("System").met(mode) || !all {
			return nil
		}
		for _, taint := range taints {
			if oneOf("CriticalAddonsOnly=true:NoSchedule").met(taint) {
				return nil
			}
		}
		return say("nodeTaints lacks CriticalAddonsOnly=true:NoSchedule")
	}, "Add the taint, and a pool of mode User for workloads", "CKV_AZURE_232"),
	ofPools("pool-ephemeral-disks", "Nodes have ephemeral disks", inPool("osDiskType", oneOf("Ephemeral")),
		"Set osDiskType to Ephemeral, with a VM size that has a disk for it", "CKV_AZURE_226", "Azure.AKS.EphemeralOSDisk"),
	ofPools("pool-host-encryption", "Hosts encrypt the nodes' disks", inPool("enableEncryptionAtHost", yes),
		"Set enableEncryptionAtHost to true, in a subscription with the feature EncryptionAtHost", "CKV_AZURE_227"),
}

var otherRules = []Rule{
	{
		ID: "locked", When: Production, Kinds: []string{vault, cluster},
		Title:  "Vaults and clusters are locked",
		Remedy: "Add a ManagementLockByScope of level CanNotDelete",
		among:  locked,
	},
	{
		ID: "protected", When: Production, Kinds: []string{vault, vaultSecret, vaultKey, cluster},
		Title:  "Pulumi protects vaults, secrets, keys and clusters",
		Remedy: "Set the resource option protect",
		alone:  protected,
	},
	{
		ID: "namespace-pod-security", When: Production, Kinds: []string{"core:Namespace"},
		Title:  "Namespaces enforce the restricted Pod Security Standard",
		Remedy: "Label the namespace pod-security.kubernetes.io/enforce: restricted",
		alone: func(one Resource) []string {
			v, known := getKeys(one.Properties, "metadata", "labels", "pod-security.kubernetes.io/enforce")
			if !known || oneOf("restricted").met(v) {
				return nil
			}
			return say("the label pod-security.kubernetes.io/enforce is %s, not restricted", shown(v))
		},
	},
	{
		ID: "bare-pod", When: Production, Kinds: []string{"core:Pod"},
		Title:  "Pods come from controllers",
		Remedy: "Use a Deployment or a similar controller: nothing replaces a bare pod",
		alone:  func(one Resource) []string { return say("%s is a bare pod", one.Name) },
	},
}
