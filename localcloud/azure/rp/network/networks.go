package network

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

const (
	networksType = "Microsoft.Network/virtualNetworks"
	// SubnetsType is the resource type of subnets.
	SubnetsType = networksType + "/subnets"
)

// JoinSubnet is the permission to put a resource into a subnet.
const JoinSubnet = "Microsoft.Network/virtualNetworks/subnets/join/action"

// KeyVaultService is the name of Key Vault's service endpoint.
const KeyVaultService = "Microsoft.KeyVault"

// putNetwork writes a network with its subnets, in the order of the body. Like Azure, it deletes subnets that the body
// does not have.
func putNetwork(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.Begin(networksType, true)
	if err != nil {
		return arm.Reply{}, err
	}
	properties := arm.Child(res, "properties")
	var given NetworkProperties
	if err := arm.Decode(properties, &given); err != nil {
		return arm.Reply{}, err
	}
	space, err := ParsePrefixes(given.AddressSpace.AddressPrefixes)
	if err != nil {
		return arm.Reply{}, err
	}
	if len(space) == 0 {
		return arm.Reply{}, arm.BadRequest("InvalidAddressSpace",
			"The address space of the virtual network '%s' is empty.", c.Name())
	}
	for _, r := range space {
		if slices.ContainsFunc(reservedByNetworks, r.Overlaps) {
			return arm.Reply{}, arm.BadRequest("InvalidAddressSpace",
				"The address space %s of the virtual network '%s' overlaps with a reserved range.", r, c.Name())
		}
	}
	if len(given.Peerings) > 0 {
		return arm.Reply{}, arm.NotImplemented("peerings of virtual networks")
	}
	sent, _ := properties["subnets"].([]any)
	properties["resourceGuid"] = uuid.NewString()
	if old != nil {
		properties["resourceGuid"] = arm.Child(old, "properties")["resourceGuid"]
	}
	arm.SetDefault(properties, "enableDdosProtection", false)
	arm.SetDefault(properties, "virtualNetworkPeerings", []any{})
	arm.SetState(res, arm.Succeeded)
	answer, err := c.Written(old, res)
	if err != nil {
		return arm.Reply{}, err
	}
	if err := writeSubnets(c, arm.Text(res, "id"), sent); err != nil {
		return arm.Reply{}, err
	}
	answer.Body, _, err = arm.Load(c.Tx, arm.Text(res, "id"))
	return answer, err
}

func writeSubnets(c *arm.Call, network string, sent []any) error {
	wanted := map[string]bool{}
	for _, s := range sent {
		subnet, _ := s.(arm.Object)
		name := arm.Text(subnet, "name")
		if name == "" || wanted[fold.Lower(name)] {
			return arm.BadRequest("InvalidRequestFormat", "The subnets of a virtual network need unique names.")
		}
		if err := checkName(name); err != nil {
			return err
		}
		wanted[fold.Lower(name)] = true
	}
	existing, err := arm.Under(c.Tx, network, SubnetsType)
	if err != nil {
		return err
	}
	for _, subnet := range existing {
		if !wanted[fold.Lower(arm.Text(subnet, "name"))] {
			if err := removeSubnet(c, subnet); err != nil {
				return err
			}
		}
	}
	for _, s := range sent {
		subnet, _ := s.(arm.Object)
		name := arm.Text(subnet, "name")
		res := arm.Object{
			"id":         network + "/subnets/" + name,
			"name":       name,
			"type":       SubnetsType,
			"properties": arm.Child(subnet, "properties"),
		}
		old, _, err := arm.Load(c.Tx, arm.Text(res, "id"))
		if err != nil {
			return err
		}
		if err := writeSubnet(c, network, old, res); err != nil {
			return err
		}
	}
	return mirrorSubnets(c.Tx, network)
}

// writeSubnet checks a subnet against its network and its siblings, and writes it.
func writeSubnet(c *arm.Call, network string, old, res arm.Object) error {
	properties := arm.Child(res, "properties")
	var given SubnetProperties
	if err := arm.Decode(properties, &given); err != nil {
		return err
	}
	if len(given.Delegations) > 0 {
		return arm.NotImplemented("delegations of subnets")
	}
	own, err := subnetPrefixes(res)
	if err != nil {
		return err
	}
	if len(own) == 0 {
		return arm.BadRequest("AddressPrefixStringCannotBeNullOrEmpty",
			"Address prefix string for resource %s cannot be null or empty.", arm.Text(res, "id"))
	}
	parent, _, err := arm.Load(c.Tx, network)
	if err != nil {
		return err
	}
	var in NetworkProperties
	if err := arm.Decode(arm.Child(parent, "properties"), &in); err != nil {
		return err
	}
	space, err := ParsePrefixes(in.AddressSpace.AddressPrefixes)
	if err != nil {
		return err
	}
	siblings, err := arm.Under(c.Tx, network, SubnetsType)
	if err != nil {
		return err
	}
	for _, prefix := range own {
		if prefix.Bits() > 29 {
			return arm.BadRequest("NetcfgSubnetRangeTooSmall",
				"Subnet '%s' is not valid: its range %s must have at least 8 addresses.", arm.Text(res, "name"), prefix)
		}
		if !slices.ContainsFunc(space, func(all netip.Prefix) bool {
			return all.Bits() <= prefix.Bits() && all.Contains(prefix.Addr())
		}) {
			return arm.BadRequest("NetcfgInvalidSubnet",
				"Subnet '%s' is not valid in virtual network '%s': its range %s is not in the address space.",
				arm.Text(res, "name"), arm.Text(parent, "name"), prefix)
		}
		for _, sibling := range siblings {
			theirs, err := subnetPrefixes(sibling)
			if err != nil {
				return err
			}
			another := !fold.Equal(arm.Text(sibling, "id"), arm.Text(res, "id"))
			if another && slices.ContainsFunc(theirs, prefix.Overlaps) {
				return arm.BadRequest("NetcfgSubnetRangesOverlap", "Subnet '%s' is not valid because its IP address range "+
					"overlaps with that of an existing subnet in virtual network '%s'.",
					arm.Text(res, "name"), arm.Text(parent, "name"))
			}
		}
	}
	if old != nil {
		before, err := subnetPrefixes(old)
		if err != nil {
			return err
		}
		user, err := c.UserOf(c.Tx, arm.Text(old, "id"))
		if err != nil {
			return err
		}
		if user != "" && !slices.Equal(before, own) {
			return arm.BadRequest("InUsePrefixCannotBeDeleted",
				"IpPrefix %v on Subnet %s has active allocations and cannot be deleted.", before[0], arm.Text(old, "name"))
		}
	}
	if err := checkServiceEndpoints(given); err != nil {
		return err
	}
	if err := checkWaysOut(c, given, arm.Text(parent, "location")); err != nil {
		return err
	}
	if endpoints, ok := properties["serviceEndpoints"].([]any); ok {
		for _, endpoint := range endpoints {
			if endpoint, ok := endpoint.(arm.Object); ok {
				arm.SetDefault(endpoint, "locations", []any{"*"})
				endpoint["provisioningState"] = arm.Succeeded
			}
		}
	}
	delete(properties, "privateEndpoints")
	arm.SetDefault(properties, "delegations", []any{})
	arm.SetDefault(properties, "privateEndpointNetworkPolicies", "Disabled")
	arm.SetDefault(properties, "privateLinkServiceNetworkPolicies", "Enabled")
	arm.SetState(res, arm.Succeeded)
	return arm.Save(c.Tx, res)
}

func checkServiceEndpoints(p SubnetProperties) error {
	for _, endpoint := range p.ServiceEndpoints {
		if endpoint.Service == "" {
			return arm.BadRequest("InvalidServiceEndpoint", "A service endpoint needs the name of its service.")
		}
		if !fold.Equal(endpoint.Service, KeyVaultService) {
			return arm.NotImplemented("the service endpoint %s", endpoint.Service)
		}
	}
	policies := []string{"", "Enabled", "Disabled", "NetworkSecurityGroupEnabled", "RouteTableEnabled"}
	for _, policy := range []string{p.PrivateEndpointNetworkPolicies, p.PrivateLinkServiceNetworkPolicies} {
		if !slices.Contains(policies, policy) {
			return arm.BadRequest("InvalidRequestFormat",
				"Cannot parse the request: the network policy '%s' must be one of %s.",
				policy, strings.Join(policies[1:], ", "))
		}
	}
	return nil
}

// ParsePrefixes parses address ranges in CIDR notation. Host bits must be zero.
func ParsePrefixes(given []string) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for _, s := range given {
		prefix, err := netip.ParsePrefix(s)
		switch {
		case err != nil:
			return nil, arm.BadRequest("InvalidAddressPrefixFormat", "Address prefix %s is not formatted correctly. It "+
				"should follow CIDR notation, for example 10.0.0.0/24.", s)
		case prefix != prefix.Masked():
			return nil, arm.BadRequest("InvalidCIDRNotation", "The address prefix %s has an invalid CIDR notation. For "+
				"the given prefix length, the address prefix should be %s.", s, prefix.Masked())
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}

func subnetPrefixes(res arm.Object) ([]netip.Prefix, error) {
	var p SubnetProperties
	if err := arm.Decode(arm.Child(res, "properties"), &p); err != nil {
		return nil, err
	}
	if p.AddressPrefix != "" {
		p.AddressPrefixes = []string{p.AddressPrefix}
	}
	return ParsePrefixes(p.AddressPrefixes)
}

// mirrorSubnets copies the subnets of a network into its body.
func mirrorSubnets(tx *store.Tx, network string) error {
	return arm.Mirror(tx, network, SubnetsType, "subnets", func(subnet arm.Object) arm.Object { return subnet })
}

func putSubnet(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.Begin(SubnetsType, false)
	if err != nil {
		return arm.Reply{}, err
	}
	if err := writeSubnet(c, c.Top(), old, res); err != nil {
		return arm.Reply{}, err
	}
	answer, err := c.Written(old, res)
	if err != nil {
		return arm.Reply{}, err
	}
	return answer, mirrorSubnets(c.Tx, c.Top())
}

func deleteSubnet(c *arm.Call) (arm.Reply, error) {
	res, ok, err := arm.Load(c.Tx, c.Path)
	if err != nil || !ok {
		return arm.Reply{Status: http.StatusNoContent}, err
	}
	if err := removeSubnet(c, res); err != nil {
		return arm.Reply{}, err
	}
	return arm.Reply{}, mirrorSubnets(c.Tx, c.Top())
}

func removeSubnet(c *arm.Call, subnet arm.Object) error {
	if err := subnetIsFree(c, subnet); err != nil {
		return err
	}
	return c.Destroy(c.Tx, subnet)
}

// subnetIsFree returns an error if a resource uses a subnet.
func subnetIsFree(c *arm.Call, subnet arm.Object) error {
	user, err := c.UserOf(c.Tx, arm.Text(subnet, "id"))
	if err != nil || user == "" {
		return err
	}
	return arm.BadRequest("InUseSubnetCannotBeDeleted", "Subnet %s is in use by %s and cannot be deleted. In order to "+
		"delete the subnet, delete all the resources within the subnet. See aka.ms/deletesubnet.",
		arm.Text(subnet, "name"), user)
}

func deleteNetwork(c *arm.Call) (arm.Reply, error) {
	res, ok, err := arm.Load(c.Tx, c.Path)
	if err != nil || !ok {
		return arm.Reply{Status: http.StatusNoContent}, err
	}
	subnets, err := arm.Under(c.Tx, c.Path, SubnetsType)
	if err != nil {
		return arm.Reply{}, err
	}
	for _, subnet := range subnets {
		if err := subnetIsFree(c, subnet); err != nil {
			return arm.Reply{}, err
		}
	}
	return arm.Reply{}, c.Destroy(c.Tx, res)
}

// FindSubnet returns a subnet that another resource refers to, or an error if it does not exist.
func FindSubnet(c *arm.Call, id string) (arm.Object, error) {
	if _, ok := arm.ParseID(id, SubnetsType); !ok {
		return nil, arm.BadRequest("LinkedInvalidPropertyId", "Property id '%s' is invalid. Expect the id of a subnet: "+
			"'/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/%s/{name}/subnets/{name}'.",
			id, networksType)
	}
	res, ok, err := arm.Load(c.Tx, id)
	if err == nil && !ok {
		err = arm.BadRequest("InvalidResourceReference", "Resource %s referenced by resource %s was not found. Please "+
			"make sure that the referenced resource exists, and that both resources are in the same region.", id, c.Path)
	}
	return res, err
}
