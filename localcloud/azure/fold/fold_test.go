package fold_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

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
		{"id", "\u0130d", false},
		{"\u0130d", "\u0130D", true},
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

func TestLower_KeepsASCIIApart(t *testing.T) {
	t.Parallel()
	for r := rune(utf8.RuneSelf); r <= unicode.MaxRune; r++ {
		letter := string(r)
		if lower := fold.Lower(letter); lower[0] < utf8.RuneSelf {
			t.Errorf("%U is %s in lower case", r, lower)
		}
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			if other < utf8.RuneSelf && fold.Equal(letter, string(other)) {
				t.Errorf("%U equals %c", r, other)
			}
		}
		if !fold.Foreign(letter) && strings.ToLower(letter)[0] < utf8.RuneSelf {
			t.Errorf("%U is not foreign, but package strings takes it for a letter of ASCII", r)
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
