package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Importers of the components must not import the package.
func TestComponents_DoNotImportProvider(t *testing.T) {
	for _, one := range goListDeps(t, "../components") {
		if strings.Contains(one, "sdk/v3/go/pulumi/provider") || strings.Contains(one, "keyvault-aks/provider") ||
			strings.Contains(one, "pulumi/pkg/v3") || strings.Contains(one, "otel/bridge") {
			t.Errorf("the components import %s", one)
		}
	}
	module, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(module)) {
		if strings.Contains(line, "github.com/pulumi/pulumi/pkg") || strings.Contains(line, "pulumi-go-provider") {
			t.Errorf("go.mod requires %s", line)
		}
	}
}

func goListDeps(t *testing.T, dir string) []string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", ".")
	list.Dir = dir
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}
