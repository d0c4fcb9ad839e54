package authorization

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

func TestAssignment_TakesEffectAtItsTime(t *testing.T) {
	st, err := store.Open(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	synctest.Test(t, func(t *testing.T) {
		const scope = "/subscriptions/s"
		if err := st.Update(func(tx *store.Tx) error {
			return Put(tx, Assignment{
				ID:          scope + "/a",
				Scope:       scope,
				RoleID:      OwnerID,
				PrincipalID: "p",
				EffectiveOn: time.Now().Add(time.Minute),
			})
		}); err != nil {
			t.Fatal(err)
		}
		allowed := func() (is bool) {
			if err := st.View(func(tx *store.Tx) (err error) {
				is, err = Allowed(tx, "p", "x/read", scope+"/resourceGroups/g", Control)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return is
		}
		time.Sleep(59 * time.Second)
		if allowed() {
			t.Error("it counts before")
		}
		time.Sleep(time.Second)
		if !allowed() {
			t.Error("it does not count at its time")
		}
	})
}
