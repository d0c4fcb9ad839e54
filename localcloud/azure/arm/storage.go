package arm

import (
	"regexp"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/storage"
)

const (
	accountsType = "Microsoft.Storage/storageAccounts"
	queuesType   = accountsType + "/queueServices/queues"
)

var storageVersions = []string{"2022-09-01", "2023-01-01", "2023-05-01", "2024-01-01"}

// Names: learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftstorage
var storageTypes = []resourceType{
	{
		name: accountsType, versions: storageVersions, partial: true,
		valid: regexp.MustCompile(`^[a-z0-9]{3,24}$`), rule: "3 to 24 lower-case letters and digits",
		get: (*call).getStored, list: (*call).listStored,
		put: (*call).putAccount, putModel: func() any { return new(accountModel) },
		patch: (*call).patchTags, patchModel: func() any { return new(trackedResource[struct{}]) },
		delete: (*call).deleteStored,
	},
	{
		name: queuesType, versions: storageVersions, partial: true,
		valid: regexp.MustCompile(`^[a-z0-9](-?[a-z0-9]){2,62}$`),
		rule:  "3 to 63 lower-case letters, digits and single hyphens, and a letter or digit first and last",
		get:   (*call).getStored, list: (*call).listStored,
		put: (*call).putQueue, putModel: func() any { return new(nestedResource[struct{}]) },
		delete: (*call).deleteStored,
	},
}

// accountModel is a storage account; what is said of its other services is kept and shown.
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

func (c *call) putAccount() (reply, error) {
	old, res, err := c.begin(accountsType, true)
	if err != nil {
		return reply{}, err
	}
	taken, ok, err := storage.Account(c.tx, c.name())
	if err != nil {
		return reply{}, err
	}
	switch {
	case ok && !strings.EqualFold(taken, text(res, "id")):
		return reply{}, conflict("StorageAccountAlreadyTaken", "The storage account named %s is already taken.", c.name())
	case text(res, "kind") != "StorageV2":
		return reply{}, notImplemented("storage accounts of the kind '%s'", text(res, "kind"))
	case text(child(res, "sku"), "name") == "":
		return reply{}, badRequest("InvalidRequestContent", "The property 'sku' of a storage account is required.")
	}
	child(res, "properties")["primaryEndpoints"] = object{"queue": "https://" + c.name() + ".queue.core.windows.net/"}
	setState(res, succeeded)
	if err := storage.PutAccount(c.tx, c.name(), text(res, "id")); err != nil {
		return reply{}, err
	}
	return c.written(old, res)
}

func (c *call) putQueue() (reply, error) {
	if c.names[1] != "default" {
		return reply{}, badRequest("InvalidResourceName", "The queue service of a storage account is called default.")
	}
	old, res, err := c.begin(queuesType, false)
	if err != nil {
		return reply{}, err
	}
	if err := storage.PutQueue(c.tx, c.names[0], c.name()); err != nil {
		return reply{}, err
	}
	return c.written(old, res)
}
