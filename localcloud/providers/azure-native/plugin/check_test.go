package plugin

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/specs"
)

func check(t *testing.T, engine plugin.Provider, req plugin.CheckRequest) plugin.CheckResponse {
	t.Helper()
	if req.Olds == nil {
		req.Olds = resource.PropertyMap{}
	}
	req.AllowUnknowns = true
	resp, err := engine.Check(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestCheck_NamesResources(t *testing.T) {
	seed := []byte("seed of this test")
	proposed := func(mode plugin.AutonamingMode) *plugin.AutonamingOptions {
		return &plugin.AutonamingOptions{ProposedName: "proposed", Mode: mode}
	}
	tests := []struct {
		name, token, property string
		news, olds            map[string]any
		autonaming            *plugin.AutonamingOptions
		want                  string
		unique                bool
	}{
		{name: "random", token: "keyvault:Vault", property: "vaultName", want: `^kv[0-9a-f]{8}$`, unique: true},
		{name: "copy", token: "keyvault:Secret", property: "secretName", want: `^kv$`},
		{
			name:     "random for a lock",
			token:    "authorization:ManagementLockByScope",
			property: "lockName",
			want:     `^kv[0-9a-f]{8}$`,
			unique:   true,
		},
		{
			name:     "random for an association",
			token:    "insights:DataCollectionRuleAssociation",
			property: "associationName",
			want:     `^kv[0-9a-f]{8}$`,
			unique:   true,
		},
		{
			name:     "uuid",
			token:    "authorization:RoleAssignment",
			property: "roleAssignmentName",
			want:     `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`,
			unique:   true,
		},
		{
			name:     "given",
			token:    "keyvault:Vault",
			property: "vaultName",
			news:     map[string]any{"vaultName": "mine"},
			want:     `^mine$`,
		},
		{
			name: "the name it had", token: "keyvault:Vault", property: "vaultName",
			olds: map[string]any{"vaultName": "kv12345678", "__createBeforeDelete": true}, want: `^kv12345678$`, unique: true,
		},
		{
			name:     "the name it had, given then",
			token:    "keyvault:Vault",
			property: "vaultName",
			olds:     map[string]any{"vaultName": "mine"},
			want:     `^mine$`,
		},
		{
			name:       "proposed",
			token:      "keyvault:Secret",
			property:   "secretName",
			autonaming: proposed(plugin.AutonamingModePropose),
			want:       `^proposed$`,
			unique:     true,
		},
		{
			name:       "proposed for a uuid",
			token:      "authorization:RoleAssignment",
			property:   "roleAssignmentName",
			autonaming: proposed(plugin.AutonamingModePropose),
			want:       `^[0-9a-f-]{36}$`,
			unique:     true,
		},
		{
			name:       "enforced for a uuid",
			token:      "authorization:RoleAssignment",
			property:   "roleAssignmentName",
			autonaming: proposed(plugin.AutonamingModeEnforce),
			want:       `^proposed$`,
			unique:     true,
		},
		{
			name:       "disabled",
			token:      "keyvault:Vault",
			property:   "vaultName",
			autonaming: proposed(plugin.AutonamingModeDisabled),
			want:       `^$`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			engine, _ := start(t, nil)
			req := plugin.CheckRequest{
				URN: urn(test.token, "kv"), RandomSeed: seed, Autonaming: test.autonaming,
				Olds: resource.NewPropertyMapFromMap(test.olds), News: resource.NewPropertyMapFromMap(test.news),
			}
			resp := check(t, engine, req)
			got := ""
			if v := resp.Properties[resource.PropertyKey(test.property)]; v.IsString() {
				got = v.StringValue()
			}
			if !regexp.MustCompile(test.want).MatchString(got) {
				t.Errorf("got %q, want %s", got, test.want)
			}
			flag := resp.Properties["__createBeforeDelete"]
			if unique := flag.IsBool() && flag.BoolValue(); unique != test.unique {
				t.Errorf("unique: got %v", unique)
			}
			again := check(t, engine, req)
			if !again.Properties.DeepEquals(resp.Properties) {
				t.Error("the same seed gave another name")
			}
		})
	}
}

func TestCheck_DefaultsLocation(t *testing.T) {
	inGroup := resource.PropertyMap{"resourceGroupName": str("rg")}
	tests := []struct {
		name, token string
		config      resource.PropertyMap
		olds, news  resource.PropertyMap
		want        resource.PropertyValue
	}{
		{
			name:   "given",
			token:  "keyvault:Vault",
			config: resource.PropertyMap{"location": str("westus")},
			news:   resource.PropertyMap{"location": str("eastus")},
			want:   str("eastus"),
		},
		{
			name:   "where it was",
			token:  "keyvault:Vault",
			config: resource.PropertyMap{"location": str("westus")},
			olds:   resource.PropertyMap{"location": str("eastus")},
			want:   str("eastus"),
		},
		{
			name:   "configured",
			token:  "keyvault:Vault",
			config: resource.PropertyMap{"location": str("westus")},
			news:   inGroup,
			want:   str("westus"),
		},
		{name: "the group's", token: "keyvault:Vault", news: inGroup, want: str("northeurope")},
		{
			name:  "a group not known yet",
			token: "keyvault:Vault",
			news:  resource.PropertyMap{"resourceGroupName": unknown()},
			want:  unknown(),
		},
		{
			name:   "no place at all",
			token:  "keyvault:Secret",
			config: resource.PropertyMap{"location": str("westus")},
			news:   inGroup,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			engine, a := start(t, test.config)
			a.resources[strings.ToLower(groupID)] = map[string]any{"location": "northeurope"}
			if test.news == nil {
				test.news = resource.PropertyMap{}
			}
			resp := check(t, engine, plugin.CheckRequest{URN: urn(test.token, "kv"), Olds: test.olds, News: test.news})
			if got := resp.Properties["location"]; !got.DeepEquals(test.want) && !(got.IsComputed() && test.want.IsComputed()) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestCheck_ReportsAllViolations(t *testing.T) {
	engine, a := start(t, nil)
	a.on(func(*http.Request, []byte) http.HandlerFunc {
		return failWith(http.StatusNotFound, "ResourceGroupNotFound", "no")
	})
	resp := check(t, engine, plugin.CheckRequest{URN: urn("keyvault:Vault", "kv"), News: resource.PropertyMap{
		"vaultName":         str("not_a_vault_name"),
		"resourceGroupName": str("rg"),
		"properties": resource.NewObjectProperty(resource.PropertyMap{
			"sku": obj(map[string]any{"name": "standard"}), "tenantId": unknown(),
		}),
	}})
	want := []string{
		"'vaultName' does not match expression '^[a-zA-Z0-9-]{3,24}$'",
		"missing required property 'location'. Either set it explicitly or configure it with " +
			"'pulumi config set azure-native:location <value>'.",
		"missing required property 'properties.sku.family'",
	}
	if got := reasons(resp); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// reasons returns the sorted reasons of failures, preceded by their properties. There should be no property, because
// the engine would show its value.
func reasons(resp plugin.CheckResponse) []string {
	got := []string{}
	for _, f := range resp.Failures {
		got = append(got, string(f.Property)+f.Reason)
	}
	slices.Sort(got)
	return got
}

// TestCheck_ValidatesAtEveryDepth has an example of each check of azure-native, and of what it does not check.
func TestCheck_ValidatesAtEveryDepth(t *testing.T) {
	const tenant = "11111111-1111-1111-1111-111111111111"
	vault := func(rest map[string]any) map[string]any {
		properties := map[string]any{"tenantId": tenant, "sku": map[string]any{"family": "A", "name": "standard"}}
		maps.Copy(properties, rest)
		return map[string]any{"resourceGroupName": "rg", "location": "westeurope", "properties": properties}
	}
	cluster := func(rest map[string]any) map[string]any {
		inputs := map[string]any{"resourceGroupName": "rg", "location": "westeurope"}
		maps.Copy(inputs, rest)
		return inputs
	}
	pools := func(pool map[string]any) map[string]any {
		pool["name"] = "second"
		return cluster(map[string]any{"agentPoolProfiles": []any{map[string]any{"name": "first"}, pool}})
	}
	const guid = "^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$"
	for name, test := range map[string]struct {
		token  string
		inputs map[string]any
		want   []string
	}{
		"required in a list": {
			"keyvault:Vault",
			vault(map[string]any{"accessPolicies": []any{map[string]any{"objectId": "o", "tenantId": tenant}}}),
			[]string{"missing required property 'properties.accessPolicies[0].permissions'"},
		},
		"required where the SDK has no properties": {
			"managedidentity:FederatedIdentityCredential",
			map[string]any{
				"resourceGroupName": "rg", "resourceName": "uai", "federatedIdentityCredentialResourceName": "fic",
			},
			[]string{
				"missing required property 'audiences'",
				"missing required property 'issuer'",
				"missing required property 'subject'",
			},
		},
		"pattern and length": {
			"keyvault:Vault", vault(map[string]any{"tenantId": "hidden"}),
			[]string{
				"'properties.tenantId' does not match expression '" + guid + "'",
				"'properties.tenantId' is too short (6): at least 36 characters required",
			},
		},
		"too long": {
			"keyvault:Vault", vault(map[string]any{"tenantId": tenant + "0"}),
			[]string{
				"'properties.tenantId' does not match expression '" + guid + "'",
				"'properties.tenantId' is too long (37): at most 36 characters allowed",
			},
		},
		"a string for an array": {
			"keyvault:Vault", vault(map[string]any{"accessPolicies": "hidden"}),
			[]string{"'properties.accessPolicies' should be of type 'array' but got a string"},
		},
		"an array for an object": {
			"keyvault:Vault", vault(map[string]any{"networkAcls": []any{"hidden"}}),
			[]string{"'properties.networkAcls' should be of type 'object' but got an array"},
		},
		"a number for a string": {
			"containerservice:ManagedCluster", pools(map[string]any{"vmSize": 1.0}),
			[]string{"'agentPoolProfiles[1].vmSize' should be of type 'string' but got a number"},
		},
		"a range": {
			"containerservice:ManagedCluster", pools(map[string]any{"osDiskSizeGB": 4096.0}),
			[]string{"'agentPoolProfiles[1].osDiskSizeGB' is too high: at most 2048"},
		},
		"a range below": {
			"containerservice:ManagedCluster",
			cluster(map[string]any{"networkProfile": map[string]any{
				"natGatewayProfile": map[string]any{"idleTimeoutInMinutes": 1.0},
			}}),
			[]string{"'networkProfile.natGatewayProfile.idleTimeoutInMinutes' is too low: at least 4"},
		},
		"another name": {
			"keyvault:Secret",
			map[string]any{
				"resourceGroupName": "rg", "vaultName": "kv",
				"properties": map[string]any{"attributes": map[string]any{"expires": "soon"}},
			},
			[]string{"'properties.attributes.expires' should be of type 'integer' but got a string"},
		},
		"properties of a list": {
			"network:VirtualNetwork",
			cluster(map[string]any{"subnets": []any{map[string]any{"name": "a", "addressPrefix": 10.0}}}),
			[]string{"'subnets[0].addressPrefix' should be of type 'string' but got a number"},
		},
		"unchecked by azure-native": {
			"keyvault:Vault",
			vault(map[string]any{
				"createMode": "sideways", "enableSoftDelete": map[string]any{}, "vaultUri": true, "colour": "red",
				"provisioningState": "Failed", "sku": map[string]any{"family": "A", "name": "free"},
			}),
			[]string{},
		},
		"unchecked in maps": {
			"containerservice:ManagedCluster",
			cluster(map[string]any{
				"addonProfiles": map[string]any{"a": map[string]any{}}, "tags": map[string]any{"a": 1.0},
			}),
			[]string{},
		},
		"unchecked with a discriminator": {
			"eventgrid:SystemTopicEventSubscription",
			map[string]any{
				"resourceGroupName": "rg", "systemTopicName": "t",
				"destination": map[string]any{"endpointType": "StorageQueue", "queueName": 1.0},
			},
			[]string{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			engine, _ := start(t, nil)
			resp := check(t, engine, plugin.CheckRequest{
				URN: urn(test.token, "kv"), News: resource.NewPropertyMapFromMap(test.inputs),
			})
			got := reasons(resp)
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if strings.Contains(strings.Join(got, ""), "hidden") {
				t.Errorf("%q shows a value", got)
			}
		})
	}
}

func TestCheck_AcceptsUnknownValues(t *testing.T) {
	engine, _ := start(t, nil)
	resp := check(t, engine, plugin.CheckRequest{URN: urn("keyvault:Vault", "kv"), News: resource.PropertyMap{
		"resourceGroupName": str("rg"), "location": str("westeurope"),
		"properties": resource.NewObjectProperty(resource.PropertyMap{
			"tenantId":       unknown(),
			"sku":            unknown(),
			"networkAcls":    unknown(),
			"accessPolicies": resource.NewArrayProperty([]resource.PropertyValue{unknown()}),
		}),
	}})
	if len(resp.Failures) > 0 {
		t.Errorf("got %q", reasons(resp))
	}
}

// TestCatalog_HasSpecificationOfEachType finds types of the catalog that validate knows nothing of, and what their rows
// require besides.
func TestCatalog_HasSpecificationOfEachType(t *testing.T) {
	for _, rt := range catalog {
		described, ok := specs.Lookup(rt.armType(), rt.version)
		if !ok {
			t.Errorf("%s has no specification", rt.token)
			continue
		}
		missing := map[string]bool{}
		for _, f := range rt.validate(map[string]any{}, described.Version) {
			missing[f.Reason] = true
		}
		for _, path := range rt.required {
			if !strings.Contains(path, ".") && !strings.Contains(fmt.Sprint(missing), "'"+path+"'") {
				t.Errorf("%s requires %s", rt.token, path)
			}
		}
	}
}

func TestCatalog_RefusesOtherTypesByName(t *testing.T) {
	engine, _ := start(t, nil)
	for _, token := range []string{"storage:StorageAccount", "network/v20230201:RouteTable"} {
		_, err := engine.Check(t.Context(), plugin.CheckRequest{
			URN: urn(token, "x"), Olds: resource.PropertyMap{}, News: resource.PropertyMap{},
		})
		if err == nil || !strings.Contains(err.Error(), "not implemented here: azure-native:"+token) {
			t.Errorf("%s: got %v", token, err)
		}
	}
	for _, token := range []string{
		"storage:getStorageAccount",
		"containerservice:listManagedClusterMonitoringUserCredentials",
	} {
		_, err := invoke(t, engine, token, nil)
		if err == nil || !strings.Contains(err.Error(), "not implemented here: azure-native:"+token) {
			t.Errorf("%s: got %v", token, err)
		}
	}
}

func TestLookup_ReadsAPIVersionFromToken(t *testing.T) {
	for token, want := range map[string]string{
		"azure-native:keyvault:Vault":                                "2023-02-01",
		"azure-native:keyvault/v20241101:Vault":                      "2024-11-01",
		"azure-native:authorization/v20200401preview:RoleAssignment": "2020-04-01-preview",
	} {
		if _, got, err := lookup(token); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", token, got, err, want)
		}
	}
}

// TestCatalog_FollowsAzureNativesNaming checks azure-native's rule: roles get UUIDs, and children of resources of the
// same provider get a copy of the Pulumi name.
func TestCatalog_FollowsAzureNativesNaming(t *testing.T) {
	for _, rt := range catalog {
		want := nameRandom
		path := strings.Split(strings.ToLower(rt.path), "microsoft.")
		switch {
		case rt.name == "roleAssignmentName", rt.name == "roleDefinitionId":
			want = nameUUID
		case len(path) > 1 && strings.Count(path[len(path)-1], "{") != 1:
			want = nameCopy
		}
		if rt.naming != want || !strings.HasSuffix(rt.path, "{"+rt.name+"}") {
			t.Errorf("%s: naming of %s: got %d, want %d", rt.token, rt.name, rt.naming, want)
		}
	}
}

// TestCheck_SetsNoLocationOfDeployment: Resource Manager refuses one in a resource group's deployment.
func TestCheck_SetsNoLocationOfDeployment(t *testing.T) {
	engine, _ := start(t, resource.PropertyMap{"location": str("eastus")})
	for token, want := range map[string]bool{"resources:Deployment": false, "managedidentity:UserAssignedIdentity": true} {
		resp := check(t, engine, plugin.CheckRequest{
			URN: urn(token, "x"), News: resource.PropertyMap{"resourceGroupName": str("rg")},
		})
		if got := resp.Properties.HasValue("location"); got != want {
			t.Errorf("%s has a location: %t", token, got)
		}
	}
}
