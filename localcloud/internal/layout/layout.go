// Package layout has what the files in the home of a local cloud are called, and the format of the one in which it says
// how it is reached, with a client that does. It is apart from package home for those who only read them, and would
// have to compile the cloud for that.
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

// The files and folders in a home that others read, too.
const (
	BinDir         = "bin"        // programs that a person uses, too
	StateFile      = "cloud.json" // a Running
	LogFile        = "cloud.log"  // what the one that serves did
	AzureDir       = "azure"      // Azure's resources
	KubeDir        = "c"          // clusters, a folder each; short, for the paths of sockets
	StacksDir      = "stacks"     // the file backend
	ConfigDir      = "config"     // configuration of stacks, with what the engine adds to it
	PassphraseFile = "passphrase" // of the stacks' secrets, as rand.Text makes it
	KubeconfigFile = "kubeconfig" // of the cluster of the stack that came up last
)

// EngineVariable is in the environment of the engine and its plugins, with the home as its value, and of nothing that a
// person starts: `up`, `stop` and `down` end what has it.
const EngineVariable = "KEYVAULT_AKS_ENGINE"

// WaitsVariable is in the environment of the engine and its plugins. It is what the plugin that stands in for
// azure-native multiplies its waits with, between attempts and polls, so that they go with the times of operations.
const WaitsVariable = "KEYVAULT_AKS_WAITS"

// Running is what the one that serves tells others.
type Running struct {
	PID         int
	Proxy       string // host:port of the edge
	CAFile      string
	Credentials Credentials
	Started     time.Time
	Build       string   // of the program that serves
	Times       string   `json:",omitempty"` // profile of the times that operations take
	Settled     bool     // the clusters that the last run left are back
	Failed      []string `json:",omitempty"` // but these, and why
}

// Credentials are those of the owner of the tenant's first subscription.
type Credentials struct{ TenantID, SubscriptionID, ClientID, ClientSecret string }

// HTTPClient returns a client that reaches the cloud and nothing else, and trusts its certificates.
func (r Running) HTTPClient() (*http.Client, error) {
	ca, err := os.ReadFile(r.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading the local cloud's authority: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: r.Proxy}), TLSClientConfig: &tls.Config{RootCAs: roots},
	}}, nil
}
