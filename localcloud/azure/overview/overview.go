// Package overview shows what is in the local cloud: its resources, the operations under way, and what pods have
// mounted. It shows names, ids and states, and no values.
package overview

import (
	"encoding/json"
	"net/http"
	"sync"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Config is what the service reads from.
type Config struct {
	Store   *store.Store
	Manager *arm.Service
	// Subscriptions are the ids of the tenant's subscriptions.
	Subscriptions []string
	// Clusters says what is mounted in clusters. Nil: nobody knows.
	Clusters Clusters
}

// Service answers GET /resources, /operations and /mounts.
type Service struct {
	Config
	mounting  sync.Mutex
	rotations rotations
}

// New returns the service.
func New(c Config) *Service { return &Service{Config: c} }

// Register adds the paths of the service to a mux.
func (s *Service) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /resources", func(w http.ResponseWriter, _ *http.Request) {
		found, err := s.Resources()
		write(w, map[string]any{"resources": found}, err)
	})
	mux.HandleFunc("GET /operations", func(w http.ResponseWriter, _ *http.Request) {
		found, err := s.Operations()
		write(w, map[string]any{"operations": found}, err)
	})
	mux.HandleFunc("GET /mounts", func(w http.ResponseWriter, r *http.Request) {
		found, err := s.Mounts(r.Context())
		write(w, found, err)
	})
}

func write(w http.ResponseWriter, answer any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the client has gone: nobody to tell
}
