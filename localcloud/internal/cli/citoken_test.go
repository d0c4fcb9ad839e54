package cli

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/gofrs/flock"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
	"github.com/keyvault-aks/keyvault-aks/localcloud/edge"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/layout"
)

// serveAzure serves Azure without clusters in a home, for as long as the test runs.
func serveAzure(t *testing.T) (dir string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir = t.TempDir()
	h, err := home.Locate("../../..", dir)
	must(err)
	way, err := edge.New(h.Path(home.EdgeDir))
	must(err)
	cloud, err := azure.New(azure.Options{Dir: h.Path(home.AzureDir), Edge: way, Log: slog.New(slog.DiscardHandler)})
	must(err)
	t.Cleanup(cloud.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	served := make(chan error, 1)
	go func() { served <- way.Serve(t.Context(), listener) }()
	t.Cleanup(func() { must(<-served) })
	lock := flock.New(h.Path(home.LockFile))
	must(lock.Lock())
	t.Cleanup(func() { must(lock.Unlock()) })
	must(os.WriteFile(h.Path(home.LockFile), []byte(strconv.Itoa(os.Getpid())), 0o600))
	must(h.SaveRunning(home.Running{
		PID:         os.Getpid(),
		Proxy:       listener.Addr().String(),
		CAFile:      way.CAFile(),
		Credentials: layout.Credentials(cloud.Credentials()),
		Started:     time.Now(),
		Settled:     true,
	}))
	return dir
}

func TestCIToken_IsPrintedAlone(t *testing.T) {
	dir := serveAzure(t)
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := Run(t.Context(), append([]string{"ci-token", checkout, "--home=" + dir}, args...), &out, io.Discard)
		return out.String(), err
	}
	out, err := run(
		"github",
		"--subject=repo:octo-org/octo-repo:environment:prod",
		"--audience=api://somebody",
		"--claim",
		"actor=ann",
		"--claim",
		"ref=refs/tags/v1",
	)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.ParseSigned(strings.TrimSuffix(out, "\n"), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	claims := map[string]any{}
	if err := token.UnsafeClaimsWithoutVerification(&claims); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"iss": "https://token.actions.githubusercontent.com", "sub": "repo:octo-org/octo-repo:environment:prod", "aud": "api://somebody", "actor": "ann", "ref": "refs/tags/v1",
	} {
		if claims[name] != want {
			t.Errorf("%s: %v, want %s", name, claims[name], want)
		}
	}

	out, err = run("github", "--subject=repo:octo-org/octo-repo:pull_request", "--request")
	if err != nil {
		t.Fatal(err)
	}
	said, err := exec.Command("sh", "-c", out+`printf '%s %s' "$ACTIONS_ID_TOKEN_REQUEST_URL" "${#ACTIONS_ID_TOKEN_REQUEST_TOKEN}"`).
		Output()
	if err != nil || !strings.HasPrefix(string(said), "https://pipelines.actions.githubusercontent.com/") ||
		!strings.Contains(string(said), "?") ||
		strings.HasSuffix(string(said), " 0") {
		t.Errorf("a shell makes of it %q, %v", said, err)
	}

	for name, args := range map[string][]string{
		"no subject":                   {"github"},
		"no issuer":                    {"--subject=repo:o/r:pull_request"},
		"an issuer that is not here":   {"travis", "--subject=repo:o/r:pull_request"},
		"another's subject":            {"gitlab", "--subject=repo:o/r:pull_request"},
		"a job of GitLab":              {"gitlab", "--subject=project_path:g/p:ref_type:branch:ref:main", "--request"},
		"a job with an audience":       {"github", "--subject=repo:o/r:pull_request", "--request", "--audience=a"},
		"a claim without a value":      {"github", "--subject=repo:o/r:pull_request", "--claim=actor"},
		"a claim twice":                {"github", "--subject=repo:o/r:pull_request", "--claim=actor=a", "--claim=actor=b"},
		"a claim that Entra ID reads":  {"github", "--subject=repo:o/r:pull_request", "--claim=sub=repo:o/r:environment:prod"},
		"a claim of the subject's own": {"github", "--subject=repo:o/r:pull_request", "--claim=repository=x/y"},
	} {
		if out, err := run(args...); err == nil || strings.Contains(out, "ey") {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
}
