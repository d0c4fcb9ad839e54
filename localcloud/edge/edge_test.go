package edge

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// serve starts an edge with a host and a domain, and returns it with a client and the proxy's address.
func serve(t *testing.T, h http.HandlerFunc) (*Edge, *http.Client, string) {
	t.Helper()
	e, err := New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	e.Handle("Known.example", h)
	e.Handle("*.domain.example", h)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- e.Serve(ctx, l) }()
	transport := &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: l.Addr().String()}),
		TLSClientConfig: &tls.Config{RootCAs: roots(t, e)},
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	return e, &http.Client{Transport: transport}, l.Addr().String()
}

func roots(t *testing.T, e *Edge) *x509.CertPool {
	t.Helper()
	ca, err := os.ReadFile(e.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return pool
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprint(w, r.Host, " ", string(body))
}

func TestServe_AnswersRegisteredHosts(t *testing.T) {
	t.Parallel()
	_, client, _ := serve(t, echo)
	for host, want := range map[string]bool{
		"known.example": true, "KNOWN.example": true, "a.domain.example": true, "known.example:443": true,
		"domain.example": false, "a.b.domain.example": false, ".domain.example": false, "unknown.example": false,
		"known.example:80": false, "known.example.": false, "127.0.0.1": false, "[::1]": false,
	} {
		resp, err := client.Get("https://" + host)
		if (err == nil) != want {
			t.Errorf("%s: %v", host, err)
		}
		if err == nil {
			resp.Body.Close()
		}
	}
}

// ask sends text to the proxy and returns the status of the answer, or 0.
func ask(t *testing.T, proxy, text string) int {
	t.Helper()
	conn, err := net.Dial("tcp", proxy)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		return 0
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestServe_AcceptsOnlyCONNECT(t *testing.T) {
	t.Parallel()
	_, _, proxy := serve(t, echo)
	for _, of := range []struct {
		line, headers string
		want          int
	}{
		{"GET http://known.example/", "Host: known.example", http.StatusForbidden},
		{"GET /", "Host: localhost", http.StatusForbidden},
		{"CONNECT known.example:80", "Host: known.example:80", http.StatusForbidden},
		{"CONNECT unknown.example:443", "Host: known.example:443", http.StatusForbidden},
		{"CONNECT known.example", "Host: known.example", http.StatusForbidden},
		{"CONNECT known.example:443:443", "Host: known.example:443", http.StatusBadRequest},
		{"CONNECT known.example:443", "Host: known.example:443", http.StatusOK},
		{"CONNECT known.example:443", "Host: other.example:443\r\nProxy-Authorization: Basic x", http.StatusOK},
		{"CONNECT known.example:443", "X: " + strings.Repeat("x", 2<<20), http.StatusRequestHeaderFieldsTooLarge},
	} {
		text := of.line + " HTTP/1.1\r\n" + of.headers + "\r\n\r\n"
		reset := func(got int) bool { return len(text) > 1<<20 && got == 0 } // while the request was still being sent
		if got := ask(t, proxy, text); got != of.want && !reset(got) {
			t.Errorf("%.80q: %d, want %d", text, got, of.want)
		}
	}
	if got := ask(t, proxy, "nonsense\r\n\r\n"); got != http.StatusBadRequest {
		t.Errorf("nonsense: %d", got)
	}
}

// connected returns a TLS connection to a host.
func connected(t *testing.T, e *Edge, proxy, host string) *tls.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", proxy)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "CONNECT %s:443 HTTP/1.1\r\nHost: %[1]s:443\r\n\r\n", host)
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return tls.Client(conn, &tls.Config{RootCAs: roots(t, e), ServerName: host})
}

func TestServe_AnswersOnlyConnectedHost(t *testing.T) {
	t.Parallel()
	e, _, proxy := serve(t, echo)
	conn := connected(t, e, proxy, "a.domain.example")
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: known.example\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMisdirectedRequest {
		t.Error(resp.Status)
	}
}

func TestServe_LimitsTimeOfBody(t *testing.T) {
	t.Parallel()
	late := make(chan error, 1)
	e, _, proxy := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		late <- err
	})
	e.bodyTime = 100 * time.Millisecond
	conn := connected(t, e, proxy, "known.example")
	fmt.Fprint(conn, "PUT / HTTP/1.1\r\nHost: known.example\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
	select {
	case err := <-late:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the body ended with %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("the handler still reads")
	}
}

// TestServe_DoesNotLimitOperations has a handler that takes longer than the limit for the body.
func TestServe_DoesNotLimitOperations(t *testing.T) {
	t.Parallel()
	e, client, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
			w.WriteHeader(http.StatusGone)
		case <-time.After(400 * time.Millisecond):
		}
	})
	e.bodyTime = 100 * time.Millisecond
	for range 2 { // the second time on the same connection
		resp, err := client.Post("https://known.example", "text/plain", strings.NewReader("a"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Error(resp.Status)
		}
	}
}

func TestServe_AnswersManyClients(t *testing.T) {
	t.Parallel()
	e, client, _ := serve(t, echo)
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			host := fmt.Sprintf("h%d.domain.example", i%7)
			resp, err := client.Post("https://"+host, "text/plain", strings.NewReader(fmt.Sprint(i)))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if want := fmt.Sprintf("%s %d", host, i); err != nil || string(body) != want {
				t.Errorf("%q, %v, want %q", body, err, want)
			}
		})
		all.Go(func() {
			e.Tunnel("t.example", func(context.Context) (net.Conn, error) { return nil, io.EOF })
			e.Untunnel("t.example")
		})
	}
	all.Wait()
}

func TestNew_NamesDamagedFile(t *testing.T) {
	t.Parallel()
	for _, name := range []string{caFile, keyFile} {
		for _, content := range []string{"", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
			dir := t.TempDir()
			if _, err := New(dir); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, name)
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := New(dir); err == nil || !strings.Contains(err.Error(), file) {
				t.Errorf("%s with %q: %v", name, content, err)
			}
			if kept, _ := os.ReadFile(file); string(kept) != content {
				t.Errorf("%s with %q was replaced", name, content)
			}
		}
	}
}

func FuzzTarget(f *testing.F) {
	for _, seed := range []string{
		"known.example:443", "KNOWN.EXAMPLE:443", "a.domain.example:443", ".domain.example:443", "known.example", ":443",
		"[::1]:443", "known.example:443:443", "known.example:0443", "known.example\x00:443", "*.domain.example:443",
		"known.example.:443", "a:b@known.example:443", "",
	} {
		f.Add(seed)
	}
	e, err := New(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	e.Handle("known.example", http.NotFoundHandler())
	e.Handle("*.domain.example", http.NotFoundHandler())
	f.Fuzz(func(t *testing.T, authority string) {
		host, err := e.target(authority)
		if err != nil {
			return
		}
		label, ok := strings.CutSuffix(host, ".domain.example")
		if host != "known.example" && (!ok || label == "" || strings.Contains(label, ".")) {
			t.Errorf("%q is accepted as %q", authority, host)
		}
	})
}

// FuzzServe sends arbitrary requests. The proxy answers each or closes the connection.
func FuzzServe(f *testing.F) {
	for _, seed := range []string{
		"CONNECT known.example:443 HTTP/1.1\r\n\r\n",
		"CONNECT known.example:443 HTTP/1.0\r\nHost: x\r\n\r\n\x16\x03\x01",
		"GET / HTTP/1.1\r\n\r\n",
		"CONNECT / HTTP/1.1\r\nHost: known.example:443\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"\x16\x03\x01\x02\x00",
		"CONNECT",
		"POST http://known.example/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
	} {
		f.Add([]byte(seed))
	}
	e, err := New(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	e.Handle("known.example", http.HandlerFunc(echo))
	s := &session{edge: e, ctx: f.Context(), inner: newPipe(&net.TCPAddr{}), conns: map[net.Conn]struct{}{}}
	f.Fuzz(func(t *testing.T, request []byte) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(string(request))))
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		defer func() { // for a known host the edge hijacks the connection, which a recorder does not support
			if fault := recover(); fault != nil && !strings.EqualFold(r.Host, "known.example:443") {
				t.Errorf("%q: %v", request, fault)
			}
		}()
		s.connect(w, r)
		if w.Code != http.StatusForbidden {
			t.Errorf("%q: %d", request, w.Code)
		}
	})
}
