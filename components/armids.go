package components

import "regexp"

// ARM ids of what the components know by id. Each captures the subscription's id, the resource group and the resource's
// name.
var (
	vaultID         = armID(`Microsoft\.KeyVault/vaults`)
	clusterID       = armID(`Microsoft\.ContainerService/managedClusters`)
	identityID      = armID(`Microsoft\.ManagedIdentity/userAssignedIdentities`)
	subnetID        = armID(`Microsoft\.Network/virtualNetworks/[^/]+/subnets`)
	dnsZoneID       = armID(`Microsoft\.Network/privateDnsZones`)
	publicAddressID = armID(`Microsoft\.Network/publicIPAddresses`)
	publicPrefixID  = armID(`Microsoft\.Network/publicIPPrefixes`)
	registryID      = armID(`Microsoft\.ContainerRegistry/registries`)
	encryptionSetID = armID(`Microsoft\.Compute/diskEncryptionSets`)
)

// armID matches the id of a resource, in which Azure does not tell upper from lower case.
func armID(resource string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)^(/subscriptions/[^/]+)/resourceGroups/([^/]+)/providers/` + resource + `/([^/]+)$`)
}

// inSubscription captures the id of the subscription that holds what has the id, or that has the id itself.
var inSubscription = regexp.MustCompile(`(?i)^(/subscriptions/[^/]+)(/[^/]+)*$`)
