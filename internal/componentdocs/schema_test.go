package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
)

func TestSchema_IsCurrent(t *testing.T) {
	version, err := os.ReadFile("../../provider/VERSION")
	if err != nil {
		t.Fatal(err)
	}
	want, err := generateSchema("../../components", strings.TrimSpace(string(version)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../provider/schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("provider/schema.json is not what the code says: run go generate ./...")
	}
}

func readSchemaSpec(t *testing.T) schemaSpec {
	t.Helper()
	content, err := generateSchema("../../components", "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	var spec schemaSpec
	if err := json.Unmarshal(content, &spec); err != nil {
		t.Fatal(err)
	}
	return spec
}

// descriptions returns all descriptions in the schema, by subject.
func descriptions(spec schemaSpec) map[string]string {
	all := map[string]string{"the package": spec.Description}
	properties := func(of string, list map[string]propertySpec) {
		for name, p := range list {
			all[of+"."+name] = p.Description
		}
	}
	for token, r := range spec.Resources {
		all[token] = r.Description
		properties(token+" in", r.InputProperties)
		properties(token+" out", r.Properties)
	}
	for token, typ := range spec.Types {
		all[token] = typ.Description
		properties(token, typ.Properties)
	}
	return all
}

func TestSchema_DescribesEverythingWithoutGo(t *testing.T) {
	r, err := readPackage("../../components")
	if err != nil {
		t.Fatal(err)
	}
	spec := readSchemaSpec(t)
	// Go names of several words. Single words are ordinary language. Kubernetes' kinds and values stay.
	own := map[string]bool{}
	add := func(name string) {
		if severalWords.MatchString(name) &&
			!slices.Contains([]string{"ID", "URL", "FQDN", "CriticalAddonsOnly", "NetworkPolicy", "SecretProviderClass"}, name) {
			own[name] = true
		}
	}
	for _, typ := range r.pkg.Types {
		add(typ.Name)
		for _, f := range slices.Concat(typ.Funcs, typ.Methods) {
			add(f.Name)
		}
		for _, f := range structFields(typ) {
			for _, name := range f.Names {
				add(name.Name)
			}
		}
	}
	for _, f := range r.pkg.Funcs {
		add(f.Name)
	}
	for _, name := range append(slices.Collect(maps.Keys(spec.Types)), slices.Collect(maps.Keys(spec.Resources))...) {
		delete(own, name[strings.LastIndex(name, ":")+1:])
	}
	word := regexp.MustCompile(`[A-Za-z]\w*`)
	url := regexp.MustCompile(`https?://\S+`)
	for what, text := range descriptions(spec) {
		if strings.TrimSpace(text) == "" {
			t.Errorf("%s has no description", what)
		}
		for _, one := range word.FindAllString(url.ReplaceAllString(text, ""), -1) {
			if own[one] || one == "podmount" || strings.HasSuffix(one, "Args") {
				t.Errorf("%s speaks of Go's %s: %s", what, one, text)
			}
		}
		if regexp.MustCompile(`\[[A-Z]\w+(\.\w+)?\]`).MatchString(text) || strings.Contains(text, "``") {
			t.Errorf("%s has a link of Go's: %s", what, text)
		}
	}
}

func TestSchema_MatchesArguments(t *testing.T) {
	spec := readSchemaSpec(t)
	for component, one := range map[string]struct{ args, made reflect.Type }{
		"KeyVaultStack": {reflect.TypeFor[components.KeyVaultStackArgs](), reflect.TypeFor[components.KeyVaultStack]()},
		"AksWithCsi":    {reflect.TypeFor[components.AksWithCsiArgs](), reflect.TypeFor[components.AksWithCsi]()},
		"WorkloadIdentity": {reflect.TypeFor[components.WorkloadIdentityArgs](),
			reflect.TypeFor[components.WorkloadIdentity]()},
		"SecretMount": {reflect.TypeFor[components.SecretMountArgs](), reflect.TypeFor[components.SecretMount]()},
	} {
		r, ok := spec.Resources["keyvaultaks:index:"+component]
		if !ok {
			t.Errorf("there is no %s", component)
			continue
		}
		agree(t, spec, one.args, r.InputProperties, r.RequiredInputs)
		outputs := map[string]bool{}
		for i := range one.made.NumField() {
			if name, tagged := one.made.Field(i).Tag.Lookup("pulumi"); tagged {
				outputs[name] = true
			}
		}
		if len(outputs) != len(r.Properties) || len(r.Required) != len(outputs) {
			t.Errorf("%s has the outputs %v, in the schema %v", component, outputs, r.Required)
		}
		for name, p := range r.Properties {
			if !outputs[name] || p.Plain {
				t.Errorf("%s has the output %s: %v; plain: %v", component, name, outputs[name], p.Plain)
			}
		}
	}
	if len(spec.Resources) != 4 {
		t.Errorf("there are %d components", len(spec.Resources))
	}
}

// agree compares a struct of arguments with properties.
func agree(t *testing.T, spec schemaSpec, args reflect.Type, properties map[string]propertySpec, required []string) {
	t.Helper()
	input := reflect.TypeFor[pulumi.Input]()
	count := 0
	for i := range args.NumField() {
		f := args.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("pulumi"), ",")
		if _, left := onlyGo[args.Name()+"."+f.Name]; left || name == "-" {
			continue
		}
		count++
		p, ok := properties[name]
		if !ok {
			t.Errorf("%s.%s is not in the schema", args.Name(), f.Name)
			continue
		}
		if p.Plain == f.Type.Implements(input) {
			t.Errorf("%s.%s is %v; in the schema it is plain: %v", args.Name(), f.Name, f.Type, p.Plain)
		}
		if slices.Contains(required, name) == (options == "optional") {
			t.Errorf("%s.%s is %s; in the schema it is required: %v", args.Name(), f.Name, options,
				slices.Contains(required, name))
		}
		typ, ref := f.Type, p.Ref
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
			typ = typ.Elem()
		}
		if p.Items != nil {
			ref = p.Items.Ref
		}
		if typ.Kind() == reflect.Struct {
			of := spec.Types[strings.TrimPrefix(ref, "#/types/")]
			agree(t, spec, typ, of.Properties, of.Required)
		}
		if typ.PkgPath() != "" && typ.Kind() == reflect.String && !typ.Implements(input) &&
			len(spec.Types[strings.TrimPrefix(ref, "#/types/")].Enum) < 2 {
			t.Errorf("%s.%s has no values in the schema", args.Name(), f.Name)
		}
	}
	if count != len(properties) {
		t.Errorf("%s has %d arguments, and in the schema %d", args.Name(), count, len(properties))
	}
}

func TestSchema_MarksSecrets(t *testing.T) {
	spec := readSchemaSpec(t)
	for where, p := range map[string]propertySpec{
		"a secret's value":         spec.Types["keyvaultaks:index:Secret"].Properties["value"],
		"a given kubeconfig":       spec.Types["keyvaultaks:index:ExistingCluster"].Properties["kubeconfig"],
		"the cluster's kubeconfig": spec.Resources["keyvaultaks:index:AksWithCsi"].Properties["kubeconfig"],
	} {
		if !p.Secret {
			t.Errorf("%s is no secret", where)
		}
	}
}
