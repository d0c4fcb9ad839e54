package tests

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/google/uuid"
)

// ciIdentity creates a managed identity that trusts GitHub Actions jobs with a subject, and gives it the roles in files
// of docs/roles.
func (c *cloud) ciIdentity(t *testing.T, name, subject string, files ...string) principal {
	t.Helper()
	group := "/subscriptions/" + c.running(t).Credentials.SubscriptionID + "/resourceGroups/ci"
	c.arm(t, http.MethodPut, group, "2022-09-01", `{"location": "eastus"}`)
	id := group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + name
	properties := c.arm(t, http.MethodPut, id, "2023-01-31", `{"location": "eastus"}`)["properties"].(map[string]any)
	c.trust(t, name, "github", "https://token.actions.githubusercontent.com", subject, "api://AzureADTokenExchange")
	made := principal{
		ClientID: properties["clientId"].(string),
		ObjectID: properties["principalId"].(string),
		files:    files,
		may:      map[string]bool{},
	}
	c.giveRoles(t, made)
	return made
}

// trust makes an identity of ciIdentity trust an issuer's tokens with a subject.
func (c *cloud) trust(t *testing.T, identity, name, issuer, subject, audience string) {
	t.Helper()
	group := "/subscriptions/" + c.running(t).Credentials.SubscriptionID + "/resourceGroups/ci"
	id := group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + identity
	body := asJSON(t, map[string]any{"properties": map[string]any{
		"issuer": issuer, "subject": subject, "audiences": []string{audience},
	}})
	c.arm(t, http.MethodPut, id+"/federatedIdentityCredentials/"+name, "2023-01-31", body)
}

// role assigns a built-in role to a principal.
func (c *cloud) role(t *testing.T, scope, role, objectID string) {
	t.Helper()
	c.arm(t, http.MethodPut, scope+"/providers/Microsoft.Authorization/roleAssignments/"+uuid.NewString(), "2022-04-01",
		asJSON(t, map[string]any{"properties": map[string]any{
			"roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/" + role,
			"principalId":      objectID,
			"principalType":    "ServicePrincipal",
		}}))
}

// ciToken returns what `localcloud ci-token` prints.
func (c *cloud) ciToken(t *testing.T, args ...string) string {
	t.Helper()
	cmd := c.command(t, append([]string{"ci-token"}, args...)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("localcloud ci-token: %v\n%s", err, &errs)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// asJob returns the environment of a GitHub Actions job that may request tokens and signs in as an identity. It
// contains no secret.
func (c *cloud) asJob(t *testing.T, identity principal, subject string) []string {
	t.Helper()
	env := c.withoutSecret(t, identity)
	for line := range strings.Lines(c.ciToken(t, "github", "--subject", subject, "--request")) {
		name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		if !ok {
			t.Fatalf("localcloud ci-token --request prints %q", line)
		}
		env = append(env, name+"="+strings.Trim(value, "'"))
	}
	return env
}

// withToken returns the environment of a job that has one token and cannot request another, such as a GitLab job.
func (c *cloud) withToken(t *testing.T, identity principal, token string) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	return append(c.withoutSecret(t, identity), "ARM_OIDC_TOKEN="+token, "AZURE_FEDERATED_TOKEN_FILE="+file)
}

func (c *cloud) withoutSecret(t *testing.T, identity principal) []string {
	t.Helper()
	return []string{
		"ARM_CLIENT_SECRET=",
		"AZURE_CLIENT_SECRET=",
		"ARM_USE_OIDC=true",
		"ARM_CLIENT_ID=" + identity.ClientID,
		"AZURE_CLIENT_ID=" + identity.ClientID,
		"AZURE_TENANT_ID=" + c.running(t).Credentials.TenantID,
		"AZURE_AUTHORITY_HOST=https://login.microsoftonline.com/",
	}
}

// TestCI_DeploysWithoutSecret brings a stack up as a GitHub job: azure-native and kubelogin sign in with the job's
// tokens. Jobs with a single token can preview it, and a pull request's job gets no token.
func TestCI_DeploysWithoutSecret(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.start(t)
	const prod, change = "repo:octo-org/octo-repo:environment:prod", "repo:octo-org/octo-repo:pull_request"
	deployer := c.ciIdentity(t, "ci-prod", prod, "deploy.json", "assign.json")
	config := configuredTexts(t, "dev")
	config["keyvault-aks:entra"] = `{"login":"workloadidentity"}`
	config["keyvault-aks:disableLocalAccounts"], config["keyvault-aks:deployerRoles"] = "true", "true"
	p := newProgram(t, c, ".", config)

	p.besides = c.asJob(t, deployer, change)
	if _, err := p.tryPulumi(t, "up", "--yes", "--skip-preview"); err == nil ||
		!strings.Contains(err.Error(), "AADSTS700213") {
		t.Errorf("up by a pull request's job: got %v, want AADSTS700213", err)
	}
	p.besides = c.asJob(t, deployer, prod)
	p.up(t)
	p.besides = c.withToken(t, deployer, c.ciToken(t, "github", "--subject", prod))
	p.pulumi(t, "preview", "--expect-no-changes", "--refresh")
	// GitLab and Pulumi Deployments give their jobs one token each.
	for ci, one := range map[string]struct{ issuer, subject, audience string }{
		"gitlab": {
			issuer:   "https://gitlab.com",
			subject:  "project_path:my-group/my-project:ref_type:branch:ref:main",
			audience: "api://AzureADTokenExchange",
		},
		"pulumi": {
			issuer:   "https://api.pulumi.com/oidc",
			subject:  "pulumi:deploy:org:contoso:project:keyvault-aks:stack:prod:operation:preview:scope:write",
			audience: "contoso",
		},
	} {
		token := c.ciToken(t, ci, "--subject", one.subject)
		p.besides = c.withToken(t, deployer, token)
		if _, err := p.tryPulumi(t, "preview", "--refresh"); err == nil || !strings.Contains(err.Error(), "AADSTS700211") {
			t.Errorf("preview by a job of %s, which is not trusted: got %v, want AADSTS700211", ci, err)
		}
		c.trust(t, "ci-prod", ci, one.issuer, one.subject, one.audience)
		p.pulumi(t, "preview", "--expect-no-changes", "--refresh")
	}
	p.besides = c.withToken(t, deployer, c.ciToken(t, "github", "--subject", "repo:mallory/octo-repo:environment:prod"))
	if _, err := p.tryPulumi(t, "preview", "--refresh"); err == nil || !strings.Contains(err.Error(), "AADSTS700213") {
		t.Errorf("preview by another repository's job: got %v, want AADSTS700213", err)
	}

	// kubelogin alone, with each kind of token, and with tokens that Entra ID rejects.
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := p.pulumi(t, "stack", "output", "kubeconfig", "--show-secrets")
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		env     []string
		refused string
	}{
		"a job of GitHub":        {c.asJob(t, deployer, prod), ""},
		"a token in a file":      {c.withToken(t, deployer, c.ciToken(t, "github", "--subject", prod)), ""},
		"a pull request's job":   {c.asJob(t, deployer, change), "AADSTS700213"},
		"a pull request's token": {c.withToken(t, deployer, c.ciToken(t, "github", "--subject", change)), "AADSTS700213"},
	} {
		// As on another machine: kubelogin caches tokens for an identity as long as they are valid.
		if err := os.RemoveAll(filepath.Join(c.home, "cache", ".IdentityService")); err != nil {
			t.Fatal(err)
		}
		cmd, err := c.prepare(t, "kubectl", "get", "pods", "--namespace=keyvault-ns", "--output=name")
		if err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(append(cmd.Env, test.env...), "KUBECONFIG="+kubeconfig)
		out, err := cmd.CombinedOutput()
		if test.refused == "" && (err != nil || !strings.Contains(string(out), "keyvault-test-pod")) ||
			test.refused != "" && (err == nil || !strings.Contains(string(out), test.refused)) {
			t.Errorf("%s: kubectl: got %v, want error %q\n%s", name, err, test.refused, out)
		}
	}

	p.besides = c.asJob(t, deployer, prod)
	p.pulumi(t, "destroy", "--yes", "--skip-preview")
	if found := c.filesWith(t, "eyJhbGciOiJSUzI1NiI"); len(found) > 0 { // the beginning of every token
		t.Errorf("tokens are in %v", found)
	}
}

// TestSecretsProvider_UsesVaultKey checks that the engine encrypts a stack's secrets with a key of a vault, that only
// identities with a role on the key can read them, and what happens when the key is rotated.
func TestSecretsProvider_UsesVaultKey(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.start(t)
	const prod, change = "repo:octo-org/octo-repo:environment:prod", "repo:octo-org/octo-repo:pull_request"
	deployer, previewer := c.ciIdentity(t, "ci-prod", prod), c.ciIdentity(t, "ci-preview", change)
	subscription := "/subscriptions/" + c.running(t).Credentials.SubscriptionID
	name := "kv-" + strings.ReplaceAll(uuid.NewString(), "-", "")[:12]
	vault := subscription + "/resourceGroups/ci/providers/Microsoft.KeyVault/vaults/" + name
	c.arm(t, http.MethodPut, vault, "2023-07-01", fmt.Sprintf(`{"location": "eastus", "properties": {"tenantId": %q,
		"sku": {"family": "A", "name": "standard"}, "enableRbacAuthorization": true, "softDeleteRetentionInDays": 7}}`,
		c.running(t).Credentials.TenantID))
	c.arm(t, http.MethodPut, vault+"/keys/stacks", "2023-07-01",
		`{"properties": {"kty": "RSA", "keySize": 2048, "keyOps": ["encrypt", "decrypt"]}}`)
	c.role(t, vault+"/keys/stacks", "12338af0-0e69-4776-bea7-57ae8d297424", deployer.ObjectID) // Key Vault Crypto User
	provider := "azurekeyvault://" + name + ".vault.azure.net/keys/stacks"

	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Pulumi.yaml"), []byte("{name: kept, runtime: yaml}"), 0o600); err != nil {
		t.Fatal(err)
	}
	pulumi := func(env []string, args ...string) (string, error) {
		t.Helper()
		cmd, err := c.prepare(t, "pulumi", append([]string{args[0], "--non-interactive"}, args[1:]...)...)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Dir = dir
		cmd.Env = append(slices.DeleteFunc(cmd.Env, func(v string) bool {
			return strings.HasPrefix(v, "PULUMI_CONFIG_PASSPHRASE") || strings.HasPrefix(v, "PULUMI_STACK=") ||
				strings.HasPrefix(v, "PULUMI_OPTION_CONFIG_FILE=")
		}), env...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	job := func(who principal, subject string) []string {
		return c.withToken(t, who, c.ciToken(t, "github", "--subject", subject))
	}

	const marker = "marker-5d0c7e"
	out, err := pulumi(job(previewer, change), "stack", "init", "refused", "--secrets-provider", provider)
	if err == nil || !strings.Contains(out, "ForbiddenByRbac") {
		t.Errorf("stack init without a role on the key: got %v, want ForbiddenByRbac\n%s", err, out)
	}
	for _, args := range [][]string{
		{"stack", "init", "kept", "--secrets-provider", provider}, {"config", "set", "password", marker, "--secret"},
	} {
		if out, err := pulumi(job(deployer, prod), args...); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	written, err := os.ReadFile(filepath.Join(dir, "Pulumi.kept.yaml"))
	if err != nil || !bytes.Contains(written, []byte(provider)) || !bytes.Contains(written, []byte("encryptedkey:")) ||
		containsSecret(written, marker) {
		t.Errorf("the stack's configuration lacks the key, or has the secret in plain text: %v\n%s", err, written)
	}
	read := func(what string, env []string, refused string) {
		t.Helper()
		out, err := pulumi(env, "config", "get", "password")
		if refused == "" && (err != nil || strings.TrimSpace(out) != marker) ||
			refused != "" && (err == nil || strings.Contains(out, marker) || !strings.Contains(out, refused)) {
			t.Errorf("%s: got %v, want error %q\n%s", what, err, refused, out)
		}
	}
	read("the deployer, again", job(deployer, prod), "")
	read("an identity without a role", job(previewer, change), "ForbiddenByRbac")
	read("a pull request's token", job(deployer, change), "AADSTS700213")
	owner := c.running(t).Credentials
	read("the subscription's owner without a role on data",
		[]string{"AZURE_CLIENT_ID=" + owner.ClientID, "AZURE_CLIENT_SECRET=" + owner.ClientSecret}, "ForbiddenByRbac")
	// The engine's Key Vault client reads AZURE_* only, neither ARM_* nor a job's token request.
	read("a job without a file", c.asJob(t, deployer, prod), "DefaultAzureCredential")

	// A new version of the key cannot decrypt what the former one encrypted, unless the URL names the former version.
	grant(t, c, vault+"/keys/stacks", cryptoOfficer)
	credential, options, _ := c.azure(t)
	keys, err := azkeys.NewClient("https://"+name+".vault.azure.net/", credential,
		&azkeys.ClientOptions{ClientOptions: options})
	if err != nil {
		t.Fatal(err)
	}
	first, err := keys.GetKey(t.Context(), "stacks", "", nil)
	if err == nil {
		_, err = keys.RotateKey(t.Context(), "stacks", nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	read("after a rotation", job(deployer, prod), "BadParameter")
	written = bytes.ReplaceAll(written, []byte(provider), []byte(provider+"/"+first.Key.KID.Version()))
	if err := os.WriteFile(filepath.Join(dir, "Pulumi.kept.yaml"), written, 0o600); err != nil {
		t.Fatal(err)
	}
	read("after a rotation, with a version", job(deployer, prod), "")
}

// start starts the cloud without a stack.
func (c *cloud) start(t *testing.T) {
	t.Helper()
	out, err := c.command(t, "start", "--node=stand-in").CombinedOutput()
	c.printed.Write(out)
	if err != nil {
		t.Fatalf("localcloud start: %v\n%s", err, out)
	}
}
