package plugin

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
)

var update = flag.Bool("update", false, "write schema.json.gz")

// TestSchema_IsCurrent generates the schemas from the SDK's source and from the types that the local cloud implements.
func TestSchema_IsCurrent(t *testing.T) {
	want := schemas{APIVersions: apiVersionsOfTheCloud(t), Packages: map[string]json.RawMessage{}}
	for _, pkg := range []string{basePackage, vaultPackage} {
		r := newSDKReader(t, pkg)
		for _, rt := range catalog {
			module, name, _ := strings.Cut(rt.token, ":")
			if pkg == vaultPackage {
				if module == "keyvault" {
					r.addResource(module, vaultModel, name)
				}
				continue
			}
			for _, date := range append([]string{""}, want.APIVersions[rt.token]...) {
				r.addResource(module, date, name)
				for member, a := range actions {
					if actionModule, function, _ := strings.Cut(member, ":"); actionModule == module && a.on == name {
						r.addFunction(module, date, function)
					}
				}
			}
		}
		if pkg == basePackage {
			r.addFunction("authorization", "", "getClientConfig")
			r.addFunction("authorization", "", "getClientToken")
		}
		text, err := json.Marshal(r.schema)
		if err != nil {
			t.Fatal(err)
		}
		want.Packages[pkg] = text
	}

	if *update {
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var compressed bytes.Buffer
		w, err := gzip.NewWriterLevel(&compressed, gzip.BestCompression)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("schema.json.gz", compressed.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d bytes, %d compressed", len(text), compressed.Len())
		return
	}
	got, err := readSchemas()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("schema.json.gz differs from the SDK and the local cloud: run go generate")
	}
}

func TestGetSchema_DescribesVersion(t *testing.T) {
	parameterized := newAzureNative(Version3)
	parameterized.pkg = vaultPackage
	for name, test := range map[string]struct {
		p        *azureNative
		resource string // of a vault
		function string
		version  string
	}{
		"v2": {
			newAzureNative(Version2), "azure-native:keyvault/v20241101:Vault",
			"azure-native:containerservice:listManagedClusterUserCredentials", Version2,
		},
		"v3 parameterized": {
			parameterized, vaultPackage + ":keyvault/v20260201:Vault", vaultPackage + ":keyvault/v20260201:getSecret", Version3,
		},
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := serve(t, test.p).GetSchema(t.Context(), plugin.GetSchemaRequest{})
			if err != nil {
				t.Fatal(err)
			}
			type reference struct {
				Ref string `json:"$ref"`
			}
			type described struct {
				Properties, InputProperties map[string]reference
				RequiredInputs, Required    []string
			}
			var schema struct {
				Name, Version    string
				Resources, Types map[string]described
				Functions        map[string]any
				Parameterization *struct{ Parameter []byte }
			}
			if err := json.Unmarshal(resp.Schema, &schema); err != nil {
				t.Fatal(err)
			}
			if schema.Name != test.p.pkg || schema.Version != test.version {
				t.Errorf("got the schema of %s %s", schema.Name, schema.Version)
			}
			vault := schema.Resources[test.resource]
			if !slices.Equal(vault.RequiredInputs, []string{"properties", "resourceGroupName"}) {
				t.Errorf("a vault requires %v", vault.RequiredInputs)
			}
			typeOf := func(property reference) described { return schema.Types[strings.TrimPrefix(property.Ref, "#/types/")] }
			inputs, outputs := typeOf(vault.InputProperties["properties"]), typeOf(vault.Properties["properties"])
			if !slices.Equal(inputs.Required, []string{"sku", "tenantId"}) {
				t.Errorf("a vault's properties require %v", inputs.Required)
			}
			if _, ok := outputs.Properties["vaultUri"]; !ok {
				t.Errorf("got outputs %v, want vaultUri", outputs.Properties)
			}
			if schema.Functions[test.function] == nil {
				t.Errorf("%s is missing", test.function)
			}
			if (schema.Parameterization != nil) != (test.p.version == Version3) ||
				schema.Parameterization != nil && string(schema.Parameterization.Parameter) != encodedParameter {
				t.Errorf("got parameterization %v", schema.Parameterization)
			}
		})
	}
	if _, err := serve(t, newAzureNative(Version3)).GetSchema(t.Context(), plugin.GetSchemaRequest{}); err == nil {
		t.Error("v3 has a schema before it is parameterized")
	}
}

// TestSchema_MatchesCatalog checks that the schemas have every type of the catalog without a date, and no other types.
func TestSchema_MatchesCatalog(t *testing.T) {
	all, err := readSchemas()
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]map[string]struct {
		InputProperties, Properties map[string]any
	}{}
	for pkg, text := range all.Packages {
		var schema struct {
			Resources map[string]struct {
				InputProperties, Properties map[string]any
			}
		}
		if err := json.Unmarshal(text, &schema); err != nil {
			t.Fatal(err)
		}
		described[pkg] = schema.Resources
		for token, one := range schema.Resources {
			rt, _, err := lookup(token)
			if err != nil {
				t.Errorf("%s: %v", token, err)
				continue
			}
			for _, name := range append(rt.parameters(), rt.required...) {
				if _, ok := one.InputProperties[strings.Split(name, ".")[0]]; !ok {
					t.Errorf("%s has no input %s", token, name)
				}
			}
		}
	}
	for _, rt := range catalog {
		if _, ok := described[basePackage][basePackage+":"+rt.token]; !ok {
			t.Errorf("%s is missing", rt.token)
		}
	}
}
