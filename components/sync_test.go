package components_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

func TestSecretProviderClass_SyncsSecrets(t *testing.T) {
	class := runMount(t, fullMountArgs()).Get(t, "mount-class")
	wantInputs(t, class, map[string]any{
		"spec.secretObjects[0].secretName":                          "app",
		"spec.secretObjects[0].type":                                "Opaque", // the driver insists on one
		"spec.secretObjects[0].labels":                              nil,
		"spec.secretObjects[0].annotations":                         nil,
		"spec.secretObjects[0].data[0].key":                         "PASSWORD",
		"spec.secretObjects[0].data[0].objectName":                  "password/0", // the driver's word for a file's path
		"spec.secretObjects[1].type":                                "kubernetes.io/tls",
		`spec.secretObjects[1].labels["app.kubernetes.io/part-of"]`: "web",
		`spec.secretObjects[1].annotations["example.com/why"]`:      "An Ingress cannot read files.",
		"spec.secretObjects[1].data[1].key":                         "tls.key",
		"spec.secretObjects[2]":                                     nil,
	})
}

func TestSyncedSecrets_ResolveOnceUsable(t *testing.T) {
	for _, dryRun := range []bool{false, true} {
		run(t, &mockengine.Engine{DryRun: dryRun}, func(ctx *pulumi.Context) error {
			c, err := newMount(ctx, "mount", fullMountArgs())
			if err != nil {
				return err
			}
			got := mockengine.Await(t, ctx, c.SyncedSecrets)
			if want := []string{"app", "web-tls"}; !got.Known || !reflect.DeepEqual(got.Value, want) {
				t.Errorf("got %v, want %v", got.Value, want)
			}
			// The driver creates the Secrets only if a pod mounts the class, and the probe is such a pod.
			for _, name := range []string{"mount-class", "mount-role-secret-password", "mount-probe"} {
				if waits := resourceNames(got.Dependencies); !slices.Contains(waits, name) {
					t.Errorf("the names wait for %v, want %s among them", waits, name)
				}
			}
			return nil
		})
	}
}

func TestSyncSecrets_Validate(t *testing.T) {
	type args = components.SecretMountArgs
	tls := func(change func(a *args, s *components.SyncSecretArgs)) func(*args) {
		return func(a *args) { change(a, &a.SyncSecrets[1]) }
	}
	typed := func(secretType string, keys ...string) func(*args) {
		return func(a *args) {
			s := components.SyncSecretArgs{Name: "typed", Type: secretType}
			for _, key := range keys {
				s.Data = append(s.Data, components.SyncDataArgs{Key: key, File: "my-secret"})
			}
			a.SyncSecrets = append(a.SyncSecrets, s)
		}
	}
	testRules(t, fullMountArgs, (*args).Validate, []rule[args]{
		{"a name", "syncSecrets[0].name", func(a *args) { a.SyncSecrets[0].Name = "App" }},
		{"a name twice", "syncSecrets[1].name", func(a *args) { a.SyncSecrets[1].Name = "app" }},
		{"a type", "syncSecrets[0].type", func(a *args) { a.SyncSecrets[0].Type = " Opaque" }},
		{"a token", "syncSecrets[2].type", typed("kubernetes.io/service-account-token", "token")},
		{"no data", "syncSecrets[0].data", func(a *args) { a.SyncSecrets[0].Data = nil }},
		{"a key's characters", "syncSecrets[0].data[0].key", func(a *args) { a.SyncSecrets[0].Data[0].Key = "a/b" }},
		{"a key that is a directory", "syncSecrets[0].data[0].key", func(a *args) { a.SyncSecrets[0].Data[0].Key = "..a" }},
		{
			"a key that is too long",
			"syncSecrets[0].data[0].key",
			func(a *args) { a.SyncSecrets[0].Data[0].Key = strings.Repeat("a", 254) },
		},
		{"a key twice", "syncSecrets[0].data[1].key", func(a *args) { a.SyncSecrets[0].Data[1].Key = "PASSWORD" }},
		{
			"a file that is not mounted",
			"syncSecrets[0].data[0].file",
			func(a *args) { a.SyncSecrets[0].Data[0].File = "my-key" },
		},
		{"a directory", "syncSecrets[0].data[0].file", func(a *args) { a.SyncSecrets[0].Data[0].File = "password" }},
		{
			"a version that is never mounted",
			"syncSecrets[0].data[0].file",
			func(a *args) { a.SyncSecrets[0].Data[0].File = "password/3" },
		},
		{"a label's key", "syncSecrets[1].labels", func(a *args) { a.SyncSecrets[1].Labels["a b"] = "" }},
		{"a label's prefix", "syncSecrets[1].labels", func(a *args) { a.SyncSecrets[1].Labels["Example.com/a"] = "" }},
		{"a label's value", "syncSecrets[1].labels.empty", func(a *args) { a.SyncSecrets[1].Labels["empty"] = "a b" }},
		{
			"the driver's label",
			"syncSecrets[1].labels",
			func(a *args) { a.SyncSecrets[1].Labels["secrets-store.csi.k8s.io/managed"] = "false" },
		},
		{"an annotation's key", "syncSecrets[1].annotations", func(a *args) { a.SyncSecrets[1].Annotations["/a"] = "" }},
		{"annotations that are too long", "syncSecrets[1].annotations", func(a *args) {
			a.SyncSecrets[1].Annotations["a"] = strings.Repeat("a", 256<<10)
		}},
		{
			"tls without a key",
			"syncSecrets[1].data",
			tls(func(_ *args, s *components.SyncSecretArgs) { s.Data = s.Data[:1] }),
		},
		{"tls with more", "syncSecrets[1].data[2].key", tls(func(_ *args, s *components.SyncSecretArgs) {
			s.Data = append(s.Data, components.SyncDataArgs{Key: "ca.crt", File: "my-cert"})
		})},
		{"a private key from a certificate", "syncSecrets[1].data[1].file", tls(func(_ *args, s *components.SyncSecretArgs) {
			s.Data[1].File = "my-cert"
		})},
		{"a certificate from a key", "syncSecrets[1].data[0].file", tls(func(_ *args, s *components.SyncSecretArgs) {
			s.Data[0].File = "keys/my-key.pem"
		})},
		{"tls from the text of a pfx", "syncSecrets[1].data[1].file", tls(func(a *args, _ *components.SyncSecretArgs) {
			a.Objects[3].Format = "pfx"
		})},
		{"a registry's login", "syncSecrets[2].data", typed("kubernetes.io/dockerconfigjson", "config.json")},
		{"a registry's old login", "syncSecrets[2].data", typed("kubernetes.io/dockercfg", ".dockerconfigjson")},
		{"an SSH key", "syncSecrets[2].data", typed("kubernetes.io/ssh-auth", "id_rsa")},
		{"a login", "syncSecrets[2].data", typed("kubernetes.io/basic-auth", "user")},
	})
}

func TestSyncSecrets_AcceptTypes(t *testing.T) {
	args := fullMountArgs()
	for secretType, key := range map[string]string{
		"kubernetes.io/dockerconfigjson": ".dockerconfigjson", "kubernetes.io/basic-auth": "password", "kubernetes.io/ssh-auth": "ssh-privatekey",
		"example.com/own-type": "a.b-c_d", "Opaque": "anything",
	} {
		args.SyncSecrets = append(args.SyncSecrets, components.SyncSecretArgs{
			Name: "s" + strings.ToLower(strings.ReplaceAll(secretType, "/", ".")), Type: secretType,
			Data: []components.SyncDataArgs{{Key: key, File: "my-secret"}},
		})
	}
	// The driver can parse a binary .pfx.
	args.Objects[3].Format, args.Objects[3].Encoding = "pfx", "base64"
	if err := args.Validate(); err != nil {
		t.Error(err)
	}
}
