package components

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Defaults of NodePoolArgs.
const (
	defaultNodeVMSize     = "Standard_D2s_v5"
	defaultSystemPoolName = "system"
)

// criticalAddonsOnly keeps pods off the system pool, except AKS' own, which tolerate it:
// https://learn.microsoft.com/azure/aks/use-system-pools
const criticalAddonsOnly = "CriticalAddonsOnly=true:NoSchedule"

// AKS sets these on spot nodes. They are sent too, so that a refresh finds no difference:
// https://learn.microsoft.com/azure/aks/spot-node-pool
const (
	spotLabel = "kubernetes.azure.com/scalesetpriority"
	spotTaint = spotLabel + "=spot:NoSchedule"
)

// AKS' limits of a pool: https://learn.microsoft.com/azure/aks/quotas-skus-regions and
// https://learn.microsoft.com/azure/aks/create-node-pools#limitations
const (
	nodeCountMax    = 1000
	maxPodsMin      = 10
	maxPodsMax      = 250
	systemPodsMin   = 30
	osDiskSizeGBMin = 30
	osDiskSizeGBMax = 2048

	windowsPoolNameMax = 6
)

var (
	poolName = regexp.MustCompile(`^[a-z][0-9a-z]{0,11}$`)
	vmSize   = regexp.MustCompile(`^[0-9a-zA-Z_-]+$`)
)

// reservedLabel matches the keys of labels that AKS and Kubernetes reserve:
// https://learn.microsoft.com/azure/aks/use-labels
var reservedLabel = regexp.MustCompile(`^(.*\.)?(kubernetes\.azure\.com|kubernetes\.io|k8s\.io)/`)

// NodePoolArgs describe a pool of identical nodes. They have no public addresses. A change that Azure cannot make in
// place replaces the nodes of a pool in [AksWithCsiArgs.NodePools]; Azure refuses it for the system pool, see Mode.
type NodePoolArgs struct {
	// Name is 1-12 lower-case letters and digits, starting with a letter, and unique in the cluster. Defaults to system
	// for the system pool; required for others. A change replaces the nodes.
	Name string `pulumi:"name,optional"`
	// Mode is System for a pool that may run AKS' own pods, or User for one that runs workloads only
	// (https://learn.microsoft.com/azure/aks/use-system-pools). A pool with the mode System in [AksWithCsiArgs.NodePools]
	// stays in Azure when you remove it from the list, since SystemPool may name it next. So to change what would replace
	// its nodes, give it another name. Defaults to System for the system pool, which allows no other, and to User for
	// others.
	Mode NodePoolMode `pulumi:"mode,optional"`
	// VMSize is the size of the nodes. Defaults to Standard_D2s_v5. A change replaces the nodes.
	VMSize string `pulumi:"vmSize,optional"`
	// OSSku is the operating system of the nodes: Ubuntu, AzureLinux, Windows2019 or Windows2022. Defaults to Azure's
	// choice, Ubuntu. A change between Ubuntu and AzureLinux reimages the nodes one after another
	// (https://learn.microsoft.com/azure/azure-linux/tutorial-azure-linux-migration); any other change replaces them.
	// Windows is not allowed with the mode System or the network policy cilium, and limits the pool's name to 6 characters
	// (https://learn.microsoft.com/azure/aks/windows-vs-linux-containers). Pods on Windows mount like those on Linux, but
	// the test pod and the probe run on Linux. AKS chooses the account of the nodes' administrator.
	OSSku OSSku `pulumi:"osSku,optional"`
	// Count is the number of nodes, 1-1000. Defaults to 1, or to MinCount. With MinCount and MaxCount it must lie between
	// them, and is only the initial number for the autoscaler. It is sent again with every update of the pool, for the
	// system pool with every update of the cluster.
	Count int `pulumi:"count,optional"`
	// MinCount is the minimum number of nodes for the autoscaler, up to 1000. It requires MaxCount. Defaults to 0, or to 1
	// with the mode System.
	MinCount int `pulumi:"minCount,optional"`
	// MaxCount is the maximum number of nodes for the autoscaler, from MinCount to 1000 and at least 1. Defaults to no
	// autoscaling.
	MaxCount int `pulumi:"maxCount,optional"`
	// Zones are the availability zones of the nodes: those of 1, 2 and 3 that the location has. Defaults to Azure's
	// choice, without any guarantee. A change replaces the nodes.
	Zones []string `pulumi:"zones,optional"`
	// OSDiskType is Managed, or Ephemeral for a disk on the node itself, which requires a VM size whose cache or temporary
	// disk is as large as the disk (https://learn.microsoft.com/azure/aks/concepts-storage#ephemeral-os-disk). Defaults to
	// Azure's choice. A change replaces the nodes.
	OSDiskType OSDiskType `pulumi:"osDiskType,optional"`
	// OSDiskSizeGB is the size of the operating system's disk in GB, 30-2048. Defaults to Azure's default for the VM size.
	// A change replaces the nodes.
	OSDiskSizeGB int `pulumi:"osDiskSizeGb,optional"`
	// MaxPods is the maximum number of pods on a node, 10-250, at least 30 with the mode System. Defaults to Azure's
	// default, 250 with the overlay network. A change replaces the nodes.
	MaxPods int `pulumi:"maxPods,optional"`
	// Labels of the nodes, by Kubernetes' rules. AKS and Kubernetes reserve the prefixes kubernetes.azure.com,
	// kubernetes.io and k8s.io (https://learn.microsoft.com/azure/aks/use-labels). Defaults to those of AKS.
	Labels map[string]string `pulumi:"labels,optional"`
	// Taints of the nodes, each key=value:effect with the effect NoSchedule, PreferNoSchedule or NoExecute. With the mode
	// System, only PreferNoSchedule and CriticalAddonsOnly are allowed (https://github.com/Azure/AKS/issues/2578).
	// Defaults to none.
	Taints []string `pulumi:"taints,optional"`
	// Subnet is the name, in [AksWithCsiArgs.Subnets], of the nodes' subnet. Defaults to the only one; required if there
	// are several. A change replaces the nodes.
	Subnet string `pulumi:"subnet,optional"`
	// Spot uses Azure's spare capacity, which Azure takes back at any time, for at most the regular price. The nodes get
	// AKS' label kubernetes.azure.com/scalesetpriority=spot and the taint
	// kubernetes.azure.com/scalesetpriority=spot:NoSchedule (https://learn.microsoft.com/azure/aks/spot-node-pool). Not
	// with the mode System. Defaults to regular nodes. A change replaces the nodes.
	Spot bool `pulumi:"spot,optional"`
	// HostEncryption also encrypts temporary disks and caches. The subscription needs the feature EncryptionAtHost
	// (https://learn.microsoft.com/azure/aks/enable-host-encryption). Defaults to false: only managed disks are encrypted.
	// A change replaces the nodes.
	HostEncryption bool `pulumi:"hostEncryption,optional"`
	// CriticalAddonsOnly taints the pool with CriticalAddonsOnly=true:NoSchedule, so that workloads run in other pools, of
	// which at least one is required. Only with the mode System. Defaults to false: workloads run there too.
	CriticalAddonsOnly bool `pulumi:"criticalAddonsOnly,optional"`
}

// immutablePoolProperties are properties that Azure refuses to change but azure-native would send. For vmSize,
// azure-native replaces the pool itself.
var immutablePoolProperties = []string{
	"availabilityZones", "enableEncryptionAtHost", "maxPods", "osDiskSizeGB", "osDiskType", "osType", "scaleSetPriority",
	"vnetSubnetID",
}

func (args *AksWithCsiArgs) systemPool() NodePoolArgs {
	var pool NodePoolArgs
	if args.SystemPool != nil {
		pool = *args.SystemPool
	}
	pool.Name = withDefault(pool.Name, defaultSystemPoolName)
	pool.Mode = withDefault(pool.Mode, NodePoolSystem)
	return pool.complete()
}

// complete returns the pool with the defaults of its mode.
func (p NodePoolArgs) complete() NodePoolArgs {
	p.Mode = withDefault(p.Mode, NodePoolUser)
	if p.Mode == NodePoolSystem && p.autoscaled() {
		p.MinCount = withDefault(p.MinCount, 1)
	}
	return p
}

// pools returns the system pool and the others.
func (args *AksWithCsiArgs) pools() []NodePoolArgs {
	return append([]NodePoolArgs{args.systemPool()}, args.NodePools...)
}

const windows = "Windows"

// osType returns the operating system family of the nodes.
func (p NodePoolArgs) osType() string {
	if p.OSSku == OSSkuWindows2019 || p.OSSku == OSSkuWindows2022 {
		return windows
	}
	return "Linux"
}

func (p NodePoolArgs) autoscaled() bool { return p.MinCount != 0 || p.MaxCount != 0 }

// startCount returns the number of nodes to create. Azure requires it to be within the autoscaler's bounds.
func (p NodePoolArgs) startCount() int {
	if p.autoscaled() {
		return withDefault(p.Count, p.MinCount)
	}
	return withDefault(p.Count, 1)
}

func (p NodePoolArgs) taints() pulumi.StringArrayInput {
	taints := slices.Clone(p.Taints)
	if p.CriticalAddonsOnly {
		taints = append(taints, criticalAddonsOnly)
	}
	if p.Spot && !slices.Contains(taints, spotTaint) {
		taints = append(taints, spotTaint)
	}
	return optionalList(taints)
}

func (p NodePoolArgs) labels() pulumi.StringMapInput {
	labels := map[string]string{}
	maps.Copy(labels, p.Labels)
	if p.Spot {
		labels[spotLabel] = "spot"
	}
	return optionalMap(labels)
}

// profile returns the pool as a part of the cluster. It omits the version: AKS refuses a body with the versions of only
// some pools (NotAllAgentPoolOrchestratorVersionSpecifiedAndUnchanged), and the body does not contain the other pools.
func (args *AksWithCsiArgs) profile(p NodePoolArgs) containerservice.ManagedClusterAgentPoolProfileArgs {
	profile := containerservice.ManagedClusterAgentPoolProfileArgs{
		Name:                   pulumi.String(p.Name),
		Mode:                   containerservice.AgentPoolModeSystem,
		Type:                   containerservice.AgentPoolTypeVirtualMachineScaleSets,
		OsType:                 pulumi.String("Linux"),
		OsSKU:                  optional(string(p.OSSku)),
		VmSize:                 pulumi.String(withDefault(p.VMSize, defaultNodeVMSize)),
		Count:                  pulumi.Int(p.startCount()),
		AvailabilityZones:      optionalList(p.Zones),
		OsDiskType:             optional(string(p.OSDiskType)),
		OsDiskSizeGB:           optionalInt(p.OSDiskSizeGB),
		MaxPods:                optionalInt(p.MaxPods),
		NodeLabels:             p.labels(),
		NodeTaints:             p.taints(),
		VnetSubnetID:           args.subnetIDOf(p),
		EnableEncryptionAtHost: pulumi.Bool(p.HostEncryption),
		EnableNodePublicIP:     pulumi.Bool(false),
		Tags:                   args.Tags,
	}
	if p.autoscaled() {
		profile.EnableAutoScaling = pulumi.Bool(true)
		profile.MinCount, profile.MaxCount = pulumi.Int(p.MinCount), pulumi.Int(p.MaxCount)
	}
	return profile
}

// newNodePools creates the pools besides the system pool one after another: AKS runs one operation of a cluster at a
// time, and answers others with 409 (OperationNotAllowed, AnotherOperationInProgress). The pools are deleted with the
// cluster. It returns them after the previous resources.
func (c *AksWithCsi) newNodePools(
	ctx *pulumi.Context, name string, args *AksWithCsiArgs, cluster *containerservice.ManagedCluster, self controlPlane,
	previous []pulumi.Resource,
) ([]pulumi.Resource, error) {
	pools := previous
	for _, p := range args.NodePools {
		p = p.complete()
		pool := &containerservice.AgentPoolArgs{
			ResourceGroupName:      args.ResourceGroupName,
			ResourceName:           cluster.Name,
			AgentPoolName:          pulumi.String(p.Name),
			Mode:                   pulumi.String(p.Mode),
			Type:                   containerservice.AgentPoolTypeVirtualMachineScaleSets,
			OsType:                 pulumi.String(p.osType()),
			OsSKU:                  optional(string(p.OSSku)),
			OrchestratorVersion:    optional(args.KubernetesVersion),
			VmSize:                 pulumi.String(withDefault(p.VMSize, defaultNodeVMSize)),
			Count:                  pulumi.Int(p.startCount()),
			AvailabilityZones:      optionalList(p.Zones),
			OsDiskType:             optional(string(p.OSDiskType)),
			OsDiskSizeGB:           optionalInt(p.OSDiskSizeGB),
			MaxPods:                optionalInt(p.MaxPods),
			NodeLabels:             p.labels(),
			NodeTaints:             p.taints(),
			VnetSubnetID:           args.subnetIDOf(p),
			EnableEncryptionAtHost: pulumi.Bool(p.HostEncryption),
			EnableNodePublicIP:     pulumi.Bool(false),
			Tags:                   args.Tags,
		}
		opts := []pulumi.ResourceOption{
			pulumi.Parent(c), pulumi.DependsOn(previous), pulumi.DeletedWith(cluster),
			// The name stays the same, so the old pool must be deleted first.
			pulumi.ReplaceOnChanges(immutablePoolProperties), pulumi.DeleteBeforeReplace(true),
		}
		if p.osType() == windows {
			opts = append(opts, pulumi.ReplaceOnChanges([]string{"osSKU"}))
		}
		if p.autoscaled() {
			pool.EnableAutoScaling = pulumi.Bool(true)
			pool.MinCount, pool.MaxCount = pulumi.Int(p.MinCount), pulumi.Int(p.MaxCount)
		}
		if p.Mode == NodePoolSystem { // it may have become the system pool
			opts = append(opts, pulumi.RetainOnDelete(true))
		}
		if p.Spot {
			pool.ScaleSetPriority = containerservice.ScaleSetPrioritySpot
			pool.ScaleSetEvictionPolicy = containerservice.ScaleSetEvictionPolicyDelete
			pool.SpotMaxPrice = pulumi.Float64(-1)
		}
		created, err := containerservice.NewAgentPool(ctx, name+"-pool-"+p.Name, pool, append(opts, self.opts...)...)
		if err != nil {
			return nil, fmt.Errorf("creating the node pool %s: %w", p.Name, err)
		}
		previous = []pulumi.Resource{created}
		pools = append(pools, created)
	}
	return pools, nil
}

func (v *violations) validatePools(args *AksWithCsiArgs) {
	system := args.systemPool()
	oneOf(v, "systemPool.mode", system.Mode, NodePoolSystem)
	system.Mode = NodePoolSystem
	v.validatePool("systemPool", system)
	forWorkloads := slices.ContainsFunc(args.NodePools, func(pool NodePoolArgs) bool { return !pool.CriticalAddonsOnly })
	v.check(!system.CriticalAddonsOnly || forWorkloads, "systemPool.criticalAddonsOnly", system.CriticalAddonsOnly,
		"false without another pool for workloads")

	seen := map[string]bool{system.Name: true}
	for i, pool := range args.NodePools {
		path := fmt.Sprintf("nodePools[%d]", i)
		pool = pool.complete()
		oneOf(v, path+".mode", pool.Mode, NodePoolSystem, NodePoolUser)
		v.validatePool(path, pool)
		// https://learn.microsoft.com/azure/aks/azure-cni-powered-by-cilium#limitations
		v.check(pool.osType() != windows || args.NetworkPolicy != NetworkPolicyCilium, path+".osSku", string(pool.OSSku),
			"Ubuntu, AzureLinux with the network policy cilium")
		v.check(!seen[pool.Name], path+".name", pool.Name, "a name that no other pool has; the system pool's is "+system.Name)
		seen[pool.Name] = true
	}
}

// validateMode checks what a pool's mode rules out.
func (v *violations) validateMode(path string, p NodePoolArgs) {
	if p.Mode != NodePoolSystem {
		v.check(!p.CriticalAddonsOnly, path+".criticalAddonsOnly", p.CriticalAddonsOnly, "false without the mode System")
		return
	}
	v.check(p.MaxPods < maxPodsMin || p.MaxPods >= systemPodsMin, path+".maxPods", p.MaxPods,
		fmt.Sprintf("at least %d pods with the mode System", systemPodsMin))
	for i, t := range p.Taints {
		v.check(!validTaint(t) || strings.HasSuffix(t, ":PreferNoSchedule"), fmt.Sprintf("%s.taints[%d]", path, i), t,
			"the effect PreferNoSchedule with the mode System, or criticalAddonsOnly instead")
	}
	v.check(!p.Spot, path+".spot", p.Spot, "false for a system pool")
}

func (v *violations) validatePool(path string, p NodePoolArgs) {
	v.match(poolName, path+".name", p.Name, "1-12 lower-case letters and digits, starting with a letter")
	v.match(vmSize, path+".vmSize", withDefault(p.VMSize, defaultNodeVMSize), "a VM size such as "+defaultNodeVMSize)
	v.validateCounts(path, p)
	seen := map[string]bool{}
	for i, zone := range p.Zones {
		at := fmt.Sprintf("%s.zones[%d]", path, i)
		oneOf(v, at, zone, "1", "2", "3")
		v.check(!seen[zone], at, zone, "a zone listed once")
		seen[zone] = true
	}
	if p.OSDiskType != "" {
		oneOf(v, path+".osDiskType", p.OSDiskType, OSDiskManaged, OSDiskEphemeral)
	}
	if p.OSSku != "" {
		oneOf(v, path+".osSku", p.OSSku, OSSkuUbuntu, OSSkuAzureLinux, OSSkuWindows2019, OSSkuWindows2022)
	}
	if p.osType() == windows {
		v.check(len(p.Name) <= windowsPoolNameMax, path+".name", p.Name,
			fmt.Sprintf("at most %d characters for nodes that run Windows", windowsPoolNameMax))
		v.check(p.Mode != NodePoolSystem, path+".osSku", string(p.OSSku), "Ubuntu, AzureLinux with the mode System")
	}
	v.check(p.OSDiskSizeGB == 0 || p.OSDiskSizeGB >= osDiskSizeGBMin && p.OSDiskSizeGB <= osDiskSizeGBMax,
		path+".osDiskSizeGb", p.OSDiskSizeGB, fmt.Sprintf("%d-%d GB", osDiskSizeGBMin, osDiskSizeGBMax))
	v.check(p.MaxPods == 0 || p.MaxPods >= maxPodsMin && p.MaxPods <= maxPodsMax, path+".maxPods", p.MaxPods,
		fmt.Sprintf("%d-%d pods", maxPodsMin, maxPodsMax))
	v.validateLabels(path+".labels", p.Labels)
	for _, key := range slices.Sorted(maps.Keys(p.Labels)) {
		v.check(!reservedLabel.MatchString(key), path+".labels", key,
			"keys without the prefixes kubernetes.azure.com, kubernetes.io and k8s.io")
	}
	v.validateMode(path, p)
	for i, t := range p.Taints {
		v.check(validTaint(t), fmt.Sprintf("%s.taints[%d]", path, i), t,
			"key=value:effect with the effect NoSchedule, PreferNoSchedule or NoExecute")
	}
}

// validTaint checks a taint against Kubernetes' rules, which are those of labels:
// https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/node-v1/#NodeSpec
func validTaint(taint string) bool {
	key, rest, _ := strings.Cut(taint, "=")
	value, effect, _ := strings.Cut(rest, ":")
	return validLabelKey(key) && labelPart.MatchString(value) &&
		slices.Contains([]string{"NoSchedule", "PreferNoSchedule", "NoExecute"}, effect)
}

func (v *violations) validateCounts(path string, p NodePoolArgs) {
	fewest, most := 1, nodeCountMax
	if p.autoscaled() {
		if p.MinCount < 0 || p.MinCount > nodeCountMax {
			v.add(path+".minCount", p.MinCount, fmt.Sprintf("up to %d nodes, with maxCount", nodeCountMax))
			return
		}
		if p.MaxCount < max(p.MinCount, 1) || p.MaxCount > nodeCountMax {
			v.add(path+".maxCount", p.MaxCount, fmt.Sprintf("%d-%d nodes, at least minCount", max(p.MinCount, 1), nodeCountMax))
			return
		}
		fewest, most = p.MinCount, p.MaxCount
	}
	v.check(p.startCount() >= fewest && p.startCount() <= most, path+".count", p.startCount(),
		fmt.Sprintf("%d-%d nodes", fewest, most))
}
