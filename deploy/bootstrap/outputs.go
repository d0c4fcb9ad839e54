package main

import (
	"fmt"
	"slices"
	"strings"

	managedidentity "github.com/pulumi/pulumi-azure-native-sdk/managedidentity/v2/v20230131"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/infra"
)

// outputs are the stack's outputs.
type outputs struct {
	client            infra.Client
	identities, setup pulumi.Map
}

func newOutputs(client infra.Client) *outputs {
	return &outputs{client: client, identities: pulumi.Map{}, setup: pulumi.Map{}}
}

func (o *outputs) add(one identityConfig, identity *managedidentity.UserAssignedIdentity) {
	o.identities[one.Name] = pulumi.Map{"clientId": identity.ClientId, "principalId": identity.PrincipalId}
	o.setup[one.Name] = identity.ClientId.ApplyT(func(clientID string) string {
		return strings.Join(one.setup(clientID, o.client), "\n")
	})
}

func (o *outputs) export(ctx *pulumi.Context, key secretsKey) {
	ctx.Export("identities", o.identities)
	ctx.Export("tenantId", pulumi.String(o.client.TenantID))
	ctx.Export("subscriptionId", pulumi.String(o.client.SubscriptionID))
	ctx.Export("secretsProvider", key.provider)
	ctx.Export("setup", o.setup)
}

// setup returns the commands that configure the identity on GitHub and GitLab. They contain no secret. In an
// environment, the variables have the names that the Azure provider expects. If a repository or a project has several
// identities, each has its own variable for the client id, and the workflow chooses.
func (one identityConfig) setup(clientID string, client infra.Client) []string {
	var commands []string
	add := func(format string, args ...any) {
		if command := fmt.Sprintf(format, args...); !slices.Contains(commands, command) {
			commands = append(commands, command)
		}
	}
	own := "ARM_CLIENT_ID_" + strings.ToUpper(strings.ReplaceAll(one.Name, "-", "_"))
	for _, g := range one.GitHub {
		id, where := own, "--repo "+g.Repository
		if g.Environment != "" {
			id, where = "ARM_CLIENT_ID", where+" --env "+quoted(g.Environment)
		}
		add("gh variable set %s %s --body %s", id, where, clientID)
		add("gh variable set ARM_TENANT_ID %s --body %s", where, client.TenantID)
		add("gh variable set ARM_SUBSCRIPTION_ID %s --body %s", where, client.SubscriptionID)
	}
	for _, g := range one.GitLab {
		protected := ""
		if one.May == mayDeploy { // for pipelines of protected branches and tags alone
			protected = " --protected"
		}
		add("glab variable set %s --repo %s%s --value %s", own, g.Project, protected, clientID)
		add("glab variable set ARM_TENANT_ID --repo %s --value %s", g.Project, client.TenantID)
		add("glab variable set ARM_SUBSCRIPTION_ID --repo %s --value %s", g.Project, client.SubscriptionID)
	}
	return commands
}

// quoted quotes a word for a shell.
func quoted(word string) string {
	if strings.ContainsFunc(word, func(r rune) bool {
		return !strings.ContainsRune("-_./", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return "'" + word + "'" // the configuration allows no quotes
	}
	return word
}
