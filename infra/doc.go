// Package infra provides what the program needs around the components: the stack's configuration and its validation,
// tags, the resource group and the outputs.
package infra
