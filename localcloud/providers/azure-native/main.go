// Command pulumi-resource-azure-native stands in for the plugin of the same name, whose binary cannot be built from a Go
// module.
package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/cmdutil"

	"github.com/keyvault-aks/keyvault-aks/localcloud/providers/azure-native/plugin"
)

func main() {
	if err := plugin.Main(); err != nil {
		cmdutil.ExitError(err.Error())
	}
}
