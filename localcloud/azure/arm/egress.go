package arm

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// The ways out of a subnet.
const (
	routeTablesType = "Microsoft.Network/routeTables"
	gatewaysType    = "Microsoft.Network/natGateways"
	addressesType   = "Microsoft.Network/publicIPAddresses"
	securityType    = "Microsoft.Network/networkSecurityGroups"

	joinAddress = addressesType + "/join/action"
)

// hops are where routes lead (learn.microsoft.com/azure/virtual-network/virtual-networks-udr-overview).
var hops = []string{"VirtualNetworkGateway", "VnetLocal", "Internet", "VirtualAppliance", "None"}

func (c *call) putRouteTable() (reply, error) {
	old, res, err := c.begin(routeTablesType, true)
	if err != nil {
		return reply{}, err
	}
	properties := child(res, "properties")
	var given routeTableProperties
	if err := decode(properties, &given); err != nil {
		return reply{}, err
	}
	names, prefixes := map[string]bool{}, map[string]bool{}
	for _, route := range given.Routes {
		if err := route.Properties.check(route.Name); err != nil {
			return reply{}, err
		}
		if name := strings.ToLower(route.Name); route.Name == "" || names[name] {
			return reply{}, badRequest("InvalidRequestFormat", "The routes of a route table need names of their own.")
		} else {
			names[name] = true
		}
		if prefixes[route.Properties.Prefix] {
			return reply{}, badRequest("RouteConflict", "Route %s conflicts with another one in the route table %s: both have the address "+
				"prefix %s.", route.Name, c.name(), route.Properties.Prefix)
		}
		prefixes[route.Properties.Prefix] = true
	}
	routes, _ := properties["routes"].([]any)
	for _, route := range routes {
		if route, ok := route.(object); ok {
			route["id"], route["type"] = text(res, "id")+"/routes/"+text(route, "name"), routeTablesType+"/routes"
			child(route, "properties")["provisioningState"] = succeeded
		}
	}
	setDefault(properties, "routes", []any{})
	setDefault(properties, "disableBgpRoutePropagation", false)
	return c.putEgress(old, res)
}

// putSecurityGroup makes a network security group, with Azure's own rules alone.
func (c *call) putSecurityGroup() (reply, error) {
	old, res, err := c.begin(securityType, true)
	if err != nil {
		return reply{}, err
	}
	var given securityGroupProperties
	if err := decode(child(res, "properties"), &given); err != nil {
		return reply{}, err
	}
	if len(given.Rules) > 0 {
		return reply{}, notImplemented("rules of network security groups")
	}
	setDefault(child(res, "properties"), "securityRules", []any{})
	return c.putEgress(old, res)
}

func (p routeProperties) check(name string) error {
	if _, err := parsePrefixes([]string{p.Prefix}); err != nil { // service tags are not known here
		return err
	}
	switch address, err := netip.ParseAddr(p.HopAddress); {
	case !slices.Contains(hops, p.Hop):
		return badRequest("InvalidRequestFormat", "Cannot parse the request: '%s' of the route %s is no type of a next hop: %s.", p.Hop, name,
			strings.Join(hops, ", "))
	case p.Hop == "VirtualAppliance" && (err != nil || !address.Is4()):
		return badRequest("InvalidNextHopIpAddress", "The next hop of the route %s is a virtual appliance, so it needs its IPv4 address.", name)
	case p.Hop != "VirtualAppliance" && p.HopAddress != "":
		return badRequest("InvalidNextHopIpAddress", "The route %s can only have a next hop's address with the type VirtualAppliance.", name)
	}
	return nil
}

// putGateway makes a NAT gateway, which goes out from its public addresses.
func (c *call) putGateway() (reply, error) {
	old, res, err := c.begin(gatewaysType, true)
	if err != nil {
		return reply{}, err
	}
	properties := child(res, "properties")
	var given gatewayProperties
	if err := decode(properties, &given); err != nil {
		return reply{}, err
	}
	switch minutes := given.IdleMinutes; {
	case text(child(res, "sku"), "name") != "Standard":
		return reply{}, notImplemented("NAT gateways of another sku than Standard")
	case len(given.Prefixes) > 0:
		return reply{}, notImplemented("public IP prefixes")
	case minutes != nil && (*minutes < 4 || *minutes > 120):
		return reply{}, badRequest("InvalidIdleTimeoutInMinutes", "The idle timeout of the NAT gateway %s has to be between 4 and 120 minutes.", c.name())
	}
	for _, address := range given.Addresses {
		if err := c.checkAddress(res, address.ID); err != nil {
			return reply{}, err
		}
	}
	setDefault(properties, "idleTimeoutInMinutes", 4)
	return c.putEgress(old, res)
}

// The first public addresses that resources get, of ranges for documentation (RFC 5737), since nobody has them.
var (
	firstPublicAddress  = netip.MustParseAddr("198.51.100.1")
	firstClusterAddress = netip.MustParseAddr("203.0.113.2") // of those that AKS makes
)

// putAddress makes a public address.
func (c *call) putAddress() (reply, error) {
	old, res, err := c.begin(addressesType, true)
	if err != nil {
		return reply{}, err
	}
	properties := child(res, "properties")
	var given addressProperties
	if err := decode(properties, &given); err != nil {
		return reply{}, err
	}
	if text(child(res, "sku"), "name") != "Standard" || given.Method != "Static" || given.Version != "" && given.Version != "IPv4" {
		return reply{}, notImplemented("public addresses that are not of the sku Standard, Static and IPv4")
	}
	var address string
	if old != nil {
		address = text(child(old, "properties"), "ipAddress")
	} else if address, err = freePublicAddress(c.tx, firstPublicAddress); err != nil {
		return reply{}, err
	}
	fillAddress(res, address)
	return c.putEgress(old, res)
}

// fillAddress writes what Azure adds to a public address.
func fillAddress(res object, address string) {
	setDefault(child(res, "sku"), "tier", "Regional")
	properties := child(res, "properties")
	properties["ipAddress"] = address
	setDefault(properties, "publicIPAddressVersion", "IPv4")
	setDefault(properties, "idleTimeoutInMinutes", 4)
}

// freePublicAddress returns the first address that no resource has, from one on to the end of its 256.
func freePublicAddress(tx *store.Tx, first netip.Addr) (string, error) {
	all, err := under(tx, "/subscriptions", addressesType)
	taken := map[any]bool{}
	for _, one := range all {
		taken[child(one, "properties")["ipAddress"]] = true
	}
	of := netip.PrefixFrom(first, 24)
	for address := first; of.Contains(address); address = address.Next() {
		if !taken[address.String()] {
			return address.String(), err
		}
	}
	return "", badRequest("PublicIPCountLimitReached", "Cannot create more than 255 public IP addresses for this subscription in this region.")
}

func (c *call) putEgress(old, res object) (reply, error) {
	fillEgress(old, res)
	return c.written(old, res)
}

// fillEgress writes what the ways out all have.
func fillEgress(old, res object) {
	properties := child(res, "properties")
	for _, shown := range []string{"subnets", "natGateway"} { // by what refers to it
		delete(properties, shown)
	}
	properties["resourceGuid"] = uuid.NewString()
	if old != nil {
		properties["resourceGuid"] = child(old, "properties")["resourceGuid"]
	}
	setState(res, succeeded)
}

// checkPart finds a resource that is a part of another one, in its region.
func (c *call) checkPart(id, kind, location string) error {
	t := parse(http.MethodGet, id)
	if !strings.EqualFold(t.kind, kind) || t.collection {
		return badRequest("LinkedInvalidPropertyId", "Property id '%s' is invalid. Expect the id of a resource of type %s.", id, kind)
	}
	res, ok, err := load(c.tx, id)
	if err != nil {
		return err
	}
	if !ok || text(res, "location") != location {
		return badRequest("InvalidResourceReference", "Resource %s referenced by resource %s was not found. Please make sure that the "+
			"referenced resource exists, and that both resources are in the same region.", id, c.path)
	}
	return c.checkLinked(kind+"/join/action", id)
}

// checkAddress finds a public address that a resource is to go out from. No other resource may have it.
func (c *call) checkAddress(res object, id string) error {
	if err := c.checkPart(id, addressesType, text(res, "location")); err != nil {
		return err
	}
	user, err := c.userOfAddress(id)
	if err == nil && user != "" && !strings.EqualFold(user, text(res, "id")) {
		err = badRequest("PublicIPAddressInUse", "Resource %s is referencing public IP address %s that is already allocated "+
			"to resource %s.", text(res, "id"), id, user)
	}
	return err
}

// userOfAddress returns the id of the NAT gateway or cluster that has a public address, or nothing.
func (c *call) userOfAddress(id string) (string, error) {
	gateways, err := under(c.tx, "/subscriptions", gatewaysType)
	for _, gateway := range gateways {
		var p gatewayProperties
		if err := decode(child(gateway, "properties"), &p); err != nil {
			return "", err
		}
		if contains(p.Addresses, id) {
			return text(gateway, "id"), nil
		}
	}
	if err != nil {
		return "", err
	}
	clusters, err := under(c.tx, "/subscriptions", clustersType)
	for _, cluster := range clusters {
		var p clusterProperties
		if err := decode(child(cluster, "properties"), &p); err != nil {
			return "", err
		}
		if contains(p.Network.outboundAddresses(), id) {
			return text(cluster, "id"), nil
		}
	}
	return "", err
}

// subnetsWith are the subnets that have a route table or a NAT gateway.
func (c *call) subnetsWith(property string) ([]object, error) {
	subnets, err := under(c.tx, "/subscriptions", subnetsType)
	return slices.DeleteFunc(subnets, func(subnet object) bool {
		part, _ := child(subnet, "properties")[property].(object)
		return !strings.EqualFold(text(part, "id"), c.path)
	}), err
}

// getOfSubnets shows the subnets that have it.
func getOfSubnets(property string) func(*call) (reply, error) {
	return func(c *call) (reply, error) {
		answer, err := c.getStored()
		if err != nil {
			return reply{}, err
		}
		subnets, err := c.subnetsWith(property)
		var ids []object
		for _, subnet := range subnets {
			ids = append(ids, object{"id": subnet["id"]})
		}
		if ids != nil {
			res, _ := answer.body.(object)
			child(res, "properties")["subnets"] = ids
		}
		return answer, err
	}
}

// deleteOfSubnets refuses while a subnet has it.
func deleteOfSubnets(property, code string) func(*call) (reply, error) {
	return func(c *call) (reply, error) {
		subnets, err := c.subnetsWith(property)
		if err != nil {
			return reply{}, err
		}
		if len(subnets) > 0 {
			return reply{}, badRequest(code, "%s is in use by the subnet %s and cannot be deleted.", c.path, text(subnets[0], "id"))
		}
		return c.deleteStored()
	}
}

func (c *call) deleteAddress() (reply, error) {
	user, err := c.userOfAddress(c.path)
	if err != nil {
		return reply{}, err
	}
	if user != "" {
		return reply{}, badRequest("PublicIPAddressCannotBeDeleted", "Public IP address %s can not be deleted since it is still allocated to "+
			"resource %s.", c.path, user)
	}
	return c.deleteStored()
}

// checkWaysOut finds a subnet's route table, NAT gateway and network security group.
func (c *call) checkWaysOut(p subnetProperties, location string) error {
	if p.RouteTable.ID != "" {
		if err := c.checkPart(p.RouteTable.ID, routeTablesType, location); err != nil {
			return err
		}
	}
	if p.SecurityGroup.ID != "" {
		if err := c.checkPart(p.SecurityGroup.ID, securityType, location); err != nil {
			return err
		}
	}
	if p.NATGateway.ID != "" {
		return c.checkPart(p.NATGateway.ID, gatewaysType, location)
	}
	return nil
}

// checkOutbound asks whether the pools' subnets have the way out that a cluster is to take
// (learn.microsoft.com/azure/aks/egress-outboundtype).
func (c *call) checkOutbound(outbound string, pools []poolProperties) error {
	for _, pool := range pools {
		if outbound == gatewayOutbound && pool.SubnetID != "" {
			return badRequest("InvalidParameter", "Outbound type is managedNATGateway but agent pool '%s' is using custom VNet, which is not "+
				"allowed.", pool.Name)
		}
		if outbound != "userDefinedRouting" && outbound != "userAssignedNATGateway" {
			continue
		}
		if pool.SubnetID == "" {
			return badRequest("InvalidParameter", "Outbound type is %s but agent pool '%s' is not using custom VNet.", outbound, pool.Name)
		}
		gateway, table, err := waysOut(c.tx, pool.SubnetID)
		if err != nil {
			return err
		}
		if outbound == "userDefinedRouting" {
			err = checkDefaultRoute(table, pool.SubnetID)
		} else {
			err = checkGateway(gateway, pool.SubnetID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// waysOut are the NAT gateway and the route table of a subnet; nil where it has none.
func waysOut(tx *store.Tx, subnetID string) (gateway, table object, err error) {
	subnet, ok, err := load(tx, subnetID)
	if err != nil || !ok {
		return nil, nil, err
	}
	var p subnetProperties
	if err := decode(child(subnet, "properties"), &p); err != nil {
		return nil, nil, err
	}
	if gateway, _, err = load(tx, p.NATGateway.ID); err != nil {
		return nil, nil, err
	}
	table, _, err = load(tx, p.RouteTable.ID)
	return gateway, table, err
}

func checkGateway(gateway object, subnet string) error {
	if gateway == nil {
		return badRequest("SubnetNotAssociatedWithNATGateway", "The subnet %s is not associated with a NAT gateway.", subnet)
	}
	var p gatewayProperties
	if err := decode(child(gateway, "properties"), &p); err != nil {
		return err
	}
	if len(p.Addresses) == 0 {
		return badRequest("NATGatewayNotAssociatedWithPublicIPOrIPPrefix", "The NAT gateway %s is not associated with any public IP or IP prefix.",
			text(gateway, "id"))
	}
	return nil
}

func checkDefaultRoute(table object, subnet string) error {
	if table == nil {
		return badRequest("ExistingRouteTableNotAssociatedWithSubnet", "An existing route table has not been associated with subnet %s. Please "+
			"update the route table association", subnet)
	}
	hop, err := defaultHop(table)
	switch {
	case err != nil:
		return err
	case hop == "":
		return badRequest("RouteTableMissingDefaultRouteError", "The route table %s has no default route 0.0.0.0/0.", text(table, "id"))
	case hop != "VirtualAppliance" && hop != "VirtualNetworkGateway":
		return badRequest("RouteTableInvalidNextHop", "Default route 0.0.0.0/0 has a next hop of %s but only next hops of VirtualAppliance or "+
			"VirtualNetworkGateway are allowed. Please see http://aka.ms/aks/outboundtype for more details", hop)
	}
	return nil
}

// defaultHop is where a route table leads what goes to the internet; empty: it does not say.
func defaultHop(table object) (string, error) {
	var p routeTableProperties
	err := decode(child(table, "properties"), &p)
	for _, route := range p.Routes {
		if route.Properties.Prefix == "0.0.0.0/0" {
			return route.Properties.Hop, err
		}
	}
	return "", err
}
