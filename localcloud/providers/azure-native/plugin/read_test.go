package plugin

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
)

func TestRead_ReturnsNothingForMissingResource(t *testing.T) {
	engine, _ := start(t, nil)
	resp, err := engine.Read(t.Context(), plugin.ReadRequest{
		URN:    urn("keyvault:Vault", "kv"),
		ID:     resource.ID(vaultID),
		Inputs: resource.PropertyMap{},
		State:  resource.PropertyMap{"name": str("kv")},
	})
	if err != nil || resp.ID != "" || resp.Outputs != nil {
		t.Errorf("got %v, %q, %v", err, resp.ID, resp.Outputs)
	}
}

func TestRead_AppliesDriftToInputs(t *testing.T) {
	engine, a := start(t, nil)
	addon := resource.PropertyMap{
		"enabled": resource.NewBoolProperty(true), "config": resource.MakeSecret(obj(map[string]any{"a": "b"})),
	}
	inputs := resource.PropertyMap{
		"resourceGroupName": str("rg"),
		"resourceName":      str("aks"),
		"location":          str("East US"),
		"tags":              obj(map[string]any{"kept": "1", "changed": "1", "gone": "1"}),
		"agentPoolProfiles": resource.NewPropertyValue([]any{map[string]any{"name": "p", "count": 1.0}}),
		"addonProfiles":     resource.NewObjectProperty(resource.PropertyMap{"kv": resource.NewObjectProperty(addon)}),
	}
	azureHas := func(count float64, version string, tags map[string]any, accounts bool) map[string]any {
		return map[string]any{
			"id": clusterID, "name": "aks", "type": "T/t", "location": "eastus", "tags": tags,
			"properties": map[string]any{
				"currentKubernetesVersion": version,
				"disableLocalAccounts":     accounts,
				"enableRBAC":               true,
				"agentPoolProfiles": []any{
					map[string]any{"name": "p", "count": count, "nodeImageVersion": version, "osType": "Linux"},
				},
				"addonProfiles": map[string]any{"kv": map[string]any{
					"enabled": true, "config": map[string]any{"a": "b"}, "identity": map[string]any{"clientId": version},
				}},
			},
		}
	}
	decorated := azureHas(1, "1.34.1", map[string]any{"kept": "1", "changed": "1", "gone": "1"}, false)
	a.decorate = func(_ string, object map[string]any) {
		for k, v := range decorated {
			object[k] = v
		}
	}
	created, err := engine.Create(t.Context(), plugin.CreateRequest{
		URN: urn("containerservice:ManagedCluster", "aks"), Properties: inputs,
	})
	if err != nil {
		t.Fatal(err)
	}
	tags := map[string]any{"kept": "1", "changed": "2", "new": "1"}
	a.resources[strings.ToLower(clusterID)] = azureHas(3, "1.34.2", tags, true)

	resp, err := engine.Read(t.Context(), plugin.ReadRequest{
		URN: urn("containerservice:ManagedCluster", "aks"), ID: created.ID, Inputs: inputs, State: created.Properties,
	})
	if err != nil {
		t.Fatal(err)
	}
	wantJSON(t, "inputs", values(t, resp.Inputs), map[string]any{
		"resourceGroupName": "rg", "resourceName": "aks", "location": "East US",
		"tags":                 map[string]any{"kept": "1", "changed": "2", "new": "1"},
		"disableLocalAccounts": true, // omitted by the program, changed in Azure
		"agentPoolProfiles":    []any{map[string]any{"name": "p", "count": 3.0}},
		"addonProfiles":        map[string]any{"kv": map[string]any{"enabled": true, "config": map[string]any{"a": "b"}}},
	})
	if !resp.Inputs["addonProfiles"].ObjectValue()["kv"].ObjectValue()["config"].IsSecret() {
		t.Error("a secret input lost its mark")
	}
	if resp.Outputs["currentKubernetesVersion"].V != "1.34.2" {
		t.Errorf("outputs are not refreshed: %v", values(t, resp.Outputs))
	}

	again, err := engine.Read(t.Context(), plugin.ReadRequest{
		URN: urn("containerservice:ManagedCluster", "aks"), ID: created.ID, Inputs: resp.Inputs, State: resp.Outputs,
	})
	if err != nil {
		t.Fatal(err)
	}
	wantJSON(t, "inputs of a refresh without changes", values(t, again.Inputs), values(t, resp.Inputs))
}

func TestRead_KeepsSecretsValue(t *testing.T) {
	engine, a := start(t, nil)
	a.decorate = func(_ string, object map[string]any) {
		object["properties"] = map[string]any{"secretUri": "u", "attributes": map[string]any{"enabled": true, "updated": 1.0}}
	}
	inputs := resource.PropertyMap{
		"resourceGroupName": str("rg"), "vaultName": str("kv"), "secretName": str("s"),
		"properties": resource.NewObjectProperty(resource.PropertyMap{"value": resource.MakeSecret(str("v"))}),
	}
	created, err := engine.Create(t.Context(), plugin.CreateRequest{URN: urn("keyvault:Secret", "s"), Properties: inputs})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := engine.Read(t.Context(), plugin.ReadRequest{
		URN: urn("keyvault:Secret", "s"), ID: created.ID, Inputs: inputs, State: created.Properties,
	})
	if err != nil {
		t.Fatal(err)
	}
	if !resp.Inputs.DeepEquals(inputs) {
		t.Errorf("got %v, want %v", resp.Inputs, inputs)
	}
}

func TestRead_ImportsInputsWithoutDiff(t *testing.T) {
	tests := []struct {
		token, id string
		body      map[string]any
		want      map[string]any
	}{
		{
			token: "keyvault:Vault",
			id:    vaultID,
			body: map[string]any{
				"location":   "eastus",
				"properties": map[string]any{"tenantId": tenant, "vaultUri": "u", "provisioningState": "Succeeded"},
			},
			want: map[string]any{
				"resourceGroupName": "rg",
				"vaultName":         "kv",
				"location":          "eastus",
				"properties":        map[string]any{"tenantId": tenant},
			},
		},
		{
			token: "keyvault:Key",
			id:    vaultID + "/keys/k",
			body: map[string]any{
				"location": "eastus",
				"properties": map[string]any{
					"kty":        "RSA",
					"keyUri":     "u",
					"attributes": map[string]any{"enabled": true, "created": 1.0},
				},
			},
			want: map[string]any{
				"resourceGroupName": "rg", "vaultName": "kv", "keyName": "k",
				"properties": map[string]any{"kty": "RSA", "attributes": map[string]any{"enabled": true}},
			},
		},
		{
			token: "authorization:RoleAssignment",
			id:    vaultID + "/secrets/s/providers/Microsoft.Authorization/roleAssignments/n",
			body: map[string]any{
				"properties": map[string]any{
					"principalId":      principal,
					"roleDefinitionId": "/r",
					"scope":            vaultID + "/secrets/s",
					"createdOn":        "now",
				},
			},
			want: map[string]any{
				"scope":              vaultID[1:] + "/secrets/s",
				"roleAssignmentName": "n",
				"principalId":        principal,
				"roleDefinitionId":   "/r",
			},
		},
		{ // with two slashes, the scope keeps one
			token: "authorization:RoleAssignment",
			id:    "/" + vaultID + "/providers/Microsoft.Authorization/roleAssignments/n",
			body: map[string]any{
				"properties": map[string]any{"principalId": principal, "roleDefinitionId": "/r", "scope": vaultID},
			},
			want: map[string]any{
				"scope":              vaultID,
				"roleAssignmentName": "n",
				"principalId":        principal,
				"roleDefinitionId":   "/r",
			},
		},
		{
			token: "authorization:RoleDefinition", id: "/subscriptions/s/providers/Microsoft.Authorization/roleDefinitions/n",
			body: map[string]any{"name": "n", "type": "Microsoft.Authorization/roleDefinitions", "properties": map[string]any{
				"roleName":    "r",
				"type":        "CustomRole",
				"createdOn":   "now",
				"permissions": []any{map[string]any{"actions": []any{"a"}, "condition": nil}},
			}},
			want: map[string]any{
				"scope": "subscriptions/s", "roleDefinitionId": "n", "roleName": "r", "roleType": "CustomRole",
				"permissions": []any{map[string]any{"actions": []any{"a"}}},
			},
		},
		{
			token: "containerservice:ManagedCluster", id: clusterID,
			body: map[string]any{
				"location": "eastus",
				"identity": map[string]any{
					"type":                   "UserAssigned",
					"principalId":            "p",
					"userAssignedIdentities": map[string]any{"/a": map[string]any{"clientId": "c"}},
				},
				"properties": map[string]any{"dnsPrefix": "d", "fqdn": "f", "provisioningState": "Succeeded"},
			},
			want: map[string]any{
				"resourceGroupName": "rg", "resourceName": "aks", "location": "eastus", "dnsPrefix": "d",
				"identity": map[string]any{"type": "UserAssigned", "userAssignedIdentities": []any{"/a"}},
			},
		},
		{
			token: "network:VirtualNetwork", id: groupID + "/providers/Microsoft.Network/virtualNetworks/vnet",
			body: map[string]any{"location": "eastus", "properties": map[string]any{
				"provisioningState": "Succeeded",
				"resourceGuid":      "g",
				"subnets": []any{
					map[string]any{
						"id":         "/s",
						"name":       "n",
						"etag":       "e",
						"type":       "t",
						"properties": map[string]any{"addressPrefix": "10.0.0.0/24", "provisioningState": "Succeeded"},
					},
				},
			}},
			want: map[string]any{
				"resourceGroupName":  "rg",
				"virtualNetworkName": "vnet",
				"location":           "eastus",
				"subnets": []any{ // inputs may have all four
					map[string]any{"id": "/s", "type": "t", "name": "n", "addressPrefix": "10.0.0.0/24"},
				},
			},
		},
		{
			token: "insights:DiagnosticSetting", id: vaultID + "/providers/Microsoft.Insights/diagnosticSettings/logs",
			body: map[string]any{"properties": map[string]any{"workspaceId": "/w"}},
			want: map[string]any{"resourceUri": vaultID[1:], "name": "logs", "workspaceId": "/w"},
		},
	}
	for _, test := range tests {
		t.Run(test.token, func(t *testing.T) {
			engine, a := start(t, nil)
			test.body["id"], test.body["name"], test.body["type"] = test.id, "n", "T/t"
			a.resources[strings.ToLower("/"+strings.TrimLeft(test.id, "/"))] = test.body
			resp, err := engine.Read(t.Context(), plugin.ReadRequest{URN: urn(test.token, "x"), ID: resource.ID(test.id)})
			if err != nil {
				t.Fatal(err)
			}
			wantJSON(t, "inputs", values(t, resp.Inputs), test.want)
			diff, err := engine.Diff(t.Context(), plugin.DiffRequest{
				URN: urn(test.token, "x"), ID: resp.ID, OldInputs: resp.Inputs, OldOutputs: resp.Outputs, NewInputs: resp.Inputs,
			})
			if err != nil || diff.Changes != plugin.DiffNone {
				t.Errorf("diff after the import: %v, %v", diff.DetailedDiff, err)
			}
		})
	}
}

func TestUpdate_KeepsAccessPoliciesOfVault(t *testing.T) {
	engine, a := start(t, nil)
	policies := []any{map[string]any{"objectId": principal}}
	a.resources[strings.ToLower(vaultID)] = map[string]any{
		"id":         vaultID,
		"properties": map[string]any{"accessPolicies": policies},
	}
	var sent map[string]any
	a.on(func(r *http.Request, body []byte) http.HandlerFunc {
		if r.Method == http.MethodPut {
			if err := json.Unmarshal(body, &sent); err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	inputs := resource.PropertyMap{
		"resourceGroupName": str("rg"),
		"vaultName":         str("kv"),
		"location":          str("eastus"),
		"properties":        obj(map[string]any{"tenantId": tenant}),
	}
	_, err := engine.Update(t.Context(), plugin.UpdateRequest{
		URN:        urn("keyvault:Vault", "kv"),
		ID:         resource.ID(vaultID),
		OldInputs:  inputs,
		OldOutputs: resource.PropertyMap{},
		NewInputs:  inputs,
	})
	if err != nil {
		t.Fatal(err)
	}
	wantJSON(t, "accessPolicies", valueAt(sent, "properties.accessPolicies"), policies)
}

// TestUpdate_FailsForMissingResource checks that an update does not create a resource again if it has to read parts of
// it, such as access policies that the inputs omit.
func TestUpdate_FailsForMissingResource(t *testing.T) {
	inputs := map[string]resource.PropertyMap{
		"keyvault:Vault": {
			"resourceGroupName": str("rg"),
			"vaultName":         str("kv"),
			"location":          str("eastus"),
			"properties":        obj(map[string]any{"tenantId": tenant}),
		},
		"network:VirtualNetwork": {
			"resourceGroupName":  str("rg"),
			"virtualNetworkName": str("net"),
			"location":           str("eastus"),
			"subnets":            resource.NewPropertyValue([]any{}),
		},
	}
	const want = "failed maintaining unset sub-resource properties: reading cloud state: Status=404 "
	for token, given := range inputs {
		engine, a := start(t, nil)
		_, err := engine.Update(t.Context(), plugin.UpdateRequest{
			URN: urn(token, "x"), ID: "/x", OldInputs: given, OldOutputs: resource.PropertyMap{}, NewInputs: given,
		})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", token, err, want)
		}
		if requests := a.takeRequests(); len(requests) != 1 {
			t.Errorf("%s: %v", token, requests)
		}
	}
}

// TestRead_ImportsNoEmptyValues also checks the input type of a pool. Among the outputs, type is the resource's type.
func TestRead_ImportsNoEmptyValues(t *testing.T) {
	engine, a := start(t, nil)
	id := clusterID + "/agentPools/p"
	a.resources[strings.ToLower(id)] = map[string]any{
		"id": id, "name": "p", "type": "Microsoft.ContainerService/managedClusters/agentPools", "properties": map[string]any{
			"type":              "VirtualMachineScaleSets",
			"count":             0.0,
			"nodeTaints":        []any{},
			"nodeLabels":        map[string]any{},
			"enableFIPS":        false,
			"kubeletConfig":     map[string]any{"allowedUnsafeSysctls": []any{}},
			"provisioningState": "Succeeded",
			"unknown":           "x",
		},
	}
	resp, err := engine.Read(t.Context(), plugin.ReadRequest{
		URN: urn("containerservice:AgentPool", "p"), ID: resource.ID(id),
	})
	if err != nil {
		t.Fatal(err)
	}
	wantJSON(t, "inputs", values(t, resp.Inputs), map[string]any{
		"resourceGroupName": "rg",
		"resourceName":      "aks",
		"agentPoolName":     "p",
		"type":              "VirtualMachineScaleSets",
		"count":             0.0,
		"enableFIPS":        false,
	})
	delete(a.resources[strings.ToLower(id)]["properties"].(map[string]any), "type")
	untyped, err := engine.Read(t.Context(), plugin.ReadRequest{
		URN: urn("containerservice:AgentPool", "p"), ID: resource.ID(id),
	})
	if err != nil || untyped.Inputs.HasValue("type") {
		t.Errorf("got %v, %v, want no type", untyped.Inputs, err)
	}
	if got := resp.Outputs["type"].V; got != "Microsoft.ContainerService/managedClusters/agentPools" {
		t.Errorf("got output %v", got)
	}
}

func TestUpdate_PreviewKeepsNameAndLocation(t *testing.T) {
	engine, a := start(t, nil)
	inputs := resource.PropertyMap{
		"resourceGroupName": str("rg"),
		"resourceName":      str("id"),
		"location":          str("eastus"),
		"tags":              obj(map[string]any{"a": "b"}),
	}
	resp, err := engine.Update(t.Context(), plugin.UpdateRequest{
		URN:        urn("managedidentity:UserAssignedIdentity", "id"),
		ID:         "/id",
		OldInputs:  inputs,
		NewInputs:  inputs,
		Preview:    true,
		OldOutputs: resource.PropertyMap{"name": str("id"), "location": str("eastus"), "clientId": str(client)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if resp.Properties["name"].V != "id" || resp.Properties["location"].V != "eastus" ||
		!resp.Properties.HasValue("tags") {
		t.Errorf("got %v", resp.Properties)
	}
	wantRequests(t, a)
}

func invoke(
	t *testing.T,
	engine plugin.Provider,
	token string,
	args resource.PropertyMap,
) (resource.PropertyMap, error) {
	t.Helper()
	if args == nil {
		args = resource.PropertyMap{}
	}
	resp, err := engine.Invoke(t.Context(), plugin.InvokeRequest{
		Tok: tokens.ModuleMember("azure-native:" + token), Args: args,
	})
	return resp.Properties, err
}

func TestInvoke_ReturnsResults(t *testing.T) {
	engine, a := start(t, nil)
	a.resources[strings.ToLower(clusterID)] = map[string]any{
		"id":         clusterID,
		"location":   "eastus",
		"properties": map[string]any{"fqdn": "f"},
	}
	a.resources[strings.ToLower(vaultID)] = map[string]any{"id": vaultID, "properties": map[string]any{"vaultUri": "u"}}
	credentials := map[string]any{"kubeconfigs": []any{map[string]any{"name": "clusterUser", "value": "YQ=="}}}
	a.on(func(r *http.Request, _ []byte) http.HandlerFunc {
		if r.Method != http.MethodPost {
			return nil
		}
		return func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, credentials) }
	})
	inCluster := resource.PropertyMap{"resourceGroupName": str("rg"), "resourceName": str("aks")}
	tests := []struct {
		token    string
		args     resource.PropertyMap
		want     map[string]any
		requests []string
	}{
		{
			token: "containerservice/v20240901:listManagedClusterUserCredentials", args: inCluster, want: credentials,
			requests: []string{"POST management.azure.com" + clusterID + "/listClusterUserCredential?2024-09-01"},
		},
		{
			token: "containerservice:listManagedClusterAdminCredentials", args: inCluster, want: credentials,
			requests: []string{"POST management.azure.com" + clusterID + "/listClusterAdminCredential?2023-04-01"},
		},
		{
			token: "containerservice/v20240901:getManagedCluster", args: inCluster,
			want:     map[string]any{"id": clusterID, "location": "eastus", "fqdn": "f"},
			requests: []string{"GET management.azure.com" + clusterID + "?2024-09-01"},
		},
		{
			token:    "keyvault/v20241101:getVault",
			args:     resource.PropertyMap{"resourceGroupName": str("rg"), "vaultName": str("kv")},
			want:     map[string]any{"id": vaultID, "properties": map[string]any{"vaultUri": "u"}},
			requests: []string{"GET management.azure.com" + vaultID + "?2024-11-01"},
		},
		{
			token: "authorization:getClientConfig",
			want:  map[string]any{"clientId": client, "objectId": principal, "subscriptionId": subscription, "tenantId": tenant},
		},
	}
	for _, test := range tests {
		t.Run(test.token, func(t *testing.T) {
			got, err := invoke(t, engine, test.token, test.args)
			if err != nil {
				t.Fatal(err)
			}
			wantJSON(t, "result", values(t, got), test.want)
			wantRequests(t, a, test.requests...)
		})
	}

	t.Run("authorization:getClientToken", func(t *testing.T) {
		got, err := invoke(t, engine, "authorization:getClientToken", resource.PropertyMap{
			"endpoint": str("https://vault.azure.net"),
		})
		if err != nil {
			t.Fatal(err)
		}
		r, _ := http.NewRequest(http.MethodGet, "https://x", nil)
		r.Header.Set("Authorization", "Bearer "+got["token"].StringValue())
		if aud := audience(r); aud != "https://vault.azure.net/.default" {
			t.Errorf("the token is for %q", aud)
		}
	})
}

// TestRead_IgnoresDriftOfSeparateResources checks that parts of a resource, such as a network's subnets, count as its
// drift only if its inputs have them.
func TestRead_IgnoresDriftOfSeparateResources(t *testing.T) {
	for name, given := range map[string]bool{"resources of their own": false, "inline": true} {
		t.Run(name, func(t *testing.T) {
			engine, a := start(t, nil)
			inputs := resource.PropertyMap{
				"resourceGroupName":  str("rg"),
				"virtualNetworkName": str("net"),
				"location":           str("eastus"),
			}
			if given {
				inputs["subnets"] = resource.NewPropertyValue([]any{
					map[string]any{"name": "nodes", "addressPrefix": "10.0.0.0/24"},
				})
			}
			created, err := engine.Create(t.Context(), plugin.CreateRequest{
				URN: urn("network:VirtualNetwork", "net"), Properties: inputs,
			})
			if err != nil {
				t.Fatal(err)
			}
			there := a.resources[strings.ToLower(string(created.ID))]
			there["properties"].(map[string]any)["subnets"] = []any{
				map[string]any{
					"name":       "nodes",
					"properties": map[string]any{"addressPrefix": "10.0.0.0/24", "routeTable": map[string]any{"id": "/table"}},
				},
			}
			resp, err := engine.Read(t.Context(), plugin.ReadRequest{
				URN: urn("network:VirtualNetwork", "net"), ID: created.ID, Inputs: inputs, State: created.Properties,
			})
			if err != nil {
				t.Fatal(err)
			}
			if drifted := !resp.Inputs.DeepEquals(inputs); drifted != given {
				t.Errorf("got inputs %v", values(t, resp.Inputs))
			}
		})
	}
}
