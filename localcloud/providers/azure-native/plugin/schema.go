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

//go:generate go test -run ^TestSchema_IsCurrent$ . -update

// generated is a compressed schemas object that schema_test.go writes.
//
//go:embed schema.json.gz
var generated []byte

// schemas has generated facts about the types of the catalog.
type schemas struct {
	// APIVersions lists the API versions that the local cloud implements, by resourceType.token.
	APIVersions map[string][]string `json:"apiVersions"`
	// Packages has Pulumi's schemas, without descriptions, by name of the package.
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

// Types lists the types of the catalog, each with the dates of the API versions that the local cloud implements, and
// the types of the parameterized package of Version3.
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

// datesOf returns API versions as they are written in tokens.
func datesOf(versions []string) []string {
	dates := make([]string, len(versions))
	for i, version := range versions {
		dates[i] = "v" + strings.ReplaceAll(version, "-", "")
	}
	return dates
}

// GetSchema returns the schema of the catalog's types and the plugin's functions. It has the API versions that both the
// SDK and the local cloud implement, and azure-native's default version without a date. Version3 has a schema only of
// the package that it is parameterized to.
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
