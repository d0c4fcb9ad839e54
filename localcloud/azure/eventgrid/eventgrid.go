// Package eventgrid implements the part of Azure Event Grid that reports the expiry of secrets, keys and certificates.
// It raises events and delivers them to the subscriptions of the vaults' system topics. Package rp/eventgrid implements
// the resource provider.
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

// Schemas of events.
const (
	EventGridSchema  = "EventGridSchema"
	CloudEventSchema = "CloudEventSchemaV1_0"
)

// Namespace is the prefix of the types of a vault's events.
const Namespace = "Microsoft.KeyVault."

// Types lists the implemented types of events. Azure also has NewVersionCreated for each kind of object, and
// VaultAccessPolicyChanged (learn.microsoft.com/azure/event-grid/event-schema-key-vault).
var Types = []string{
	Namespace + "SecretNearExpiry", Namespace + "SecretExpired", Namespace + "KeyNearExpiry", Namespace + "KeyExpired",
	Namespace + "CertificateNearExpiry", Namespace + "CertificateExpired",
}

// Subscription is a subscription to events of a vault.
type Subscription struct {
	ID       string // the ARM id
	Vault    string // ARM id of the vault
	Types    []string
	Ready    bool          // whether the webhook has answered the handshake
	Created  time.Time     // when it became ready; older versions of objects raise no events
	Webhook  string        // the whole URL; empty for a queue or an alert
	Account  string        // name of the storage account of a queue
	Queue    string        // empty for a webhook or an alert
	Groups   []string      // ARM ids of the action groups of an alert
	Severity string        // of an alert
	Attempts int           // maximum number of attempts to deliver an event
	Life     time.Duration // maximum time to deliver an event
}

// name returns the name of the subscription.
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

// GetSubscription returns the subscription with an id, and whether it exists.
func GetSubscription(tx *store.Tx, id string) (Subscription, bool, error) {
	return store.Get[Subscription](tx, subscriptions, strings.ToLower(id))
}

// DeleteSubscription deletes a subscription and its deliveries.
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

// DeleteEmails deletes the addresses of an action group's receivers.
func DeleteEmails(tx *store.Tx, group string) error {
	return store.Delete(tx, actionGroups, strings.ToLower(group))
}

// event is an event of a vault.
type event struct {
	ID      string
	Type    string
	Vault   string // the ARM id
	Subject string
	Time    time.Time
	Data    data
}

// data is the data of an event. It is the same in both schemas.
type data struct {
	ID         string `json:"Id"`
	VaultName  string
	ObjectType string
	ObjectName string
	Version    string
	NotBefore  *int64 `json:"NBF"`
	Expires    *int64 `json:"EXP"`
}

// delivery is the delivery of an event to a subscription. It stays in the store afterwards, so that the event is not
// raised again.
type delivery struct {
	Subscription string // the ARM id
	Event        event
	Attempts     int
	Next         time.Time
	Done         bool
}

func (d delivery) key() string { return strings.ToLower(d.Subscription) + "/" + d.Event.ID }

// due returns the events of the latest version of an object that are due now.
func due(v keyvault.Vault, o keyvault.Object, now time.Time) []event {
	version := o.Latest()
	var found []event
	raise := func(kind keyvault.Kind, expires int64, near time.Time) {
		title := strings.ToUpper(string(kind[:1])) + string(kind[1:])
		end := time.Unix(expires, 0)
		add := func(what string) {
			typ := Namespace + title + what
			// The id is the same each time, so that an event is raised once.
			sum := sha256.Sum256([]byte(strings.ToLower(v.ID) + " " + o.Name + " " + version.ID + " " + typ))
			id, _ := uuid.FromBytes(sum[:16])
			e := event{ID: id.String(), Type: typ, Vault: v.ID, Subject: o.Name, Time: now.UTC(), Data: data{
				ID:         v.URI() + string(kind) + "s/" + o.Name + "/" + version.ID,
				VaultName:  v.Name,
				ObjectType: title,
				ObjectName: o.Name,
				Version:    version.ID,
				NotBefore:  version.Attributes.NotBefore,
				Expires:    &expires,
			}}
			found = append(found, e)
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

// unraised returns deliveries of due events that have not been raised yet.
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
				// "Notification events are triggered only on new versions of secrets, keys and certificates, and you must
				// first subscribe": learn.microsoft.com/azure/key-vault/general/event-grid-overview
				// The secret and the key of a certificate raise no events of their own.
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
