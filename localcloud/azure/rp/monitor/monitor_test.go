package monitor_test

import (
	"net/http"
	"testing"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager/armtest"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/monitor"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/operationalinsights"
)

type m = arm.Object

func TestActionGroup_ChecksShortNameAndReceivers(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, monitor.Provider())
	rm.Group("g")
	at := armtest.ID("resourceGroups/g/providers", monitor.ActionGroupsType, "team") + "?api-version=2023-01-01"
	with := func(short string, emails ...m) m {
		return m{"location": "Global", "properties": m{"groupShortName": short, "enabled": true, "emailReceivers": emails}}
	}
	one := m{"name": "one", "emailAddress": "one@example.com"}
	rm.Put(at, with("team", one))
	rm.Refused(http.MethodPut, at, with(""), 400, "GroupShortNameInvalid")
	rm.Refused(http.MethodPut, at, with("thirteen-long"), 400, "InvalidRequestContent")
	rm.Refused(http.MethodPut, at, with("team", one, one), 400, "ReceiverNameInvalid")
	rm.Refused(http.MethodPut, at, with("team", nil), 400, "ReceiverNameInvalid")
	rm.Refused(http.MethodPut, at, with("team", m{"name": "one", "emailAddress": "@"}), 400, "EmailAddressInvalid")
	rm.Refused(http.MethodPut, at,
		m{"location": armtest.Location, "properties": m{"groupShortName": "team", "enabled": true}}, 501, "NotImplemented")
}

func TestMonitor_RefusesInvalidIDs(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, monitor.Provider(), operationalinsights.Provider())
	group := rm.Group("g")
	const (
		association = "/providers/Microsoft.Insights/dataCollectionRuleAssociations/a?api-version=2022-06-01"
		setting     = "/providers/Microsoft.Insights/diagnosticSettings/a?api-version=2021-05-01-preview"
		workspaces  = "/providers/Microsoft.OperationalInsights/workspaces"
	)
	for _, id := range []string{"", "/", "x", "/subscriptions", group, group + workspaces} {
		for path, properties := range map[string]m{
			association: {"dataCollectionRuleId": id},
			setting:     {"workspaceId": id},
		} {
			status, answer := rm.Ask(http.MethodPut, group+path, m{"properties": properties})
			if status < 400 || status == 500 || armtest.Code(answer) == "" {
				t.Errorf("%s with %q: %d %v", path, id, status, answer)
			}
		}
	}
}
