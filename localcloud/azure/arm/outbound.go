package arm

import (
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// The ways out of a cluster for which AKS makes public addresses (learn.microsoft.com/azure/aks/egress-outboundtype).
const (
	balancedOutbound = "loadBalancer"
	gatewayOutbound  = "managedNATGateway"
)

var outboundTypes = []string{
	balancedOutbound, gatewayOutbound, "userAssignedNATGateway", "userDefinedRouting", "none", "block",
}

// outboundProfiles names the parts of networkProfile that show the addresses of a way out.
var outboundProfiles = map[string]string{balancedOutbound: "loadBalancerProfile", gatewayOutbound: "natGatewayProfile"}

type balancerProfile struct {
	Managed struct {
		Count *int `json:"count"`
		IPv6  int  `json:"countIPv6"`
	} `json:"managedOutboundIPs"`
	Own struct {
		Addresses []subResource `json:"publicIPs"`
	} `json:"outboundIPs"`
	OwnPrefixes struct {
		Prefixes []subResource `json:"publicIPPrefixes"`
	} `json:"outboundIPPrefixes"`
	Effective   []subResource `json:"effectiveOutboundIPs"`
	Ports       *int          `json:"allocatedOutboundPorts"`
	IdleMinutes *int          `json:"idleTimeoutInMinutes"`
}

type natProfile struct {
	Managed struct {
		Count *int `json:"count"`
	} `json:"managedOutboundIPProfile"`
	Effective   []subResource `json:"effectiveOutboundIPs"`
	IdleMinutes *int          `json:"idleTimeoutInMinutes"`
}

// outboundAddresses returns the addresses that the nodes of a cluster go out from.
func (n networkProfile) outboundAddresses() []subResource {
	return slices.Concat(n.Balancer.Effective, n.NAT.Effective)
}

// managedAddresses returns those of a cluster's outbound addresses that AKS has made.
func (n networkProfile) managedAddresses() []subResource {
	return slices.DeleteFunc(n.outboundAddresses(), func(address subResource) bool {
		return contains(n.Balancer.Own.Addresses, address.ID)
	})
}

// wantedAddresses returns how many addresses AKS is to make, and those that it is given.
func (n networkProfile) wantedAddresses() (managed int, own []subResource) {
	count := func(given *int) int {
		if given == nil {
			return 0
		}
		return *given
	}
	switch {
	case n.Outbound == gatewayOutbound:
		return count(n.NAT.Managed.Count), nil
	case n.Outbound == balancedOutbound && !strings.EqualFold(n.LoadBalancer, "basic"):
		return count(n.Balancer.Managed.Count), n.Balancer.Own.Addresses
	}
	return 0, nil
}

// contains reports whether a resource is among others.
func contains(list []subResource, id string) bool {
	return slices.ContainsFunc(list, func(one subResource) bool { return strings.EqualFold(one.ID, id) })
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
			return invalidParameter("networkProfile."+of.at, "%d is not between 1 and %d", *of.count, of.most)
		}
	}
	for at, minutes := range map[string]*int{"loadBalancerProfile": n.Balancer.IdleMinutes, "natGatewayProfile": n.NAT.IdleMinutes} {
		if minutes != nil && (*minutes < 4 || *minutes > 120) {
			return invalidParameter("networkProfile."+at+".idleTimeoutInMinutes", "%d is not between 4 and 120", *minutes)
		}
	}
	if ports := n.Balancer.Ports; ports != nil && (*ports < 0 || *ports > 64000 || *ports%8 != 0) {
		return invalidParameter("networkProfile.loadBalancerProfile.allocatedOutboundPorts", "%d is no multiple of 8 up to 64000", *ports)
	}
	switch {
	case n.Balancer.Managed.IPv6 > 0:
		return notImplemented("outbound addresses of IPv6")
	case len(n.Balancer.OwnPrefixes.Prefixes) > 0:
		return notImplemented("public IP prefixes")
	}
	return nil
}

// fillOutbound writes the defaults of the profile of a cluster's way out.
func (n networkProfile) fillOutbound(network object) {
	switch network["outboundType"] {
	case gatewayOutbound:
		gateway := child(network, "natGatewayProfile")
		setDefault(gateway, "idleTimeoutInMinutes", 4)
		setDefault(child(gateway, "managedOutboundIPProfile"), "count", 1)
	case balancedOutbound:
		if strings.EqualFold(n.LoadBalancer, "basic") {
			return
		}
		balancer := child(network, "loadBalancerProfile")
		setDefault(balancer, "backendPoolType", "nodeIPConfiguration")
		if len(n.Balancer.Own.Addresses) == 0 {
			setDefault(child(balancer, "managedOutboundIPs"), "count", 1)
		}
	}
}

// keepOutbound keeps the profile of a cluster's way out that a body does not mention, unless the body changes the way
// out.
func keepOutbound(old, network object) {
	if network["outboundType"] != old["outboundType"] {
		return
	}
	for _, name := range outboundProfiles {
		if profile, ok := old[name].(object); ok {
			setDefault(network, name, clone(profile))
		}
	}
}

// checkOwnAddresses finds the public addresses that a cluster is to go out from instead of AKS's.
func (c *call) checkOwnAddresses(cluster object, n networkProfile) error {
	for _, address := range n.Balancer.Own.Addresses {
		if err := c.checkAddress(cluster, address.ID); err != nil {
			return err
		}
		if err := c.checkClusterMay(cluster, joinAddress, address.ID); err != nil {
			return err
		}
	}
	return nil
}

// fillOutboundAddresses makes and removes public addresses until a cluster has those that it wants, and shows them in
// it. Another way out has other addresses.
func fillOutboundAddresses(tx *store.Tx, cluster object, before networkProfile) error {
	var p clusterProperties
	if err := decode(child(cluster, "properties"), &p); err != nil {
		return err
	}
	count, own := p.Network.wantedAddresses()
	var effective []subResource
	for _, address := range before.managedAddresses() {
		res, ok, err := load(tx, address.ID)
		if ok && before.Outbound == p.Network.Outbound && len(effective) < count {
			effective = append(effective, address)
		} else if ok {
			err = destroy(tx, res)
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
	network := child(child(cluster, "properties"), "networkProfile")
	for outbound, name := range outboundProfiles {
		profile, _ := network[name].(object)
		delete(profile, "effectiveOutboundIPs")
		if all := slices.Concat(effective, own); profile != nil && outbound == p.Network.Outbound && len(all) > 0 {
			profile["effectiveOutboundIPs"] = all
		}
	}
	return nil
}

// makeOutboundAddress makes a public address in the group of a cluster's nodes.
func makeOutboundAddress(tx *store.Tx, cluster object) (subResource, error) {
	address, err := freePublicAddress(tx, firstClusterAddress)
	if err != nil {
		return subResource{}, err
	}
	name := uuid.NewString()
	id := nodeGroupID(cluster) + "/providers/" + addressesType + "/" + name
	res := object{
		"id": id, "name": name, "type": addressesType, "location": cluster["location"], "tags": managedTags(cluster),
		"sku": object{"name": "Standard"}, "properties": object{"publicIPAllocationMethod": "Static"},
	}
	fillAddress(res, address)
	fillEgress(nil, res)
	return subResource{ID: id}, save(tx, res)
}
