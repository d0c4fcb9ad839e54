// Command sdks generates the SDKs of the Pulumi package from its schema, like `pulumi package gen-sdk` but without a
// language host: go run . -schema ../../provider/schema.json -language nodejs -out FOLDER.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	gogen "github.com/pulumi/pulumi/pkg/v3/codegen/go"
	"github.com/pulumi/pulumi/pkg/v3/codegen/nodejs"
	"github.com/pulumi/pulumi/pkg/v3/codegen/python"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
)

func main() {
	from := flag.String("schema", "../../provider/schema.json", "the package's schema")
	language := flag.String("language", "nodejs", "nodejs, python or go")
	out := flag.String("out", "", "folder to write to")
	flag.Parse()
	if err := write(*from, *language, *out); err != nil {
		fmt.Fprintln(os.Stderr, "sdks:", err)
		os.Exit(1)
	}
}

func write(from, language, out string) error {
	pkg, err := bind(from)
	if err != nil {
		return err
	}
	files, err := generate(pkg, language)
	if err != nil {
		return err
	}
	for name, content := range files {
		file := filepath.Join(out, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// bind reads a schema. Warnings of Pulumi's reader are errors.
func bind(file string) (*schema.Package, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the schema: %w", err)
	}
	var spec schema.PackageSpec
	if err := json.Unmarshal(content, &spec); err != nil {
		return nil, fmt.Errorf("decoding the schema: %w", err)
	}
	pkg, diagnostics, err := schema.BindSpec(spec, noPackages{}, schema.ValidationOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading the schema: %w", err)
	}
	if len(diagnostics) > 0 {
		return nil, fmt.Errorf("reading the schema: %w", diagnostics)
	}
	return pkg, nil
}

// generate returns the SDK's files by path.
func generate(pkg *schema.Package, language string) (map[string][]byte, error) {
	const tool = "keyvault-aks"
	switch language {
	case "nodejs":
		return nodejs.GeneratePackage(tool, pkg, nil, nil, true, noPackages{})
	case "python":
		return python.GeneratePackage(tool, pkg, nil, noPackages{})
	case "go":
		return gogen.GeneratePackage(tool, pkg, nil)
	}
	return nil, fmt.Errorf("invalid language %q, allowed: nodejs, python, go", language)
}

// noPackages is the loader for a schema that refers to no other. Its methods are never called.
type noPackages struct{ schema.ReferenceLoader }
