package azure_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/faults"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/overview"
	localarm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/edge"
)

const location = "eastus"

// fakeClusters replaces Kubernetes. It has a signing key and records calls.
type fakeClusters struct {
	key *rsa.PrivateKey

	mu      sync.Mutex
	started []azure.ClusterSpec
	deleted []string
	fail    error         // what Start answers
	wait    chan struct{} // what Start waits for; nil: nothing
	mounts  []overview.Mount
}

func (f *fakeClusters) Mounts(context.Context, string) ([]overview.Mount, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mounts, f.fail
}

func (f *fakeClusters) Start(ctx context.Context, spec azure.ClusterSpec) error {
	f.mu.Lock()
	f.started = append(f.started, spec)
	fail, wait := f.fail, f.wait
	f.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fail
}

func (f *fakeClusters) Delete(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deleted = append(f.deleted, id)
	return nil
}

func (f *fakeClusters) Kubeconfig(_ context.Context, spec azure.ClusterSpec) ([]byte, error) {
	return []byte("server: https://" + spec.FQDN), nil
}

func (f *fakeClusters) PublicKeys(string) ([]crypto.PublicKey, error) {
	return []crypto.PublicKey{f.key.Public()}, nil
}

func (f *fakeClusters) starts() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.started)
}

// serviceAccountKey is generated once for all tests, because that is slow.
var serviceAccountKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// fixture is a local cloud behind its proxy on loopback, with clients that know only the proxy and the CA.
type fixture struct {
	*testing.T
	dir      string
	cloud    *azure.Cloud
	clusters *fakeClusters
	log      *lockedBuffer
	client   *http.Client
	stop     func()
	owner    azcore.TokenCredential
	slow     time.Duration // duration of writes of federated credentials
	slowPool time.Duration // duration of operations on node pools
	way      *edge.Edge
	faults   faults.Plan
	times    localarm.Times
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
func (l *lockedBuffer) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

func newFixture(t *testing.T) *fixture {
	t.Helper()
	return newFixtureWith(t, 0)
}

func newFixtureWith(t *testing.T, federatedWriteTime time.Duration) *fixture {
	t.Helper()
	f := &fixture{
		T:        t,
		slow:     federatedWriteTime,
		dir:      t.TempDir(),
		clusters: &fakeClusters{key: serviceAccountKey()},
		log:      &lockedBuffer{},
	}
	f.start()
	t.Cleanup(func() { f.stop() })
	return f
}

// start serves the cloud in f.dir. Calling stop and start restarts it.
func (f *fixture) start() {
	f.Helper()
	way, err := edge.New(filepath.Join(f.dir, "edge"))
	f.must(err)
	f.cloud, err = azure.New(azure.Options{
		Dir: filepath.Join(f.dir, "azure"), Edge: way, Clusters: f.clusters, Mounts: f.clusters,
		Log: slog.New(slog.NewTextHandler(f.log, nil)), Faults: f.faults, Times: f.times,
		FederatedWriteTime: f.slow, PoolTime: f.slowPool,
	})
	f.must(err)
	f.way = way
	l, err := net.Listen("tcp", "127.0.0.1:0")
	f.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- way.Serve(ctx, l) }()

	transport := f.transport(l)
	f.client = &http.Client{Transport: transport}
	c := f.cloud.Credentials()
	f.owner, err = azidentity.NewClientSecretCredential(c.TenantID, c.ClientID, c.ClientSecret,
		&azidentity.ClientSecretCredentialOptions{ClientOptions: f.options()})
	f.must(err)
	f.stop = func() {
		transport.CloseIdleConnections()
		cancel()
		if err := <-served; err != nil {
			f.Errorf("serving: %v", err)
		}
		f.cloud.Close()
		f.stop = func() {}
	}
}

// transport returns a transport that uses the proxy at a listener and trusts its authority.
func (f *fixture) transport(l net.Listener) *http.Transport {
	f.Helper()
	ca, err := os.ReadFile(f.way.CAFile())
	f.must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: l.Addr().String()}),
		TLSClientConfig: &tls.Config{RootCAs: roots},
	}
}

// from returns a client whose requests come from the nodes of a cluster, through a separate socket.
func (f *fixture) from(cluster string) *http.Client {
	f.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	f.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- f.way.Serve(edge.WithOrigin(ctx, cluster), l) }()
	transport := f.transport(l)
	f.Cleanup(func() {
		transport.CloseIdleConnections()
		cancel()
		f.must(<-served)
	})
	return &http.Client{Transport: transport}
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// options returns options for clients of data planes, which do not retry. arm returns those for Resource Manager.
func (f *fixture) options() azcore.ClientOptions {
	return azcore.ClientOptions{Transport: f.client, Retry: policy.RetryOptions{MaxRetries: -1}}
}

func (f *fixture) arm() *arm.ClientOptions { return &arm.ClientOptions{ClientOptions: f.options()} }

// group creates a resource group and returns its ID.
func (f *fixture) group(name string) string {
	f.Helper()
	groups, err := armresources.NewResourceGroupsClient(azure.SubscriptionID, f.owner, f.arm())
	f.must(err)
	made, err := groups.CreateOrUpdate(f.Context(), name, armresources.ResourceGroup{Location: to.Ptr(location)}, nil)
	f.must(err)
	return *made.ID
}

// refused checks the status and the code of an error.
func (f *fixture) refused(err error, status int, code string) {
	f.Helper()
	var refusal *azcore.ResponseError
	if !errors.As(err, &refusal) || refusal.StatusCode != status || refusal.ErrorCode != code {
		f.Errorf("got %v, want %d %s", err, status, code)
	}
}

var (
	armScope   = policy.TokenRequestOptions{Scopes: []string{"https://management.azure.com/.default"}}
	vaultScope = policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}}
)

// call sends a request as the owner, for bodies that the SDK's types cannot express. It returns the status and the
// error's code.
func (f *fixture) call(method, path string, body any) (int, string) {
	f.Helper()
	status, answer := f.ask(method, path, body)
	fault, _ := answer["error"].(map[string]any)
	code, _ := fault["code"].(string)
	return status, code
}

// put creates or updates a resource, waits for operations and returns the resource. It fails the test on errors.
func (f *fixture) put(path string, body any) map[string]any {
	f.Helper()
	status, answer := f.ask(http.MethodPut, path, body)
	if status >= 400 {
		f.Fatalf("PUT %s: %d %v", path, status, answer)
	}
	f.must(f.cloud.Settle(f.Context()))
	return answer
}

// get returns the properties of a resource. It fails the test on errors.
func (f *fixture) get(path string) map[string]any {
	f.Helper()
	status, answer := f.ask(http.MethodGet, path, nil)
	if status != http.StatusOK {
		f.Fatalf("GET %s: %d %v", path, status, answer)
	}
	properties, _ := answer["properties"].(map[string]any)
	return properties
}

func (f *fixture) ask(method, path string, body any) (int, map[string]any) {
	f.Helper()
	token, err := f.owner.GetToken(f.Context(), armScope)
	f.must(err)
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		f.must(err)
		content = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(f.Context(), method, "https://management.azure.com"+path, content)
	f.must(err)
	req.Header.Set("Authorization", "Bearer "+token.Token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := f.client.Do(req)
	f.must(err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	f.must(err)
	var answer map[string]any
	_ = json.Unmarshal(data, &answer) // some responses have no body
	return resp.StatusCode, answer
}

// path returns a path in the subscription.
func path(elem ...string) string {
	return "/subscriptions/" + azure.SubscriptionID + "/" + strings.Join(elem, "/")
}
