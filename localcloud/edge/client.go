package edge

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Client returns a client that calls handlers by host name within the process, without a proxy or TLS. Requests to
// other hosts fail.
func (e *Edge) Client() *http.Client { return &http.Client{Transport: inProcess{e}} }

var errNotServed = errors.New("not a host of the local cloud")

type inProcess struct{ edge *Edge }

func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	h, ok := t.edge.handler(r.URL.Hostname())
	if !ok || r.URL.Scheme != "https" || r.URL.Port() != "" && r.URL.Port() != "443" {
		return nil, fmt.Errorf("%s://%s: %w", r.URL.Scheme, r.URL.Host, errNotServed)
	}
	in := r.Clone(r.Context())
	in.Host, in.RequestURI = r.URL.Host, r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := &recorder{header: http.Header{}, status: http.StatusOK}
	if !answered(h, w, in) {
		return nil, errReset
	}
	return &http.Response{
		Status:     fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)),
		StatusCode: w.status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        w.header,
		Body:          io.NopCloser(&w.body),
		ContentLength: int64(w.body.Len()),
		Request:       r,
	}, nil
}

var errReset = errors.New("the connection was reset")

// answered calls a handler and reports whether it answered, instead of ending the connection.
func answered(h http.Handler, w http.ResponseWriter, r *http.Request) (ok bool) {
	defer func() {
		if fault := recover(); fault != nil && fault != http.ErrAbortHandler { //nolint:errorlint // this very value
			panic(fault)
		}
	}()
	h.ServeHTTP(w, r)
	return true
}

// recorder stores one response.
type recorder struct {
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if !w.wrote {
		w.status, w.wrote = status, true
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	w.wrote = true
	return w.body.Write(p)
}
