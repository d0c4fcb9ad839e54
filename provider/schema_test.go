package main

import (
	"slices"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// nothing is an output without a value, which a language sends for an omitted argument.
var nothing = resource.NewProperty(resource.Output{Element: resource.NewNullProperty(), Known: true})

// TestCheck_AcceptsNullForOptional includes a known output with no value.
func TestCheck_AcceptsNullForOptional(t *testing.T) {
	pkg, err := readSchema(schemaJSON)
	if err != nil {
		t.Fatal(err)
	}
	with := mount()
	delete(with, "vaultName")
	inputs := propertiesOf(with)
	inputs["vaultName"], inputs["className"] = nothing, nothing
	found := pkg.check("keyvaultaks:index:SecretMount", inputs, nil)
	if len(found) != 1 || found[0].Path != "vaultName" || found[0].Given != "nothing" {
		t.Errorf("found %v", found)
	}
}

// TestCheck_HasStableOrder checks that the same program gets the same message every time.
func TestCheck_HasStableOrder(t *testing.T) {
	pkg, err := readSchema(schemaJSON)
	if err != nil {
		t.Fatal(err)
	}
	with := mount()
	with["versions"] = map[string]any{"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0, "e": 1.0, "f": 1.0, "g": 1.0, "h": 1.0}
	var paths []string
	for _, one := range pkg.check("keyvaultaks:index:SecretMount", propertiesOf(with), nil) {
		paths = append(paths, one.Path)
	}
	if len(paths) != 8 || !slices.IsSorted(paths) {
		t.Errorf("found %q", paths)
	}
}
