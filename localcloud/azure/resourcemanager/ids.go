package resourcemanager

import (
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
)

// ParseID parses the id with which a body refers to a resource of type kind. It reports false for anything that is not
// an id, for an id of another type, and for a resource that is outside a resource group or an extension of another
// resource.
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
