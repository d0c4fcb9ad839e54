package main

import (
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/keyvault-aks/keyvault-aks/components"
)

// pool is what the vault has: versions by the name of the object, by its type.
type pool map[components.ObjectType]map[string][]string

// draw makes so many mounts in the namespace that the component accepts. The same seed makes the same.
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

// drawMount leaves out objects for which the mount would be refused, since of many together there is nearly always one.
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

// element is of a path: names that YAML and shells take for something else, and any others.
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
	if rapid.Bool().Draw(t, "in other letters") { // names of the vault have no case
		o.Name = strings.ToUpper(o.Name)
	}
	if rapid.IntRange(0, 4).Draw(t, "not aliased") > 0 { // more of them are apart, and so accepted
		o.Alias = strings.Join(rapid.SliceOfN(element, 1, 3).Draw(t, "alias"), "/")
	}
	if rapid.IntRange(0, 3).Draw(t, "pinned") == 0 {
		o.Version = rapid.SampledFrom(vault[o.Type][strings.ToLower(o.Name)]).Draw(t, "version")
	}
	o.Format = rapid.SampledFrom([]components.ObjectFormat{"", components.FormatPEM, components.FormatPFX}).
		Draw(t, "format")
	if o.Type != components.ObjectSecret ||
		!strings.HasPrefix(strings.ToLower(o.Name), "web") { // what is in PEM is not encoded
		o.Encoding = rapid.SampledFrom([]components.ObjectEncoding{"", "", components.EncodingUTF8, components.EncodingHex, components.EncodingBase64}).
			Draw(t, "encoding")
	}
	return o
}
