package components_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"pgregory.net/rapid"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

const (
	netSubscription = "/subscriptions/33333333-3333-3333-3333-333333333333"
	netSubnets      = netSubscription + "/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/net/subnets/"
	nodeSubnet      = netSubnets + "nodes"
	encryptionSet   = netSubscription + "/resourceGroups/net/providers/Microsoft.Compute/diskEncryptionSets/disks"
	otherSubnet     = netSubnets + "other"
	unusedSubnet    = netSubnets + "unused"
)

// runCluster creates a cluster from changed arguments.
func runCluster(t *testing.T, change func(*components.AksWithCsiArgs)) *mockengine.Engine {
	t.Helper()
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		args := aksArgs()
		change(args)
		_, err := components.NewAksWithCsi(ctx, "cluster", args)
		return err
	})
	return e
}

func TestSystemPool_PassesArguments(t *testing.T) {
	e := runCluster(t, func(args *components.AksWithCsiArgs) {
		args.KubernetesVersion = "1.34"
		args.SystemPool = &components.NodePoolArgs{
			Name: "sys", VMSize: "Standard_D4ds_v5", MinCount: 3, MaxCount: 5, Zones: []string{"1", "2", "3"},
			OSDiskType: "Ephemeral", OSDiskSizeGB: 60, MaxPods: 110, Labels: map[string]string{"team": "platform"},
			Taints: []string{"a=b:PreferNoSchedule"}, HostEncryption: true, CriticalAddonsOnly: true,
		}
		args.NodePools = []components.NodePoolArgs{{Name: "apps"}}
	})
	cluster := e.Get(t, "cluster-cluster")
	wantInputs(t, cluster, map[string]any{
		"agentPoolProfiles[0].name":                   "sys",
		"agentPoolProfiles[0].mode":                   "System",
		"agentPoolProfiles[0].vmSize":                 "Standard_D4ds_v5",
		"agentPoolProfiles[0].orchestratorVersion":    nil, // AKS takes those of all pools or none, and apps is not there
		"agentPoolProfiles[0].enableAutoScaling":      true,
		"agentPoolProfiles[0].count":                  3.0,
		"agentPoolProfiles[0].minCount":               3.0,
		"agentPoolProfiles[0].maxCount":               5.0,
		"agentPoolProfiles[0].availabilityZones[2]":   "3",
		"agentPoolProfiles[0].osDiskType":             "Ephemeral",
		"agentPoolProfiles[0].osDiskSizeGB":           60.0,
		"agentPoolProfiles[0].maxPods":                110.0,
		"agentPoolProfiles[0].nodeLabels.team":        "platform",
		"agentPoolProfiles[0].nodeTaints[0]":          "a=b:PreferNoSchedule",
		"agentPoolProfiles[0].nodeTaints[1]":          "CriticalAddonsOnly=true:NoSchedule",
		"agentPoolProfiles[0].enableEncryptionAtHost": true,
		"agentPoolProfiles[0].enableNodePublicIP":     false,
		"agentPoolProfiles[1]":                        nil,
	})
}

func TestNodePools_AreCreatedOneAfterAnother(t *testing.T) {
	e := runCluster(t, func(args *components.AksWithCsiArgs) {
		args.KubernetesVersion = "1.34.1"
		args.NodePools = []components.NodePoolArgs{
			{Name: "apps", Count: 2, Taints: []string{"team=a:NoSchedule"}},
			{Name: "scaled", MinCount: 2, MaxCount: 9, Count: 4},
			{Name: "spot", Spot: true, Labels: map[string]string{"team": "a"}, Taints: []string{"team=a:NoSchedule"}},
		}
	})
	cluster := e.Get(t, "cluster-cluster")
	apps, scaled, spot := e.Get(t, "cluster-pool-apps"), e.Get(t, "cluster-pool-scaled"), e.Get(t, "cluster-pool-spot")
	wantInputs(t, apps, map[string]any{
		"resourceName": "aks", "agentPoolName": "apps", "mode": "User", "osType": "Linux", "orchestratorVersion": "1.34.1",
		"vmSize": "Standard_D2s_v5", "count": 2.0, "nodeTaints[0]": "team=a:NoSchedule", "enableNodePublicIP": false,
		"enableAutoScaling": nil, "minCount": nil, "scaleSetPriority": nil, "spotMaxPrice": nil,
	})
	wantInputs(t, scaled, map[string]any{"enableAutoScaling": true, "minCount": 2.0, "maxCount": 9.0, "count": 4.0})
	wantInputs(t, spot, map[string]any{
		"scaleSetPriority": "Spot", "scaleSetEvictionPolicy": "Delete", "spotMaxPrice": -1.0, "enableNodePublicIP": false,
		// AKS would add them, and a refresh would find them.
		"nodeLabels": map[string]any{"team": "a", "kubernetes.azure.com/scalesetpriority": "spot"},
		"nodeTaints": []any{"team=a:NoSchedule", "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"},
	})
	wantInputs(t, apps, map[string]any{"nodeLabels": nil})
	if !scaled.WaitsFor(apps) || !spot.WaitsFor(scaled) || apps.WaitsFor(scaled) {
		t.Error("the pools are not created one after another")
	}
	provider := e.Get(t, "cluster-kubernetes")
	for _, pool := range []mockengine.Registered{apps, scaled, spot} {
		if !pool.WaitsFor(cluster) || pool.RPC.GetDeletedWith() != cluster.URN {
			t.Errorf("%s does not come after the cluster and go with it", pool.Name)
		}
		if !pool.RPC.GetDeleteBeforeReplace() || !slices.Contains(pool.RPC.GetReplaceOnChanges(), "osDiskType") {
			t.Errorf("%s is not replaced when Azure cannot change it", pool.Name)
		}
		if !provider.WaitsFor(pool) {
			t.Errorf("workloads do not wait for %s", pool.Name)
		}
		for key, dependencies := range provider.RPC.GetPropertyDependencies() {
			if slices.Contains(dependencies.GetUrns(), pool.URN) {
				t.Errorf("a replacement of %s would replace what is in the cluster: %s", pool.Name, key)
			}
		}
	}
}

func TestNodePools_ScaleToZeroExceptSystem(t *testing.T) {
	e := runCluster(t, func(args *components.AksWithCsiArgs) {
		args.SystemPool = &components.NodePoolArgs{MaxCount: 3}
		args.NodePools = []components.NodePoolArgs{{Name: "apps", MaxCount: 3}}
	})
	wantInputs(t, e.Get(t, "cluster-cluster"), map[string]any{
		"agentPoolProfiles[0].enableAutoScaling": true,
		"agentPoolProfiles[0].count":             1.0,
		"agentPoolProfiles[0].minCount":          1.0,
		"agentPoolProfiles[0].maxCount":          3.0,
	})
	wantInputs(t, e.Get(t, "cluster-pool-apps"),
		map[string]any{"enableAutoScaling": true, "count": 0.0, "minCount": 0.0, "maxCount": 3.0})
}

func TestNodePools_StartCountIsWithinBounds(t *testing.T) {
	const all = 5 * 5 * 5
	accepted := 0
	for i := range 2 * all {
		args, resource, at, fewest := pooledArgs(), "cluster-cluster", "agentPoolProfiles[0].", 1.0
		pool := args.SystemPool
		if i >= all {
			resource, at, fewest, pool = "cluster-pool-apps", "", 0, &args.NodePools[0]
		}
		pool.Count, pool.MinCount, pool.MaxCount = i%5-1, i/5%5-1, i/25%5-1
		if args.Validate() != nil {
			continue
		}
		accepted++
		e := &mockengine.Engine{}
		run(t, e, func(ctx *pulumi.Context) error {
			_, err := components.NewAksWithCsi(ctx, "cluster", args)
			return err
		})
		got := e.Get(t, resource)
		ignored := got.RPC.GetIgnoreChanges()
		if slices.ContainsFunc(ignored, func(path string) bool {
			return strings.HasPrefix(path, "agentPoolProfiles") || path == "count"
		}) {
			t.Errorf("an older count would be sent with newer bounds: changes of %v are ignored", ignored)
		}
		least, most := 1.0, 1000.0
		if got.At(at+"enableAutoScaling") != nil {
			least, most = got.At(at+"minCount").NumberValue(), got.At(at+"maxCount").NumberValue()
		}
		if count := got.At(at + "count").NumberValue(); count < least || count > most || least < fewest || most < 1 {
			t.Errorf("%s has %v nodes of %v-%v", resource, count, least, most)
		}
	}
	if accepted < 30 {
		t.Errorf("only %d are accepted", accepted)
	}
}

func TestTags_AreOnClusterAndPools(t *testing.T) {
	e := runCluster(t, func(args *components.AksWithCsiArgs) {
		args.Tags = pulumi.StringMap{"team": pulumi.String("platform")}
		args.NodePools = []components.NodePoolArgs{{Name: "apps"}}
	})
	wantInputs(t, e.Get(t, "cluster-cluster"),
		map[string]any{"tags.team": "platform", "agentPoolProfiles[0].tags.team": "platform"})
	wantInputs(t, e.Get(t, "cluster-pool-apps"), map[string]any{"tags.team": "platform"})
}

func TestControlPlane_GetsSubnetRolesBeforeCluster(t *testing.T) {
	e := runCluster(t, func(args *components.AksWithCsiArgs) {
		args.Subnets = map[string]pulumi.StringInput{
			"shared": pulumi.String(nodeSubnet).ToStringOutput(),
			"other":  pulumi.String(otherSubnet), "unused": pulumi.String(unusedSubnet),
		}
		args.SystemPool = &components.NodePoolArgs{Subnet: "shared"}
		args.NodePools = []components.NodePoolArgs{{Name: "apps", Subnet: "shared"}, {Name: "more", Subnet: "other"}}
	})
	cluster, identity := e.Get(t, "cluster-cluster"), e.Get(t, "cluster-identity")
	wantInputs(t, cluster, map[string]any{
		"identity.type":                      "UserAssigned",
		"identity.userAssignedIdentities[0]": mockengine.Group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/cluster-identity-auto",
		"agentPoolProfiles[0].vnetSubnetID":  nodeSubnet,
	})
	wantInputs(t, e.Get(t, "cluster-pool-more"), map[string]any{"vnetSubnetID": otherSubnet})
	for name, scope := range map[string]string{
		"cluster-subnet-role-shared": nodeSubnet, "cluster-subnet-role-other": otherSubnet,
	} {
		role := e.Get(t, name)
		wantInputs(t, role, map[string]any{
			"scope":            scope,
			"principalId":      "principal-id",
			"principalType":    "ServicePrincipal",
			"roleDefinitionId": netSubscription + "/providers/Microsoft.Authorization/roleDefinitions/4d97b98b-1d4f-4787-a291-c67834d212e7",
		})
		if !role.WaitsFor(identity) || !cluster.WaitsFor(role) {
			t.Errorf("%s does not come between identity and cluster", name)
		}
	}
	if roles := countType(e, "RoleAssignment"); roles != 2 {
		t.Errorf("%d roles on 2 subnets", roles)
	}
}

func TestSubnets_DefaultToOnlyOne(t *testing.T) {
	e := runCluster(t, func(args *components.AksWithCsiArgs) {
		args.Subnets = map[string]pulumi.StringInput{"nodes": pulumi.String(nodeSubnet)}
		args.NodePools = []components.NodePoolArgs{{Name: "apps"}, {Name: "more", Subnet: "nodes"}}
	})
	wantInputs(t, e.Get(t, "cluster-cluster"), map[string]any{"agentPoolProfiles[0].vnetSubnetID": nodeSubnet})
	for _, pool := range []string{"cluster-pool-apps", "cluster-pool-more"} {
		wantInputs(t, e.Get(t, pool), map[string]any{"vnetSubnetID": nodeSubnet})
	}
	if roles := countType(e, "RoleAssignment"); roles != 1 {
		t.Errorf("%d roles on one subnet", roles)
	}
	e = runCluster(t, func(args *components.AksWithCsiArgs) { args.NodePools = []components.NodePoolArgs{{Name: "apps"}} })
	wantInputs(t, e.Get(t, "cluster-cluster"), map[string]any{"agentPoolProfiles[0].vnetSubnetID": nil})
	wantInputs(t, e.Get(t, "cluster-pool-apps"), map[string]any{"vnetSubnetID": nil})
}

func TestSubnets_RejectSecondName(t *testing.T) {
	plain := func(id string) pulumi.StringInput { return pulumi.String(id) }
	late := func(id string) pulumi.StringInput { return pulumi.String(id).ToStringOutput() }
	for name, test := range map[string]struct {
		a, b   pulumi.StringInput
		early  bool // both are known before anything is registered
		unused bool // no pool is in b
	}{
		"plain":              {plain(nodeSubnet), plain(nodeSubnet), true, false},
		"plain, by case":     {plain(nodeSubnet), plain(strings.ToUpper(nodeSubnet)), true, false},
		"late":               {late(nodeSubnet), late(nodeSubnet), false, false},
		"late, by case":      {late(nodeSubnet), late(strings.ToUpper(nodeSubnet)), false, false},
		"plain and late":     {plain(nodeSubnet), late(nodeSubnet), false, false},
		"one that is unused": {late(otherSubnet), late(otherSubnet), false, true},
	} {
		t.Run(name, func(t *testing.T) {
			args := aksArgs()
			args.Subnets = map[string]pulumi.StringInput{"a": test.a, "b": test.b, "c": plain(unusedSubnet)}
			args.SystemPool = &components.NodePoolArgs{Subnet: "a"}
			args.NodePools = []components.NodePoolArgs{{Name: "apps", Subnet: "b"}}
			if test.unused {
				args.NodePools = nil
			}
			construct := func(ctx *pulumi.Context) error {
				_, err := components.NewAksWithCsi(ctx, "cluster", args)
				return err
			}
			if test.early {
				wantViolations(t, args.Validate(), "subnets.b")
				wantRefused(t, construct, "subnets.b")
				return
			}
			wantViolations(t, args.Validate())
			e := &mockengine.Engine{}
			wantViolations(t, e.Run(construct), "subnets.b")
			wantRegistered(t, e, "azure-native:containerservice/v20240901:ManagedCluster")
		})
	}
}

// TestSubnets_KeepRolesNamedAfterPools checks for all names that earlier versions could have given a role, after any
// pool in its subnet.
func TestSubnets_KeepRolesNamedAfterPools(t *testing.T) {
	for name, test := range map[string]struct {
		subnets map[string]string // of the pools
		want    map[string][]string
	}{
		"one subnet": {
			map[string]string{"system": "nodes", "apps": "nodes", "more": "nodes"},
			map[string][]string{"nodes": {"system", "apps", "more"}},
		},
		"a subnet each": {
			map[string]string{"system": "nodes", "apps": "others", "more": "others"},
			map[string][]string{"nodes": {"system"}, "others": {"apps", "more"}},
		},
		// A subnet's name now names its own role, even if a pool had that name before.
		"a subnet that is called as its pool": {
			map[string]string{"system": "system", "apps": "apps", "more": "apps"},
			map[string][]string{"system": nil, "apps": {"more"}},
		},
		"subnets that are called as pools in others": {
			map[string]string{"system": "apps", "apps": "system", "more": "system"},
			map[string][]string{"apps": nil, "system": {"more"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := runCluster(t, func(args *components.AksWithCsiArgs) {
				args.Subnets = map[string]pulumi.StringInput{}
				for _, subnet := range test.subnets {
					args.Subnets[subnet] = pulumi.String(nodeSubnet + subnet)
				}
				args.SystemPool = &components.NodePoolArgs{Subnet: test.subnets["system"]}
				for _, pool := range []string{"apps", "more"} {
					args.NodePools = append(args.NodePools, components.NodePoolArgs{Name: pool, Subnet: test.subnets[pool]})
				}
			})
			if roles := countType(e, "RoleAssignment"); roles != len(test.want) {
				t.Errorf("%d roles, want %d", roles, len(test.want))
			}
			for subnet, pools := range test.want {
				role := e.Get(t, "cluster-subnet-role-"+subnet)
				wantInputs(t, role, map[string]any{"scope": nodeSubnet + subnet})
				var want []string
				for _, pool := range pools {
					want = append(want, "cluster-subnet-role-"+pool)
				}
				if got := aliasNames(role); !slices.Equal(got, want) {
					t.Errorf("%s is also known as %v, want %v", role.Name, got, want)
				}
			}
		})
	}
}

// aliasNames returns the names in a resource's aliases.
func aliasNames(of mockengine.Registered) []string {
	var names []string
	for _, alias := range of.RPC.GetAliases() {
		if name := alias.GetSpec().GetName(); name != "" {
			names = append(names, name)
		}
	}
	return names
}

func TestSubnets_Validate(t *testing.T) {
	type args = components.AksWithCsiArgs
	valid := func() *args {
		a := aksArgs()
		a.Subnets = map[string]pulumi.StringInput{
			"nodes": pulumi.String(nodeSubnet), "other": pulumi.String(otherSubnet),
			"unused": pulumi.String(unusedSubnet).ToStringOutput(),
		}
		a.SystemPool = &components.NodePoolArgs{Subnet: "nodes"}
		a.NodePools = []components.NodePoolArgs{{Name: "apps", Subnet: "other"}}
		return a
	}
	testRules(t, valid, (*args).Validate, []rule[args]{
		{"a name's characters", "subnets.My_Subnet", func(a *args) {
			a.Subnets["My_Subnet"] = pulumi.String(nodeSubnet + "2")
		}},
		{"an id", "subnets.nodes", func(a *args) { a.Subnets["nodes"] = pulumi.String("nodes") }},
		{"the id of something else", "subnets.nodes", func(a *args) { a.Subnets["nodes"] = pulumi.String(encryptionSet) }},
		{"an id of two", "subnets.other", func(a *args) { a.Subnets["other"] = pulumi.String(nodeSubnet) }},
		{"none of several", "systemPool.subnet", func(a *args) { a.SystemPool = nil }},
		{"none of several for a pool", "nodePools[0].subnet", func(a *args) { a.NodePools[0].Subnet = "" }},
		{"one that is not there", "nodePools[0].subnet", func(a *args) { a.NodePools[0].Subnet = "Other" }},
		{"AKS' gateway", "outboundType", func(a *args) { a.OutboundType = "managedNATGateway" }},
	})
	for _, outbound := range []components.OutboundType{
		components.OutboundLoadBalancer, components.OutboundUserDefinedRouting, components.OutboundUserAssignedNATGateway,
	} {
		a := valid()
		a.OutboundType = outbound
		if err := a.Validate(); err != nil {
			t.Errorf("%s is refused: %v", outbound, err)
		}
	}
}

func TestControlPlane_GetsDiskEncryptionRoleBeforeCluster(t *testing.T) {
	e := runCluster(t, func(args *components.AksWithCsiArgs) { args.DiskEncryptionSetID = pulumi.String(encryptionSet) })
	cluster, role := e.Get(t, "cluster-cluster"), e.Get(t, "cluster-disk-encryption-role")
	wantInputs(t, cluster, map[string]any{"identity.type": "UserAssigned", "diskEncryptionSetID": encryptionSet})
	wantInputs(t, role, map[string]any{
		"scope":            encryptionSet,
		"principalId":      "principal-id",
		"principalType":    "ServicePrincipal",
		"roleDefinitionId": netSubscription + "/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7",
	})
	if !cluster.WaitsFor(role) {
		t.Error("the cluster does not wait for the role")
	}
}

func TestIdentityID_IsUsedUnchanged(t *testing.T) {
	e := runCluster(t, func(args *components.AksWithCsiArgs) {
		args.IdentityID = pulumi.String(existingIdentity)
		args.Subnets = map[string]pulumi.StringInput{"nodes": pulumi.String(nodeSubnet)}
		args.DiskEncryptionSetID = pulumi.String(encryptionSet)
	})
	wantInputs(t, e.Get(t, "cluster-cluster"), map[string]any{
		"identity.type": "UserAssigned", "identity.userAssignedIdentities[0]": existingIdentity,
	})
	if made := countType(e, "RoleAssignment") + countType(e, "UserAssignedIdentity"); made > 0 {
		t.Errorf("%d identities and roles are made", made)
	}
}

func TestControlPlane_RejectsOtherIDs(t *testing.T) {
	late := func(id string) pulumi.StringInput { return pulumi.String(id).ToStringOutput() }
	for name, test := range map[string]struct {
		path   string
		change func(*components.AksWithCsiArgs)
	}{
		"a subnet": {"subnets.nodes", func(args *components.AksWithCsiArgs) {
			args.Subnets = map[string]pulumi.StringInput{"nodes": late("/subscriptions/x/virtualNetworks/net")}
		}},
		"a subnet of an identity of others": {"subnets.nodes", func(args *components.AksWithCsiArgs) {
			args.Subnets = map[string]pulumi.StringInput{"nodes": late("/subscriptions/x/virtualNetworks/net")}
			args.IdentityID = pulumi.String(existingIdentity)
		}},
		"a disk encryption set": {"diskEncryptionSetId", func(args *components.AksWithCsiArgs) {
			args.DiskEncryptionSetID = late(nodeSubnet)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			args := aksArgs()
			test.change(args)
			wantViolations(t, args.Validate())
			err := (&mockengine.Engine{}).Run(func(ctx *pulumi.Context) error {
				_, err := components.NewAksWithCsi(ctx, "cluster", args)
				return err
			})
			if err == nil || !strings.Contains(err.Error(), test.path) {
				t.Errorf("got error %v", err)
			}
		})
	}
}

func countType(e *mockengine.Engine, typ string) int {
	count := 0
	for _, one := range e.Resources() {
		if strings.HasSuffix(one.Type, ":"+typ) {
			count++
		}
	}
	return count
}

// pooledArgs returns the arguments of a cluster with one pool of each kind.
func pooledArgs() *components.AksWithCsiArgs {
	args := aksArgs()
	args.SystemPool = &components.NodePoolArgs{}
	args.NodePools = []components.NodePoolArgs{{Name: "apps"}}
	return args
}

func TestNodePools_Validate(t *testing.T) {
	type args = components.AksWithCsiArgs
	testRules(t, pooledArgs, (*args).Validate, []rule[args]{
		{"a system pool's name", "systemPool.name", func(a *args) { a.SystemPool.Name = "System" }},
		{"a pool without name", "nodePools[0].name", func(a *args) { a.NodePools[0].Name = "" }},
		{"a name's dash", "nodePools[0].name", func(a *args) { a.NodePools[0].Name = "my-apps" }},
		{"a name's first character", "nodePools[0].name", func(a *args) { a.NodePools[0].Name = "1apps" }},
		{"a name's length", "nodePools[0].name", func(a *args) { a.NodePools[0].Name = strings.Repeat("a", 13) }},
		{"the system pool's name again", "nodePools[0].name", func(a *args) { a.NodePools[0].Name = "system" }},
		{"a name twice", "nodePools[1].name", func(a *args) { a.NodePools = append(a.NodePools, a.NodePools[0]) }},
		{"a VM size", "systemPool.vmSize", func(a *args) { a.SystemPool.VMSize = "Standard D2s" }},
		{"too few nodes", "systemPool.count", func(a *args) { a.SystemPool.Count = -1 }},
		{"too many nodes", "nodePools[0].count", func(a *args) { a.NodePools[0].Count = 1001 }},
		{"fewest nodes alone", "nodePools[0].maxCount", func(a *args) { a.NodePools[0].MinCount = 2 }},
		{
			"fewer than no nodes",
			"nodePools[0].minCount",
			func(a *args) { a.NodePools[0].MinCount, a.NodePools[0].MaxCount = -1, 2 },
		},
		{"more fewest nodes than Azure's", "nodePools[0].minCount", func(a *args) { a.NodePools[0].MinCount = 1001 }},
		{"at most no nodes", "systemPool.maxCount", func(a *args) { a.SystemPool.MaxCount = -1 }},
		{"fewest above most", "systemPool.maxCount", func(a *args) { a.SystemPool.MinCount, a.SystemPool.MaxCount = 5, 3 }},
		{
			"most above Azure's",
			"systemPool.maxCount",
			func(a *args) { a.SystemPool.MinCount, a.SystemPool.MaxCount = 5, 1001 },
		},
		{"a start below the fewest", "systemPool.count", func(a *args) {
			a.SystemPool.MinCount, a.SystemPool.MaxCount, a.SystemPool.Count = 3, 5, 2
		}},
		{"a start above the most", "systemPool.count", func(a *args) {
			a.SystemPool.MinCount, a.SystemPool.MaxCount, a.SystemPool.Count = 3, 5, 6
		}},
		{"a zone", "systemPool.zones[0]", func(a *args) { a.SystemPool.Zones = []string{"eastus-1"} }},
		{"a zone twice", "systemPool.zones[1]", func(a *args) { a.SystemPool.Zones = []string{"1", "1"} }},
		{"a disk type", "systemPool.osDiskType", func(a *args) { a.SystemPool.OSDiskType = "ephemeral" }},
		{"a small disk", "systemPool.osDiskSizeGb", func(a *args) { a.SystemPool.OSDiskSizeGB = 29 }},
		{"a large disk", "nodePools[0].osDiskSizeGb", func(a *args) { a.NodePools[0].OSDiskSizeGB = 2049 }},
		{"few pods", "nodePools[0].maxPods", func(a *args) { a.NodePools[0].MaxPods = 9 }},
		{"very few system pods", "systemPool.maxPods", func(a *args) { a.SystemPool.MaxPods = 9 }},
		{"few system pods", "systemPool.maxPods", func(a *args) { a.SystemPool.MaxPods = 29 }},
		{"many pods", "systemPool.maxPods", func(a *args) { a.SystemPool.MaxPods = 251 }},
		{"a label's key", "systemPool.labels", func(a *args) { a.SystemPool.Labels = map[string]string{"a b": ""} }},
		{"AKS' own label", "systemPool.labels", func(a *args) {
			a.SystemPool.Labels = map[string]string{"kubernetes.azure.com/mode": "user"}
		}},
		{"Kubernetes' own label", "systemPool.labels", func(a *args) {
			a.SystemPool.Labels = map[string]string{"node-role.kubernetes.io/apps": ""}
		}},
		{"a label's value", "systemPool.labels.a", func(a *args) { a.SystemPool.Labels = map[string]string{"a": "b c"} }},
		{"a taint without effect", "nodePools[0].taints[0]", func(a *args) { a.NodePools[0].Taints = []string{"a=b"} }},
		{
			"a taint without value",
			"nodePools[0].taints[0]",
			func(a *args) { a.NodePools[0].Taints = []string{"a=:NoSchedule"} },
		},
		{
			"a taint's key",
			"nodePools[0].taints[0]",
			func(a *args) { a.NodePools[0].Taints = []string{"a..b/c=d:NoSchedule"} },
		},
		{"a taint's value", "nodePools[0].taints[0]", func(a *args) { a.NodePools[0].Taints = []string{"a=b=c:NoSchedule"} }},
		{"a taint's effect", "nodePools[0].taints[0]", func(a *args) { a.NodePools[0].Taints = []string{"a=b:noSchedule"} }},
		{
			"a taint on the system pool",
			"systemPool.taints[0]",
			func(a *args) { a.SystemPool.Taints = []string{"a=b:NoSchedule"} },
		},
		{"a spot system pool", "systemPool.spot", func(a *args) { a.SystemPool.Spot = true }},
		{"add-ons only, and nothing else", "systemPool.criticalAddonsOnly", func(a *args) {
			a.SystemPool.CriticalAddonsOnly, a.NodePools = true, nil
		}},
		{
			"add-ons only in another pool",
			"nodePools[0].criticalAddonsOnly",
			func(a *args) { a.NodePools[0].CriticalAddonsOnly = true },
		},
	})
}

func TestNodePools_ValidKinds(t *testing.T) {
	args := pooledArgs()
	args.Tier = "Standard"
	args.SystemPool = &components.NodePoolArgs{
		Taints: []string{"a=b:PreferNoSchedule"}, CriticalAddonsOnly: true, Count: 1000, MinCount: 1, MaxCount: 1000,
	}
	args.NodePools = append(args.NodePools, components.NodePoolArgs{
		Name: "a23456789012", Spot: true, Zones: []string{"3"}, OSDiskSizeGB: 30, MaxPods: 10, MinCount: 1, MaxCount: 1,
		Labels: map[string]string{"example.com/Team_1": "", "a": "B.c"}, Taints: []string{"example.com/gpu=yes:NoExecute"},
	})
	if err := args.Validate(); err != nil {
		t.Error(err)
	}
}

// Azure's own patterns, from its API specification:
// https://github.com/Azure/azure-rest-api-specs/tree/main/specification/containerservice/resource-manager
var (
	azureClusterName = regexp.MustCompile(`^[a-zA-Z0-9]$|^[a-zA-Z0-9][-_a-zA-Z0-9]{0,61}[a-zA-Z0-9]$`)
	azurePoolName    = regexp.MustCompile(`^[a-z][a-z0-9]{0,11}$`)
)

func TestKeyVaultStack_AcceptsOnlyValidNames(t *testing.T) {
	name := rapid.OneOf(rapid.StringMatching(`[a-zA-Z0-9_-]{0,66}`), rapid.StringMatching(`[a-z0-9]{0,14}`),
		rapid.String())
	rapid.Check(t, func(rt *rapid.T) {
		args := pooledArgs()
		args.ClusterName, args.DNSPrefix = name.Draw(rt, "cluster"), "aks"
		args.SystemPool.Name, args.NodePools[0].Name = name.Draw(rt, "system pool"), name.Draw(rt, "pool")
		refused := map[string]bool{}
		for _, v := range violations(t, args.Validate()) {
			refused[v.Path] = true
		}
		check := func(path, given string, azure *regexp.Regexp) {
			if !refused[path] && !azure.MatchString(given) {
				rt.Errorf("%s: %q is accepted, but not by Azure", path, given)
			}
		}
		if args.ClusterName != "" {
			check("clusterName", args.ClusterName, azureClusterName)
		}
		if args.SystemPool.Name != "" {
			check("systemPool.name", args.SystemPool.Name, azurePoolName)
		}
		check("nodePools[0].name", args.NodePools[0].Name, azurePoolName)
	})
}

// TestWindowsPools_RunWorkloadsOnly checks AKS' requirements for Windows nodes.
func TestWindowsPools_RunWorkloadsOnly(t *testing.T) {
	with := func(change func(args *components.AksWithCsiArgs)) *components.AksWithCsiArgs {
		args := aksArgs()
		args.NodePools = []components.NodePoolArgs{{Name: "win", OSSku: components.OSSkuWindows2022}, {Name: "apps"}}
		change(args)
		return args
	}
	for path, change := range map[string]func(args *components.AksWithCsiArgs){
		"nodePools[0].name":  func(args *components.AksWithCsiArgs) { args.NodePools[0].Name = "windows" },
		"nodePools[0].osSku": func(args *components.AksWithCsiArgs) { args.NetworkPolicy = components.NetworkPolicyCilium },
		"systemPool.osSku": func(args *components.AksWithCsiArgs) {
			args.SystemPool = &components.NodePoolArgs{OSSku: components.OSSkuWindows2019}
		},
	} {
		wantViolations(t, with(change).Validate(), path)
	}
	wantViolations(t, with(func(args *components.AksWithCsiArgs) {
		args.NodePools[0].Mode = components.NodePoolSystem
	}).Validate(), "nodePools[0].osSku")

	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := components.NewAksWithCsi(ctx, "cluster", with(func(*components.AksWithCsiArgs) {}))
		return err
	})
	wantInputs(t, e.Get(t, "cluster-pool-win"),
		map[string]any{"osType": "Windows", "osSKU": "Windows2022", "mode": "User"})
	wantInputs(t, e.Get(t, "cluster-pool-apps"), map[string]any{"osType": "Linux", "osSKU": nil})
	for name, replaces := range map[string]bool{"cluster-pool-win": true, "cluster-pool-apps": false} {
		if got := slices.Contains(e.Get(t, name).RPC.GetReplaceOnChanges(), "osSKU"); got != replaces {
			t.Errorf("another osSKU replaces %s: %t", name, got)
		}
	}
}
