package components

import (
	"fmt"
	"regexp"
	"strings"

	keyvault "github.com/pulumi/pulumi-azure-native-sdk/keyvault/v2/v20241101"
	"github.com/pulumi/pulumi-random/sdk/v4/go/random"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

const keyVaultStackType = "keyvaultaks:index:KeyVaultStack"

// Azure's limits:
// https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftkeyvault
const (
	vaultNameMax      = 24
	vaultSuffixLength = 6
	vaultPrefixMax    = vaultNameMax - vaultSuffixLength - 1
	retentionMin      = 7
	retentionMax      = 90
)

var (
	vaultPrefix = regexp.MustCompile(`^[a-zA-Z][0-9a-zA-Z]*(-[0-9a-zA-Z]+)*$`)
	objectName  = regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`)
)

const objectNameRule = "1-127 letters, digits and dashes"

// KeyVaultStackArgs are the arguments of [NewKeyVaultStack].
type KeyVaultStackArgs struct {
	// ResourceGroupName is the resource group that holds the vault. Required.
	ResourceGroupName pulumi.StringInput `pulumi:"resourceGroupName"`
	// Location of the vault, such as eastus. Left out: the provider's location, or the resource group's.
	Location pulumi.StringPtrInput `pulumi:"location,optional"`
	// TenantID is the Entra tenant that the vault trusts. Required.
	TenantID pulumi.StringInput `pulumi:"tenantId"`
	// Tags of the vault. Left out: none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`

	// NamePrefix starts the vault's name; a dash and six random characters follow, since vault names are global. 1-17
	// letters, digits and single dashes, a letter first and no dash last. Required. A change replaces the vault.
	NamePrefix string `pulumi:"namePrefix"`
	// Sku is standard or premium. Left out: standard.
	Sku string `pulumi:"sku,optional"`
	// SoftDeleteRetentionDays is how long Azure keeps the deleted vault, and its name, 7-90 days. Azure fixes it at creation.
	// Left out: 90.
	SoftDeleteRetentionDays int `pulumi:"softDeleteRetentionDays,optional"`
	// PurgeProtection forbids to delete the vault for good before its retention ends. Azure can never switch it off again.
	// Left out: nothing is sent to Azure, which leaves it off.
	PurgeProtection bool `pulumi:"purgeProtection,optional"`
	// PublicNetworkAccess is Enabled or Disabled. Left out: Enabled. Disabled leaves private endpoints as the only way in.
	PublicNetworkAccess string `pulumi:"publicNetworkAccess,optional"`
	// Secrets to create in the vault, names unique without regard to case. Left out: none.
	Secrets []SecretArgs `pulumi:"secrets,optional"`
	// Keys to create in the vault, names unique without regard to case. Left out: none.
	Keys []KeyArgs `pulumi:"keys,optional"`
}

// SecretArgs is one secret. Exactly one of Value and Generate is given.
type SecretArgs struct {
	// Name of the secret, 1-127 letters, digits and dashes. Required. A change replaces the secret.
	Name string `pulumi:"name"`
	// Value of the secret; treated as a Pulumi secret even if it is not one.
	Value pulumi.StringInput `pulumi:"value,optional"`
	// Generate makes a random value, kept until an argument of it changes.
	Generate *GenerateArgs `pulumi:"generate,optional"`
}

// GenerateArgs describe a random value of letters, digits and, unless switched off, special characters.
type GenerateArgs struct {
	// Length in characters, 8-1024. Left out: 32. A change generates a new value.
	Length int `pulumi:"length,optional"`
	// NoSpecial leaves out the special characters !@#$%&*()-_=+[]{}<>:?. A change generates a new value.
	NoSpecial bool `pulumi:"noSpecial,optional"`
}

// KeyArgs is one key. Azure never changes a key in place: a change of type, size or curve replaces it, and Azure keeps the name
// of the deleted key until the vault's retention ends, so change the name with them.
type KeyArgs struct {
	// Name of the key, 1-127 letters, digits and dashes. Required.
	Name string `pulumi:"name"`
	// Type is RSA or EC. Left out: RSA.
	Type string `pulumi:"type,optional"`
	// Size of an RSA key in bits: 2048, 3072 or 4096. Left out: 2048.
	Size int `pulumi:"size,optional"`
	// Curve of an EC key: P-256, P-384 or P-521. Left out: P-256.
	Curve string `pulumi:"curve,optional"`
}

// KeyVaultStack is a vault that authorizes by roles (Azure RBAC), with its secrets and keys. Creating and destroying it needs no
// rights on the vault's data, since secrets and keys go with the vault; removing one of them alone does, since Azure's resource
// manager cannot delete them.
//
// VaultID, VaultName, VaultURI and TenantID resolve once the vault and everything in it exists, so roles and mounts that use
// them never come too early.
type KeyVaultStack struct {
	pulumi.ResourceState

	// VaultID is the vault's ARM id.
	VaultID pulumi.StringOutput `pulumi:"vaultId"`
	// VaultName is the vault's name with its random suffix.
	VaultName pulumi.StringOutput `pulumi:"vaultName"`
	// VaultURI is https://<name>.vault.azure.net/.
	VaultURI pulumi.StringOutput `pulumi:"vaultUri"`
	// TenantID is the Entra tenant that the vault trusts.
	TenantID pulumi.StringOutput `pulumi:"tenantId"`
	// SecretIDs are the secrets' ARM ids by name.
	SecretIDs pulumi.StringMapOutput `pulumi:"secretIds"`
	// KeyIDs are the keys' ARM ids by name.
	KeyIDs pulumi.StringMapOutput `pulumi:"keyIds"`
}

// NewKeyVaultStack registers a vault with its secrets and keys. It returns [Violations] before anything is registered if
// arguments are invalid.
func NewKeyVaultStack(ctx *pulumi.Context, name string, args *KeyVaultStackArgs, opts ...pulumi.ResourceOption) (*KeyVaultStack, error) {
	if args == nil {
		args = &KeyVaultStackArgs{}
	}
	violations := args.Validate()
	violations.required("resourceGroupName", args.ResourceGroupName)
	violations.required("tenantId", args.TenantID)
	if err := violations.Err(); err != nil {
		return nil, fmt.Errorf("arguments of %s: %w", name, err)
	}

	c := &KeyVaultStack{}
	inputs := pulumi.Map{
		"resourceGroupName": args.ResourceGroupName,
		"tenantId":          args.TenantID,
		"namePrefix":        pulumi.String(args.NamePrefix),
		"secrets":           pulumi.ToStringArray(names(args.Secrets, func(s SecretArgs) string { return s.Name })),
		"keys":              pulumi.ToStringArray(names(args.Keys, func(k KeyArgs) string { return k.Name })),
	}
	if err := ctx.RegisterComponentResourceV2(keyVaultStackType, name, inputs, c, opts...); err != nil {
		return nil, fmt.Errorf("registering %s: %w", name, err)
	}
	vault, err := c.newVault(ctx, name, args)
	if err != nil {
		return nil, err
	}
	var objects []pulumi.Resource
	secretIDs, keyIDs := pulumi.StringMap{}, pulumi.StringMap{}
	for _, s := range args.Secrets {
		secret, err := c.newSecret(ctx, name, args.ResourceGroupName, vault, s)
		if err != nil {
			return nil, fmt.Errorf("creating secret %s: %w", s.Name, err)
		}
		objects = append(objects, secret)
		secretIDs[s.Name] = secret.ID().ToStringOutput()
	}
	for _, k := range args.Keys {
		key, err := c.newKey(ctx, name, args.ResourceGroupName, vault, k)
		if err != nil {
			return nil, fmt.Errorf("creating key %s: %w", k.Name, err)
		}
		objects = append(objects, key)
		keyIDs[k.Name] = key.ID().ToStringOutput()
	}

	c.VaultID = after(ctx, vault.ID().ToStringOutput(), objects...)
	c.VaultName = after(ctx, vault.Name, objects...)
	c.VaultURI = after(ctx, vault.Properties.VaultUri(), objects...)
	c.TenantID = after(ctx, vault.Properties.TenantId(), objects...)
	c.SecretIDs = secretIDs.ToStringMapOutput()
	c.KeyIDs = keyIDs.ToStringMapOutput()
	outputs := pulumi.Map{
		"vaultId": c.VaultID, "vaultName": c.VaultName, "vaultUri": c.VaultURI, "tenantId": c.TenantID,
		"secretIds": c.SecretIDs, "keyIds": c.KeyIDs,
	}
	if err := ctx.RegisterResourceOutputs(c, outputs); err != nil {
		return nil, fmt.Errorf("registering outputs of %s: %w", name, err)
	}
	return c, nil
}

func (c *KeyVaultStack) newVault(ctx *pulumi.Context, name string, args *KeyVaultStackArgs) (*keyvault.Vault, error) {
	suffix, err := random.NewRandomString(ctx, name+"-suffix", &random.RandomStringArgs{
		Length:  pulumi.Int(vaultSuffixLength),
		Upper:   pulumi.Bool(false),
		Special: pulumi.Bool(false),
	}, pulumi.Parent(c))
	if err != nil {
		return nil, fmt.Errorf("creating the vault name's suffix: %w", err)
	}
	vault, err := keyvault.NewVault(ctx, name+"-vault", &keyvault.VaultArgs{
		ResourceGroupName: args.ResourceGroupName,
		Location:          args.Location,
		VaultName:         pulumi.Sprintf("%s-%s", args.NamePrefix, suffix.Result),
		Tags:              args.Tags,
		// The SDK's defaults are RBAC off and public access on, so both are always sent.
		Properties: keyvault.VaultPropertiesArgs{
			TenantId:                  args.TenantID,
			Sku:                       keyvault.SkuArgs{Family: pulumi.String("A"), Name: keyvault.SkuName(withDefault(args.Sku, "standard"))},
			EnableRbacAuthorization:   pulumi.Bool(true),
			EnableSoftDelete:          pulumi.Bool(true),
			SoftDeleteRetentionInDays: pulumi.Int(withDefault(args.SoftDeleteRetentionDays, retentionMax)),
			EnablePurgeProtection:     trueOrNothing(args.PurgeProtection),
			PublicNetworkAccess:       pulumi.String(withDefault(args.PublicNetworkAccess, "Enabled")),
		},
	}, pulumi.Parent(c))
	if err != nil {
		return nil, fmt.Errorf("creating the vault: %w", err)
	}
	return vault, nil
}

// ARM refuses enablePurgeProtection: false.
func trueOrNothing(b bool) pulumi.BoolPtrInput {
	if !b {
		return nil
	}
	return pulumi.BoolPtr(true)
}

func (c *KeyVaultStack) newSecret(ctx *pulumi.Context, name string, group pulumi.StringInput, vault *keyvault.Vault, s SecretArgs) (*keyvault.Secret, error) {
	value := s.Value
	if s.Generate != nil {
		password, err := random.NewRandomPassword(ctx, name+"-value-"+s.Name, &random.RandomPasswordArgs{
			Length:  pulumi.Int(withDefault(s.Generate.Length, 32)),
			Special: pulumi.Bool(!s.Generate.NoSpecial),
		}, pulumi.Parent(c))
		if err != nil {
			return nil, fmt.Errorf("generating its value: %w", err)
		}
		value = password.Result
	}
	return keyvault.NewSecret(ctx, name+"-secret-"+s.Name, &keyvault.SecretArgs{
		ResourceGroupName: group,
		VaultName:         vault.Name,
		SecretName:        pulumi.String(s.Name),
		Properties: keyvault.SecretPropertiesArgs{
			Value: pulumi.ToSecret(value).(pulumi.StringOutput),
		},
	}, pulumi.Parent(c), pulumi.DeletedWith(vault))
}

func (c *KeyVaultStack) newKey(ctx *pulumi.Context, name string, group pulumi.StringInput, vault *keyvault.Vault, k KeyArgs) (*keyvault.Key, error) {
	properties := keyvault.KeyPropertiesArgs{Kty: pulumi.String(withDefault(k.Type, "RSA"))}
	if withDefault(k.Type, "RSA") == "RSA" {
		properties.KeySize = pulumi.Int(withDefault(k.Size, 2048))
	} else {
		properties.CurveName = pulumi.String(withDefault(k.Curve, "P-256"))
	}
	return keyvault.NewKey(ctx, name+"-key-"+k.Name, &keyvault.KeyArgs{
		ResourceGroupName: group,
		VaultName:         vault.Name,
		KeyName:           pulumi.String(k.Name),
		Properties:        properties,
	}, pulumi.Parent(c), pulumi.DeletedWith(vault),
		pulumi.ReplaceOnChanges([]string{"properties.kty", "properties.keySize", "properties.curveName"}))
}

// Validate checks every plain argument and returns all violations.
func (args *KeyVaultStackArgs) Validate() Violations {
	var v Violations
	v.check(len(args.NamePrefix) <= vaultPrefixMax && vaultPrefix.MatchString(args.NamePrefix), "namePrefix", args.NamePrefix,
		fmt.Sprintf("1-%d letters, digits and single dashes, a letter first and no dash last", vaultPrefixMax))
	v.oneOf("sku", withDefault(args.Sku, "standard"), "standard", "premium")
	retention := withDefault(args.SoftDeleteRetentionDays, retentionMax)
	v.check(retention >= retentionMin && retention <= retentionMax, "softDeleteRetentionDays", retention,
		fmt.Sprintf("%d-%d days", retentionMin, retentionMax))
	v.oneOf("publicNetworkAccess", withDefault(args.PublicNetworkAccess, "Enabled"), "Enabled", "Disabled")

	names := map[string]bool{}
	for i, s := range args.Secrets {
		path := fmt.Sprintf("secrets[%d]", i)
		v.uniqueObject(names, path, s.Name)
		v.validateSecret(path, s)
	}
	names = map[string]bool{}
	for i, k := range args.Keys {
		path := fmt.Sprintf("keys[%d]", i)
		v.uniqueObject(names, path, k.Name)
		v.validateKey(path, k)
	}
	return v
}

// uniqueObject checks the name of a secret or key; Key Vault compares names without regard to case.
func (v *Violations) uniqueObject(seen map[string]bool, path, name string) {
	v.match(objectName, path+".name", name, objectNameRule)
	v.check(!seen[strings.ToLower(name)], path+".name", name, "a name used once in the list, without regard to case")
	seen[strings.ToLower(name)] = true
}

func (v *Violations) validateSecret(path string, s SecretArgs) {
	const one = "exactly one of value and generate"
	switch {
	case s.Value == nil && s.Generate == nil:
		*v = append(*v, Violation{Path: path, Given: "neither value nor generate", Allowed: one})
	case s.Value != nil && s.Generate != nil:
		*v = append(*v, Violation{Path: path, Given: "both value and generate", Allowed: one})
	}
	if s.Generate != nil {
		length := withDefault(s.Generate.Length, 32)
		v.check(length >= 8 && length <= 1024, path+".generate.length", length, "8-1024 characters")
	}
}

func (v *Violations) validateKey(path string, k KeyArgs) {
	switch withDefault(k.Type, "RSA") {
	case "RSA":
		size := withDefault(k.Size, 2048)
		v.check(size == 2048 || size == 3072 || size == 4096, path+".size", size, "2048, 3072, 4096")
		v.check(k.Curve == "", path+".curve", k.Curve, "nothing for an RSA key")
	case "EC":
		v.oneOf(path+".curve", withDefault(k.Curve, "P-256"), "P-256", "P-384", "P-521")
		v.check(k.Size == 0, path+".size", k.Size, "nothing for an EC key")
	default:
		v.add(path+".type", k.Type, "RSA, EC")
	}
}
