package components_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"gopkg.in/yaml.v3"
	"pgregory.net/rapid"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

// drawObject draws a possibly valid object with one of few names, so that files sometimes collide.
func drawObject(t *rapid.T) components.ObjectArgs {
	element := rapid.OneOf(
		rapid.SampledFrom([]string{"a", "b"}),
		rapid.SampledFrom([]string{"0", "1", "2"}),
		rapid.SampledFrom(
			[]string{
				"null",
				"yes",
				"0x1",
				"1e3",
				"- a",
				"a: b",
				"#",
				"|",
				"&a",
				"*",
				"'\"",
				"\\",
				"~",
				"%Y",
				"{}",
				"..",
				" a",
				"é",
				"\u00a0",
				"\x00",
			},
		),
		rapid.StringN(1, 12, 300),
	)
	o := components.ObjectArgs{
		Type: rapid.SampledFrom([]components.ObjectType{"secret", "secret", "secret", "key", "cert"}).Draw(t, "type"),
		Name: rapid.OneOf(rapid.SampledFrom([]string{"a", "b"}), rapid.SampledFrom([]string{"1", "null", "true", "-"}),
			rapid.StringMatching(`[0-9a-zA-Z-]{1,127}`)).
			Draw(t, "name"),
		VersionHistory: rapid.SampledFrom([]int{0, 0, 1, 2, 5, 100}).Draw(t, "history"),
		FilePermission: rapid.SampledFrom([]string{"", "0644", "444", "044", "0001"}).Draw(t, "permission"),
	}
	if rapid.Bool().Draw(t, "aliased") {
		o.Alias = strings.Join(rapid.SliceOfN(element, 1, 2).Draw(t, "alias"), "/")
	}
	if o.VersionHistory < 2 && rapid.Bool().Draw(t, "pinned") {
		o.Version = rapid.StringMatching(`[0-9a-f]{32}`).Draw(t, "version")
	}
	if o.Type == "secret" {
		o.Format = rapid.SampledFrom([]components.ObjectFormat{"", "pem", "pfx"}).Draw(t, "format")
		o.Encoding = rapid.SampledFrom([]components.ObjectEncoding{"", "utf-8", "hex", "base64"}).Draw(t, "encoding")
	}
	return o
}

func drawMount(t *rapid.T) *components.SecretMountArgs {
	args := mountArgs()
	args.Objects = rapid.SliceOfN(rapid.Custom(drawObject), 1, 4).Draw(t, "objects")
	args.TestPod = nil // whose user may not read every file
	args.Access = rapid.SampledFrom([]components.Access{"", "object", "vault", "none"}).Draw(t, "access")
	args.CloudName = rapid.SampledFrom([]components.Cloud{"", "AzurePublicCloud", "AzureChinaCloud"}).Draw(t, "cloud")
	if args.Validate() != nil {
		t.Skip("refused, as it may be")
	}
	if rapid.Bool().Draw(t, "synced") {
		file := args.Objects[0].FileName()
		args.SyncSecrets = []components.SyncSecretArgs{{Name: "s", Data: []components.SyncDataArgs{{Key: "k", File: file}}}}
	}
	return args
}

func TestSecretMount_ValidMountsHaveExactFiles(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		args := drawMount(rt)
		class := runMount(t, args).Get(t, "mount-class")
		for key, value := range class.At("spec.parameters").ObjectValue() {
			if !value.IsString() {
				rt.Errorf("parameter %s is %v, not a string", key, value)
			}
			if !slices.Contains([]resource.PropertyKey{"clientID", "keyvaultName", "tenantID", "objects", "cloudName"}, key) {
				rt.Errorf("there is a parameter %s, which the provider would ignore", key)
			}
		}
		objects, err := readObjects(class.At("spec.parameters.objects").StringValue())
		if err != nil {
			rt.Fatal(err)
		}
		for i, o := range args.Objects {
			if o.VersionHistory == 1 {
				o.VersionHistory = 0
			}
			if got := components.ObjectArgs(objects[i]); got != o {
				rt.Errorf("the provider reads %+v, want %+v", got, o)
			}
		}
		for versions, want := range map[int]func() []string{
			1:   args.Files,
			200: func() []string { return allFiles(args.Objects) },
		} {
			if got, err := written(t.TempDir(), objects, versions); err != nil {
				rt.Errorf("%d versions: %v", versions, err)
			} else if !slices.Equal(got, want()) {
				rt.Errorf("%d versions: the files are %q, want %q", versions, got, want())
			}
		}
	})
}

// providerObject is an object as the provider decodes it, in the order of ObjectArgs.
type providerObject struct {
	Type           components.ObjectType     `yaml:"objectType"`
	Name           string                    `yaml:"objectName"`
	Alias          string                    `yaml:"objectAlias"`
	Version        string                    `yaml:"objectVersion"`
	VersionHistory int                       `yaml:"objectVersionHistory"`
	Format         components.ObjectFormat   `yaml:"objectFormat"`
	Encoding       components.ObjectEncoding `yaml:"objectEncoding"`
	FilePermission string                    `yaml:"filePermission"`
}

// readObjects reads the parameter objects like the provider, but rejects what the provider ignores.
func readObjects(parameter string) ([]providerObject, error) {
	strict := func(text string, into any) error {
		decoder := yaml.NewDecoder(strings.NewReader(text))
		decoder.KnownFields(true)
		return decoder.Decode(into)
	}
	var list struct{ Array []string }
	if err := strict(strings.TrimSpace(parameter), &list); err != nil {
		return nil, err
	}
	objects := make([]providerObject, len(list.Array))
	for i, item := range list.Array {
		if err := strict(item, &objects[i]); err != nil {
			return nil, err
		}
		for _, field := range []*string{&objects[i].Name, &objects[i].Alias} {
			*field = strings.TrimSpace(*field)
		}
	}
	return objects, nil
}

// written writes what the provider and the driver write for objects with the given numbers of versions, and lists the
// files.
func written(dir string, objects []providerObject, versions int) ([]string, error) {
	for _, o := range objects {
		base := o.Name
		if o.Alias != "" {
			base = o.Alias
		}
		if strings.Contains(base, "..") {
			return nil, fmt.Errorf("the provider refuses %q", base)
		}
		files := []string{base}
		if o.VersionHistory > 1 {
			files = nil
			for i := range min(versions, o.VersionHistory+1) {
				files = append(files, fmt.Sprintf("%s/%d", base, i))
			}
		}
		for _, file := range files {
			if filepath.Clean(file) != file {
				return nil, fmt.Errorf("the driver refuses %q", file)
			}
			path := dir + "/" + file
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return nil, err
			}
			f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o644)
			if err != nil {
				return nil, err
			}
			if err := f.Close(); err != nil {
				return nil, err
			}
		}
	}
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			found = append(found, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	slices.Sort(found)
	return found, err
}

// allFiles returns all files that the objects can have.
func allFiles(objects []components.ObjectArgs) []string {
	var files []string
	for _, o := range objects {
		if o.VersionHistory < 2 {
			files = append(files, o.FileName())
			continue
		}
		for i := range o.VersionHistory + 1 {
			files = append(files, strings.TrimSuffix(o.FileName(), "0")+fmt.Sprint(i))
		}
	}
	slices.Sort(files)
	return files
}

func TestSecretMount_KeepsSecretInputsSecret(t *testing.T) {
	const vaultName, tenant, client, principal, version = "secret-vault-name", "secret-tenant", "secret-client", "secret-principal", "secret-version"
	rapid.Check(t, func(rt *rapid.T) {
		args := drawMount(rt)
		args.Probe = &components.ProbeArgs{}
		hidden := func(name, value string) pulumi.StringInput {
			if rapid.Bool().Draw(rt, name) {
				return pulumi.ToSecret(pulumi.String(value)).(pulumi.StringOutput)
			}
			return pulumi.String("plain")
		}
		args.TenantID, args.ClientID, args.PrincipalID = hidden("tenant", tenant), hidden("client", client), hidden(
			"principal",
			principal,
		)
		args.Versions = pulumi.StringMap{"a": hidden("version", version)}
		if rapid.Bool().Draw(rt, "vault") {
			args.VaultName = hidden("vault", vaultName)
			args.VaultID = pulumi.Sprintf("%s/providers/Microsoft.KeyVault/vaults/%s", mockengine.Group, args.VaultName)
		}
		e := runMount(t, args)
		for _, value := range []string{vaultName, tenant, client, principal, version} {
			if found := e.Plaintext(value); len(found) > 0 {
				rt.Errorf("%s is in plain at %v", value, found)
			}
		}
	})
}
