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

// AKS creates a node resource group for each cluster and deletes it with the cluster. Here, the group has the
// identities of the nodes and of add-ons, and the outbound public addresses. There are no machines, load balancers or
// NAT gateways.

// kubeletIdentity is the name of the nodes' identity in identityProfile.
const kubeletIdentity = "kubeletidentity"

// shownIdentity is a user-assigned identity in the body of a cluster.
type shownIdentity struct {
	ResourceID string `json:"resourceId"`
	ClientID   string `json:"clientId"`
	ObjectID   string `json:"objectId"`
}

// nodeGroupID returns the ARM id of a cluster's node resource group.
func nodeGroupID(cluster arm.Object) string {
	t := arm.Parse(http.MethodGet, arm.Text(cluster, "id"))
	t.Group = arm.Text(arm.Child(cluster, "properties"), "nodeResourceGroup")
	return t.GroupPath()
}

// nodeIdentityID returns the ARM id of an identity in a cluster's node resource group. Microsoft.ManagedIdentity spells
// resourcegroups in lower case.
func nodeIdentityID(cluster arm.Object, name string) string {
	group := strings.Replace(nodeGroupID(cluster), "/resourceGroups/", "/resourcegroups/", 1)
	return group + "/providers/" + managedidentity.IdentitiesType + "/" + name
}

// kubeletName returns the name of the identity that AKS creates for a cluster's nodes.
func kubeletName(cluster arm.Object) string { return arm.Text(cluster, "name") + "-agentpool" }

// managedTags returns the tags of resources that AKS creates for a cluster.
func managedTags(cluster arm.Object) arm.Object {
	return arm.Object{
		"aks-managed-cluster-name": cluster["name"],
		"aks-managed-cluster-rg":   arm.Parse(http.MethodGet, arm.Text(cluster, "id")).Group,
	}
}

// checkNodeGroup checks the name of a new cluster's node resource group. It refuses a kubelet identity that AKS did not
// create.
func checkNodeGroup(c *arm.Call, old, cluster arm.Object, p clusterProperties) error {
	id, name := nodeGroupID(cluster), arm.Text(arm.Child(cluster, "properties"), "nodeResourceGroup")
	kubelet := p.Identities[kubeletIdentity].ResourceID
	switch {
	case utf8.RuneCountInString(name) > 80:
		return arm.InvalidParameter("nodeResourceGroup", "%q is longer than 80 characters", name)
	case arm.Parse(http.MethodGet, id).Kind != resources.GroupsType:
		return arm.InvalidParameter("nodeResourceGroup", "%q is not a valid name of a resource group", name)
	case kubelet != "" && !fold.Equal(kubelet, nodeIdentityID(cluster, kubeletName(cluster))):
		return arm.NotImplemented("a user-assigned kubelet identity")
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

// fillNodeGroup creates the node resource group of a cluster and its resources, and adds them to the cluster. It keeps
// existing resources.
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

// fillNodeIdentities creates the identities of a cluster's nodes and add-ons and adds them to the cluster.
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

// nodeIdentity returns an identity in a cluster's node resource group, in the form of the cluster's body. It creates a
// missing identity, with the ids in before if there are any.
func nodeIdentity(
	s *arm.Service, tx *store.Tx, cluster arm.Object, name string, before shownIdentity,
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

// adoptNodeGroup creates the node resource group of a cluster from an older local cloud, which stored identities only
// in the directory and had no addresses.
func adoptNodeGroup(s *arm.Service, tx *store.Tx, cluster arm.Object) error {
	var p clusterProperties
	if err := arm.Decode(arm.Child(cluster, "properties"), &p); err != nil {
		return err
	}
	kubelet := p.Identities[kubeletIdentity]
	if _, exists, err := arm.Load(tx, kubelet.ResourceID); err != nil || exists {
		return err
	}
	if _, known, err := entra.GetApplication(tx, kubelet.ClientID); err != nil || !known && kubelet.ClientID != "" {
		return err // the identity was deleted on purpose
	}
	p.Network.fillOutbound(arm.Child(arm.Child(cluster, "properties"), "networkProfile"))
	if err := fillNodeGroup(s, tx, cluster, p); err != nil {
		return err
	}
	return arm.Save(tx, cluster)
}

// removeNodeGroup deletes the node resource group of a cluster with its resources, if AKS created it.
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
