package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

// Issuers of the tokens that pipelines sign in with.
const (
	gitHubIssuer = "https://token.actions.githubusercontent.com"
	gitLabIssuer = "https://gitlab.com"
	pulumiIssuer = "https://api.pulumi.com/oidc"
)

// trust is one subject whose tokens an identity trusts. Entra ID compares issuer, subject and audience exactly, without
// wildcards, so each subject requires a credential of its own.
type trust struct {
	path                      string // in the configuration
	issuer, subject, audience string
	violations                violations
}

// gitHubTrust trusts jobs of a repository's workflows: https://docs.github.com/actions/reference/security/oidc
type gitHubTrust struct {
	Repository string `pulumi:"repository"`
	// OwnerID and RepositoryID are in the subjects of repositories with immutable subject claims: those created or renamed
	// on or after 15 July 2026
	// (https://github.blog/changelog/2026-04-23-immutable-subject-claims-for-github-actions-oidc-tokens/).
	OwnerID      int `pulumi:"ownerId"`
	RepositoryID int `pulumi:"repositoryId"`

	Environment  string `pulumi:"environment"`
	Branch       string `pulumi:"branch"`
	Tag          string `pulumi:"tag"`
	PullRequests bool   `pulumi:"pullRequests"`
}

// gitLabTrust trusts jobs of a project's pipelines on gitlab.com, with GitLab's default subject:
// https://docs.gitlab.com/ci/secrets/id_token_authentication/
type gitLabTrust struct {
	Project string `pulumi:"project"`
	Branch  string `pulumi:"branch"`
	Tag     string `pulumi:"tag"`
}

// pulumiTrust trusts an operation of Pulumi Deployments on a stack:
// https://www.pulumi.com/docs/deployments/guides/oidc/azure/
type pulumiTrust struct {
	Organization string    `pulumi:"organization"`
	Project      string    `pulumi:"project"`
	Stack        string    `pulumi:"stack"`
	Operation    operation `pulumi:"operation"`
}

// operation is an operation of Pulumi Deployments.
type operation string

// operations are those that an identity may be trusted with. Previews run the code of a pull request.
var operations = map[right][]operation{mayPreview: {"preview", "refresh"}, mayDeploy: {"update", "refresh", "destroy"}}

// escTrust trusts an environment of Pulumi ESC that signs in with azure-login and no subjectAttributes:
// https://www.pulumi.com/docs/esc/guides/configuring-oidc/azure/
type escTrust struct {
	Organization string `pulumi:"organization"`
	Project      string `pulumi:"project"`
	Environment  string `pulumi:"environment"`
}

// otherTrust trusts any subject of any issuer, as in the claims of its tokens.
type otherTrust struct {
	Issuer   string `pulumi:"issuer"`
	Subject  string `pulumi:"subject"`
	Audience string `pulumi:"audience"`
}

// trusts returns the subjects that the identity trusts. The audience is the one that pipelines request for their
// tokens.
func (one identityConfig) trusts(path, audience string) []trust {
	var list []trust
	add := func(key string, i int, fill func(t *trust)) {
		t := trust{path: fmt.Sprintf("%s.%s[%d]", path, key, i), audience: audience}
		fill(&t)
		list = append(list, t)
	}
	for i, given := range one.GitHub {
		add("github", i, func(t *trust) { given.into(t, one.May) })
	}
	for i, given := range one.GitLab {
		add("gitlab", i, func(t *trust) { given.into(t) })
	}
	for i, given := range one.Pulumi {
		add("pulumi", i, func(t *trust) { given.into(t, one.May) })
	}
	for i, given := range one.ESC {
		add("esc", i, func(t *trust) { given.into(t) })
	}
	for i, given := range one.Other {
		add("other", i, func(t *trust) { given.into(t, one.May) })
	}
	return list
}

var (
	repository = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}$`)
	// The name of an environment on GitHub may have any other characters.
	environment = regexp.MustCompile(
		"^[^*?\\[\\]'\"`\\\\\\s]([^*?\\[\\]'\"`\\\\\\t\\r\\n]{0,253}[^*?\\[\\]'\"`\\\\\\s])?$",
	)
	// https://git-scm.com/docs/git-check-ref-format
	gitRef        = regexp.MustCompile(`^[^\s~^:?*\[\\/-][^\s~^:?*\[\\]*$`)
	gitLabProject = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+$`)
	pulumiName    = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,100}$`)
	issuerURL     = regexp.MustCompile(`^https://[^\s*?#]{1,592}$`)
	plainSubject  = regexp.MustCompile(`^[^\s*]{1,600}$`)
	// Subjects of GitHub and of Pulumi Deployments that any change can run as.
	ofPullRequest = regexp.MustCompile(`pull_request|:operation:preview(:|$)`)
)

const (
	refRule  = "a full name in git, without refs/ and without wildcards: Azure compares subjects exactly"
	nameRule = "1-100 letters, digits, dots, dashes and underscores"
)

func (t *trust) check(ok bool, field, given, allowed string) {
	t.violations.check(ok, t.path+"."+field, given, allowed)
}

// ref checks the name of a branch or a tag.
func (t *trust) ref(field, given string) {
	t.check(gitRef.MatchString(given) && !strings.HasPrefix(given, "refs/"), field, given, refRule)
}

// one checks that exactly one of the fields is given.
func (t *trust) one(of string, given ...bool) {
	count := 0
	for _, is := range given {
		if is {
			count++
		}
	}
	if count != 1 {
		t.violations.add(t.path, fmt.Sprintf("%d of %s", count, of), "exactly one of them")
	}
}

func (g gitHubTrust) into(t *trust, may right) {
	t.issuer = gitHubIssuer
	t.check(repository.MatchString(g.Repository), "repository", g.Repository, "OWNER/REPOSITORY, spelled as on GitHub")
	t.one("environment, branch, tag and pullRequests", g.Environment != "", g.Branch != "", g.Tag != "", g.PullRequests)
	if (g.OwnerID == 0) != (g.RepositoryID == 0) {
		t.violations.add(t.path, "one of ownerId and repositoryId",
			"both, for subjects with immutable claims, or neither")
	}
	owner, name, _ := strings.Cut(g.Repository, "/")
	if g.OwnerID != 0 {
		owner, name = fmt.Sprintf("%s@%d", owner, g.OwnerID), fmt.Sprintf("%s@%d", name, g.RepositoryID)
	}
	t.subject = "repo:" + owner + "/" + name
	switch {
	case g.Environment != "":
		t.check(environment.MatchString(g.Environment), "environment", g.Environment,
			"a full name, 1-255 characters without quotes, backslashes, line breaks and wildcards: Azure compares subjects "+
				"exactly")
		t.subject += ":environment:" + strings.ReplaceAll(g.Environment, ":", "%3A")
	case g.Branch != "":
		t.ref("branch", g.Branch)
		t.subject += ":ref:refs/heads/" + g.Branch
	case g.Tag != "":
		t.ref("tag", g.Tag)
		t.subject += ":ref:refs/tags/" + g.Tag
	default:
		t.check(may != mayDeploy, "pullRequests", "true", "nothing with may: deploy, because any change would be deployed "+
			"before it is reviewed")
		t.subject += ":pull_request"
	}
}

func (g gitLabTrust) into(t *trust) {
	t.issuer = gitLabIssuer
	t.check(gitLabProject.MatchString(g.Project), "project", g.Project,
		"GROUP/PROJECT, with all groups, spelled as on GitLab")
	t.one("branch and tag", g.Branch != "", g.Tag != "")
	kind, ref := "branch", g.Branch
	if g.Tag != "" {
		kind, ref = "tag", g.Tag
	}
	if ref != "" {
		t.ref(kind, ref)
	}
	t.subject = fmt.Sprintf("project_path:%s:ref_type:%s:ref:%s", g.Project, kind, ref)
}

func (p pulumiTrust) into(t *trust, may right) {
	t.issuer, t.audience = pulumiIssuer, p.Organization
	t.check(pulumiName.MatchString(p.Organization), "organization", p.Organization, nameRule)
	t.check(pulumiName.MatchString(p.Project), "project", p.Project, nameRule)
	t.check(pulumiName.MatchString(p.Stack), "stack", p.Stack, nameRule)
	allowed := operations[may]
	var names []string
	known := len(allowed) == 0 // may is reported already
	for _, one := range allowed {
		names, known = append(names, string(one)), known || one == p.Operation
	}
	t.check(known, "operation", string(p.Operation), fmt.Sprintf("%s with may: %s", strings.Join(names, ", "), may))
	t.subject = fmt.Sprintf("pulumi:deploy:org:%s:project:%s:stack:%s:operation:%s:scope:write",
		p.Organization, p.Project, p.Stack, p.Operation)
}

func (e escTrust) into(t *trust) {
	t.issuer, t.audience = pulumiIssuer, "azure:"+e.Organization
	t.check(pulumiName.MatchString(e.Organization), "organization", e.Organization, nameRule)
	t.check(pulumiName.MatchString(e.Project), "project", e.Project, nameRule)
	t.check(pulumiName.MatchString(e.Environment), "environment", e.Environment, nameRule)
	name := e.Project + "/" + e.Environment
	if e.Project == "default" { // of before there were projects
		name, t.audience = e.Environment, e.Organization
	}
	t.subject = fmt.Sprintf("pulumi:environments:org:%s:env:%s", e.Organization, name)
}

func (o otherTrust) into(t *trust, may right) {
	t.issuer, t.subject = o.Issuer, o.Subject
	t.check(issuerURL.MatchString(o.Issuer), "issuer", o.Issuer, "the https URL in the claim iss of the tokens")
	t.check(plainSubject.MatchString(o.Subject), "subject", o.Subject,
		"the claim sub of the tokens, without spaces and wildcards: Azure compares subjects exactly")
	t.check(may != mayDeploy || !ofPullRequest.MatchString(o.Subject), "subject", o.Subject,
		"no subject of pull requests or previews with may: deploy, because any change would be deployed before it is "+
			"reviewed")
	if o.Audience != "" {
		t.audience = o.Audience
		t.check(audienceRule.MatchString(o.Audience), "audience", o.Audience, "1-600 characters without spaces")
	}
}

var unfitForName = regexp.MustCompile(`[^0-9A-Za-z]+`)

// name returns the credential's name in Azure. It is readable, and ends in a hash, since subjects may differ in
// characters that a name cannot have. It does not depend on the subject's place in the list.
func (t trust) name() string {
	const most = 120 - 1 - 12 // Azure's limit, a dash and the hash
	from := cmp.Or(shortNames[t.issuer], strings.TrimPrefix(t.issuer, "https://"))
	readable := strings.Trim(unfitForName.ReplaceAllString(from+"-"+t.subject, "-"), "-")
	sum := sha256.Sum256([]byte(t.issuer + " " + t.subject))
	return strings.TrimRight(readable[:min(len(readable), most)], "-") + "-" + hex.EncodeToString(sum[:6])
}

// shortNames are the issuers' names in credentials.
var shortNames = map[string]string{gitHubIssuer: "github", gitLabIssuer: "gitlab", pulumiIssuer: "pulumi"}
