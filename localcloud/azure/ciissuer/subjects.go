package ciissuer

import (
	"fmt"
	"hash/fnv"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	githubURL = "https://token.actions.githubusercontent.com"
	gitlabURL = "https://gitlab.com"
	pulumiURL = "https://api.pulumi.com/oidc"
)

// number returns an id for a name. It depends only on the name.
func number(name string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	return strconv.Itoa(int(h.Sum32()%900_000_000) + 100_000_000)
}

// commit is the commit in all tokens.
const commit = "714a629c0b401fdce83e847fc9589983fc6f46bc"

// refName matches the names of branches and tags. It checks the main rules of git-check-ref-format: names have no
// colons or wildcards.
var refName = regexp.MustCompile(`^[^\s~^:?*\[\\/.][^\s~^:?*\[\\]*$`)

// githubSubject matches GitHub's subjects, except those of repositories with their own template. Repositories that were
// created or renamed after 2026-07-15 or that opted in have the ids of owner and repository in their subjects
// (https://docs.github.com/actions/reference/security/oidc).
var githubSubject = regexp.MustCompile(
	`^repo:([A-Za-z0-9][A-Za-z0-9_-]{0,38})(@[0-9]+)?/([A-Za-z0-9._-]{1,100})(@[0-9]+)?:` +
		`(?:environment:([^:]{1,255})|ref:(refs/(heads|tags)/([^:]+))|(pull_request))$`,
)

func githubClaims(subject string) (derived, free map[string]any, err error) {
	m := githubSubject.FindStringSubmatch(subject)
	if m == nil || (m[2] == "") != (m[4] == "") || m[8] != "" && !refName.MatchString(m[8]) {
		return nil, nil, fmt.Errorf("GitHub issues no token with the subject %q: it must be repo:OWNER/REPOSITORY or, for "+
			"newer repositories, repo:OWNER@ID/REPOSITORY@ID, followed by :environment:NAME, :ref:refs/heads/BRANCH, "+
			":ref:refs/tags/TAG or :pull_request. Write a colon in a name as %%3A. Templates of repositories are not "+
			"implemented here", subject)
	}
	owner, repository := m[1], m[1]+"/"+m[3]
	ownerID, repositoryID := strings.TrimPrefix(m[2], "@"), strings.TrimPrefix(m[4], "@")
	if ownerID == "" {
		ownerID, repositoryID = number(owner), number(repository)
	}
	derived = map[string]any{
		"repository": repository, "repository_owner": owner, "repository_id": repositoryID, "repository_owner_id": ownerID,
	}
	free = map[string]any{
		"actor":                 owner,
		"actor_id":              number(owner),
		"base_ref":              "",
		"head_ref":              "",
		"event_name":            "push",
		"ref_protected":         "false",
		"repository_visibility": "private",
		"run_id":                "1",
		"run_number":            "1",
		"run_attempt":           "1",
		"runner_environment":    "github-hosted",
		"sha":                   commit,
		"workflow":              "deploy",
		"workflow_sha":          commit,
		"job_workflow_sha":      commit,
	}
	ref := "refs/heads/main"
	switch {
	case m[5] != "":
		derived["environment"] = strings.ReplaceAll(m[5], "%3A", ":")
		free["ref"], free["ref_type"] = ref, "branch"
	case m[9] != "":
		ref = "refs/pull/1/merge"
		derived["event_name"], derived["ref_type"] = "pull_request", "branch"
		delete(free, "event_name")
		free["ref"], free["base_ref"], free["head_ref"] = ref, "main", "change"
	default:
		ref = m[6]
		derived["ref"] = ref
		derived["ref_type"] = map[string]string{"heads": "branch", "tags": "tag"}[m[7]]
	}
	workflow := repository + "/.github/workflows/deploy.yml@" + ref
	free["workflow_ref"], free["job_workflow_ref"] = workflow, workflow
	return derived, free, nil
}

// gitlabSubject matches GitLab's subjects, except those of projects with other components
// (https://docs.gitlab.com/ci/secrets/id_token_authentication/). The subject of a merge request's pipeline has the
// source branch, and the path of the fork if the branch is in one.
var gitlabSubject = regexp.MustCompile(
	`^project_path:([A-Za-z0-9_.][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_.][A-Za-z0-9_.-]*)+):ref_type:(branch|tag):ref:(.+)$`,
)

func gitlabClaims(subject string) (derived, free map[string]any, err error) {
	m := gitlabSubject.FindStringSubmatch(subject)
	if m == nil || !refName.MatchString(m[3]) {
		return nil, nil, fmt.Errorf("GitLab issues no token with the subject %q: it must be "+
			"project_path:GROUP/PROJECT:ref_type:branch:ref:BRANCH or project_path:GROUP/PROJECT:ref_type:tag:ref:TAG. "+
			"Other components of subjects are not implemented here", subject)
	}
	project, kind, ref := m[1], m[2], m[3]
	namespace := project[:strings.LastIndex(project, "/")]
	path := map[string]string{"branch": "refs/heads/", "tag": "refs/tags/"}[kind] + ref
	derived = map[string]any{
		"project_path":   project,
		"project_id":     number(project),
		"namespace_path": namespace,
		"namespace_id":   number(namespace),
		"ref":            ref,
		"ref_type":       kind,
		"ref_path":       path,
	}
	user := "deployer"
	return derived, map[string]any{
		"user_id":            number(user),
		"user_login":         user,
		"user_email":         user + "@example.com",
		"user_access_level":  "developer",
		"pipeline_id":        "1",
		"pipeline_source":    "push",
		"job_id":             "1",
		"ref_protected":      strconv.FormatBool(ref == "main"),
		"runner_id":          1,
		"runner_environment": "gitlab-hosted",
		"sha":                commit,
		"project_visibility": "private",
		"ci_config_ref_uri":  "gitlab.com/" + project + "//.gitlab-ci.yml@" + path,
		"ci_config_sha":      commit,
	}, nil
}

// The subjects of Pulumi Deployments (https://www.pulumi.com/docs/deployments/guides/oidc/), and of azure-login in
// Pulumi ESC without and with subjectAttributes (https://www.pulumi.com/docs/esc/guides/configuring-oidc/). The name of
// an environment that a stack's configuration imports is <yaml>.
var (
	pulumiDeploy = regexp.MustCompile(
		`^pulumi:deploy:org:([^:/\s]+):project:([^:/\s]+):stack:([^:/\s]+)` +
			`:operation:(preview|update|refresh|destroy):scope:write$`,
	)
	pulumiESC   = regexp.MustCompile(`^pulumi:environments:org:([^:/\s]+):env:((?:[^:/\s]+/)?[^:/\s]+)$`)
	pulumiESCBy = regexp.MustCompile(
		`^pulumi:environments:pulumi\.organization\.login:([^:/\s]+)((?::(?:rootEnvironment\.name|currentEnvironment\.name|` +
			`pulumi\.user\.login|pulumi\.organization\.login):[^:\s]+)+)$`,
	)
)

func pulumiClaims(subject string) (derived, free map[string]any, err error) {
	if m := pulumiDeploy.FindStringSubmatch(subject); m != nil {
		return map[string]any{
			"org":       m[1],
			"project":   m[2],
			"stack":     m[3],
			"operation": m[4],
			"scope":     "write",
			"stackId":   strings.Join(m[1:4], "/"),
		}, map[string]any{"deployment": "1"}, nil
	}
	attributes := map[string]any{"current_env": "<yaml>", "root_env": "<yaml>", "trigger_user": "deployer"}
	if m := pulumiESC.FindStringSubmatch(subject); m != nil {
		delete(attributes, "current_env")
		return map[string]any{"org": m[1], "current_env": m[2]}, attributes, nil
	}
	if m := pulumiESCBy.FindStringSubmatch(subject); m != nil {
		derived = map[string]any{"org": m[1]}
		parts := strings.Split(m[2][1:], ":")
		for pair := range slices.Chunk(parts, 2) {
			name, ok := map[string]string{
				"rootEnvironment.name": "root_env", "currentEnvironment.name": "current_env", "pulumi.user.login": "trigger_user",
				"pulumi.organization.login": "org",
			}[pair[0]]
			if ok {
				derived[name] = pair[1]
			}
		}
		maps.DeleteFunc(attributes, func(name string, _ any) bool { _, ok := derived[name]; return ok })
		return derived, attributes, nil
	}
	//nolint:staticcheck // the message starts with a name
	return nil, nil, fmt.Errorf("Pulumi Cloud issues no token with the subject %q: it must be "+
		"pulumi:deploy:org:ORG:project:PROJECT:stack:STACK:operation:OPERATION:scope:write with the operation preview, "+
		"update, refresh or destroy, pulumi:environments:org:ORG:env:PROJECT/ENVIRONMENT, or "+
		"pulumi:environments:pulumi.organization.login:ORG followed by attributes", subject)
}

// pulumiAudience returns the only audience of Pulumi's tokens for Azure: the organization, with the prefix azure: in
// ESC. Environments without a project, which are in the project default, have no prefix
// (https://www.pulumi.com/docs/esc/guides/configuring-oidc/azure/).
func pulumiAudience(derived map[string]any) (string, bool) {
	org, _ := derived["org"].(string)
	environment, _ := derived["current_env"].(string)
	_, deployment := derived["operation"]
	noProject := environment != "" && environment != "<yaml>" && !strings.Contains(environment, "/")
	if deployment || noProject {
		return org, true
	}
	return "azure:" + org, true
}
