package containerservice

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/keyvault"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/network"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// machineAddress is the address of the clients on this machine, of a range for documentation (RFC 5737).
var machineAddress = netip.MustParseAddr("203.0.113.1")

// Origin says where the nodes of a cluster are; an empty id stands for this machine.
func (p *Service) Origin(tx *store.Tx, cluster string) (keyvault.Origin, error) {
	if cluster == "" {
		return keyvault.Origin{Address: machineAddress}, nil
	}
	res, ok, err := arm.Load(tx, cluster)
	if err != nil || !ok {
		return keyvault.Origin{}, err
	}
	_, has, err := specOf(res)
	if err != nil {
		return keyvault.Origin{}, err
	}
	var origin keyvault.Origin
	for _, pool := range has.Pools {
		if pool.system() && origin.Subnet == "" {
			origin.Subnet = pool.SubnetID
		}
	}
	origin.Address, err = has.Network.addressFrom(tx, origin.Subnet)
	return origin, err
}

// addressFrom returns what the nodes of a cluster in a subnet have on the internet: the first address of the subnet's
// own NAT gateway, or else of those that the cluster shows. There is none where a default route leads to an appliance,
// which is nowhere here.
func (n networkProfile) addressFrom(tx *store.Tx, subnet string) (netip.Addr, error) {
	gateway, table, err := network.WaysOut(tx, subnet)
	if err != nil {
		return netip.Addr{}, err
	}
	if table != nil {
		if hop, err := network.DefaultHop(table); err != nil || hop != "" && hop != "Internet" {
			return netip.Addr{}, err
		}
	}
	addresses := n.outboundAddresses()
	if gateway != nil {
		var p network.GatewayProperties
		if err := arm.Decode(arm.Child(gateway, "properties"), &p); err != nil {
			return netip.Addr{}, err
		}
		if len(p.Addresses) > 0 {
			addresses = p.Addresses
		}
	}
	if len(addresses) == 0 {
		return netip.Addr{}, nil
	}
	address, ok, err := arm.Load(tx, addresses[0].ID)
	if err != nil || !ok {
		return netip.Addr{}, err
	}
	return netip.ParseAddr(arm.Text(arm.Child(address, "properties"), "ipAddress"))
}

// Admit refuses who does not reach the API server of that name: where he is, a range of its authorized ones or the
// cluster's network must be. On Azure nothing answers then, and clients wait until they give up; here they are told
// at once. The cluster's own nodes always reach it: AKS lets in the address that they go out from.
func (p *Service) Admit(host, origin string) error {
	return p.Store.View(func(tx *store.Tx) error {
		clusters, err := arm.Under(tx, "/subscriptions", clustersType)
		if err != nil {
			return err
		}
		for _, cluster := range clusters {
			_, has, err := specOf(cluster)
			if err != nil {
				return err
			}
			if !fold.Equal(host, has.FQDN) && !fold.Equal(host, has.PrivateFQDN) ||
				fold.Equal(origin, arm.Text(cluster, "id")) {
				continue
			}
			from, err := p.Origin(tx, origin)
			if err != nil {
				return err
			}
			return has.admit(tx, fold.Equal(host, has.PrivateFQDN), from)
		}
		return nil
	})
}

// admit is for those outside the cluster, who come by one of the API server's names. Networks are not peered here.
func (p clusterProperties) admit(tx *store.Tx, privateName bool, from keyvault.Origin) error {
	api := p.APIServer
	if !api.Private {
		in := func(given string) bool {
			prefix, err := network.ParseIPv4Range(given)
			return err == nil && prefix.Contains(from.Address)
		}
		if len(api.Ranges) == 0 || slices.ContainsFunc(api.Ranges, in) {
			return nil
		}
		return fmt.Errorf("the API server does not answer %s, which is in none of its authorized ranges", from.Address)
	}
	vnet := p.network()
	inside := vnet != "" && from.Subnet != "" && fold.Equal(vnet, arm.Cut(from.Subnet, 2))
	if zone := api.ownZone(); inside && privateName && zone != "" {
		var err error
		if inside, err = network.IsLinked(tx, zone, vnet); err != nil {
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
