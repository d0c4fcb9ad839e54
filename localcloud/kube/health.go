package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// lookTimeout limits how long Look waits for a cluster's answers.
const lookTimeout = 2 * time.Second

const (
	// clusterFile, in a cluster's folder, has a clusterIdentity.
	clusterFile = "cluster.json"
	// healthFolder, in a cluster's folder, has the programState of each program in <program>.json.
	healthFolder = "health"
)

// clusterIdentity identifies the cluster of a folder.
type clusterIdentity struct {
	ID, Name string
	NodeName string
	Node     Node
}

// programState is the state of a program that the supervisor keeps running.
type programState struct {
	Running bool
	Since   time.Time // when it was last started, or ended
	Ends    int       // how often it has ended unexpectedly
	Why     string    // why it ended the last time
}

// Health is the health of a cluster.
type Health struct {
	Name, ID string
	// Node is what runs the cluster's pods.
	Node Node
	// Down says why the cluster is not running. If it is empty, Parts has the health of the cluster's parts.
	Down  string
	Parts []Part
}

// Part is a program of a cluster, or its node.
type Part struct {
	// Name is also the name of the part's log, if it has one.
	Name string
	// Problem says why the part is not ready. It is empty if the part is ready.
	Problem string
	// Restarts counts how often the part has ended unexpectedly since the cluster was started, and LastEnd says why it
	// ended the last time.
	Restarts int
	LastEnd  string
}

// Healthy reports whether the cluster and all its parts are ready.
func (h Health) Healthy() bool {
	return h.Down == "" && !slices.ContainsFunc(h.Parts, func(p Part) bool { return p.Problem != "" })
}

// Look returns the health of the clusters in a Manager's folder, sorted by name. It needs no Manager and changes
// nothing. If a part does not answer, Look takes two seconds.
func Look(ctx context.Context, dir string) ([]Health, error) {
	folders, err := clusterFolders(dir)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	all := make([]Health, len(folders))
	var looks sync.WaitGroup
	for i, folder := range folders {
		looks.Go(func() { all[i] = look(ctx, folder) })
	}
	looks.Wait()
	return all, nil
}

// clusterFolder is a cluster's folder in a Manager's folder.
type clusterFolder struct {
	dir string
	clusterIdentity
}

// clusterFolders returns the folders of all clusters, sorted by the clusters' names. A cluster of an earlier version
// has the name of its folder.
func clusterFolders(dir string) ([]clusterFolder, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing clusters: %w", err)
	}
	var all []clusterFolder
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		one := clusterFolder{dir: filepath.Join(dir, entry.Name()), clusterIdentity: clusterIdentity{Name: entry.Name()}}
		content, err := os.ReadFile(filepath.Join(one.dir, clusterFile))
		if err == nil {
			err = json.Unmarshal(content, &one.clusterIdentity)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("identifying the cluster in %s: %w", one.dir, err)
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b clusterFolder) int { return strings.Compare(a.Name+a.dir, b.Name+b.dir) })
	return all, nil
}

// answersIn does what answers does, for a socket whose path may be too long (unix(7)): the cluster itself sees the
// folder under a shorter path.
func answersIn(ctx context.Context, folder, name string) error {
	dir, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer dir.Close()
	return answers(ctx, fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name))
}

func look(ctx context.Context, c clusterFolder) Health {
	h := Health{Name: c.Name, ID: c.ID, Node: c.Node}
	// Ask the API server last: only its answer can take the whole time.
	provider := answers(ctx, filepath.Join(c.dir, "providers", azureProvider+".sock"))
	driver := answersIn(ctx, filepath.Join(c.dir, "kubelet", "plugins", csiDriverName), "csi.sock")
	client, server := c.client()
	if server == nil {
		server = client.ready(ctx)
	}
	if errors.Is(server, syscall.ECONNREFUSED) || errors.Is(server, fs.ErrNotExist) { // the supervisor's socket
		h.Down = "its supervisor is not running"
		return h
	}
	node := errors.New("unknown while the API server is not ready")
	if server == nil {
		node = client.nodeReady(ctx, c.NodeName)
	}
	h.Parts = append(programParts(c.dir), Part{Name: c.NodeName})
	for name, problem := range map[string]error{
		thirdparty.AzureProvider: provider, thirdparty.CSIDriver: driver, thirdparty.APIServer: server, c.NodeName: node,
	} {
		i := slices.IndexFunc(h.Parts, func(p Part) bool { return p.Name == name })
		if i >= 0 && problem != nil && h.Parts[i].Problem == "" {
			h.Parts[i].Problem = problem.Error()
		}
	}
	return h
}

// programParts returns the supervisor's programs, sorted by name.
func programParts(dir string) []Part {
	files, _ := filepath.Glob(filepath.Join(dir, healthFolder, "*.json"))
	var all []Part
	for _, file := range files {
		one := Part{Name: strings.TrimSuffix(filepath.Base(file), ".json")}
		var state programState
		content, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(content, &state)
		}
		switch {
		case err != nil:
			one.Problem = err.Error()
		case !state.Running:
			ago := time.Since(state.Since).Round(time.Second)
			one.Problem = fmt.Sprintf("ended %s ago (%s) and is being restarted", ago, state.Why)
		}
		one.Restarts, one.LastEnd = state.Ends, state.Why
		all = append(all, one)
	}
	return all
}

// client returns an administrator's client, which uses the socket and the certificate in the cluster's folder.
func (c clusterFolder) client() (*Client, error) {
	file := func(name string) string { return filepath.Join(c.dir, "pki", name) }
	return NewClient(&rest.Config{
		Host: "https://kubernetes", // a name of the API server's certificate
		TLSClientConfig: rest.TLSClientConfig{
			CAFile: file("ca.crt"), CertFile: file(admin.name + ".crt"), KeyFile: file(admin.name + ".key"),
		},
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(c.dir, apiSocket))
		},
		QPS: -1,
	})
}

// ready returns why the API server is not ready, or nil.
func (c *Client) ready(ctx context.Context) error {
	answer, err := c.kinds.RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	if ctx.Err() != nil {
		return fmt.Errorf("does not answer within %s", lookTimeout)
	}
	if err == nil {
		return nil
	}
	var failed []string // checks of /readyz
	for line := range strings.Lines(string(answer)) {
		if check, ok := strings.CutPrefix(line, "[-]"); ok {
			failed = append(failed, strings.TrimSpace(check))
		}
	}
	if failed == nil {
		return err
	}
	return errors.New(strings.Join(failed, ", "))
}

// nodeReady returns why a node is not ready, or nil.
func (c *Client) nodeReady(ctx context.Context, name string) error {
	found, err := c.objects.Resource(nodes).Get(ctx, name, metav1.GetOptions{})
	if ctx.Err() != nil {
		return errors.New("unknown: the API server does not answer")
	}
	if err != nil {
		return err
	}
	var node conditioned
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(found.Object, &node); err != nil {
		return err
	}
	return node.is(string(corev1.NodeReady))
}

// Log is a log file of a cluster.
type Log struct {
	// Name is <cluster>/<program> or, on a real node, <cluster>/<namespace>/<pod>/<container>. If two clusters have the
	// same name, <cluster> is <name>-<folder>.
	Name string
	Path string
}

// Logs returns the logs of the clusters in a Manager's folder, sorted by name.
func Logs(dir string) ([]Log, error) {
	folders, err := clusterFolders(dir)
	if err != nil {
		return nil, err
	}
	var all []Log
	for _, c := range folders {
		name := c.Name
		if slices.ContainsFunc(folders, func(other clusterFolder) bool { return other.Name == name && other.dir != c.dir }) {
			name += "-" + filepath.Base(c.dir)
		}
		programs, _ := filepath.Glob(filepath.Join(c.dir, "log", "*.log"))
		for _, path := range append(programs, filepath.Join(c.dir, supervisorLog)) {
			if _, err := os.Stat(path); err == nil {
				all = append(all, Log{name + "/" + strings.TrimSuffix(filepath.Base(path), ".log"), path})
			}
		}
		// <namespace>_<pod>_<uid>/<container>/<restart>.log
		containers, _ := filepath.Glob(filepath.Join(c.dir, "node", "logs", "*_*_*", "*"))
		for _, container := range containers {
			runs, _ := filepath.Glob(filepath.Join(container, "*.log"))
			// A pod that is root on the node can replace logs by links out of the node.
			runs = slices.DeleteFunc(runs, func(run string) bool { return !isBelow(filepath.Join(c.dir, "node"), run) })
			if len(runs) == 0 {
				continue
			}
			// The glob is sorted, but 10.log comes before 9.log.
			slices.SortStableFunc(runs, func(a, b string) int { return len(a) - len(b) })
			of := strings.Split(filepath.Base(filepath.Dir(container)), "_")
			all = append(all, Log{
				Name: strings.Join([]string{name, of[0], of[1], filepath.Base(container)}, "/"),
				Path: runs[len(runs)-1],
			})
		}
	}
	slices.SortFunc(all, func(a, b Log) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// isBelow reports whether a path is in a folder after all links are followed.
func isBelow(dir, path string) bool {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false
	}
	path, err = filepath.EvalSymlinks(path)
	return err == nil && strings.HasPrefix(path, dir+string(filepath.Separator))
}

// saveJSON replaces a file atomically.
func saveJSON(path string, v any) error {
	content, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path+".part", content, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}
