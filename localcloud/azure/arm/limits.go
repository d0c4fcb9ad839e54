package arm

import (
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// What Resource Manager holds the tags and names of every resource against. Of the codes of its refusals only
// InvalidTagNameCharacters and ReservedResourceName are documented.

// Limits of tags (learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations).
const (
	maxTags     = 50
	maxZoneTags = 15 // of private DNS zones and their links
	maxTagName  = 512
	maxTagValue = 256
)

// reservedTag starts a name that is Azure's own (learn.microsoft.com/rest/api/resources/tags/create-or-update).
var reservedTag = regexp.MustCompile(`(?i)^(microsoft|azure|windows)`)

// checkTags holds the tags in a body against the rules. Those of secrets and keys are Key Vault's to count.
func (r *resourceType) checkTags(body object) error {
	tags, _ := body["tags"].(object)
	switch r.name {
	case vaultsType + "/secrets", vaultsType + "/keys":
		return distinctTags(tags)
	case zonesType, linksType:
		return checkTags(tags, maxZoneTags)
	}
	return checkTags(tags, maxTags)
}

func checkTags(tags object, most int) error {
	if len(tags) > most {
		return badRequest("TooManyTags", "There are %d tags, more than %d.", len(tags), most)
	}
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		value, _ := tags[name].(string)
		switch {
		case strings.ContainsAny(name, `<>%&\?/`):
			return badRequest("InvalidTagNameCharacters", "The tag name '%s' has reserved characters '<,>,%%,&,\\,?,/' or control characters.", name)
		case name == "" || utf8.RuneCountInString(name) > maxTagName:
			return badRequest("InvalidTagNameLength", "The tag name '%.40s' has to have 1 to %d characters.", name, maxTagName)
		case reservedTag.MatchString(name):
			return badRequest("ReservedTagName", "The tag name '%s' starts with microsoft, azure or windows, which are reserved.", name)
		case utf8.RuneCountInString(value) > maxTagValue:
			return badRequest("InvalidTagValueLength", "The value of the tag '%s' is longer than %d characters.", name, maxTagValue)
		}
	}
	return distinctTags(tags)
}

// distinctTags refuses names that differ in case only, which are one.
func distinctTags(tags object) error {
	seen := map[string]bool{}
	for name := range tags {
		if seen[strings.ToLower(name)] {
			return badRequest("DuplicateTagName", "The tag name '%s' is there more than once; case does not count.", name)
		}
		seen[strings.ToLower(name)] = true
	}
	return nil
}

// reservedName matches what a resource with a name on the internet cannot be called
// (learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-reserved-resource-name).
var reservedName = regexp.MustCompile(`(?i)microsoft|windows|^login|^(access|azure|bing|bizspark|biztalk|cortana|directx|dotnet|` +
	`dynamics|excel|exchange|forefront|groove|hololens|hyperv|kinect|lync|msdn|o365|office|office365|onedrive|onenote|outlook|` +
	`powerpoint|sharepoint|skype|visio|visualstudio|xbox)$`)

// checkReserved refuses a new resource's name that is reserved.
func (r *resourceType) checkReserved(name string) error {
	if (r.name == vaultsType || r.name == clustersType) && reservedName.MatchString(name) {
		return badRequest("ReservedResourceName", "The resource name '%s' or a part of the name is a trademarked or reserved word.", name)
	}
	return nil
}

// reservedByNetworks are the ranges that no virtual network has (learn.microsoft.com/azure/virtual-network/virtual-networks-faq).
var reservedByNetworks = []netip.Prefix{
	netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("255.255.255.255/32"), netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("168.63.129.16/32"),
}

// reservedByAKS are the ranges that neither pods, services nor the network of a cluster have
// (learn.microsoft.com/azure/aks/concepts-network-cni-overview#prerequisites).
var reservedByAKS = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("172.30.0.0/16"), netip.MustParsePrefix("172.31.0.0/16"),
	netip.MustParsePrefix("192.0.2.0/24"),
}

// AKS's limits of a cluster (learn.microsoft.com/azure/aks/quotas-skus-regions).
const (
	maxPools     = 100
	maxNodes     = 5000
	maxFreeNodes = 1000 // learn.microsoft.com/azure/aks/free-standard-pricing-tiers
)

func nodesOf(pools []poolProperties) int {
	nodes := 0
	for _, pool := range pools {
		if pool.Count != nil {
			nodes += *pool.Count
		}
	}
	return nodes
}

// checkPoolTotals holds the pools of a cluster against the limits for all of them.
func checkPoolTotals(pools []poolProperties) error {
	nodes := nodesOf(pools)
	if len(pools) > maxPools || nodes > maxNodes {
		return invalidParameter("agentPoolProfiles", "%d pools with %d nodes are more than %d with %d", len(pools), nodes, maxPools, maxNodes)
	}
	return nil
}

// checkClusterNetwork holds the network that pools are in against what AKS keeps for itself, and its names, of which AKS
// makes labels (learn.microsoft.com/azure/aks/azure-cni-overlay#limitations-with-azure-cni-overlay).
func (c *call) checkClusterNetwork(id string) error {
	res, ok, err := load(c.tx, cut(id, 2))
	if err != nil || !ok {
		return err
	}
	var network networkProperties
	if err := decode(child(res, "properties"), &network); err != nil {
		return err
	}
	space, err := parsePrefixes(network.AddressSpace.AddressPrefixes)
	if err != nil {
		return err
	}
	for _, r := range space {
		if slices.ContainsFunc(reservedByAKS, r.Overlaps) {
			return invalidParameter("agentPoolProfile.vnetSubnetID", "the virtual network's range %s overlaps with those that AKS reserves", r)
		}
	}
	parts := strings.Split(id, "/")
	for _, i := range []int{4, 8, 10} { // group, network and subnet
		if len(parts[i]) > 63 {
			return invalidParameter("agentPoolProfile.vnetSubnetID", "the name %q is longer than 63 characters", parts[i])
		}
	}
	return nil
}
