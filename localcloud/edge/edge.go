// Package edge lets clients of the local cloud use the names of production.
//
// It is an HTTP proxy for CONNECT only. A host that was registered with Handle is answered by its handler, behind TLS
// terminated with a throw-away CA; the bytes of a host registered with Tunnel are passed on as they are. Any other host is
// refused, so nothing leaves the machine. Clients need HTTPS_PROXY and, with CAFile, SSL_CERT_FILE.
package edge

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Dialer opens a connection to the server behind a tunnel.
type Dialer func(ctx context.Context) (net.Conn, error)

// Edge is the table of hosts and what answers for them. Its methods may be called at any time, from any goroutine.
type Edge struct {
	ca       *authority
	bodyTime time.Duration // how long a client may take for the body of a request

	mu       sync.RWMutex
	handlers map[string]http.Handler
	tunnels  map[string]Dialer
	admit    func(host, origin string) error
}

// New loads the CA under dir (ca.pem and ca-key.pem, the key with mode 0600), or makes it.
func New(dir string) (*Edge, error) {
	ca, err := loadAuthority(dir)
	if err != nil {
		return nil, err
	}
	return &Edge{ca: ca, bodyTime: time.Minute, handlers: map[string]http.Handler{}, tunnels: map[string]Dialer{}}, nil
}

// CAFile is the path of the CA's certificate, for SSL_CERT_FILE.
func (e *Edge) CAFile() string { return e.ca.file }

// Handle answers https://host (port 443) with h, replacing what was registered before. The host is a name, or "*." and a
// domain for every name of one more label; case does not count.
func (e *Edge) Handle(host string, h http.Handler) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.handlers[strings.ToLower(host)] = h
}

// Tunnel passes connections to host (port 443) on to what dial opens. TLS is between the client and that server.
func (e *Edge) Tunnel(host string, dial func(ctx context.Context) (net.Conn, error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tunnels[strings.ToLower(host)] = dial
}

// Untunnel undoes Tunnel. Open connections stay.
func (e *Edge) Untunnel(host string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.tunnels, strings.ToLower(host))
}

// Admit has admit say who may go through tunnels: with the host, and the Origin of who asks for it. The client is told its error, which
// takes the place of a network in which nothing answers. Open connections stay. Before it is called, all may.
func (e *Edge) Admit(admit func(host, origin string) error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.admit = admit
}

func (e *Edge) handler(host string) (http.Handler, bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	host = strings.ToLower(host)
	if h, ok := e.handlers[host]; ok {
		return h, true
	}
	label, domain, _ := strings.Cut(host, ".")
	h, ok := e.handlers["*."+domain]
	return h, ok && label != ""
}

func (e *Edge) tunnel(host string) (Dialer, bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	dial, ok := e.tunnels[strings.ToLower(host)]
	admit := e.admit
	if !ok || admit == nil {
		return dial, ok
	}
	return func(ctx context.Context) (net.Conn, error) {
		if err := admit(host, Origin(ctx)); err != nil {
			return nil, err
		}
		return dial(ctx)
	}, true
}

// target splits what a CONNECT asks for and reports whether the edge knows it.
func (e *Edge) target(authority string) (host string, err error) {
	host, port, err := net.SplitHostPort(authority)
	if err != nil {
		return "", fmt.Errorf("%q is not host:port", authority)
	}
	_, handled := e.handler(host)
	_, tunnelled := e.tunnel(host)
	if port != "443" || !handled && !tunnelled {
		return "", fmt.Errorf("%s is not a host of the local cloud, and nothing else can be reached from here", authority)
	}
	return strings.ToLower(host), nil
}
