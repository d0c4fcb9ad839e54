package edge

import (
	"crypto/tls"
	"net"
	"net/http"
)

// Reset ends the connection of a request with a TCP reset instead of an answer. The client reads an error, at whatever it reads.
// It does not return to the handler.
func Reset(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		if tcp := tcpOf(conn); tcp != nil {
			_ = tcp.SetLinger(0) // what makes of a close a reset
			tcp.Close()          // before TLS can take leave
		}
		conn.Close()
	}
	panic(http.ErrAbortHandler) // for clients inside the process, and what else cannot be hijacked
}

// tcpOf finds the connection under what the edge has put around it.
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
