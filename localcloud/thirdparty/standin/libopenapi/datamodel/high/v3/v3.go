// Package v3 has the operations of an API.
package v3

import (
	"github.com/pb33f/libopenapi/datamodel/high/base"
	"github.com/pb33f/libopenapi/orderedmap"
	"go.yaml.in/yaml/v4"
)

// Document describes an API.
type Document struct {
	Info       *base.Info
	Paths      *Paths
	Components *Components
}

// Components are the schemas that operations share.
type Components struct {
	Schemas *orderedmap.Map[string, *base.SchemaProxy]
}

// Paths are all paths of an API.
type Paths struct {
	PathItems *orderedmap.Map[string, *PathItem]
}

// PathItem has the operations of a path.
type PathItem struct{ Get, Post, Put, Delete, Patch, Head *Operation }

// Operation describes a method of a path.
type Operation struct {
	Tags                              []string
	OperationId, Summary, Description string
	Parameters                        []*Parameter
	RequestBody                       *RequestBody
	Responses                         *Responses
	Deprecated                        *bool
	Extensions                        *orderedmap.Map[string, *yaml.Node]
}

// Parameter describes a parameter of an operation.
type Parameter struct {
	Name, In, Description string
	Required              *bool
	Schema                *base.SchemaProxy
}

// RequestBody describes what an operation is sent.
type RequestBody struct {
	Content *orderedmap.Map[string, *MediaType]
}

// MediaType describes a body.
type MediaType struct{ Schema *base.SchemaProxy }

// Responses are those of an operation.
type Responses struct {
	Codes   *orderedmap.Map[string, *Response]
	Default *Response
}

// Response describes an answer.
type Response struct {
	Description string
	Content     *orderedmap.Map[string, *MediaType]
}
