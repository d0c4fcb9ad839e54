package components

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Azure's limits of the tags of a resource:
// https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations
const (
	tagsMax     = 50
	tagNameMax  = 512
	tagValueMax = 256
	// privateZoneTagsMax is the limit for private DNS zones. The zone that AKS creates for a private cluster gets the
	// cluster's tags (https://learn.microsoft.com/azure/aks/use-tags#azure-tags-and-aks-clusters).
	privateZoneTagsMax = 15
)

var (
	tagName = regexp.MustCompile(`^[^<>%&\\?/]+$`)
	// reservedTag matches tag names that Azure reserves, as documented for predefined tags:
	// https://learn.microsoft.com/rest/api/resources/tags/create-or-update
	reservedTag = regexp.MustCompile(`(?i)^(microsoft|azure|windows)`)
)

// ValidateTags checks tags against Azure's rules for the tags of any resource. It returns a [ValidationError] with all
// violations, or nil. Allowed are at most 50 tags, names of 1-512 characters without <>%&\?/ that differ in more than
// case, and values of up to 256 characters
// (https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations). Names must not start
// with microsoft, azure or windows, as documented for predefined tags
// (https://learn.microsoft.com/rest/api/resources/tags/create-or-update).
func ValidateTags(tags map[string]string) error {
	var v violations
	v.validateResourceTags("tags", tags, tagsMax)
	return v.err()
}

func (v *violations) validateResourceTags(path string, tags map[string]string, most int) {
	v.most(path, len(tags), most, "tags")
	v.distinctTags(path, tags)
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		v.check(tagName.MatchString(name) && utf8.RuneCountInString(name) <= tagNameMax, path, name,
			fmt.Sprintf(`names of 1-%d characters without <>%%&\?/`, tagNameMax))
		v.check(!reservedTag.MatchString(name), path, name, "names that do not start with microsoft, azure or windows")
		v.check(utf8.RuneCountInString(tags[name]) <= tagValueMax, path+"."+name, tags[name],
			fmt.Sprintf("at most %d characters", tagValueMax))
	}
}

// distinctTags checks that no two names differ only in case. Azure treats such names as one.
func (v *violations) distinctTags(path string, tags map[string]string) {
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		lower := strings.ToLower(name)
		v.check(!seen[lower], path, name, "names that differ in more than case") // the other one may be secret
		seen[lower] = true
	}
}

// plainTags checks the tags that are plain values.
func (v *violations) plainTags(path string, tags pulumi.StringMapInput, most int) {
	known := map[string]string{}
	if given, plain := tags.(pulumi.StringMap); plain {
		for name, value := range given {
			known[name] = plainText(value)
		}
	}
	v.validateResourceTags(path, known, most)
}

// checkedTags returns the tags, which fail if they turn out to break the rules.
func checkedTags(path string, tags pulumi.StringMapInput, most int) pulumi.StringMapInput {
	if missing(tags) {
		return nil
	}
	given, ok := tags.(pulumi.StringMap)
	if !ok {
		return tags.ToStringMapOutput().ApplyT(func(tags map[string]string) (map[string]string, error) {
			var v violations
			v.validateResourceTags(path, tags, most)
			for i := range v {
				v[i].Path = path // without the tag's name, which may be secret
			}
			return tags, v.late()
		}).(pulumi.StringMapOutput)
	}
	checked := pulumi.StringMap{}
	for name, value := range given {
		if _, plain := value.(pulumi.String); plain || missing(value) {
			checked[name] = value
			continue
		}
		checked[name] = value.ToStringOutput().ApplyT(func(value string) (string, error) {
			var v violations
			v.validateResourceTags(path, map[string]string{name: value}, most)
			return value, v.late()
		}).(pulumi.StringOutput)
	}
	return checked
}

// reservedName matches names that no internet-facing resource can have:
// https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-reserved-resource-name
var reservedName = regexp.MustCompile(`(?i)microsoft|windows|^login|^(access|app_(code|themes|data|globalresources|` +
	`localresources|webreferences|browsers)|azure|bing|bizspark|biztalk|cortana|directx|dotnet|dynamics|excel|exchange|` +
	`forefront|groove|hololens|hyperv|kinect|lync|msdn|o365|office|office365|onedrive|onenote|outlook|powerpoint|` +
	`sharepoint|skype|visio|visualstudio|web\.config|xbox)$`)

// notReserved checks a name, or the start of a name to which a suffix is added.
func (v *violations) notReserved(path, name string, starts bool) {
	whole := name
	if starts {
		whole += "-"
	}
	v.check(!reservedName.MatchString(whole), path, name,
		"a name that Azure does not reserve: not a word such as azure or office, not starting with login, and without "+
			"microsoft or windows")
}

// reservedByAKS lists the ranges that pods, services and the cluster's virtual network must not use:
// https://learn.microsoft.com/azure/aks/concepts-network-cni-overview#prerequisites
var reservedByAKS = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("172.30.0.0/16"),
	netip.MustParsePrefix("172.31.0.0/16"), netip.MustParsePrefix("192.0.2.0/24"),
}

// ReservedByAKS reports whether a range overlaps one that AKS reserves: 169.254.0.0/16, 172.30.0.0/16, 172.31.0.0/16
// and 192.0.2.0/24. The pods, the services and the virtual network of a cluster must not use them
// (https://learn.microsoft.com/azure/aks/concepts-network-cni-overview#prerequisites).
func ReservedByAKS(r netip.Prefix) bool {
	return slices.ContainsFunc(reservedByAKS, r.Overlaps)
}

// notReservedByAKS checks a range that has been parsed.
func (v *violations) notReservedByAKS(path string, r netip.Prefix, ok bool) {
	v.check(!ok || !ReservedByAKS(r), path, r.String(),
		"a range that does not overlap 169.254.0.0/16, 172.30.0.0/16, 172.31.0.0/16 and 192.0.2.0/24, which AKS reserves")
}

// AKS' limits of a cluster: https://learn.microsoft.com/azure/aks/quotas-skus-regions#service-quotas-and-limits and
// https://learn.microsoft.com/azure/aks/free-standard-pricing-tiers
const (
	poolsMax        = 100
	clusterNodesMax = 5000
	freeNodesMax    = 1000
)

// validatePoolTotals checks the number of pools, and of their nodes together.
func (v *violations) validatePoolTotals(args *AksWithCsiArgs) {
	if len(args.NodePools) >= poolsMax {
		v.state("nodePools", fmt.Sprintf("%d pools", len(args.NodePools)),
			fmt.Sprintf("at most %d pools, with the system pool %d", poolsMax-1, poolsMax))
	}
	tier, most := withDefault(args.Tier, TierFree), clusterNodesMax
	if tier == TierFree {
		most = freeNodesMax
	}
	nodes := 0
	for _, pool := range args.pools() {
		if count := pool.startCount(); count <= nodeCountMax { // more is a violation of its own
			nodes += count
		}
	}
	if nodes > most {
		v.state("nodePools", fmt.Sprintf("%d nodes with the system pool's", nodes),
			fmt.Sprintf("at most %d nodes in all pools with the tier %s", most, tier))
	}
}

// resourceGroup matches a resource group's name:
// https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftresources
var resourceGroup = regexp.MustCompile(`^[\p{L}\p{N}_().-]{0,89}[\p{L}\p{N}_()-]$`)

// ValidateResourceGroupName checks the name of a resource group, and returns a [ValidationError], or nil. A name is
// 1-90 letters, digits, underscores, parentheses, dashes and dots, and does not end in a dot
// (https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftresources).
func ValidateResourceGroupName(name string) error {
	var v violations
	v.plainGroup(pulumi.String(name))
	return v.err()
}

// plainGroup checks a resource group's name if it is a plain value.
func (v *violations) plainGroup(name pulumi.StringInput) {
	v.plainID("resourceGroupName", name, resourceGroup,
		"1-90 letters, digits, underscores, parentheses, dashes and dots, not ending in a dot")
}

const workspaceRule = "the ARM id of a Log Analytics workspace"

// validateAzureCluster checks what Azure would refuse of a cluster beyond the rules of single fields.
func (v *violations) validateAzureCluster(args *AksWithCsiArgs) {
	v.plainGroup(args.ResourceGroupName)
	v.plainTags("tags", args.Tags, args.tagsMax())
	if args.ClusterName != "" {
		v.notReserved("clusterName", args.ClusterName, false)
	}
	if args.ClusterName != "" && args.NodeResourceGroup == "" {
		v.validateNodeGroup(args.ResourceGroupName, args.ClusterName, args.Location)
	}
	v.validatePoolTotals(args)
	if args.Entra != nil {
		v.plainID("entra.tenantId", args.Entra.TenantID, guid, "a tenant's id, a GUID")
	}
	v.plainID("identityId", args.IdentityID, identityID, "the ARM id of a user-assigned identity")
	v.plainID("diskEncryptionSetId", args.DiskEncryptionSetID, encryptionSetID, "the ARM id of a disk encryption set")
	v.plainID("logAnalyticsWorkspaceId", args.LogAnalyticsWorkspaceID, workspaceID, workspaceRule)
}

// validateNodeGroup checks the name that AKS derives for the nodes' resource group, if its parts are plain values.
func (v *violations) validateNodeGroup(group pulumi.StringInput, cluster string, location pulumi.StringPtrInput) {
	const most = 80 // https://learn.microsoft.com/azure/aks/faq, on the group of the nodes
	if plainText(group) == "" {
		return
	}
	name := DefaultNodeResourceGroup(plainText(group), cluster, plainText(location))
	v.check(utf8.RuneCountInString(name) <= most, "nodeResourceGroup", name, fmt.Sprintf(
		"at most %d characters: unless given, it consists of resourceGroupName, clusterName and location", most))
}

// autoNameSuffix stands for the eight random characters that Pulumi appends to the name of a resource without one in
// Azure.
const autoNameSuffix = "xxxxxxxx"

// validateClusterName checks the name that Pulumi derives from the component's.
func (v *violations) validateClusterName(component string, args *AksWithCsiArgs) {
	if args.ClusterName != "" {
		return
	}
	name := component + "-cluster" + autoNameSuffix
	const most = 63
	v.check(len(name) <= most, "clusterName", component, fmt.Sprintf(
		"a value, because the name that Pulumi generates from the component's would exceed %d characters", most))
	v.notReserved("clusterName", name, false)
	if args.NodeResourceGroup == "" {
		v.validateNodeGroup(args.ResourceGroupName, name, args.Location)
	}
}

// tagsMax returns how many tags the cluster can have.
func (args *AksWithCsiArgs) tagsMax() int {
	api := args.APIServer
	if api != nil && api.Private && (missing(api.PrivateDNSZone) || plainText(api.PrivateDNSZone) == systemZone) {
		return privateZoneTagsMax
	}
	return tagsMax
}

// checkLate makes Inputs fail if they turn out to break a rule.
func (args *AksWithCsiArgs) checkLate() {
	args.Tags = checkedTags("tags", args.Tags, args.tagsMax())
	args.IdentityID = checkedID(args.IdentityID, "identityId", identityID, "the ARM id of a user-assigned identity")
	args.DiskEncryptionSetID = checkedID(args.DiskEncryptionSetID, "diskEncryptionSetId", encryptionSetID,
		"the ARM id of a disk encryption set")
	args.LogAnalyticsWorkspaceID = checkedID(args.LogAnalyticsWorkspaceID, "logAnalyticsWorkspaceId", workspaceID,
		workspaceRule)
}

// valueMax is the maximum size of a secret's value in bytes:
// https://learn.microsoft.com/azure/key-vault/secrets/about-secrets
const valueMax = 25 << 10

// plainSecret checks a secret's value if it is a plain value. The violation does not repeat it.
func (v *violations) plainSecret(path string, value pulumi.StringInput) {
	v.most(path, len(plainText(value)), valueMax, "bytes")
}

// validateAzureVault checks what Azure would refuse of a vault and its contents beyond the rules of single fields.
func (v *violations) validateAzureVault(args *KeyVaultStackArgs) {
	for i, s := range args.Secrets {
		v.plainSecret(fmt.Sprintf("secrets[%d].value", i), s.Value)
	}
	v.plainID("tenantId", args.TenantID, guid, "a tenant's id, a GUID")
	if !missing(args.ExistingVaultID) {
		return
	}
	v.plainGroup(args.ResourceGroupName)
	v.plainTags("tags", args.Tags, tagsMax)
	v.notReserved("namePrefix", args.NamePrefix, true)
	v.notReserved("vaultName", args.VaultName, true)
	v.plainID("logAnalyticsWorkspaceId", args.LogAnalyticsWorkspaceID, workspaceID, workspaceRule)
	if args.PrivateEndpoint != nil {
		v.plainID("privateEndpoint.subnetId", args.PrivateEndpoint.SubnetID, subnetID, "the ARM id of a subnet")
		v.plainID("privateEndpoint.privateDnsZoneId", args.PrivateEndpoint.PrivateDNSZoneID, dnsZoneID,
			"the ARM id of a private DNS zone")
	}
}

// checkLate makes Inputs fail if they turn out to break a rule.
func (args *KeyVaultStackArgs) checkLate() {
	args.Tags = checkedTags("tags", args.Tags, tagsMax)
	args.LogAnalyticsWorkspaceID = checkedID(args.LogAnalyticsWorkspaceID, "logAnalyticsWorkspaceId", workspaceID,
		workspaceRule)
	if endpoint := args.PrivateEndpoint; endpoint != nil {
		endpoint.SubnetID = checkedID(endpoint.SubnetID, "privateEndpoint.subnetId", subnetID, "the ARM id of a subnet")
		endpoint.PrivateDNSZoneID = checkedID(endpoint.PrivateDNSZoneID, "privateEndpoint.privateDnsZoneId", dnsZoneID,
			"the ARM id of a private DNS zone")
	}
	for i, s := range args.Secrets {
		if _, plain := s.Value.(pulumi.String); plain || missing(s.Value) {
			continue
		}
		args.Secrets[i].Value = s.Value.ToStringOutput().ApplyT(func(value string) (string, error) {
			var v violations
			v.plainSecret(fmt.Sprintf("secrets[%d].value", i), pulumi.String(value))
			return value, v.late()
		}).(pulumi.StringOutput)
	}
}

// issuer matches the URL of a token issuer: https://learn.microsoft.com/graph/api/resources/federatedidentitycredential
var issuer = regexp.MustCompile(`^https://\S{1,592}$`)

const issuerRule = "a URL of at most 600 characters that starts with https://"

// validateAzureIdentity checks what Azure would refuse of an identity beyond the rules of single fields.
func (v *violations) validateAzureIdentity(args *WorkloadIdentityArgs) {
	if missing(args.ExistingIdentityID) {
		v.plainGroup(args.ResourceGroupName)
		v.plainTags("tags", args.Tags, tagsMax)
	}
	v.plainID("issuerUrl", args.IssuerURL, issuer, issuerRule)
	for i, further := range args.AdditionalIssuers {
		v.plainID(fmt.Sprintf("additionalIssuers[%d].url", i), further.URL, issuer, issuerRule)
	}
	for i, role := range args.RoleAssignments {
		v.plainID(fmt.Sprintf("roleAssignments[%d].scope", i), role.Scope, inSubscription,
			"the ARM id of a subscription, a resource group or a resource")
	}
}

// checkLate makes Inputs fail if they turn out to break a rule.
func (args *WorkloadIdentityArgs) checkLate() {
	args.Tags = checkedTags("tags", args.Tags, tagsMax)
	args.IssuerURL = checkedID(args.IssuerURL, "issuerUrl", issuer, issuerRule)
	for i, further := range args.AdditionalIssuers {
		path := fmt.Sprintf("additionalIssuers[%d].url", i)
		args.AdditionalIssuers[i].URL = checkedID(further.URL, path, issuer, issuerRule)
	}
}
