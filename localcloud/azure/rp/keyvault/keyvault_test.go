package keyvault_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/keyvault"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager/armtest"
	keyvaultrp "github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/keyvault"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

type m = arm.Object

const (
	version             = "?api-version=2024-11-01"
	contributor         = "b24988ac-6180-42a0-ab88-20f7382dd24c"
	keyVaultContributor = "f25e0fa2-a7c8-4377-a976-54943a77a395"
	accessAdministrator = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"
)

// vaultAt returns the path of a vault.
func vaultAt(name string) string {
	return armtest.ID("resourceGroups/g/providers", keyvaultrp.VaultsType, name)
}

// vault returns the body of a vault with Azure RBAC or with access policies.
func vault(rbac bool) m {
	return m{"location": armtest.Location, "properties": m{
		"tenantId":                armtest.TenantID,
		"sku":                     m{"family": "A", "name": "standard"},
		"enableRbacAuthorization": rbac,
		"accessPolicies":          []any{},
	}}
}

func TestVault_PermissionModelNeedsRoleAssignmentRight(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, keyvaultrp.Provider())
	group := rm.Group("g")
	at := vaultAt("kv-model") + version
	for _, role := range []string{contributor, keyVaultContributor} {
		own := vaultAt("kv-own-"+role[:4]) + version
		status, answer := rm.AskAs(rm.Principal(role, group), http.MethodPut, own, vault(true))
		if status != http.StatusOK {
			t.Errorf("a vault of their own: %d %v", status, answer)
		}
	}
	p := rm.Principal(contributor, group)
	for _, is := range []bool{true, false} {
		rm.Put(at, vault(is))
		rm.RefusedTo(p, http.MethodPut, at, vault(!is), http.StatusForbidden, "InsufficientPermissions")
		change := m{"properties": m{"enableRbacAuthorization": !is}}
		rm.RefusedTo(p, http.MethodPatch, at, change, http.StatusForbidden, "InsufficientPermissions")
		if got := arm.Child(rm.Get(at), "properties")["enableRbacAuthorization"]; got != is {
			t.Errorf("enableRbacAuthorization is %v after a refused change", got)
		}
		if status, answer := rm.AskAs(p, http.MethodPut, at, vault(is)); status != http.StatusOK {
			t.Errorf("another PUT of the same: %d %v", status, answer)
		}
	}
	// In old API versions, a missing property means false, which is also a change.
	rm.Put(at, vault(true))
	leftOut := vault(true)
	delete(arm.Child(leftOut, "properties"), "enableRbacAuthorization")
	rm.RefusedTo(p, http.MethodPut, at, leftOut, http.StatusForbidden, "InsufficientPermissions")
	rm.Grant(p, accessAdministrator, vaultAt("kv-model"))
	policies := m{"properties": m{"enableRbacAuthorization": false}}
	if status, answer := rm.AskAs(p, http.MethodPatch, at, policies); status != http.StatusOK {
		t.Errorf("with the right to assign roles: %d %v", status, answer)
	}
}

// TestVault_KeepsItsPermissionModelOnNull sends null, which counts as not sent.
func TestVault_KeepsItsPermissionModelOnNull(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, keyvaultrp.Provider())
	p := rm.Principal(contributor, rm.Group("g"))
	for _, is := range []bool{true, false} {
		for _, version := range []string{"2023-02-01", "2024-11-01", "2026-02-01"} {
			at := vaultAt("kv-null") + "?api-version=" + version
			rm.Put(at, vault(is))
			for _, body := range []m{{"properties": m{"enableRbacAuthorization": nil}}, {"properties": nil}, {}} {
				if status, answer := rm.AskAs(p, http.MethodPatch, at, body); status != http.StatusOK {
					t.Errorf("PATCH %v: %d %v", body, status, answer)
				}
			}
			if got := arm.Child(rm.Get(at), "properties")["enableRbacAuthorization"]; got != is {
				t.Errorf("%s: the model is %v, was %t", version, got, is)
			}
			stored := keyvault.Vault{}
			if err := rm.Store.View(func(tx *store.Tx) (err error) {
				stored, _, err = keyvault.GetVault(tx, "kv-null")
				return err
			}); err != nil || stored.RBAC != is {
				t.Errorf("%s: the stored model is %v, was %t: %v", version, stored.RBAC, is, err)
			}
		}
	}
}

func TestVault_PurgeProtectionPreventsPurge(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, keyvaultrp.Provider())
	rm.Group("g")
	for name, protected := range map[string]bool{"kv-kept": true, "kv-free": false} {
		body := vault(true)
		if protected {
			arm.Child(body, "properties")["enablePurgeProtection"] = true
		}
		rm.Put(vaultAt(name)+version, body)
		if status, answer := rm.Ask(http.MethodDelete, vaultAt(name)+version, nil); status != http.StatusOK {
			t.Fatalf("DELETE %s: %d %v", name, status, answer)
		}
		purge := armtest.ID("providers/Microsoft.KeyVault/locations", armtest.Location, "deletedVaults", name)
		status, answer := rm.Ask(http.MethodPost, purge+"/purge"+version, nil)
		if refused := status >= http.StatusBadRequest; refused != protected {
			t.Errorf("purge of %s: %d %v", name, status, answer)
		}
		if status, _ := rm.Ask(http.MethodGet, purge+version, nil); (status == http.StatusOK) != protected {
			t.Errorf("%s afterwards: %d", name, status)
		}
	}
}

func TestVault_IsGoneAfterItsRetention(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, keyvaultrp.Provider())
	rm.Group("g")
	const locations = "providers/Microsoft.KeyVault/locations"
	at := vaultAt("kv-past") + version
	deleted := armtest.ID(locations, armtest.Location, "deletedVaults/kv-past") + version
	body := vault(true)
	arm.Child(body, "properties")["enablePurgeProtection"] = true
	rm.Put(at, body)
	rm.Put(vaultAt("kv-past")+"/secrets/old"+version, m{"properties": m{"value": "v"}})
	rm.Ask(http.MethodDelete, at, nil)
	rm.Get(deleted)
	rm.Refused(http.MethodPut, at, vault(true), http.StatusConflict, "ConflictError")

	if err := rm.Store.Update(func(tx *store.Tx) error {
		v, _, err := keyvault.GetVault(tx, "kv-past")
		if err != nil {
			return err
		}
		v.Deleted.PurgeOn = time.Now().Add(-time.Second)
		return keyvault.PutVault(tx, v)
	}); err != nil {
		t.Fatal(err)
	}
	rm.Refused(http.MethodGet, deleted, nil, http.StatusNotFound, "DeletedVaultNotFound")
	listed := rm.Get(armtest.ID("providers/Microsoft.KeyVault/deletedVaults") + version)
	if vaults := listed["value"].([]any); len(vaults) != 0 {
		t.Errorf("the deleted vaults are %v", vaults)
	}
	_, free := rm.Ask(http.MethodPost, armtest.ID("providers/Microsoft.KeyVault/checkNameAvailability")+version,
		m{"name": "kv-past", "type": keyvaultrp.VaultsType})
	if free["nameAvailable"] != true {
		t.Errorf("checkNameAvailability: %v", free)
	}
	recovery := vault(true)
	arm.Child(recovery, "properties")["createMode"] = "recover"
	rm.Refused(http.MethodPut, at, recovery, http.StatusBadRequest, "SoftDeletedVaultDoesNotExist")
	rm.Put(at, vault(true))
	rm.Refused(http.MethodGet, vaultAt("kv-past")+"/secrets/old"+version, nil, http.StatusNotFound, "ResourceNotFound")
}
