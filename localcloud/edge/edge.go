// Package edge lets clients of the local cloud use production's host names.
//
// It is an HTTP proxy that supports only CONNECT. For a host registered with Handle it terminates TLS with a throw-away
// CA and calls the host's handler. For a host registered with Tunnel it passes bytes on unchanged. It rejects all other
// hosts, so nothing leaves the machine. Clients need HTTPS_PROXY and SSL_CERT_FILE, set to CAFile.
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

// Edge maps hosts to their handlers and tunnels. Its methods are safe for concurrent use.
type Edge struct {
	ca       *authority
	bodyTime time.Duration // limit for a client to send the body of a request

	mu       sync.RWMutex
	handlers map[string]http.Handler
	tunnels  map[string]Dialer
	admit    func(host, origin string) error
}

// New loads the CA from dir (ca.pem and ca-key.pem, the key with mode 0600), or creates it.
func New(dir string) (*Edge, error) {
	ca, err := loadAuthority(dir)
	if err != nil {
		return nil, err
	}
	return &Edge{ca: ca, bodyTime: time.Minute, handlers: map[string]http.Handler{}, tunnels: map[string]Dialer{}}, nil
}

// CAFile returns the path of the CA's certificate, for SSL_CERT_FILE.
func (e *Edge) CAFile() string { return e.ca.file }

// Handle registers h for https://host (port 443) and replaces an earlier handler. The host is a name, or "*." and a
// domain for every name with one more label. Case does not matter.
func (e *Edge) Handle(host string, h http.Handler) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.handlers[strings.ToLower(host)] = h
}

// Tunnel passes connections to host (port 443) on to the server that dial connects to. That server terminates TLS.
func (e *Edge) Tunnel(host string, dial func(ctx context.Context) (net.Conn, error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tunnels[strings.ToLower(host)] = dial
}

// Untunnel undoes Tunnel. Open connections stay open.
func (e *Edge) Untunnel(host string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.tunnels, strings.ToLower(host))
}

// Admit sets the function that decides who may use a tunnel, by the host and the client's Origin. The client gets the
// error, which stands for a network in which nothing answers. Open connections stay open. By default everyone may use
// all tunnels.
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

// target returns the host of a CONNECT request's target, or an error if the edge does not serve it.
func (e *Edge) target(authority string) (host string, err error) {
	host, port, err := net.SplitHostPort(authority)
	if err != nil {
		return "", fmt.Errorf("%q is not host:port", authority)
	}
	_, handled := e.handler(host)
	_, tunnelled := e.tunnel(host)
	if port != "443" || !handled && !tunnelled {
		return "", fmt.Errorf("%s is not a host of the local cloud, and its proxy reaches no other hosts", authority)
	}
	return strings.ToLower(host), nil
}
