// Command charts deploys manifests and a Helm chart with components that Pulumi's Kubernetes provider implements.
package main

import (
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"
)

func main() { pulumi.Run(program) }

// component is a component of the provider. The SDK's own types import each API group of Kubernetes, which takes
// minutes to compile.
type component struct{ pulumi.ResourceState }

func program(ctx *pulumi.Context) error {
	cfg := config.New(ctx, "")
	provider, err := kubernetes.NewProvider(ctx, "cluster",
		&kubernetes.ProviderArgs{Kubeconfig: cfg.RequireSecret("kubeconfig")})
	if err != nil {
		return err
	}
	for _, c := range []struct {
		kind, name string
		args       pulumi.Map
	}{
		{"kubernetes:yaml/v2:ConfigGroup", "group", pulumi.Map{"yaml": pulumi.String(cfg.Require("manifests"))}},
		{"kubernetes:helm.sh/v4:Chart", "chart", pulumi.Map{
			"chart": pulumi.String(cfg.Require("chart")), "namespace": pulumi.String("default"),
			"values":         pulumi.Map{"greeting": pulumi.String("hello")},
			"repositoryOpts": pulumi.StringMap{"username": pulumi.String("nobody")},
			"postRenderer": pulumi.Map{
				"command": pulumi.String("sed"), "args": pulumi.ToStringArray([]string{"s/hello/good day/"}),
			},
		}},
	} {
		err := ctx.RegisterRemoteComponentResource(c.kind, c.name, c.args, new(component),
			pulumi.Providers(provider), pulumi.Version("4.25.0"))
		if err != nil {
			return err
		}
	}
	return nil
}
