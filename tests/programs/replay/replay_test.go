package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

const (
	subscription = "1c0d5b6a-0000-4000-8000-00000000c3d4"
	tenant       = "5f4e2d3c-0000-4000-8000-00000000a1b2"
	password     = "jhxUFP7$ND8Iw(xG"
	clientKey    = "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t"

	secretSignature  = `"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"`
	archiveSignature = `"4dabf18193072939515e22adb298388d": "0def7320c3a5731c473e5ecbe6d01bc7"`
)

// abbreviated expands what the exported stacks of these tests abbreviate: URNs, secrets, and the ARM id of the group.
var abbreviated = func() *strings.Replacer {
	const urn = "urn:pulumi:dev::keyvault-aks::"
	secret := func(plain string) string {
		return `{` + secretSignature + `, "plaintext": "\"` + plain + `\""}`
	}
	return strings.NewReplacer(
		"<stack>", urn+"pulumi:pulumi:Stack::keyvault-aks-dev",
		"<azure>", urn+"pulumi:providers:azure-native::default_2_92_0",
		"<group>", urn+"azure-native:resources/v20220901:ResourceGroup::group",
		"<component>", urn+"keyvaultaks:index:KeyVaultStack::vault",
		"<suffix>", urn+"keyvaultaks:index:KeyVaultStack$random:index/randomString:RandomString::vault-suffix",
		"<password>", urn+"keyvaultaks:index:KeyVaultStack$random:index/randomPassword:RandomPassword::vault-value",
		"<vault>", urn+"keyvaultaks:index:KeyVaultStack$azure-native:keyvault/v20241101:Vault::vault-vault",
		"<secret>", urn+"keyvaultaks:index:KeyVaultStack$azure-native:keyvault/v20241101:Secret::vault-secret",
		"<cluster>", urn+"azure-native:containerservice/v20240901:ManagedCluster::cluster",
		"<kubernetes>", urn+"pulumi:providers:kubernetes::kubernetes",
		"<namespace>", urn+"kubernetes:core/v1:Namespace::namespace",
		"<admin>", urn+"azure-native:authorization/v20220401:RoleAssignment::admin",
		"$kubeconfig", secret(`clusters:\\n- cluster:\\n    server: https://before.example:443\\n  name: cluster\\n`+
			`users:\\n- user:\\n    client-key-data: `+clientKey+`\\n`),
		"$password", secret(password),
		"$id", "/subscriptions/"+subscription+"/resourceGroups/demo",
		"$tenant", tenant,
		"$subscription", subscription,
	)
}()

// exported is the output of `pulumi stack export --show-secrets`, abbreviated and reduced.
const exported = `{"deployment": {"resources": [
	{
		"urn": "<stack>", "type": "pulumi:pulumi:Stack",
		"outputs": {"vaultName": "kv-demo-ukqbt4", "kubeconfig": $kubeconfig}
	},
	{
		"urn": "<azure>", "type": "pulumi:providers:azure-native", "custom": true, "id": "0",
		"inputs": {"version": "2.92.0"}
	},
	{
		"urn": "<group>", "type": "azure-native:resources/v20220901:ResourceGroup", "custom": true, "id": "$id",
		"parent": "<stack>", "provider": "<azure>::0",
		"inputs": {"location": "eastus", "resourceGroupName": "demogroup", "tags": {"team": "platform"}},
		"outputs": {"id": "$id", "location": "eastus", "name": "demogroup", "tags": {"team": "platform"}},
		"propertyDependencies": {"resourceGroupName": [], "tags": []}
	},
	{
		"urn": "<component>", "type": "keyvaultaks:index:KeyVaultStack", "parent": "<stack>",
		"inputs": {"resourceGroupName": "demogroup", "tenantId": "$tenant"},
		"propertyDependencies": {"resourceGroupName": ["<group>"], "tenantId": []},
		"dependencies": ["<group>"]
	},
	{
		"urn": "<suffix>", "type": "random:index/randomString:RandomString", "custom": true, "id": "ukqbt4",
		"parent": "<component>",
		"inputs": {"length": 6},
		"outputs": {"result": "ukqbt4"},
		"propertyDependencies": {"length": []}
	},
	{
		"urn": "<vault>", "type": "azure-native:keyvault/v20241101:Vault", "custom": true, "id": "$id/kv-demo-ukqbt4",
		"parent": "<component>", "provider": "<azure>::0", "protect": true,
		"inputs": {
			"resourceGroupName": "demogroup", "vaultName": "kv-demo-ukqbt4",
			"tags": {"team": "platform", "suffix": "ukqbt4"},
			"properties": {"retention": 7, "purge": false, "rules": [], "ids": ["$id/subnet", "eastus"]}
		},
		"outputs": {
			"__inputs": "hidden-value", "alias": "kv-demo-ukqbt4", "id": "$id/kv-demo-ukqbt4", "name": "kv-demo-ukqbt4",
			"sku": "A1"
		},
		"propertyDependencies": {
			"resourceGroupName": ["<group>"], "vaultName": ["<suffix>"], "tags": ["<group>"], "properties": ["<group>"]
		},
		"dependencies": ["<group>", "<suffix>"]
	},
	{
		"urn": "<password>", "type": "random:index/randomPassword:RandomPassword", "custom": true, "id": "none",
		"parent": "<component>", "additionalSecretOutputs": ["result"],
		"inputs": {"length": 16},
		"outputs": {"result": $password},
		"propertyDependencies": {"length": []}
	},
	{
		"urn": "<secret>", "type": "azure-native:keyvault/v20241101:Secret", "custom": true, "id": "$id/secret",
		"parent": "<component>", "provider": "<azure>::0", "deletedWith": "<vault>",
		"inputs": {
			"vaultName": "kv-demo-ukqbt4", "properties": {"value": $password}, "chosen": "by the provider",
			"uses": ["$id/kv-demo-ukqbt4/s", "A1", "hidden-value"]
		},
		"outputs": {"name": "s"},
		"propertyDependencies": {
			"vaultName": ["<vault>"], "properties": ["<password>"], "uses": ["<group>", "<vault>"]
		},
		"dependencies": ["<vault>", "<password>"]
	},
	{
		"urn": "<admin>", "type": "azure-native:authorization/v20220401:RoleAssignment", "custom": true,
		"id": "$id/admin", "parent": "<stack>", "provider": "<azure>::0", "ignoreChanges": ["principalId"],
		"inputs": {
			"principalId": "7ebc06c4-5237-433e-950c-d13e6e6e6ee1", "scope": "$id",
			"role": "/subscriptions/$subscription/roles/admin"
		},
		"propertyDependencies": {"principalId": [], "scope": ["<group>"], "role": []},
		"dependencies": ["<group>"]
	},
	{
		"urn": "<cluster>", "type": "azure-native:containerservice/v20240901:ManagedCluster", "custom": true,
		"id": "$id/cluster", "parent": "<stack>", "provider": "<azure>::0",
		"inputs": {"resourceGroupName": "demogroup", "resourceName": "cluster"},
		"outputs": {"name": "cluster"},
		"propertyDependencies": {"resourceGroupName": ["<group>"], "resourceName": []}
	},
	{
		"urn": "<kubernetes>", "type": "pulumi:providers:kubernetes", "custom": true, "id": "1", "parent": "<stack>",
		"inputs": {"kubeconfig": $kubeconfig, "version": "4.25.0"},
		"propertyDependencies": {"kubeconfig": ["<cluster>"]},
		"dependencies": ["<cluster>"]
	},
	{
		"urn": "<namespace>", "type": "kubernetes:core/v1:Namespace", "custom": true, "id": "ns",
		"parent": "<stack>", "provider": "<kubernetes>::1",
		"customTimeouts": {"delete": 60}, "replaceOnChanges": ["metadata"], "retainOnDelete": true,
		"inputs": {"metadata": {"name": "ns"}},
		"propertyDependencies": {"metadata": []},
		"dependencies": ["<vault>"]
	}
]}}`

// recordedFrom records an exported stack.
func recordedFrom(t *testing.T, exported string) (text string, s state, err error) {
	t.Helper()
	var out bytes.Buffer
	in := strings.NewReader(abbreviated.Replace(exported))
	err = recordTo(&out, in, caller{SubscriptionID: subscription, TenantID: tenant})
	if err == nil {
		if err := json.Unmarshal(out.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
	}
	return out.String(), s, err
}

// TestRecord_TurnsOutputsIntoReferences checks that inputs with outputs of other resources become references.
func TestRecord_TurnsOutputsIntoReferences(t *testing.T) {
	_, s, err := recordedFrom(t, exported)
	if err != nil {
		t.Fatal(err)
	}
	inputs := map[string]map[string]any{}
	for _, one := range s.Resources {
		inputs[one.Name] = one.Inputs
	}
	secret := func(text string) map[string]any { return map[string]any{secretKey: text} }
	for name, want := range map[string]map[string]any{
		// The provider added the location.
		"group": {"resourceGroupName": "demogroup", "tags": map[string]any{"team": "platform"}},
		"vault": {"resourceGroupName": "${group#name}", "tenantId": "${caller#tenantId}"},
		"vault-vault": {
			"resourceGroupName": "${group#name}", "vaultName": "kv-demo-${vault-suffix#result}",
			// The group's tags are also its inputs, and these tags do not depend on the suffix.
			"tags": map[string]any{"team": "platform", "suffix": "ukqbt4"},
			"properties": map[string]any{
				"retention": 7.0, "purge": false, "rules": []any{}, "ids": []any{"${group#id}/subnet", "eastus"},
			},
		},
		"vault-secret": {
			"vaultName": "${vault-vault#name}", "properties": map[string]any{"value": secret("${vault-value#result}")},
			"uses": []any{"${vault-vault#id}/s", "A1", "hidden-value"},
		},
		"admin": {
			"principalId": "${caller#objectId}", "scope": "${group#id}",
			"role": "/subscriptions/${caller#subscriptionId}/roles/admin",
		},
		"kubernetes": {"kubeconfig": secret("clusters:\n- cluster:\n    server: ${cluster#kubeconfig.server}\n" +
			"  name: cluster\nusers:\n- user:\n    client-key-data: ${cluster#kubeconfig.client-key-data}\n")},
	} {
		if !reflect.DeepEqual(inputs[name], want) {
			t.Errorf("%s has the inputs %v, want %v", name, inputs[name], want)
		}
	}
	if got := s.Outputs["vaultName"]; got != "${vault-vault#name}" {
		t.Errorf("the stack's output is %v, want a reference", got)
	}
}

// TestRecord_KeepsNoSecret checks that a recording has no secret values.
func TestRecord_KeepsNoSecret(t *testing.T) {
	text, _, err := recordedFrom(t, exported)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{password, clientKey, "before.example"} {
		if strings.Contains(text, secret) {
			t.Errorf("the recording has the secret %s", secret)
		}
	}
}

// TestRecord_RefusesWhatCannotBeReplayed checks the errors for stacks that cannot be recorded.
func TestRecord_RefusesWhatCannotBeReplayed(t *testing.T) {
	for name, change := range map[string]struct{ of, to, want string }{
		"a secret from elsewhere": {
			`"properties": ["<password>"]`, `"properties": []`, "input properties: value: it is secret",
		},
		"an encrypted secret": {
			`{"value": $password}`, `{"value": {` + secretSignature + `, "ciphertext": "v1:"}}`, "--show-secrets",
		},
		"a secret that is not a text": {
			`{"value": $password}`, `{"value": {` + secretSignature + `, "plaintext": "7"}}`, "not a string",
		},
		"an archive":                {`"retention": 7`, `"retention": {` + archiveSignature + `}`, "0def7320"},
		"a text with a reference":   {`"team": "platform"`, `"team": "${group#id}"`, "begin a reference"},
		"a kubeconfig of nothing":   {`{"kubeconfig": ["<cluster>"]}`, `{"kubeconfig": []}`, "depends on the clusters"},
		"a name that is used twice": {`"urn": "<cluster>"`, `"urn": "urn:pulumi:dev::p::a:b:C::group"`, "another"},
		"a resource that was read":  {`"id": "ukqbt4"`, `"external": true, "id": "ukqbt4"`, "only read"},
		"a missing provider":        {`"provider": "<kubernetes>::1"`, `"provider": "<kubernetes>2::1"`, "no provider"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(exported, change.of, change.to, 1)
			if changed == exported {
				t.Fatal("the test does not change the exported stack")
			}
			if _, _, err := recordedFrom(t, changed); err == nil || !strings.Contains(err.Error(), change.want) {
				t.Errorf("got %v, want an error with %s", err, change.want)
			}
		})
	}
}

// TestRecordedStacks_HoldNoSecret checks that the committed recordings have references in place of secrets.
func TestRecordedStacks_HoldNoSecret(t *testing.T) {
	files, err := filepath.Glob("../../testdata/state-*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("the recordings are %q, want some: %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var s state
			decoder := json.NewDecoder(bytes.NewReader(content))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&s); err != nil {
				t.Fatal(err)
			}
			secrets := secretsIn(s.Outputs)
			for _, one := range s.Resources {
				secrets = append(secrets, secretsIn(one.Inputs)...)
			}
			if len(secrets) == 0 {
				t.Error("the recording has no secret, so the test proves nothing")
			}
			for _, secret := range secrets {
				for _, line := range kubeconfigLine.FindAllStringSubmatch(secret, -1) {
					if !reference.MatchString(line[3]) {
						t.Errorf("the kubeconfig has a value for %s, want a reference", line[2])
					}
				}
				if !kubeconfigLine.MatchString(secret) && reference.ReplaceAllString(secret, "") != "" {
					t.Error("a secret is not a reference")
				}
			}
		})
	}
}

func secretsIn(value any) (found []string) {
	switch value := value.(type) {
	case []any:
		for _, one := range value {
			found = append(found, secretsIn(one)...)
		}
	case map[string]any:
		if secret, ok := value[secretKey].(string); ok {
			return []string{secret}
		}
		for _, one := range value {
			found = append(found, secretsIn(one)...)
		}
	}
	return found
}

// TestReplay_RegistersRecordedResources checks that a replay registers the recorded resources with this run's outputs.
func TestReplay_RegistersRecordedResources(t *testing.T) {
	e := replayed(t, exported)
	for name, want := range map[string]struct{ of, parent string }{
		"group":       {"azure-native:resources/v20220901:ResourceGroup", "keyvault-aks-test"},
		"vault":       {"keyvaultaks:index:KeyVaultStack", "keyvault-aks-test"},
		"vault-vault": {"azure-native:keyvault/v20241101:Vault", "vault"},
		"kubernetes":  {"pulumi:providers:kubernetes", "keyvault-aks-test"},
	} {
		one := e.Get(t, name)
		if parent := resource.URN(one.RPC.GetParent()).Name(); one.Type != want.of || parent != want.parent {
			t.Errorf("%s has type %s and parent %s, want %s and %s", name, one.Type, parent, want.of, want.parent)
		}
	}
	now := "kv-demo-" + mockengine.Suffix
	kubeconfig := "clusters:\n- cluster:\n    server: https://now.example:443\n  name: cluster\n" +
		"users:\n- user:\n    client-key-data: bm93\n"
	for _, want := range []struct {
		name, path, value string
		secret            bool
	}{
		{"vault", "tenantId", mockengine.TenantID, false},
		{"vault-vault", "vaultName", now, false},
		{"vault-vault", "properties.ids[0]", mockengine.Group + "demogroup/subnet", false},
		{"vault-secret", "vaultName", now, false},
		{"vault-secret", "properties.value", mockengine.Password, true},
		{"admin", "principalId", "object-id", false},
		{"kubernetes", "kubeconfig", kubeconfig, true},
	} {
		value := e.Get(t, want.name).At(want.path)
		if value == nil || value.IsSecret() != want.secret || revealed(*value).V != want.value {
			t.Errorf("%s of %s is %v, want %s (secret: %t)", want.path, want.name, value, want.value, want.secret)
		}
	}
	if got := e.StackOutputs()["vaultName"]; got.V != now {
		t.Errorf("the stack's output is %v, want %s", got, now)
	}
}

// TestReplay_KeepsOptionsAndDependencies checks that a replay registers resources with their recorded options and
// dependencies.
func TestReplay_KeepsOptionsAndDependencies(t *testing.T) {
	e := replayed(t, exported)
	vault, secret, namespace := e.Get(t, "vault-vault"), e.Get(t, "vault-secret"), e.Get(t, "namespace")
	if !vault.RPC.GetProtect() || vault.RPC.GetVersion() != "2.92.0" {
		t.Errorf("the vault is registered with %v", vault.RPC)
	}
	if secret.RPC.GetDeletedWith() != vault.URN {
		t.Errorf("the secret is registered with %v", secret.RPC)
	}
	if !secret.WaitsFor(vault) || !namespace.WaitsFor(vault) {
		t.Error("the secret or the namespace does not wait for the vault")
	}
	if got := namespace.RPC; !strings.HasPrefix(got.GetProvider(), e.Get(t, "kubernetes").URN+"::") ||
		!slices.Equal(got.GetReplaceOnChanges(), []string{"metadata"}) ||
		got.GetCustomTimeouts().GetDelete() != "60s" || !got.GetRetainOnDelete() {
		t.Errorf("the namespace is registered with %v", got)
	}
	if got := e.Get(t, "admin").RPC.GetIgnoreChanges(); !slices.Equal(got, []string{"principalId"}) {
		t.Errorf("ignoreChanges is %q, want principalId", got)
	}
	if got := e.Get(t, "vault-value").RPC.GetAdditionalSecretOutputs(); !slices.Equal(got, []string{"result"}) {
		t.Errorf("additionalSecretOutputs is %q, want result", got)
	}
}

// TestReplay_FailsOnMissingOutput checks that a replay names an output that this run does not have.
func TestReplay_FailsOnMissingOutput(t *testing.T) {
	lost := strings.NewReplacer(
		`"outputs": {"name": "s"}`, `"outputs": {"name": "s", "lost": "lost-output"}`,
		`"outputs": {"vaultName"`, `"outputs": {"lost": "lost-output", "vaultName"`,
	).Replace(exported)
	e, err := tryReplay(t, lost)
	if err == nil || !strings.Contains(err.Error(), "${vault-secret#lost}") {
		t.Errorf("got %v and %v, want an error that names the output", err, e.StackOutputs())
	}
}

// TestReplay_RefusesAPreview checks that a preview fails with a hint.
func TestReplay_RefusesAPreview(t *testing.T) {
	e := &mockengine.Engine{DryRun: true}
	if err := e.Run(program); err == nil || !strings.Contains(err.Error(), "--skip-preview") {
		t.Errorf("got %v, want an error that names the flag", err)
	}
}

// replayed records an exported stack and runs its replay.
func replayed(t *testing.T, exported string) *mockengine.Engine {
	t.Helper()
	e, err := tryReplay(t, exported)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func tryReplay(t *testing.T, exported string) (*mockengine.Engine, error) {
	t.Helper()
	text, _, err := recordedFrom(t, exported)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "state.json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	kubeconfig := "clusters:\n- cluster:\n    server: https://now.example:443\n" +
		"users:\n- user:\n    client-key-data: bm93\n"
	e := &mockengine.Engine{
		Config: map[string]string{"keyvault-aks:state": file},
		Answers: map[string]map[string]any{
			"azure-native:containerservice/v20240901:listManagedClusterUserCredentials": {
				"kubeconfigs": []any{map[string]any{"value": base64.StdEncoding.EncodeToString([]byte(kubeconfig))}},
			},
		},
	}
	return e, e.Run(program)
}
