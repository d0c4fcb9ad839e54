package arm

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

const (
	identitiesType = "Microsoft.ManagedIdentity/userAssignedIdentities"
	federatedType  = identitiesType + "/federatedIdentityCredentials"
)

func (c *call) putIdentity() (reply, error) {
	old, res, err := c.begin(identitiesType, true)
	if err != nil {
		return reply{}, err
	}
	app := newApplication(c.name())
	if old != nil {
		properties := child(old, "properties")
		app, _, err = entra.GetApplication(c.tx, text(properties, "clientId"))
		if err != nil {
			return reply{}, err
		}
	}
	if err := c.fillIdentity(c.tx, res, app); err != nil {
		return reply{}, err
	}
	return c.written(old, res)
}

// fillIdentity puts the service principal of an identity into the directory, and shows it in the identity.
func (s *Service) fillIdentity(tx *store.Tx, identity object, app entra.Application) error {
	identity["properties"] = object{"tenantId": s.TenantID, "clientId": app.ClientID, "principalId": app.ObjectID}
	return entra.PutApplication(tx, app)
}

func newApplication(name string) entra.Application {
	return entra.Application{ClientID: uuid.NewString(), ObjectID: uuid.NewString(), Name: name}
}

func (c *call) deleteIdentity() (reply, error) {
	res, ok, err := load(c.tx, c.path)
	if err != nil || !ok {
		return reply{status: http.StatusNoContent}, err
	}
	return reply{}, destroy(c.tx, res)
}

// maxFederated is how many credentials an identity can have
// (learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations).
const maxFederated = 20

// release lets others in again, not before the write has taken its time.
type release func(ctx context.Context)

// lockIdentity refuses a write while another of the same identity's credentials is under way: Entra takes them one by
// one.
func lockIdentity(s *Service, t target) (release, error) {
	identity := strings.ToLower(t.top())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[identity] {
		return nil, conflict("ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity", "Too many Federated Identity "+
			"Credentials are written concurrently for the managed identity '%s'. Concurrent Federated Identity Credentials writes under "+
			"the same managed identity are not supported.", t.names[0])
	}
	s.busy[identity] = true
	return func(ctx context.Context) {
		select {
		case <-ctx.Done():
		case <-time.After(s.FederatedWriteTime):
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.busy, identity)
	}, nil
}

// federatedProperties are those of a credential.
type federatedProperties struct {
	Issuer    string   `json:"issuer"`
	Subject   string   `json:"subject"`
	Audiences []string `json:"audiences"`
}

func (c *call) putFederated() (reply, error) {
	old, res, err := c.begin(federatedType, false)
	if err != nil {
		return reply{}, err
	}
	var given federatedProperties
	if err := decode(child(res, "properties"), &given); err != nil {
		return reply{}, err
	}
	if err := given.check(); err != nil {
		return reply{}, err
	}
	siblings, err := under(c.tx, c.top(), federatedType)
	if err != nil {
		return reply{}, err
	}
	if old == nil && len(siblings) >= maxFederated {
		return reply{}, badRequest("BadRequest", "Too many Federated Identity Credentials: a managed identity can have at most %d.", maxFederated)
	}
	for _, sibling := range siblings {
		var has federatedProperties
		if err := decode(child(sibling, "properties"), &has); err != nil {
			return reply{}, err
		}
		if has.Issuer == given.Issuer && has.Subject == given.Subject && text(sibling, "id") != text(res, "id") {
			return reply{}, conflict("Conflict", "Issuer and subject combination already exists for this Managed Identity, in the "+
				"Federated Identity Credential '%s'.", text(sibling, "name"))
		}
	}
	answer, err := c.written(old, res)
	if err != nil {
		return reply{}, err
	}
	return answer, c.publishFederated()
}

func (p federatedProperties) check() error {
	for _, required := range []struct{ name, value string }{{"issuer", p.Issuer}, {"subject", p.Subject}, {"audiences", strings.Join(p.Audiences, "")}} {
		if required.value == "" {
			return badRequest("BadRequest", "The property '%s' of a Federated Identity Credential is required.", required.name)
		}
	}
	switch {
	case !strings.HasPrefix(p.Issuer, "https://"):
		return badRequest("BadRequest", "The issuer '%s' is not valid: it has to be an https URL.", p.Issuer)
	case len(p.Audiences) != 1:
		return badRequest("BadRequest", "The audiences of a Federated Identity Credential have to be one value, not %d.", len(p.Audiences))
	}
	return nil
}

func (c *call) deleteFederated() (reply, error) {
	res, ok, err := load(c.tx, c.path)
	if err != nil || !ok {
		return reply{status: http.StatusNoContent}, err
	}
	if err := destroy(c.tx, res); err != nil {
		return reply{}, err
	}
	return reply{}, c.publishFederated()
}

// publishFederated tells Entra the credentials that the identity has now.
func (c *call) publishFederated() error {
	identity, _, err := load(c.tx, c.top())
	if err != nil {
		return err
	}
	app, ok, err := entra.GetApplication(c.tx, text(child(identity, "properties"), "clientId"))
	if err != nil || !ok {
		return err
	}
	credentials, err := under(c.tx, c.top(), federatedType)
	if err != nil {
		return err
	}
	before := app.Federated
	app.Federated = nil
	for _, res := range credentials {
		var p federatedProperties
		if err := decode(child(res, "properties"), &p); err != nil {
			return err
		}
		credential := entra.FederatedCredential{Name: text(res, "name"), Issuer: p.Issuer, Subject: p.Subject, Audiences: p.Audiences}
		same := slices.IndexFunc(before, func(b entra.FederatedCredential) bool {
			return b.Name == credential.Name && b.Issuer == p.Issuer && b.Subject == p.Subject && slices.Equal(b.Audiences, p.Audiences)
		})
		if wait := c.Faults.CredentialsAfter(); same >= 0 {
			credential = before[same]
		} else if wait > 0 {
			credential.EffectiveOn = time.Now().UTC().Add(wait)
		}
		app.Federated = append(app.Federated, credential)
	}
	return entra.PutApplication(c.tx, app)
}

// newPrincipal puts an identity that Azure makes by itself, such as a cluster's, into the directory.
func newPrincipal(tx *store.Tx, name string) (entra.Application, error) {
	app := newApplication(name)
	return app, entra.PutApplication(tx, app)
}
