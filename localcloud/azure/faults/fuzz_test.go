package faults

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
)

// FuzzParse checks that accepted plans survive a round trip and decide on requests.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"",
		"{}",
		"rules: [{rate: 1, status: 500}]",
		`{"seed":3,"rolesAfter":"20s","rules":[{"first":1,"status":503,"retryAfter":"1500ms"}]}`,
		"rules: [{first: 1, path: '(', status: 500}]",
		"rules: [{first: 1, reset: after, host: '.*', method: PUT|POST, delay: 1ms}]",
		"retire: [{provider: Microsoft.KeyVault, before: 2026-02-01, on: 2027-01-01}]",
		"a: &a [*a]",
		"rules: [{rate: .nan, status: 500}]",
		"rolesAfter: 1e9h",
		"- ", "\x00", "!!binary aaaa",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		plan, err := Parse(text)
		if err != nil {
			return
		}
		written, err := json.Marshal(plan)
		if err != nil {
			t.Fatalf("%q is taken and cannot be told: %v", text, err)
		}
		again, err := Parse(written)
		if err != nil {
			t.Fatalf("%q is taken, told as %s and then refused: %v", text, written, err)
		}
		if told, err := json.Marshal(again); err != nil || string(told) != string(written) {
			t.Fatalf("%q is taken, told as %s and then as %s, %v", text, written, told, err)
		}
		New(plan).decide(httptest.NewRequest(http.MethodPut, "https://management.azure.com/a", nil))
	})
}
