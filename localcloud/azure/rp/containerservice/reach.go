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

// machineAddress is the address of clients on this machine, in a range for documentation (RFC 5737).
var machineAddress = netip.MustParseAddr("203.0.113.1")

// Origin returns the network origin of requests from a cluster's nodes. An empty id stands for this machine.
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

// addressFrom returns the public address of requests from a cluster's nodes in a subnet: the first address of the
// subnet's NAT gateway or else of the cluster. It returns no address if a default route leads to an appliance, because
// there are no appliances here.
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

// Admit returns an error if clients at an origin cannot reach the API server with a host name: their address must be in
// an authorized range, or they must be in the network of a private cluster. In Azure, such clients wait until they time
// out; here, they get an error at once. The cluster's own nodes always reach the API server, because AKS admits their
// outbound address.
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
			named := fold.Equal(host, has.FQDN) || fold.Equal(host, has.PrivateFQDN)
			if !named || fold.Equal(origin, arm.Text(cluster, "id")) {
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

// admit checks whether clients outside the cluster reach the API server by its private or public name. Peerings are not
// implemented.
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
		return fmt.Errorf("the API server does not answer %s, which is not in its authorized ranges", from.Address)
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
		return errors.New("the name of the private API server is unknown outside its network")
	}
	return errors.New("the private API server does not answer outside its network")
}
