package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

func clientOf(t *testing.T, api http.Handler) *Client {
	t.Helper()
	server := httptest.NewServer(api)
	t.Cleanup(server.CloseClientConnections) // and with them the watches
	client, err := NewClient(&rest.Config{Host: server.URL, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func refuse(w http.ResponseWriter, code int, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": %q, "code": %d}`, reason, code)
}

// roles is an API server with cluster roles only. Like the real one, it rejects an update of an object that another
// client has changed meanwhile.
type roles struct {
	have    map[string]map[string]any
	changed int // how often another client is faster
}

// version returns an object's resource version.
func version(object map[string]any) any {
	return object["metadata"].(map[string]any)["resourceVersion"]
}

func (r *roles) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	const folder = "/apis/rbac.authorization.k8s.io/v1"
	w.Header().Set("Content-Type", "application/json")
	name := strings.TrimPrefix(req.URL.Path, folder+"/clusterroles/")
	var sent map[string]any
	_ = json.NewDecoder(req.Body).Decode(&sent)
	switch {
	case req.URL.Path == folder:
		fmt.Fprint(w, `{"kind": "APIResourceList", "groupVersion": "rbac.authorization.k8s.io/v1", "resources": [
			{"name": "clusterroles/status", "kind": "ClusterRole"}, {"name": "clusterroles", "kind": "ClusterRole"}]}`)
		return
	case req.Method == http.MethodPost:
		name = sent["metadata"].(map[string]any)["name"].(string)
		if r.have[name] != nil {
			refuse(w, http.StatusConflict, "AlreadyExists")
			return
		}
		sent["metadata"].(map[string]any)["resourceVersion"] = "1"
		r.have[name] = sent
	case r.have[name] == nil:
		refuse(w, http.StatusNotFound, "NotFound")
		return
	case req.Method == http.MethodPut:
		if r.changed--; r.changed >= 0 {
			r.have[name]["metadata"].(map[string]any)["resourceVersion"] = fmt.Sprint("later", r.changed)
		}
		if version(sent) != version(r.have[name]) {
			refuse(w, http.StatusConflict, "Conflict")
			return
		}
		r.have[name] = sent
	}
	_ = json.NewEncoder(w).Encode(r.have[name])
}

// TestClient_PutCreatesAndUpdates puts a new object, and an existing one that another client changes meanwhile.
func TestClient_PutCreatesAndUpdates(t *testing.T) {
	const manifest = `# made by somebody
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: %s, labels: {ours: "2"}}
rules: [{verbs: [get]}]
`
	api := &roles{changed: 2, have: map[string]map[string]any{"old": {
		"apiVersion":      "rbac.authorization.k8s.io/v1",
		"kind":            "ClusterRole",
		"status":          "kept",
		"aggregationRule": map[string]any{},
		"metadata": map[string]any{
			"name":            "old",
			"uid":             "u",
			"resourceVersion": "1",
			"finalizers":      []any{"f"},
			"labels":          map[string]any{"ours": "1", "theirs": "3"},
		},
	}}}
	client := clientOf(t, api)
	if err := client.put(t.Context(), fmt.Appendf(nil, manifest+manifest, "new", "old")); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(api.have["new"]["rules"]); got != "[map[verbs:[get]]]" {
		t.Errorf("a new one has %s", got)
	}
	old := api.have["old"]
	_, dropped := old["aggregationRule"]
	metadata, _ := old["metadata"].(map[string]any)
	want := map[string]any{"ours": "2", "theirs": "3"}
	labels, _ := metadata["labels"].(map[string]any)
	if dropped || fmt.Sprint(old["rules"]) != "[map[verbs:[get]]]" || old["status"] != "kept" ||
		metadata["uid"] != "u" || fmt.Sprint(metadata["finalizers"]) != "[f]" || !maps.Equal(labels, want) {
		t.Errorf("the existing object: %v", old)
	}
	const other = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Other\nmetadata: {name: x}"
	if err := client.put(t.Context(), []byte(other)); err == nil {
		t.Error("an object of an unknown kind was put")
	}
}

func TestClient_GetDistinguishesMissingFromFailure(t *testing.T) {
	client := clientOf(t, &roles{have: map[string]map[string]any{"there": {
		"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": map[string]any{"name": "there"},
	}}})
	for _, test := range []struct {
		version, name string
		there, fails  bool
	}{
		{"rbac.authorization.k8s.io/v1", "there", true, false},
		{"rbac.authorization.k8s.io/v1", "gone", false, false},
		{"example.com/v1", "there", false, true},
	} {
		found, err := client.Get(t.Context(), test.version, "ClusterRole", "", test.name)
		if (len(found) > 0) != test.there || (err != nil) != test.fails {
			t.Errorf("%s %s: %q, %v", test.version, test.name, found, err)
		}
	}
}

// TestAwait_RetriesWatches has a watch that ends, one that fails, and one in which the node becomes ready.
func TestAwait_RetriesWatches(t *testing.T) {
	const event = `{"type": "%s", "object": {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n"},
		"spec": {"podCIDR": "%s"}}}` + "\n"
	var watches atomic.Int64
	client := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if q := req.URL.Query(); q.Get("watch") != "true" || q.Get("fieldSelector") != "metadata.name=n" {
			t.Errorf("asked for %s", req.URL)
		}
		w.Header().Set("Content-Type", "application/json")
		switch watches.Add(1) {
		case 1:
			fmt.Fprintf(w, event, "ADDED", "none")
		case 2:
			refuse(w, http.StatusServiceUnavailable, "ServiceUnavailable")
		case 3:
			for _, cidr := range []string{"none", "some"} {
				fmt.Fprintf(w, event, "MODIFIED", cidr)
				w.(http.Flusher).Flush()
			}
			<-req.Context().Done()
		default:
			fmt.Fprintf(w, event, "DELETED", "some")
			w.(http.Flusher).Flush()
			<-req.Context().Done()
		}
	}))
	ready := func(node *v1.Node) error {
		if node.Spec.PodCIDR != "some" {
			return errors.New("its range is " + node.Spec.PodCIDR)
		}
		return nil
	}
	if err := await(t.Context(), client, time.Minute, "the node", nodes, "n", ready); err != nil || watches.Load() != 3 {
		t.Errorf("after %d watches: %v", watches.Load(), err)
	}
	err := await(t.Context(), client, 100*time.Millisecond, "the node", nodes, "n", ready)
	if err == nil || !strings.Contains(err.Error(), "the node") || !strings.Contains(err.Error(), "deleted") {
		t.Errorf("a deleted node: %v", err)
	}
}

// TestInstallAddon_BeginsWithKinds has an API server that rejects requests before it is ready, like the real one. One
// of the kinds is new, and the other is an hour old.
func TestInstallAddon_BeginsWithKinds(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"rbac.yaml": "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: driver, namespace: kube-system}\n",
		"z.yaml":    "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: kinds}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	served := map[string]string{
		"/api/v1":                       `{"name": "serviceaccounts", "kind": "ServiceAccount", "namespaced": true}`,
		"/apis/storage.k8s.io/v1":       `{"name": "csidrivers", "kind": "CSIDriver"}`,
		"/apis/apiextensions.k8s.io/v1": `{"name": "customresourcedefinitions", "kind": "CustomResourceDefinition"}`,
		"/apis/rbac.authorization.k8s.io/v1": `{"name": "clusterroles", "kind": "ClusterRole"},
			{"name": "clusterrolebindings", "kind": "ClusterRoleBinding"}`,
	}
	now := time.Now().UTC().Truncate(time.Second)
	long := now.Add(-time.Hour)
	aged := map[string]string{}
	var made []string
	refused := 0
	client := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch kind := served[req.URL.Path]; {
		case kind != "":
			fmt.Fprintf(w, `{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "x", "resources": [%s]}`, kind)
		case req.Method == http.MethodPost && refused < 2:
			refused++
			refuse(w, http.StatusNotFound, "NotFound") // the namespace, or the group
		case req.Method == http.MethodPost:
			made = append(made, filepath.Base(req.URL.Path))
			_, _ = io.Copy(w, req.Body)
		case req.Method == http.MethodPatch:
			patch, _ := io.ReadAll(req.Body)
			aged[req.URL.Path] = string(patch)
			fmt.Fprint(w, `{"kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1"}`)
		default:
			name := strings.TrimPrefix(req.URL.Query().Get("fieldSelector"), "metadata.name=")
			at := now
			if name == addonKinds[0] {
				at = long
			}
			for _, status := range []string{"False", "True"} {
				fmt.Fprintf(w, `{"type": "MODIFIED", "object": {
					"kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1", "metadata": {"name": %q},
					"status": {"conditions": [{"type": "Established", "status": %q, "lastTransitionTime": %q}]}}}`+"\n",
					name, status, at.Format(time.RFC3339))
			}
			w.(http.Flusher).Flush()
			<-req.Context().Done()
		}
	}))
	s := &supervisor{
		settings: settings{Programs: thirdparty.Programs{thirdparty.CSIDriver: filepath.Join(dir, "driver")}},
		client:   client,
	}
	if err := s.installAddon(t.Context()); err != nil || len(made) != 0 {
		t.Errorf("without the add-on: %v, %q", err, made)
	}
	s.Spec.SecretsProvider = true
	err := s.installAddon(t.Context())
	want := "[customresourcedefinitions clusterroles clusterrolebindings csidrivers serviceaccounts]"
	if err != nil || refused != 2 || fmt.Sprint(made) != want {
		t.Errorf("%v, made %q", err, made)
	}
	path := "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/" + addonKinds[1] + "/status"
	if !strings.Contains(aged[path], now.Add(-time.Minute).Format(time.RFC3339)) || len(aged) != 1 {
		t.Errorf("only the new kind must be backdated: %v", aged)
	}
}
