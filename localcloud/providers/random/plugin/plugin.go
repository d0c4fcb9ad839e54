// Package plugin stands in for the Pulumi provider random v4.21.2, whose binary cannot be built from a Go module. It
// implements RandomString, RandomPassword, RandomUuid and RandomId.
package plugin

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/provider"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// Version is the version of the plugin that this one replaces. The engine asks for the version of the SDK.
const Version = "4.21.2"

// Main serves the engine that started this process until the engine ends it.
func Main() error {
	return provider.Main("random", func(*provider.HostClient) (pulumirpc.ResourceProviderServer, error) {
		return &random{}, nil
	})
}
