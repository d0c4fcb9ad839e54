package components_test

import (
	"slices"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/keyvault-aks/keyvault-aks/components"
)

func TestKeyPassesOnWhatIsAsked(t *testing.T) {
	args, no := vaultArgs(), false
	args.Sku = "premium"
	args.Keys = []components.KeyArgs{
		{
			Name: "rsa", Type: "RSA-HSM", Size: 4096, Operations: []string{"sign", "verify"}, Expires: "2027-01-31", Enabled: &no,
			Tags:     map[string]string{"team": "a"},
			Rotation: &components.KeyRotationArgs{BeforeExpiry: "P30D", ExpiresAfter: "P1Y", NotifyBefore: "P40D"},
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
	wantInputs(t, e.Get(t, "vault-key-kek"), map[string]any{"properties.keyOps[0]": "import", "properties.rotationPolicy": nil})
}

// What is left out stays out, so that keys which exist see no change.
func TestKeySendsNothingThatIsLeftOut(t *testing.T) {
	wantInputs(t, runVault(t, vaultArgs()).Get(t, "vault-key-rsa"), map[string]any{
		"properties.keyOps": nil, "properties.attributes": nil, "properties.rotationPolicy": nil, "tags": nil,
	})
}

func TestKeysAreReplacedWhenAnythingChanges(t *testing.T) {
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

// contains says whether one of the paths is the other or above it.
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

// A rotation gives the key attributes of its own, which a refresh brings into the state.
func TestRotatedKeyIsNotReplaced(t *testing.T) {
	args := vaultArgs()
	args.Keys[0].Rotation = &components.KeyRotationArgs{After: "P90D", ExpiresAfter: "P1Y"}
	e := runVault(t, args)
	for name, want := range map[string]bool{"vault-key-rsa": true, "vault-key-ec": false} {
		if got := contains(t, e.Get(t, name).RPC.GetIgnoreChanges(), "properties.attributes.expires"); got != want {
			t.Errorf("%s ignores changes of its dates: %t", name, got)
		}
	}
	for _, path := range []string{"properties.kty", "properties.rotationPolicy"} {
		if contains(t, e.Get(t, "vault-key-rsa").RPC.GetIgnoreChanges(), path) {
			t.Errorf("changes of %s are ignored", path)
		}
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

func TestKeyRules(t *testing.T) {
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
		{"an unknown operation", "keys[0].operations[1]", key(0, func(k *components.KeyArgs) { k.Operations = []string{"sign", "Verify"} })},
		{"no release", "keys[0].operations[0]", key(0, func(k *components.KeyArgs) { k.Operations = []string{"release"} })},
		{"an operation twice", "keys[0].operations[1]", key(0, func(k *components.KeyArgs) { k.Operations = []string{"sign", "sign"} })},
		{"EC does not encrypt", "keys[1].operations[0]", key(1, func(k *components.KeyArgs) { k.Operations = []string{"encrypt"} })},
		{"import takes an HSM", "keys[0].operations[0]", key(0, func(k *components.KeyArgs) { k.Operations = []string{"import"} })},
		{"import alone", "keys[0].operations[1]", func(a *components.KeyVaultStackArgs) {
			a.Sku, a.Keys[0].Type, a.Keys[0].Operations = "premium", "RSA-HSM", []string{"sign", "import"}
		}},
		{"a tag", "keys[0].tags", key(0, func(k *components.KeyArgs) { k.Tags = map[string]string{"a?": ""} })},
		{"no trigger", "keys[0].rotation", rotation(components.KeyRotationArgs{})},
		{"two triggers", "keys[0].rotation", rotation(components.KeyRotationArgs{After: "P60D", BeforeExpiry: "P60D", ExpiresAfter: "P1Y"})},
		{"no duration", "keys[0].rotation.after", rotation(components.KeyRotationArgs{After: "90 days"})},
		{"hours", "keys[0].rotation.after", rotation(components.KeyRotationArgs{After: "P90DT1H"})},
		{"weeks", "keys[0].rotation.after", rotation(components.KeyRotationArgs{After: "P9W"})},
		{"too soon", "keys[0].rotation.after", rotation(components.KeyRotationArgs{After: "P6D"})},
		{"too short a life", "keys[0].rotation.expiresAfter", rotation(components.KeyRotationArgs{After: "P7D", ExpiresAfter: "P27D"})},
		{"too late", "keys[0].rotation.after", rotation(components.KeyRotationArgs{After: "P22D", ExpiresAfter: "P28D"})},
		{"too late in a short month", "keys[0].rotation.after", rotation(components.KeyRotationArgs{After: "P22D", ExpiresAfter: "P1M"})},
		{"expiry is needed", "keys[0].rotation.expiresAfter", rotation(components.KeyRotationArgs{BeforeExpiry: "P30D"})},
		{"expiry is needed to notify", "keys[0].rotation.expiresAfter", rotation(components.KeyRotationArgs{After: "P30D", NotifyBefore: "P30D"})},
		{"too close to expiry", "keys[0].rotation.beforeExpiry", rotation(components.KeyRotationArgs{BeforeExpiry: "P6D", ExpiresAfter: "P1Y"})},
		{"too close to creation", "keys[0].rotation.beforeExpiry", rotation(components.KeyRotationArgs{BeforeExpiry: "P359D", ExpiresAfter: "P1Y"})},
		{"notified too late", "keys[0].rotation.notifyBefore", func(a *components.KeyVaultStackArgs) { a.Keys[0].Rotation.NotifyBefore = "P6D" }},
		{"notified at once", "keys[0].rotation.notifyBefore", func(a *components.KeyVaultStackArgs) { a.Keys[0].Rotation.NotifyBefore = "P1Y" }},
		{"the first version expires too", "keys[0].expires", func(a *components.KeyVaultStackArgs) { a.Keys[0].Expires = "" }},
	})
}

func TestShortestRotationIsAccepted(t *testing.T) {
	for _, r := range []components.KeyRotationArgs{
		{After: "P7D"}, {After: "P21D", ExpiresAfter: "P28D"}, {BeforeExpiry: "P7D", ExpiresAfter: "P28D"}, {BeforeExpiry: "P21D", ExpiresAfter: "P28D"},
	} {
		args := keyArgs()
		args.Keys[0].Rotation = &r
		if err := args.Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestKeysOfAnExistingVaultMayNeedAnHSM(t *testing.T) {
	args := existingVaultArgs()
	args.Keys = []components.KeyArgs{{Name: "hsm", Type: "EC-HSM"}}
	e := runVault(t, args)
	wantInputs(t, e.Get(t, "vault-key-hsm"), map[string]any{"properties.kty": "EC-HSM", "vaultName": "theirs"})
}
