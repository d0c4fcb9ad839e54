package main

import (
	"fmt"

	managedidentity "github.com/pulumi/pulumi-azure-native-sdk/managedidentity/v2/v20230131"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// newIdentity registers an identity and a credential for each subject that it trusts.
func newIdentity(
	ctx *pulumi.Context, cfg *config, one identityConfig, group pulumi.StringInput,
) (*managedidentity.UserAssignedIdentity, error) {
	identity, err := managedidentity.NewUserAssignedIdentity(ctx, one.Name, &managedidentity.UserAssignedIdentityArgs{
		ResourceGroupName: group,
		Location:          pulumi.String(cfg.Location),
		ResourceName:      pulumi.String("ci-" + one.Name),
		Tags:              cfg.allTags,
	})
	if err != nil {
		return nil, fmt.Errorf("creating the identity %s: %w", one.Name, err)
	}
	var before []pulumi.Resource
	for _, t := range one.trusts("", cfg.Audience) {
		credential, err := managedidentity.NewFederatedIdentityCredential(ctx, one.Name+"_"+t.name(),
			&managedidentity.FederatedIdentityCredentialArgs{
				ResourceGroupName:                       group,
				ResourceName:                            identity.Name,
				FederatedIdentityCredentialResourceName: pulumi.String(t.name()),
				Issuer:                                  pulumi.String(t.issuer),
				Subject:                                 pulumi.String(t.subject),
				Audiences:                               pulumi.ToStringArray([]string{t.audience}),
				// Azure answers concurrent writes and deletes on one identity with 409. Each credential depends on all before it:
				// the engine would delete two at once if only a credential that stays were between them.
			}, pulumi.Parent(identity), pulumi.DependsOn(before))
		if err != nil {
			return nil, fmt.Errorf("creating the credential for %s: %w", t.subject, err)
		}
		before = append(before, credential)
	}
	return identity, nil
}
