package operationalinsights_test

import (
	"net/http"
	"testing"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager/armtest"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/operationalinsights"
)

type m = arm.Object

func TestWorkspace_KeepsItsIDAndChecksRetention(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, operationalinsights.Provider())
	rm.Group("g")
	const workspace = "resourceGroups/g/providers/Microsoft.OperationalInsights/workspaces/logs-one"
	at := armtest.ID(workspace) + "?api-version=2020-10-01"
	with := func(sku string, days int) m {
		return m{"location": armtest.Location, "properties": m{"sku": m{"name": sku}, "retentionInDays": days}}
	}
	id := func() string { return arm.Text(arm.Child(rm.Get(at), "properties"), "customerId") }
	rm.Put(at, with("PerGB2018", 30))
	first := id()
	rm.Put(at, with("PerGB2018", 730))
	if first == "" || id() != first {
		t.Errorf("the customer id was %q and is %q", first, id())
	}
	rm.Refused(http.MethodPut, at, with("PerGB2018", 29), 400, "InvalidParameter")
	rm.Refused(http.MethodPut, at, with("PerGB2018", 731), 400, "InvalidParameter")
	rm.Refused(http.MethodPut, at, with("Gold", 30), 400, "InvalidParameter")
	rm.Refused(http.MethodPut, at, with("Standalone", 30), 501, "NotImplemented")
}
