package components

import (
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	keyvault "github.com/pulumi/pulumi-azure-native-sdk/keyvault/v2/v20241101"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// vaultAPIRetired is the day on which Azure stops serving versions of Key Vault's control plane before 2026-02-01:
// https://learn.microsoft.com/azure/key-vault/general/migrate-api-version
var vaultAPIRetired = time.Date(2027, time.February, 27, 0, 0, 0, 0, time.UTC)

// The parameterized package of azure-native v3 that contains 2026-02-01. azure-native v2 has no versions that new, and
// the SDK of v3 does not contain it.
const (
	vaultPackage        = "azure-native_keyvault_v20260201"
	vaultPackageVersion = "3.28.0"
	vaultParameter      = `{"module":"keyvault","version":"v20260201"}`
)

// vaultTypes are the modules whose resources are the same objects in Azure, oldest first.
var vaultTypes = []string{
	"azure-native:keyvault", "azure-native:keyvault/v20230201", "azure-native:keyvault/v20230701",
	"azure-native:keyvault/v20241101",
	vaultPackage + ":keyvault/v20260201", vaultPackage + ":keyvault",
}

// vaultAPI is one version of Key Vault's control plane. Bodies are the same in all versions.
type vaultAPI struct {
	packageRef string // of the parameterized package; empty for azure-native v2
}

// ErrNoVaultProvider reports that a component has an azure-native provider of its own, but none for Key Vault's new
// version. Pulumi would use the default provider, possibly of another subscription.
var ErrNoVaultProvider = errors.New("apiVersion 2026-02-01 comes from the package " + vaultPackage +
	", which does not use an azure-native provider: also pass a provider for that package, with pulumi.Providers")

func newVaultAPI(ctx *pulumi.Context, component withProviders, version VaultAPIVersion) (vaultAPI, error) {
	if version != VaultAPI20260201 {
		return vaultAPI{}, nil
	}
	given := component.GetProvider("azure-native:keyvault:Vault") != nil
	if given && component.GetProvider(vaultPackage+":keyvault:Vault") == nil {
		return vaultAPI{}, ErrNoVaultProvider
	}
	registered, err := ctx.RegisterPackage(&pulumirpc.RegisterPackageRequest{
		Name:    "azure-native",
		Version: vaultPackageVersion,
		Parameterization: &pulumirpc.Parameterization{
			Name:    vaultPackage,
			Version: vaultPackageVersion,
			// azure-native decodes base64 itself, in addition to what the wire format does.
			Value: []byte(base64.StdEncoding.EncodeToString([]byte(vaultParameter))),
		},
	})
	if err != nil {
		return vaultAPI{}, fmt.Errorf("registering the package %s of azure-native %s: %w",
			vaultPackage, vaultPackageVersion, err)
	}
	return vaultAPI{packageRef: registered.GetRef()}, nil
}

func (a vaultAPI) newVault(
	ctx *pulumi.Context, name string, args *keyvault.VaultArgs, opts ...pulumi.ResourceOption,
) (*keyvault.Vault, error) {
	if a.packageRef == "" {
		return keyvault.NewVault(ctx, name, args, a.aliased("Vault", opts)...)
	}
	// azure-native's SDK does the same.
	withDefaults := func(p keyvault.VaultProperties) keyvault.VaultProperties { return *p.Defaults() }
	properties := args.Properties.ToVaultPropertiesOutput()
	args.Properties = properties.ApplyT(withDefaults).(keyvault.VaultPropertiesOutput)
	vault := &keyvault.Vault{}
	return vault, a.register(ctx, "Vault", name, args, vault, opts)
}

func (a vaultAPI) newSecret(
	ctx *pulumi.Context, name string, args *keyvault.SecretArgs, opts ...pulumi.ResourceOption,
) (*keyvault.Secret, error) {
	if a.packageRef == "" {
		return keyvault.NewSecret(ctx, name, args, a.aliased("Secret", opts)...)
	}
	secret := &keyvault.Secret{}
	return secret, a.register(ctx, "Secret", name, args, secret, opts)
}

func (a vaultAPI) newKey(
	ctx *pulumi.Context, name string, args *keyvault.KeyArgs, opts ...pulumi.ResourceOption,
) (*keyvault.Key, error) {
	if a.packageRef == "" {
		return keyvault.NewKey(ctx, name, args, a.aliased("Key", opts)...)
	}
	withDefaults := func(p keyvault.KeyProperties) keyvault.KeyProperties { return *p.Defaults() }
	properties := args.Properties.ToKeyPropertiesOutput()
	args.Properties = properties.ApplyT(withDefaults).(keyvault.KeyPropertiesOutput)
	key := &keyvault.Key{}
	return key, a.register(ctx, "Key", name, args, key, opts)
}

func (a vaultAPI) register(
	ctx *pulumi.Context, kind, name string, args pulumi.Input, resource pulumi.Resource, opts []pulumi.ResourceOption,
) error {
	return ctx.RegisterPackageResource(a.token(kind), name, args, resource, a.packageRef, a.aliased(kind, opts)...)
}

// lookUp looks up a vault by name.
func (a vaultAPI) lookUp(ctx *pulumi.Context, args *keyvault.LookupVaultArgs, opts ...pulumi.InvokeOption) error {
	if a.packageRef == "" {
		_, err := keyvault.LookupVault(ctx, args, opts...)
		return err
	}
	var found keyvault.LookupVaultResult
	return ctx.InvokePackage(a.token("getVault"), args, &found, a.packageRef, opts...)
}

// lookUpSecret looks up a secret by name. The answer does not contain its value.
func (a vaultAPI) lookUpSecret(
	ctx *pulumi.Context, args *keyvault.LookupSecretArgs, opts ...pulumi.InvokeOption,
) (*keyvault.LookupSecretResult, error) {
	if a.packageRef == "" {
		return keyvault.LookupSecret(ctx, args, opts...)
	}
	found := &keyvault.LookupSecretResult{}
	return found, ctx.InvokePackage(a.token("getSecret"), args, found, a.packageRef, opts...)
}

// lookUpKey looks up a key by name.
func (a vaultAPI) lookUpKey(
	ctx *pulumi.Context, args *keyvault.LookupKeyArgs, opts ...pulumi.InvokeOption,
) (*keyvault.LookupKeyResult, error) {
	if a.packageRef == "" {
		return keyvault.LookupKey(ctx, args, opts...)
	}
	found := &keyvault.LookupKeyResult{}
	return found, ctx.InvokePackage(a.token("getKey"), args, found, a.packageRef, opts...)
}

// find looks up a vault once its name is known.
func (a vaultAPI) find(
	ctx *pulumi.Context, args keyvault.LookupVaultOutputArgs, opts ...pulumi.InvokeOption,
) keyvault.LookupVaultResultOutput {
	if a.packageRef == "" {
		return keyvault.LookupVaultOutput(ctx, args, opts...)
	}
	return ctx.InvokeOutput(a.token("getVault"), args, keyvault.LookupVaultResultOutput{}, pulumi.InvokeOutputOptions{
		PackageRefF: func(*pulumi.Context) (string, error) { return a.packageRef, nil }, InvokeOptions: opts,
	}).(keyvault.LookupVaultResultOutput)
}

// token returns the token of a resource or function in the parameterized package.
func (vaultAPI) token(kind string) string {
	return vaultPackage + ":keyvault:" + kind
}

// aliased keeps existing resources when a stack moves from one version to another, in either direction.
func (vaultAPI) aliased(kind string, opts []pulumi.ResourceOption) []pulumi.ResourceOption {
	var aliases []pulumi.Alias
	for _, module := range vaultTypes {
		aliases = append(aliases, pulumi.Alias{Type: pulumi.String(module + ":" + kind)})
	}
	return append(opts[:len(opts):len(opts)], pulumi.Aliases(aliases))
}

// validateAPIVersion rejects a version that Azure no longer serves.
func (v *violations) validateAPIVersion(version VaultAPIVersion) {
	version = withDefault(version, VaultAPI20241101)
	oneOf(v, "apiVersion", version, VaultAPI20241101, VaultAPI20260201)
	v.check(version != VaultAPI20241101 || now().Before(vaultAPIRetired), "apiVersion", version,
		fmt.Sprintf("%s; Azure has served no older version since %s", VaultAPI20260201,
			vaultAPIRetired.Format(time.DateOnly)))
}

// warnAPIVersion says what to do before Azure stops serving the vault's version.
func (c *KeyVaultStack) warnAPIVersion(ctx *pulumi.Context, version VaultAPIVersion) error {
	if withDefault(version, VaultAPI20241101) != VaultAPI20241101 {
		return nil
	}
	message := fmt.Sprintf("Azure stops serving version %s of Key Vault's control plane on %s, and this vault can then "+
		"no longer be changed. Set apiVersion to %s: the next update moves to it and replaces nothing.",
		VaultAPI20241101, vaultAPIRetired.Format(time.DateOnly), VaultAPI20260201)
	if err := ctx.Log.Warn(message, &pulumi.LogArgs{Resource: c}); err != nil {
		return fmt.Errorf("warning of the API version: %w", err)
	}
	return nil
}
