package tests

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// bootstrapIdentities are the identities of pipelines on GitHub, GitLab and Pulumi Deployments.
var bootstrapIdentities = []map[string]any{
	{
		"name":   "preview",
		"may":    "preview",
		"github": []any{map[string]any{"repository": "acme/shop", "pullRequests": true}},
	},
	{
		"name":   "dev",
		"may":    "deploy",
		"github": []any{map[string]any{"repository": "acme/shop", "environment": "dev"}},
		"gitlab": []any{map[string]any{"project": "acme/platform/shop", "branch": "main"}},
		"pulumi": []any{
			map[string]any{"organization": "acme", "project": "keyvault-aks", "stack": "dev", "operation": "update"},
		},
		"esc": []any{map[string]any{"organization": "acme", "project": "azure", "environment": "dev"}},
	},
	{
		"name": "prod", "may": "deploy", "resourceGroups": []any{"keyvault-prod"},
		"github": []any{map[string]any{"repository": "acme/shop", "environment": "prod"}},
	},
	{
		"name":           "review",
		"may":            "preview",
		"resourceGroups": []any{"keyvault-prod"},
		"github": []any{
			map[string]any{"repository": "acme/payments", "ownerId": 123456, "repositoryId": 456789, "pullRequests": true},
		},
	},
}

// bootstrapped has the outputs of deploy/bootstrap.
type bootstrapped struct {
	Identities               map[string]struct{ ClientID, PrincipalID string }
	TenantID, SubscriptionID string
	SecretsProvider          string
	Setup                    map[string]string
}

// TestBootstrap brings deploy/bootstrap up and checks that pipelines of each kind sign in as their identities and have
// only their rights. Two identities bring a stack up and down. In the end destroy leaves nothing.
func TestBootstrap(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.start(t)
	subscription := "/subscriptions/" + c.running(t).Credentials.SubscriptionID
	c.arm(t, http.MethodPut, subscription+"/resourceGroups/keyvault-prod", "2022-09-01", `{"location": "eastus"}`)
	// The person who runs it is not an owner of the subscription.
	person := c.newPrincipal(t)
	for _, role := range []string{"b24988ac-6180-42a0-ab88-20f7382dd24c", "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"} {
		c.role(t, subscription, role, person.ObjectID) // Contributor and User Access Administrator
	}
	before, rolesBefore := c.resources(t), c.customRoles(t)

	p := newProgram(t, c, "deploy/bootstrap", map[string]string{
		"keyvault-aks-bootstrap:identities": asJSON(t, bootstrapIdentities), "keyvault-aks-bootstrap:keyForDeployer": "true",
	})
	p.besides = person.environment(c.running(t).Credentials.TenantID)
	p.up(t)
	p.pulumi(t, "up", "--yes", "--skip-preview", "--expect-no-changes")
	p.pulumi(t, "preview", "--refresh", "--expect-no-changes")
	// Change the list: one identity gains and loses two credentials, and another is added before it and removed.
	p.configure(t, map[string]string{"keyvault-aks-bootstrap:identities": asJSON(t, slices.Concat([]map[string]any{
		{
			"name": "another",
			"may":  "preview",
			"esc":  []any{map[string]any{"organization": "acme", "project": "azure", "environment": "another"}},
		},
		{
			"name": "dev", "may": "deploy", "github": []any{
				map[string]any{"repository": "acme/shop", "branch": "first"},
				map[string]any{"repository": "acme/shop", "tag": "v1"},
				map[string]any{"repository": "acme/shop", "environment": "dev"},
			},
		},
	}, bootstrapIdentities[2:]))})
	p.up(t)
	p.configure(t, map[string]string{"keyvault-aks-bootstrap:identities": asJSON(t, bootstrapIdentities)})
	p.up(t)
	p.pulumi(t, "preview", "--expect-no-changes")
	var made bootstrapped
	p.outputs(t, &made)

	t.Run("sign-ins", func(t *testing.T) { c.wantSignIns(t, made) })
	t.Run("rights", func(t *testing.T) { c.wantRights(t, made, subscription) })
	t.Run("dev stack", func(t *testing.T) { c.wantDevBy(t, made) })
	t.Run("stack in an existing group", func(t *testing.T) { c.wantDevIn(t, made, "keyvault-prod") })
	if t.Failed() {
		return
	}

	there := c.resources(t)
	if _, err := p.tryPulumi(t, "destroy", "--yes"); err == nil || !strings.Contains(err.Error(), "protect") {
		t.Errorf("destroy of protected resources: got %v, want an error", err)
	}
	if now := c.resources(t); !slices.Equal(now, there) {
		t.Errorf("after the rejected destroy there is %v, want %v", now, there)
	}
	p.configure(t, map[string]string{"keyvault-aks-bootstrap:protect": "false"})
	p.up(t)
	p.pulumi(t, "destroy", "--yes", "--skip-preview")
	if left := c.resources(t); !slices.Equal(withoutDeleted(left), before) {
		t.Errorf("after destroy there is %v, want %v", left, before)
	}
	if roles := c.customRoles(t); !slices.Equal(roles, rolesBefore) {
		t.Errorf("after destroy there are the roles %v, want %v", roles, rolesBefore)
	}
}

// customRoles returns the sorted ids of the subscription's custom roles.
func (c *cloud) customRoles(t *testing.T) (ids []string) {
	t.Helper()
	subscription := "/subscriptions/" + c.running(t).Credentials.SubscriptionID
	list := subscription + "/providers/Microsoft.Authorization/roleDefinitions"
	for _, one := range c.arm(t, http.MethodGet, list, "2022-04-01", "")["value"].([]any) {
		if one := one.(map[string]any); one["properties"].(map[string]any)["type"] == "CustomRole" {
			ids = append(ids, one["id"].(string))
		}
	}
	slices.Sort(ids)
	return ids
}

// signIn exchanges a CI token for a token of Entra ID as a client. The scope defaults to Resource Manager. It returns
// either the token or Entra ID's error.
func (c *cloud) signIn(t *testing.T, clientID, assertion string, scope ...string) (token, refusal string) {
	t.Helper()
	_, options, running := c.azure(t)
	form := url.Values{
		"grant_type":            {"client_credentials"},
		"client_id":             {clientID},
		"scope":                 append(scope, "https://management.azure.com/.default")[:1],
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {assertion},
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		"https://login.microsoftonline.com/"+running.Credentials.TenantID+"/oauth2/v2.0/token",
		strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	status, content := send(t, options.Transport, req)
	var answer struct {
		AccessToken      string `json:"access_token"`
		ErrorDescription string `json:"error_description"`
	}
	if err := json.Unmarshal(content, &answer); err != nil || (status == http.StatusOK) != (answer.AccessToken != "") {
		t.Fatalf("Entra ID returns %d %s", status, content)
	}
	return answer.AccessToken, answer.ErrorDescription
}

// wantSignIns tries every subject with every identity.
func (c *cloud) wantSignIns(t *testing.T, made bootstrapped) {
	t.Helper()
	for _, one := range []struct{ ci, subject, audience, as string }{
		{"github", "repo:acme/shop:pull_request", "", "preview"},
		{"github", "repo:acme/shop:environment:dev", "", "dev"},
		{"github", "repo:acme/shop:environment:prod", "", "prod"},
		{"github", "repo:acme@123456/payments@456789:pull_request", "", "review"},
		{"gitlab", "project_path:acme/platform/shop:ref_type:branch:ref:main", "", "dev"},
		{"pulumi", "pulumi:deploy:org:acme:project:keyvault-aks:stack:dev:operation:update:scope:write", "", "dev"},
		{"pulumi", "pulumi:environments:org:acme:env:azure/dev", "", "dev"},

		{"github", "repo:acme/other:environment:prod", "", ""},
		{"github", "repo:acme/other:pull_request", "", ""},
		{"github", "repo:evil/shop:pull_request", "", ""}, // a fork's own workflows
		{"github", "repo:acme/shop:environment:staging", "", ""},
		{"github", "repo:acme/shop:environment:Prod", "", ""},
		{"github", "repo:acme/shop:ref:refs/heads/main", "", ""},
		{"github", "repo:acme@123456/shop@456789:environment:prod", "", ""}, // a later owner of the name
		{"github", "repo:acme@654321/payments@456789:pull_request", "", ""},
		{"github", "repo:acme/payments:pull_request", "", ""},
		{"github", "repo:acme/shop:environment:prod", "https://github.com/acme", ""},
		{"gitlab", "project_path:acme/platform/shop:ref_type:branch:ref:change", "", ""},
		{"gitlab", "project_path:acme/platform/shop:ref_type:tag:ref:main", "", ""},
		{"gitlab", "project_path:evil/platform/shop:ref_type:branch:ref:main", "", ""},
		{"pulumi", "pulumi:deploy:org:acme:project:keyvault-aks:stack:dev:operation:preview:scope:write", "", ""},
		{"pulumi", "pulumi:deploy:org:evil:project:keyvault-aks:stack:dev:operation:update:scope:write", "", ""},
		{"pulumi", "pulumi:environments:org:acme:env:azure/prod", "", ""},
	} {
		args := []string{one.ci, "--subject", one.subject}
		if one.audience != "" {
			args = append(args, "--audience", one.audience)
		}
		assertion := c.ciToken(t, args...)
		for name, identity := range made.Identities {
			token, refusal := c.signIn(t, identity.ClientID, assertion)
			if (token != "") != (name == one.as) {
				t.Errorf("%s for %q as %s: signed in: %t, want %t; %s", one.subject, one.audience, name, token != "",
					name == one.as, refusal)
			}
		}
	}
}

// wantRights checks with single requests what the identities may do.
func (c *cloud) wantRights(t *testing.T, made bootstrapped, subscription string) {
	t.Helper()
	tokens := map[string]string{}
	for name, subject := range map[string]string{
		"preview": "repo:acme/shop:pull_request", "dev": "repo:acme/shop:environment:dev",
		"prod": "repo:acme/shop:environment:prod",
	} {
		token, refusal := c.signIn(t, made.Identities[name].ClientID, c.ciToken(t, "github", "--subject", subject))
		if token == "" {
			t.Fatal(refusal)
		}
		tokens[name] = token
	}
	groups := subscription + "/resourceGroups/"
	identity := func(group string) string {
		return groups + group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/tried"
	}
	assignment := func(scope, n string) string {
		return scope + "/providers/Microsoft.Authorization/roleAssignments/00000000-0000-4000-8000-00000000000" + n
	}
	role := func(id string) string {
		return fmt.Sprintf(`{"properties": {"roleDefinitionId": "%s/providers/Microsoft.Authorization/roleDefinitions/%s",
			"principalId": %q, "principalType": "ServicePrincipal"}}`, subscription, id, made.Identities["preview"].PrincipalID)
	}
	const (
		owner           = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
		secretsUser     = "4633458b-17de-408a-b874-0445c86b69e6" // a role that the stacks assign
		location        = `{"location": "eastus"}`
		groupsVersion   = "2022-09-01"
		identityVersion = "2023-01-31"
		rolesVersion    = "2022-04-01"
	)
	credential := groups + "keyvault-bootstrap/providers/Microsoft.ManagedIdentity/userAssignedIdentities/ci-prod" +
		"/federatedIdentityCredentials/mine"
	const trust = `{"properties": {"issuer": "https://gitlab.com", "subject": "mine",
		"audiences": ["api://AzureADTokenExchange"]}}`
	for _, one := range []struct {
		as, method, path, version, body string
		allowed                         bool
	}{
		{"preview", http.MethodGet, groups + "keyvault-prod", groupsVersion, "", true},
		{"preview", http.MethodPut, groups + "tried", groupsVersion, location, false},
		{"preview", http.MethodPut, identity("keyvault-prod"), identityVersion, location, false},
		{"preview", http.MethodDelete, groups + "keyvault-prod", groupsVersion, "", false},
		{"preview", http.MethodPut, assignment(subscription, "1"), rolesVersion, role(owner), false},
		{"preview", http.MethodPut, assignment(subscription, "2"), rolesVersion, role(secretsUser), false},
		{"preview", http.MethodPut, credential, identityVersion, trust, false},

		{"dev", http.MethodPut, groups + "tried", groupsVersion, location, true},
		{"dev", http.MethodPut, identity("tried"), identityVersion, location, true},
		{"dev", http.MethodPut, assignment(groups+"tried", "3"), rolesVersion, role(owner), false},
		{"dev", http.MethodPut, assignment(groups+"tried", "4"), rolesVersion, role(secretsUser), true},
		{"dev", http.MethodDelete, groups + "tried", groupsVersion, "", true},

		{"prod", http.MethodGet, groups + "keyvault-prod", groupsVersion, "", true},
		{"prod", http.MethodPut, identity("keyvault-prod"), identityVersion, location, true},
		{"prod", http.MethodPut, assignment(groups+"keyvault-prod", "5"), rolesVersion, role(owner), false},
		{"prod", http.MethodPut, assignment(groups+"keyvault-prod", "6"), rolesVersion, role(secretsUser), true},
		{"prod", http.MethodDelete, assignment(groups+"keyvault-prod", "6"), rolesVersion, "", true},
		{"prod", http.MethodDelete, identity("keyvault-prod"), identityVersion, "", true},
		{"prod", http.MethodPut, groups + "tried", groupsVersion, location, false},
		{"prod", http.MethodGet, groups + "keyvault-bootstrap", groupsVersion, "", false},
		{"prod", http.MethodPut, credential, identityVersion, trust, false},
	} {
		status, content := c.requestAs(t, tokens[one.as], one.method,
			"https://management.azure.com"+one.path+"?api-version="+one.version, one.body)
		refused := status == http.StatusForbidden && strings.Contains(string(content), "AuthorizationFailed")
		if one.allowed && status >= 300 || !one.allowed && !refused {
			t.Errorf("%s: %s %s: %d %s, want it allowed: %t", one.as, one.method, one.path, status, content, one.allowed)
		}
	}
	// An identity that may encrypt and decrypt with the key, as the engine does below, may do nothing else in its vault.
	vault, _, _ := strings.Cut(strings.TrimPrefix(made.SecretsProvider, "azurekeyvault://"), "/")
	token, refusal := c.signIn(t, made.Identities["preview"].ClientID,
		c.ciToken(t, "github", "--subject", "repo:acme/shop:pull_request"), "https://vault.azure.net/.default")
	if token == "" {
		t.Fatal(refusal)
	}
	for _, one := range []struct {
		method, path, body string
	}{
		{http.MethodGet, "keys/pulumi-secrets", ""},
		{http.MethodPatch, "keys/pulumi-secrets", `{"attributes": {"enabled": false}}`},
		{http.MethodDelete, "keys/pulumi-secrets", ""},
		{http.MethodGet, "keys", ""},
		{http.MethodPut, "secrets/mine", `{"value": "mine"}`},
	} {
		status, content := c.requestAs(t, token, one.method, "https://"+vault+"/"+one.path+"?api-version=7.4", one.body)
		if status != http.StatusForbidden {
			t.Errorf("%s %s of the vault: %d %s, want 403", one.method, one.path, status, content)
		}
	}
	eventually(t, "the group is deleted", func() bool {
		url := "https://management.azure.com" + groups + "tried?api-version=" + groupsVersion
		status, _ := c.request(t, http.MethodGet, url, "")
		return status == http.StatusNotFound
	})
}

// wantDevBy brings the dev stack up and down in jobs that have no secret, and checks that a pull request's job cannot
// change anything.
func (c *cloud) wantDevBy(t *testing.T, made bootstrapped) {
	t.Helper()
	config := configuredTexts(t, "dev")
	delete(config, "keyvault-aks:secrets")
	config["keyvault-aks:secrets!"] = `[{"name":"my-secret","value":"encrypted-marker"}]`
	pullRequest := c.jobOf(t, made, "preview", "repo:acme/shop:pull_request")
	dev := c.jobOf(t, made, "dev", "repo:acme/shop:environment:dev")
	p := c.newProgramOfJob(t, made, dev, config)
	rotate := c.keyRotation(t, made)
	before := c.resources(t)
	wantRefused := func(args ...string) {
		t.Helper()
		there := c.resources(t)
		if _, err := p.tryPulumi(t, args...); err == nil || !strings.Contains(err.Error(), "AuthorizationFailed") {
			t.Errorf("a pull request's %s: got %v, want AuthorizationFailed", args[0], err)
		}
		if now := c.resources(t); !slices.Equal(now, there) {
			t.Errorf("after a pull request's %s there is %v, want %v", args[0], now, there)
		}
	}
	p.besides = pullRequest
	p.pulumi(t, "preview")
	wantRefused("up", "--yes", "--skip-preview")

	p.besides = dev
	p.up(t)
	p.pulumi(t, "up", "--yes", "--skip-preview", "--expect-no-changes")
	file, err := os.ReadFile(filepath.Join(p.dir, "Pulumi.test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"configuration": string(file), "state": p.pulumi(t, "stack", "export")} {
		if strings.Contains(text, "encrypted-marker") || !strings.Contains(text, made.SecretsProvider) {
			t.Errorf("the stack's %s has the secret in plain text, or uses another key than %s:\n%s", what,
				made.SecretsProvider, text)
		}
	}

	p.besides = pullRequest
	p.pulumi(t, "preview", "--expect-no-changes")
	p.configure(t, map[string]string{"keyvault-aks:tags": `{"team":"a"}`})
	p.pulumi(t, "preview", "--diff")
	wantRefused("up", "--yes", "--skip-preview")

	for _, stranger := range []string{"repo:acme/other:environment:dev", "repo:acme/shop:environment:staging"} {
		p.besides = c.jobOf(t, made, "dev", stranger)
		if _, err := p.tryPulumi(t, "preview"); err == nil || !strings.Contains(err.Error(), "AADSTS7002") {
			t.Errorf("a job of %s: got %v, want no token", stranger, err)
		}
		// With dev's token for the key, and its own for Azure.
		p.besides = append(slices.Clone(dev), "ARM_OIDC_TOKEN="+c.ciToken(t, "github", "--subject", stranger))
		if _, err := p.tryPulumi(t, "preview"); err == nil || !strings.Contains(err.Error(), "AADSTS7002") {
			t.Errorf("a job of %s with the stack's key: got %v, want no token", stranger, err)
		}
	}

	p.besides = dev
	p.up(t)

	// After a rotation of the key, the stacks' secrets are unreadable until they name the former version.
	former := made.SecretsProvider + "/" + rotate()
	if _, err := p.tryPulumi(t, "preview"); err == nil || !strings.Contains(err.Error(), "BadParameter") {
		t.Errorf("after a rotation of the key: got %v, want BadParameter", err)
	}
	state := filepath.Join(t.TempDir(), "state.json")
	for name, text := range map[string]string{
		filepath.Join(p.dir, "Pulumi.test.yaml"): string(file), state: p.pulumi(t, "stack", "export"),
	} {
		if err := os.WriteFile(name, []byte(strings.ReplaceAll(text, made.SecretsProvider, former)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.pulumi(t, "stack", "import", "--file", state)
	p.configure(t, map[string]string{"keyvault-aks:tags": `{"team":"a"}`})
	p.pulumi(t, "preview", "--expect-no-changes")
	p.pulumi(t, "stack", "change-secrets-provider", made.SecretsProvider)
	p.pulumi(t, "preview", "--expect-no-changes")

	p.pulumi(t, "destroy", "--yes", "--skip-preview")
	p.pulumi(t, "stack", "rm", "--yes")
	if left := c.resources(t); !slices.Equal(withoutDeleted(left), before) {
		t.Errorf("the stack has left %v, before %v", left, before)
	}
}

// wantDevIn brings the dev stack up and down in an existing group. The identity of the deploying job has rights in that
// group only, and another identity previews there.
func (c *cloud) wantDevIn(t *testing.T, made bootstrapped, group string) {
	t.Helper()
	config := configuredTexts(t, "dev")
	config["keyvault-aks:existingResourceGroup"], config["keyvault-aks:resourceGroupName"] = "true", group
	// Event Grid also requires rights at the subscription.
	config["keyvault-aks:vaultExpiryEvents"] = `{"emails": ["somebody@example.com"]}`
	prod := c.jobOf(t, made, "prod", "repo:acme/shop:environment:prod")
	pullRequest := c.jobOf(t, made, "review", "repo:acme@123456/payments@456789:pull_request")
	p := c.newProgramOfJob(t, made, prod, config)
	before := c.resources(t)
	p.besides = pullRequest
	p.pulumi(t, "preview")
	p.besides = prod
	p.up(t)
	p.pulumi(t, "up", "--yes", "--skip-preview", "--expect-no-changes")
	p.besides = pullRequest
	p.pulumi(t, "preview", "--refresh", "--expect-no-changes")
	p.besides = prod
	p.pulumi(t, "destroy", "--yes", "--skip-preview")
	p.pulumi(t, "stack", "rm", "--yes")
	if left := c.resources(t); !slices.Equal(withoutDeleted(left), withoutDeleted(before)) {
		t.Errorf("the stack has left %v, before %v", left, before)
	}
}

// keyRotation lets the subscription's owner rotate the key. The function it returns rotates it and returns the former
// version.
func (c *cloud) keyRotation(t *testing.T, made bootstrapped) func() string {
	t.Helper()
	host, key, _ := strings.Cut(strings.TrimPrefix(made.SecretsProvider, "azurekeyvault://"), "/")
	vault, _, _ := strings.Cut(host, ".")
	group := "/subscriptions/" + made.SubscriptionID + "/resourceGroups/keyvault-bootstrap"
	grant(t, c, group+"/providers/Microsoft.KeyVault/vaults/"+vault, cryptoOfficer)
	return func() string {
		t.Helper()
		ask := func(method, path string) (bundle struct{ Key struct{ Kid string } }) {
			owner, _, _ := c.azure(t)
			token, err := owner.GetToken(t.Context(),
				policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}})
			if err != nil {
				t.Fatal(err)
			}
			status, content := c.requestAs(t, token.Token, method, "https://"+host+"/"+key+path+"?api-version=7.4", "")
			if err := json.Unmarshal(content, &bundle); err != nil || status != http.StatusOK {
				t.Fatalf("%s of the key: %d %s", method, status, content)
			}
			return bundle
		}
		version := path.Base(ask(http.MethodGet, "").Key.Kid)
		ask(http.MethodPost, "/rotate")
		return version
	}
}

// jobOf returns the environment of a GitHub job that signs in as one of the identities. It contains no secret.
func (c *cloud) jobOf(t *testing.T, made bootstrapped, name, subject string) []string {
	t.Helper()
	identity := made.Identities[name]
	token := c.ciToken(t, "github", "--subject", subject)
	return c.withToken(t, principal{ClientID: identity.ClientID, ObjectID: identity.PrincipalID}, token)
}

// newProgramOfJob creates a stack of the program as a job, with secrets that the bootstrap's key encrypts.
func (c *cloud) newProgramOfJob(t *testing.T, made bootstrapped, job []string, config map[string]string) *program {
	t.Helper()
	p := &program{cloud: c, dir: filepath.Join(c.home, "programs", "of-job"), besides: job}
	builtIn(t, checkout, p.dir)
	p.pulumi(t, "stack", "init", "test", "--secrets-provider", made.SecretsProvider)
	p.configure(t, config)
	return p
}

// withoutDeleted returns the ids without those of soft-deleted vaults.
func withoutDeleted(ids []string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return strings.Contains(id, "/deletedvaults/") })
}
