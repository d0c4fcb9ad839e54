// Package eventgrid is Azure Event Grid as far as vaults tell of what expires in them: it raises events of secrets, keys and
// certificates, and delivers them to the subscriptions of the vaults' system topics. Resource Manager's half of the service is
// package arm's.
package eventgrid

import (
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/keyvault"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// The schemas in which events are delivered.
const (
	EventGridSchema  = "EventGridSchema"
	CloudEventSchema = "CloudEventSchemaV1_0"
)

// Namespace starts the type of every event of a vault.
const Namespace = "Microsoft.KeyVault."

// Types are the events that are raised here. Of a vault Azure has more: NewVersionCreated of each kind, and VaultAccessPolicyChanged
// (learn.microsoft.com/azure/event-grid/event-schema-key-vault).
var Types = []string{
	Namespace + "SecretNearExpiry", Namespace + "SecretExpired", Namespace + "KeyNearExpiry", Namespace + "KeyExpired",
	Namespace + "CertificateNearExpiry", Namespace + "CertificateExpired",
}

// Subscription is where events of a vault go.
type Subscription struct {
	ID       string // the ARM id
	Vault    string // the vault's ARM id
	Types    []string
	Ready    bool      // the webhook has shown that it wants the events
	Created  time.Time // when it first was ready: only of versions that are made later there are events
	Webhook  string    // the whole URL; empty: it is a queue's or an alert's
	Account  string    // of a queue: the storage account's name
	Queue    string
	Groups   []string      // of an alert: ARM ids of action groups
	Severity string        // of an alert
	Attempts int           // how often an event is tried
	Life     time.Duration // how long
}

// name is the subscription's own.
func (s Subscription) name() string { return s.ID[strings.LastIndexByte(s.ID, '/')+1:] }

const (
	subscriptions = "eventSubscriptions"
	actionGroups  = "actionGroups"
	deliveries    = "eventDeliveries"
)

// PutSubscription writes a subscription.
func PutSubscription(tx *store.Tx, s Subscription) error {
	return store.Put(tx, subscriptions, strings.ToLower(s.ID), s)
}

// GetSubscription finds a subscription by its id.
func GetSubscription(tx *store.Tx, id string) (Subscription, bool, error) {
	return store.Get[Subscription](tx, subscriptions, strings.ToLower(id))
}

// DeleteSubscription forgets a subscription, and what was or is still to be delivered to it.
func DeleteSubscription(tx *store.Tx, id string) error {
	all, err := store.List[delivery](tx, deliveries, strings.ToLower(id)+"/")
	if err != nil {
		return err
	}
	for _, one := range all {
		if err := store.Delete(tx, deliveries, one.key()); err != nil {
			return err
		}
	}
	return store.Delete(tx, subscriptions, strings.ToLower(id))
}

// PutEmails writes the addresses of an action group's receivers.
func PutEmails(tx *store.Tx, group string, addresses []string) error {
	return store.Put(tx, actionGroups, strings.ToLower(group), addresses)
}

// DeleteEmails forgets those of an action group.
func DeleteEmails(tx *store.Tx, group string) error {
	return store.Delete(tx, actionGroups, strings.ToLower(group))
}

// event is one of a vault.
type event struct {
	ID      string
	Type    string
	Vault   string // the ARM id
	Subject string
	Time    time.Time
	Data    data
}

// data is the same in both schemas.
type data struct {
	ID         string `json:"Id"`
	VaultName  string
	ObjectType string
	ObjectName string
	Version    string
	NotBefore  *int64 `json:"NBF"`
	Expires    *int64 `json:"EXP"`
}

// delivery is an event on its way to a subscription, or one that has arrived, so that it never is raised again.
type delivery struct {
	Subscription string // its id
	Event        event
	Attempts     int
	Next         time.Time
	Done         bool
}

func (d delivery) key() string { return strings.ToLower(d.Subscription) + "/" + d.Event.ID }

// due lists the events that the latest version of a vault's object has had reason for, up to now.
func due(v keyvault.Vault, o keyvault.Object, now time.Time) []event {
	version := o.Latest()
	var found []event
	raise := func(kind keyvault.Kind, expires int64, near time.Time) {
		title := strings.ToUpper(string(kind[:1])) + string(kind[1:])
		end := time.Unix(expires, 0)
		add := func(what string) {
			typ := Namespace + title + what
			// The same at every look, so that each is raised once.
			sum := sha256.Sum256([]byte(strings.ToLower(v.ID) + " " + o.Name + " " + version.ID + " " + typ))
			id, _ := uuid.FromBytes(sum[:16])
			found = append(found, event{ID: id.String(), Type: typ, Vault: v.ID, Subject: o.Name, Time: now.UTC(), Data: data{
				ID: v.URI() + string(
					kind,
				) + "s/" + o.Name + "/" + version.ID,
				VaultName:  v.Name,
				ObjectType: title,
				ObjectName: o.Name,
				Version:    version.ID,
				NotBefore:  version.Attributes.NotBefore,
				Expires:    &expires,
			}})
		}
		if !near.After(now) && version.Created < expires {
			add("NearExpiry")
		}
		if !end.After(now) {
			add("Expired")
		}
	}
	if expires := version.Attributes.Expires; expires != nil {
		raise(o.Kind, *expires, o.NoticeOf(*expires))
	}
	return found
}

// unraised lists the deliveries of events that are due and that nobody was told of.
func unraised(tx *store.Tx, all []Subscription, now time.Time) ([]delivery, error) {
	var found []delivery
	for _, s := range all {
		vault, ok, err := keyvault.GetVault(tx, s.Vault[strings.LastIndexByte(s.Vault, '/')+1:])
		if err != nil {
			return nil, err
		}
		if !s.Ready || !ok || vault.Deleted != nil || !strings.EqualFold(vault.ID, s.Vault) {
			continue
		}
		for _, kind := range []keyvault.Kind{keyvault.Secret, keyvault.Key, keyvault.Certificate} {
			objects, err := keyvault.List(tx, vault, kind)
			if err != nil {
				return nil, err
			}
			for _, o := range objects {
				// "Notification events are triggered only on new versions of secrets, keys and certificates, and you must first subscribe":
				// learn.microsoft.com/azure/key-vault/general/event-grid-overview
				// What a certificate brings along is told of as the certificate.
				if o.Managed || o.Latest().Created < s.Created.Unix() {
					continue
				}
				for _, e := range due(vault, o, now) {
					d := delivery{Subscription: s.ID, Event: e, Next: now}
					if _, raised, err := store.Get[delivery](tx, deliveries, d.key()); err != nil {
						return nil, err
					} else if !raised && slices.Contains(s.Types, e.Type) {
						found = append(found, d)
					}
				}
			}
		}
	}
	return found, nil
}
