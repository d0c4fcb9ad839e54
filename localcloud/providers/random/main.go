// Command pulumi-resource-random stands in for the plugin of the same name (v4.21.2), whose binary cannot be built from
// a Go module. It knows RandomString, RandomPassword, RandomUuid and RandomId, and answers Pulumi's engine as that
// plugin does.
package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/cmdutil"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/provider"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// version is that of the plugin this one stands in for: the engine asks for it by the SDK's version.
const version = "4.21.2"

func main() {
	err := provider.Main("random", func(*provider.HostClient) (pulumirpc.ResourceProviderServer, error) {
		return &random{}, nil
	})
	if err != nil {
		cmdutil.ExitError(err.Error())
	}
}
