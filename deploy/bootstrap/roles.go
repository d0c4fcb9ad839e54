package main

import (
	"fmt"
	"slices"

	"github.com/google/uuid"
	authorization "github.com/pulumi/pulumi-azure-native-sdk/authorization/v2/v20220401"
	definitions "github.com/pulumi/pulumi-azure-native-sdk/authorization/v2/v20220501preview"
	managedidentity "github.com/pulumi/pulumi-azure-native-sdk/managedidentity/v2/v20230131"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	rolefiles "github.com/keyvault-aks/keyvault-aks/docs/roles"
	"github.com/keyvault-aks/keyvault-aks/infra"
)

// Roles of docs/roles, by file name.
const (
	previewRole    = "preview"
	deployRole     = "deploy"
	assignRole     = "assign"           // in addition to deploy, with the condition
	operationsRole = "operations"       // in addition to deploy, at the subscription
	secretsRole    = "secrets-provider" // on the key
)

// roles are the custom roles of docs/roles that the identities need.
type roles struct {
	subscription string // ARM id
	condition    string // of assignments of assign
	defined      map[string]definition
}

type definition struct {
	id       string
	resource pulumi.Resource
}

// grant is a role at a scope.
type grant struct {
	role  string
	scope string // ARM id
	// suffix distinguishes the identity's assignments of the role.
	suffix string
}

// grants returns the roles of the identity, except the one on the key.
func (one identityConfig) grants(subscription string) []grant {
	scopes := []grant{{scope: subscription}}
	if len(one.ResourceGroups) > 0 {
		scopes = nil
		for _, group := range one.ResourceGroups {
			scopes = append(scopes, grant{scope: subscription + "/resourceGroups/" + group, suffix: "-" + group})
		}
	}
	var list []grant
	for _, at := range scopes {
		names := []string{previewRole}
		if one.May == mayDeploy {
			names = []string{deployRole, assignRole}
		}
		for _, name := range names {
			list = append(list, grant{role: name, scope: at.scope, suffix: at.suffix})
		}
	}
	if one.May == mayDeploy && len(one.ResourceGroups) > 0 {
		list = append(list, grant{role: operationsRole, scope: subscription})
	}
	return list
}

// newRoles defines the roles that are assigned, with the scopes of their assignments as assignable scopes.
func newRoles(ctx *pulumi.Context, cfg *config, subscriptionID string) (*roles, error) {
	r := &roles{subscription: "/subscriptions/" + subscriptionID, defined: map[string]definition{}}
	var err error
	if r.condition, err = rolefiles.AssignCondition(); err != nil {
		return nil, err
	}
	scopes := map[string][]string{}
	if cfg.SecretsProvider == secretsInVault {
		scopes[secretsRole] = []string{r.subscription}
	}
	for _, one := range cfg.Identities {
		for _, g := range one.grants(r.subscription) {
			if !slices.Contains(scopes[g.role], g.scope) {
				scopes[g.role] = append(scopes[g.role], g.scope)
			}
		}
	}
	for _, name := range []string{previewRole, deployRole, assignRole, operationsRole, secretsRole} {
		if len(scopes[name]) == 0 {
			continue
		}
		assignable := scopes[name]
		if slices.Contains(assignable, r.subscription) {
			assignable = []string{r.subscription}
		}
		if r.defined[name], err = r.define(ctx, name, subscriptionID, assignable); err != nil {
			return nil, fmt.Errorf("defining the role %s: %w", name, err)
		}
	}
	return r, nil
}

// define registers a role. Its id is derived from the subscription and the stack, so that plans for its assignments do
// not wait for it. Its name contains both, since a role's name is unique in a tenant.
func (r *roles) define(ctx *pulumi.Context, name, subscriptionID string, assignable []string) (definition, error) {
	role, err := rolefiles.Read(name)
	if err != nil {
		return definition{}, err
	}
	of := fmt.Sprintf("%s/%s/%s/%s", subscriptionID, ctx.Project(), ctx.Stack(), name)
	id := uuid.NewSHA1(uuid.NameSpaceURL, []byte(of)).String()
	resource, err := definitions.NewRoleDefinition(ctx, "role-"+name, &definitions.RoleDefinitionArgs{
		Scope:            pulumi.String(r.subscription),
		RoleDefinitionId: pulumi.String(id),
		RoleName:         pulumi.String(fmt.Sprintf("%s (%s, %s)", role.Name, ctx.Stack(), subscriptionID)),
		RoleType:         pulumi.String("CustomRole"),
		Description:      pulumi.String(role.Description),
		AssignableScopes: pulumi.ToStringArray(assignable),
		Permissions: definitions.PermissionArray{definitions.PermissionArgs{
			Actions:        pulumi.ToStringArray(role.Actions),
			NotActions:     pulumi.ToStringArray(role.NotActions),
			DataActions:    pulumi.ToStringArray(role.DataActions),
			NotDataActions: pulumi.ToStringArray(role.NotDataActions),
		}},
	})
	return definition{
		id: r.subscription + "/providers/Microsoft.Authorization/roleDefinitions/" + id, resource: resource,
	}, err
}

// assign assigns the identity's roles.
func (r *roles) assign(
	ctx *pulumi.Context, one identityConfig, identity *managedidentity.UserAssignedIdentity, key secretsKey,
) error {
	for _, g := range one.grants(r.subscription) {
		args := &authorization.RoleAssignmentArgs{Scope: pulumi.String(g.scope)}
		if g.role == assignRole {
			args.Condition, args.ConditionVersion = pulumi.String(r.condition), pulumi.String("2.0")
		}
		name := one.Name + "_" + g.role + g.suffix
		if err := r.assignTo(ctx, name, g.role, identity.PrincipalId, args, pulumi.Parent(identity)); err != nil {
			return err
		}
	}
	if key.id == nil {
		return nil
	}
	args := &authorization.RoleAssignmentArgs{Scope: key.id}
	return r.assignTo(ctx, one.Name+"_"+secretsRole, secretsRole, identity.PrincipalId, args, pulumi.Parent(identity))
}

// assignToDeployer lets the first deployer use the key.
func (r *roles) assignToDeployer(ctx *pulumi.Context, client infra.Client, key secretsKey) error {
	args := &authorization.RoleAssignmentArgs{Scope: key.id, PrincipalType: pulumi.String(client.PrincipalType())}
	return r.assignTo(ctx, "deployer_"+secretsRole, secretsRole, pulumi.String(client.ObjectID), args,
		pulumi.IgnoreChanges([]string{"principalId", "principalType"}))
}

func (r *roles) assignTo(
	ctx *pulumi.Context, name, role string, principalID pulumi.StringInput, args *authorization.RoleAssignmentArgs,
	opts ...pulumi.ResourceOption,
) error {
	args.PrincipalId, args.RoleDefinitionId = principalID, pulumi.String(r.defined[role].id)
	if args.PrincipalType == nil { // without it, Azure looks the principal up and may not find a fresh one
		args.PrincipalType = pulumi.String("ServicePrincipal")
	}
	opts = append(opts, pulumi.DependsOn([]pulumi.Resource{r.defined[role].resource}))
	if _, err := authorization.NewRoleAssignment(ctx, name, args, opts...); err != nil {
		return fmt.Errorf("assigning the role %s: %w", role, err)
	}
	return nil
}
