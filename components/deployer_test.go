package components_test

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

const (
	secretsOfficer = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
	cryptoOfficer  = "14b46e9e-c2b7-41b4-b07b-48a6ebf60603"
)

func deployerArgs(object string) *components.KeyVaultStackArgs {
	args := vaultArgs()
	args.Deployer = &components.DeployerArgs{PrincipalID: pulumi.String(object), PrincipalType: "User"}
	args.Secrets = []components.SecretArgs{{Name: "given", Value: pulumi.String("v")}}
	args.Keys = []components.KeyArgs{{Name: "rsa"}}
	return args
}

func TestDeployer_GetsRolesBeforeSecretsAndKeys(t *testing.T) {
	e := runVault(t, deployerArgs("me"))
	for name, role := range map[string]string{"vault-deployer-secrets": secretsOfficer,
		"vault-deployer-keys": cryptoOfficer} {
		assignment := e.Get(t, name)
		wantInputs(t, assignment, map[string]any{"scope": vaultResourceID, "principalId": "me", "principalType": "User"})
		if got := assignment.At("roleDefinitionId").StringValue(); !strings.HasSuffix(got, "/"+role) {
			t.Errorf("%s is %s", name, got)
		}
		for _, object := range []string{"vault-secret-given", "vault-key-rsa"} {
			if !e.Get(t, object).WaitsFor(assignment) {
				t.Errorf("%s does not wait for %s", object, name)
			}
		}
	}
}

func TestDeployer_GetsOnlyNeededRoles(t *testing.T) {
	for name, one := range map[string]struct {
		change func(*components.KeyVaultStackArgs)
		want   string
	}{
		"without keys":    {func(args *components.KeyVaultStackArgs) { args.Keys = nil }, "vault-deployer-secrets"},
		"without secrets": {func(args *components.KeyVaultStackArgs) { args.Secrets = nil }, "vault-deployer-keys"},
		"without either":  {func(args *components.KeyVaultStackArgs) { args.Keys, args.Secrets = nil, nil }, ""},
		"without one":     {func(args *components.KeyVaultStackArgs) { args.Deployer = nil }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			args := deployerArgs("me")
			one.change(args)
			var got []string
			for _, made := range runVault(t, args).Resources() {
				if strings.HasPrefix(made.Name, "vault-deployer") {
					got = append(got, made.Name)
				}
			}
			if strings.Join(got, " ") != one.want {
				t.Errorf("got %v, want %q", got, one.want)
			}
		})
	}
}

// The next deployer must not take the roles away from the first.
func TestDeployer_IgnoresChanges(t *testing.T) {
	first := runVault(t, deployerArgs("first"))
	args := deployerArgs("second")
	args.Deployer.PrincipalType = "ServicePrincipal"
	second := &mockengine.Engine{Before: first}
	run(t, second, func(ctx *pulumi.Context) error {
		_, err := components.NewKeyVaultStack(ctx, "vault", args)
		return err
	})
	wantInputs(t, second.Get(t, "vault-deployer-keys"), map[string]any{"principalId": "first", "principalType": "User"})
}

func TestDeployer_RetriesUntilRoleTakesEffect(t *testing.T) {
	args := deployerArgs("me")
	e := &mockengine.Engine{
		Refusals: map[string][]string{
			"vault-key-rsa": {`Status=403 Code="Forbidden" "innererror": {"code": "ForbiddenByRbac"}`},
		},
	}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := components.NewKeyVaultStack(ctx, "vault", args)
		return err
	})
	args.Deployer = nil
	e = &mockengine.Engine{Refusals: e.Refusals}
	if err := e.Run(func(ctx *pulumi.Context) error {
		_, err := components.NewKeyVaultStack(ctx, "vault", args)
		return err
	}); err == nil {
		t.Error("it is tried again though nobody is given a role")
	}
}

func TestDeployer_Validates(t *testing.T) {
	args := deployerArgs("me")
	args.Deployer.PrincipalType = "Robot"
	wantViolations(t, args.Validate(), "deployer.principalType")
}
