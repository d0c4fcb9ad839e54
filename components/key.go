package components

import (
	"fmt"
	"slices"
	"strings"

	keyvault "github.com/pulumi/pulumi-azure-native-sdk/keyvault/v2/v20241101"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Azure's limits: https://learn.microsoft.com/azure/key-vault/keys/how-to-configure-key-rotation#key-rotation-policy
const (
	keyLifetimeMinDays = 28
	keyTriggerMinDays  = 7
)

// KeyArgs is one key. Azure Resource Manager makes a key's first version and never changes a key after that, so a
// change of any argument replaces the key; and since Azure keeps the name of the deleted key until the vault's
// retention ends, change the name with it. The same holds for what somebody changed in Azure once a refresh has found
// it; Protect keeps such a key.
//
// NotBefore and Expires are dates as those of [SecretArgs], counted from when the key is made.
type KeyArgs struct {
	// Name of the key, 1-127 letters, digits and dashes. Required.
	Name string `pulumi:"name"`
	// Type is RSA or EC, or RSA-HSM or EC-HSM for a key that never leaves a hardware security module, which takes a
	// premium vault. Defaults to RSA.
	Type KeyType `pulumi:"type,optional"`
	// Size of an RSA key in bits: 2048, 3072 or 4096. Defaults to 2048.
	Size int `pulumi:"size,optional"`
	// Curve of an EC key: P-256, P-384 or P-521. Defaults to P-256.
	Curve KeyCurve `pulumi:"curve,optional"`
	// Operations that the key may be used for: sign and verify, for RSA also encrypt, decrypt, wrapKey and unwrapKey; or
	// import alone for an RSA-HSM key that protects other keys on their way into the vault. Defaults to all that the type
	// allows, without import.
	Operations []string `pulumi:"operations,optional"`
	// NotBefore is when the key becomes valid. Defaults to now.
	NotBefore string `pulumi:"notBefore,optional"`
	// Expires is when the key's first version stops being valid, after NotBefore. That it has passed makes a warning, but
	// with Rotation. Defaults to never.
	Expires string `pulumi:"expires,optional"`
	// Enabled false keeps everybody from using the key. Defaults to true.
	Enabled *bool `pulumi:"enabled,optional"`
	// Tags of the key: up to 15, names of 1-256 characters without <>%&\?/, values of up to 256. Defaults to none.
	Tags map[string]string `pulumi:"tags,optional"`
	// Rotation has Azure make new versions of the key by itself. NotBefore, Expires and Enabled then are those of the
	// first version, and a change of them is ignored, since every rotation changes them. Defaults to none.
	Rotation *KeyRotationArgs `pulumi:"rotation,optional"`
}

// KeyRotationArgs is when Azure makes a new version of a key. Exactly one of After and BeforeExpiry is given. All are
// ISO 8601 durations of years, months and days, such as P90D or P1Y6M. The rules are Azure's:
// https://learn.microsoft.com/azure/key-vault/keys/how-to-configure-key-rotation#key-rotation-policy
type KeyRotationArgs struct {
	// After makes a new version so long after the last was made, at least 7 days, and at least 7 days before the last
	// expires.
	After string `pulumi:"after,optional"`
	// BeforeExpiry makes a new version so long before the last expires, at least 7 days, and at least 7 days after the
	// last was made. Needs ExpiresAfter and the key's Expires.
	BeforeExpiry string `pulumi:"beforeExpiry,optional"`
	// ExpiresAfter is how long every new version is valid, at least 28 days. Defaults to forever.
	ExpiresAfter string `pulumi:"expiresAfter,optional"`
	// NotifyBefore raises the Event Grid event KeyNearExpiry so long before a version expires, at least 7 days and less
	// than ExpiresAfter. Needs ExpiresAfter and the key's Expires. Defaults to Azure's default, 30 days, where versions
	// expire.
	NotifyBefore string `pulumi:"notifyBefore,optional"`
}

func (c *KeyVaultStack) newKey(ctx *pulumi.Context, name string, vault *vaultRef, k KeyArgs) (*keyvault.Key, error) {
	expired := "key " + k.Name
	if k.Rotation != nil {
		expired = "" // of the first version only
	}
	dates, err := newDates(ctx, name+"-date-key-"+k.Name, k.NotBefore, k.Expires, nil, c, expired)
	if err != nil {
		return nil, err
	}
	kty := withDefault(k.Type, KeyRSA)
	properties := keyvault.KeyPropertiesArgs{Kty: pulumi.String(kty), RotationPolicy: rotationPolicy(k.Rotation)}
	if kty == KeyRSA || kty == KeyRSAHSM {
		properties.KeySize = pulumi.Int(withDefault(k.Size, 2048))
	} else {
		properties.CurveName = pulumi.String(withDefault(k.Curve, CurveP256))
	}
	if len(k.Operations) > 0 {
		properties.KeyOps = pulumi.ToStringArray(k.Operations)
	}
	if dates.notBefore != nil || dates.expires != nil || k.Enabled != nil {
		properties.Attributes = keyvault.KeyAttributesArgs{
			NotBefore: optionalFloat(dates.notBefore), Expires: optionalFloat(dates.expires), Enabled: optionalBool(k.Enabled),
		}
	}
	// Azure answers an update of a key with success and does nothing
	// (learn.microsoft.com/rest/api/keyvault/keyvault/keys/create-if-not-exist), so that no change may look like an
	// update.
	options := append(slices.Clone(vault.objectOptions), pulumi.ReplaceOnChanges([]string{"properties", "tags"}))
	if k.Rotation != nil {
		// A refresh brings in the attributes of the version that Azure made last. That is no reason to replace the key.
		options = append(options, pulumi.IgnoreChanges([]string{"properties.attributes"}))
	}
	return c.api.newKey(ctx, name+"-key-"+k.Name, &keyvault.KeyArgs{
		ResourceGroupName: vault.group,
		VaultName:         vault.name,
		KeyName:           pulumi.String(k.Name),
		Tags:              optionalMap(k.Tags),
		Properties:        properties,
	}, options...)
}

// rotationPolicy is a key's rotation as Azure takes it; nil leaves it out.
func rotationPolicy(r *KeyRotationArgs) keyvault.RotationPolicyPtrInput {
	if r == nil {
		return nil
	}
	action := func(typ keyvault.KeyRotationPolicyActionType, after, before string) keyvault.LifetimeActionInput {
		return keyvault.LifetimeActionArgs{
			Action:  keyvault.ActionArgs{Type: typ},
			Trigger: keyvault.TriggerArgs{TimeAfterCreate: optional(after), TimeBeforeExpiry: optional(before)},
		}
	}
	actions := keyvault.LifetimeActionArray{action(keyvault.KeyRotationPolicyActionTypeRotate, r.After, r.BeforeExpiry)}
	if r.NotifyBefore != "" {
		actions = append(actions, action(keyvault.KeyRotationPolicyActionTypeNotify, "", r.NotifyBefore))
	}
	policy := keyvault.RotationPolicyArgs{LifetimeActions: actions}
	if r.ExpiresAfter != "" {
		policy.Attributes = keyvault.KeyRotationPolicyAttributesArgs{ExpiryTime: optional(r.ExpiresAfter)}
	}
	return policy
}

var (
	ecOperations  = []string{"sign", "verify"}
	rsaOperations = []string{"encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"}
)

// validateKey checks one key. hsm says whether the vault has hardware security modules, as far as that is known.
func (v *violations) validateKey(path string, k KeyArgs, hsm bool) {
	kty := withDefault(k.Type, KeyRSA)
	switch kty {
	case KeyRSA, KeyRSAHSM:
		size := withDefault(k.Size, 2048)
		v.check(size == 2048 || size == 3072 || size == 4096, path+".size", size, "2048, 3072, 4096")
		v.check(k.Curve == "", path+".curve", k.Curve, "nothing for an RSA key")
		v.validateOperations(path+".operations", k.Operations, rsaOperations, kty == KeyRSAHSM)
	case KeyEC, KeyECHSM:
		oneOf(v, path+".curve", withDefault(k.Curve, CurveP256), CurveP256, CurveP384, CurveP521)
		v.check(k.Size == 0, path+".size", k.Size, "nothing for an EC key")
		v.validateOperations(path+".operations", k.Operations, ecOperations, false)
	default:
		v.add(path+".type", k.Type, "RSA, EC, RSA-HSM, EC-HSM")
	}
	v.check(hsm || kty != KeyRSAHSM && kty != KeyECHSM, path+".type", k.Type,
		"RSA, EC; the vault's sku has to be premium for RSA-HSM, EC-HSM")
	v.validateDates(path, k.NotBefore, k.Expires)
	v.validateTags(path+".tags", k.Tags)
	if k.Rotation != nil {
		v.validateRotation(path, k)
	}
}

// validateOperations checks a key's operations: any of those allowed, each once, or import alone
// (https://learn.microsoft.com/azure/key-vault/keys/byok-specification#generate-kek).
func (v *violations) validateOperations(path string, operations, allowed []string, importing bool) {
	if importing && len(operations) == 1 && operations[0] == "import" {
		return
	}
	rule := strings.Join(allowed, ", ") + ", each once"
	if importing {
		rule += "; or import alone"
	}
	for i, operation := range operations {
		v.check(slices.Contains(allowed, operation) && !slices.Contains(operations[:i], operation), fmt.Sprintf("%s[%d]", path, i), operation, rule)
	}
}

func (v *violations) validateRotation(keyPath string, k KeyArgs) {
	path, r := keyPath+".rotation", k.Rotation
	const one = "exactly one of after and beforeExpiry"
	switch {
	case r.After == "" && r.BeforeExpiry == "":
		v.state(path, "neither after nor beforeExpiry", one)
	case r.After != "" && r.BeforeExpiry != "":
		v.state(path, "both after and beforeExpiry", one)
	}
	lifetime := v.days(path+".expiresAfter", r.ExpiresAfter, keyLifetimeMinDays)
	after := v.days(path+".after", r.After, keyTriggerMinDays)
	before := v.days(path+".beforeExpiry", r.BeforeExpiry, keyTriggerMinDays)
	notify := v.days(path+".notifyBefore", r.NotifyBefore, keyTriggerMinDays)

	if r.BeforeExpiry != "" || r.NotifyBefore != "" {
		const expiry = "a value, since beforeExpiry and notifyBefore count from it"
		v.check(r.ExpiresAfter != "", path+".expiresAfter", r.ExpiresAfter, expiry)
		v.check(k.Expires != "", keyPath+".expires", k.Expires, expiry)
	}
	if lifetime == nil {
		return
	}
	room := fmt.Sprintf("at least %d days less than expiresAfter", keyTriggerMinDays)
	if after != nil {
		v.check(after.plusDays(keyTriggerMinDays).fitsIn(*lifetime), path+".after", r.After, room)
	}
	if before != nil {
		v.check(before.plusDays(keyTriggerMinDays).fitsIn(*lifetime), path+".beforeExpiry", r.BeforeExpiry, room)
	}
	if notify != nil {
		v.check(notify.shorterThan(*lifetime), path+".notifyBefore", r.NotifyBefore, "less than expiresAfter")
	}
}

// days reads a duration of years, months and days that has at least so many days; nil if it is left out or wrong.
func (v *violations) days(path, text string, least int) *duration {
	if text == "" {
		return nil
	}
	d, ok := parseDuration(text)
	if !ok || d.clock != 0 || strings.ContainsAny(text, "WT") || !(duration{days: least}).fitsIn(d) {
		v.add(path, text, fmt.Sprintf("an ISO 8601 duration of years, months and days such as P90D, at least %d days and at most 100 years", least))
		return nil
	}
	return &d
}
