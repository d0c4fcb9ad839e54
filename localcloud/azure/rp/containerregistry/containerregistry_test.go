package containerregistry_test

import (
	"net/http"
	"testing"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager/armtest"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/containerregistry"
)

type m = arm.Object

func TestRegistry_NeedsASKUAndAValidName(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, containerregistry.Provider())
	rm.Group("g")
	at := func(name string) string {
		const registries = "resourceGroups/g/providers/Microsoft.ContainerRegistry/registries"
		return armtest.ID(registries, name) + "?api-version=2023-07-01"
	}
	rm.Put(at("images"), m{"location": armtest.Location, "sku": m{"name": "Basic"}})
	if got := arm.Text(arm.Child(rm.Get(at("images")), "properties"), "loginServer"); got != "images.azurecr.io" {
		t.Errorf("the login server is %q", got)
	}
	rm.Refused(http.MethodPut, at("images"), m{"location": armtest.Location}, 400, "InvalidRequestContent")
	rm.Refused(http.MethodPut, at("images"), m{"location": armtest.Location, "sku": m{"name": "Gold"}}, 400,
		"InvalidParameter")
	rm.Refused(http.MethodPut, at("my-images"), m{"location": armtest.Location, "sku": m{"name": "Basic"}}, 400,
		"InvalidResourceName")
	rm.Refused(http.MethodPut, at("images"),
		m{"location": armtest.Location, "sku": m{"name": "Basic"}, "properties": m{"policies": m{}}}, 501, "NotImplemented")
}
