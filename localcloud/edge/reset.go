package edge

import (
	"crypto/tls"
	"net"
	"net/http"
)

// Reset ends a request's connection with a TCP reset instead of an answer, so that the client's next read fails. It
// does not return to the handler.
func Reset(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		if tcp := tcpOf(conn); tcp != nil {
			_ = tcp.SetLinger(0) // makes Close send a reset
			tcp.Close()          // before TLS can send its close alert
		}
		conn.Close()
	}
	panic(http.ErrAbortHandler) // ends connections that cannot be hijacked, such as those within the process
}

// tcpOf returns the TCP connection inside the edge's wrappers, or nil.
func tcpOf(conn net.Conn) *net.TCPConn {
	for {
		switch c := conn.(type) {
		case hostConn:
			conn = c.Conn
		case *tls.Conn:
			conn = c.NetConn()
		case *bufferedConn:
			conn = c.Conn
		case *net.TCPConn:
			return c
		default:
			return nil
		}
	}
}
