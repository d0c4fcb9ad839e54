package plugin

import (
	"context"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
)

// dataPlane has the operations on a kind of vault object that ARM does not offer. The caller needs a data-plane role.
type dataPlane struct {
	// delete deletes the resource with these parameters.
	delete func(ctx context.Context, p *azureNative, parameters map[string]string) error
	// recover recovers the soft-deleted resource with these parameters and reports whether there was one.
	recover func(ctx context.Context, p *azureNative, parameters map[string]string) (found bool, err error)
}

func vaultURL(parameters map[string]string) string {
	return "https://" + parameters["vaultName"] + ".vault.azure.net"
}

func (p *azureNative) secrets(parameters map[string]string) (*azsecrets.Client, error) {
	options := azsecrets.ClientOptions{ClientOptions: p.sdkOptions()}
	return azsecrets.NewClient(vaultURL(parameters), p.credential, &options)
}

func (p *azureNative) keys(parameters map[string]string) (*azkeys.Client, error) {
	options := azkeys.ClientOptions{ClientOptions: p.sdkOptions()}
	return azkeys.NewClient(vaultURL(parameters), p.credential, &options)
}

func deleteSecret(ctx context.Context, p *azureNative, parameters map[string]string) error {
	client, err := p.secrets(parameters)
	if err != nil {
		return err
	}
	_, err = client.DeleteSecret(ctx, parameters["secretName"], nil)
	return goneIsFine(err)
}

func recoverSecret(ctx context.Context, p *azureNative, parameters map[string]string) (bool, error) {
	client, err := p.secrets(parameters)
	if err != nil {
		return false, err
	}
	if _, err = client.GetDeletedSecret(ctx, parameters["secretName"], nil); err == nil {
		_, err = client.RecoverDeletedSecret(ctx, parameters["secretName"], nil)
	}
	return err == nil, goneIsFine(err)
}

func deleteKey(ctx context.Context, p *azureNative, parameters map[string]string) error {
	client, err := p.keys(parameters)
	if err != nil {
		return err
	}
	_, err = client.DeleteKey(ctx, parameters["keyName"], nil)
	return goneIsFine(err)
}

func recoverKey(ctx context.Context, p *azureNative, parameters map[string]string) (bool, error) {
	client, err := p.keys(parameters)
	if err != nil {
		return false, err
	}
	if _, err = client.GetDeletedKey(ctx, parameters["keyName"], nil); err == nil {
		_, err = client.RecoverDeletedKey(ctx, parameters["keyName"], nil)
	}
	return err == nil, goneIsFine(err)
}

func goneIsFine(err error) error {
	if isNotFound(err) {
		return nil
	}
	return err
}
