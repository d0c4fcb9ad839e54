package engine

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// FuzzConfiguration checks that any configuration file is rejected or becomes JSON with the given salt.
func FuzzConfiguration(f *testing.F) {
	for _, seed := range []string{
		"", "config: {}", "config:\n  keyvault-aks:secrets:\n  - {name: a, value: \"a\\Nb\"}\n", "config: &a [*a]",
		"a: &a {b: *a}", "encryptionsalt: other", "config: {1: 2, true: .nan, ~: .inf}", "config: {a: {? [b] : c}}",
		"config: {a: !!binary aaaa, b: !!set {c}, d: 2026-01-01}", "---\n---\n", "\ufeffconfig: {}",
		"config: " + strings.Repeat("[", 1000), "config: {a: <<, <<: {b: c}}",
	} {
		f.Add([]byte(seed), "a=b")
	}
	f.Add([]byte("config: {a: {b: c}}"), "a.b[0]=x")
	f.Fuzz(func(t *testing.T, content []byte, over string) {
		made, err := configuration("project", "file", content, []string{over}, "salt")
		if err != nil {
			return
		}
		var read struct {
			Config map[string]any
			Salt   string `json:"encryptionsalt"`
		}
		if err := json.Unmarshal(made, &read); err != nil || read.Salt != "salt" {
			t.Errorf("%q becomes %s: %v", content, made, err)
		}
	})
}

// TestConfiguration_EndsSoonForDeepFiles also has files that a few aliases make large.
func TestConfiguration_EndsSoonForDeepFiles(t *testing.T) {
	t.Parallel()
	aliases := "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n" +
		"d: &d [*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e]\n" +
		"g: &g [*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g]\n"
	for name, content := range map[string]string{
		"arrays":       "config: " + strings.Repeat("[", 100_000),
		"objects":      "config: " + strings.Repeat("{a: ", 100_000),
		"aliases":      aliases,
		"whole arrays": "config: {a: " + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + "}",
		"itself":       "config: {a: &a [*a]}",
	} {
		begin := time.Now()
		if _, err := configuration("project", "file", []byte(content), nil, ""); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("%s: took %s", name, took)
		}
	}
}
