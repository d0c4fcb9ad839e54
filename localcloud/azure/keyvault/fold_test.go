package keyvault_test

import (
	"path/filepath"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/keyvault"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// The Kelvin sign (U+212A) is not the letter k: see package fold.
func TestGetVault_ComparesLettersOrdinally(t *testing.T) {
	st, err := store.Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := st.Update(func(tx *store.Tx) error { return keyvault.PutVault(tx, keyvault.Vault{Name: "kv-one"}) }); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"kv-one": true, "KV-One": true, "\u212av-one": false} {
		var found bool
		if err := st.View(func(tx *store.Tx) (err error) {
			_, found, err = keyvault.GetVault(tx, name)
			return err
		}); err != nil || found != want {
			t.Errorf("%q: found: %v, %v", name, found, err)
		}
	}
}
