package dashboard

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// ChangeHeader is a header of requests that change something. A page of another origin can send it only if the answer
// to a preflight request allows it, and no answer here does.
const ChangeHeader = "X-Localcloud-Dashboard"

// policy is the Content-Security-Policy: the page loads from this server alone, and never makes script from text.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// guard lets only the browser in which the user opened the URL through to h.
//
// Browsers send a cookie to all ports of a host (RFC 6265, section 8.5), which may be servers of other users of the
// machine. The page's path is therefore random, and browsers send the cookie to URLs below it alone.
func (s *Server) guard(h http.Handler) http.Handler {
	port := strconv.Itoa(s.port)
	// Not localhost: a browser may take it for ::1, where another user of the machine can listen on the same port.
	hosts := []string{"127.0.0.1:" + port}
	if s.port == 80 { // which browsers leave out
		hosts = append(hosts, "127.0.0.1")
	}
	cookie := "localcloud-dashboard-" + port
	base := "/" + s.folder + "/"
	h = http.StripPrefix(strings.TrimSuffix(base, "/"), h)

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Cache-Control", "no-store")
		// An attacker's name can resolve to 127.0.0.1 (DNS rebinding). The Host header then has that name.
		if !slices.Contains(hosts, r.Host) {
			http.Error(w, "Open the page at 127.0.0.1.", http.StatusForbidden)
			return
		}
		if r.Method == http.MethodGet && r.URL.Path == "/" && s.is(r.URL.Query().Get("token")) {
			http.SetCookie(w, &http.Cookie{ //nolint:gosec // not Secure: the page is plain HTTP on loopback
				Name: cookie, Value: s.token, Path: base, HttpOnly: true, SameSite: http.SameSiteStrictMode,
			})
			header.Set("Location", base)
			w.WriteHeader(http.StatusSeeOther)
			return
		}
		if c, err := r.Cookie(cookie); err != nil || !s.is(c.Value) || !strings.HasPrefix(r.URL.Path, base) {
			http.Error(w, "Open the whole URL that `localcloud dashboard` has printed, with its token.", http.StatusUnauthorized)
			return
		}
		if err := sameOrigin(r); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// is reports whether a text is the token. The time it takes does not depend on how much of the text is right.
func (s *Server) is(token string) bool {
	return subtle.ConstantTimeCompare([]byte(token), []byte(s.token)) == 1
}

// sameOrigin refuses what a page of another origin asks for.
func sameOrigin(r *http.Request) error {
	// https://www.w3.org/TR/fetch-metadata/: "none" is the user, "same-site" another port of the same host.
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "", "same-origin", "none":
	default:
		if r.Header.Get("Sec-Fetch-Mode") != "navigate" {
			return fmt.Errorf("a page of another origin asks (Sec-Fetch-Site: %q)", site)
		}
	}
	if r.Method == http.MethodGet {
		return nil
	}
	own := url.URL{Scheme: "http", Host: r.Host}
	if r.Header.Get("Origin") != own.String() || r.Header.Get(ChangeHeader) == "" {
		return fmt.Errorf("a change needs the header Origin of this page, and %s", ChangeHeader)
	}
	return nil
}
