package azure_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armlocks"
	"github.com/google/uuid"
)

// spellings returns other spellings of an ID, which mean the same resource.
func spellings(id string) map[string]string {
	at := strings.LastIndexByte(id, '/')
	return map[string]string{
		"slash at the end":    id + "/",
		"two slashes at end":  id + "//",
		"double slash inside": id[:at] + "/" + id[at:],
		"double slashes":      strings.ReplaceAll(id, "/", "//"),
		"capitals":            strings.ToUpper(id),
		"percent-encoded":     id[:at] + "/%" + "6" + string("0123456789abcdef"[id[at+1]&15]) + id[at+2:],
		"encoded slash":       id[:at] + "%2F" + id[at+1:],
	}
}

// TestRoleAssignment_IgnoresSpellingOfScope assigns a role at a scope in one spelling and deletes it in another.
func TestRoleAssignment_IgnoresSpellingOfScope(t *testing.T) {
	w := newWorld(t)
	w.putSecret("other", "another value")
	secrets := w.secretsAs(w.clientID, w.token(nil, nil))
	reads := func() bool {
		_, err := secrets.GetSecret(t.Context(), "other", "", nil)
		return err == nil
	}
	const roles, version = "/providers/Microsoft.Authorization/roleAssignments/", "?api-version=2022-04-01"
	body := m{"properties": m{
		"roleDefinitionId": path("providers/Microsoft.Authorization/roleDefinitions/" + secretsUser),
		"principalId":      w.principalID,
		"principalType":    "ServicePrincipal",
	}}
	scope := w.vaultID + "/secrets/other"
	for name, spelling := range spellings(scope) {
		for _, way := range [][2]string{{spelling, scope}, {scope, spelling}} {
			assignment := uuid.NewString()
			if status, code := w.call(http.MethodPut, way[0]+roles+assignment+version, body); status != http.StatusCreated {
				t.Errorf("%s: PUT: %d %s", name, status, code)
				continue
			}
			if !reads() {
				t.Errorf("%s: the role at %s has no effect", name, way[0])
			}
			if status, code := w.call(http.MethodPut, way[1]+roles+uuid.NewString()+version,
				body); code != "RoleAssignmentExists" {
				t.Errorf("%s: the same role at the same scope again: %d %s", name, status, code)
			}
			if status, code := w.call(http.MethodDelete, way[1]+roles+assignment+version, nil); status != http.StatusOK {
				t.Errorf("%s: DELETE: %d %s", name, status, code)
			}
			if reads() {
				t.Fatalf("%s: the role at %s still has an effect after its deletion at %s", name, way[0], way[1])
			}
		}
	}
}

func TestLock_IgnoresSpellingOfScope(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	f.must(f.putVault("g", "kv-spelled", nil))
	vault := path("resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv-spelled")
	const locks, version = "/providers/Microsoft.Authorization/locks/l?api-version=2020-05-01", "?api-version=2023-02-01"
	for name, spelling := range spellings(vault) {
		if status, code := f.call(http.MethodPut, spelling+locks, m{
			"properties": m{"level": "CanNotDelete"},
		}); status != http.StatusCreated {
			t.Errorf("%s: PUT: %d %s", name, status, code)
			continue
		}
		if status, code := f.call(http.MethodDelete, vault+version, nil); code != "ScopeLocked" {
			t.Fatalf("%s: locked, deleted: %d %s", name, status, code)
		}
		if status, code := f.call(http.MethodDelete, vault+locks, nil); status != http.StatusOK {
			t.Errorf("%s: DELETE: %d %s", name, status, code)
		}
		if status, code := f.call(http.MethodGet, spelling+locks, nil); status != http.StatusNotFound {
			t.Errorf("%s: the lock is still there: %d %s", name, status, code)
		}
		f.must(f.lock(vault, armlocks.LockLevelCanNotDelete))
		if status, code := f.call(http.MethodDelete, spelling+version, nil); code != "ScopeLocked" {
			t.Fatalf("%s: deleted despite the lock: %d %s", name, status, code)
		}
		f.must(f.unlock(vault))
	}
}

// TestResource_IgnoresSpellingOfID creates resources and children in one spelling and reads them in another.
func TestResource_IgnoresSpellingOfID(t *testing.T) {
	f := newFixture(t)
	group := f.group("g")
	const version = "?api-version=2023-01-31"
	id := group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/uai"
	for name, spelling := range map[string]string{
		"double slashes":   strings.ReplaceAll(id, "/", "//"),
		"slash at the end": id + "/",
	} {
		made := f.put(spelling+version, m{"location": location})
		if made["id"] != id {
			t.Errorf("%s: the id is %v", name, made["id"])
		}
		f.put(spelling+"//federatedIdentityCredentials//fic"+version, m{"properties": m{
			"issuer": "https://issuer.test", "subject": "s", "audiences": []string{"api://AzureADTokenExchange"},
		}})
		if status, code := f.call(http.MethodDelete, id+"/federatedIdentityCredentials/fic"+version,
			nil); status != http.StatusOK {
			t.Errorf("%s: the credential: %d %s", name, status, code)
		}
		if status, code := f.call(http.MethodDelete, id+version, nil); status != http.StatusOK {
			t.Errorf("%s: the identity: %d %s", name, status, code)
		}
	}
	for _, odd := range []string{
		group + "/./providers/Microsoft.ManagedIdentity/userAssignedIdentities/uai",
		group + "/../g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/uai",
		group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/%2e%2e",
		strings.Replace(id, "resourceGroups", "re%C5%BFourceGroups", 1),
		strings.Replace(id, "Microsoft.ManagedIdentity", "Micro%C5%BFoft.ManagedIdentity", 1),
		group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/u%00",
	} {
		if status, code := f.call(http.MethodPut, odd+version, m{"location": location}); status < 400 {
			t.Errorf("PUT %s: %d %s", odd, status, code)
		}
	}
	const locks = "/providers/Microsoft.Authorization/locks/l?api-version=2020-05-01"
	if status, code := f.call(http.MethodPut, strings.Replace(group, "resourceGroups", "re%C5%BFourceGroups", 1)+locks, m{
		"properties": m{"level": "CanNotDelete"},
	}); status < 400 {
		t.Errorf("a lock at a scope with similar letters: %d %s", status, code)
	}
}
