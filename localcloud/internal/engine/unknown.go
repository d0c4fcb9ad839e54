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

// checkTypes names all that a program has and the stand-in plugins do not know, before anything is created: an update
// would come to it when the rest is half made. It takes a preview, which the program of this repository, and YAML,
// which looks at the plugins' schemas first, do without.
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
	// The Automation API passes no environment for one preview, and wants the summary of one that has failed.
	said, _, _, failed := command{s}.Run(ctx, s.Project, nil, nil, nil, []string{unknowntypes.FileVariable + "=" + file},
		"preview", "--stack", s.name, "--config-file="+s.ConfigFile(s.name), "--color=never", "--diff=false")
	unknown, err := unknowntypes.Read(file)
	if err != nil {
		return fmt.Errorf("reading which types are unknown: %w", err)
	}
	if len(unknown) > 0 {
		return fmt.Errorf(
			"nothing was created, since the program has what the local cloud does not know (`localcloud types` lists what it does):\n  %s",
			strings.Join(unknown, "\n  "),
		)
	}
	if failed != nil {
		return fmt.Errorf("%w\n%s", s.because(failed), said)
	}
	return nil
}
