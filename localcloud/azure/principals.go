package azure

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"net/http"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/activity"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/ciissuer"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/faults"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/overview"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// control answers at the local cloud's own host, https://localcloud.internal:
//
//   - /faults is the fault plan.
//   - POST /principals makes a service principal with a secret and no rights, as `az ad sp create-for-rbac` does.
//     Microsoft Graph, which that command asks, only reads here.
//   - POST /ci-tokens issues tokens of CI services.
//   - GET /activity answers from the record of requests.
//   - GET /resources, /operations and /mounts show what is there now.
//
// All of it is for the owner: what is made and changed here may have all rights, or take all from others. The caller
// shows the owner's credentials, which only the home has, by HTTP's basic authentication.
func (c *Cloud) control(
	failing *faults.Faults,
	ci *ciissuer.Service,
	record *activity.Record,
	shown *overview.Service,
) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", failing.Control(c.honourAll))
	mux.HandleFunc("POST /ci-tokens", ci.Control)
	mux.Handle("GET /activity", record)
	shown.Register(mux)
	mux.HandleFunc("POST /principals", func(w http.ResponseWriter, _ *http.Request) {
		app := entra.Application{ClientID: uuid.NewString(), ObjectID: uuid.NewString(), Name: "principal"}
		secret := rand.Text()
		app.SetSecret(secret)
		if err := c.store.Update(func(tx *store.Tx) error { return entra.PutApplication(tx, app) }); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]string{ // the client has gone: nobody to tell
			"clientId": app.ClientID, "objectId": app.ObjectID, "clientSecret": secret,
		})
	})
	read := c.forOwner(unredirected(mux))
	change := record.Handler("Local cloud", read)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet { // not recorded: a client that waits for the next request would wait for itself
			read.ServeHTTP(w, r)
			return
		}
		change.ServeHTTP(w, r)
	})
}

// forOwner has a handler answer the owner alone.
func (c *Cloud) forOwner(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entry := activity.From(r.Context())
		id, secret, _ := r.BasicAuth()
		if id != c.credentials.ClientID ||
			subtle.ConstantTimeCompare([]byte(secret), []byte(c.credentials.ClientSecret)) != 1 {
			entry.Decided(authorization.Decision{Missing: "the credentials of the owner of the local cloud"})
			w.Header().Set("WWW-Authenticate", `Basic realm="the owner of the local cloud"`)
			http.Error(
				w,
				"only the owner of the local cloud may ask here: with ARM_CLIENT_ID and ARM_CLIENT_SECRET",
				http.StatusUnauthorized,
			)
			return
		}
		entry.CalledBy(activity.Caller{Name: ownerName, Kind: activity.ServicePrincipal})
		entry.Decided(authorization.Decision{Allowed: true, Because: "owner of the local cloud"})
		h.ServeHTTP(w, r)
	})
}
