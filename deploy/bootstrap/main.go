// The program creates what a pipeline needs before its first `pulumi up`: identities to sign in with, without a stored
// secret, their roles, and the key that encrypts its stacks' secrets. A person runs it once for each subscription.
package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/infra"
)

func main() {
	var config map[string]string
	pulumi.Run(
		func(ctx *pulumi.Context) error { return program(ctx, config) },
		func(run *pulumi.RunInfo) { config = run.Config },
	)
}

// program is the whole bootstrap. The roles are defined while the vault and the identities are created; only the
// assignments wait for them.
func program(ctx *pulumi.Context, config map[string]string) error {
	cfg, err := loadConfig(ctx, config)
	if err != nil {
		return err
	}
	client, err := infra.LookUpClient(ctx)
	if err != nil {
		return err
	}
	if err := cfg.findResourceGroups(ctx); err != nil {
		return err
	}
	// The group holds the vault, so it has the same protection.
	protect := pulumi.Protect(cfg.Protect)
	group, err := infra.NewResourceGroup(ctx, cfg.ResourceGroupName, cfg.Location, cfg.allTags, protect)
	if err != nil {
		return err
	}
	key, err := newSecretsKey(ctx, cfg, client, group.Name)
	if err != nil {
		return err
	}
	roles, err := newRoles(ctx, cfg, client.SubscriptionID)
	if err != nil {
		return err
	}
	outputs := newOutputs(client)
	for _, one := range cfg.Identities {
		identity, err := newIdentity(ctx, cfg, one, group.Name)
		if err != nil {
			return err
		}
		if err := roles.assign(ctx, one, identity, key); err != nil {
			return err
		}
		outputs.add(one, identity)
	}
	if cfg.KeyForDeployer {
		if err := roles.assignToDeployer(ctx, client, key); err != nil {
			return err
		}
	}
	outputs.export(ctx, key)
	return nil
}
