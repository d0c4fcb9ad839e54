package eventgrid

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
)

// OnThisMachine reports whether the host of a webhook is a loopback address, localhost or a name below localhost.
// Events are delivered to no other host.
func OnThisMachine(host string) bool {
	if address, err := netip.ParseAddr(host); err == nil {
		return address.Unmap().IsLoopback()
	}
	host = strings.ToLower(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// Client returns a client for webhooks on this machine. It trusts the authority in a file and the authorities that the
// machine trusts. Like Event Grid, it follows no redirects.
func Client(caFile string) (*http.Client, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	ca, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate authority of webhooks: %w", err)
	}
	roots.AppendCertsFromPEM(ca)
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				host, port, err := net.SplitHostPort(address)
				if err != nil {
					return nil, err
				}
				if !OnThisMachine(host) {
					return nil, fmt.Errorf("%s is not on this machine", host)
				}
				if _, err := netip.ParseAddr(host); err != nil {
					host = "localhost" // the resolver may not know names below it
				}
				return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(host, port))
			},
			DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}
