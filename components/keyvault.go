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
// Protect can be given beside it. Without it, ResourceGroupName, TenantID and one of NamePrefix and VaultName are
// required.
type KeyVaultStackArgs struct {
	// ExistingVaultID is the ARM id of a vault that exists. Secrets and keys are created in it, and nothing else about
	// it is managed. Unless TenantID is given, it is looked up, which takes a provider of its subscription, and must
	// authorize by roles. Defaults to a new vault.
	ExistingVaultID pulumi.StringInput `pulumi:"existingVaultId,optional"`
	// AllowAccessPolicies takes an existing vault that authorizes by access policies, too. Roles mean nothing to it, so
	// every mount needs the access none, and others must let the identities read. Defaults to false.
	AllowAccessPolicies bool `pulumi:"allowAccessPolicies,optional"`
	// ResourceGroupName is the resource group that holds the vault. A change replaces the vault and needs another
	// NamePrefix in the same update, since Azure keeps the name of the deleted one.
	ResourceGroupName pulumi.StringInput `pulumi:"resourceGroupName,optional"`
	// Location of the vault, such as eastus. Defaults to the provider's location, or the resource group's. A change
	// replaces the vault, as a change of ResourceGroupName does.
	Location pulumi.StringPtrInput `pulumi:"location,optional"`
	// TenantID is the Entra tenant that the vault trusts. With ExistingVaultID it takes the place of looking the vault
	// up, for one in a subscription that the provider is not of: mounts and their roles need the id alone. Secrets and
	// keys then cannot be given. Defaults to that of the existing vault.
	TenantID pulumi.StringInput `pulumi:"tenantId,optional"`
	// Tags of the vault, and of its private endpoint, by Azure's rules, see [ValidateTags]. What is known late is
	// checked then. Defaults to none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`

	// APIVersion is the version of Key Vault's control plane: 2024-11-01, through azure-native v2, or 2026-02-01,
	// through a parameterized package of azure-native v3, whose plugin Pulumi then installs besides. A move from one to
	// the other replaces nothing. Azure stops serving 2024-11-01 on 2027-02-27; until then it makes a warning, and from
	// that day on it is refused. Defaults to 2024-11-01.
	APIVersion VaultAPIVersion `pulumi:"apiVersion,optional"`
	// NamePrefix starts the vault's name; a dash and six random characters follow, since vault names are global. 1-17
	// letters, digits and single dashes, a letter first and no dash last, and without the words that Azure reserves:
	// login first, microsoft and windows anywhere
	// (https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-reserved-resource-name). A change
	// replaces the vault.
	NamePrefix string `pulumi:"namePrefix,optional"`
	// VaultName is the vault's whole name, for one that has its name already, such as a vault that pulumi import takes
	// up: 3-24 characters by the rules of NamePrefix. Vault names are global, and Azure keeps that of a deleted vault.
	// A change replaces the vault. Defaults to NamePrefix with its suffix. Not with NamePrefix.
	VaultName string `pulumi:"vaultName,optional"`
	// CreateMode is default or recover. With recover, Azure brings the deleted vault of exactly this name back, with
	// what was in it, instead of making one. The name has a random suffix, so this is for a vault that somebody deleted
	// without Pulumi, which with default makes a preview or an update fail: set recover and run pulumi up before any
	// pulumi refresh, while the state still knows the vault, its secrets and keys; the update then recovers them. A
	// refresh forgets them, and what is in the vault that comes back then exists already: so take back the state of
	// before it first (pulumi stack import). Azure does not recover roles on the vault
	// (https://learn.microsoft.com/azure/key-vault/general/soft-delete-overview), so take recover out again and run
	// pulumi up --refresh, which creates those of the stack again, such as what mounts need. Defaults to default.
	CreateMode VaultCreateMode `pulumi:"createMode,optional"`
	// Sku is standard or premium, which has hardware security modules. Defaults to standard.
	Sku VaultSku `pulumi:"sku,optional"`
	// SoftDeleteRetentionDays is how long Azure keeps the deleted vault, and its name, 7-90 days. Azure fixes it at
	// creation. Defaults to 90.
	SoftDeleteRetentionDays int `pulumi:"softDeleteRetentionDays,optional"`
	// PurgeProtection prevents permanent deletion until the retention ends. Defaults to false, which is for
	// development. Azure can never switch it off again, so nothing is sent for false. Without Protect it makes a
	// warning, since a destroy then leaves behind what nobody can remove.
	PurgeProtection bool `pulumi:"purgeProtection,optional"`
	// PublicNetworkAccess is Enabled or Disabled. Defaults to Enabled, which without Network is for development.
	// Disabled leaves private endpoints as the only way in.
	PublicNetworkAccess PublicNetworkAccess `pulumi:"publicNetworkAccess,optional"`
	// Network is the firewall for public access. Defaults to none, which is for development: nothing is filtered.
	Network *VaultNetworkArgs `pulumi:"network,optional"`
	// PrivateEndpoint gives the vault an address in a virtual network. Defaults to none.
	PrivateEndpoint *PrivateEndpointArgs `pulumi:"privateEndpoint,optional"`
	// LogAnalyticsWorkspaceID is the workspace that takes the vault's audit logs. Defaults to none, which is for
	// development. It is an ARM id. The logs are AuditEvent and AzurePolicyEvaluationDetails; metrics go there too.
	LogAnalyticsWorkspaceID pulumi.StringInput `pulumi:"logAnalyticsWorkspaceId,optional"`
	// ExpiryEvents tell others of secrets, keys and certificates of the vault that expire. Not with ExistingVaultID: a
	// vault has one topic for its events (https://learn.microsoft.com/azure/event-grid/system-topics), which may be
	// there. Defaults to nobody.
	ExpiryEvents *ExpiryEventsArgs `pulumi:"expiryEvents,optional"`
	// Lock puts a CanNotDelete lock on the vault. Defaults to false, which is for development.
	// While it is there, Azure refuses to delete the vault and what Azure Resource Manager keeps on it, such as the
	// role assignments of mounts; so take it off, in an update of its own, before a mount is removed or the stack is
	// destroyed. It does not keep anybody from deleting single secrets and keys.
	Lock bool `pulumi:"lock,optional"`
	// Protect has Pulumi refuse to delete or replace the vault, its secrets and keys. Defaults to false, which is for
	// development. It also refuses to destroy the stack.
	Protect bool `pulumi:"protect,optional"`
	// Deployer is given the roles Key Vault Secrets Officer and Key Vault Crypto Officer on the vault, each if there
	// are Secrets or Keys, before they are made. Defaults to nobody: whoever deploys has the roles, or needs none,
	// since a new vault's secrets and keys are created and deleted with the vault by Azure's resource manager.
	Deployer *DeployerArgs `pulumi:"deployer,optional"`
	// Secrets to create in the vault, names unique without regard to case. One that is taken out of the list stays in
	// the vault, and Pulumi forgets it; to have it in the list again takes [SecretArgs.Adopt]. With Protect, Pulumi
	// refuses to forget it. So take Protect out first, in an update of its own. Defaults to none.
	Secrets []SecretArgs `pulumi:"secrets,optional"`
	// Keys to create in the vault, names unique without regard to case. What holds for secrets that are taken out holds
	// for them. Defaults to none.
	Keys []KeyArgs `pulumi:"keys,optional"`
	// ExpectedObjects are mounted from the vault and made by others, such as certificates; of each, type and name
	// count. A preview says how they are put into the vault. In an existing vault that is looked up, a secret or key
	// that is not there is an error, as far as whoever deploys may know it: Microsoft.KeyVault/vaults/secrets/read and
	// keys/read. Defaults to none.
	ExpectedObjects []ObjectArgs `pulumi:"expectedObjects,optional"`
}

// KeyVaultStack is a vault that authorizes by roles (Azure RBAC), or one that exists, with secrets and keys. It needs
// no rights on the vault's data, and no way through its firewall: secrets and keys go with the vault. Azure's resource
// manager cannot delete them alone, so those that are taken out, and all of an existing vault when the stack is
// destroyed, stay in the vault until somebody with rights on its data deletes them (az keyvault secret delete, az
// keyvault key delete).
//
// VaultID, VaultName, VaultURI and TenantID resolve once the vault and everything in it exists, and the way to it
// through the private endpoint, so roles and mounts that use them never come too early.
type KeyVaultStack struct {
	pulumi.ResourceState

	// Vault is the vault itself, nil for an existing one.
	Vault *keyvault.Vault

	// VaultID is the vault's ARM id.
	VaultID pulumi.StringOutput `pulumi:"vaultId"`
	// VaultName is the vault's name, with its random suffix where it has one.
	VaultName pulumi.StringOutput `pulumi:"vaultName"`
	// VaultURI is https://<name>.vault.azure.net/; empty for an existing vault that is not looked up.
	VaultURI pulumi.StringOutput `pulumi:"vaultUri"`
	// TenantID is the Entra tenant that the vault trusts.
	TenantID pulumi.StringOutput `pulumi:"tenantId"`
	// SecretIDs are the secrets' ARM ids by name.
	SecretIDs pulumi.StringMapOutput `pulumi:"secretIds"`
	// SecretVersions are the ids of the secrets' latest versions that Pulumi made, by name; for
	// [SecretMountArgs.Versions].
	SecretVersions pulumi.StringMapOutput `pulumi:"secretVersions"`
	// KeyIDs are the keys' ARM ids by name.
	KeyIDs pulumi.StringMapOutput `pulumi:"keyIds"`

	api vaultAPI
}

// NewKeyVaultStack registers a vault, or looks an existing one up, with its secrets and keys. It returns a
// [ValidationError] before anything is registered if arguments are invalid.
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

// warn says what a destroy will leave behind, and what Azure is about to stop serving.
func (c *KeyVaultStack) warn(ctx *pulumi.Context, args *KeyVaultStackArgs) error {
	if args.ExistingVaultID == nil || missing(args.TenantID) { // else nothing is asked of the vault
		if err := c.warnAPIVersion(ctx, args.APIVersion); err != nil {
			return err
		}
	}
	if !args.PurgeProtection || args.Protect {
		return nil
	}
	message := fmt.Sprintf("purgeProtection without protect: once this vault is destroyed, nobody can purge it, and "+
		"neither it nor its "+
		"name can be had back as new for %d days. For a stack that is thrown away leave purgeProtection out; for one "+
		"that stays set protect.",
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
	// objectOptions are the options of secrets and keys.
	objectOptions []pulumi.ResourceOption
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
		EnablePurgeProtection:     trueOrNothing(args.PurgeProtection),
		PublicNetworkAccess:       pulumi.String(withDefault(args.PublicNetworkAccess, PublicNetworkEnabled)),
		NetworkAcls:               networkRules(args.Network),
	}
	if args.CreateMode == VaultCreateRecover {
		properties.CreateMode = keyvault.CreateModeRecover
		// Before an update that says nothing about access policies the provider reads those of the vault, which is not
		// there.
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
		// What is taken out of the lists stays in the vault: only who has rights on its data could delete it, and it
		// could not be made again while Azure keeps its name.
		objectOptions: slices.Clip(append(own, pulumi.DeletedWith(vault), pulumi.RetainOnDelete(true))),
	}, nil
}

// newVaultName is the name that a new vault gets.
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

// present is the vault's name once Azure has shown that the vault is there. One that somebody deleted is still in the
// state, where an update finds nothing to do, and a refresh would forget all that is in it.
func (c *KeyVaultStack) present(ctx *pulumi.Context, vault *keyvault.Vault) pulumi.StringOutput {
	return pulumi.All(vault.ID(), vault.Name).ApplyT(func(all []any) (string, error) {
		id, name := string(all[0].(pulumi.ID)), all[1].(string)
		parts := vaultID.FindStringSubmatch(id)
		if parts == nil {
			return "", fmt.Errorf("the vault %s has the id %q, which is none of a vault", name, id)
		}
		asked := &keyvault.LookupVaultArgs{ResourceGroupName: parts[2], VaultName: parts[3]}
		if err := c.api.lookUp(ctx, asked, pulumi.Parent(c)); err != nil {
			return "", fmt.Errorf("looking for the vault %s, which this stack has made: %w. If somebody deleted it, "+
				"recover it and what is in "+
				"it: set createMode to recover and update, before any refresh; its resource group has to be there. "+
				"If it was purged, refresh and update to make another", name, err)
		}
		return name, nil
	}).(pulumi.StringOutput)
}

// newObjects fills the vault.
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

// newSurroundings puts the vault into its network and under supervision. It returns the contents and what else whoever
// uses the vault has to wait for.
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
		// Last, so that it is the first to be deleted, for it keeps the rest from being.
		if err := newLock(ctx, name, after(ctx, vault.id, locked...), c); err != nil {
			return nil, err
		}
	}
	return contents, nil
}

// Validate checks every plain value, and returns a [ValidationError] with all violations, or nil. Inputs that other
// resources give may be missing.
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
			fmt.Sprintf("1-%d letters, digits and single dashes, a letter first and no dash last", vaultPrefixMax))
	} else {
		v.check(args.NamePrefix == "", "namePrefix", args.NamePrefix, "nothing with vaultName")
		v.check(len(args.VaultName) >= vaultNameMin && len(args.VaultName) <= vaultNameMax &&
			vaultPrefix.MatchString(args.VaultName), "vaultName", args.VaultName, fmt.Sprintf(
			"%d-%d letters, digits and single dashes, a letter first and no dash last", vaultNameMin, vaultNameMax))
	}
	oneOf(v, "createMode", withDefault(args.CreateMode, VaultCreateDefault), VaultCreateDefault, VaultCreateRecover)
	oneOf(v, "sku", withDefault(args.Sku, VaultSkuStandard), VaultSkuStandard, VaultSkuPremium)
	retention := withDefault(args.SoftDeleteRetentionDays, retentionMax)
	v.check(retention >= retentionMin && retention <= retentionMax, "softDeleteRetentionDays", retention,
		fmt.Sprintf("%d-%d days", retentionMin, retentionMax))
	v.validateVaultNetwork(args)
}

// requiredForVault checks that no Input is missing which the vault cannot do without.
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

// uniqueObject checks the name of a secret or key; Key Vault compares names without regard to case.
func (v *violations) uniqueObject(seen map[string]bool, path, name string) {
	v.match(objectName, path+".name", name, objectNameRule)
	v.check(!seen[strings.ToLower(name)], path+".name", name, "a name used once in the list, without regard to case")
	seen[strings.ToLower(name)] = true
}
