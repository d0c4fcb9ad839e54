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

// lookTimeout bounds a look at a cluster, whatever of it does not answer.
const lookTimeout = 2 * time.Second

const (
	// clusterFile is in a cluster's folder: which one it is.
	clusterFile = "cluster.json"
	// healthFolder is in a cluster's folder, with a programState of each program in <program>.json.
	healthFolder = "health"
)

// clusterIdentity is what clusterFile has.
type clusterIdentity struct {
	ID, Name string
	NodeName string
	Node     Node
}

// programState is what the supervisor knows of a program that it keeps running.
type programState struct {
	Running bool
	Since   time.Time // when it last was started, or ended
	Ends    int       // how often it has ended by itself
	Why     string    // it ended the last time
}

// Health is how a cluster is.
type Health struct {
	Name, ID string
	// Node says what runs its pods.
	Node Node
	// Down says why nothing of the cluster runs. Empty: it does, and Parts say how its parts are.
	Down  string
	Parts []Part
}

// Part is a program of a cluster, or its node.
type Part struct {
	// Name is that of its log, if it has one.
	Name string
	// Problem says why it is not ready. Empty: it is.
	Problem string
	// Restarts counts how often it has ended by itself since the cluster was started, and LastEnd says why the last
	// time.
	Restarts int
	LastEnd  string
}

// Healthy reports whether all of the cluster is ready.
func (h Health) Healthy() bool {
	return h.Down == "" && !slices.ContainsFunc(h.Parts, func(p Part) bool { return p.Problem != "" })
}

// Look says how the clusters in a Manager's folder are, by their names. It needs no Manager, changes nothing, and takes
// two seconds where something does not answer.
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

// clusterFolder is one in a Manager's folder.
type clusterFolder struct {
	dir string
	clusterIdentity
}

// clusterFolders finds them, by the clusters' names. One that an earlier version has made has that of its folder.
func clusterFolders(dir string) ([]clusterFolder, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("looking for clusters: %w", err)
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
			return nil, fmt.Errorf("reading which cluster is in %s: %w", one.dir, err)
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b clusterFolder) int { return strings.Compare(a.Name+a.dir, b.Name+b.dir) })
	return all, nil
}

// answersIn is answers for a socket in a folder whose path may be longer than a socket's may be (unix(7)): the cluster
// itself sees the folder under a shorter one.
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
	// The API server comes last: of all that is asked it alone can use up the time.
	provider := answers(ctx, filepath.Join(c.dir, "providers", azureProvider+".sock"))
	driver := answersIn(ctx, filepath.Join(c.dir, "kubelet", "plugins", csiDriverName), "csi.sock")
	client, server := c.client()
	if server == nil {
		server = client.ready(ctx)
	}
	if errors.Is(server, syscall.ECONNREFUSED) || errors.Is(server, fs.ErrNotExist) { // the supervisor's socket
		h.Down = "its supervisor does not run"
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

// programParts are what the supervisor says of its programs, in the order of their names.
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
			one.Problem = fmt.Sprintf(
				"ended %s ago (%s) and is started again",
				time.Since(state.Since).Round(time.Second),
				state.Why,
			)
		}
		one.Restarts, one.LastEnd = state.Ends, state.Why
		all = append(all, one)
	}
	return all
}

// client is the administrator's, by the socket in the cluster's folder and with the certificate that is there.
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
	var failed []string // of its checks
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

// Log is a file in which something in a cluster says what it does.
type Log struct {
	// Name is <cluster>/<program>, or <cluster>/<namespace>/<pod>/<container> on a real node. A cluster whose name
	// another one has too is <name>-<folder>.
	Name string
	Path string
}

// Logs returns those of the clusters in a Manager's folder, sorted by their names.
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
			// A pod that is root on the node can have them lead out of it.
			runs = slices.DeleteFunc(runs, func(run string) bool { return !isBelow(filepath.Join(c.dir, "node"), run) })
			if len(runs) == 0 {
				continue
			}
			// They are sorted already but for 10.log and 9.log.
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

// isBelow reports whether a path, with all its links followed, is one in a folder.
func isBelow(dir, path string) bool {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false
	}
	path, err = filepath.EvalSymlinks(path)
	return err == nil && strings.HasPrefix(path, dir+string(filepath.Separator))
}

// saveJSON leaves a whole file or the old one.
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
