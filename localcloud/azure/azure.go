// Package azure implements the part of Azure that the program of this repository uses, on loopback: Resource Manager,
// Entra ID, Key Vault's data plane, AKS's OIDC issuer and the webhooks of its API servers, under their names in the
// public cloud. It also has the issuers of CI services.
package azure

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/activity"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/ciissuer"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/eventgrid"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/faults"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/graph"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/guard"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/keyvault"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/oidcissuer"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/overview"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/containerservice"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/network"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/storage"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
	"github.com/keyvault-aks/keyvault-aks/localcloud/edge"
)

// The tenant and its subscriptions are the same in every local cloud, so that IDs of one are valid in another. The hub
// is the second subscription, with the same owner, for shared resources of stacks. The group is the same too. Its only
// member is the subscription's owner, and clusters can have it as their administrators.
const (
	TenantID       = "5f4e2d3c-0000-4000-8000-00000000a1b2"
	SubscriptionID = "1c0d5b6a-0000-4000-8000-00000000c3d4"
	HubID          = "1c0d5b6a-0000-4000-8000-00000000d4e5"
	OwnersGroupID  = "7a6b9c8d-0000-4000-8000-00000000e5f6"
)

// recordedRequests is how many requests the record in memory keeps.
const recordedRequests = 2000

// Clusters runs Kubernetes behind managed clusters; ClusterSpec is what one is to be.
type (
	Clusters    = containerservice.Clusters
	ClusterSpec = containerservice.ClusterSpec
)

// Options are the options of a Cloud. All without a default are required.
type Options struct {
	// Dir is the folder of the store, which outlives the process.
	Dir string
	// Edge is where the services are served.
	Edge *edge.Edge
	// Clusters runs Kubernetes.
	Clusters Clusters
	// Mounts says what pods of the clusters have mounted, for https://localcloud.internal/mounts. Defaults to nothing.
	Mounts overview.Clusters
	// Log is told of each request: its method, host, path and status, never what is in it.
	Log *slog.Logger
	// FederatedWriteTime is how long a write of a federated credential blocks its identity. Defaults to the duration of
	// the write.
	FederatedWriteTime time.Duration
	// Record is a folder that receives the requests to Resource Manager without the values of secrets, and in asked.txt
	// the actions that principals request. Defaults to none.
	Record string
	// PoolTime is the duration of operations on a cluster's node pools. Defaults to 0.
	PoolTime time.Duration
	// Times is the additional duration of operations on Resource Manager. Defaults to arm.Instant.
	Times arm.Times
	// Faults is the initial fault plan. It can be changed and ended at https://localcloud.internal/faults. Defaults to
	// none.
	Faults faults.Plan
}

// Credentials are the credentials of the service principal that is Owner of the subscriptions.
type Credentials struct{ TenantID, SubscriptionID, ClientID, ClientSecret string }

// Cloud is Azure with one tenant and two subscriptions.
type Cloud struct {
	store       *store.Store
	manager     *arm.Service
	credentials Credentials

	stop    context.CancelFunc // stops raising events
	raising sync.WaitGroup
}

// New opens the store, creates what is missing, resumes interrupted operations and serves at the edge.
func New(o Options) (*Cloud, error) {
	st, err := store.Open(filepath.Join(o.Dir, "azure.db"))
	if err != nil {
		return nil, err
	}
	c := &Cloud{store: st}
	if err := c.start(o); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Cloud) start(o Options) error {
	tokens, err := entra.New(c.store, TenantID, o.Edge.Client())
	if err != nil {
		return err
	}
	if err := c.store.Update(func(tx *store.Tx) (err error) {
		c.credentials, err = owner(tx)
		return err
	}); err != nil {
		return fmt.Errorf("making the subscription's owner: %w", err)
	}
	failing := faults.New(o.Faults)
	webhooks, err := eventgrid.Client(o.Edge.CAFile())
	if err != nil {
		return err
	}
	var told func(objectID, action string)
	if o.Record != "" {
		told = asked(o.Record, o.Log)
	}
	clusters := containerservice.New(containerservice.Config{Store: c.store, Clusters: o.Clusters, PoolTime: o.PoolTime})
	c.manager, err = arm.New(arm.Config{
		Store: c.store, Tokens: tokens, TenantID: TenantID, SubscriptionID: SubscriptionID, HubID: HubID,
		Times: o.Times, Faults: failing, Asked: told,
	}, providers(clusters, o.FederatedWriteTime, webhooks)...)
	if err != nil {
		return err
	}
	var manager http.Handler = c.manager
	if o.Record != "" {
		manager = recorded(o.Record, manager)
	}
	record := activity.New(recordedRequests)
	serve := func(host, name string, service http.Handler) {
		o.Edge.Handle(host, logged(o.Log, record.Handler(name, failing.Handler(service))))
	}
	serve(arm.Host, "Resource Manager", manager)
	serve(entra.Host, "Entra ID", unredirected(tokens))
	serve(entra.IssuerHost, "Entra ID", unredirected(tokens))
	serve(graph.Host, "Microsoft Graph", graph.New(c.store, tokens, TenantID))
	serve(guard.Host, "AKS guard", guard.New(c.store, tokens))
	serve(keyvault.Hosts, "Key Vault", keyvault.NewServer(c.store, tokens, ways{clusters, network.Ways{}}, TenantID))
	serve(storage.Hosts, "Queue Storage", storage.NewServer(c.store, tokens, TenantID))
	serve(oidcissuer.Hosts, "AKS OIDC issuer", unredirected(oidcissuer.Handler(clusters.IssuerKeys)))
	o.Edge.Admit(clusters.Admit)
	ci := ciissuer.New(c.store)
	for host, service := range ci.Hosts() {
		serve(host, "CI issuer", unredirected(service))
	}
	shown := overview.New(overview.Config{
		Store: c.store, Manager: c.manager, Subscriptions: []string{SubscriptionID, HubID}, Clusters: o.Mounts,
	})
	o.Edge.Handle(faults.Host, logged(o.Log, c.control(failing, ci, record, shown)))
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.raising.Go(func() { eventgrid.New(c.store, webhooks, o.Log).Run(ctx) })
	return nil
}

// ways describes how requests reach vaults from clusters and through networks.
type ways struct {
	*containerservice.Service
	network.Ways
}

// honourAll makes pending role assignments and federated credentials take effect.
func (c *Cloud) honourAll() error {
	return c.store.Update(func(tx *store.Tx) error {
		return errors.Join(authorization.HonourAll(tx), entra.HonourAll(tx))
	})
}

// Credentials returns the credentials of the subscriptions' owner.
func (c *Cloud) Credentials() Credentials { return c.credentials }

// Settle returns when no operation is in progress, including the start of clusters of an earlier run, or when ctx ends.
func (c *Cloud) Settle(ctx context.Context) error { return c.manager.Settle(ctx) }

// Close interrupts operations and closes the store. The next New resumes them.
func (c *Cloud) Close() {
	if c.stop != nil {
		c.stop()
		c.raising.Wait()
	}
	if c.manager != nil {
		c.manager.Close()
	}
	_ = c.store.Close()
}

// ownerName is the name of the service principal that owns the subscriptions.
const ownerName = "localcloud-owner"

// owner returns the subscription's owner, made once a store.
func owner(tx *store.Tx) (Credentials, error) {
	const bucket, name = "azure", "owner"
	made, ok, err := store.Get[Credentials](tx, bucket, name)
	if err != nil {
		return made, err
	}
	if ok {
		return made, errors.Join(ownersGroup(tx), readDirectory(tx, made.ClientID))
	}
	app := entra.Application{
		ClientID: uuid.NewString(),
		ObjectID: uuid.NewString(),
		Name:     ownerName,
		Groups:   []string{OwnersGroupID},
	}
	made = Credentials{
		TenantID:       TenantID,
		SubscriptionID: SubscriptionID,
		ClientID:       app.ClientID,
		ClientSecret:   rand.Text(),
	}
	app.SetSecret(made.ClientSecret)
	if err := errors.Join(ownersGroup(tx), entra.PutApplication(tx, app), readDirectory(tx, app.ClientID)); err != nil {
		return made, err
	}
	for _, subscription := range []string{SubscriptionID, HubID} {
		scope, assignment, now := "/subscriptions/"+subscription, uuid.NewString(), time.Now().UTC().Format(time.RFC3339Nano)
		if err := authorization.Put(tx, authorization.Assignment{
			ID: scope + "/providers/Microsoft.Authorization/roleAssignments/" + assignment, Name: assignment, Scope: scope,
			RoleID: authorization.OwnerID, PrincipalID: app.ObjectID, PrincipalType: "ServicePrincipal",
			CreatedOn: now, UpdatedOn: now, CreatedBy: app.ObjectID,
		}); err != nil {
			return made, err
		}
	}
	return made, store.Put(tx, bucket, name, made)
}

// unredirected refuses paths that an http.ServeMux would redirect to their clean form. No service of Azure redirects,
// least of all before it has authenticated the caller.
func unredirected(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given := r.URL.EscapedPath()
		if clean := path.Clean("/" + given); given != clean && (given != clean+"/" || clean == "/") {
			http.NotFound(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func ownersGroup(tx *store.Tx) error {
	return entra.PutGroup(tx, entra.Group{ObjectID: OwnersGroupID, Name: "localcloud-owners"})
}

// readDirectory lets the owner read the directory, as any signed-in user of a tenant may. For an application, an
// administrator must grant this (https://learn.microsoft.com/entra/fundamentals/users-default-permissions). No other
// application here has the permission.
func readDirectory(tx *store.Tx, clientID string) error {
	app, ok, err := entra.GetApplication(tx, clientID)
	if err != nil || !ok {
		return err
	}
	app.GraphRoles = []string{graph.DirectoryReadAll}
	return entra.PutApplication(tx, app)
}

// logged logs each request. Paths and statuses have no secrets. Everything else might.
func logged(log *slog.Logger, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		s := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			fault := recover()
			switch {
			case fault == http.ErrAbortHandler: //nolint:errorlint // a reset, this very value
				log.Info(
					"request",
					"method",
					r.Method,
					"host",
					r.Host,
					"path",
					r.URL.Path,
					"status",
					"reset",
					"took",
					time.Since(start).Round(time.Millisecond),
				)
				panic(fault)
			case fault != nil:
				log.Error(
					"fault of the local cloud",
					"method",
					r.Method,
					"path",
					r.URL.Path,
					"fault",
					fault,
					"stack",
					string(debug.Stack()),
				)
				panic(http.ErrAbortHandler) // the client sees that there is no response
			}
		}()
		h.ServeHTTP(s, r)
		log.Info("request", "method", r.Method, "host", r.Host, "path", r.URL.Path, "status", s.status,
			"took", time.Since(start).Round(time.Millisecond))
	})
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
