// Package kubernetes stands in for the Go SDK of Pulumi's Kubernetes provider, of which the provider itself uses a few
// types.
//
// The SDK's yaml/v2 imports a package for each API group of Kubernetes, to return a resource of its type. The provider
// needs no more than the resource, and compiling those packages takes a fifth of all that the local cloud compiles.
// What is here has the same names, and registers the same resources with the same properties.
package kubernetes

import "reflect"

// UntypedArgs are the properties of a resource of any kind.
type UntypedArgs map[string]any

// ElementType returns the type of the properties.
func (UntypedArgs) ElementType() reflect.Type { return reflect.TypeFor[map[string]any]() }
