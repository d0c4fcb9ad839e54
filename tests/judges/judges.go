// Package judges builds programs of others that know Azure from elsewhere, for tests and measurements. Their versions
// are pinned in the go.mod files of the folders beside this file. Nothing else needs them, so that nothing else builds
// them.
package judges

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ErrUnavailable is what an error of OpenTofu wraps where a module cannot be had.
var ErrUnavailable = errors.New("its modules cannot be had")

// Tofu is OpenTofu, and how it finds its provider azapi without a registry.
type Tofu struct {
	Command string
	Env     []string // what its environment needs besides
}

// OpenTofu builds OpenTofu and azapi into the user's cache folder, which takes minutes the first time. There is
// nothing to init in a configuration that has this provider alone. tests is the folder of the tests' module.
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
