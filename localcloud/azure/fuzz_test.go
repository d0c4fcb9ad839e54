package azure

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager/armtest"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/containerservice"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/specs"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// noClusters replaces Kubernetes and does nothing.
type noClusters struct{ key *ecdsa.PrivateKey }

func (noClusters) Start(context.Context, ClusterSpec) error { return nil }
func (noClusters) Delete(context.Context, string) error     { return nil }
func (noClusters) Kubeconfig(context.Context, ClusterSpec) ([]byte, error) {
	return []byte("kubeconfig"), nil
}
func (n noClusters) PublicKeys(string) ([]crypto.PublicKey, error) {
	return []crypto.PublicKey{n.key.Public()}, nil
}

// bodies has valid bodies by the last segment of a type's name, as seeds.
var bodies = map[string]string{
	"virtualNetworks": `{"location":"eastus","properties":{"addressSpace":{"addressPrefixes":["10.0.0.0/16"]},` +
		`"subnets":[{"name":"s","properties":{"addressPrefix":"10.0.0.0/24"}}]}}`,
	"subnets": `{"properties":{"addressPrefix":"10.0.1.0/24",` +
		`"serviceEndpoints":[{"service":"Microsoft.KeyVault"}],"routeTable":{"id":"/x"}}}`,
	"vaults": `{"location":"eastus","properties":{"tenantId":"` + armtest.TenantID + `","sku":{"family":"A",` +
		`"name":"standard"},` +
		`"accessPolicies":[{"tenantId":"` + armtest.TenantID + `","objectId":"o","permissions":{"secrets":["get"]}}],` +
		`"networkAcls":{"ipRules":[{"value":"1.2.3.4"}],"virtualNetworkRules":[{"id":"/x"}]}}}`,
	"secrets": `{"properties":{"value":"v","attributes":{"exp":1}}}`,
	"keys": `{"properties":{"kty":"EC","rotationPolicy":{"lifetimeActions":[{"action":{"type":"rotate"},` +
		`"trigger":{"timeAfterCreate":"P30D"}}]}}}`,
	"managedClusters": `{"location":"eastus","identity":{"type":"SystemAssigned"},"properties":{"dnsPrefix":"aks",` +
		`"agentPoolProfiles":[{"name":"system",` +
		`"mode":"System","count":1,"vmSize":"Standard_B2s","vnetSubnetID":"/x"}],` +
		`"networkProfile":{"networkPlugin":"azure"},"apiServerAccessProfile":` +
		`{"authorizedIPRanges":["1.2.3.4/32"]},"addonProfiles":{"azureKeyvaultSecretsProvider":{"enabled":true,` +
		`"config":{"rotationPollInterval":"1m"}}}}}`,
	"agentPools": `{"properties":{"mode":"User","count":1,"vmSize":"Standard_B2s",` +
		`"nodeLabels":{"a":"b"},"nodeTaints":["a=b:NoSchedule"]}}`,
	"federatedIdentityCredentials": `{"properties":{"issuer":"https://i","subject":"s","audiences":["a"]}}`,
	"privateEndpoints": `{"location":"eastus","properties":{"subnet":{"id":"/x"},` +
		`"privateLinkServiceConnections":[{"name":"c","properties":` +
		`{"privateLinkServiceId":"/x","groupIds":["vault"]}}]}}`,
	"privateDnsZoneGroups": `{"properties":{"privateDnsZoneConfigs":[{"name":"a",` +
		`"properties":{"privateDnsZoneId":"/x"}}]}}`,
	"natGateways": `{"location":"eastus","sku":{"name":"Standard"},` +
		`"properties":{"publicIpAddresses":[{"id":"/x"}]}}`,
	"routeTables": `{"location":"eastus","properties":{"routes":[{"name":"r",` +
		`"properties":{"addressPrefix":"0.0.0.0/0","nextHopType":"None"}}]}}`,
	"diskEncryptionSets": `{"location":"eastus","identity":{"type":"SystemAssigned"},` +
		`"properties":{"activeKey":{"keyUrl":"https://kv.vault.azure.net/keys/k"}}}`,
	"systemTopics": `{"location":"eastus","properties":{"source":"/x","topicType":"Microsoft.KeyVault.vaults"}}`,
	"roleAssignments": `{"properties":{"roleDefinitionId":"/x","principalId":"p",` +
		`"condition":"(!(ActionMatches{'a'}))","conditionVersion":"2.0"}}`,
	"roleDefinitions": `{"properties":{"roleName":"r","assignableScopes":["/x"],` +
		`"permissions":[{"actions":["*/read"]}]}}`,
	"actionGroups": `{"location":"Global","properties":{"groupShortName":"s","emailReceivers":[{"name":"a",` +
		`"emailAddress":"a@b"}]}}`,
	"deployments": `{"properties":{"mode":"Incremental","template":{"$schema":"s","contentVersion":"1",` +
		`"resources":[{"type":"A.B/c","name":"n","apiVersion":"1"}]}}}`,
	"maintenanceConfigurations": `{"properties":{"maintenanceWindow":{"startTime":"01:00","durationHours":4,` +
		`"utcOffset":"+01:00",` +
		`"schedule":{"weekly":{"dayOfWeek":"Monday","intervalWeeks":1}}}}}`,
}

// FuzzResourceManager sends arbitrary requests as the owner. Each succeeds, or fails in Resource Manager's shape.
func FuzzResourceManager(f *testing.F) {
	st, err := store.Open(filepath.Join(f.TempDir(), "azure.db"))
	if err != nil {
		f.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	all := providers(containerservice.New(containerservice.Config{Store: st, Clusters: noClusters{key}}), 0,
		http.DefaultClient)
	all = all[1:] // without resource groups and roles, which exist anyway
	all = append(all[:2:2], all[3:]...)
	rm := armtest.NewWith(f, arm.Config{Store: st}, all...)
	group := rm.Group("g")
	for _, provider := range providers(containerservice.New(containerservice.Config{}), 0, nil) {
		for _, kind := range provider.Types {
			types := strings.Split(kind.Name, "/")
			last := types[len(types)-1]
			path := group + "/providers/" + types[0]
			for _, one := range types[1:] {
				path += "/" + one + "/named"
			}
			body := bodies[last]
			if body == "" {
				body = `{"location":"eastus","properties":{}}`
			}
			versions := append(specs.Versions(kind.Name), kind.Versions...)
			query := "api-version=" + versions[len(versions)-1]
			for _, method := range []string{"PUT", "GET", "PATCH", "DELETE"} {
				f.Add(method, path, query,
					strings.ReplaceAll(body, "/x", group+"/providers/Microsoft.Network/virtualNetworks/named/subnets/named"))
				f.Add(method, path, query, body)
			}
			for _, action := range kind.Actions {
				f.Add("POST", path+"/"+action.Name, query, body)
			}
			f.Add("GET", strings.TrimSuffix(path, "/named"), query+"&$filter=atScope()", "")
		}
	}
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		unescaped, err := url.PathUnescape(path)
		if err != nil {
			return // not a request that a server would read
		}
		req := httptest.NewRequest(http.MethodGet, "https://"+arm.Host+"/", strings.NewReader(body))
		req.Method, req.URL.Path, req.URL.RawPath, req.URL.RawQuery = method, unescaped, path, query
		req.Header.Set("Content-Type", "application/json")
		answer := rm.Send(rm.Owner(), req)
		var decoded arm.Object
		_ = json.Unmarshal(answer.Body.Bytes(), &decoded) // some responses have no body
		refused := answer.Code >= http.StatusBadRequest && method != http.MethodHead
		if answer.Code == http.StatusInternalServerError || refused && armtest.Code(decoded) == "" {
			t.Errorf("%s %s?%s and %q: %d %s", method, path, query, body, answer.Code, answer.Body)
		}
	})
}
