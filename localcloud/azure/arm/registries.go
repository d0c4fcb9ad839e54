package arm

import "regexp"

// registriesType is what nodes pull images from. Here it is only a place for roles.
const registriesType = "Microsoft.ContainerRegistry/registries"

var registryTypes = []resourceType{{
	name: registriesType, partial: true,
	versions: []string{"2019-05-01", "2021-09-01", "2022-12-01", "2023-07-01"},
	valid:    regexp.MustCompile(`^[a-zA-Z0-9]{5,50}$`), rule: "5 to 50 letters and digits",
	get: (*call).getStored, list: (*call).listStored,
	put: (*call).putRegistry, putModel: func() any { return new(placedResource[registryProperties]) },
	delete: (*call).deleteStored,
}}

type registryProperties struct {
	Admin             bool   `json:"adminUserEnabled"`
	LoginServer       string `json:"loginServer"`
	ProvisioningState string `json:"provisioningState"`
}

func (c *call) putRegistry() (reply, error) {
	old, res, err := c.begin(registriesType, true)
	if err != nil {
		return reply{}, err
	}
	switch sku := text(child(res, "sku"), "name"); sku {
	case "Basic", "Standard", "Premium":
		child(res, "sku")["tier"] = sku
	default:
		return reply{}, badNotOneOf("sku.name", sku, "Basic, Standard or Premium")
	}
	properties := child(res, "properties")
	setDefault(properties, "adminUserEnabled", false)
	properties["loginServer"] = c.name() + ".azurecr.io"
	setState(res, succeeded)
	return c.written(old, res)
}
