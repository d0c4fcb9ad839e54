package overview

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Mount is a volume of a pod that the Secrets Store CSI driver fills.
type Mount struct {
	Cluster        string `json:"cluster"` // the ARM id
	Namespace      string `json:"namespace"`
	Pod            string `json:"pod"`
	ServiceAccount string `json:"serviceAccount"`
	Class          string `json:"class"` // the SecretProviderClass
	Volume         string `json:"volume"`
	Mounted        bool   `json:"mounted"`
	// Objects are those that are mounted, in the version that the driver knows of.
	Objects []Object `json:"objects"`
	// Since is when the volume was mounted, or the pod was made where it is not.
	Since time.Time `json:"since"`
	// Message says why the volume is not mounted, if the cluster has an event about it.
	Message string `json:"message,omitempty"`

	PodUID  string    `json:"-"`
	Updated time.Time `json:"-"` // when the versions last changed; zero: nobody knows
}

// Object is a secret, key or certificate of a vault, such as secret/my-secret.
type Object struct {
	ID      string `json:"id"`
	Version string `json:"version"`
}

// Rotation is that a pod got another version of an object.
type Rotation struct {
	Time      time.Time `json:"time"`
	Cluster   string    `json:"cluster"`
	Namespace string    `json:"namespace"`
	Pod       string    `json:"pod"`
	Object    string    `json:"object"`
	From      string    `json:"from"`
	To        string    `json:"to"`
}

// Unreachable is a cluster that does not say what is mounted in it.
type Unreachable struct {
	Cluster string `json:"cluster"`
	Message string `json:"message"`
}

// Mounts are those of all clusters.
type Mounts struct {
	Mounts []Mount `json:"mounts"`
	// Rotations are those that were seen since the local cloud was started, the oldest first. A rotation is seen where the
	// version is another than at the call of Mounts before.
	Rotations   []Rotation    `json:"rotations"`
	Unreachable []Unreachable `json:"unreachable,omitempty"`
}

// Clusters says what the pods of clusters have mounted.
type Clusters interface {
	// Mounts returns the mounts of the cluster with an ARM id, without that id.
	Mounts(ctx context.Context, id string) ([]Mount, error)
}

const (
	mountsTime   = 5 * time.Second // in which a cluster has to answer
	mostRotation = 500             // how many are kept
)

// rotations compares the versions of objects over time.
type rotations struct {
	mu   sync.Mutex
	seen map[seenObject]string // versions
	all  []Rotation
}

type seenObject struct{ cluster, podUID, volume, object string }

// Mounts asks all clusters, and compares what they say with what they said before.
func (s *Service) Mounts(ctx context.Context) (Mounts, error) {
	found := Mounts{Mounts: []Mount{}, Rotations: []Rotation{}}
	var ids []string
	if err := s.Store.View(func(tx *store.Tx) error {
		clusters, err := arm.Under(tx, "/subscriptions", "Microsoft.ContainerService/managedClusters")
		for _, cluster := range clusters {
			if slices.Contains([]string{arm.Succeeded, arm.Updating}, arm.ProvisioningState(cluster)) {
				ids = append(ids, arm.Text(cluster, "id"))
			}
		}
		return err
	}); err != nil || s.Clusters == nil {
		return found, err
	}
	// One at a time: of two, the older answer could be compared last and show a rotation backwards.
	s.mounting.Lock()
	defer s.mounting.Unlock()
	ctx, cancel := context.WithTimeout(ctx, mountsTime)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, id := range ids {
		all.Go(func() {
			mounts, err := s.Clusters.Mounts(ctx, id)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				found.Unreachable = append(found.Unreachable, Unreachable{id, err.Error()})
				return
			}
			for _, mount := range mounts {
				mount.Cluster = id
				found.Mounts = append(found.Mounts, mount)
			}
			s.rotations.compare(id, mounts)
		})
	}
	all.Wait()
	slices.SortFunc(found.Mounts, func(a, b Mount) int {
		return cmp.Or(strings.Compare(a.Cluster, b.Cluster), strings.Compare(a.Namespace, b.Namespace),
			strings.Compare(a.Pod, b.Pod), strings.Compare(a.Volume, b.Volume))
	})
	found.Rotations = append(found.Rotations, s.rotations.list()...)
	return found, nil
}

// compare notes what is another version than before in a cluster, and forgets the pods that are gone.
func (r *rotations) compare(cluster string, mounts []Mount) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := map[seenObject]string{}
	for key, version := range r.seen {
		if key.cluster != cluster {
			now[key] = version
		}
	}
	for _, mount := range mounts {
		for _, object := range mount.Objects {
			key := seenObject{cluster, mount.PodUID, mount.Volume, object.ID}
			now[key] = object.Version
			if before, known := r.seen[key]; known && before != object.Version {
				at := mount.Updated
				if at.IsZero() {
					at = time.Now()
				}
				r.all = append(r.all, Rotation{
					at.UTC(), cluster, mount.Namespace, mount.Pod, object.ID, before, object.Version,
				})
			}
		}
	}
	r.seen = now
	slices.SortStableFunc(r.all, func(a, b Rotation) int { return a.Time.Compare(b.Time) })
	r.all = r.all[max(0, len(r.all)-mostRotation):]
}

func (r *rotations) list() []Rotation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}
