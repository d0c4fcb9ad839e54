package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/keyvault-aks/keyvault-aks/policy/rules"
)

// TestProductionPage_HasEveryRule compares docs/production.md with the rules: its ids, those of Checkov and PSRule
// beside them, and the keys that set them, which must be in Pulumi.prod.yaml.
func TestProductionPage_HasEveryRule(t *testing.T) {
	page := readText(t, "../docs/production.md")
	var prod struct{ Config map[string]any }
	if err := yaml.Unmarshal([]byte(readText(t, "../Pulumi.prod.yaml")), &prod); err != nil {
		t.Fatal(err)
	}
	key := regexp.MustCompile("`([a-zA-Z]+)[^`]*`")
	listed := map[string]bool{}
	also := map[string]string{}
	_, tables, _ := strings.Cut(page, "\n## Rules\n")
	tables, _, _ = strings.Cut(tables, "\n## ")
	for line := range strings.Lines(tables) {
		if !strings.HasPrefix(strings.TrimPrefix(line, "| "), "`") { // not a row, nor the sentence on vault-throw-away
			continue
		}
		cells := strings.Split(strings.TrimSpace(line), " | ")
		ids := regexp.MustCompile("`([a-z]+(?:-[a-z]+)*)`").FindAllStringSubmatch(cells[0], -1)
		for _, id := range ids {
			if listed[id[1]] {
				t.Errorf("the page has %s twice", id[1])
			}
			listed[id[1]] = true
		}
		if len(cells) < 3 || len(ids) != 1 {
			continue
		}
		also[ids[0][1]] = strings.Trim(strings.Join(cells[3:], ""), "| ")
		set := strings.TrimSuffix(cells[2], " |")
		if strings.HasPrefix(set, "the component") || strings.HasPrefix(set, "no ") {
			continue
		}
		for _, name := range key.FindAllStringSubmatch(set, -1) {
			if _, ok := prod.Config["keyvault-aks:"+name[1]]; !ok {
				t.Errorf("%s: Pulumi.prod.yaml does not set %s", ids[0][1], name[1])
			}
		}
	}
	for _, rule := range rules.All() {
		switch {
		case !listed[rule.ID]:
			t.Errorf("the page lacks the rule %s", rule.ID)
		case rule.When == rules.Production && also[rule.ID] != strings.Join(rule.Also, ", "):
			t.Errorf("%s: the page has %q, the rule %q", rule.ID, also[rule.ID], rule.Also)
		}
		delete(listed, rule.ID)
	}
	for id := range listed {
		t.Errorf("the page has %s, which is no rule", id)
	}
}

func readText(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
