// Package plugin answers Pulumi's engine as azure-native v2.92.0 does for the resource types of catalog.go, and as
// v3.28.0 does for those of its parameterized package for Key Vault. It speaks Azure Resource Manager over HTTPS like
// any client: nothing in it knows where the answers come from.
package plugin

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/provider"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// These are the versions of azure-native that the plugin stands in for: Version2 is that of the program's SDK, and
// Version3 that of the parameterized package that the program registers.
const (
	Version2 = "2.92.0"
	Version3 = "3.28.0"
)

// Main serves the engine that started this process, until that ends it. It takes its version from the folder in which
// the engine found the program.
func Main() error {
	version, err := versionOf(os.Args[0])
	if err != nil {
		return err
	}
	scale, err := waitsScale()
	if err != nil {
		return err
	}
	return provider.Main(basePackage, func(host *provider.HostClient) (pulumirpc.ResourceProviderServer, error) {
		p := newAzureNative(version)
		p.host, p.scale = host, scale
		return p, nil
	})
}

// versionOf reads the version from a path such as .../resource-azure-native-v3.28.0/pulumi-resource-azure-native.
func versionOf(program string) (string, error) {
	version, ok := strings.CutPrefix(filepath.Base(filepath.Dir(program)), "resource-"+basePackage+"-v")
	if !ok || version != Version2 && version != Version3 {
		return "", fmt.Errorf("%s has no version: it is not in a folder resource-%s-v%s or -v%s",
			program, basePackage, Version2, Version3)
	}
	return version, nil
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
	return rt.outputs(answer, apiVersion)
}
