// The program sets up Pulumi Deployments for the stacks: what each is deployed from, how it signs in to Azure without a
// stored secret, and when it is checked for drift and has its secrets rotated. It must be run by a person who may
// administer the stacks in Pulumi Cloud.
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

// program creates for each stack an environment, the deployment settings that use it, and the schedules.
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
