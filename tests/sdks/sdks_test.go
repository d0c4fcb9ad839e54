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

const ofPackage = "../../provider/schema.json"

func TestSchema_IsReadByPulumi(t *testing.T) {
	pkg, err := bind(ofPackage)
	if err != nil {
		t.Fatal(err)
	}
	if pkg.Name != "keyvaultaks" || pkg.Version == nil || len(pkg.Resources) != 4 {
		t.Fatalf("the package %s %v has %d resources", pkg.Name, pkg.Version, len(pkg.Resources))
	}
	for _, r := range pkg.Resources {
		if !r.IsComponent {
			t.Errorf("%s is no component", r.Token)
		}
		for _, p := range slices.Concat(r.InputProperties, r.Properties) {
			if strings.TrimSpace(p.Comment) == "" {
				t.Errorf("%s of %s has no description", p.Name, r.Token)
			}
		}
	}
	// What Azure and Kubernetes give is an Input; what decides what is created is plain.
	if name, id := property(t, pkg, "KeyVaultStack", "namePrefix"), property(
		t,
		pkg,
		"KeyVaultStack",
		"tenantId",
	); !name.Plain ||
		id.Plain {
		t.Errorf("namePrefix is plain: %v; tenantId is: %v", name.Plain, id.Plain)
	}
	for _, r := range pkg.Resources {
		for _, p := range r.Properties {
			if p.Secret != (p.Name == "kubeconfig") {
				t.Errorf("the output %s is a secret: %v", p.Name, p.Secret)
			}
		}
	}
}

func property(t *testing.T, pkg *schema.Package, component, name string) *schema.Property {
	t.Helper()
	r, ok := pkg.GetResource("keyvaultaks:index:" + component)
	if !ok {
		t.Fatalf("there is no %s", component)
	}
	for _, p := range r.InputProperties {
		if p.Name == name {
			return p
		}
	}
	t.Fatalf("%s has no %s", component, name)
	return nil
}

// generated writes an SDK into a folder of the test's.
func generated(t *testing.T, language string) string {
	t.Helper()
	dir := t.TempDir()
	if err := write(ofPackage, language, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSDK_IsReproducible(t *testing.T) {
	for _, language := range []string{"nodejs", "python", "go"} {
		var first map[string][]byte
		for range 2 {
			pkg, err := bind(ofPackage)
			if err != nil {
				t.Fatal(err)
			}
			files, err := generate(pkg, language)
			if err != nil {
				t.Fatal(err)
			}
			if len(files) == 0 || first != nil && !maps.EqualFunc(first, files, bytes.Equal) {
				t.Errorf("the SDK for %s has %d files, and others than before", language, len(files))
			}
			first = files
		}
	}
}

func TestSDK_PythonCompiles(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3")
	}
	dir := generated(t, "python")
	if out, err := exec.CommandContext(t.Context(), python, "-m", "compileall", "-q", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// It takes npm, and what it downloads: TypeScript and Pulumi's SDK.
func TestSDK_TypeScriptIsStrict(t *testing.T) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("there is no npm")
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
