package components

import (
	"fmt"
	"regexp"
	"slices"
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
	vaultNameMin      = 3
	retentionMin      = 7
	retentionMax      = 90
)

var (
	vaultPrefix = regexp.MustCompile(`^[a-zA-Z][0-9a-zA-Z]*(-[0-9a-zA-Z]+)*$`)
	objectName  = regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`)
)

const objectNameRule = "1-127 letters, digits and dashes"

// KeyVaultStackArgs are the arguments of [NewKeyVaultStack].
//
// With ExistingVaultID, only TenantID, AllowAccessPolicies, APIVersion, Deployer, Secrets, Keys, ExpectedObjects and
// Protect can be given as well. Without it, ResourceGroupName, TenantID and one of NamePrefix and VaultName are
// required.
type KeyVaultStackArgs struct {
	// ExistingVaultID is the ARM id of an existing vault. The component creates secrets and keys in it, and manages
	// nothing else about it. Unless TenantID is given, the vault is looked up, which requires a provider for its
	// subscription, and must use Azure RBAC. Defaults to a new vault.
	ExistingVaultID pulumi.StringInput `pulumi:"existingVaultId,optional"`
	// AllowAccessPolicies allows an existing vault that uses access policies. Such a vault ignores roles, so every mount
	// needs the access none, and the identities must get their permissions elsewhere. Defaults to false.
	AllowAccessPolicies bool `pulumi:"allowAccessPolicies,optional"`
	// ResourceGroupName is the resource group that holds the vault. A change replaces the vault and requires another
	// NamePrefix in the same update, since Azure reserves the deleted vault's name.
	ResourceGroupName pulumi.StringInput `pulumi:"resourceGroupName,optional"`
	// Location of the vault, such as eastus. Defaults to the provider's location, or the resource group's. A change
	// replaces the vault, like a change of ResourceGroupName.
	Location pulumi.StringPtrInput `pulumi:"location,optional"`
	// TenantID is the Entra tenant that the vault trusts. With ExistingVaultID it replaces the lookup, for a vault in a
	// subscription that the provider cannot read: mounts and their roles only need the vault's id. Secrets and Keys cannot
	// be given then. Defaults to the existing vault's tenant.
	TenantID pulumi.StringInput `pulumi:"tenantId,optional"`
	// Tags of the vault and its private endpoint, by Azure's rules, see [ValidateTags]. Outputs are checked once they are
	// known. Defaults to none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`

	// APIVersion is the version of Key Vault's control plane API: 2024-11-01, through azure-native v2, or 2026-02-01,
	// through a parameterized package of azure-native v3, whose plugin Pulumi then installs as well. Moving from one to
	// the other replaces nothing. Azure stops serving 2024-11-01 on 2027-02-27: until then the component warns, and after
	// that day it rejects the version. Defaults to 2024-11-01.
	APIVersion VaultAPIVersion `pulumi:"apiVersion,optional"`
	// NamePrefix starts the vault's name. A dash and six random characters follow, since vault names are globally unique.
	// It is 1-17 letters, digits and single dashes, starting with a letter and not ending in a dash. It must not contain
	// words that Azure reserves: login at the start, microsoft and windows anywhere
	// (https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-reserved-resource-name). A change
	// replaces the vault.
	NamePrefix string `pulumi:"namePrefix,optional"`
	// VaultName is the vault's full name, for a vault whose name must not change, such as one that pulumi import takes
	// over: 3-24 characters by the rules of NamePrefix. Vault names are globally unique, and Azure reserves the name of a
	// deleted vault. A change replaces the vault. Defaults to NamePrefix with its suffix. Not together with NamePrefix.
	VaultName string `pulumi:"vaultName,optional"`
	// CreateMode is default or recover. With recover, Azure restores the deleted vault of exactly this name, with its
	// contents, instead of creating one. Names have a random suffix, so this is for a vault that was deleted outside
	// Pulumi, for which a preview or an update with default fails.
	//
	// To recover, set recover and run pulumi up before any pulumi refresh: the state then still contains the vault, its
	// secrets and keys, and the update recovers them. After a refresh, restore an earlier state first (pulumi stack
	// import), since the refresh has removed them from the state, and the recovered vault already contains them. Azure
	// does not recover roles on the vault (https://learn.microsoft.com/azure/key-vault/general/soft-delete-overview). So
	// remove recover again and run pulumi up --refresh, which creates the stack's roles again, such as those for mounts.
	// Defaults to default.
	CreateMode VaultCreateMode `pulumi:"createMode,optional"`
	// Sku is standard, or premium, which has hardware security modules. Defaults to standard.
	Sku VaultSku `pulumi:"sku,optional"`
	// SoftDeleteRetentionDays is how many days Azure keeps the deleted vault and reserves its name, 7-90. It cannot be
	// changed after creation. Defaults to 90.
	SoftDeleteRetentionDays int `pulumi:"softDeleteRetentionDays,optional"`
	// PurgeProtection prevents permanent deletion until the retention period ends. Defaults to false, which is for
	// development. Azure cannot disable it again, so the component omits the property for false. If it is true without
	// Protect, the component warns, since nobody can purge the vault after the stack is destroyed.
	PurgeProtection bool `pulumi:"purgeProtection,optional"`
	// PublicNetworkAccess is Enabled or Disabled. Defaults to Enabled, which without Network is for development. With
	// Disabled, the vault is reachable only through private endpoints.
	PublicNetworkAccess PublicNetworkAccess `pulumi:"publicNetworkAccess,optional"`
	// Network is the firewall for public access. Defaults to none, which is for development: nothing is filtered.
	Network *VaultNetworkArgs `pulumi:"network,optional"`
	// PrivateEndpoint gives the vault an address in a virtual network. Defaults to none.
	PrivateEndpoint *PrivateEndpointArgs `pulumi:"privateEndpoint,optional"`
	// LogAnalyticsWorkspaceID is the ARM id of the workspace that receives the vault's audit logs. Defaults to none, which
	// is for development. The logs are AuditEvent and AzurePolicyEvaluationDetails. Metrics go there too.
	LogAnalyticsWorkspaceID pulumi.StringInput `pulumi:"logAnalyticsWorkspaceId,optional"`
	// ExpiryEvents notify others when secrets, keys and certificates of the vault expire. Not with ExistingVaultID: a
	// vault has a single topic for its events (https://learn.microsoft.com/azure/event-grid/system-topics), which may
	// exist already. Defaults to no notification.
	ExpiryEvents *ExpiryEventsArgs `pulumi:"expiryEvents,optional"`
	// Lock puts a CanNotDelete lock on the vault. Defaults to false, which is for development. While the lock exists,
	// Azure refuses to delete the vault and what Azure Resource Manager keeps on it, such as the role assignments of
	// mounts. Remove the lock in an update of its own before you remove a mount or destroy the stack. The lock does not
	// protect single secrets and keys.
	Lock bool `pulumi:"lock,optional"`
	// Protect makes Pulumi refuse to delete or replace the vault, its secrets and keys. Defaults to false, which is for
	// development. Pulumi then also refuses to destroy the stack.
	Protect bool `pulumi:"protect,optional"`
	// Deployer is assigned the roles Key Vault Secrets Officer if there are Secrets, and Key Vault Crypto Officer if there
	// are Keys, on the vault and before these are created. Defaults to no assignment: the deployer has these roles
	// already, or needs none, since Azure Resource Manager creates secrets and keys.
	Deployer *DeployerArgs `pulumi:"deployer,optional"`
	// Secrets to create in the vault. Names are unique without regard to case. A secret that you remove from the list
	// stays in the vault, and Pulumi forgets it. To add it again, set [SecretArgs.Adopt]. With Protect, Pulumi refuses to
	// forget it, so remove Protect first, in an update of its own. Defaults to none.
	Secrets []SecretArgs `pulumi:"secrets,optional"`
	// Keys to create in the vault. Names are unique without regard to case. A key that you remove from the list stays in
	// the vault, like a secret. Defaults to none.
	Keys []KeyArgs `pulumi:"keys,optional"`
	// ExpectedObjects are mounted from the vault but created by others, such as certificates. Only type and name matter. A
	// preview shows the commands that create them. If an existing vault is looked up and a secret or key is missing, the
	// preview or update fails, unless the deployer lacks the permission to look: Microsoft.KeyVault/vaults/secrets/read
	// and keys/read. Defaults to none.
	ExpectedObjects []ObjectArgs `pulumi:"expectedObjects,optional"`
}

// KeyVaultStack is a vault that authorizes by roles (Azure RBAC), or an existing one, with secrets and keys. It needs
// neither permissions on the vault's data nor access through its firewall, since Azure Resource Manager creates secrets
// and keys with the vault. Azure Resource Manager cannot delete them separately. So secrets and keys that you remove,
// and all of them in an existing vault when the stack is destroyed, stay in the vault until somebody with permissions
// on its data deletes them (az keyvault secret delete, az keyvault key delete).
//
// VaultID, VaultName, VaultURI and TenantID resolve once the vault, its contents and its private endpoint exist, so
// roles and mounts that use them are never created too early.
type KeyVaultStack struct {
	pulumi.ResourceState

	// Vault is the vault itself, nil for an existing one.
	Vault *keyvault.Vault

	// VaultID is the vault's ARM id.
	VaultID pulumi.StringOutput `pulumi:"vaultId"`
	// VaultName is the vault's name, with its random suffix if it has one.
	VaultName pulumi.StringOutput `pulumi:"vaultName"`
	// VaultURI is https://<name>.vault.azure.net/, or empty for an existing vault that is not looked up.
	VaultURI pulumi.StringOutput `pulumi:"vaultUri"`
	// TenantID is the Entra tenant that the vault trusts.
	TenantID pulumi.StringOutput `pulumi:"tenantId"`
	// SecretIDs are the secrets' ARM ids by name.
	SecretIDs pulumi.StringMapOutput `pulumi:"secretIds"`
	// SecretVersions are the ids of the latest versions that Pulumi created, by the secrets' names; for
	// [SecretMountArgs.Versions].
	SecretVersions pulumi.StringMapOutput `pulumi:"secretVersions"`
	// KeyIDs are the keys' ARM ids by name.
	KeyIDs pulumi.StringMapOutput `pulumi:"keyIds"`

	api vaultAPI
}

// NewKeyVaultStack registers a vault with its secrets and keys, or looks up an existing vault and registers them there.
// If arguments are invalid, it returns a [ValidationError] and registers nothing.
func NewKeyVaultStack(
	ctx *pulumi.Context, name string, args *KeyVaultStackArgs, opts ...pulumi.ResourceOption,
) (*KeyVaultStack, error) {
	args = settled(args)
	violations := args.validate()
	violations.requiredForVault(args)
	if err := violations.err(); err != nil {
		return nil, fmt.Errorf("arguments of %s: %w", name, err)
	}
	args.checkLate()

	c := &KeyVaultStack{}
	inputs := pulumi.Map{
		"existingVaultId":   args.ExistingVaultID,
		"resourceGroupName": args.ResourceGroupName,
		"tenantId":          args.TenantID,
		"namePrefix":        optional(args.NamePrefix),
		"vaultName":         optional(args.VaultName),
		"secrets":           pulumi.ToStringArray(names(args.Secrets, func(s SecretArgs) string { return s.Name })),
		"keys":              pulumi.ToStringArray(names(args.Keys, func(k KeyArgs) string { return k.Name })),
	}
	if err := ctx.RegisterComponentResourceV2(keyVaultStackType, name, inputs, c, opts...); err != nil {
		return nil, fmt.Errorf("registering %s: %w", name, err)
	}
	if err := c.warn(ctx, args); err != nil {
		return nil, err
	}
	var err error
	if c.api, err = newVaultAPI(ctx, c, args.APIVersion); err != nil {
		return nil, err
	}
	vault, err := c.newVault(ctx, name, args)
	if err != nil {
		return nil, err
	}
	if err := c.expect(ctx, args, vault); err != nil {
		return nil, err
	}
	admitted, err := c.admitDeployer(ctx, name, args, vault)
	if err != nil {
		return nil, err
	}
	told, err := c.newExpiryEvents(ctx, name, args, vault)
	if err != nil {
		return nil, err
	}
	contents, err := c.newObjects(ctx, name, args, vault)
	if err != nil {
		return nil, err
	}
	contents = slices.Concat(admitted, told, contents)
	contents, err = c.newSurroundings(ctx, name, args, vault, contents)
	if err != nil {
		return nil, err
	}

	c.VaultID = after(ctx, vault.id, contents...)
	c.VaultName = after(ctx, vault.name, contents...)
	c.VaultURI = after(ctx, vault.uri, contents...)
	c.TenantID = after(ctx, vault.tenantID, contents...)
	outputs := pulumi.Map{
		"vaultId": c.VaultID, "vaultName": c.VaultName, "vaultUri": c.VaultURI, "tenantId": c.TenantID,
		"secretIds": c.SecretIDs, "secretVersions": c.SecretVersions, "keyIds": c.KeyIDs,
	}
	if err := ctx.RegisterResourceOutputs(c, outputs); err != nil {
		return nil, fmt.Errorf("registering outputs of %s: %w", name, err)
	}
	return c, nil
}

// warn warns of what a destroy will leave behind, and of an API version that Azure will retire.
func (c *KeyVaultStack) warn(ctx *pulumi.Context, args *KeyVaultStackArgs) error {
	if args.ExistingVaultID == nil || missing(args.TenantID) { // else nothing is asked of the vault
		if err := c.warnAPIVersion(ctx, args.APIVersion); err != nil {
			return err
		}
	}
	if !args.PurgeProtection || args.Protect {
		return nil
	}
	message := fmt.Sprintf("purgeProtection without protect: after this vault is destroyed, nobody can purge it, and "+
		"its name stays reserved for %d days. Omit purgeProtection in a temporary stack, or set protect in a permanent one.",
		withDefault(args.SoftDeleteRetentionDays, retentionMax))
	if err := ctx.Log.Warn(message, &pulumi.LogArgs{Resource: c}); err != nil {
		return fmt.Errorf("warning of purge protection: %w", err)
	}
	return nil
}

// vaultRef is the vault that secrets and keys are created in.
type vaultRef struct {
	group                   pulumi.StringInput
	id, name, uri, tenantID pulumi.StringOutput
	objectOptions           []pulumi.ResourceOption
}

func (c *KeyVaultStack) newVault(ctx *pulumi.Context, name string, args *KeyVaultStackArgs) (*vaultRef, error) {
	own := []pulumi.ResourceOption{pulumi.Parent(c)}
	if args.Protect {
		own = append(own, pulumi.Protect(true))
	}
	if args.ExistingVaultID != nil {
		return c.findVault(ctx, args, append(own, pulumi.RetainOnDelete(true))), nil
	}
	fullName, err := c.newVaultName(ctx, name, args)
	if err != nil {
		return nil, err
	}
	properties := keyvault.VaultPropertiesArgs{
		TenantId: args.TenantID,
		Sku: keyvault.SkuArgs{
			Family: pulumi.String("A"), Name: keyvault.SkuName(withDefault(args.Sku, VaultSkuStandard)),
		},
		// The SDK's defaults are RBAC off and public access on, so both are always sent.
		EnableRbacAuthorization:   pulumi.Bool(true),
		EnableSoftDelete:          pulumi.Bool(true),
		SoftDeleteRetentionInDays: pulumi.Int(withDefault(args.SoftDeleteRetentionDays, retentionMax)),
		EnablePurgeProtection:     optionalTrue(args.PurgeProtection),
		PublicNetworkAccess:       pulumi.String(withDefault(args.PublicNetworkAccess, PublicNetworkEnabled)),
		NetworkAcls:               networkRules(args.Network),
	}
	if args.CreateMode == VaultCreateRecover {
		properties.CreateMode = keyvault.CreateModeRecover
		// When an update omits access policies, the provider first reads those of the vault, which fails if the vault does
		// not exist.
		properties.AccessPolicies = keyvault.AccessPolicyEntryArray{}
	}
	vault, err := c.api.newVault(ctx, name+"-vault", &keyvault.VaultArgs{
		ResourceGroupName: args.ResourceGroupName,
		Location:          args.Location,
		VaultName:         fullName,
		Tags:              args.Tags,
		Properties:        properties,
	}, own...)
	if err != nil {
		return nil, fmt.Errorf("creating the vault: %w", err)
	}
	c.Vault = vault
	vaultName := vault.Name
	if args.CreateMode != VaultCreateRecover {
		vaultName = c.present(ctx, vault)
	}
	return &vaultRef{
		group: args.ResourceGroupName, id: vault.ID().ToStringOutput(), name: vaultName,
		uri: vault.Properties.VaultUri(), tenantID: vault.Properties.TenantId(),
		// Removed secrets and keys stay in the vault. Only somebody with permissions on its data could delete them, and they
		// could not be created again while Azure reserves their names.
		objectOptions: slices.Clip(append(own, pulumi.DeletedWith(vault), pulumi.RetainOnDelete(true))),
	}, nil
}

// newVaultName returns the name of a new vault.
func (c *KeyVaultStack) newVaultName(
	ctx *pulumi.Context, name string, args *KeyVaultStackArgs,
) (pulumi.StringInput, error) {
	if args.VaultName != "" {
		return pulumi.String(args.VaultName), nil
	}
	suffix, err := random.NewRandomString(ctx, name+"-suffix", &random.RandomStringArgs{
		Length:  pulumi.Int(vaultSuffixLength),
		Upper:   pulumi.Bool(false),
		Special: pulumi.Bool(false),
	}, pulumi.Parent(c))
	if err != nil {
		return nil, fmt.Errorf("creating the vault name's suffix: %w", err)
	}
	return pulumi.Sprintf("%s-%s", args.NamePrefix, suffix.Result), nil
}

// present returns the vault's name after a lookup has shown that the vault exists. A vault that was deleted outside
// Pulumi is still in the state: an update would find nothing to do, and a refresh would forget the vault's contents.
func (c *KeyVaultStack) present(ctx *pulumi.Context, vault *keyvault.Vault) pulumi.StringOutput {
	return pulumi.All(vault.ID(), vault.Name).ApplyT(func(all []any) (string, error) {
		id, name := string(all[0].(pulumi.ID)), all[1].(string)
		parts := vaultID.FindStringSubmatch(id)
		if parts == nil {
			return "", fmt.Errorf("the vault %s has the id %q, which is not the id of a vault", name, id)
		}
		asked := &keyvault.LookupVaultArgs{ResourceGroupName: parts[2], VaultName: parts[3]}
		if err := c.api.lookUp(ctx, asked, pulumi.Parent(c)); err != nil {
			return "", fmt.Errorf("looking for the vault %s, which this stack created: %w. If it was deleted, recover it with "+
				"its contents: set createMode to recover and update, before any refresh; its resource group must exist. If it "+
				"was purged, refresh and update to create another", name, err)
		}
		return name, nil
	}).(pulumi.StringOutput)
}

// newObjects creates the vault's secrets and keys.
func (c *KeyVaultStack) newObjects(
	ctx *pulumi.Context, name string, args *KeyVaultStackArgs, vault *vaultRef,
) ([]pulumi.Resource, error) {
	var objects []pulumi.Resource
	secretIDs, versions, keyIDs := pulumi.StringMap{}, pulumi.StringMap{}, pulumi.StringMap{}
	for i, s := range args.Secrets {
		secret, err := c.newSecret(ctx, name, vault, s, fmt.Sprintf("secrets[%d]", i))
		if err != nil {
			return nil, fmt.Errorf("creating secret %s: %w", s.Name, err)
		}
		objects = append(objects, secret)
		secretIDs[s.Name] = secret.ID().ToStringOutput()
		versions[s.Name] = versionOf(secret)
	}
	for i, k := range args.Keys {
		key, err := c.newKey(ctx, name, vault, k, fmt.Sprintf("keys[%d]", i))
		if err != nil {
			return nil, fmt.Errorf("creating key %s: %w", k.Name, err)
		}
		objects = append(objects, key)
		keyIDs[k.Name] = key.ID().ToStringOutput()
	}
	c.SecretIDs = secretIDs.ToStringMapOutput()
	c.SecretVersions = versions.ToStringMapOutput()
	c.KeyIDs = keyIDs.ToStringMapOutput()
	return objects, nil
}

// newSurroundings creates the vault's private endpoint, diagnostics and lock. It returns the contents and everything
// else that users of the vault must wait for.
func (c *KeyVaultStack) newSurroundings(
	ctx *pulumi.Context, name string, args *KeyVaultStackArgs, vault *vaultRef, contents []pulumi.Resource,
) ([]pulumi.Resource, error) {
	if args.PrivateEndpoint != nil && !args.PrivateEndpoint.External {
		endpoint, err := c.newPrivateEndpoint(ctx, name, args, vault.id)
		if err != nil {
			return nil, err
		}
		contents = append(contents, endpoint)
	}
	locked := contents
	if args.LogAnalyticsWorkspaceID != nil {
		setting, err := newDiagnostics(ctx, name, vault.id, args.LogAnalyticsWorkspaceID,
			[]string{"AuditEvent", "AzurePolicyEvaluationDetails"}, c)
		if err != nil {
			return nil, err
		}
		locked = append(slices.Clone(locked), setting)
	}
	if args.Lock {
		// The lock is created last and deleted first, since Azure would refuse to delete the rest under it.
		if err := newLock(ctx, name, after(ctx, vault.id, locked...), c); err != nil {
			return nil, err
		}
	}
	return contents, nil
}

// Validate checks every plain value. It returns a [ValidationError] with all violations, or nil. Inputs that come from
// other resources may be missing.
func (args *KeyVaultStackArgs) Validate() error {
	return settled(args).validate().err()
}

func (args *KeyVaultStackArgs) validate() violations {
	var v violations
	v.validateAPIVersion(args.APIVersion)
	v.plainID("existingVaultId", args.ExistingVaultID, vaultID, "the ARM id of a vault")
	if args.ExistingVaultID == nil {
		v.validateVault(args)
	} else {
		v.validateExistingVault(args)
	}
	v.validateAzureVault(args)
	v.validateDeployer(args)
	v.validateExpiryEvents(args.ExpiryEvents)
	names := map[string]bool{}
	for i, s := range args.Secrets {
		path := fmt.Sprintf("secrets[%d]", i)
		v.uniqueObject(names, path, s.Name)
		v.validateSecret(path, s)
	}
	for i, o := range args.ExpectedObjects {
		path := fmt.Sprintf("expectedObjects[%d]", i)
		oneOf(&v, path+".type", o.Type, ObjectSecret, ObjectKey, ObjectCertificate)
		v.match(objectName, path+".name", o.Name, objectNameRule)
	}
	names = map[string]bool{}
	for i, k := range args.Keys {
		path := fmt.Sprintf("keys[%d]", i)
		v.uniqueObject(names, path, k.Name)
		v.validateKey(path, k, args.Sku == VaultSkuPremium || args.ExistingVaultID != nil)
	}
	return v
}

func (v *violations) validateVault(args *KeyVaultStackArgs) {
	v.check(!args.AllowAccessPolicies, "allowAccessPolicies", args.AllowAccessPolicies,
		"false without existingVaultId; a new vault authorizes by roles")
	if args.VaultName == "" {
		v.check(len(args.NamePrefix) <= vaultPrefixMax && vaultPrefix.MatchString(args.NamePrefix), "namePrefix",
			args.NamePrefix,
			fmt.Sprintf("1-%d letters, digits and single dashes, starting with a letter and not ending in a "+
				"dash", vaultPrefixMax))
	} else {
		v.check(args.NamePrefix == "", "namePrefix", args.NamePrefix, "nothing with vaultName")
		v.check(len(args.VaultName) >= vaultNameMin && len(args.VaultName) <= vaultNameMax &&
			vaultPrefix.MatchString(args.VaultName), "vaultName", args.VaultName, fmt.Sprintf(
			"%d-%d letters, digits and single dashes, starting with a letter and not ending in a dash",
			vaultNameMin, vaultNameMax))
	}
	oneOf(v, "createMode", withDefault(args.CreateMode, VaultCreateDefault), VaultCreateDefault, VaultCreateRecover)
	oneOf(v, "sku", withDefault(args.Sku, VaultSkuStandard), VaultSkuStandard, VaultSkuPremium)
	retention := withDefault(args.SoftDeleteRetentionDays, retentionMax)
	v.check(retention >= retentionMin && retention <= retentionMax, "softDeleteRetentionDays", retention,
		fmt.Sprintf("%d-%d days", retentionMin, retentionMax))
	v.validateVaultNetwork(args)
}

// requiredForVault checks that all required Inputs are given.
func (v *violations) requiredForVault(args *KeyVaultStackArgs) {
	if args.Deployer != nil {
		v.required("deployer.principalId", args.Deployer.PrincipalID)
	}
	if args.ExistingVaultID != nil {
		return
	}
	v.required("resourceGroupName", args.ResourceGroupName)
	v.required("tenantId", args.TenantID)
	if args.PrivateEndpoint != nil && !args.PrivateEndpoint.External {
		v.required("privateEndpoint.subnetId", args.PrivateEndpoint.SubnetID)
	}
}

// uniqueObject checks the name of a secret or key. Key Vault compares names without regard to case.
func (v *violations) uniqueObject(seen map[string]bool, path, name string) {
	v.match(objectName, path+".name", name, objectNameRule)
	v.check(!seen[strings.ToLower(name)], path+".name", name, "a name used once in the list, without regard to case")
	seen[strings.ToLower(name)] = true
}
