package components_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"gopkg.in/yaml.v3"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

var updateGolden = flag.Bool("update", false, "update testdata/golden")

func TestManifests_MatchGoldenFiles(t *testing.T) {
	mount := func(objects ...components.ObjectArgs) *components.SecretMountArgs {
		args := mountArgs()
		args.TestPod, args.ServiceAccountName, args.Objects = nil, nil, objects
		return args
	}
	secret := components.ObjectArgs{Type: "secret", Name: "my-secret"}
	sovereign, granted, synced := mount(secret), mount(secret), fullMountArgs()
	sovereign.CloudName = "AzureUSGovernmentCloud"
	granted.Access, granted.VaultID, granted.PrincipalID = "none", nil, nil
	synced.TestPod, synced.Probe, synced.ServiceAccountName, synced.CloudName = nil, nil, nil, ""
	pods := fullMountArgs()
	pods.SyncSecrets, pods.CloudName = nil, ""
	pods.Versions = pulumi.StringMap{"my-secret": pulumi.String(strings.Repeat("1", 32))}
	cases := map[string]*components.SecretMountArgs{
		"secret": mount(secret),
		"key":    mount(components.ObjectArgs{Type: "key", Name: "my-key"}),
		"cert":   mount(components.ObjectArgs{Type: "cert", Name: "my-cert"}),
		"alias-in-folders": mount(
			components.ObjectArgs{Type: "cert", Name: "my-cert", Alias: "tls/web/tls.crt"},
			components.ObjectArgs{Type: "secret", Name: "my-cert", Alias: "tls/web/tls.key", FilePermission: "0444"},
			components.ObjectArgs{Type: "secret", Name: "odd", Alias: "yes: #1"},
		),
		"version": mount(components.ObjectArgs{Type: "secret", Name: "my-secret", Version: strings.Repeat("0", 32)}),
		"history": mount(components.ObjectArgs{Type: "secret", Name: "my-secret", VersionHistory: 3}),
		"pfx": mount(
			components.ObjectArgs{Type: "secret", Name: "my-cert", Alias: "my-cert.pfx", Format: "pfx", Encoding: "base64"},
		),
		"base64":          mount(components.ObjectArgs{Type: "secret", Name: "blob", Encoding: "base64"}),
		"sovereign-cloud": sovereign,
		"access-none":     granted,
		"sync":            synced,
		"pods":            pods,
	}
	engines := map[string]*mockengine.Engine{"identity": {}}
	for name, args := range cases {
		engines[name] = runMount(t, args)
	}
	run(t, engines["identity"], func(ctx *pulumi.Context) error {
		args := identityArgs()
		args.PodSecurity, args.NamespaceLabels = "restricted", map[string]string{"team": "payments"}
		args.ServiceAccounts[0].Labels, args.ServiceAccounts[0].Annotations = map[string]string{
			"role": "worker",
		}, map[string]string{"example.com/owner": "team"}
		_, err := newIdentity(ctx, "identity", args)
		return err
	})
	for name, e := range engines {
		t.Run(name, func(t *testing.T) {
			got := manifests(t, e)
			file := filepath.Join("testdata", "golden", name+".yaml")
			if *updateGolden {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s is not what is sent (go test ./components -update writes it):\n%s", file, got)
			}
		})
	}
	files, err := filepath.Glob("testdata/golden/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".yaml"); engines[name] == nil {
			t.Errorf("%s belongs to no case", file)
		}
	}
}

// manifests returns the registered Kubernetes objects by name.
func manifests(t *testing.T, e *mockengine.Engine) []byte {
	t.Helper()
	resources := e.Resources()
	slices.SortFunc(resources, func(a, b mockengine.Registered) int { return strings.Compare(a.Name, b.Name) })
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	for _, one := range resources {
		if !strings.HasPrefix(one.Type, "kubernetes:") {
			continue
		}
		if err := encoder.Encode(one.Inputs.Mappable()); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}
