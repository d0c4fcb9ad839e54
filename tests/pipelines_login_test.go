package tests

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// TestPipelines_SignInToPulumiCloud checks that the scripts sign in to Pulumi Cloud with a token for this purpose only,
// which never appears among a process's arguments. A test server takes the place of Pulumi Cloud and GitHub.
func TestPipelines_SignInToPulumiCloud(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.start(t)
	var mu sync.Mutex
	asked := map[string]string{}
	tokenFor := func(audience string) string {
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"aud": audience}).SignedString([]byte("a key"))
		if err != nil {
			t.Error(err)
		}
		return token
	}
	const forPulumi, forAzure = "urn:pulumi:org:acme", "api://AzureADTokenExchange"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		answer := map[string]any{}
		switch req.URL.Path {
		case "/idtoken":
			if req.Header.Get("Authorization") != "bearer the-request-token" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			answer["value"] = tokenFor(req.URL.Query().Get("audience"))
		case "/api/oauth/token":
			_ = req.ParseForm()
			for name := range req.Form {
				asked[name] = req.Form.Get(name)
			}
			answer = map[string]any{
				"access_token":      "pul-access",
				"issued_token_type": req.Form.Get("requested_token_type"),
				"token_type":        "token",
				"expires_in":        7200,
			}
		case "/api/user":
			asked["Authorization"] = req.Header.Get("Authorization")
			answer = map[string]any{"id": "1", "githubLogin": "acme", "name": "acme", "organizations": []any{}}
		default:
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	defer server.Close()
	for name, job := range map[string][]string{
		"on GitHub": {
			"ACTIONS_ID_TOKEN_REQUEST_URL=" + server.URL + "/idtoken?api-version=2",
			"ACTIONS_ID_TOKEN_REQUEST_TOKEN=the-request-token",
		},
		"on GitLab": {"AZURE_ID_TOKEN=" + tokenFor(forAzure), "PULUMI_ID_TOKEN=" + tokenFor(forPulumi)},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			seen := watchCommandLines(t, []string{"the-request-token", tokenFor(forPulumi), tokenFor(forAzure), "pul-access"})
			cmd := exec.CommandContext(untilEnding(t), "bash", "-c",
				`. deploy/ci/common.sh; sign_in; cat "$AZURE_FEDERATED_TOKEN_FILE"; sleep 2`)
			cmd.Dir = checkout
			cmd.Env = append(append(os.Environ(), job...),
				"PATH="+filepath.Dir(c.localcloud().Tool("pulumi"))+":"+os.Getenv("PATH"),
				"HOME="+dir, "TMPDIR="+dir, "PULUMI_HOME="+dir, "PULUMI_SKIP_UPDATE_CHECK=true",
				"PULUMI_BACKEND_URL="+server.URL, "PULUMI_ORGANIZATION=acme", "PULUMI_TEAM=previewers",
				"ARM_CLIENT_ID=a", "ARM_TENANT_ID=b", "ARM_SUBSCRIPTION_ID=c")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("sign_in: %v\n%s", err, out)
			}
			mu.Lock()
			defer mu.Unlock()
			if asked["subject_token"] != tokenFor(forPulumi) || asked["audience"] != forPulumi ||
				asked["scope"] != "team:previewers" || !strings.Contains(asked["requested_token_type"], "team") ||
				asked["Authorization"] != "token pul-access" {
				t.Errorf("Pulumi Cloud received %v", asked)
			}
			if !strings.HasSuffix(string(out), tokenFor(forAzure)) {
				t.Errorf("the file does not have the token for Azure:\n%s", out)
			}
			for token, line := range seen() {
				t.Errorf("%s was among the arguments of a process: %s", token, line)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "tmp.*")); len(left) > 0 {
				t.Errorf("the token's file is left: %q", left)
			}
			clear(asked)
		})
	}
	t.Run("rejected token request", func(t *testing.T) {
		cmd := exec.CommandContext(untilEnding(t), "bash", "-c", `. deploy/ci/common.sh; sign_in`)
		cmd.Dir = checkout
		cmd.Env = append(os.Environ(), "ACTIONS_ID_TOKEN_REQUEST_URL="+server.URL+"/idtoken?",
			"ACTIONS_ID_TOKEN_REQUEST_TOKEN=another", "ARM_CLIENT_ID=a", "ARM_TENANT_ID=b", "ARM_SUBSCRIPTION_ID=c",
			"TMPDIR="+t.TempDir())
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(fmt.Sprint(string(out)), "401") {
			t.Errorf("sign_in: got %v, want an error with 401\n%s", err, out)
		}
	})
}
