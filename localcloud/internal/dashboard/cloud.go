package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/faults"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/layout"
)

// cloud is the local cloud as the server reaches it.
type cloud struct {
	running  func() (*layout.Running, error)
	starting func(error) bool

	mu     sync.Mutex
	last   layout.Running // the one that client reaches
	client *http.Client
}

// away is why the local cloud does not answer.
type away struct {
	State string `json:"state"` // stopped, starting or unreachable
	Why   string `json:"message"`
}

func (a *away) Error() string { return a.Why }

// reach returns a client of the cloud that runs now.
func (c *cloud) reach() (*http.Client, *layout.Running, error) {
	r, err := c.running()
	if r == nil {
		why := &away{State: "stopped", Why: err.Error()}
		if c.starting != nil && c.starting(err) {
			why.State = "starting"
		}
		return nil, nil, why
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client == nil || c.last.PID != r.PID || c.last.Proxy != r.Proxy || c.last.CAFile != r.CAFile {
		client, err := r.HTTPClient()
		if err != nil {
			return nil, nil, &away{State: "unreachable", Why: err.Error()}
		}
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		if c.client != nil {
			c.client.CloseIdleConnections()
		}
		c.client, c.last = client, *r
	}
	return c.client, r, nil
}

// largest is how large an answer of the cloud, and a fault plan, may be, in bytes.
const largest = 32 << 20

// ask sends a request to the cloud with its owner's credentials, and returns the status and body of the answer.
func (c *cloud) ask(ctx context.Context, method, path string, query url.Values, body []byte) (int, []byte, error) {
	client, r, err := c.reach()
	if err != nil {
		return 0, nil, err
	}
	to := url.URL{Scheme: "https", Host: faults.Host, Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, to.String(), bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.SetBasicAuth(r.Credentials.ClientID, r.Credentials.ClientSecret)
	resp, err := client.Do(req) //nolint:gosec // the host is the local cloud's own, and routes fix the paths
	if err != nil {
		return 0, nil, &away{State: "unreachable", Why: fmt.Sprintf("the local cloud does not answer: %v", err)}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, largest))
	if err != nil {
		return 0, nil, &away{State: "unreachable", Why: fmt.Sprintf("the local cloud's answer breaks off: %v", err)}
	}
	return resp.StatusCode, text, nil
}

// queries are the parameters that are passed on.
var queries = []string{"after", "limit", "wait"}

// forward passes a request of the page on to the cloud, and the answer back. No header goes either way.
func (s *Server) forward(w http.ResponseWriter, r *http.Request) {
	var body []byte
	if r.Method == http.MethodPut {
		var err error
		if body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20)); err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
	}
	query := url.Values{}
	for _, name := range queries {
		if value := r.URL.Query().Get(name); value != "" {
			query.Set(name, value)
		}
	}
	status, text, err := s.cloud.ask(r.Context(), r.Method, strings.TrimPrefix(r.URL.Path, "/api"), query, body)
	switch {
	case err != nil:
		fail(w, err)
	case status == http.StatusNotFound:
		fail(w, &away{State: "unreachable", Why: "the local cloud is of a version that does not tell what it does: " +
			"restart it with `localcloud stop` and `localcloud start`"})
	case status == http.StatusOK && json.Valid(text):
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text) //nolint:gosec // it is JSON, says so, and browsers must not sniff
	case status == http.StatusNoContent:
		w.WriteHeader(status)
	case status >= 400 && status < 500 && status != http.StatusUnauthorized:
		http.Error(w, string(text), status) // what is wrong with a fault plan
	default:
		fail(w, fmt.Errorf("the local cloud answers %d", status))
	}
}

// status tells how the cloud is, and which it is.
func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	answer := struct {
		Name    string `json:"name"`
		State   string `json:"state"`
		Message string `json:"message,omitempty"`
		Started string `json:"started,omitempty"`
		Times   string `json:"times,omitempty"`
	}{Name: s.name, State: "running"}
	why := new(away)
	switch _, r, err := s.cloud.reach(); {
	case errors.As(err, &why):
		answer.State, answer.Message = why.State, why.Why
	case r != nil:
		answer.Started, answer.Times = r.Started.UTC().Format("2006-01-02T15:04:05Z"), r.Times
	}
	reply(w, answer)
}

// fail tells the page why there is no answer.
func fail(w http.ResponseWriter, err error) {
	why := new(away)
	if !errors.As(err, &why) {
		why = &away{State: "unreachable", Why: err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_ = json.NewEncoder(w).Encode(why) // the browser has gone: nobody to tell
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the browser has gone: nobody to tell
}
