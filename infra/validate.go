package infra

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
)

// https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftresources and
// https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations
var (
	location          = regexp.MustCompile(`^[a-z0-9]+$`)
	resourceGroupName = regexp.MustCompile(`^[\p{L}\p{N}_().-]{0,89}[\p{L}\p{N}_()-]$`)
	tagName           = regexp.MustCompile(`^[^<>%&\\?/]{1,512}$`)
)

const tagValueMax = 256

// validate checks what is configured, with the components' own rules.
func (cfg *Config) validate() components.Violations {
	v := cfg.validateSurroundings()
	nowhere := &Surroundings{TenantID: pulumi.String(""), ResourceGroupName: pulumi.String(cfg.ResourceGroupName)}
	if cfg.LogRetentionDays != 0 { // arguments that need the workspace are checked for it
		nowhere.LogAnalyticsWorkspaceID = pulumi.String("")
	}
	if cfg.Network != nil {
		nowhere.Network = &Network{}
	}
	v = append(v, atKeys(cfg.Vault(nowhere).Validate(), map[string]string{
		"namePrefix":              "vaultNamePrefix",
		"createMode":              "vaultCreateMode",
		"sku":                     "vaultSku",
		"softDeleteRetentionDays": "vaultRetentionDays",
		"purgeProtection":         "vaultPurgeProtection",
		"publicNetworkAccess":     "vaultPublicNetworkAccess",
		"network":                 "vaultNetwork",
		"privateEndpoint":         "vaultPrivateEndpoint",
		"logAnalyticsWorkspaceId": "logRetentionDays",
	})...)
	v = append(v, atKeys(cfg.Cluster(nowhere).Validate(), map[string]string{
		"dnsPrefix":               "clusterName",
		"identityId":              "clusterIdentityId",
		"tier":                    "clusterTier",
		"logAnalyticsWorkspaceId": "logRetentionDays",
	})...)
	v = append(v, atKeys(cfg.Identity(nowhere, components.WorkloadIdentityArgs{}).Validate(), map[string]string{
		"serviceAccounts[0].name": "serviceAccount",
	})...)
	v = append(v, atKeys(cfg.Mount(components.SecretMountArgs{}).Validate(), map[string]string{
		"className":    "secretProviderClass",
		"objects":      "mount",
		"testPod.name": "testPodName",
	})...)
	return append(v, cfg.validateDeclared()...)
}

func (cfg *Config) validateSurroundings() components.Violations {
	var v components.Violations
	if !location.MatchString(cfg.Location) {
		v = append(v, violation("location", cfg.Location, "a location's name, lower-case letters and digits, such as eastus"))
	}
	if !resourceGroupName.MatchString(cfg.ResourceGroupName) {
		v = append(v, violation("resourceGroupName", cfg.ResourceGroupName,
			"1-90 letters, digits, underscores, parentheses, dashes and dots, no dot last"))
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Tags)) {
		if !tagName.MatchString(name) {
			v = append(v, violation("tags", name, `names of 1-512 characters without <>%&\?/`))
		}
		if utf8.RuneCountInString(cfg.Tags[name]) > tagValueMax {
			v = append(v, violation("tags."+name, cfg.Tags[name], fmt.Sprintf("at most %d characters", tagValueMax)))
		}
	}
	if n := cfg.LogRetentionDays; n != 0 && (n < 30 || n > 730) { // learn.microsoft.com/azure/azure-monitor/logs/data-retention-configure
		v = append(v, components.Violation{Path: "logRetentionDays", Given: fmt.Sprint(n), Allowed: "30-730 days; empty for no workspace"})
	}
	v = append(v, cfg.validateNodeResourceGroup()...)
	if cfg.Network != nil {
		v = append(v, cfg.Network.validate(cmp.Or(cfg.ServiceCIDR, "10.0.0.0/16"), cmp.Or(cfg.PodCIDR, "10.244.0.0/16"))...) // AKS's own
	}
	return v
}

// validateNodeResourceGroup checks the name that AKS makes of others.
func (cfg *Config) validateNodeResourceGroup() components.Violations {
	if cfg.NodeResourceGroup != "" || cfg.ClusterName == "" || cfg.ExistingClusterID != "" {
		return nil
	}
	const most = 80 // https://learn.microsoft.com/azure/aks/faq, on the group of the nodes
	name := components.DefaultNodeResourceGroup(cfg.ResourceGroupName, cfg.ClusterName, cfg.Location)
	if utf8.RuneCountInString(name) <= most {
		return nil
	}
	return components.Violations{violation("nodeResourceGroup", name, fmt.Sprintf(
		"at most %d characters: it is made of resourceGroupName, clusterName and location unless it is given", most))}
}

// validateDeclared checks that the vault of this stack, which is new, will hold the secrets and keys that are mounted: a pod waits
// forever for a file that never comes. Certificates are put into the vault by others.
func (cfg *Config) validateDeclared() components.Violations {
	declared := map[string][]string{}
	for _, s := range cfg.Secrets {
		declared["secret"] = append(declared["secret"], strings.ToLower(s.Name))
	}
	for _, k := range cfg.Keys {
		declared["key"] = append(declared["key"], strings.ToLower(k.Name))
	}
	// Decoding leaves a list nil, and a name empty, that it could not read; what the list declares is then unknown.
	unknown := map[string]bool{
		"secret": cfg.Secrets == nil || slices.Contains(declared["secret"], ""),
		"key":    cfg.Keys == nil || slices.Contains(declared["key"], ""),
	}
	var v components.Violations
	if cfg.ExistingVaultID != "" { // it may hold them already
		return v
	}
	for i, o := range cfg.Objects {
		if (o.Type == "secret" || o.Type == "key") && !unknown[o.Type] && !slices.Contains(declared[o.Type], strings.ToLower(o.Name)) {
			v = append(v, violation(fmt.Sprintf("mount[%d].name", i), o.Name, "a name that "+o.Type+"s declares"))
		}
	}
	return v
}

func violation(path, given, allowed string) components.Violation {
	return components.Violation{Path: path, Given: fmt.Sprintf("%q", given), Allowed: allowed}
}

// atKeys renames arguments' paths to the configuration keys that set them.
func atKeys(violations components.Violations, keys map[string]string) components.Violations {
	for i := range violations {
		for argument, key := range keys {
			if covers(argument, violations[i].Path) {
				violations[i].Path = key + strings.TrimPrefix(violations[i].Path, argument)
				break
			}
		}
	}
	return violations
}

// unreported are the violations about values that could be read; a value that could not has been reported already.
func unreported(reported, violations components.Violations) components.Violations {
	return slices.DeleteFunc(violations, func(v components.Violation) bool {
		return slices.ContainsFunc(reported, func(r components.Violation) bool {
			return covers(r.Path, v.Path) || covers(v.Path, r.Path)
		})
	})
}

// covers says whether the inner path is the outer one or lies in it.
func covers(outer, inner string) bool {
	rest, ok := strings.CutPrefix(inner, outer)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}
