package edge

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// handshakeTime limits a client's TLS handshake and a connection to a tunnel's server.
const handshakeTime = 10 * time.Second

type hostKey struct{}

type originKey struct{}

// WithOrigin returns a context for Serve that tells handlers where its requests come from.
func WithOrigin(ctx context.Context, origin string) context.Context {
	return context.WithValue(ctx, originKey{}, origin)
}

// Origin returns the origin that WithOrigin set for a request's context, or "".
func Origin(ctx context.Context) string {
	origin, _ := ctx.Value(originKey{}).(string)
	return origin
}

// Serve answers proxy requests on l until ctx is done. It then closes l and all connections and returns nil. The
// contexts of open requests are done, too.
func (e *Edge) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	s := &session{edge: e, ctx: ctx, inner: newPipe(l.Addr()), conns: map[net.Conn]struct{}{}}
	quiet := log.New(io.Discard, "", 0) // clients that hang up are not worth logging
	terminated := &http.Server{
		Handler:           http.HandlerFunc(e.dispatch),
		ReadHeaderTimeout: handshakeTime,
		ErrorLog:          quiet,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, hostKey{}, c.(hostConn).host)
		},
	}
	proxy := &http.Server{
		Handler:           http.HandlerFunc(s.connect),
		ReadHeaderTimeout: handshakeTime,
		ErrorLog:          quiet,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	done := make(chan error, 2)
	go func() { done <- terminated.Serve(s.inner) }()
	go func() { done <- proxy.Serve(l) }()

	var err error
	running := 2
	select {
	case <-ctx.Done():
	case err = <-done: // the listener failed
		running--
	}
	cancel()
	proxy.Close()
	terminated.Close()
	s.closeAll()
	for range running {
		<-done //nolint:errcheck // only the first error is returned
	}
	s.wg.Wait()
	return err
}

// dispatch passes a request to its host's handler. The host in the request must be the one the client connected to.
func (e *Edge) dispatch(w http.ResponseWriter, r *http.Request) {
	connected := r.Context().Value(hostKey{}).(string)
	if host := strings.TrimSuffix(strings.ToLower(r.Host), ":443"); host != connected {
		http.Error(w, "connected to "+connected+", asked for "+host, http.StatusMisdirectedRequest)
		return
	}
	h, ok := e.handler(connected)
	if !ok {
		http.Error(w, connected+" is no longer served", http.StatusBadGateway)
		return
	}
	if r.ContentLength != 0 { // net/http removes the deadline at the end of the body: operations may take longer
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(e.bodyTime))
	}
	h.ServeHTTP(w, r)
}

// session is one run of Serve, with the connections that it has taken over from the proxy's HTTP server.
type session struct {
	edge  *Edge
	ctx   context.Context
	inner *pipe

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	wg    sync.WaitGroup
}

func (s *session) connect(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "plain HTTP is not supported: use https, through CONNECT", http.StatusForbidden)
		return
	}
	host, err := s.edge.target(r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	// A tunnel takes precedence over a handler: an API server's own name is more specific than a wildcard.
	var server net.Conn
	dial, tunnelled := s.edge.tunnel(host)
	if tunnelled {
		ctx, cancel := context.WithTimeout(r.Context(), handshakeTime)
		defer cancel()
		if server, err = dial(ctx); err != nil {
			http.Error(w, "reaching "+host+": "+err.Error(), http.StatusBadGateway)
			return
		}
	}
	client, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	conns := []net.Conn{client}
	if tunnelled {
		conns = append(conns, server)
	}
	if !s.adopt(conns) {
		return
	}
	go func() {
		defer s.wg.Done()
		_ = client.SetDeadline(time.Time{})
		_, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
		// A client may have sent its first bytes along with the CONNECT.
		reader := &bufferedConn{Conn: client, r: buffered.Reader}
		switch {
		case err != nil:
			s.drop(conns...)
		case tunnelled:
			splice(reader, server)
			s.drop(conns...)
		default:
			s.terminate(reader, host)
		}
	}()
}

// terminate does the TLS handshake and passes the connection to the inner server, which closes it.
func (s *session) terminate(client *bufferedConn, host string) {
	conn := tls.Server(client, &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.edge.ca.leaf(host)
		},
	})
	ctx, cancel := context.WithTimeout(s.ctx, handshakeTime)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		s.drop(client.Conn)
		return
	}
	if err := s.inner.hand(s.ctx, hostConn{Conn: conn, host: host, closed: func() { s.drop(client.Conn) }}); err != nil {
		s.drop(client.Conn)
	}
}

// splice copies in both directions until both have ended or one has failed.
func splice(client *bufferedConn, server net.Conn) {
	var both sync.WaitGroup
	pass := func(to net.Conn, from io.Reader) {
		_, err := io.Copy(to, from)
		if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
			_ = half.CloseWrite() // the other direction may continue
			return
		}
		client.Close()
		server.Close()
	}
	both.Go(func() { pass(server, client) })
	both.Go(func() { pass(client.Conn, server) })
	both.Wait()
}

// adopt registers conns until drop and reports whether the session is still open. If not, it closes them. If it returns
// true, the caller must call wg.Done.
func (s *session) adopt(conns []net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		for _, c := range conns {
			c.Close()
		}
		return false
	}
	for _, c := range conns {
		s.conns[c] = struct{}{}
	}
	s.wg.Add(1)
	return true
}

func (s *session) drop(conns ...net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range conns {
		c.Close()
		delete(s.conns, c)
	}
}

func (s *session) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// bufferedConn first returns the bytes that the HTTP server has already read.
type bufferedConn struct {
	net.Conn
	r io.Reader
}

func (c *bufferedConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// hostConn is a connection with terminated TLS to the host that the client asked for.
type hostConn struct {
	net.Conn
	host   string
	closed func()
}

func (c hostConn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}

// pipe is a listener for connections that are already open.
type pipe struct {
	addr   net.Addr
	conns  chan net.Conn
	done   chan struct{}
	closed sync.Once
}

func newPipe(addr net.Addr) *pipe {
	return &pipe{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

func (p *pipe) hand(ctx context.Context, c net.Conn) error {
	select {
	case p.conns <- c:
		return nil
	case <-p.done:
		return net.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipe) Close() error {
	p.closed.Do(func() { close(p.done) })
	return nil
}

func (p *pipe) Addr() net.Addr { return p.addr }
