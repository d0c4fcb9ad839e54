package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
)

// TestCheckProgram_SaysWhatIsMissing before anything is got for the program.
func TestCheckProgram_SaysWhatIsMissing(t *testing.T) {
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
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n")) {
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
	check("nodejs", "") // of a workspace
}

// TestSource_IsWhatIsCompiled: programs in Go alone, in the folder that Pulumi.yaml names.
func TestSource_IsWhatIsCompiled(t *testing.T) {
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
