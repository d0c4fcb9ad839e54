// Package libopenapi stands in for the library of this name, which Pulumi's engine uses for the command `pulumi api`
// alone: it reads a description of Pulumi Cloud's API. Nothing here talks to Pulumi Cloud, and compiling the library
// takes a quarter of the engine's time. What is here has the types that the command is written with, and reads nothing.
package libopenapi

import (
	"errors"

	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
)

// Document is a description of an API.
type Document struct{}

// NewDocument returns an error.
func NewDocument([]byte) (*Document, error) {
	return nil, errors.New("this build of Pulumi's engine cannot read descriptions of APIs")
}

// DocumentModel is what is described.
type DocumentModel struct{ Model v3.Document }

// BuildV3Model returns an error, since there is no document.
func (*Document) BuildV3Model() (*DocumentModel, error) {
	return nil, errors.New("there is no document")
}
