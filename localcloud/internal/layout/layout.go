// Package layout names the files in a local cloud's home, describes the file that tells how to reach the cloud, and has
// a client for it. It is separate from package home, so that its users need not compile the whole cloud.
package layout

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"
)

// The files and folders in a home that other packages read.
const (
	BinDir         = "bin"        // programs that users also run themselves
	StateFile      = "cloud.json" // a Running
	LogFile        = "cloud.log"  // log of the serving process
	AzureDir       = "azure"      // Azure's resources
	KubeDir        = "c"          // one folder for each cluster; short, for the paths of sockets
	StacksDir      = "stacks"     // the file backend
	ConfigDir      = "config"     // configuration of stacks, with what the engine adds to it
	PassphraseFile = "passphrase" // of the stacks' secrets, created by rand.Text
	KubeconfigFile = "kubeconfig" // of the cluster of the stack that was deployed last
)

// EngineVariable is set to the home in the environment of the engine and its plugins, but not of programs that users
// start. `up`, `stop` and `down` end all processes that have it.
const EngineVariable = "KEYVAULT_AKS_ENGINE"

// WaitsVariable is set in the environment of the engine and its plugins. The stand-in for azure-native multiplies its
// waits between attempts and polls by this number, in line with how long operations take.
const WaitsVariable = "KEYVAULT_AKS_WAITS"

// Running describes the serving process.
type Running struct {
	PID         int
	Proxy       string // host:port of the edge
	CAFile      string
	Credentials Credentials
	Started     time.Time
	Build       string   // identifies the build of the serving program
	Times       string   `json:",omitempty"` // profile of how long operations take
	Settled     bool     // the clusters of the previous run have been restarted
	Failed      []string `json:",omitempty"` // the clusters that could not be restarted, and why
}

// Credentials are those of the owner of the tenant's first subscription.
type Credentials struct{ TenantID, SubscriptionID, ClientID, ClientSecret string }

// HTTPClient returns a client that reaches only the local cloud and trusts its certificates.
func (r Running) HTTPClient() (*http.Client, error) {
	ca, err := os.ReadFile(r.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading the local cloud's CA certificate: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: r.Proxy}), TLSClientConfig: &tls.Config{RootCAs: roots},
	}}, nil
}
