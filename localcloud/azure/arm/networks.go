package arm

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

const (
	networksType = "Microsoft.Network/virtualNetworks"
	subnetsType  = networksType + "/subnets"
)

// joinSubnet is the permission to put something into a subnet.
const joinSubnet = "Microsoft.Network/virtualNetworks/subnets/join/action"

// keyVaultService is the service endpoint of Key Vault.
const keyVaultService = "Microsoft.KeyVault"

// putNetwork writes a network with its subnets, in the body's order. Subnets that the body leaves out are deleted, as Azure does it.
func (c *call) putNetwork() (reply, error) {
	old, res, err := c.begin(networksType, true)
	if err != nil {
		return reply{}, err
	}
	properties := child(res, "properties")
	var given networkProperties
	if err := decode(properties, &given); err != nil {
		return reply{}, err
	}
	space, err := parsePrefixes(given.AddressSpace.AddressPrefixes)
	if err != nil {
		return reply{}, err
	}
	if len(space) == 0 {
		return reply{}, badRequest("InvalidAddressSpace", "The address space of the virtual network '%s' is empty.", c.name())
	}
	for _, r := range space {
		if slices.ContainsFunc(reservedByNetworks, r.Overlaps) {
			return reply{}, badRequest("InvalidAddressSpace", "The address space %s of the virtual network '%s' overlaps with a reserved range.", r, c.name())
		}
	}
	if len(given.Peerings) > 0 {
		return reply{}, notImplemented("peerings of virtual networks")
	}
	sent, _ := properties["subnets"].([]any)
	properties["resourceGuid"] = uuid.NewString()
	if old != nil {
		properties["resourceGuid"] = child(old, "properties")["resourceGuid"]
	}
	setDefault(properties, "enableDdosProtection", false)
	setDefault(properties, "virtualNetworkPeerings", []any{})
	setState(res, succeeded)
	answer, err := c.written(old, res)
	if err != nil {
		return reply{}, err
	}
	if err := c.writeSubnets(text(res, "id"), sent); err != nil {
		return reply{}, err
	}
	answer.body, _, err = load(c.tx, text(res, "id"))
	return answer, err
}

func (c *call) writeSubnets(network string, sent []any) error {
	wanted := map[string]bool{}
	for _, s := range sent {
		subnet, _ := s.(object)
		name := text(subnet, "name")
		if name == "" || wanted[strings.ToLower(name)] {
			return badRequest("InvalidRequestFormat", "The subnets of a virtual network need names of their own.")
		}
		wanted[strings.ToLower(name)] = true
	}
	existing, err := under(c.tx, network, subnetsType)
	if err != nil {
		return err
	}
	for _, subnet := range existing {
		if !wanted[strings.ToLower(text(subnet, "name"))] {
			if err := c.removeSubnet(subnet); err != nil {
				return err
			}
		}
	}
	for _, s := range sent {
		subnet, _ := s.(object)
		name := text(subnet, "name")
		res := object{"id": network + "/subnets/" + name, "name": name, "type": subnetsType, "properties": child(subnet, "properties")}
		old, _, err := load(c.tx, text(res, "id"))
		if err != nil {
			return err
		}
		if err := c.writeSubnet(network, old, res); err != nil {
			return err
		}
	}
	return mirrorSubnets(c.tx, network)
}

// writeSubnet checks a subnet against its network and its siblings, and writes it.
func (c *call) writeSubnet(network string, old, res object) error {
	properties := child(res, "properties")
	var given subnetProperties
	if err := decode(properties, &given); err != nil {
		return err
	}
	if len(given.Delegations) > 0 {
		return notImplemented("delegations of subnets")
	}
	own, err := subnetPrefixes(res)
	if err != nil {
		return err
	}
	if len(own) == 0 {
		return badRequest("AddressPrefixStringCannotBeNullOrEmpty", "Address prefix string for resource %s cannot be null or empty.", text(res, "id"))
	}
	parent, _, err := load(c.tx, network)
	if err != nil {
		return err
	}
	var in networkProperties
	if err := decode(child(parent, "properties"), &in); err != nil {
		return err
	}
	space, err := parsePrefixes(in.AddressSpace.AddressPrefixes)
	if err != nil {
		return err
	}
	siblings, err := under(c.tx, network, subnetsType)
	if err != nil {
		return err
	}
	for _, prefix := range own {
		if prefix.Bits() > 29 {
			return badRequest("NetcfgSubnetRangeTooSmall", "Subnet '%s' is not valid: its range %s has to have at least 8 addresses.",
				text(res, "name"), prefix)
		}
		if !slices.ContainsFunc(space, func(all netip.Prefix) bool { return all.Bits() <= prefix.Bits() && all.Contains(prefix.Addr()) }) {
			return badRequest("NetcfgInvalidSubnet", "Subnet '%s' is not valid in virtual network '%s': its range %s is not in the address space.",
				text(res, "name"), text(parent, "name"), prefix)
		}
		for _, sibling := range siblings {
			theirs, err := subnetPrefixes(sibling)
			if err != nil {
				return err
			}
			if !strings.EqualFold(text(sibling, "id"), text(res, "id")) && slices.ContainsFunc(theirs, prefix.Overlaps) {
				return badRequest("NetcfgSubnetRangesOverlap", "Subnet '%s' is not valid because its IP address range overlaps with that of an "+
					"existing subnet in virtual network '%s'.", text(res, "name"), text(parent, "name"))
			}
		}
	}
	if old != nil {
		before, err := subnetPrefixes(old)
		if err != nil {
			return err
		}
		user, err := c.userOfSubnet(text(old, "id"))
		if err != nil {
			return err
		}
		if user != "" && !slices.Equal(before, own) {
			return badRequest("InUsePrefixCannotBeDeleted", "IpPrefix %v on Subnet %s has active allocations and cannot be deleted.",
				before[0], text(old, "name"))
		}
	}
	if err := checkServiceEndpoints(given); err != nil {
		return err
	}
	if err := c.checkWaysOut(given, text(parent, "location")); err != nil {
		return err
	}
	if endpoints, ok := properties["serviceEndpoints"].([]any); ok {
		for _, endpoint := range endpoints {
			if endpoint, ok := endpoint.(object); ok {
				setDefault(endpoint, "locations", []any{"*"})
				endpoint["provisioningState"] = succeeded
			}
		}
	}
	delete(properties, "privateEndpoints")
	setDefault(properties, "delegations", []any{})
	setDefault(properties, "privateEndpointNetworkPolicies", "Disabled")
	setDefault(properties, "privateLinkServiceNetworkPolicies", "Enabled")
	setState(res, succeeded)
	return save(c.tx, res)
}

func checkServiceEndpoints(p subnetProperties) error {
	for _, endpoint := range p.ServiceEndpoints {
		if endpoint.Service == "" {
			return badRequest("InvalidServiceEndpoint", "A service endpoint needs the name of its service.")
		}
		if !strings.EqualFold(endpoint.Service, keyVaultService) {
			return notImplemented("the service endpoint %s", endpoint.Service)
		}
	}
	for _, policy := range []string{p.PrivateEndpointNetworkPolicies, p.PrivateLinkServiceNetworkPolicies} {
		if !slices.Contains([]string{"", "Enabled", "Disabled", "NetworkSecurityGroupEnabled", "RouteTableEnabled"}, policy) {
			return badRequest("InvalidRequestFormat", "Cannot parse the request: '%s' is no network policy.", policy)
		}
	}
	return nil
}

func parsePrefixes(given []string) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for _, s := range given {
		prefix, err := netip.ParsePrefix(s)
		switch {
		case err != nil:
			return nil, badRequest("InvalidAddressPrefixFormat", "Address prefix %s is not formatted correctly. It should follow CIDR "+
				"notation, for example 10.0.0.0/24.", s)
		case prefix != prefix.Masked():
			return nil, badRequest("InvalidCIDRNotation", "The address prefix %s has an invalid CIDR notation. For the given prefix length, the "+
				"address prefix should be %s.", s, prefix.Masked())
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}

func subnetPrefixes(res object) ([]netip.Prefix, error) {
	var p subnetProperties
	if err := decode(child(res, "properties"), &p); err != nil {
		return nil, err
	}
	if p.AddressPrefix != "" {
		p.AddressPrefixes = []string{p.AddressPrefix}
	}
	return parsePrefixes(p.AddressPrefixes)
}

// mirrorSubnets shows a network's subnets in it.
func mirrorSubnets(tx *store.Tx, network string) error {
	return mirror(tx, network, subnetsType, "subnets", func(subnet object) object { return subnet })
}

func (c *call) putSubnet() (reply, error) {
	old, res, err := c.begin(subnetsType, false)
	if err != nil {
		return reply{}, err
	}
	if err := c.writeSubnet(c.top(), old, res); err != nil {
		return reply{}, err
	}
	answer, err := c.written(old, res)
	if err != nil {
		return reply{}, err
	}
	return answer, mirrorSubnets(c.tx, c.top())
}

func (c *call) deleteSubnet() (reply, error) {
	res, ok, err := load(c.tx, c.path)
	if err != nil || !ok {
		return reply{status: http.StatusNoContent}, err
	}
	if err := c.removeSubnet(res); err != nil {
		return reply{}, err
	}
	return reply{}, mirrorSubnets(c.tx, c.top())
}

func (c *call) removeSubnet(subnet object) error {
	if err := c.subnetIsFree(subnet); err != nil {
		return err
	}
	return destroy(c.tx, subnet)
}

// subnetIsFree refuses to take away a subnet that something is in.
func (c *call) subnetIsFree(subnet object) error {
	user, err := c.userOfSubnet(text(subnet, "id"))
	if err != nil || user == "" {
		return err
	}
	return badRequest("InUseSubnetCannotBeDeleted", "Subnet %s is in use by %s and cannot be deleted. In order to delete the subnet, delete "+
		"all the resources within the subnet. See aka.ms/deletesubnet.", text(subnet, "name"), user)
}

// userOfSubnet is the id of a private endpoint or cluster in a subnet, or empty.
func (c *call) userOfSubnet(id string) (string, error) {
	endpoints, err := under(c.tx, "/subscriptions", endpointsType)
	if err != nil {
		return "", err
	}
	for _, endpoint := range endpoints {
		if strings.EqualFold(text(child(child(endpoint, "properties"), "subnet"), "id"), id) {
			return text(endpoint, "id"), nil
		}
	}
	pools, err := under(c.tx, "/subscriptions", poolsType)
	if err != nil {
		return "", err
	}
	for _, pool := range pools {
		properties := child(pool, "properties")
		if strings.EqualFold(text(properties, "vnetSubnetID"), id) || strings.EqualFold(text(properties, "podSubnetID"), id) {
			return text(pool, "id"), nil
		}
	}
	return "", nil
}

func (c *call) deleteNetwork() (reply, error) {
	res, ok, err := load(c.tx, c.path)
	if err != nil || !ok {
		return reply{status: http.StatusNoContent}, err
	}
	subnets, err := under(c.tx, c.path, subnetsType)
	if err != nil {
		return reply{}, err
	}
	for _, subnet := range subnets {
		if err := c.subnetIsFree(subnet); err != nil {
			return reply{}, err
		}
	}
	return reply{}, destroy(c.tx, res)
}

// findSubnet looks up a subnet that another resource refers to.
func (c *call) findSubnet(id string) (object, error) {
	t := parse(http.MethodGet, id)
	if !strings.EqualFold(t.kind, subnetsType) || t.collection {
		return nil, badRequest("LinkedInvalidPropertyId", "Property id '%s' is invalid. Expect the id of a subnet: '%s'.", id,
			"/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/"+networksType+"/{name}/subnets/{name}")
	}
	res, ok, err := load(c.tx, id)
	if err == nil && !ok {
		err = badRequest("InvalidResourceReference", "Resource %s referenced by resource %s was not found. Please make sure that the "+
			"referenced resource exists, and that both resources are in the same region.", id, c.path)
	}
	return res, err
}

// mirror shows the nested resources of a type in the resource that they are in, those that it showed before in the same order.
func mirror(tx *store.Tx, parent, kind, property string, shown func(object) object) error {
	res, ok, err := load(tx, parent)
	if err != nil || !ok {
		return err
	}
	nested, err := under(tx, parent, kind)
	if err != nil {
		return err
	}
	before, _ := child(res, "properties")[property].([]any)
	place := func(nested object) int {
		i := slices.IndexFunc(before, func(one any) bool {
			was, _ := one.(object)
			return strings.EqualFold(text(was, "name"), text(nested, "name"))
		})
		if i < 0 {
			return len(before)
		}
		return i
	}
	slices.SortStableFunc(nested, func(a, b object) int { return place(a) - place(b) })
	list := make([]any, len(nested))
	for i, one := range nested {
		list[i] = shown(one)
	}
	child(res, "properties")[property] = list
	return save(tx, res)
}
