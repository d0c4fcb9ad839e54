package plugin

import (
	"bytes"
	"compress/gzip"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

//go:generate go test -run ^TestSchemaIsCurrent$ . -update

// generated is what schema_test.go writes: a compressed object of schemas.
//
//go:embed schema.json.gz
var generated []byte

// schemas is what is known of the types of the catalog beyond it.
type schemas struct {
	// APIVersions are those that the local cloud understands, by types as catalog.go names them.
	APIVersions map[string][]string `json:"apiVersions"`
	// Packages are Pulumi's schemas, without descriptions, by the names of packages.
	Packages map[string]json.RawMessage `json:"packages"`
}

var readSchemas = sync.OnceValues(func() (schemas, error) {
	var all schemas
	r, err := gzip.NewReader(bytes.NewReader(generated))
	if err != nil {
		return all, fmt.Errorf("reading the schemas: %w", err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return all, fmt.Errorf("reading the schemas: %w", err)
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return all, fmt.Errorf("reading the schemas: %w", err)
	}
	return all, nil
})

// Types lists the types of the catalog, each with the dates that its token may have and the local cloud understands,
// and those of the package that Version3 is parameterized to.
func Types() ([]string, error) {
	all, err := readSchemas()
	if err != nil {
		return nil, err
	}
	var types, parameterized []string
	for _, rt := range catalog {
		dates := strings.Join(datesOf(all.APIVersions[rt.token]), ", ")
		types = append(types, basePackage+":"+rt.token+" ("+dates+")")
		if name, ok := strings.CutPrefix(rt.token, "keyvault:"); ok {
			parameterized = append(parameterized, vaultPackage+":keyvault/v20260201:"+name)
		}
	}
	return append(types, parameterized...), nil
}

// datesOf spells API versions as tokens do.
func datesOf(versions []string) []string {
	dates := make([]string, len(versions))
	for i, version := range versions {
		dates[i] = "v" + strings.ReplaceAll(version, "-", "")
	}
	return dates
}

// GetSchema describes the types of the catalog and the functions that the plugin has, each in the API versions that
// both the SDK and the local cloud know, and without a date in azure-native's default version. Version3 has a schema of
// the package that it is parameterized to alone.
func (p *azureNative) GetSchema(context.Context, *pulumirpc.GetSchemaRequest) (*pulumirpc.GetSchemaResponse, error) {
	all, err := readSchemas()
	if err != nil {
		return nil, err
	}
	schema, ok := all.Packages[p.pkg]
	if !ok {
		return nil, p.notServed("the schema")
	}
	return &pulumirpc.GetSchemaResponse{Schema: string(schema)}, nil
}
