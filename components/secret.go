package components

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	keyvault "github.com/pulumi/pulumi-azure-native-sdk/keyvault/v2/v20241101"
	"github.com/pulumi/pulumi-random/sdk/v4/go/random"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Azure's limits: https://learn.microsoft.com/azure/key-vault/secrets/about-secrets
const (
	contentTypeMax = 255
	objectTagsMax  = 15
	objectTagMax   = 256
)

const (
	defaultLength = 32
	lengthMin     = 8
	lengthMax     = 1024
)

// SecretArgs is one secret. Give exactly one of Value and Generate. A change of any argument except Name creates a new
// version.
//
// The dates NotBefore and Expires are a date (2027-01-31, its first second in UTC), a time in RFC 3339, or an ISO 8601
// duration such as P90D, P1Y6M or PT12H. A duration counts from the secret's creation, and starts again whenever one of
// the two durations, Rotate or Generate changes; a new Value alone keeps the dates. With RotateEvery it counts from
// when the value was due. The dates are informational and do not restrict access: everybody who may read the secret can
// also read it before and after
// (https://learn.microsoft.com/azure/key-vault/secrets/about-secrets#date-time-controlled-operations).
type SecretArgs struct {
	// Name of the secret, 1-127 letters, digits and dashes. Required. A change replaces the secret.
	Name string `pulumi:"name"`
	// Value of the secret, up to 25 kB. It is always treated as a Pulumi secret.
	Value pulumi.StringInput `pulumi:"value,optional"`
	// Generate creates a random value. It is kept until Rotate or an argument of Generate changes, or RotateEvery has
	// passed.
	Generate *GenerateArgs `pulumi:"generate,optional"`
	// Rotate is any text. A change generates a new value and starts relative dates again. For a secret that has either.
	// Defaults to an empty text.
	Rotate string `pulumi:"rotate,optional"`
	// RotateEvery generates a new value at the first update after the given time: an ISO 8601 duration such as P30D or
	// P3M, at least PT1H. The time counts from the update that creates the secret, adds RotateEvery, or changes Rotate or
	// Generate, and then from each time at which a value was due. So a late update does not delay the next value, and an
	// update after several due times creates one value. Previews and updates show when the next is due. Changing or
	// removing RotateEvery creates at most one new value. A relative NotBefore must be shorter than RotateEvery, and a
	// relative Expires longer, by as much as updates may be late. For generated values, not together with Once. Defaults
	// to none: the value stays.
	RotateEvery string `pulumi:"rotateEvery,optional"`
	// ContentType describes the value, such as text/plain, up to 255 characters. Defaults to none.
	ContentType string `pulumi:"contentType,optional"`
	// NotBefore is when the secret becomes valid. Defaults to now.
	NotBefore string `pulumi:"notBefore,optional"`
	// Expires is when the secret stops being valid, after NotBefore. A date in the past causes a warning. Defaults to
	// never.
	Expires string `pulumi:"expires,optional"`
	// Enabled set to false prevents reading the secret, and pods that mount it from starting. Defaults to true.
	Enabled *bool `pulumi:"enabled,optional"`
	// Tags of the secret: up to 15, names of 1-256 characters without <>%&\?/, values of up to 256. Defaults to none.
	Tags map[string]string `pulumi:"tags,optional"`
	// Once makes Pulumi create the secret and never write it again. The creation fails if the vault has a secret of this
	// name, unless Adopt takes it over. From then on the secret belongs to others: Pulumi does not write it for changes of
	// the other arguments or in the vault, with or without a refresh. Not together with Rotate. Defaults to false, which
	// writes a new version whenever an argument changes.
	Once bool `pulumi:"once,optional"`
	// Adopt takes over an existing secret of this name, such as one that was removed from the list before, instead of
	// failing. The secret stays unchanged while Adopt is true, which causes a warning. The first update without Adopt
	// writes the other arguments as the secret's next version, unless Once is true. Defaults to false.
	Adopt bool `pulumi:"adopt,optional"`
}

// GenerateArgs describe a random value of upper-case and lower-case letters, digits and special characters. At least
// one of these four must remain. A change of any argument generates a new value.
type GenerateArgs struct {
	// Length in characters, 8-1024. Defaults to 32.
	Length int `pulumi:"length,optional"`
	// NoUpper leaves out upper-case letters.
	NoUpper bool `pulumi:"noUpper,optional"`
	// NoLower leaves out lower-case letters.
	NoLower bool `pulumi:"noLower,optional"`
	// NoNumeric leaves out digits.
	NoNumeric bool `pulumi:"noNumeric,optional"`
	// NoSpecial leaves out special characters.
	NoSpecial bool `pulumi:"noSpecial,optional"`
	// SpecialCharacters are the special characters to use: printable ASCII except letters, digits and space, each once.
	// Defaults to !@#$%&*()-_=+[]{}<>:?
	SpecialCharacters string `pulumi:"specialCharacters,optional"`
}

func (c *KeyVaultStack) newSecret(
	ctx *pulumi.Context, name string, vault *vaultRef, s SecretArgs, path string,
) (*keyvault.Secret, error) {
	value, dates, err := c.newValue(ctx, name, s)
	if err != nil {
		return nil, err
	}
	properties := keyvault.SecretPropertiesArgs{
		Value:       pulumi.ToSecret(value).(pulumi.StringOutput),
		ContentType: optional(s.ContentType),
	}
	if dates.notBefore != nil || dates.expires != nil || s.Enabled != nil {
		properties.Attributes = keyvault.SecretAttributesArgs{
			NotBefore: dates.notBefore, Expires: dates.expires, Enabled: optionalBool(s.Enabled),
		}
	}
	vaultName, options := vault.name, slices.Clone(vault.objectOptions)
	if s.Once || s.Adopt {
		there := c.ask(vault, func(group, vaultName string, _ []any) (string, error) {
			asked := &keyvault.LookupSecretArgs{ResourceGroupName: group, VaultName: vaultName, SecretName: s.Name}
			found, err := c.api.lookUpSecret(ctx, asked, pulumi.Parent(c))
			if err != nil {
				return "", fmt.Errorf("looking for the secret %s: %w", s.Name, err)
			}
			if !s.Once {
				err = ctx.Log.Warn(fmt.Sprintf("%s.adopt: the secret %s stays unchanged in the vault. Remove adopt once the "+
					"secret is in the stack; the next update then writes the program's value.", path, s.Name),
					&pulumi.LogArgs{Resource: c})
			}
			return found.Id, err
		})
		vaultName, options = there.vaultName, append(options, there.kept)
		if s.Adopt {
			options = append(options, pulumi.Import(there.id))
		}
	}
	return c.api.newSecret(ctx, name+"-secret-"+s.Name, &keyvault.SecretArgs{
		ResourceGroupName: vault.group,
		VaultName:         vaultName,
		SecretName:        pulumi.String(s.Name),
		Tags:              optionalMap(s.Tags),
		Properties:        properties,
	}, options...)
}

// versionOf returns the id of the latest version that Pulumi created. It is not secret, although it is read from a
// secret output.
func versionOf(secret *keyvault.Secret) pulumi.StringOutput {
	version := secret.Properties.SecretUriWithVersion().ApplyT(func(uri string) string { return path.Base(uri) })
	return pulumi.Unsecret(version).(pulumi.StringOutput)
}

// newValue returns the secret's value and its dates.
func (c *KeyVaultStack) newValue(
	ctx *pulumi.Context, name string, s SecretArgs,
) (value pulumi.StringInput, d dates, err error) {
	var restart []string
	if s.Generate != nil {
		restart = s.Generate.texts()
	}
	restart = append(restart, s.Rotate)
	title := "secret " + s.Name
	var keepers pulumi.StringMapInput
	if s.RotateEvery == "" {
		if s.Rotate != "" {
			keepers = pulumi.StringMap{"rotate": pulumi.String(s.Rotate)}
		}
		d, err = newDates(ctx, name+"-date-secret-"+s.Name, s.NotBefore, s.Expires, restart, c, title)
	} else {
		var due pulumi.StringOutput
		due, keepers, err = c.newRotation(ctx, name+"-rotation-"+s.Name+"-"+shortHash(restart), s)
		if err == nil {
			d = datesFrom(ctx, due, s.NotBefore, s.Expires, c, title)
		}
	}
	if err != nil || s.Generate == nil {
		return s.Value, d, err
	}
	password, err := newPassword(ctx, name+"-value-"+s.Name, s.Generate, keepers, c)
	if err != nil {
		return nil, d, fmt.Errorf("generating its value: %w", err)
	}
	return password.Result, d, nil
}

// newRotation returns when the value of a secret with RotateEvery was due, and the keepers of the random value, which
// change with it. Until the second value is due, they equal those of a secret without RotateEvery, so that an existing
// value stays.
func (c *KeyVaultStack) newRotation(
	ctx *pulumi.Context, name string, s SecretArgs,
) (due pulumi.StringOutput, keepers pulumi.StringMapOutput, err error) {
	made, err := newMoment(ctx, name, c)
	if err != nil {
		return due, keepers, err
	}
	every, _ := parseDuration(s.RotateEvery) // it was checked
	due = made.ApplyT(func(made string) (string, error) {
		first, err := time.Parse(time.RFC3339, made)
		if err != nil {
			return "", fmt.Errorf("reading the start of the rotation: %w", err)
		}
		begin, next := every.period(first)
		err = ctx.Log.Info(fmt.Sprintf("the secret %s rotates automatically: its value was due on %s, the next is due on %s",
			s.Name, begin.Format(time.RFC3339), next.Format(time.RFC3339)), &pulumi.LogArgs{Resource: c})
		return begin.Format(time.RFC3339), err
	}).(pulumi.StringOutput)
	keepers = pulumi.All(made, due).ApplyT(func(all []any) map[string]string {
		keepers := map[string]string{}
		if s.Rotate != "" {
			keepers["rotate"] = s.Rotate
		}
		if made, due := all[0].(string), all[1].(string); due != made {
			keepers["due"] = due
		}
		if len(keepers) == 0 {
			return nil
		}
		return keepers
	}).(pulumi.StringMapOutput)
	return due, keepers, nil
}

// newPassword sends only what differs from random's defaults, so that existing values stay.
func newPassword(
	ctx *pulumi.Context, name string, g *GenerateArgs, keepers pulumi.StringMapInput, parent pulumi.Resource,
) (*random.RandomPassword, error) {
	without := func(class bool) pulumi.BoolPtrInput {
		if !class {
			return nil
		}
		return pulumi.BoolPtr(false)
	}
	return random.NewRandomPassword(ctx, name, &random.RandomPasswordArgs{
		Length:          pulumi.Int(withDefault(g.Length, defaultLength)),
		Upper:           without(g.NoUpper),
		Lower:           without(g.NoLower),
		Numeric:         without(g.NoNumeric),
		Special:         pulumi.Bool(!g.NoSpecial),
		OverrideSpecial: optional(g.SpecialCharacters),
		Keepers:         keepers,
	}, pulumi.Parent(parent))
}

// texts returns the arguments, with defaults, as the texts that identify the value.
func (g *GenerateArgs) texts() []string {
	texts := []string{strconv.Itoa(withDefault(g.Length, defaultLength)), g.SpecialCharacters}
	for _, without := range []bool{g.NoUpper, g.NoLower, g.NoNumeric, g.NoSpecial} {
		texts = append(texts, strconv.FormatBool(without))
	}
	return texts
}

func (v *violations) validateSecret(path string, s SecretArgs) {
	const one = "exactly one of value and generate"
	switch {
	case s.Value == nil && s.Generate == nil:
		v.state(path, "neither value nor generate", one)
	case s.Value != nil && s.Generate != nil:
		v.state(path, "both value and generate", one)
	}
	if s.Generate != nil {
		v.validateGenerate(path+".generate", s.Generate)
	}
	v.check(s.Rotate == "" || s.Generate != nil || relative(s.NotBefore) || relative(s.Expires), path+".rotate",
		s.Rotate,
		"nothing for a secret without a generated value or a relative date")
	v.check(s.Rotate == "" || !s.Once, path+".rotate", s.Rotate, "nothing with once, because Pulumi then never writes "+
		"another value")
	if s.RotateEvery != "" {
		v.validateRotateEvery(path, s)
	}
	v.check(utf8.RuneCountInString(s.ContentType) <= contentTypeMax, path+".contentType", s.ContentType,
		fmt.Sprintf("up to %d characters", contentTypeMax))
	v.validateDates(path, s.NotBefore, s.Expires)
	v.validateTags(path+".tags", s.Tags)
}

// rotateEveryMin is longer than pods take to get a new value: the add-on and the kubelet poll every few minutes, and a
// Deployment rolls out within ten by default.
const rotateEveryMin = time.Hour

func (v *violations) validateRotateEvery(path string, s SecretArgs) {
	at, given := path+".rotateEvery", s.RotateEvery
	v.check(s.Generate != nil, at, given, "nothing for a secret without a generated value")
	v.check(!s.Once, at, given, "nothing with once, because Pulumi then never writes another value")
	every, ok := parseDuration(given)
	if !ok || !(duration{clock: rotateEveryMin}).fitsIn(every) {
		v.add(at, given, "an ISO 8601 duration such as P30D or P3M, at least PT1H and at most 100 years")
		return
	}
	if begin, ok := parseDate(s.NotBefore); ok && begin.relative {
		v.check(begin.after.shorterThan(every), path+".notBefore", s.NotBefore, "less than rotateEvery, regardless of the "+
			"day from which they count: the value could not be used before the next is due")
	}
	if end, ok := parseDate(s.Expires); ok && end.relative {
		v.check(every.shorterThan(end.after), path+".expires", s.Expires, "more than rotateEvery, regardless of the day "+
			"from which they count: the value would expire before the next is created")
	}
}

var specialCharacters = regexp.MustCompile("^[!-/:-@\\[-`{-~]*$")

func (v *violations) validateGenerate(path string, g *GenerateArgs) {
	length := withDefault(g.Length, defaultLength)
	v.check(length >= lengthMin && length <= lengthMax, path+".length", length,
		fmt.Sprintf("%d-%d characters", lengthMin, lengthMax))
	if g.NoUpper && g.NoLower && g.NoNumeric && g.NoSpecial {
		v.state(path, "no characters", "at least one of the four classes of characters")
	}
	special := []byte(g.SpecialCharacters)
	slices.Sort(special)
	v.check(specialCharacters.MatchString(g.SpecialCharacters) &&
		len(slices.Compact(special)) == len(g.SpecialCharacters),
		path+".specialCharacters", g.SpecialCharacters, "printable ASCII characters that are no letters, digits or "+
			"spaces, each once")
	v.check(g.SpecialCharacters == "" || !g.NoSpecial, path+".specialCharacters", g.SpecialCharacters,
		"nothing with noSpecial")
}

// https://learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates#tags and, for the names, since
// they pass through Azure Resource Manager,
// https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations
var objectTagName = regexp.MustCompile(`^[^<>%&\\?/]+$`)

// validateTags checks the tags of a secret or key.
func (v *violations) validateTags(path string, tags map[string]string) {
	v.distinctTags(path, tags)
	v.most(path, len(tags), objectTagsMax, "tags")
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		v.check(objectTagName.MatchString(name) && utf8.RuneCountInString(name) <= objectTagMax, path, name,
			fmt.Sprintf(`names of 1-%d characters without <>%%&\?/`, objectTagMax))
		v.check(utf8.RuneCountInString(tags[name]) <= objectTagMax, path+"."+name, tags[name],
			fmt.Sprintf("up to %d characters", objectTagMax))
	}
}
