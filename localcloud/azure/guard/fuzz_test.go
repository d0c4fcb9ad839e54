package guard_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/guard"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// FuzzGuard checks that no request without a token and a role is allowed.
func FuzzGuard(f *testing.F) {
	for _, seed := range []string{
		`{"apiVersion":"authentication.k8s.io/v1","spec":{"token":"a.b.c"}}`,
		`{"apiVersion":"authentication.k8s.io/v1","status":{"authenticated":true}}`,
		`{"apiVersion":"authorization.k8s.io/v1","spec":{"user":"u","extra":{"oid":["x"]},` +
			`"resourceAttributes":{"verb":"get","resource":"pods","namespace":"n"}}}`,
		`{"apiVersion":"authorization.k8s.io/v1","status":{"allowed":true},"spec":{"user":"system:x"}}`,
		`{`,
		`null`,
		`{"spec":null}`,
	} {
		f.Add("/tokenreviews", []byte(seed))
		f.Add("/subjectaccessreviews", []byte(seed))
	}
	st, err := store.Open(filepath.Join(f.TempDir(), "azure.db"))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = st.Close() })
	tokens, err := entra.New(st, tenant, http.DefaultClient)
	if err != nil {
		f.Fatal(err)
	}
	g := guard.New(st, tokens)
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "https://"+guard.Host, bytes.NewReader(body))
		r.URL.Path = cluster + path
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code >= 500 || bytes.Contains(w.Body.Bytes(), []byte(`"authenticated":true`)) ||
			bytes.Contains(w.Body.Bytes(), []byte(`"allowed":true`)) {
			t.Errorf("%q %q: %d %s", path, body, w.Code, w.Body)
		}
	})
}
