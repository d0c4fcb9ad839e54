package components

import (
	"fmt"
	"strings"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// ExistingClusterArgs describe a cluster that is managed elsewhere: give either ID, or IssuerURL and Kubeconfig.
type ExistingClusterArgs struct {
	// ID is the ARM id of a cluster in the provider's subscription. The issuer and the kubeconfig are looked up, even
	// during a preview. The lookup fails unless the cluster has the OIDC issuer, workload identity and the Key Vault
	// add-on enabled.
	ID pulumi.StringInput `pulumi:"id,optional"`
	// IssuerURL is the issuer of the cluster's service account tokens. Nothing is looked up or checked, and the outputs
	// ClusterID and ClusterName are empty.
	IssuerURL pulumi.StringInput `pulumi:"issuerUrl,optional"`
	// Kubeconfig must give access to the cluster without an interactive login. It is always treated as a Pulumi secret.
	Kubeconfig pulumi.StringInput `pulumi:"kubeconfig,optional"`
}

// useExisting sets the outputs to those of the existing cluster, and registers nothing.
func (c *AksWithCsi) useExisting(ctx *pulumi.Context, existing *ExistingClusterArgs, entra *EntraArgs) {
	if existing.ID == nil {
		c.ClusterID = pulumi.String("").ToStringOutput()
		c.ClusterName = pulumi.String("").ToStringOutput()
		c.undescribed()
		c.IssuerURL = existing.IssuerURL.ToStringOutput()
		c.Kubeconfig = usableKubeconfig(existing.Kubeconfig.ToStringOutput(), entra, false)
		return
	}
	group, name := partOfClusterID(existing.ID, 2), partOfClusterID(existing.ID, 3)
	cluster := containerservice.LookupManagedClusterOutput(ctx, containerservice.LookupManagedClusterOutputArgs{
		ResourceGroupName: group, ResourceName: name,
	}, pulumi.Parent(c))
	// Everything below uses only what was checked.
	type result = containerservice.LookupManagedClusterResult
	checked := pulumi.All(existing.ID, cluster).ApplyT(func(all []any) (result, error) {
		id, found := all[0].(string), all[1].(result)
		return found, checkExisting(id, found, entra != nil).late()
	}).(containerservice.LookupManagedClusterResultOutput)
	c.ClusterID = checked.Id()
	c.ClusterName = checked.Name()
	c.describe(ctx, checked)
	c.Kubeconfig = userKubeconfig(ctx, c, group, c.ClusterName, entra)
}

func partOfClusterID(id pulumi.StringInput, part int) pulumi.StringOutput {
	return id.ToStringOutput().ApplyT(func(id string) (string, error) {
		match := clusterID.FindStringSubmatch(id)
		if match == nil {
			return "", invalid("existingCluster.id", quote(id), "the ARM id of a cluster")
		}
		return match[part], nil
	}).(pulumi.StringOutput)
}

// checkExisting reports everything that keeps pods of the cluster from mounting, and the command that enables it.
func checkExisting(id string, found containerservice.LookupManagedClusterResult, entra bool) violations {
	var v violations
	if !strings.EqualFold(found.Id, id) {
		v.add("existingCluster.id", id, "a cluster in the Azure provider's subscription, where this name belongs to "+
			found.Id)
		return v
	}
	match := clusterID.FindStringSubmatch(id)
	need := func(on bool, what, command string) {
		if !on {
			v.state("existingCluster.id", "a cluster without "+what, fmt.Sprintf(
				"one with it; to enable it, run az aks %s --resource-group %s --name %s", command, match[2], match[3]))
		}
	}
	oidc := found.OidcIssuerProfile
	need(oidc != nil && isTrue(oidc.Enabled) && oidc.IssuerURL != "", "OIDC issuer", "update --enable-oidc-issuer")
	security := found.SecurityProfile
	need(security != nil && security.WorkloadIdentity != nil && isTrue(security.WorkloadIdentity.Enabled),
		"workload identity", "update --enable-workload-identity")
	need(hasSecretsProvider(found.AddonProfiles), "the add-on for Key Vault",
		"enable-addons --addons azure-keyvault-secrets-provider")
	switch {
	case found.AadProfile == nil && entra:
		need(false, "Entra ID, though entra is given", "update --enable-aad --enable-azure-rbac")
	case found.AadProfile != nil && !entra:
		v.state("entra", "nothing", "a value, because the cluster's users sign in with Entra ID")
	}
	return v
}

func isTrue(b *bool) bool { return b != nil && *b }

// hasSecretsProvider reports whether the add-on is enabled. AKS compares names of add-ons without regard to case.
func hasSecretsProvider(addons map[string]containerservice.ManagedClusterAddonProfileResponse) bool {
	for name, addon := range addons {
		if strings.EqualFold(name, secretsProviderAddon) {
			return addon.Enabled
		}
	}
	return false
}

// validateExisting rejects every argument that would manage the cluster.
func (v *violations) validateExisting(args *AksWithCsiArgs) {
	const notManaged = "nothing with existingCluster, which is managed elsewhere"
	v.rejectOthers(*args, notManaged, "existingCluster", "entra", "adoptObjects")
	if args.Entra != nil && !empty(args.Entra.AdminGroupIDs) {
		v.state("entra.adminGroupIds", "a value", notManaged)
	}
}

// requiredForExisting checks that there is exactly one way to the cluster.
func (v *violations) requiredForExisting(existing *ExistingClusterArgs) {
	const one = "either id, or issuerUrl and kubeconfig"
	byID, issuer, kubeconfig := !missing(existing.ID), !missing(existing.IssuerURL), !missing(existing.Kubeconfig)
	switch {
	case byID && (issuer || kubeconfig):
		v.state("existingCluster", "id and more", one)
	case !byID && (!issuer || !kubeconfig):
		v.state("existingCluster", "neither", one)
	}
}
