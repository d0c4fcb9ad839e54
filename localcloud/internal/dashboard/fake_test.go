package dashboard

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/faults"
	"github.com/keyvault-aks/keyvault-aks/localcloud/edge"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/layout"
)

// fake is a local cloud that tells what is in testdata.
type fake struct {
	mu      sync.Mutex
	running *layout.Running
	asked   []string // method and URL

	answerWrongly atomic.Bool // with its credentials, and no JSON
}

const ownersSecret = "owners-secret-9b1f"

func newFake(t *testing.T) *fake {
	t.Helper()
	way, err := edge.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{}
	mux := http.NewServeMux()
	for _, name := range []string{"resources", "operations", "mounts"} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, _ *http.Request) { f.answer(t, w, name) })
	}
	mux.HandleFunc("GET /activity", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("after") != "0" {
			select {
			case <-r.Context().Done():
			case <-time.After(time.Second):
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"next": 61, "started": "2026-11-29T03:00:00Z", "requests": []any{}})
			return
		}
		f.answer(t, w, "activity")
	})
	mux.Handle("/faults", faults.New(faults.Plan{}).Control(func() error { return nil }))
	way.Handle(faults.Host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		f.mu.Lock()
		f.asked = append(f.asked, r.Method+" "+r.URL.String())
		f.mu.Unlock()
		if user != "owner" || password != ownersSecret {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("X-Cloud", ownersSecret) // which must not go further
		if f.answerWrongly.Load() {
			http.Error(w, ownersSecret, http.StatusInternalServerError)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- way.Serve(t.Context(), l) }()
	t.Cleanup(func() {
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	f.running = &layout.Running{
		PID: os.Getpid(), Proxy: l.Addr().String(), CAFile: way.CAFile(), Started: time.Now(),
		Credentials: layout.Credentials{ClientID: "owner", ClientSecret: ownersSecret},
	}
	return f
}

func (f *fake) answer(t *testing.T, w http.ResponseWriter, name string) {
	content, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Error(err)
	}
	_, _ = w.Write(content)
}

func (f *fake) cloud() (*layout.Running, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running == nil {
		return nil, home.ErrNotRunning
	}
	return f.running, nil
}
