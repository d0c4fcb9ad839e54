package components

import (
	"fmt"
	"slices"
	"strings"

	authorization "github.com/pulumi/pulumi-azure-native-sdk/authorization/v2/v20220401"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// DeployerArgs identify who creates and changes a vault's secrets and keys: a user, a group, or the service principal
// of a pipeline. Azure's documentation says that Contributor is enough to create them, but some deployers were refused
// (https://github.com/Azure/bicep/issues/6539). With the roles, the deployer can also delete by hand what was removed
// from the lists.
type DeployerArgs struct {
	// PrincipalID is the object id in Entra ID. Required. A change is ignored, so that the next deployer does not take the
	// roles away from the first. Use a group to give them to several.
	PrincipalID pulumi.StringInput `pulumi:"principalId"`
	// PrincipalType is User, Group or ServicePrincipal. Defaults to ServicePrincipal. Like PrincipalID, a change is
	// ignored.
	PrincipalType PrincipalType `pulumi:"principalType,optional"`
}

// Roles that allow everything with a vault's secrets, or its keys, and nothing else:
// https://learn.microsoft.com/azure/key-vault/general/rbac-guide
const (
	keyVaultSecretsOfficer = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
	keyVaultCryptoOfficer  = "14b46e9e-c2b7-41b4-b07b-48a6ebf60603"
)

// admitDeployer assigns the deployer the roles that the vault's contents require. Secrets and keys are created once the
// roles take effect.
func (c *KeyVaultStack) admitDeployer(
	ctx *pulumi.Context, name string, args *KeyVaultStackArgs, vault *vaultRef,
) ([]pulumi.Resource, error) {
	var roles []grant
	if len(args.Secrets) > 0 {
		roles = append(roles, grant{name: "deployer-secrets", role: keyVaultSecretsOfficer})
	}
	if len(args.Keys) > 0 {
		roles = append(roles, grant{name: "deployer-keys", role: keyVaultCryptoOfficer})
	}
	if args.Deployer == nil || len(roles) == 0 {
		return nil, nil
	}
	var assignments []pulumi.Resource
	for _, one := range roles {
		assignment, err := authorization.NewRoleAssignment(ctx, name+"-"+one.name, &authorization.RoleAssignmentArgs{
			Scope:            vault.id,
			RoleDefinitionId: roleDefinitionID(vault.id, vault.name, one.role),
			PrincipalId:      args.Deployer.PrincipalID,
			PrincipalType:    pulumi.String(withDefault(args.Deployer.PrincipalType, PrincipalServicePrincipal)),
		}, pulumi.Parent(c), pulumi.IgnoreChanges([]string{"principalId", "principalType"}))
		if err != nil {
			return nil, fmt.Errorf("assigning the deployer's role: %w", err)
		}
		assignments = append(assignments, assignment)
	}
	honoured, err := retryUntilRole(ctx, c, name, func(err string) bool {
		return strings.Contains(err, "ForbiddenByRbac")
	})
	if err != nil {
		return nil, err
	}
	vault.objectOptions = append(slices.Clip(vault.objectOptions), pulumi.DependsOn(assignments), honoured)
	return assignments, nil
}

func (v *violations) validateDeployer(args *KeyVaultStackArgs) {
	if args.Deployer == nil {
		return
	}
	oneOf(v, "deployer.principalType", withDefault(args.Deployer.PrincipalType, PrincipalServicePrincipal),
		PrincipalUser, PrincipalGroup, PrincipalServicePrincipal)
}
