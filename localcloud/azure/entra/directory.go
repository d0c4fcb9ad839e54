package entra

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strings"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/activity"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Application is a service principal that can request tokens: one with a secret, or a managed identity with federated
// credentials.
type Application struct {
	ClientID   string
	ObjectID   string // used in role assignments
	Name       string
	SecretHash string // empty means none
	Federated  []FederatedCredential
	Groups     []string // object IDs of its groups
	// GraphRoles are the granted application permissions on Microsoft Graph, such as Directory.Read.All.
	GraphRoles []string `json:",omitempty"`
}

// Group is a security group.
type Group struct{ ObjectID, Name string }

// ManagedIdentity reports whether the application is a managed identity, which has no secret.
func (a *Application) ManagedIdentity() bool { return a.SecretHash == "" }

// caller is the application as the record of requests shows it.
func (a *Application) caller(subject string) activity.Caller {
	kind := activity.ServicePrincipal
	if a.ManagedIdentity() {
		kind = activity.ManagedIdentity
	}
	return activity.Caller{ObjectID: a.ObjectID, Name: a.Name, Kind: kind, Subject: subject}
}

// FederatedCredential says whose tokens stand for the application. All comparisons are exact, as Entra's are.
type FederatedCredential struct {
	Name      string
	Issuer    string
	Subject   string
	Audiences []string
	// EffectiveOn is when the credential takes effect. Zero means always.
	EffectiveOn time.Time `json:",omitzero"`
}

// SetSecret replaces the application's secret. Only a hash is stored.
func (a *Application) SetSecret(secret string) { a.SecretHash = hash(secret) }

func (a *Application) hasSecret(secret string) bool {
	return a.SecretHash != "" && subtle.ConstantTimeCompare([]byte(a.SecretHash), []byte(hash(secret))) == 1
}

// hash needs no salt, because the secrets are random.
func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

const (
	applications = "applications"         // by client ID
	principals   = "applicationsByObject" // object ID -> client ID, empty for a group
	groups       = "groups"               // by object ID
)

// PutApplication stores an application. Its IDs must not change.
func PutApplication(tx *store.Tx, a Application) error {
	if err := store.Put(tx, principals, strings.ToLower(a.ObjectID), a.ClientID); err != nil {
		return err
	}
	return store.Put(tx, applications, strings.ToLower(a.ClientID), a)
}

// PutGroup stores a group. The members list their groups.
func PutGroup(tx *store.Tx, g Group) error {
	if err := store.Put(tx, principals, strings.ToLower(g.ObjectID), ""); err != nil {
		return err
	}
	return store.Put(tx, groups, strings.ToLower(g.ObjectID), g)
}

// Groups returns the groups of the directory.
func Groups(tx *store.Tx) ([]Group, error) { return store.List[Group](tx, groups, "") }

// Applications returns the applications of the directory, including managed identities.
func Applications(tx *store.Tx) ([]Application, error) {
	return store.List[Application](tx, applications, "")
}

// GetApplication returns the application with a client ID.
func GetApplication(tx *store.Tx, clientID string) (Application, bool, error) {
	return store.Get[Application](tx, applications, strings.ToLower(clientID))
}

// HonourAll makes all federated credentials take effect now.
func HonourAll(tx *store.Tx) error {
	all, err := Applications(tx)
	if err != nil {
		return err
	}
	for _, a := range all {
		for i := range a.Federated {
			a.Federated[i].EffectiveOn = time.Time{}
		}
		if err := PutApplication(tx, a); err != nil {
			return err
		}
	}
	return nil
}

// DeleteApplication deletes the application with a client ID.
func DeleteApplication(tx *store.Tx, clientID string) error {
	a, ok, err := GetApplication(tx, clientID)
	if err != nil || !ok {
		return err
	}
	if err := store.Delete(tx, principals, strings.ToLower(a.ObjectID)); err != nil {
		return err
	}
	return store.Delete(tx, applications, strings.ToLower(clientID))
}

// DeletePrincipal deletes the application with an object ID.
func DeletePrincipal(tx *store.Tx, objectID string) error {
	clientID, ok, err := store.Get[string](tx, principals, strings.ToLower(objectID))
	if err != nil || !ok {
		return err
	}
	return DeleteApplication(tx, clientID)
}

// CallerOf returns what the record of requests shows of the principal with an object id. Of one that is not there it is
// the object id, and of a group the name.
func CallerOf(tx *store.Tx, objectID string) (activity.Caller, error) {
	unknown := activity.Caller{ObjectID: objectID, Kind: activity.ServicePrincipal}
	clientID, ok, err := store.Get[string](tx, principals, strings.ToLower(objectID))
	if err != nil || !ok {
		return unknown, err
	}
	if clientID == "" {
		group, _, err := store.Get[Group](tx, groups, strings.ToLower(objectID))
		return activity.Caller{ObjectID: objectID, Name: group.Name, Kind: "group"}, err
	}
	app, ok, err := GetApplication(tx, clientID)
	if err != nil || !ok {
		return unknown, err
	}
	return app.caller(""), nil
}

// PrincipalType says what has an object id, in the words of role assignments: a ServicePrincipal, a Group, or nothing.
func PrincipalType(tx *store.Tx, objectID string) (string, error) {
	clientID, ok, err := store.Get[string](tx, principals, strings.ToLower(objectID))
	switch {
	case err != nil || !ok:
		return "", err
	case clientID == "":
		return "Group", nil
	}
	return "ServicePrincipal", nil
}
