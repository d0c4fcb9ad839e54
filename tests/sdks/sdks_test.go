package main

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
)

const schemaFile = "../../provider/schema.json"

// TestSchema_IsReadByPulumi checks that Pulumi reads the schema without warnings, and properties that users see.
func TestSchema_IsReadByPulumi(t *testing.T) {
	pkg, err := bind(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if pkg.Name != "keyvaultaks" || pkg.Version == nil || len(pkg.Resources) != 4 {
		t.Fatalf("the schema has package %s, version %v, %d resources; want keyvaultaks, a version, 4", pkg.Name, pkg.Version,
			len(pkg.Resources))
	}
	for _, r := range pkg.Resources {
		if !r.IsComponent {
			t.Errorf("%s is not a component", r.Token)
		}
		for _, p := range slices.Concat(r.InputProperties, r.Properties) {
			if strings.TrimSpace(p.Comment) == "" {
				t.Errorf("%s of %s has no description", p.Name, r.Token)
			}
		}
	}
	// Values that Azure and Kubernetes return are Inputs. Values that decide what is created are plain.
	name, id := property(t, pkg, "KeyVaultStack", "namePrefix"), property(t, pkg, "KeyVaultStack", "tenantId")
	if !name.Plain || id.Plain {
		t.Errorf("namePrefix is plain: %t, tenantId is plain: %t; want true and false", name.Plain, id.Plain)
	}
	for _, r := range pkg.Resources {
		for _, p := range r.Properties {
			if p.Secret != (p.Name == "kubeconfig") {
				t.Errorf("output %s is secret: %t, want %t", p.Name, p.Secret, !p.Secret)
			}
		}
	}
}

func property(t *testing.T, pkg *schema.Package, component, name string) *schema.Property {
	t.Helper()
	r, ok := pkg.GetResource("keyvaultaks:index:" + component)
	if !ok {
		t.Fatalf("the schema has no %s", component)
	}
	for _, p := range r.InputProperties {
		if p.Name == name {
			return p
		}
	}
	t.Fatalf("%s has no property %s", component, name)
	return nil
}

// generated writes an SDK to a temporary folder and returns it.
func generated(t *testing.T, language string) string {
	t.Helper()
	dir := t.TempDir()
	if err := write(schemaFile, language, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestSDK_IsReproducible checks that generating an SDK twice writes the same files.
func TestSDK_IsReproducible(t *testing.T) {
	for _, language := range []string{"nodejs", "python", "go"} {
		var first map[string][]byte
		for range 2 {
			pkg, err := bind(schemaFile)
			if err != nil {
				t.Fatal(err)
			}
			files, err := generate(pkg, language)
			if err != nil {
				t.Fatal(err)
			}
			if len(files) == 0 || first != nil && !maps.EqualFunc(first, files, bytes.Equal) {
				t.Errorf("the SDK for %s has %d files, which are empty or differ from the first time", language, len(files))
			}
			first = files
		}
	}
}

// TestSDK_PythonCompiles checks that Python compiles the SDK.
func TestSDK_PythonCompiles(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	dir := generated(t, "python")
	if out, err := exec.CommandContext(t.Context(), python, "-m", "compileall", "-q", dir).CombinedOutput(); err != nil {
		t.Fatalf("compileall: %v\n%s", err, out)
	}
}

// TestSDK_TypeScriptIsStrict checks with the TypeScript compiler that a program can use the SDK. It needs npm, which
// downloads TypeScript and Pulumi's SDK.
func TestSDK_TypeScriptIsStrict(t *testing.T) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("npm is not installed")
	}
	dir := generated(t, "nodejs")
	program, err := os.ReadFile("testdata/app.ts")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "app.ts"), program, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	install := exec.CommandContext(t.Context(), npm, "install", "--ignore-scripts", "--no-audit", "--no-fund",
		"--prefer-offline")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		if exec.CommandContext(t.Context(), npm, "ping").Run() != nil {
			t.Skipf("npm's registry cannot be reached: %v\n%s", err, out)
		}
		t.Fatalf("npm install: %v\n%s", err, out)
	}
	config := filepath.Join(dir, "tsconfig.json")
	settings, err := os.ReadFile(config)
	if err == nil {
		err = os.WriteFile(config, bytes.Replace(settings, []byte(`"files": [`), []byte(`"files": ["app.ts",`), 1), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	compiler := exec.CommandContext(t.Context(), filepath.Join(dir, "node_modules", ".bin", "tsc"), "--noEmit")
	compiler.Dir = dir
	if out, err := compiler.CombinedOutput(); err != nil {
		t.Fatalf("tsc: %v\n%s", err, out)
	}
}
