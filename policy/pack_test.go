package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/property"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/policyx"

	"github.com/keyvault-aks/keyvault-aks/policy/rules"
)

var updateReadme = flag.Bool("update", false, "update the table of rules in README.md")

func TestProduction_FollowsConfigurationOrName(t *testing.T) {
	none := func(string) (string, bool) { return "", false }
	for stack, want := range map[string]bool{
		"prod": true, "Production": true, "eu-prod": true, "prod.eu": true, "shop_prd": true, "live": true,
		"dev": false, "test": false, "preprod": false, "product": false, "staging": false, "delivery": false,
	} {
		if got, err := production(stack, none); err != nil || got != want {
			t.Errorf("%s: %v %v, want %v", stack, got, err, want)
		}
	}
	for said, want := range map[string]bool{"true": true, "false": false} {
		config := func(key string) (string, bool) { return said, key == "keyvault-aks-policy:production" }
		for _, stack := range []string{"dev", "prod"} {
			if got, err := production(stack, config); err != nil || got != want {
				t.Errorf("%s that says %s: %v %v", stack, said, got, err)
			}
		}
	}
	if _, err := production("dev", func(string) (string, bool) { return "yes", true }); err == nil {
		t.Error("yes is taken")
	}
}

// TestPack_HasReleaseVersion checks for the version of the release that contains the pack.
func TestPack_HasReleaseVersion(t *testing.T) {
	version, err := os.ReadFile("../provider/VERSION")
	if err != nil {
		t.Fatal(err)
	}
	if got := newTestPack(t, true, nil).Version().String(); got != strings.TrimSpace(string(version)) {
		t.Errorf("the pack is %s, provider/VERSION %s", got, version)
	}
}

func TestPack_SetsEnforcementLevels(t *testing.T) {
	const (
		advisory, mandatory = policyx.EnforcementLevelAdvisory, policyx.EnforcementLevelMandatory
		disabled            = policyx.EnforcementLevelDisabled
	)
	for policy, want := range map[string][2]policyx.EnforcementLevel{ // in production, and elsewhere
		"exemptions":       {mandatory, mandatory},
		"secret-in-plain":  {mandatory, mandatory},
		"role-too-wide":    {mandatory, mandatory},
		"vault-firewall":   {mandatory, advisory},
		"vault-throw-away": {disabled, advisory},
	} {
		for i, production := range []bool{true, false} {
			if got := policyOf(t, newTestPack(t, production, nil), policy).EnforcementLevel(); got != want[i] {
				t.Errorf("%s, production %v: %v, want %v", policy, production, got, want[i])
			}
		}
	}
}

const today = "2026-11-28"

func newTestPack(t *testing.T, production bool, say func(string) error) policyx.PolicyPack {
	t.Helper()
	now, err := time.Parse(time.DateOnly, today)
	if err != nil {
		t.Fatal(err)
	}
	pack, err := newPack(production, now, say)
	if err != nil {
		t.Fatal(err)
	}
	return pack
}

func policyOf(t *testing.T, pack policyx.PolicyPack, name string) policyx.Policy {
	t.Helper()
	for _, one := range pack.Policies() {
		if one.Name() == name {
			return one
		}
	}
	t.Fatalf("there is no policy %s", name)
	return nil
}

// told is what policies report, and what the pack logs.
type told struct{ violations, said []string }

func (t *told) ReportViolation(message, urn string) {
	t.violations = append(t.violations, strings.TrimSpace(urn+" "+message))
}

// vault returns a vault without safeguards.
func vault(name string) policyx.AnalyzerResource {
	const typ = "azure-native:keyvault:Vault"
	return policyx.AnalyzerResource{
		Type: typ, Name: name, URN: "urn:pulumi:prod::project::" + typ + "::" + name,
		Properties: property.NewMap(map[string]property.Value{"vaultName": property.New(name)}),
	}
}

// check calls the pack like the engine, which passes each policy its configuration: for one resource after another, and
// then for all of them.
func (told *told) check(t *testing.T, list []any, resources ...policyx.AnalyzerResource) error {
	t.Helper()
	pack := newTestPack(t, true, func(message string) error { told.said = append(told.said, message); return nil })
	var errs []error
	for _, one := range resources {
		for _, policy := range pack.Policies() {
			if policy, ok := policy.(policyx.ResourceValidationPolicy); ok {
				args := policyx.ResourceValidationArgs{Manager: told, Resource: one}
				if policy.Name() == "exemptions" && list != nil {
					args.Config = map[string]any{"list": list}
				}
				errs = append(errs, policy.Validate(context.Background(), args))
			}
		}
	}
	for i := range resources { // by their outputs, which have no inputs in them
		resources[i].Properties = property.Map{}
	}
	for _, policy := range pack.Policies() {
		if policy, ok := policy.(policyx.StackValidationPolicy); ok {
			errs = append(errs,
				policy.Validate(context.Background(), policyx.StackValidationArgs{Manager: told, Resources: resources}))
		}
	}
	return errors.Join(errs...)
}

func (told *told) has(text ...string) bool {
	return slices.ContainsFunc(told.violations, func(one string) bool {
		return !slices.ContainsFunc(text, func(part string) bool { return !strings.Contains(one, part) })
	})
}

func TestPack_ExemptsForATime(t *testing.T) {
	exemption := func(rule, resource, reason, until string) map[string]any {
		return map[string]any{"rule": rule, "resource": resource, "reason": reason, "until": until}
	}
	var told told
	err := told.check(t, []any{
		exemption("vault-firewall", "open", "a partner has no fixed address", today),
		exemption("vault-logs", "open", "the platform's policy sets it", "2027-01-31"), // a rule of the whole stack
		exemption("vault-rbac", "open", "it was so last year", "2026-11-27"),
		exemption("vault-public-access", "open", "", "2027-01-31"),
	}, vault("open"), vault("other"))
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range []string{"networkAcls.defaultAction", "AuditEvent"} {
		if told.has("::open ", rule) {
			t.Errorf("what is exempt is reported: %s", rule)
		}
		if !told.has("::other ", rule) {
			t.Errorf("what is not exempt is not reported: %s", rule)
		}
	}
	for _, text := range [][]string{
		{"::open ", "enableRbacAuthorization"}, {"list[2]", "vault-rbac", "2026-11-27"},
		{"::open ", "publicNetworkAccess"}, {"list[3]", "reason"},
	} {
		if !told.has(text...) {
			t.Errorf("%q is not reported", text)
		}
	}
	n := len(slices.DeleteFunc(slices.Clone(told.violations),
		func(one string) bool { return !strings.HasPrefix(one, "list[") }))
	if n != 2 {
		t.Errorf("%d exemptions are reported, want each of the 2 wrong ones once", n)
	}
	for _, reason := range []string{"no fixed address", "platform's policy"} {
		if !slices.ContainsFunc(told.said, func(one string) bool { return strings.Contains(one, reason) }) {
			t.Errorf("nobody says that something is exempt since %s: %q", reason, told.said)
		}
	}
}

func TestPack_RejectsInvalidExemptions(t *testing.T) {
	for _, one := range []any{"vault", map[string]any{"policy": "vault-firewall"}, map[string]any{"rule": 1}} {
		if err := new(told).check(t, []any{one}, vault("open")); err == nil {
			t.Errorf("%v is taken", one)
		}
	}
}

// TestReadme_ListsEveryRule checks the table, which is generated from the rules.
func TestReadme_ListsEveryRule(t *testing.T) {
	const begin, end = "<!-- rules: go test ./policy -update -->\n", "<!-- end of rules -->"
	content, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(content), begin)
	_, after, ends := strings.Cut(rest, end)
	if !ok || !ends {
		t.Fatal("README.md has no table of rules")
	}
	var table strings.Builder
	table.WriteString("| rule | level | what it asks for | the same in Checkov and PSRule |\n|---|---|---|---|\n")
	levels := map[rules.When]string{
		rules.Always:     "mandatory",
		rules.Production: "production",
		rules.Elsewhere:  "advisory, not in production",
	}
	for _, rule := range rules.All() {
		fmt.Fprintf(&table, "| `%s` | %s | %s. %s. | %s |\n", rule.ID, levels[rule.When], rule.Title, rule.Remedy,
			strings.Join(rule.Also, ", "))
	}
	want := before + begin + table.String() + end + after
	if *updateReadme {
		if err := os.WriteFile("README.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(content) {
		t.Error("README.md has other rules; go test ./policy -update writes it")
	}
}
