package fold_test

import (
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
)

func TestEqual_KeepsASCIIApart(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"", "", true},
		{"vaults", "VAULTS", true},
		{"vaults", "vault", false},
		{"Ärger", "ärger", true},
		{"kilo", "\u212ailo", false},
		{"\u212ailo", "\u212aILO", true},
		{"k\u212a", "\u212ak", false},
		{"secrets", "\u017fecrets", false},
		{"SECRETS", "\u017fecrets", false},
		{"\u017fecrets", "\u017fECRETS", true},
	} {
		if got := fold.Equal(test.a, test.b); got != test.want {
			t.Errorf("Equal(%q, %q) is %t", test.a, test.b, got)
		}
		if got := fold.Lower(test.a) == fold.Lower(test.b); got != test.want {
			t.Errorf("Lower(%q) and Lower(%q) are equal: %t", test.a, test.b, got)
		}
	}
}

func FuzzEqual(f *testing.F) {
	f.Add("kilo", "\u212ailo")
	f.Add("\xff", "\ufffd")
	f.Fuzz(func(t *testing.T, a, b string) {
		if !fold.Equal(a, a) || fold.Equal(a, b) != fold.Equal(b, a) {
			t.Errorf("%q and %q: not an equivalence", a, b)
		}
	})
}
