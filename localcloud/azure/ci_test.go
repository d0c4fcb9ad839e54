package azure_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/msi/armmsi"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/ciissuer"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/faults"
)

// order requests a CI token, or the URL and token with which a job requests one. It authenticates as the owner unless
// another name is given.
func (f *fixture) order(o ciissuer.Order, as ...string) (int, string) {
	f.Helper()
	body, err := json.Marshal(o)
	f.must(err)
	req, err := http.NewRequestWithContext(f.Context(), http.MethodPost, "https://"+faults.Host+"/ci-tokens",
		bytes.NewReader(body))
	f.must(err)
	if c := f.cloud.Credentials(); as == nil {
		req.SetBasicAuth(c.ClientID, c.ClientSecret)
	} else if as[0] != "" {
		req.SetBasicAuth(as[0], as[1])
	}
	resp, err := f.client.Do(req)
	f.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	f.must(err)
	return resp.StatusCode, string(text)
}

// ciToken returns a CI token.
func (f *fixture) ciToken(ci, subject, audience string) string {
	f.Helper()
	status, text := f.order(ciissuer.Order{Ask: ciissuer.Ask{CI: ci, Subject: subject, Audience: audience}})
	var issued ciissuer.Issued
	if status != http.StatusOK || json.Unmarshal([]byte(text), &issued) != nil {
		f.Fatalf("no token for %s: %d %s", subject, status, text)
	}
	return issued.Token
}

// verified verifies a token by its issuer's published keys and returns its claims.
func (f *fixture) verified(token, keys string) map[string]any {
	f.Helper()
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256})
	f.must(err)
	issuer := map[string]any{}
	f.must(parsed.UnsafeClaimsWithoutVerification(&issuer))
	var configuration struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	f.fetch(issuer["iss"].(string)+"/.well-known/openid-configuration", &configuration)
	if configuration.Issuer != issuer["iss"] || configuration.Keys != keys {
		f.Errorf("got metadata %+v, want the keys at %s", configuration, keys)
	}
	var set jose.JSONWebKeySet
	f.fetch(configuration.Keys, &set)
	claims := map[string]any{}
	f.must(parsed.Claims(&set, &claims))
	return claims
}

func (f *fixture) fetch(url string, into any) {
	f.Helper()
	resp, err := f.client.Get(url)
	f.must(err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		f.Fatalf("GET %s: %s", url, resp.Status)
	}
	f.must(json.NewDecoder(resp.Body).Decode(into))
}

func TestCITokens_HaveClaimsOfTheirIssuers(t *testing.T) {
	f := newFixture(t)
	for subject, want := range map[string]struct {
		ci, audience, keys string
		lifetime           time.Duration
		claims             map[string]any
	}{
		"repo:octo-org/octo-repo:environment:prod": {
			"github", audience, "https://token.actions.githubusercontent.com/.well-known/jwks", 5 * time.Minute,
			map[string]any{
				"repository": "octo-org/octo-repo", "repository_owner": "octo-org", "environment": "prod", "ref_type": "branch",
				"job_workflow_ref": "octo-org/octo-repo/.github/workflows/deploy.yml@refs/heads/main",
			},
		},
		"repo:octo-org@123456/octo-repo@456789:ref:refs/tags/v1.2.3": {
			"github", audience, "https://token.actions.githubusercontent.com/.well-known/jwks", 5 * time.Minute,
			map[string]any{
				"repository":          "octo-org/octo-repo",
				"repository_id":       "456789",
				"repository_owner_id": "123456",
				"ref":                 "refs/tags/v1.2.3",
				"ref_type":            "tag",
			},
		},
		"repo:octo-org/octo-repo:pull_request": {
			"github", audience, "https://token.actions.githubusercontent.com/.well-known/jwks", 5 * time.Minute,
			map[string]any{"event_name": "pull_request", "ref": "refs/pull/1/merge", "base_ref": "main"},
		},
		"project_path:my-group/sub/my-project:ref_type:branch:ref:feature/x": {
			"gitlab", audience, "https://gitlab.com/oauth/discovery/keys", time.Hour,
			map[string]any{
				"project_path":   "my-group/sub/my-project",
				"namespace_path": "my-group/sub",
				"ref":            "feature/x",
				"ref_path":       "refs/heads/feature/x",
				"ref_protected":  "false",
			},
		},
		"pulumi:deploy:org:contoso:project:core:stack:dev:operation:update:scope:write": {
			"pulumi", "contoso", "https://api.pulumi.com/oidc/.well-known/jwks", time.Hour,
			map[string]any{"org": "contoso", "stackId": "contoso/core/dev", "operation": "update", "scope": "write"},
		},
		"pulumi:environments:org:contoso:env:core/prod": {
			"pulumi", "azure:contoso", "https://api.pulumi.com/oidc/.well-known/jwks", time.Hour,
			map[string]any{"current_env": "core/prod"},
		},
		"pulumi:environments:org:contoso:env:legacy": {
			"pulumi", "contoso", "https://api.pulumi.com/oidc/.well-known/jwks", time.Hour, map[string]any{
				"current_env": "legacy",
			},
		},
		"pulumi:environments:pulumi.organization.login:contoso:currentEnvironment.name:core/prod:pulumi.user.login:ann": {
			"pulumi", "azure:contoso", "https://api.pulumi.com/oidc/.well-known/jwks", time.Hour,
			map[string]any{"current_env": "core/prod", "trigger_user": "ann"},
		},
	} {
		got := f.verified(f.ciToken(want.ci, subject, ""), want.keys)
		want.claims["sub"], want.claims["aud"] = subject, want.audience
		for name, value := range want.claims {
			if got[name] != value {
				t.Errorf("%s: the claim %s is %v, want %v", subject, name, got[name], value)
			}
		}
		if lives := got["exp"].(float64) - got["iat"].(float64); lives != want.lifetime.Seconds() {
			t.Errorf("%s: lives for %v s, want %v", subject, lives, want.lifetime)
		}
	}
}

// TestCITokens_SurviveRestart checks that tokens stay valid, because the keys are stored.
func TestCITokens_SurviveRestart(t *testing.T) {
	f := newFixture(t)
	token := f.ciToken("github", "repo:o/r:pull_request", "")
	f.stop()
	f.start()
	f.verified(token, "https://token.actions.githubusercontent.com/.well-known/jwks")
}

func TestCITokens_AreIssuedToOwnerOnly(t *testing.T) {
	f := newFixture(t)
	order := ciissuer.Order{Ask: ciissuer.Ask{CI: "github", Subject: "repo:o/r:environment:prod"}}
	c := f.cloud.Credentials()
	for name, as := range map[string][]string{
		"nobody": {""}, "another secret": {c.ClientID, "guess"}, "no secret": {c.ClientID, ""}, "another client": {
			"guess", c.ClientSecret,
		},
	} {
		for _, order.Job = range []bool{false, true} {
			if status, text := f.order(order, as...); status != http.StatusUnauthorized || strings.Contains(text, "token\"") {
				t.Errorf("%s gets %d", name, status)
			}
		}
	}
}

// TestCITokens_AreIssuedToRunningJob requests tokens as @actions/core does: the audience is in the query, and the job's
// token is a bearer token.
func TestCITokens_AreIssuedToRunningJob(t *testing.T) {
	f := newFixture(t)
	ask := func(url, token string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		f.must(err)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := f.client.Do(req)
		f.must(err)
		defer resp.Body.Close()
		var answer struct {
			Count int    `json:"count"`
			Value string `json:"value"`
		}
		_ = json.NewDecoder(resp.Body).Decode(&answer) // errors have another shape
		if answer.Count != len(answer.Value) {
			t.Errorf("a count of %d for %d characters", answer.Count, len(answer.Value))
		}
		return resp.StatusCode, answer.Value
	}
	status, text := f.order(ciissuer.Order{
		Ask: ciissuer.Ask{CI: "github", Subject: "repo:o@1/r@2:environment:prod"}, Job: true,
	})
	var job ciissuer.Request
	if status != http.StatusOK || json.Unmarshal([]byte(text), &job) != nil {
		t.Fatalf("%d %s", status, text)
	}
	for query, audience := range map[string]string{
		"":                                       "https://github.com/o",
		"&audience=" + url.QueryEscape(audience): audience,
	} {
		status, token := ask(job.URL+query, job.Token)
		if status != http.StatusOK {
			t.Fatalf("a job that asks with %q gets %d", query, status)
		}
		if got := f.verified(token, "https://token.actions.githubusercontent.com/.well-known/jwks"); got["aud"] != audience ||
			got["sub"] != "repo:o@1/r@2:environment:prod" {
			t.Errorf("asked with %q: %v", query, got)
		}
	}
	for _, token := range []string{"", "guess", f.ciToken("github", "repo:o/r:environment:prod", "")} {
		if status, _ := ask(job.URL, token); status != http.StatusUnauthorized {
			t.Errorf("a job with the token %q gets %d", token, status)
		}
	}
	if status, text := f.order(ciissuer.Order{
		Ask: ciissuer.Ask{CI: "gitlab", Subject: "project_path:g/p:ref_type:branch:ref:main"}, Job: true,
	}); status != http.StatusBadRequest {
		t.Errorf("a request for a GitLab job: %d %s", status, text)
	}
}

// TestCITokens_OtherSubjectsGetNoAccess tries tokens of strangers, and of colleagues on the wrong branch.
func TestCITokens_OtherSubjectsGetNoAccess(t *testing.T) {
	w := newWorld(t)
	federate := func(name, issuer, subject, audience string) string {
		made := w.identity("g", name)
		_, err := w.identities().NewFederatedIdentityCredentialsClient().CreateOrUpdate(w.Context(), "g", name, "fic",
			armmsi.FederatedIdentityCredential{Properties: &armmsi.FederatedIdentityCredentialProperties{
				Issuer: &issuer, Subject: &subject, Audiences: []*string{to.Ptr(audience)},
			}}, nil)
		w.must(err)
		return *made.Properties.ClientID
	}
	const (
		github = "https://token.actions.githubusercontent.com"
		gitlab = "https://gitlab.com"
		pulumi = "https://api.pulumi.com/oidc"
	)
	clients := map[string]string{
		"prod":    federate("prod", github, "repo:octo-org/octo-repo:environment:prod", audience),
		"main":    federate("main", github, "repo:octo-org/octo-repo:ref:refs/heads/main", audience),
		"preview": federate("preview", github, "repo:octo-org/octo-repo:pull_request", audience),
		"gitlab":  federate("gitlab", gitlab, "project_path:g/p:ref_type:branch:ref:main", audience),
		"pulumi": federate("pulumi", pulumi, "pulumi:deploy:org:contoso:project:core:stack:dev:operation:update:scope:write",
			"contoso"),
	}
	for name, test := range map[string]struct{ client, ci, subject, audience, code string }{
		"the environment":      {"prod", "github", "repo:octo-org/octo-repo:environment:prod", "", ""},
		"the branch":           {"main", "github", "repo:octo-org/octo-repo:ref:refs/heads/main", "", ""},
		"a pull request":       {"preview", "github", "repo:octo-org/octo-repo:pull_request", "", ""},
		"the protected branch": {"gitlab", "gitlab", "project_path:g/p:ref_type:branch:ref:main", "", ""},
		"the stack's update": {
			"pulumi", "pulumi", "pulumi:deploy:org:contoso:project:core:stack:dev:operation:update:scope:write", "", "",
		},
		"another environment": {
			"prod", "github", "repo:octo-org/octo-repo:environment:dev", "", "AADSTS700213:",
		},
		"the environment in upper case": {
			"prod", "github", "repo:octo-org/octo-repo:environment:Prod", "", "AADSTS700213:",
		},
		"another repository": {
			"prod", "github", "repo:octo-org/other:environment:prod", "", "AADSTS700213:",
		},
		"another owner's repository of that name": {
			"prod", "github", "repo:mallory/octo-repo:environment:prod", "", "AADSTS700213:",
		},
		"a new repository under the old name": {
			"prod", "github", "repo:octo-org@9/octo-repo@9:environment:prod", "", "AADSTS700213:",
		},
		"a pull request for prod": {
			"prod", "github", "repo:octo-org/octo-repo:pull_request", "", "AADSTS700213:",
		},
		"a fork's pull request": {
			"preview", "github", "repo:mallory/octo-repo:pull_request", "", "AADSTS700213:",
		},
		"a branch named like the environment": {
			"prod", "github", "repo:octo-org/octo-repo:ref:refs/heads/environment/prod", "", "AADSTS700213:",
		},
		"another branch": {
			"main", "github", "repo:octo-org/octo-repo:ref:refs/heads/main2", "", "AADSTS700213:",
		},
		"a tag named like the branch": {
			"main", "github", "repo:octo-org/octo-repo:ref:refs/tags/main", "", "AADSTS700213:",
		},
		"another audience": {
			"prod", "github", "repo:octo-org/octo-repo:environment:prod", "sts.amazonaws.com", "AADSTS700212:",
		},
		"GitLab's token": {
			"prod", "gitlab", "project_path:octo-org/octo-repo:ref_type:branch:ref:main", "", "AADSTS700211:",
		},
		"another branch of GitLab": {
			"gitlab", "gitlab", "project_path:g/p:ref_type:branch:ref:change", "", "AADSTS700213:",
		},
		"a tag of GitLab": {
			"gitlab", "gitlab", "project_path:g/p:ref_type:tag:ref:main", "", "AADSTS700213:",
		},
		"a fork of GitLab": {
			"gitlab", "gitlab", "project_path:mallory/p:ref_type:branch:ref:main", "", "AADSTS700213:",
		},
		"another operation": {
			"pulumi",
			"pulumi",
			"pulumi:deploy:org:contoso:project:core:stack:dev:operation:destroy:scope:write",
			"",
			"AADSTS700213:",
		},
		"another stack": {
			"pulumi",
			"pulumi",
			"pulumi:deploy:org:contoso:project:core:stack:prod:operation:update:scope:write",
			"",
			"AADSTS700213:",
		},
		"another organization": {
			"pulumi",
			"pulumi",
			"pulumi:deploy:org:mallory:project:core:stack:dev:operation:update:scope:write",
			"",
			"AADSTS700213:",
		},
	} {
		got := w.exchange(w.ciToken(test.ci, test.subject, test.audience), url.Values{"client_id": {clients[test.client]}})
		if signedIn := strings.Contains(got.text, "access_token"); signedIn != (test.code == "") ||
			!strings.Contains(got.text, test.code) {
			t.Errorf("%s: %d %s, want %q", name, got.status, got.text, test.code)
		}
	}
	// Claims that follow from the subject cannot be chosen.
	if status, text := w.order(ciissuer.Order{
		Ask: ciissuer.Ask{CI: "github", Subject: "repo:mallory/octo-repo:pull_request", Claims: map[string]string{
			"repository": "octo-org/octo-repo",
		}},
	}); status != http.StatusBadRequest {
		t.Errorf("a claim that follows from the subject was chosen: %d %s", status, text)
	}
}
