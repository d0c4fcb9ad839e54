package arm

import (
	"context"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// AKS makes a resource group for a cluster's nodes. It holds the identities of the nodes and of add-ons, and the nodes'
// public addresses, and is deleted with the cluster. Machines, load balancers and NAT gateways are not shown here.

// kubeletIdentity names the identity of a cluster's nodes in identityProfile.
const kubeletIdentity = "kubeletidentity"

// shownIdentity is a user-assigned identity as a cluster shows it.
type shownIdentity struct {
	ResourceID string `json:"resourceId"`
	ClientID   string `json:"clientId"`
	ObjectID   string `json:"objectId"`
}

// nodeGroupID returns the ARM id of the resource group of a cluster's nodes.
func nodeGroupID(cluster object) string {
	t := parse(http.MethodGet, text(cluster, "id"))
	t.group = text(child(cluster, "properties"), "nodeResourceGroup")
	return t.groupPath()
}

// nodeIdentityID returns the ARM id of an identity in the group of a cluster's nodes. Microsoft.ManagedIdentity spells
// resourcegroups in small letters.
func nodeIdentityID(cluster object, name string) string {
	group := strings.Replace(nodeGroupID(cluster), "/resourceGroups/", "/resourcegroups/", 1)
	return group + "/providers/" + identitiesType + "/" + name
}

// kubeletName returns the name of the identity that AKS makes for a cluster's nodes.
func kubeletName(cluster object) string { return text(cluster, "name") + "-agentpool" }

// managedTags returns the tags by which AKS marks what it makes for a cluster.
func managedTags(cluster object) object {
	return object{
		"aks-managed-cluster-name": cluster["name"],
		"aks-managed-cluster-rg":   parse(http.MethodGet, text(cluster, "id")).group,
	}
}

// checkNodeGroup refuses a resource group that a cluster's nodes cannot have, and an identity for them that is not
// AKS's.
func (c *call) checkNodeGroup(old, cluster object, p clusterProperties) error {
	id, name := nodeGroupID(cluster), text(child(cluster, "properties"), "nodeResourceGroup")
	kubelet := p.Identities[kubeletIdentity].ResourceID
	switch {
	case utf8.RuneCountInString(name) > 80:
		return invalidParameter("nodeResourceGroup", "%q is longer than 80 characters", name)
	case parse(http.MethodGet, id).kind != groupsType:
		return invalidParameter("nodeResourceGroup", "%q is no name of a resource group", name)
	case kubelet != "" && !strings.EqualFold(kubelet, nodeIdentityID(cluster, kubeletName(cluster))):
		return notImplemented("a kubelet identity of one's own")
	case old != nil:
		return nil
	case strings.EqualFold(name, c.group):
		return badRequest("NodeResourceGroupSameAsResourceGroup", "Node resource group '%s' is the same as "+
			"ResourceGroup '%s', which is not allowed, please provide a different node resource group.", name, c.group)
	}
	_, ok, err := load(c.tx, id)
	if err == nil && ok {
		err = badRequest("NodeResourceGroupAlreadyExists", "Node resource group '%s' under subscription '%s' already "+
			"exists, please provide a new one.", name, c.SubscriptionID)
	}
	return err
}

// fillNodeGroup makes the group of a cluster's nodes and what AKS makes in it, and shows that in the cluster. What the
// cluster had before stays.
func (s *Service) fillNodeGroup(tx *store.Tx, cluster object, before clusterProperties) error {
	if err := makeNodeGroup(tx, cluster); err != nil {
		return err
	}
	if err := s.fillNodeIdentities(tx, cluster, before); err != nil {
		return err
	}
	return fillOutboundAddresses(tx, cluster, before.Network)
}

func makeNodeGroup(tx *store.Tx, cluster object) error {
	id := nodeGroupID(cluster)
	if _, ok, err := load(tx, id); err != nil || ok {
		return err
	}
	group := object{
		"id": id, "name": child(cluster, "properties")["nodeResourceGroup"], "type": groupsType,
		"location": cluster["location"], "managedBy": cluster["id"], "tags": managedTags(cluster),
	}
	setState(group, succeeded)
	return save(tx, group)
}

// fillNodeIdentities shows the identities of a cluster's nodes and add-ons.
func (s *Service) fillNodeIdentities(tx *store.Tx, cluster object, before clusterProperties) error {
	properties := child(cluster, "properties")
	kubelet, err := s.nodeIdentity(tx, cluster, kubeletName(cluster), before.Identities[kubeletIdentity])
	if err != nil {
		return err
	}
	properties["identityProfile"] = object{kubeletIdentity: kubelet}
	for name, addon := range child(properties, "addonProfiles") {
		addon, ok := addon.(object)
		if !ok || addon["enabled"] != true {
			continue
		}
		identity := strings.ToLower(name) + "-" + text(cluster, "name")
		if addon["identity"], err = s.nodeIdentity(tx, cluster, identity, before.Addons[name].Identity); err != nil {
			return err
		}
	}
	return nil
}

// nodeIdentity returns an identity in the group of a cluster's nodes as the cluster shows it. It makes one that is
// missing, with the ids that the cluster showed before.
func (s *Service) nodeIdentity(tx *store.Tx, cluster object, name string, before shownIdentity) (object, error) {
	id := nodeIdentityID(cluster, name)
	identity, ok, err := load(tx, id)
	if err != nil {
		return nil, err
	}
	if !ok {
		app := newApplication(name)
		if before.ClientID != "" {
			app.ClientID, app.ObjectID = before.ClientID, before.ObjectID
		}
		identity = object{
			"id": id, "name": name, "type": identitiesType,
			"location": cluster["location"], "tags": managedTags(cluster),
		}
		if err := s.fillIdentity(tx, identity, app); err != nil {
			return nil, err
		}
		if err := save(tx, identity); err != nil {
			return nil, err
		}
	}
	properties := child(identity, "properties")
	return object{"resourceId": id, "clientId": properties["clientId"], "objectId": properties["principalId"]}, nil
}

// adoptNodeGroup makes the group of the nodes of a cluster that an older local cloud wrote, which had the identities in
// the directory only, and no addresses.
func (s *Service) adoptNodeGroup(tx *store.Tx, cluster object) error {
	var p clusterProperties
	if err := decode(child(cluster, "properties"), &p); err != nil {
		return err
	}
	kubelet := p.Identities[kubeletIdentity]
	if _, there, err := load(tx, kubelet.ResourceID); err != nil || there {
		return err
	}
	if _, known, err := entra.GetApplication(tx, kubelet.ClientID); err != nil || !known && kubelet.ClientID != "" {
		return err // somebody has deleted it
	}
	p.Network.fillOutbound(child(child(cluster, "properties"), "networkProfile"))
	if err := s.fillNodeGroup(tx, cluster, p); err != nil {
		return err
	}
	return save(tx, cluster)
}

// removeNodeGroup deletes the group of a cluster's nodes with all that is in it, unless AKS did not make it.
func (s *Service) removeNodeGroup(ctx context.Context, cluster object) error {
	id := nodeGroupID(cluster)
	var group object
	if err := s.Store.View(func(tx *store.Tx) (err error) {
		group, _, err = load(tx, id)
		return err
	}); err != nil || !strings.EqualFold(text(group, "managedBy"), text(cluster, "id")) {
		return err
	}
	return s.removeGroup(ctx, id)
}
