package rules

import (
	"fmt"
	"slices"
	"strings"
)

const (
	vault       = "keyvault:Vault"
	vaultSecret = "keyvault:Secret"
	vaultKey    = "keyvault:Key"
	endpoint    = "network:PrivateEndpoint"
)

var diagnostics = []string{"insights:DiagnosticSetting", "monitor:DiagnosticSetting"}

var vaultRules = []Rule{
	{
		ID: "vault-purge-protection", When: Production, Kinds: []string{vault},
		Also:   []string{"CKV_AZURE_110", "CKV_AZURE_42", "Azure.KeyVault.PurgeProtect"},
		Title:  "Purge protection is on",
		Remedy: "Set properties.enablePurgeProtection to true, which cannot be undone",
		alone:  needs("properties.enablePurgeProtection", yes),
	},
	{
		ID: "vault-throw-away", When: Elsewhere, Kinds: []string{vault},
		Title: "A vault outside production can be purged",
		Remedy: "Omit properties.enablePurgeProtection: otherwise a destroyed stack's vault reserves its name for " +
			"7-90 days",
		alone: needs("properties.enablePurgeProtection", not(true)),
	},
	{
		ID: "vault-soft-delete", When: Production, Kinds: []string{vault},
		Also:  []string{"CKV_AZURE_111", "CKV_AZURE_42", "Azure.KeyVault.SoftDelete"},
		Title: "A deleted vault is kept for 90 days",
		Remedy: "Omit properties.enableSoftDelete and softDeleteRetentionInDays, or set them to true and 90; the days " +
			"are fixed at creation",
		alone: each(needs("properties.enableSoftDelete", not(false)), func(one Resource) []string {
			if v, known := get(one.Properties, "properties.softDeleteRetentionInDays"); !known || v.IsNull() {
				return nil
			}
			return atLeast(90).unless(one.Properties, "properties.softDeleteRetentionInDays")
		}),
	},
	{
		ID: "vault-rbac", When: Production, Kinds: []string{vault},
		Also:   []string{"Azure.KeyVault.RBAC"},
		Title:  "The vault uses Azure RBAC",
		Remedy: "Set properties.enableRbacAuthorization to true, because SDKs send false if it is omitted",
		alone:  needs("properties.enableRbacAuthorization", yes),
	},
	{
		ID: "vault-firewall", When: Production, Kinds: []string{vault},
		Also:   []string{"CKV_AZURE_109", "Azure.KeyVault.Firewall"},
		Title:  "The vault's firewall denies access by default",
		Remedy: "Set properties.networkAcls.defaultAction to Deny",
		alone:  needs("properties.networkAcls.defaultAction", oneOf("Deny")),
	},
	{
		ID: "vault-public-access", When: Production, Kinds: []string{vault},
		Also:   []string{"CKV_AZURE_189"},
		Title:  "The vault is not reachable at its public address",
		Remedy: "Set properties.publicNetworkAccess to Disabled and give it a private endpoint",
		alone:  needs("properties.publicNetworkAccess", oneOf("Disabled")),
	},
	{
		ID: "vault-private-endpoint", When: Production, Kinds: []string{vault},
		Also:   []string{"CKV2_AZURE_32"},
		Title:  "The vault has a private endpoint",
		Remedy: "Give it a PrivateEndpoint of the group vault in the stack, or an exemption that says where the endpoint is",
		among:  withoutEndpoint,
	},
	{
		ID: "vault-logs", When: Production, Kinds: []string{vault},
		Also:   []string{"Azure.KeyVault.Logs"},
		Title:  "Access to secrets is logged",
		Remedy: "Give it a DiagnosticSetting with the category AuditEvent, or the group audit or allLogs, and a workspace",
		among:  withoutLogs("vaultName", []string{"AuditEvent"}),
	},
	{
		ID: "secret-expires", When: Production, Kinds: []string{vaultSecret},
		Also:   []string{"CKV_AZURE_41"},
		Title:  "Secrets expire",
		Remedy: "Set properties.attributes.expires, and rotate the secret before that date",
		alone:  needs("properties.attributes.expires", given),
	},
	{
		ID: "secret-content-type", When: Production, Kinds: []string{vaultSecret},
		Also:   []string{"CKV_AZURE_114"},
		Title:  "Secrets have a content type",
		Remedy: "Set properties.contentType, such as text/plain",
		alone:  needs("properties.contentType", given),
	},
	{
		ID: "key-expires", When: Production, Kinds: []string{vaultKey},
		Also:   []string{"CKV_AZURE_40"},
		Title:  "Keys expire",
		Remedy: "Set properties.attributes.expires",
		alone:  needs("properties.attributes.expires", given),
	},
	{
		ID: "key-hsm", When: Production, Kinds: []string{vaultKey},
		Also:   []string{"CKV_AZURE_112"},
		Title:  "Keys are in an HSM",
		Remedy: "Set properties.kty to RSA-HSM or EC-HSM, in a vault whose properties.sku.name is premium",
		alone:  needs("properties.kty", oneOf("RSA-HSM", "EC-HSM")),
	},
	{
		ID: "key-rotation", When: Production, Kinds: []string{vaultKey},
		Also:   []string{"Azure.KeyVault.AutoRotationPolicy"},
		Title:  "Azure rotates keys",
		Remedy: "Add a lifetime action of the type rotate to properties.rotationPolicy",
		alone: func(one Resource) []string {
			actions, known := maps(one.Properties, "properties.rotationPolicy.lifetimeActions")
			for _, action := range actions {
				if v, _ := get(action, "action.type"); v.IsComputed() || oneOf("rotate").met(v) {
					return nil
				}
			}
			if !known {
				return nil
			}
			return say("properties.rotationPolicy.lifetimeActions has no action of the type rotate")
		},
	},
}

func withoutEndpoint(one Resource, stack Stack) []string {
	for _, e := range stack.of(endpoint) {
		for _, key := range []string{"privateLinkServiceConnections", "manualPrivateLinkServiceConnections"} {
			connections, known := maps(e.Properties, key)
			if !known && stack.isAbout(e, key, one, "vaultName") {
				return nil
			}
			for _, connection := range connections {
				groups, known := list(connection, "groupIds")
				id, _ := get(connection, "privateLinkServiceId")
				at := Resource{
					Properties:           connection,
					PropertyDependencies: map[string][]string{"privateLinkServiceId": e.PropertyDependencies[key]},
				}
				if (!known || slices.ContainsFunc(groups, oneOf("vault").met)) && !id.IsNull() &&
					stack.isAbout(at, "privateLinkServiceId", one, "vaultName") {
					return nil
				}
			}
		}
	}
	return say("no private endpoint in the stack connects to it")
}

// destinations are the properties of a diagnostic setting that say where it sends what it keeps.
var destinations = []string{"workspaceId", "storageAccountId", "eventHubAuthorizationRuleId", "marketplacePartnerId"}

// withoutLogs is a rule for resources whose logs of all the categories are kept. A category may be one of several,
// apart by a bar.
func withoutLogs(nameKey string, categories []string) func(Resource, Stack) []string {
	return func(one Resource, stack Stack) []string {
		kept := map[string]bool{}
		for _, setting := range stack.of(diagnostics...) {
			if !stack.isAbout(setting, "resourceUri", one, nameKey) {
				continue
			}
			to := false
			for _, destination := range destinations {
				v, known := get(setting.Properties, destination)
				to = to || !known || given.met(v)
			}
			for _, key := range []string{"logs", "metrics"} {
				logs, known := maps(setting.Properties, key)
				if !known {
					return nil
				}
				for _, log := range logs {
					category, _ := asText(log.Get("category"))
					group, _ := asText(log.Get("categoryGroup"))
					if enabled := log.Get("enabled"); to && (yes.met(enabled) || enabled.IsComputed()) {
						kept[category], kept[group] = true, true
					}
				}
			}
		}
		var missing []string
		for _, category := range categories {
			audit := strings.Contains(strings.ToLower(category), "audit") || category == "guard"
			if category != "AllMetrics" && (kept["allLogs"] || audit && kept["audit"]) {
				continue
			}
			if !slices.ContainsFunc(strings.Split(category, "|"), func(c string) bool { return kept[c] }) {
				missing = append(missing, strings.ReplaceAll(category, "|", " or "))
			}
		}
		if len(missing) == 0 {
			return nil
		}
		return say("no diagnostic setting in the stack exports its %s", strings.Join(missing, ", "))
	}
}

// locked is a rule for resources that a lock of the stack keeps from being deleted.
func locked(one Resource, stack Stack) []string {
	nameKey := map[string]string{vault: "vaultName", cluster: "resourceName"}[Kind(one.Type)]
	for _, kind := range []string{"ByScope", "AtResourceLevel", "AtResourceGroupLevel", "AtSubscriptionLevel"} {
		for _, lock := range stack.of("authorization:ManagementLock" + kind) {
			level, known := get(lock.Properties, "level")
			if known && !oneOf("CanNotDelete", "ReadOnly").met(level) {
				continue
			}
			switch kind {
			case "ByScope":
				if stack.isAbout(lock, "scope", one, nameKey) || stack.above(lock, "scope", one) {
					return nil
				}
			case "AtResourceLevel":
				if stack.isAbout(lock, "resourceName", one, nameKey) {
					return nil
				}
			default:
				return nil
			}
		}
	}
	return say("no lock in the stack protects it from deletion")
}

// above reports whether the scope is a resource group or a subscription, in which the resource may be.
func (s Stack) above(lock Resource, key string, one Resource) bool {
	v, _ := get(lock.Properties, key)
	scope, ok := asText(v)
	if !ok || strings.Contains(strings.ToLower(scope), "/providers/") {
		return false
	}
	group, known := get(one.Properties, "resourceGroupName")
	name, _ := asText(group)
	_, in, isGroup := strings.Cut(strings.ToLower(scope), "/resourcegroups/")
	return !known || !isGroup || in == strings.ToLower(name)
}

// protected is a rule for resources that Pulumi does not delete.
func protected(one Resource) []string {
	if one.Protect {
		return nil
	}
	return []string{fmt.Sprintf("%s is not protected", one.Name)}
}
