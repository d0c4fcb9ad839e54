package azure_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armlocks"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
)

func (f *fixture) lock(scope string, level armlocks.LockLevel) error {
	f.Helper()
	client, err := armlocks.NewManagementLocksClient(azure.SubscriptionID, f.owner, f.arm())
	f.must(err)
	_, err = client.CreateOrUpdateByScope(f.Context(), scope, "lock",
		armlocks.ManagementLockObject{Properties: &armlocks.ManagementLockProperties{Level: &level}}, nil)
	return err
}

func (f *fixture) unlock(scope string) error {
	f.Helper()
	client, err := armlocks.NewManagementLocksClient(azure.SubscriptionID, f.owner, f.arm())
	f.must(err)
	_, err = client.DeleteByScope(f.Context(), scope, "lock", nil)
	return err
}

func TestLock_ProtectsScopeChildrenAndParents(t *testing.T) {
	f := newFixture(t)
	group := f.group("g")
	f.must(f.putVault("g", "kv-lock", nil))
	f.must(f.putVault("g", "kv-free", nil))
	uai := f.identity("g", "uai")
	vault := group + "/providers/Microsoft.KeyVault/vaults/kv-lock"
	role, err := f.assign(vault, secretsUser, *uai.Properties.PrincipalID, servicePrincipal)
	f.must(err)
	f.must(f.lock(vault, armlocks.LockLevelCanNotDelete))

	for _, locked := range []string{
		vault + "?api-version=2023-02-01", group + "?api-version=2022-09-01",
		vault + "/providers/Microsoft.Authorization/roleAssignments/" + role + "?api-version=2022-04-01",
	} {
		if status, code := f.call(http.MethodDelete, locked, nil); status != http.StatusConflict || code != "ScopeLocked" {
			t.Errorf("DELETE %s: %d %s", locked, status, code)
		}
	}
	f.put(vault+"/secrets/s?api-version=2023-02-01", m{"properties": m{"value": "v"}})
	if status, code := f.call(http.MethodDelete,
		group+"/providers/Microsoft.KeyVault/vaults/kv-free?api-version=2023-02-01", nil); status != http.StatusOK {
		t.Errorf("beside the lock: %d %s", status, code)
	}

	f.must(f.lock(vault, armlocks.LockLevelReadOnly))
	if status, code := f.call(http.MethodPut, vault+"/secrets/s?api-version=2023-02-01", m{
		"properties": m{"value": "w"},
	}); status != http.StatusConflict ||
		code != "ScopeLocked" {
		t.Errorf("PUT below a lock that is ReadOnly: %d %s", status, code)
	}
	f.must(f.unlock(vault))
	if status, code := f.call(http.MethodDelete, vault+"?api-version=2023-02-01", nil); status != http.StatusOK {
		t.Errorf("without the lock: %d %s", status, code)
	}
}

func TestRolesAndLocks_ApplyToPathsThroughOtherResources(t *testing.T) {
	f := newFixture(t)
	group := f.group("g")
	f.must(f.putVault("g", "kv-way", nil))
	f.identity("g", "victim")
	const identity = "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/"
	f.must(f.lock(group+identity+"victim", armlocks.LockLevelReadOnly))
	vault := group + "/providers/Microsoft.KeyVault/vaults/kv-way"
	tagged := m{"location": location, "tags": m{"by": "way"}}
	for _, foreign := range []string{
		vault + identity + "victim?api-version=2023-01-31",
		group + "/providers/Microsoft.KeyVault/vaults/none" + identity + "victim?api-version=2023-01-31",
		strings.TrimSuffix(path(""), "/") + identity + "victim?api-version=2023-01-31",
		identity + "victim?api-version=2023-01-31",
		vault + "/providers/Microsoft.Resources/subscriptions/s/resourceGroups/g?api-version=2022-09-01",
		path("providers/Microsoft.Resources/subscriptions/s/resourceGroups/g?api-version=2022-09-01"),
	} {
		if status, code := f.call(http.MethodPut, foreign, tagged); status != http.StatusNotFound &&
			status != http.StatusForbidden {
			t.Errorf("PUT %s: %d %s", foreign, status, code)
		}
	}
	if status, code := f.call(
		http.MethodPost,
		vault+"/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/kv-way/purge?api-version=2023-02-01",
		nil,
	); code != "InvalidResourceType" {
		t.Errorf("purge: %d %s", status, code)
	}
	_, victim := f.ask(http.MethodGet, group+identity+"victim?api-version=2023-01-31", nil)
	if victim["id"] != group+identity+"victim" || victim["tags"] != nil {
		t.Errorf("the identity is now %v", victim)
	}
	for _, all := range []string{
		"Microsoft.KeyVault/vaults?api-version=2023-02-01",
		"Microsoft.ManagedIdentity/userAssignedIdentities?api-version=2023-01-31",
	} {
		if _, listed := f.ask(http.MethodGet, path("providers", all), nil); len(listed["value"].([]any)) != 1 {
			t.Errorf("all of %s: %v", all, listed)
		}
	}
}

func TestLock_ReadOnlyProtectsKubeconfig(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	_, err := f.putCluster(nil)
	f.must(err)
	id := path("resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/aks")
	f.must(f.lock(id, armlocks.LockLevelReadOnly))
	_, err = f.managedClusters().ListClusterUserCredentials(t.Context(), "g", "aks", nil)
	f.refused(err, http.StatusConflict, "ScopeLocked")
}

func TestLock_RefusesInvalidBodies(t *testing.T) {
	f := newFixture(t)
	group := f.group("g")
	f.refused(f.lock(group, "Sometimes"), http.StatusBadRequest, "InvalidLockLevel")
	f.refused(f.lock(group+"/providers/Microsoft.KeyVault/vaults/none", armlocks.LockLevelCanNotDelete),
		http.StatusNotFound, "ResourceNotFound")
}

const (
	workspaceVersion = "?api-version=2020-10-01"
	settingVersion   = "?api-version=2021-05-01-preview"
)

func (f *fixture) workspace(name string) string {
	f.Helper()
	id := path("resourceGroups/g/providers/Microsoft.OperationalInsights/workspaces/" + name)
	f.put(id+workspaceVersion, m{
		"location": location, "properties": m{"sku": m{"name": "PerGB2018"}, "retentionInDays": 30},
	})
	return id
}

func TestWorkspace_LimitsRetention(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	id := f.workspace("logs-one")
	if f.get(id + workspaceVersion)["customerId"] == nil {
		t.Error("it has no customer id")
	}
	for _, days := range []int{29, 731} {
		if _, code := f.call(http.MethodPut, id+workspaceVersion, m{
			"location": location, "properties": m{"retentionInDays": days},
		}); code != "InvalidParameter" {
			t.Errorf("%d days: %s", days, code)
		}
	}
}

func TestDiagnosticSetting_RequiresCategoriesOfResource(t *testing.T) {
	f := newFixture(t)
	group := f.group("g")
	f.must(f.putVault("g", "kv-logs", nil))
	workspace, other := f.workspace("logs-one"), f.workspace("logs-two")
	vault := group + "/providers/Microsoft.KeyVault/vaults/kv-logs"
	at := func(name string) string {
		return vault + "/providers/Microsoft.Insights/diagnosticSettings/" + name + settingVersion
	}
	send := func(to string, categories ...string) m {
		logs := []m{}
		for _, category := range categories {
			logs = append(logs, m{"category": category, "enabled": true})
		}
		return m{
			"properties": m{"workspaceId": to, "logs": logs, "metrics": []m{{"category": "AllMetrics", "enabled": true}}},
		}
	}
	f.put(at("one"), send(workspace, "AuditEvent"))
	f.put(at("one"), send(workspace, "AuditEvent"))
	f.put(at("two"), send(other, "AuditEvent", "AzurePolicyEvaluationDetails"))
	for name, test := range map[string]struct {
		path string
		body m
		code string
	}{
		"a cluster's category": {at("three"), send(workspace, "kube-audit"), "BadRequest"},
		"no such workspace":    {at("three"), send(workspace+"x", "AuditEvent"), "ResourceNotFound"},
		"nowhere to send": {
			at("three"), m{"properties": m{"logs": []m{{"category": "AuditEvent", "enabled": true}}}}, "BadRequest",
		},
		"the same again":    {at("three"), send(workspace, "AuditEvent"), "Conflict"},
		"a storage account": {at("three"), m{"properties": m{"storageAccountId": "/x", "logs": []m{}}}, "NotImplemented"},
		"no such resource": {
			vault + "x/providers/Microsoft.Insights/diagnosticSettings/one" + settingVersion,
			send(workspace, "AuditEvent"),
			"ResourceNotFound",
		},
		"a resource without": {
			workspace + "/providers/Microsoft.Insights/diagnosticSettings/one" + settingVersion,
			send(workspace, "Audit"),
			"NotImplemented",
		},
	} {
		if status, code := f.call(http.MethodPut, test.path, test.body); code != test.code {
			t.Errorf("%s: %d %s, want %s", name, status, code, test.code)
		}
	}
	_, err := f.vaults().Delete(t.Context(), "g", "kv-logs", nil)
	f.must(err)
	if status, _ := f.call(http.MethodGet, at("one"), nil); status != http.StatusNotFound {
		t.Errorf("the setting of a vault that is gone: %d", status)
	}
}
