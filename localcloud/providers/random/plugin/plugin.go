// Package plugin answers Pulumi's engine as random v4.21.2 does, whose binary cannot be built from a Go module. It
// knows RandomString, RandomPassword, RandomUuid and RandomId.
package plugin

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/provider"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// Version is that of the plugin this one stands in for: the engine asks for it by the SDK's version.
const Version = "4.21.2"

// Main serves the engine that started this process, until that ends it.
func Main() error {
	return provider.Main("random", func(*provider.HostClient) (pulumirpc.ResourceProviderServer, error) {
		return &random{}, nil
	})
}
