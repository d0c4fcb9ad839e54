package components

import (
	"fmt"
	"regexp"
	"strings"

	authorization "github.com/pulumi/pulumi-azure-native-sdk/authorization/v2/v20220401"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// access is what it takes to mount one type of object.
type access struct {
	// collection is where the vault keeps such objects, as part of a role's scope.
	collection string
	// role is the least built-in role that lets the provider read what it mounts:
	// https://learn.microsoft.com/azure/key-vault/general/rbac-guide
	role string
}

const (
	keyVaultSecretsUser = "4633458b-17de-408a-b874-0445c86b69e6"
	// keyVaultReader reads public keys and certificates, but no secret's value.
	keyVaultReader = "21090545-7ca7-4776-b22c-e363652d74d2"
)

var accessByType = map[string]access{
	"secret": {collection: "secrets", role: keyVaultSecretsUser},
	"key":    {collection: "keys", role: keyVaultReader},
	"cert":   {collection: "certificates", role: keyVaultReader},
}

// newRoleAssignments gives the principal the least role on exactly the objects, once for each object however often it is
// mounted.
func newRoleAssignments(ctx *pulumi.Context, name string, vaultID, principalID pulumi.StringInput, objects []ObjectArgs, parent pulumi.Resource) ([]pulumi.Resource, error) {
	var assignments []pulumi.Resource
	assigned := map[string]bool{}
	for _, object := range objects {
		grant := accessByType[object.Type]
		target := grant.collection + "/" + strings.ToLower(object.Name)
		if assigned[target] {
			continue
		}
		assigned[target] = true
		assignment, err := authorization.NewRoleAssignment(ctx, fmt.Sprintf("%s-role-%s-%s", name, object.Type, strings.ToLower(object.Name)),
			&authorization.RoleAssignmentArgs{
				Scope:            pulumi.Sprintf("%s/%s/%s", vaultID, grant.collection, object.Name),
				RoleDefinitionId: roleDefinitionID(vaultID, grant.role),
				PrincipalId:      principalID,
				// Without the type, Azure looks the principal up and may not find a fresh one.
				PrincipalType: pulumi.String("ServicePrincipal"),
			}, pulumi.Parent(parent))
		if err != nil {
			return nil, fmt.Errorf("assigning the role for %s %s: %w", object.Type, object.Name, err)
		}
		assignments = append(assignments, assignment)
	}
	return assignments, nil
}

var vaultID = regexp.MustCompile(`(?i)^(/subscriptions/[^/]+)/resourceGroups/[^/]+/providers/Microsoft\.KeyVault/vaults/[^/]+$`)

// roleDefinitionID is a built-in role's id in the vault's subscription.
func roleDefinitionID(vault pulumi.StringInput, role string) pulumi.StringOutput {
	return vault.ToStringOutput().ApplyT(func(id string) (string, error) {
		match := vaultID.FindStringSubmatch(id)
		if match == nil {
			return "", Violations{{Path: "vaultId", Given: quote(id), Allowed: "the ARM id of a vault"}}
		}
		return match[1] + "/providers/Microsoft.Authorization/roleDefinitions/" + role, nil
	}).(pulumi.StringOutput)
}
