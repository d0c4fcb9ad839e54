package azure

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"net/http"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/ciissuer"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/faults"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// control answers at the local cloud's own host: for the plan of faults, and POST
// https://localcloud.internal/principals, which makes a service principal with a secret and no rights, as `az ad sp
// create-for-rbac` does. Microsoft Graph, which that asks, only reads here. POST https://localcloud.internal/ci-tokens issues tokens of CI
// services. What is made and changed there may have all rights, or take all from others: who asks shows the owner's credentials, which
// only the home has, by HTTP's basic authentication.
func (c *Cloud) control(failing *faults.Faults, ci *ciissuer.Service) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", failing.Control(c.honourAll))
	mux.HandleFunc("POST /ci-tokens", ci.Control)
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
	return c.forOwner(unredirected(mux))
}

// forOwner has a handler answer the owner alone.
func (c *Cloud) forOwner(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		if id != c.credentials.ClientID ||
			subtle.ConstantTimeCompare([]byte(secret), []byte(c.credentials.ClientSecret)) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="the owner of the local cloud"`)
			http.Error(
				w,
				"only the owner of the local cloud may ask here: with ARM_CLIENT_ID and ARM_CLIENT_SECRET",
				http.StatusUnauthorized,
			)
			return
		}
		h.ServeHTTP(w, r)
	})
}
