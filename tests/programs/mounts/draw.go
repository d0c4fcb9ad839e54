package main

import (
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/keyvault-aks/keyvault-aks/components"
)

// pool has the vault's versions by type and name of the object.
type pool map[components.ObjectType]map[string][]string

// draw returns count random mounts that the component accepts. The same seed returns the same mounts.
func draw(vault pool, seed, count int) []*components.SecretMountArgs {
	generator := rapid.Custom(func(t *rapid.T) *components.SecretMountArgs { return drawMount(t, vault) })
	var accepted []*components.SecretMountArgs
	for ; len(accepted) < count; seed++ {
		if args := generator.Example(seed); args.Validate() == nil {
			accepted = append(accepted, args)
		}
	}
	return accepted
}

// drawMount returns a random mount. It leaves out objects that the component would reject: most lists have one.
func drawMount(t *rapid.T, vault pool) *components.SecretMountArgs {
	args := &components.SecretMountArgs{
		Namespace:  namespace,
		Access:     components.AccessNone,
		VolumeName: rapid.StringMatching(`([a-z]([a-z0-9-]{0,20}[a-z0-9])?)?`).Draw(t, "volume"),
		CloudName:  rapid.SampledFrom([]components.Cloud{"", components.AzurePublicCloud}).Draw(t, "cloud"),
	}
	object := rapid.Custom(func(t *rapid.T) components.ObjectArgs { return drawObject(t, vault) })
	for _, o := range rapid.SliceOfN(object, 1, 12).Draw(t, "objects") {
		with := *args
		with.Objects = append(slices.Clone(args.Objects), o)
		if with.Validate() == nil {
			args = &with
		}
	}
	return args
}

// element generates elements of a path: names that YAML and shells could misread, and any others.
var element = rapid.OneOf(
	rapid.SampledFrom([]string{"a", "b", "0", "1", "tls.crt"}),
	rapid.SampledFrom([]string{
		"null",
		"yes",
		"0x1",
		"1e3",
		"- a",
		"a: b",
		"#",
		"|",
		"&a",
		"*",
		"'\"",
		"\\",
		"~",
		"%Y",
		"{}",
		"..",
		".",
		" a",
		"é",
		"\u00a0",
		"$(A)",
		".hidden",
		"a..b",
	}),
	rapid.StringN(1, 12, 300),
	rapid.StringMatching(`[a-z ._-]{1,40}`),
	rapid.StringMatching(`[a-z]{250,257}`),
)

func drawObject(t *rapid.T, vault pool) components.ObjectArgs {
	var types []components.ObjectType
	for typ := range vault {
		types = append(types, typ)
	}
	slices.Sort(types)
	o := components.ObjectArgs{
		Type:           rapid.SampledFrom(append(types, components.ObjectSecret, components.ObjectSecret)).Draw(t, "type"),
		VersionHistory: rapid.SampledFrom([]int{0, 0, 1, 2, 3, 100}).Draw(t, "history"),
		FilePermission: rapid.SampledFrom([]string{"", "0644", "444", "0600", "007", "0001", "777"}).Draw(t, "permission"),
	}
	var names []string
	for name := range vault[o.Type] {
		names = append(names, name)
	}
	slices.Sort(names)
	o.Name = rapid.SampledFrom(names).Draw(t, "name")
	if rapid.Bool().Draw(t, "upper case") { // names in the vault are case-insensitive
		o.Name = strings.ToUpper(o.Name)
	}
	if rapid.IntRange(0, 4).Draw(t, "not aliased") > 0 { // with an alias, files rarely collide
		o.Alias = strings.Join(rapid.SliceOfN(element, 1, 3).Draw(t, "alias"), "/")
	}
	if rapid.IntRange(0, 3).Draw(t, "pinned") == 0 {
		o.Version = rapid.SampledFrom(vault[o.Type][strings.ToLower(o.Name)]).Draw(t, "version")
	}
	formats := []components.ObjectFormat{"", components.FormatPEM, components.FormatPFX}
	o.Format = rapid.SampledFrom(formats).Draw(t, "format")
	pem := o.Type == components.ObjectSecret && strings.HasPrefix(strings.ToLower(o.Name), "web")
	if !pem { // PEM is neither hex nor base64
		encodings := []components.ObjectEncoding{
			"", "", components.EncodingUTF8, components.EncodingHex, components.EncodingBase64,
		}
		o.Encoding = rapid.SampledFrom(encodings).Draw(t, "encoding")
	}
	return o
}
