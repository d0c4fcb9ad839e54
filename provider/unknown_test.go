package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

// whole are valid arguments of the components, which together contain all that may be outputs.
var whole = map[string][]string{
	"KeyVaultStack": {
		`{"resourceGroupName": "group", "location": "eastus", "tenantId": "11111111-1111-1111-1111-111111111111", "namePrefix": "kv", "tags": {"a": "b"},
			"logAnalyticsWorkspaceId": "WORKSPACE", "secrets": [{"name": "password", "value": "v"}], "deployer": {"principalId": "p"},
			"network": {"allowedIpRanges": ["20.0.0.0/24"], "subnetIds": ["SUBNET"]},
			"privateEndpoint": {"subnetId": "SUBNET", "privateDnsZoneId": "ZONE"}}`,
		`{"existingVaultId": "VAULT"}`,
	},
	"AksWithCsi": {
		`{"resourceGroupName": "group", "location": "eastus", "tags": {"a": "b"}, "identityId": "IDENTITY", "logAnalyticsWorkspaceId": "WORKSPACE",
			"containerInsights": true, "diskEncryptionSetId": "DISKS", "containerRegistryIds": {"main": "REGISTRY"}, "subnets": {"nodes": "SUBNET"},
			"systemPool": {"subnet": "nodes"},
			"entra": {"tenantId": "11111111-1111-1111-1111-111111111111", "adminGroupIds": ["11111111-1111-1111-1111-111111111112"]},
			"apiServer": {"authorizedIpRanges": ["20.0.0.0/24"]}, "outbound": {"ipIds": ["IP"]}}`,
		`{"resourceGroupName": "group", "identityId": "IDENTITY", "apiServer": {"private": true, "privateDnsZone": "ZONE"}, "outbound": {"ipPrefixIds": ["PREFIX"]}}`,
		`{"existingCluster": {"id": "CLUSTER"}}`,
		`{"existingCluster": {"issuerUrl": "https://issuer.example/", "kubeconfig": "none"}}`,
	},
	"WorkloadIdentity": {
		`{"issuerUrl": "https://issuer.example/", "resourceGroupName": "group", "location": "eastus", "tags": {"a": "b"}, "namespace": "apps", "createNamespace": true,
			"serviceAccounts": [{"name": "app"}], "additionalIssuers": [{"name": "other", "url": "https://other.example/"}],
			"roleAssignments": [{"name": "reads", "roleDefinitionId": "4633458b-17de-408a-b874-0445c86b69e6", "scope": "VAULT"}]}`,
		`{"issuerUrl": "https://issuer.example/", "existingIdentityId": "IDENTITY", "namespace": "apps", "serviceAccounts": [{"name": "app"}]}`,
	},
	"SecretMount": {
		`{"vaultId": "VAULT", "vaultName": "v-1", "tenantId": "11111111-1111-1111-1111-111111111111", "clientId": "c", "principalId": "p", "namespace": "apps",
			"serviceAccountName": "app", "versions": {"password": "1"}, "objects": [{"type": "secret", "name": "password"}]}`,
	},
}

var ids = func() *strings.Replacer {
	var all []string
	for name, rest := range map[string]string{
		"VAULT": "Microsoft.KeyVault/vaults/v-1", "WORKSPACE": "Microsoft.OperationalInsights/workspaces/w", "IP": "Microsoft.Network/publicIPAddresses/i",
		"IDENTITY": "Microsoft.ManagedIdentity/userAssignedIdentities/i", "DISKS": "Microsoft.Compute/diskEncryptionSets/d",
		"REGISTRY": "Microsoft.ContainerRegistry/registries/r", "SUBNET": "Microsoft.Network/virtualNetworks/n/subnets/s",
		"ZONE":   "Microsoft.Network/privateDnsZones/privatelink.eastus.azmk8s.io",
		"PREFIX": "Microsoft.Network/publicIPPrefixes/p", "CLUSTER": "Microsoft.ContainerService/managedClusters/c",
	} {
		all = append(all, `"`+name+`"`,
			`"/subscriptions/22222222-2222-2222-2222-222222222222/resourceGroups/group/providers/`+rest+`"`)
	}
	return strings.NewReplacer(all...)
}()

// TestConstruct_AcceptsUnknownValues previews each component with each argument unknown, at any depth, as if it came
// from a resource that does not exist yet. Arguments that must be plain are rejected by path.
func TestConstruct_AcceptsUnknownValues(t *testing.T) {
	pkg, err := readSchema(schemaJSON)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]map[string]any{"azure-native:containerservice/v20240901:getManagedCluster": {
		"id": strings.Trim(ids.Replace(`"CLUSTER"`), `"`), "name": "c",
		"oidcIssuerProfile": map[string]any{"enabled": true, "issuerURL": mockengine.IssuerURL},
		"securityProfile":   map[string]any{"workloadIdentity": map[string]any{"enabled": true}},
		"addonProfiles":     map[string]any{"azureKeyVaultSecretsProvider": map[string]any{"enabled": true}},
	}}
	preview := func(component string, inputs resource.PropertyMap, existing bool) error {
		engine := &mockengine.Engine{DryRun: true}
		if existing {
			engine.Answers = found
		}
		_, err := request{component: component, inputs: inputs}.construct(t, engine)
		return err
	}
	tried := map[string]bool{} // by the property's place in the schema
	for component, all := range whole {
		for _, text := range all {
			var plain map[string]any
			if err := json.Unmarshal([]byte(ids.Replace(text)), &plain); err != nil {
				t.Fatal(err)
			}
			_, existing := plain["existingCluster"]
			if err := preview(component, propertiesOf(plain), existing); err != nil {
				t.Errorf("%s of known values: %v", component, err)
				continue
			}
			r := pkg.Resources["keyvaultaks:index:"+component]
			pkg.Types[component] = object{Type: "object", Properties: r.InputProperties, Required: r.RequiredInputs}
			in, given := property{Ref: "#/types/" + component}, resource.NewProperty(propertiesOf(plain))
			pkg.each("", "", in, given, func(place, path string, p property, with putting) {
				tried[place] = true
				for how, unknown := range map[string]resource.PropertyValue{
					"an output": outputOf(nil), "not known": resource.MakeComputed(resource.NewProperty("")),
					"a secret": resource.MakeSecret(resource.MakeComputed(resource.NewProperty(""))),
				} {
					err := preview(component, with(unknown).ObjectValue(), existing)
					if refused := strings.Contains(fmt.Sprint(err), "\n  "+path+": given a"); refused != p.Plain ||
						err == nil == p.Plain {
						t.Errorf("%s %s, plain: %t, as %s: %v", component, path, p.Plain, how, err)
					}
				}
			})
		}
	}
	for typ, of := range pkg.Types {
		for name, p := range of.Properties {
			if !p.Plain && !tried[typ+"."+name] && !strings.Contains(typ, ":Volume") { // which are outputs
				t.Errorf("%s.%s is not tried", typ, name)
			}
		}
	}
}

// putting returns the whole value with one part replaced.
type putting func(resource.PropertyValue) resource.PropertyValue

// each visits the parts of a value: the place in the schema, the path, and a function that replaces the part.
func (s *schema) each(place, path string, p property, v resource.PropertyValue,
	with func(place, path string, p property, put putting)) {
	inside := func(place, path string, p property, v resource.PropertyValue, put putting) {
		with(place, path, p, put)
		s.each(place, path, p, v, func(place, path string, p property, inner putting) {
			with(place, path, p, func(v resource.PropertyValue) resource.PropertyValue { return put(inner(v)) })
		})
	}
	switch {
	case v.IsArray():
		for i, item := range v.ArrayValue() {
			inside(
				place,
				fmt.Sprintf("%s[%d]", path, i),
				*p.Items,
				item,
				func(in resource.PropertyValue) resource.PropertyValue {
					items := slices.Clone(v.ArrayValue())
					items[i] = in
					return resource.NewProperty(items)
				},
			)
		}
	case v.IsObject():
		of := s.Types[strings.TrimPrefix(p.Ref, "#/types/")]
		for key, value := range v.ObjectValue() {
			next, at := of.Properties[string(key)], strings.TrimPrefix(p.Ref, "#/types/")
			if p.AdditionalProperties != nil {
				next, at = *p.AdditionalProperties, place
			}
			inside(
				at+"."+string(key),
				join(path, string(key)),
				next,
				value,
				func(in resource.PropertyValue) resource.PropertyValue {
					object := maps.Clone(v.ObjectValue())
					object[key] = in
					return resource.NewProperty(object)
				},
			)
		}
	}
}
