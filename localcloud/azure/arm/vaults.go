package arm

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/keyvault"
)

const vaultsType = "Microsoft.KeyVault/vaults"

// vaultRBACVersion is the first API version whose enableRbacAuthorization defaults to true for a new vault, and to what
// it was for an update: learn.microsoft.com/azure/key-vault/general/access-control-default.
const vaultRBACVersion = "2026-02-01"

// vaultName is the rule but for the hyphens in a row.
var vaultName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9-]{1,22}[a-zA-Z0-9]$`)

func validVaultName(name string) bool {
	return vaultName.MatchString(name) && !strings.Contains(name, "--")
}

const vaultNameRule = "A vault's name must be between 3-24 alphanumeric characters. The name must begin with a letter, end with a " +
	"letter or digit, and not contain consecutive hyphens. Follow this link for more information: " +
	"https://go.microsoft.com/fwlink/?linkid=2147742"

// vaultProperties are what the service acts on. Everything else is kept and shown.
type vaultProperties struct {
	TenantID string `json:"tenantId"`
	SKU      struct {
		Family string `json:"family"`
		Name   string `json:"name"`
	} `json:"sku"`
	CreateMode          string `json:"createMode"`
	PurgeProtection     *bool  `json:"enablePurgeProtection"`
	SoftDelete          *bool  `json:"enableSoftDelete"`
	RetentionDays       *int   `json:"softDeleteRetentionInDays"`
	RBAC                bool   `json:"enableRbacAuthorization"`
	AccessPolicies      []any  `json:"accessPolicies"`
	PublicNetworkAccess string `json:"publicNetworkAccess"`
	NetworkACLs         *struct {
		Bypass        string `json:"bypass"`
		DefaultAction string `json:"defaultAction"`
		IPRules       []struct {
			Value string `json:"value"`
		} `json:"ipRules"`
		Subnets []struct {
			ID            string `json:"id"`
			IgnoreMissing bool   `json:"ignoreMissingVnetServiceEndpoint"`
		} `json:"virtualNetworkRules"`
	} `json:"networkAcls"`
}

func (c *call) putVault() (reply, error) {
	if !validVaultName(c.name()) {
		return reply{}, badRequest("VaultNameNotValid", "The vault name '%s' is invalid. %s", c.name(), vaultNameRule)
	}
	old, res, err := c.begin(vaultsType, true)
	if err != nil {
		return reply{}, err
	}
	taken, exists, err := keyvault.GetVault(c.tx, c.name())
	if err != nil {
		return reply{}, err
	}
	mode := text(child(res, "properties"), "createMode")
	switch {
	case old != nil:
	case exists && taken.Deleted != nil && mode == "recover":
		return c.recoverVault(taken)
	case exists && taken.Deleted != nil:
		return reply{}, conflict("ConflictError", "A vault with the same name already exists in deleted state. You need to either "+
			"recover or purge existing key vault. Follow this link https://go.microsoft.com/fwlink/?linkid=2149745 for more "+
			"information on soft delete.")
	case exists:
		return reply{}, conflict("VaultAlreadyExists", "The vault name '%s' is already in use. Vault names are globally unique so it "+
			"is possible that the name is already taken. If you are sure that the vault name was not taken then it is possible "+
			"that a vault with the same name was recently deleted but not purged after being placed in a recoverable state. If "+
			"the vault is in a recoverable state then the vault will need to be purged before reusing the name. For more "+
			"information about VaultAlreadyExists, soft delete and purging a vault follow this link "+
			"https://go.microsoft.com/fwlink/?linkid=2147740.", c.name())
	case mode == "recover":
		return reply{}, badRequest("SoftDeletedVaultDoesNotExist", "A soft deleted vault with the given name does not exist. Make sure "+
			"that the name for the vault you are attempting to recover is in a recoverable state.")
	}
	return c.writeVault(old, res)
}

func (c *call) patchVault() (reply, error) {
	old, ok, err := load(c.tx, c.path)
	if err != nil {
		return reply{}, err
	}
	if !ok {
		return reply{}, c.notFound()
	}
	res := clone(old)
	if tags, ok := c.body["tags"]; ok {
		res["tags"] = tags
	}
	if changes, ok := c.body["properties"].(object); ok {
		properties := child(res, "properties")
		for key, value := range changes {
			properties[key] = value
		}
	}
	return c.writeVault(old, res)
}

// writeVault checks a vault's properties, fills in what is left out, and writes it.
func (c *call) writeVault(old, res object) (reply, error) {
	properties := child(res, "properties")
	var given, before vaultProperties
	if old != nil {
		if err := decode(old["properties"], &before); err != nil {
			return reply{}, err
		}
	}
	rbac := c.query.Get("api-version") >= vaultRBACVersion && (old == nil || before.RBAC)
	setDefault(properties, "enableRbacAuthorization", rbac)
	if err := decode(properties, &given); err != nil {
		return reply{}, err
	}
	if err := c.checkVault(given, before); err != nil {
		return reply{}, err
	}
	addresses, subnets, err := c.checkNetworkRules(given)
	if err != nil {
		return reply{}, err
	}
	// What is left out of an update stays, where it could not be changed back anyway.
	retention := 90
	for _, days := range []*int{before.RetentionDays, given.RetentionDays} {
		if days != nil {
			retention = *days
		}
	}
	if before.PurgeProtection != nil {
		properties["enablePurgeProtection"] = true
	}
	delete(properties, "createMode")
	delete(properties, "privateEndpointConnections") // the endpoints' doing
	if old != nil && child(old, "properties")["privateEndpointConnections"] != nil {
		properties["privateEndpointConnections"] = child(old, "properties")["privateEndpointConnections"]
	}
	if rules, ok := properties["networkAcls"].(object); ok {
		setDefault(rules, "bypass", "AzureServices")
		setDefault(rules, "defaultAction", "Allow")
		setDefault(rules, "ipRules", []any{})
		setDefault(rules, "virtualNetworkRules", []any{})
	}
	properties["softDeleteRetentionInDays"], properties["enableSoftDelete"] = retention, true
	properties["provisioningState"] = succeeded
	setDefault(properties, "publicNetworkAccess", "Enabled")
	setDefault(properties, "accessPolicies", []any{})
	setDefault(properties, "enabledForDeployment", false)
	vault := keyvault.Vault{
		ID: text(res, "id"), Name: text(res, "name"), Location: text(res, "location"), TenantID: given.TenantID,
		Premium: strings.EqualFold(given.SKU.Name, "premium"), RBAC: given.RBAC,
		Public:      !strings.EqualFold(given.PublicNetworkAccess, "Disabled"),
		DefaultDeny: given.NetworkACLs != nil && strings.EqualFold(given.NetworkACLs.DefaultAction, "Deny"),
		Addresses:   addresses, Subnets: subnets,
		RetentionDays: retention, NoPurge: properties["enablePurgeProtection"] == true,
	}
	properties["vaultUri"] = vault.URI()
	if err := keyvault.PutVault(c.tx, vault); err != nil {
		return reply{}, err
	}
	if old != nil || c.Times.of(vaultsType, creating) == 0 {
		return reply{body: res}, save(c.tx, res)
	}
	// A new vault is there at once, and clients poll it until its name resolves.
	setState(res, registeringDNS)
	op, err := c.startOperation(c.tx, res, creating)
	if err != nil {
		return reply{}, err
	}
	return reply{body: res, after: func() { c.run(op, registerVault) }}, save(c.tx, res)
}

// registeringDNS is the state of a vault whose name does not resolve everywhere yet.
const registeringDNS = "RegisteringDns"

// registerVault needs no time but what the profile of times gives it.
func registerVault(context.Context, string) error { return nil }

// checkVault holds the properties against the rules of
// learn.microsoft.com/rest/api/keyvault/keyvault/vaults/create-or-update.
func (c *call) checkVault(given, before vaultProperties) error {
	days := given.RetentionDays
	switch {
	case !strings.EqualFold(given.TenantID, c.TenantID):
		return badRequest("BadRequest", "An invalid value was provided for 'tenantId': it has to be the subscription's tenant.")
	case given.SKU.Family != "A" || !slices.Contains([]string{"standard", "premium"}, strings.ToLower(given.SKU.Name)):
		return badRequest("BadRequest", "An invalid value was provided for 'sku': the family is A, the name standard or premium.")
	case given.CreateMode != "" && given.CreateMode != "default" && given.CreateMode != "recover":
		return badRequest("BadRequest", "An invalid value was provided for 'createMode': default or recover.")
	case given.PurgeProtection != nil && !*given.PurgeProtection:
		return badRequest("BadRequest", "The property \"enablePurgeProtection\" cannot be set to false. Enabling the purge protection "+
			"for a vault is an irreversible action.")
	case given.SoftDelete != nil && !*given.SoftDelete:
		return badRequest("BadRequest", "The property \"enableSoftDelete\" cannot be set to false. Enabling soft delete for a vault is "+
			"an irreversible action, and every vault has it.")
	case days != nil && (*days < 7 || *days > 90):
		return badRequest("BadRequest", "The property \"softDeleteRetentionInDays\" has to be between 7 and 90, not %d.", *days)
	case days != nil && before.RetentionDays != nil && *days != *before.RetentionDays:
		return badRequest("BadRequest",
			"The property \"softDeleteRetentionInDays\" has been set already and it can't be modified.")
	case !given.RBAC && given.AccessPolicies == nil:
		return badRequest("BadRequest", "The parameter accessPolicies is not specified.")
	}
	return nil
}

// checkNetworkRules holds the firewall's rules against those of
// learn.microsoft.com/azure/key-vault/general/network-security.
func (c *call) checkNetworkRules(given vaultProperties) (addresses []netip.Prefix, subnets []string, err error) {
	if !slices.Contains([]string{"", "enabled", "disabled"}, strings.ToLower(given.PublicNetworkAccess)) {
		return nil, nil, badRequest("BadRequest", "An invalid value was provided for 'publicNetworkAccess': enabled or disabled.")
	}
	rules := given.NetworkACLs
	if rules == nil {
		return nil, nil, nil
	}
	switch {
	case !slices.Contains([]string{"", "none", "azureservices"}, strings.ToLower(rules.Bypass)):
		return nil, nil, badRequest("BadRequest", "An invalid value was provided for 'networkAcls.bypass': AzureServices or None.")
	case !slices.Contains([]string{"", "allow", "deny"}, strings.ToLower(rules.DefaultAction)):
		return nil, nil, badRequest("BadRequest", "An invalid value was provided for 'networkAcls.defaultAction': Allow or Deny.")
	case len(rules.IPRules) > 1000 || len(rules.Subnets) > 200:
		return nil, nil, badRequest("BadRequest", "A vault can have 1000 IP rules and 200 virtual network rules at most.")
	}
	for _, rule := range rules.IPRules {
		prefix, err := parseIPv4Range(rule.Value)
		if err != nil || prefix.Addr().IsPrivate() || prefix.Addr().IsLoopback() || prefix.Addr().IsLinkLocalUnicast() || prefix.Addr().IsMulticast() {
			return nil, nil, badRequest("BadRequest", "The IP rule '%s' is not valid: it has to be a public IPv4 address, or a range in "+
				"CIDR notation.", rule.Value)
		}
		addresses = append(addresses, prefix.Masked())
	}
	for _, rule := range rules.Subnets {
		subnet, err := c.findSubnet(rule.ID)
		if err != nil {
			return nil, nil, err
		}
		if err := c.checkLinked("Microsoft.Network/virtualNetworks/subnets/joinViaServiceEndpoint/action", rule.ID); err != nil {
			return nil, nil, err
		}
		var p subnetProperties
		if err := decode(child(subnet, "properties"), &p); err != nil {
			return nil, nil, err
		}
		if !p.reachesKeyVault() && !rule.IgnoreMissing {
			return nil, nil, badRequest("SubnetsHaveNoServiceEndpointsConfigured", "Subnets %s of virtual network %s do not have ServiceEndpoints for "+
				"%s resources configured. Add %[3]s to subnet's ServiceEndpoints collection before trying to ACL %[3]s resources to these "+
				"subnets.", text(subnet, "name"), cut(rule.ID, 2), keyVaultService)
		}
		subnets = append(subnets, text(subnet, "id"))
	}
	return addresses, subnets, nil
}

// recoverVault brings a vault back as it was, whatever else the request says.
func (c *call) recoverVault(vault keyvault.Vault) (reply, error) {
	if !strings.EqualFold(vault.ID, c.path) {
		return reply{}, conflict("ConflictError", "The deleted vault '%s' can be recovered only where it was: %s.", vault.Name, vault.ID)
	}
	var res object
	if err := json.Unmarshal(vault.Deleted.Resource, &res); err != nil {
		return reply{}, err
	}
	properties := child(res, "properties")
	if connections, ok := properties["privateEndpointConnections"].([]any); ok { // those whose endpoints are still there
		var left []any
		for _, connection := range connections {
			connection, _ := connection.(object)
			if _, ok, err := load(c.tx, text(child(child(connection, "properties"), "privateEndpoint"), "id")); err != nil {
				return reply{}, err
			} else if ok {
				left = append(left, connection)
			}
		}
		if properties["privateEndpointConnections"] = left; left == nil {
			delete(properties, "privateEndpointConnections")
		}
	}
	vault.Deleted = nil
	if err := keyvault.PutVault(c.tx, vault); err != nil {
		return reply{}, err
	}
	return reply{body: res}, save(c.tx, res)
}

func (c *call) deleteVault() (reply, error) {
	res, ok, err := load(c.tx, c.path)
	if err != nil || !ok {
		return reply{status: http.StatusNoContent}, err
	}
	return reply{}, destroy(c.tx, res)
}

func (c *call) checkVaultName() (reply, error) {
	name := text(c.body, "name")
	if !validVaultName(name) {
		return reply{body: object{"nameAvailable": false, "reason": "AccountNameInvalid", "message": vaultNameRule}}, nil
	}
	_, taken, err := keyvault.GetVault(c.tx, name)
	if taken {
		return reply{body: object{
			"nameAvailable": false, "reason": "AlreadyExists", "message": "The vault name '" + name + "' is already in use.",
		}}, err
	}
	return reply{body: object{"nameAvailable": true}}, err
}

func deletedVault(subscription string, v keyvault.Vault) object {
	var res object
	_ = json.Unmarshal(v.Deleted.Resource, &res) // written by encode
	properties := object{
		"vaultId": v.ID, "location": v.Location, "tags": res["tags"],
		"deletionDate": v.Deleted.On.Format(time.RFC3339), "scheduledPurgeDate": v.Deleted.PurgeOn.Format(time.RFC3339),
	}
	if v.NoPurge {
		properties["purgeProtectionEnabled"] = true
	}
	return object{
		"id":   "/subscriptions/" + subscription + "/providers/Microsoft.KeyVault/locations/" + v.Location + "/deletedVaults/" + v.Name,
		"name": v.Name, "type": "Microsoft.KeyVault/deletedVaults", "properties": properties,
	}
}

func (c *call) listDeletedVaults() (reply, error) {
	deleted, err := keyvault.DeletedVaults(c.tx)
	var found []object
	for _, v := range deleted {
		if authorization.Covers("/subscriptions/"+c.subscriptionID(), v.ID) {
			found = append(found, deletedVault(c.subscriptionID(), v))
		}
	}
	return values(found), err
}

func (c *call) findDeletedVault() (keyvault.Vault, error) {
	vault, ok, err := keyvault.GetVault(c.tx, c.names[1])
	if err == nil && (!ok || vault.Deleted == nil || !strings.EqualFold(vault.Location, c.names[0]) ||
		!authorization.Covers("/subscriptions/"+c.subscriptionID(), vault.ID)) {
		err = refuse(http.StatusNotFound, "DeletedVaultNotFound", "The specified deleted vault '%s' does not exist.", c.names[1])
	}
	return vault, err
}

func (c *call) getDeletedVault() (reply, error) {
	vault, err := c.findDeletedVault()
	if err != nil {
		return reply{}, err
	}
	return reply{body: deletedVault(c.subscriptionID(), vault)}, nil
}

func (c *call) purgeVault() (reply, error) {
	vault, err := c.findDeletedVault()
	if err != nil {
		return reply{}, err
	}
	if vault.NoPurge {
		return reply{}, refuse(http.StatusMethodNotAllowed, "MethodNotAllowed", "Operation 'DeletedVaultPurge' is not allowed.")
	}
	return reply{}, keyvault.Purge(c.tx, vault)
}
