package arm

import (
	"net/netip"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/keyvault"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Where requests to data planes come from. The addresses are of a range for documentation (RFC 5737): nobody has them.
var (
	// MachineAddress is that of the clients on this machine.
	MachineAddress = netip.MustParseAddr("203.0.113.1")
	// ClusterAddress is what the nodes of a cluster have on the internet, behind their load balancer.
	ClusterAddress = netip.MustParseAddr("203.0.113.2")
)

// Origin says where the nodes of a cluster are; an empty id stands for this machine.
func (s *Service) Origin(tx *store.Tx, cluster string) (keyvault.Origin, error) {
	if cluster == "" {
		return keyvault.Origin{Address: MachineAddress}, nil
	}
	origin := keyvault.Origin{Address: ClusterAddress}
	res, ok, err := load(tx, cluster)
	if err != nil || !ok {
		return origin, err
	}
	_, p, err := specOf(res)
	for _, pool := range p.Pools {
		if pool.system() && origin.Subnet == "" {
			origin.Subnet = pool.SubnetID
		}
	}
	return origin, err
}

// ServiceEndpoint says whether requests from a subnet to Key Vault carry the subnet with them.
func (s *Service) ServiceEndpoint(tx *store.Tx, subnet string) (bool, error) {
	res, ok, err := load(tx, subnet)
	if err != nil || !ok {
		return false, err
	}
	var p subnetProperties
	if err := decode(child(res, "properties"), &p); err != nil {
		return false, err
	}
	return p.reachesKeyVault(), nil
}

func (p subnetProperties) reachesKeyVault() bool {
	for _, endpoint := range p.ServiceEndpoints {
		if strings.EqualFold(endpoint.Service, keyVaultService) {
			return true
		}
	}
	return false
}

// PrivateLink says whether a vault's name leads a subnet to a private endpoint of the vault: the endpoint is in the subnet's network,
// and its address in a zone that is linked to that network. Networks are not peered here.
func (s *Service) PrivateLink(tx *store.Tx, vault keyvault.Vault, subnet string) (bool, error) {
	if subnet == "" {
		return false, nil
	}
	network := cut(subnet, 2)
	endpoints, err := under(tx, "/subscriptions", endpointsType)
	if err != nil {
		return false, err
	}
	links, err := under(tx, "/subscriptions", linksType)
	if err != nil {
		return false, err
	}
	for _, endpoint := range endpoints {
		var p endpointProperties
		if err := decode(child(endpoint, "properties"), &p); err != nil {
			return false, err
		}
		if !authorization.Covers(network, p.Subnet.ID) || len(p.Connections) == 0 || !strings.EqualFold(p.Connections[0].Properties.ServiceID, vault.ID) {
			continue
		}
		groups, err := under(tx, text(endpoint, "id"), zoneGroupsType)
		if err != nil {
			return false, err
		}
		for _, group := range groups {
			var zones zoneGroupProperties
			if err := decode(child(group, "properties"), &zones); err != nil {
				return false, err
			}
			for _, zone := range zones.Configs {
				for _, link := range links {
					var to linkProperties
					if err := decode(child(link, "properties"), &to); err != nil {
						return false, err
					}
					if authorization.Covers(zone.Properties.ZoneID, text(link, "id")) && strings.EqualFold(to.VirtualNetwork.ID, network) {
						return true, nil
					}
				}
			}
		}
	}
	return false, nil
}
