package azure_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// az runs the Azure CLI.
type az struct {
	*fixture
	env []string
}

// newAz finds the Azure CLI and gives it an empty configuration. It skips the test if there is none.
func newAz(f *fixture) *az {
	f.Helper()
	if _, err := exec.LookPath("az"); err != nil || testing.Short() {
		f.Skip("needs az, Azure's command line (in Debian the package azure-cli), and half a minute")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	f.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- f.way.Serve(ctx, l) }()
	f.Cleanup(func() {
		cancel()
		f.must(<-served)
	})
	home := f.TempDir()
	return &az{
		f,
		[]string{
			"PATH=" + os.Getenv("PATH"),
			"HOME=" + home,
			"AZURE_CONFIG_DIR=" + home,
			"HTTPS_PROXY=http://" + l.Addr().String(),
			"REQUESTS_CA_BUNDLE=" + f.way.CAFile(),
			"AZURE_CORE_COLLECT_TELEMETRY=0",
			"AZURE_CORE_NO_COLOR=1",
			"AZURE_CORE_ONLY_SHOW_ERRORS=1",
		},
	}
}

// try runs a command and returns its standard output and its errors.
func (a *az) try(args ...string) (out []byte, complaint string) {
	a.Helper()
	ctx, cancel := context.WithTimeout(a.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "az", append(args, "--output", "json")...)
	cmd.Env = a.env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, "az " + strings.Join(args, " ") + ": " + err.Error() + "\n" + stderr.String()
	}
	return stdout.Bytes(), ""
}

// run runs a command and returns its decoded output. It fails the test if the command fails.
func (a *az) run(args ...string) (answer map[string]any) {
	a.Helper()
	out, complaint := a.try(args...)
	if complaint != "" {
		a.Fatal(complaint)
	}
	if len(bytes.TrimSpace(out)) > 0 && bytes.TrimSpace(out)[0] == '{' {
		a.must(json.Unmarshal(out, &answer))
	}
	return answer
}

// ifWhole is run, or else otherwise if this az cannot run the command. Debian's package is older than the modules that
// it was built with, so some commands fail before their first request.
func (a *az) ifWhole(otherwise func(), args ...string) {
	a.Helper()
	_, complaint := a.try(args...)
	switch {
	case complaint == "":
	case strings.Contains(complaint, "AttributeError: ") || strings.Contains(complaint, "ModuleNotFoundError: "):
		a.Logf("this az cannot: %s", strings.Join(args, " "))
		otherwise()
	default:
		a.Error(complaint)
	}
}

// TestAz_FollowsCSIDriverGuide follows "Connect your Azure identity provider to the Azure Key Vault Secrets Store CSI
// Driver in AKS" with the Azure CLI, as far as possible without a cluster
// (https://learn.microsoft.com/azure/aks/csi-secrets-store-identity-access).
func TestAz_FollowsCSIDriverGuide(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := newAz(f)
	owner := f.cloud.Credentials()
	a.run("login", "--service-principal", "--username", owner.ClientID, "--password", owner.ClientSecret, "--tenant",
		owner.TenantID)
	a.run("group", "create", "--name", "rg", "--location", location)
	made := a.run("keyvault", "create", "--resource-group", "rg", "--name", "kv-of-az", "--location", location,
		"--enable-rbac-authorization")
	vault := made["id"].(string)
	identity := a.run("identity", "create", "--resource-group", "rg", "--name", "workload", "--location", location)
	client, object := identity["clientId"].(string), identity["principalId"].(string)

	// The request that --assignee sends to Microsoft Graph.
	if shown := a.run("ad", "sp", "show", "--id", client); shown["id"] != object {
		t.Errorf("the identity is %v, want %s", shown, object)
	}
	assign := func(principal, role, name string) {
		definition := path("providers/Microsoft.Authorization/roleDefinitions/" + role)
		a.arm("put", vault+"/providers/Microsoft.Authorization/roleAssignments/"+name, "2022-04-01",
			`{"properties": {"principalId": "`+principal+`", "principalType": "ServicePrincipal", `+
				`"roleDefinitionId": "`+definition+`"}}`)
	}
	a.ifWhole(func() { assign(object, "4633458b-17de-408a-b874-0445c86b69e6", "11111111-0000-4000-8000-000000000001") },
		"role", "assignment", "create", "--role", "Key Vault Secrets User", "--assignee", client, "--scope", vault)
	ownerObject := a.run("ad", "sp", "show", "--id", owner.ClientID)["id"].(string)
	a.ifWhole(func() {
		assign(ownerObject, "00482a5a-887f-4fb3-b363-3b7fe8e74483", "11111111-0000-4000-8000-000000000002")
	},
		"role", "assignment", "create", "--role", "Key Vault Administrator", "--assignee", owner.ClientID, "--scope", vault)
	a.ifWhole(func() { a.data("put", "secrets/example", `{"value": "of az"}`) },
		"keyvault", "secret", "set", "--vault-name", "kv-of-az", "--name", "example", "--value", "of az")
	a.ifWhole(func() { a.data("post", "keys/example/create", `{"kty": "RSA"}`) },
		"keyvault", "key", "create", "--vault-name", "kv-of-az", "--name", "example")
	if secret := a.data("get", "secrets/example", ""); secret["value"] != "of az" {
		t.Errorf("the secret is %v", secret)
	}

	a.run(
		"identity",
		"federated-credential",
		"create",
		"--resource-group",
		"rg",
		"--identity-name",
		"workload",
		"--name",
		"job",
		"--issuer",
		"https://token.actions.githubusercontent.com",
		"--subject",
		"repo:org/repo:ref:refs/heads/main",
		"--audience",
		"api://AzureADTokenExchange",
	)
	token := f.ciToken("github", "repo:org/repo:ref:refs/heads/main", "")
	a.run("logout")
	a.run("login", "--service-principal", "--username", client, "--federated-token", token, "--tenant", owner.TenantID,
		"--allow-no-subscriptions")
	if secret := a.data("get", "secrets/example", ""); secret["value"] != "of az" {
		t.Errorf("the workload reads %v", secret)
	}
	if _, complaint := a.try("ad", "sp", "show", "--id", client); !strings.Contains(complaint, "Insufficient privileges") {
		t.Errorf("an identity without permissions reads the directory: %q", complaint)
	}
}

// TestAz_CreatesCluster follows Microsoft's guide. The API version of Debian's az does not have workload identity, so a
// request in a newer version enables it.
func TestAz_CreatesCluster(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := newAz(f)
	owner := f.cloud.Credentials()
	a.run("login", "--service-principal", "--username", owner.ClientID, "--password", owner.ClientSecret, "--tenant",
		owner.TenantID)
	a.run("group", "create", "--name", "rg", "--location", location)
	made := a.run("aks", "create", "--resource-group", "rg", "--name", "aks", "--node-count", "1", "--no-ssh-key",
		"--enable-managed-identity", "--enable-addons", "azure-keyvault-secrets-provider", "--enable-oidc-issuer")
	if state := made["provisioningState"]; state != "Succeeded" {
		t.Errorf("the cluster is %v", state)
	}
	cluster := path("resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/aks")
	body := a.run("rest", "--method", "get", "--url", cluster+"?api-version=2024-09-01")
	body["properties"].(map[string]any)["securityProfile"] = map[string]any{
		"workloadIdentity": map[string]any{"enabled": true},
	}
	text, err := json.Marshal(body)
	f.must(err)
	a.arm("put", cluster, "2024-09-01", string(text))
	a.run("aks", "wait", "--resource-group", "rg", "--name", "aks", "--updated", "--interval", "1")
	shown := a.run("aks", "show", "--resource-group", "rg", "--name", "aks")
	issuer, _ := shown["oidcIssuerProfile"].(map[string]any)["issuerUrl"].(string)
	addon, _ := shown["addonProfiles"].(map[string]any)["azureKeyvaultSecretsProvider"].(map[string]any)
	if issuer == "" || addon["enabled"] != true {
		t.Errorf("the cluster's issuer is %q, its add-on %v", issuer, addon)
	}
	if list, complaint := a.try("aks", "list"); complaint != "" || !strings.Contains(string(list), issuer) {
		t.Errorf("all clusters: %s %s", list, complaint)
	}
	a.run("aks", "nodepool", "add", "--resource-group", "rg", "--cluster-name", "aks", "--name", "more", "--node-count",
		"1")
	a.run("aks", "nodepool", "delete", "--resource-group", "rg", "--cluster-name", "aks", "--name", "more")
	config := filepath.Join(t.TempDir(), "kubeconfig")
	a.run("aks", "get-credentials", "--resource-group", "rg", "--name", "aks", "--file", config)
	if _, err := os.Stat(config); err != nil {
		t.Error(err)
	}
	a.run("aks", "delete", "--resource-group", "rg", "--name", "aks", "--yes")
}

// TestAz_DeletesAndRecoversVault gives az only the vault's name, so that az searches the lists of all resources and of
// all deleted vaults.
func TestAz_DeletesAndRecoversVault(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := newAz(f)
	owner := f.cloud.Credentials()
	a.run("login", "--service-principal", "--username", owner.ClientID, "--password", owner.ClientSecret, "--tenant",
		owner.TenantID)
	a.run("group", "create", "--name", "rg", "--location", location)
	const name = "kv-of-az"
	// Without roles, az gives itself an access policy. It reads its object ID from Microsoft Graph.
	made := a.run("keyvault", "create", "--resource-group", "rg", "--name", name, "--location", location)
	policies, _ := made["properties"].(map[string]any)["accessPolicies"].([]any)
	if self := a.run("ad", "sp", "show", "--id", owner.ClientID)["id"]; len(policies) != 1 ||
		policies[0].(map[string]any)["objectId"] != self {
		t.Errorf("the access policies are %v, want one of %v", policies, self)
	}
	if shown := a.run("keyvault", "show", "--name", name); shown["id"] != made["id"] {
		t.Errorf("it is %v, want %v", shown["id"], made["id"])
	}
	a.run("keyvault", "delete", "--name", name)
	a.run("keyvault", "recover", "--name", name)
	a.run("keyvault", "delete", "--name", name)
	a.run("keyvault", "purge", "--name", name)
	if list, complaint := a.try("keyvault", "list-deleted"); complaint != "" || strings.TrimSpace(string(list)) != "[]" {
		t.Errorf("deleted: %s %s", list, complaint)
	}
	if list, complaint := a.try("resource", "list", "--resource-group", "rg"); complaint != "" ||
		strings.TrimSpace(string(list)) != "[]" {
		t.Errorf("resources: %s %s", list, complaint)
	}
}

// TestResources_AreListedWithFiltersOfAz also uses az's API versions.
func TestResources_AreListedWithFiltersOfAz(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, group := range []string{"rg", "other"} {
		f.group(group)
		f.put(
			path("resourceGroups", group, "providers/Microsoft.ManagedIdentity/userAssignedIdentities",
				group+"-app?api-version=2022-01-31-preview"),
			map[string]any{"location": location},
		)
	}
	for filter, want := range map[string]int{
		"":                        2,
		"resourceGroup eq 'rg'":   1,
		"resourceGroup eq 'none'": 0,
		"resourceType eq 'Microsoft.KeyVault/vaults'":                        0,
		"name eq 'rg-app'":                                                   -1,
		"resourceGroup eq 'r' or 'g'":                                        -1,
		"resourceType eq 'Microsoft.ManagedIdentity/userAssignedIdentities'": 2,
		"resourceGroup eq 'other' and resourceType eq 'Microsoft.ManagedIdentity/userAssignedIdentities'": 1,
		"resourceGroup eq 'other' and resourceGroup eq 'rg'":                                              -1,
	} {
		status, answer := f.ask(http.MethodGet, path("resources?api-version=2015-11-01&$filter="+url.QueryEscape(filter)),
			nil)
		found, _ := answer["value"].([]any)
		if want < 0 && status != http.StatusNotImplemented || want >= 0 && (status != http.StatusOK || len(found) != want) {
			t.Errorf("%q: %d %v, want %d", filter, status, answer, want)
		}
	}
	if status, answer := f.ask(http.MethodGet,
		path("providers/Microsoft.KeyVault/deletedManagedHSMs?api-version=2022-07-01"), nil); status != http.StatusOK {
		t.Errorf("deleted HSMs: %d %v", status, answer)
	}
}

// arm sends a request to Resource Manager. It fails the test on errors.
func (a *az) arm(method, path, version, body string) map[string]any {
	a.Helper()
	return a.run("rest", "--method", method, "--url", path+"?api-version="+version, "--body", body)
}

// data sends a request to the vault. It fails the test on errors.
func (a *az) data(method, path, body string) map[string]any {
	a.Helper()
	args := []string{
		"rest",
		"--method",
		method,
		"--url",
		"https://kv-of-az.vault.azure.net/" + path + "?api-version=7.4",
		"--resource",
		"https://vault.azure.net",
	}
	if body != "" {
		args = append(args, "--body", body)
	}
	return a.run(args...)
}
