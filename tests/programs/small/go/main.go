// Command small is a Go program that works without configuration.
package main

import (
	"cmp"

	"github.com/pulumi/pulumi-random/sdk/v4/go/random"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"
)

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		ctx.Export("text", pulumi.String(cmp.Or(config.Get(ctx, "text"), "hello")))
		_, err := random.NewRandomString(ctx, "chosen", &random.RandomStringArgs{Length: pulumi.Int(8)})
		return err
	})
}
