package arm

import (
	"regexp"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
)

var clusterTypes = []resourceType{
	{
		name: clustersType, versions: clusterVersions,
		valid: regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?$`),
		rule:  "1 to 63 letters, digits, underscores and hyphens, and a letter or digit first and last",
		get:   (*call).getStored, list: (*call).listStored,
		put: (*call).putCluster, putModel: func() any { return new(armcontainerservice.ManagedCluster) },
		patch: (*call).patchTags, patchModel: func() any { return new(armcontainerservice.TagsObject) },
		delete: (*call).deleteCluster,
		actions: []action{
			{name: "listClusterUserCredential", readOnly: true, do: (*call).userCredential},
			{name: "listClusterAdminCredential", readOnly: true, do: (*call).adminCredential},
		},
	},
	{
		name: poolsType, versions: clusterVersions,
		get: (*call).getStored, list: (*call).listStored,
		put: (*call).putPool, putModel: func() any { return new(armcontainerservice.AgentPool) },
		delete: (*call).deletePool,
	},
	{
		name: maintenanceType, versions: clusterVersions,
		get: (*call).getStored, list: (*call).listStored,
		put: (*call).putMaintenance, putModel: func() any { return new(armcontainerservice.MaintenanceConfiguration) },
		delete: (*call).deleteStored,
	},
	{
		name: "Microsoft.ContainerService/locations/operations", versions: clusterVersions,
		get: (*call).getOperation,
	},
}
