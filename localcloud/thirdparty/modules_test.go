package thirdparty

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/modfile"
)

// disagreeing has the modules of which programs need different versions, and why.
var disagreeing = map[string]string{
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates": "provider-azure uses an older API",
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys":         "provider-azure uses an older API",
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets":      "provider-azure uses an older API",
	"github.com/container-storage-interface/spec":                            "the CSI driver uses an older API",
	"github.com/pulumi/pulumi/pkg/v3":                                        "others than pulumi use older APIs",
	"github.com/pulumi/pulumi/sdk/v3":                                        "others than pulumi use older APIs",
	"github.com/pulumi/esc":                                                  "comes with Pulumi's",
	"github.com/go-git/go-billy/v5":                                          "comes with go-git",
	"github.com/go-git/go-git/v5":                                            "pulumi-language-yaml needs a newer one",
	"github.com/golang/groupcache":                                           "comes with go-git",
	"github.com/skeema/knownhosts":                                           "comes with go-git",
	"go.etcd.io/bbolt":                                                       "etcd's own version reads its files",
}

// TestModules_Agree compares versions: packages that several programs share should be compiled only once.
func TestModules_Agree(t *testing.T) {
	files, err := filepath.Glob("*/go.mod")
	if err != nil || len(files) < 5 {
		t.Fatalf("the go.mod files are %v, %v", files, err)
	}
	versions := map[string]map[string][]string{} // module -> version -> files
	for _, file := range append(files, "../go.mod", "../../go.mod", "../../deploy/deployments/go.mod") {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := modfile.Parse(file, content, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range parsed.Require {
			if versions[r.Mod.Path] == nil {
				versions[r.Mod.Path] = map[string][]string{}
			}
			versions[r.Mod.Path][r.Mod.Version] = append(versions[r.Mod.Path][r.Mod.Version], file)
		}
	}
	for module, of := range versions {
		if _, known := disagreeing[module]; known != (len(of) > 1) {
			t.Errorf("%s: versions are %v, and that they disagree is known: %t", module, of, known)
		}
	}
}
