package azure_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
)

const vaultsPath = "resourceGroups/g/providers/Microsoft.KeyVault/vaults/"

// vaultWith returns a vault's body with additional properties.
func vaultWith(properties m) m {
	all := m{"tenantId": azure.TenantID, "sku": m{"family": "A", "name": "standard"}}
	maps.Copy(all, properties)
	return m{"location": location, "properties": all}
}

// TestVersions_AreAzures requests clusters as az 2.45 does, and in versions that Azure has and does not have.
func TestVersions_AreAzures(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	f.put(path(aksID)+"?api-version=2022-11-01", f.clusterBody("", nil))
	yesterday, tomorrow := time.Now().
		UTC().
		AddDate(0, 0, -1).
		Format(time.DateOnly),
		time.Now().
			UTC().
			AddDate(0, 0, 2).
			Format(time.DateOnly)
	for at, want := range map[string]string{
		path(aksID) + "?api-version=2022-11-01":                                     "",
		path(aksID) + "?api-version=2017-08-31":                                     "",
		path(aksID) + "?api-version=2024-06-02-PREVIEW":                             "",
		path(aksID) + "?api-version=2022-11-03":                                     "NoRegisteredProviderFound",
		path(aksID) + "?api-version=" + yesterday:                                   "NotImplemented",
		path(aksID) + "?api-version=" + yesterday + "-preview":                      "NotImplemented",
		path(aksID) + "?api-version=" + tomorrow:                                    "NoRegisteredProviderFound",
		path(aksID) + "?api-version=newest":                                         "NoRegisteredProviderFound",
		path("resourceGroups/g?api-version=2015-11-01"):                             "",
		path("resourceGroups/g?api-version=" + tomorrow):                            "InvalidApiVersionParameter",
		path(vaultsPath + "kv/privateEndpointConnections/p?api-version=2023-02-01"): "NotImplemented",
		path(vaultsPath + "kv/doors/d?api-version=2023-02-01"):                      "InvalidResourceType",
	} {
		if _, code := f.call(http.MethodGet, at, nil); code != want {
			t.Errorf("%s: %q, want %q", at, code, want)
		}
	}
}

func TestBodies_ViolatingSpecificationAreRefused(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	kv := path(vaultsPath + "kv-specs")
	cluster := path("resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c")
	for name, test := range map[string]struct {
		at    string
		body  m
		code  string
		words []string
	}{
		"everything at once": {
			kv + "?api-version=2023-02-01",
			vaultWith(m{"tenantId": "hidden", "sku": m{"name": "hidden"}, "accessPolicies": []m{{"objectId": "o"}}}),
			"BadRequest",
			[]string{
				"properties.tenantId",
				"properties.sku.family",
				"properties.sku.name",
				"standard, premium",
				"properties.accessPolicies[0].tenantId",
				"properties.accessPolicies[0].permissions",
			},
		},
		"a type": {
			cluster + "?api-version=2023-10-01", f.clusterBody("", m{
				"agentPoolProfiles": []m{{"name": "p", "osDiskSizeGB": "30", "upgradeSettings": m{"drainTimeoutInMinutes": 0}}},
			}),
			"InvalidRequestContent", []string{"osDiskSizeGB", "drainTimeoutInMinutes"},
		},
		"the provider's code": {
			cluster + "?api-version=2023-10-01",
			f.clusterBody("", m{"agentPoolProfiles": []m{{"name": "p", "osDiskSizeGB": 2049}}}),
			"InvalidParameter", []string{"2048"},
		},
		"a newer property": {
			cluster + "?api-version=2022-11-01",
			f.clusterBody("", m{"serviceMeshProfile": m{"mode": "Istio"}}),
			"InvalidRequestContent", []string{"serviceMeshProfile"},
		},
		"a property of a preview": {
			cluster + "?api-version=2024-05-02-preview",
			f.clusterBody("", m{"safeguardsProfile": m{"level": "Off"}}),
			"NotImplemented", []string{"safeguardsProfile"},
		},
		"a property of no version": {
			path("resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v?api-version=2023-09-01"), m{
				"location": location, "properties": m{"colour": "red"},
			},
			"InvalidRequestContent", []string{"properties.colour"},
		},
		"read-only": {
			kv + "?api-version=2023-02-01", vaultWith(m{"hsmPoolResourceId": "/hidden"}),
			"BadRequest", []string{"properties.hsmPoolResourceId"},
		},
		"version without a specification": {
			kv + "?api-version=2024-11-01", vaultWith(m{"tenantId": 1}),
			"InvalidRequestContent", []string{"properties.tenantId"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := f.ask(http.MethodPut, test.at, test.body)
			refusal, _ := body["error"].(map[string]any)
			message, _ := refusal["message"].(string)
			if refusal["code"] != test.code || status < 400 {
				t.Errorf("got %d %v, want %s", status, body, test.code)
			}
			for _, word := range test.words {
				if !strings.Contains(message, word) {
					t.Errorf("%q does not name %s", message, word)
				}
			}
			if strings.Contains(message, "hidden") {
				t.Errorf("%q shows a value", message)
			}
		})
	}
}

// TestBodies_ReadAreAcceptedAgain reads a resource, changes it and writes it.
func TestBodies_ReadAreAcceptedAgain(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	at := path("resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v?api-version=2023-09-01")
	f.put(at, m{"location": location, "properties": m{
		"addressSpace": m{"addressPrefixes": []string{"10.0.0.0/16"}},
		"subnets":      []m{{"name": "a", "properties": m{"addressPrefix": "10.0.0.0/24"}}},
	}})
	_, read := f.ask(http.MethodGet, at, nil)
	properties := read["properties"].(map[string]any)
	if properties["provisioningState"] != "Succeeded" {
		t.Fatalf("%v has no read-only property", read)
	}
	properties["subnets"] = slices.Insert(properties["subnets"].([]any), 0,
		any(m{"name": "b", "properties": m{"addressPrefix": "10.0.1.0/24"}}))
	if status, answer := f.ask(http.MethodPut, at, read); status >= 300 {
		t.Fatalf("%d %v", status, answer)
	}
	properties["provisioningState"] = "Failed"
	if status, answer := f.ask(http.MethodPut, at, read); status != http.StatusBadRequest {
		t.Errorf("a state set by the client: %d %v", status, answer)
	}
}

func TestPatch_RequiresOnlyChanges(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	kv := path(vaultsPath + "kv-patch?api-version=2023-02-01")
	f.put(kv, vaultWith(m{"accessPolicies": []m{}}))
	if status, code := f.call(http.MethodPatch, kv, m{
		"properties": m{"enableSoftDelete": true},
	}); status != http.StatusOK {
		t.Errorf("%d %s", status, code)
	}
	if status, code := f.call(http.MethodPatch, kv, m{"properties": m{"sku": m{"name": "free"}}}); code != "BadRequest" {
		t.Errorf("%d %s", status, code)
	}
}
