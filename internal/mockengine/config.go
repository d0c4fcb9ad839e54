package mockengine

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// StackConfig returns the configuration that the CLI passes to the program: the defaults in Pulumi.yaml, overridden by
// Pulumi.<stack>.yaml. The empty stack has defaults only.
func StackConfig(t testing.TB, dir, stack string) map[string]string {
	t.Helper()
	if stack == "" {
		return Config(t, dir, "")
	}
	return Config(t, dir, "Pulumi."+stack+".yaml")
}

// Config returns the same with another file for the stack, or none.
func Config(t testing.TB, dir, file string) map[string]string {
	t.Helper()
	var project struct {
		Name   string
		Config map[string]struct{ Default any }
	}
	readYAML(t, filepath.Join(dir, "Pulumi.yaml"), &project)
	values := map[string]string{}
	for key, declared := range project.Config {
		values[project.Name+":"+key] = configText(t, declared.Default)
	}
	if file == "" {
		return values
	}
	var own struct{ Config map[string]any }
	readYAML(t, filepath.Join(dir, file), &own)
	for key, value := range own.Config {
		if !strings.Contains(key, ":") {
			t.Fatalf("%s has no namespace", key)
		}
		values[key] = configText(t, value)
	}
	return values
}

func readYAML(t testing.TB, file string, into any) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(content, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func configText(t testing.TB, value any) string {
	t.Helper()
	switch value.(type) {
	case string, int, bool:
		return fmt.Sprint(value)
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
