package plugin

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"path"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/provider"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

// TestCreate_ConvertsInputsAndOutputs checks the path and the body of requests and the outputs, by type.
func TestCreate_ConvertsInputsAndOutputs(t *testing.T) {
	const arm = "management.azure.com"
	identity := groupID + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id"
	tests := []struct {
		token   string
		inputs  map[string]any
		id      string
		version string
		body    map[string]any
		adds    map[string]any // added by Azure inside "properties"
		outputs map[string]any // besides id, name, type, azureApiVersion
	}{
		{
			token:   "resources/v20220901:ResourceGroup",
			inputs:  map[string]any{"resourceGroupName": "rg", "location": "eastus", "__createBeforeDelete": true},
			id:      groupID,
			version: "2022-09-01",
			body:    map[string]any{"location": "eastus"},
			adds:    map[string]any{"provisioningState": "Succeeded"},
			outputs: map[string]any{"location": "eastus", "properties": map[string]any{"provisioningState": "Succeeded"}},
		},
		{
			token: "keyvault/v20241101:Vault",
			inputs: map[string]any{
				"resourceGroupName": "rg", "vaultName": "kv", "location": "eastus", "tags": map[string]any{"a": "b"},
				"properties": map[string]any{"tenantId": tenant, "sku": map[string]any{"family": "A", "name": "standard"}},
			},
			id:      vaultID,
			version: "2024-11-01",
			body: map[string]any{
				"location": "eastus",
				"tags":     map[string]any{"a": "b"},
				"properties": map[string]any{
					"accessPolicies": []any{},
					"tenantId":       tenant,
					"sku":            map[string]any{"family": "A", "name": "standard"},
				},
			},
			adds: map[string]any{"vaultUri": "https://kv.vault.azure.net/"},
			outputs: map[string]any{
				"location": "eastus", "tags": map[string]any{"a": "b"},
				"properties": map[string]any{
					"accessPolicies": []any{}, "tenantId": tenant, "sku": map[string]any{"family": "A", "name": "standard"},
					"vaultUri": "https://kv.vault.azure.net/",
				},
			},
		},
		{
			token: "eventgrid/v20250215:SystemTopicEventSubscription",
			inputs: map[string]any{
				"resourceGroupName":     "rg",
				"systemTopicName":       "topic",
				"eventSubscriptionName": "webhook",
				"eventDeliverySchema":   "EventGridSchema",
				"destination":           map[string]any{"endpointType": "WebHook", "endpointUrl": "https://localhost/"},
			},
			id:      groupID + "/providers/Microsoft.EventGrid/systemTopics/topic/eventSubscriptions/webhook",
			version: "2025-02-15",
			body: map[string]any{"properties": map[string]any{
				"eventDeliverySchema": "EventGridSchema",
				"destination": map[string]any{
					"endpointType": "WebHook",
					"properties":   map[string]any{"endpointUrl": "https://localhost/"},
				},
			}},
			adds: map[string]any{"topic": "topic"},
			outputs: map[string]any{
				"eventDeliverySchema": "EventGridSchema", "topic": "topic",
				"destination": map[string]any{"endpointType": "WebHook", "endpointUrl": "https://localhost/"},
			},
		},
		{
			token: "keyvault/v20241101:Key",
			inputs: map[string]any{
				"resourceGroupName": "rg",
				"vaultName":         "kv",
				"keyName":           "k",
				"properties": map[string]any{
					"kty":        "RSA",
					"keySize":    2048.0,
					"attributes": map[string]any{"expires": 2.0, "notBefore": 1.0},
				},
			},
			id:      vaultID + "/keys/k",
			version: "2024-11-01",
			body: map[string]any{"properties": map[string]any{
				"kty": "RSA", "keySize": 2048.0, "attributes": map[string]any{"exp": 2.0, "nbf": 1.0},
			}},
			adds: map[string]any{"keyUri": "https://kv.vault.azure.net/keys/k"},
			outputs: map[string]any{
				"kty": "RSA", "keySize": 2048.0, "keyUri": "https://kv.vault.azure.net/keys/k",
				"attributes": map[string]any{"expires": 2.0, "notBefore": 1.0},
			},
		},
		{
			token:   "managedidentity/v20230131:UserAssignedIdentity",
			inputs:  map[string]any{"resourceGroupName": "rg", "resourceName": "id", "location": "eastus"},
			id:      identity,
			version: "2023-01-31",
			body:    map[string]any{"location": "eastus"},
			adds:    map[string]any{"clientId": client, "principalId": principal, "tenantId": tenant},
			outputs: map[string]any{"location": "eastus", "clientId": client, "principalId": principal, "tenantId": tenant},
		},
		{
			token: "managedidentity/v20230131:FederatedIdentityCredential",
			inputs: map[string]any{
				"resourceGroupName": "rg", "resourceName": "id", "federatedIdentityCredentialResourceName": "fic",
				"audiences": []any{"a"}, "issuer": "https://i/", "subject": "s",
			},
			id:      identity + "/federatedIdentityCredentials/fic",
			version: "2023-01-31",
			body: map[string]any{
				"properties": map[string]any{"audiences": []any{"a"}, "issuer": "https://i/", "subject": "s"},
			},
			outputs: map[string]any{"audiences": []any{"a"}, "issuer": "https://i/", "subject": "s"},
		},
		{
			token: "authorization/v20220401:RoleAssignment",
			inputs: map[string]any{
				"scope": vaultID + "/secrets/s", "roleAssignmentName": "11111111-1111-1111-1111-111111111111",
				"principalId": principal, "principalType": "ServicePrincipal", "roleDefinitionId": "/r",
			},
			id: vaultID + "/secrets/s/providers/Microsoft.Authorization/roleAssignments/" +
				"11111111-1111-1111-1111-111111111111",
			version: "2022-04-01",
			body: map[string]any{
				"properties": map[string]any{
					"principalId":      principal,
					"principalType":    "ServicePrincipal",
					"roleDefinitionId": "/r",
				},
			},
			adds: map[string]any{"scope": vaultID + "/secrets/s"},
			outputs: map[string]any{
				"principalId":      principal,
				"principalType":    "ServicePrincipal",
				"roleDefinitionId": "/r",
				"scope":            vaultID + "/secrets/s",
			},
		},
		{
			token: "authorization/v20220501preview:RoleDefinition",
			inputs: map[string]any{
				"scope":            "/subscriptions/s",
				"roleDefinitionId": "11111111-1111-1111-1111-111111111111",
				"roleName":         "n",
				"roleType":         "CustomRole",
				"assignableScopes": []any{"/subscriptions/s"},
				"permissions":      []any{map[string]any{"actions": []any{"a/read"}}},
			},
			id:      "/subscriptions/s/providers/Microsoft.Authorization/roleDefinitions/11111111-1111-1111-1111-111111111111",
			version: "2022-05-01-preview",
			body: map[string]any{"properties": map[string]any{
				"roleName": "n", "type": "CustomRole", "assignableScopes": []any{"/subscriptions/s"},
				"permissions": []any{map[string]any{"actions": []any{"a/read"}}},
			}},
			outputs: map[string]any{
				"roleName": "n", "roleType": "CustomRole", "assignableScopes": []any{"/subscriptions/s"},
				"permissions": []any{map[string]any{"actions": []any{"a/read"}}},
			},
		},
		{
			token: "containerservice/v20240901:ManagedCluster",
			inputs: map[string]any{
				"resourceGroupName": "rg", "resourceName": "aks", "location": "eastus", "dnsPrefix": "d",
				"identity":          map[string]any{"type": "UserAssigned", "userAssignedIdentities": []any{identity}},
				"oidcIssuerProfile": map[string]any{"enabled": true},
				"autoScalerProfile": map[string]any{"scaleDownUnneededTime": "10m", "expander": "random"},
			},
			id:      clusterID,
			version: "2024-09-01",
			body: map[string]any{
				"location": "eastus",
				"identity": map[string]any{
					"type":                   "UserAssigned",
					"userAssignedIdentities": map[string]any{identity: map[string]any{}},
				},
				"properties": map[string]any{
					"dnsPrefix": "d", "oidcIssuerProfile": map[string]any{"enabled": true},
					"autoScalerProfile": map[string]any{"scale-down-unneeded-time": "10m", "expander": "random"},
				},
			},
			adds: map[string]any{"fqdn": "d.hcp.eastus.azmk8s.io"},
			outputs: map[string]any{
				"location":          "eastus",
				"dnsPrefix":         "d",
				"fqdn":              "d.hcp.eastus.azmk8s.io",
				"oidcIssuerProfile": map[string]any{"enabled": true},
				"identity": map[string]any{
					"type":                   "UserAssigned",
					"userAssignedIdentities": map[string]any{identity: map[string]any{}},
				},
				"autoScalerProfile": map[string]any{"scaleDownUnneededTime": "10m", "expander": "random"},
			},
		},
		{
			token: "containerservice:AgentPool",
			inputs: map[string]any{
				"resourceGroupName": "rg",
				"resourceName":      "aks",
				"agentPoolName":     "p",
				"count":             1.0,
				"type":              "VirtualMachineScaleSets",
			},
			id:      clusterID + "/agentPools/p",
			version: "2023-04-01",
			body:    map[string]any{"properties": map[string]any{"count": 1.0, "type": "VirtualMachineScaleSets"}},
			outputs: map[string]any{"count": 1.0},
		},
		{
			token: "network/v20230601:VirtualNetwork",
			inputs: map[string]any{
				"resourceGroupName": "rg", "virtualNetworkName": "vnet", "location": "eastus",
				"addressSpace": map[string]any{"addressPrefixes": []any{"10.0.0.0/16"}},
				"subnets": []any{
					map[string]any{
						"name":             "nodes",
						"addressPrefix":    "10.0.0.0/20",
						"serviceEndpoints": []any{map[string]any{"service": "Microsoft.KeyVault"}},
					},
				},
			},
			id:      groupID + "/providers/Microsoft.Network/virtualNetworks/vnet",
			version: "2023-06-01",
			body: map[string]any{"location": "eastus", "properties": map[string]any{
				"addressSpace": map[string]any{"addressPrefixes": []any{"10.0.0.0/16"}}, "virtualNetworkPeerings": []any{},
				"subnets": []any{map[string]any{"name": "nodes", "properties": map[string]any{
					"addressPrefix": "10.0.0.0/20", "serviceEndpoints": []any{map[string]any{"service": "Microsoft.KeyVault"}},
				}}},
			}},
			adds: map[string]any{
				"subnets": []any{
					map[string]any{"id": "/s", "name": "nodes", "properties": map[string]any{"addressPrefix": "10.0.0.0/20"}},
				},
			},
			outputs: map[string]any{
				"location":               "eastus",
				"addressSpace":           map[string]any{"addressPrefixes": []any{"10.0.0.0/16"}},
				"virtualNetworkPeerings": []any{},
				"subnets":                []any{map[string]any{"id": "/s", "name": "nodes", "addressPrefix": "10.0.0.0/20"}},
			},
		},
		{
			token: "network/v20210201:PrivateEndpoint",
			inputs: map[string]any{
				"resourceGroupName":   "rg",
				"privateEndpointName": "pe",
				"location":            "eastus",
				"subnet":              map[string]any{"id": "/s"},
				"privateLinkServiceConnections": []any{
					map[string]any{"name": "vault", "privateLinkServiceId": vaultID, "groupIds": []any{"vault"}},
				},
			},
			id:      groupID + "/providers/Microsoft.Network/privateEndpoints/pe",
			version: "2021-02-01",
			body: map[string]any{"location": "eastus", "properties": map[string]any{
				"subnet": map[string]any{"id": "/s"},
				"privateLinkServiceConnections": []any{map[string]any{
					"name": "vault", "properties": map[string]any{"privateLinkServiceId": vaultID, "groupIds": []any{"vault"}},
				}},
			}},
			outputs: map[string]any{
				"location": "eastus",
				"subnet":   map[string]any{"id": "/s"},
				"privateLinkServiceConnections": []any{
					map[string]any{"name": "vault", "privateLinkServiceId": vaultID, "groupIds": []any{"vault"}},
				},
			},
		},
		{
			token: "insights/v20210501preview:DiagnosticSetting",
			inputs: map[string]any{
				"resourceUri": vaultID,
				"name":        "logs",
				"workspaceId": "/w",
				"logs":        []any{map[string]any{"category": "AuditEvent", "enabled": true}},
			},
			id:      vaultID + "/providers/Microsoft.Insights/diagnosticSettings/logs",
			version: "2021-05-01-preview",
			body: map[string]any{
				"properties": map[string]any{
					"workspaceId": "/w",
					"logs":        []any{map[string]any{"category": "AuditEvent", "enabled": true}},
				},
			},
			outputs: map[string]any{
				"workspaceId": "/w",
				"logs":        []any{map[string]any{"category": "AuditEvent", "enabled": true}},
			},
		},
		{
			token:   "authorization/v20200501:ManagementLockByScope",
			inputs:  map[string]any{"scope": vaultID, "lockName": "lock", "level": "CanNotDelete"},
			id:      vaultID + "/providers/Microsoft.Authorization/locks/lock",
			version: "2020-05-01",
			body:    map[string]any{"properties": map[string]any{"level": "CanNotDelete"}},
			outputs: map[string]any{"level": "CanNotDelete"},
		},
	}
	for _, test := range tests {
		t.Run(test.token, func(t *testing.T) {
			engine, a := start(t, nil)
			var sent map[string]any
			a.decorate = func(_ string, object map[string]any) {
				properties, _ := object["properties"].(map[string]any)
				if properties == nil && test.adds != nil {
					properties = map[string]any{}
					object["properties"] = properties
				}
				for k, v := range test.adds {
					properties[k] = v
				}
			}
			a.on(func(r *http.Request, body []byte) http.HandlerFunc {
				if r.Method == http.MethodPut {
					sent = map[string]any{}
					if err := json.Unmarshal(body, &sent); err != nil {
						t.Error(err)
					}
				}
				return nil
			})
			resp, err := engine.Create(t.Context(), plugin.CreateRequest{
				URN: urn(test.token, "x"), Properties: resource.NewPropertyMapFromMap(test.inputs),
			})
			if err != nil {
				t.Fatal(err)
			}
			if string(resp.ID) != test.id {
				t.Errorf("ID: got %s, want %s", resp.ID, test.id)
			}
			wantJSON(t, "body", sent, test.body)
			test.outputs["id"], test.outputs["name"], test.outputs["type"] = test.id, path.Base(test.id), "T/t"
			test.outputs["azureApiVersion"] = test.version
			wantJSON(t, "outputs", values(t, resp.Properties), test.outputs)
			at := " " + arm + test.id + "?" + test.version
			want := []string{"GET" + at, "PUT" + at, "GET" + at}
			if rt, _, err := lookup("azure-native:" + test.token); err != nil || rt.waits&waitPut != 0 {
				want = append(want, "GET"+at) // the poller reads the state, which the 201 does not have
			}
			wantRequests(t, a, want...)
		})
	}
}

func TestCreate_KeepsSecretInputsSecret(t *testing.T) {
	engine, a := start(t, nil)
	a.decorate = func(_ string, object map[string]any) { // ARM never returns the value
		object["properties"] = map[string]any{"secretUri": "https://kv.vault.azure.net/secrets/s", "contentType": "password"}
	}
	inputs := resource.PropertyMap{
		"resourceGroupName": str("rg"), "vaultName": str("kv"), "secretName": str("s"),
		"properties": resource.NewObjectProperty(resource.PropertyMap{
			"value": resource.MakeSecret(str("hunter2")), "contentType": resource.MakeSecret(str("password")),
		}),
	}
	resp, err := engine.Create(t.Context(), plugin.CreateRequest{URN: urn("keyvault:Secret", "s"), Properties: inputs})
	if err != nil {
		t.Fatal(err)
	}
	if !resp.Properties["__inputs"].IsSecret() {
		t.Errorf("__inputs is %s, want a secret", resp.Properties["__inputs"].TypeString())
	}
	properties := resp.Properties["properties"].ObjectValue()
	if !properties["contentType"].IsSecret() {
		t.Error("an output whose input is secret is not secret")
	}
	delete(resp.Properties, "__inputs")
	if got := asJSON(t, values(t, resp.Properties)); strings.Contains(got, "hunter2") {
		t.Errorf("the outputs hold the value: %s", got)
	}
	if !properties["secretUri"].IsString() {
		t.Errorf("secretUri is %s, want a plain string", properties["secretUri"].TypeString())
	}
}

func TestCreate_FailsForExistingResource(t *testing.T) {
	engine, a := start(t, nil)
	a.resources[strings.ToLower(groupID)] = map[string]any{"id": groupID}
	_, err := createGroup(t, engine)
	if err == nil || !strings.Contains(err.Error(), "cannot create already existing resource") {
		t.Errorf("got %v", err)
	}
	wantRequests(t, a, "GET management.azure.com"+groupID+"?2022-09-01")
}

// TestCreate_TakesEmptyResponseAsAbsence checks 204, and 200 without a body, with an empty object or with other text.
func TestCreate_TakesEmptyResponseAsAbsence(t *testing.T) {
	for name, answered := range map[string]http.HandlerFunc{
		"204":           func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"200":           func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) },
		"200 with {}":   func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, map[string]any{}) },
		"200, not JSON": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("none")) },
	} {
		engine, a := start(t, nil)
		first := true
		a.on(func(*http.Request, []byte) http.HandlerFunc {
			if first {
				first = false
				return answered
			}
			return nil
		})
		if _, err := createGroup(t, engine); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCreate_WarnsIfResourceIsUnreadable also checks that the outputs are the response of the PUT, in ARM's shape.
func TestCreate_WarnsIfResourceIsUnreadable(t *testing.T) {
	a := &azure{resources: map[string]map[string]any{}}
	p := newAzureNative(Version2)
	log := &logged{}
	p.host = log.serve(t)
	engine := configure(t, p, a, ownConfig())
	written := false
	a.on(func(r *http.Request, _ []byte) http.HandlerFunc {
		switch {
		case r.Method == http.MethodPut:
			written = true
			return func(w http.ResponseWriter, _ *http.Request) {
				answer(w, http.StatusCreated, map[string]any{
					"id":         "/canonical",
					"location":   "eastus",
					"properties": map[string]any{"principalId": principal},
					"unknown":    "kept",
				})
			}
		case written:
			return failWith(http.StatusForbidden, "AuthorizationFailed", "no role")
		}
		return nil
	})
	inputs := resource.PropertyMap{"resourceGroupName": str("rg"), "resourceName": str("id"), "location": str("eastus")}
	resp, err := engine.Create(t.Context(), plugin.CreateRequest{
		URN: urn("managedidentity:UserAssignedIdentity", "id"), Properties: inputs,
	})
	if err != nil || resp.ID != "/canonical" {
		t.Fatalf("got %q, %v", resp.ID, err)
	}
	wantJSON(t, "outputs", values(t, resp.Properties), map[string]any{
		"id":              "/canonical",
		"location":        "eastus",
		"properties":      map[string]any{"principalId": principal},
		"unknown":         "kept",
		"azureApiVersion": "2023-01-31",
	})
	if len(log.messages) != 1 || log.messages[0].Severity != pulumirpc.LogSeverity_WARNING ||
		!strings.Contains(log.messages[0].Message, "no role") {
		t.Errorf("got messages %v, want a warning", log.messages)
	}
}

// logged is an engine that records a plugin's messages.
type logged struct {
	pulumirpc.UnimplementedEngineServer
	messages []*pulumirpc.LogRequest
}

func (l *logged) Log(_ context.Context, req *pulumirpc.LogRequest) (*emptypb.Empty, error) {
	l.messages = append(l.messages, req)
	return &emptypb.Empty{}, nil
}

func (l *logged) serve(t *testing.T) *provider.HostClient {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pulumirpc.RegisterEngineServer(server, l)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	host, err := provider.NewHostClient(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = host.Close() })
	return host
}

// TestCreate_DropsOutputsOutsideSchema checks properties at every depth.
func TestCreate_DropsOutputsOutsideSchema(t *testing.T) {
	engine, a := start(t, nil)
	a.decorate = func(_ string, object map[string]any) {
		object["etag"], object["systemData"] = "e", map[string]any{"createdBy": "me", "new": 1.0}
		properties := object["properties"].(map[string]any)
		properties["new"], properties["vaultUri"] = 1.0, nil
		properties["sku"] = map[string]any{"name": "standard", "new": 1.0}
		properties["networkAcls"] = map[string]any{"ipRules": []any{map[string]any{"value": "10.0.0.1", "new": 1.0}}}
		object["tags"] = map[string]any{"any": "tag"}
	}
	inputs := resource.PropertyMap{
		"resourceGroupName": str("rg"),
		"vaultName":         str("kv"),
		"location":          str("eastus"),
		"properties":        obj(map[string]any{"tenantId": tenant}),
	}
	resp, err := engine.Create(t.Context(), plugin.CreateRequest{URN: urn("keyvault:Vault", "kv"), Properties: inputs})
	if err != nil {
		t.Fatal(err)
	}
	wantJSON(t, "outputs", values(t, resp.Properties), map[string]any{
		"id": vaultID, "name": "kv", "type": "T/t", "location": "eastus", "azureApiVersion": "2023-02-01",
		"systemData": map[string]any{"createdBy": "me"}, "tags": map[string]any{"any": "tag"},
		"properties": map[string]any{
			"tenantId": tenant, "accessPolicies": []any{}, "sku": map[string]any{"name": "standard"},
			"networkAcls": map[string]any{"ipRules": []any{map[string]any{"value": "10.0.0.1"}}},
		},
	})
}

func TestCreate_DoesNotWriteWithoutReadPermission(t *testing.T) {
	engine, a := start(t, nil)
	a.on(func(*http.Request, []byte) http.HandlerFunc {
		return failWith(http.StatusForbidden, "AuthorizationFailed", "no")
	})
	if _, err := createGroup(t, engine); err == nil || !strings.Contains(err.Error(), "AuthorizationFailed") {
		t.Errorf("got %v", err)
	}
	wantRequests(t, a, "GET management.azure.com"+groupID+"?2022-09-01")
}

// TestCreate_ReportsARMsError checks that the error is unchanged, even if ARM repeats a secret.
func TestCreate_ReportsARMsError(t *testing.T) {
	engine, a := start(t, nil)
	a.on(func(r *http.Request, _ []byte) http.HandlerFunc {
		if r.Method != http.MethodPut {
			return nil
		}
		return func(w http.ResponseWriter, _ *http.Request) {
			answer(w, http.StatusBadRequest, map[string]any{
				"error": map[string]any{
					"code":    "BadRequest",
					"message": "the value 'hunter2!' is too short",
				},
				"request": "hunter2!",
			})
		}
	})
	inputs := resource.PropertyMap{
		"resourceGroupName": str("rg"), "vaultName": str("kv"), "secretName": str("s"),
		"properties": obj(map[string]any{"value": "hunter2!"}),
	}
	resp, err := engine.Create(t.Context(), plugin.CreateRequest{URN: urn("keyvault:Secret", "s"), Properties: inputs})
	if err == nil {
		t.Fatal("no error")
	}
	const want = `Status=400 Code="BadRequest" Message="the value 'hunter2!' is too short"`
	if got := err.Error(); !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if resp.Status != resource.StatusUnknown && resp.Status != resource.StatusOK || resp.ID != "" {
		t.Errorf("a refused resource is in the state: %v %q", resp.Status, resp.ID)
	}
}

// TestCreate_PreviewsMissingOutputsAsUnknown checks outputs at every depth, even those that will have no value.
func TestCreate_PreviewsMissingOutputsAsUnknown(t *testing.T) {
	engine, a := start(t, nil)
	inputs := resource.PropertyMap{
		"resourceGroupName": unknown(), "vaultName": str("kv"), "location": str("eastus"),
		"properties": resource.NewObjectProperty(resource.PropertyMap{
			"tenantId":    str(tenant),
			"sku":         unknown(),
			"networkAcls": obj(map[string]any{"bypass": "None", "ipRules": []any{map[string]any{}}}),
		}),
	}
	resp, err := engine.Create(t.Context(), plugin.CreateRequest{
		URN: urn("keyvault:Vault", "kv"), Properties: inputs, Preview: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]any{
		"location": "eastus", "properties.tenantId": tenant, "properties.networkAcls.bypass": "None",
		"id": nil, "name": nil, "tags": nil, "systemData": nil,
		"properties.vaultUri": nil, "properties.sku": nil, "properties.enablePurgeProtection": nil,
		"properties.networkAcls.defaultAction": nil, "properties.networkAcls.ipRules[0].value": nil,
	} {
		at, err := resource.ParsePropertyPath(path)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := at.Get(resource.NewObjectProperty(resp.Properties))
		if !ok || got.IsComputed() != (want == nil) || want != nil && got.V != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
	for _, none := range []resource.PropertyKey{"vaultName", "resourceGroupName"} {
		if _, ok := resp.Properties[none]; ok {
			t.Errorf("%s is an output", none)
		}
	}
	wantRequests(t, a)
}

func createGroup(t *testing.T, engine plugin.Provider) (plugin.CreateResponse, error) {
	t.Helper()
	return engine.Create(t.Context(), plugin.CreateRequest{
		URN:        urn("resources:ResourceGroup", "rg"),
		Properties: resource.PropertyMap{"resourceGroupName": str("rg"), "location": str("eastus")},
	})
}
