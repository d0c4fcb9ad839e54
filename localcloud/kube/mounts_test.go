package kube

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/overview"
)

// lists is an API server that has objects of three resources.
func lists(t *testing.T, pods, statuses, events string) *Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, items := "", ""
		switch {
		case strings.HasSuffix(r.URL.Path, "/pods"):
			kind, items = "Pod", pods
		case strings.HasSuffix(r.URL.Path, "/secretproviderclasspodstatuses"):
			kind, items = "SecretProviderClassPodStatus", statuses
		case strings.HasSuffix(r.URL.Path, "/events") && r.URL.Query().Get("fieldSelector") == "reason=FailedMount":
			kind, items = "Event", events
		}
		w.Header().Set("Content-Type", "application/json")
		if kind == "" || items == "none" {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`))
			return
		}
		fmt.Fprintf(w, `{"kind":"%sList","apiVersion":"v1","items":[%s]}`, kind, items)
	}))
	t.Cleanup(server.Close)
	client, err := NewClient(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// waiting is a pod with a volume of the driver and another one.
const waiting = `{"apiVersion":"v1","kind":"Pod",
	"metadata":{"name":"web","namespace":"shop","uid":"u1","creationTimestamp":"2026-11-29T03:00:00Z"},
	"spec":{"serviceAccountName":"sa","volumes":[
		{"name":"tmp","emptyDir":{}},{"name":"other","csi":{"driver":"disk.csi.azure.com"}},
		{"name":"secrets","csi":{
			"driver":"secrets-store.csi.k8s.io","readOnly":true,"volumeAttributes":{"secretProviderClass":"kv"}}}]},
	"status":{"phase":"Pending"}}`

var running = strings.Replace(waiting, `"Pending"`, `"Running","startTime":"2026-11-29T03:00:05Z"`, 1)

func status(uid, version string) string {
	return `{"apiVersion":"secrets-store.csi.x-k8s.io/v1","kind":"SecretProviderClassPodStatus",
	"metadata":{"name":"web-shop-kv","namespace":"shop","creationTimestamp":"2026-11-29T03:00:04Z",
		"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"web","uid":"` + uid + `"}],
		"managedFields":[
			{"manager":"driver","time":"2026-11-29T03:10:00Z"},{"manager":"driver","time":"2026-11-29T03:05:00Z"}]},
	"status":{"podName":"web","secretProviderClassName":"kv","mounted":true,"targetPath":"/var/lib/kubelet/secret-marker",
		"objects":[{"id":"secret/my-secret","version":"` + version + `"}]}}`
}

func failedMount(uid, at, message string) string {
	return `{"apiVersion":"v1","kind":"Event","metadata":{"name":"web.` + at[17:19] + `","namespace":"shop"},
	"involvedObject":{"kind":"Pod","name":"web","namespace":"shop","uid":"` + uid + `"},
	"reason":"FailedMount","message":"` + message + `","lastTimestamp":"` + at + `"}`
}

func TestMounts_SaysWhatIsMountedSinceWhenOrWhyNot(t *testing.T) {
	at := func(text string) time.Time {
		parsed, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed.Local()
	}
	base := overview.Mount{
		Namespace: "shop", Pod: "web", ServiceAccount: "sa", Class: "kv", Volume: "secrets", PodUID: "u1",
		Objects: []overview.Object{},
	}
	earlier := failedMount("u1", "2026-11-29T03:00:02Z", "not yet")
	for name, test := range map[string]struct {
		pods, statuses, events string
		change                 func(*overview.Mount)
	}{
		"mounted": {running, status("u1", "v1"), earlier, func(m *overview.Mount) {
			m.Mounted, m.Since, m.Updated = true, at("2026-11-29T03:00:04Z"), at("2026-11-29T03:10:00Z")
			m.Objects = []overview.Object{{ID: "secret/my-secret", Version: "v1"}}
		}},
		"mounted, of which the driver says nothing": {running, "", "", func(m *overview.Mount) {
			m.Mounted, m.Since = true, at("2026-11-29T03:00:05Z")
		}},
		"without the add-on": {waiting, "none", "", func(m *overview.Mount) { m.Since = at("2026-11-29T03:00:00Z") }},
		"refused": {
			waiting, "", failedMount("u1", "2026-11-29T03:00:09Z", "ForbiddenByRbac") + "," + earlier + "," +
				failedMount("u2", "2026-11-29T03:00:30Z", "another pod's"),
			func(m *overview.Mount) {
				m.Since, m.Message = at("2026-11-29T03:00:00Z"), "FailedMount: ForbiddenByRbac"
			},
		},
		"what the pod of this name before it had": {waiting, status("u0", "v1"), "", func(m *overview.Mount) {
			m.Since = at("2026-11-29T03:00:00Z")
		}},
	} {
		got, err := lists(t, test.pods, test.statuses, test.events).mounts(t.Context())
		want := base
		test.change(&want)
		if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", name, got, err, want)
		}
	}
	long := failedMount("u1", "2026-11-29T03:00:09Z", strings.Repeat("x", 10_000))
	got, err := lists(t, waiting, "", long).mounts(t.Context())
	if err != nil || len(got[0].Message) > longestMessage+100 {
		t.Errorf("%d bytes, %v", len(got[0].Message), err)
	}
	if _, err := lists(t, "none", "", "").mounts(t.Context()); err == nil {
		t.Error("a failure is no error")
	}
}

func TestManagerMounts_SaysThatAClusterDoesNotRun(t *testing.T) {
	m := New(Options{Dir: t.TempDir()})
	if _, err := m.Mounts(t.Context(), "/subscriptions/none"); err == nil || err.Error() != "the cluster does not run" {
		t.Errorf("%v", err)
	}
}
