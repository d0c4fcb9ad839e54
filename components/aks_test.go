package components_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

func aksArgs() *components.AksWithCsiArgs {
	return &components.AksWithCsiArgs{ResourceGroupName: pulumi.String("group"), ClusterName: "aks"}
}

func TestAksWithCsi_HasWhatMountsNeed(t *testing.T) {
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

func TestAksWithCsi_PassesArguments(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := components.NewAksWithCsi(ctx, "cluster", &components.AksWithCsiArgs{
			ResourceGroupName: pulumi.String("group"), Location: pulumi.String("westeurope"),
			DNSPrefix: "prefix", KubernetesVersion: "1.34", RotationPollInterval: "30s",
			SystemPool: &components.NodePoolArgs{Count: 3, VMSize: "Standard_D4s_v5"},
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

func TestKubeconfig_IsSecretAndDecoded(t *testing.T) {
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
	// Changes exactly when the cluster is replaced.
	wantInputs(t, provider, map[string]any{"clusterIdentifier": mockengine.IssuerURL})
}

func TestAksWithCsi_OutputsAreUnknownInFirstPreview(t *testing.T) {
	for _, dryRun := range []bool{false, true} {
		run(t, &mockengine.Engine{DryRun: dryRun}, func(ctx *pulumi.Context) error {
			c, err := components.NewAksWithCsi(ctx, "cluster", aksArgs())
			if err != nil {
				return err
			}
			for name, output := range map[string]pulumi.Output{
				"ClusterID": c.ClusterID, "ClusterName": c.ClusterName, "IssuerURL": c.IssuerURL, "Kubeconfig": c.Kubeconfig,
				"FQDN": c.FQDN, "NodeResourceGroup": c.NodeResourceGroup, "KubeletIdentityID": c.KubeletIdentityID,
				"KubeletClientID": c.KubeletClientID, "KubeletPrincipalID": c.KubeletPrincipalID, "OutboundIPs": c.OutboundIPs,
			} {
				if got := mockengine.Await(t, ctx, output); got.Known == dryRun {
					t.Errorf("dry run %t: %s known: %t", dryRun, name, got.Known)
				}
			}
			return nil
		})
	}
}

func TestAksWithCsi_Validates(t *testing.T) {
	type args = components.AksWithCsiArgs
	testRules(t, aksArgs, (*args).Validate, []rule[args]{
		{"a name's characters", "clusterName", func(a *args) { a.ClusterName, a.DNSPrefix = "my.cluster", "aks" }},
		{"a name's end", "clusterName", func(a *args) { a.ClusterName, a.DNSPrefix = "aks-", "aks" }},
		{"a name's length", "clusterName", func(a *args) { a.ClusterName, a.DNSPrefix = strings.Repeat("a", 64), "aks" }},
		{"a DNS prefix from a name with underscore", "dnsPrefix", func(a *args) { a.ClusterName = "my_cluster" }},
		{"a DNS prefix from a long name", "dnsPrefix", func(a *args) { a.ClusterName = strings.Repeat("a", 55) }},
		{"a DNS prefix's characters", "dnsPrefix", func(a *args) { a.DNSPrefix = "-aks" }},
		{"a version", "kubernetesVersion", func(a *args) { a.KubernetesVersion = "v1.34" }},
		{"a version of a channel that chooses it", "kubernetesVersion", func(a *args) {
			a.KubernetesVersion, a.UpgradeChannel = "1.34", "stable"
		}},
		{"a patch of a channel that chooses it", "kubernetesVersion", func(a *args) {
			a.KubernetesVersion, a.UpgradeChannel = "1.34.1", "patch"
		}},
		{"a node group's length", "nodeResourceGroup", func(a *args) { a.NodeResourceGroup = strings.Repeat("g", 81) }},
		{"a node group's characters", "nodeResourceGroup", func(a *args) { a.NodeResourceGroup = "my group" }},
		{"a node group's end", "nodeResourceGroup", func(a *args) { a.NodeResourceGroup = "nodes." }},
		{"a tier", "tier", func(a *args) { a.Tier = "standard" }},
		{"a channel", "upgradeChannel", func(a *args) { a.UpgradeChannel = "Stable" }},
		{"a node OS channel", "nodeOsUpgradeChannel", func(a *args) { a.NodeOSUpgradeChannel = "nodeImage" }},
		{"a node OS channel beside node-image", "nodeOsUpgradeChannel", func(a *args) {
			a.UpgradeChannel, a.NodeOSUpgradeChannel = "node-image", "SecurityPatch"
		}},
		{"no local accounts, and no others", "disableLocalAccounts", func(a *args) { a.DisableLocalAccounts = true }},
		{"an admin group's name", "entra.adminGroupIds[1]", func(a *args) {
			a.Entra = &components.EntraArgs{
				AdminGroupIDs: pulumi.ToStringArray([]string{"44444444-4444-4444-4444-444444444444", "admins"}),
			}
		}},
		{"a login that asks somebody", "entra.login", func(a *args) { a.Entra = &components.EntraArgs{Login: "devicecode"} }},
		{"cleaning too often", "imageCleanerHours", func(a *args) { a.ImageCleanerHours = 23 }},
		{"cleaning too seldom", "imageCleanerHours", func(a *args) { a.ImageCleanerHours = 2161 }},
		{"an interval without unit", "rotationPollInterval", func(a *args) { a.RotationPollInterval = "120" }},
		{"a short interval", "rotationPollInterval", func(a *args) { a.RotationPollInterval = "10ms" }},
	})
}

func TestAksWithCsi_RegistersNothingIfInvalid(t *testing.T) {
	wantRefused(t, func(ctx *pulumi.Context) error {
		_, err := components.NewAksWithCsi(ctx, "my_cluster",
			&components.AksWithCsiArgs{SystemPool: &components.NodePoolArgs{Count: -1}})
		return err
	}, "systemPool.count", "resourceGroupName", "dnsPrefix")
}

func TestInputs_RejectIncompleteCombinations(t *testing.T) {
	subnets := func(names ...string) map[string]pulumi.StringInput {
		ids := map[string]pulumi.StringInput{}
		for _, name := range names {
			ids[name] = pulumi.String(nodeSubnet + name)
		}
		return ids
	}
	for name, test := range map[string]struct {
		path   string
		late   bool // what is missing is an Input, which only the constructor needs
		change func(*components.AksWithCsiArgs)
	}{
		"a zone of others": {"identityId", true, func(a *components.AksWithCsiArgs) {
			a.APIServer = &components.APIServerArgs{Private: true, PrivateDNSZone: pulumi.String(dnsZone)}
		}},
		"a zone that may be of others": {"identityId", true, func(a *components.AksWithCsiArgs) {
			a.APIServer = &components.APIServerArgs{Private: true, PrivateDNSZone: pulumi.String("none").ToStringOutput()}
		}},
		"containers' logs to nowhere": {"logAnalyticsWorkspaceId", true, func(a *components.AksWithCsiArgs) {
			a.ContainerInsights = true
		}},
		"findings to nowhere": {"logAnalyticsWorkspaceId", true, func(a *components.AksWithCsiArgs) { a.Defender = true }},
		"a subnet without id": {"subnets.nodes", true, func(a *components.AksWithCsiArgs) {
			a.Subnets = map[string]pulumi.StringInput{"nodes": nil}
		}},
		"routes of no subnet": {"outboundType", false, func(a *components.AksWithCsiArgs) {
			a.OutboundType = components.OutboundUserDefinedRouting
		}},
		"a gateway of no subnet": {"outboundType", false, func(a *components.AksWithCsiArgs) {
			a.OutboundType = components.OutboundUserAssignedNATGateway
		}},
		"AKS' gateway for subnets": {"outboundType", false, func(a *components.AksWithCsiArgs) {
			a.OutboundType, a.Subnets = "managedNATGateway", subnets("nodes")
		}},
		"a system pool outside of the network": {"systemPool.subnet", false, func(a *components.AksWithCsiArgs) {
			a.Subnets, a.NodePools = subnets("nodes", "apps"), []components.NodePoolArgs{{Name: "apps", Subnet: "apps"}}
		}},
		"a pool outside of the network": {"nodePools[0].subnet", false, func(a *components.AksWithCsiArgs) {
			a.Subnets, a.SystemPool = subnets("nodes", "apps"), &components.NodePoolArgs{Subnet: "nodes"}
			a.NodePools = []components.NodePoolArgs{{Name: "apps"}}
		}},
		"a pool in a subnet that is not there": {"nodePools[0].subnet", false, func(a *components.AksWithCsiArgs) {
			a.Subnets, a.NodePools = subnets("nodes"), []components.NodePoolArgs{{Name: "apps", Subnet: "node"}}
		}},
		"a pool in a subnet where there is none": {"nodePools[0].subnet", false, func(a *components.AksWithCsiArgs) {
			a.NodePools = []components.NodePoolArgs{{Name: "apps", Subnet: "nodes"}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			args := aksArgs()
			test.change(args)
			if test.late {
				wantViolations(t, args.Validate())
			} else {
				wantViolations(t, args.Validate(), test.path)
			}
			wantRefused(t, func(ctx *pulumi.Context) error {
				_, err := components.NewAksWithCsi(ctx, "cluster", args)
				return err
			}, test.path)
		})
	}
}

// productionArgs returns all arguments that make a cluster safe.
func productionArgs() *components.AksWithCsiArgs {
	args := aksArgs()
	args.Tier, args.UpgradeChannel, args.NodeOSUpgradeChannel = "Standard", "stable", "SecurityPatch"
	args.Maintenance = &components.MaintenanceArgs{
		Upgrades: &components.MaintenanceWindowArgs{
			Weekday: "Saturday", IntervalWeeks: 2, StartTime: "22:30", UTCOffset: "+05:30", DurationHours: 8,
		},
		NodeOS: &components.MaintenanceWindowArgs{Weekday: "Sunday"},
	}
	args.Entra = &components.EntraArgs{
		AdminGroupIDs: pulumi.ToStringArray([]string{"44444444-4444-4444-4444-444444444444"}),
		TenantID:      pulumi.String(mockengine.TenantID), Login: "spn",
	}
	args.DisableLocalAccounts = true
	args.APIServer = &components.APIServerArgs{
		AuthorizedIPRanges: pulumi.ToStringArray([]string{"203.0.113.0/24"}), DisableRunCommand: true,
	}
	args.NetworkPolicy, args.OutboundType, args.ServiceCIDR = "cilium", "loadBalancer", "10.1.0.0/16"
	args.AzurePolicy, args.ContainerInsights, args.Defender, args.ImageCleanerHours = true, true, true, 48
	args.LogAnalyticsWorkspaceID = pulumi.String(workspaceID)
	args.DiskEncryptionSetID = pulumi.String(encryptionSet)
	args.Lock, args.Protect, args.NodeResourceGroup = true, true, "nodes"
	return args
}

// entraAnswers returns Azure's answers for a cluster with Entra ID.
func entraAnswers() map[string]map[string]any {
	const kubeconfig = "users:\n- name: u\n  user:\n    exec: {command: kubelogin, args: [get-token, --login, " +
		"devicecode]}\n"
	return map[string]map[string]any{credentialsFunction: {"kubeconfigs": []any{map[string]any{
		"name": "clusterUser", "value": base64.StdEncoding.EncodeToString([]byte(kubeconfig)),
	}}}}
}

const (
	credentialsFunction = "azure-native:containerservice/v20240901:listManagedClusterUserCredentials"
	lookupFunction      = "azure-native:containerservice/v20240901:getManagedCluster"
)

func runProduction(t *testing.T) *mockengine.Engine {
	t.Helper()
	e := &mockengine.Engine{Answers: entraAnswers()}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := components.NewAksWithCsi(ctx, "cluster", productionArgs())
		return err
	})
	return e
}

func TestAksWithCsi_SendsSafeguards(t *testing.T) {
	e := runProduction(t)
	cluster := e.Get(t, "cluster-cluster")
	wantInputs(t, cluster, map[string]any{
		"sku.name": "Base", "sku.tier": "Standard", "supportPlan": "KubernetesOfficial",
		"autoUpgradeProfile.upgradeChannel":       "stable",
		"autoUpgradeProfile.nodeOSUpgradeChannel": "SecurityPatch",
		"enableRBAC":                                                    true,
		"aadProfile.managed":                                            true,
		"aadProfile.enableAzureRBAC":                                    true,
		"aadProfile.adminGroupObjectIDs[0]":                             "44444444-4444-4444-4444-444444444444",
		"aadProfile.tenantID":                                           mockengine.TenantID,
		"disableLocalAccounts":                                          true,
		"apiServerAccessProfile.authorizedIPRanges[0]":                  "203.0.113.0/24",
		"apiServerAccessProfile.disableRunCommand":                      true,
		"apiServerAccessProfile.enablePrivateCluster":                   false,
		"networkProfile.networkPlugin":                                  "azure",
		"networkProfile.networkPluginMode":                              "overlay",
		"networkProfile.networkPolicy":                                  "cilium",
		"networkProfile.networkDataplane":                               "cilium",
		"networkProfile.outboundType":                                   "loadBalancer",
		"networkProfile.serviceCidr":                                    "10.1.0.0/16",
		"networkProfile.dnsServiceIP":                                   "10.1.0.10",
		"addonProfiles.azurepolicy.enabled":                             true,
		"addonProfiles.omsagent.enabled":                                true,
		"addonProfiles.omsagent.config.useAADAuth":                      "true",
		"addonProfiles.omsagent.config.logAnalyticsWorkspaceResourceID": workspaceID,
		"addonProfiles.azureKeyvaultSecretsProvider.enabled":            true,
		"securityProfile.workloadIdentity.enabled":                      true,
		"securityProfile.defender.securityMonitoring.enabled":           true,
		"securityProfile.defender.logAnalyticsWorkspaceResourceId":      workspaceID,
		"securityProfile.imageCleaner.enabled":                          true,
		"securityProfile.imageCleaner.intervalHours":                    48.0,
		"diskEncryptionSetID":                                           encryptionSet,
		"nodeResourceGroup":                                             "nodes",
	})
	if !cluster.RPC.GetProtect() {
		t.Error("the cluster is not protected")
	}
	diagnostics, lock := e.Get(t, "cluster-diagnostics"), e.Get(t, "cluster-lock")
	id := mockengine.Group + "/providers/Microsoft.ContainerService/managedClusters/aks"
	wantInputs(t, diagnostics, map[string]any{
		"resourceUri": id, "workspaceId": workspaceID,
		"metrics[0].category": "AllMetrics", "metrics[0].enabled": true,
	})
	for i, category := range []string{
		"kube-audit-admin", "guard", "cluster-autoscaler", "kube-apiserver", "kube-controller-manager", "kube-scheduler",
	} {
		wantInputs(t, diagnostics, map[string]any{
			fmt.Sprintf("logs[%d].category", i): category, fmt.Sprintf("logs[%d].enabled", i): true,
		})
	}
	wantInputs(t, lock, map[string]any{"scope": id, "level": "CanNotDelete"})
	if !lock.WaitsFor(diagnostics) {
		t.Error("the lock would keep the diagnostics from being deleted")
	}
}

// AKS keeps the previous value of whatever a body omits.
func TestAksWithCsi_DisablesOmittedSafeguards(t *testing.T) {
	e := runCluster(t, func(*components.AksWithCsiArgs) {})
	cluster := e.Get(t, "cluster-cluster")
	wantInputs(t, cluster, map[string]any{
		"aadProfile":          nil,
		"diskEncryptionSetID": nil,
		"nodeResourceGroup":   nil,
		// A change of the network would replace clusters of earlier versions.
		"networkProfile": map[string]any{
			"networkPlugin": "azure", "networkPluginMode": "overlay", "outboundType": "loadBalancer", "podCidr": "10.244.0.0/16",
			"serviceCidr": "10.0.0.0/16", "dnsServiceIP": "10.0.0.10",
		},
		"sku.tier":           "Free",
		"supportPlan":        "KubernetesOfficial",
		"autoUpgradeProfile": map[string]any{"upgradeChannel": "none", "nodeOSUpgradeChannel": "NodeImage"},
		"apiServerAccessProfile.authorizedIPRanges":   []any{},
		"apiServerAccessProfile.disableRunCommand":    false,
		"apiServerAccessProfile.enablePrivateCluster": false,
		"apiServerAccessProfile.privateDNSZone":       nil,
		"addonProfiles.azurepolicy":                   map[string]any{"enabled": false},
		"addonProfiles.omsagent":                      map[string]any{"enabled": false},
		"securityProfile.defender":                    map[string]any{"securityMonitoring": map[string]any{"enabled": false}},
		"securityProfile.imageCleaner":                map[string]any{"enabled": false},
		"disableLocalAccounts":                        false,
		"agentPoolProfiles[0].enableNodePublicIP":     false,
		"agentPoolProfiles[0].name":                   "system",
	})
	if cluster.RPC.GetProtect() || len(e.Resources()) != 3 {
		t.Errorf("protected: %t, %d resources", cluster.RPC.GetProtect(), len(e.Resources()))
	}
}

func TestProtect_OfComponentCoversCluster(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := components.NewAksWithCsi(ctx, "cluster", aksArgs(), pulumi.Protect(true))
		return err
	})
	if cluster := e.Get(t, "cluster-cluster"); !cluster.RPC.GetProtect() {
		t.Error("the option does not reach the cluster")
	}
}

func TestDefaultNodeResourceGroup_JoinsNames(t *testing.T) {
	if got := components.DefaultNodeResourceGroup("group", "aks", "eastus"); got != "MC_group_aks_eastus" {
		t.Error(got)
	}
}

func TestAksWithCsi_DeletesBeforeReplaceWithNodeResourceGroup(t *testing.T) {
	for _, group := range []string{"", "nodes"} {
		e := runCluster(t, func(args *components.AksWithCsiArgs) { args.NodeResourceGroup = group })
		if got := e.Get(t, "cluster-cluster").RPC.GetDeleteBeforeReplace(); got != (group != "") {
			t.Errorf("with the group %q it is deleted before it is replaced: %t", group, got)
		}
	}
}

func TestTier_PremiumEnablesLongTermSupport(t *testing.T) {
	e := runCluster(t, func(args *components.AksWithCsiArgs) { args.Tier = "Premium" })
	wantInputs(t, e.Get(t, "cluster-cluster"), map[string]any{"sku.tier": "Premium", "supportPlan": "AKSLongTermSupport"})
}

func TestEntra_KubeconfigUsesKubeloginAndIsSecret(t *testing.T) {
	e := runProduction(t)
	kubeconfig := e.Get(t, "cluster-kubernetes").At("kubeconfig")
	if kubeconfig == nil || !kubeconfig.IsSecret() {
		t.Fatal("the provider's kubeconfig is not a secret")
	}
	text := kubeconfig.SecretValue().Element.StringValue()
	if !strings.Contains(text, "spn") || !strings.Contains(text, mockengine.TenantID) ||
		strings.Contains(text, "devicecode") {
		t.Error("the provider does not sign in with the login that was asked for")
	}
	if found := e.Plaintext("kubelogin"); len(found) > 0 {
		t.Errorf("the kubeconfig is in the clear in %v", found)
	}
	for _, call := range e.Invoked() {
		if call.Token == credentialsFunction && call.Args["format"].StringValue() != "exec" {
			t.Errorf("Azure is asked for %v, want the kubeconfig for kubelogin", call.Args)
		}
	}
}

func TestKubeconfig_WaitsForAllPools(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		args := pooledArgs()
		args.SystemPool.CriticalAddonsOnly = true
		c, err := components.NewAksWithCsi(ctx, "cluster", args)
		if err != nil {
			return err
		}
		waitsForPool := func(o pulumi.Output) bool {
			return slices.Contains(resourceNames(mockengine.Await(t, ctx, o).Dependencies), "cluster-pool-apps")
		}
		if !waitsForPool(c.Kubeconfig) || !mockengine.Await(t, ctx, c.Kubeconfig).Secret {
			t.Error("the kubeconfig does not wait for the pool, or is no secret then")
		}
		if waitsForPool(c.IssuerURL) || waitsForPool(c.ClusterID) {
			t.Error("what needs no nodes waits for them")
		}
		return nil
	})
}

func TestAksWithCsi_TwoDoNotCollide(t *testing.T) {
	e := &mockengine.Engine{Answers: entraAnswers()}
	count := 0
	run(t, e, func(ctx *pulumi.Context) error {
		for _, name := range []string{"one", "two"} {
			args := productionArgs()
			args.Subnets = map[string]pulumi.StringInput{"nodes": pulumi.String(nodeSubnet)}
			args.NodePools = []components.NodePoolArgs{{Name: "apps"}}
			if _, err := components.NewAksWithCsi(ctx, name, args); err != nil {
				return err
			}
			count += 13 // component, identity, two roles, cluster, pool, two windows, rule, association, diagnostics, lock, provider
		}
		return nil
	})
	wantDistinct(t, e, count)
}

func TestAksWithCsi_KeepsArguments(t *testing.T) {
	args := pooledArgs()
	args.SystemPool = &components.NodePoolArgs{CriticalAddonsOnly: true, Taints: make([]string, 0, 4)}
	run(t, &mockengine.Engine{}, func(ctx *pulumi.Context) error {
		_, err := components.NewAksWithCsi(ctx, "cluster", args)
		return err
	})
	if args.SystemPool.Name != "" || args.SystemPool.Taints[:1][0] != "" || args.NodePools[0].Count != 0 {
		t.Error("the arguments were changed")
	}
}

func TestAksWithCsi_PreviewsWithUnknownInputs(t *testing.T) {
	e := &mockengine.Engine{DryRun: true}
	run(t, e, func(ctx *pulumi.Context) error {
		other, err := components.NewAksWithCsi(ctx, "other", aksArgs()) // for an output that is unknown
		if err != nil {
			return err
		}
		args := productionArgs()
		args.ResourceGroupName, args.LogAnalyticsWorkspaceID, args.DiskEncryptionSetID = other.ClusterID, other.ClusterID, other.ClusterID
		args.Entra.TenantID = other.ClusterID
		args.Subnets = map[string]pulumi.StringInput{"nodes": other.ClusterID, "apps": other.ClusterName}
		args.SystemPool = &components.NodePoolArgs{Subnet: "nodes"}
		args.NodePools = []components.NodePoolArgs{{Name: "apps", Subnet: "apps"}}
		_, err = components.NewAksWithCsi(ctx, "cluster", args)
		return err
	})
	if calls := e.Invoked(); len(calls) > 0 {
		t.Errorf("%s is called", calls[0].Token)
	}
	kubeconfig := e.Get(t, "cluster-kubernetes").At("kubeconfig")
	if kubeconfig == nil || !kubeconfig.ContainsUnknowns() || !kubeconfig.ContainsSecrets() {
		t.Errorf("the provider's kubeconfig is %v, want an unknown secret", kubeconfig)
	}
	wantInputs(t, e.Get(t, "cluster-cluster"),
		map[string]any{"disableLocalAccounts": true, "networkProfile.networkPolicy": "cilium"})
}

func TestContainerInsights_CreatesDataCollectionRule(t *testing.T) {
	e := runProduction(t)
	rule, association := e.Get(t, "cluster-insights"), e.Get(t, "cluster-insights-association")
	wantInputs(t, rule, map[string]any{
		"kind": "Linux",
		"dataSources.extensions[0].extensionName":          "ContainerInsights",
		"destinations.logAnalytics[0].workspaceResourceId": workspaceID,
		"dataFlows[0].streams":                             []any{"Microsoft-ContainerInsights-Group-Default"},
		"dataFlows[0].destinations[0]":                     "workspace",
		"destinations.logAnalytics[0].name":                "workspace",
	})
	wantInputs(t, association, map[string]any{
		"dataCollectionRuleId": "cluster-insights-id",
		"resourceUri":          mockengine.Group + "/providers/Microsoft.ContainerService/managedClusters/aks",
	})
	if lock := e.Get(t, "cluster-lock"); !lock.WaitsFor(association) || !lock.WaitsFor(rule) {
		t.Error("Azure would refuse to delete the rule and its association, since their lock is deleted after them")
	}
}
