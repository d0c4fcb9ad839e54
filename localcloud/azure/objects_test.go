package azure_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/keyvault/armkeyvault"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
)

// withVault creates a vault whose secrets the owner may read and write.
func withVault(t *testing.T, name string, sku armkeyvault.SKUName) (*world, *azsecrets.Client) {
	t.Helper()
	f := newFixture(t)
	group := f.group("g")
	f.must(f.putVault("g", name, func(p *armkeyvault.VaultProperties) { p.SKU.Name = &sku }))
	w := &world{
		fixture: f,
		vaultID: group + "/providers/Microsoft.KeyVault/vaults/" + name,
		uri:     "https://" + name + ".vault.azure.net/",
	}
	return w, w.officer()
}

const objectVersion = "?api-version=2024-11-01"

func TestSecret_KeepsItsAttributes(t *testing.T) {
	w, secrets := withVault(t, "kv-described", armkeyvault.SKUNameStandard)
	now := time.Now().Unix()
	write := func(name string, attributes m) {
		w.put(w.vaultID+"/secrets/"+name+objectVersion, m{
			"tags": m{"a": "b"}, "properties": m{"value": "v", "contentType": "text/plain", "attributes": attributes},
		})
	}
	write("dated", m{"enabled": true, "nbf": now - 10, "exp": now + 1000})
	got, err := secrets.GetSecret(t.Context(), "dated", "", nil)
	w.must(err)
	if *got.ContentType != "text/plain" || *got.Tags["a"] != "b" || got.Attributes.NotBefore.Unix() != now-10 ||
		got.Attributes.Expires.Unix() != now+1000 {
		t.Errorf("got %v", got.Attributes)
	}
	// The dates do not prevent reading the value.
	write("expired", m{"exp": now - 10})
	write("early", m{"nbf": now + 1000})
	for _, name := range []string{"expired", "early"} {
		if _, err := secrets.GetSecret(t.Context(), name, "", nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	write("off", m{"enabled": false})
	_, err = secrets.GetSecret(t.Context(), "off", "", nil)
	w.refused(err, http.StatusForbidden, "Forbidden")
	if !strings.Contains(err.Error(), "SecretDisabled") {
		t.Error(err)
	}
	many := m{}
	for i := range 16 {
		many[string(rune('a'+i))] = ""
	}
	for name, body := range map[string]m{
		"ends before it begins": {"properties": m{"value": "v", "attributes": m{"nbf": 2, "exp": 1}}},
		"sixteen tags":          {"tags": many, "properties": m{"value": "v"}},
		"long content type":     {"properties": m{"value": "v", "contentType": strings.Repeat("x", 256)}},
	} {
		if status, code := w.call(http.MethodPut, w.vaultID+"/secrets/refused"+objectVersion, body); code != "BadParameter" {
			t.Errorf("%s: %d %s", name, status, code)
		}
	}
}

func (w *world) keys() *azkeys.Client {
	w.Helper()
	client, err := azkeys.NewClient(w.uri, w.owner, &azkeys.ClientOptions{ClientOptions: w.options()})
	w.must(err)
	return client
}

func rotation(expiry string, actions ...m) m {
	return m{"attributes": m{"expiryTime": expiry}, "lifetimeActions": actions}
}

func lifetimeAction(kind, trigger, after string) m {
	return m{"action": m{"type": kind}, "trigger": m{trigger: after}}
}

func TestKey_FollowsRotationPolicy(t *testing.T) {
	w, _ := withVault(t, "kv-rotate", armkeyvault.SKUNamePremium)
	_, err := w.assign(w.vaultID, "14b46e9e-c2b7-41b4-b07b-48a6ebf60603", w.ownerPrincipal(), nil)
	w.must(err)
	policy := rotation("P90D", lifetimeAction("rotate", "timeAfterCreate", "P60D"),
		lifetimeAction("notify", "timeBeforeExpiry", "P10D"))
	w.put(w.vaultID+"/keys/k"+objectVersion, m{"properties": m{
		"kty":            "EC-HSM",
		"curveName":      "P-384",
		"keyOps":         []string{"sign", "verify"},
		"rotationPolicy": policy,
		"attributes":     m{"enabled": true},
	}})
	shown, err := w.keys().GetKeyRotationPolicy(t.Context(), "k", nil)
	w.must(err)
	if *shown.Attributes.ExpiryTime != "P90D" || len(shown.LifetimeActions) != 2 ||
		*shown.LifetimeActions[0].Trigger.TimeAfterCreate != "P60D" ||
		*shown.LifetimeActions[0].Action.Type != azkeys.KeyRotationPolicyActionRotate {
		t.Errorf("the data plane shows %v", shown.KeyRotationPolicy)
	}
	if w.get(w.vaultID + "/keys/k" + objectVersion)["rotationPolicy"] == nil {
		t.Error("Resource Manager does not show it")
	}
	rotated, err := w.keys().RotateKey(t.Context(), "k", nil)
	w.must(err)
	if days := time.Until(*rotated.Attributes.Expires).Hours() / 24; days < 89 || days > 91 {
		t.Errorf("the new version expires in %.1f days, want 90", days)
	}
	if *rotated.Key.Kty != azkeys.KeyTypeECHSM || *rotated.Key.Crv != azkeys.CurveNameP384 {
		t.Errorf("it is a %s on %s", *rotated.Key.Kty, *rotated.Key.Crv)
	}
	_, err = w.keys().UpdateKeyRotationPolicy(t.Context(), "k", azkeys.KeyRotationPolicy{
		Attributes: &azkeys.KeyRotationPolicyAttributes{ExpiryTime: to.Ptr("P27D")},
	}, nil)
	w.refused(err, http.StatusBadRequest, "BadParameter")

	for name, policy := range map[string]m{
		"four weeks less a day": rotation("P27D"),
		"no duration":           rotation("a while"),
		"rotated too soon":      rotation("P90D", lifetimeAction("rotate", "timeAfterCreate", "P6D")),
		"rotated too late":      rotation("P90D", lifetimeAction("rotate", "timeAfterCreate", "P84D")),
		"notified from birth":   rotation("P90D", lifetimeAction("notify", "timeAfterCreate", "P30D")),
		"twice": rotation("P90D",
			lifetimeAction("rotate", "timeAfterCreate", "P30D"), lifetimeAction("rotate", "timeAfterCreate", "P40D")),
		"another action":   rotation("P90D", lifetimeAction("burn", "timeAfterCreate", "P30D")),
		"before no expiry": {"lifetimeActions": []m{lifetimeAction("rotate", "timeBeforeExpiry", "P30D")}},
	} {
		body := m{"properties": m{"kty": "RSA", "rotationPolicy": policy}}
		if status, code := w.call(http.MethodPut, w.vaultID+"/keys/refused"+objectVersion, body); code != "BadParameter" {
			t.Errorf("%s: %d %s", name, status, code)
		}
	}
	if status, _ := w.call(http.MethodGet, w.vaultID+"/keys/refused"+objectVersion, nil); status != http.StatusNotFound {
		t.Errorf("GET of the refused key: %d", status)
	}
}

func TestKey_InHardwareRequiresPremiumVault(t *testing.T) {
	w, _ := withVault(t, "kv-standard", armkeyvault.SKUNameStandard)
	for _, kty := range []string{"RSA-HSM", "EC-HSM"} {
		if status, code := w.call(http.MethodPut, w.vaultID+"/keys/k"+objectVersion, m{
			"properties": m{"kty": kty},
		}); code != "BadParameter" {
			t.Errorf("%s: %d %s", kty, status, code)
		}
	}
}

func TestVault_RecoveredKeepsContent(t *testing.T) {
	w, _ := withVault(t, "kv-recovered", armkeyvault.SKUNameStandard)
	w.put(w.vaultID+"/secrets/s"+objectVersion, m{"properties": m{"value": "v"}})
	_, err := w.vaults().Delete(t.Context(), "g", "kv-recovered", nil)
	w.must(err)
	recovering := func(p *armkeyvault.VaultProperties) { p.CreateMode = to.Ptr(armkeyvault.CreateModeRecover) }
	w.must(w.putVault("g", "kv-recovered", recovering))
	w.must(w.putVault("g", "kv-recovered", recovering)) // also accepted for an existing vault
	_, err = w.officer().GetSecret(t.Context(), "s", "", nil)
	w.must(err)
	w.refused(w.putVault("g", "kv-never-was", recovering), http.StatusBadRequest, "SoftDeletedVaultDoesNotExist")
}

// TestKey_IsNotChangedByPUT checks that a PUT that would change a key fails.
func TestKey_IsNotChangedByPUT(t *testing.T) {
	w, _ := withVault(t, "kv-once", armkeyvault.SKUNameStandard)
	id := w.vaultID + "/keys/signing" + objectVersion
	key := func(change m) m {
		properties := m{
			"kty":        "EC",
			"curveName":  "P-384",
			"keyOps":     []string{"sign", "verify"},
			"attributes": m{"exp": 1900000000},
		}
		body := m{"properties": properties, "tags": m{"team": "a"}}
		for name, value := range change {
			if name == "tags" {
				body[name] = value
			} else {
				properties[name] = value
			}
		}
		return body
	}
	first := w.put(id, key(nil))
	for name, change := range map[string]m{
		"nothing": nil, "the order of operations": {"keyOps": []string{"verify", "sign"}}, "what is the default": {
			"attributes": m{"exp": 1900000000, "enabled": true},
		},
	} {
		if again := w.put(id, key(change)); !reflect.DeepEqual(again, first) {
			t.Errorf("with another %s: got %v, want %v", name, again, first)
		}
	}
	for name, change := range map[string]m{
		"a tag": {"tags": m{"team": "b"}}, "another tag": {"tags": m{"team": "a", "more": "b"}}, "the curve": {
			"curveName": "P-256",
		},
		"the type": {"kty": "RSA", "curveName": nil}, "an operation": {"keyOps": []string{"sign"}}, "the date": {
			"attributes": m{"exp": 1900000001},
		},
		"no date": {"attributes": m{}}, "a disabled one": {"attributes": m{"exp": 1900000000, "enabled": false}},
		"a rotation": {"rotationPolicy": rotation("P1Y", lifetimeAction("rotate", "timeAfterCreate", "P90D"))},
	} {
		status, code := w.call(http.MethodPut, id, key(change))
		if status != http.StatusBadRequest || code != "KeyCreationParametersDidNotMatchExistingKey" {
			t.Errorf("%s: %d %s", name, status, code)
		}
	}
}
