package storage_test

import (
	"net/http"
	"testing"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager/armtest"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/storage"
)

type m = arm.Object

func TestAccount_NameIsUnique(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, storage.Provider())
	rm.Group("g")
	rm.Group("other")
	const version = "?api-version=2023-01-01"
	at := func(group, path string) string {
		return armtest.ID("resourceGroups", group, "providers", storage.AccountsType, path) + version
	}
	account := m{"location": armtest.Location, "kind": "StorageV2", "sku": m{"name": "Standard_LRS"}}
	blobs := m{"location": armtest.Location, "kind": "BlobStorage", "sku": m{"name": "Standard_LRS"}}
	rm.Put(at("g", "queues1"), account)
	rm.Put(at("g", "queues1"), account)
	rm.Put(at("g", "queues1/queueServices/default/queues/one"), m{})
	for _, test := range []struct {
		path   string
		body   m
		status int
		code   string
	}{
		{at("other", "queues1"), account, 409, "StorageAccountAlreadyTaken"},
		{at("g", "Queues"), account, 400, "InvalidResourceName"},
		{at("g", "queues2"), blobs, 501, "NotImplemented"},
		{at("g", "queues2"), m{"location": armtest.Location, "kind": "StorageV2"}, 400, "InvalidRequestContent"},
		{at("g", "queues1/queueServices/mine/queues/one"), m{}, 400, "InvalidResourceName"},
		{at("g", "queues1/queueServices/default/queues/a--b"), m{}, 400, "InvalidResourceName"},
		{at("g", "none/queueServices/default/queues/one"), m{}, 404, "ParentResourceNotFound"},
	} {
		rm.Refused(http.MethodPut, test.path, test.body, test.status, test.code)
	}
	if status, answer := rm.Ask(http.MethodDelete, at("g", "queues1"), nil); status != http.StatusOK {
		t.Fatalf("DELETE: %d %v", status, answer)
	}
	rm.Put(at("other", "queues1"), account) // the name is free again
	rm.Refused(http.MethodGet, at("other", "queues1/queueServices/default/queues/one"), nil, 404, "ResourceNotFound")
}
