package infra

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
)

var location = regexp.MustCompile(`^[a-z0-9]+$`)

// Azure's limits: https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations
const (
	tagsMax     = 50
	zoneTagsMax = 15 // of a private DNS zone
)

// networkGroupMax is the maximum length of the name of a network's resource group, since AKS labels nodes with it:
// https://learn.microsoft.com/azure/aks/azure-cni-overlay#limitations-with-azure-cni-overlay
const networkGroupMax = 63

// validate checks the configuration with the components' own rules.
func (cfg *Config) validate() violations {
	v := cfg.validateSurroundings()
	nowhere := &Surroundings{}
	if cfg.Network != nil {
		nowhere.Network = &Network{}
	}
	vault := cfg.Vault(nowhere)
	vault.ExpectedObjects = nil // the mounts' to check
	v.of(vault.Validate(), map[string]string{
		"apiVersion":              "vaultApiVersion",
		"namePrefix":              "vaultNamePrefix",
		"createMode":              "vaultCreateMode",
		"sku":                     "vaultSku",
		"softDeleteRetentionDays": "vaultRetentionDays",
		"purgeProtection":         "vaultPurgeProtection",
		"publicNetworkAccess":     "vaultPublicNetworkAccess",
		"network":                 "vaultNetwork",
		"privateEndpoint":         "vaultPrivateEndpoint",
		"expiryEvents":            "vaultExpiryEvents",
	})
	cluster := cfg.Cluster(nowhere)
	if cfg.ExistingClusterID == "" { // for the name that AKS makes of it
		cluster.ResourceGroupName = pulumi.String(cfg.ResourceGroupName)
	}
	dnsPrefix := "clusterDnsPrefix"
	if cfg.ClusterDNSPrefix == "" {
		dnsPrefix = "clusterName"
	}
	v.of(cluster.Validate(), map[string]string{
		"dnsPrefix":  dnsPrefix,
		"identityId": "clusterIdentityId",
		"tier":       "clusterTier",

		"existingCluster.id": "existingClusterId",
	})
	v = append(v, cfg.validateNeeds()...)
	return append(v.distinct(), cfg.validateWorkloads(nowhere)...)
}

// validateNeeds checks what the components could only report after the update has begun.
func (cfg *Config) validateNeeds() violations {
	var v violations
	if endpoint := cfg.VaultPrivateEndpoint; endpoint != nil && endpoint.SubnetID == nil && !endpoint.External {
		v.add("vaultPrivateEndpoint.subnetId", "nothing", "the ARM id of a subnet")
	}
	if cfg.ExistingClusterID != "" {
		return v
	}
	v = append(v, cfg.validateNodesReachVault()...)
	if (cfg.ContainerInsights || cfg.Defender) && cfg.LogRetentionDays == 0 {
		v.add("logRetentionDays", "nothing", "30-730 days, because containerInsights and defender require the workspace")
	}
	if cfg.APIServer != nil && cfg.ClusterIdentityID == "" {
		zone, _ := cfg.APIServer.PrivateDNSZone.(pulumi.String)
		v.check(zone == "" || zone == "system" || zone == "none", "clusterIdentityId", "",
			"the ARM id of an identity that may write to apiServer.privateDnsZone")
	}
	_, taken := cfg.Subnets[nodeSubnet]
	v.check(cfg.Network == nil || !taken, "subnets."+nodeSubnet, nodeSubnet,
		"another name with network, whose subnet for nodes has this one")
	return v
}

// validateNodesReachVault checks that a vault firewall with subnets only admits a subnet of the nodes, if the ids of
// both are known. Not every pool needs the vault, so one is enough.
func (cfg *Config) validateNodesReachVault() violations {
	var v violations
	firewall := cfg.VaultNetwork
	if firewall == nil {
		return v
	}
	addresses, _ := firewall.AllowedIPRanges.(pulumi.StringArray)
	if cfg.ExistingVaultID != "" || cfg.VaultPrivateEndpoint != nil || cfg.Network != nil ||
		firewall.DefaultAction == components.FirewallAllow || len(addresses) > 0 || len(cfg.Subnets) == 0 {
		return v
	}
	allowed := map[string]bool{}
	ids, _ := firewall.SubnetIDs.(pulumi.StringArray)
	for _, id := range ids {
		allowed[strings.ToLower(fmt.Sprint(id))] = true
	}
	pools := slices.Clone(cfg.NodePools)
	pools = append(pools, *cmp.Or(cfg.SystemPool, &components.NodePoolArgs{}))
	for _, pool := range pools {
		id, ok := cfg.Subnets[pool.Subnet]
		if pool.Subnet == "" && len(cfg.Subnets) == 1 {
			id, ok = slices.Collect(maps.Values(cfg.Subnets))[0], true
		}
		if !ok || allowed[strings.ToLower(fmt.Sprint(id))] { // one that is not there is the cluster's to report
			return v
		}
	}
	if len(ids) > 0 {
		v.add("vaultNetwork.subnetIds", "none of the nodes' subnets",
			"at least one of the pools' subnets, or a private endpoint")
	}
	return v
}

// vaultElsewhere reports whether the existing vault is in a subscription other than the given one.
func (cfg *Config) vaultElsewhere(subscription string) bool {
	parts := strings.Split(cfg.ExistingVaultID, "/")
	return subscription != "" && len(parts) > 2 && !strings.EqualFold(parts[2], subscription)
}

// validateIn checks what depends on the subscription of the program.
func (cfg *Config) validateIn(subscription string) error {
	var v violations
	for _, list := range []struct {
		key   string
		count int
	}{{"secrets", len(cfg.Secrets)}, {"keys", len(cfg.Keys)}} {
		if cfg.vaultElsewhere(subscription) && list.count > 0 {
			v.add(list.key, fmt.Sprintf("%d", list.count), "nothing with an existingVaultId outside this stack's subscription, "+
				subscription+": create them in that vault elsewhere")
		}
	}
	if len(v) == 0 {
		return nil
	}
	return &components.ValidationError{Violations: v}
}

func (cfg *Config) validateSurroundings() violations {
	var v violations
	v.match(location, "location", cfg.Location, "a location, lower-case letters and digits, such as eastus")
	v.of(components.ValidateResourceGroupName(cfg.ResourceGroupName), nil)
	v = append(v, cfg.validateTags()...)
	if n := cfg.LogRetentionDays; n != 0 && (n < 30 || n > 730) {
		// https://learn.microsoft.com/azure/azure-monitor/logs/data-retention-configure
		v.add("logRetentionDays", fmt.Sprint(n), "30-730 days; empty for no workspace")
	}
	_, known := vaultZones[cfg.CloudName]
	v.check(known, "cloudName", string(cfg.CloudName),
		"AzurePublicCloud, AzureUSGovernmentCloud, AzureChinaCloud; empty for the public one")
	if cfg.Network != nil {
		v.check(len(cfg.ResourceGroupName) <= networkGroupMax, "resourceGroupName", cfg.ResourceGroupName,
			fmt.Sprintf("at most %d characters with network, because AKS makes a label of it", networkGroupMax))
		v = append(v, cfg.Network.validate( // with AKS's own ranges by default
			cmp.Or(cfg.ServiceCIDR, "10.0.0.0/16"), cmp.Or(cfg.PodCIDR, "10.244.0.0/16"))...)
	}
	return v
}

// validateTags checks the tags, and that they leave room for those that the program adds.
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
			v.check(!strings.EqualFold(name, own), "tags", name, "a name that differs in more than case from "+own)
		}
	}
	most, why := tagsMax, ""
	switch {
	case cfg.vaultInNetwork():
		most, why = zoneTagsMax, ", because network has a private DNS zone"
	case cfg.ownsSystemZone():
		most, why = zoneTagsMax, ", because AKS also sets them on the cluster's private DNS zone"
	}
	if count > most && len(cfg.Tags) <= tagsMax {
		v.add("tags", fmt.Sprintf("%d tags", len(cfg.Tags)), fmt.Sprintf("at most %d tags, with %s %d%s",
			most-count+len(cfg.Tags), strings.Join(ownTags, " and "), most, why))
	}
	return v
}

// ownsSystemZone reports whether AKS creates a private DNS zone for the stack's cluster.
func (cfg *Config) ownsSystemZone() bool {
	if cfg.ExistingClusterID != "" || cfg.APIServer == nil || !cfg.APIServer.Private {
		return false
	}
	zone, _ := cfg.APIServer.PrivateDNSZone.(pulumi.String)
	return zone == "" || zone == "system"
}
