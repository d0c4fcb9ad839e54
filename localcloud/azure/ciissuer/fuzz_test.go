package ciissuer

import (
	"encoding/json"
	"testing"
)

// FuzzAsk checks that every issued token has the requested subject, service and audience.
func FuzzAsk(f *testing.F) {
	for _, seed := range []string{
		`{"ci":"github","subject":"repo:octo-org/octo-repo:environment:prod"}`,
		`{"ci":"github","subject":"repo:o@1/r@2:ref:refs/heads/a"}`,
		`{"ci":"gitlab","subject":"project_path:a/b:ref_type:branch:ref:main"}`,
		`{"ci":"pulumi","subject":"pulumi:deploy:org:o:project:p:stack:s:operation:up:scope:write"}`,
		`{"ci":"github","subject":"repo:o/r:pull_request","claims":{"sub":"x","iss":"y","actor":"z"}}`,
		`{"ci":"gitlab","subject":"","audience":"a"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var a Ask
		if json.Unmarshal(text, &a) != nil {
			return
		}
		i, claims, err := a.claims()
		if err != nil {
			return
		}
		if claims["sub"] != a.Subject || claims["iss"] != i.url || a.Audience != "" && claims["aud"] != a.Audience {
			t.Errorf("%s: %v", text, claims)
		}
		if _, err := json.Marshal(claims); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	})
}
