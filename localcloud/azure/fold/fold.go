// Package fold compares names and ids without case, as Azure does.
//
// The functions of package strings take the Kelvin sign (U+212A) for k, and some take the long s (U+017F) for s or the
// dotted capital I (U+0130) for i.
// Azure compares ordinally: a letter outside ASCII never equals one inside it
// (learn.microsoft.com/dotnet/standard/base-types/best-practices-strings#ordinal-string-operations). With package
// strings, an id in a body could name a resource here that it does not name in Azure.
package fold

import "strings"

// foreign has the letters outside ASCII whose other case is in ASCII.
const foreign = "\u0130\u017f\u212a"

// private replaces those of these letters that strings.EqualFold takes for another one by a rune for private use, which
// has no case.
var private = strings.NewReplacer("\u017f", "\uf8fe", "\u212a", "\uf8ff")

// Foreign reports whether s has a letter outside ASCII that package strings takes for one inside it.
func Foreign(s string) bool { return strings.ContainsAny(s, foreign) }

// Equal reports whether a and b are the same but for case.
func Equal(a, b string) bool {
	return strings.EqualFold(a, b) && (a == b || strings.EqualFold(private.Replace(a), private.Replace(b)))
}

// Lower returns s in lower case. Names are Equal if they have the same lower case. The converse holds for all letters
// with only two cases, unlike the Greek sigma.
func Lower(s string) string {
	if !Foreign(s) {
		return strings.ToLower(s)
	}
	var lower strings.Builder
	for _, r := range s {
		if letter := string(r); Foreign(letter) {
			lower.WriteString(letter)
		} else {
			lower.WriteString(strings.ToLower(letter))
		}
	}
	return lower.String()
}
