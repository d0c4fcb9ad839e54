package arm

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/google/uuid"
)

// zoneName is the rule of private zones but for how many labels there can be, 34.
var zoneName = regexp.MustCompile(`^([a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?\.)+[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?$`)

// global checks the location of what is in no region.
func global(res object) error {
	if !strings.EqualFold(text(res, "location"), "global") {
		return badRequest("LocationNotAvailableForResourceType", "The provided location '%s' is not available for resource type '%s'. List of "+
			"available regions for the resource type is 'global'.", text(res, "location"), text(res, "type"))
	}
	res["location"] = "global"
	return nil
}

func (c *call) putZone() (reply, error) {
	old, res, err := c.begin(zonesType, false)
	if err != nil {
		return reply{}, err
	}
	if err := global(res); err != nil {
		return reply{}, err
	}
	res["properties"] = object{
		"maxNumberOfRecordSets": 25000, "maxNumberOfVirtualNetworkLinks": 1000, "maxNumberOfVirtualNetworkLinksWithRegistration": 100,
		"provisioningState": succeeded, "internalId": uuid.NewString(),
	}
	if old != nil {
		res["properties"] = old["properties"]
	}
	answer, err := c.written(old, res)
	if err != nil {
		return reply{}, err
	}
	return answer, c.countLinks(res)
}

func (c *call) getZone() (reply, error) {
	answer, err := c.getStored()
	if err != nil {
		return reply{}, err
	}
	res, _ := answer.body.(object)
	return answer, c.countLinks(res)
}

// countLinks fills in what a zone says of the networks that it is linked to.
func (c *call) countLinks(zone object) error {
	links, err := under(c.tx, text(zone, "id"), linksType)
	registering := 0
	for _, link := range links {
		if child(link, "properties")["registrationEnabled"] == true {
			registering++
		}
	}
	properties := child(zone, "properties")
	properties["numberOfVirtualNetworkLinks"], properties["numberOfVirtualNetworkLinksWithRegistration"] = len(links), registering
	return err
}

func (c *call) deleteZone() (reply, error) {
	res, ok, err := load(c.tx, c.path)
	if err != nil || !ok {
		return reply{status: http.StatusNoContent}, err
	}
	links, err := under(c.tx, c.path, linksType)
	if err != nil {
		return reply{}, err
	}
	if len(links) > 0 {
		return reply{}, conflict("CannotDeleteResource", "Can not delete resource before nested resources are deleted.")
	}
	return reply{}, destroy(c.tx, res)
}

type linkProperties struct {
	VirtualNetwork      subResource `json:"virtualNetwork"`
	RegistrationEnabled bool        `json:"registrationEnabled"`
	ResolutionPolicy    string      `json:"resolutionPolicy"`
}

func (c *call) putLink() (reply, error) {
	old, res, err := c.begin(linksType, false)
	if err != nil {
		return reply{}, err
	}
	if err := global(res); err != nil {
		return reply{}, err
	}
	properties := child(res, "properties")
	var given, before linkProperties
	if err := decode(properties, &given); err != nil {
		return reply{}, err
	}
	if old != nil {
		if err := decode(child(old, "properties"), &before); err != nil {
			return reply{}, err
		}
	}
	t := parse(http.MethodGet, given.VirtualNetwork.ID)
	switch {
	case !strings.EqualFold(t.kind, networksType) || t.collection:
		return reply{}, badRequest("BadRequest", "The virtual network '%s' of the link '%s' is not the id of a virtual network.",
			given.VirtualNetwork.ID, c.name())
	case old != nil && !strings.EqualFold(given.VirtualNetwork.ID, before.VirtualNetwork.ID):
		return reply{}, badRequest("BadRequest", "The virtual network of a link cannot be changed.")
	case strings.HasPrefix(strings.ToLower(c.names[0]), "privatelink.") && given.RegistrationEnabled:
		return reply{}, badRequest("BadRequest", "Auto registration of virtual machines is not possible in the zone '%s'.", c.names[0])
	}
	if _, ok, err := load(c.tx, given.VirtualNetwork.ID); err != nil || !ok {
		if err == nil {
			err = badRequest("BadRequest", "The virtual network '%s' does not exist.", given.VirtualNetwork.ID)
		}
		return reply{}, err
	}
	if err := c.checkLinked("Microsoft.Network/virtualNetworks/join/action", given.VirtualNetwork.ID); err != nil {
		return reply{}, err
	}
	if other, err := c.linkOf(c.names[0], given.VirtualNetwork.ID); err != nil {
		return reply{}, err
	} else if other != nil && !strings.EqualFold(text(other, "id"), text(res, "id")) {
		return reply{}, badRequest("BadRequest", "A virtual network cannot be linked to multiple zones with overlapping namespaces. You tried to "+
			"link virtual network with '%s' and '%[1]s' zones.", c.names[0])
	}
	setDefault(properties, "registrationEnabled", false)
	setDefault(properties, "resolutionPolicy", "Default")
	properties["virtualNetworkLinkState"] = "Completed"
	setState(res, succeeded)
	return c.written(old, res)
}

// linkOf finds the link of a network to a zone of that name, in any group.
func (c *call) linkOf(zone, network string) (object, error) {
	links, err := under(c.tx, "/subscriptions", linksType)
	for _, link := range links {
		if strings.EqualFold(parse(http.MethodGet, text(link, "id")).names[0], zone) &&
			strings.EqualFold(text(child(child(link, "properties"), "virtualNetwork"), "id"), network) {
			return link, err
		}
	}
	return nil, err
}
