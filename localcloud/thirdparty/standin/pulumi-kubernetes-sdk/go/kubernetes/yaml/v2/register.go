// Package v2 registers the resources of a ConfigFile, ConfigGroup or Chart with the engine.
package v2

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// resource is an object of any kind, of which no output is read.
type resource struct{ pulumi.CustomResourceState }

// RegisterResource registers the object that props describe, of any kind.
func RegisterResource(ctx *pulumi.Context, apiVersion, kind, name string, props pulumi.Input,
	opts ...pulumi.ResourceOption,
) (pulumi.CustomResource, error) {
	if apiVersion == "v1" { // which is so in types of resources alone
		apiVersion = "core/v1"
	}
	res := new(resource)
	if err := ctx.RegisterResource(fmt.Sprintf("kubernetes:%s:%s", apiVersion, kind), name, props, res, opts...); err != nil {
		return nil, err
	}
	return res, nil
}
