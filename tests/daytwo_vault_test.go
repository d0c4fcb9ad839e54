package tests

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
)

// vaults is a stack of programs/vaults, whose deployer has no rights on the vault's data.
type vaults struct {
	*program
}

func newVaults(t *testing.T, c *cloud, more map[string]string) *vaults {
	t.Helper()
	configuration := map[string]string{
		"resourceGroupName": "keyvault-demo",
		"tenantId":          c.running(t).Credentials.TenantID,
		"prefix":            "daytwo",
		"secrets":           "[]",
		"keys":              "[]",
	}
	for key, value := range more {
		configuration[key] = value
	}
	return &vaults{newProgram(t, c, "tests/programs/vaults", configuration)}
}

// setLists configures the lists of secrets and keys.
func (v *vaults) setLists(t *testing.T, secrets, keys string) {
	t.Helper()
	v.configure(t, map[string]string{"secrets": secrets, "keys": keys})
}

// changes returns the operations of a preview by the resource's name, without those that change nothing.
func (v *vaults) changes(t *testing.T, args ...string) map[string]string {
	t.Helper()
	var preview struct {
		Steps []struct{ Op, URN string }
	}
	text := v.pulumi(t, append([]string{"preview", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(text), &preview); err != nil {
		t.Fatal(err)
	}
	ops := map[string]string{}
	for _, step := range preview.Steps {
		if step.Op != "same" && step.Op != "refresh" {
			ops[nameOf(step.URN)] = step.Op
		}
	}
	return ops
}

// wantPreviewFails checks that a preview fails with an error that contains the words.
func (v *vaults) wantPreviewFails(t *testing.T, words ...string) {
	t.Helper()
	printed, err := v.tryPulumi(t, "preview", "--diff")
	if err == nil {
		t.Fatalf("the preview succeeds, want an error with %q:\n%s", words, printed)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the preview's error lacks %q: %v", word, err)
		}
	}
}

func (v *vaults) vault(t *testing.T) (id string, secrets *azsecrets.Client, keys *azkeys.Client) {
	t.Helper()
	var outputs struct{ VaultID, VaultURI string }
	v.outputs(t, &outputs)
	secrets, keys = vaultClients(t, v.cloud, outputs.VaultURI)
	return outputs.VaultID, secrets, keys
}

func nameOf(urn string) string { return urn[strings.LastIndex(urn, "::")+2:] }

// TestKeys_AreNeverReplaced checks that a preview rejects each change of a key in the program, and that the program
// keeps what others change of the key.
func TestKeys_AreNeverReplaced(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--node=stand-in")
	const first = `{"name": "signing", "type": "EC", "tags": {"team": "a"}, "expires": "2031-01-31",
		"operations": ["sign", "verify"]}`
	const second = `{"name": "counted", "expires": "P90D"}`
	v := newVaults(t, c, map[string]string{"keys": "[" + first + "," + second + "]"})
	v.up(t)
	id, _, keys := v.vault(t)
	grant(t, c, id, cryptoOfficer)
	before := c.arm(t, http.MethodGet, id+"/keys/signing", "2024-11-01", "")

	for _, change := range []struct{ what, old, new string }{
		{"tags.team", `"team": "a"`, `"team": "b"`},
		{"tags.cost", `"team": "a"`, `"team": "a", "cost": "1"`},
		{"expires", "2031-01-31", "2032-01-31"},
		{"operations", `"sign", "verify"`, `"sign"`},
		{"enabled", `"type": "EC"`, `"type": "EC", "enabled": false`},
		{"type", `"type": "EC"`, `"type": "RSA"`},
		{"curve", `"type": "EC"`, `"type": "EC", "curve": "P-384"`},
		{"rotation.after", `"type": "EC"`, `"type": "EC", "rotation": {"after": "P90D"}`},
	} {
		v.setLists(t, "[]", "["+strings.Replace(first, change.old, change.new, 1)+","+second+"]")
		v.wantPreviewFails(t, "keys[0]."+change.what, "another name")
	}
	v.setLists(t, "[]", "["+first+","+strings.Replace(second, "P90D", "P91D", 1)+"]")
	v.wantPreviewFails(t, "keys[1].expires", "another name")

	// Others change what the program does not set.
	v.setLists(t, "[]", "["+first+","+second+"]")
	for _, name := range []string{"signing", "counted"} {
		tags := map[string]*string{"policy": to.Ptr("theirs")}
		if name == "signing" {
			tags["team"] = to.Ptr("a")
		}
		if _, err := keys.UpdateKey(t.Context(), name, "", azkeys.UpdateKeyParameters{
			KeyAttributes: &azkeys.KeyAttributes{Enabled: to.Ptr(false)}, Tags: tags,
		}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{nil, {"--refresh"}} {
		if ops := v.changes(t, args...); len(ops) > 0 {
			t.Errorf("preview %v plans %v, want no changes", args, ops)
		}
		v.pulumi(t, append([]string{"up", "--yes", "--skip-preview", "--expect-no-changes"}, args...)...)
	}
	if ops := v.changes(t); len(ops) > 0 {
		t.Errorf("preview after a refresh plans %v, want no changes", ops)
	}
	after := c.arm(t, http.MethodGet, id+"/keys/signing", "2024-11-01", "")
	version := func(key map[string]any) any { return key["properties"].(map[string]any)["keyUriWithVersion"] }
	if version(after) != version(before) || after["tags"].(map[string]any)["policy"] != "theirs" {
		t.Errorf("the key is %v, want the version of %v and the tag policy", after, before)
	}
	// A new name creates another key, and another vault has other keys.
	renamed := strings.Replace(strings.Replace(first, `"signing"`, `"signing-2"`, 1), `"team": "a"`, `"team": "b"`, 1)
	v.setLists(t, "[]", "["+renamed+","+second+"]")
	v.up(t)
	v.configure(t, map[string]string{"prefix": "another", "keys": "[" + strings.Replace(renamed, "EC", "RSA", 1) + "]"})
	v.up(t)
	id, _, _ = v.vault(t)
	made := c.arm(t, http.MethodGet, id+"/keys/signing-2", "2024-11-01", "")
	if kty := made["properties"].(map[string]any)["kty"]; kty != "RSA" {
		t.Errorf("the other vault's key has type %v, want RSA", kty)
	}
	v.pulumi(t, "preview", "--expect-no-changes")
	v.pulumi(t, "destroy", "--yes", "--skip-preview")
}

// TestSecrets_CanBeRemovedAndAdoptedAgain removes a secret and a key from the lists of a new and an existing vault and
// adds them again, without rights on the vault's data.
func TestSecrets_CanBeRemovedAndAdoptedAgain(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--node=stand-in")
	const both = `[{"name": "stays", "value": "s1"}, {"name": "token", "value": %q%s}]`
	const one = `[{"name": "stays", "value": "s1"}]`
	const keys, key = `[{"name": "stays"}, {"name": "signing", "type": "EC"%s}]`, `[{"name": "stays"}]`
	for _, existing := range []string{"", c.outputs(t).VaultID} {
		t.Run(fmt.Sprintf("existing vault %t", existing != ""), func(t *testing.T) {
			version := "2024-11-01"
			if existing != "" {
				version = "2026-02-01"
			}
			v := newVaults(t, c, map[string]string{"existingVaultId": existing, "apiVersion": version})
			v.setLists(t, fmt.Sprintf(both, "t1", ""), fmt.Sprintf(keys, ""))
			v.up(t)
			id, secrets, _ := v.vault(t)
			v.setLists(t, one, key)
			v.up(t) // both are retained
			for _, gone := range []string{"/secrets/token", "/keys/signing"} {
				c.arm(t, http.MethodGet, id+gone, "2024-11-01", "")
			}
			v.pulumi(t, "preview", "--expect-no-changes")

			v.setLists(t, fmt.Sprintf(both, "t2", ""), key)
			_, err := v.tryPulumi(t, "up", "--yes", "--skip-preview")
			if err == nil || !strings.Contains(err.Error(), "already exist") {
				t.Errorf("up with an existing secret, without adopt: got %v, want an error", err)
			}
			v.setLists(t, fmt.Sprintf(both, "t2", `, "adopt": true`), fmt.Sprintf(keys, `, "adopt": true`))
			if ops := v.changes(t); ops["vault-secret-token"] != "import" || ops["vault-key-signing"] != "import" {
				t.Errorf("the preview plans %v, want the secret and the key imported", ops)
			}
			v.up(t)
			v.pulumi(t, "up", "--yes", "--skip-preview", "--expect-no-changes")
			grant(t, c, id, secretsUser)
			if got := getSecret(t, secrets, "token"); got != "t1" {
				t.Errorf("the adopted secret is %q, want t1", got)
			}
			v.setLists(t, fmt.Sprintf(both, "t2", ""), fmt.Sprintf(keys, ""))
			if ops := v.changes(t); len(ops) != 1 || ops["vault-secret-token"] != "update" {
				t.Errorf("the preview plans %v, want only the secret updated", ops)
			}
			v.up(t)
			if got := getSecret(t, secrets, "token"); got != "t2" {
				t.Errorf("the secret is %q, want t2", got)
			}
			v.pulumi(t, "preview", "--expect-no-changes")
			v.pulumi(t, "destroy", "--yes", "--skip-preview")
			v.pulumi(t, "stack", "rm", "--yes")
			isToken := func(id string) bool { return strings.HasSuffix(id, "/secrets/token") }
			if existing != "" && !slices.ContainsFunc(c.resources(t), isToken) {
				t.Error("destroy deleted a secret in an existing vault")
			}
		})
	}
}

// TestSecretOnce_KeepsValuesOfOthers checks that a secret with once keeps the value that somebody else set, whatever
// else the program changes about it.
func TestSecretOnce_KeepsValuesOfOthers(t *testing.T) {
	needsRealNode(t)
	t.Parallel()
	c := newCloud(t)
	polling := []string{"--config", "rotationPollInterval=2s"}
	secret := func(more string) []string {
		return append(polling, "--config", "secrets=[{name: my-secret, once: true, "+more+"}]")
	}
	c.up(t, secret("generate: {}")...)
	outputs := c.outputs(t)
	grant(t, c, outputs.VaultID, secretsOfficer)
	secrets, _ := vaultClients(t, c, outputs.VaultURI)
	const theirs = "theirs-and-not-Pulumi's"
	if _, err := secrets.SetSecret(t.Context(), "my-secret", azsecrets.SetSecretParameters{
		Value: to.Ptr(theirs), ContentType: to.Ptr("theirs"), Tags: map[string]*string{"rotated": to.Ptr("yes")},
	}, nil); err != nil {
		t.Fatal(err)
	}
	version := latest(t, secrets, "my-secret")
	for _, change := range []string{
		"generate: {}, tags: {team: a}",
		"generate: {length: 40}, contentType: text/plain, expires: P90D, enabled: true",
		"value: given",
	} {
		c.up(t, secret(change)...)
		c.pulumi(t, "up", "--yes", "--skip-preview", "--refresh")
		c.pulumi(t, "preview", "--expect-no-changes")
		if now := latest(t, secrets, "my-secret"); now != version || getSecret(t, secrets, "my-secret") != theirs {
			t.Fatalf("with %s the secret has another version", change)
		}
		eventually(t, "the pod has the others' value", func() bool { return readInPod(t, c, outputs) == theirs })
	}
}

// TestVault_MountsFromAnotherSubscription mounts from a hub's vault in another subscription, which uses roles, and from
// a vault with access policies.
func TestVault_MountsFromAnotherSubscription(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--node=stand-in")
	outputs := c.outputs(t)
	const hub = "/subscriptions/1c0d5b6a-0000-4000-8000-00000000d4e5/resourceGroups/hub"
	const vault = hub + "/providers/Microsoft.KeyVault/vaults/kv-hub-daytwo"
	c.arm(t, http.MethodPut, hub, "2022-09-01", `{"location": "eastus"}`)
	c.arm(t, http.MethodPut, vault, "2024-11-01", fmt.Sprintf(`{"location": "eastus", "properties": {"tenantId": %q,
		"sku": {"family": "A", "name": "standard"}, "enableRbacAuthorization": true}}`, c.running(t).Credentials.TenantID))
	c.arm(t, http.MethodPut, vault+"/secrets/second", "2024-11-01", `{"properties": {"value": "the hub's"}}`)
	c.arm(t, http.MethodPut, vault+"/keys/second", "2024-11-01", `{"properties": {"kty": "EC"}}`)
	const mounted = `"mount":[{"type":"secret","name":"second"},{"type":"key","name":"second","alias":"key"}]`
	const withPod = mounted + `,"testPod":{"name":"second"}`
	p := newProgram(t, c, ".", map[string]string{
		"resourceGroupName": "second",
		"existingVaultId":   vault,
		"existingClusterId": outputs.ClusterID,
		"secrets":           `[{"name":"more","generate":{}}]`,
		"workloads":         secondWorkload(withPod),
	})
	if _, err := p.tryPulumi(t, "preview"); err == nil || !strings.Contains(err.Error(), "secrets: given 1") {
		t.Errorf("preview with secrets in a vault of another subscription: got %v, want an error", err)
	}
	p.configure(t, map[string]string{"secrets": "[]"})
	const hint = "az keyvault secret set --vault-name kv-hub-daytwo --name second"
	if printed := p.pulumi(t, "preview"); !strings.Contains(printed, hint) {
		t.Errorf("the preview does not print %q:\n%s", hint, printed)
	}
	p.up(t)
	p.pulumi(t, "preview", "--expect-no-changes")
	phase := c.kubectl(t, "get", "pod", "-n", "second", "second", "--output=jsonpath={.status.phase}")
	if phase != "Running" {
		t.Errorf("the pod is %s, want Running", phase)
	}
	p.pulumi(t, "destroy", "--yes", "--skip-preview")
	c.arm(t, http.MethodGet, vault+"/secrets/second", "2024-11-01", "")

	// The deployer can look objects up in the first stack's vault. Missing ones are an error that names them all.
	p.configure(t, map[string]string{"existingVaultId": outputs.VaultID})
	_, err := p.tryPulumi(t, "preview")
	if err == nil || !strings.Contains(err.Error(), "secret second: az") ||
		!strings.Contains(err.Error(), "key second: az") {
		t.Errorf("preview with missing objects: got %v, want an error that names both", err)
	}
	// A vault with access policies only works for workloads that need no role.
	policies := strings.Replace(outputs.VaultID, outputs.VaultName, "kv-policies-daytwo", 1)
	c.arm(t, http.MethodPut, policies, "2024-11-01", fmt.Sprintf(`{"location": "eastus", "properties": {"tenantId": %q,
		"sku": {"family": "A", "name": "standard"}, "enableRbacAuthorization": false, "accessPolicies": []}}`,
		c.running(t).Credentials.TenantID))
	const own = `[{"name":"second","generate":{}}]`
	p.configure(t, map[string]string{"existingVaultId": policies, "secrets": own, "keys": `[{"name":"second"}]`})
	if _, err := p.tryPulumi(t, "preview"); err == nil || !strings.Contains(err.Error(), "access policies") {
		t.Errorf("preview with a vault with access policies: got %v, want an error", err)
	}
	p.configure(t, map[string]string{"workloads": secondWorkload(mounted + `,"access":"none"`)})
	p.up(t)
	p.pulumi(t, "preview", "--expect-no-changes")
	p.pulumi(t, "destroy", "--yes", "--skip-preview")
	p.pulumi(t, "stack", "rm", "--yes")
}
