package compute_test

import (
	"net/http"
	"testing"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager/armtest"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/compute"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/keyvault"
)

type m = arm.Object

func TestEncryptionSet_NeedsAKeyWithPurgeProtection(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, compute.Provider(), keyvault.Provider())
	rm.Group("g")
	vaultAt := func(name, object string) string {
		return armtest.ID("resourceGroups/g/providers", keyvault.VaultsType, name+object) + "?api-version=2024-11-01"
	}
	keys := map[string]string{}
	for name, protected := range map[string]any{"kv-keeps": true, "kv-loses": nil} {
		rm.Put(vaultAt(name, ""), m{"location": armtest.Location, "properties": m{
			"tenantId":                armtest.TenantID,
			"sku":                     m{"family": "A", "name": "standard"},
			"enableRbacAuthorization": true,
			"enablePurgeProtection":   protected,
		}})
		made := rm.Put(vaultAt(name, "/keys/disk"), m{"properties": m{"kty": "RSA", "keySize": 2048}})
		keys[name] = arm.Text(arm.Child(made, "properties"), "keyUriWithVersion")
	}
	at := armtest.ID("resourceGroups/g/providers", compute.EncryptionSetsType, "set") + "?api-version=2023-04-02"
	set := func(url string) m {
		return m{
			"location":   armtest.Location,
			"identity":   m{"type": "SystemAssigned"},
			"properties": m{"activeKey": m{"keyUrl": url}},
		}
	}
	principal := func() string { return arm.Text(arm.Child(rm.Get(at), "identity"), "principalId") }
	rm.Put(at, set(keys["kv-keeps"]))
	first := principal()
	rm.Put(at, set(keys["kv-keeps"]))
	if first == "" || principal() != first {
		t.Errorf("the principal was %q and is %q", first, principal())
	}
	for _, url := range []string{
		"",
		"x",
		keys["kv-loses"],
		"https://kv-none.vault.azure.net/keys/disk",
		"https://kv-keeps.vault.azure.net/keys/none",
	} {
		rm.Refused(http.MethodPut, at, set(url), 400, "InvalidParameter")
	}
	rm.Refused(http.MethodPut, at, m{"location": armtest.Location}, 501, "NotImplemented")
}
