package components

import (
	"fmt"
	"maps"
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

// KeyArgs is one key. Azure Resource Manager creates a key's first version and never changes a key after that. So a
// preview or an update that finds the key in the vault compares it with the arguments, and fails if they differ, see
// [ValidationError]. Then give the key another name, undo the change, or change the key in the vault with an identity
// that may write its data (az keyvault key set-attributes). The component ignores what others set on the key in
// addition, such as more tags, and everything that the arguments omit. Dates and Enabled apply to the version that
// Azure creates here, and are not compared for a key that Azure rotates.
//
// NotBefore and Expires are dates like those of [SecretArgs], counted from the key's creation.
type KeyArgs struct {
	// Name of the key, 1-127 letters, digits and dashes. Required.
	Name string `pulumi:"name"`
	// Type is RSA or EC, or RSA-HSM or EC-HSM for a key that never leaves a hardware security module, which requires a
	// premium vault. Defaults to RSA.
	Type KeyType `pulumi:"type,optional"`
	// Size of an RSA key in bits: 2048, 3072 or 4096. Defaults to 2048.
	Size int `pulumi:"size,optional"`
	// Curve of an EC key: P-256, P-384 or P-521. Defaults to P-256.
	Curve KeyCurve `pulumi:"curve,optional"`
	// Operations that the key may be used for: sign and verify, for RSA also encrypt, decrypt, wrapKey and unwrapKey; or
	// only import, for an RSA-HSM key that protects other keys during their import into the vault. Defaults to all that
	// the type allows, except import.
	Operations []string `pulumi:"operations,optional"`
	// NotBefore is when the key becomes valid. Defaults to now.
	NotBefore string `pulumi:"notBefore,optional"`
	// Expires is when the key's first version stops being valid, after NotBefore. A date in the past causes a warning,
	// except with Rotation. Defaults to never.
	Expires string `pulumi:"expires,optional"`
	// Enabled set to false disables the key. Defaults to true.
	Enabled *bool `pulumi:"enabled,optional"`
	// Tags of the key: up to 15, names of 1-256 characters without <>%&\?/, values of up to 256. Defaults to none.
	Tags map[string]string `pulumi:"tags,optional"`
	// Rotation makes Azure create new versions of the key automatically. NotBefore, Expires and Enabled then apply to the
	// first version only, and changes of them are ignored, since every rotation changes them. Defaults to none.
	Rotation *KeyRotationArgs `pulumi:"rotation,optional"`
	// Adopt takes over an existing key of this name, such as one that was removed from the list before, instead of
	// failing. The key must match the arguments, so do not use relative dates, which count from now. Defaults to false.
	Adopt bool `pulumi:"adopt,optional"`
}

// KeyRotationArgs say when Azure creates a new version of a key. Give exactly one of After and BeforeExpiry. All are
// ISO 8601 durations of years, months and days, such as P90D or P1Y6M. The rules are Azure's:
// https://learn.microsoft.com/azure/key-vault/keys/how-to-configure-key-rotation#key-rotation-policy
type KeyRotationArgs struct {
	// After is how long after the creation of the latest version Azure creates the next one: at least 7 days, and at least
	// 7 days before the latest expires.
	After string `pulumi:"after,optional"`
	// BeforeExpiry is how long before the latest version expires Azure creates the next one: at least 7 days, and at least
	// 7 days after the latest was created. Requires ExpiresAfter and [KeyArgs.Expires].
	BeforeExpiry string `pulumi:"beforeExpiry,optional"`
	// ExpiresAfter is how long each new version is valid, at least 28 days. Defaults to forever.
	ExpiresAfter string `pulumi:"expiresAfter,optional"`
	// NotifyBefore is how long before a version expires the Event Grid event KeyNearExpiry is raised: at least 7 days and
	// less than ExpiresAfter. Requires ExpiresAfter and [KeyArgs.Expires]. Defaults to Azure's default, 30 days, if
	// versions expire.
	NotifyBefore string `pulumi:"notifyBefore,optional"`
}

// newKey registers a key. A key that is in the vault already stays unchanged, even if a refresh has found changes by
// others: azure-native would replace it, under a name that is in use.
func (c *KeyVaultStack) newKey(
	ctx *pulumi.Context, name string, vault *vaultRef, k KeyArgs, path string,
) (*keyvault.Key, error) {
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
			NotBefore: optionalFloat(dates.notBefore), Expires: optionalFloat(dates.expires),
			Enabled: optionalBool(k.Enabled),
		}
	}
	there := c.ask(vault, func(group, vaultName string, all []any) (string, error) {
		asked := &keyvault.LookupKeyArgs{ResourceGroupName: group, VaultName: vaultName, KeyName: k.Name}
		found, err := c.api.lookUpKey(ctx, asked, pulumi.Parent(c))
		if err != nil {
			return "", fmt.Errorf("looking for the key %s: %w", k.Name, err)
		}
		notBefore, _ := all[0].(*int)
		expires, _ := all[1].(*int)
		if err := k.differences(path, notBefore, expires, found).err(); err != nil {
			return "", fmt.Errorf("the key %s already exists in the vault, and Azure Resource Manager never changes a key. "+
				"Undo the differences, give the key another name, or change it in the vault (az keyvault key "+
				"set-attributes, az keyvault key rotation-policy update): %w", k.Name, err)
		}
		return found.Id, nil
	}, anyOrNone(dates.notBefore), anyOrNone(dates.expires))
	// Azure refuses to update a key, or ignores the update
	// (learn.microsoft.com/rest/api/keyvault/keyvault/keys/create-if-not-exist). A change of a key that no longer exists
	// must not look like an update.
	replaced := pulumi.ReplaceOnChanges([]string{"properties", "tags"})
	options := append(slices.Clone(vault.objectOptions), replaced, there.kept)
	if k.Adopt {
		options = append(options, pulumi.Import(there.id))
	}
	return c.api.newKey(ctx, name+"-key-"+k.Name, &keyvault.KeyArgs{
		ResourceGroupName: vault.group,
		VaultName:         there.vaultName,
		KeyName:           pulumi.String(k.Name),
		Tags:              optionalMap(k.Tags),
		Properties:        properties,
	}, options...)
}

// differences returns the arguments that differ from the key in the vault. Arguments that are omitted are not compared.
func (k KeyArgs) differences(path string, notBefore, expires *int, found *keyvault.LookupKeyResult) violations {
	var v violations
	differs := func(at, given, is string) {
		v.state(path+"."+at, given, is+", as in the vault")
	}
	text := func(at, given string, is *string, same func(a, b string) bool) {
		if given != "" && !same(given, value(is)) {
			differs(at, given, withDefault(value(is), "nothing"))
		}
	}
	kty := withDefault(k.Type, KeyRSA)
	if found.Kty != nil {
		text("type", string(kty), found.Kty, strings.EqualFold)
	}
	rsa, size := kty == KeyRSA || kty == KeyRSAHSM, withDefault(k.Size, 2048)
	if rsa && found.KeySize != nil && *found.KeySize != size {
		differs("size", fmt.Sprint(size), fmt.Sprint(*found.KeySize))
	}
	if !rsa && found.CurveName != nil {
		text("curve", string(withDefault(k.Curve, CurveP256)), found.CurveName, strings.EqualFold)
	}
	sorted := func(list []string) string { return strings.Join(slices.Sorted(slices.Values(list)), ", ") }
	if given, is := sorted(k.Operations), sorted(found.KeyOps); given != "" && given != is {
		differs("operations", given, withDefault(is, "nothing"))
	}
	for _, name := range slices.Sorted(maps.Keys(k.Tags)) {
		if is, ok := found.Tags[name]; !ok {
			differs("tags."+name, notShown, "no such tag")
		} else if is != k.Tags[name] { // a tag of an encrypted list would be shown
			differs("tags."+name, notShown, quote(is))
		}
	}
	policy := found.RotationPolicy
	rotated := k.Rotation != nil || trigger(policy, keyvault.KeyRotationPolicyActionTypeRotate) != nil
	if a := found.Attributes; a != nil && !rotated {
		date := func(at string, given *int, is *float64) {
			switch {
			case given == nil || is != nil && int(*is) == *given:
			case is == nil:
				differs(at, atTime(*given), "nothing")
			default:
				differs(at, atTime(*given), atTime(int(*is)))
			}
		}
		date("notBefore", notBefore, a.NotBefore)
		date("expires", expires, a.Expires)
		if k.Enabled != nil && a.Enabled != nil && *k.Enabled != *a.Enabled {
			differs("enabled", fmt.Sprint(*k.Enabled), fmt.Sprint(*a.Enabled))
		}
	}
	if r := k.Rotation; r != nil {
		rotate, notify := &keyvault.TriggerResponse{}, &keyvault.TriggerResponse{}
		if t := trigger(policy, keyvault.KeyRotationPolicyActionTypeRotate); t != nil {
			rotate = t
		}
		if t := trigger(policy, keyvault.KeyRotationPolicyActionTypeNotify); t != nil {
			notify = t
		}
		var expiry *string
		if policy != nil && policy.Attributes != nil {
			expiry = policy.Attributes.ExpiryTime
		}
		text("rotation.after", r.After, rotate.TimeAfterCreate, sameDuration)
		text("rotation.beforeExpiry", r.BeforeExpiry, rotate.TimeBeforeExpiry, sameDuration)
		text("rotation.expiresAfter", r.ExpiresAfter, expiry, sameDuration)
		text("rotation.notifyBefore", r.NotifyBefore, notify.TimeBeforeExpiry, sameDuration)
	}
	return v
}

// trigger returns when a rotation policy takes an action, or nil if it never does.
func trigger(
	policy *keyvault.RotationPolicyResponse, action keyvault.KeyRotationPolicyActionType,
) *keyvault.TriggerResponse {
	if policy == nil {
		return nil
	}
	for _, one := range policy.LifetimeActions {
		if one.Action != nil && strings.EqualFold(value(one.Action.Type), string(action)) {
			return one.Trigger
		}
	}
	return nil
}

// rotationPolicy returns a key's rotation policy for Azure, or nil if there is none.
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

// validateKey checks one key. hsm reports whether the vault has hardware security modules, or may have.
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
		"RSA, EC; RSA-HSM and EC-HSM require the vault's sku premium")
	v.validateDates(path, k.NotBefore, k.Expires)
	v.validateTags(path+".tags", k.Tags)
	if k.Rotation != nil {
		v.validateRotation(path, k)
	}
}

// validateOperations checks a key's operations: any of the allowed ones, each once, or only import
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
		v.check(slices.Contains(allowed, operation) && !slices.Contains(operations[:i], operation),
			fmt.Sprintf("%s[%d]", path, i), operation, rule)
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
		const expiry = "a value, because beforeExpiry and notifyBefore count from it"
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

// days parses a duration of years, months and days with a minimum number of days. It returns nil if the duration is
// omitted or invalid.
func (v *violations) days(path, text string, least int) *duration {
	if text == "" {
		return nil
	}
	d, ok := parseDuration(text)
	if !ok || d.clock != 0 || strings.ContainsAny(text, "WT") || !(duration{days: least}).fitsIn(d) {
		v.add(path, text, fmt.Sprintf("an ISO 8601 duration of years, months and days such as P90D, at least %d days "+
			"and at most 100 years", least))
		return nil
	}
	return &d
}
