package dashboard

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/layout"
)

func serve(t *testing.T, f *fake) *Server {
	t.Helper()
	starting := func(err error) bool { return errors.Is(err, home.ErrStarting) }
	s, err := Listen(Options{Name: "program", Cloud: f.cloud, Starting: starting})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s
}

// request asks for a path of the server, with headers as names and values.
func request(t *testing.T, s *Server, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	base, _, _ := strings.Cut(s.URL(), "/?")
	req, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		} else {
			req.Header.Add(headers[i], headers[i+1])
		}
	}
	client := http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DisableKeepAlives: true},
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// signIn opens the URL, and returns the header with the cookie and the path of the page.
func signIn(t *testing.T, s *Server) (cookie []string, at string) {
	t.Helper()
	resp, _ := request(t, s, "GET", "/?token="+s.token, "")
	cookies := resp.Cookies()
	if resp.StatusCode != http.StatusSeeOther || len(cookies) != 1 {
		t.Fatalf("the URL is answered with %s and %d cookies", resp.Status, len(cookies))
	}
	return []string{"Cookie", cookies[0].Name + "=" + cookies[0].Value}, resp.Header.Get("Location")
}

func TestServer_GivesTheCookieToItsPathAlone(t *testing.T) {
	t.Parallel()
	s := serve(t, newFake(t))
	resp, body := request(t, s, "GET", "/?token="+s.token, "")
	c := resp.Cookies()[0]
	_, port, _ := strings.Cut(s.listener.Addr().String(), ":")
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != resp.Header.Get("Location") || len(c.Path) < 22 {
		t.Errorf("the cookie is %q, and the page at %q", resp.Header.Get("Set-Cookie"), resp.Header.Get("Location"))
	}
	if !strings.HasSuffix(c.Name, port) {
		t.Errorf("the cookie's name %q does not tell two dashboards apart", c.Name)
	}
	if strings.Contains(body, s.token) || strings.Contains(resp.Header.Get("Location"), s.token) {
		t.Error("the token is in the redirect")
	}
}

// paths are some of everything that is served.
var paths = []string{
	"", "index.html", "app.js", "style.css", "icon.svg", "nothing", "api/status", "api/activity?after=0", "api/resources",
	"api/graph", "api/operations", "api/mounts", "api/faults",
}

func TestServer_ServesNothingWithoutToken(t *testing.T) {
	t.Parallel()
	s := serve(t, newFake(t))
	cookie, at := signIn(t, s)
	other := serve(t, newFake(t))
	name, _, _ := strings.Cut(cookie[1], "=")
	for _, path := range paths {
		for what, headers := range map[string][]string{
			"no cookie":               nil,
			"an empty one":            {"Cookie", name + "="},
			"a part of the token":     {"Cookie", name + "=" + s.token[:20]},
			"another run's token":     {"Cookie", name + "=" + other.token},
			"the token in a header":   {"Authorization", "Bearer " + s.token},
			"another cookie with it":  {"Cookie", "other=" + s.token},
			"the token in the query":  nil,
			"a change without cookie": {"Origin", "http://127.0.0.1", ChangeHeader, "1"},
		} {
			at := at + path
			if what == "the token in the query" {
				at += map[bool]string{true: "&", false: "?"}[strings.Contains(at, "?")] + "token=" + s.token
			}
			resp, body := request(t, s, "GET", at, "", headers...)
			if resp.StatusCode != http.StatusUnauthorized || len(body) > 200 {
				t.Errorf("%q with %s: %s", path, what, resp.Status)
			}
		}
	}
	another := "/" + strings.Repeat("A", 26) + "/"
	for _, path := range []string{"/", "/?token=", "/?token=x", "/app.js", "/api/status", another} {
		if resp, _ := request(t, s, "GET", path, ""); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without cookie: %s", path, resp.Status)
		}
		// The path is as secret as the token: browsers send the cookie to it alone.
		if resp, _ := request(t, s, "GET", path, "", cookie...); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s outside of the page's path: %s", path, resp.Status)
		}
	}
}

func TestServer_RefusesOtherHosts(t *testing.T) {
	t.Parallel()
	s := serve(t, newFake(t))
	cookie, at := signIn(t, s)
	_, port, _ := strings.Cut(s.listener.Addr().String(), ":")
	for host, want := range map[string]int{
		"127.0.0.1:" + port:        http.StatusOK,
		"localhost:" + port:        http.StatusForbidden,
		"127.0.0.1":                http.StatusForbidden,
		"localhost":                http.StatusForbidden,
		"127.0.0.1:1":              http.StatusForbidden,
		"attacker.example:" + port: http.StatusForbidden,
		"127.0.0.1.nip.io:" + port: http.StatusForbidden,
		"[::1]:" + port:            http.StatusForbidden,
		"0.0.0.0:" + port:          http.StatusForbidden,
		"localhost.:" + port:       http.StatusForbidden,
	} {
		for _, path := range []string{"", "api/status"} {
			if resp, _ := request(t, s, "GET", at+path, "", append(cookie, "Host", host)...); resp.StatusCode != want {
				t.Errorf("Host %s, %q: %s, want %d", host, path, resp.Status, want)
			}
		}
		resp, _ := request(t, s, "GET", "/?token="+s.token, "", "Host", host)
		if got := resp.StatusCode == http.StatusSeeOther; got != (want == http.StatusOK) {
			t.Errorf("Host %s, the URL with the token: %s", host, resp.Status)
		}
	}
}

func TestServer_ChangesForItsOwnPageAlone(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	s := serve(t, f)
	cookie, at := signIn(t, s)
	base, _, _ := strings.Cut(s.URL(), "/?")
	own := append(slices.Clone(cookie), "Origin", base, ChangeHeader, "1")
	const plan = "rules: [{rate: 1, status: 503}]"
	from := func(origin string) []string { return append(slices.Clone(cookie), "Origin", origin, ChangeHeader, "1") }
	for what, headers := range map[string][]string{
		"no origin":           append(slices.Clone(cookie), ChangeHeader, "1"),
		"no header":           append(slices.Clone(cookie), "Origin", base),
		"another origin":      from("https://attacker.example"),
		"a null origin":       from("null"),
		"another port":        from("http://127.0.0.1:1"),
		"another name of it":  from(strings.Replace(base, "127.0.0.1", "localhost", 1)),
		"another scheme":      from(strings.Replace(base, "http:", "https:", 1)),
		"a cross-site fetch":  append(slices.Clone(own), "Sec-Fetch-Site", "cross-site"),
		"another port's page": append(slices.Clone(own), "Sec-Fetch-Site", "same-site"),
	} {
		for _, method := range []string{"PUT", "DELETE"} {
			if resp, _ := request(t, s, method, at+"api/faults", plan, headers...); resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s with %s: %s", method, what, resp.Status)
			}
		}
	}
	if asked := f.changes(); len(asked) > 0 {
		t.Fatalf("the cloud was asked for %q", asked)
	}
	if resp, text := request(t, s, "PUT", at+"api/faults", plan, own...); resp.StatusCode != http.StatusNoContent {
		t.Fatalf("PUT: %s %s", resp.Status, text)
	}
	if _, text := request(t, s, "GET", at+"api/faults", "", cookie...); !strings.Contains(text, "503") {
		t.Errorf("the fault plan is %s", text)
	}
	resp, text := request(t, s, "PUT", at+"api/faults", "rules: [{rate: 7, status: 503}]", own...)
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(text, "rate") {
		t.Errorf("a plan that is wrong: %s %s", resp.Status, text)
	}
	resp, _ = request(t, s, "PUT", at+"api/faults", strings.Repeat("#", 2<<20), own...)
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a plan of 2 MiB: %s", resp.Status)
	}
	if resp, _ := request(t, s, "DELETE", at+"api/faults", "", own...); resp.StatusCode != http.StatusNoContent {
		t.Errorf("DELETE: %s", resp.Status)
	}
	// What is read is not for pages of other origins either.
	for _, site := range []string{"cross-site", "same-site"} {
		headers := append(slices.Clone(cookie), "Sec-Fetch-Site", site, "Sec-Fetch-Mode", "no-cors")
		if resp, _ := request(t, s, "GET", at+"api/resources", "", headers...); resp.StatusCode != http.StatusForbidden {
			t.Errorf("GET from %s: %s", site, resp.Status)
		}
	}
}

// changes are the requests to the cloud that are not just to read.
func (f *fake) changes() (found []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range f.asked {
		if !strings.HasPrefix(one, "GET ") {
			found = append(found, one)
		}
	}
	return found
}

func TestServer_ForwardsItsPathsAlone(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	s := serve(t, f)
	cookie, at := signIn(t, s)
	base, _, _ := strings.Cut(s.URL(), "/?")
	own := append(slices.Clone(cookie), "Origin", base, ChangeHeader, "1")
	for _, one := range []string{
		"GET api/ci-tokens", "POST api/ci-tokens", "GET api/", "GET api", "POST api/faults", "PUT api/resources",
		"DELETE api/activity", "PATCH api/faults", "GET api/faults/x", "GET api/resources/..%2fci-tokens",
		"GET api//ci-tokens", "GET api/%2e%2e/ci-tokens",
		"GET page/app.js", "GET ..%2fdashboard.go", "GET dashboard.go", "POST ", "OPTIONS api/faults",
	} {
		method, path, _ := strings.Cut(one, " ")
		resp, _ := request(t, s, method, at+path, "", own...)
		if resp.StatusCode < 300 || resp.StatusCode >= 500 {
			t.Errorf("%s: %s", one, resp.Status)
		}
	}
	f.mu.Lock()
	if len(f.asked) > 0 {
		t.Errorf("the cloud was asked for %q", f.asked)
	}
	f.mu.Unlock()

	headers := append(slices.Clone(cookie), "X-Mine", "x")
	request(t, s, "GET", at+"api/activity?after=0&limit=5&secret=x&wait=0s", "", headers...)
	f.mu.Lock()
	defer f.mu.Unlock()
	if want := []string{"GET /activity?after=0&limit=5&wait=0s"}; !slices.Equal(f.asked, want) {
		t.Errorf("the cloud was asked for %q, want %q", f.asked, want)
	}
}

func TestServer_HasNoCredentialsInAnyAnswer(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	s := serve(t, f)
	cookie, at := signIn(t, s)
	check := func(path string) {
		t.Helper()
		resp, text := request(t, s, "GET", at+path, "", cookie...)
		var headers strings.Builder
		if err := resp.Header.Write(&headers); err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{ownersSecret, s.token, s.folder, f.proxy()} {
			if strings.Contains(headers.String()+text, secret) {
				t.Errorf("%q has %q in its answer", path, secret)
			}
		}
	}
	for _, path := range paths {
		check(path)
	}
	f.answerWrongly.Store(true)
	for _, path := range paths {
		check(path)
	}
}

func TestServer_SetsHeadersOnEveryAnswer(t *testing.T) {
	t.Parallel()
	s := serve(t, newFake(t))
	cookie, at := signIn(t, s)
	for _, path := range append([]string{"/", "/?token=" + s.token}, paths...) {
		if !strings.HasPrefix(path, "/") {
			path = at + path
		}
		resp, _ := request(t, s, "GET", path, "", cookie...)
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
			"Cross-Origin-Resource-Policy": "same-origin", "Content-Security-Policy": policy, "Access-Control-Allow-Origin": "",
		} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
	}
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "script-src 'self'"} {
		if !strings.Contains(policy, want) || strings.Contains(policy, "unsafe") {
			t.Errorf("the policy %q lacks %s", policy, want)
		}
	}
}

func TestServer_TellsThatTheCloudIsAway(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	s := serve(t, f)
	cookie, at := signIn(t, s)
	status := func() string {
		_, text := request(t, s, "GET", at+"api/status", "", cookie...)
		return text
	}
	if got := status(); !strings.Contains(got, `"state":"running"`) {
		t.Fatal(got)
	}
	running := f.set(nil)
	resp, text := request(t, s, "GET", at+"api/resources", "", cookie...)
	told := strings.Contains(text, `"stopped"`) && strings.Contains(status(), `"stopped"`)
	if resp.StatusCode != http.StatusServiceUnavailable || !told {
		t.Errorf("of a cloud that has stopped: %s %s, %s", resp.Status, text, status())
	}
	dead := *running
	dead.Proxy = "127.0.0.1:1"
	f.set(&dead)
	resp, text = request(t, s, "GET", at+"api/resources", "", cookie...)
	if resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text, `"unreachable"`) {
		t.Errorf("of a cloud that does not answer: %s %s", resp.Status, text)
	}
	f.set(running)
	if resp, _ := request(t, s, "GET", at+"api/resources", "", cookie...); resp.StatusCode != http.StatusOK {
		t.Errorf("of a cloud that is back: %s", resp.Status)
	}
}

func (f *fake) set(r *layout.Running) (before *layout.Running) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, f.running = f.running, r
	return before
}

func (f *fake) proxy() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running.Proxy
}

func TestListen_IsOnLoopback(t *testing.T) {
	t.Parallel()
	s := serve(t, newFake(t))
	u, err := url.Parse(s.URL())
	if err != nil || u.Hostname() != "127.0.0.1" || !strings.HasPrefix(s.listener.Addr().String(), "127.0.0.1:") {
		t.Errorf("it listens on %s, and prints %s", s.listener.Addr(), s.URL())
	}
	if again := serve(t, newFake(t)); again.token == s.token || again.folder == s.folder || len(s.token) < 26 {
		t.Error("two runs have the same token, or it is short")
	}
	if _, err := Listen(Options{Port: s.port}); err == nil || !strings.Contains(err.Error(), "--port") {
		t.Errorf("a port in use: %v", err)
	}
}
