package azure_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/faults"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/guard"
)

// hosts has a host of each service.
var hosts = []string{
	"management.azure.com",
	"login.microsoftonline.com",
	"sts.windows.net",
	"kv.vault.azure.net",
	"account.queue.core.windows.net",
	"eastus.oic.prod-aks.azure.com",
	"token.actions.githubusercontent.com",
	"gitlab.com",
	"api.pulumi.com",
	"pipelines.actions.githubusercontent.com",
	guard.Host,
	faults.Host,
}

// raw sends a request without cleaning its path. It authenticates as the owner on the local cloud's own host.
func (f *fixture) raw(method, host, path, contentType string, body io.Reader, header ...string) *http.Response {
	f.Helper()
	req, err := http.NewRequestWithContext(f.Context(), method, "https://"+host, body)
	f.must(err)
	at, query, _ := strings.Cut(path, "?")
	req.URL.Opaque, req.URL.RawQuery = "https://"+host+at, query
	req.Header.Set("Content-Type", contentType)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if host == faults.Host {
		req.SetBasicAuth(f.cloud.Credentials().ClientID, f.cloud.Credentials().ClientSecret)
	}
	client := *f.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		f.Errorf("%s %s%s: %v", method, host, path, err)
		return &http.Response{Body: http.NoBody}
	}
	return resp
}

func TestServers_NeverRedirect(t *testing.T) {
	f := newFixture(t)
	for _, host := range hosts {
		for _, path := range []string{
			"//", "//secrets/x", "/secrets//x", "/./faults", "/faults/..", "/../faults", "/a/%2e%2e/faults", "/faults/",
			"/" + azure.TenantID + "//oauth2/v2.0/token", "/" + azure.TenantID + "/x/../discovery/v2.0/keys",
			"//.well-known/jwks", "/oidc/.well-known/openid-configuration/",
		} {
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
				resp := f.raw(method, host, path, "application/json", http.NoBody)
				resp.Body.Close()
				if resp.StatusCode >= 300 && resp.StatusCode < 400 {
					t.Errorf("%s %s%s: %s, to %s", method, host, path, resp.Status, resp.Header.Get("Location"))
				}
			}
		}
	}
}

// asked has endpoints that read a body without a token or with the owner's credentials.
var asked = []struct{ method, host, path, contentType string }{
	{
		http.MethodPost,
		"login.microsoftonline.com",
		"/" + azure.TenantID + "/oauth2/v2.0/token",
		"application/x-www-form-urlencoded",
	},
	{
		http.MethodPost,
		guard.Host,
		strings.TrimPrefix(guard.TokenReviewURL("/subscriptions/s/c"), "https://"+guard.Host),
		"application/json",
	},
	{
		http.MethodPost,
		guard.Host,
		strings.TrimPrefix(guard.AccessReviewURL("/subscriptions/s/c"), "https://"+guard.Host),
		"application/json",
	},
	{http.MethodPut, faults.Host, "/faults", "application/json"},
	{http.MethodPost, faults.Host, "/ci-tokens", "application/json"},
}

func TestServers_AnswerAnyBody(t *testing.T) {
	f := newFixture(t)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte("{}"))
	f.must(z.Close())
	for name, test := range map[string]struct {
		body   func() io.Reader
		status int // 0 means any 4xx
		header []string
	}{
		"nothing": {func() io.Reader { return http.NoBody }, 0, nil},
		"too large": {
			func() io.Reader { return strings.NewReader(strings.Repeat("a", 1<<20+1)) }, http.StatusRequestEntityTooLarge, nil,
		},
		"too large, chunked": {func() io.Reader {
			return struct{ io.Reader }{strings.NewReader(strings.Repeat("a", 1<<21))}
		}, http.StatusRequestEntityTooLarge, nil},
		"deep arrays":  {func() io.Reader { return strings.NewReader(strings.Repeat("[", 100_000)) }, 0, nil},
		"deep objects": {func() io.Reader { return strings.NewReader(strings.Repeat(`{"spec":`, 100_000)) }, 0, nil},
		"whole and deep": {func() io.Reader {
			return strings.NewReader(strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000))
		}, 0, nil},
		"zipped": {
			func() io.Reader { return bytes.NewReader(zipped.Bytes()) }, 0, []string{"Content-Encoding", "gzip"},
		},
		"no UTF-8": {func() io.Reader { return strings.NewReader("{\"a\":\"\xff\xfe\"") }, 0, nil},
		"another charset": {
			func() io.Reader { return strings.NewReader("{\x00}\x00") },
			0,
			[]string{"Content-Type", "application/json; charset=utf-16"},
		},
		"two values": {func() io.Reader { return strings.NewReader("[] []") }, 0, nil},
		"aliases": {func() io.Reader {
			return strings.NewReader("a: &a [x,x,x,x,x,x,x,x,x]\n" +
				"b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n" +
				"c: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n" +
				"d: &d [*c,*c,*c,*c,*c,*c,*c]\n" +
				"e: &e [*d,*d,*d,*d,*d,*d,*d]\n" +
				"f: [*e,*e,*e,*e,*e,*e]\n")
		}, 0, nil},
	} {
		for _, at := range asked {
			begin := time.Now()
			resp := f.raw(at.method, at.host, at.path, at.contentType, test.body(), test.header...)
			resp.Body.Close()
			switch {
			case test.status != 0 && resp.StatusCode != test.status,
				resp.StatusCode >= 500,
				resp.StatusCode < 400 && !(name == "nothing" && at.path == "/faults"):
				t.Errorf("%s: %s %s%s: %d", name, at.method, at.host, at.path, resp.StatusCode)
			case time.Since(begin) > 5*time.Second:
				t.Errorf("%s: %s %s%s took %s", name, at.method, at.host, at.path, time.Since(begin))
			}
		}
	}
}
