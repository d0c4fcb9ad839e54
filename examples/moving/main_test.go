package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// written is a shortened output of `pulumi preview --import-file`.
const written = `{
	"nameTable": {"mount": "urn:pulumi:dev::p::keyvaultaks:index:SecretMount::mount"},
	"resources": [
		{"type": "keyvaultaks:index:AksWithCsi", "name": "cluster", "component": true},
		{"type": "azure-native:keyvault/v20241101:Vault", "name": "vault-vault", "id": "<PLACEHOLDER>", "parent": "vault", "version": "2.92.0"},
		{"type": "azure-native:authorization/v20220401:RoleAssignment", "name": "role", "id": "<PLACEHOLDER>"},
		{"type": "azure-native:keyvault/v20241101:Key", "name": "vault-key-new", "id": "<PLACEHOLDER>"},
		{"type": "azure-native:network/v20240501:PrivateDnsZoneGroup", "name": "zones", "id": "<PLACEHOLDER>", "parent": "vault-key-new"},
		{"type": "pulumi:providers:kubernetes", "name": "cluster-kubernetes", "parent": "cluster", "inputs": {"enableServerSideApply": false}},
		{"type": "kubernetes:core/v1:ServiceAccount", "name": "account", "id": "<PLACEHOLDER>", "provider": "cluster-kubernetes"},
		{"type": "kubernetes:core/v1:Namespace", "name": "namespace", "id": "<PLACEHOLDER>", "provider": "theirs"}
	]
}`

func runWith(t *testing.T, ids string) (out, said string, err error) {
	t.Helper()
	dir := t.TempDir()
	var stdout, stderr bytes.Buffer
	for name, content := range map[string]string{"resources.json": written, "ids": ids} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	err = run(filepath.Join(dir, "resources.json"), filepath.Join(dir, "ids"), &stdout, &stderr)
	return stdout.String(), stderr.String(), err
}

func TestRun_FillsIDsAndOmitsRest(t *testing.T) {
	out, said, err := runWith(
		t,
		"# a comment\n\nvault-vault  /subscriptions/s\nzones z\nrole /subscriptions/s/r\naccount a/b\nnamespace "+
			"n\nmistyped m\n",
	)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		NameTable map[string]string
		Resources []map[string]any
	}
	if err := json.Unmarshal([]byte(out), &file); err != nil {
		t.Fatal(err)
	}
	ids := map[string]any{}
	for _, r := range file.Resources {
		ids[r["name"].(string)] = r["id"]
	}
	want := map[string]any{
		"cluster":     nil,
		"vault-vault": "/subscriptions/s",
		"role":        "//subscriptions/s/r",
		"namespace":   "n",
	}
	if len(ids) != len(want) {
		t.Errorf("it would import %v, want %v", ids, want)
	}
	for name, id := range want {
		if got, ok := ids[name]; !ok || got != id {
			t.Errorf("%s has the id %v, want %v", name, got, id)
		}
	}
	if file.NameTable["mount"] == "" || file.Resources[1]["version"] != "2.92.0" ||
		file.Resources[1]["parent"] != "vault" {
		t.Errorf("something of the file is lost:\n%s", out)
	}
	for _, name := range []string{"vault-key-new", "zones", "cluster-kubernetes", "account", "mistyped"} {
		if !strings.Contains(said, ": "+name+"\n") {
			t.Errorf("nothing is said of %s:\n%s", name, said)
		}
	}
}

func TestRun_RejectsInvalidIDs(t *testing.T) {
	for what, ids := range map[string]string{
		"no id":     "vault-vault\n", // as where az has found nothing
		"two ids":   "vault-vault a b\n",
		"one again": "vault-vault a\nvault-vault b\n",
	} {
		if _, _, err := runWith(t, ids); err == nil || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: got the error %v", what, err)
		}
	}
}
