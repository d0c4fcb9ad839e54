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

// serveAzure serves Azure without clusters from a new home until the test ends.
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

func TestCIToken_PrintsOnlyTheToken(t *testing.T) {
	dir := serveAzure(t)
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := Run(t.Context(), append([]string{"ci-token", checkout, "--home=" + dir}, args...), &out, io.Discard)
		return out.String(), err
	}
	out, err := run("github", "--subject=repo:octo-org/octo-repo:environment:prod", "--audience=api://somebody",
		"--claim", "actor=ann", "--claim", "ref=refs/tags/v1")
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
		"iss": "https://token.actions.githubusercontent.com", "sub": "repo:octo-org/octo-repo:environment:prod",
		"aud": "api://somebody", "actor": "ann", "ref": "refs/tags/v1",
	} {
		if claims[name] != want {
			t.Errorf("%s: %v, want %s", name, claims[name], want)
		}
	}

	out, err = run("github", "--subject=repo:octo-org/octo-repo:pull_request", "--request")
	if err != nil {
		t.Fatal(err)
	}
	script := out + `printf '%s %s' "$ACTIONS_ID_TOKEN_REQUEST_URL" "${#ACTIONS_ID_TOKEN_REQUEST_TOKEN}"`
	said, err := exec.Command("sh", "-c", script).Output()
	if err != nil || !strings.HasPrefix(string(said), "https://pipelines.actions.githubusercontent.com/") ||
		!strings.Contains(string(said), "?") || strings.HasSuffix(string(said), " 0") {
		t.Errorf("a shell exports %q, %v", said, err)
	}

	const subject = "--subject=repo:o/r:pull_request"
	for name, args := range map[string][]string{
		"no subject":                  {"github"},
		"no issuer":                   {subject},
		"unknown issuer":              {"travis", subject},
		"another issuer's subject":    {"gitlab", subject},
		"a GitLab job":                {"gitlab", "--subject=project_path:g/p:ref_type:branch:ref:main", "--request"},
		"a job with an audience":      {"github", subject, "--request", "--audience=a"},
		"a claim without a value":     {"github", subject, "--claim=actor"},
		"a claim twice":               {"github", subject, "--claim=actor=a", "--claim=actor=b"},
		"a claim that Entra ID reads": {"github", subject, "--claim=sub=repo:o/r:environment:prod"},
		"a claim the subject implies": {"github", subject, "--claim=repository=x/y"},
	} {
		if out, err := run(args...); err == nil || strings.Contains(out, "ey") {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
}
