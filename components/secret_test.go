package components_test

import (
	"strings"
	"testing"
	"time"

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

func TestSecret_PassesArguments(t *testing.T) {
	args, no := vaultArgs(), false
	s := &args.Secrets[0]
	s.ContentType, s.Enabled, s.Tags = "text/plain", &no, map[string]string{"team": "a"}
	wantInputs(t, runVault(t, args).Get(t, "vault-secret-given"), map[string]any{
		"properties.contentType":        "text/plain",
		"properties.attributes.enabled": false,
		"properties.attributes.expires": nil,
		"tags.team":                     "a",
	})
}

// Omitted arguments are not sent, so that existing secrets do not change.
func TestSecret_OmitsDefaults(t *testing.T) {
	e := runVault(t, vaultArgs())
	wantInputs(t, e.Get(t, "vault-secret-given"), map[string]any{
		"properties.contentType": nil, "properties.attributes": nil, "tags": nil,
	})
	wantInputs(t, e.Get(t, "vault-value-generated"), map[string]any{
		"length": 32.0, "special": true, "upper": nil, "lower": nil, "numeric": nil, "overrideSpecial": nil, "keepers": nil,
	})
}

func TestGenerate_UsesRemainingClasses(t *testing.T) {
	args := vaultArgs()
	args.Secrets[1].Rotate = "2"
	*args.Secrets[1].Generate = components.GenerateArgs{
		Length:            16,
		NoUpper:           true,
		NoLower:           true,
		NoNumeric:         true,
		SpecialCharacters: "-_",
	}
	e := runVault(t, args)
	wantInputs(t, e.Get(t, "vault-value-generated"), map[string]any{
		"length":          16.0,
		"special":         true,
		"upper":           false,
		"lower":           false,
		"numeric":         false,
		"overrideSpecial": "-_",
		"keepers.rotate":  "2",
	})
	wantSecretValues(t, e)
}

// wantSecretValues checks that all secret values are sent as secrets.
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

// TestSecret_WithOnceIsWrittenOnce checks that Pulumi ignores every change of an existing secret, and of no other.
func TestSecret_WithOnceIsWrittenOnce(t *testing.T) {
	found := map[string]any{
		"id":         vaultResourceID + "/secrets/given",
		"properties": map[string]any{"secretUriWithVersion": "https://vault.example/secrets/given/" + mockengine.Version},
	}
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

// rotatingArgs returns one secret whose value rotates.
func rotatingArgs() *components.KeyVaultStackArgs {
	args := datedArgs()
	args.Keys = nil
	args.Secrets = []components.SecretArgs{
		{Name: "s", Generate: &components.GenerateArgs{}, RotateEvery: "P30D", NotBefore: "PT1H", Expires: "P45D"},
	}
	return args
}

// TestRotateEvery_MakesOneValuePerPeriod runs updates at several times. The random value changes exactly when its
// keepers do.
func TestRotateEvery_MakesOneValuePerPeriod(t *testing.T) {
	day := func(n int) time.Time { return madeAt.AddDate(0, 0, n) }
	var e *mockengine.Engine
	for _, at := range []struct {
		now       time.Time
		due, next int // days
	}{
		{day(0), 0, 30}, {day(29), 0, 30}, {day(30).Add(-time.Second), 0, 30},
		{day(30), 30, 60}, {day(30), 30, 60}, {day(59), 30, 60},
		{day(65), 60, 90}, {day(89), 60, 90}, // the update came late, and the next is due all the same
		{day(200), 180, 210}, // and one for several
	} {
		e = update(t, e, at.now, rotatingArgs())
		var due any
		if at.due > 0 {
			due = day(at.due).Format(time.RFC3339)
		}
		wantInputs(t, e.Get(t, "vault-value-s"), map[string]any{"keepers.due": due, "keepers.rotate": nil})
		if keepers := e.Get(t, "vault-value-s").At("keepers"); due == nil && keepers != nil && !keepers.IsNull() {
			t.Errorf("at %s there are keepers, with which a value that was there would be made again: %v", at.now, keepers)
		}
		wantDates(t, e, "vault-secret-s", day(at.due).Add(time.Hour), day(at.due).AddDate(0, 0, 45))
		wantSecretValues(t, e)
		if said := strings.Join(e.Infos(), "\n"); !strings.Contains(said, "secret s ") ||
			!strings.Contains(said, day(at.next).Format(time.RFC3339)) {
			t.Errorf("at %s it does not say when the next value is due: %q", at.now, said)
		}
	}
}

func TestRotateEvery_CountsCalendarMonths(t *testing.T) {
	args := rotatingArgs()
	args.Secrets[0].RotateEvery = "P1M"
	e := update(t, nil, time.Date(2026, 1, 15, 6, 0, 0, 0, time.UTC), args)
	for at, want := range map[string]any{"2026-02-15T05:59:59Z": nil, "2026-02-15T06:00:00Z": "2026-02-15T06:00:00Z",
		"2026-12-14T00:00:00Z": "2026-11-15T06:00:00Z"} {
		now, _ := time.Parse(time.RFC3339, at)
		wantInputs(t, update(t, e, now, args).Get(t, "vault-value-s"), map[string]any{"keepers.due": want})
	}
}

// TestRotateEvery_CanBeAddedAndRemoved checks that the existing value stays if possible, and that periods count from
// where the documentation says.
func TestRotateEvery_CanBeAddedAndRemoved(t *testing.T) {
	at := func(days int) time.Time { return madeAt.AddDate(0, 0, days) }
	rotating := func(change func(*components.SecretArgs)) *components.KeyVaultStackArgs {
		args := rotatingArgs()
		change(&args.Secrets[0])
		return args
	}
	without := update(t, nil, madeAt, rotating(func(s *components.SecretArgs) { s.RotateEvery, s.Rotate = "", "1" }))
	with := rotating(func(s *components.SecretArgs) { s.Rotate = "1" })
	added := update(t, without, at(50), with)
	wantInputs(t, added.Get(t, "vault-value-s"), map[string]any{"keepers.rotate": "1", "keepers.due": nil})
	wantInputs(t, update(t, added, at(79), with).Get(t, "vault-value-s"), map[string]any{"keepers.due": nil})
	rotated := update(t, added, at(80), with)
	wantInputs(t, rotated.Get(t, "vault-value-s"),
		map[string]any{"keepers.rotate": "1", "keepers.due": at(80).Format(time.RFC3339)})

	// A new value counts from its own creation.
	for name, change := range map[string]func(*components.SecretArgs){
		"rotate":   func(s *components.SecretArgs) { s.Rotate = "2" },
		"generate": func(s *components.SecretArgs) { s.Rotate, s.Generate.Length = "1", 64 },
	} {
		again := update(t, rotated, at(100), rotating(change))
		wantInputs(t, again.Get(t, "vault-value-s"), map[string]any{"keepers.due": nil})
		wantDates(t, again, "vault-secret-s", at(100).Add(time.Hour), at(145))
		wantInputs(t, update(t, again, at(131), rotating(change)).Get(t, "vault-value-s"),
			map[string]any{"keepers.due": at(130).Format(time.RFC3339)})
		t.Log(name)
	}
	// Another period counts from the same time.
	other := rotating(func(s *components.SecretArgs) { s.Rotate, s.RotateEvery, s.Expires = "1", "P20D", "P30D" })
	wantInputs(t, update(t, rotated, at(91), other).Get(t, "vault-value-s"),
		map[string]any{"keepers.due": at(90).Format(time.RFC3339)})
}

func TestSecret_Validates(t *testing.T) {
	given := func(change func(*components.SecretArgs)) func(*components.KeyVaultStackArgs) {
		return func(a *components.KeyVaultStackArgs) { change(&a.Secrets[0]) }
	}
	generate := func(g components.GenerateArgs) func(*components.KeyVaultStackArgs) {
		return func(a *components.KeyVaultStackArgs) { a.Secrets[1].Generate = &g }
	}
	rotating := func(change func(*components.SecretArgs)) func(*components.KeyVaultStackArgs) {
		return func(a *components.KeyVaultStackArgs) { a.Secrets[1].RotateEvery = "P30D"; change(&a.Secrets[1]) }
	}
	tags := func(tags map[string]string) func(*components.KeyVaultStackArgs) {
		return given(func(s *components.SecretArgs) { s.Tags = tags })
	}
	many := map[string]string{}
	for _, name := range strings.Split("abcdefghijklmnop", "") {
		many[name] = ""
	}
	testRules(t, vaultArgs, (*components.KeyVaultStackArgs).Validate, []rule[components.KeyVaultStackArgs]{
		{
			"a content type",
			"secrets[0].contentType",
			given(func(s *components.SecretArgs) { s.ContentType = strings.Repeat("a", 256) }),
		},
		{"nothing to rotate", "secrets[0].rotate", given(func(s *components.SecretArgs) { s.Rotate = "2" })},
		{
			"no relative date to restart",
			"secrets[0].rotate",
			given(func(s *components.SecretArgs) { s.Rotate, s.Expires = "2", "2027-01-31" }),
		},
		{
			"another value of what is made once",
			"secrets[1].rotate",
			func(a *components.KeyVaultStackArgs) { a.Secrets[1].Rotate, a.Secrets[1].Once = "2", true },
		},
		{
			"no value to rotate by itself",
			"secrets[0].rotateEvery",
			given(func(s *components.SecretArgs) { s.RotateEvery = "P30D" }),
		},
		{
			"rotating what others write",
			"secrets[1].rotateEvery",
			func(a *components.KeyVaultStackArgs) { a.Secrets[1].RotateEvery, a.Secrets[1].Once = "P30D", true },
		},
		{"no duration", "secrets[1].rotateEvery", rotating(func(s *components.SecretArgs) { s.RotateEvery = "2027-01-31" })},
		{
			"sooner than pods follow",
			"secrets[1].rotateEvery",
			rotating(func(s *components.SecretArgs) { s.RotateEvery = "PT59M59S" }),
		},
		{
			"later than anybody",
			"secrets[1].rotateEvery",
			rotating(func(s *components.SecretArgs) { s.RotateEvery = "P101Y" }),
		},
		{"expired before the next", "secrets[1].expires", rotating(func(s *components.SecretArgs) { s.Expires = "P30D" })},
		{
			"expired in a long month",
			"secrets[1].expires",
			rotating(func(s *components.SecretArgs) { s.RotateEvery, s.Expires = "P1M", "P31D" }),
		},
		{
			"valid only with the next",
			"secrets[1].notBefore",
			rotating(func(s *components.SecretArgs) { s.NotBefore, s.Expires = "P30D", "P90D" }),
		},
		{"16 tags", "secrets[0].tags", tags(many)},
		{"a tag's name is needed", "secrets[0].tags", tags(map[string]string{"": "a"})},
		{"a tag's characters", "secrets[0].tags", tags(map[string]string{"a/b": "a"})},
		{"a tag's long name", "secrets[0].tags", tags(map[string]string{strings.Repeat("a", 257): "a"})},
		{"a tag's long value", "secrets[0].tags.a", tags(map[string]string{"a": strings.Repeat("a", 257)})},
		{
			"no characters",
			"secrets[1].generate",
			generate(components.GenerateArgs{NoUpper: true, NoLower: true, NoNumeric: true, NoSpecial: true}),
		},
		{
			"special letters",
			"secrets[1].generate.specialCharacters",
			generate(components.GenerateArgs{SpecialCharacters: "-a"}),
		},
		{
			"special spaces",
			"secrets[1].generate.specialCharacters",
			generate(components.GenerateArgs{SpecialCharacters: "- "}),
		},
		{
			"special beyond ASCII",
			"secrets[1].generate.specialCharacters",
			generate(components.GenerateArgs{SpecialCharacters: "§"}),
		},
		{
			"special twice",
			"secrets[1].generate.specialCharacters",
			generate(components.GenerateArgs{SpecialCharacters: "-_-"}),
		},
		{
			"special and none",
			"secrets[1].generate.specialCharacters",
			generate(components.GenerateArgs{SpecialCharacters: "-", NoSpecial: true}),
		},
	})
}

func TestGenerate_AcceptsAllSpecialCharacters(t *testing.T) {
	args := vaultArgs()
	args.Secrets[1].Generate.SpecialCharacters = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
	if err := args.Validate(); err != nil {
		t.Error(err)
	}
}
