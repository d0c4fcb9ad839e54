package network

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
)

// zoneName matches the names of private zones. It does not check the limit of 34 labels.
var zoneName = regexp.MustCompile(
	`^([a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?\.)+[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?$`,
)

// global checks that the location of a resource is global.
func global(res arm.Object) error {
	if !fold.Equal(arm.Text(res, "location"), "global") {
		return arm.BadRequest("LocationNotAvailableForResourceType", "The provided location '%s' is not available for "+
			"resource type '%s'. List of available regions for the resource type is 'global'.",
			arm.Text(res, "location"), arm.Text(res, "type"))
	}
	res["location"] = "global"
	return nil
}

func putZone(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.Begin(ZonesType, false)
	if err != nil {
		return arm.Reply{}, err
	}
	if err := global(res); err != nil {
		return arm.Reply{}, err
	}
	res["properties"] = arm.Object{
		"maxNumberOfRecordSets":                          25000,
		"maxNumberOfVirtualNetworkLinks":                 1000,
		"maxNumberOfVirtualNetworkLinksWithRegistration": 100,
		"provisioningState":                              arm.Succeeded,
		"internalId":                                     uuid.NewString(),
	}
	if old != nil {
		res["properties"] = old["properties"]
	}
	answer, err := c.Written(old, res)
	if err != nil {
		return arm.Reply{}, err
	}
	return answer, countLinks(c, res)
}

func getZone(c *arm.Call) (arm.Reply, error) {
	answer, err := c.GetStored()
	if err != nil {
		return arm.Reply{}, err
	}
	res, _ := answer.Body.(arm.Object)
	return answer, countLinks(c, res)
}

// countLinks sets the numbers of virtual network links of a zone.
func countLinks(c *arm.Call, zone arm.Object) error {
	links, err := arm.Under(c.Tx, arm.Text(zone, "id"), LinksType)
	registering := 0
	for _, link := range links {
		if arm.Child(link, "properties")["registrationEnabled"] == true {
			registering++
		}
	}
	properties := arm.Child(zone, "properties")
	properties["numberOfVirtualNetworkLinks"] = len(links)
	properties["numberOfVirtualNetworkLinksWithRegistration"] = registering
	return err
}

func deleteZone(c *arm.Call) (arm.Reply, error) {
	res, ok, err := arm.Load(c.Tx, c.Path)
	if err != nil || !ok {
		return arm.Reply{Status: http.StatusNoContent}, err
	}
	links, err := arm.Under(c.Tx, c.Path, LinksType)
	if err != nil {
		return arm.Reply{}, err
	}
	if len(links) > 0 {
		return arm.Reply{}, arm.Conflict("CannotDeleteResource",
			"Can not delete resource before nested resources are deleted.")
	}
	return arm.Reply{}, c.Destroy(c.Tx, res)
}

type linkProperties struct {
	VirtualNetwork      arm.SubResource `json:"virtualNetwork"`
	RegistrationEnabled bool            `json:"registrationEnabled"`
	ResolutionPolicy    string          `json:"resolutionPolicy"`
}

func putLink(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.Begin(LinksType, false)
	if err != nil {
		return arm.Reply{}, err
	}
	if err := global(res); err != nil {
		return arm.Reply{}, err
	}
	properties := arm.Child(res, "properties")
	var given, before linkProperties
	if err := arm.Decode(properties, &given); err != nil {
		return arm.Reply{}, err
	}
	if old != nil {
		if err := arm.Decode(arm.Child(old, "properties"), &before); err != nil {
			return arm.Reply{}, err
		}
	}
	_, isNetwork := arm.ParseID(given.VirtualNetwork.ID, networksType)
	switch {
	case !isNetwork:
		return arm.Reply{}, arm.BadRequest("BadRequest", "The virtual network '%s' of the link '%s' is not the id of a "+
			"virtual network.", given.VirtualNetwork.ID, c.Name())
	case old != nil && !fold.Equal(given.VirtualNetwork.ID, before.VirtualNetwork.ID):
		return arm.Reply{}, arm.BadRequest("BadRequest", "The virtual network of a link cannot be changed.")
	case strings.HasPrefix(fold.Lower(c.Names[0]), "privatelink.") && given.RegistrationEnabled:
		return arm.Reply{}, arm.BadRequest("BadRequest",
			"Auto registration of virtual machines is not possible in the zone '%s'.", c.Names[0])
	}
	if _, ok, err := arm.Load(c.Tx, given.VirtualNetwork.ID); err != nil || !ok {
		if err == nil {
			err = arm.BadRequest("BadRequest", "The virtual network '%s' does not exist.", given.VirtualNetwork.ID)
		}
		return arm.Reply{}, err
	}
	if err := c.CheckLinked("Microsoft.Network/virtualNetworks/join/action", given.VirtualNetwork.ID); err != nil {
		return arm.Reply{}, err
	}
	if other, err := linkOf(c, c.Names[0], given.VirtualNetwork.ID); err != nil {
		return arm.Reply{}, err
	} else if other != nil && !fold.Equal(arm.Text(other, "id"), arm.Text(res, "id")) {
		return arm.Reply{}, arm.BadRequest("BadRequest", "A virtual network cannot be linked to multiple zones with "+
			"overlapping namespaces. You tried to link virtual network with '%s' and '%[1]s' zones.", c.Names[0])
	}
	arm.SetDefault(properties, "registrationEnabled", false)
	arm.SetDefault(properties, "resolutionPolicy", "Default")
	properties["virtualNetworkLinkState"] = "Completed"
	arm.SetState(res, arm.Succeeded)
	return c.Written(old, res)
}

// linkOf returns the link of a network to a zone with a name in any group, or nil.
func linkOf(c *arm.Call, zone, network string) (arm.Object, error) {
	links, err := arm.Under(c.Tx, "/subscriptions", LinksType)
	for _, link := range links {
		name := arm.Parse(http.MethodGet, arm.Text(link, "id")).Names[0]
		linked := arm.Text(arm.Child(arm.Child(link, "properties"), "virtualNetwork"), "id")
		if fold.Equal(name, zone) && fold.Equal(linked, network) {
			return link, err
		}
	}
	return nil, err
}
