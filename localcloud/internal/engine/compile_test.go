package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
)

func TestCheckProgram_NamesMissingParts(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	h := &home.Home{Project: filepath.Join(t.TempDir(), "a", "b")}
	if err := os.MkdirAll(h.Project, 0o755); err != nil {
		t.Fatal(err)
	}
	check := func(runtime, want string) {
		t.Helper()
		if runtime != "" {
			h.Program = home.Program{Name: "x", Runtime: home.Runtime{Name: runtime}}
		}
		err := CheckProgram(h)
		if (err == nil) != (want == "") ||
			err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("with %s: %v, want %q", runtime, err, want)
		}
	}
	check("", "--project")
	check("java", "java")
	check("dotnet", "dotnet")
	for _, runtime := range []string{"go", "yaml", "python"} {
		check(runtime, "")
	}
	check("nodejs", "node is not on PATH")
	if err := os.WriteFile(filepath.Join(bin, "node"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	check("nodejs", "npm install")
	if err := os.MkdirAll(filepath.Join(filepath.Dir(h.Project), "node_modules", "@pulumi", "pulumi"), 0o755); err != nil {
		t.Fatal(err)
	}
	check("nodejs", "") // the SDK may be in the folder of a workspace
}

// TestCheckProgram_NamesMissingPackages also looks for the command that installs each.
func TestCheckProgram_NamesMissingPackages(t *testing.T) {
	userPlugins(t, pluginOf{"there", "1.0.0"}, pluginOf{"half", "1.0.0"})
	h := &home.Home{Dir: t.TempDir(), Project: t.TempDir()}
	writeFile(t, h.Path(home.PulumiDir, "plugins", "resource-here-v1.0.0", "pulumi-resource-here"), "", 0o755)
	user, err := userPulumiHome()
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(user, "plugins", "resource-half-v1.0.0.partial"), "", 0o644)
	h.Program = home.Program{Name: "x", Runtime: home.Runtime{Name: "yaml"}, Packages: map[string]home.Package{
		"a": {Source: "there", Version: "1.0.0"}, "b": {Source: "there"}, "c": {Source: "here", Version: "v1.0.0"},
		"d": {Source: "random", Version: "9.9.9"}, "e": {Source: "kubernetes"}, "f": {Source: "./plugin"},
		"g": {Source: "github.com/owner/name/provider", Version: "1.0.0"}, "h": {Source: "placed", Version: "1.0.0"},
	}}
	h.Program.Plugins.Providers = []home.Plugin{{Name: "placed"}}
	if err := CheckProgram(h); err != nil {
		t.Error(err)
	}
	h.Program.Packages["i"] = home.Package{Source: "there", Version: "2.0.0"}
	h.Program.Packages["j"] = home.Package{Source: "nowhere", PluginDownloadURL: "github://api.github.com/owner"}
	h.Program.Packages["k"] = home.Package{Source: "half", Version: "1.0.0"}
	err = CheckProgram(h)
	if err == nil {
		t.Fatal("no package is reported as missing")
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 3 ||
		!strings.Contains(lines[0], "`pulumi plugin install resource there 2.0.0`") ||
		!strings.Contains(lines[1], "`pulumi plugin install resource nowhere --server github://api.github.com/owner`") ||
		!strings.Contains(lines[2], "`pulumi plugin install resource half 1.0.0`") {
		t.Error(err)
	}
}

func TestSource_ReturnsOnlyGoPrograms(t *testing.T) {
	h := &home.Home{Project: t.TempDir()}
	cmd := filepath.Join(h.Project, "cmd")
	if err := errors.Join(os.Mkdir(cmd, 0o755), os.WriteFile(filepath.Join(cmd, "main.go"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	built := home.Runtime{Name: "go"}
	built.Options.Binary = "a"
	for _, of := range []struct {
		home.Program
		want string
	}{
		{home.Program{Runtime: home.Runtime{Name: "go"}}, h.Project},
		{home.Program{Runtime: home.Runtime{Name: "go"}, Main: "cmd"}, cmd},
		{home.Program{Runtime: home.Runtime{Name: "go"}, Main: "cmd/main.go"}, cmd},
		{home.Program{Runtime: built}, ""},
		{home.Program{Runtime: home.Runtime{Name: "yaml"}}, ""},
		{home.Program{}, ""},
	} {
		if h.Program = of.Program; Source(h) != of.want {
			t.Errorf("of %+v it is %q, want %q", of.Program, Source(h), of.want)
		}
	}
}
