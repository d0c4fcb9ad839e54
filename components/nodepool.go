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

// criticalAddonsOnly keeps pods off the system pool, except those of AKS itself, which tolerate it:
// https://learn.microsoft.com/azure/aks/use-system-pools
const criticalAddonsOnly = "CriticalAddonsOnly=true:NoSchedule"

// What AKS puts on spot nodes. It is sent too, so that a refresh finds what was sent:
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

// reservedLabel is the key of a label that AKS keeps for itself: https://learn.microsoft.com/azure/aks/use-labels
var reservedLabel = regexp.MustCompile(`^(.*\.)?(kubernetes\.azure\.com|kubernetes\.io|k8s\.io)/`)

// NodePoolArgs are equal nodes. They have no public addresses. What Azure cannot change in place replaces
// the nodes of a pool in [AksWithCsiArgs.NodePools], and is refused by Azure for the system pool: see Mode.
type NodePoolArgs struct {
	// Name is 1-12 lower-case letters and digits, a letter first, and unique in the cluster. Defaults to system for the
	// system pool; required for others. A change replaces the nodes.
	Name string `pulumi:"name,optional"`
	// Mode is System for a pool that may run what AKS needs, or User for one that runs workloads only
	// (https://learn.microsoft.com/azure/aks/use-system-pools). One with the mode System in [AksWithCsiArgs.NodePools]
	// stays in Azure when it is taken out of the list, since SystemPool may name it next; so a change that would
	// replace its nodes takes another name. Defaults to System for the system pool, which has no other, and to User for
	// others.
	Mode NodePoolMode `pulumi:"mode,optional"`
	// VMSize is the size of the nodes. Defaults to Standard_D2s_v5. A change replaces the nodes.
	VMSize string `pulumi:"vmSize,optional"`
	// OSSku is the system of the nodes: Ubuntu, AzureLinux, Windows2019 or Windows2022. Defaults to Azure's choice, Ubuntu.
	// A change between the first two makes the nodes again one after another
	// (https://learn.microsoft.com/azure/azure-linux/tutorial-azure-linux-migration); another one replaces them. Windows is
	// not for the mode System, nor with the network policy cilium, and gives the pool a name of at most 6 characters
	// (https://learn.microsoft.com/azure/aks/windows-vs-linux-containers). Its pods mount as those of Linux do; the test pod
	// and the probe run on Linux. The account of the nodes' administrator is left to AKS.
	OSSku OSSku `pulumi:"osSku,optional"`
	// Count is the number of nodes, 1-1000. Defaults to 1, or MinCount. With MinCount and MaxCount it lies between them
	// and is only the number to start with, from which the autoscaler goes on; it is sent again with every update of the
	// pool, and that of the system pool with every update of the cluster.
	Count int `pulumi:"count,optional"`
	// MinCount is the fewest nodes the autoscaler keeps, up to 1000; it takes MaxCount. Defaults to none, one with the
	// mode System.
	MinCount int `pulumi:"minCount,optional"`
	// MaxCount is the most nodes the autoscaler makes, MinCount-1000 and at least one. Defaults to no autoscaling.
	MaxCount int `pulumi:"maxCount,optional"`
	// Zones are the availability zones that the nodes are spread over, of 1, 2 and 3 those that the location has. Defaults
	// to Azure's choice, without any promise. A change replaces the nodes.
	Zones []string `pulumi:"zones,optional"`
	// OSDiskType is Managed, or Ephemeral for a disk on the node itself, which takes a VM size whose cache or temporary
	// disk is as large as the disk (https://learn.microsoft.com/azure/aks/concepts-storage#ephemeral-os-disk). Defaults to
	// Azure's choice. A change replaces the nodes.
	OSDiskType OSDiskType `pulumi:"osDiskType,optional"`
	// OSDiskSizeGB is the size of the system's disk in GB, 30-2048. Defaults to Azure's default for the VM size. A change
	// replaces the nodes.
	OSDiskSizeGB int `pulumi:"osDiskSizeGb,optional"`
	// MaxPods is the most pods on a node, 10-250, with the mode System at least 30. Defaults to Azure's default, 250 with
	// the overlay network. A change replaces the nodes.
	MaxPods int `pulumi:"maxPods,optional"`
	// Labels of the nodes, by Kubernetes' rules; the prefixes kubernetes.azure.com, kubernetes.io and k8s.io are AKS' and
	// Kubernetes' own (https://learn.microsoft.com/azure/aks/use-labels). Defaults to those of AKS.
	Labels map[string]string `pulumi:"labels,optional"`
	// Taints of the nodes, each key=value:effect with the effect NoSchedule, PreferNoSchedule or NoExecute; the mode System
	// can only have PreferNoSchedule and CriticalAddonsOnly (https://github.com/Azure/AKS/issues/2578). Defaults to none.
	Taints []string `pulumi:"taints,optional"`
	// Subnet is the name in [AksWithCsiArgs.Subnets] of the subnet that the nodes are in. Defaults to the only one;
	// required with several. A change replaces the nodes.
	Subnet string `pulumi:"subnet,optional"`
	// Spot makes nodes of capacity that Azure has left and takes back at any time, for at most the regular price. They
	// have AKS' label kubernetes.azure.com/scalesetpriority=spot and the taint
	// kubernetes.azure.com/scalesetpriority=spot:NoSchedule (https://learn.microsoft.com/azure/aks/spot-node-pool). Not
	// with the mode System. Defaults to regular nodes. A change replaces the nodes.
	Spot bool `pulumi:"spot,optional"`
	// HostEncryption encrypts temporary disks and caches too; the subscription needs the feature EncryptionAtHost
	// (https://learn.microsoft.com/azure/aks/enable-host-encryption). Defaults to false: only managed disks are encrypted.
	// A change replaces the nodes.
	HostEncryption bool `pulumi:"hostEncryption,optional"`
	// CriticalAddonsOnly taints the pool with CriticalAddonsOnly=true:NoSchedule, so that workloads go to other pools, of
	// which there must be one. Only with the mode System. Defaults to false: workloads run there too.
	CriticalAddonsOnly bool `pulumi:"criticalAddonsOnly,optional"`
}

// immutablePoolProperties are those that Azure refuses to change and azure-native would send all the same; vmSize it
// replaces itself.
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

// complete is the pool with the defaults of its mode.
func (p NodePoolArgs) complete() NodePoolArgs {
	p.Mode = withDefault(p.Mode, NodePoolUser)
	if p.Mode == NodePoolSystem && p.autoscaled() {
		p.MinCount = withDefault(p.MinCount, 1)
	}
	return p
}

// pools are the system pool and the others.
func (args *AksWithCsiArgs) pools() []NodePoolArgs {
	return append([]NodePoolArgs{args.systemPool()}, args.NodePools...)
}

const windows = "Windows"

// osType is the kind of system that the nodes have.
func (p NodePoolArgs) osType() string {
	if p.OSSku == OSSkuWindows2019 || p.OSSku == OSSkuWindows2022 {
		return windows
	}
	return "Linux"
}

func (p NodePoolArgs) autoscaled() bool { return p.MinCount != 0 || p.MaxCount != 0 }

// startCount is the number of nodes to create; Azure wants it between the autoscaler's bounds.
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

// profile is the pool as a part of the cluster. It says nothing of the version: AKS refuses a body that has some pools'
// versions only (NotAllAgentPoolOrchestratorVersionSpecifiedAndUnchanged), and the other pools are not in it.
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
		profile.EnableAutoScaling, profile.MinCount, profile.MaxCount = pulumi.Bool(
			true,
		), pulumi.Int(
			p.MinCount,
		), pulumi.Int(
			p.MaxCount,
		)
	}
	return profile
}

// newNodePools creates the pools besides the system pool one after another: AKS works on one operation of a cluster at
// a time, and answers 409 (OperationNotAllowed, AnotherOperationInProgress) to others. They go with the cluster. It
// returns them with what came before them.
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
			// The name stays, so the old pool has to go first.
			pulumi.ReplaceOnChanges(immutablePoolProperties), pulumi.DeleteBeforeReplace(true),
		}
		if p.osType() == windows {
			opts = append(opts, pulumi.ReplaceOnChanges([]string{"osSKU"}))
		}
		if p.autoscaled() {
			pool.EnableAutoScaling, pool.MinCount, pool.MaxCount = pulumi.Bool(
				true,
			), pulumi.Int(
				p.MinCount,
			), pulumi.Int(
				p.MaxCount,
			)
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
		"false without nodePools that are not so, since workloads could run nowhere")

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

// validateMode checks what the mode of a pool rules out.
func (v *violations) validateMode(path string, p NodePoolArgs) {
	if p.Mode != NodePoolSystem {
		v.check(!p.CriticalAddonsOnly, path+".criticalAddonsOnly", p.CriticalAddonsOnly, "false without the mode System")
		return
	}
	v.check(p.MaxPods < maxPodsMin || p.MaxPods >= systemPodsMin, path+".maxPods", p.MaxPods,
		fmt.Sprintf("at least %d pods, of which AKS needs some", systemPodsMin))
	for i, t := range p.Taints {
		v.check(!validTaint(t) || strings.HasSuffix(t, ":PreferNoSchedule"), fmt.Sprintf("%s.taints[%d]", path, i), t,
			"the effect PreferNoSchedule with the mode System, or criticalAddonsOnly instead")
	}
	v.check(!p.Spot, path+".spot", p.Spot, "false; a system pool has to stay")
}

func (v *violations) validatePool(path string, p NodePoolArgs) {
	v.match(poolName, path+".name", p.Name, "1-12 lower-case letters and digits, a letter first")
	v.match(vmSize, path+".vmSize", withDefault(p.VMSize, defaultNodeVMSize), "a VM size such as "+defaultNodeVMSize)
	v.validateCounts(path, p)
	seen := map[string]bool{}
	for i, zone := range p.Zones {
		at := fmt.Sprintf("%s.zones[%d]", path, i)
		oneOf(v, at, zone, "1", "2", "3")
		v.check(!seen[zone], at, zone, "a zone once in the list")
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
	v.check(
		p.OSDiskSizeGB == 0 || p.OSDiskSizeGB >= osDiskSizeGBMin && p.OSDiskSizeGB <= osDiskSizeGBMax,
		path+".osDiskSizeGb",
		p.OSDiskSizeGB,
		fmt.Sprintf("%d-%d GB", osDiskSizeGBMin, osDiskSizeGBMax),
	)
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

// validTaint holds a taint to Kubernetes' rules, which are those of labels:
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
	v.check(
		p.startCount() >= fewest && p.startCount() <= most,
		path+".count",
		p.startCount(),
		fmt.Sprintf("%d-%d nodes", fewest, most),
	)
}
