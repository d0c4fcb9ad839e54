package components

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// ARM ids of the resources that components refer to. Each pattern captures the subscription's id, the resource group
// and the resource's name. A subnet's also captures the virtual network's name, before the subnet's.
var (
	vaultID         = armID(`Microsoft\.KeyVault/vaults`)
	clusterID       = armID(`Microsoft\.ContainerService/managedClusters`)
	identityID      = armID(`Microsoft\.ManagedIdentity/userAssignedIdentities`)
	subnetID        = armID(`Microsoft\.Network/virtualNetworks/([^/]+)/subnets`)
	dnsZoneID       = armID(`Microsoft\.Network/privateDnsZones`)
	publicAddressID = armID(`Microsoft\.Network/publicIPAddresses`)
	publicPrefixID  = armID(`Microsoft\.Network/publicIPPrefixes`)
	registryID      = armID(`Microsoft\.ContainerRegistry/registries`)
	encryptionSetID = armID(`Microsoft\.Compute/diskEncryptionSets`)
	workspaceID     = armID(`Microsoft\.OperationalInsights/workspaces`)
)

// clusterZoneID matches the private DNS zones that a private cluster can use. Clouds other than the public one have
// other domains: https://learn.microsoft.com/azure/aks/private-clusters#configure-a-private-dns-zone
var clusterZoneID = regexp.MustCompile(`(?i)^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/` +
	`Microsoft\.Network/privateDnsZones/([a-z0-9-]{1,32}\.)?privatelink\.[a-z0-9]+\.(azmk8s\.io|cx\.[a-z0-9.-]+)$`)

// queueID captures the id of a storage queue's account and the queue's name.
var queueID = regexp.MustCompile(`(?i)^(/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Storage/` +
	`storageAccounts/[a-z0-9]{3,24})/queueServices/default/queues/([a-z0-9](?:-?[a-z0-9]){2,62})$`)

// armID returns a pattern for the ids of a resource type. Azure compares ids without regard to case.
func armID(resource string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)^(/subscriptions/[^/]+)/resourceGroups/([^/]+)/providers/` + resource + `/([^/]+)$`)
}

// checkedID returns an id that fails if it turns out to be of another type. Plain ids were checked before anything was
// registered.
func checkedID(id pulumi.StringInput, path string, pattern *regexp.Regexp, allowed string) pulumi.StringInput {
	if _, plain := id.(pulumi.String); plain || missing(id) {
		return id
	}
	return checked(id, path, pattern, allowed)
}

// namedIDs checks the names of ids, and returns the ids that are plain values.
func (v *violations) namedIDs(path string, ids map[string]pulumi.StringInput) map[string]string {
	known := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(ids)) {
		v.dnsLabel(path+"."+name, name)
		if id, plain := ids[name].(pulumi.String); plain {
			known[name] = string(id)
		}
	}
	return known
}

// distinctIDs checks ids by name. Two names for one resource would assign the same role there twice.
func (v *violations) distinctIDs(path string, ids map[string]string, pattern *regexp.Regexp, what string) {
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(ids)) {
		at, id := path+"."+name, ids[name]
		v.match(pattern, at, id, "the ARM id of "+what)
		same, taken := seen[strings.ToLower(id)]
		v.check(!taken, at, id, what+" listed once; it also has the name "+same)
		seen[strings.ToLower(id)] = name
	}
}

// distinctScope returns one of the ids as the scope of a role. It fails if the ids turn out to break the rules.
func distinctScope(
	ids map[string]pulumi.StringInput, name string, check func(v *violations, ids map[string]string),
) pulumi.StringOutput {
	return pulumi.StringMap(ids).ToStringMapOutput().ApplyT(func(ids map[string]string) (string, error) {
		var v violations
		check(&v, ids)
		return ids[name], v.late()
	}).(pulumi.StringOutput)
}

// labelMax is the maximum length of a label's value.
const labelMax = 63

// validateNetworkOfSubnets checks that subnets, given as ids by name, can hold pools of one cluster. AKS labels nodes
// with the names of the subnet, the network and its resource group:
// https://learn.microsoft.com/azure/aks/azure-cni-overlay#limitations-with-azure-cni-overlay
func (v *violations) validateNetworkOfSubnets(ids map[string]string) {
	network := ""
	for _, name := range slices.Sorted(maps.Keys(ids)) {
		path, id := "subnets."+name, ids[name]
		match := subnetID.FindStringSubmatch(id)
		if match == nil {
			continue
		}
		own := strings.TrimSuffix(strings.ToLower(id), "/subnets/"+strings.ToLower(match[4]))
		v.check(network == "" || network == own, path, id, "a subnet of the virtual network that the other subnets "+
			"are in")
		network = withDefault(network, own)
		for _, part := range match[2:] {
			v.check(len(part) <= labelMax, path, part,
				fmt.Sprintf("names of at most %d characters of the subnet, its virtual network and resource group",
					labelMax))
		}
	}
}

// inSubscription captures the subscription's id from the id of a subscription or of anything in one.
var inSubscription = regexp.MustCompile(`(?i)^(/subscriptions/[^/]+)(/[^/]+)*$`)

// roleDefinition returns the ARM id, in a subscription, of a role given by its GUID.
func roleDefinition(subscription, role string) string {
	return subscription + "/providers/Microsoft.Authorization/roleDefinitions/" + role
}

// roleInSubscriptionOf returns the ARM id of a role in the subscription that an id names or belongs to. The path is the
// argument that a violation reports.
func roleInSubscriptionOf(path string, id pulumi.StringInput, role string) pulumi.StringOutput {
	return id.ToStringOutput().ApplyT(func(id string) (string, error) {
		match := inSubscription.FindStringSubmatch(id)
		if match == nil {
			return "", invalid(path, quote(id), "the ARM id of a subscription, a resource group or a resource")
		}
		return roleDefinition(match[1], strings.ToLower(role)), nil
	}).(pulumi.StringOutput)
}
