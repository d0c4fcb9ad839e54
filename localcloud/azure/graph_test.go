package azure_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
)

// graph sends a request to Microsoft Graph with a token for an audience, or without a token.
func (f *fixture) graph(who azcore.TokenCredential, audience, method, path, body string) (int, map[string]any) {
	f.Helper()
	req, err := http.NewRequestWithContext(f.Context(), method, "https://graph.microsoft.com/v1.0"+path,
		strings.NewReader(body))
	f.must(err)
	if who != nil {
		token, err := who.GetToken(f.Context(), policy.TokenRequestOptions{Scopes: []string{audience + "/.default"}})
		f.must(err)
		req.Header.Set("Authorization", "Bearer "+token.Token)
	}
	resp, err := f.client.Do(req)
	f.must(err)
	defer resp.Body.Close()
	var answer map[string]any
	f.must(json.NewDecoder(resp.Body).Decode(&answer))
	return resp.StatusCode, answer
}

const (
	graphAudience   = "https://graph.microsoft.com"
	graphAudienceID = "00000003-0000-0000-c000-000000000000"
)

// TestGraph_FindsPrincipals sends the requests of az, azapi, azuread and Pulumi.
func TestGraph_FindsPrincipals(t *testing.T) {
	f := newFixture(t)
	f.group("rg")
	const app = "resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/app?api-version=2023-01-31"
	identity := f.put(path(app), map[string]any{"location": location})["properties"].(map[string]any)
	clientID, objectID := identity["clientId"].(string), identity["principalId"].(string)
	_, appObject := f.principal()
	_, shown := f.graph(f.owner, graphAudience, http.MethodGet, "/servicePrincipals/"+appObject, "")
	appClient, _ := shown["appId"].(string)
	filter := func(text string) string { return "/servicePrincipals?$filter=" + url.QueryEscape(text) }
	for name, test := range map[string]struct {
		path, body string
		want       []string // object IDs
	}{
		"by application id": {filter("appId eq '" + clientID + "'"), "", []string{objectID}},
		"in capitals":       {filter("appId eq '" + strings.ToUpper(clientID) + "'"), "", []string{objectID}},
		"by name":           {filter("servicePrincipalNames/any(c:c eq '" + clientID + "')"), "", []string{objectID}},
		"by display name": {
			filter("displayName eq 'app' and servicePrincipalType eq 'ManagedIdentity'"), "", []string{objectID},
		},
		"whose name starts": {filter("startswith(displayName,'ap')"), "", []string{objectID}},
		"nobody's":          {filter("appId eq '" + objectID + "'"), "", nil},
		"a quote":           {filter("displayName eq 'it''s'"), "", nil},
		"one of two": {
			filter("appId eq '" + clientID + "' or appId eq '" + objectID + "'"), "", []string{objectID},
		},
		"one in a list": {filter("id in ('" + clientID + "', '" + objectID + "')"), "", []string{objectID}},
		"an object id":  {"/servicePrincipals/" + objectID, "", []string{objectID}},
		"a key":         {"/servicePrincipals(appId='" + clientID + "')?$select=id", "", []string{objectID}},
		"objects of all kinds": {
			"/directoryObjects/getByIds",
			`{"ids": ["` + objectID + `", "` + clientID + `", "` + azure.OwnersGroupID + `"], "types": []}`,
			[]string{objectID, azure.OwnersGroupID},
		},
		"objects of one kind": {
			"/directoryObjects/getByIds",
			`{"ids": ["` + objectID + `", "` + azure.OwnersGroupID + `"], "types": ["group"]}`,
			[]string{azure.OwnersGroupID},
		},
		"a group":                {"/groups/" + azure.OwnersGroupID, "", []string{azure.OwnersGroupID}},
		"users":                  {"/users?$filter=" + url.QueryEscape("userPrincipalName eq 'a@b.c'"), "", nil},
		"the tenant":             {"/organization", "", []string{azure.TenantID}},
		"applications, not all":  {"/applications?$filter=" + url.QueryEscape("appId eq '"+clientID+"'"), "", nil},
		"an application's other": {filter("appId eq '" + appClient + "'"), "", []string{appObject}},
	} {
		for _, audience := range []string{graphAudience, graphAudience + "/", graphAudienceID} {
			method := http.MethodGet
			if test.body != "" {
				method = http.MethodPost
			}
			status, answer := f.graph(f.owner, audience, method, test.path, test.body)
			found := []any{answer}
			if list, ok := answer["value"].([]any); ok {
				found = list
			}
			if status != http.StatusOK || len(found) != len(test.want) {
				t.Errorf("%s: %d %v, want %v", name, status, answer, test.want)
				continue
			}
			for i, id := range test.want {
				if found[i].(map[string]any)["id"] != id {
					t.Errorf("%s: %v, want %v", name, answer, test.want)
				}
			}
		}
	}
	_, answer := f.graph(f.owner, graphAudience, http.MethodGet, "/servicePrincipals/"+objectID, "")
	for name, want := range map[string]any{
		"appId": clientID, "displayName": "app", "servicePrincipalType": "ManagedIdentity",
	} {
		if answer[name] != want {
			t.Errorf("%s is %v, want %v", name, answer[name], want)
		}
	}
}

// TestGraph_RefusesOtherRequests checks that applications have no permissions by default, and that unsupported objects
// are not reported as missing.
func TestGraph_RefusesOtherRequests(t *testing.T) {
	f := newFixture(t)
	as, objectID := f.principal()
	plain := as.owner
	anyone := "/servicePrincipals/" + objectID
	for name, test := range map[string]struct {
		who                          azcore.TokenCredential
		audience, method, path, body string
		status                       int
		code                         string
	}{
		"nobody": {nil, "", "GET", anyone, "", 401, "InvalidAuthenticationToken"},
		"a token for Resource Manager": {
			f.owner, "https://management.azure.com", "GET", anyone, "", 401, "InvalidAuthenticationToken",
		},
		"an application about itself": {plain, graphAudience, "GET", anyone, "", 403, "Authorization_RequestDenied"},
		"an application's list": {
			plain, graphAudience, "GET", "/servicePrincipals", "", 403, "Authorization_RequestDenied",
		},
		"an application by ids": {
			plain, graphAudience, "POST", "/directoryObjects/getByIds", "{}", 403, "Authorization_RequestDenied",
		},
		"who is nobody's": {f.owner, graphAudience, "GET", "/me", "", 400, "BadRequest"},
		"nobody's id": {
			f.owner, graphAudience, "GET", "/servicePrincipals/" + azure.TenantID, "", 404, "Request_ResourceNotFound",
		},
		"no user": {f.owner, graphAudience, "GET", "/users/a@b.c", "", 404, "Request_ResourceNotFound"},
		"an invalid body": {
			f.owner, graphAudience, "POST", "/directoryObjects/getByIds", "[", 400, "Request_BadRequest",
		},
		"no ids": {
			f.owner, graphAudience, "POST", "/directoryObjects/getByIds", "{}", 400, "Request_BadRequest",
		},
		"an invalid ID": {
			f.owner, graphAudience, "POST", "/directoryObjects/getByIds", `{"ids": ["a"]}`, 400, "Request_BadRequest",
		},
		"a page of none": {
			f.owner, graphAudience, "GET", "/servicePrincipals?$top=0", "", 400, "Request_BadRequest",
		},
		"writing":             {f.owner, graphAudience, "POST", "/applications", "{}", 501, "notImplemented"},
		"another set":         {f.owner, graphAudience, "GET", "/devices", "", 501, "notImplemented"},
		"what belongs to one": {f.owner, graphAudience, "GET", anyone + "/owners", "", 501, "notImplemented"},
		"another filter": {
			f.owner, graphAudience, "GET", "/servicePrincipals?$filter=accountEnabled%20eq%20true", "", 501, "notImplemented",
		},
		"a property": {f.owner, graphAudience, "GET", anyone + "?$select=tags", "", 501, "notImplemented"},
		"a filter of nobody": {
			f.owner, graphAudience, "GET", "/users?$filter=department%20eq%20'x'", "", 501, "notImplemented",
		},
		"another option": {
			f.owner, graphAudience, "GET", "/servicePrincipals?$orderby=displayName", "", 501, "notImplemented",
		},
		"Microsoft's own": {
			f.owner,
			graphAudience,
			"GET",
			"/servicePrincipals?$filter=appId%20eq%20'" + graphAudienceID + "'",
			"",
			501,
			"notImplemented",
		},
	} {
		status, answer := f.graph(test.who, test.audience, test.method, test.path, test.body)
		refusal, _ := answer["error"].(map[string]any)
		if status != test.status || refusal["code"] != test.code || refusal["message"] == "" {
			t.Errorf("%s: %d %v, want %d %s", name, status, answer, test.status, test.code)
		}
	}
}

// TestGraph_OwnerReadsAfterRestart checks that the owner's grant survives a restart.
func TestGraph_OwnerReadsAfterRestart(t *testing.T) {
	f := newFixture(t)
	f.stop()
	f.start()
	if status, answer := f.graph(f.owner, graphAudience, http.MethodGet, "/groups/"+azure.OwnersGroupID,
		""); status != http.StatusOK {
		t.Errorf("%d %v", status, answer)
	}
}

// TestRoleAssignment_HasTypeOfPrincipal checks the type that az reads from Microsoft Graph.
func TestRoleAssignment_HasTypeOfPrincipal(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.group("rg")
	_, app := f.principal()
	reader := path("providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7")
	for name, test := range map[string]struct{ principal, given, want string }{
		"11111111-0000-4000-8000-000000000001": {azure.OwnersGroupID, "Group", "Group"},
		"11111111-0000-4000-8000-000000000002": {app, "", "ServicePrincipal"},
		"11111111-0000-4000-8000-000000000003": {azure.OwnersGroupID, "ServicePrincipal", ""},
		"11111111-0000-4000-8000-000000000004": {app, "User", ""},
	} {
		properties := map[string]any{"principalId": test.principal, "roleDefinitionId": reader}
		if test.given != "" {
			properties["principalType"] = test.given
		}
		status, answer := f.ask(
			http.MethodPut,
			path("resourceGroups/rg/providers/Microsoft.Authorization/roleAssignments/"+name+"?api-version=2022-04-01"),
			map[string]any{"properties": properties},
		)
		made, _ := answer["properties"].(map[string]any)
		if test.want == "" && status != http.StatusBadRequest || test.want != "" && made["principalType"] != test.want {
			t.Errorf("%s: %d %v, want %q", name, status, answer, test.want)
		}
	}
}
