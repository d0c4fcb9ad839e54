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

// azureClients make clients of the local cloud's subscription, as its owner.
func azureClients(r *home.Running) (*armresources.ClientFactory, error) {
	client, err := r.HTTPClient()
	if err != nil {
		return nil, err
	}
	options := azcore.ClientOptions{Transport: client}
	owner, err := azidentity.NewClientSecretCredential(
		r.Credentials.TenantID,
		r.Credentials.ClientID,
		r.Credentials.ClientSecret,
		&azidentity.ClientSecretCredentialOptions{ClientOptions: options},
	)
	if err != nil {
		return nil, err
	}
	return armresources.NewClientFactory(r.Credentials.SubscriptionID, owner, &arm.ClientOptions{ClientOptions: options})
}

// ProvisioningState returns that of a cluster.
func ProvisioningState(ctx context.Context, r *home.Running, clusterID string) (string, error) {
	azure, err := azureClients(r)
	if err != nil {
		return "", err
	}
	found, err := azure.NewClient().GetByID(ctx, clusterID, "2024-09-01", nil)
	if err != nil {
		return "", fmt.Errorf("looking for the cluster: %w", err)
	}
	properties, _ := found.Properties.(map[string]any)
	state, _ := properties["provisioningState"].(string)
	return state, nil
}

// ResourceGroups returns the names of those in the local cloud's subscription.
func ResourceGroups(ctx context.Context, r *home.Running) ([]string, error) {
	azure, err := azureClients(r)
	if err != nil {
		return nil, err
	}
	var names []string
	for groups := azure.NewResourceGroupsClient().NewListPager(nil); groups.More(); {
		page, err := groups.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("looking for resource groups: %w", err)
		}
		for _, group := range page.Value {
			names = append(names, *group.Name)
		}
	}
	return names, nil
}
