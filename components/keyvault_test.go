package components_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

func vaultArgs() *components.KeyVaultStackArgs {
	return &components.KeyVaultStackArgs{
		ResourceGroupName: pulumi.String("group"),
		TenantID:          pulumi.String(mockengine.TenantID),
		NamePrefix:        "kv-demo",
		Secrets: []components.SecretArgs{
			{Name: "given", Value: pulumi.String("plain-marker")},
			{Name: "generated", Generate: &components.GenerateArgs{}},
		},
		Keys: []components.KeyArgs{{Name: "rsa"}, {Name: "ec", Type: "EC"}},
	}
}

func TestKeyVaultStack_IsSafeByDefault(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := components.NewKeyVaultStack(ctx, "vault", vaultArgs())
		return err
	})
	wantInputs(t, e.Get(t, "vault-vault"), map[string]any{
		"vaultName":                            "kv-demo-" + mockengine.Suffix,
		"resourceGroupName":                    "group",
		"properties.tenantId":                  mockengine.TenantID,
		"properties.sku.name":                  "standard",
		"properties.enableRbacAuthorization":   true,
		"properties.enableSoftDelete":          true,
		"properties.softDeleteRetentionInDays": 90.0,
		"properties.publicNetworkAccess":       "Enabled",
		// Azure refuses false, so it must be absent.
		"properties.enablePurgeProtection": nil,
		// For a recovery only.
		"properties.accessPolicies": nil,
		"properties.createMode":     nil,
	})
	wantInputs(t, e.Get(t, "vault-suffix"), map[string]any{"length": 6.0, "upper": false, "special": false})
}

func TestKeyVaultStack_PassesArguments(t *testing.T) {
	args := vaultArgs()
	args.Sku, args.SoftDeleteRetentionDays, args.PurgeProtection, args.PublicNetworkAccess = "premium", 7, true, "Disabled"
	args.PrivateEndpoint = &components.PrivateEndpointArgs{External: true}
	args.Location, args.Tags = pulumi.String("westeurope"), pulumi.StringMap{"team": pulumi.String("a")}
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := components.NewKeyVaultStack(ctx, "vault", args)
		return err
	})
	wantInputs(t, e.Get(t, "vault-vault"), map[string]any{
		"location":                             "westeurope",
		"tags.team":                            "a",
		"properties.sku.name":                  "premium",
		"properties.softDeleteRetentionInDays": 7.0,
		"properties.enablePurgeProtection":     true,
		"properties.publicNetworkAccess":       "Disabled",
	})
}

func TestKeyVaultStack_RecoversDeletedVault(t *testing.T) {
	args := vaultArgs()
	args.CreateMode = "recover"
	wantInputs(t, runVault(t, args).Get(t, "vault-vault"), map[string]any{
		"properties.createMode": "recover",
		// Without them, the provider would read those of the deleted vault, and fail.
		"properties.accessPolicies": []any{},
	})
	args.CreateMode = "default"
	wantInputs(t, runVault(t, args).Get(t, "vault-vault"),
		map[string]any{"properties.createMode": nil, "properties.accessPolicies": nil})
}

func TestKeyVaultStack_SendsLogsToWorkspace(t *testing.T) {
	args := vaultArgs()
	args.LogAnalyticsWorkspaceID = pulumi.String(workspaceID)
	wantInputs(t, runVault(t, args).Get(t, "vault-diagnostics"), map[string]any{
		"resourceUri":         vaultResourceID,
		"workspaceId":         workspaceID,
		"logs[0].category":    "AuditEvent",
		"logs[0].enabled":     true,
		"logs[1].category":    "AzurePolicyEvaluationDetails",
		"logs[1].enabled":     true,
		"metrics[0].category": "AllMetrics",
		"metrics[0].enabled":  true,
	})
}

const vaultResourceID = mockengine.Group + "/providers/Microsoft.KeyVault/vaults/kv-demo-" + mockengine.Suffix

// The lock protects what is on the vault, so a destroy must delete it first.
func TestLock_IsCreatedLast(t *testing.T) {
	args := fullArgs()
	e := runVault(t, args)
	lock := e.Get(t, "vault-lock")
	wantInputs(t, lock, map[string]any{"scope": vaultResourceID, "level": "CanNotDelete"})
	for _, name := range []string{"vault-vault", "vault-diagnostics", "vault-dns-zone-group", "vault-secret-given",
		"vault-key-rsa"} {
		if !lock.WaitsFor(e.Get(t, name)) {
			t.Errorf("the lock does not wait for %s", name)
		}
	}
}

// fullArgs returns every argument that a new vault can have.
func fullArgs() *components.KeyVaultStackArgs {
	args := endpointArgs()
	args.Network = &components.VaultNetworkArgs{AllowedIPRanges: pulumi.ToStringArray([]string{"203.0.113.7"})}
	args.LogAnalyticsWorkspaceID = pulumi.String(workspaceID)
	args.Lock, args.Protect, args.PurgeProtection = true, true, true
	args.Secrets[0].Expires, args.Keys[0].Expires = "P90D", "P1Y"
	args.ExpiryEvents = eventArgs().ExpiryEvents
	return args
}

func TestProtect_CoversVaultAndContents(t *testing.T) {
	for _, protect := range []bool{false, true} {
		args := fullArgs()
		args.Protect = protect
		e := runVault(t, args)
		for _, name := range []string{"vault-vault", "vault-secret-given", "vault-secret-generated", "vault-key-rsa",
			"vault-key-ec"} {
			if got := e.Get(t, name).RPC.GetProtect(); got != protect {
				t.Errorf("protect %t: %s is protected: %t", protect, name, got)
			}
		}
		if e.Get(t, "vault-lock").RPC.GetProtect() {
			t.Error("the lock could not be taken off")
		}
	}
}

func TestPurgeProtection_WarnsWithoutProtect(t *testing.T) {
	for _, c := range []struct{ purgeProtection, protect, want bool }{
		{false, false, false}, {false, true, false}, {true, true, false}, {true, false, true},
	} {
		args := vaultArgs()
		args.PurgeProtection, args.Protect, args.SoftDeleteRetentionDays = c.purgeProtection, c.protect, 42
		args.APIVersion = components.VaultAPI20260201 // of which nothing is warned
		for _, dryRun := range []bool{false, true} {
			e := &mockengine.Engine{DryRun: dryRun}
			run(t, e, func(ctx *pulumi.Context) error {
				_, err := components.NewKeyVaultStack(ctx, "vault", args)
				return err
			})
			got := e.Warnings()
			if (len(got) > 0) != c.want {
				t.Errorf("%+v: warned %v", c, got)
			}
			if c.want && len(got) > 0 &&
				(len(got) != 1 || got[0].URN != e.Get(t, "vault").URN || !strings.Contains(got[0].Message, "42 days")) {
				t.Errorf("the warning is %v", got)
			}
		}
	}
}

func existingVaultArgs() *components.KeyVaultStackArgs {
	return &components.KeyVaultStackArgs{
		ExistingVaultID: pulumi.String(existingVaultID),
		Secrets:         []components.SecretArgs{{Name: "given", Value: pulumi.String("plain-marker")}},
		Keys:            []components.KeyArgs{{Name: "rsa"}},
	}
}

// existingVaultID is spelled as some tools do. Azure ignores the case.
const existingVaultID = "/subscriptions/22222222-2222-2222-2222-222222222222/resourcegroups/their-group/providers/microsoft.keyvault/vaults/theirs"

func TestExistingVault_GetsObjectsOnly(t *testing.T) {
	args := existingVaultArgs()
	args.Protect = true
	e := runVault(t, args)
	if got := len(e.Resources()); got != 3 {
		t.Errorf("%d resources are registered, want the component, a secret and a key", got)
	}
	for _, name := range []string{"vault-secret-given", "vault-key-rsa"} {
		object := e.Get(t, name)
		wantInputs(t, object, map[string]any{"resourceGroupName": "their-group", "vaultName": "theirs"})
		if got := object.RPC.GetDeletedWith(); got != "" {
			t.Errorf("%s would stay when it is removed, since it is deleted with %s", name, got)
		}
		if !object.RPC.GetProtect() {
			t.Errorf("%s is not protected", name)
		}
	}
	wantSecretValues(t, e)
	if found := e.Plaintext("plain-marker"); len(found) > 0 {
		t.Errorf("a secret value is in the clear in %v", found)
	}
	wantOutputs(t, e, "vault", components.KeyVaultStack{})
}

func TestExistingVault_Outputs(t *testing.T) {
	run(t, &mockengine.Engine{}, func(ctx *pulumi.Context) error {
		c, err := components.NewKeyVaultStack(ctx, "vault", existingVaultArgs())
		if err != nil {
			return err
		}
		for output, want := range map[pulumi.StringOutput]string{
			c.VaultID:   existingVaultID,
			c.VaultName: "theirs",
			c.VaultURI:  "https://theirs.their-group.example/",
			c.TenantID:  mockengine.TenantID,
			c.SecretIDs.MapIndex(pulumi.String("given")): "vault-secret-given-id",
			c.KeyIDs.MapIndex(pulumi.String("rsa")):      "vault-key-rsa-id",
		} {
			got := mockengine.Await(t, ctx, output)
			if got.Value != want {
				t.Errorf("got %v, want %s", got.Value, want)
			}
		}
		for _, output := range []pulumi.StringOutput{c.VaultID, c.VaultName, c.VaultURI, c.TenantID} {
			for _, want := range []string{"vault-secret-given", "vault-key-rsa"} {
				if !slices.Contains(resourceNames(mockengine.Await(t, ctx, output).Dependencies), want) {
					t.Errorf("an output does not wait for %s", want)
				}
			}
		}
		return nil
	})
}

func TestExistingVault_RejectsOtherIDs(t *testing.T) {
	args := existingVaultArgs()
	args.ExistingVaultID = pulumi.String("theirs")
	err := (&mockengine.Engine{}).Run(func(ctx *pulumi.Context) error {
		_, err := components.NewKeyVaultStack(ctx, "vault", args)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "existingVaultId") {
		t.Errorf("got error %v", err)
	}
}

func TestExistingVault_Validates(t *testing.T) {
	type args = components.KeyVaultStackArgs
	testRules(t, existingVaultArgs, (*args).Validate, []rule[args]{
		{"a group", "resourceGroupName", func(a *args) { a.ResourceGroupName = pulumi.String("g") }},
		{"a location", "location", func(a *args) { a.Location = pulumi.String("eastus") }},
		{
			"a tenant beside secrets",
			"secrets",
			func(a *args) { a.TenantID, a.Keys = pulumi.String(mockengine.TenantID), nil },
		},
		{"a tenant beside keys", "keys", func(a *args) { a.TenantID, a.Secrets = pulumi.String(mockengine.TenantID), nil }},
		{
			"an expected object's type",
			"expectedObjects[0].type",
			func(a *args) { a.ExpectedObjects = []components.ObjectArgs{{Type: "certificate", Name: "a"}} },
		},
		{
			"an expected object's name",
			"expectedObjects[0].name",
			func(a *args) { a.ExpectedObjects = []components.ObjectArgs{{Type: "cert", Name: "a_b"}} },
		},
		{"tags", "tags", func(a *args) { a.Tags = pulumi.StringMap{} }},
		{"a prefix", "namePrefix", func(a *args) { a.NamePrefix = "kv" }},
		{"a name", "vaultName", func(a *args) { a.VaultName = "kv-payments" }},
		{"a mode", "createMode", func(a *args) { a.CreateMode = "recover" }},
		{"a SKU", "sku", func(a *args) { a.Sku = "premium" }},
		{"a retention", "softDeleteRetentionDays", func(a *args) { a.SoftDeleteRetentionDays = 7 }},
		{"purge protection", "purgeProtection", func(a *args) { a.PurgeProtection = true }},
		{"public access", "publicNetworkAccess", func(a *args) { a.PublicNetworkAccess = "Disabled" }},
		{"a firewall", "network", func(a *args) { a.Network = &components.VaultNetworkArgs{} }},
		{"an endpoint", "privateEndpoint", func(a *args) { a.PrivateEndpoint = &components.PrivateEndpointArgs{} }},
		{"logs", "logAnalyticsWorkspaceId", func(a *args) { a.LogAnalyticsWorkspaceID = pulumi.String("w") }},
		{"a lock", "lock", func(a *args) { a.Lock = true }},
		{"a secret", "secrets[0].name", func(a *args) { a.Secrets[0].Name = "" }},
		{"a key", "keys[0].name", func(a *args) { a.Keys[0].Name = "" }},
	})
}

func TestSecret_ValueIsAlwaysSecret(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := components.NewKeyVaultStack(ctx, "vault", vaultArgs())
		return err
	})
	for name, want := range map[string]string{"vault-secret-given": "plain-marker",
		"vault-secret-generated": mockengine.Password} {
		value := e.Get(t, name).At("properties.value")
		if value == nil || !value.IsSecret() {
			t.Errorf("%s: the value is not a secret", name)
		} else if value.SecretValue().Element != resource.NewProperty(want) {
			t.Errorf("%s: the value is not the one given", name)
		}
	}
	for _, text := range []string{"plain-marker", mockengine.Password} {
		if found := e.Plaintext(text); len(found) > 0 {
			t.Errorf("a secret value is in the clear in %v", found)
		}
	}
	wantInputs(t, e.Get(t, "vault-value-generated"), map[string]any{"length": 32.0, "special": true})
}

func TestSecretsAndKeys_AreDeletedWithVault(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := components.NewKeyVaultStack(ctx, "vault", vaultArgs())
		return err
	})
	for _, name := range []string{"vault-secret-given", "vault-secret-generated", "vault-key-rsa", "vault-key-ec"} {
		object := e.Get(t, name)
		if got, want := nameOf(object.RPC.GetDeletedWith()), "vault-vault"; got != want {
			t.Errorf("%s is deleted with %q, want %q", name, got, want)
		}
		wantInputs(t, object, map[string]any{"vaultName": "kv-demo-" + mockengine.Suffix, "resourceGroupName": "group"})
	}
}

func TestKeyVaultStack_OutputsWaitForObjects(t *testing.T) {
	for _, dryRun := range []bool{false, true} {
		run(t, &mockengine.Engine{DryRun: dryRun}, func(ctx *pulumi.Context) error {
			c, err := components.NewKeyVaultStack(ctx, "vault", vaultArgs())
			if err != nil {
				return err
			}
			for name, output := range map[string]pulumi.StringOutput{
				"VaultID": c.VaultID, "VaultName": c.VaultName, "VaultURI": c.VaultURI, "TenantID": c.TenantID,
			} {
				got := mockengine.Await(t, ctx, output)
				for _, want := range []string{"vault-secret-given", "vault-secret-generated", "vault-key-rsa", "vault-key-ec"} {
					if !slices.Contains(resourceNames(got.Dependencies), want) {
						t.Errorf("dry run %t: %s does not wait for %s", dryRun, name, want)
					}
				}
				if got.Known == dryRun {
					t.Errorf("dry run %t: %s known: %t", dryRun, name, got.Known)
				}
			}
			return nil
		})
	}
}

func TestKeyVaultStack_Outputs(t *testing.T) {
	run(t, &mockengine.Engine{}, func(ctx *pulumi.Context) error {
		c, err := components.NewKeyVaultStack(ctx, "vault", vaultArgs())
		if err != nil {
			return err
		}
		name := "kv-demo-" + mockengine.Suffix
		for output, want := range map[pulumi.StringOutput]string{
			c.VaultID:   mockengine.Group + "/providers/Microsoft.KeyVault/vaults/" + name,
			c.VaultName: name,
			c.VaultURI:  "https://vault.example/",
			c.TenantID:  mockengine.TenantID,
			c.SecretIDs.MapIndex(pulumi.String("given")): "vault-secret-given-id",
			c.KeyIDs.MapIndex(pulumi.String("rsa")):      "vault-key-rsa-id",
		} {
			if got := mockengine.Await(t, ctx, output).Value; got != want {
				t.Errorf("got %v, want %s", got, want)
			}
		}
		return nil
	})
}

func TestKeyVaultStack_Validates(t *testing.T) {
	generated := &components.GenerateArgs{}
	testRules(t, vaultArgs, (*components.KeyVaultStackArgs).Validate, []rule[components.KeyVaultStackArgs]{
		{"a prefix is needed", "namePrefix", func(a *components.KeyVaultStackArgs) { a.NamePrefix = "" }},
		{"a prefix starts with a letter", "namePrefix", func(a *components.KeyVaultStackArgs) { a.NamePrefix = "1kv" }},
		{"a prefix has no double dash", "namePrefix", func(a *components.KeyVaultStackArgs) { a.NamePrefix = "kv--demo" }},
		{"a mode", "createMode", func(a *components.KeyVaultStackArgs) { a.CreateMode = "Recover" }},
		{"a prefix ends without dash", "namePrefix", func(a *components.KeyVaultStackArgs) { a.NamePrefix = "kv-" }},
		{"a prefix has no underscore", "namePrefix", func(a *components.KeyVaultStackArgs) { a.NamePrefix = "kv_demo" }},
		{
			"a name has at most 24 characters",
			"namePrefix",
			func(a *components.KeyVaultStackArgs) { a.NamePrefix = "abcdefghijklmnopqr" },
		},
		{"skus", "sku", func(a *components.KeyVaultStackArgs) { a.Sku = "Standard" }},
		{
			"retention is at least 7",
			"softDeleteRetentionDays",
			func(a *components.KeyVaultStackArgs) { a.SoftDeleteRetentionDays = 6 },
		},
		{
			"retention is at most 90",
			"softDeleteRetentionDays",
			func(a *components.KeyVaultStackArgs) { a.SoftDeleteRetentionDays = 91 },
		},
		{"public access", "publicNetworkAccess", func(a *components.KeyVaultStackArgs) { a.PublicNetworkAccess = "off" }},
		{"a secret has a name", "secrets[0].name", func(a *components.KeyVaultStackArgs) { a.Secrets[0].Name = "" }},
		{
			"a secret's characters",
			"secrets[1].name",
			func(a *components.KeyVaultStackArgs) { a.Secrets[1].Name = "my_secret" },
		},
		{"a secret once", "secrets[1].name", func(a *components.KeyVaultStackArgs) { a.Secrets[1].Name = "Given" }},
		{"a secret with no value", "secrets[0]", func(a *components.KeyVaultStackArgs) { a.Secrets[0].Value = nil }},
		{
			"a secret with two values",
			"secrets[0]",
			func(a *components.KeyVaultStackArgs) { a.Secrets[0].Generate = generated },
		},
		{
			"a short secret",
			"secrets[1].generate.length",
			func(a *components.KeyVaultStackArgs) { a.Secrets[1].Generate.Length = 7 },
		},
		{
			"a long secret",
			"secrets[1].generate.length",
			func(a *components.KeyVaultStackArgs) { a.Secrets[1].Generate.Length = 1025 },
		},
		{"a key's name", "keys[0].name", func(a *components.KeyVaultStackArgs) { a.Keys[0].Name = "my key" }},
		{"a key once", "keys[1].name", func(a *components.KeyVaultStackArgs) { a.Keys[1].Name = "RSA" }},
		{"a key's type", "keys[0].type", func(a *components.KeyVaultStackArgs) { a.Keys[0].Type = "rsa" }},
		{"an RSA key's size", "keys[0].size", func(a *components.KeyVaultStackArgs) { a.Keys[0].Size = 1024 }},
		{"an RSA key has no curve", "keys[0].curve", func(a *components.KeyVaultStackArgs) { a.Keys[0].Curve = "P-256" }},
		{"an EC key's curve", "keys[1].curve", func(a *components.KeyVaultStackArgs) { a.Keys[1].Curve = "P-256K" }},
		{"an EC key has no size", "keys[1].size", func(a *components.KeyVaultStackArgs) { a.Keys[1].Size = 2048 }},
	})
}

// TestVaultName_IsFullName checks that nothing is appended to the name.
func TestVaultName_IsFullName(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		args := vaultArgs()
		args.NamePrefix, args.VaultName = "", "mykeyvault4711"
		_, err := components.NewKeyVaultStack(ctx, "vault", args)
		return err
	})
	wantInputs(t, e.Get(t, "vault-vault"), map[string]any{"vaultName": "mykeyvault4711"})
	for _, r := range e.Resources() {
		if r.Name == "vault-suffix" {
			t.Error("a suffix is made that no name has")
		}
	}
	named := func() *components.KeyVaultStackArgs {
		args := vaultArgs()
		args.NamePrefix, args.VaultName = "", "kv"+strings.Repeat("x", 22)
		return args
	}
	type args = components.KeyVaultStackArgs
	testRules(t, named, (*args).Validate, []rule[args]{
		{"two names", "namePrefix", func(a *args) { a.NamePrefix = "kv" }},
		{"a short name", "vaultName", func(a *args) { a.VaultName = "kv" }},
		{"a long name", "vaultName", func(a *args) { a.VaultName += "x" }},
		{"a name starts with a letter", "vaultName", func(a *args) { a.VaultName = "1kv" }},
		{"a name has no double dash", "vaultName", func(a *args) { a.VaultName = "kv--x" }},
		{"a name that Azure reserves", "vaultName", func(a *args) { a.VaultName = "my-windows" }},
	})
}

// The longest prefix and the suffix together have the longest name that Azure allows.
func TestVaultName_AcceptsLongest(t *testing.T) {
	args := vaultArgs()
	args.NamePrefix = "abcdefghijklmnopq"
	if err := args.Validate(); err != nil {
		t.Fatal(err)
	}
	if got := len(args.NamePrefix + "-" + mockengine.Suffix); got != 24 {
		t.Fatalf("the name has %d characters", got)
	}
}

func TestKeyVaultStack_RegistersNothingIfInvalid(t *testing.T) {
	wantRefused(t, func(ctx *pulumi.Context) error {
		_, err := components.NewKeyVaultStack(ctx, "vault", &components.KeyVaultStackArgs{
			Sku:     "basic",
			Secrets: []components.SecretArgs{{Name: "a"}, {Name: "b!", Value: pulumi.String("marker")}},
		})
		return err
	}, "namePrefix", "sku", "secrets[0]", "secrets[1].name", "resourceGroupName", "tenantId")
	wantRefused(t, func(ctx *pulumi.Context) error {
		_, err := components.NewKeyVaultStack(ctx, "vault", nil)
		return err
	}, "namePrefix", "resourceGroupName", "tenantId")
}

func TestKeyVaultStack_KeepsArguments(t *testing.T) {
	args, before := fullArgs(), fullArgs()
	run(t, &mockengine.Engine{}, func(ctx *pulumi.Context) error {
		_, err := components.NewKeyVaultStack(ctx, "vault", args)
		return err
	})
	if !reflect.DeepEqual(args, before) {
		t.Errorf("arguments are now %+v", args)
	}
}

func TestKeyVaultStack_TwoDoNotCollide(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		for _, name := range []string{"a", "b"} {
			if _, err := components.NewKeyVaultStack(ctx, name, fullArgs()); err != nil {
				return err
			}
		}
		return nil
	})
	wantDistinct(t, e, 2*(8+5+2+4))
}

// A vault that was deleted outside Pulumi is still in the state. Nothing may be created or read in it, and the error
// says how to recover it. With recover, it is not looked up.
func TestKeyVaultStack_ReportsMissingVault(t *testing.T) {
	for version, module := range vaultModules {
		e := func() *mockengine.Engine {
			return &mockengine.Engine{Answers: map[string]map[string]any{module + "getVault": nil}}
		}
		args := fullArgs()
		args.APIVersion = version
		gone := e()
		err := gone.Run(func(ctx *pulumi.Context) error {
			c, err := components.NewKeyVaultStack(ctx, "vault", args)
			if err == nil {
				ctx.Export("name", c.VaultName)
			}
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "createMode") {
			t.Errorf("version %s: got error %v", version, err)
		}
		for _, one := range gone.Resources() {
			if strings.HasPrefix(one.Name, "vault-secret-") || strings.HasPrefix(one.Name, "vault-key-") {
				t.Errorf("version %s: %s is registered", version, one.Name)
			}
		}
		args.CreateMode = "recover"
		run(t, e(), func(ctx *pulumi.Context) error {
			_, err := components.NewKeyVaultStack(ctx, "vault", args)
			return err
		})
	}
}

// A vault that does not match its id, or that does not use Azure RBAC, is rejected before anything is created in it.
func TestExistingVault_RejectsUnusableVault(t *testing.T) {
	properties := func(rbac bool) map[string]any {
		return map[string]any{"vaultUri": "https://theirs/", "tenantId": "t", "enableRbacAuthorization": rbac}
	}
	for name, answer := range map[string]map[string]any{
		"another subscription": {"id": strings.Replace(existingVaultID, "2222", "3333", 1), "name": "theirs",
			"properties": properties(true)},
		"access policies": {"id": existingVaultID, "name": "theirs", "properties": properties(false)},
	} {
		t.Run(name, func(t *testing.T) {
			for version, module := range vaultModules {
				for _, preview := range []bool{true, false} {
					e := &mockengine.Engine{DryRun: preview, Answers: map[string]map[string]any{module + "getVault": answer}}
					err := e.Run(func(ctx *pulumi.Context) error {
						args := existingVaultArgs()
						args.APIVersion = version
						c, err := components.NewKeyVaultStack(ctx, "vault", args)
						if err == nil {
							ctx.Export("uri", c.VaultURI)
						}
						return err
					})
					if err == nil || !strings.Contains(err.Error(), "existingVaultId") {
						t.Errorf("got error %v", err)
					}
					for _, one := range e.Resources() {
						if one.RPC.GetCustom() {
							t.Errorf("%s is registered", one.Name)
						}
					}
				}
			}
		})
	}
}

// TestExpectedObjects_AreReported expects a preview to report what others must create, once, and a lookup to fail with
// everything that is missing.
func TestExpectedObjects_AreReported(t *testing.T) {
	expected := []components.ObjectArgs{
		{Type: "cert", Name: "web"},
		{Type: "secret", Name: "theirs"},
		{Type: "key", Name: "signing"},
	}
	tenant := existingVaultArgs()
	tenant.TenantID, tenant.Secrets, tenant.Keys = pulumi.String(mockengine.TenantID), nil, nil
	for name, test := range map[string]struct {
		args    *components.KeyVaultStackArgs
		there   bool
		said    []string
		unsaid  []string
		missing []string
	}{
		"a new vault": {args: vaultArgs(), said: []string{"certificate import --vault-name VAULT --name web",
			"secret set --vault-name VAULT --name theirs", "key import --vault-name VAULT --name signing"}},
		"an existing vault": {args: existingVaultArgs(), there: true,
			said: []string{"certificate import --vault-name theirs --name web"}, unsaid: []string{"secret set", "key import"}},
		"an empty vault": {args: existingVaultArgs(), said: []string{"certificate import"}, missing: []string{
			"secret theirs:", "secret set --vault-name theirs --name theirs", "key signing:"}},
		"a vault that is not looked up": {args: tenant, said: []string{"certificate import --vault-name theirs",
			"secret set --vault-name theirs", "key import"}},
	} {
		for _, dryRun := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				args := *test.args
				args.ExpectedObjects = expected
				args.Keys = nil // others would be found by the answers
				e := &mockengine.Engine{DryRun: dryRun}
				if test.there {
					e.Answers = answers("getSecret", map[string]any{"id": "secret"})
					maps.Copy(e.Answers, answers("getKey", map[string]any{"id": "key"}))
				}
				err := e.Run(func(ctx *pulumi.Context) error {
					_, err := components.NewKeyVaultStack(ctx, "vault", &args)
					return err
				})
				if (err != nil) != (len(test.missing) > 0) {
					t.Fatalf("got %v", err)
				}
				for _, word := range test.missing {
					if !strings.Contains(err.Error(), word) {
						t.Errorf("the error does not say %q: %v", word, err)
					}
				}
				said := strings.Join(e.Infos(), "\n")
				if !dryRun || len(e.Infos()) != 1 {
					if dryRun || said != "" {
						t.Fatalf("in a preview %t it says %q", dryRun, e.Infos())
					}
					return
				}
				for _, word := range test.said {
					if !strings.Contains(said, word) {
						t.Errorf("it does not say %q: %s", word, said)
					}
				}
				for _, word := range test.unsaid {
					if strings.Contains(said, word) {
						t.Errorf("it says %q: %s", word, said)
					}
				}
			})
		}
	}
}

// TestExpectedObjects_AreLookedUpConcurrently counts the concurrent lookups.
func TestExpectedObjects_AreLookedUpConcurrently(t *testing.T) {
	const most = 16
	args := existingVaultArgs()
	args.Secrets, args.Keys = nil, nil
	for i := range 3 * most {
		args.ExpectedObjects = append(args.ExpectedObjects,
			components.ObjectArgs{Type: "secret", Name: fmt.Sprintf("s%d", i)})
	}
	var now, peak atomic.Int32
	full := make(chan struct{})
	late, stop := context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	e := &mockengine.Engine{Answers: answers("getSecret", map[string]any{"id": "secret"})}
	e.Asked = func(token string, _ resource.PropertyMap) error {
		if !strings.HasSuffix(token, "getSecret") {
			return nil
		}
		defer now.Add(-1)
		for n := now.Add(1); ; {
			if before := peak.Load(); n <= before || peak.CompareAndSwap(before, n) {
				if n == most && before < most {
					close(full)
				}
				break
			}
		}
		select {
		case <-full:
		case <-late.Done(): // one after another it never is
		}
		return nil
	}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := components.NewKeyVaultStack(ctx, "vault", args)
		return err
	})
	if got := peak.Load(); got != most {
		t.Errorf("%d lookups at a time, want %d", got, most)
	}
}

// TestExpectedObjects_PassWithoutPermissionToRead is for deployers without permission to read the vault's contents.
func TestExpectedObjects_PassWithoutPermissionToRead(t *testing.T) {
	expected := []components.ObjectArgs{
		{Type: "secret", Name: "theirs"},
		{Type: "secret", Name: "other"},
		{Type: "key", Name: "signing"},
		{Type: "secret", Name: "absent"},
	}
	for name, refusal := range map[string]string{
		"in the words of today": "RESPONSE 403: 403 Forbidden\nERROR CODE: AuthorizationFailed",
		"in those of before":    `StatusCode=403 -- Original Error: Code="AuthorizationFailed" Message="The client has no authorization"`,
	} {
		t.Run(name, func(t *testing.T) {
			args := existingVaultArgs()
			args.Secrets, args.Keys, args.ExpectedObjects = nil, nil, expected[:3]
			e := &mockengine.Engine{}
			e.Asked = func(token string, args resource.PropertyMap) error {
				if name := args["secretName"]; name.IsString() && name.StringValue() == "absent" ||
					strings.HasSuffix(token, "getVault") {
					return nil
				}
				return errors.New(refusal)
			}
			construct := func(ctx *pulumi.Context) error {
				_, err := components.NewKeyVaultStack(ctx, "vault", args)
				return err
			}
			run(t, e, construct)
			if said := e.Infos(); len(said) != 1 || !strings.Contains(said[0], "Microsoft.KeyVault/vaults/secrets/read") ||
				!strings.Contains(said[0], "Microsoft.KeyVault/vaults/keys/read") {
				t.Errorf("it says %q, want both rights once", said)
			}
			args.ExpectedObjects = expected // what is known to be missing is missing
			if err := e.Run(construct); err == nil || !strings.Contains(err.Error(), "secret absent:") ||
				strings.Contains(err.Error(), "other") {
				t.Errorf("got %v", err)
			}
			e.Asked = func(token string, _ resource.PropertyMap) error {
				if strings.HasSuffix(token, "getSecret") {
					return errors.New("the network is down")
				}
				return nil
			}
			if err := e.Run(construct); err == nil || !strings.Contains(err.Error(), "network is down") {
				t.Errorf("another error: %v", err)
			}
		})
	}
}

// TestExistingVault_IsNotLookedUpWithTenant is for a vault that the provider cannot read.
func TestExistingVault_IsNotLookedUpWithTenant(t *testing.T) {
	const tenant = "44444444-4444-4444-4444-444444444444"
	args := &components.KeyVaultStackArgs{ExistingVaultID: pulumi.String(existingVaultID), TenantID: pulumi.String(tenant)}
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		c, err := components.NewKeyVaultStack(ctx, "vault", args)
		if err != nil {
			return err
		}
		for output, want := range map[pulumi.StringOutput]string{
			c.VaultID: existingVaultID, c.VaultName: "theirs", c.TenantID: tenant, c.VaultURI: "",
		} {
			if got := mockengine.Await(t, ctx, output); got.Value != want {
				t.Errorf("got %v, want %s", got.Value, want)
			}
		}
		return nil
	})
	if asked := e.Invoked(); len(asked) > 0 {
		t.Errorf("it asks %v", asked)
	}
	if warned := e.Warnings(); len(warned) > 0 {
		t.Errorf("it speaks of changing a vault that is others': %v", warned)
	}
	wantViolations(t, (&components.KeyVaultStackArgs{
		ExistingVaultID: pulumi.String(existingVaultID), TenantID: pulumi.String("their-tenant"),
	}).Validate(), "tenantId")
	args.ExistingVaultID = pulumi.String("theirs").ToStringOutput()
	if err := (&mockengine.Engine{}).Run(func(ctx *pulumi.Context) error {
		_, err := components.NewKeyVaultStack(ctx, "vault", args)
		return err
	}); err == nil || !strings.Contains(err.Error(), "existingVaultId") {
		t.Errorf("an id that is none: %v", err)
	}
}

// TestExistingVault_AllowsAccessPoliciesWithoutRoles accepts a vault that is rejected otherwise.
func TestExistingVault_AllowsAccessPoliciesWithoutRoles(t *testing.T) {
	args := existingVaultArgs()
	args.AllowAccessPolicies = true
	e := &mockengine.Engine{Answers: answers("getVault", map[string]any{
		"id":   existingVaultID,
		"name": "theirs",
		"properties": map[string]any{
			"vaultUri":                "https://theirs.example/",
			"tenantId":                mockengine.TenantID,
			"enableRbacAuthorization": false,
		},
	})}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := components.NewKeyVaultStack(ctx, "vault", args)
		return err
	})
	fresh := vaultArgs()
	fresh.AllowAccessPolicies = true
	wantViolations(t, fresh.Validate(), "allowAccessPolicies")
}
