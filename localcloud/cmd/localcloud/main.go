// Command localcloud simulates Azure on one machine and runs Kubernetes for real. It shows Pulumi programs at work,
// from the engine to a pod that reads its secret, without a subscription.
//
// When called by the name of a plugin, such as pulumi-resource-random, it serves the stand-in for that plugin. The real
// plugin's binary cannot be built from a Go module.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/cmdutil"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/cli"
	azurenative "github.com/keyvault-aks/keyvault-aks/localcloud/providers/azure-native/plugin"
	random "github.com/keyvault-aks/keyvault-aks/localcloud/providers/random/plugin"
)

func main() {
	switch filepath.Base(os.Args[0]) {
	case "pulumi-resource-azure-native":
		servePlugin(azurenative.Main)
	case "pulumi-resource-random":
		servePlugin(random.Main)
	default:
		if err := run(); err != nil {
			fmt.Fprintf(os.Stderr, "localcloud: %v\n", err)
			os.Exit(1)
		}
	}
}

func servePlugin(serve func() error) {
	if err := serve(); err != nil {
		cmdutil.ExitError(err.Error())
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return cli.Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
}
