package components_test

import (
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

func TestDuration_CountsCalendarUnits(t *testing.T) {
	from := time.Date(2027, time.January, 31, 23, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"P90D":            "2027-05-01T23:00:00Z",
		"P1Y6M":           "2028-07-31T23:00:00Z",
		"P2W":             "2027-02-14T23:00:00Z",
		"PT12H":           "2027-02-01T11:00:00Z",
		"PT90M":           "2027-02-01T00:30:00Z",
		"P1DT1H1M1S":      "2027-02-02T00:01:01Z",
		"P1Y1M1W1DT1H1S":  "2028-03-11T00:00:01Z",
		"P100Y":           "2127-01-31T23:00:00Z",
		"P0Y0M0DT0H0M01S": "2027-01-31T23:00:01Z",
	} {
		got, ok := components.AddDuration(from, text)
		if !ok || got.Format(time.RFC3339) != want {
			t.Errorf("%s after %s is %s, %t, want %s", text, from.Format(time.RFC3339), got.Format(time.RFC3339), ok, want)
		}
	}
}

func TestParseDuration_RejectsInvalid(t *testing.T) {
	for _, text := range []string{
		"", "P", "PT", "P1DT", "P0D", "PT0S", "90D", "p90d", "P90", "P-1D", "-P1D", "P1.5D", "P1H", "PT1D", "P1D1Y", " P1D", "P1D\n", "P٣D",
		"P10000D", "P101Y", "P1201M", "P99Y9999D", "2160h",
	} {
		if _, ok := components.AddDuration(time.Now(), text); ok {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestDuration_ComparesOnWorstDay(t *testing.T) {
	for _, c := range []struct {
		text, other string
		want        bool
	}{
		{"P28D", "P1M", true}, {"P29D", "P1M", false}, {"P1M", "P31D", true}, {"P1M", "P30D", false},
		{"P365D", "P1Y", true}, {"P366D", "P1Y", false}, {"P12M", "P1Y", true}, {"P1Y", "P12M", true},
		{"PT24H", "P1D", true}, {"PT24H1S", "P1D", false},
	} {
		if got := components.NeverLonger(c.text, c.other); got != c.want {
			t.Errorf("%s is never longer than %s: %t", c.text, c.other, got)
		}
	}
}

// datedArgs returns relative dates for a generated secret and a key, and absolute dates for another secret.
func datedArgs() *components.KeyVaultStackArgs {
	return &components.KeyVaultStackArgs{
		ResourceGroupName: pulumi.String("group"),
		TenantID:          pulumi.String(mockengine.TenantID),
		NamePrefix:        "kv",
		Secrets: []components.SecretArgs{
			{Name: "relative", Generate: &components.GenerateArgs{}, NotBefore: "PT1H", Expires: "P90D"},
			{Name: "absolute", Value: pulumi.String("v"), NotBefore: "2027-01-31", Expires: "2027-01-31T12:00:00+02:00"},
			{Name: "none", Value: pulumi.String("v")},
		},
		Keys: []components.KeyArgs{{Name: "relative", Expires: "P1Y"}},
	}
}

var madeAt = time.Date(2026, time.March, 1, 8, 0, 0, 0, time.UTC)

// update runs the program at the given time, on the state of an earlier run.
func update(
	t *testing.T, before *mockengine.Engine, at time.Time, args *components.KeyVaultStackArgs,
) *mockengine.Engine {
	t.Helper()
	components.SetClock(t, at)
	e := &mockengine.Engine{Before: before}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := components.NewKeyVaultStack(ctx, "vault", args)
		return err
	})
	return e
}

func wantDates(t *testing.T, e *mockengine.Engine, name string, notBefore, expires any) {
	t.Helper()
	for path, want := range map[string]any{"properties.attributes.notBefore": notBefore,
		"properties.attributes.expires": expires} {
		if at, ok := want.(time.Time); ok {
			want = float64(at.Unix())
		}
		wantInputs(t, e.Get(t, name), map[string]any{path: want})
	}
}

func TestRelativeDates_CountFromFirstUpdate(t *testing.T) {
	first := update(t, nil, madeAt, datedArgs())
	later := update(t, first, madeAt.AddDate(0, 2, 0), datedArgs())
	for _, e := range []*mockengine.Engine{first, later} {
		wantDates(t, e, "vault-secret-relative", madeAt.Add(time.Hour), madeAt.AddDate(0, 0, 90))
		wantDates(t, e, "vault-key-relative", nil, madeAt.AddDate(1, 0, 0))
		wantDates(t, e, "vault-secret-absolute", time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC),
			time.Date(2027, 1, 31, 10, 0, 0, 0, time.UTC))
		wantInputs(t, e.Get(t, "vault-secret-none"), map[string]any{"properties.attributes": nil})
	}
	if got := len(first.Resources()); got != len(later.Resources()) || got != 3+1+3+1+2 {
		t.Errorf("%d resources, then %d", got, len(later.Resources()))
	}
}

func TestRelativeDates_RestartWithNewSecret(t *testing.T) {
	first := update(t, nil, madeAt, datedArgs())
	again := madeAt.AddDate(0, 2, 0)
	for name, change := range map[string]func(*components.SecretArgs){
		"rotate":    func(s *components.SecretArgs) { s.Rotate = "2" },
		"expires":   func(s *components.SecretArgs) { s.Expires = "P91D" },
		"notBefore": func(s *components.SecretArgs) { s.NotBefore = "PT2H" },
		"generate":  func(s *components.SecretArgs) { s.Generate.Length = 64 },
	} {
		args := datedArgs()
		change(&args.Secrets[0])
		later := update(t, first, again, args)
		expires, _ := components.AddDuration(again, args.Secrets[0].Expires)
		notBefore, _ := components.AddDuration(again, args.Secrets[0].NotBefore)
		t.Run(name, func(t *testing.T) {
			wantDates(t, later, "vault-secret-relative", notBefore, expires)
			wantDates(t, later, "vault-key-relative", nil, madeAt.AddDate(1, 0, 0))
		})
	}
}

func TestRelativeDates_StayWithoutChanges(t *testing.T) {
	first := update(t, nil, madeAt, datedArgs())
	for name, change := range map[string]func(*components.SecretArgs){
		"a default is written out": func(s *components.SecretArgs) { s.Generate.Length = 32 },
		"a tag":                    func(s *components.SecretArgs) { s.Tags = map[string]string{"a": "b"} },
	} {
		args := datedArgs()
		change(&args.Secrets[0])
		later := update(t, first, madeAt.AddDate(0, 2, 0), args)
		t.Run(name, func(t *testing.T) {
			wantDates(t, later, "vault-secret-relative", madeAt.Add(time.Hour), madeAt.AddDate(0, 0, 90))
		})
	}
	args := datedArgs()
	args.Secrets[0].NotBefore = "2026-03-02" // absolute now, so that what expires is counted from has changed
	later := update(t, first, madeAt.AddDate(0, 2, 0), args)
	wantDates(t, later, "vault-secret-relative", time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), madeAt.AddDate(0, 2, 90))
	args.Secrets[0].NotBefore = "2026-03-03"
	wantDates(t, update(t, later, madeAt.AddDate(0, 3, 0), args), "vault-secret-relative",
		time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC), madeAt.AddDate(0, 2, 90))
}

func TestDates_Validate(t *testing.T) {
	first := func(change func(*components.SecretArgs)) func(*components.KeyVaultStackArgs) {
		return func(a *components.KeyVaultStackArgs) { change(&a.Secrets[0]) }
	}
	testRules(t, datedArgs, (*components.KeyVaultStackArgs).Validate, []rule[components.KeyVaultStackArgs]{
		{"a day that is none", "secrets[0].expires", first(func(s *components.SecretArgs) { s.Expires = "2027-02-29" })},
		{
			"a time without its zone",
			"secrets[0].expires",
			first(func(s *components.SecretArgs) { s.Expires = "2027-01-31T12:00:00" }),
		},
		{"a span of Go", "secrets[0].notBefore", first(func(s *components.SecretArgs) { s.NotBefore = "24h" })},
		{"a time before time", "secrets[0].notBefore", first(func(s *components.SecretArgs) { s.NotBefore = "1969-12-31" })},
		{"a time after time", "secrets[0].expires", first(func(s *components.SecretArgs) { s.Expires = "9999-12-31" })},
		{
			"valid only after it has expired",
			"secrets[0].expires",
			first(func(s *components.SecretArgs) { s.Expires = "PT59M" }),
		},
		{"never valid", "secrets[0].expires", first(func(s *components.SecretArgs) { s.Expires = "PT1H" })},
		{
			"never valid in a short month",
			"secrets[0].expires",
			first(func(s *components.SecretArgs) { s.NotBefore, s.Expires = "P28D", "P1M" }),
		},
		{
			"absolute dates in order",
			"secrets[1].expires",
			func(a *components.KeyVaultStackArgs) { a.Secrets[1].Expires = "2027-01-30" },
		},
		{"a key's date", "keys[0].notBefore", func(a *components.KeyVaultStackArgs) { a.Keys[0].NotBefore = "tomorrow" }},
		{
			"a key's dates in order",
			"keys[0].expires",
			func(a *components.KeyVaultStackArgs) { a.Keys[0].NotBefore = "P366D" },
		},
	})
}
