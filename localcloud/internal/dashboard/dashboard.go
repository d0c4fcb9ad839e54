// Package dashboard serves a page that shows the local cloud at work: its resources, each request with its caller and
// the reason why it was allowed or refused, the mounts of pods, long operations, and faults to switch on and off.
//
// Only the user who starts the server reaches the page: the server listens on loopback, and serves nothing without the
// token of its run. It sends requests to the local cloud with the owner's credentials, which never reach the browser.
package dashboard

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/layout"
)

// Options of a Server.
type Options struct {
	// Port on 127.0.0.1. Defaults to a free one.
	Port int
	// Name is what the page calls the local cloud, such as the name of the program.
	Name string
	// Cloud returns how the local cloud is reached. The server calls it for every request of the page, so it finds a
	// local cloud that has restarted. An error means that the cloud is not reached now, unless a value comes with it.
	Cloud func() (*layout.Running, error)
	// Starting reports whether an error of Cloud means that the local cloud is about to be there.
	Starting func(error) bool
}

// Server serves the page.
type Server struct {
	listener net.Listener
	port     int
	token    string
	folder   string // the first element of all paths, as random as the token
	name     string
	cloud    cloud
	layouts  layouts
}

// Listen listens on loopback. The caller must call [Server.Serve].
func Listen(o Options) (*Server, error) {
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(o.Port)))
	if err != nil {
		return nil, fmt.Errorf("listening for browsers: %w; choose another port with --port, or 0 for a free one", err)
	}
	return &Server{
		listener: l,
		port:     l.Addr().(*net.TCPAddr).Port,
		token:    rand.Text(),
		folder:   rand.Text(),
		name:     o.Name,
		cloud:    cloud{running: o.Cloud, starting: o.Starting},
	}, nil
}

// URL returns the URL to open in a browser. It contains the token.
func (s *Server) URL() string { return fmt.Sprintf("http://127.0.0.1:%d/?token=%s", s.port, s.token) }

// Serve serves the page until ctx is done.
func (s *Server) Serve(ctx context.Context) error {
	server := http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    1 << 16,
		BaseContext:       func(net.Listener) context.Context { return ctx }, // which ends requests that wait, too
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the page: %w", err)
	}
	return nil
}

// Handler returns the handler of all requests.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /", files())
	mux.HandleFunc("GET /api/status", s.status)
	mux.HandleFunc("GET /api/graph", s.graph)
	for _, name := range []string{"activity", "resources", "operations", "mounts", "faults"} {
		mux.HandleFunc("GET /api/"+name, s.forward)
	}
	mux.HandleFunc("PUT /api/faults", s.forward)
	mux.HandleFunc("DELETE /api/faults", s.forward)
	return s.guard(mux)
}
