package components_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"pgregory.net/rapid"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

const marker = "the value of "

// drawSecrets draws secrets of all kinds. Each given value contains the marker, whether or not the caller made it a
// Pulumi secret.
func drawSecrets(t *rapid.T) []components.SecretArgs {
	names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z][a-z0-9-]{0,8}`), 1, 5, rapid.ID[string]).Draw(t, "names")
	var secrets []components.SecretArgs
	for _, name := range names {
		s := components.SecretArgs{
			Name: name, NotBefore: rapid.SampledFrom([]string{"", "2026-01-01", "P1D"}).Draw(t, "notBefore"),
			Expires:     rapid.SampledFrom([]string{"", "2027-01-01", "P90D"}).Draw(t, "expires"),
			ContentType: rapid.SampledFrom([]string{"", "text/plain", "application/x-pem-file"}).Draw(t, "contentType"),
			Tags:        rapid.MapOfN(rapid.StringMatching(`[a-z]{1,5}`), rapid.StringN(0, 5, -1), 0, 2).Draw(t, "tags"),
			Rotate:      rapid.SampledFrom([]string{"", "once"}).Draw(t, "rotate"),
		}
		if rapid.Bool().Draw(t, "enabled is given") {
			enabled := rapid.Bool().Draw(t, "enabled")
			s.Enabled = &enabled
		}
		value := pulumi.String(marker + name)
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			s.Generate = &components.GenerateArgs{NoSpecial: rapid.Bool().Draw(t, "noSpecial")}
		case 1:
			s.Value = value
		case 2:
			s.Value = pulumi.ToSecret(value).(pulumi.StringOutput)
		case 3:
			s.Value = value.ToStringOutput()
		}
		secrets = append(secrets, s)
	}
	return secrets
}

// Whatever is accepted, in previews and updates, for new and existing vaults: no resource, output or component contains
// a value in plain text, and neither does the error about rejected arguments.
func TestProgram_KeepsSecretValuesSecret(t *testing.T) {
	accepted := 0
	rapid.Check(t, func(rt *rapid.T) {
		args := &components.KeyVaultStackArgs{Secrets: drawSecrets(rt), Protect: rapid.Bool().Draw(rt, "protect")}
		versions := []components.VaultAPIVersion{"", components.VaultAPI20241101, components.VaultAPI20260201}
		args.APIVersion = rapid.SampledFrom(versions).Draw(rt, "apiVersion")
		if rapid.Bool().Draw(rt, "existing") {
			args.ExistingVaultID = pulumi.String(mockengine.Group + "/providers/Microsoft.KeyVault/vaults/existing")
		} else {
			args.ResourceGroupName, args.TenantID, args.NamePrefix = pulumi.String("group"), pulumi.String(
				mockengine.TenantID,
			), "kv"
			args.CreateMode = rapid.SampledFrom([]components.VaultCreateMode{"", "recover"}).Draw(rt, "createMode")
			args.PurgeProtection = rapid.Bool().Draw(rt, "purgeProtection")
		}
		e := &mockengine.Engine{DryRun: rapid.Bool().Draw(rt, "preview")}
		err := e.Run(func(ctx *pulumi.Context) error {
			vault, err := components.NewKeyVaultStack(ctx, "vault", args)
			if err != nil {
				return err
			}
			ctx.Export("all", pulumi.Map{"secretIds": vault.SecretIDs, "uri": vault.VaultURI, "name": vault.VaultName})
			return nil
		})
		if err != nil {
			if strings.Contains(err.Error(), marker) {
				rt.Fatalf("the error shows a value")
			}
			return
		}
		accepted++
		for _, text := range []string{marker, mockengine.Password} {
			if found := e.Plaintext(text); len(found) > 0 {
				rt.Fatalf("a value is in plain at %v", found)
			}
		}
		for _, s := range args.Secrets {
			if value := e.Get(t, "vault-secret-"+s.Name).Inputs["properties"].ObjectValue()["value"]; !value.IsSecret() &&
				!value.IsComputed() {
				rt.Fatalf("what is sent as %s is %s", s.Name, fmt.Sprint(value.TypeString()))
			}
		}
		for _, warning := range e.Warnings() {
			if strings.Contains(warning.Message, marker) {
				rt.Fatal("a warning shows a value")
			}
		}
	})
	if accepted == 0 {
		t.Error("nothing was accepted")
	}
}
