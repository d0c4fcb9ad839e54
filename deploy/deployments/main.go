// Sets up Pulumi Deployments for the stacks: from where each is brought up, how it signs in to Azure without a stored
// secret, and when it is looked at for drift and has its secrets rotated. A person runs it, whom Pulumi Cloud lets
// administer the stacks.
package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

func main() {
	var config map[string]string
	pulumi.Run(
		func(ctx *pulumi.Context) error { return program(ctx, config) },
		func(run *pulumi.RunInfo) { config = run.Config },
	)
}

// program is the whole of it: for each stack an environment, the settings that use it, and what they are run by.
func program(ctx *pulumi.Context, config map[string]string) error {
	cfg, err := loadConfig(ctx, config)
	if err != nil {
		return err
	}
	for _, stack := range cfg.Stacks {
		environment, err := newEnvironment(ctx, cfg, stack)
		if err != nil {
			return err
		}
		if err := newDeployments(ctx, cfg, stack, environment); err != nil {
			return err
		}
	}
	return nil
}
