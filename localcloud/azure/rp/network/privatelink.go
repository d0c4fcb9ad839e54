package network

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/keyvault"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Resource types of private endpoints and private DNS zones.
const (
	endpointsType  = "Microsoft.Network/privateEndpoints"
	zoneGroupsType = endpointsType + "/privateDnsZoneGroups"
	ZonesType      = "Microsoft.Network/privateDnsZones"
	LinksType      = ZonesType + "/virtualNetworkLinks"
)

// vaultZone is the zone of the private names of vaults (learn.microsoft.com/azure/private-link/private-endpoint-dns).
const vaultZone = "privatelink.vaultcore.azure.net"

// putEndpoint writes a private endpoint of a vault. The connection is approved at once, because the caller must have
// the permission to approve it.
func putEndpoint(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.Begin(endpointsType, true)
	if err != nil {
		return arm.Reply{}, err
	}
	properties := arm.Child(res, "properties")
	var given, before endpointProperties
	if err := arm.Decode(properties, &given); err != nil {
		return arm.Reply{}, err
	}
	if old != nil {
		if err := arm.Decode(arm.Child(old, "properties"), &before); err != nil {
			return arm.Reply{}, err
		}
	}
	subnet, vault, err := checkEndpoint(c, given, before)
	if err != nil {
		return arm.Reply{}, err
	}
	properties["subnet"] = arm.Object{"id": given.Subnet.ID}
	id := arm.Text(res, "id")
	list, _ := properties["privateLinkServiceConnections"].([]any)
	connection, _ := list[0].(arm.Object)
	arm.SetDefault(connection, "name", c.Name())
	connection["id"] = id + "/privateLinkServiceConnections/" + arm.Text(connection, "name")
	connection["type"] = endpointsType + "/privateLinkServiceConnections"
	approved := arm.Object{"status": "Approved", "description": "", "actionsRequired": "None"}
	arm.Child(connection, "properties")["privateLinkServiceConnectionState"] = approved
	arm.Child(connection, "properties")["provisioningState"] = arm.Succeeded
	arm.SetDefault(properties, "manualPrivateLinkServiceConnections", []any{})
	if old == nil {
		address, err := freeAddress(c, subnet)
		if err != nil {
			return arm.Reply{}, err
		}
		properties["networkInterfaces"] = []any{
			arm.Object{"id": arm.Cut(id, 2) + "/networkInterfaces/" + c.Name() + ".nic." + uuid.NewString()},
		}
		properties["customDnsConfigs"] = []any{
			arm.Object{"fqdn": fold.Lower(vault.Name) + ".vault.azure.net", "ipAddresses": []any{address}},
		}
		properties["resourceGuid"] = uuid.NewString()
	} else {
		for _, key := range []string{"networkInterfaces", "customDnsConfigs", "resourceGuid"} {
			properties[key] = arm.Child(old, "properties")[key]
		}
	}
	arm.SetState(res, arm.Succeeded)
	answer, err := c.Written(old, res)
	if err != nil {
		return arm.Reply{}, err
	}
	return answer, connectVault(c.Tx, vault.ID, id, approved)
}

// checkEndpoint returns the subnet and the vault that an endpoint connects.
func checkEndpoint(c *arm.Call, given, before endpointProperties) (arm.Object, keyvault.Vault, error) {
	none := keyvault.Vault{}
	switch {
	case given.Subnet.ID == "":
		return nil, none, arm.BadRequest("InvalidRequestFormat", "The private endpoint '%s' needs a subnet.", c.Name())
	case len(given.ManualConnections) > 0:
		return nil, none, arm.NotImplemented("private endpoints that wait for approval")
	case len(given.Connections) != 1:
		return nil, none, arm.BadRequest("PrivateEndpointMustHaveOneConnection",
			"The private endpoint '%s' must have one connection, not %d.", c.Name(), len(given.Connections))
	case before.Subnet.ID != "" && !fold.Equal(before.Subnet.ID, given.Subnet.ID):
		return nil, none, arm.BadRequest("PrivateEndpointSubnetCannotBeChanged",
			"The subnet of the private endpoint '%s' cannot be changed.", c.Name())
	}
	subnet, err := FindSubnet(c, given.Subnet.ID)
	if err != nil {
		return nil, none, err
	}
	if err := c.CheckLinked(JoinSubnet, given.Subnet.ID); err != nil {
		return nil, none, err
	}
	to := given.Connections[0].Properties
	kind := c.TypeOf(to.ServiceID)
	if kind == nil || kind.PrivateLinkGroups == nil {
		return nil, none, arm.NotImplemented("private endpoints of '%s', which is not a vault", to.ServiceID)
	}
	service, ok := arm.ParseID(to.ServiceID, kind.Name)
	if !ok {
		return nil, none, arm.NotImplemented("private endpoints of '%s', which is not a vault", to.ServiceID)
	}
	vault, ok, err := keyvault.GetVault(c.Tx, service.Name)
	switch {
	case err != nil:
		return nil, none, err
	case !ok || vault.Deleted != nil || !fold.Equal(vault.ID, to.ServiceID):
		return nil, none, arm.BadRequest("InvalidResourceReference", "Resource %s referenced by resource %s was not "+
			"found. Please make sure that the referenced resource exists, and that both resources are in the same region.",
			to.ServiceID, c.Path)
	case !slices.Equal(to.GroupIDs, kind.PrivateLinkGroups):
		return nil, none, arm.BadRequest("PrivateEndpointGroupIdsInvalid", "The group ids %q of the private endpoint "+
			"'%s' are not valid: the only group id of a vault is \"vault\".", to.GroupIDs, c.Name())
	case len(before.Connections) == 1 && !fold.Equal(before.Connections[0].Properties.ServiceID, to.ServiceID):
		return nil, none, arm.BadRequest("PrivateLinkServiceIdCannotBeChanged",
			"The service of the private endpoint '%s' cannot be changed.", c.Name())
	}
	return subnet, vault, c.CheckLinked(kind.Name+"/PrivateEndpointConnectionsApproval/action", to.ServiceID)
}

// freeAddress returns the first free address of a subnet. Azure reserves the first four addresses and the last one.
func freeAddress(c *arm.Call, subnet arm.Object) (string, error) {
	prefixes, err := subnetPrefixes(subnet)
	if err != nil {
		return "", err
	}
	endpoints, err := arm.Under(c.Tx, "/subscriptions", endpointsType)
	if err != nil {
		return "", err
	}
	taken := map[string]bool{}
	for _, endpoint := range endpoints {
		properties := arm.Child(endpoint, "properties")
		if fold.Equal(arm.Text(arm.Child(properties, "subnet"), "id"), arm.Text(subnet, "id")) {
			taken[endpointAddress(endpoint)] = true
		}
	}
	address := prefixes[0].Addr()
	for range 4 {
		address = address.Next()
	}
	for taken[address.String()] {
		address = address.Next()
	}
	if !prefixes[0].Contains(address.Next()) {
		return "", arm.BadRequest("SubnetIsFull", "Subnet %s does not have enough capacity for 1 IP addresses.",
			arm.Text(subnet, "name"))
	}
	return address.String(), nil
}

func endpointAddress(endpoint arm.Object) string {
	configs, _ := arm.Child(endpoint, "properties")["customDnsConfigs"].([]any)
	for _, config := range configs {
		config, _ := config.(arm.Object)
		addresses, _ := config["ipAddresses"].([]any)
		for _, address := range addresses {
			if s, ok := address.(string); ok {
				if _, err := netip.ParseAddr(s); err == nil {
					return s
				}
			}
		}
	}
	return ""
}

// connectVault adds the connection of an endpoint to the body of its vault. If state is nil, it removes the connection.
func connectVault(tx *store.Tx, vaultID, endpointID string, state arm.Object) error {
	res, ok, err := arm.Load(tx, vaultID)
	if err != nil || !ok {
		return err
	}
	properties := arm.Child(res, "properties")
	connections, _ := properties["privateEndpointConnections"].([]any)
	of := func(c any) bool {
		connection, _ := c.(arm.Object)
		return fold.Equal(arm.Text(arm.Child(arm.Child(connection, "properties"), "privateEndpoint"), "id"), endpointID)
	}
	switch i := slices.IndexFunc(connections, of); {
	case state == nil:
		connections = slices.DeleteFunc(connections, of)
	case i < 0:
		name := endpointID[strings.LastIndexByte(endpointID, '/')+1:] + "." + uuid.NewString()
		connections = append(connections, arm.Object{
			"id": vaultID + "/privateEndpointConnections/" + name,
			"properties": arm.Object{
				"privateEndpoint":                   arm.Object{"id": endpointID},
				"privateLinkServiceConnectionState": state,
				"provisioningState":                 arm.Succeeded,
			},
		})
	}
	if len(connections) == 0 {
		delete(properties, "privateEndpointConnections")
	} else {
		properties["privateEndpointConnections"] = connections
	}
	return arm.Save(tx, res)
}

// disconnect removes the connection of a deleted endpoint from its vault.
func disconnect(_ *arm.Service, tx *store.Tx, endpoint arm.Object) error {
	var p endpointProperties
	if err := arm.Decode(arm.Child(endpoint, "properties"), &p); err != nil || len(p.Connections) == 0 {
		return err
	}
	return connectVault(tx, p.Connections[0].Properties.ServiceID, arm.Text(endpoint, "id"), nil)
}

// putZoneGroup adds the address of an endpoint to private zones, under the name of the vault in vaultZone.
func putZoneGroup(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.Begin(zoneGroupsType, false)
	if err != nil {
		return arm.Reply{}, err
	}
	siblings, err := arm.Under(c.Tx, c.Top(), zoneGroupsType)
	if err != nil {
		return arm.Reply{}, err
	}
	if old == nil && len(siblings) > 0 {
		return arm.Reply{}, arm.BadRequest("PrivateDnsZoneGroupExists",
			"The private endpoint '%s' already has a DNS zone group.", c.Names[0])
	}
	var given zoneGroupProperties
	if err := arm.Decode(arm.Child(res, "properties"), &given); err != nil {
		return arm.Reply{}, err
	}
	if len(given.Configs) == 0 {
		return arm.Reply{}, arm.BadRequest("InvalidRequestFormat", "The DNS zone group '%s' needs a zone.", c.Name())
	}
	for i, config := range given.Configs {
		zone, ok := arm.ParseID(config.Properties.ZoneID, ZonesType)
		if config.Name == "" || !ok {
			return arm.Reply{}, arm.BadRequest("InvalidRequestFormat",
				"privateDnsZoneConfigs[%d] needs a name and the id of a private DNS zone.", i)
		}
		if _, ok, err := arm.Load(c.Tx, config.Properties.ZoneID); err != nil || !ok {
			if err == nil {
				err = arm.BadRequest("InvalidResourceReference", "Resource %s referenced by resource %s was not found.",
					config.Properties.ZoneID, c.Path)
			}
			return arm.Reply{}, err
		}
		if !fold.Equal(zone.Name, vaultZone) {
			return arm.Reply{}, arm.NotImplemented("the private DNS zone %s for a vault. It must be %s",
				zone.Name, vaultZone)
		}
	}
	if err := fillZoneGroup(c, res); err != nil {
		return arm.Reply{}, err
	}
	return c.Written(old, res)
}

func fillZoneGroup(c *arm.Call, res arm.Object) error {
	endpoint, _, err := arm.Load(c.Tx, c.Top())
	if err != nil {
		return err
	}
	var p endpointProperties
	if err := arm.Decode(arm.Child(endpoint, "properties"), &p); err != nil {
		return err
	}
	service := p.Connections[0].Properties.ServiceID
	vault := fold.Lower(service[strings.LastIndexByte(service, '/')+1:])
	configs, _ := arm.Child(res, "properties")["privateDnsZoneConfigs"].([]any)
	for _, config := range configs {
		if config, ok := config.(arm.Object); ok {
			arm.Child(config, "properties")["recordSets"] = []any{arm.Object{
				"recordType":        "A",
				"recordSetName":     vault,
				"fqdn":              vault + "." + vaultZone,
				"ttl":               10,
				"provisioningState": arm.Succeeded,
				"ipAddresses":       []any{endpointAddress(endpoint)},
			}}
		}
	}
	arm.SetState(res, arm.Succeeded)
	return nil
}
