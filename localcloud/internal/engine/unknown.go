package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/providers/unknowntypes"
)

// checkTypes returns an error that names all types and functions of the program that the stand-in plugins do not
// support, before anything is created. An update would fail at the first one, halfway through. The check takes a
// preview. It is not needed for this repository's program, nor for YAML, whose host checks the plugins' schemas.
func (s *Stack) checkTypes(ctx context.Context) error {
	if s.Program.IsOurs() || s.Program.Runtime.Name == "yaml" {
		return nil
	}
	dir, err := os.MkdirTemp(s.Path(home.TempDir), "types")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "unknown")
	// The Automation API cannot set the environment of one preview, and needs a summary even if the preview fails.
	said, _, _, failed := command{s}.Run(ctx, s.Project, nil, nil, nil, []string{unknowntypes.FileVariable + "=" + file},
		"preview", "--stack", s.name, "--config-file="+s.ConfigFile(s.name), "--color=never", "--diff=false")
	unknown, err := unknowntypes.Read(file)
	if err != nil {
		return fmt.Errorf("reading the list of unsupported types: %w", err)
	}
	if len(unknown) > 0 {
		return fmt.Errorf("nothing was created, since the local cloud does not support parts of the program (`localcloud "+
			"types` lists what it supports):\n  %s", strings.Join(unknown, "\n  "))
	}
	if failed != nil {
		return fmt.Errorf("%w\n%s", s.because(failed), said)
	}
	return nil
}
