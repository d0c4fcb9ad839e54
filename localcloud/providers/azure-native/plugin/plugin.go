// Package plugin stands in for the Pulumi provider azure-native: v2.92.0 with the resource types of catalog.go, and
// v3.28.0 with those of its parameterized package for Key Vault. It calls Azure Resource Manager over HTTPS like any
// other client and does not know that the local cloud answers.
package plugin

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/provider"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// Versions of azure-native that the plugin stands in for. Version2 is the version of the program's SDK, Version3 the
// version of the parameterized package that the program registers.
const (
	Version2 = "2.92.0"
	Version3 = "3.28.0"
)

// Main serves the engine that started this process until the engine ends it. It takes its version from the folder of
// the executable.
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

// versionOf parses the version in a path such as .../resource-azure-native-v3.28.0/pulumi-resource-azure-native.
func versionOf(program string) (string, error) {
	version, ok := strings.CutPrefix(filepath.Base(filepath.Dir(program)), "resource-"+basePackage+"-v")
	if !ok || version != Version2 && version != Version3 {
		return "", fmt.Errorf("cannot tell the version of %s: want it in a folder resource-%s-v%s or -v%s",
			program, basePackage, Version2, Version3)
	}
	return version, nil
}

// ResourceID returns the ID of a resource with these inputs in a subscription, and the API version to read it with. It
// fails if the type is unknown or the inputs have no name.
func ResourceID(token string, inputs map[string]any, subscriptionID string) (id, apiVersion string, err error) {
	rt, apiVersion, err := lookup(token)
	if err != nil {
		return "", "", err
	}
	id, err = rt.id(inputs, subscriptionID)
	return id, apiVersion, err
}

// Outputs returns the outputs in a stack's state of a resource that Resource Manager describes by answer.
func Outputs(token string, answer map[string]any) (map[string]any, error) {
	rt, apiVersion, err := lookup(token)
	if err != nil {
		return nil, err
	}
	return rt.outputs(answer, apiVersion)
}
