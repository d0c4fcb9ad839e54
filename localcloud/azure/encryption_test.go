package azure_test

import (
	"maps"
	"net/http"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/keyvault/armkeyvault"
)

const (
	encryptionSets = "/providers/Microsoft.Compute/diskEncryptionSets/"
	computeVersion = "?api-version=2023-10-02"
	keyVersion     = "?api-version=2023-02-01"
	encryptionUser = "e147488a-f6f5-4113-8e2d-b22465e65bf6"
	reader         = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
)

var servicePrincipal = to.Ptr(armauthorization.PrincipalTypeServicePrincipal)

// key creates a key in a vault and returns its ID and the URL of its version.
func (f *fixture) key(vault, name string, properties m) (id, url string) {
	f.Helper()
	id = path("resourceGroups/g/providers/Microsoft.KeyVault/vaults/") + vault + "/keys/" + name
	f.put(id+keyVersion, m{"properties": properties})
	url, _ = f.get(id + keyVersion)["keyUriWithVersion"].(string)
	return id, url
}

func encryptionSet(url string, change m) m {
	properties := m{"activeKey": m{"keyUrl": url}, "encryptionType": "EncryptionAtRestWithCustomerKey"}
	maps.Copy(properties, change)
	return m{"location": location, "identity": m{"type": "SystemAssigned"}, "properties": properties}
}

func TestDiskEncryptionSet_RequiresRSAKeyAndPurgeProtection(t *testing.T) {
	f := newFixture(t)
	group := f.group("g")
	protected := func(p *armkeyvault.VaultProperties) { p.EnablePurgeProtection = to.Ptr(true) }
	f.must(f.putVault("g", "kv-kept", protected))
	f.must(f.putVault("g", "kv-loose", nil))
	_, rsa := f.key("kv-kept", "rsa", m{"kty": "RSA"})
	_, ec := f.key("kv-kept", "ec", m{"kty": "EC"})
	_, off := f.key("kv-kept", "off", m{"kty": "RSA", "attributes": m{"enabled": false}})
	_, loose := f.key("kv-loose", "rsa", m{"kty": "RSA"})
	at := group + encryptionSets + "disks" + computeVersion
	elsewhere := encryptionSet(rsa, nil)
	elsewhere["location"] = "westeurope"
	anonymous := encryptionSet(rsa, nil)
	delete(anonymous, "identity")
	const latest = "https://kv-kept.vault.azure.net/keys/rsa"
	for name, test := range map[string]struct {
		body m
		code string
	}{
		"no key":     {encryptionSet("", nil), "InvalidParameter"},
		"no version": {encryptionSet(latest, nil), "InvalidParameter"},
		"no such vault": {
			encryptionSet("https://kv-none.vault.azure.net/keys/rsa/0123456789abcdef0123456789abcdef", nil), "InvalidParameter",
		},
		"no such key": {
			encryptionSet("https://kv-kept.vault.azure.net/keys/none/0123456789abcdef0123456789abcdef", nil), "InvalidParameter",
		},
		"no such version": {encryptionSet(latest+"/0123456789abcdef0123456789abcdef", nil), "InvalidParameter"},
		"another vault than it says": {
			encryptionSet(rsa, m{"activeKey": m{"keyUrl": rsa, "sourceVault": m{"id": group + "/x"}}}), "InvalidParameter",
		},
		"an EC key":                        {encryptionSet(ec, nil), "InvalidParameter"},
		"a disabled key":                   {encryptionSet(off, nil), "InvalidParameter"},
		"a vault without purge protection": {encryptionSet(loose, nil), "InvalidParameter"},
		"a vault elsewhere":                {elsewhere, "InvalidParameter"},
		"a type of its own":                {encryptionSet(rsa, m{"encryptionType": "None"}), "InvalidParameter"},
		"no identity":                      {anonymous, "NotImplemented"},
	} {
		if status, code := f.call(http.MethodPut, at, test.body); code != test.code {
			t.Errorf("%s: %d %s, want %s", name, status, code, test.code)
		}
	}
	made := f.put(at, encryptionSet(rsa, nil))
	again := f.put(at, encryptionSet(latest, m{"rotationToLatestKeyVersionEnabled": true}))
	principal := made["identity"].(m)["principalId"].(string)
	if again["identity"].(m)["principalId"] != principal {
		t.Error("an update changed the identity")
	}
	_, err := f.assign(group, reader, principal, servicePrincipal)
	f.must(err)
	if status, code := f.call(http.MethodDelete, at, nil); status != http.StatusOK {
		t.Errorf("DELETE: %d %s", status, code)
	}
	_, err = f.assign(group, secretsUser, principal, nil) // looks up the principal
	f.refused(err, http.StatusBadRequest, "PrincipalNotFound")
}

func TestManagedCluster_EncryptsDisksIfIdentitiesMayUseKey(t *testing.T) {
	f := newFixture(t)
	network := f.network()
	group := path("resourceGroups/g")
	bypass := func(bypass armkeyvault.NetworkRuleBypassOptions) {
		f.must(f.putVault("g", "kv-kept", func(p *armkeyvault.VaultProperties) {
			p.EnablePurgeProtection = to.Ptr(true)
			p.NetworkACLs = &armkeyvault.NetworkRuleSet{
				DefaultAction: to.Ptr(armkeyvault.NetworkRuleActionDeny),
				Bypass:        &bypass,
			}
		}))
	}
	bypass(armkeyvault.NetworkRuleBypassOptionsAzureServices)
	keyID, url := f.key("kv-kept", "rsa", m{"kty": "RSA"})
	id := group + encryptionSets + "disks"
	set := f.put(id+computeVersion, encryptionSet(url, nil))
	at := path(aksID) + aksVersion
	body := func(id string) m { return f.clusterBody(network+"/subnets/nodes", m{"diskEncryptionSetID": id}) }
	refused := func(what string, body m, want string) {
		t.Helper()
		if status, code := f.call(http.MethodPut, at, body); code != want {
			t.Errorf("%s: %d %s, want %s", what, status, code, want)
		}
	}
	refused("no such set", body(id+"x"), "ResourceNotFound")
	refused("no set", body(network), "LinkedInvalidPropertyId")
	refused("a cluster that may not read it", body(id), "LinkedAuthorizationFailed")
	uai := f.identity("g", "aks")
	_, err := f.assign(id, reader, *uai.Properties.PrincipalID, servicePrincipal)
	f.must(err)
	refused("a set that may not use its key", body(id), "KeyVaultAccessForbidden")
	_, err = f.assign(keyID, encryptionUser, set["identity"].(m)["principalId"].(string), servicePrincipal)
	f.must(err)
	bypass(armkeyvault.NetworkRuleBypassOptionsNone)
	refused("a firewall that Azure's disks do not pass", body(id), "KeyVaultAccessForbidden")
	bypass(armkeyvault.NetworkRuleBypassOptionsAzureServices)

	f.put(at, body(id))
	if got := f.get(at)["diskEncryptionSetID"]; got != id {
		t.Errorf("the set is %v", got)
	}
	f.put(id+"-other"+computeVersion, encryptionSet(url, nil))
	_, err = f.assign(group, reader, *uai.Properties.PrincipalID, servicePrincipal)
	f.must(err)
	_, err = f.assign(keyID, encryptionUser,
		f.put(id+"-other"+computeVersion, encryptionSet(url, nil))["identity"].(m)["principalId"].(string), servicePrincipal)
	f.must(err)
	refused("another set", body(id+"-other"), "PropertyChangeNotAllowed")
	if status, code := f.call(http.MethodDelete, id+computeVersion, nil); code != "OperationNotAllowed" {
		t.Errorf("DELETE of a set with disks: %d %s", status, code)
	}
	left := f.clusterBody(network+"/subnets/nodes", nil)
	f.put(at, left)
	if got := f.get(at)["diskEncryptionSetID"]; got != id {
		t.Errorf("omitted, the set is %v", got)
	}
}
