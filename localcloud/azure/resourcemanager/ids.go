package resourcemanager

import (
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
)

// ParseID takes apart an id by which a body refers to a resource of a type. It reports false for what is no id, for one
// of another type, and for one of a resource that is in no resource group or belongs to another resource's.
func ParseID(id, kind string) (*arm.ResourceID, bool) {
	parsed, err := arm.ParseResourceID(id)
	if err != nil || parsed.Name == "" || !fold.Equal(parsed.ResourceType.String(), kind) {
		return nil, false
	}
	outer := parsed
	for range strings.Count(kind, "/") {
		if outer = outer.Parent; outer == nil {
			return nil, false
		}
	}
	return parsed, outer.ResourceType.String() == arm.ResourceGroupResourceType.String()
}
