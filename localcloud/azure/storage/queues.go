// Package storage implements the queues of Azure Storage as far as Event Grid needs them. Event Grid puts messages into
// them, and principals with a role take them out. There are no account keys, blobs, files or tables. Package rp/storage
// implements the resource provider.
package storage

import (
	"time"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Hosts is the host name of queues, with a star in place of the account's name.
const Hosts = "*.queue.core.windows.net"

// life is the time to live of a message (learn.microsoft.com/rest/api/storageservices/put-message).
const life = 7 * 24 * time.Hour

const (
	accounts = "storageAccounts" // ARM ids by name
	queues   = "storageQueues"
	messages = "queueMessages"
)

// Account returns the ARM id of the account with a name, which is unique in Azure, and whether it exists.
func Account(tx *store.Tx, name string) (id string, ok bool, err error) {
	return store.Get[string](tx, accounts, fold.Lower(name))
}

// PutAccount adds an account.
func PutAccount(tx *store.Tx, name, id string) error {
	return store.Put(tx, accounts, fold.Lower(name), id)
}

// DeleteAccount deletes an account with its queues.
func DeleteAccount(tx *store.Tx, name string) error {
	all, err := store.List[string](tx, queues, fold.Lower(name)+"/")
	if err != nil {
		return err
	}
	for _, queue := range all {
		if err := DeleteQueue(tx, name, queue); err != nil {
			return err
		}
	}
	return store.Delete(tx, accounts, fold.Lower(name))
}

func queueKey(account, queue string) string { return fold.Lower(account + "/" + queue) }

// PutQueue adds a queue.
func PutQueue(tx *store.Tx, account, queue string) error {
	return store.Put(tx, queues, queueKey(account, queue), queue)
}

func hasQueue(tx *store.Tx, account, queue string) (bool, error) {
	_, ok, err := store.Get[string](tx, queues, queueKey(account, queue))
	return ok, err
}

// DeleteQueue deletes a queue with its messages.
func DeleteQueue(tx *store.Tx, account, queue string) error {
	all, err := store.List[message](tx, messages, queueKey(account, queue)+"/")
	if err != nil {
		return err
	}
	for _, m := range all {
		if err := store.Delete(tx, messages, queueKey(account, queue)+"/"+m.ID); err != nil {
			return err
		}
	}
	return store.Delete(tx, queues, queueKey(account, queue))
}

// message is a message in a queue. The order of ids is the order of insertion.
type message struct {
	ID, Receipt, Text string
	Inserted          time.Time
	Visible           time.Time
	Taken             int64
}

// PutMessage adds a message to a queue. ok is false if the queue does not exist.
func PutMessage(tx *store.Tx, account, queue, text string) (ok bool, err error) {
	if ok, err := hasQueue(tx, account, queue); err != nil || !ok {
		return false, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return false, err
	}
	now := time.Now().UTC()
	return true, store.Put(tx, messages, queueKey(account, queue)+"/"+id.String(), message{
		ID: id.String(), Receipt: uuid.NewString(), Text: text, Inserted: now, Visible: now,
	})
}
