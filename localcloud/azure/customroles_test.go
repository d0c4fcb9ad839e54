package azure_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
)

func TestCustomRole_GrantsItsActionsInAssignableScopes(t *testing.T) {
	f := newFixture(t)
	const subscription = "/subscriptions/" + azure.SubscriptionID
	group := subscription + "/resourceGroups/one"
	const groupVersion, roleVersion = "?api-version=2022-09-01", "?api-version=2022-04-01"
	for _, name := range []string{"one", "two"} {
		f.call(http.MethodPut, subscription+"/resourceGroups/"+name+groupVersion, map[string]any{"location": location})
	}
	role := subscription + "/providers/Microsoft.Authorization/roleDefinitions/" + uuid.NewString()
	body := func(change map[string]any) map[string]any {
		properties := map[string]any{
			"roleName": "tagger", "type": "CustomRole", "assignableScopes": []any{group},
			"permissions": []any{map[string]any{"actions": []any{"Microsoft.Resources/subscriptions/resourceGroups/write"}}},
		}
		for key, value := range change {
			properties[key] = value
		}
		return map[string]any{"properties": properties}
	}
	for want, change := range map[string]map[string]any{
		"RoleDefinitionNameNullOrEmpty":    {"roleName": ""},
		"MissingAssignableScopes":          {"assignableScopes": []any{}},
		"LinkedInvalidPropertyId":          {"assignableScopes": []any{group + "-absent"}},
		"InvalidActionOrNotAction":         {"permissions": []any{map[string]any{"actions": []any{"write"}}}},
		"RoleDefinitionTypeInvalid":        {"type": "BuiltInRole"},
		"RoleDefinitionWithSameNameExists": {"roleName": "Reader"},
	} {
		if _, code := f.call(http.MethodPut, role+roleVersion, body(change)); code != want {
			t.Errorf("got %q, want %s", code, want)
		}
	}
	if status, code := f.call(http.MethodPut, role+roleVersion, body(nil)); status != http.StatusCreated {
		t.Fatalf("got %d %s", status, code)
	}
	who, objectID := f.principal()
	assignment := func(scope string) string {
		return scope + "/providers/Microsoft.Authorization/roleAssignments/" + uuid.NewString() + roleVersion
	}
	assigned := map[string]any{
		"properties": map[string]any{"roleDefinitionId": role, "principalId": objectID, "principalType": "ServicePrincipal"},
	}
	if _, code := f.call(http.MethodPut, assignment(subscription),
		assigned); code != "RoleAssignmentScopeNotAssignableToRoleDefinition" {
		t.Errorf("outside the assignable scopes: %q", code)
	}
	if status, code := f.call(http.MethodPut, assignment(group), assigned); status != http.StatusCreated {
		t.Fatalf("got %d %s", status, code)
	}
	for request, want := range map[string]int{
		"PUT " + group: http.StatusOK,
		"GET " + group: http.StatusForbidden,
		"PUT " + subscription + "/resourceGroups/two": http.StatusForbidden,
	} {
		method, at, _ := strings.Cut(request, " ")
		if got, _ := who.call(method, at+groupVersion, map[string]any{"location": location}); got != want {
			t.Errorf("%s: got %d, want %d", request, got, want)
		}
	}
	if _, code := f.call(http.MethodDelete, role+roleVersion, nil); code != "RoleDefinitionHasAssignments" {
		t.Errorf("deleting an assigned role: %q", code)
	}
}

// principal creates a service principal without permissions and returns a fixture that uses it.
func (f *fixture) principal() (as *fixture, objectID string) {
	f.Helper()
	req, err := http.NewRequestWithContext(f.Context(), http.MethodPost, "https://localcloud.internal/principals", nil)
	f.must(err)
	f.asOwner(req)
	resp, err := f.client.Do(req)
	f.must(err)
	defer resp.Body.Close()
	var made struct{ ClientID, ObjectID, ClientSecret string }
	f.must(json.NewDecoder(resp.Body).Decode(&made))
	other := *f
	other.owner, err = azidentity.NewClientSecretCredential(azure.TenantID, made.ClientID, made.ClientSecret,
		&azidentity.ClientSecretCredentialOptions{ClientOptions: f.options()})
	f.must(err)
	return &other, made.ObjectID
}
