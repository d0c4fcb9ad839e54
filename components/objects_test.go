package components_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/components"
)

func TestObjects_Validate(t *testing.T) {
	type args = components.SecretMountArgs
	testRules(t, mountArgs, (*args).Validate, []rule[args]{
		{"an object is needed", "objects", func(a *args) { a.Objects = nil }},
		{"a type is needed", "objects[0].type", func(a *args) { a.Objects[0].Type = "" }},
		{"a type's case", "objects[0].type", func(a *args) { a.Objects[0].Type = "Secret" }},
		{"a type's spelling", "objects[2].type", func(a *args) { a.Objects[2].Type = "certificate" }},
		{"a name is needed", "objects[2].name", func(a *args) { a.Objects[2].Name, a.Objects[2].Alias = "", "file" }},
		{"a name's characters", "objects[0].name", func(a *args) { a.Objects[0].Name = "my/secret" }},
		{"an absolute alias", "objects[0].alias", func(a *args) { a.Objects[0].Alias = "/etc/passwd" }},
		{"a climbing alias", "objects[0].alias", func(a *args) { a.Objects[0].Alias = "../secret" }},
		{"an alias that climbs inside", "objects[0].alias", func(a *args) { a.Objects[0].Alias = "a/../b" }},
		{"an alias of the driver", "objects[0].alias", func(a *args) { a.Objects[0].Alias = "..data" }},
		{"an alias that is not clean", "objects[0].alias", func(a *args) { a.Objects[0].Alias = "a//b" }},
		{"an alias that is a directory", "objects[0].alias", func(a *args) { a.Objects[0].Alias = "a/" }},
		{"an alias of the mount itself", "objects[0].alias", func(a *args) { a.Objects[0].Alias = "." }},
		{"an alias with a line break", "objects[0].alias", func(a *args) { a.Objects[0].Alias = "a\nb" }},
		{"an alias that is too long", "objects[0].alias", func(a *args) { a.Objects[0].Alias = strings.Repeat("a", 256) }},
		{"a version", "objects[0].version", func(a *args) { a.Objects[0].Version = "latest" }},
		{"a format", "objects[0].format", func(a *args) { a.Objects[0].Format = "PEM" }},
		{"pfx on a key", "objects[1].format", func(a *args) { a.Objects[1].Format = "pfx" }},
		{"an encoding", "objects[0].encoding", func(a *args) { a.Objects[0].Encoding = "utf8" }},
		{"an encoding on a key", "objects[1].encoding", func(a *args) { a.Objects[1].Encoding = "hex" }},
		{
			"a permission that is not octal",
			"objects[0].filePermission",
			func(a *args) { a.Objects[0].FilePermission = "0888" },
		},
		{"a permission in letters", "objects[0].filePermission", func(a *args) { a.Objects[0].FilePermission = "rw-r--r--" }},
		{"two objects in one file", "objects[1]", func(a *args) { a.Objects[1].Alias = "my-secret" }},
		{
			"a secret and a key of one name",
			"objects[1]",
			func(a *args) { a.Objects[1] = components.ObjectArgs{Type: "key", Name: "my-secret"} },
		},
		{"a file that is a directory", "objects[2]", func(a *args) { a.Objects[2].Alias = "keys" }},
		{"a directory that is a file", "objects[1]", func(a *args) { a.Objects[1].Alias = "my-secret/key" }},
		{"two dots inside an alias", "objects[0].alias", func(a *args) { a.Objects[0].Alias = "a..b" }},
		{"an alias that the provider would trim", "objects[0].alias", func(a *args) { a.Objects[0].Alias = "a " }},
		{"an alias of nothing but a space", "objects[0].alias", func(a *args) { a.Objects[0].Alias = " " }},
		{"an alias that is not UTF-8", "objects[0].alias", func(a *args) { a.Objects[0].Alias = "a\xff" }},
		{"an alias with an invisible character", "objects[0].alias", func(a *args) { a.Objects[0].Alias = "a\u2028b" }},
		{
			"a path that is too long",
			"objects[0].alias",
			func(a *args) { a.Objects[0].Alias = strings.Repeat("long/", 800) + "a" },
		},
		{"a permission of nothing", "objects[0].filePermission", func(a *args) { a.Objects[0].FilePermission = "0000" }},
		{
			"a permission with more than bits",
			"objects[0].filePermission",
			func(a *args) { a.Objects[0].FilePermission = "4644" },
		},
		{
			"a permission of another language",
			"objects[0].filePermission",
			func(a *args) { a.Objects[0].FilePermission = "0o644" },
		},
		{
			"a permission that keeps the test pod from reading",
			"objects[0].filePermission",
			func(a *args) { a.Objects[0].FilePermission = "0640" },
		},
		{"a permission to write alone", "objects[2].filePermission", func(a *args) { a.Objects[2].FilePermission = "442" }},
		{"a format's case", "objects[0].format", func(a *args) { a.Objects[0].Format = "PFX" }},
		{"a negative history", "objects[0].versionHistory", func(a *args) { a.Objects[0].VersionHistory = -1 }},
		{
			"a history above the driver's messages",
			"objects[0].versionHistory",
			func(a *args) { a.Objects[0].VersionHistory = 1 << 31 },
		},
		{"a history of one version", "objects[2].version", func(a *args) { a.Objects[2].VersionHistory = 2 }},
		{"a file where a history is", "objects[1]", func(a *args) {
			a.Objects[0].VersionHistory, a.Objects[1].Alias = 3, "my-secret"
		}},
		{"a file in a history, of the version that comes on top", "objects[1]", func(a *args) {
			a.Objects[0].VersionHistory, a.Objects[1].Alias = 3, "my-secret/3"
		}},
		{"a history below another's file", "objects[1]", func(a *args) {
			a.Objects[0].VersionHistory, a.Objects[1].VersionHistory, a.Objects[1].Alias = 3, 2, "my-secret/1"
		}},
	})
}

func TestObjects_AcceptSimilarFiles(t *testing.T) {
	args := mountArgs()
	args.Objects = []components.ObjectArgs{
		{Type: "secret", Name: "a", VersionHistory: 2},
		{Type: "secret", Name: "b", Alias: "a/3"},
		{Type: "secret", Name: "c", Alias: "a/00"},
		{Type: "secret", Name: "d", Alias: "A"},
		{Type: "secret", Name: "e", Alias: "a.pem"},
		{Type: "secret", Name: "f", Alias: ".hidden/f.txt", VersionHistory: 1, Version: strings.Repeat("a", 32)},
		{Type: "secret", Name: "g", Alias: "Passwort für Zoë 🔑", Format: "pfx", Encoding: "base64", FilePermission: "444"},
	}
	if err := args.Validate(); err != nil {
		t.Error(err)
	}
	want := []string{".hidden/f.txt", "A", "Passwort für Zoë 🔑", "a.pem", "a/0", "a/00", "a/3"}
	if got := args.Files(); !slices.Equal(got, want) {
		t.Errorf("the files are %q, want %q", got, want)
	}
}

// TestObjects_AllowOwnerOnlyWithoutTestPod includes a probe, which only checks that the files exist.
func TestObjects_AllowOwnerOnlyWithoutTestPod(t *testing.T) {
	args := fullMountArgs()
	args.TestPod = nil
	for i := range args.Objects {
		args.Objects[i].FilePermission = "0400"
	}
	if err := args.Validate(); err != nil {
		t.Error(err)
	}
}
