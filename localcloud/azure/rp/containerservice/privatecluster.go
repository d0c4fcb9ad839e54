package containerservice

import (
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/network"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Values of privateDNSZone that are not ids (learn.microsoft.com/azure/aks/private-clusters). With system, AKS creates
// a zone in the node resource group; here, the zone is not a resource. With none, there is no zone.
const (
	zoneSystem = "system"
	zoneNone   = "none"
)

// clusterZone matches the names of private DNS zones that the user provides. The group is the region.
var clusterZone = regexp.MustCompile(`^(?i)(?:[a-z0-9-]{1,32}\.)?privatelink\.([a-z0-9]+)\.azmk8s\.io$`)

// ownZone returns the ARM id of the zone that the user provides, or "".
func (a apiServerProfile) ownZone() string {
	if !a.Private || slices.Contains([]string{"", zoneSystem, zoneNone}, fold.Lower(a.PrivateZone)) {
		return ""
	}
	return a.PrivateZone
}

// zoneMayFollow reports whether an update may change the private DNS zone, which is only possible to none.
func (p clusterProperties) zoneMayFollow(before clusterProperties) bool {
	if !p.APIServer.Private || fold.Equal(p.APIServer.PrivateZone, zoneNone) {
		return true
	}
	return fold.Equal(p.APIServer.PrivateZone, before.APIServer.PrivateZone)
}

// outboundMayFollow reports whether an update may change the outbound type
// (learn.microsoft.com/azure/aks/egress-outboundtype#updating-outboundtype-after-cluster-creation).
func (p clusterProperties) outboundMayFollow(before clusterProperties) bool {
	was, is := before.Network.Outbound, p.Network.Outbound
	for _, pool := range p.Pools {
		if pool.SubnetID != "" {
			return was == is || was != gatewayOutbound && is != gatewayOutbound
		}
	}
	either := func(outbound string) bool { return outboundProfiles[outbound] != "" }
	return was == is || either(was) && either(is)
}

// checkClusterZone checks the private DNS zone that the user provides for a private cluster.
func checkClusterZone(c *arm.Call, cluster arm.Object, p clusterProperties) error {
	zone := p.APIServer.ownZone()
	if zone == "" {
		return nil
	}
	const at = "apiServerAccessProfile.privateDNSZone"
	named, ok := arm.ParseID(zone, network.ZonesType)
	if !ok {
		return arm.InvalidParameter(at, "%q is not system, none or the id of a private DNS zone", zone)
	}
	location := arm.Text(cluster, "location")
	if match := clusterZone.FindStringSubmatch(named.Name); match == nil || !fold.Equal(match[1], location) {
		return arm.InvalidParameter(at, "%q is not privatelink.%s.azmk8s.io or a subzone of it", named.Name, location)
	}
	if arm.Text(arm.Child(cluster, "identity"), "type") != "UserAssigned" {
		return arm.InvalidParameter(at, "a custom private DNS zone needs a user-assigned identity")
	}
	if _, ok, err := arm.Load(c.Tx, zone); err != nil || !ok {
		if err == nil {
			err = arm.BadRequest("InvalidResourceReference", "Resource %s referenced by resource %s was not found.",
				zone, c.Path)
		}
		return err
	}
	vnet := p.network()
	if vnet == "" {
		return arm.NotImplemented("a custom private DNS zone for a cluster in a network that AKS creates")
	}
	for _, action := range []string{"read", "write"} {
		if err := checkClusterMay(c, cluster, network.ZonesType+"/"+action, zone); err != nil {
			return arm.BadRequest("CustomPrivateDNSZoneMissingPermissionError", "Service principal or user assigned "+
				"identity must be given permission to read and write to custom private dns zone %s. Check access result not "+
				"allowed for action %s/%s.", zone, network.ZonesType, action)
		}
	}
	return checkClusterMay(c, cluster, "Microsoft.Network/virtualNetworks/join/action", vnet)
}

// network returns the ARM id of the virtual network of a cluster's nodes, or "" for a network that AKS creates.
func (p clusterProperties) network() string {
	for _, pool := range p.Pools {
		if pool.SubnetID != "" {
			return arm.Cut(pool.SubnetID, 2)
		}
	}
	return ""
}

// fillNames sets the names of the API server. They all start with the same label.
func (p clusterProperties) fillNames(properties arm.Object, before clusterProperties, location string) {
	name := before.PrivateFQDN
	if name == "" {
		name = before.FQDN
	}
	label, _, _ := strings.Cut(name, ".")
	for _, key := range []string{"fqdn", "privateFQDN"} {
		delete(properties, key)
	}
	public := label + ".hcp." + location + ".azmk8s.io"
	if !p.APIServer.Private {
		properties["fqdn"], properties["azurePortalFQDN"] = public, public
		return
	}
	api := arm.Child(properties, "apiServerAccessProfile")
	arm.SetDefault(api, "privateDNSZone", zoneSystem)
	arm.SetDefault(api, "enablePrivateClusterPublicFQDN", true)
	if p.APIServer.publicName() {
		properties["fqdn"] = public
	}
	switch zone := p.APIServer.ownZone(); {
	case zone != "":
		properties["privateFQDN"] = label + "." + zone[strings.LastIndexByte(zone, '/')+1:]
	case fold.Equal(p.APIServer.PrivateZone, zoneNone):
	case before.PrivateFQDN != "":
		properties["privateFQDN"] = before.PrivateFQDN
	default:
		properties["privateFQDN"] = label + "." + uuid.NewString() + ".privatelink." + location + ".azmk8s.io"
	}
	properties["azurePortalFQDN"] = before.PortalFQDN
	if before.PortalFQDN == "" {
		id := strings.ReplaceAll(uuid.NewString(), "-", "")
		properties["azurePortalFQDN"] = id + "-priv.portal.hcp." + location + ".azmk8s.io"
	}
}

// zoneLink returns the ids of the link that AKS creates between a user's zone and the cluster's network, and of the
// network. The id of the link is "" if the cluster has no such zone.
func zoneLink(cluster arm.Object) (id, vnet string, err error) {
	var p clusterProperties
	if err := arm.Decode(arm.Child(cluster, "properties"), &p); err != nil || p.APIServer.ownZone() == "" {
		return "", "", err
	}
	label, _, _ := strings.Cut(p.PrivateFQDN, ".")
	return p.APIServer.ownZone() + "/virtualNetworkLinks/" + label, p.network(), nil
}

// linkZone links a user's zone to the network of the cluster, unless they are linked already.
func linkZone(tx *store.Tx, cluster arm.Object) error {
	id, vnet, err := zoneLink(cluster)
	if err != nil || id == "" {
		return err
	}
	if linked, err := network.IsLinked(tx, arm.Cut(id, 2), vnet); err != nil || linked {
		return err
	}
	return arm.Save(tx, arm.Object{
		"id": id, "name": id[strings.LastIndexByte(id, '/')+1:], "type": network.LinksType, "location": "global",
		"properties": arm.Object{
			"virtualNetwork": arm.Object{"id": vnet}, "registrationEnabled": false, "resolutionPolicy": "Default",
			"virtualNetworkLinkState": "Completed", "provisioningState": arm.Succeeded,
		},
	})
}

func unlinkZone(s *arm.Service, tx *store.Tx, cluster arm.Object) error {
	id, _, err := zoneLink(cluster)
	if err != nil || id == "" {
		return err
	}
	link, ok, err := arm.Load(tx, id)
	if err != nil || !ok {
		return err
	}
	return s.Destroy(tx, link)
}
