package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
)

// oddValues returns values that formats tend to read as something else, or to change.
func oddValues() []string {
	odd := []string{
		"",
		" ",
		"  a  ",
		"\n",
		"\n\n a\n",
		"a\n",
		"a\n\n",
		"a\r\nb",
		"\r",
		"a\tb ",
		"\ta",
		" \n ",
		"a \nb",
		"yes",
		"on",
		"y",
		"No",
		"null",
		"~",
		"true",
		"0x10",
		"010",
		"0o7",
		"1_000",
		"1e3",
		"12345678901234567890",
		"0.1e400",
		".inf",
		".nan",
		"1:30:00",
		"2026-01-01",
		"2026-01-01T00:00:00Z",
		"!tag a",
		"&anchor a",
		"*alias",
		"<<",
		"- a",
		"a: b",
		"# a",
		"a # b",
		"{a}",
		"[a]",
		"---",
		"...",
		"%YAML 1.1",
		`"a"`,
		`'a'`,
		`\N`,
		`a\`,
		"`",
		"@a",
		"|",
		">",
		"?",
		"${a}",
		"$(a)",
		"a\u0085b  \u0085  c",
		"\u0085",
		"\U0001f600",
		"\ufffd",
		"é\u0301",
	}
	for c := rune(0); c < 0xa1; c++ {
		odd = append(odd, string(c), "a"+string(c)+"b", "a "+string(c)+" b", "\n"+string(c))
	}
	for _, c := range []rune{0x2028, 0x2029, 0xfeff, 0xfffe, 0xffff, 0x10ffff} {
		odd = append(odd, string(c), "a"+string(c)+"b", "a  "+string(c)+"  b", "a\n"+string(c))
	}
	return odd
}

// escaped writes a value as YAML, with every character escaped.
func escaped(value string) string {
	var b strings.Builder
	for _, c := range value {
		fmt.Fprintf(&b, `\U%08x`, c)
	}
	return `"` + b.String() + `"`
}

func TestConfiguration_PreservesOddValues(t *testing.T) {
	for _, value := range oddValues() {
		for name, of := range map[string]struct {
			file string
			over []string
		}{
			"file":           {file: "config:\n  keyvault-aks:secrets:\n    - name: s\n      value: " + escaped(value) + "\n"},
			"--config":       {over: []string{"secrets=[{name: s, value: " + escaped(value) + "}]"}},
			"--config plain": {over: []string{"secrets=" + escaped(value)}},
		} {
			content, err := configuration("keyvault-aks", "Pulumi.dev.yaml", []byte(of.file), of.over, "salt")
			if err != nil {
				t.Errorf("%s: %q: %v", name, value, err)
				continue
			}
			var read map[string]any
			if err := json.Unmarshal(content, &read); err != nil {
				t.Errorf("%s: %q: %v", name, value, err)
				continue
			}
			want := any([]any{map[string]any{"name": "s", "value": value}})
			if name == "--config plain" {
				want = value
			}
			if got := read["config"].(map[string]any)["keyvault-aks:secrets"]; !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
	}
}

// TestConfiguration_ReadsFileLikeTheEngine compares with what the engine reads from the same file.
func TestConfiguration_ReadsFileLikeTheEngine(t *testing.T) {
	const file = "secretsprovider: passphrase\nencryptionsalt: theirs\nconfig:\n" +
		"  keyvault-aks:a: &a [yes, 12, {1: x}, true, null, 0x10]\n" +
		"  keyvault-aks:b: *a\n  keyvault-aks:c: off\n  keyvault-aks:e: 12345678901234567890\n  keyvault-aks:f: 010\n" +
		"  keyvault-aks:g: true\n  keyvault-aks:h: 1.50\n  keyvault-aks:i: 2026-02-01\n  keyvault-aks:j: {secure: v1}\n"
	over := []string{"a=2026-02-01", "d=off", "k=[2026-02-01]"}
	content, err := configuration("keyvault-aks", "Pulumi.dev.yaml", []byte(file), over, "ours")
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(content, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"encryptionsalt": "ours", "config": map[string]any{
		"keyvault-aks:a": "2026-02-01",
		"keyvault-aks:b": []any{"yes", 12.0, map[string]any{"1": "x"}, true, nil, 16.0},
		"keyvault-aks:c": "off",
		"keyvault-aks:d": "off",
		"keyvault-aks:e": "12345678901234567890",
		"keyvault-aks:f": "8",
		"keyvault-aks:g": "true",
		"keyvault-aks:h": "1.5",
		"keyvault-aks:i": "2026-02-01 00:00:00 +0000 UTC",
		"keyvault-aks:j": map[string]any{"secure": "v1"},
		"keyvault-aks:k": []any{"2026-02-01"},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %#v\nwant %#v", got, want)
	}
}

// TestConfiguration_RejectsWhatYAMLChanges checks that errors tell the position, but not the value, which may be
// secret.
func TestConfiguration_RejectsWhatYAMLChanges(t *testing.T) {
	for name, odd := range map[string]string{
		"control character": "\x01", "delete": "\x7f", "C1": "\u009f", "next line": "\u0085", "line separator": "\u2028",
		"paragraph separator": "\u2029", "byte order mark": "\ufeff", "not UTF-8": "\xff", "noncharacter": "\uffff",
	} {
		value := "hidden" + odd + " hidden"
		for where, of := range map[string]struct {
			file string
			over []string
		}{
			"line 3":         {file: "config:\n  keyvault-aks:a: 1\n  keyvault-aks:b: " + value + "\n"},
			"--config b":     {over: []string{"a=1", "b=" + value}},
			"--config aks:b": {over: []string{"aks:b=\"" + value + "\""}},
		} {
			_, err := configuration("keyvault-aks", filepath.Join("x", "Pulumi.dev.yaml"), []byte(of.file), of.over, "")
			if err == nil || !strings.Contains(err.Error(), where) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("%s, %s: %v", name, where, err)
			}
		}
	}
	for _, over := range []string{"a=1\n---\n2", "a=*b", "a=&a [*a]", "a", "=1", "a={b: 1, b: 2}", "a=[unclosed"} {
		if _, err := configuration("keyvault-aks", "Pulumi.dev.yaml", nil, []string{over}, ""); err == nil {
			t.Errorf("--config %q is accepted", over)
		}
	}
	if _, err := configuration("keyvault-aks", "Pulumi.dev.yaml", []byte("config: [a]"), nil, ""); err == nil {
		t.Error("a configuration that is not a map is accepted")
	}
}

func TestConfigured_PrefersCommandLine(t *testing.T) {
	h := &home.Home{Project: t.TempDir()}
	for stack, content := range map[string]string{
		"dev": "lock: true", "next": `vaultApiVersion: "2026-02-01"`, "broken": "]",
	} {
		file := filepath.Join(h.Project, "Pulumi."+stack+".yaml")
		if err := os.WriteFile(file, []byte("config:\n  keyvault-aks:"+content+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, of := range []struct {
		stack string
		over  []string
		want  any
	}{
		{"dev", nil, nil},
		{"dev", []string{"vaultApiVersion=2026-02-01"}, "2026-02-01"},
		{"next", nil, "2026-02-01"},
		{"next", []string{`vaultApiVersion="2024-11-01"`}, "2024-11-01"},
		{"broken", nil, nil},
		{"none", nil, nil},
	} {
		if got := Configured(h, of.stack, of.over, "vaultApiVersion"); got != of.want {
			t.Errorf("%s with %v: %v", of.stack, of.over, got)
		}
	}
}

func TestOverride_ReplacesValues(t *testing.T) {
	values := map[string]any{"keyvault-aks:nodeCount": 1, "azure-native:location": "eastus"}
	over := []string{"nodeCount=3", "azure-native:location=westus", "keys=[{name: a=b}]"}
	if err := override("keyvault-aks", values, over); err != nil {
		t.Fatal(err)
	}
	if values["keyvault-aks:nodeCount"] != 3 || values["azure-native:location"] != "westus" {
		t.Errorf("got %v", values)
	}
	if keys, ok := values["keyvault-aks:keys"].([]any); !ok || len(keys) != 1 {
		t.Errorf("got keys %v", values["keyvault-aks:keys"])
	}
}

// TestGivenConfiguration_MayBeMissing covers programs without stack configuration: Pulumi.yaml may have defaults.
func TestGivenConfiguration_MayBeMissing(t *testing.T) {
	h := &home.Home{Project: t.TempDir(), Program: home.Program{Name: "theirs", StackConfigDir: "config"}}
	file, content, err := GivenConfiguration(h, "dev", []string{"a=b"})
	if err != nil || len(content) != 0 {
		t.Fatalf("without any configuration: %q, %v", content, err)
	}
	content, err = configuration(h.Program.ProjectName(), file, content, []string{"a=b"}, "salt")
	if err != nil || !strings.Contains(string(content), `"theirs:a": "b"`) {
		t.Errorf("the engine gets %s, %v", content, err)
	}
	if got := Configured(h, "dev", []string{"a=b"}, "a"); got != "b" {
		t.Errorf("the value of --config is %v", got)
	}
	dir := filepath.Join(h.Project, "config")
	if err := errors.Join(
		os.Mkdir(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "Pulumi.prod.yaml"), []byte("config: {theirs:a: c}"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	if _, content, err := GivenConfiguration(h, "prod", nil); err != nil || len(content) == 0 {
		t.Errorf("a configured stack: %q, %v", content, err)
	}
	if _, _, err := GivenConfiguration(h, "dev", nil); err == nil || !strings.Contains(err.Error(), "prod") {
		t.Errorf("a stack without one beside one with: %v", err)
	}
}
