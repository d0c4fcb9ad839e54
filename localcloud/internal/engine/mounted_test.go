package engine

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/kube"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// podOf returns a stack with a pod that mounts the files. Commands in the pod run on this machine, as an unprivileged
// user if the test runs as root.
func podOf(t *testing.T, config string, files map[string]string) (*Stack, Outputs) {
	t.Helper()
	s := &Stack{
		Home: &home.Home{Dir: t.TempDir(), Project: t.TempDir()},
		name: "dev",
		have: home.Setup{Node: kube.RealNode},
		envs: os.Environ(),
	}
	api := &apiServer{as: []string{}}
	if os.Geteuid() == 0 {
		api.as = []string{"setpriv", "--reuid=65534", "--clear-groups"}
	}
	of := api.serve(t, s)
	mount, err := os.MkdirTemp("/tmp", "mount")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(mount) })
	err = errors.Join(os.Chmod(mount, 0o755), os.MkdirAll(s.BinDir(), 0o755), os.MkdirAll(s.Path(home.ConfigDir), 0o755),
		os.WriteFile(s.ConfigFile("dev"), []byte(config), 0o600))
	for name, content := range files {
		file := filepath.Join(mount, name)
		err = errors.Join(err, os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	of.ReadSecretCommand = "kubectl exec -n ns pod -- cat " + mount + "/x"
	return s, of
}

// apiServer is an API server behind the proxy of a stack's local cloud. It runs the commands of the pod ns/pod on this
// machine.
type apiServer struct {
	as    []string // before each command; nil: there is no such pod
	pods  []string // <namespace>/<name>
	token string   // of the last request
	away  int      // how often the pod's container is not there yet
}

// serve gives a stack its local cloud and returns outputs with a way to the API server.
func (a *apiServer) serve(t *testing.T, s *Stack) Outputs {
	t.Helper()
	server := httptest.NewTLSServer(a)
	t.Cleanup(server.Close)
	proxy := httptest.NewServer(leadsTo(server.Listener.Addr().String()))
	t.Cleanup(proxy.Close)
	s.cloud = &home.Running{Proxy: proxy.Listener.Addr().String()}
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return Outputs{
		Kubeconfig: fmt.Sprintf(
			`{"apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {}}],
		"clusters": [{"name": "c", "cluster": {"server": "https://example.com", "certificate-authority-data": "%s"}}],
		"contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}`,
			base64.StdEncoding.EncodeToString(authority),
		),
	}
}

// leadsTo is a proxy that connects to one address for every request.
type leadsTo string

func (to leadsTo) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	far, err := net.Dial("tcp", string(to))
	if err != nil {
		return
	}
	defer far.Close()
	near, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer near.Close()
	fmt.Fprint(near, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { _, _ = io.Copy(far, near); far.Close() }()
	_, _ = io.Copy(near, far)
}

func (a *apiServer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	a.token = req.Header.Get("Authorization")
	refuse := func(code int, message string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(metav1.Status{
			TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
			Status:   "Failure", Message: message, Code: int32(code),
		})
	}
	switch {
	case req.URL.Path == "/api/v1/pods":
		w.Header().Set("Content-Type", "application/json")
		items := []map[string]any{}
		for _, pod := range a.pods {
			namespace, name, _ := strings.Cut(pod, "/")
			items = append(items, map[string]any{"metadata": map[string]any{"namespace": namespace, "name": name}})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "PodList", "apiVersion": "v1", "items": items})
	case req.URL.Path != "/api/v1/namespaces/ns/pods/pod/exec" || a.as == nil:
		refuse(http.StatusNotFound, "no such pod")
	case a.away > 0:
		if req.Method == http.MethodPost { // the second way of trying
			a.away--
		}
		http.Error(w, "container not found", http.StatusInternalServerError)
	default:
		a.exec(w, req)
	}
}

// exec is the WebSocket protocol v5.channel.k8s.io: the first byte of a message is the stream that it belongs to.
func (a *apiServer) exec(w http.ResponseWriter, req *http.Request) {
	upgrader := websocket.Upgrader{Subprotocols: []string{"v5.channel.k8s.io"}}
	conn, err := upgrader.Upgrade(w, req, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	command := slices.Concat(a.as, req.URL.Query()["command"])
	cmd := exec.Command(command[0], command[1:]...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	result := metav1.Status{Status: "Success"}
	if err != nil {
		result = metav1.Status{Status: "Failure", Message: err.Error()}
	}
	status, _ := json.Marshal(result)
	for i, content := range [][]byte{out, errs.Bytes(), status} {
		if len(content) > 0 {
			_ = conn.WriteMessage(websocket.BinaryMessage, append([]byte{byte(i + 1)}, content...))
		}
	}
	closing := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = conn.WriteControl(websocket.CloseMessage, closing, time.Now().Add(time.Second))
}

const guide = `{"config": {"keyvault-aks:secrets": [{"name": "my-secret", "generate": {"length": 32}}],
	"keyvault-aks:workloads": [{"mount": [{"type": "secret", "name": "my-secret"}, {"type": "key", "name": "my-key"}]}]}}`

func TestReadMounted_HidesValuesNotInGuide(t *testing.T) {
	files := map[string]string{
		"my-secret":   "generated",
		"my-key":      "-----BEGIN\nPEM\n",
		"other":       "hidden\n\n",
		"db/password": "hidden\x00\x1b[2J",
		".env":        "hidden",
	}
	if os.Geteuid() == 0 {
		files["..data/my-secret"] = "not to be seen"
	}
	s, of := podOf(t, guide, files)
	read, err := s.ReadMounted(t.Context(), of, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"my-secret = generated", "my-key = -----BEGIN PEM", "other (8 bytes, SHA-256 ", "db/password (11 bytes, ",
		".env (6 bytes, ",
	} {
		if !strings.Contains(read, want) {
			t.Errorf("%q is not in %q", want, read)
		}
	}
	if strings.Contains(read, "hidden") || strings.Contains(read, "..data") || strings.Contains(read, "\n") {
		t.Errorf("got %q", read)
	}
	read, err = s.ReadMounted(t.Context(), of, true)
	if err != nil || strings.Count(read, "hidden") != 3 || strings.ContainsAny(read, "\x00\x1b\n") {
		t.Errorf("with --show-values: %q, %v", read, err)
	}
	const mySecret = `"type": "secret", "name": "my-secret"`
	for name, config := range map[string]string{
		"the user's own value": strings.Replace(guide, `"generate": {"length": 32}`, `"value": "mine"`, 1),
		"another secret": strings.Replace(guide, mySecret,
			`"type": "secret", "name": "db", "alias": "my-secret"`, 1),
		"none": "",
	} {
		s, of := podOf(t, config, map[string]string{"my-secret": "hidden"})
		if read, err := s.ReadMounted(t.Context(), of, false); err != nil || strings.Contains(read, "hidden") {
			t.Errorf("%s: %q, %v", name, read, err)
		}
	}
}

func TestReadMounted_FailsForUnreadableFiles(t *testing.T) {
	for name, change := range map[string]func(mount string) error{
		"a file":            func(mount string) error { return os.Chmod(filepath.Join(mount, "b", "secret"), 0o400) },
		"a folder":          func(mount string) error { return os.Chmod(filepath.Join(mount, "b"), 0o700) },
		"the mount":         func(mount string) error { return os.Chmod(mount, 0o700) },
		"a link to nowhere": func(mount string) error { return os.Symlink("gone", filepath.Join(mount, "link")) },
		"no mount":          os.RemoveAll,
		"no file":           func(mount string) error { return errors.Join(os.RemoveAll(mount), os.Mkdir(mount, 0o755)) },
	} {
		s, of := podOf(t, guide, map[string]string{"a": "x", "b/secret": "x", "c": "x"})
		mount := filepath.Dir(strings.Fields(of.ReadSecretCommand)[7])
		err := change(mount)
		needsNoRoot := slices.Contains([]string{"a link to nowhere", "no mount", "no file"}, name)
		if os.Geteuid() != 0 && err == nil && !needsNoRoot {
			continue // the pod runs as the owner of the files
		}
		if err != nil {
			t.Fatal(err)
		}
		if read, err := s.ReadMounted(t.Context(), of, false); err == nil {
			t.Errorf("%s: got %q", name, read)
		}
	}
}

// TestReadMounted_WaitsForRestartingNode has a pod whose container is found at the second attempt.
func TestReadMounted_WaitsForRestartingNode(t *testing.T) {
	s, of := podOf(t, guide, map[string]string{"my-secret": "generated"})
	api := &apiServer{as: []string{"env"}, away: 1}
	of.Kubeconfig = api.serve(t, s).Kubeconfig
	read, err := s.ReadMounted(t.Context(), of, false)
	if err != nil || !strings.Contains(read, "generated") || api.away != 0 {
		t.Errorf("got %q, %v", read, err)
	}
}

// TestCluster_SignsInLikeTheEngine has a program in place of kubelogin, whose token consists of its environment.
func TestCluster_SignsInLikeTheEngine(t *testing.T) {
	s := &Stack{Home: &home.Home{Dir: t.TempDir(), Project: t.TempDir()}, name: "dev"}
	t.Setenv("AAD_LOGIN_METHOD", "the user's")
	t.Setenv("AZURE_CLIENT_ID", "the user's")
	s.envs = append(ownEnvironment(os.Environ()), "PATH="+s.BinDir()+":"+os.Getenv("PATH"), "AZURE_CLIENT_ID=the cloud's")
	api := &apiServer{pods: []string{"ns/pod"}}
	of := api.serve(t, s)
	of.Kubeconfig = strings.Replace(of.Kubeconfig, `"user": {}`, `"user": {"exec": {
		"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "kubelogin", "args": ["get-token"]}}`, 1)
	script := `#!/bin/sh
token="$1, $AZURE_CLIENT_ID$AAD_LOGIN_METHOD"
echo '{"apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential",'
echo '"status": {"token": "'"$token"'"}}'
`
	if err := errors.Join(
		os.MkdirAll(s.BinDir(), 0o755),
		os.WriteFile(filepath.Join(s.BinDir(), thirdparty.Kubelogin), []byte(script), 0o755),
	); err != nil {
		t.Fatal(err)
	}
	client, err := s.cluster(of.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	pods, err := client.Pods(t.Context())
	if err != nil || !slices.Equal(pods, api.pods) || api.token != "Bearer get-token, the cloud's" {
		t.Errorf("%v, %v, signed in with %q", pods, err, api.token)
	}
}

// TestForgetPods_ForgetsOnlyPods has a script in place of pulumi that records its arguments.
func TestForgetPods_ForgetsOnlyPods(t *testing.T) {
	s, _ := podOf(t, guide, nil)
	api := &apiServer{}
	of := api.serve(t, s)
	s.Project, s.Say = t.TempDir(), t.Logf
	asked := s.Path("asked")
	const state = `{"deployment": {"resources": [
		{"urn": "urn:vault", "type": "azure-native:keyvault:Vault", "id": "ns/gone"},
		{"urn": "urn:there", "type": "kubernetes:core/v1:Pod", "id": "ns/there"},
		{"urn": "urn:gone", "type": "kubernetes:core/v1:Pod", "id": "ns/gone"}]}}`
	for pods, want := range map[string]bool{"kube-system/x ns/there": true, "ns/there ns/gone": false} {
		api.pods = strings.Fields(pods)
		shown, err := json.Marshal(map[string]string{"kubeconfig": of.Kubeconfig})
		if err != nil {
			t.Fatal(err)
		}
		script := "#!/bin/sh\necho \"$@\" >> " + asked + "\ncase \"$1 $2\" in\n'stack export') echo '" + state + "';;\n" +
			"'stack output') printf %s '" + string(shown) + "';;\nesac\n"
		if err := os.WriteFile(filepath.Join(s.BinDir(), thirdparty.Pulumi), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		if gone, err := s.ForgetPods(t.Context()); err != nil || gone != want {
			t.Errorf("with the pods %s: %t, %v", pods, gone, err)
		}
	}
	did, err := os.ReadFile(asked)
	if err != nil {
		t.Fatal(err)
	}
	all := string(did)
	if strings.Count(all, "refresh") != 1 || strings.Count(all, "--target") != 1 ||
		!strings.Contains(all, "--target=urn:gone ") {
		t.Errorf("the engine ran %q", did)
	}
}
