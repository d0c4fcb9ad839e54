package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// Compile compiles the Pulumi program before the engine does. The engine's own build runs behind the proxy, from
// where no module can be had, and says nothing while it takes its time.
func Compile(ctx context.Context, h *home.Home, p *thirdparty.Progress) error {
	target, err := buildTarget(h.Project)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(h.Project))
	mark := filepath.Join(h.Cache, "compiled-"+hex.EncodeToString(sum[:6]))
	return thirdparty.Compile(ctx, h.Project, target, mark, p)
}

// buildTarget is the file that a project has the engine link its program into; empty: a new one each time.
func buildTarget(project string) (string, error) {
	content, err := os.ReadFile(filepath.Join(project, "Pulumi.yaml"))
	if err != nil {
		return "", err
	}
	var file struct {
		Runtime any `json:"runtime"` // a name, or a name with options
	}
	if err := yaml.Unmarshal(content, &file); err != nil {
		return "", fmt.Errorf("reading Pulumi.yaml: %w", err)
	}
	runtime, _ := file.Runtime.(map[string]any)
	options, _ := runtime["options"].(map[string]any)
	target, _ := options["buildTarget"].(string)
	return target, nil
}
