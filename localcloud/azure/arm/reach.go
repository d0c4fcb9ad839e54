package arm

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/keyvault"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// MachineAddress is the address of the clients on this machine, of a range for documentation (RFC 5737).
var MachineAddress = netip.MustParseAddr("203.0.113.1")

// Origin says where the nodes of a cluster are; an empty id stands for this machine.
func (s *Service) Origin(tx *store.Tx, cluster string) (keyvault.Origin, error) {
	if cluster == "" {
		return keyvault.Origin{Address: MachineAddress}, nil
	}
	res, ok, err := load(tx, cluster)
	if err != nil || !ok {
		return keyvault.Origin{}, err
	}
	_, p, err := specOf(res)
	if err != nil {
		return keyvault.Origin{}, err
	}
	var origin keyvault.Origin
	for _, pool := range p.Pools {
		if pool.system() && origin.Subnet == "" {
			origin.Subnet = pool.SubnetID
		}
	}
	origin.Address, err = p.Network.addressFrom(tx, origin.Subnet)
	return origin, err
}

// addressFrom returns what the nodes of a cluster in a subnet have on the internet: the first address of the subnet's
// own NAT gateway, or else of those that the cluster shows. There is none where a default route leads to an appliance,
// which is nowhere here.
func (n networkProfile) addressFrom(tx *store.Tx, subnet string) (netip.Addr, error) {
	gateway, table, err := waysOut(tx, subnet)
	if err != nil {
		return netip.Addr{}, err
	}
	if table != nil {
		if hop, err := defaultHop(table); err != nil || hop != "" && hop != "Internet" {
			return netip.Addr{}, err
		}
	}
	addresses := n.outboundAddresses()
	if gateway != nil {
		var p gatewayProperties
		if err := decode(child(gateway, "properties"), &p); err != nil {
			return netip.Addr{}, err
		}
		if len(p.Addresses) > 0 {
			addresses = p.Addresses
		}
	}
	if len(addresses) == 0 {
		return netip.Addr{}, nil
	}
	address, ok, err := load(tx, addresses[0].ID)
	if err != nil || !ok {
		return netip.Addr{}, err
	}
	return netip.ParseAddr(text(child(address, "properties"), "ipAddress"))
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

// PrivateLink says whether a vault's name leads a subnet to a private endpoint of the vault: the endpoint is in the
// subnet's network, and its address in a zone that is linked to that network. Networks are not peered here.
func (s *Service) PrivateLink(tx *store.Tx, vault keyvault.Vault, subnet string) (bool, error) {
	if subnet == "" {
		return false, nil
	}
	network := cut(subnet, 2)
	endpoints, err := under(tx, "/subscriptions", endpointsType)
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
				if linked, err := isLinked(tx, zone.Properties.ZoneID, network); err != nil || linked {
					return linked, err
				}
			}
		}
	}
	return false, nil
}

// Admit refuses who does not reach the API server of that name: where he is, a range of its authorized ones or the
// cluster's network has to be. On Azure nothing answers then, and clients wait until they give up; here they are told
// at once. The cluster's own nodes always reach it: AKS lets in the address that they go out from.
func (s *Service) Admit(host, origin string) error {
	return s.Store.View(func(tx *store.Tx) error {
		clusters, err := under(tx, "/subscriptions", clustersType)
		if err != nil {
			return err
		}
		for _, cluster := range clusters {
			_, p, err := specOf(cluster)
			if err != nil {
				return err
			}
			if !strings.EqualFold(host, p.FQDN) && !strings.EqualFold(host, p.PrivateFQDN) || strings.EqualFold(origin, text(cluster, "id")) {
				continue
			}
			from, err := s.Origin(tx, origin)
			if err != nil {
				return err
			}
			return p.admit(tx, strings.EqualFold(host, p.PrivateFQDN), from)
		}
		return nil
	})
}

// admit is for those outside the cluster, who come by one of the API server's names. Networks are not peered here.
func (p clusterProperties) admit(tx *store.Tx, privateName bool, from keyvault.Origin) error {
	api := p.APIServer
	if !api.Private {
		in := func(given string) bool {
			prefix, err := parseIPv4Range(given)
			return err == nil && prefix.Contains(from.Address)
		}
		if len(api.Ranges) == 0 || slices.ContainsFunc(api.Ranges, in) {
			return nil
		}
		return fmt.Errorf("the API server does not answer %s, which is in none of its authorized ranges", from.Address)
	}
	network := p.network()
	inside := network != "" && from.Subnet != "" && strings.EqualFold(network, cut(from.Subnet, 2))
	if zone := api.ownZone(); inside && privateName && zone != "" {
		var err error
		if inside, err = isLinked(tx, zone, network); err != nil {
			return err
		}
	}
	switch {
	case inside:
		return nil
	case privateName:
		return errors.New("the name of the private API server is not known outside of its network")
	}
	return errors.New("the private API server does not answer outside of its network")
}
