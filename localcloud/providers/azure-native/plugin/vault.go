package plugin

import (
	"context"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
)

// dataPlaneDelete deletes the resource with these parameters past ARM. The caller needs a data-plane role for it.
type dataPlaneDelete func(ctx context.Context, p *azureNative, parameters map[string]string) error

func vaultURL(parameters map[string]string) string {
	return "https://" + parameters["vaultName"] + ".vault.azure.net"
}

func (p *azureNative) dataPlaneOptions() azcore.ClientOptions {
	options := p.options
	options.Retry = retryOptions(options.Retry)
	return options
}

func deleteSecret(ctx context.Context, p *azureNative, parameters map[string]string) error {
	client, err := azsecrets.NewClient(vaultURL(parameters), p.credential, &azsecrets.ClientOptions{ClientOptions: p.dataPlaneOptions()})
	if err != nil {
		return err
	}
	_, err = client.DeleteSecret(ctx, parameters["secretName"], nil)
	return goneIsFine(err)
}

func deleteKey(ctx context.Context, p *azureNative, parameters map[string]string) error {
	client, err := azkeys.NewClient(vaultURL(parameters), p.credential, &azkeys.ClientOptions{ClientOptions: p.dataPlaneOptions()})
	if err != nil {
		return err
	}
	_, err = client.DeleteKey(ctx, parameters["keyName"], nil)
	return goneIsFine(err)
}

func goneIsFine(err error) error {
	if err = explain(err); isNotFound(err) {
		return nil
	}
	return err
}
