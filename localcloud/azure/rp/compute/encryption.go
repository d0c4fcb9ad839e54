// Package compute implements Microsoft.Compute: disk encryption sets.
package compute

import (
	"regexp"
	"slices"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/keyvault"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	keyvaultrp "github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/keyvault"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/managedidentity"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// EncryptionSetsType is the type of disk encryption sets, which select the key that encrypts disks. There are no disks
// here.
const EncryptionSetsType = "Microsoft.Compute/diskEncryptionSets"

// Provider returns the provider Microsoft.Compute.
func Provider() arm.Provider {
	return arm.Provider{Elsewhere: []string{"Microsoft.Compute"}, Types: []arm.Type{
		{
			Name: EncryptionSetsType, Partial: true,
			Valid: regexp.MustCompile(`^[\w-]{1,80}$`), Rule: "1 to 80 letters, digits, underscores and hyphens",
			Get: (*arm.Call).GetStored, List: (*arm.Call).ListStored,
			Put: putEncryptionSet, PutModel: func() any { return new(EncryptionSet) },
			Delete: deleteEncryptionSet, Deleted: deletePrincipal,
		},
	}}
}

// EncryptionSet is the body of a disk encryption set. Other properties are not implemented. It replaces the model of
// Azure's package armcompute, which is large.
type EncryptionSet struct {
	Location string            `json:"location"`
	Tags     map[string]string `json:"tags"`
	Identity struct {
		Type        string `json:"type"`
		PrincipalID string `json:"principalId"`
		TenantID    string `json:"tenantId"`
	} `json:"identity"`
	Properties struct {
		Key struct {
			Vault arm.SubResource `json:"sourceVault"`
			URL   string          `json:"keyUrl"`
		} `json:"activeKey"`
		Type              string `json:"encryptionType"`
		Rotates           bool   `json:"rotationToLatestKeyVersionEnabled"`
		ProvisioningState string `json:"provisioningState"`
	} `json:"properties"`
}

// keyURL matches the identifier of a key. A set that follows the latest version may omit the version.
var keyURL = regexp.MustCompile(`^(?i)https://([a-z0-9-]+)\.vault\.azure\.net/keys/([a-z0-9-]+)(?:/([0-9a-f]{32}))?$`)

// putEncryptionSet writes a disk encryption set. The rules are those of
// learn.microsoft.com/azure/virtual-machines/disk-encryption.
func putEncryptionSet(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.Begin(EncryptionSetsType, true)
	if err != nil {
		return arm.Reply{}, err
	}
	var given EncryptionSet
	if err := arm.Decode(res, &given); err != nil {
		return arm.Reply{}, err
	}
	const customerKey, bothKeys = "EncryptionAtRestWithCustomerKey", "EncryptionAtRestWithPlatformAndCustomerKeys"
	switch kind := given.Properties.Type; {
	case given.Identity.Type != "SystemAssigned":
		return arm.Reply{}, arm.NotImplemented("disk encryption sets with another identity than SystemAssigned")
	case kind == "ConfidentialVmEncryptedWithCustomerKey":
		return arm.Reply{}, arm.NotImplemented("disk encryption sets for confidential virtual machines")
	case !slices.Contains([]string{"", customerKey, bothKeys}, kind):
		return arm.Reply{}, arm.BadNotOneOf("encryptionType", kind, customerKey+" or "+bothKeys)
	}
	if err := checkDiskKey(c, given); err != nil {
		return arm.Reply{}, err
	}
	identity := arm.Child(res, "identity")
	if had, ok := old["identity"].(arm.Object); ok {
		identity["principalId"] = had["principalId"]
	} else {
		app, err := managedidentity.NewPrincipal(c.Tx, c.Name())
		if err != nil {
			return arm.Reply{}, err
		}
		identity["principalId"] = app.ObjectID
	}
	identity["tenantId"] = c.TenantID
	arm.SetDefault(arm.Child(res, "properties"), "encryptionType", customerKey)
	arm.SetDefault(arm.Child(res, "properties"), "rotationToLatestKeyVersionEnabled", false)
	arm.SetState(res, arm.Succeeded)
	return c.Written(old, res)
}

// checkDiskKey checks that the key of a set exists, in a vault with purge protection.
func checkDiskKey(c *arm.Call, set EncryptionSet) error {
	key := set.Properties.Key
	at := keyURL.FindStringSubmatch(key.URL)
	if at == nil || at[3] == "" && !set.Properties.Rotates {
		return arm.InvalidParameter("activeKey.keyUrl", "%q is not the URL of a version of a key", key.URL)
	}
	vault, ok, err := keyvault.GetVault(c.Tx, at[1])
	if err != nil {
		return err
	}
	switch {
	case !ok || vault.Deleted != nil || key.Vault.ID != "" && !fold.Equal(key.Vault.ID, vault.ID):
		return arm.InvalidParameter("activeKey.sourceVault", "there is no vault %s, or its id is not %s",
			at[1], key.Vault.ID)
	case vault.Location != set.Location:
		return arm.InvalidParameter("activeKey", "the vault is in %s, but the disk encryption set is in %s",
			vault.Location, set.Location)
	case !vault.NoPurge:
		return arm.InvalidParameter("activeKey", "the vault %s must have soft delete and purge protection", vault.Name)
	}
	found, ok, err := keyvault.Get(c.Tx, vault, keyvault.Key, at[2])
	if err != nil {
		return err
	}
	i := len(found.Versions) - 1
	if at[3] != "" {
		i = slices.IndexFunc(found.Versions, func(v keyvault.Version) bool { return fold.Equal(v.ID, at[3]) })
	}
	if !ok || i < 0 {
		return arm.InvalidParameter("activeKey.keyUrl", "the key was not found")
	}
	version := found.Versions[i]
	if !strings.HasPrefix(version.Key.Type, "RSA") || version.Attributes.Enabled != nil && !*version.Attributes.Enabled {
		return arm.InvalidParameter("activeKey.keyUrl", "it must be an enabled RSA key")
	}
	return nil
}

// CheckKeyAccess checks that the identity of the set with a name may use its key. The firewall of the vault admits
// Azure's disks if it admits trusted services.
func CheckKeyAccess(c *arm.Call, set EncryptionSet, name string) error {
	at := keyURL.FindStringSubmatch(set.Properties.Key.URL)
	vault, _, err := keyvault.GetVault(c.Tx, at[1])
	if err != nil {
		return err
	}
	if !vault.RBAC {
		return arm.NotImplemented("disk encryption with a vault with access policies: set enableRbacAuthorization")
	}
	allowed := vault.Deleted == nil
	for _, action := range []string{"read", "wrap/action", "unwrap/action"} {
		may, err := authorization.Allowed(c.Tx, set.Identity.PrincipalID, keyvaultrp.VaultsType+"/keys/"+action,
			vault.ID+"/keys/"+at[2], authorization.Data)
		if err != nil {
			return err
		}
		allowed = allowed && may
	}
	res, _, err := arm.Load(c.Tx, vault.ID)
	if err != nil {
		return err
	}
	if closed := vault.DefaultDeny || !vault.Public; closed && res != nil {
		rules := arm.Child(arm.Child(res, "properties"), "networkAcls")
		allowed = allowed && !fold.Equal(arm.Text(rules, "bypass"), "None")
	}
	if allowed {
		return nil
	}
	return arm.BadRequest("KeyVaultAccessForbidden", "Unable to access key vault resource '%s' to enable encryption at "+
		"rest. Please grant get, wrap and unwrap key permissions to disk encryption set '%s'. Please visit "+
		"https://aka.ms/keyvaultaccessssecmk for more information.", set.Properties.Key.URL, name)
}

// deleteEncryptionSet refuses to delete a set that a cluster uses for its disks.
func deleteEncryptionSet(c *arm.Call) (arm.Reply, error) {
	user, err := c.UserOf(c.Tx, c.Path)
	if err != nil {
		return arm.Reply{}, err
	}
	if user != "" {
		return arm.Reply{}, arm.Conflict("OperationNotAllowed",
			"The disk encryption set '%s' is in use by the disks of %s.", c.Name(), user)
	}
	return c.DeleteStored()
}

// deletePrincipal deletes the identity of a deleted set from the directory.
func deletePrincipal(_ *arm.Service, tx *store.Tx, res arm.Object) error {
	return entra.DeletePrincipal(tx, arm.Text(arm.Child(res, "identity"), "principalId"))
}
