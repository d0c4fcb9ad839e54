package main

import (
	"fmt"
	"regexp"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/infra"
)

// config is the stack's configuration. Pulumi.yaml describes every key and holds its default.
type config struct {
	Organization       string        `pulumi:"organization"`
	Project            string        `pulumi:"project"`
	Repository         string        `pulumi:"repository"`
	EnvironmentProject string        `pulumi:"environmentProject"`
	TenantID           string        `pulumi:"tenantId"`
	SubscriptionID     string        `pulumi:"subscriptionId"`
	Stacks             []stackConfig `pulumi:"stacks"`
}

// stackConfig says how one stack is deployed.
type stackConfig struct {
	Name          string `pulumi:"name"`
	ClientID      string `pulumi:"clientId"`
	Branch        string `pulumi:"branch"`
	Commit        string `pulumi:"commit"`
	DeployCommits bool   `pulumi:"deployCommits"`
	Drift         string `pulumi:"drift"`
	Rotation      string `pulumi:"rotation"`
}

func loadConfig(ctx *pulumi.Context, values map[string]string) (*config, error) {
	cfg := &config{}
	return cfg, infra.Decode(ctx, values, cfg, cfg.validate)
}

// rule is a pattern that a value must match, with its description.
type rule struct {
	pattern *regexp.Regexp
	allowed string
}

var (
	// https://www.pulumi.com/docs/iac/concepts/projects/#project-name and stacks/#create-stack
	pulumiName = rule{regexp.MustCompile(`^[A-Za-z0-9_.-]{1,100}$`), "1-100 letters, digits, dashes, underscores and dots"}
	guid       = rule{regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`), "a GUID in lower case"}
	repository = rule{regexp.MustCompile(`^[A-Za-z0-9-]{1,39}/[A-Za-z0-9_.-]{1,100}$`), "owner/name of a repository"}
	branch     = rule{regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_./-]*$`), "the name of a branch, such as main"}
	commit     = rule{regexp.MustCompile(`^[0-9a-f]{40}$`), "40 hexadecimal digits"}
	cron       = rule{regexp.MustCompile(`^[0-9*/,-]+( [0-9A-Za-z*/,-]+){4}$`), "five fields of cron, such as 17 3 * * *"}
)

func (cfg *config) validate() []components.Violation {
	var found []components.Violation
	add := func(path, given, allowed string) {
		found = append(found, components.Violation{Path: path, Given: given, Allowed: allowed})
	}
	check := func(r rule, path, given string) {
		if !r.pattern.MatchString(given) {
			add(path, fmt.Sprintf("%q", given), r.allowed)
		}
	}
	check(pulumiName, "organization", cfg.Organization)
	check(pulumiName, "project", cfg.Project)
	check(repository, "repository", cfg.Repository)
	check(pulumiName, "environmentProject", cfg.EnvironmentProject)
	check(guid, "tenantId", cfg.TenantID)
	check(guid, "subscriptionId", cfg.SubscriptionID)
	if len(cfg.Stacks) == 0 {
		add("stacks", "none", "at least one")
	}
	seen := map[string]bool{}
	for i, stack := range cfg.Stacks {
		at := func(field string) string { return fmt.Sprintf("stacks[%d].%s", i, field) }
		check(pulumiName, at("name"), stack.Name)
		if seen[stack.Name] {
			add(at("name"), fmt.Sprintf("%q", stack.Name), "a name used once in the list")
		}
		seen[stack.Name] = true
		check(guid, at("clientId"), stack.ClientID)
		switch {
		case (stack.Branch == "") == (stack.Commit == ""):
			add(at("branch"), fmt.Sprintf("%q, and commit %q", stack.Branch, stack.Commit), "one of branch and commit")
		case stack.Branch != "":
			check(branch, at("branch"), stack.Branch)
		default:
			check(commit, at("commit"), stack.Commit)
		}
		if stack.DeployCommits && stack.Branch == "" {
			add(at("deployCommits"), "true", "true with a branch")
		}
		if stack.Drift != "" {
			check(cron, at("drift"), stack.Drift)
		}
		if stack.Rotation != "" {
			check(cron, at("rotation"), stack.Rotation)
		}
	}
	return found
}
