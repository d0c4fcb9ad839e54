package keyvault

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Origin is the origin of a request.
type Origin struct {
	Address netip.Addr // address on the internet; invalid if it is unknown
	Subnet  string     // ID of the subnet, may be empty
}

// Network describes how requests reach a vault.
type Network interface {
	// Origin returns where the nodes of a cluster are, given the cluster's ID. An empty ID means this machine.
	Origin(tx *store.Tx, cluster string) (Origin, error)
	// ServiceEndpoint reports whether a subnet has the service endpoint of Key Vault.
	ServiceEndpoint(tx *store.Tx, subnet string) (bool, error)
	// PrivateLink reports whether the vault's name resolves to a private endpoint of the vault in a subnet.
	PrivateLink(tx *store.Tx, vault Vault, subnet string) (bool, error)
}

// checkNetwork refuses requests that the vault's firewall does not admit
// (learn.microsoft.com/azure/key-vault/general/network-security). Private endpoints always have access. The rules apply
// to requests from the internet and through service endpoints. The trusted services of networkAcls.bypass do not call
// this server, and AKS nodes are not among them.
func (s *Server) checkNetwork(tx *store.Tx, v Vault, cluster string) error {
	if v.Public && !v.DefaultDeny {
		return nil
	}
	from, err := s.network.Origin(tx, cluster)
	if err != nil {
		return err
	}
	if private, err := s.network.PrivateLink(tx, v, from.Subnet); err != nil || private {
		return err
	}
	if !v.Public {
		return &Error{
			Status: http.StatusForbidden,
			Code:   "Forbidden",
			Inner:  "ForbiddenByConnection",
			Message: fmt.Sprintf(
				"Public network access is disabled and request is not from a trusted service nor via an approved private "+
					"link.\r\nVault: %s;location=%s",
				v.Name,
				v.Location,
			),
		}
	}
	// Through a service endpoint, a request comes from its subnet instead of an address on the internet.
	through := false
	if from.Subnet != "" {
		if through, err = s.network.ServiceEndpoint(tx, from.Subnet); err != nil {
			return err
		}
	}
	where := "Client address: " + from.Address.String() // "invalid IP" if it is unknown
	switch {
	case through && slices.ContainsFunc(v.Subnets, func(id string) bool { return fold.Equal(id, from.Subnet) }):
		return nil
	case through:
		where = "Client subnet: " + from.Subnet
	case slices.ContainsFunc(v.Addresses, func(p netip.Prefix) bool { return p.Contains(from.Address) }):
		return nil
	}
	return &Error{
		Status: http.StatusForbidden,
		Code:   "Forbidden",
		Inner:  "ForbiddenByFirewall",
		Message: fmt.Sprintf(
			"Client address is not authorized and caller is not a trusted service.\r\n%s\r\nVault: %s;location=%s",
			where,
			v.Name,
			v.Location,
		),
	}
}
