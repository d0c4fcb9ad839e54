package infra

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"gopkg.in/yaml.v3"
)

// TestPages_NameConfigurationKeys checks that the keys which the documentation sets are those of the projects.
func TestPages_NameConfigurationKeys(t *testing.T) {
	known := map[string]bool{}
	for _, file := range []string{"../Pulumi.yaml", "../deploy/bootstrap/Pulumi.yaml"} {
		var project struct {
			Name   string
			Config map[string]any
		}
		content, err := os.ReadFile(file)
		if err == nil {
			err = yaml.Unmarshal(content, &project)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for key := range project.Config {
			known[project.Name+":"+key] = true
		}
	}
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	pages = append(pages, "../docs/roles/README.md", "../deploy/bootstrap/README.md", "../policy/README.md")
	// A colon before it makes it a part of something else, such as the subject of a token.
	set := regexp.MustCompile(`(?:^|[^:\w-])(keyvault-aks(?:-bootstrap)?:[a-z][a-zA-Z]+)`)
	found := 0
	for _, page := range pages {
		content, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range set.FindAllStringSubmatch(string(content), -1) {
			found++
			if key := match[1]; !known[key] {
				t.Errorf("%s sets %s, which no project has", page, key)
			}
		}
	}
	if found < 20 {
		t.Errorf("the pages set %d keys", found)
	}
}
