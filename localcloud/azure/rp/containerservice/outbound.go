package containerservice

import (
	"slices"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/network"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Outbound types for which AKS creates public addresses (learn.microsoft.com/azure/aks/egress-outboundtype).
const (
	balancedOutbound = "loadBalancer"
	gatewayOutbound  = "managedNATGateway"
)

var outboundTypes = []string{
	balancedOutbound, gatewayOutbound, "userAssignedNATGateway", "userDefinedRouting", "none", "block",
}

// outboundProfiles maps outbound types to the profiles in networkProfile that have their addresses.
var outboundProfiles = map[string]string{balancedOutbound: "loadBalancerProfile", gatewayOutbound: "natGatewayProfile"}

type balancerProfile struct {
	Managed struct {
		Count *int `json:"count"`
		IPv6  int  `json:"countIPv6"`
	} `json:"managedOutboundIPs"`
	Own struct {
		Addresses []arm.SubResource `json:"publicIPs"`
	} `json:"outboundIPs"`
	OwnPrefixes struct {
		Prefixes []arm.SubResource `json:"publicIPPrefixes"`
	} `json:"outboundIPPrefixes"`
	Effective   []arm.SubResource `json:"effectiveOutboundIPs"`
	Ports       *int              `json:"allocatedOutboundPorts"`
	IdleMinutes *int              `json:"idleTimeoutInMinutes"`
}

type natProfile struct {
	Managed struct {
		Count *int `json:"count"`
	} `json:"managedOutboundIPProfile"`
	Effective   []arm.SubResource `json:"effectiveOutboundIPs"`
	IdleMinutes *int              `json:"idleTimeoutInMinutes"`
}

// outboundAddresses returns the outbound public addresses of a cluster.
func (n networkProfile) outboundAddresses() []arm.SubResource {
	return slices.Concat(n.Balancer.Effective, n.NAT.Effective)
}

// managedAddresses returns the outbound addresses of a cluster that AKS has created.
func (n networkProfile) managedAddresses() []arm.SubResource {
	return slices.DeleteFunc(n.outboundAddresses(), func(address arm.SubResource) bool {
		return contains(n.Balancer.Own.Addresses, address.ID)
	})
}

// wantedAddresses returns the number of addresses that AKS must create, and the addresses that the user provides.
func (n networkProfile) wantedAddresses() (managed int, own []arm.SubResource) {
	count := func(given *int) int {
		if given == nil {
			return 0
		}
		return *given
	}
	switch {
	case n.Outbound == gatewayOutbound:
		return count(n.NAT.Managed.Count), nil
	case n.Outbound == balancedOutbound && !fold.Equal(n.LoadBalancer, "basic"):
		return count(n.Balancer.Managed.Count), n.Balancer.Own.Addresses
	}
	return 0, nil
}

// contains reports whether a list has a resource.
func contains(list []arm.SubResource, id string) bool {
	return slices.ContainsFunc(list, func(one arm.SubResource) bool { return fold.Equal(one.ID, id) })
}

func (n networkProfile) checkAddresses() error {
	for _, of := range []struct {
		at    string
		count *int
		most  int
	}{
		{"loadBalancerProfile.managedOutboundIPs.count", n.Balancer.Managed.Count, 100},
		{"natGatewayProfile.managedOutboundIPProfile.count", n.NAT.Managed.Count, 16},
	} {
		if of.count != nil && (*of.count < 1 || *of.count > of.most) {
			return arm.InvalidParameter("networkProfile."+of.at, "%d is not between 1 and %d", *of.count, of.most)
		}
	}
	for profile, minutes := range map[string]*int{
		"loadBalancerProfile": n.Balancer.IdleMinutes,
		"natGatewayProfile":   n.NAT.IdleMinutes,
	} {
		if minutes != nil && (*minutes < 4 || *minutes > 120) {
			return arm.InvalidParameter("networkProfile."+profile+".idleTimeoutInMinutes",
				"%d is not between 4 and 120", *minutes)
		}
	}
	if ports := n.Balancer.Ports; ports != nil && (*ports < 0 || *ports > 64000 || *ports%8 != 0) {
		return arm.InvalidParameter("networkProfile.loadBalancerProfile.allocatedOutboundPorts",
			"%d is not a multiple of 8 between 0 and 64000", *ports)
	}
	switch {
	case n.Balancer.Managed.IPv6 > 0:
		return arm.NotImplemented("IPv6 outbound addresses")
	case len(n.Balancer.OwnPrefixes.Prefixes) > 0:
		return arm.NotImplemented("public IP prefixes")
	}
	return nil
}

// fillOutbound sets the defaults of the profile of a cluster's outbound type.
func (n networkProfile) fillOutbound(network arm.Object) {
	switch network["outboundType"] {
	case gatewayOutbound:
		gateway := arm.Child(network, "natGatewayProfile")
		arm.SetDefault(gateway, "idleTimeoutInMinutes", 4)
		arm.SetDefault(arm.Child(gateway, "managedOutboundIPProfile"), "count", 1)
	case balancedOutbound:
		if fold.Equal(n.LoadBalancer, "basic") {
			return
		}
		balancer := arm.Child(network, "loadBalancerProfile")
		arm.SetDefault(balancer, "backendPoolType", "nodeIPConfiguration")
		if len(n.Balancer.Own.Addresses) == 0 {
			arm.SetDefault(arm.Child(balancer, "managedOutboundIPs"), "count", 1)
		}
	}
}

// keepOutbound copies outbound profiles that an update does not have from the cluster, unless the update changes the
// outbound type.
func keepOutbound(old, network arm.Object) {
	if network["outboundType"] != old["outboundType"] {
		return
	}
	for _, name := range outboundProfiles {
		if profile, ok := old[name].(arm.Object); ok {
			arm.SetDefault(network, name, arm.Clone(profile))
		}
	}
}

// checkOwnAddresses checks the outbound public addresses that the user provides.
func checkOwnAddresses(c *arm.Call, cluster arm.Object, n networkProfile) error {
	for _, address := range n.Balancer.Own.Addresses {
		if err := network.CheckAddress(c, cluster, address.ID); err != nil {
			return err
		}
		if err := checkClusterMay(c, cluster, network.JoinAddress, address.ID); err != nil {
			return err
		}
	}
	return nil
}

// fillOutboundAddresses creates and removes public addresses until a cluster has the addresses that it wants, and adds
// them to the cluster. A change of the outbound type replaces all of them.
func fillOutboundAddresses(s *arm.Service, tx *store.Tx, cluster arm.Object, before networkProfile) error {
	var p clusterProperties
	if err := arm.Decode(arm.Child(cluster, "properties"), &p); err != nil {
		return err
	}
	count, own := p.Network.wantedAddresses()
	var effective []arm.SubResource
	for _, address := range before.managedAddresses() {
		res, ok, err := arm.Load(tx, address.ID)
		if ok && before.Outbound == p.Network.Outbound && len(effective) < count {
			effective = append(effective, address)
		} else if ok {
			err = s.Destroy(tx, res)
		}
		if err != nil {
			return err
		}
	}
	for len(effective) < count {
		address, err := makeOutboundAddress(tx, cluster)
		if err != nil {
			return err
		}
		effective = append(effective, address)
	}
	network := arm.Child(arm.Child(cluster, "properties"), "networkProfile")
	for outbound, name := range outboundProfiles {
		profile, _ := network[name].(arm.Object)
		delete(profile, "effectiveOutboundIPs")
		if all := slices.Concat(effective, own); profile != nil && outbound == p.Network.Outbound && len(all) > 0 {
			profile["effectiveOutboundIPs"] = all
		}
	}
	return nil
}

// makeOutboundAddress creates a public address in a cluster's node resource group.
func makeOutboundAddress(tx *store.Tx, cluster arm.Object) (arm.SubResource, error) {
	address, err := network.FreePublicAddress(tx, network.FirstClusterAddress)
	if err != nil {
		return arm.SubResource{}, err
	}
	name := uuid.NewString()
	id := nodeGroupID(cluster) + "/providers/" + network.AddressesType + "/" + name
	res := arm.Object{
		"id":         id,
		"name":       name,
		"type":       network.AddressesType,
		"location":   cluster["location"],
		"tags":       managedTags(cluster),
		"sku":        arm.Object{"name": "Standard"},
		"properties": arm.Object{"publicIPAllocationMethod": "Static"},
	}
	network.FillAddress(res, address)
	network.FillEgress(nil, res)
	return arm.SubResource{ID: id}, arm.Save(tx, res)
}

// checkOutbound checks that the pools' subnets have what the outbound type of the cluster needs
// (learn.microsoft.com/azure/aks/egress-outboundtype).
func checkOutbound(c *arm.Call, outbound string, pools []poolProperties) error {
	for _, pool := range pools {
		if outbound == gatewayOutbound && pool.SubnetID != "" {
			return arm.BadRequest("InvalidParameter", "Outbound type is managedNATGateway but agent pool '%s' is using "+
				"custom VNet, which is not allowed.", pool.Name)
		}
		if outbound != "userDefinedRouting" && outbound != "userAssignedNATGateway" {
			continue
		}
		if pool.SubnetID == "" {
			return arm.BadRequest("InvalidParameter", "Outbound type is %s but agent pool '%s' is not using custom VNet.",
				outbound, pool.Name)
		}
		gateway, table, err := network.WaysOut(c.Tx, pool.SubnetID)
		if err != nil {
			return err
		}
		if outbound == "userDefinedRouting" {
			err = network.CheckDefaultRoute(table, pool.SubnetID)
		} else {
			err = network.CheckGateway(gateway, pool.SubnetID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
