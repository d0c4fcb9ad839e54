package infra

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
)

// https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftresources
var (
	location          = regexp.MustCompile(`^[a-z0-9]+$`)
	resourceGroupName = regexp.MustCompile(`^[\p{L}\p{N}_().-]{0,89}[\p{L}\p{N}_()-]$`)
)

// Azure's limits: https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations
const (
	tagsMax     = 50
	zoneTagsMax = 15 // of a private DNS zone
)

// networkGroupMax is the length of the name of a network's resource group, which AKS labels nodes with:
// https://learn.microsoft.com/azure/aks/azure-cni-overlay#limitations-with-azure-cni-overlay
const networkGroupMax = 63

// validate checks what is configured, with the components' own rules.
func (cfg *Config) validate() violations {
	v := cfg.validateSurroundings()
	nowhere := &Surroundings{}
	if cfg.Network != nil {
		nowhere.Network = &Network{}
	}
	v.of(cfg.Vault(nowhere).Validate(), map[string]string{
		"apiVersion":              "vaultApiVersion",
		"namePrefix":              "vaultNamePrefix",
		"createMode":              "vaultCreateMode",
		"sku":                     "vaultSku",
		"softDeleteRetentionDays": "vaultRetentionDays",
		"purgeProtection":         "vaultPurgeProtection",
		"publicNetworkAccess":     "vaultPublicNetworkAccess",
		"network":                 "vaultNetwork",
		"privateEndpoint":         "vaultPrivateEndpoint",
	})
	v.of(cfg.Cluster(nowhere).Validate(), map[string]string{
		"dnsPrefix":  "clusterName",
		"identityId": "clusterIdentityId",
		"tier":       "clusterTier",

		"existingCluster.id": "existingClusterId",
	})
	v = append(v, cfg.validateNeeds()...)
	return append(v, cfg.validateWorkloads(nowhere)...)
}

// validateNeeds checks what the components could only miss once the stack has begun.
func (cfg *Config) validateNeeds() violations {
	var v violations
	if endpoint := cfg.VaultPrivateEndpoint; endpoint != nil && endpoint.SubnetID == nil {
		v.add("vaultPrivateEndpoint.subnetId", "nothing", "the ARM id of a subnet")
	}
	if cfg.ExistingClusterID != "" {
		return v
	}
	if (cfg.ContainerInsights || cfg.Defender) && cfg.LogRetentionDays == 0 {
		v.add("logRetentionDays", "nothing", "30-730 days, since containerInsights and defender need the workspace")
	}
	if cfg.APIServer != nil && cfg.ClusterIdentityID == "" {
		zone, _ := cfg.APIServer.PrivateDNSZone.(pulumi.String)
		v.check(zone == "" || zone == "system" || zone == "none", "clusterIdentityId", "",
			"the ARM id of an identity that may write apiServer.privateDnsZone")
	}
	_, taken := cfg.Subnets[nodeSubnet]
	v.check(cfg.Network == nil || !taken, "subnets."+nodeSubnet, nodeSubnet,
		"other names with network, whose subnet has this one")
	return v
}

func (cfg *Config) validateSurroundings() violations {
	var v violations
	v.match(location, "location", cfg.Location, "a location's name, lower-case letters and digits, such as eastus")
	v.match(resourceGroupName, "resourceGroupName", cfg.ResourceGroupName,
		"1-90 letters, digits, underscores, parentheses, dashes and dots, no dot last")
	v = append(v, cfg.validateTags()...)
	if n := cfg.LogRetentionDays; n != 0 && (n < 30 || n > 730) { // learn.microsoft.com/azure/azure-monitor/logs/data-retention-configure
		v.add("logRetentionDays", fmt.Sprint(n), "30-730 days; empty for no workspace")
	}
	_, known := vaultZones[cfg.CloudName]
	v.check(known, "cloudName", string(cfg.CloudName),
		"AzurePublicCloud, AzureUSGovernmentCloud, AzureChinaCloud; empty for the public one")
	v = append(v, cfg.validateNodeResourceGroup()...)
	if cfg.Network != nil {
		v.check(len(cfg.ResourceGroupName) <= networkGroupMax, "resourceGroupName", cfg.ResourceGroupName,
			fmt.Sprintf("at most %d characters with network, since AKS makes a label of it", networkGroupMax))
		v = append(v, cfg.Network.validate(cmp.Or(cfg.ServiceCIDR, "10.0.0.0/16"), cmp.Or(cfg.PodCIDR, "10.244.0.0/16"))...) // AKS's own
	}
	return v
}

// validateTags checks the tags, and that there is room for those that the program adds.
func (cfg *Config) validateTags() violations {
	var v violations
	v.of(components.ValidateTags(cfg.Tags), nil)
	count := len(cfg.Tags)
	for _, own := range ownTags {
		if _, replaced := cfg.Tags[own]; replaced {
			continue
		}
		count++
		for name := range cfg.Tags {
			v.check(!strings.EqualFold(name, own), "tags", name, "names that differ in more than case, unlike "+own)
		}
	}
	most, why := tagsMax, ""
	switch {
	case cfg.vaultInNetwork():
		most, why = zoneTagsMax, ", since network has a private DNS zone"
	case cfg.ownsSystemZone():
		most, why = zoneTagsMax, ", since AKS gives them to the cluster's private DNS zone"
	}
	if count > most && len(cfg.Tags) <= tagsMax {
		v.add("tags", fmt.Sprintf("%d tags", len(cfg.Tags)), fmt.Sprintf("at most %d tags, with %s %d%s",
			most-count+len(cfg.Tags), strings.Join(ownTags, " and "), most, why))
	}
	return v
}

// ownsSystemZone says whether AKS makes a private DNS zone for the stack's cluster.
func (cfg *Config) ownsSystemZone() bool {
	if cfg.ExistingClusterID != "" || cfg.APIServer == nil || !cfg.APIServer.Private {
		return false
	}
	zone, _ := cfg.APIServer.PrivateDNSZone.(pulumi.String)
	return zone == "" || zone == "system"
}

// validateNodeResourceGroup checks the name that AKS makes of others.
func (cfg *Config) validateNodeResourceGroup() violations {
	if cfg.NodeResourceGroup != "" || cfg.ClusterName == "" || cfg.ExistingClusterID != "" {
		return nil
	}
	const most = 80 // https://learn.microsoft.com/azure/aks/faq, on the group of the nodes
	name := components.DefaultNodeResourceGroup(cfg.ResourceGroupName, cfg.ClusterName, cfg.Location)
	if utf8.RuneCountInString(name) <= most {
		return nil
	}
	var v violations
	v.check(false, "nodeResourceGroup", name, fmt.Sprintf(
		"at most %d characters: it is made of resourceGroupName, clusterName and location unless it is given", most))
	return v
}
