// Package judges builds third-party programs with their own knowledge of Azure, for tests and benchmarks. The go.mod
// files in the folders beside this file pin their versions.
package judges

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ErrUnavailable is wrapped by errors of [OpenTofu] if a module cannot be downloaded.
var ErrUnavailable = errors.New("modules are not available")

// Tofu is OpenTofu with its provider azapi.
type Tofu struct {
	Command string
	Env     []string // additional environment, by which it finds azapi without a registry
}

// OpenTofu builds OpenTofu and azapi into the user's cache folder, which takes minutes the first time. A configuration
// with only this provider needs no tofu init. The argument tests is the folder of the tests' module.
func OpenTofu(ctx context.Context, tests string) (Tofu, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return Tofu{}, err
	}
	dir := filepath.Join(cache, "keyvault-aks", "judges")
	for _, one := range []struct{ module, pkg string }{
		{"tofu", "github.com/opentofu/opentofu/cmd/tofu"}, {"azapi", "github.com/Azure/terraform-provider-azapi"},
	} {
		run := func(args ...string) error {
			cmd := exec.CommandContext(ctx, "go", args...)
			cmd.Dir = filepath.Join(tests, "judges", one.module)
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("go %s of %s: %w\n%s", args[0], one.pkg, err, out)
			}
			return nil
		}
		if err := run("list", "-deps", "-f", "{{with .Error}}{{.}}{{end}}", one.pkg); err != nil {
			return Tofu{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if err := run("build", "-o", dir+string(filepath.Separator), one.pkg); err != nil {
			return Tofu{}, err
		}
	}
	config := filepath.Join(dir, "tofurc")
	err = os.WriteFile(config,
		fmt.Appendf(nil, "provider_installation {\n  dev_overrides { \"Azure/azapi\" = %q }\n}\n", dir), 0o600)
	return Tofu{filepath.Join(dir, "tofu"), []string{"TF_CLI_CONFIG_FILE=" + config, "TF_IN_AUTOMATION=1"}}, err
}
