// Package activity records the requests to the local cloud in memory: who asked for what, what was decided and why. It
// keeps no header, no body and no query but the API version, so nothing secret is in it.
package activity

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
)

// Request is a request that was answered.
type Request struct {
	// Number counts the requests of a record, from 1.
	Number     int       `json:"number"`
	Time       time.Time `json:"time"`
	TookMs     float64   `json:"tookMs"`
	Service    string    `json:"service"`
	Method     string    `json:"method"`
	Host       string    `json:"host"`
	Path       string    `json:"path"`
	APIVersion string    `json:"apiVersion,omitempty"`
	// Status is 0 where the client got no answer.
	Status   int                     `json:"status"`
	Caller   Caller                  `json:"caller"`
	Decision *authorization.Decision `json:"decision,omitempty"`
	// Error is the code of the error that was answered.
	Error string `json:"error,omitempty"`
	// Fault is the fault that the fault plan injected.
	Fault string `json:"fault,omitempty"`
}

// Kinds of callers.
const (
	Anonymous        = "anonymous"
	Cluster          = "cluster"
	ManagedIdentity  = "managed identity"
	ServicePrincipal = "service principal"
)

// Caller is who sent a request.
type Caller struct {
	ObjectID string `json:"objectId,omitempty"`
	Name     string `json:"name,omitempty"`
	Kind     string `json:"kind"`
	// Subject is that of the federated token with which the caller signed in. It is empty where a secret was used.
	Subject string `json:"subject,omitempty"`
}

// Record keeps the last requests. Its methods may be called from any goroutine.
type Record struct {
	started time.Time

	mu      sync.Mutex
	ring    []Request
	count   int           // of all requests so far
	waiting chan struct{} // closed by the next request; nil: nobody waits
}

// New makes a record of the last requests, at most size of them.
func New(size int) *Record { return &Record{started: time.Now().UTC(), ring: make([]Request, 0, size)} }

// Started returns when the record began.
func (r *Record) Started() time.Time { return r.started }

// Since returns the requests after the one with a number, oldest first and at most limit, and the number of the last.
// Without any it returns a channel that is closed by the next request. A number that the record has not reached is of
// an earlier record: the answer begins with the first request.
func (r *Record) Since(after, limit int) (found []Request, next int, newer <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if after > r.count || after < 0 {
		after = 0
	}
	first := max(after, r.count-len(r.ring))
	next = min(first+limit, r.count)
	for n := first; n < next; n++ {
		found = append(found, r.ring[n%cap(r.ring)])
	}
	if next == r.count && len(found) == 0 {
		if r.waiting == nil {
			r.waiting = make(chan struct{})
		}
		newer = r.waiting
	}
	return found, next, newer
}

func (r *Record) add(q Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	q.Number = r.count
	if len(r.ring) < cap(r.ring) {
		r.ring = append(r.ring, q)
	} else {
		r.ring[(q.Number-1)%cap(r.ring)] = q
	}
	if r.waiting != nil {
		close(r.waiting)
		r.waiting = nil
	}
}

// Entry is a request that is being answered. Its methods may be called from any goroutine, and do nothing for a nil
// entry, which is that of requests that are not recorded, or once the request is answered.
type Entry struct {
	mu      sync.Mutex
	request Request
}

type entryKey struct{}

// From returns the entry of a request with this context, or nil.
func From(ctx context.Context) *Entry {
	entry, _ := ctx.Value(entryKey{}).(*Entry)
	return entry
}

func (e *Entry) edit(f func(*Request)) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	f(&e.request)
}

// CalledBy records who sent the request.
func (e *Entry) CalledBy(caller Caller) {
	caller.Name, caller.Subject = short(caller.Name), short(caller.Subject)
	e.edit(func(q *Request) { q.Caller = caller })
}

// Decided records a decision on the request. Of several the first counts, or the last refusal.
func (e *Entry) Decided(d authorization.Decision) {
	// Clients choose some of these texts, such as the subject of a token that is not verified.
	d.Action, d.Scope, d.Because, d.Missing = short(d.Action), short(d.Scope), short(d.Because), short(d.Missing)
	e.edit(func(q *Request) {
		if q.Decision == nil || !d.Allowed {
			q.Decision = &d
		}
	})
}

// Unauthenticated records that the request has no access token, or one that the service does not take. Clients send a
// request without a token to be told where to get one.
func (e *Entry) Unauthenticated(r *http.Request) {
	missing := "an access token: the request has none"
	if r.Header.Get("Authorization") != "" {
		missing = "an access token that is valid for the service"
	}
	e.Decided(authorization.Decision{Missing: missing})
}

// Replace records the decision that counts after others were recorded.
func (e *Entry) Replace(d authorization.Decision) {
	e.edit(func(q *Request) { q.Decision = nil })
	e.Decided(d)
}

// Met records the fault that was injected into the request.
func (e *Entry) Met(fault string) { e.edit(func(q *Request) { q.Fault = short(fault) }) }

// Handler records the requests to a service.
func (r *Record) Handler(service string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		start := time.Now()
		entry := &Entry{request: Request{
			Time: start.UTC(), Service: service, Method: short(req.Method), Host: short(strings.TrimSuffix(req.Host, ":443")),
			Path: short(req.URL.Path), APIVersion: apiVersion(req), Caller: Caller{Kind: Anonymous},
		}}
		answer := &answer{ResponseWriter: w}
		defer func() { // also of a handler that resets the connection, which is a panic
			entry.mu.Lock()
			q := entry.request
			entry.mu.Unlock()
			q.TookMs = float64(time.Since(start).Microseconds()) / 1000
			q.Status, q.Error = answer.status, answer.code()
			r.add(q)
		}()
		h.ServeHTTP(answer, req.WithContext(context.WithValue(req.Context(), entryKey{}, entry)))
		if answer.status == 0 {
			answer.status = http.StatusOK // as net/http answers for a handler that writes nothing
		}
	})
}

// version is what API versions look like: 2024-11-01, 2024-12-01-preview or 7.4.
var version = regexp.MustCompile(`^[0-9][0-9.-]{0,11}(-preview(\.[0-9])?)?$`)

// apiVersion returns the API version of a request. A text that is none might be anything.
func apiVersion(r *http.Request) string {
	given := r.URL.Query().Get("api-version")
	if !version.MatchString(given) {
		return ""
	}
	return given
}

// longest is how long a text on the record can be. Paths of ARM ids are shorter than that.
const longest = 1024

func short(text string) string {
	if len(text) > longest {
		return strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}
