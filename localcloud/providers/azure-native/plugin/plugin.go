// Package plugin answers Pulumi's engine as azure-native v2.92.0 does, for the resource types of catalog.go, and speaks Azure
// Resource Manager over HTTPS like any client: nothing in it knows where the answers come from.
package plugin

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/provider"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// version is that of the plugin this one stands in for: the engine asks for it by the SDK's version.
const version = "2.92.0"

// Main serves the engine that started this process, until that ends it.
func Main() error {
	return provider.Main("azure-native", func(*provider.HostClient) (pulumirpc.ResourceProviderServer, error) {
		return newAzureNative(), nil
	})
}

// ResourceID is the ID that a resource with these inputs has in a subscription, and the API version to ask for it with.
// An unknown type and inputs without a name are errors.
func ResourceID(token string, inputs map[string]any, subscriptionID string) (id, apiVersion string, err error) {
	rt, apiVersion, err := lookup(token)
	if err != nil {
		return "", "", err
	}
	id, err = rt.id(inputs, subscriptionID)
	return id, apiVersion, err
}

// Outputs are what a state knows of a resource of which Resource Manager answers this.
func Outputs(token string, answer map[string]any) (map[string]any, error) {
	rt, apiVersion, err := lookup(token)
	if err != nil {
		return nil, err
	}
	return rt.outputs(answer, apiVersion), nil
}
