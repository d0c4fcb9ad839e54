// Package kube runs Kubernetes for managed clusters: a control plane, the Key Vault Secrets Provider add-on and a node.
//
// Each cluster has a folder and one process, the supervisor, which starts all others. If the machine allows it (Linux,
// root), the supervisor has its own namespaces. Processes, mounts, network devices and ports of two clusters are then
// isolated, and end with the supervisor. The only connections to the outside are two sockets in the folder: one to the
// API server, and one to the edge, which leads to Azure.
package kube

import (
	"bufio"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
	"github.com/keyvault-aks/keyvault-aks/localcloud/edge"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// Edge connects clusters with Azure and with their clients.
type Edge interface {
	// Serve answers proxy requests on l until ctx is done.
	Serve(ctx context.Context, l net.Listener) error
	// Tunnel passes connections to host on to the server that dial connects to. Untunnel undoes it.
	Tunnel(host string, dial func(context.Context) (net.Conn, error))
	Untunnel(host string)
	// CAFile returns the PEM file of the CA that signs the edge's certificates.
	CAFile() string
}

// Options are the options of a Manager. All are required.
type Options struct {
	// Dir has a folder for each cluster.
	Dir string
	// Programs are the programs that clusters run.
	Programs thirdparty.Programs
	// Node selects what runs pods in every cluster.
	Node Node
	// Edge leads clients to the API servers, and clusters to Azure.
	Edge Edge
	// Log receives the progress of clusters.
	Log *slog.Logger
}

// Manager runs clusters. It implements azure.Clusters.
type Manager struct {
	Options

	mu       sync.Mutex
	clusters map[string]*cluster
	failed   map[string]error   // errors of the last Start, by cluster
	readers  map[string]*Client // of clusters whose mounts were asked for, by folder
	spare    func() (crypto.Signer, error)

	open  context.Context // done after Close
	close context.CancelFunc
	pause time.Duration // before a cluster is restarted the first time
}

var _ azure.Clusters = (*Manager)(nil)

// New returns a Manager without clusters. Azure starts those that exist.
func New(o Options) *Manager {
	m := &Manager{
		Options: o, clusters: map[string]*cluster{}, failed: map[string]error{}, readers: map[string]*Client{},
		pause: time.Second,
	}
	m.open, m.close = context.WithCancel(context.Background())
	spare := sync.OnceValues(newServiceAccountKey)
	m.spare = spare
	go func() { _, _ = spare() }()
	return m
}

// giveKey puts the spare key into the folder of the first new cluster. Generating a key takes 0.1 to 0.3 s, during
// which nothing else could start.
func (m *Manager) giveKey(c *cluster) error {
	file := filepath.Join(c.dir, "pki", serviceAccountFile)
	if _, err := os.Stat(file); wasReady(c.dir) || !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	m.mu.Lock()
	spare := m.spare
	m.spare = nil
	m.mu.Unlock()
	if spare == nil {
		return nil
	}
	key, err := spare()
	if err == nil {
		err = os.MkdirAll(filepath.Dir(file), 0o700)
	}
	if err == nil {
		err = writeKey(file, key)
	}
	return err
}

// cluster is a cluster that was started, seen from outside its namespaces.
type cluster struct {
	mu   sync.Mutex // held while the cluster is started or stopped
	spec azure.ClusterSpec
	dir  string
	stop func()
	done <-chan struct{} // closed when the supervisor has ended
	drop func()          // ends keep
}

func (m *Manager) cluster(id string) *cluster {
	id = strings.ToLower(id)
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.clusters[id]
	if c == nil {
		c = &cluster{dir: clusterDir(m.Dir, id)}
		m.clusters[id] = c
	}
	return c
}

// clusterDir returns a cluster's folder. Its name is short, since paths of sockets are limited to about 100 bytes.
func clusterDir(dir, id string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(id)))
	return filepath.Join(dir, hex.EncodeToString(sum[:4]))
}

// Start starts a cluster and returns when its node is Ready and the add-on answers. It does nothing if the cluster
// already runs with this spec. If the cluster runs with another, Start restarts it and keeps its objects.
func (m *Manager) Start(ctx context.Context, spec azure.ClusterSpec) error {
	err := m.start(ctx, spec)
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.failed, strings.ToLower(spec.ID))
	if err != nil {
		m.failed[strings.ToLower(spec.ID)] = err
	}
	return err
}

// Failures returns the errors of clusters whose last Start failed.
func (m *Manager) Failures() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []string
	for _, err := range m.failed {
		all = append(all, err.Error())
	}
	slices.Sort(all)
	return all
}

func (m *Manager) start(ctx context.Context, spec azure.ClusterSpec) error {
	c := m.cluster(spec.ID)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running() && c.spec == spec {
		return nil
	}
	c.end(m.Edge)
	c.spec = spec
	err := m.checkFolder(c)
	if err == nil {
		err = m.launch(ctx, c)
	}
	if err != nil {
		c.halt(m.Edge)
		return fmt.Errorf("starting cluster %s: %w", spec.Name, err)
	}
	kept, drop := context.WithCancel(m.open)
	c.drop = drop
	go m.keep(kept, c, spec.Name, c.done)
	return nil
}

// known returns a file outside of the cluster's folder that exists once the cluster has started. It shows that a folder
// is lost, and not the folder of a new cluster.
func (m *Manager) known(c *cluster) string {
	return filepath.Join(m.Dir+".known", filepath.Base(c.dir))
}

func (m *Manager) checkFolder(c *cluster) error {
	if _, err := os.Stat(m.known(c)); err != nil {
		return nil
	}
	if _, err := os.Stat(c.dir); err != nil {
		return lost(err)
	}
	return nil
}

// keep restarts a cluster when its supervisor ends unexpectedly, until ctx is done. done is closed when the supervisor
// ends. The pause before a restart grows, unless the cluster has run for a while.
func (m *Manager) keep(ctx context.Context, c *cluster, name string, done <-chan struct{}) {
	const longest = time.Minute
	for pause := m.pause; ; pause = min(2*pause, longest) {
		since := time.Now()
		select {
		case <-ctx.Done():
			return
		case <-done:
		}
		if ctx.Err() != nil {
			return
		}
		if time.Since(since) > longest {
			pause = m.pause
		}
		m.Log.Error("the cluster's supervisor ended: restarting it", "cluster", name, "in", pause, "log", c.dir)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		var ended bool
		if done, ended = m.relaunch(ctx, c); ended {
			return
		}
	}
}

// relaunch restarts a cluster for keep, or reports that keep must end.
func (m *Manager) relaunch(ctx context.Context, c *cluster) (done <-chan struct{}, ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil {
		return nil, true
	}
	c.halt(m.Edge)
	if err := m.launch(ctx, c); err != nil {
		m.Log.Error("restarting the cluster", "cluster", c.spec.Name, "error", err)
		c.halt(m.Edge)
		now := make(chan struct{})
		close(now)
		return now, false
	}
	return c.done, false
}

// Delete stops a cluster and removes its folder. It returns nil if there is no such cluster.
func (m *Manager) Delete(_ context.Context, id string) error {
	c := m.cluster(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(m.Edge)
	if err := errors.Join(os.RemoveAll(c.dir), os.RemoveAll(m.known(c))); err != nil {
		return fmt.Errorf("removing the cluster's folder: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.failed, strings.ToLower(id))
	delete(m.readers, c.dir) // a cluster of the same id has another authority
	return nil
}

// Sweep removes the control groups of the clusters in dir, which remain after a local cloud was killed. The clusters
// must not be running.
func Sweep(dir string) {
	clusters, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, c := range clusters {
		removeCgroups(cgroupRoot(c))
	}
}

// Close stops all clusters and keeps their objects.
func (m *Manager) Close() {
	m.close()
	m.mu.Lock()
	all := slices.Collect(maps.Values(m.clusters))
	m.mu.Unlock()
	for _, c := range all { // without m.mu: Start acquires it while it holds the cluster's lock
		c.mu.Lock()
		c.end(m.Edge)
		c.mu.Unlock()
	}
}

// Kubeconfig returns the kubeconfig of listClusterUserCredential: the cluster's name and, with spec.Entra, a command
// that gets a token, or else the certificate of the local account.
func (m *Manager) Kubeconfig(_ context.Context, spec azure.ClusterSpec) ([]byte, error) {
	ca, err := loadOrMakeAuthority(filepath.Join(m.cluster(spec.ID).dir, "pki"))
	if err != nil {
		return nil, err
	}
	if spec.Entra {
		return entraKubeconfig(ca, spec)
	}
	user := certificate{name: "cluster-user", user: "masterclient", groups: []string{"system:masters"}}
	admin, err := ca.credentials(user)
	if err != nil {
		return nil, err
	}
	return kubeconfig(ca, clusterURL(spec), spec.Name, clusterUser(spec), admin)
}

// PublicKeys returns the keys that verify the tokens of the cluster's service accounts.
func (m *Manager) PublicKeys(id string) ([]crypto.PublicKey, error) {
	dir := filepath.Join(m.cluster(id).dir, "pki")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	key, _, err := serviceAccountKey(dir)
	if err != nil {
		return nil, err
	}
	return []crypto.PublicKey{key.Public()}, nil
}

func (c *cluster) running() bool {
	if c.done == nil {
		return false
	}
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// end stops the cluster for good.
func (c *cluster) end(edge Edge) {
	if c.drop != nil {
		c.drop()
		c.drop = nil
	}
	c.halt(edge)
}

// halt stops the cluster. keep may restart it.
func (c *cluster) halt(edge Edge) {
	if c.stop == nil {
		return
	}
	for _, name := range names(c.spec) {
		edge.Untunnel(name)
	}
	c.stop()
	<-c.done
	c.stop, c.done = nil, nil
}

// names returns the host names of a cluster's API server.
func names(spec azure.ClusterSpec) []string {
	if spec.AlsoFQDN == "" {
		return []string{spec.FQDN}
	}
	return []string{spec.FQDN, spec.AlsoFQDN}
}

// launch starts the supervisor and waits until it reports that the cluster is ready.
func (m *Manager) launch(ctx context.Context, c *cluster) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	if err := m.giveKey(c); err != nil {
		return err
	}
	identity := clusterIdentity{ID: c.spec.ID, Name: c.spec.Name, Node: m.Node, NodeName: nodeName(c.spec)}
	if err := saveJSON(filepath.Join(c.dir, clusterFile), identity); err != nil {
		return err
	}
	edge, err := m.serveEdge(c)
	if err != nil {
		return err
	}
	logFile, err := os.OpenFile(filepath.Join(c.dir, supervisorLog), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		edge()
		return err
	}
	defer logFile.Close()
	report, reportWriter, err := os.Pipe()
	if err != nil {
		edge()
		return err
	}
	defer report.Close()

	cmd := exec.Command(ownProgram())
	cmd.Args = []string{os.Args[0], SupervisorCommand}
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.ExtraFiles = []*os.File{reportWriter}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		edge()
		return err
	}
	settings := settings{
		Spec:       c.spec,
		Dir:        m.Node.kind().contain(cmd, c.dir),
		Programs:   m.Programs,
		Node:       m.Node,
		CAFile:     m.Edge.CAFile(),
		CgroupRoot: cgroupRoot(c.dir),
	}
	done := make(chan struct{})
	started := make(chan error)
	go func() {
		defer close(done)
		// The kernel ends the supervisor when the thread that started it ends, so keep the thread.
		unlock := lockThread()
		defer unlock()
		err := cmd.Start()
		reportWriter.Close()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			removeCgroups(settings.CgroupRoot)
		}
		edge()
	}()
	if err := <-started; err != nil {
		<-done
		return fmt.Errorf("starting the supervisor: %w", err)
	}
	c.done = done
	c.stop = func() { _ = stdin.Close(); end(cmd, done) }
	if err := json.NewEncoder(stdin).Encode(settings); err != nil {
		return fmt.Errorf("sending the supervisor its settings: %w", err)
	}
	for _, name := range names(c.spec) {
		m.Edge.Tunnel(name, func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(c.dir, apiSocket))
		})
	}
	if err := m.await(ctx, c, settings.Dir, report); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(m.known(c)), 0o700); err != nil {
		return err
	}
	return os.WriteFile(m.known(c), nil, 0o600)
}

// await reads the supervisor's report until the cluster is ready. inside is the cluster's folder as the supervisor sees
// it.
func (m *Manager) await(ctx context.Context, c *cluster, inside string, report io.Reader) error {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(report); s.Scan(); {
			lines <- s.Text()
		}
	}()
	defer func() { // keep reading, so that the writer is not blocked
		go func() {
			for range lines {
			}
		}()
	}()
	start := time.Now()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case line, open := <-lines:
			switch {
			case !open:
				return fmt.Errorf("its supervisor ended; see %s", filepath.Join(c.dir, supervisorLog))
			case line == reportReady:
				m.Log.Info("cluster ready", "cluster", c.spec.Name, "after", time.Since(start).Round(time.Millisecond))
				return nil
			case strings.HasPrefix(line, reportError):
				why := strings.TrimPrefix(line, reportError)
				return errors.New(strings.ReplaceAll(why, inside+"/", c.dir+"/")) // paths as they are outside
			default:
				m.Log.Info(line, "cluster", c.spec.Name, "after", time.Since(start).Round(time.Millisecond))
			}
		}
	}
}

// serveEdge serves the edge on a socket in the cluster's folder until the returned function is called.
func (m *Manager) serveEdge(c *cluster) (func(), error) {
	path := filepath.Join(c.dir, edgeSocket)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listening for the cluster: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		if err := m.Edge.Serve(edge.WithOrigin(ctx, c.spec.ID), l); err != nil && ctx.Err() == nil {
			m.Log.Error("edge for the cluster ended", "cluster", c.spec.Name, "error", err)
		}
	}()
	return func() { cancel(); l.Close() }, nil
}
