package tests

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

// mountedObject is an object of a mount that programs/mounts generated.
type mountedObject struct {
	Type, Name, File, Version, Encoding, FilePermission string
	VersionHistory                                      int
}

// TestSecretMount_MatchesFilesOfRealProvider generates mounts that the component accepts, and compares the files that
// the Azure provider writes for them with the mounts and the vault. MOUNTS_SEED repeats a run.
func TestSecretMount_MatchesFilesOfRealProvider(t *testing.T) {
	t.Parallel()
	seed := int(time.Now().UnixNano() % 1_000_000)
	if given := os.Getenv("MOUNTS_SEED"); given != "" {
		var err error
		if seed, err = strconv.Atoi(given); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("MOUNTS_SEED=%d", seed)
	c := newCloud(t)
	c.up(t, "--node=stand-in")
	first := c.outputs(t)
	grant(t, c, first.VaultID, secretsOfficer, cryptoOfficer, certificatesOfficer)
	secrets, keys := vaultClients(t, c, first.VaultURI)
	vault := fillVault(t, c, first.VaultURI, secrets, keys)
	pool, err := json.Marshal(vault.versions)
	if err != nil {
		t.Fatal(err)
	}
	p := newProgram(t, c, "tests/programs/mounts", map[string]string{
		"vaultId": first.VaultID, "vaultName": first.VaultName, "resourceGroupName": "keyvault-demo",
		"issuerUrl": first.IssuerURL, "kubeconfig!": c.kubeconfig(t),
		"vault": string(pool), "seed": strconv.Itoa(seed), "count": "40",
	})
	p.pulumi(t, "up", "--yes", "--skip-preview")
	var outputs struct {
		Mounts map[string]struct {
			Objects []mountedObject
			Files   []string
		}
	}
	p.outputs(t, &outputs)
	if len(outputs.Mounts) != 40 {
		t.Fatalf("the program has %d mounts, want 40", len(outputs.Mounts))
	}
	count := 0
	for pod, mount := range outputs.Mounts {
		volumes, err := filepath.Glob(filepath.Join(c.home, localcloudtest.ClustersDir, "*", "pods", "mounts", pod, "*"))
		if err != nil || len(volumes) != 1 {
			t.Fatalf("pod %s has the volumes %q, want one: %v", pod, volumes, err)
		}
		want, newest := map[string]mountedFile{}, []string{}
		for _, o := range mount.Objects {
			for file, is := range vault.files(o) {
				want[file] = is
			}
			newest = append(newest, o.File)
		}
		slices.Sort(newest)
		if !slices.Equal(newest, mount.Files) {
			t.Errorf("%s: the output Files is %q, want %q", pod, mount.Files, newest)
		}
		got := filesIn(t, volumes[0])
		for file, is := range want {
			if one, ok := got[file]; !ok || !bytes.Equal(one.content, is.content) || one.mode != is.mode {
				t.Errorf("%s: file %q exists: %t, has the vault's value: %t, has mode %o, want %o; objects %+v",
					pod, file, ok, bytes.Equal(one.content, is.content), one.mode, is.mode, mount.Objects)
			}
		}
		for file := range got {
			if _, ok := want[file]; !ok {
				t.Errorf("%s: unwanted file %q; objects %+v", pod, file, mount.Objects)
			}
		}
		count += len(got)
	}
	t.Logf("compared %d files", count)
}

type mountedFile struct {
	content []byte
	mode    fs.FileMode
}

// filesIn returns the files that a container would see in a volume.
func filesIn(t *testing.T, volume string) map[string]mountedFile {
	t.Helper()
	found := map[string]mountedFile{}
	var walk func(below string)
	walk = func(below string) {
		entries, err := os.ReadDir(filepath.Join(volume, below))
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			name := filepath.Join(below, entry.Name())
			if strings.HasPrefix(name, "..") { // the atomic writer's own files
				continue
			}
			info, err := os.Stat(filepath.Join(volume, name))
			if err != nil {
				t.Fatal(err)
			}
			if info.IsDir() {
				walk(name)
				continue
			}
			content, err := os.ReadFile(filepath.Join(volume, name))
			if err != nil {
				t.Fatal(err)
			}
			found[name] = mountedFile{content, info.Mode().Perm()}
		}
	}
	walk("")
	return found
}

// filled is a vault with objects of several versions.
type filled struct {
	versions map[string]map[string][]string // by type and name, the newest first
	contents map[string][]byte              // by type/name/version: the file's content without encoding
}

const versionsOfEach = 3

// fillVault creates versions of certificates, keys, and secrets that are valid as hex and as base64. The provider
// orders versions by the second of their creation, so the rounds are a second apart.
func fillVault(t *testing.T, c *cloud, uri string, secrets *azsecrets.Client, keys *azkeys.Client) *filled {
	t.Helper()
	v := &filled{
		versions: map[string]map[string][]string{"secret": {}, "key": {}, "cert": {}},
		contents: map[string][]byte{},
	}
	add := func(typ, name, version string, content []byte) {
		v.versions[typ][name] = append([]string{version}, v.versions[typ][name]...)
		v.contents[typ+"/"+name+"/"+version] = content
	}
	for round := range versionsOfEach {
		for i, name := range []string{"a", "b", "1", "null", "true", "-"} {
			digits := hex.EncodeToString(bytes.Repeat([]byte{byte(16*round + i + 1)}, 6))
			value := digits + "0a" + hex.EncodeToString([]byte(name))
			value += strings.Repeat("0", (8-len(value)%8)%8)
			made, err := secrets.SetSecret(t.Context(), name, azsecrets.SetSecretParameters{Value: &value}, nil)
			if err != nil {
				t.Fatal(err)
			}
			add("secret", name, made.ID.Version(), []byte(value))
		}
		for _, name := range []string{"web", "web-b"} {
			certificate, key := selfSigned(t)
			value := key + certificate
			version := importCertificate(t, c, uri, name, value, "application/x-pem-file")
			add("secret", name, version, []byte(value))
			add("cert", name, version, []byte(certificate))
		}
		for name, parameters := range map[string]azkeys.CreateKeyParameters{
			"k": {Kty: to.Ptr(azkeys.KeyTypeEC), Curve: to.Ptr(azkeys.CurveNameP256)}, "0": {Kty: to.Ptr(azkeys.KeyTypeRSA)},
		} {
			made, err := keys.CreateKey(t.Context(), name, parameters, nil)
			if err != nil {
				t.Fatal(err)
			}
			add("key", name, made.Key.KID.Version(), publicPEM(t, made.Key))
		}
		if round+1 < versionsOfEach {
			time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
		}
	}
	return v
}

// files returns the files that a mount must have for an object.
func (v *filled) files(o mountedObject) map[string]mountedFile {
	mode := fs.FileMode(0o644)
	if o.FilePermission != "" {
		bits, _ := strconv.ParseUint(o.FilePermission, 8, 32)
		mode = fs.FileMode(bits)
	}
	name := strings.ToLower(o.Name)
	read := func(version string) mountedFile {
		content := v.contents[o.Type+"/"+name+"/"+version]
		switch o.Encoding {
		case "hex":
			content, _ = hex.DecodeString(string(content))
		case "base64":
			content, _ = base64.StdEncoding.DecodeString(string(content))
		}
		return mountedFile{content, mode}
	}
	versions := v.versions[o.Type][name]
	switch {
	case o.Version != "":
		return map[string]mountedFile{o.File: read(o.Version)}
	case o.VersionHistory < 2:
		return map[string]mountedFile{o.File: read(versions[0])}
	}
	files := map[string]mountedFile{}
	for i, version := range versions[:min(len(versions), o.VersionHistory+1)] {
		files[filepath.Join(filepath.Dir(o.File), strconv.Itoa(i))] = read(version)
	}
	return files
}
