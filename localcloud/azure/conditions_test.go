package azure_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
)

// TestAssignmentCondition_AllowsListedRolesOnly assigns roles as a deployer with the role of docs/roles.
func TestAssignmentCondition_AllowsListedRolesOnly(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	condition, err := os.ReadFile("../../docs/roles/assign-condition.txt")
	f.must(err)
	const (
		subscription   = "/subscriptions/" + azure.SubscriptionID
		version        = "?api-version=2022-04-01"
		assignRoles    = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9" // User Access Administrator
		owner          = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
		contributor    = "b24988ac-6180-42a0-ab88-20f7382dd24c"
		roles          = "/providers/Microsoft.Authorization/roleAssignments/"
		group          = subscription + "/resourceGroups/g"
		reader         = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
		keyVaultReader = "21090545-7ca7-4776-b22c-e363652d74d2"
	)
	body := func(role, principal string, more m) m {
		properties := m{
			"roleDefinitionId": subscription + "/providers/Microsoft.Authorization/roleDefinitions/" + role,
			"principalId":      principal,
			"principalType":    "ServicePrincipal",
		}
		for name, value := range more {
			properties[name] = value
		}
		return m{"properties": properties}
	}
	deployer, deployerID := f.principal()
	_, podID := f.principal()
	own := subscription + roles + uuid.NewString()
	for name, more := range map[string]m{
		"another language": {
			"condition":        "@Principal[Microsoft.Directory/CustomSecurityAttributes/Id:A_b] StringEquals 'c'",
			"conditionVersion": "2.0",
		},
		"another version":   {"condition": string(condition), "conditionVersion": "1.0"},
		"without a version": {"condition": string(condition)},
	} {
		if status, code := f.call(http.MethodPut, own+version,
			body(assignRoles, deployerID, more)); status != http.StatusNotImplemented {
			t.Errorf("%s: %d %s", name, status, code)
		}
	}
	conditional := body(assignRoles, deployerID, m{"condition": string(condition), "conditionVersion": "2.0"})
	if status, code := f.call(http.MethodPut, own+version, conditional); status != http.StatusCreated {
		t.Fatalf("%d %s", status, code)
	}
	if shown := f.get(own + version); shown["condition"] != string(condition) || shown["conditionVersion"] != "2.0" {
		t.Errorf("got %v", shown)
	}

	allowed := group + roles + uuid.NewString()
	if status, code := deployer.call(http.MethodPut, allowed+version,
		body(secretsUser, podID, nil)); status != http.StatusCreated {
		t.Errorf("Key Vault Secrets User: %d %s", status, code)
	}
	theirs := group + roles + uuid.NewString()
	if status, code := f.call(http.MethodPut, theirs+version, body(reader, podID, nil)); status != http.StatusCreated {
		t.Fatalf("%d %s", status, code)
	}
	for name, test := range map[string]struct {
		method, at string
		body       m
	}{
		"Owner to itself": {http.MethodPut, subscription + roles + uuid.NewString(), body(owner, deployerID, nil)},
		"Owner in small and no type": {http.MethodPut, group + roles + uuid.NewString(), m{"properties": m{
			"roleDefinitionId": strings.ToLower(subscription + "/providers/Microsoft.Authorization/roleDefinitions/" + owner),
			"principalId":      deployerID,
		}}},
		"Contributor to a pod":             {http.MethodPut, group + roles + uuid.NewString(), body(contributor, podID, nil)},
		"Owner in place of what it has":    {http.MethodPut, allowed, body(owner, podID, nil)},
		"its own role without a condition": {http.MethodPut, own, body(assignRoles, deployerID, nil)},
		"the role again, above": {
			http.MethodPut, group + roles + uuid.NewString(), body(assignRoles, deployerID, nil),
		},
		"deletes another's role": {http.MethodDelete, theirs, nil},
		"deletes its own role":   {http.MethodDelete, own, nil},
	} {
		var content any
		if test.body != nil {
			content = test.body
		}
		if status, code := deployer.call(test.method, test.at+version, content); status != http.StatusForbidden ||
			code != "AuthorizationFailed" {
			t.Errorf("%s: %d %s", name, status, code)
		}
	}
	if status, code := deployer.call(http.MethodPut, group+roles+uuid.NewString()+version,
		body(keyVaultReader, podID, nil)); status != http.StatusCreated {
		t.Errorf("Key Vault Reader: %d %s", status, code)
	}
	if status, code := deployer.call(http.MethodDelete, allowed+version, nil); status != http.StatusOK {
		t.Errorf("deleting its assignment: %d %s", status, code)
	}
}
