package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// policyPack is the folder from which the engine builds the pack.
var policyPack = filepath.Join(checkout, "policy")

// violation is a policy violation that the engine reports.
type violation struct{ PolicyName, EnforcementLevel, ResourceURN, Message string }

// previewWithPolicies previews a program with the policy pack. It returns the violations, and an error if the preview
// fails.
func (p *program) previewWithPolicies(t *testing.T, args ...string) (found []violation, err error) {
	t.Helper()
	p.besides = append(p.besides, "PULUMI_ENABLE_STREAMING_JSON_PREVIEW=true")
	out, err := p.tryPulumi(t, append([]string{"preview", "--json", "--policy-pack", policyPack}, args...)...)
	judged, messages := false, ""
	for line := range strings.Lines(out) {
		var event struct {
			PolicyEvent     *violation
			SummaryEvent    *struct{ PolicyPacks map[string]string }
			DiagnosticEvent struct{ Message, Severity string }
		}
		if json.Unmarshal([]byte(line), &event) != nil {
			continue
		}
		if event.PolicyEvent != nil {
			found = append(found, *event.PolicyEvent)
		}
		if e := event.DiagnosticEvent; strings.HasPrefix(e.Severity, "error") || strings.HasPrefix(e.Severity, "info") {
			messages += e.Message
		}
		judged = judged || event.SummaryEvent != nil && len(event.SummaryEvent.PolicyPacks) == 1
	}
	if !judged {
		t.Fatalf("the preview did not run the policy pack: %v\n%s", err, lastOf(out, 4000))
	}
	if err != nil {
		err = fmt.Errorf("the preview fails: %s", messages)
	}
	return found, err
}

// wantNoViolations checks that a program has no mandatory violations. Its stack is not production, so some rules are
// advisory.
func (p *program) wantNoViolations(t *testing.T) {
	t.Helper()
	found, err := p.previewWithPolicies(t)
	if err != nil {
		t.Error(err)
	}
	for _, v := range found {
		if v.EnforcementLevel != "advisory" {
			t.Errorf("violation %+v", v)
		}
	}
}

func policies(found []violation) (names []string) {
	for _, v := range found {
		names = append(names, v.PolicyName)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// inStack returns the program of the checkout in one of its stacks.
func inStack(c *cloud, name string) *program {
	return &program{cloud: c, dir: c.built, besides: []string{
		"PULUMI_STACK=" + name, "PULUMI_OPTION_CONFIG_FILE=" + filepath.Join(c.built, "Pulumi."+name+".yaml"),
	}}
}

// TestPolicy_HoldsForBothStacks checks that prod keeps every rule, and dev all but those for production, before up and
// after.
func TestPolicy_HoldsForBothStacks(t *testing.T) {
	t.Parallel()
	for _, stack := range []string{"dev", "prod"} {
		t.Run(stack, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			c.start(t)
			p := inStack(c, stack)
			p.pulumi(t, "stack", "init", stack)
			fit := func(when string) {
				found, err := p.previewWithPolicies(t)
				if err != nil {
					t.Errorf("%s: %v", when, err)
				}
				for _, v := range found {
					if stack == "prod" || v.EnforcementLevel != "advisory" {
						t.Errorf("%s up: violation %+v", when, v)
					}
				}
				if stack == "dev" && !slices.Contains(policies(found), "cluster-sla") {
					t.Errorf("%s up: the violations are %q, want cluster-sla among them", when, policies(found))
				}
			}
			fit("before")
			p.pulumi(t, "up", "--yes", "--skip-preview", "--policy-pack", policyPack)
			fit("after")
			if stack != "prod" {
				return
			}
			found, err := p.previewWithPolicies(t, "--config", "keyvault-aks:clusterTier=Free")
			if err == nil || len(found) != 1 || found[0].PolicyName != "cluster-sla" ||
				found[0].EnforcementLevel != "mandatory" {
				t.Errorf("prod without an SLA: got %+v, %v, want a mandatory violation of cluster-sla", found, err)
			}
		})
	}
}

// listedRules returns the ids of the rules in the pack's README, which a test of the pack compares with the pack.
func listedRules(t *testing.T) (ids []string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(policyPack, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([-a-z]+)` \\|").FindAllStringSubmatch(string(content), -1) {
		ids = append(ids, row[1])
	}
	slices.Sort(ids)
	return ids
}

// TestPolicy_FindsEveryMistake checks that the engine finds each violation of a program that breaks every rule, as
// production and otherwise.
func TestPolicy_FindsEveryMistake(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.start(t)
	p := newProgram(t, c, "tests/programs/rules", map[string]string{"keyvault-aks-policy:production": "true"})
	found, err := p.previewWithPolicies(t)
	if err == nil {
		t.Error("the preview succeeds in spite of mandatory violations")
	}
	elsewhere := []string{"vault-throw-away"}
	want := slices.DeleteFunc(listedRules(t), func(id string) bool { return slices.Contains(elsewhere, id) })
	if got := policies(found); len(want) < 50 || !slices.Equal(got, want) {
		t.Errorf("the violated policies are\n%q, want\n%q", got, want)
	}
	for _, v := range found {
		if v.EnforcementLevel != "mandatory" || strings.Contains(v.Message, "hunter2") {
			t.Errorf("violation %+v is not mandatory, or has a secret in its message", v)
		}
	}

	t.Run("exemptions", func(t *testing.T) { p.wantExemptions(t) })
	t.Run("levels", func(t *testing.T) {
		advisory := p.packConfig(t, `{"all": "advisory"}`)
		if found, err := p.previewWithPolicies(t, "--policy-pack-config", advisory); err != nil || len(found) == 0 {
			t.Errorf("with all policies advisory: got %d violations and %v, want some and no error", len(found), err)
		}
		found, err := p.previewWithPolicies(t, "--policy-pack-config",
			p.packConfig(t, `{"all": "disabled", "secret-in-plain": {"enforcementLevel": "mandatory"}}`))
		if err == nil || !slices.Equal(policies(found), []string{"secret-in-plain"}) {
			t.Errorf("with one policy enabled: violated are %q: %v, want secret-in-plain and an error", policies(found), err)
		}
	})
	t.Run("elsewhere", func(t *testing.T) {
		p.configure(t, map[string]string{"keyvault-aks-policy:production": "false"})
		found, err := p.previewWithPolicies(t)
		levels := map[string]string{}
		for _, v := range found {
			levels[v.PolicyName] = v.EnforcementLevel
		}
		if err == nil || levels["secret-in-plain"] != "mandatory" || levels["vault-firewall"] != "advisory" {
			t.Errorf("secret-in-plain is %q and vault-firewall %q, want mandatory and advisory, and an error: %v",
				levels["secret-in-plain"], levels["vault-firewall"], err)
		}
		for _, id := range elsewhere {
			if levels[id] != "advisory" {
				t.Errorf("%s is %q, want advisory", id, levels[id])
			}
		}
	})
	t.Run("up", func(t *testing.T) {
		if _, err := p.tryPulumi(t, "up", "--yes", "--skip-preview", "--policy-pack", policyPack); err == nil {
			t.Error("up succeeds in spite of mandatory violations")
		}
		for urn := range p.resources(t) {
			if strings.Contains(urn, ":keyvault") {
				t.Errorf("up created %s", urn)
			}
		}
	})
}

// packConfig writes a configuration of the pack to a file.
func (p *program) packConfig(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// wantExemptions exempts a resource from a rule about the resource and from one about the stack. An exemption that has
// ended has no effect and is a violation itself. One without a reason is an error.
func (p *program) wantExemptions(t *testing.T) {
	about := func(found []violation, policy, name string) bool {
		return slices.ContainsFunc(found, func(v violation) bool {
			return v.PolicyName == policy && strings.HasSuffix(v.ResourceURN, "::"+name)
		})
	}
	found, err := p.previewWithPolicies(t, "--policy-pack-config", p.packConfig(t, `{"exemptions": {"list": [
		{"rule": "vault-firewall", "resource": "open", "reason": "is read from anywhere", "until": "2999-12-31"},
		{"rule": "vault-logs", "resource": "urn:pulumi:*::open", "reason": "another stack logs", "until": "2999-12-31"},
		{"rule": "vault-rbac", "resource": "open", "reason": "was so", "until": "2020-12-31"}
	]}}`))
	if err == nil {
		t.Error("the preview succeeds in spite of mandatory violations")
	}
	for _, rule := range []string{"vault-firewall", "vault-logs"} {
		if about(found, rule, "open") || !about(found, rule, "kept") {
			t.Errorf("%s is violated by the exempt resource, or not by the other", rule)
		}
	}
	if !about(found, "vault-rbac", "open") || !slices.Contains(policies(found), "exemptions") {
		t.Errorf("with an exemption that ended, violated are %q; want vault-rbac and exemptions", policies(found))
	}
	if printed := p.printed.String(); !containsAll(printed, "is read from anywhere", "another stack logs") {
		t.Error("the preview does not print the reasons of exemptions")
	}
	_, err = p.tryPulumi(t, "preview", "--policy-pack", policyPack, "--policy-pack-config",
		p.packConfig(t, `{"exemptions": {"list": [{"rule": "vault-rbac", "resource": "open", "until": "2999-12-31"}]}}`))
	if err == nil || !strings.Contains(err.Error(), "reason") {
		t.Errorf("exemption without a reason: got %v, want an error", err)
	}
}

// TestPolicy_HoldsForExamples checks that no example has a mandatory violation.
func TestPolicy_HoldsForExamples(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--node=stand-in")
	c.installPackage(t)
	first := c.outputs(t)
	existing := appIn(first)
	tenant := c.running(t).Credentials.TenantID
	for name, configuration := range map[string]map[string]string{
		"go-app":      existing,
		"go-platform": {"tenantId": tenant},
		"rotation":    {"clusterId": first.ClusterID, "resourceGroupName": "keyvault-demo"},
		"ingress-tls": {
			"vaultId": first.VaultID, "clusterId": first.ClusterID, "resourceGroupName": "keyvault-demo",
			"host": "web.example",
		},
	} {
		t.Run(name, func(t *testing.T) {
			newProgram(t, c, filepath.Join("examples", name), configuration).wantNoViolations(t)
		})
	}
	t.Run("yaml-app", func(t *testing.T) { newExample(t, c, "yaml-app", existing).wantNoViolations(t) })
	t.Run("yaml-guide", func(t *testing.T) {
		newExample(t, c, "yaml-guide", map[string]string{"location": "westeurope"}).wantNoViolations(t)
	})
	t.Run("typescript-app", func(t *testing.T) {
		needsNPM(t)
		p := newExample(t, c, "typescript-app", existing)
		p.getPackages(t)
		p.wantNoViolations(t)
	})
}
