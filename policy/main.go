// A policy pack that checks stacks against the rules of package rules. Pulumi's support for policies in Go is
// experimental.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/policyx"
)

func main() {
	err := policyx.Main(func(ctx *pulumi.Context) (policyx.PolicyPack, error) {
		production, err := production(ctx.Stack(), ctx.GetConfig)
		if err != nil {
			return nil, err
		}
		say := func(message string) error { return ctx.Log.Info(message, nil) }
		return newPack(production, time.Now(), say)
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
