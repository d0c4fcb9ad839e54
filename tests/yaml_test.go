package tests

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

// directProgram uses the plugins directly: a vault with a secret that random has made, and a role on it.
const directProgram = `name: directly
runtime: yaml
variables:
  me:
    fn::invoke:
      function: azure-native:authorization:getClientConfig
      arguments: {}
      options: {version: 2.92.0}
resources:
  group:
    type: azure-native:resources/v20220901:ResourceGroup
    properties: {location: eastus}
    options: {version: 2.92.0}
  suffix:
    type: random:RandomId
    properties: {byteLength: 4}
  value:
    type: random:RandomPassword
    properties: {length: 24}
  vault:
    type: azure-native:keyvault/v20241101:Vault
    properties:
      resourceGroupName: ${group.name}
      vaultName: kv-${suffix.hex}
      properties:
        tenantId: ${me.tenantId}
        sku: {family: A, name: standard}
        enableRbacAuthorization: true
    options: {version: 2.92.0}
  officer:
    type: azure-native:authorization:RoleAssignment
    properties:
      scope: ${vault.id}
      principalId: ${me.objectId}
      principalType: ServicePrincipal
      roleDefinitionId: /providers/Microsoft.Authorization/roleDefinitions/` + secretsOfficer + `
    options: {version: 2.92.0}
  secret:
    type: azure-native:keyvault/v20241101:Secret
    properties:
      resourceGroupName: ${group.name}
      vaultName: ${vault.name}
      secretName: one
      properties: {value: "${value.result}"}
    options: {version: 2.92.0}
outputs:
  uri: ${vault.properties.vaultUri}
  value: ${value.result}
`

// TestYAML_UsesStandInPlugins from an update to one that changes nothing, with what is unknown named beforehand.
func TestYAML_UsesStandInPlugins(t *testing.T) {
	t.Parallel()
	project := t.TempDir() // before the cloud, whose end needs it
	c := newCloud(t)
	c.project = project
	write := func(program string) {
		if err := os.WriteFile(filepath.Join(c.project, "Pulumi.yaml"), []byte(program), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(
		strings.Replace(
			directProgram,
			"outputs:\n",
			`  hsm: {type: "azure-native:keyvault:ManagedHsm", options: {version: 2.92.0}}
  old: {type: "azure-native:keyvault/v20200101:Vault", options: {version: 2.92.0}}
  pet: {type: "random:RandomPet"}
outputs:
`,
			1,
		),
	)
	printed, _, err := c.tryUp(t, "--node=stand-in")
	if err == nil {
		t.Error("unknown types come up")
	}
	for _, unknown := range []string{"keyvault:ManagedHsm", "keyvault/v20200101:Vault", "random:RandomPet"} {
		if !strings.Contains(printed, unknown) {
			t.Errorf("%s is not named", unknown)
		}
	}
	if resourceGroups(t, c) != 0 {
		t.Error("something was made before unknown types were named")
	}

	write(directProgram)
	c.up(t)
	uri, value := c.pulumi(t, "stack", "output", "uri"), c.pulumi(t, "stack", "output", "value", "--show-secrets")
	secrets, _ := vaultClients(t, c, strings.TrimSpace(uri))
	if getSecret(t, secrets, "one") != strings.TrimSpace(value) {
		t.Error("the vault has another value than the stack")
	}
	if shown := c.pulumi(t, "stack", "output", "value"); !strings.Contains(shown, "[secret]") {
		t.Error("the value is no secret")
	}
	c.pulumi(t, "up", "--yes", "--skip-preview", "--expect-no-changes")

	// A preview refuses what the types' descriptions do not allow, at any depth, before anything is asked of Azure.
	write(strings.Replace(directProgram, "tenantId: ${me.tenantId}", "tenantId: short", 1))
	if out, err := c.run(t, "", "pulumi", "preview", "--non-interactive"); err == nil ||
		!strings.Contains(err.Error(), "properties.tenantId") {
		t.Errorf("a preview does not refuse a value: %v\n%s", err, out)
	}
	write(directProgram)
	c.down(t)
}

// TestUp_ContinuesPastUnknownCreation has the state of a run that was killed while it created what the local
// cloud does not know: it is named, and hinders neither up nor down.
func TestUp_ContinuesPastUnknownCreation(t *testing.T) {
	t.Parallel()
	project := t.TempDir() // before the cloud, whose end needs it
	c := newCloud(t)
	c.project = project
	program := "{name: pending, runtime: yaml, resources: {one: {type: 'random:RandomId', properties: {byteLength: 4}}}}"
	if err := os.WriteFile(filepath.Join(c.project, "Pulumi.yaml"), []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	const urn = "urn:pulumi:dev::pending::azure-native:compute/v20240701:VirtualMachine::vm"
	killed := func() { // `pulumi stack import` leaves out what is pending
		file := filepath.Join(c.home, localcloudtest.StacksDir, ".pulumi", "stacks", "pending", "dev.json")
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var state map[string]any
		if err := json.Unmarshal(content, &state); err != nil {
			t.Fatal(err)
		}
		state["checkpoint"].(map[string]any)["latest"].(map[string]any)["pending_operations"] = []any{map[string]any{
			"type": "creating", "resource": map[string]any{
				"urn": urn, "custom": true, "type": "azure-native:compute/v20240701:VirtualMachine",
				"inputs": map[string]any{"resourceGroupName": "rg", "vmName": "vm"},
			},
		}}
		if content, err = json.Marshal(state); err == nil {
			err = os.WriteFile(file, content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	c.up(t, "--node=stand-in")
	killed()
	if printed, _ := c.up(t); !strings.Contains(printed, urn) {
		t.Errorf("what nobody can look for is not named:\n%s", printed)
	}
	if printed, _ := c.up(t); strings.Contains(printed, urn) {
		t.Errorf("it is pending still:\n%s", printed)
	}
	killed()
	out, err := c.command(t, "down").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte(urn)) || bytes.Contains(out, []byte("could not be destroyed")) {
		t.Errorf("down: %v\n%s", err, out)
	}
}
