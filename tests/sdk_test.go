package tests

import (
	"path/filepath"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/keyvault/armkeyvault"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

// TestJudge_AzureSDKReadsAcrossVersions checks that Azure's SDK for Go creates vaults and clusters in one API version
// and reads the same in another.
func TestJudge_AzureSDKReadsAcrossVersions(t *testing.T) {
	t.Parallel()
	local := localcloudtest.Start(t, localcloudtest.Options{
		Command: filepath.Join(checkout, "bin", "localcloud"), Flags: []string{"--node=stand-in"},
	})
	owner, client, r := (&cloud{home: local.Dir, program: local.Command}).azure(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	groups, err := armresources.NewResourceGroupsClient(r.Credentials.SubscriptionID, owner, armOptions(client))
	must(err)
	location := to.Ptr("westeurope")
	_, err = groups.CreateOrUpdate(t.Context(), "judges", armresources.ResourceGroup{Location: location}, nil)
	must(err)
	in := func(version string) *arm.ClientOptions {
		options := azcore.ClientOptions{Transport: client.Transport, APIVersion: version}
		return &arm.ClientOptions{ClientOptions: options}
	}
	for _, of := range []struct{ name, vaults, clusters, otherVaults, otherClusters string }{
		{"kv-judge-old", "2019-09-01", "2022-11-01", "2026-02-01", "2025-02-01"},
		{"kv-judge-new", "2026-02-01", "2025-02-01", "2019-09-01", "2022-11-01"},
	} {
		vaults, err := armkeyvault.NewVaultsClient(r.Credentials.SubscriptionID, owner, in(of.vaults))
		must(err)
		making, err := vaults.BeginCreateOrUpdate(t.Context(), "judges", of.name, armkeyvault.VaultCreateOrUpdateParameters{
			Location: location, Properties: &armkeyvault.VaultProperties{
				TenantID: &r.Credentials.TenantID, EnableRbacAuthorization: to.Ptr(true),
				SKU: &armkeyvault.SKU{Family: to.Ptr(armkeyvault.SKUFamilyA), Name: to.Ptr(armkeyvault.SKUNameStandard)},
			},
		}, nil)
		must(err)
		made, err := making.PollUntilDone(t.Context(), nil)
		must(err)
		vaults, err = armkeyvault.NewVaultsClient(r.Credentials.SubscriptionID, owner, in(of.otherVaults))
		must(err)
		found, err := vaults.Get(t.Context(), "judges", of.name, nil)
		must(err)
		if *made.Properties.VaultURI != "https://"+of.name+".vault.azure.net/" ||
			*found.Properties.VaultURI != *made.Properties.VaultURI ||
			!*found.Properties.EnableRbacAuthorization {
			t.Errorf("vault %s: created as %+v, read as %+v", of.name, made.Properties, found.Properties)
		}

		clusters, err := armcontainerservice.NewManagedClustersClient(r.Credentials.SubscriptionID, owner, in(of.clusters))
		must(err)
		building, err := clusters.BeginCreateOrUpdate(t.Context(), "judges", of.name, armcontainerservice.ManagedCluster{
			Location: location,
			Identity: &armcontainerservice.ManagedClusterIdentity{
				Type: to.Ptr(armcontainerservice.ResourceIdentityTypeSystemAssigned),
			},
			Properties: &armcontainerservice.ManagedClusterProperties{
				DNSPrefix: &of.name, OidcIssuerProfile: &armcontainerservice.ManagedClusterOIDCIssuerProfile{Enabled: to.Ptr(true)},
				AgentPoolProfiles: []*armcontainerservice.ManagedClusterAgentPoolProfile{
					{
						Name:   to.Ptr("system"),
						Mode:   to.Ptr(armcontainerservice.AgentPoolModeSystem),
						Count:  to.Ptr[int32](1),
						VMSize: to.Ptr("Standard_D2s_v5"),
					},
				},
			},
		}, nil)
		must(err)
		built, err := building.PollUntilDone(t.Context(), nil)
		must(err)
		clusters, err = armcontainerservice.NewManagedClustersClient(r.Credentials.SubscriptionID, owner,
			in(of.otherClusters))
		must(err)
		seen, err := clusters.Get(t.Context(), "judges", of.name, nil)
		must(err)
		if *built.Properties.ProvisioningState != "Succeeded" ||
			*seen.Properties.OidcIssuerProfile.IssuerURL != *built.Properties.OidcIssuerProfile.IssuerURL {
			t.Errorf("cluster %s: created as %+v, read as %+v", of.name, built.Properties, seen.Properties)
		}
	}
}
