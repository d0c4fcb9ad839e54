package eventgrid_test

import (
	"net/http"
	"testing"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager/armtest"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/eventgrid"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/keyvault"
)

type m = arm.Object

func TestTopic_IsUniquePerVault(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, eventgrid.Provider(http.DefaultClient), keyvault.Provider())
	group := rm.Group("g")
	vault := group + "/providers/" + keyvault.VaultsType + "/kv-events"
	rm.Put(vault+"?api-version=2024-11-01", m{"location": armtest.Location, "properties": m{
		"tenantId": armtest.TenantID, "sku": m{"family": "A", "name": "standard"}, "enableRbacAuthorization": true,
	}})
	at := func(name string) string {
		return group + "/providers/Microsoft.EventGrid/systemTopics/" + name + "?api-version=2025-02-15"
	}
	topic := func(source string) m {
		return m{"location": armtest.Location, "properties": m{"source": source, "topicType": "Microsoft.KeyVault.vaults"}}
	}
	rm.Put(at("topic"), topic(vault))
	rm.Refused(http.MethodPut, at("another"), topic(vault), 400, "InvalidRequest")
	rm.Refused(http.MethodPut, at("topic"), topic(vault+"x"), 400, "InvalidRequest")
	for _, id := range []string{"", "/", "x", group, group + "/providers/" + keyvault.VaultsType, vault + "/secrets/s"} {
		rm.Refused(http.MethodPut, at("another"), topic(id), 501, "NotImplemented")
	}
}
