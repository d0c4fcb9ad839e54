package managedidentity

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

const (
	IdentitiesType = "Microsoft.ManagedIdentity/userAssignedIdentities"
	federatedType  = IdentitiesType + "/federatedIdentityCredentials"
)

func putIdentity(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.Begin(IdentitiesType, true)
	if err != nil {
		return arm.Reply{}, err
	}
	app := NewApplication(c.Name())
	if old != nil {
		properties := arm.Child(old, "properties")
		app, _, err = entra.GetApplication(c.Tx, arm.Text(properties, "clientId"))
		if err != nil {
			return arm.Reply{}, err
		}
	}
	if err := FillIdentity(c.Tx, res, app, c.TenantID); err != nil {
		return arm.Reply{}, err
	}
	return c.Written(old, res)
}

// FillIdentity adds the service principal of an identity to the directory, and its ids to the identity.
func FillIdentity(tx *store.Tx, identity arm.Object, app entra.Application, tenantID string) error {
	identity["properties"] = arm.Object{"tenantId": tenantID, "clientId": app.ClientID, "principalId": app.ObjectID}
	return entra.PutApplication(tx, app)
}

// NewApplication returns a new service principal for an identity. It is not in the directory yet.
func NewApplication(name string) entra.Application {
	return entra.Application{ClientID: uuid.NewString(), ObjectID: uuid.NewString(), Name: name}
}

// maxFederated is the maximum number of credentials of an identity
// (learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations).
const maxFederated = 20

// identities locks identities while a credential is written.
type identities struct {
	writeTime time.Duration

	mu   sync.Mutex
	busy map[string]bool
}

// lock locks the identity of a credential. It returns an error if another write to the same identity is under way,
// because Entra ID does not support concurrent ones.
func (i *identities) lock(t arm.Target) (arm.Release, error) {
	identity := fold.Lower(t.Top())
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.busy[identity] {
		return nil, arm.Conflict("ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity",
			"Too many Federated Identity Credentials are written concurrently for the managed identity '%s'. Concurrent "+
				"Federated Identity Credentials writes under the same managed identity are not supported.", t.Names[0])
	}
	i.busy[identity] = true
	return func(ctx context.Context) {
		arm.Wait(ctx, i.writeTime)
		i.mu.Lock()
		defer i.mu.Unlock()
		delete(i.busy, identity)
	}, nil
}

// federatedProperties are the properties of a federated credential.
type federatedProperties struct {
	Issuer    string   `json:"issuer"`
	Subject   string   `json:"subject"`
	Audiences []string `json:"audiences"`
}

func putFederated(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.Begin(federatedType, false)
	if err != nil {
		return arm.Reply{}, err
	}
	var given federatedProperties
	if err := arm.Decode(arm.Child(res, "properties"), &given); err != nil {
		return arm.Reply{}, err
	}
	if err := given.check(); err != nil {
		return arm.Reply{}, err
	}
	siblings, err := arm.Under(c.Tx, c.Top(), federatedType)
	if err != nil {
		return arm.Reply{}, err
	}
	if old == nil && len(siblings) >= maxFederated {
		return arm.Reply{}, arm.BadRequest("BadRequest",
			"Too many Federated Identity Credentials: a managed identity can have at most %d.", maxFederated)
	}
	for _, sibling := range siblings {
		var has federatedProperties
		if err := arm.Decode(arm.Child(sibling, "properties"), &has); err != nil {
			return arm.Reply{}, err
		}
		if has.Issuer == given.Issuer && has.Subject == given.Subject && arm.Text(sibling, "id") != arm.Text(res, "id") {
			return arm.Reply{}, arm.Conflict("Conflict", "Issuer and subject combination already exists for this Managed "+
				"Identity, in the Federated Identity Credential '%s'.", arm.Text(sibling, "name"))
		}
	}
	answer, err := c.Written(old, res)
	if err != nil {
		return arm.Reply{}, err
	}
	return answer, publishFederated(c)
}

func (p federatedProperties) check() error {
	for _, required := range []struct{ name, value string }{
		{"issuer", p.Issuer},
		{"subject", p.Subject},
		{"audiences", strings.Join(p.Audiences, "")},
	} {
		if required.value == "" {
			return arm.BadRequest("BadRequest", "The property '%s' of a Federated Identity Credential is required.",
				required.name)
		}
	}
	switch {
	case !strings.HasPrefix(p.Issuer, "https://"):
		return arm.BadRequest("BadRequest", "The issuer '%s' is not valid: it must be an https URL.", p.Issuer)
	case len(p.Audiences) != 1:
		return arm.BadRequest("BadRequest",
			"The audiences of a Federated Identity Credential must be one value, not %d.", len(p.Audiences))
	}
	return nil
}

func deleteFederated(c *arm.Call) (arm.Reply, error) {
	res, ok, err := arm.Load(c.Tx, c.Path)
	if err != nil || !ok {
		return arm.Reply{Status: http.StatusNoContent}, err
	}
	if err := c.Destroy(c.Tx, res); err != nil {
		return arm.Reply{}, err
	}
	return arm.Reply{}, publishFederated(c)
}

// publishFederated copies the credentials of the identity to the directory.
func publishFederated(c *arm.Call) error {
	identity, _, err := arm.Load(c.Tx, c.Top())
	if err != nil {
		return err
	}
	app, ok, err := entra.GetApplication(c.Tx, arm.Text(arm.Child(identity, "properties"), "clientId"))
	if err != nil || !ok {
		return err
	}
	credentials, err := arm.Under(c.Tx, c.Top(), federatedType)
	if err != nil {
		return err
	}
	before := app.Federated
	app.Federated = nil
	for _, res := range credentials {
		var p federatedProperties
		if err := arm.Decode(arm.Child(res, "properties"), &p); err != nil {
			return err
		}
		credential := entra.FederatedCredential{
			Name:      arm.Text(res, "name"),
			Issuer:    p.Issuer,
			Subject:   p.Subject,
			Audiences: p.Audiences,
		}
		same := slices.IndexFunc(before, func(b entra.FederatedCredential) bool {
			return b.Name == credential.Name && b.Issuer == p.Issuer && b.Subject == p.Subject &&
				slices.Equal(b.Audiences, p.Audiences)
		})
		if wait := c.Faults.CredentialsAfter(); same >= 0 {
			credential = before[same]
		} else if wait > 0 {
			credential.EffectiveOn = time.Now().UTC().Add(wait)
		}
		app.Federated = append(app.Federated, credential)
	}
	return entra.PutApplication(c.Tx, app)
}

// NewPrincipal adds a service principal to the directory for a system-assigned identity, such as a cluster's.
func NewPrincipal(tx *store.Tx, name string) (entra.Application, error) {
	app := NewApplication(name)
	return app, entra.PutApplication(tx, app)
}

// deleteApplication deletes the service principal of a deleted identity from the directory.
func deleteApplication(_ *arm.Service, tx *store.Tx, res arm.Object) error {
	return entra.DeleteApplication(tx, arm.Text(arm.Child(res, "properties"), "clientId"))
}
