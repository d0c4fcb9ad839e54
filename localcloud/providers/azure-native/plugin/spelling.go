package plugin

import (
	"strings"
	"unicode"
)

// spelling translates the names of an object's properties between ARM and the SDK.
type spelling struct {
	at           string // dotted path in ARM's body
	toARM, toSDK func(string) string
}

// named returns a spelling in which only some names differ, given as pairs of the SDK's and ARM's name.
func named(at string, pairs ...string) spelling {
	toARM, toSDK := map[string]string{}, map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		toARM[pairs[i]], toSDK[pairs[i+1]] = pairs[i+1], pairs[i]
	}
	through := func(names map[string]string) func(string) string {
		return func(s string) string {
			if other, ok := names[s]; ok {
				return other
			}
			return s
		}
	}
	return spelling{at: at, toARM: through(toARM), toSDK: through(toSDK)}
}

func renameKeys(rename func(string) string) func(map[string]any, string) {
	return func(holder map[string]any, key string) {
		object, ok := holder[key].(map[string]any)
		if !ok {
			return
		}
		renamed := make(map[string]any, len(object))
		for k, v := range object {
			renamed[rename(k)] = v
		}
		holder[key] = renamed
	}
}

// camelToKebab converts scaleDownUnneededTime to scale-down-unneeded-time.
func camelToKebab(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsUpper(r) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// kebabToCamel converts scale-down-unneeded-time to scaleDownUnneededTime.
func kebabToCamel(s string) string {
	words := strings.Split(s, "-")
	for i, w := range words {
		if i > 0 && w != "" {
			words[i] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(words, "")
}
