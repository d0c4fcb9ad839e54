package kube

import (
	"testing"

	"sigs.k8s.io/yaml"
)

// TestAuditPolicy_RecordsNoBodies makes sure that no rule records requests or answers, which hold tokens.
func TestAuditPolicy_RecordsNoBodies(t *testing.T) {
	var policy struct{ Rules []struct{ Level string } }
	if err := yaml.Unmarshal([]byte(auditPolicy), &policy); err != nil {
		t.Fatal(err)
	}
	if len(policy.Rules) == 0 {
		t.Error("the policy has no rules")
	}
	for i, rule := range policy.Rules {
		if rule.Level != "Metadata" && rule.Level != "None" {
			t.Errorf("rule %d has the level %s", i, rule.Level)
		}
	}
}
