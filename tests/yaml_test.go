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

// directProgram uses the plugins directly: a vault with a generated secret, and a role on it.
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

// TestYAML_UsesStandInPlugins checks that a YAML program works with the stand-in plugins, and that up names unknown
// types, and a preview an invalid value, before anything is created.
func TestYAML_UsesStandInPlugins(t *testing.T) {
	t.Parallel()
	project := t.TempDir() // before newCloud, whose clean-up needs it
	c := newCloud(t)
	c.project = project
	write := func(program string) {
		if err := os.WriteFile(filepath.Join(c.project, "Pulumi.yaml"), []byte(program), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const unknownTypes = `
  hsm: {type: "azure-native:keyvault:ManagedHsm", options: {version: 2.92.0}}
  old: {type: "azure-native:keyvault/v20200101:Vault", options: {version: 2.92.0}}
  pet: {type: "random:RandomPet"}
`
	write(strings.Replace(directProgram, "\noutputs:\n", unknownTypes+"outputs:\n", 1))
	printed, _, err := c.tryUp(t, "--node=stand-in")
	if err == nil {
		t.Error("up succeeds with unknown types")
	}
	for _, unknown := range []string{"keyvault:ManagedHsm", "keyvault/v20200101:Vault", "random:RandomPet"} {
		if !strings.Contains(printed, unknown) {
			t.Errorf("up does not name the unknown type %s", unknown)
		}
	}
	if resourceGroups(t, c) != 0 {
		t.Error("up created a resource group before it named unknown types")
	}

	write(directProgram)
	c.up(t)
	uri, value := c.pulumi(t, "stack", "output", "uri"), c.pulumi(t, "stack", "output", "value", "--show-secrets")
	secrets, _ := vaultClients(t, c, strings.TrimSpace(uri))
	if getSecret(t, secrets, "one") != strings.TrimSpace(value) {
		t.Error("the vault does not have the stack's value")
	}
	if shown := c.pulumi(t, "stack", "output", "value"); !strings.Contains(shown, "[secret]") {
		t.Error("the output value is not secret")
	}
	c.pulumi(t, "up", "--yes", "--skip-preview", "--expect-no-changes")

	// A preview rejects nested values that the types' descriptions do not allow, before any request to Azure.
	write(strings.Replace(directProgram, "tenantId: ${me.tenantId}", "tenantId: short", 1))
	if out, err := c.run(t, "", "pulumi", "preview", "--non-interactive"); err == nil ||
		!strings.Contains(err.Error(), "properties.tenantId") {
		t.Errorf("preview with a short tenantId: got %v, want an error that names properties.tenantId\n%s", err, out)
	}
	write(directProgram)
	c.down(t)
}

// TestUp_ContinuesPastUnknownCreation checks that up and down name a pending creation of a type that the local cloud
// does not know, and continue.
func TestUp_ContinuesPastUnknownCreation(t *testing.T) {
	t.Parallel()
	project := t.TempDir() // before newCloud, whose clean-up needs it
	c := newCloud(t)
	c.project = project
	program := "{name: pending, runtime: yaml, resources: {one: {type: 'random:RandomId', properties: {byteLength: 4}}}}"
	if err := os.WriteFile(filepath.Join(c.project, "Pulumi.yaml"), []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	const urn = "urn:pulumi:dev::pending::azure-native:compute/v20240701:VirtualMachine::vm"
	killed := func() { // edits the file, because `pulumi stack import` drops pending operations
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
		t.Errorf("up does not name the pending creation of an unknown type:\n%s", printed)
	}
	if printed, _ := c.up(t); strings.Contains(printed, urn) {
		t.Errorf("the second up still names the pending creation:\n%s", printed)
	}
	killed()
	out, err := c.command(t, "down").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte(urn)) || bytes.Contains(out, []byte("could not be destroyed")) {
		t.Errorf("down: got %v, want success, and the pending creation named\n%s", err, out)
	}
}
