package components_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

const deployed = "properties.template.resources[0]."

func TestSystemPool_IsUpgradedBeforeOtherPools(t *testing.T) {
	e := runCluster(t, func(args *components.AksWithCsiArgs) {
		args.KubernetesVersion = "1.34"
		args.Tags = pulumi.StringMap{"odd": pulumi.String("[one]"), "even": pulumi.String("[two")}
		args.SystemPool = &components.NodePoolArgs{MinCount: 1, MaxCount: 3, Zones: []string{"1"}}
		args.NodePools = []components.NodePoolArgs{{Name: "apps"}}
	})
	upgrade := e.Get(t, "cluster-system-version")
	wantInputs(t, upgrade, map[string]any{
		"resourceGroupName": "group", "properties.mode": "Incremental",
		deployed + "type": "Microsoft.ContainerService/managedClusters/agentPools",
		deployed + "name": "aks/system",
		deployed + "properties.orchestratorVersion":     "1.34",
		deployed + "properties.mode":                    "System",
		deployed + "properties.vmSize":                  "Standard_D2s_v5",
		deployed + "properties.enableAutoScaling":       true,
		deployed + "properties.availabilityZones[0]":    "1",
		deployed + "properties.count":                   nil, // the autoscaler's
		deployed + "properties.name":                    nil,
		deployed + "properties.tags":                    map[string]any{"odd": "[[one]", "even": "[two"},
		deployed + "properties.enableNodePublicIP":      false,
		deployed + "properties.scaleSetEvictionPolicy":  nil,
		"properties.template.resources[1]":              nil,
		"properties.template.contentVersion":            "1.0.0.0",
		deployed + "apiVersion":                         "2024-09-01",
		deployed + "properties.enableEncryptionAtHost":  false,
		deployed + "properties.currentOrchestratorName": nil,
	})
	if !upgrade.WaitsFor(e.Get(t, "cluster-cluster")) || !e.Get(t, "cluster-pool-apps").WaitsFor(upgrade) {
		t.Error("the system pool is not between the control plane and the other pools")
	}
	if !e.Get(t, "cluster-kubernetes").WaitsFor(upgrade) {
		t.Error("workloads do not wait for it")
	}
	if !slices.Equal(upgrade.RPC.GetIgnoreChanges(), []string{"properties"}) ||
		upgrade.RPC.GetReplacementTrigger() == nil {
		t.Error("it is deployed for other changes than that of the version")
	}
	count := runCluster(t, func(args *components.AksWithCsiArgs) {
		args.KubernetesVersion, args.SystemPool = "1.34", &components.NodePoolArgs{Count: 4}
	})
	wantInputs(t, count.Get(t, "cluster-system-version"), map[string]any{deployed + "properties.count": 4.0})
	for _, one := range runCluster(t, func(*components.AksWithCsiArgs) {}).Resources() {
		if strings.HasSuffix(one.Type, ":Deployment") {
			t.Errorf("%s without a version", one.Name)
		}
	}
}

func TestOutbound_IsDeployedSeparately(t *testing.T) {
	const prefix = netSubscription + "/resourceGroups/net/providers/Microsoft.Network/publicIPPrefixes/out"
	ip := strings.Replace(prefix, "Prefixes", "Addresses", 1)
	network := deployed + "properties.networkProfile."
	for name, test := range map[string]struct {
		change func(*components.AksWithCsiArgs)
		want   map[string]any
	}{
		"addresses that AKS makes": {func(args *components.AksWithCsiArgs) {
			args.Outbound = &components.OutboundArgs{ManagedIPs: 3, AllocatedPorts: 1024, IdleTimeoutMinutes: 10}
		}, map[string]any{"loadBalancerProfile": map[string]any{
			"managedOutboundIPs": map[string]any{"count": 3.0}, "allocatedOutboundPorts": 1024.0, "idleTimeoutInMinutes": 10.0,
		}}},
		"own addresses": {func(args *components.AksWithCsiArgs) {
			args.Outbound = &components.OutboundArgs{IPIDs: pulumi.StringArray{pulumi.String(ip)}}
		}, map[string]any{"loadBalancerProfile": map[string]any{
			"outboundIPs":            map[string]any{"publicIPs": []any{map[string]any{"id": ip}}},
			"allocatedOutboundPorts": 0.0, "idleTimeoutInMinutes": 30.0,
		}}},
		"own prefixes": {func(args *components.AksWithCsiArgs) {
			args.Outbound = &components.OutboundArgs{IPPrefixIDs: pulumi.StringArray{pulumi.String(prefix)}}
		}, map[string]any{"loadBalancerProfile": map[string]any{
			"outboundIPPrefixes":     map[string]any{"publicIPPrefixes": []any{map[string]any{"id": prefix}}},
			"allocatedOutboundPorts": 0.0, "idleTimeoutInMinutes": 30.0,
		}}},
		"a gateway": {func(args *components.AksWithCsiArgs) {
			args.OutboundType = components.OutboundManagedNATGateway
			args.Outbound = &components.OutboundArgs{ManagedIPs: 2}
		}, map[string]any{"loadBalancerProfile": nil, "natGatewayProfile": map[string]any{
			"managedOutboundIPProfile": map[string]any{"count": 2.0}, "idleTimeoutInMinutes": 4.0,
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			e := runCluster(t, test.change)
			outbound, cluster := e.Get(t, "cluster-outbound"), e.Get(t, "cluster-cluster")
			want := map[string]any{deployed + "type": "Microsoft.ContainerService/managedClusters", deployed + "name": "aks"}
			for key, value := range test.want {
				want[network+key] = value
			}
			wantInputs(t, outbound, want)
			wantInputs(t, cluster,
				map[string]any{"networkProfile.loadBalancerProfile": nil, "networkProfile.natGatewayProfile": nil})
			if !outbound.WaitsFor(cluster) {
				t.Error("it does not wait for the cluster")
			}
		})
	}
}

// TestOutbound_DeploysClustersBody checks that the template differs from the inputs of azure-native only in the
// outbound profile, and in what others may have changed.
func TestOutbound_DeploysClustersBody(t *testing.T) {
	e := runCluster(t, func(args *components.AksWithCsiArgs) {
		args.Outbound = &components.OutboundArgs{ManagedIPs: 2}
		args.KubernetesVersion, args.Tier, args.NodeResourceGroup = "1.34", components.TierPremium, "nodes"
		args.Tags = pulumi.StringMap{"team": pulumi.String("a")}
		args.Subnets = map[string]pulumi.StringInput{"nodes": pulumi.String(nodeSubnet)}
		args.NetworkPolicy, args.ServiceCIDR = components.NetworkPolicyCilium, "10.9.0.0/16"
		args.LogAnalyticsWorkspaceID, args.Defender, args.ContainerInsights = pulumi.String(workspaceID), true, true
		args.APIServer = &components.APIServerArgs{AuthorizedIPRanges: pulumi.StringArray{pulumi.String("203.0.113.0/24")}}
	})
	sent := e.Get(t, "cluster-cluster").Inputs.Copy()
	template := e.Get(t, "cluster-outbound").At("properties.template.resources[0]").ObjectValue()
	properties := template["properties"].ObjectValue()
	delete(properties["networkProfile"].ObjectValue(), "loadBalancerProfile")
	others := sent["networkProfile"].ObjectValue().Copy()
	for _, key := range []resource.PropertyKey{"outboundType", "networkPolicy", "networkDataplane"} {
		if _, ok := others[key]; !ok {
			t.Errorf("the cluster is given no %s: nothing is proven", key)
		}
		delete(others, key)
	}
	sent["networkProfile"] = resource.NewProperty(others)
	for _, key := range []resource.PropertyKey{"resourceGroupName", "resourceName", "location", "tags", "sku",
		"identity"} {
		delete(sent, key)
	}
	if diff := sent.Diff(properties); diff != nil {
		t.Errorf("what is deployed differs in %v", slices.Sorted(maps.Keys(diff.Updates)))
		for key, value := range diff.Updates {
			t.Errorf("%s: %v and %v", key, value.Old, value.New)
		}
		t.Errorf("added %v, lacking %v", diff.Adds, diff.Deletes)
	}
	identity := e.Get(t, "cluster-cluster").At("identity.userAssignedIdentities[0]").StringValue()
	wantInputs(t, e.Get(t, "cluster-outbound"), map[string]any{
		deployed + "tags": map[string]any{"team": "a"},
		deployed + "sku":  map[string]any{"name": "Base", "tier": "Premium"},
		deployed + "identity": map[string]any{
			"type":                   "UserAssigned",
			"userAssignedIdentities": map[string]any{identity: map[string]any{}},
		},
	})
}

func TestOutbound_Validates(t *testing.T) {
	type args = components.AksWithCsiArgs
	const ids = netSubscription + "/resourceGroups/net/providers/Microsoft.Network/"
	ip, prefix := pulumi.StringArray{pulumi.String(ids + "publicIPAddresses/a")}, pulumi.StringArray{
		pulumi.String(ids + "publicIPPrefixes/a"),
	}
	valid := func() *args {
		a := aksArgs()
		a.Outbound = &components.OutboundArgs{}
		return a
	}
	testRules(t, valid, (*args).Validate, []rule[args]{
		{"too many addresses", "outbound.managedIps", func(a *args) { a.Outbound.ManagedIPs = 101 }},
		{"fewer than none", "outbound.managedIps", func(a *args) { a.Outbound.ManagedIPs = -1 }},
		{"too many of a gateway", "outbound.managedIps", func(a *args) {
			a.OutboundType, a.Outbound.ManagedIPs = components.OutboundManagedNATGateway, 17
		}},
		{"managed and own", "outbound.managedIps", func(a *args) { a.Outbound.ManagedIPs, a.Outbound.IPIDs = 1, ip }},
		{"own and prefixes", "outbound.ipPrefixIds", func(a *args) { a.Outbound.IPIDs, a.Outbound.IPPrefixIDs = ip, prefix }},
		{"no id", "outbound.ipIds[0]", func(a *args) { a.Outbound.IPIDs = prefix }},
		{"no prefix", "outbound.ipPrefixIds[0]", func(a *args) { a.Outbound.IPPrefixIDs = ip }},
		{"own of a gateway", "outbound.ipIds", func(a *args) {
			a.OutboundType, a.Outbound.IPIDs = components.OutboundManagedNATGateway, ip
		}},
		{"ports of a gateway", "outbound.allocatedPorts", func(a *args) {
			a.OutboundType, a.Outbound.AllocatedPorts = components.OutboundManagedNATGateway, 8
		}},
		{"odd ports", "outbound.allocatedPorts", func(a *args) { a.Outbound.AllocatedPorts = 1025 }},
		{"too many ports", "outbound.allocatedPorts", func(a *args) { a.Outbound.AllocatedPorts = 64008 }},
		{"a short timeout", "outbound.idleTimeoutMinutes", func(a *args) { a.Outbound.IdleTimeoutMinutes = 3 }},
		{"a long timeout", "outbound.idleTimeoutMinutes", func(a *args) { a.Outbound.IdleTimeoutMinutes = 121 }},
		{"somebody else's way out", "outbound", func(a *args) {
			a.OutboundType = components.OutboundUserDefinedRouting
			a.Subnets = map[string]pulumi.StringInput{"nodes": pulumi.String(nodeSubnet)}
		}},
	})
}

func TestRegistries_LetNodesPull(t *testing.T) {
	const registry = netSubscription + "/resourceGroups/net/providers/Microsoft.ContainerRegistry/registries/images"
	e := runCluster(t, func(args *components.AksWithCsiArgs) {
		args.ContainerRegistryIDs = map[string]pulumi.StringInput{"hub": pulumi.String(registry)}
	})
	role := e.Get(t, "cluster-registry-role-hub")
	wantInputs(t, role, map[string]any{
		"scope":            registry,
		"principalType":    "ServicePrincipal",
		"roleDefinitionId": netSubscription + "/providers/Microsoft.Authorization/roleDefinitions/7f951dda-4ed3-4680-a7ca-43fe172d538d",
	})
	if role.At("principalId") == nil || !e.Get(t, "cluster-kubernetes").WaitsFor(role) {
		t.Error("it is nobody's, or workloads do not wait for it")
	}
	type args = components.AksWithCsiArgs
	testRules(t, aksArgs, (*args).Validate, []rule[args]{
		{"no registry", "containerRegistryIds.hub", func(a *args) {
			a.ContainerRegistryIDs = map[string]pulumi.StringInput{"hub": pulumi.String(nodeSubnet)}
		}},
		{"no name", "containerRegistryIds.Hub", func(a *args) {
			a.ContainerRegistryIDs = map[string]pulumi.StringInput{"Hub": pulumi.String(registry)}
		}},
	})
	wantRefused(t, func(ctx *pulumi.Context) error {
		a := aksArgs()
		a.ContainerRegistryIDs = map[string]pulumi.StringInput{"hub": nil}
		_, err := components.NewAksWithCsi(ctx, "cluster", a)
		return err
	}, "containerRegistryIds.hub")
}

func TestRegistries_RejectSecondName(t *testing.T) {
	const registry = netSubscription + "/resourceGroups/net/providers/Microsoft.ContainerRegistry/registries/images"
	plain := func(id string) pulumi.StringInput { return pulumi.String(id) }
	late := func(id string) pulumi.StringInput { return pulumi.String(id).ToStringOutput() }
	for name, test := range map[string]struct {
		a, b  pulumi.StringInput
		early bool // both are known before anything is registered
	}{
		"plain":          {plain(registry), plain(registry), true},
		"plain, by case": {plain(registry), plain(strings.ToUpper(registry)), true},
		"late":           {late(registry), late(registry), false},
		"late, by case":  {late(registry), late(strings.ToUpper(registry)), false},
		"plain and late": {plain(registry), late(registry), false},
	} {
		t.Run(name, func(t *testing.T) {
			args := aksArgs()
			args.ContainerRegistryIDs = map[string]pulumi.StringInput{"a": test.a, "b": test.b}
			construct := func(ctx *pulumi.Context) error {
				_, err := components.NewAksWithCsi(ctx, "cluster", args)
				return err
			}
			if test.early {
				wantViolations(t, args.Validate(), "containerRegistryIds.b")
				wantRefused(t, construct, "containerRegistryIds.b")
				return
			}
			wantViolations(t, args.Validate())
			e := &mockengine.Engine{}
			wantViolations(t, e.Run(construct), "containerRegistryIds.b")
			for _, one := range e.Resources() {
				if strings.HasPrefix(one.Name, "cluster-registry-role-") {
					t.Errorf("%s is registered", one.Name)
				}
			}
		})
	}
}

// TestAksWithCsi_KeepsClusterOfAz checks that the engine keeps properties that az sets and the program never does.
func TestAksWithCsi_KeepsClusterOfAz(t *testing.T) {
	cluster := runCluster(t, func(*components.AksWithCsiArgs) {}).Get(t, "cluster-cluster")
	for _, profile := range []string{"linuxProfile", "windowsProfile"} {
		if ignored := cluster.RPC.GetIgnoreChanges(); !slices.Contains(ignored, profile) {
			t.Errorf("the %s of a cluster of az's would be taken away, which replaces it: changes of %v are ignored", profile,
				ignored)
		}
		wantInputs(t, cluster, map[string]any{profile: nil})
	}
}

// TestNodeResourceGroup_DefaultsToAKS checks that the engine keeps the name that a refresh may have recorded as an
// input.
func TestNodeResourceGroup_DefaultsToAKS(t *testing.T) {
	for _, given := range []string{"", "nodes"} {
		cluster := runCluster(
			t,
			func(args *components.AksWithCsiArgs) { args.NodeResourceGroup = given },
		).Get(t, "cluster-cluster")
		if ignored := slices.Contains(cluster.RPC.GetIgnoreChanges(), "nodeResourceGroup"); ignored != (given == "") {
			t.Errorf("with %q its changes are ignored: %t", given, ignored)
		}
	}
}

// TestAksWithCsi_IgnoresNetworkChangesByOthers checks that only the program's own change of what az can change replaces
// the cluster.
func TestAksWithCsi_IgnoresNetworkChangesByOthers(t *testing.T) {
	trigger := func(change func(*components.AksWithCsiArgs)) string {
		cluster := runCluster(t, change).Get(t, "cluster-cluster")
		if ignored := cluster.RPC.GetIgnoreChanges(); !slices.Contains(ignored, "networkProfile.outboundType") ||
			slices.Contains(ignored, "networkProfile") {
			t.Errorf("changes of %v are ignored", ignored)
		}
		return cluster.RPC.GetReplacementTrigger().String()
	}
	before := trigger(func(*components.AksWithCsiArgs) {})
	same := trigger(func(args *components.AksWithCsiArgs) { args.OutboundType = components.OutboundLoadBalancer })
	if same != before {
		t.Error("the default replaces the cluster")
	}
	for _, change := range []func(*components.AksWithCsiArgs){
		func(args *components.AksWithCsiArgs) { args.NetworkPolicy = components.NetworkPolicyAzure },
		func(args *components.AksWithCsiArgs) { args.OutboundType = components.OutboundManagedNATGateway },
	} {
		if trigger(change) == before {
			t.Error("a change in the program replaces nothing")
		}
	}
}

func TestSystemPool_CanHaveAnotherName(t *testing.T) {
	e := runCluster(t, func(args *components.AksWithCsiArgs) {
		args.NodePools = []components.NodePoolArgs{
			{
				Name:               "next",
				Mode:               components.NodePoolSystem,
				MaxCount:           3,
				CriticalAddonsOnly: true,
				OSSku:              components.OSSkuAzureLinux,
			},
			{Name: "apps", Mode: components.NodePoolUser},
		}
	})
	wantInputs(t, e.Get(t, "cluster-pool-next"), map[string]any{
		"mode":          "System",
		"osSKU":         "AzureLinux",
		"minCount":      1.0,
		"count":         1.0,
		"nodeTaints[0]": "CriticalAddonsOnly=true:NoSchedule",
	})
	wantInputs(t, e.Get(t, "cluster-pool-apps"), map[string]any{"mode": "User"})
	// A pool that becomes the system pool is removed from the list, and must stay in Azure.
	if !e.Get(t, "cluster-pool-next").RPC.GetRetainOnDelete() || e.Get(t, "cluster-pool-apps").RPC.GetRetainOnDelete() {
		t.Error("not the pools with the mode System are kept, and only they")
	}
	type args = components.AksWithCsiArgs
	valid := func() *args {
		a := aksArgs()
		a.SystemPool = &components.NodePoolArgs{Mode: components.NodePoolSystem}
		a.NodePools = []components.NodePoolArgs{{Name: "next", Mode: components.NodePoolSystem}}
		return a
	}
	testRules(t, valid, (*args).Validate, []rule[args]{
		{"a mode", "nodePools[0].mode", func(a *args) { a.NodePools[0].Mode = "Both" }},
		{"the system pool's mode", "systemPool.mode", func(a *args) { a.SystemPool.Mode = components.NodePoolUser }},
		{"a system of its nodes", "nodePools[0].osSku", func(a *args) { a.NodePools[0].OSSku = "Windows2016" }},
		{"spot", "nodePools[0].spot", func(a *args) { a.NodePools[0].Spot = true }},
		{"pods", "nodePools[0].maxPods", func(a *args) { a.NodePools[0].MaxPods = 20 }},
		{"a taint", "nodePools[0].taints[0]", func(a *args) { a.NodePools[0].Taints = []string{"a=b:NoSchedule"} }},
		{"nowhere for workloads", "systemPool.criticalAddonsOnly", func(a *args) {
			a.SystemPool.CriticalAddonsOnly, a.NodePools[0].CriticalAddonsOnly = true, true
		}},
	})
}
