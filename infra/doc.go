// Package infra is what the program needs around the components: the stack's configuration and its validation, tags,
// the resource group, the outputs.
package infra
