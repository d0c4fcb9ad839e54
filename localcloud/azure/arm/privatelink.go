package arm

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/keyvault"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

const (
	endpointsType  = "Microsoft.Network/privateEndpoints"
	zoneGroupsType = endpointsType + "/privateDnsZoneGroups"
	zonesType      = "Microsoft.Network/privateDnsZones"
	linksType      = zonesType + "/virtualNetworkLinks"
)

// vaultZone is where a vault's private name is (learn.microsoft.com/azure/private-link/private-endpoint-dns).
const vaultZone = "privatelink.vaultcore.azure.net"

// putEndpoint makes a private endpoint of a vault; its connection is approved at once, since the caller may approve it.
func (c *call) putEndpoint() (reply, error) {
	old, res, err := c.begin(endpointsType, true)
	if err != nil {
		return reply{}, err
	}
	properties := child(res, "properties")
	var given, before endpointProperties
	if err := decode(properties, &given); err != nil {
		return reply{}, err
	}
	if old != nil {
		if err := decode(child(old, "properties"), &before); err != nil {
			return reply{}, err
		}
	}
	subnet, vault, err := c.checkEndpoint(given, before)
	if err != nil {
		return reply{}, err
	}
	properties["subnet"] = object{"id": given.Subnet.ID}
	id := text(res, "id")
	list, _ := properties["privateLinkServiceConnections"].([]any)
	connection, _ := list[0].(object)
	setDefault(connection, "name", c.name())
	connection["id"] = id + "/privateLinkServiceConnections/" + text(connection, "name")
	connection["type"] = endpointsType + "/privateLinkServiceConnections"
	approved := object{"status": "Approved", "description": "", "actionsRequired": "None"}
	child(connection, "properties")["privateLinkServiceConnectionState"] = approved
	child(connection, "properties")["provisioningState"] = succeeded
	setDefault(properties, "manualPrivateLinkServiceConnections", []any{})
	if old == nil {
		address, err := c.freeAddress(subnet)
		if err != nil {
			return reply{}, err
		}
		properties["networkInterfaces"] = []any{object{"id": cut(id, 2) + "/networkInterfaces/" + c.name() + ".nic." + uuid.NewString()}}
		properties["customDnsConfigs"] = []any{object{"fqdn": strings.ToLower(vault.Name) + ".vault.azure.net", "ipAddresses": []any{address}}}
		properties["resourceGuid"] = uuid.NewString()
	} else {
		for _, key := range []string{"networkInterfaces", "customDnsConfigs", "resourceGuid"} {
			properties[key] = child(old, "properties")[key]
		}
	}
	setState(res, succeeded)
	answer, err := c.written(old, res)
	if err != nil {
		return reply{}, err
	}
	return answer, connectVault(c.tx, vault.ID, id, approved)
}

// checkEndpoint finds what an endpoint joins: a subnet and a vault.
func (c *call) checkEndpoint(given, before endpointProperties) (object, keyvault.Vault, error) {
	none := keyvault.Vault{}
	switch {
	case given.Subnet.ID == "":
		return nil, none, badRequest("InvalidRequestFormat", "The private endpoint '%s' needs a subnet.", c.name())
	case len(given.ManualConnections) > 0:
		return nil, none, notImplemented("private endpoints that wait for approval")
	case len(given.Connections) != 1:
		return nil, none, badRequest("PrivateEndpointMustHaveOneConnection", "The private endpoint '%s' has to have one connection, not %d.",
			c.name(), len(given.Connections))
	case before.Subnet.ID != "" && !strings.EqualFold(before.Subnet.ID, given.Subnet.ID):
		return nil, none, badRequest("PrivateEndpointSubnetCannotBeChanged", "The subnet of the private endpoint '%s' cannot be changed.", c.name())
	}
	subnet, err := c.findSubnet(given.Subnet.ID)
	if err != nil {
		return nil, none, err
	}
	if err := c.checkLinked(joinSubnet, given.Subnet.ID); err != nil {
		return nil, none, err
	}
	to := given.Connections[0].Properties
	t := parse(http.MethodGet, to.ServiceID)
	if t.kind == "" || t.collection || !strings.EqualFold(t.kind, vaultsType) {
		return nil, none, notImplemented("private endpoints of '%s', which is no vault", to.ServiceID)
	}
	vault, ok, err := keyvault.GetVault(c.tx, t.name())
	switch {
	case err != nil:
		return nil, none, err
	case !ok || vault.Deleted != nil || !strings.EqualFold(vault.ID, to.ServiceID):
		return nil, none, badRequest("InvalidResourceReference", "Resource %s referenced by resource %s was not found. Please make sure that "+
			"the referenced resource exists, and that both resources are in the same region.", to.ServiceID, c.path)
	case !slices.Equal(to.GroupIDs, []string{"vault"}):
		return nil, none, badRequest("PrivateEndpointGroupIdsInvalid", "The group ids %q of the private endpoint '%s' are not valid: a vault "+
			"has one, \"vault\".", to.GroupIDs, c.name())
	case len(before.Connections) == 1 && !strings.EqualFold(before.Connections[0].Properties.ServiceID, to.ServiceID):
		return nil, none, badRequest("PrivateLinkServiceIdCannotBeChanged", "What the private endpoint '%s' connects to cannot be changed.", c.name())
	}
	return subnet, vault, c.checkLinked("Microsoft.KeyVault/vaults/PrivateEndpointConnectionsApproval/action", to.ServiceID)
}

// freeAddress is the first of a subnet that no endpoint has. Azure keeps the first four and the last.
func (c *call) freeAddress(subnet object) (string, error) {
	prefixes, err := subnetPrefixes(subnet)
	if err != nil {
		return "", err
	}
	endpoints, err := under(c.tx, "/subscriptions", endpointsType)
	if err != nil {
		return "", err
	}
	taken := map[string]bool{}
	for _, endpoint := range endpoints {
		properties := child(endpoint, "properties")
		if strings.EqualFold(text(child(properties, "subnet"), "id"), text(subnet, "id")) {
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
		return "", badRequest("SubnetIsFull", "Subnet %s does not have enough capacity for 1 IP addresses.", text(subnet, "name"))
	}
	return address.String(), nil
}

func endpointAddress(endpoint object) string {
	configs, _ := child(endpoint, "properties")["customDnsConfigs"].([]any)
	for _, config := range configs {
		config, _ := config.(object)
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

// connectVault shows an endpoint's connection on its vault; a nil state takes it away.
func connectVault(tx *store.Tx, vaultID, endpointID string, state object) error {
	res, ok, err := load(tx, vaultID)
	if err != nil || !ok {
		return err
	}
	properties := child(res, "properties")
	connections, _ := properties["privateEndpointConnections"].([]any)
	of := func(c any) bool {
		connection, _ := c.(object)
		return strings.EqualFold(text(child(child(connection, "properties"), "privateEndpoint"), "id"), endpointID)
	}
	switch i := slices.IndexFunc(connections, of); {
	case state == nil:
		connections = slices.DeleteFunc(connections, of)
	case i < 0:
		connections = append(connections, object{
			"id":         vaultID + "/privateEndpointConnections/" + endpointID[strings.LastIndexByte(endpointID, '/')+1:] + "." + uuid.NewString(),
			"properties": object{"privateEndpoint": object{"id": endpointID}, "privateLinkServiceConnectionState": state, "provisioningState": succeeded},
		})
	}
	if len(connections) == 0 {
		delete(properties, "privateEndpointConnections")
	} else {
		properties["privateEndpointConnections"] = connections
	}
	return save(tx, res)
}

func (c *call) deleteEndpoint() (reply, error) {
	res, ok, err := load(c.tx, c.path)
	if err != nil || !ok {
		return reply{status: http.StatusNoContent}, err
	}
	return reply{}, destroy(c.tx, res)
}

// disconnect takes an endpoint that is deleted off its vault.
func disconnect(tx *store.Tx, endpoint object) error {
	var p endpointProperties
	if err := decode(child(endpoint, "properties"), &p); err != nil || len(p.Connections) == 0 {
		return err
	}
	return connectVault(tx, p.Connections[0].Properties.ServiceID, text(endpoint, "id"), nil)
}

// putZoneGroup writes an endpoint's address into private zones: "<vault>" in privatelink.vaultcore.azure.net.
func (c *call) putZoneGroup() (reply, error) {
	old, res, err := c.begin(zoneGroupsType, false)
	if err != nil {
		return reply{}, err
	}
	siblings, err := under(c.tx, c.top(), zoneGroupsType)
	if err != nil {
		return reply{}, err
	}
	if old == nil && len(siblings) > 0 {
		return reply{}, badRequest("PrivateDnsZoneGroupExists", "The private endpoint '%s' has a DNS zone group already.", c.names[0])
	}
	var given zoneGroupProperties
	if err := decode(child(res, "properties"), &given); err != nil {
		return reply{}, err
	}
	if len(given.Configs) == 0 {
		return reply{}, badRequest("InvalidRequestFormat", "The DNS zone group '%s' needs a zone.", c.name())
	}
	for i, config := range given.Configs {
		t := parse(http.MethodGet, config.Properties.ZoneID)
		if config.Name == "" || !strings.EqualFold(t.kind, zonesType) || t.collection {
			return reply{}, badRequest("InvalidRequestFormat", "privateDnsZoneConfigs[%d] needs a name and the id of a private DNS zone.", i)
		}
		if _, ok, err := load(c.tx, config.Properties.ZoneID); err != nil || !ok {
			if err == nil {
				err = badRequest("InvalidResourceReference", "Resource %s referenced by resource %s was not found.", config.Properties.ZoneID, c.path)
			}
			return reply{}, err
		}
		if !strings.EqualFold(t.name(), vaultZone) {
			return reply{}, notImplemented("the private DNS zone %s for a vault, whose names are in %s", t.name(), vaultZone)
		}
	}
	if err := c.fillZoneGroup(res); err != nil {
		return reply{}, err
	}
	return c.written(old, res)
}

func (c *call) fillZoneGroup(res object) error {
	endpoint, _, err := load(c.tx, c.top())
	if err != nil {
		return err
	}
	var p endpointProperties
	if err := decode(child(endpoint, "properties"), &p); err != nil {
		return err
	}
	service := p.Connections[0].Properties.ServiceID
	vault := strings.ToLower(service[strings.LastIndexByte(service, '/')+1:])
	configs, _ := child(res, "properties")["privateDnsZoneConfigs"].([]any)
	for _, config := range configs {
		if config, ok := config.(object); ok {
			child(config, "properties")["recordSets"] = []any{object{
				"recordType": "A", "recordSetName": vault, "fqdn": vault + "." + vaultZone, "ttl": 10, "provisioningState": succeeded,
				"ipAddresses": []any{endpointAddress(endpoint)},
			}}
		}
	}
	setState(res, succeeded)
	return nil
}

func (c *call) deleteStored() (reply, error) {
	res, ok, err := load(c.tx, c.path)
	if err != nil || !ok {
		return reply{status: http.StatusNoContent}, err
	}
	return reply{}, destroy(c.tx, res)
}
