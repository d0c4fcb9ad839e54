package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	authentication "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/secrets-store-csi-driver/provider/v1alpha1"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/overview"
)

const testToken = "a.signed.token"

// fakeProvider answers mount requests by calling answer, and records them.
type fakeProvider struct {
	v1alpha1.UnimplementedCSIDriverProviderServer
	mu     sync.Mutex
	answer func() (*v1alpha1.MountResponse, error)
	asked  []*v1alpha1.MountRequest
}

func (p *fakeProvider) Mount(_ context.Context, r *v1alpha1.MountRequest) (*v1alpha1.MountResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, r)
	return p.answer()
}

func (p *fakeProvider) answers(answer func() (*v1alpha1.MountResponse, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

func (p *fakeProvider) answersError(message string) {
	p.answers(func() (*v1alpha1.MountResponse, error) { return nil, errors.New(message) })
}

func (p *fakeProvider) answersFiles(contents map[string]string) {
	p.answers(func() (*v1alpha1.MountResponse, error) { return response(contents), nil })
}

func response(contents map[string]string) *v1alpha1.MountResponse {
	var r v1alpha1.MountResponse
	for path, content := range contents {
		r.Files = append(r.Files, &v1alpha1.File{Path: path, Mode: 0o644, Contents: []byte(content)})
		r.ObjectVersion = append(r.ObjectVersion, &v1alpha1.ObjectVersion{Id: path, Version: "1"})
	}
	return &r
}

// request is a request to the API server.
type request struct {
	line string // method and path
	body []byte
}

// testNode is a stand-in node with its own provider and API server. sent has the node's requests to the API server,
// except reads. Events sent to changes reach the node's watch.
type testNode struct {
	*standIn
	provider *fakeProvider
	listed   []v1.Pod
	changes  chan metav1.WatchEvent
	sent     chan request
}

func newTestNode(t *testing.T) *testNode {
	t.Helper()
	n := &testNode{provider: &fakeProvider{}, changes: make(chan metav1.WatchEvent), sent: make(chan request, 100)}
	api := httptest.NewServer(n.apiServer())
	t.Cleanup(api.Close)

	l := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	v1alpha1.RegisterCSIDriverProviderServer(server, n.provider)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:provider", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })

	config := &rest.Config{Host: api.URL, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}
	core, err := corev1.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	classes, err := newClassClient(config)
	if err != nil {
		t.Fatal(err)
	}
	n.standIn = &standIn{
		name: "node", dir: filepath.Join(t.TempDir(), podsFolder), core: core, classes: classes,
		provider: v1alpha1.NewCSIDriverProviderClient(conn), pods: map[types.UID]*standInPod{},
	}
	return n
}

const statusPath = "/apis/secrets-store.csi.x-k8s.io/v1/namespaces/ns/secretproviderclasspodstatuses/"

func (n *testNode) apiServer() http.Handler {
	const classPath = "GET /apis/secrets-store.csi.x-k8s.io/v1/namespaces/ns/secretproviderclasses/"
	class := func(provider string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"spec":{"provider":%q,"parameters":{"keyvaultName":"kv","clientID":"client"}}}`, provider)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc(classPath+"class", class("azure"))
	mux.HandleFunc(classPath+"vault-class", class("vault"))
	mux.HandleFunc("GET /api/v1/pods", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("fieldSelector") != "spec.nodeName=node" {
			http.Error(w, "pods of other nodes are asked for", http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if !r.URL.Query().Has("watch") {
			_ = json.NewEncoder(w).
				Encode(v1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, Items: n.listed})
			return
		}
		w.(http.Flusher).Flush()
		for {
			select {
			case <-r.Context().Done():
				return
			case change := <-n.changes:
				_ = json.NewEncoder(w).Encode(change)
				w.(http.Flusher).Flush()
			}
		}
	})
	mux.HandleFunc("POST /api/v1/namespaces/ns/serviceaccounts/sa/token", func(w http.ResponseWriter, r *http.Request) {
		n.keepRequest(r)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest",
			"status":{"token":%q,"expirationTimestamp":"2030-01-02T03:04:05Z"}}`, testToken)
	})
	mux.HandleFunc("PATCH "+statusPath+"{name}", func(w http.ResponseWriter, r *http.Request) {
		n.keepRequest(r)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{}`)
	})
	mux.HandleFunc("/api/v1/namespaces/ns/", func(w http.ResponseWriter, r *http.Request) {
		n.keepRequest(r)
		w.Header().Set("Content-Type", "application/json")
		kind := "Pod"
		if strings.HasSuffix(r.URL.Path, "/events") {
			kind = "Event"
		}
		fmt.Fprintf(w, `{"apiVersion":"v1","kind":%q}`, kind)
	})
	return mux
}

func (n *testNode) keepRequest(r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	n.sent <- request{line: r.Method + " " + strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/ns/"), body: body}
}

// next waits for a request and returns its body. It skips other requests.
func (n *testNode) next(t *testing.T, line string) []byte {
	t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		select {
		case r := <-n.sent:
			if r.line == line {
				return r.body
			}
		case <-timeout:
			t.Fatalf("the node did not send %s", line)
		}
	}
}

// nextStatus waits until the node reports the pod's status with the phase want.
func (n *testNode) nextStatus(t *testing.T, want v1.PodPhase) v1.PodStatus {
	t.Helper()
	for {
		var patch struct {
			Metadata metav1.ObjectMeta
			Status   v1.PodStatus
		}
		decode(t, n.next(t, "PATCH pods/pod/status"), &patch)
		if patch.Metadata.UID != "uid" {
			t.Fatalf("status is sent for the pod with UID %q", patch.Metadata.UID)
		}
		if patch.Status.Phase == want {
			return patch.Status
		}
	}
}

func (n *testNode) change(t *testing.T, kind string, pod *v1.Pod) {
	t.Helper()
	pod = pod.DeepCopy()
	pod.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
	content, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	event := metav1.WatchEvent{Type: kind}
	event.Object.Raw = content
	select {
	case n.changes <- event:
	case <-time.After(10 * time.Second):
		t.Fatal("the node does not watch its pods")
	}
}

// start runs the node until the test ends.
func (n *testNode) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); n.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		if _, err := os.Stat(n.dir); !os.IsNotExist(err) {
			t.Errorf("the node ended and left %s (%v)", n.dir, err)
		}
	})
}

func (n *testNode) read(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	dir := filepath.Join(n.dir, "ns", "pod", "secrets")
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "..") {
			content, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			found[e.Name()] = string(content)
		}
	}
	return found
}

func testPod(change func(*v1.CSIVolumeSource)) *v1.Pod {
	source := &v1.CSIVolumeSource{
		Driver: csiDriverName, ReadOnly: new(true), VolumeAttributes: map[string]string{"secretProviderClass": "class"},
	}
	if change != nil {
		change(source)
	}
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "pod", UID: "uid"},
		Spec: v1.PodSpec{
			ServiceAccountName: "sa", NodeName: "node", Containers: []v1.Container{{Name: "app", Image: "busybox"}},
			Volumes: []v1.Volume{{Name: "secrets", VolumeSource: v1.VolumeSource{CSI: source}}},
		},
	}
}

func decode(t *testing.T, content []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatalf("%v in %s", err, content)
	}
}

func same[K, V comparable](a, b map[K]V) bool {
	for k, v := range a {
		if got, ok := b[k]; !ok || got != v {
			return false
		}
	}
	return len(a) == len(b)
}

func TestStandIn_CallsProviderLikeTheDriver(t *testing.T) {
	n := newTestNode(t)
	n.provider.answersFiles(map[string]string{"my-secret": "value"})
	if err := n.mountAll(t.Context(), testPod(nil)); err != nil {
		t.Fatal(err)
	}

	var asked authentication.TokenRequest
	decode(t, n.next(t, "POST serviceaccounts/sa/token"), &asked)
	if got := asked.Spec.Audiences; len(got) != 1 || got[0] != "api://AzureADTokenExchange" {
		t.Errorf("the token's audiences are %q", got)
	}
	pod := authentication.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: "pod", UID: "uid"}
	if got := asked.Spec.BoundObjectRef; got == nil || *got != pod {
		t.Errorf("the token is bound to %+v", got)
	}

	var attributes map[string]string
	decode(t, []byte(n.provider.asked[0].Attributes), &attributes)
	var tokens map[string]authentication.TokenRequestStatus
	decode(t, []byte(attributes["csi.storage.k8s.io/serviceAccount.tokens"]), &tokens)
	if got := tokens["api://AzureADTokenExchange"]; got.Token != testToken || got.ExpirationTimestamp.IsZero() {
		t.Error("the pod's token and its expiry are not among the tokens")
	}
	delete(attributes, "csi.storage.k8s.io/serviceAccount.tokens")
	want := map[string]string{
		"keyvaultName": "kv", "clientID": "client", "secretProviderClass": "class",
		"csi.storage.k8s.io/pod.name": "pod", "csi.storage.k8s.io/pod.namespace": "ns", "csi.storage.k8s.io/pod.uid": "uid",
		"csi.storage.k8s.io/serviceAccount.name": "sa", "csi.storage.k8s.io/ephemeral": "true",
	}
	if !same(attributes, want) {
		t.Errorf("attributes are\n%v, want\n%v", attributes, want)
	}
	// The provider parses both as JSON.
	var permission os.FileMode
	decode(t, []byte(n.provider.asked[0].Permission), &permission)
	var secrets map[string]string
	decode(t, []byte(n.provider.asked[0].Secrets), &secrets)
	if permission != 0o644 || secrets != nil {
		t.Errorf("permission is %o and secrets are %v", permission, secrets)
	}
}

// TestStandIn_PublishesVersionsAsTheDriverDoes proves that what is mounted can be seen in the cluster, and no value.
func TestStandIn_PublishesVersionsAsTheDriverDoes(t *testing.T) {
	n := newTestNode(t)
	n.provider.answersFiles(map[string]string{"secret/b": "the value", "secret/a": "the value"})
	if err := n.mountAll(t.Context(), testPod(nil)); err != nil {
		t.Fatal(err)
	}
	sent := n.next(t, "PATCH "+statusPath+"pod-ns-class")
	var status podStatus
	decode(t, sent, &status)
	got := status.Status
	if status.Kind != "SecretProviderClassPodStatus" ||
		len(status.OwnerReferences) != 1 || status.OwnerReferences[0].UID != "uid" ||
		got.PodName != "pod" || got.Class != "class" || !got.Mounted ||
		!slices.Equal(got.Objects, []overview.Object{{ID: "secret/a", Version: "1"}, {ID: "secret/b", Version: "1"}}) {
		t.Errorf("%s", sent)
	}
	if strings.Contains(string(sent), "the value") {
		t.Error("a value is in the status")
	}
	n.provider.answersError("no such secret")
	if err := n.mountAll(t.Context(), testPod(nil)); err == nil {
		t.Fatal("the mount does not fail")
	}
	for len(n.sent) > 0 {
		if r := <-n.sent; strings.Contains(r.line, statusPath) {
			t.Errorf("a mount that failed is published: %s", r.body)
		}
	}
}

func TestStandIn_ReplacesVolumeCompletelyOrNotAtAll(t *testing.T) {
	first := map[string]string{"a": "1", "b": "1"}
	tests := map[string]struct {
		second map[string]string // nil: the provider fails
		want   map[string]string // nil: unchanged
	}{
		"changed, gone and new": {
			second: map[string]string{"a": "2", "c": "2"},
			want:   map[string]string{"a": "2", "c": "2"},
		},
		"provider fails":             {},
		"nothing":                    {second: map[string]string{}},
		"climbs":                     {second: map[string]string{"a": "2", "../escaped": "x"}},
		"climbs from below":          {second: map[string]string{"a": "2", "sub/../../escaped": "x"}},
		"absolute":                   {second: map[string]string{"a": "2", "/escaped": "x"}},
		"in the writer's own folder": {second: map[string]string{"a": "2", "..data/escaped": "x"}},
		"not clean":                  {second: map[string]string{"a": "2", "sub//escaped": "x"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			n := newTestNode(t)
			n.provider.answersFiles(first)
			if err := n.mountAll(t.Context(), testPod(nil)); err != nil {
				t.Fatal(err)
			}
			want := test.want
			if want == nil {
				want = first
			}
			n.provider.answersError("no such secret")
			if test.second != nil {
				n.provider.answersFiles(test.second)
			}
			err := n.mountAll(t.Context(), testPod(nil))
			if refused := err != nil; refused == (test.want != nil) {
				t.Errorf("error is %v", err)
			}
			if got := n.read(t); !same(got, want) {
				t.Errorf("files are %v, want %v", got, want)
			}
			err = filepath.WalkDir(filepath.Dir(n.dir), func(path string, _ os.DirEntry, err error) error {
				if filepath.Base(path) == "escaped" {
					t.Errorf("%s was written", path)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStandIn_RejectsUnsupportedVolumes(t *testing.T) {
	class := func(name string) func(*v1.CSIVolumeSource) {
		return func(s *v1.CSIVolumeSource) { s.VolumeAttributes["secretProviderClass"] = name }
	}
	tests := map[string]func(*v1.CSIVolumeSource){
		"another driver": func(s *v1.CSIVolumeSource) { s.Driver = "disk.csi.azure.com" },
		"writable":       func(s *v1.CSIVolumeSource) { s.ReadOnly = nil },
		"credentials in a Secret": func(s *v1.CSIVolumeSource) {
			s.NodePublishSecretRef = &v1.LocalObjectReference{Name: "x"}
		},
		"no class":                   func(s *v1.CSIVolumeSource) { s.VolumeAttributes = nil },
		"a missing class":            class("missing"),
		"a class elsewhere":          class("../../ns/secretproviderclasses/class"),
		"a class of another service": class("vault-class"),
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			n := newTestNode(t)
			n.provider.answersFiles(map[string]string{"my-secret": "value"})
			if err := n.mountAll(t.Context(), testPod(change)); err == nil {
				t.Error("it was mounted")
			}
			if len(n.provider.asked) > 0 {
				t.Error("the provider was asked")
			}
		})
	}
}

func TestStandIn_MountsNothingWithoutAddOn(t *testing.T) {
	n := newTestNode(t)
	n.standIn.provider, n.classes = nil, nil
	if err := n.mountAll(t.Context(), testPod(nil)); err == nil {
		t.Error("it was mounted")
	}
}

func TestStandIn_RunsPodOnlyWithVolume(t *testing.T) {
	n := newTestNode(t)
	n.provider.answersError("AADSTS70025: no federated credential")
	n.start(t)
	pod := testPod(nil)
	n.change(t, "ADDED", pod)

	var event v1.Event
	decode(t, n.next(t, "POST events"), &event)
	if event.Reason != "FailedMount" || event.Type != v1.EventTypeWarning || event.InvolvedObject.UID != "uid" ||
		!strings.Contains(event.Message, "AADSTS70025") {
		t.Errorf("the event is %s %s of %s: %s", event.Type, event.Reason, event.InvolvedObject.UID, event.Message)
	}
	if status := n.nextStatus(t, v1.PodPending); status.ContainerStatuses[0].Ready {
		t.Error("a pod without its volume is ready")
	}

	n.provider.answersFiles(map[string]string{"my-secret": "value"})
	status := n.nextStatus(t, v1.PodRunning)
	if status.Message != standInMessage || !status.ContainerStatuses[0].Ready {
		t.Errorf("the status is %+v", status)
	}
	if got := n.read(t); got["my-secret"] != "value" {
		t.Errorf("a pod runs with the files %v", got)
	}

	now := metav1.Now()
	pod.DeletionTimestamp = &now
	n.change(t, "MODIFIED", pod)
	var options metav1.DeleteOptions
	decode(t, n.next(t, "DELETE pods/pod"), &options)
	if options.GracePeriodSeconds == nil || *options.GracePeriodSeconds != 0 || options.Preconditions == nil ||
		*options.Preconditions.UID != "uid" {
		t.Errorf("the pod is ended with %+v", options)
	}
	if _, err := os.Stat(n.podDir(pod)); !os.IsNotExist(err) {
		t.Errorf("the pod's folder is still there (%v)", err)
	}
}

func TestStandIn_MountsExistingPods(t *testing.T) {
	n := newTestNode(t)
	pod := testPod(nil)
	pod.Status.Phase = v1.PodRunning
	n.listed = []v1.Pod{*pod}
	n.provider.answersFiles(map[string]string{"my-secret": "value"})
	n.start(t)
	n.nextStatus(t, v1.PodRunning)
	if got := n.read(t); got["my-secret"] != "value" {
		t.Errorf("files are %v", got)
	}
}

func TestStandIn_Rotates(t *testing.T) {
	n := newTestNode(t)
	n.rotation = 10 * time.Millisecond
	n.provider.answersFiles(map[string]string{"my-secret": "old"})
	n.start(t)
	n.change(t, "ADDED", testPod(nil))
	n.nextStatus(t, v1.PodRunning)
	asked := make(chan struct{}, 2)
	n.provider.answers(func() (*v1alpha1.MountResponse, error) {
		select {
		case asked <- struct{}{}:
		default:
		}
		return response(map[string]string{"my-secret": "new"}), nil
	})
	for range 2 { // at the second call, the first answer has been written
		select {
		case <-asked:
		case <-time.After(10 * time.Second):
			t.Fatal("the provider is not asked again")
		}
	}
	if got := n.read(t); got["my-secret"] != "new" {
		t.Errorf("files are %v", got)
	}
}

func TestReadStandIn_ReadsPodOfCluster(t *testing.T) {
	n := newTestNode(t)
	const key = "-----BEGIN-----\nabc\n"
	n.provider.answersFiles(map[string]string{"my-key": key, "my-secret": "value", "sub/cert": "pem"})
	if err := n.mountAll(t.Context(), testPod(nil)); err != nil {
		t.Fatal(err)
	}
	kubeDir := t.TempDir()
	// The other cluster has a pod of the same name, and a volume without files.
	for id, dir := range map[string]string{"/c/One": n.dir, "/c/other": ""} {
		pods := filepath.Join(clusterDir(kubeDir, id), podsFolder)
		if err := os.MkdirAll(filepath.Dir(pods), 0o700); err != nil {
			t.Fatal(err)
		}
		err := os.MkdirAll(filepath.Join(pods, "ns", "pod", "volume"), 0o700)
		if dir != "" {
			err = errors.Join(os.RemoveAll(pods), os.Symlink(dir, pods))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[string][]File{
		"/c/one":   {{"my-key", []byte(key)}, {"my-secret", []byte("value")}, {"sub/cert", []byte("pem")}},
		"/c/other": nil,
	} {
		if got, err := ReadStandIn(kubeDir, id, "ns", "pod"); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %q, %v, want %q", id, got, err, want)
		}
	}
	if got, err := ReadStandIn(kubeDir, "/c/one", "ns", "another"); err == nil {
		t.Errorf("a pod without mounts reads as %q", got)
	}
}
