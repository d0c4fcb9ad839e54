// Package storage implements Microsoft.Storage: accounts and their queues. Package azure/storage serves the messages.
package storage

import (
	"net/http"
	"regexp"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/storage"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Resource types.
const (
	AccountsType = "Microsoft.Storage/storageAccounts"
	QueuesType   = AccountsType + "/queueServices/queues"
)

var storageVersions = []string{"2024-01-01"}

// Provider returns the provider Microsoft.Storage.
//
// Names: learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftstorage
func Provider() arm.Provider {
	return arm.Provider{Elsewhere: []string{"Microsoft.Storage"}, Types: []arm.Type{
		{
			Name: AccountsType, Versions: storageVersions, Partial: true,
			Valid: regexp.MustCompile(`^[a-z0-9]{3,24}$`), Rule: "3 to 24 lowercase letters and digits",
			Get: (*arm.Call).GetStored, List: (*arm.Call).ListStored,
			Put: putAccount, PutModel: func() any { return new(accountModel) },
			Patch: (*arm.Call).PatchTags, PatchModel: func() any { return new(arm.TrackedResource[struct{}]) },
			Delete: (*arm.Call).DeleteStored, Deleted: deleteAccount,
		},
		{
			Name: QueuesType, Versions: storageVersions, Partial: true,
			Valid: regexp.MustCompile(`^[a-z0-9](-?[a-z0-9]){2,62}$`),
			Rule:  "3 to 63 lowercase letters, digits and single hyphens, with a letter or digit first and last",
			Get:   (*arm.Call).GetStored, List: (*arm.Call).ListStored,
			Put: putQueue, PutModel: func() any { return new(arm.NestedResource[struct{}]) },
			Delete: (*arm.Call).DeleteStored, Deleted: deleteQueue,
		},
	}}
}

// accountModel is the body of a storage account. The properties of its other services are only stored.
type accountModel struct {
	Location string            `json:"location"`
	Tags     map[string]string `json:"tags"`
	Kind     string            `json:"kind"`
	SKU      struct {
		Name string `json:"name"`
	} `json:"sku"`
	Properties struct {
		AccessTier        string `json:"accessTier"`
		AllowBlobPublic   bool   `json:"allowBlobPublicAccess"`
		AllowSharedKey    bool   `json:"allowSharedKeyAccess"`
		MinimumTLSVersion string `json:"minimumTlsVersion"`
		HTTPSOnly         bool   `json:"supportsHttpsTrafficOnly"`
	} `json:"properties"`
}

func putAccount(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.Begin(AccountsType, true)
	if err != nil {
		return arm.Reply{}, err
	}
	taken, ok, err := storage.Account(c.Tx, c.Name())
	if err != nil {
		return arm.Reply{}, err
	}
	switch {
	case ok && !fold.Equal(taken, arm.Text(res, "id")):
		return arm.Reply{}, arm.Conflict("StorageAccountAlreadyTaken", "The storage account named %s is already taken.",
			c.Name())
	case arm.Text(res, "kind") != "StorageV2":
		return arm.Reply{}, arm.NotImplemented("storage accounts of the kind '%s'", arm.Text(res, "kind"))
	case arm.Text(arm.Child(res, "sku"), "name") == "":
		return arm.Reply{}, arm.BadRequest("InvalidRequestContent", "The property 'sku' of a storage account is required.")
	}
	arm.Child(res, "properties")["primaryEndpoints"] = arm.Object{
		"queue": "https://" + c.Name() + ".queue.core.windows.net/",
	}
	arm.SetState(res, arm.Succeeded)
	if err := storage.PutAccount(c.Tx, c.Name(), arm.Text(res, "id")); err != nil {
		return arm.Reply{}, err
	}
	return c.Written(old, res)
}

func putQueue(c *arm.Call) (arm.Reply, error) {
	if c.Names[1] != "default" {
		return arm.Reply{}, arm.BadRequest("InvalidResourceName", "The queue service of a storage account is called default.")
	}
	old, res, err := c.Begin(QueuesType, false)
	if err != nil {
		return arm.Reply{}, err
	}
	if err := storage.PutQueue(c.Tx, c.Names[0], c.Name()); err != nil {
		return arm.Reply{}, err
	}
	return c.Written(old, res)
}

func deleteAccount(_ *arm.Service, tx *store.Tx, res arm.Object) error {
	return storage.DeleteAccount(tx, arm.Text(res, "name"))
}

func deleteQueue(_ *arm.Service, tx *store.Tx, res arm.Object) error {
	return storage.DeleteQueue(tx, arm.Parse(http.MethodGet, arm.Text(res, "id")).Names[0], arm.Text(res, "name"))
}
