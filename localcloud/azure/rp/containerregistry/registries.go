// Package containerregistry implements Microsoft.ContainerRegistry: registries as scopes of roles. They have no images.
package containerregistry

import (
	"regexp"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
)

const registriesType = "Microsoft.ContainerRegistry/registries"

// Provider returns the provider Microsoft.ContainerRegistry.
func Provider() arm.Provider {
	return arm.Provider{Elsewhere: []string{"Microsoft.ContainerRegistry"}, Types: []arm.Type{
		{
			Name: registriesType, Partial: true,
			Valid: regexp.MustCompile(`^[a-zA-Z0-9]{5,50}$`), Rule: "5 to 50 letters and digits",
			Get: (*arm.Call).GetStored, List: (*arm.Call).ListStored,
			Put: putRegistry, PutModel: func() any { return new(arm.PlacedResource[registryProperties]) },
			Delete: (*arm.Call).DeleteStored,
		},
	}}
}

type registryProperties struct {
	Admin             bool   `json:"adminUserEnabled"`
	LoginServer       string `json:"loginServer"`
	ProvisioningState string `json:"provisioningState"`
}

func putRegistry(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.Begin(registriesType, true)
	if err != nil {
		return arm.Reply{}, err
	}
	switch sku := arm.Text(arm.Child(res, "sku"), "name"); sku {
	case "Basic", "Standard", "Premium":
		arm.Child(res, "sku")["tier"] = sku
	default:
		return arm.Reply{}, arm.BadNotOneOf("sku.name", sku, "Basic, Standard or Premium")
	}
	properties := arm.Child(res, "properties")
	arm.SetDefault(properties, "adminUserEnabled", false)
	properties["loginServer"] = c.Name() + ".azurecr.io"
	arm.SetState(res, arm.Succeeded)
	return c.Written(old, res)
}
