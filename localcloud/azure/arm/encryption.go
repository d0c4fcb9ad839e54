package arm

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/keyvault"
)

// encryptionSetsType is how disks, which are not here, name the key that they are encrypted with.
const encryptionSetsType = "Microsoft.Compute/diskEncryptionSets"

var encryptionSetTypes = []resourceType{{
	name: encryptionSetsType, partial: true,
	versions: []string{
		"2020-12-01", "2021-04-01", "2021-08-01", "2021-12-01", "2022-03-02", "2022-07-02", "2023-01-02", "2023-04-02", "2023-10-02", "2024-03-02",
	},
	valid: regexp.MustCompile(`^[\w-]{1,80}$`), rule: "1 to 80 letters, digits, underscores and hyphens",
	get: (*call).getStored, list: (*call).listStored,
	put: (*call).putEncryptionSet, putModel: func() any { return new(encryptionSet) },
	delete: (*call).deleteEncryptionSet,
}}

// encryptionSet is a body. The official package is many times as big; this has what is acted on, or only kept and shown.
type encryptionSet struct {
	Location string            `json:"location"`
	Tags     map[string]string `json:"tags"`
	Identity struct {
		Type        string `json:"type"`
		PrincipalID string `json:"principalId"`
		TenantID    string `json:"tenantId"`
	} `json:"identity"`
	Properties struct {
		Key struct {
			Vault subResource `json:"sourceVault"`
			URL   string      `json:"keyUrl"`
		} `json:"activeKey"`
		Type              string `json:"encryptionType"`
		Rotates           bool   `json:"rotationToLatestKeyVersionEnabled"`
		ProvisioningState string `json:"provisioningState"`
	} `json:"properties"`
}

// keyURL is a key's identifier; a set that follows the latest version may leave the version out.
var keyURL = regexp.MustCompile(`^(?i)https://([a-z0-9-]+)\.vault\.azure\.net/keys/([a-z0-9-]+)(?:/([0-9a-f]{32}))?$`)

// putEncryptionSet holds a set against the rules of learn.microsoft.com/azure/virtual-machines/disk-encryption.
func (c *call) putEncryptionSet() (reply, error) {
	old, res, err := c.begin(encryptionSetsType, true)
	if err != nil {
		return reply{}, err
	}
	var given encryptionSet
	if err := decode(res, &given); err != nil {
		return reply{}, err
	}
	switch kind := given.Properties.Type; {
	case given.Identity.Type != "SystemAssigned":
		return reply{}, notImplemented("disk encryption sets with another identity than SystemAssigned")
	case kind == "ConfidentialVmEncryptedWithCustomerKey":
		return reply{}, notImplemented("disk encryption sets for confidential virtual machines")
	case !slices.Contains([]string{"", "EncryptionAtRestWithCustomerKey", "EncryptionAtRestWithPlatformAndCustomerKeys"}, kind):
		return reply{}, badNotOneOf("encryptionType", kind, "EncryptionAtRestWithCustomerKey or EncryptionAtRestWithPlatformAndCustomerKeys")
	}
	if err := c.checkDiskKey(given); err != nil {
		return reply{}, err
	}
	identity := child(res, "identity")
	if had, ok := old["identity"].(object); ok {
		identity["principalId"] = had["principalId"]
	} else {
		app, err := newPrincipal(c.tx, c.name())
		if err != nil {
			return reply{}, err
		}
		identity["principalId"] = app.ObjectID
	}
	identity["tenantId"] = c.TenantID
	setDefault(child(res, "properties"), "encryptionType", "EncryptionAtRestWithCustomerKey")
	setDefault(child(res, "properties"), "rotationToLatestKeyVersionEnabled", false)
	setState(res, succeeded)
	return c.written(old, res)
}

// checkDiskKey finds the key of a set, in a vault that does not lose it.
func (c *call) checkDiskKey(set encryptionSet) error {
	key := set.Properties.Key
	at := keyURL.FindStringSubmatch(key.URL)
	if at == nil || at[3] == "" && !set.Properties.Rotates {
		return invalidParameter("activeKey.keyUrl", "%q is not the URL of a version of a key", key.URL)
	}
	vault, ok, err := keyvault.GetVault(c.tx, at[1])
	if err != nil {
		return err
	}
	switch {
	case !ok || vault.Deleted != nil || key.Vault.ID != "" && !strings.EqualFold(key.Vault.ID, vault.ID):
		return invalidParameter("activeKey.sourceVault", "there is no vault %s, or it is another one than %s", at[1], key.Vault.ID)
	case vault.Location != set.Location:
		return invalidParameter("activeKey", "the vault is in %s, and the disk encryption set in %s", vault.Location, set.Location)
	case !vault.NoPurge:
		return invalidParameter("activeKey", "the vault %s has to have soft delete and purge protection", vault.Name)
	}
	found, ok, err := keyvault.Get(c.tx, vault, keyvault.Key, at[2])
	if err != nil {
		return err
	}
	i := len(found.Versions) - 1
	if at[3] != "" {
		i = slices.IndexFunc(found.Versions, func(v keyvault.Version) bool { return strings.EqualFold(v.ID, at[3]) })
	}
	if !ok || i < 0 {
		return invalidParameter("activeKey.keyUrl", "the key is not there")
	}
	version := found.Versions[i]
	if !strings.HasPrefix(version.Key.Type, "RSA") || version.Attributes.Enabled != nil && !*version.Attributes.Enabled {
		return invalidParameter("activeKey.keyUrl", "it has to be an RSA key that is enabled")
	}
	return nil
}

// checkEncryptionSet finds the set that a cluster's disks are to be encrypted with: the cluster's identity reads the set
// (learn.microsoft.com/azure/aks/azure-disk-customer-managed-keys), and the set's own identity uses the key.
func (c *call) checkEncryptionSet(cluster object, id string) error {
	if id == "" {
		return nil
	}
	t := parse(http.MethodGet, id)
	res, ok, err := load(c.tx, id)
	switch {
	case err != nil:
		return err
	case !strings.EqualFold(t.kind, encryptionSetsType) || t.collection:
		return badRequest("LinkedInvalidPropertyId", "Property id '%s' at path 'properties.diskEncryptionSetID' is invalid.", id)
	case !ok:
		return refuse(http.StatusNotFound, "ResourceNotFound", "The Resource '%s/%s' under resource group '%s' was not found. For more "+
			"details please go to https://aka.ms/ARMResourceNotFoundFix", t.kind, t.name(), t.group)
	case text(res, "location") != text(cluster, "location"):
		return invalidParameter("diskEncryptionSetID", "the disk encryption set is in %s, the cluster in %s", text(res, "location"), text(cluster, "location"))
	}
	const read = encryptionSetsType + "/read"
	if err := c.checkLinked(read, id); err != nil {
		return err
	}
	if err := c.checkClusterMay(cluster, read, id); err != nil {
		return err
	}
	var set encryptionSet
	if err := decode(res, &set); err != nil {
		return err
	}
	return c.checkKeyAccess(set, t.name())
}

// checkKeyAccess asks whether a set's identity may use its key. The vault's firewall lets Azure's disks pass where it lets trusted
// services.
func (c *call) checkKeyAccess(set encryptionSet, name string) error {
	at := keyURL.FindStringSubmatch(set.Properties.Key.URL)
	vault, _, err := keyvault.GetVault(c.tx, at[1])
	if err != nil {
		return err
	}
	if !vault.RBAC {
		return notImplemented("a vault with access policies: set enableRbacAuthorization")
	}
	allowed := vault.Deleted == nil
	for _, action := range []string{"read", "wrap/action", "unwrap/action"} {
		may, err := authorization.Allowed(c.tx, set.Identity.PrincipalID, vaultsType+"/keys/"+action, vault.ID+"/keys/"+at[2], authorization.Data)
		if err != nil {
			return err
		}
		allowed = allowed && may
	}
	res, _, err := load(c.tx, vault.ID)
	if err != nil {
		return err
	}
	closed := vault.DefaultDeny || !vault.Public
	if closed && res != nil && strings.EqualFold(text(child(child(res, "properties"), "networkAcls"), "bypass"), "None") {
		allowed = false
	}
	if allowed {
		return nil
	}
	return badRequest("KeyVaultAccessForbidden", "Unable to access key vault resource '%s' to enable encryption at rest. Please grant get, "+
		"wrap and unwrap key permissions to disk encryption set '%s'. Please visit https://aka.ms/keyvaultaccessssecmk for more information.",
		set.Properties.Key.URL, name)
}

// deleteEncryptionSet refuses while there are disks, which are those of clusters.
func (c *call) deleteEncryptionSet() (reply, error) {
	clusters, err := under(c.tx, "/subscriptions", clustersType)
	if err != nil {
		return reply{}, err
	}
	for _, cluster := range clusters {
		if strings.EqualFold(text(child(cluster, "properties"), "diskEncryptionSetID"), c.path) {
			return reply{}, conflict("OperationNotAllowed", "The disk encryption set '%s' is in use by the disks of %s.", c.name(), text(cluster, "id"))
		}
	}
	return c.deleteStored()
}
