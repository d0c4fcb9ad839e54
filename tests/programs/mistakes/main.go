// Command mistakes makes the mistake that its configuration names, among those that the Go compiler does not find.
package main

import (
	"errors"

	"github.com/pulumi/pulumi-random/sdk/v4/go/random"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"

	"github.com/keyvault-aks/keyvault-aks/components"
)

func main() { pulumi.Run(program) }

func program(ctx *pulumi.Context) error {
	theirs, err := random.NewRandomString(ctx, "theirs", &random.RandomStringArgs{Length: pulumi.Int(8)})
	if err != nil {
		return err
	}
	switch config.Require(ctx, "mistake") {
	case "provider":
		_, err = components.NewSecretMount(ctx, "it", &components.SecretMountArgs{
			VaultName: theirs.Result, TenantID: theirs.Result, ClientID: theirs.Result,
			Access: "nowhere", Namespace: "a_b",
			Objects: []components.ObjectArgs{{Type: components.ObjectSecret, Name: "a_b"}},
		})
	case "name":
		_, err = components.NewWorkloadIdentity(ctx, "it", &components.WorkloadIdentityArgs{
			ResourceGroupName: theirs.Result, IssuerURL: theirs.Result, Namespace: "Apps",
			ServiceAccounts: []components.ServiceAccountArgs{{Name: "app"}, {Name: "a_b"}},
		})
	case "theirs":
		err = errors.New("of their own")
	}
	return err
}
