package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	rolefiles "github.com/keyvault-aks/keyvault-aks/docs/roles"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

const project = "keyvault-aks-bootstrap"

const (
	credentialType = "azure-native:managedidentity/v20230131:FederatedIdentityCredential"
	definitionType = "azure-native:authorization/v20220501preview:RoleDefinition"
	assignmentType = "azure-native:authorization/v20220401:RoleAssignment"
	vaultType      = "azure-native:keyvault/v20241101:Vault"
	keyType        = "azure-native:keyvault/v20241101:Key"
)

var subscription = path.Dir(path.Dir(mockengine.Group))

// three are the identities that pipelines of one repository need.
const three = `[
	{"name": "preview", "may": "preview", "github": [{"repository": "acme/shop", "pullRequests": true}]},
	{"name": "dev", "may": "deploy", "github": [{"repository": "acme/shop", "environment": "dev"}],
		"gitlab": [{"project": "acme/platform/shop", "branch": "main"}]},
	{"name": "prod", "may": "deploy", "resourceGroups": ["keyvault-prod"], "github": [{"repository": "acme/shop", "environment": "prod"}]}
]`

// try runs the program with changed defaults and the identities in three.
func try(t *testing.T, dryRun bool, change map[string]string) (*mockengine.Engine, error) {
	t.Helper()
	e := &mockengine.Engine{Project: project, DryRun: dryRun, Config: mockengine.Config(t, ".", "")}
	e.Config[project+":identities"] = three
	for key, value := range change {
		e.Config[project+":"+key] = value
	}
	return e, e.Run(func(ctx *pulumi.Context) error { return program(ctx, e.Config) })
}

func run(t *testing.T, change map[string]string) *mockengine.Engine {
	t.Helper()
	e, err := try(t, false, change)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// ofType returns the resources of a type, in the order of registration.
func ofType(e *mockengine.Engine, typ string) []mockengine.Registered {
	return slices.DeleteFunc(e.Resources(), func(one mockengine.Registered) bool { return one.Type != typ })
}

func text(one mockengine.Registered, at string) string {
	value := one.At(at)
	switch {
	case value == nil:
		return ""
	case value.IsString():
		return value.StringValue()
	}
	content, err := json.Marshal(value.Mappable())
	if err != nil {
		panic(err)
	}
	return string(content)
}

// TestSubjects_MatchIssuersTokens compares each kind of trust with the subject that its issuer documents.
func TestSubjects_MatchIssuersTokens(t *testing.T) {
	const (
		github, gitlab, cloud = "https://token.actions.githubusercontent.com", "https://gitlab.com", "https://api.pulumi.com/oidc"
		azure                 = "api://AzureADTokenExchange"
	)
	for name, tt := range map[string]struct{ may, trust, issuer, subject, audience string }{
		"an environment": {"deploy", `"github":[{"repository":"acme/shop","environment":"prod"}]`, github,
			"repo:acme/shop:environment:prod", azure},
		"one with a colon": {"deploy", `"github":[{"repository":"acme/shop","environment":"eu: prod"}]`, github,
			"repo:acme/shop:environment:eu%3A prod", azure},
		"a branch": {"deploy", `"github":[{"repository":"acme/shop","branch":"release/1.x"}]`, github,
			"repo:acme/shop:ref:refs/heads/release/1.x", azure},
		"a tag": {"deploy", `"github":[{"repository":"acme/shop","tag":"v1.0.0"}]`, github,
			"repo:acme/shop:ref:refs/tags/v1.0.0", azure},
		"pull requests": {"preview", `"github":[{"repository":"acme/shop","pullRequests":true}]`, github,
			"repo:acme/shop:pull_request", azure},
		"immutable claims": {
			"deploy", `"github":[{"repository":"acme/shop","ownerId":123456,"repositoryId":456789,"branch":"main"}]`,
			github, "repo:acme@123456/shop@456789:ref:refs/heads/main", azure,
		},
		"a project's branch": {"deploy", `"gitlab":[{"project":"a/b/c","branch":"main"}]`, gitlab,
			"project_path:a/b/c:ref_type:branch:ref:main", azure},
		"a project's tag": {"deploy", `"gitlab":[{"project":"a/b","tag":"v1"}]`, gitlab,
			"project_path:a/b:ref_type:tag:ref:v1", azure},
		"a deployment": {
			"deploy", `"pulumi":[{"organization":"acme","project":"p","stack":"dev","operation":"update"}]`,
			cloud, "pulumi:deploy:org:acme:project:p:stack:dev:operation:update:scope:write", "acme",
		},
		"an ESC environment": {"deploy", `"esc":[{"organization":"acme","project":"p","environment":"dev"}]`, cloud,
			"pulumi:environments:org:acme:env:p/dev", "azure:acme"},
		"one without a project": {"deploy", `"esc":[{"organization":"acme","project":"default","environment":"dev"}]`, cloud,
			"pulumi:environments:org:acme:env:dev", "acme"},
		"another": {
			"deploy", `"other":[{"issuer":"https://ci.example","subject":"job:1","audience":"azure"}]`, "https://ci.example", "job:1", "azure",
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := run(t, map[string]string{"identities": fmt.Sprintf(`[{"name":"ci","may":%q,%s}]`, tt.may, tt.trust)})
			credentials := ofType(e, credentialType)
			if len(credentials) != 1 {
				t.Fatalf("%d credentials", len(credentials))
			}
			one := credentials[0]
			if text(one, "issuer") != tt.issuer || text(one, "subject") != tt.subject ||
				text(one, "audiences") != `["`+tt.audience+`"]` {
				t.Errorf("got %v", one.Inputs)
			}
			got := text(one, "federatedIdentityCredentialResourceName")
			if !regexp.MustCompile(`^[0-9a-zA-Z][0-9a-zA-Z_-]{2,119}$`).MatchString(got) {
				t.Errorf("the credential is called %s", got)
			}
		})
	}
}

// Azure refuses concurrent writes to one identity only.
func TestCredentials_AreWrittenInOrder(t *testing.T) {
	var subjects []string
	for i := range 20 {
		subjects = append(subjects,
			fmt.Sprintf(`{"repository":"acme/shop","branch":"%s-%d"}`, strings.Repeat("long/", 25), i))
	}
	e := run(t, map[string]string{"identities": fmt.Sprintf(`[{"name":"a","may":"preview","github":[%s]},
		{"name":"b","may":"preview","github":[{"repository":"acme/shop","pullRequests":true}]}]`, strings.Join(subjects, ","))})
	credentials := ofType(e, credentialType)
	names := map[string]bool{}
	for i, one := range credentials {
		names[text(one, "federatedIdentityCredentialResourceName")] = true
		for _, before := range credentials[:i] {
			if same := text(one, "resourceName") == text(before, "resourceName"); one.WaitsFor(before) != same {
				t.Errorf("%s waits for %s: %t", one.Name, before.Name, !same)
			}
		}
	}
	if len(names) != 21 {
		t.Errorf("%d credentials have %d names", len(credentials), len(names))
	}
}

// A credential's name does not depend on its place in the list: another name would be another credential.
func TestCredentials_KeepNames(t *testing.T) {
	names := func(trusts string) (list []string) {
		for _, one := range ofType(run(t,
			map[string]string{"identities": `[{"name":"a","may":"preview","github":[` + trusts + `]}]`}), credentialType) {
			list = append(list, one.URN+text(one, "federatedIdentityCredentialResourceName"))
		}
		return list
	}
	const first, second = `{"repository":"acme/shop","branch":"a-b"}`, `{"repository":"acme/shop","branch":"a/b"}`
	before, after := names(first+","+second), names(second)
	if before[0] == before[1] || before[1] != after[0] {
		t.Errorf("got %v, and then %v", before, after)
	}
}

// TestRoles_MatchFiles compares the defined roles with docs/roles.
func TestRoles_MatchFiles(t *testing.T) {
	e := run(t, nil)
	group := subscription + "/resourceGroups/keyvault-prod"
	scopes := map[string][]string{
		"preview":          {subscription},
		"deploy":           {subscription},
		"assign":           {subscription},
		"operations":       {subscription},
		"secrets-provider": {subscription},
	}
	definitions := ofType(e, definitionType)
	if len(definitions) != len(scopes) {
		t.Errorf("there are %d roles", len(definitions))
	}
	for name, want := range scopes {
		role, err := rolefiles.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		one := e.Get(t, "role-"+name)
		for at, want := range map[string]any{
			"permissions[0].actions": role.Actions, "permissions[0].notActions": role.NotActions,
			"permissions[0].dataActions": role.DataActions, "permissions[0].notDataActions": role.NotDataActions, "assignableScopes": want,
		} {
			if got := one.At(at).Mappable(); !reflect.DeepEqual(asJSON(t, got), asJSON(t, want)) {
				t.Errorf("%s of %s is %v, want %v", at, name, got, want)
			}
		}
		if got := text(one, "roleName"); !strings.HasPrefix(got, role.Name) || got == role.Name {
			t.Errorf("%s is called %s, which other stacks' would be, too", name, got)
		}
	}
	onGroup := run(t, map[string]string{"identities": `[{"name":"prod","may":"deploy","resourceGroups":["keyvault-prod"],
		"github":[{"repository":"acme/shop","environment":"prod"}]}]`})
	for name, want := range map[string]string{"deploy": group, "assign": group, "operations": subscription} {
		if got := text(onGroup.Get(t, "role-"+name), "assignableScopes"); got != `["`+want+`"]` {
			t.Errorf("%s can be assigned at %s", name, got)
		}
	}
}

func asJSON(t *testing.T, value any) string {
	t.Helper()
	content, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestIdentities_HaveLeastRoles lists every assignment.
func TestIdentities_HaveLeastRoles(t *testing.T) {
	e := run(t, map[string]string{"keyForDeployer": "true"})
	byID := map[string]string{}
	for _, one := range ofType(e, definitionType) {
		byID[subscription+"/providers/Microsoft.Authorization/roleDefinitions/"+text(one, "roleDefinitionId")] = one.Name
	}
	got := map[string]string{}
	for _, one := range ofType(e, assignmentType) {
		role := byID[text(one, "roleDefinitionId")]
		if !one.WaitsFor(e.Get(t, role)) {
			t.Errorf("%s does not wait for %s", one.Name, role)
		}
		got[one.Name] = role + " " + strings.TrimPrefix(text(one, "scope"), subscription) + " " + text(one, "principalId")
		condition, _ := rolefiles.AssignCondition()
		if role != "role-assign" {
			condition = ""
		}
		if text(one, "condition") != condition || (condition != "") != (text(one, "conditionVersion") == "2.0") {
			t.Errorf("%s has the condition %q", one.Name, text(one, "condition"))
		}
	}
	key := "secrets-key-pulumi-secrets-id"
	want := map[string]string{
		"preview_preview":           "role-preview  principal-id",
		"preview_secrets-provider":  "role-secrets-provider " + key + " principal-id",
		"dev_deploy":                "role-deploy  principal-id",
		"dev_assign":                "role-assign  principal-id",
		"dev_secrets-provider":      "role-secrets-provider " + key + " principal-id",
		"prod_deploy-keyvault-prod": "role-deploy /resourceGroups/keyvault-prod principal-id",
		"prod_assign-keyvault-prod": "role-assign /resourceGroups/keyvault-prod principal-id",
		"prod_operations":           "role-operations  principal-id",
		"prod_secrets-provider":     "role-secrets-provider " + key + " principal-id",
		"deployer_secrets-provider": "role-secrets-provider " + key + " object-id",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if got := text(e.Get(t, "deployer_secrets-provider"), "principalType"); got != "ServicePrincipal" {
		t.Errorf("who deploys is a %s", got)
	}
}

// The next deployer must not take the key away from the first.
func TestKeyForDeployer_IgnoresNextDeployer(t *testing.T) {
	ignored := run(t, map[string]string{"keyForDeployer": "true"}).Get(t, "deployer_secrets-provider").
		RPC.GetIgnoreChanges()
	if !slices.Contains(ignored, "principalId") || !slices.Contains(ignored, "principalType") {
		t.Errorf("ignored are %v", ignored)
	}
}

// TestPreview_IdentityCannotChangeAnything checks each role of identities with may: preview.
func TestPreview_IdentityCannotChangeAnything(t *testing.T) {
	for _, name := range []string{previewRole, secretsRole} {
		role, err := rolefiles.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, action := range append(role.Actions, role.DataActions...) {
			switch path.Base(action) {
			case "write", "delete", "*":
				t.Errorf("%s lets do %s", name, action)
			case "action":
				allowed := []string{"listClusterUserCredential", "encrypt", "decrypt"}
				if !slices.Contains(allowed, path.Base(path.Dir(action))) {
					t.Errorf("%s lets do %s", name, action)
				}
			}
		}
	}
}

func TestVault_ProtectsKey(t *testing.T) {
	e := run(t, nil)
	group, vault, key := e.Get(t, "resource-group"), ofType(e, vaultType)[0], ofType(e, keyType)
	if len(key) != 1 || text(key[0], "properties.kty") != "RSA" ||
		text(key[0], "properties.keyOps") != `["encrypt","decrypt"]` {
		t.Errorf("the keys are %v", key)
	}
	if at := vault.At("properties.enablePurgeProtection"); at == nil || !at.BoolValue() {
		t.Error("the vault has no purge protection")
	}
	for _, one := range []mockengine.Registered{group, vault, key[0]} {
		if !one.RPC.GetProtect() {
			t.Errorf("%s is not protected", one.Name)
		}
	}
	for _, one := range run(t, map[string]string{"protect": "false"}).Resources() {
		if one.RPC.GetProtect() {
			t.Errorf("%s is protected", one.Name)
		}
	}
	premium := ofType(run(t, map[string]string{"vaultSku": "premium"}), keyType)[0]
	if got := text(premium, "properties.kty"); got != "RSA-HSM" {
		t.Errorf("in a premium vault the key is %s", got)
	}
}

func TestSecretsProvider_AllowsOthers(t *testing.T) {
	for _, provider := range []string{"default", "passphrase"} {
		e := run(t, map[string]string{"secretsProvider": provider})
		if vaults := ofType(e, vaultType); len(vaults) > 0 {
			t.Errorf("%s has a vault", provider)
		}
		for _, one := range e.Resources() {
			if strings.Contains(one.Name, "secrets") {
				t.Errorf("%s has %s", provider, one.Name)
			}
		}
		if got := e.StackOutputs()["secretsProvider"]; got != resource.NewProperty(provider) {
			t.Errorf("%s is shown as %v", provider, got)
		}
	}
}

func TestOutputs_ConfigurePipelines(t *testing.T) {
	outputs := run(t, nil).StackOutputs()
	for name, want := range map[string]any{
		"identities": map[string]any{
			"preview": map[string]any{"clientId": "client-id", "principalId": "principal-id"},
			"dev":     map[string]any{"clientId": "client-id", "principalId": "principal-id"},
			"prod":    map[string]any{"clientId": "client-id", "principalId": "principal-id"},
		},
		"tenantId": mockengine.TenantID, "subscriptionId": path.Base(subscription),
		"secretsProvider": "azurekeyvault://vault.example/keys/pulumi-secrets",
	} {
		if got := outputs[resource.PropertyKey(name)].Mappable(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	setup := outputs["setup"].ObjectValue()
	for name, want := range map[resource.PropertyKey]string{
		"preview": "gh variable set ARM_CLIENT_ID_PREVIEW --repo acme/shop --body client-id\n",
		"prod":    "gh variable set ARM_CLIENT_ID --repo acme/shop --env prod --body client-id\n",
		"dev":     "glab variable set ARM_CLIENT_ID_DEV --repo acme/platform/shop --protected --value client-id\n",
	} {
		if got := setup[name].StringValue(); !strings.Contains(got, want) {
			t.Errorf("%s is set up with %s, want %s in it", name, got, want)
		}
	}
}

// A preview of the first update, when no resource exists, plans the same resources as the update.
func TestPreview_MatchesUpdate(t *testing.T) {
	var lists [2][]string
	for i, dryRun := range []bool{true, false} {
		e, err := try(t, dryRun, map[string]string{"keyForDeployer": "true"})
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range e.Resources() {
			lists[i] = append(lists[i], one.URN)
		}
		slices.Sort(lists[i])
	}
	if !slices.Equal(lists[0], lists[1]) {
		t.Errorf("the preview has %v, the update %v", lists[0], lists[1])
	}
}

// TestMistakes_HavePaths makes one mistake at a time.
func TestMistakes_HavePaths(t *testing.T) {
	const github = `"github":[{"repository":"acme/shop","environment":"dev"}]`
	one := func(may, trusts string) string { return fmt.Sprintf(`[{"name":"ci","may":%q,%s}]`, may, trusts) }
	trusted := func(may, key, trust string) string { return one(may, fmt.Sprintf(`%q:[%s]`, key, trust)) }
	many := strings.TrimSuffix(strings.Repeat(`{"repository":"acme/shop","branch":"b%d"},`, 21), ",")
	var numbers []any
	for i := range 21 {
		numbers = append(numbers, i)
	}
	for name, tt := range map[string]struct{ identities, want string }{
		"no identity":               {`[]`, "identities"},
		"an empty list of subjects": {one("preview", `"github":[]`), "identities[0]"},
		"more than Azure takes": {one("preview", `"github":[`+fmt.Sprintf(many, numbers...)+`]`),
			"identities[0]"},
		"two of a name":                    {`[{"name":"a","may":"preview",` + github + `},{"name":"a","may":"deploy",` + github + `}]`, "identities[1].name"},
		"a name that Azure would not take": {`[{"name":"CI","may":"preview",` + github + `}]`, "identities[0].name"},
		"no right that there is":           {one("admin", github), "identities[0].may"},
		"an unknown key": {trusted("preview", "github", `{"repository":"acme/shop","env":"dev"}`),
			"identities[0].github[0].env"},
		"a wildcard in a branch": {trusted("preview", "github",
			`{"repository":"acme/shop","branch":"release/*"}`), "identities[0].github[0].branch"},
		"a wildcard in a tag": {trusted("deploy", "github", `{"repository":"acme/shop","tag":"v*"}`),
			"identities[0].github[0].tag"},
		"a wildcard in an environment": {trusted("deploy", "github", `{"repository":"acme/shop","environment":"*"}`),
			"identities[0].github[0].environment"},
		"a quote in an environment": {trusted("deploy", "github", `{"repository":"acme/shop","environment":"a'b"}`),
			"identities[0].github[0].environment"},
		"a wildcard in a repository": {trusted("preview", "github", `{"repository":"acme/*","pullRequests":true}`),
			"identities[0].github[0].repository"},
		"a repository without a slash": {trusted("preview", "github", `{"repository":"shop","pullRequests":true}`),
			"identities[0].github[0].repository"},
		"a repository's URL": {trusted("preview", "github",
			`{"repository":"https://github.com/acme/shop","pullRequests":true}`), "identities[0].github[0].repository"},
		"a whole ref": {trusted("preview", "github",
			`{"repository":"acme/shop","branch":"refs/heads/main"}`), "identities[0].github[0].branch"},
		"a repository alone": {trusted("preview", "github", `{"repository":"acme/shop"}`),
			"identities[0].github[0]"},
		"a branch and an environment": {trusted("preview", "github",
			`{"repository":"acme/shop","branch":"main","environment":"dev"}`), "identities[0].github[0]"},
		"pull requests that deploy": {trusted("deploy", "github", `{"repository":"acme/shop","pullRequests":true}`),
			"identities[0].github[0].pullRequests"},
		"pull requests that deploy, by text": {trusted("deploy", "other",
			`{"issuer":"https://x.example","subject":"repo:acme/shop:pull_request"}`), "identities[0].other[0].subject"},
		"half of the immutable claims": {trusted("preview", "github",
			`{"repository":"acme/shop","ownerId":1,"branch":"main"}`), "identities[0].github[0]"},
		"one subject twice": {trusted("preview", "github",
			`{"repository":"acme/shop","branch":"main"},{"repository":"acme/shop","branch":"main"}`), "identities[0].github[1]"},
		"a project without a group": {trusted("deploy", "gitlab", `{"project":"shop","branch":"main"}`),
			"identities[0].gitlab[0].project"},
		"a wildcard of GitLab's": {trusted("deploy", "gitlab", `{"project":"acme/shop","branch":"release-*"}`),
			"identities[0].gitlab[0].branch"},
		"a project alone": {trusted("deploy", "gitlab", `{"project":"acme/shop"}`),
			"identities[0].gitlab[0]"},
		"a preview that deploys": {trusted("deploy", "pulumi",
			`{"organization":"a","project":"p","stack":"s","operation":"preview"}`), "identities[0].pulumi[0].operation"},
		"a preview that deploys, by text": {trusted("deploy", "other", `{"issuer":"https://api.pulumi.com/oidc","subject":"pulumi:deploy:org:a:project:p:stack:s:operation:preview:scope:write","audience":"a"}`), "identities[0].other[0].subject"},
		"an update that only previews": {trusted("preview", "pulumi",
			`{"organization":"a","project":"p","stack":"s","operation":"update"}`), "identities[0].pulumi[0].operation"},
		"a wildcard of Pulumi's": {trusted("deploy", "pulumi",
			`{"organization":"a","project":"p","stack":"*","operation":"update"}`), "identities[0].pulumi[0].stack"},
		"an ESC environment without project": {trusted("deploy", "esc", `{"organization":"a","environment":"dev"}`),
			"identities[0].esc[0].project"},
		"an issuer that is no URL": {trusted("deploy", "other", `{"issuer":"gitlab.example","subject":"s"}`),
			"identities[0].other[0].issuer"},
		"a wildcard in a subject": {trusted("preview", "other",
			`{"issuer":"https://x.example","subject":"repo:acme/*"}`), "identities[0].other[0].subject"},
		"the stack's own group": {one("deploy", `"resourceGroups":["KeyVault-Bootstrap"],`+github),
			"identities[0].resourceGroups[0]"},
		"a group twice": {one("deploy", `"resourceGroups":["a","A"],`+github),
			"identities[0].resourceGroups[1]"},
		"a group that Azure would not take": {one("deploy", `"resourceGroups":["a."],`+github),
			"identities[0].resourceGroups[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			wantRefused(t, map[string]string{"identities": tt.identities}, tt.want)
		})
	}
	for name, tt := range map[string]struct{ key, value, want string }{
		"an unknown key":                 {"identites", `[]`, "identites"},
		"an unknown provider":            {"secretsProvider", "awskms", "secretsProvider"},
		"a size that RSA has not":        {"keySize", "1024", "keySize"},
		"a name of a key":                {"keyName", "a_b", "keyName"},
		"a retention that Azure has not": {"vaultRetentionDays", "3", "vaultRetentionDays"},
		"a prefix":                       {"vaultNamePrefix", "kv-", "vaultNamePrefix"},
		"a location":                     {"location", "East US", "location"},
		"a group":                        {"resourceGroupName", "a.", "resourceGroupName"},
		"an audience":                    {"audience", "a b", "audience"},
	} {
		t.Run(name, func(t *testing.T) { wantRefused(t, map[string]string{tt.key: tt.value}, tt.want) })
	}
	t.Run("a key that the program once had", func(t *testing.T) {
		said := wantRefused(t, map[string]string{"namespace": "payments"}, "namespace")
		if strings.Contains(said, "workloads") {
			t.Errorf("it points at another program: %s", said)
		}
	})
	t.Run("a key for nobody", func(t *testing.T) {
		wantRefused(t, map[string]string{"secretsProvider": "default", "keyForDeployer": "true"}, "keyForDeployer")
	})
	t.Run("all at once", func(t *testing.T) {
		wantRefused(t, map[string]string{
			"keySize":    "1024",
			"identities": `[{"name":"A","may":"preview","github":[{"repository":"shop","branch":"*"}]},{"name":"b","may":"deploy"}]`,
		}, "keySize", "identities[0].name", "identities[0].github[0].repository", "identities[0].github[0].branch", "identities[1]")
	})
}

// All missing groups are reported before anything is created.
func TestResourceGroups_MustExist(t *testing.T) {
	e := &mockengine.Engine{Project: project, DryRun: true, Config: mockengine.Config(t, ".", "")}
	e.Config[project+":identities"] = `[{"name":"a","may":"deploy","resourceGroups":["there","gone","lost"],
		"github":[{"repository":"acme/shop","environment":"dev"}]}]`
	e.Asked = func(token string, args resource.PropertyMap) error {
		if strings.HasSuffix(token, ":getResourceGroup") && args["resourceGroupName"].StringValue() != "there" {
			return errors.New("ResourceGroupNotFound")
		}
		return nil
	}
	err := e.Run(func(ctx *pulumi.Context) error { return program(ctx, e.Config) })
	for _, want := range []string{"identities[0].resourceGroups[1]", "identities[0].resourceGroups[2]", "gone", "lost"} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "resourceGroups[0]") {
			t.Errorf("got %v, want %s in it", err, want)
		}
	}
	if list := e.Resources(); len(list) > 0 {
		t.Errorf("%d resources are registered", len(list))
	}
}

// wantRefused checks that the configuration is rejected at exactly these paths, and that nothing is registered. It
// returns the error's text.
func wantRefused(t *testing.T, change map[string]string, want ...string) string {
	t.Helper()
	e, err := try(t, true, change)
	var invalid *components.ValidationError
	if !errors.As(err, &invalid) {
		t.Fatalf("got error %v", err)
	}
	var paths []string
	for _, one := range invalid.Violations {
		paths = append(paths, one.Path)
		if one.Given == "" || one.Allowed == "" {
			t.Errorf("it says only %v", one)
		}
	}
	if !slices.Equal(paths, want) {
		t.Errorf("violations at %v, want %v: %v", paths, want, err)
	}
	if list := e.Resources(); len(list) > 0 {
		t.Errorf("%d resources are registered", len(list))
	}
	return err.Error()
}

// The example is a valid configuration that shows every key of Pulumi.yaml and every field.
func TestExample_ShowsEveryKey(t *testing.T) {
	content, err := os.ReadFile("Pulumi.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	e := &mockengine.Engine{Project: project, Config: mockengine.Config(t, ".", "Pulumi.example.yaml")}
	if err := e.Run(func(ctx *pulumi.Context) error { return program(ctx, e.Config) }); err != nil {
		t.Error(err)
	}
	shown := map[string]bool{}
	for _, match := range regexp.MustCompile(`(\w+):`).FindAllStringSubmatch(string(content), -1) {
		shown[match[1]] = true
	}
	var look func(in reflect.Type)
	look = func(in reflect.Type) {
		switch in.Kind() {
		case reflect.Pointer, reflect.Slice:
			look(in.Elem())
		case reflect.Struct:
			for _, field := range reflect.VisibleFields(in) {
				if name, _, _ := strings.Cut(field.Tag.Get("pulumi"), ","); name != "" && !shown[name] &&
					in != reflect.TypeFor[components.VaultNetworkArgs]() {
					t.Errorf("the example does not show %s", name)
				}
				look(field.Type)
			}
		}
	}
	look(reflect.TypeFor[config]())
}
