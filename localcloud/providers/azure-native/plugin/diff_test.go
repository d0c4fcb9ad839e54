package plugin

import (
	"slices"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
)

func TestDiff_FollowsAzureNative(t *testing.T) {
	secret := func(s string) resource.PropertyValue { return resource.MakeSecret(str(s)) }
	tests := []struct {
		name, token      string
		olds, news       resource.PropertyMap
		state            resource.PropertyMap
		want             map[string]plugin.DiffKind
		changed          []resource.PropertyKey
		deleteBefore     bool
		createdUniquely  bool
		wantNoDifference bool
	}{
		{
			name:             "nothing changed",
			token:            "keyvault:Vault",
			wantNoDifference: true,
			olds: resource.PropertyMap{
				"tags": obj(map[string]any{"a": "b"}),
			},
			news: resource.PropertyMap{"tags": obj(map[string]any{"a": "b"})},
		},
		{
			name: "only the marks of secrets differ", token: "keyvault:Secret", wantNoDifference: true,
			olds: resource.PropertyMap{"properties": resource.NewObjectProperty(resource.PropertyMap{"value": str("v")})},
			news: resource.PropertyMap{"properties": resource.NewObjectProperty(resource.PropertyMap{"value": secret("v")})},
		},
		{
			name: "location in other words", token: "keyvault:Vault", wantNoDifference: true,
			olds: resource.PropertyMap{"location": str("East US")}, news: resource.PropertyMap{"location": str("eastus")},
		},
		{
			name:             "group in another case",
			token:            "keyvault:Vault",
			wantNoDifference: true,
			olds: resource.PropertyMap{
				"resourceGroupName": str("RG"),
			},
			news: resource.PropertyMap{"resourceGroupName": str("rg")},
		},
		{
			name: "the plugin's own notes", token: "keyvault:Vault", wantNoDifference: true,
			olds: resource.PropertyMap{"__createBeforeDelete": resource.NewBoolProperty(true)}, news: resource.PropertyMap{},
		},
		{
			name: "a secret's value", token: "keyvault:Secret", changed: []resource.PropertyKey{"properties"},
			olds: resource.PropertyMap{"properties": resource.NewObjectProperty(resource.PropertyMap{"value": secret("v")})},
			news: resource.PropertyMap{"properties": resource.NewObjectProperty(resource.PropertyMap{"value": secret("w")})},
			want: map[string]plugin.DiffKind{"properties.value": plugin.DiffUpdate},
		},
		{
			name: "vault moves in place", token: "keyvault:Vault", changed: []resource.PropertyKey{"location"},
			olds: resource.PropertyMap{"location": str("eastus")}, news: resource.PropertyMap{"location": str("westus")},
			want: map[string]plugin.DiffKind{"location": plugin.DiffUpdate},
		},
		{
			name:         "group is replaced to move",
			token:        "resources:ResourceGroup",
			changed:      []resource.PropertyKey{"location"},
			deleteBefore: true,
			olds:         resource.PropertyMap{"location": str("eastus")},
			news:         resource.PropertyMap{"location": str("westus")},
			want:         map[string]plugin.DiffKind{"location": plugin.DiffUpdateReplace},
		},
		{
			name: "unique name allows create before delete", token: "resources:ResourceGroup", createdUniquely: true,
			changed: []resource.PropertyKey{"location"},
			olds:    resource.PropertyMap{"location": str("eastus")}, news: resource.PropertyMap{"location": str("westus")},
			want: map[string]plugin.DiffKind{"location": plugin.DiffUpdateReplace},
		},
		{
			name:         "unknown name",
			token:        "keyvault:Secret",
			changed:      []resource.PropertyKey{"vaultName"},
			deleteBefore: true,
			olds:         resource.PropertyMap{"vaultName": str("a")},
			news:         resource.PropertyMap{"vaultName": unknown()},
			want:         map[string]plugin.DiffKind{"vaultName": plugin.DiffUpdateReplace},
		},
		{
			name: "an assignment", token: "authorization:RoleAssignment", deleteBefore: true,
			changed: []resource.PropertyKey{"description", "principalId", "scope"},
			olds:    resource.PropertyMap{"scope": str("/a"), "principalId": str("1"), "description": str("x")},
			news:    resource.PropertyMap{"scope": str("/b"), "principalId": str("2"), "description": str("y")},
			want: map[string]plugin.DiffKind{
				"scope": plugin.DiffUpdateReplace, "principalId": plugin.DiffUpdateReplace, "description": plugin.DiffUpdate,
			},
		},
		{
			name: "update inside a replacing profile", token: "containerservice:ManagedCluster", deleteBefore: true,
			changed: []resource.PropertyKey{"networkProfile"},
			olds:    resource.PropertyMap{"networkProfile": obj(map[string]any{"networkPlugin": "kubenet"})},
			news:    resource.PropertyMap{"networkProfile": obj(map[string]any{"networkPlugin": "azure"})},
			want:    map[string]plugin.DiffKind{"networkProfile.networkPlugin": plugin.DiffUpdateReplace},
		},
		{
			name:         "endpoint moves to another subnet",
			token:        "network:PrivateEndpoint",
			changed:      []resource.PropertyKey{"subnet"},
			deleteBefore: true,
			olds: resource.PropertyMap{
				"subnet": obj(map[string]any{"id": "/a"}),
			},
			news: resource.PropertyMap{"subnet": obj(map[string]any{"id": "/b"})},
			want: map[string]plugin.DiffKind{"subnet.id": plugin.DiffUpdateReplace},
		},
		{
			name:         "setting of another resource",
			token:        "insights:DiagnosticSetting",
			changed:      []resource.PropertyKey{"resourceUri", "workspaceId"},
			deleteBefore: true,
			olds: resource.PropertyMap{
				"resourceUri": str("/a"),
				"workspaceId": str("/w"),
			},
			news: resource.PropertyMap{"resourceUri": str("/b"), "workspaceId": str("/x")},
			want: map[string]plugin.DiffKind{"resourceUri": plugin.DiffUpdateReplace, "workspaceId": plugin.DiffUpdate},
		},
		{
			name:         "a pool's disk",
			token:        "containerservice:AgentPool",
			changed:      []resource.PropertyKey{"osDiskType", "vmSize"},
			deleteBefore: true,
			olds: resource.PropertyMap{
				"osDiskType": str("Managed"),
				"vmSize":     str("a"),
			},
			news: resource.PropertyMap{"osDiskType": str("Ephemeral"), "vmSize": str("b")},
			want: map[string]plugin.DiffKind{"osDiskType": plugin.DiffUpdate, "vmSize": plugin.DiffUpdateReplace},
		},
		{
			name:    "pools are compared by index",
			token:   "containerservice:ManagedCluster",
			changed: []resource.PropertyKey{"agentPoolProfiles"},
			olds:    resource.PropertyMap{"agentPoolProfiles": resource.NewPropertyValue([]any{map[string]any{"name": "a"}})},
			news: resource.PropertyMap{
				"agentPoolProfiles": resource.NewPropertyValue([]any{map[string]any{"name": "b"}, map[string]any{"name": "a"}}),
			},
			want: map[string]plugin.DiffKind{
				"agentPoolProfiles[0].name": plugin.DiffUpdate,
				"agentPoolProfiles[1]":      plugin.DiffAdd,
			},
		},
		{
			name:    "added and removed",
			token:   "keyvault:Vault",
			changed: []resource.PropertyKey{"tags"},
			olds: resource.PropertyMap{
				"tags": obj(map[string]any{"gone": "1"}),
			},
			news: resource.PropertyMap{"tags": obj(map[string]any{"a.b": "2"})},
			want: map[string]plugin.DiffKind{"tags.gone": plugin.DiffDelete, `tags["a.b"]`: plugin.DiffAdd},
		},
		{
			name:    "value that Azure chose",
			token:   "containerservice:ManagedCluster",
			changed: []resource.PropertyKey{"nodeResourceGroup"},
			state:   resource.PropertyMap{"nodeResourceGroup": str("MC_rg")},
			olds:    resource.PropertyMap{},
			news:    resource.PropertyMap{"nodeResourceGroup": str("MC_rg")},
			want:    map[string]plugin.DiffKind{"nodeResourceGroup": plugin.DiffAdd},
		},
		{
			name:         "an identity is replaced to move",
			token:        "managedidentity:UserAssignedIdentity",
			changed:      []resource.PropertyKey{"location"},
			deleteBefore: true,
			olds:         resource.PropertyMap{"location": str("eastus")},
			news:         resource.PropertyMap{"location": str("westus")},
			want:         map[string]plugin.DiffKind{"location": plugin.DiffUpdateReplace},
		},
		{
			name:         "a zone is replaced to move",
			token:        "network:PrivateZone",
			changed:      []resource.PropertyKey{"location"},
			deleteBefore: true,
			olds:         resource.PropertyMap{"location": str("global")},
			news:         resource.PropertyMap{"location": str("westus")},
			want:         map[string]plugin.DiffKind{"location": plugin.DiffUpdateReplace},
		},
		{
			name:         "a zone's link is replaced to move",
			token:        "network:VirtualNetworkLink",
			changed:      []resource.PropertyKey{"location"},
			deleteBefore: true,
			olds:         resource.PropertyMap{"location": str("global")},
			news:         resource.PropertyMap{"location": str("westus")},
			want:         map[string]plugin.DiffKind{"location": plugin.DiffUpdateReplace},
		},
		{
			name:         "profiles inside a pool replace the cluster",
			token:        "containerservice/v20240901:ManagedCluster",
			changed:      []resource.PropertyKey{"agentPoolProfiles"},
			deleteBefore: true,
			olds: resource.PropertyMap{"agentPoolProfiles": resource.NewPropertyValue([]any{map[string]any{
				"name": "a", "networkProfile": map[string]any{"nodePublicIPTags": []any{map[string]any{"tag": "a"}}},
			}})},
			news: resource.PropertyMap{"agentPoolProfiles": resource.NewPropertyValue([]any{
				map[string]any{
					"name":           "a",
					"networkProfile": map[string]any{"nodePublicIPTags": []any{map[string]any{"tag": "b"}}},
					"windowsProfile": map[string]any{"disableOutboundNat": true},
				},
			})},
			want: map[string]plugin.DiffKind{
				"agentPoolProfiles[0].networkProfile.nodePublicIPTags[0].tag": plugin.DiffUpdateReplace,
				"agentPoolProfiles[0].windowsProfile":                         plugin.DiffAddReplace,
			},
		},
		{
			name:         "address with another SKU",
			token:        "network:PublicIPAddress",
			changed:      []resource.PropertyKey{"sku"},
			deleteBefore: true,
			olds: resource.PropertyMap{
				"sku": obj(map[string]any{"name": "Basic"}),
			},
			news: resource.PropertyMap{"sku": obj(map[string]any{"name": "Standard"})},
			want: map[string]plugin.DiffKind{"sku.name": plugin.DiffUpdateReplace},
		},
		{
			name: "SKU under its other name", token: "containerservice:ManagedCluster", wantNoDifference: true,
			olds: resource.PropertyMap{"sku": obj(map[string]any{"name": "Basic", "tier": "Paid"})},
			news: resource.PropertyMap{"sku": obj(map[string]any{"name": "Base", "tier": "Standard"})},
		},
		{
			name: "another tier of a SKU", token: "containerservice:ManagedCluster", changed: []resource.PropertyKey{"sku"},
			olds: resource.PropertyMap{"sku": obj(map[string]any{"name": "Basic", "tier": "Paid"})},
			news: resource.PropertyMap{"sku": obj(map[string]any{"name": "Base", "tier": "Free"})},
			want: map[string]plugin.DiffKind{"sku.name": plugin.DiffUpdate, "sku.tier": plugin.DiffUpdate},
		},
		{
			name: "default value", token: "network:Subnet", wantNoDifference: true,
			olds: resource.PropertyMap{}, news: resource.PropertyMap{"privateEndpointNetworkPolicies": str("Disabled")},
			want: map[string]plugin.DiffKind{"privateEndpointNetworkPolicies": plugin.DiffAdd},
		},
		{
			name:    "value other than the default",
			token:   "network:Subnet",
			changed: []resource.PropertyKey{"privateEndpointNetworkPolicies"},
			olds:    resource.PropertyMap{},
			news:    resource.PropertyMap{"privateEndpointNetworkPolicies": str("Enabled")},
			want:    map[string]plugin.DiffKind{"privateEndpointNetworkPolicies": plugin.DiffAdd},
		},
		{
			name: "access policies in another order", token: "keyvault:Vault", wantNoDifference: true,
			olds: policies("a", "b"), news: policies("b", "a"),
		},
		{
			name:    "a vault's networks in another order, one without its service endpoint",
			token:   "keyvault:Vault",
			changed: []resource.PropertyKey{"properties"},
			olds: resource.PropertyMap{
				"properties": obj(map[string]any{"networkAcls": map[string]any{"virtualNetworkRules": []any{
					map[string]any{"id": "/a"}, map[string]any{"id": "/b"},
				}}}),
			},
			news: resource.PropertyMap{
				"properties": obj(map[string]any{"networkAcls": map[string]any{"virtualNetworkRules": []any{
					map[string]any{"id": "/b"}, map[string]any{"id": "/a", "ignoreMissingVnetServiceEndpoint": true},
				}}}),
			},
			want: map[string]plugin.DiffKind{
				"properties.networkAcls.virtualNetworkRules[1].ignoreMissingVnetServiceEndpoint": plugin.DiffAdd,
			},
		},
		{
			name:    "another access policy",
			token:   "keyvault:Vault",
			changed: []resource.PropertyKey{"properties"},
			olds:    policies("a", "b"),
			news:    policies("c", "a"),
			want: map[string]plugin.DiffKind{
				"properties.accessPolicies[0]": plugin.DiffAdd,
				"properties.accessPolicies[1]": plugin.DiffDelete,
			},
		},
	}
	engine, _ := start(t, nil)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.createdUniquely {
				test.olds["__createBeforeDelete"] = resource.NewBoolProperty(true)
			}
			state := test.state
			if state == nil {
				state = resource.PropertyMap{}
			}
			got, err := engine.Diff(t.Context(), plugin.DiffRequest{
				URN:           urn(test.token, "x"),
				ID:            "/id",
				OldInputs:     test.olds,
				OldOutputs:    state,
				NewInputs:     test.news,
				AllowUnknowns: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			if none := got.Changes == plugin.DiffNone; none != test.wantNoDifference {
				t.Errorf("no difference: got %v", none)
			}
			kinds := map[string]plugin.DiffKind{}
			for path, d := range got.DetailedDiff {
				kinds[path] = d.Kind
			}
			wantJSON(t, "detailed diff", kinds, or(test.want))
			slices.Sort(got.ChangedKeys)
			if !slices.Equal(got.ChangedKeys, test.changed) {
				t.Errorf("changed: got %v, want %v", got.ChangedKeys, test.changed)
			}
			if got.DeleteBeforeReplace != test.deleteBefore {
				t.Errorf("delete before replace: got %v", got.DeleteBeforeReplace)
			}
		})
	}
}

func or(m map[string]plugin.DiffKind) map[string]plugin.DiffKind {
	if m == nil {
		return map[string]plugin.DiffKind{}
	}
	return m
}

// policies returns the inputs of a vault with access policies for readers.
func policies(readers ...string) resource.PropertyMap {
	var all []any
	for _, reader := range readers {
		all = append(all, map[string]any{
			"tenantId": tenant, "objectId": reader, "permissions": map[string]any{"secrets": []any{"get"}},
		})
	}
	return resource.PropertyMap{"properties": obj(map[string]any{"accessPolicies": all})}
}
