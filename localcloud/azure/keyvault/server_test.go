package keyvault_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/keyvault"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

func TestServer_RefusesInexactBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, test := range map[string]struct{ body, want string }{
		"a value":             {`{"value": "v", "tags": {"a": "b", "A": "c"}, "attributes": {"enabled": true}}`, "200"},
		"another charset":     {"{\"value\": \"\xff\"}", "400 BadParameter"},
		"in a name":           {"{\"value\": \"v\", \"tags\": {\"\xc3\": \"b\"}}", "400 BadParameter"},
		"more behind it":      {`{"value": "v"} {"value": "w"}`, "400 BadParameter"},
		"a bracket behind it": {`{"value": "v"}]`, "400 BadParameter"},
		"twice":               {`{"value": "v", "value": "w"}`, "400 BadParameter"},
		"in capitals":         {`{"VALUE": "v"}`, "400 BadParameter"},
		"in capitals too":     {`{"value": "v", "VALUE": "w"}`, "400 BadParameter"},
		"below":               {`{"value": "v", "attributes": {"enabled": true, "Enabled": false}}`, "400 BadParameter"},
		"a tag twice":         {`{"value": "v", "tags": {"a": "b", "a": "c"}}`, "400 BadParameter"},
		"escaped":             {`{"value": "v", "valu\u0065": "w"}`, "400 BadParameter"},
		"unknown":             {`{"value": "v", "other": 1}`, "400 BadParameter"},
		"of another type":     {`{"value": 1}`, "400 BadParameter"},
		"no value":            {`{}`, "400 BadParameter"},
		"null":                {`null`, "400 BadParameter"},
		"a list":              {`[]`, "400 BadParameter"},
		"nothing":             {``, "400 BadParameter"},
		"spaces":              {`   `, "400 BadParameter"},
		"no JSON":             {`value=v`, "400 BadParameter"},
		"deep":                {strings.Repeat(`{"value":`, 100_000), "400 BadParameter"},
		"deep and whole":      {strings.Repeat(`[`, 50_000) + strings.Repeat(`]`, 50_000), "400 BadParameter"},
		"large":               {`{"value": "` + strings.Repeat("v", 25*1024+1) + `"}`, "400 BadParameter"},
		"larger":              {`{"value": "` + strings.Repeat("v", 1<<20) + `"}`, "413 RequestEntityTooLarge"},
	} {
		if got := w.json(w.admin, http.MethodPut, "/secrets/s", test.body); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	if got := *w.secret("s", "").Value; got != "v" {
		t.Errorf("the secret is %q", got)
	}
}

func TestServer_RequiresJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for given, want := range map[string]int{
		"application/json":                   200,
		"application/json; charset=utf-8":    200,
		"Application/JSON;charset=\"UTF-8\"": 200,
		"application/json; odata=verbose":    200,
		"":                                   415,
		"text/plain":                         415,
		"application/x-www-form-urlencoded":  415,
		"application/json; charset=utf-16":   415,
		"application/xml":                    415,
		"application":                        415,
		"\xff":                               415,
	} {
		if status, code := w.send(w.admin, http.MethodPut, "/secrets/s", given, []byte(`{"value": "v"}`)); status != want ||
			want == 415 && code != "UnsupportedMediaType" {
			t.Errorf("%q: %d %s, want %d", given, status, code, want)
		}
	}
	// A request without a body needs no media type, and a missing permission is reported first.
	if status, code := w.send(w.admin, http.MethodPost, "/secrets/s/backup", "", nil); status != http.StatusOK {
		t.Errorf("without a body: %d %s", status, code)
	}
	if status, _ := w.send("nobody", http.MethodPut, "/secrets/s", "text/plain",
		[]byte("text")); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", status)
	}
}

// TestServer_RequiresRoleForEachOperation checks Azure's built-in roles
// (learn.microsoft.com/azure/role-based-access-control/built-in-roles/security).
func TestServer_RequiresRoleForEachOperation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const (
		sees     = "reader " + "secretsOfficer " + "secretsUser " + "certificateUser "
		keysRead = "reader cryptoOfficer cryptoUser encryptionUser certificateUser "
		certs    = "reader certificatesOfficer certificateUser "
	)
	callers := map[string]caller{
		"administrator":       w.admin,
		"nobody":              w.as(),
		"reader":              w.as(reader),
		"secretsOfficer":      w.as(secretsOfficer),
		"secretsUser":         w.as(secretsUser),
		"cryptoOfficer":       w.as(cryptoOfficer),
		"cryptoUser":          w.as(cryptoUser),
		"encryptionUser":      w.as(encryptionUser),
		"certificatesOfficer": w.as(certificatesOfficer),
		"certificateUser":     w.as(certificateUser),
	}
	for request, allowed := range map[string]string{
		"GET /secrets": sees, "GET /secrets/x/versions": sees, "GET /deletedsecrets": sees, "GET /deletedsecrets/x": sees,
		"GET /secrets/x":                 "secretsOfficer secretsUser certificateUser",
		"GET /secrets/x/1":               "secretsOfficer secretsUser certificateUser",
		"PUT /secrets/x":                 "secretsOfficer",
		"PATCH /secrets/x/1":             "secretsOfficer",
		"DELETE /secrets/x":              "secretsOfficer",
		"POST /secrets/x/backup":         "secretsOfficer",
		"POST /secrets/restore":          "secretsOfficer",
		"POST /deletedsecrets/x/recover": "secretsOfficer",
		"DELETE /deletedsecrets/x":       "secretsOfficer",

		"GET /keys":                   keysRead,
		"GET /keys/x":                 keysRead,
		"GET /keys/x/versions":        keysRead,
		"GET /deletedkeys":            keysRead,
		"GET /deletedkeys/x":          keysRead,
		"POST /keys/x/create":         "cryptoOfficer",
		"PUT /keys/x":                 "cryptoOfficer",
		"DELETE /keys/x":              "cryptoOfficer",
		"POST /keys/x/rotate":         "cryptoOfficer",
		"GET /keys/x/rotationpolicy":  "reader cryptoOfficer",
		"PUT /keys/x/rotationpolicy":  "cryptoOfficer",
		"POST /keys/restore":          "cryptoOfficer",
		"POST /deletedkeys/x/recover": "cryptoOfficer",
		"DELETE /deletedkeys/x":       "cryptoOfficer",
		"PATCH /keys/x/1":             "cryptoOfficer cryptoUser",
		"POST /keys/x/backup":         "cryptoOfficer cryptoUser",
		"POST /keys/x/1/encrypt":      "cryptoOfficer cryptoUser",
		"POST /keys/x/1/decrypt":      "cryptoOfficer cryptoUser",
		"POST /keys/x/1/sign":         "cryptoOfficer cryptoUser",
		"POST /keys/x/1/verify":       "cryptoOfficer cryptoUser",
		"POST /keys/x/sign":           "cryptoOfficer cryptoUser",
		"POST /keys/x/1/wrapkey":      "cryptoOfficer cryptoUser encryptionUser",
		"POST /keys/x/1/unwrapkey":    "cryptoOfficer cryptoUser encryptionUser",

		"GET /certificates":             certs,
		"GET /certificates/x":           certs,
		"GET /certificates/x/versions":  certs,
		"GET /certificates/x/policy":    certs,
		"GET /certificates/x/pending":   certs,
		"GET /deletedcertificates":      certs,
		"GET /deletedcertificates/x":    certs,
		"POST /certificates/x/create":   "certificatesOfficer",
		"POST /certificates/x/import":   "certificatesOfficer",
		"PATCH /certificates/x/1":       "certificatesOfficer",
		"PATCH /certificates/x/policy":  "certificatesOfficer",
		"PATCH /certificates/x/pending": "certificatesOfficer", "DELETE /certificates/x/pending": "certificatesOfficer",
		"POST /certificates/x/pending/merge":  "certificatesOfficer",
		"POST /certificates/x/backup":         "certificatesOfficer",
		"POST /certificates/restore":          "certificatesOfficer",
		"DELETE /certificates/x":              "certificatesOfficer",
		"POST /deletedcertificates/x/recover": "certificatesOfficer",
		"DELETE /deletedcertificates/x":       "certificatesOfficer",
	} {
		method, path, _ := cut(request)
		for name, who := range callers {
			got := w.json(who, method, path, "{}")
			may := name == "administrator" || slices.Contains(strings.Fields(allowed), name)
			if (got != "403 ForbiddenByRbac") != may {
				t.Errorf("%s, %s: %s", request, name, got)
			}
		}
	}
}

// operations lists the operations of the data plane, with the action of a role after Microsoft.KeyVault/vaults/ and the
// permission of an access policy that each requires (learn.microsoft.com/rest/api/keyvault, section on permissions).
var operations = map[string]struct{ action, permission string }{
	"GET /secrets": {
		"secrets/readMetadata/action",
		"list",
	},
	"GET /secrets/x/versions": {"secrets/readMetadata/action", "list"},
	"GET /secrets/x":          {"secrets/getSecret/action", "get"},
	"GET /secrets/x/1":        {"secrets/getSecret/action", "get"},
	"PUT /secrets/x": {
		"secrets/setSecret/action",
		"set",
	},
	"PATCH /secrets/x/1": {"secrets/update/action", "set"},
	"DELETE /secrets/x":  {"secrets/delete", "delete"},
	"POST /secrets/x/backup": {
		"secrets/backup/action",
		"backup",
	},
	"POST /secrets/restore": {"secrets/restore/action", "restore"},
	"GET /deletedsecrets": {
		"secrets/readMetadata/action",
		"list",
	},
	"GET /deletedsecrets/x": {"secrets/readMetadata/action", "get"},
	"POST /deletedsecrets/x/recover": {
		"secrets/recover/action",
		"recover",
	},
	"DELETE /deletedsecrets/x": {"secrets/purge/action", "purge"},

	"GET /keys": {
		"keys/read",
		"list",
	},
	"GET /keys/x/versions": {"keys/read", "list"},
	"GET /keys/x":          {"keys/read", "get"},
	"GET /keys/x/1":        {"keys/read", "get"},
	"POST /keys/x/create": {
		"keys/create/action",
		"create",
	},
	"PUT /keys/x":         {"keys/import/action", "import"},
	"PATCH /keys/x/1":     {"keys/update/action", "update"},
	"DELETE /keys/x":      {"keys/delete", "delete"},
	"POST /keys/x/rotate": {"keys/rotate/action", "rotate"},
	"GET /keys/x/rotationpolicy": {
		"keyrotationpolicies/read",
		"getrotationpolicy",
	},
	"PUT /keys/x/rotationpolicy": {"keyrotationpolicies/write", "setrotationpolicy"},
	"POST /keys/x/backup":        {"keys/backup/action", "backup"},
	"POST /keys/restore":         {"keys/restore/action", "restore"},
	"POST /keys/x/1/encrypt": {
		"keys/encrypt/action",
		"encrypt",
	},
	"POST /keys/x/1/decrypt": {"keys/decrypt/action", "decrypt"},
	"POST /keys/x/1/sign":    {"keys/sign/action", "sign"},
	"POST /keys/x/1/verify":  {"keys/verify/action", "verify"},
	"POST /keys/x/1/wrapkey": {
		"keys/wrap/action",
		"wrapKey",
	},
	"POST /keys/x/1/unwrapkey": {"keys/unwrap/action", "unwrapKey"},
	"GET /deletedkeys": {
		"keys/read",
		"list",
	},
	"GET /deletedkeys/x":          {"keys/read", "get"},
	"POST /deletedkeys/x/recover": {"keys/recover/action", "recover"},
	"DELETE /deletedkeys/x":       {"keys/purge/action", "purge"},

	"GET /certificates": {
		"certificates/read",
		"list",
	},
	"GET /certificates/x/versions": {"certificates/read", "list"},
	"GET /certificates/x":          {"certificates/read", "get"},
	"GET /certificates/x/1": {
		"certificates/read",
		"get",
	},
	"GET /certificates/x/policy":  {"certificates/read", "get"},
	"GET /certificates/x/pending": {"certificates/read", "get"},
	"POST /certificates/x/create": {
		"certificates/create/action",
		"create",
	},
	"POST /certificates/x/import": {"certificates/import/action", "import"},
	"POST /certificates/x/pending/merge": {
		"certificates/create/action",
		"create",
	},
	"PATCH /certificates/x/1": {"certificates/update/action", "update"},
	"PATCH /certificates/x/policy": {
		"certificates/update/action",
		"update",
	},
	"PATCH /certificates/x/pending": {"certificates/update/action", "update"},
	"DELETE /certificates/x/pending": {
		"certificates/update/action",
		"update",
	},
	"DELETE /certificates/x": {"certificates/delete", "delete"},
	"POST /certificates/x/backup": {
		"certificates/backup/action",
		"backup",
	},
	"POST /certificates/restore": {"certificates/restore/action", "restore"},
	"GET /deletedcertificates":   {"certificates/read", "list"},
	"GET /deletedcertificates/x": {"certificates/read", "get"},
	"POST /deletedcertificates/x/recover": {
		"certificates/recover/action",
		"recover",
	},
	"DELETE /deletedcertificates/x": {"certificates/purge/action", "purge"},
}

// TestServer_RequiresOneAction tries each operation with only its action, and with all others.
func TestServer_RequiresOneAction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for request, needs := range operations {
		method, path, _ := cut(request)
		action := "Microsoft.KeyVault/vaults/" + needs.action
		with, without := w.as(w.role([]string{action}, nil)), w.as(w.role([]string{"*"}, []string{action}))
		if got := w.json(with, method, path, "{}"); strings.HasPrefix(got, "403") || strings.HasPrefix(got, "5") {
			t.Errorf("%s with it: %s", request, got)
		}
		if got := w.json(without, method, path, "{}"); got != "403 ForbiddenByRbac" {
			t.Errorf("%s without it: %s", request, got)
		}
	}
}

// TestServer_RequiresOnePermission tries the same in a vault with access policies, where roles do not count.
func TestServer_RequiresOnePermission(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	app := entra.Application{ClientID: uuid.NewString(), ObjectID: uuid.NewString(), Groups: []string{uuid.NewString()}}
	who := w.application(app, administrator)
	give := func(objectID string, kind keyvault.Kind, permissions ...string) {
		w.vault("kv-one", func(v *keyvault.Vault) {
			v.RBAC = false
			v.Policies = []keyvault.AccessPolicy{
				{ObjectID: objectID, Permissions: map[keyvault.Kind][]string{kind: permissions}},
			}
		})
	}
	for request, needs := range operations {
		method, path, _ := cut(request)
		kind := map[string]keyvault.Kind{"sec": keyvault.Secret, "key": keyvault.Key, "cer": keyvault.Certificate}[needs.action[:3]]
		others := slices.DeleteFunc(slices.Clone(keyvault.Permissions[kind]),
			func(p string) bool { return p == needs.permission })
		if len(others) == len(keyvault.Permissions[kind]) {
			t.Errorf("%s is no permission", needs.permission)
		}
		other := map[keyvault.Kind]keyvault.Kind{keyvault.Secret: keyvault.Key, keyvault.Key: keyvault.Certificate, keyvault.Certificate: keyvault.Secret}[kind]
		for name, test := range map[string]struct {
			objectID    string
			kind        keyvault.Kind
			permissions []string
			may         bool
		}{
			"with it": {app.ObjectID, kind, []string{needs.permission}, true}, "in capitals": {
				strings.ToUpper(app.ObjectID), kind, []string{strings.ToUpper(needs.permission)}, true,
			},
			"by a group": {app.Groups[0], kind, []string{needs.permission}, true}, "with all": {
				app.ObjectID, kind, []string{"all"}, needs.permission != "purge",
			},
			"without it": {app.ObjectID, kind, others, false}, "of another kind": {
				app.ObjectID, other, keyvault.Permissions[other], false,
			},
			"another": {uuid.NewString(), kind, []string{needs.permission}, false},
		} {
			give(test.objectID, test.kind, test.permissions...)
			if got := w.json(who, method, path, "{}"); (got != "403 AccessDenied") != test.may || strings.HasPrefix(got, "5") {
				t.Errorf("%s, %s: %s", request, name, got)
			}
		}
	}
	// Vaults written by an earlier version have no policies.
	w.vault("kv-one", func(v *keyvault.Vault) { v.RBAC = false })
	if got := w.json(who, http.MethodGet, "/secrets", ""); got != "501 NotImplemented" {
		t.Error(got)
	}
}

// TestServer_KeepsConcurrentWrites checks that no version is lost and that each writer's versions are in order.
func TestServer_KeepsConcurrentWrites(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const writers, each = 8, 15
	made := make([][]string, writers)
	var done sync.WaitGroup
	for i := range writers {
		secrets, keys := w.secrets(w.admin), w.keys(w.admin)
		done.Go(func() {
			for n := range each {
				value := fmt.Sprint(i, " ", n)
				one, err := secrets.SetSecret(t.Context(), "s", azsecrets.SetSecretParameters{Value: &value}, nil)
				if err != nil {
					t.Error(err)
					return
				}
				made[i] = append(made[i], one.ID.Version())
				if _, err := secrets.GetSecret(t.Context(), "s", one.ID.Version(), nil); err != nil {
					t.Error(err)
				}
				if _, err := keys.CreateKey(t.Context(), fmt.Sprint("k", i),
					azkeys.CreateKeyParameters{Kty: to.Ptr(azkeys.KeyTypeEC)}, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done.Wait()
	var order []string
	for pager := w.secrets(w.admin).NewListSecretPropertiesVersionsPager("s", nil); pager.More(); {
		page, err := pager.NextPage(t.Context())
		w.must(err)
		for _, one := range page.Value {
			order = append(order, one.ID.Version())
		}
	}
	if len(order) != writers*each {
		t.Errorf("%d versions of %d", len(order), writers*each)
	}
	for i := range writers {
		at := -1
		for n, id := range made[i] {
			next := slices.Index(order, id)
			if next <= at {
				t.Fatalf("version %d of writer %d is at %d, after one at %d", n, i, next, at)
			}
			at = next
			if got := *w.secret("s", id).Value; got != fmt.Sprint(i, " ", n) {
				t.Errorf("version %d of writer %d has the value %q", n, i, got)
			}
		}
	}
	if got := w.secret("s", "").ID.Version(); got != order[len(order)-1] {
		t.Error("the latest is not the last")
	}
}

// TestServer_ReadsObjectsOfEarlierVersions reads objects that were stored before certificates existed.
func TestServer_ReadsObjectsOfEarlierVersions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.must(err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	w.must(err)
	stored := map[string]string{
		"kv-one/secrets/old": `{"Vault":"kv-one","Kind":"secret","Name":"old",` +
			`"Versions":[{"ID":"0123456789abcdef0123456789abcdef","Attributes":{"enabled":true},` +
			`"Tags":{"a":"b"},"ContentType":"text/plain","Value":"v","Key":null,"Created":1,"Updated":2}],"Rotation":null,` +
			`"Deleted":null}`,
		"kv-one/keys/old": `{"Vault":"kv-one","Kind":"key","Name":"old",` +
			`"Versions":[{"ID":"0123456789abcdef0123456789abcdef","Attributes":{},"Tags":null,` +
			`"ContentType":"","Value":"","Key":{"Type":"EC","Size":0,"Curve":"P-256","Operations":["sign","verify"],"PKCS8":"` +
			base64.StdEncoding.EncodeToString(pkcs8) + `"},"Created":1,"Updated":1}],"Rotation":null,"Deleted":null}`,
	}
	w.update(func(tx *store.Tx) error {
		for key, value := range stored {
			if err := store.Put(tx, "vaultObjects", key, json.RawMessage(value)); err != nil {
				return err
			}
		}
		return nil
	})
	got := w.secret("old", "0123456789abcdef0123456789abcdef")
	if *got.Value != "v" || *got.ContentType != "text/plain" || *got.Tags["a"] != "b" || got.Managed != nil ||
		got.Attributes.Updated.Unix() != 2 {
		t.Errorf("the secret is another one: %v", got)
	}
	if got := w.json(w.admin, http.MethodGet, "/secrets/old/versions", ""); got != "200" {
		t.Error(got)
	}
	key, err := w.keys(w.admin).GetKey(t.Context(), "old", "", nil)
	w.must(err)
	if string(key.Key.X) != string(jwk(private).X) || key.Managed != nil {
		t.Error("the key is another one")
	}
	w.must(w.set("old", "w"))
}

func (w *world) backup(kind, name string) string {
	w.Helper()
	status, text := w.text(w.admin, http.MethodPost, "/"+kind+"/"+name+"/backup")
	var body struct{ Value string }
	w.must(json.Unmarshal([]byte(text), &body))
	if status != http.StatusOK || body.Value == "" {
		w.Fatalf("the backup of %s %s: %d %s", kind, name, status, text)
	}
	return body.Value
}

// to returns another vault's response to a caller.
func (w *world) to(vault, method, path, body string) string {
	w.Helper()
	r := httptest.NewRequest(method, "https://"+vault+".vault.azure.net"+path+"?api-version=7.6", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+string(w.admin))
	r.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	w.server.ServeHTTP(answer, r)
	var fault struct{ Error struct{ Code string } }
	w.must(json.Unmarshal(answer.Body.Bytes(), &fault))
	return strings.TrimSpace(fmt.Sprint(answer.Code, " ", fault.Error.Code))
}

func TestBackup_IsRestoredInSameGeography(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vault("kv-two", func(v *keyvault.Vault) { v.Location = "westus3" })
	w.vault("kv-far", func(v *keyvault.Vault) { v.Location = "westeurope" })
	w.vault("kv-other", func(v *keyvault.Vault) { v.ID = strings.Replace(v.ID, "c3d4", "d4e5", 1) })
	w.must(w.set("s", "one"))
	w.must(w.set("s", "two"))
	_, err := w.keys(w.admin).CreateKey(t.Context(), "k", azkeys.CreateKeyParameters{Kty: to.Ptr(azkeys.KeyTypeEC)}, nil)
	w.must(err)
	w.create("c", "Self", nil)
	for kind, name := range map[string]string{"secrets": "s", "keys": "k", "certificates": "c"} {
		blob := w.backup(kind, name)
		if blob == w.backup(kind, name) || strings.Contains(blob, "dHdv") {
			t.Errorf("%s: two backups are the same, or one is readable", kind)
		}
		body := `{"value": "` + blob + `"}`
		for vault, want := range map[string]string{"kv-far": "400 BadParameter", "kv-other": "400 BadParameter", "kv-one": "409 Conflict"} {
			if got := w.to(vault, http.MethodPost, "/"+kind+"/restore", body); got != want {
				t.Errorf("%s in %s: %s, want %s", kind, vault, got, want)
			}
		}
		for _, other := range []string{"secrets", "keys", "certificates"} {
			if other == kind {
				continue
			}
			if got := w.to("kv-two", http.MethodPost, "/"+other+"/restore", body); got != "400 BadParameter" {
				t.Errorf("%s as %s: %s", kind, other, got)
			}
		}
		changed := []byte(blob)
		changed[len(changed)/2] ^= 1
		for name, text := range map[string]string{"changed": string(changed), "cut": blob[:20], "none": "", "a text": "é"} {
			if got := w.to("kv-two", http.MethodPost, "/"+kind+"/restore", `{"value": "`+text+`"}`); got != "400 BadParameter" {
				t.Errorf("%s, %s: %s", kind, name, got)
			}
		}
		if got := w.to("kv-two", http.MethodPost, "/"+kind+"/restore", body); got != "200" {
			t.Errorf("%s: %s", kind, got)
		}
		// A deleted object reserves its name.
		if got := w.to("kv-two", http.MethodDelete, "/"+kind+"/"+name, ""); got != "200" {
			t.Error(got)
		}
		if got := w.to("kv-two", http.MethodPost, "/"+kind+"/restore", body); got != "409 Conflict" {
			t.Errorf("%s over a deleted one: %s", kind, got)
		}
		if got := w.to("kv-two", http.MethodPost, "/deleted"+kind+"/"+name+"/recover", ""); got != "200" {
			t.Error(got)
		}
	}
	// The restored object has all versions with their IDs, values and keys.
	var one, two any
	for _, path := range []string{"/secrets/s/versions", "/keys/k", "/certificates/c", "/secrets/c", "/secrets/s"} {
		for vault, into := range map[string]*any{"kv-one": &one, "kv-two": &two} {
			r := httptest.NewRequest(http.MethodGet, "https://"+vault+".vault.azure.net"+path+"?api-version=7.6", nil)
			r.Header.Set("Authorization", "Bearer "+string(w.admin))
			answer := httptest.NewRecorder()
			w.server.ServeHTTP(answer, r)
			w.must(json.Unmarshal(bytes.ReplaceAll(answer.Body.Bytes(), []byte(vault), []byte("kv")), into))
		}
		if a, b := fmt.Sprint(one), fmt.Sprint(two); a != b {
			t.Errorf("%s: %s\n%s", path, a, b)
		}
	}
	if got := w.to("kv-two", http.MethodPost, "/secrets/restore",
		`{"value": "`+w.backup("secrets", "s")+`"}`); got != "409 Conflict" {
		t.Error(got)
	}
	// The name of a certificate is reserved for its secret too.
	w.must(w.set("taken", "v"))
	blob := w.backup("secrets", "taken")
	w.to("kv-two", http.MethodPost, "/certificates/taken/create",
		`{"policy": {"issuer": {"name": "Self"}, "key_props": {"kty": "EC"}, "x509_props": {"subject": "CN=a"}}}`)
	if got := w.to("kv-two", http.MethodPost, "/secrets/restore", `{"value": "`+blob+`"}`); got != "409 Conflict" {
		t.Error(got)
	}
}

// FuzzServer sends arbitrary requests with all permissions. None causes an internal error.
func FuzzServer(f *testing.F) {
	for _, seed := range [][4]string{
		{"GET", "/secrets", "api-version=7.6&maxresults=1&$skiptoken=1", ""},
		{"PUT", "/secrets/s", "api-version=7.6", `{"value": "v", "tags": {"a": "b"}, "attributes": {"exp": 1, "nbf": 0}}`},
		{"GET", "//secrets//s//", "api-version=7.0", ""},
		{"POST", "/keys/k/create", "api-version=7.6", `{"kty": "EC", "crv": "P-256", "key_ops": ["sign"]}`},
		{"PUT", "/keys/k", "api-version=7.6", `{"key": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA"}}`},
		{
			"PUT",
			"/keys/k",
			"api-version=7.6",
			`{"key": {"kty": "RSA", "n": "AA", "e": "AQAB", "d": "AA", "p": "AA", "q": "AA"}}`,
		},
		{"PATCH", "/keys/k/", "api-version=7.6", `{"key_ops": ["verify"]}`},
		{
			"POST",
			"/keys/k/sign",
			"api-version=7.6",
			`{"alg": "ES256", "value": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`,
		},
		{"POST", "/keys/k/verify", "api-version=7.6", `{"alg": "ES256", "digest": "AA", "value": "AA"}`},
		{
			"PUT",
			"/keys/k/rotationpolicy",
			"api-version=7.6",
			`{"lifetimeActions": [{"trigger": {"timeAfterCreate": "P90D"}, "action": {"type": "Rotate"}}]}`,
		},
		{
			"POST",
			"/certificates/c/create",
			"api-version=7.6",
			`{"policy": {"issuer": {"name": "Self"}, "key_props": {"kty": "EC", "crv": "P-256"},` +
				` "x509_props": {"subject": "CN=a", "sans": {"dns_names": ["a"]}}}}`,
		},
		{
			"POST",
			"/certificates/u/create",
			"api-version=7.6",
			`{"policy": {"key_props": {"kty": "EC"}, "x509_props": {"subject": "CN=a"},` +
				` "lifetime_actions": [{"trigger": {"days_before_expiry": 1}, "action": {"action_type": "EmailContacts"}}]}}`,
		},
		{"POST", "/certificates/u/pending/merge", "api-version=7.6", `{"x5c": ["AA"]}`},
		{"PATCH", "/certificates/u/pending", "api-version=7.6&request_id=1", `{"cancellation_requested": true}`},
		{"DELETE", "/certificates/u/pending", "api-version=7.6", ``},
		{"PATCH", "/certificates/c/policy", "api-version=7.6", `{"x509_props": {"ekus": ["1.2.3"]}}`},
		{"POST", "/certificates/i/import", "api-version=7.6", `{"value": "MIIB", "pwd": "p"}`},
		{
			"POST",
			"/certificates/i/import",
			"api-version=7.6",
			`{"value": "-----BEGIN PRIVATE KEY-----", "policy": {"secret_props": {"contentType": "application/x-pem-file"}}}`,
		},
		{"POST", "/secrets/s/backup", "api-version=7.6", ``},
		{"POST", "/keys/restore", "api-version=7.6", `{"value": "AAAAAAAAAAAAAAAAAAAAAAAA"}`},
		{"DELETE", "/secrets/s", "api-version=7.6", ``},
		{"POST", "/deletedsecrets/s/recover", "api-version=7.6", ``},
		{"DELETE", "/deletedcertificates/c", "api-version=7.6", ``},
		{"GET", "/certificates", "api-version=7.6&includePending=true", ``},
		{"OPTIONS", "*", "", ""},
	} {
		f.Add(seed[0], seed[1], seed[2], "kv-one.vault.azure.net", "application/json", []byte(seed[3]))
	}
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, method, path, query, host, contentType string, body []byte) {
		if strings.Contains(string(body), "RSA") && strings.Contains(path, "create") {
			t.Skip("which takes long to make")
		}
		r := &http.Request{
			Method:     method,
			URL:        &url.URL{Path: path, RawQuery: query},
			Host:       host,
			Body:       io.NopCloser(bytes.NewReader(body)),
			ProtoMajor: 1,
			ProtoMinor: 1,
			Header:     http.Header{"Authorization": {"Bearer " + string(w.admin)}, "Content-Type": {contentType}},
		}
		answer := httptest.NewRecorder()
		w.server.ServeHTTP(answer, r.WithContext(t.Context()))
		text := answer.Body.Bytes()
		if answer.Code == http.StatusInternalServerError || answer.Code < 200 || answer.Code >= 300 && answer.Code < 400 ||
			len(text) > 0 && !json.Valid(text) ||
			len(text) == 0 && answer.Code != http.StatusNoContent {
			t.Errorf("%s %q?%q %q: %d %s", method, path, query, body, answer.Code, text)
		}
	})
}
