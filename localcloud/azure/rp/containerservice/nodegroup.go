package containerservice

import (
	"context"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/managedidentity"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/resources"
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
func nodeGroupID(cluster arm.Object) string {
	t := arm.Parse(http.MethodGet, arm.Text(cluster, "id"))
	t.Group = arm.Text(arm.Child(cluster, "properties"), "nodeResourceGroup")
	return t.GroupPath()
}

// nodeIdentityID returns the ARM id of an identity in the group of a cluster's nodes. Microsoft.ManagedIdentity spells
// resourcegroups in small letters.
func nodeIdentityID(cluster arm.Object, name string) string {
	group := strings.Replace(nodeGroupID(cluster), "/resourceGroups/", "/resourcegroups/", 1)
	return group + "/providers/" + managedidentity.IdentitiesType + "/" + name
}

// kubeletName returns the name of the identity that AKS makes for a cluster's nodes.
func kubeletName(cluster arm.Object) string { return arm.Text(cluster, "name") + "-agentpool" }

// managedTags returns the tags by which AKS marks what it makes for a cluster.
func managedTags(cluster arm.Object) arm.Object {
	return arm.Object{
		"aks-managed-cluster-name": cluster["name"],
		"aks-managed-cluster-rg":   arm.Parse(http.MethodGet, arm.Text(cluster, "id")).Group,
	}
}

// checkNodeGroup refuses a resource group that a cluster's nodes cannot have, and an identity for them that is not
// AKS's.
func checkNodeGroup(c *arm.Call, old, cluster arm.Object, p clusterProperties) error {
	id, name := nodeGroupID(cluster), arm.Text(arm.Child(cluster, "properties"), "nodeResourceGroup")
	kubelet := p.Identities[kubeletIdentity].ResourceID
	switch {
	case utf8.RuneCountInString(name) > 80:
		return arm.InvalidParameter("nodeResourceGroup", "%q is longer than 80 characters", name)
	case arm.Parse(http.MethodGet, id).Kind != resources.GroupsType:
		return arm.InvalidParameter("nodeResourceGroup", "%q is no name of a resource group", name)
	case kubelet != "" && !fold.Equal(kubelet, nodeIdentityID(cluster, kubeletName(cluster))):
		return arm.NotImplemented("a kubelet identity of one's own")
	case old != nil:
		return nil
	case fold.Equal(name, c.Group):
		return arm.BadRequest("NodeResourceGroupSameAsResourceGroup", "Node resource group '%s' is the same as "+
			"ResourceGroup '%s', which is not allowed, please provide a different node resource group.", name, c.Group)
	}
	_, ok, err := arm.Load(c.Tx, id)
	if err == nil && ok {
		err = arm.BadRequest("NodeResourceGroupAlreadyExists", "Node resource group '%s' under subscription '%s' already "+
			"exists, please provide a new one.", name, c.SubscriptionID)
	}
	return err
}

// fillNodeGroup makes the group of a cluster's nodes and what AKS makes in it, and shows that in the cluster. What the
// cluster had before stays.
func fillNodeGroup(s *arm.Service, tx *store.Tx, cluster arm.Object, before clusterProperties) error {
	if err := makeNodeGroup(tx, cluster); err != nil {
		return err
	}
	if err := fillNodeIdentities(s, tx, cluster, before); err != nil {
		return err
	}
	return fillOutboundAddresses(s, tx, cluster, before.Network)
}

func makeNodeGroup(tx *store.Tx, cluster arm.Object) error {
	id := nodeGroupID(cluster)
	if _, ok, err := arm.Load(tx, id); err != nil || ok {
		return err
	}
	group := arm.Object{
		"id": id, "name": arm.Child(cluster, "properties")["nodeResourceGroup"], "type": resources.GroupsType,
		"location": cluster["location"], "managedBy": cluster["id"], "tags": managedTags(cluster),
	}
	arm.SetState(group, arm.Succeeded)
	return arm.Save(tx, group)
}

// fillNodeIdentities shows the identities of a cluster's nodes and add-ons.
func fillNodeIdentities(s *arm.Service, tx *store.Tx, cluster arm.Object, before clusterProperties) error {
	properties := arm.Child(cluster, "properties")
	kubelet, err := nodeIdentity(s, tx, cluster, kubeletName(cluster), before.Identities[kubeletIdentity])
	if err != nil {
		return err
	}
	properties["identityProfile"] = arm.Object{kubeletIdentity: kubelet}
	for name, addon := range arm.Child(properties, "addonProfiles") {
		addon, ok := addon.(arm.Object)
		if !ok || addon["enabled"] != true {
			continue
		}
		identity := fold.Lower(name) + "-" + arm.Text(cluster, "name")
		if addon["identity"], err = nodeIdentity(s, tx, cluster, identity, before.Addons[name].Identity); err != nil {
			return err
		}
	}
	return nil
}

// nodeIdentity returns an identity in the group of a cluster's nodes as the cluster shows it. It makes one that is
// missing, with the ids that the cluster showed before.
func nodeIdentity(
	s *arm.Service,
	tx *store.Tx,
	cluster arm.Object,
	name string,
	before shownIdentity,
) (arm.Object, error) {
	id := nodeIdentityID(cluster, name)
	identity, ok, err := arm.Load(tx, id)
	if err != nil {
		return nil, err
	}
	if !ok {
		app := managedidentity.NewApplication(name)
		if before.ClientID != "" {
			app.ClientID, app.ObjectID = before.ClientID, before.ObjectID
		}
		identity = arm.Object{
			"id": id, "name": name, "type": managedidentity.IdentitiesType,
			"location": cluster["location"], "tags": managedTags(cluster),
		}
		if err := managedidentity.FillIdentity(tx, identity, app, s.TenantID); err != nil {
			return nil, err
		}
		if err := arm.Save(tx, identity); err != nil {
			return nil, err
		}
	}
	properties := arm.Child(identity, "properties")
	return arm.Object{"resourceId": id, "clientId": properties["clientId"], "objectId": properties["principalId"]}, nil
}

// adoptNodeGroup makes the group of the nodes of a cluster that an older local cloud wrote, which had the identities in
// the directory only, and no addresses.
func adoptNodeGroup(s *arm.Service, tx *store.Tx, cluster arm.Object) error {
	var p clusterProperties
	if err := arm.Decode(arm.Child(cluster, "properties"), &p); err != nil {
		return err
	}
	kubelet := p.Identities[kubeletIdentity]
	if _, there, err := arm.Load(tx, kubelet.ResourceID); err != nil || there {
		return err
	}
	if _, known, err := entra.GetApplication(tx, kubelet.ClientID); err != nil || !known && kubelet.ClientID != "" {
		return err // somebody has deleted it
	}
	p.Network.fillOutbound(arm.Child(arm.Child(cluster, "properties"), "networkProfile"))
	if err := fillNodeGroup(s, tx, cluster, p); err != nil {
		return err
	}
	return arm.Save(tx, cluster)
}

// removeNodeGroup deletes the group of a cluster's nodes with all that is in it, unless AKS did not make it.
func removeNodeGroup(ctx context.Context, s *arm.Service, cluster arm.Object) error {
	id := nodeGroupID(cluster)
	var group arm.Object
	if err := s.Store.View(func(tx *store.Tx) (err error) {
		group, _, err = arm.Load(tx, id)
		return err
	}); err != nil || !fold.Equal(arm.Text(group, "managedBy"), arm.Text(cluster, "id")) {
		return err
	}
	return s.Remove(ctx, id)
}
