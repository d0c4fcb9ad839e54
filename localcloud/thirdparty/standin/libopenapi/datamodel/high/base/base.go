// Package base has the schemas of an API.
package base

import (
	"errors"

	"github.com/pb33f/libopenapi/orderedmap"
	"go.yaml.in/yaml/v4"
)

// Schema describes a value.
type Schema struct {
	Type                        []string
	AllOf, OneOf, AnyOf         []*SchemaProxy
	Discriminator               *Discriminator
	Items, AdditionalProperties *DynamicValue[*SchemaProxy, bool]
	Properties                  *orderedmap.Map[string, *SchemaProxy]
	MultipleOf, Maximum         *float64
	Minimum                     *float64
	MaxLength, MinLength        *int64
	Pattern, Format             string
	Required                    []string
	Enum                        []*yaml.Node
	Description                 string
	Default                     *yaml.Node
	Nullable, ReadOnly          *bool
	Extensions                  *orderedmap.Map[string, *yaml.Node]
}

// hashed is what a schema was read from.
type hashed struct{}

// Hash returns 0.
func (*hashed) Hash() uint64 { return 0 }

// GoLow returns nil, since no schema was read.
func (*Schema) GoLow() *hashed { return nil }

// MarshalJSONInline returns an error.
func (*Schema) MarshalJSONInline() ([]byte, error) {
	return nil, errors.New("schemas cannot be written")
}

// SchemaProxy leads to a schema.
type SchemaProxy struct{}

// Schema returns nil, since no schema was read.
func (*SchemaProxy) Schema() *Schema { return nil }

// GetReference returns nothing.
func (*SchemaProxy) GetReference() string { return "" }

// IsReference returns false.
func (*SchemaProxy) IsReference() bool { return false }

// DynamicValue is an A or a B.
type DynamicValue[A, B any] struct {
	A A
	B B
}

// IsA returns false, since there is no value.
func (*DynamicValue[A, B]) IsA() bool { return false }

// Discriminator tells schemas apart.
type Discriminator struct {
	PropertyName string
	Mapping      *orderedmap.Map[string, string]
}

// Info describes an API.
type Info struct{ Version string }
