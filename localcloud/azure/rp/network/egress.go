package network

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Resource types for the outbound connections of subnets.
const (
	routeTablesType = "Microsoft.Network/routeTables"
	gatewaysType    = "Microsoft.Network/natGateways"
	AddressesType   = "Microsoft.Network/publicIPAddresses"
	securityType    = "Microsoft.Network/networkSecurityGroups"
)

// JoinAddress is the permission to use a public address.
const JoinAddress = AddressesType + "/join/action"

// hops lists the types of next hops (learn.microsoft.com/azure/virtual-network/virtual-networks-udr-overview).
var hops = []string{"VirtualNetworkGateway", "VnetLocal", "Internet", "VirtualAppliance", "None"}

func putRouteTable(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.Begin(routeTablesType, true)
	if err != nil {
		return arm.Reply{}, err
	}
	properties := arm.Child(res, "properties")
	var given routeTableProperties
	if err := arm.Decode(properties, &given); err != nil {
		return arm.Reply{}, err
	}
	names, prefixes := map[string]bool{}, map[string]bool{}
	for _, route := range given.Routes {
		if err := route.Properties.check(route.Name); err != nil {
			return arm.Reply{}, err
		}
		name := fold.Lower(route.Name)
		if name == "" || names[name] {
			return arm.Reply{}, arm.BadRequest("InvalidRequestFormat", "The routes of a route table need unique names.")
		}
		if err := checkName(route.Name); err != nil {
			return arm.Reply{}, err
		}
		names[name] = true
		if prefixes[route.Properties.Prefix] {
			return arm.Reply{}, arm.BadRequest("RouteConflict", "Route %s conflicts with another one in the route table "+
				"%s: both have the address prefix %s.", route.Name, c.Name(), route.Properties.Prefix)
		}
		prefixes[route.Properties.Prefix] = true
	}
	routes, _ := properties["routes"].([]any)
	for _, route := range routes {
		if route, ok := route.(arm.Object); ok {
			route["id"], route["type"] = arm.Text(res, "id")+"/routes/"+arm.Text(route, "name"), routeTablesType+"/routes"
			arm.Child(route, "properties")["provisioningState"] = arm.Succeeded
		}
	}
	arm.SetDefault(properties, "routes", []any{})
	arm.SetDefault(properties, "disableBgpRoutePropagation", false)
	return putEgress(c, old, res)
}

// putSecurityGroup writes a network security group, which can only have Azure's default rules.
func putSecurityGroup(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.Begin(securityType, true)
	if err != nil {
		return arm.Reply{}, err
	}
	var given securityGroupProperties
	if err := arm.Decode(arm.Child(res, "properties"), &given); err != nil {
		return arm.Reply{}, err
	}
	if len(given.Rules) > 0 {
		return arm.Reply{}, arm.NotImplemented("rules of network security groups")
	}
	arm.SetDefault(arm.Child(res, "properties"), "securityRules", []any{})
	return putEgress(c, old, res)
}

func (p routeProperties) check(name string) error {
	if _, err := ParsePrefixes([]string{p.Prefix}); err != nil { // there are no service tags
		return err
	}
	switch address, err := netip.ParseAddr(p.HopAddress); {
	case !slices.Contains(hops, p.Hop):
		return arm.BadRequest("InvalidRequestFormat", "Cannot parse the request: the next hop type '%s' of the route %s "+
			"must be one of %s.", p.Hop, name, strings.Join(hops, ", "))
	case p.Hop == "VirtualAppliance" && (err != nil || !address.Is4()):
		return arm.BadRequest("InvalidNextHopIpAddress",
			"The next hop of the route %s is a virtual appliance and needs an IPv4 address.", name)
	case p.Hop != "VirtualAppliance" && p.HopAddress != "":
		return arm.BadRequest("InvalidNextHopIpAddress",
			"The route %s can have a next hop address only with the next hop type VirtualAppliance.", name)
	}
	return nil
}

// putGateway writes a NAT gateway.
func putGateway(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.Begin(gatewaysType, true)
	if err != nil {
		return arm.Reply{}, err
	}
	properties := arm.Child(res, "properties")
	var given GatewayProperties
	if err := arm.Decode(properties, &given); err != nil {
		return arm.Reply{}, err
	}
	switch minutes := given.IdleMinutes; {
	case arm.Text(arm.Child(res, "sku"), "name") != "Standard":
		return arm.Reply{}, arm.NotImplemented("NAT gateways of another sku than Standard")
	case len(given.Prefixes) > 0:
		return arm.Reply{}, arm.NotImplemented("public IP prefixes")
	case minutes != nil && (*minutes < 4 || *minutes > 120):
		return arm.Reply{}, arm.BadRequest("InvalidIdleTimeoutInMinutes",
			"The idle timeout of the NAT gateway %s must be between 4 and 120 minutes.", c.Name())
	}
	for _, address := range given.Addresses {
		if err := CheckAddress(c, res, address.ID); err != nil {
			return arm.Reply{}, err
		}
	}
	arm.SetDefault(properties, "idleTimeoutInMinutes", 4)
	return putEgress(c, old, res)
}

// The first public addresses, in ranges for documentation (RFC 5737), which nobody uses.
var (
	firstPublicAddress = netip.MustParseAddr("198.51.100.1")
	// FirstClusterAddress is the first public address that AKS creates for clusters.
	FirstClusterAddress = netip.MustParseAddr("203.0.113.2")
)

// putAddress writes a public address.
func putAddress(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.Begin(AddressesType, true)
	if err != nil {
		return arm.Reply{}, err
	}
	properties := arm.Child(res, "properties")
	var given addressProperties
	if err := arm.Decode(properties, &given); err != nil {
		return arm.Reply{}, err
	}
	ipv4 := given.Version == "" || given.Version == "IPv4"
	if arm.Text(arm.Child(res, "sku"), "name") != "Standard" || given.Method != "Static" || !ipv4 {
		return arm.Reply{}, arm.NotImplemented("public addresses other than static IPv4 addresses of the sku Standard")
	}
	var address string
	if old != nil {
		address = arm.Text(arm.Child(old, "properties"), "ipAddress")
	} else if address, err = FreePublicAddress(c.Tx, firstPublicAddress); err != nil {
		return arm.Reply{}, err
	}
	FillAddress(res, address)
	return putEgress(c, old, res)
}

// FillAddress sets the properties that Azure adds to a public address.
func FillAddress(res arm.Object, address string) {
	arm.SetDefault(arm.Child(res, "sku"), "tier", "Regional")
	properties := arm.Child(res, "properties")
	properties["ipAddress"] = address
	arm.SetDefault(properties, "publicIPAddressVersion", "IPv4")
	arm.SetDefault(properties, "idleTimeoutInMinutes", 4)
}

// FreePublicAddress returns the first address from first on that no resource has. The address is in the same /24 range.
func FreePublicAddress(tx *store.Tx, first netip.Addr) (string, error) {
	all, err := arm.Under(tx, "/subscriptions", AddressesType)
	taken := map[any]bool{}
	for _, one := range all {
		taken[arm.Child(one, "properties")["ipAddress"]] = true
	}
	within := netip.PrefixFrom(first, 24)
	for address := first; within.Contains(address); address = address.Next() {
		if !taken[address.String()] {
			return address.String(), err
		}
	}
	return "", arm.BadRequest("PublicIPCountLimitReached",
		"Cannot create more than 255 public IP addresses for this subscription in this region.")
}

func putEgress(c *arm.Call, old, res arm.Object) (arm.Reply, error) {
	FillEgress(old, res)
	return c.Written(old, res)
}

// FillEgress sets the properties that Azure adds to all resources for outbound connections.
func FillEgress(old, res arm.Object) {
	properties := arm.Child(res, "properties")
	// Azure sets these when another resource refers to this one.
	for _, reference := range []string{"subnets", "natGateway"} {
		delete(properties, reference)
	}
	properties["resourceGuid"] = uuid.NewString()
	if old != nil {
		properties["resourceGuid"] = arm.Child(old, "properties")["resourceGuid"]
	}
	arm.SetState(res, arm.Succeeded)
}

// checkPart checks that a resource that another one refers to exists, in the same region, and that the caller may join
// it.
func checkPart(c *arm.Call, id, kind, location string) error {
	if _, ok := arm.ParseID(id, kind); !ok {
		return arm.BadRequest("LinkedInvalidPropertyId",
			"Property id '%s' is invalid. Expect the id of a resource of type %s.", id, kind)
	}
	res, ok, err := arm.Load(c.Tx, id)
	if err != nil {
		return err
	}
	if !ok || arm.Text(res, "location") != location {
		return arm.BadRequest("InvalidResourceReference", "Resource %s referenced by resource %s was not found. Please "+
			"make sure that the referenced resource exists, and that both resources are in the same region.", id, c.Path)
	}
	return c.CheckLinked(kind+"/join/action", id)
}

// CheckAddress checks that a public address that a resource refers to exists and that no other resource uses it.
func CheckAddress(c *arm.Call, res arm.Object, id string) error {
	if err := checkPart(c, id, AddressesType, arm.Text(res, "location")); err != nil {
		return err
	}
	user, err := c.UserOf(c.Tx, id)
	if err == nil && user != "" && !fold.Equal(user, arm.Text(res, "id")) {
		err = arm.BadRequest("PublicIPAddressInUse", "Resource %s is referencing public IP address %s that is already "+
			"allocated to resource %s.", arm.Text(res, "id"), id, user)
	}
	return err
}

// subnetsWith returns the subnets whose property refers to the resource of the call.
func subnetsWith(c *arm.Call, property string) ([]arm.Object, error) {
	subnets, err := arm.Under(c.Tx, "/subscriptions", SubnetsType)
	return slices.DeleteFunc(subnets, func(subnet arm.Object) bool {
		part, _ := arm.Child(subnet, "properties")[property].(arm.Object)
		return !fold.Equal(arm.Text(part, "id"), c.Path)
	}), err
}

// getOfSubnets returns a Get that adds the subnets whose property refers to the resource.
func getOfSubnets(property string) func(*arm.Call) (arm.Reply, error) {
	return func(c *arm.Call) (arm.Reply, error) {
		answer, err := c.GetStored()
		if err != nil {
			return arm.Reply{}, err
		}
		subnets, err := subnetsWith(c, property)
		var ids []arm.Object
		for _, subnet := range subnets {
			ids = append(ids, arm.Object{"id": subnet["id"]})
		}
		if ids != nil {
			res, _ := answer.Body.(arm.Object)
			arm.Child(res, "properties")["subnets"] = ids
		}
		return answer, err
	}
}

// deleteOfSubnets returns a Delete that refuses with a code while the property of a subnet refers to the resource.
func deleteOfSubnets(property, code string) func(*arm.Call) (arm.Reply, error) {
	return func(c *arm.Call) (arm.Reply, error) {
		subnets, err := subnetsWith(c, property)
		if err != nil {
			return arm.Reply{}, err
		}
		if len(subnets) > 0 {
			return arm.Reply{}, arm.BadRequest(code, "%s is in use by the subnet %s and cannot be deleted.",
				c.Path, arm.Text(subnets[0], "id"))
		}
		return c.DeleteStored()
	}
}

func deleteAddress(c *arm.Call) (arm.Reply, error) {
	user, err := c.UserOf(c.Tx, c.Path)
	if err != nil {
		return arm.Reply{}, err
	}
	if user != "" {
		return arm.Reply{}, arm.BadRequest("PublicIPAddressCannotBeDeleted",
			"Public IP address %s can not be deleted since it is still allocated to resource %s.", c.Path, user)
	}
	return c.DeleteStored()
}

// checkWaysOut checks that the route table, the NAT gateway and the network security group of a subnet exist.
func checkWaysOut(c *arm.Call, p SubnetProperties, location string) error {
	if p.RouteTable.ID != "" {
		if err := checkPart(c, p.RouteTable.ID, routeTablesType, location); err != nil {
			return err
		}
	}
	if p.SecurityGroup.ID != "" {
		if err := checkPart(c, p.SecurityGroup.ID, securityType, location); err != nil {
			return err
		}
	}
	if p.NATGateway.ID != "" {
		return checkPart(c, p.NATGateway.ID, gatewaysType, location)
	}
	return nil
}

// WaysOut returns the NAT gateway and the route table of a subnet, each nil if it has none.
func WaysOut(tx *store.Tx, subnetID string) (gateway, table arm.Object, err error) {
	subnet, ok, err := arm.Load(tx, subnetID)
	if err != nil || !ok {
		return nil, nil, err
	}
	var p SubnetProperties
	if err := arm.Decode(arm.Child(subnet, "properties"), &p); err != nil {
		return nil, nil, err
	}
	if gateway, _, err = arm.Load(tx, p.NATGateway.ID); err != nil {
		return nil, nil, err
	}
	table, _, err = arm.Load(tx, p.RouteTable.ID)
	return gateway, table, err
}

// CheckGateway returns an error if a subnet has no NAT gateway or the gateway has no public address.
func CheckGateway(gateway arm.Object, subnet string) error {
	if gateway == nil {
		return arm.BadRequest("SubnetNotAssociatedWithNATGateway", "The subnet %s is not associated with a NAT gateway.",
			subnet)
	}
	var p GatewayProperties
	if err := arm.Decode(arm.Child(gateway, "properties"), &p); err != nil {
		return err
	}
	if len(p.Addresses) == 0 {
		return arm.BadRequest("NATGatewayNotAssociatedWithPublicIPOrIPPrefix",
			"The NAT gateway %s is not associated with any public IP or IP prefix.", arm.Text(gateway, "id"))
	}
	return nil
}

// CheckDefaultRoute returns an error if a subnet has no route table or the table has no default route to a virtual
// appliance or a gateway.
func CheckDefaultRoute(table arm.Object, subnet string) error {
	if table == nil {
		return arm.BadRequest("ExistingRouteTableNotAssociatedWithSubnet", "An existing route table has not been "+
			"associated with subnet %s. Please update the route table association", subnet)
	}
	hop, err := DefaultHop(table)
	switch {
	case err != nil:
		return err
	case hop == "":
		return arm.BadRequest("RouteTableMissingDefaultRouteError", "The route table %s has no default route 0.0.0.0/0.",
			arm.Text(table, "id"))
	case hop != "VirtualAppliance" && hop != "VirtualNetworkGateway":
		return arm.BadRequest("RouteTableInvalidNextHop", "Default route 0.0.0.0/0 has a next hop of %s but only next "+
			"hops of VirtualAppliance or VirtualNetworkGateway are allowed. Please see http://aka.ms/aks/outboundtype "+
			"for more details", hop)
	}
	return nil
}

// DefaultHop returns the next hop of the default route of a route table, or "" if it has none.
func DefaultHop(table arm.Object) (string, error) {
	var p routeTableProperties
	err := arm.Decode(arm.Child(table, "properties"), &p)
	for _, route := range p.Routes {
		if route.Properties.Prefix == "0.0.0.0/0" {
			return route.Properties.Hop, err
		}
	}
	return "", err
}
