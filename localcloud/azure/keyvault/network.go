package keyvault

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Origin is where a request comes from.
type Origin struct {
	Address netip.Addr // on the internet; invalid where nobody knows what others make of it
	Subnet  string     // the ARM id of the subnet, or empty
}

// Network knows the ways to a vault.
type Network interface {
	// Origin says where the nodes of the cluster with an ARM id are; an empty id stands for this machine.
	Origin(tx *store.Tx, cluster string) (Origin, error)
	// ServiceEndpoint reports whether a subnet has the service endpoint of Key Vault.
	ServiceEndpoint(tx *store.Tx, subnet string) (bool, error)
	// PrivateLink reports whether the vault's name leads a subnet to a private endpoint of the vault.
	PrivateLink(tx *store.Tx, vault Vault, subnet string) (bool, error)
}

// checkNetwork refuses who comes in a way that the vault has closed (learn.microsoft.com/azure/key-vault/general/network-security). A
// private endpoint is always open; the rules are for those who come over the internet or through a service endpoint. The trusted
// services of networkAcls.bypass are none of those that call here: AKS's nodes are not among them.
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
	// Through a service endpoint a request comes from its subnet, and no longer from an address on the internet.
	through := false
	if from.Subnet != "" {
		if through, err = s.network.ServiceEndpoint(tx, from.Subnet); err != nil {
			return err
		}
	}
	where := "Client address: " + from.Address.String() // "invalid IP" where it is not known
	switch {
	case through && slices.ContainsFunc(v.Subnets, func(id string) bool { return strings.EqualFold(id, from.Subnet) }):
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
