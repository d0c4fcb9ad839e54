package cli

import (
	"strings"
	"testing"
)

func TestTypes_ListsEveryProvider(t *testing.T) {
	var got output
	if err := (&cloud{stdout: &got}).types(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"azure-native:keyvault:Vault (", "v20241101", "azure-native_keyvault_v20260201:keyvault/v20260201:Key\n",
		"random:index/randomId:RandomId\n", "kubernetes:*",
	} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("%q is not in\n%s", want, got.String())
		}
	}
}
