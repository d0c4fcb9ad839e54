package containerservice

import (
	"net/netip"
	"slices"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/network"
)

// reservedByAKS lists ranges that the pods, services and network of a cluster cannot have
// (learn.microsoft.com/azure/aks/concepts-network-cni-overview#prerequisites).
var reservedByAKS = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("172.30.0.0/16"),
	netip.MustParsePrefix("172.31.0.0/16"),
	netip.MustParsePrefix("192.0.2.0/24"),
}

// AKS's limits of a cluster (learn.microsoft.com/azure/aks/quotas-skus-regions).
const (
	maxPools     = 100
	maxNodes     = 5000
	maxFreeNodes = 1000 // learn.microsoft.com/azure/aks/free-standard-pricing-tiers
)

func nodesOf(pools []poolProperties) int {
	nodes := 0
	for _, pool := range pools {
		if pool.Count != nil {
			nodes += *pool.Count
		}
	}
	return nodes
}

// checkPoolTotals checks the limits for all pools of a cluster.
func checkPoolTotals(pools []poolProperties) error {
	nodes := nodesOf(pools)
	if len(pools) > maxPools || nodes > maxNodes {
		return arm.InvalidParameter("agentPoolProfiles",
			"a cluster can have at most %d pools and %d nodes, not %d pools and %d nodes",
			maxPools, maxNodes, len(pools), nodes)
	}
	return nil
}

// checkClusterNetwork checks the network of a pool's subnet. It must not overlap with ranges that AKS reserves. Names
// have a maximum length because AKS uses them in labels
// (learn.microsoft.com/azure/aks/azure-cni-overlay#limitations-with-azure-cni-overlay).
func checkClusterNetwork(c *arm.Call, id string) error {
	res, ok, err := arm.Load(c.Tx, arm.Cut(id, 2))
	if err != nil || !ok {
		return err
	}
	var vnet network.NetworkProperties
	if err := arm.Decode(arm.Child(res, "properties"), &vnet); err != nil {
		return err
	}
	space, err := network.ParsePrefixes(vnet.AddressSpace.AddressPrefixes)
	if err != nil {
		return err
	}
	for _, r := range space {
		if slices.ContainsFunc(reservedByAKS, r.Overlaps) {
			return arm.InvalidParameter("agentPoolProfile.vnetSubnetID",
				"the range %s of the virtual network overlaps with a range that AKS reserves", r)
		}
	}
	subnet, ok := arm.ParseID(id, network.SubnetsType)
	if !ok {
		return arm.InvalidParameter("agentPoolProfile.vnetSubnetID", "%q is not the id of a subnet", id)
	}
	for _, name := range []string{subnet.ResourceGroupName, subnet.Parent.Name, subnet.Name} {
		if len(name) > 63 {
			return arm.InvalidParameter("agentPoolProfile.vnetSubnetID", "the name %q is longer than 63 characters", name)
		}
	}
	return nil
}
