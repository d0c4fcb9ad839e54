package network

import (
	"errors"
	"net/netip"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/keyvault"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// ServiceEndpoint reports whether Key Vault knows the subnet of requests from a subnet, because the subnet has its
// service endpoint.
func (Ways) ServiceEndpoint(tx *store.Tx, subnet string) (bool, error) {
	res, ok, err := arm.Load(tx, subnet)
	if err != nil || !ok {
		return false, err
	}
	var p SubnetProperties
	if err := arm.Decode(arm.Child(res, "properties"), &p); err != nil {
		return false, err
	}
	return p.ReachesKeyVault(), nil
}

// ReachesKeyVault reports whether the subnet has the service endpoint of Key Vault.
func (p SubnetProperties) ReachesKeyVault() bool {
	for _, endpoint := range p.ServiceEndpoints {
		if fold.Equal(endpoint.Service, KeyVaultService) {
			return true
		}
	}
	return false
}

// PrivateLink reports whether the name of a vault resolves, in a subnet, to a private endpoint of the vault. The
// endpoint must be in the network of the subnet, and its address in a DNS zone that is linked to the network. Peerings
// are not implemented.
func (Ways) PrivateLink(tx *store.Tx, vault keyvault.Vault, subnet string) (bool, error) {
	if subnet == "" {
		return false, nil
	}
	network := arm.Cut(subnet, 2)
	endpoints, err := arm.Under(tx, "/subscriptions", endpointsType)
	if err != nil {
		return false, err
	}
	for _, endpoint := range endpoints {
		var p endpointProperties
		if err := arm.Decode(arm.Child(endpoint, "properties"), &p); err != nil {
			return false, err
		}
		if !authorization.Covers(network, p.Subnet.ID) || len(p.Connections) == 0 ||
			!fold.Equal(p.Connections[0].Properties.ServiceID, vault.ID) {
			continue
		}
		groups, err := arm.Under(tx, arm.Text(endpoint, "id"), zoneGroupsType)
		if err != nil {
			return false, err
		}
		for _, group := range groups {
			var zones zoneGroupProperties
			if err := arm.Decode(arm.Child(group, "properties"), &zones); err != nil {
				return false, err
			}
			for _, zone := range zones.Configs {
				if linked, err := IsLinked(tx, zone.Properties.ZoneID, network); err != nil || linked {
					return linked, err
				}
			}
		}
	}
	return false, nil
}

// IsLinked reports whether a DNS zone is linked to a network.
func IsLinked(tx *store.Tx, zone, network string) (bool, error) {
	links, err := arm.Under(tx, "/subscriptions", LinksType)
	if err != nil {
		return false, err
	}
	for _, link := range links {
		var to linkProperties
		if err := arm.Decode(arm.Child(link, "properties"), &to); err != nil {
			return false, err
		}
		if authorization.Covers(zone, arm.Text(link, "id")) && fold.Equal(to.VirtualNetwork.ID, network) {
			return true, nil
		}
	}
	return false, nil
}

// ParseIPv4Range parses an IPv4 address or a range in CIDR notation.
func ParseIPv4Range(given string) (netip.Prefix, error) {
	if !strings.Contains(given, "/") {
		given += "/32"
	}
	prefix, err := netip.ParsePrefix(given)
	if err == nil && !prefix.Addr().Is4() {
		err = errors.New("not IPv4")
	}
	return prefix, err
}

// reservedByNetworks lists ranges that virtual networks cannot have
// (learn.microsoft.com/azure/virtual-network/virtual-networks-faq).
var reservedByNetworks = []netip.Prefix{
	netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("255.255.255.255/32"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("168.63.129.16/32"),
}

// Ways reports how subnets reach vaults.
type Ways struct{}
