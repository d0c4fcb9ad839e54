package containerservice

import (
	"net/http"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/compute"
)

// checkEncryptionSet checks the disk encryption set of a cluster. The cluster's identity must be able to read the set
// (learn.microsoft.com/azure/aks/azure-disk-customer-managed-keys), and the set's identity must be able to use the key.
func checkEncryptionSet(c *arm.Call, cluster arm.Object, id string) error {
	if id == "" {
		return nil
	}
	named, isSet := arm.ParseID(id, compute.EncryptionSetsType)
	res, ok, err := arm.Load(c.Tx, id)
	switch {
	case err != nil:
		return err
	case !isSet:
		return arm.BadRequest("LinkedInvalidPropertyId",
			"Property id '%s' at path 'properties.diskEncryptionSetID' is invalid.", id)
	case !ok:
		return arm.Refuse(http.StatusNotFound, "ResourceNotFound", "The Resource '%s/%s' under resource group '%s' was "+
			"not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
			compute.EncryptionSetsType, named.Name, named.ResourceGroupName)
	case arm.Text(res, "location") != arm.Text(cluster, "location"):
		return arm.InvalidParameter("diskEncryptionSetID", "the disk encryption set is in %s, but the cluster is in %s",
			arm.Text(res, "location"), arm.Text(cluster, "location"))
	}
	const read = compute.EncryptionSetsType + "/read"
	if err := c.CheckLinked(read, id); err != nil {
		return err
	}
	if err := checkClusterMay(c, cluster, read, id); err != nil {
		return err
	}
	var set compute.EncryptionSet
	if err := arm.Decode(res, &set); err != nil {
		return err
	}
	return compute.CheckKeyAccess(c, set, named.Name)
}
