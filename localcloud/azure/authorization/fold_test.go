package authorization

import "testing"

// The Kelvin sign (U+212A) is not the letter k: see package fold.
func TestCovers_ComparesLettersOrdinally(t *testing.T) {
	const above = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv-one"
	if !Covers(above, "/SUBSCRIPTIONS/s/resourcegroups/g/providers/microsoft.keyvault/vaults/KV-ONE/secrets/a") {
		t.Error("it compares case")
	}
	const kelvin = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/\u212av-one"
	if Covers(above, kelvin) || Covers(kelvin, above) {
		t.Error("it takes the Kelvin sign for k")
	}
}
