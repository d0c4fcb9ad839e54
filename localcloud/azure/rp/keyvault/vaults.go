package keyvault

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/keyvault"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/network"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// VaultsType is the resource type of vaults.
const VaultsType = "Microsoft.KeyVault/vaults"

// vaultRBACVersion is the first API version in which enableRbacAuthorization defaults to true for new vaults and to the
// current value for updates (learn.microsoft.com/azure/key-vault/general/access-control-default).
const vaultRBACVersion = "2026-02-01"

// vaultName matches the names of vaults. It does not check for consecutive hyphens.
var vaultName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9-]{1,22}[a-zA-Z0-9]$`)

func validVaultName(name string) bool {
	return vaultName.MatchString(name) && !strings.Contains(name, "--")
}

const vaultNameRule = "A vault's name must be between 3-24 alphanumeric characters. The name must begin with a " +
	"letter, end with a letter or digit, and not contain consecutive hyphens. Follow this link for more information: " +
	"https://go.microsoft.com/fwlink/?linkid=2147742"

// vaultProperties are the properties that have an effect. Other properties are only stored.
type vaultProperties struct {
	TenantID string `json:"tenantId"`
	SKU      struct {
		Family string `json:"family"`
		Name   string `json:"name"`
	} `json:"sku"`
	CreateMode          string         `json:"createMode"`
	PurgeProtection     *bool          `json:"enablePurgeProtection"`
	SoftDelete          *bool          `json:"enableSoftDelete"`
	RetentionDays       *int           `json:"softDeleteRetentionInDays"`
	RBAC                bool           `json:"enableRbacAuthorization"`
	AccessPolicies      []accessPolicy `json:"accessPolicies"`
	PublicNetworkAccess string         `json:"publicNetworkAccess"`
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

type accessPolicy struct {
	TenantID      string              `json:"tenantId"`
	ObjectID      string              `json:"objectId"`
	ApplicationID string              `json:"applicationId"`
	Permissions   map[string][]string `json:"permissions"`
}

// readAccessPolicies checks and converts a vault's access policies. The rules are those of
// learn.microsoft.com/azure/key-vault/general/assign-access-policy. A vault with Azure RBAC stores them too.
func readAccessPolicies(c *arm.Call, given []accessPolicy) ([]keyvault.AccessPolicy, error) {
	const most = 1024
	if len(given) > most {
		return nil, arm.BadRequest("BadRequest", "A vault can have at most %d access policies, not %d.", most, len(given))
	}
	read := []keyvault.AccessPolicy{}
	for _, one := range given {
		switch {
		case !fold.Equal(one.TenantID, c.TenantID):
			return nil, arm.BadRequest("BadRequest",
				"An invalid value was provided for 'accessPolicies': the tenantId must be the vault's.")
		case one.ObjectID == "":
			return nil, arm.BadRequest("BadRequest",
				"An invalid value was provided for 'accessPolicies': the objectId is required.")
		case one.ApplicationID != "":
			return nil, arm.NotImplemented("access policies with an applicationId")
		}
		policy := keyvault.AccessPolicy{ObjectID: one.ObjectID, Permissions: map[keyvault.Kind][]string{}}
		for name, permissions := range one.Permissions {
			kind := keyvault.Kind(strings.TrimSuffix(fold.Lower(name), "s"))
			known, ok := keyvault.Permissions[kind]
			if !ok && !fold.Equal(name, "storage") {
				return nil, arm.BadRequest("BadRequest", "An invalid value was provided for 'permissions': '%s'.", name)
			}
			for _, permission := range permissions {
				is := func(k string) bool { return fold.Equal(k, permission) }
				if ok && !is("all") && !slices.ContainsFunc(known, is) {
					return nil, arm.BadRequest("BadRequest", "An invalid value was provided for 'permissions.%s': '%s'.",
						name, permission)
				}
			}
			if ok {
				policy.Permissions[kind] = permissions
			}
		}
		read = append(read, policy)
	}
	return read, nil
}

func putVault(c *arm.Call) (arm.Reply, error) {
	if !validVaultName(c.Name()) {
		return arm.Reply{}, arm.BadRequest("VaultNameNotValid",
			"The vault name '%s' is invalid. %s", c.Name(), vaultNameRule)
	}
	old, res, err := c.Begin(VaultsType, true)
	if err != nil {
		return arm.Reply{}, err
	}
	taken, exists, err := keyvault.GetVault(c.Tx, c.Name())
	if err == nil && exists && gone(taken) {
		exists, err = false, keyvault.Purge(c.Tx, taken)
	}
	if err != nil {
		return arm.Reply{}, err
	}
	mode := arm.Text(arm.Child(res, "properties"), "createMode")
	switch {
	case old != nil:
	case exists && taken.Deleted != nil && mode == "recover":
		return recoverVault(c, taken)
	case exists && taken.Deleted != nil:
		return arm.Reply{}, arm.Conflict("ConflictError", "A vault with the same name already exists in deleted state. You "+
			"need to either recover or purge existing key vault. Follow this link "+
			"https://go.microsoft.com/fwlink/?linkid=2149745 for more information on soft delete.")
	case exists:
		return arm.Reply{}, arm.Conflict("VaultAlreadyExists", "The vault name '%s' is already in use. Vault names are "+
			"globally unique so it is possible that the name is already taken. If you are sure that the vault name was "+
			"not taken then it is possible that a vault with the same name was recently deleted but not purged after "+
			"being placed in a recoverable state. If the vault is in a recoverable state then the vault will need to be "+
			"purged before reusing the name. For more information about VaultAlreadyExists, soft delete and purging a "+
			"vault follow this link https://go.microsoft.com/fwlink/?linkid=2147740.", c.Name())
	case mode == "recover":
		return arm.Reply{}, arm.BadRequest("SoftDeletedVaultDoesNotExist", "A soft deleted vault with the given name does "+
			"not exist. Make sure that the name for the vault you are attempting to recover is in a recoverable state.")
	}
	return writeVault(c, old, res)
}

func patchVault(c *arm.Call) (arm.Reply, error) {
	old, ok, err := arm.Load(c.Tx, c.Path)
	if err != nil {
		return arm.Reply{}, err
	}
	if !ok {
		return arm.Reply{}, c.NotFound()
	}
	res := arm.Clone(old)
	if tags, ok := c.Body["tags"]; ok {
		res["tags"] = tags
	}
	if changes, ok := c.Body["properties"].(arm.Object); ok {
		properties := arm.Child(res, "properties")
		for key, value := range changes {
			properties[key] = value
		}
	}
	return writeVault(c, old, res)
}

// writeVault checks a vault's properties, sets defaults and saves the vault.
func writeVault(c *arm.Call, old, res arm.Object) (arm.Reply, error) {
	properties := arm.Child(res, "properties")
	var given, before vaultProperties
	if old != nil {
		if err := arm.Decode(old["properties"], &before); err != nil {
			return arm.Reply{}, err
		}
	}
	rbac := c.Query.Get("api-version") >= vaultRBACVersion && (old == nil || before.RBAC)
	arm.SetDefault(properties, "enableRbacAuthorization", rbac)
	if err := arm.Decode(properties, &given); err != nil {
		return arm.Reply{}, err
	}
	if err := checkVault(c, given, before); err != nil {
		return arm.Reply{}, err
	}
	if old != nil && given.RBAC != before.RBAC {
		if err := mayChangeModel(c); err != nil {
			return arm.Reply{}, err
		}
	}
	addresses, subnets, err := checkNetworkRules(c, given)
	if err != nil {
		return arm.Reply{}, err
	}
	policies, err := readAccessPolicies(c, given.AccessPolicies)
	if err != nil {
		return arm.Reply{}, err
	}
	// An update that leaves out retention or purge protection keeps them, because they cannot change.
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
	delete(properties, "privateEndpointConnections") // only endpoints change them
	if old != nil && arm.Child(old, "properties")["privateEndpointConnections"] != nil {
		properties["privateEndpointConnections"] = arm.Child(old, "properties")["privateEndpointConnections"]
	}
	if rules, ok := properties["networkAcls"].(arm.Object); ok {
		arm.SetDefault(rules, "bypass", "AzureServices")
		arm.SetDefault(rules, "defaultAction", "Allow")
		arm.SetDefault(rules, "ipRules", []any{})
		arm.SetDefault(rules, "virtualNetworkRules", []any{})
	}
	properties["softDeleteRetentionInDays"], properties["enableSoftDelete"] = retention, true
	properties["provisioningState"] = arm.Succeeded
	arm.SetDefault(properties, "publicNetworkAccess", "Enabled")
	arm.SetDefault(properties, "accessPolicies", []any{})
	arm.SetDefault(properties, "enabledForDeployment", false)
	vault := keyvault.Vault{
		ID:            arm.Text(res, "id"),
		Name:          arm.Text(res, "name"),
		Location:      arm.Text(res, "location"),
		TenantID:      given.TenantID,
		Premium:       fold.Equal(given.SKU.Name, "premium"),
		RBAC:          given.RBAC,
		Policies:      policies,
		Public:        !fold.Equal(given.PublicNetworkAccess, "Disabled"),
		DefaultDeny:   given.NetworkACLs != nil && fold.Equal(given.NetworkACLs.DefaultAction, "Deny"),
		Addresses:     addresses,
		Subnets:       subnets,
		RetentionDays: retention,
		NoPurge:       properties["enablePurgeProtection"] == true,
	}
	properties["vaultUri"] = vault.URI()
	if err := keyvault.PutVault(c.Tx, vault); err != nil {
		return arm.Reply{}, err
	}
	if old != nil || c.Times.Of(VaultsType, arm.Creating) == 0 {
		return arm.Reply{Body: res}, arm.Save(c.Tx, res)
	}
	// A new vault exists at once. Clients poll it until its name resolves.
	arm.SetState(res, registeringDNS)
	if err := arm.Save(c.Tx, res); err != nil {
		return arm.Reply{}, err
	}
	return c.Start(arm.Reply{Body: res}, res, arm.Creating)
}

// mayChangeModel checks that the caller may change the permission model of a vault. A role assignment with a condition
// does not give the permission (learn.microsoft.com/azure/key-vault/general/rbac-guide).
func mayChangeModel(c *arm.Call) error {
	const action = "Microsoft.Authorization/roleAssignments/write"
	allowed, err := c.Allowed(c.Principal.ObjectID, action, c.Path)
	if err != nil || allowed {
		return err
	}
	return arm.Refuse(http.StatusForbidden, "InsufficientPermissions", "Caller is not allowed to change permission "+
		"model. For more information on how to change the permissions model follow this link: "+
		"https://go.microsoft.com/fwlink/?linkid=2155160. Details: oid=%s; action=%s; resource=%s; "+
		"decision=NotAllowed;", c.Principal.ObjectID, action, c.Path)
}

// registeringDNS is the provisioning state of a vault whose name does not resolve yet.
const registeringDNS = "RegisteringDns"

// checkVault checks the properties of a vault. The rules are those of
// learn.microsoft.com/rest/api/keyvault/keyvault/vaults/create-or-update.
func checkVault(c *arm.Call, given, before vaultProperties) error {
	days := given.RetentionDays
	switch {
	case !fold.Equal(given.TenantID, c.TenantID):
		return arm.BadRequest("BadRequest",
			"An invalid value was provided for 'tenantId': it must be the subscription's tenant.")
	case given.SKU.Family != "A" || !slices.Contains([]string{"standard", "premium"}, fold.Lower(given.SKU.Name)):
		return arm.BadRequest("BadRequest",
			"An invalid value was provided for 'sku': the family must be A, and the name standard or premium.")
	case given.CreateMode != "" && given.CreateMode != "default" && given.CreateMode != "recover":
		return arm.BadRequest("BadRequest",
			"An invalid value was provided for 'createMode': it must be default or recover.")
	case given.PurgeProtection != nil && !*given.PurgeProtection:
		return arm.BadRequest("BadRequest", "The property \"enablePurgeProtection\" cannot be set to false. Enabling the "+
			"purge protection for a vault is an irreversible action.")
	case given.SoftDelete != nil && !*given.SoftDelete:
		return arm.BadRequest("BadRequest", "The property \"enableSoftDelete\" cannot be set to false. Enabling soft delete "+
			"for a vault is an irreversible action, and every vault has it.")
	case days != nil && (*days < 7 || *days > 90):
		return arm.BadRequest("BadRequest",
			"The property \"softDeleteRetentionInDays\" must be between 7 and 90, not %d.", *days)
	case days != nil && before.RetentionDays != nil && *days != *before.RetentionDays:
		return arm.BadRequest("BadRequest",
			"The property \"softDeleteRetentionInDays\" has been set already and it can't be modified.")
	case !given.RBAC && given.AccessPolicies == nil:
		return arm.BadRequest("BadRequest", "The parameter accessPolicies is not specified.")
	}
	return nil
}

// checkNetworkRules checks the rules of the firewall, and returns the addresses and subnets that they admit
// (learn.microsoft.com/azure/key-vault/general/network-security).
func checkNetworkRules(c *arm.Call, given vaultProperties) (addresses []netip.Prefix, subnets []string, err error) {
	if !slices.Contains([]string{"", "enabled", "disabled"}, fold.Lower(given.PublicNetworkAccess)) {
		return nil, nil, arm.BadRequest("BadRequest",
			"An invalid value was provided for 'publicNetworkAccess': it must be enabled or disabled.")
	}
	rules := given.NetworkACLs
	if rules == nil {
		return nil, nil, nil
	}
	switch {
	case !slices.Contains([]string{"", "none", "azureservices"}, fold.Lower(rules.Bypass)):
		return nil, nil, arm.BadRequest("BadRequest",
			"An invalid value was provided for 'networkAcls.bypass': it must be AzureServices or None.")
	case !slices.Contains([]string{"", "allow", "deny"}, fold.Lower(rules.DefaultAction)):
		return nil, nil, arm.BadRequest("BadRequest",
			"An invalid value was provided for 'networkAcls.defaultAction': it must be Allow or Deny.")
	case len(rules.IPRules) > 1000 || len(rules.Subnets) > 200:
		return nil, nil, arm.BadRequest("BadRequest",
			"A vault can have at most 1000 IP rules and 200 virtual network rules, not %d and %d.",
			len(rules.IPRules), len(rules.Subnets))
	}
	for _, rule := range rules.IPRules {
		prefix, err := network.ParseIPv4Range(rule.Value)
		address := prefix.Addr()
		special := address.IsPrivate() || address.IsLoopback() || address.IsLinkLocalUnicast() || address.IsMulticast()
		if err != nil || special {
			return nil, nil, arm.BadRequest("BadRequest",
				"The IP rule '%s' is not valid: it must be a public IPv4 address or range in CIDR notation.", rule.Value)
		}
		addresses = append(addresses, prefix.Masked())
	}
	for _, rule := range rules.Subnets {
		subnet, err := network.FindSubnet(c, rule.ID)
		if err != nil {
			return nil, nil, err
		}
		const join = "Microsoft.Network/virtualNetworks/subnets/joinViaServiceEndpoint/action"
		if err := c.CheckLinked(join, rule.ID); err != nil {
			return nil, nil, err
		}
		var p network.SubnetProperties
		if err := arm.Decode(arm.Child(subnet, "properties"), &p); err != nil {
			return nil, nil, err
		}
		if !p.ReachesKeyVault() && !rule.IgnoreMissing {
			return nil, nil, arm.BadRequest("SubnetsHaveNoServiceEndpointsConfigured", "Subnets %s of virtual network %s "+
				"do not have ServiceEndpoints for %s resources configured. Add %[3]s to subnet's ServiceEndpoints "+
				"collection before trying to ACL %[3]s resources to these subnets.",
				arm.Text(subnet, "name"), arm.Cut(rule.ID, 2), network.KeyVaultService)
		}
		subnets = append(subnets, arm.Text(subnet, "id"))
	}
	return addresses, subnets, nil
}

// recoverVault restores a deleted vault. It ignores the other properties of the request.
func recoverVault(c *arm.Call, vault keyvault.Vault) (arm.Reply, error) {
	if !fold.Equal(vault.ID, c.Path) {
		return arm.Reply{}, arm.Conflict("ConflictError",
			"The deleted vault '%s' can be recovered only with its id %s.", vault.Name, vault.ID)
	}
	var res arm.Object
	if err := json.Unmarshal(vault.Deleted.Resource, &res); err != nil {
		return arm.Reply{}, err
	}
	properties := arm.Child(res, "properties")
	if connections, ok := properties["privateEndpointConnections"].([]any); ok { // without those of deleted endpoints
		var left []any
		for _, connection := range connections {
			connection, _ := connection.(arm.Object)
			endpoint := arm.Child(arm.Child(connection, "properties"), "privateEndpoint")
			if _, ok, err := arm.Load(c.Tx, arm.Text(endpoint, "id")); err != nil {
				return arm.Reply{}, err
			} else if ok {
				left = append(left, connection)
			}
		}
		if properties["privateEndpointConnections"] = left; left == nil {
			delete(properties, "privateEndpointConnections")
		}
	}
	vault.Deleted = nil
	if err := keyvault.PutVault(c.Tx, vault); err != nil {
		return arm.Reply{}, err
	}
	return arm.Reply{Body: res}, arm.Save(c.Tx, res)
}

func checkVaultName(c *arm.Call) (arm.Reply, error) {
	name := arm.Text(c.Body, "name")
	unavailable := func(reason, message string) arm.Reply {
		return arm.Reply{Body: arm.Object{"nameAvailable": false, "reason": reason, "message": message}}
	}
	if !validVaultName(name) {
		return unavailable("AccountNameInvalid", vaultNameRule), nil
	}
	vault, taken, err := keyvault.GetVault(c.Tx, name)
	if taken && !gone(vault) {
		return unavailable("AlreadyExists", "The vault name '"+name+"' is already in use."), err
	}
	return arm.Reply{Body: arm.Object{"nameAvailable": true}}, err
}

// gone reports whether the retention period of a deleted vault has ended. The vault then counts as purged, even if it
// is still in the store.
func gone(vault keyvault.Vault) bool {
	return vault.Deleted != nil && !time.Now().Before(vault.Deleted.PurgeOn)
}

func deletedVault(subscription string, v keyvault.Vault) arm.Object {
	var res arm.Object
	_ = json.Unmarshal(v.Deleted.Resource, &res) // arm.Encode has written it
	properties := arm.Object{
		"vaultId": v.ID, "location": v.Location, "tags": res["tags"],
		"deletionDate": v.Deleted.On.Format(time.RFC3339), "scheduledPurgeDate": v.Deleted.PurgeOn.Format(time.RFC3339),
	}
	if v.NoPurge {
		properties["purgeProtectionEnabled"] = true
	}
	locations := "/subscriptions/" + subscription + "/providers/Microsoft.KeyVault/locations/"
	return arm.Object{
		"id":         locations + v.Location + "/deletedVaults/" + v.Name,
		"name":       v.Name,
		"type":       "Microsoft.KeyVault/deletedVaults",
		"properties": properties,
	}
}

func listDeletedVaults(c *arm.Call) (arm.Reply, error) {
	deleted, err := keyvault.DeletedVaults(c.Tx)
	var found []arm.Object
	for _, v := range deleted {
		if !gone(v) && authorization.Covers("/subscriptions/"+c.CanonicalSubscription(), v.ID) {
			found = append(found, deletedVault(c.CanonicalSubscription(), v))
		}
	}
	return arm.Values(found), err
}

func findDeletedVault(c *arm.Call) (keyvault.Vault, error) {
	vault, ok, err := keyvault.GetVault(c.Tx, c.Names[1])
	deleted := ok && vault.Deleted != nil && !gone(vault)
	here := fold.Equal(vault.Location, c.Names[0]) &&
		authorization.Covers("/subscriptions/"+c.CanonicalSubscription(), vault.ID)
	if err == nil && !(deleted && here) {
		err = arm.Refuse(http.StatusNotFound, "DeletedVaultNotFound", "The specified deleted vault '%s' does not exist.",
			c.Names[1])
	}
	return vault, err
}

func getDeletedVault(c *arm.Call) (arm.Reply, error) {
	vault, err := findDeletedVault(c)
	if err != nil {
		return arm.Reply{}, err
	}
	return arm.Reply{Body: deletedVault(c.CanonicalSubscription(), vault)}, nil
}

func purgeVault(c *arm.Call) (arm.Reply, error) {
	vault, err := findDeletedVault(c)
	if err != nil {
		return arm.Reply{}, err
	}
	if vault.NoPurge {
		return arm.Reply{}, arm.Refuse(http.StatusMethodNotAllowed, "MethodNotAllowed",
			"Operation 'DeletedVaultPurge' is not allowed.")
	}
	return arm.Reply{}, keyvault.Purge(c.Tx, vault)
}

// softDelete stores a deleted vault until it is purged or recovered.
func softDelete(_ *arm.Service, tx *store.Tx, res arm.Object) error {
	vault, ok, err := keyvault.GetVault(tx, arm.Text(res, "name"))
	if err != nil || !ok {
		return err
	}
	return keyvault.SoftDelete(tx, vault, arm.Encode(res))
}
