package components

import (
	"fmt"
	"strings"

	authorization "github.com/pulumi/pulumi-azure-native-sdk/authorization/v2/v20220401"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// access is what mounting a type of object requires.
type access struct {
	// collection is the vault's collection of such objects, a part of a role's scope.
	collection string
	role       role
}

// role is a built-in role: https://learn.microsoft.com/azure/key-vault/general/rbac-guide
type role struct {
	id string
	// suffix names an assignment of the role on the vault.
	suffix string
}

// The least privileged roles with which the provider can read what it mounts. Both allow listing an object's versions,
// with the scope of the object: .../secrets/readMetadata/action in the first, .../*/read in the second.
var (
	keyVaultSecretsUser = role{id: "4633458b-17de-408a-b874-0445c86b69e6", suffix: "secrets-user"}
	// keyVaultReader allows reading public keys and certificates, but no secret's value.
	keyVaultReader = role{id: "21090545-7ca7-4776-b22c-e363652d74d2", suffix: "reader"}
)

var accessByType = map[ObjectType]access{
	ObjectSecret:      {collection: "secrets", role: keyVaultSecretsUser},
	ObjectKey:         {collection: "keys", role: keyVaultReader},
	ObjectCertificate: {collection: "certificates", role: keyVaultReader},
}

// grant is one role assignment.
type grant struct {
	// name is the assignment's name, without the component's name and a dash in front.
	name string
	// scope is appended to the vault's id. Empty for the vault itself.
	scope string
	role  string
}

// grantsFor returns the role assignments that mounting the objects requires: one for each object no matter how often it
// is mounted, one for each role on the vault, or none.
func grantsFor(mode Access, objects []ObjectArgs) []grant {
	if mode == AccessNone {
		return nil
	}
	var grants []grant
	seen := map[string]bool{}
	for _, o := range objects {
		needed := accessByType[o.Type]
		one := grant{
			name:  fmt.Sprintf("role-%s-%s", o.Type, strings.ToLower(o.Name)),
			scope: "/" + needed.collection + "/" + o.Name,
			role:  needed.role.id,
		}
		if mode == AccessVault {
			one = grant{name: "role-vault-" + needed.role.suffix, role: needed.role.id}
		}
		if !seen[one.name] {
			seen[one.name] = true
			grants = append(grants, one)
		}
	}
	return grants
}

func (c *SecretMount) newRoleAssignments(
	ctx *pulumi.Context, name string, args *SecretMountArgs,
) ([]pulumi.Resource, error) {
	var assignments []pulumi.Resource
	for _, one := range grantsFor(withDefault(args.Access, AccessObject), args.Objects) {
		assignment, err := authorization.NewRoleAssignment(ctx, name+"-"+one.name, &authorization.RoleAssignmentArgs{
			Scope:            pulumi.Sprintf("%s%s", args.VaultID, one.scope),
			RoleDefinitionId: roleDefinitionID(args.VaultID, args.VaultName, one.role),
			PrincipalId:      args.PrincipalID,
			// Without the type, Azure looks the principal up and may not find a new one.
			PrincipalType: pulumi.String("ServicePrincipal"),
		}, pulumi.Parent(c))
		if err != nil {
			return nil, fmt.Errorf("assigning %s: %w", one.name, err)
		}
		assignments = append(assignments, assignment)
	}
	return assignments, nil
}

// logAccess logs what the identity may do beyond reading the latest versions of the mounted objects.
func (c *SecretMount) logAccess(ctx *pulumi.Context, args *SecretMountArgs) error {
	var history []string
	secrets := false
	for _, o := range args.Objects {
		secrets = secrets || o.Type == ObjectSecret
		if o.hasHistory() {
			history = append(history, string(o.Type)+" "+o.Name)
		}
	}
	var said []string
	if args.Access == AccessVault && secrets {
		said = append(said, "the identity may read every secret of the vault, since access is vault")
	}
	if len(history) > 0 && args.Access == AccessNone {
		said = append(said, "the identity must be allowed to list the versions of "+strings.Join(history, ", "))
	} else if len(history) > 0 {
		said = append(said, "the identity's role lets it list the versions of "+strings.Join(history, ", "))
	}
	if len(said) == 0 {
		return nil
	}
	return ctx.Log.Info(strings.Join(said, "; "), &pulumi.LogArgs{Resource: c})
}

// roleDefinitionID returns the id of a built-in role in the vault's subscription. The vault's id and name must match,
// since roles on one vault do not help to mount from another.
func roleDefinitionID(id, name pulumi.StringInput, role string) pulumi.StringOutput {
	return pulumi.All(id, name).ApplyT(func(vault []any) (string, error) {
		match := vaultID.FindStringSubmatch(vault[0].(string))
		if match == nil {
			return "", invalid("vaultId", notShown, "the ARM id of a vault")
		}
		if !strings.EqualFold(match[3], vault[1].(string)) {
			return "", invalid("vaultName", notShown, "the name of the vault in vaultId")
		}
		return roleDefinition(match[1], role), nil
	}).(pulumi.StringOutput)
}
