package components_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"pgregory.net/rapid"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

// azureVaultName is Azure's rule, except for consecutive dashes:
// https://learn.microsoft.com/rest/api/keyvault/keyvault/vaults/check-name-availability
var azureVaultName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9-]{1,22}[a-zA-Z0-9]$`)

func TestNamePrefix_MakesValidVaultName(t *testing.T) {
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.OneOf(rapid.StringMatching(`[a-zA-Z][a-z0-9-]{0,18}`), rapid.StringN(0, 20, -1)).Draw(t, "prefix")
		suffix := rapid.StringMatching(`[a-z0-9]{6}`).Draw(t, "suffix")
		args := &components.KeyVaultStackArgs{NamePrefix: prefix}
		if args.Validate() != nil {
			return
		}
		accepted++
		if name := prefix + "-" + suffix; !azureVaultName.MatchString(name) || strings.Contains(name, "--") {
			t.Fatalf("%s is no vault's name", name)
		}
	})
	if accepted == 0 {
		t.Error("no prefix was accepted")
	}
}

// drawDate draws an absolute or a relative date, and sometimes nonsense.
func drawDate(t *rapid.T, label string) string {
	return rapid.OneOf(
		rapid.Just(""),
		rapid.StringMatching(`P([0-9]{1,4}Y)?([0-9]{1,4}M)?([0-9]{1,4}D)?(T[0-9]{1,2}H)?`),
		rapid.StringMatching(`P[0-9]{1,2}[YMWD]`),
		rapid.StringMatching(`PT[0-9]{1,4}[HMS]`),
		rapid.StringMatching(`[0-9]{4}-[01][0-9]-[0-3][0-9](T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](Z|[+-]0[0-9]:00))?`),
		rapid.StringN(0, 10, -1),
	).Draw(t, label)
}

// Whatever is accepted is valid for Azure: a name by its rule, and ordered dates after 1970 that a vault can represent.
func TestSecrets_AcceptsOnlyValidForAzure(t *testing.T) {
	azureSecretName := regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`)
	latest := float64(253402300800) // the end of the year 9999
	accepted := 0
	rapid.Check(t, func(rt *rapid.T) {
		secret := components.SecretArgs{
			Name:      rapid.OneOf(rapid.StringMatching(`[a-zA-Z0-9-]{1,127}`), rapid.StringN(0, 10, -1)).Draw(rt, "name"),
			NotBefore: drawDate(rt, "notBefore"),
			Expires:   drawDate(rt, "expires"),
			Generate: &components.GenerateArgs{
				Length:  rapid.IntRange(0, 2000).Draw(rt, "length"),
				NoUpper: rapid.Bool().Draw(rt, "noUpper"), NoLower: rapid.Bool().Draw(rt, "noLower"),
				NoNumeric: rapid.Bool().Draw(rt, "noNumeric"), NoSpecial: rapid.Bool().Draw(rt, "noSpecial"),
			},
		}
		args := &components.KeyVaultStackArgs{
			ResourceGroupName: pulumi.String("group"), TenantID: pulumi.String(mockengine.TenantID), NamePrefix: "kv",
			Secrets: []components.SecretArgs{secret},
		}
		if args.Validate() != nil {
			return
		}
		accepted++
		e := &mockengine.Engine{}
		if err := e.Run(func(ctx *pulumi.Context) error {
			_, err := components.NewKeyVaultStack(ctx, "vault", args)
			return err
		}); err != nil {
			rt.Fatal(err)
		}
		sent := e.Get(t, "vault-secret-"+secret.Name)
		if name := sent.At("secretName").StringValue(); !azureSecretName.MatchString(name) {
			rt.Fatalf("%s is no secret's name", name)
		}
		var seconds []float64
		for path, given := range map[string]string{"notBefore": secret.NotBefore, "expires": secret.Expires} {
			if at := sent.At("properties.attributes." + path); (at != nil) != (given != "") {
				rt.Fatalf("%s %q is sent as %v", path, given, at)
			}
		}
		for _, path := range []string{"notBefore", "expires"} {
			if at := sent.At("properties.attributes." + path); at != nil {
				seconds = append(seconds, at.NumberValue())
			}
		}
		for _, one := range seconds {
			if one <= 0 || one >= latest {
				rt.Fatalf("%.0f is no date", one)
			}
		}
		sameKind := strings.HasPrefix(secret.NotBefore, "P") == strings.HasPrefix(secret.Expires, "P")
		if len(seconds) == 2 && sameKind && seconds[0] >= seconds[1] {
			rt.Fatalf("valid from %.0f to %.0f", seconds[0], seconds[1])
		}
		if found := e.Plaintext(mockengine.Password); len(found) > 0 {
			rt.Fatalf("the value is in the clear in %v", found)
		}
	})
	if accepted == 0 {
		t.Error("no secret was accepted")
	}
}
