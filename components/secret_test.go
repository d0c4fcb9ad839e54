package components_test

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

func runVault(t *testing.T, args *components.KeyVaultStackArgs) *mockengine.Engine {
	t.Helper()
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := components.NewKeyVaultStack(ctx, "vault", args)
		return err
	})
	return e
}

func TestSecretPassesOnWhatIsAsked(t *testing.T) {
	args, no := vaultArgs(), false
	s := &args.Secrets[0]
	s.ContentType, s.Enabled, s.Tags = "text/plain", &no, map[string]string{"team": "a"}
	wantInputs(t, runVault(t, args).Get(t, "vault-secret-given"), map[string]any{
		"properties.contentType": "text/plain", "properties.attributes.enabled": false, "properties.attributes.expires": nil, "tags.team": "a",
	})
}

// What is left out stays out, so that secrets which exist see no change.
func TestSecretSendsNothingThatIsLeftOut(t *testing.T) {
	e := runVault(t, vaultArgs())
	wantInputs(t, e.Get(t, "vault-secret-given"), map[string]any{
		"properties.contentType": nil, "properties.attributes": nil, "tags": nil,
	})
	wantInputs(t, e.Get(t, "vault-value-generated"), map[string]any{
		"length": 32.0, "special": true, "upper": nil, "lower": nil, "numeric": nil, "overrideSpecial": nil, "keepers": nil,
	})
}

func TestGeneratedValueHasTheClassesThatAreLeft(t *testing.T) {
	args := vaultArgs()
	args.Secrets[1].Rotate = "2"
	*args.Secrets[1].Generate = components.GenerateArgs{Length: 16, NoUpper: true, NoLower: true, NoNumeric: true, SpecialCharacters: "-_"}
	e := runVault(t, args)
	wantInputs(t, e.Get(t, "vault-value-generated"), map[string]any{
		"length": 16.0, "special": true, "upper": false, "lower": false, "numeric": false, "overrideSpecial": "-_", "keepers.rotate": "2",
	})
	wantSecretValues(t, e)
}

// wantSecretValues checks that no secret's value is sent in the clear.
func wantSecretValues(t *testing.T, e *mockengine.Engine) {
	t.Helper()
	for _, one := range e.Resources() {
		if value := one.At("properties.value"); value != nil && !value.IsSecret() {
			t.Errorf("%s: the value is not a secret", one.Name)
		}
	}
	if found := e.Plaintext(mockengine.Password); len(found) > 0 {
		t.Errorf("a generated value is in the clear in %v", found)
	}
}

// TestSecret_OnceIsWrittenOnce has Pulumi ignore every change of a secret that is there, and of no other.
func TestSecret_OnceIsWrittenOnce(t *testing.T) {
	found := map[string]any{"id": vaultResourceID + "/secrets/given", "properties": map[string]any{"secretUriWithVersion": "https://vault.example/secrets/given/" + mockengine.Version}}
	for name, test := range map[string]struct{ once, adopt, there, kept, imported, warned bool }{
		"once, made":         {once: true},
		"once, there":        {once: true, there: true, kept: true},
		"neither, there":     {there: true},
		"adopted":            {adopt: true, there: true, kept: true, imported: true, warned: true},
		"nothing to adopt":   {adopt: true},
		"adopted, with once": {once: true, adopt: true, there: true, kept: true, imported: true},
	} {
		t.Run(name, func(t *testing.T) {
			args := vaultArgs()
			args.APIVersion, args.Keys = components.VaultAPI20260201, nil
			args.Secrets[0].Once, args.Secrets[0].Adopt = test.once, test.adopt
			e := &mockengine.Engine{}
			if test.there {
				e.Answers = answers("getSecret", found)
			}
			run(t, e, func(ctx *pulumi.Context) error {
				_, err := components.NewKeyVaultStack(ctx, "vault", args)
				return err
			})
			secret := e.Get(t, "vault-secret-given")
			for _, path := range []string{"properties.value", "properties.contentType", "tags.team"} {
				if got := contains(t, secret.RPC.GetIgnoreChanges(), path); got != test.kept {
					t.Errorf("changes of %s are ignored: %t", path, got)
				}
			}
			if got := secret.RPC.GetImportId(); (got != "") != test.imported {
				t.Errorf("it is imported as %q", got)
			}
			if got := len(e.Warnings()) > 0; got != test.warned {
				t.Errorf("warned: %v", e.Warnings())
			}
			if !secret.RPC.GetRetainOnDelete() {
				t.Error("it is deleted when it is taken out")
			}
			wantSecretValues(t, e)
		})
	}
}

func TestSecretRules(t *testing.T) {
	given := func(change func(*components.SecretArgs)) func(*components.KeyVaultStackArgs) {
		return func(a *components.KeyVaultStackArgs) { change(&a.Secrets[0]) }
	}
	generate := func(g components.GenerateArgs) func(*components.KeyVaultStackArgs) {
		return func(a *components.KeyVaultStackArgs) { a.Secrets[1].Generate = &g }
	}
	tags := func(tags map[string]string) func(*components.KeyVaultStackArgs) {
		return given(func(s *components.SecretArgs) { s.Tags = tags })
	}
	many := map[string]string{}
	for _, name := range strings.Split("abcdefghijklmnop", "") {
		many[name] = ""
	}
	testRules(t, vaultArgs, (*components.KeyVaultStackArgs).Validate, []rule[components.KeyVaultStackArgs]{
		{"a content type", "secrets[0].contentType", given(func(s *components.SecretArgs) { s.ContentType = strings.Repeat("a", 256) })},
		{"nothing to rotate", "secrets[0].rotate", given(func(s *components.SecretArgs) { s.Rotate = "2" })},
		{"no date to count anew", "secrets[0].rotate", given(func(s *components.SecretArgs) { s.Rotate, s.Expires = "2", "2027-01-31" })},
		{"another value of what is made once", "secrets[1].rotate", func(a *components.KeyVaultStackArgs) { a.Secrets[1].Rotate, a.Secrets[1].Once = "2", true }},
		{"16 tags", "secrets[0].tags", tags(many)},
		{"a tag's name is needed", "secrets[0].tags", tags(map[string]string{"": "a"})},
		{"a tag's characters", "secrets[0].tags", tags(map[string]string{"a/b": "a"})},
		{"a tag's long name", "secrets[0].tags", tags(map[string]string{strings.Repeat("a", 257): "a"})},
		{"a tag's long value", "secrets[0].tags.a", tags(map[string]string{"a": strings.Repeat("a", 257)})},
		{"no characters", "secrets[1].generate", generate(components.GenerateArgs{NoUpper: true, NoLower: true, NoNumeric: true, NoSpecial: true})},
		{"special letters", "secrets[1].generate.specialCharacters", generate(components.GenerateArgs{SpecialCharacters: "-a"})},
		{"special spaces", "secrets[1].generate.specialCharacters", generate(components.GenerateArgs{SpecialCharacters: "- "})},
		{"special beyond ASCII", "secrets[1].generate.specialCharacters", generate(components.GenerateArgs{SpecialCharacters: "§"})},
		{"special twice", "secrets[1].generate.specialCharacters", generate(components.GenerateArgs{SpecialCharacters: "-_-"})},
		{"special and none", "secrets[1].generate.specialCharacters", generate(components.GenerateArgs{SpecialCharacters: "-", NoSpecial: true})},
	})
}

func TestAllSpecialCharactersOfASCIIAreAccepted(t *testing.T) {
	args := vaultArgs()
	args.Secrets[1].Generate.SpecialCharacters = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
	if err := args.Validate(); err != nil {
		t.Error(err)
	}
}
