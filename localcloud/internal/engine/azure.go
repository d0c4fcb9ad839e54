package engine

import (
	"context"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
)

// azureClients returns a factory of clients for the local cloud's subscription, with its owner's credentials.
func azureClients(r *home.Running) (*armresources.ClientFactory, error) {
	client, err := r.HTTPClient()
	if err != nil {
		return nil, err
	}
	options := azcore.ClientOptions{Transport: client}
	c := r.Credentials
	owner, err := azidentity.NewClientSecretCredential(c.TenantID, c.ClientID, c.ClientSecret,
		&azidentity.ClientSecretCredentialOptions{ClientOptions: options})
	if err != nil {
		return nil, err
	}
	return armresources.NewClientFactory(c.SubscriptionID, owner, &arm.ClientOptions{ClientOptions: options})
}

// ProvisioningState returns the provisioning state of a cluster.
func ProvisioningState(ctx context.Context, r *home.Running, clusterID string) (string, error) {
	azure, err := azureClients(r)
	if err != nil {
		return "", err
	}
	found, err := azure.NewClient().GetByID(ctx, clusterID, "2024-09-01", nil)
	if err != nil {
		return "", fmt.Errorf("reading the cluster: %w", err)
	}
	properties, _ := found.Properties.(map[string]any)
	state, _ := properties["provisioningState"].(string)
	return state, nil
}

// ResourceGroups returns the names of the resource groups in the local cloud's subscription.
func ResourceGroups(ctx context.Context, r *home.Running) ([]string, error) {
	azure, err := azureClients(r)
	if err != nil {
		return nil, err
	}
	var names []string
	for groups := azure.NewResourceGroupsClient().NewListPager(nil); groups.More(); {
		page, err := groups.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing resource groups: %w", err)
		}
		for _, group := range page.Value {
			names = append(names, *group.Name)
		}
	}
	return names, nil
}
