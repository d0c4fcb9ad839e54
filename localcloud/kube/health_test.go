package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// shortDir returns a folder for sockets, whose paths have at most about 100 bytes.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kube")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "c") // a Manager has another folder beside its own
}

// fakeCluster is a supervisor that keeps programs running, with the socket of an API server.
type fakeCluster struct {
	*supervisor
	dir     string // the folder of all clusters
	answers atomic.Pointer[http.HandlerFunc]
}

func newFakeCluster(t *testing.T) *fakeCluster {
	t.Helper()
	f := &fakeCluster{dir: shortDir(t)}
	spec := azure.ClusterSpec{ID: "/c", Name: "one", PoolName: "system"}
	dir := clusterDir(f.dir, spec.ID)
	f.supervisor = &supervisor{settings: settings{Dir: dir, Spec: spec}, node: standInNode{}, ends: map[string]int{}}
	identity := clusterIdentity{ID: spec.ID, Name: spec.Name, Node: StandInNode, NodeName: nodeName(spec)}
	err := saveJSON(f.path(clusterFile), identity)
	if err != nil {
		t.Fatal(err)
	}
	if f.ca, err = loadOrMakeAuthority(f.path("pki")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.certificate(admin); err != nil {
		t.Fatal(err)
	}
	serving, err := f.certificate(
		certificate{name: "kube-apiserver", user: "kube-apiserver", hosts: []string{"kubernetes"}},
	)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(serving.crt, serving.key)
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	ca, err := os.ReadFile(f.path("pki", "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	clients.AppendCertsFromPEM(ca)
	l, err := net.Listen("unix", f.path(apiSocket))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		Handler:  http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*f.answers.Load())(w, r) }),
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{pair}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert,
		},
	}
	go func() { _ = server.ServeTLS(l, "", "") }()
	t.Cleanup(func() { server.Close() })
	f.answer("", "True")
	return f
}

// answer sets the API server's problem, or none, and the status of the node's condition Ready.
func (f *fakeCluster) answer(problem, node string) {
	var handler http.HandlerFunc = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.URL.Path == "/readyz" && problem != "":
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = w.Write([]byte("[+]ping ok\n[-]" + problem + "\nreadyz check failed"))
		case strings.Contains(r.URL.Path, "/nodes/"):
			_, _ = w.Write([]byte(`{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "status": {"conditions": [
				{"type": "Ready", "status": "` + node + `", "message": "the kubelet is silent"}]}}`))
		}
	}
	f.answers.Store(&handler)
}

func (f *fakeCluster) look(t *testing.T) Health {
	t.Helper()
	all, err := Look(t.Context(), f.dir)
	if err != nil || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	return all[0]
}

// problem returns the problem of a part, which must exist.
func (f *fakeCluster) problem(t *testing.T, name string) string {
	t.Helper()
	h := f.look(t)
	i := slices.IndexFunc(h.Parts, func(p Part) bool { return p.Name == name })
	if i < 0 {
		t.Fatalf("there is no %s: %+v", name, h)
	}
	return h.Parts[i].Problem
}

// await looks at the cluster until so returns true.
func (f *fakeCluster) await(t *testing.T, what string, so func(Health) bool) Health {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		h := f.look(t)
		if so(h) {
			return h
		}
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("%s: %+v", what, h)
		}
	}
}

// kill ends a program, which has written its process id to a file.
func (f *fakeCluster) kill(t *testing.T, name string) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < 20*time.Second; time.Sleep(10 * time.Millisecond) {
		content, _ := os.ReadFile(f.path(name + ".pid"))
		if pid, err := strconv.Atoi(strings.TrimSpace(string(content))); err == nil {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("%s has not started", name)
}

func TestLook_SeesRestarts(t *testing.T) {
	f := newFakeCluster(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer func() { cancel(); f.processes.Wait() }()
	sleep := func(name string) {
		if err := f.run(ctx, name, "/bin/sh", "-c", "echo $$ > "+f.path(name+".pid")+"; exec sleep 600"); err != nil {
			t.Fatal(err)
		}
	}
	sleep(thirdparty.APIServer)
	sleep(thirdparty.Kubelet)
	h := f.await(t, "all are started", func(h Health) bool { return len(h.Parts) == 3 && h.Healthy() })
	if h.Name != "one" || h.ID != "/c" || h.Node != StandInNode || h.Down != "" {
		t.Errorf("it is %+v", h)
	}

	f.kill(t, thirdparty.Kubelet)
	killed := f.await(t, "the kubelet's end is seen", func(h Health) bool { return h.Parts[1].Problem != "" })
	if killed.Healthy() || !strings.Contains(killed.Parts[1].Problem, "killed") || killed.Parts[0].Problem != "" {
		t.Errorf("with a killed kubelet it is %+v", killed)
	}
	back := f.await(t, "it is back", Health.Healthy)
	if back.Parts[1].Restarts != 1 || !strings.Contains(back.Parts[1].LastEnd, "killed") || back.Parts[0].Restarts != 0 {
		t.Errorf("with a kubelet that is back it is %+v", back)
	}
}

func TestLook_NamesWhatIsNotReady(t *testing.T) {
	f := newFakeCluster(t)
	f.tell(thirdparty.APIServer, programState{Running: true})
	f.tell(thirdparty.AzureProvider, programState{Running: true})
	node := nodeName(f.Spec)
	if p := f.problem(t, thirdparty.AzureProvider); !strings.Contains(p, "azure.sock") {
		t.Errorf("an Azure provider without its socket: %q", p)
	}
	f.answer("etcd failed", "True")
	if p := f.problem(t, thirdparty.APIServer); p != "etcd failed" {
		t.Errorf("an API server without etcd: %q", p)
	}
	f.answer("", "Unknown")
	if p := f.problem(t, node); !strings.Contains(p, "silent") {
		t.Errorf("a node that is lost: %q", p)
	}
	if p := f.problem(t, thirdparty.APIServer); p != "" {
		t.Errorf("its API server: %q", p)
	}

	var silent http.HandlerFunc = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	f.answers.Store(&silent)
	begin := time.Now()
	h := f.look(t)
	if took := time.Since(begin); took > lookTimeout+time.Second {
		t.Errorf("looking at an API server that does not answer took %s", took)
	}
	if h.Healthy() || h.Parts[0].Problem == "" || h.Parts[len(h.Parts)-1].Problem == "" {
		t.Errorf("with an API server that does not answer it is %+v", h)
	}
}

// TestLook_ReportsStoppedClusters also covers a cluster of an earlier version.
func TestLook_ReportsStoppedClusters(t *testing.T) {
	dir := shortDir(t)
	if all, err := Look(t.Context(), filepath.Join(dir, "none")); err != nil || len(all) != 0 {
		t.Errorf("without a folder: %v, %v", all, err)
	}
	m := New(Options{Dir: dir, Node: StandInNode, Edge: noEdge{}, Log: slog.New(slog.DiscardHandler)})
	if err := m.Start(t.Context(), azure.ClusterSpec{ID: "/c", Name: "two", FQDN: "c.test"}); err != nil {
		t.Fatal(err)
	}
	m.Close()
	if err := os.Mkdir(filepath.Join(dir, "older"), 0o700); err != nil {
		t.Fatal(err)
	}
	all, err := Look(t.Context(), dir)
	if err != nil || len(all) != 2 || all[0].Name != "older" || all[1].Name != "two" {
		t.Fatalf("%+v, %v", all, err)
	}
	for _, h := range all {
		if h.Down == "" || h.Healthy() {
			t.Errorf("%+v", h)
		}
	}
}

func TestLogs_ListsOnlyFilesOfClusters(t *testing.T) {
	dir := shortDir(t)
	write := func(path string, id clusterIdentity) {
		const container = "node/logs/ns_pod_uid/app/"
		names := []string{"log/kubelet.log", supervisorLog}
		for run := range 40 {
			names = append(names, container+strconv.Itoa(run)+".log")
		}
		for _, name := range names {
			file := filepath.Join(dir, path, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := saveJSON(filepath.Join(dir, path, clusterFile), id); err != nil {
			t.Fatal(err)
		}
	}
	write("a", clusterIdentity{ID: "/a", Name: "one"})
	write("b", clusterIdentity{ID: "/b", Name: "twin"})
	write("c", clusterIdentity{ID: "/c", Name: "twin"})
	// Links that a pod can create if it is root on a node.
	for name, target := range map[string]string{
		"a/node/logs/ns_pod_uid/app/40.log": "../../../../log/kubelet.log",
		"a/node/logs/ns_link_uid":           "/etc",
		"b/node/logs/ns_pod_uid/link":       "/",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	another := filepath.Join(dir, "c/node/logs/ns_another_uid")
	if err := os.MkdirAll(another, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "a", "log"), filepath.Join(another, "app")); err != nil {
		t.Fatal(err)
	}
	all, err := Logs(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, log := range all {
		names = append(names, log.Name)
		if log.Name == "one/ns/pod/app" && filepath.Base(log.Path) != "39.log" {
			t.Errorf("the last log of a container is %s", log.Path)
		}
	}
	var want []string
	for _, cluster := range []string{"one", "twin-b", "twin-c"} {
		want = append(want, cluster+"/kubelet", cluster+"/ns/pod/app", cluster+"/supervisor")
	}
	if !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

// TestAnswersIn_AcceptsLongPath uses a path that is too long for a socket's address.
func TestAnswersIn_AcceptsLongPath(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	folder := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := answersIn(t.Context(), folder, "csi.sock"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("with no socket: %v", err)
	}
	dir, err := os.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	l, err := net.Listen("unix", fmt.Sprintf("/proc/self/fd/%d/csi.sock", dir.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := answersIn(t.Context(), folder, "csi.sock"); err != nil {
		t.Error(err)
	}
}
