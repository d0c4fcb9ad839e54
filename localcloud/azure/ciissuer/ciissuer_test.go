package ciissuer

import (
	"strings"
	"testing"
)

func TestAsk_RefusesInvalidSubjects(t *testing.T) {
	for ci, subjects := range map[string][]string{
		"github": {
			"",
			"octo-org/octo-repo",
			"repo:octo-org:environment:prod",
			"repo:octo-org/octo-repo",
			"repo:octo-org/octo-repo:",
			"repo:octo-org/octo-repo:environment:",
			"repo:octo-org/octo-repo:environment:a:b",
			"repo:octo-org/octo-repo:ref:main",
			"repo:octo-org/octo-repo:ref:refs/heads/",
			"repo:octo-org/octo-repo:ref:refs/heads/*",
			"repo:octo-org/octo-repo:ref:refs/heads/release branch",
			"repo:octo-org/octo-repo:ref:refs/pull/1/merge",
			"repo:octo-org/octo-repo:pull_request:x",
			"repo:octo-org/*:pull_request",
			"repo:octo-org@1/octo-repo:pull_request",
			"repo:octo-org/octo-repo@2:pull_request",
			"repo:octo-org@a/octo-repo@2:pull_request",
			"repo:-o/r:pull_request",
			"Repo:octo-org/octo-repo:pull_request",
			"repo:octo-org/octo-repo:pull_request\n",
			"project_path:g/p:ref_type:branch:ref:main",
		},
		"gitlab": {
			"",
			"project_path:p:ref_type:branch:ref:main",
			"project_path:g/p:ref_type:branch:ref:",
			"project_path:g/p:ref_type:branch:ref:*",
			"project_path:g/*:ref_type:branch:ref:main",
			"project_path:g/p:ref_type:mr:ref:main",
			"project_path:g/p:ref:main",
			"repo:o/r:pull_request",
			"project_path:g/p:ref_type:branch:ref:a b",
		},
		"pulumi": {
			"",
			"pulumi:deploy:org:o:project:p:stack:s:operation:up:scope:write",
			"pulumi:deploy:org:o:project:p:stack:s:operation:update:scope:read",
			"pulumi:deploy:org:o:project:p:stack:s",
			"pulumi:deploy:org:o:project:p:stack:o/p/s:operation:update:scope:write",
			"pulumi:environments:org:o:env:",
			"pulumi:environments:org:o:env:a/b/c",
			"pulumi:environments:pulumi.organization.login:o",
			"pulumi:environments:pulumi.organization.login:o:token.name:x",
		},
		"travis": {"repo:o/r:pull_request"},
	} {
		for _, subject := range subjects {
			if _, _, err := (Ask{CI: ci, Subject: subject}).claims(); err == nil {
				t.Errorf("%s issues a token for %q", ci, subject)
			}
		}
	}
}

func TestAsk_SetsOnlyFreeClaims(t *testing.T) {
	const prod = "repo:octo-org/octo-repo:environment:prod"
	for _, test := range []struct {
		subject, claim string
		allowed        bool
	}{
		{prod, "actor", true},
		{prod, "ref", true},
		{prod, "repo_property_team", true},
		{prod, "environment", false},
		{prod, "repository", false},
		{prod, "sub", false},
		{prod, "iss", false},
		{prod, "aud", false},
		{prod, "exp", false},
		{prod, "nobody-knows", false},
		{"repo:o/r:ref:refs/heads/main", "ref", false},
		{"repo:o/r:pull_request", "event_name", false},
	} {
		_, claims, err := Ask{CI: "github", Subject: test.subject, Claims: map[string]string{test.claim: "chosen"}}.claims()
		if (err == nil) != test.allowed || test.allowed && claims[test.claim] != "chosen" {
			t.Errorf("%s of %s: %v, %v", test.claim, test.subject, claims[test.claim], err)
		}
	}
}

func TestAsk_AudienceOfPulumiIsFixed(t *testing.T) {
	const subject = "pulumi:environments:org:contoso:env:core/prod"
	_, _, err := Ask{CI: "pulumi", Subject: subject, Audience: azureAudience}.claims()
	if err == nil || !strings.Contains(err.Error(), "azure:contoso") {
		t.Errorf("Pulumi issues a token with another audience: %v", err)
	}
	if _, _, err := (Ask{CI: "pulumi", Subject: subject, Audience: "azure:contoso"}).claims(); err != nil {
		t.Error(err)
	}
}
