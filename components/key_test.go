package components_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

func TestKey_PassesArguments(t *testing.T) {
	args, no := vaultArgs(), false
	args.Sku = "premium"
	args.Keys = []components.KeyArgs{
		{
			Name:       "rsa",
			Type:       "RSA-HSM",
			Size:       4096,
			Operations: []string{"sign", "verify"},
			Expires:    "2027-01-31",
			Enabled:    &no,
			Tags:       map[string]string{"team": "a"},
			Rotation:   &components.KeyRotationArgs{BeforeExpiry: "P30D", ExpiresAfter: "P1Y", NotifyBefore: "P40D"},
		},
		{Name: "ec", Type: "EC-HSM", Curve: "P-384", Rotation: &components.KeyRotationArgs{After: "P90D"}},
		{Name: "kek", Type: "RSA-HSM", Operations: []string{"import"}},
	}
	e := runVault(t, args)
	wantInputs(t, e.Get(t, "vault-key-rsa"), map[string]any{
		"properties.kty": "RSA-HSM", "properties.keySize": 4096.0, "properties.curveName": nil,
		"properties.keyOps[0]": "sign", "properties.keyOps[1]": "verify", "properties.keyOps[2]": nil,
		"properties.attributes.enabled": false, "properties.attributes.expires": 1801353600.0, "tags.team": "a",
		"properties.rotationPolicy.attributes.expiryTime":                       "P1Y",
		"properties.rotationPolicy.lifetimeActions[0].action.type":              "rotate",
		"properties.rotationPolicy.lifetimeActions[0].trigger.timeBeforeExpiry": "P30D",
		"properties.rotationPolicy.lifetimeActions[0].trigger.timeAfterCreate":  nil,
		"properties.rotationPolicy.lifetimeActions[1].action.type":              "notify",
		"properties.rotationPolicy.lifetimeActions[1].trigger.timeBeforeExpiry": "P40D",
	})
	wantInputs(t, e.Get(t, "vault-key-ec"), map[string]any{
		"properties.kty": "EC-HSM", "properties.keySize": nil, "properties.curveName": "P-384",
		"properties.rotationPolicy.attributes":                                 nil,
		"properties.rotationPolicy.lifetimeActions[0].trigger.timeAfterCreate": "P90D",
		"properties.rotationPolicy.lifetimeActions[1]":                         nil,
	})
	wantInputs(t, e.Get(t, "vault-key-kek"),
		map[string]any{"properties.keyOps[0]": "import", "properties.rotationPolicy": nil})
}

// Omitted arguments are not sent, so that existing keys do not change.
func TestKey_OmitsDefaults(t *testing.T) {
	wantInputs(t, runVault(t, vaultArgs()).Get(t, "vault-key-rsa"), map[string]any{
		"properties.keyOps": nil, "properties.attributes": nil, "properties.rotationPolicy": nil, "tags": nil,
	})
}

func TestKey_IsReplacedOnChanges(t *testing.T) {
	e := runVault(t, vaultArgs())
	rsa, ec := e.Get(t, "vault-key-rsa"), e.Get(t, "vault-key-ec")
	wantInputs(t, rsa, map[string]any{"properties.kty": "RSA", "properties.keySize": 2048.0, "properties.curveName": nil})
	wantInputs(t, ec, map[string]any{"properties.kty": "EC", "properties.curveName": "P-256", "properties.keySize": nil})
	for _, path := range []string{
		"properties.kty", "properties.keySize", "properties.curveName", "properties.keyOps[0]", "properties.attributes.expires",
		"properties.rotationPolicy.lifetimeActions[0].trigger.timeAfterCreate", "tags.team",
	} {
		if !contains(t, rsa.RPC.GetReplaceOnChanges(), path) {
			t.Errorf("a change of %s does not replace the key", path)
		}
	}
}

// contains reports whether one of the paths equals or contains the other.
func contains(t *testing.T, paths []string, other string) bool {
	t.Helper()
	return slices.ContainsFunc(paths, func(path string) bool {
		above, err := resource.ParsePropertyPath(path)
		if err != nil {
			t.Fatal(err)
		}
		below, err := resource.ParsePropertyPath(other)
		if err != nil {
			t.Fatal(err)
		}
		return above.Contains(below)
	})
}

// answers returns Azure's answer about a key or a secret of the vault, for both versions of the control plane.
func answers(function string, answer map[string]any) map[string]map[string]any {
	both := map[string]map[string]any{}
	for _, module := range vaultModules {
		both[module+function] = answer
	}
	return both
}

// keyInVault returns a key as Azure shows it, with properties that others have set.
func keyInVault() map[string]any {
	return map[string]any{
		"id":      vaultResourceID + "/keys/rsa",
		"kty":     "RSA",
		"keySize": 2048.0,
		"keyOps":  []any{"verify", "sign"},
		"tags":    map[string]any{"team": "a", "policy": "theirs"},
		"attributes": map[string]any{
			"enabled":       true,
			"notBefore":     1700000000.0,
			"expires":       1801353600.0,
			"created":       1.0,
			"updated":       1.0,
			"recoveryLevel": "",
		},
		"rotationPolicy": map[string]any{
			"attributes": map[string]any{"expiryTime": "P1Y", "created": 1.0, "updated": 1.0},
			"lifetimeActions": []any{
				map[string]any{"action": map[string]any{"type": "Notify"}, "trigger": map[string]any{"timeBeforeExpiry": "P30D"}},
			},
		},
	}
}

// ignored returns the inputs of a resource whose changes Pulumi ignores.
func ignored(t *testing.T, e *mockengine.Engine, name string) []string {
	t.Helper()
	return e.Get(t, name).RPC.GetIgnoreChanges()
}

// A plan never changes a key that is in the vault, whatever a refresh has found. A missing key is created from the
// arguments.
func TestKey_KeepsExistingKey(t *testing.T) {
	for _, version := range []components.VaultAPIVersion{components.VaultAPI20241101, components.VaultAPI20260201} {
		args := vaultArgs()
		args.APIVersion, args.Keys = version, args.Keys[:1]
		for _, there := range []bool{true, false} {
			e := &mockengine.Engine{}
			if there {
				e.Answers = answers("getKey", keyInVault())
			}
			run(t, e, func(ctx *pulumi.Context) error {
				_, err := components.NewKeyVaultStack(ctx, "vault", args)
				return err
			})
			for _, path := range []string{"properties.kty", "properties.attributes.expires", "properties.rotationPolicy",
				"tags.team"} {
				if got := contains(t, ignored(t, e, "vault-key-rsa"), path); got != there {
					t.Errorf("in the vault %t: changes of %s are ignored: %t", there, path, got)
				}
			}
			for _, path := range []string{"vaultName", "resourceGroupName", "keyName"} {
				if contains(t, ignored(t, e, "vault-key-rsa"), path) {
					t.Errorf("changes of %s are ignored", path)
				}
			}
		}
	}
}

func TestKey_ComparesExistingKey(t *testing.T) {
	yes, no := true, false
	for name, test := range map[string]struct {
		key     components.KeyArgs
		refused []string
	}{
		"nothing more": {components.KeyArgs{}, nil},
		"everything as it is": {components.KeyArgs{Type: "RSA", Size: 2048, Operations: []string{"sign", "verify"},
			Tags: map[string]string{"team": "a"}, NotBefore: "2023-11-14T22:13:20Z", Expires: "2027-01-31", Enabled: &yes}, nil},
		"a type":       {components.KeyArgs{Type: "EC"}, []string{"type"}},
		"a size":       {components.KeyArgs{Size: 4096}, []string{"size"}},
		"an operation": {components.KeyArgs{Operations: []string{"sign"}}, []string{"operations"}},
		"tags": {components.KeyArgs{Tags: map[string]string{"team": "b", "cost": "1"}},
			[]string{"tags.cost", "tags.team"}},
		"dates": {components.KeyArgs{NotBefore: "2024-01-01", Expires: "2028-01-01"},
			[]string{"notBefore", "expires"}},
		"a relative date": {components.KeyArgs{Expires: "P1D"}, []string{"expires"}},
		"disabled":        {components.KeyArgs{Enabled: &no}, []string{"enabled"}},
		"a rotation": {components.KeyArgs{Rotation: &components.KeyRotationArgs{After: "P90D",
			ExpiresAfter: "P1Y"}}, []string{"rotation.after"}},
		"a rotation's notification": {components.KeyArgs{Expires: "2031-01-01",
			Rotation: &components.KeyRotationArgs{BeforeExpiry: "P60D", ExpiresAfter: "P2Y",
				NotifyBefore: "P40D"}}, []string{"rotation.beforeExpiry", "rotation.expiresAfter", "rotation.notifyBefore"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := vaultArgs()
			test.key.Name = "rsa"
			args.Keys = []components.KeyArgs{test.key}
			e := &mockengine.Engine{Answers: answers("getKey", keyInVault())}
			err := e.Run(func(ctx *pulumi.Context) error {
				_, err := components.NewKeyVaultStack(ctx, "vault", args)
				return err
			})
			if (err != nil) != (len(test.refused) > 0) {
				t.Fatalf("got %v", err)
			}
			for _, path := range test.refused {
				if !strings.Contains(err.Error(), "keys[0]."+path+":") {
					t.Errorf("the refusal does not name %s: %v", path, err)
				}
			}
		})
	}
}

// A key that Azure rotates has the dates of its latest version.
func TestKey_RotationKeepsDates(t *testing.T) {
	no := false
	for name, rotation := range map[string]*components.KeyRotationArgs{"by the program": {After: "P12M",
		ExpiresAfter: "P2Y"}, "by others": nil} {
		found := keyInVault()
		found["rotationPolicy"] = map[string]any{
			"attributes": map[string]any{"expiryTime": "P24M", "created": 1.0, "updated": 1.0},
			"lifetimeActions": []any{
				map[string]any{"action": map[string]any{"type": "Rotate"}, "trigger": map[string]any{"timeAfterCreate": "P1Y"}},
			},
		}
		args := vaultArgs()
		args.Keys = []components.KeyArgs{
			{Name: "rsa", NotBefore: "2024-01-01", Expires: "2028-01-01", Enabled: &no, Rotation: rotation},
		}
		e := &mockengine.Engine{Answers: answers("getKey", found)}
		if err := e.Run(func(ctx *pulumi.Context) error {
			_, err := components.NewKeyVaultStack(ctx, "vault", args)
			return err
		}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A failed lookup must not count as a missing key.
func TestKey_FailsIfLookupFails(t *testing.T) {
	e := &mockengine.Engine{Answers: answers("getKey", nil)}
	if err := e.Run(func(ctx *pulumi.Context) error {
		_, err := components.NewKeyVaultStack(ctx, "vault", vaultArgs())
		return err
	}); err == nil || !strings.Contains(err.Error(), "looking for the key") {
		t.Errorf("got %v", err)
	}
}

func keyArgs() *components.KeyVaultStackArgs {
	args := vaultArgs()
	args.Keys[0].Expires = "P1Y"
	args.Keys[0].Operations = []string{"encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"}
	args.Keys[0].Rotation = &components.KeyRotationArgs{After: "P90D", ExpiresAfter: "P1Y", NotifyBefore: "P30D"}
	args.Keys[1].Operations = []string{"sign", "verify"}
	return args
}

func TestKey_Validates(t *testing.T) {
	key := func(i int, change func(*components.KeyArgs)) func(*components.KeyVaultStackArgs) {
		return func(a *components.KeyVaultStackArgs) { change(&a.Keys[i]) }
	}
	rotation := func(r components.KeyRotationArgs) func(*components.KeyVaultStackArgs) {
		return key(0, func(k *components.KeyArgs) { k.Rotation = &r })
	}
	testRules(t, keyArgs, (*components.KeyVaultStackArgs).Validate, []rule[components.KeyVaultStackArgs]{
		{"an HSM takes a premium vault", "keys[0].type", key(0, func(k *components.KeyArgs) { k.Type = "RSA-HSM" })},
		{"an HSM for EC too", "keys[1].type", key(1, func(k *components.KeyArgs) { k.Type = "EC-HSM" })},
		{"no symmetric keys", "keys[1].type", key(1, func(k *components.KeyArgs) { k.Type = "oct" })},
		{
			"an unknown operation",
			"keys[0].operations[1]",
			key(0, func(k *components.KeyArgs) { k.Operations = []string{"sign", "Verify"} }),
		},
		{"no release", "keys[0].operations[0]", key(0, func(k *components.KeyArgs) { k.Operations = []string{"release"} })},
		{
			"an operation twice",
			"keys[0].operations[1]",
			key(0, func(k *components.KeyArgs) { k.Operations = []string{"sign", "sign"} }),
		},
		{
			"EC does not encrypt",
			"keys[1].operations[0]",
			key(1, func(k *components.KeyArgs) { k.Operations = []string{"encrypt"} }),
		},
		{
			"import takes an HSM",
			"keys[0].operations[0]",
			key(0, func(k *components.KeyArgs) { k.Operations = []string{"import"} }),
		},
		{"import alone", "keys[0].operations[1]", func(a *components.KeyVaultStackArgs) {
			a.Sku, a.Keys[0].Type, a.Keys[0].Operations = "premium", "RSA-HSM", []string{"sign", "import"}
		}},
		{"a tag", "keys[0].tags", key(0, func(k *components.KeyArgs) { k.Tags = map[string]string{"a?": ""} })},
		{"no trigger", "keys[0].rotation", rotation(components.KeyRotationArgs{})},
		{
			"two triggers",
			"keys[0].rotation",
			rotation(components.KeyRotationArgs{After: "P60D", BeforeExpiry: "P60D", ExpiresAfter: "P1Y"}),
		},
		{"no duration", "keys[0].rotation.after", rotation(components.KeyRotationArgs{After: "90 days"})},
		{"hours", "keys[0].rotation.after", rotation(components.KeyRotationArgs{After: "P90DT1H"})},
		{"weeks", "keys[0].rotation.after", rotation(components.KeyRotationArgs{After: "P9W"})},
		{"too soon", "keys[0].rotation.after", rotation(components.KeyRotationArgs{After: "P6D"})},
		{
			"too short a life",
			"keys[0].rotation.expiresAfter",
			rotation(components.KeyRotationArgs{After: "P7D", ExpiresAfter: "P27D"}),
		},
		{"too late", "keys[0].rotation.after", rotation(components.KeyRotationArgs{After: "P22D", ExpiresAfter: "P28D"})},
		{
			"too late in a short month",
			"keys[0].rotation.after",
			rotation(components.KeyRotationArgs{After: "P22D", ExpiresAfter: "P1M"}),
		},
		{"expiry is needed", "keys[0].rotation.expiresAfter", rotation(components.KeyRotationArgs{BeforeExpiry: "P30D"})},
		{
			"expiry is needed to notify",
			"keys[0].rotation.expiresAfter",
			rotation(components.KeyRotationArgs{After: "P30D", NotifyBefore: "P30D"}),
		},
		{
			"too close to expiry",
			"keys[0].rotation.beforeExpiry",
			rotation(components.KeyRotationArgs{BeforeExpiry: "P6D", ExpiresAfter: "P1Y"}),
		},
		{
			"too close to creation",
			"keys[0].rotation.beforeExpiry",
			rotation(components.KeyRotationArgs{BeforeExpiry: "P359D", ExpiresAfter: "P1Y"}),
		},
		{
			"notified too late",
			"keys[0].rotation.notifyBefore",
			func(a *components.KeyVaultStackArgs) { a.Keys[0].Rotation.NotifyBefore = "P6D" },
		},
		{
			"notified at once",
			"keys[0].rotation.notifyBefore",
			func(a *components.KeyVaultStackArgs) { a.Keys[0].Rotation.NotifyBefore = "P1Y" },
		},
		{
			"the first version expires too",
			"keys[0].expires",
			func(a *components.KeyVaultStackArgs) { a.Keys[0].Expires = "" },
		},
	})
}

func TestKeyRotation_AcceptsShortest(t *testing.T) {
	for _, r := range []components.KeyRotationArgs{
		{After: "P7D"}, {After: "P21D", ExpiresAfter: "P28D"}, {BeforeExpiry: "P7D",
			ExpiresAfter: "P28D"}, {BeforeExpiry: "P21D", ExpiresAfter: "P28D"},
	} {
		args := keyArgs()
		args.Keys[0].Rotation = &r
		if err := args.Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestKey_AllowsHSMInExistingVault(t *testing.T) {
	args := existingVaultArgs()
	args.Keys = []components.KeyArgs{{Name: "hsm", Type: "EC-HSM"}}
	e := runVault(t, args)
	wantInputs(t, e.Get(t, "vault-key-hsm"), map[string]any{"properties.kty": "EC-HSM", "vaultName": "theirs"})
}

func TestNotThere_MatchesAzuresErrors(t *testing.T) {
	for text, want := range map[string]bool{
		`request failed /subscriptions/s/k: status 404, code "ResourceNotFound": gone`: true,
		`Status=404 Code="KeyNotFound" Message="gone"`:                                 true,
		"RESPONSE 404: 404 Not Found\nERROR CODE: ParentResourceNotFound":              true,
		"RESPONSE 403: 403 Forbidden\nERROR CODE: AuthorizationFailed":                 false,
		`vaults/kv-404/keys/404: status 403, code "AuthorizationFailed": NotFound`:     false,
		"dial tcp: lookup management.azure.com: no such host":                          false,
	} {
		if got := components.NotThere(text); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}
