package infra

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
)

// Decode fills a struct with a program's configuration from the values that the engine passes to it (RunInfo.Config).
// Each field is one key of the project's namespace, named by its pulumi tag. Its error is a
// [components.ValidationError] with every mistake: values of a wrong type, unknown keys, and what check reports about
// the values that could be read. It does not repeat the values of encrypted and hidden keys.
func Decode(
	ctx *pulumi.Context, values map[string]string, target any, check func() []components.Violation, hidden ...string,
) error {
	namespace := ctx.Project() + ":"
	own := map[string]string{}
	for key, value := range values {
		if name, ok := strings.CutPrefix(key, namespace); ok {
			own[name] = value
		}
	}
	isSecret := func(key string) bool { return slices.Contains(hidden, key) || ctx.IsConfigSecret(namespace+key) }
	found := decodeConfig(own, isSecret, target)
	found = append(found, unreported(found, check())...)
	if len(found) == 0 {
		return nil
	}
	found.hide(ctx.IsConfigSecret, namespace, own, fields(reflect.ValueOf(target).Elem()))
	err := &components.ValidationError{Violations: found}
	return fmt.Errorf("configuration %s* of stack %s: %w", namespace, ctx.Stack(), err)
}

// decoder fills structs from configuration. It continues after a mistake, so that it can report all of them at once.
// Fields are found by their pulumi tag.
type decoder struct {
	violations violations
	// hidden keeps values out of violations.
	hidden bool
}

// decodeConfig fills target from the stack's configuration, one key for each field. A missing key and an unknown key
// are violations. An empty value leaves its field unchanged. Violations do not repeat the values of secret keys.
func decodeConfig(values map[string]string, isSecret func(key string) bool, target any) violations {
	d := &decoder{}
	known := fields(reflect.ValueOf(target).Elem())
	for _, key := range slices.Sorted(maps.Keys(known)) {
		field := known[key]
		text, ok := values[key]
		if !ok {
			d.report(key, "nothing", "a value; Pulumi.yaml declares its default")
			continue
		}
		if text == "" { // left out: nothing, which for a list is not what could not be read
			if field.Kind() == reflect.Slice {
				field.Set(reflect.MakeSlice(field.Type(), 0, 0))
			}
			continue
		}
		d.hidden = isSecret(key)
		d.value(key, parse(text, field.Kind()), field)
	}
	d.unknown("", slices.Sorted(maps.Keys(values)), known)
	return d.violations
}

// parse parses a configuration value: as JSON if the field is structured, and otherwise as plain text.
func parse(text string, kind reflect.Kind) any {
	if kind != reflect.Slice && kind != reflect.Map && kind != reflect.Pointer {
		return text
	}
	var tree any
	reader := json.NewDecoder(strings.NewReader(text))
	reader.UseNumber()
	if err := reader.Decode(&tree); err != nil || reader.More() {
		return text
	}
	return tree
}

func (d *decoder) value(path string, in any, out reflect.Value) {
	switch out.Type() {
	case reflect.TypeFor[pulumi.StringInput]():
		d.input(path, in, out)
		return
	case reflect.TypeFor[pulumi.StringArrayInput]():
		var texts []string
		d.value(path, in, reflect.ValueOf(&texts).Elem())
		out.Set(reflect.ValueOf(pulumi.ToStringArray(texts)))
		return
	}
	switch out.Kind() {
	case reflect.Pointer:
		out.Set(reflect.New(out.Type().Elem()))
		d.value(path, in, out.Elem())
	case reflect.Struct:
		d.object(path, in, out)
	case reflect.Slice:
		d.list(path, in, out)
	case reflect.Map:
		d.stringMap(path, in, out)
	case reflect.Int:
		d.integer(path, in, out)
	case reflect.Bool:
		d.boolean(path, in, out)
	case reflect.String:
		if s, ok := in.(string); ok {
			out.SetString(s)
		} else {
			d.report(path, d.show(in), "a string; quote it")
		}
	default:
		panic(fmt.Sprintf("configuration field %s has the unsupported type %s", path, out.Type()))
	}
}

// input reads a string that is never shown, since it may be a secret's value. It is given directly, or as {env: NAME}
// in an environment variable.
func (d *decoder) input(path string, in any, out reflect.Value) {
	if given, ok := in.(map[string]any); ok && len(given) == 1 {
		if name, ok := given["env"].(string); ok {
			value := os.Getenv(name)
			if value == "" {
				d.report(path+".env", strconv.Quote(name), "the name of an environment variable that is set on the machine that "+
					"runs Pulumi")
				return
			}
			in = value
		}
	}
	s, ok := in.(string)
	if !ok || s == "" {
		d.report(path, "an invalid value (not shown)",
			"a non-empty string; quote it, and set a secret with pulumi config set --secret --path")
		return
	}
	out.Set(reflect.ValueOf(pulumi.String(s)))
}

func (d *decoder) object(path string, in any, out reflect.Value) {
	given, ok := in.(map[string]any)
	if !ok {
		d.report(path, d.show(in), "an object")
		return
	}
	known := fields(out)
	for _, key := range slices.Sorted(maps.Keys(given)) {
		if field, ok := known[key]; ok {
			d.value(path+"."+key, given[key], field)
		}
	}
	d.unknown(path+".", slices.Sorted(maps.Keys(given)), known)
}

func (d *decoder) list(path string, in any, out reflect.Value) {
	given, ok := in.([]any)
	if !ok {
		d.report(path, d.show(in), "a list")
		return
	}
	out.Set(reflect.MakeSlice(out.Type(), len(given), len(given)))
	for i, item := range given {
		d.value(fmt.Sprintf("%s[%d]", path, i), item, out.Index(i))
	}
}

func (d *decoder) stringMap(path string, in any, out reflect.Value) {
	given, ok := in.(map[string]any)
	if !ok {
		d.report(path, d.show(in), "an object of strings")
		return
	}
	out.Set(reflect.MakeMap(out.Type()))
	for _, key := range slices.Sorted(maps.Keys(given)) {
		item := reflect.New(out.Type().Elem()).Elem()
		d.value(path+"."+key, given[key], item)
		out.SetMapIndex(reflect.ValueOf(key), item)
	}
}

func (d *decoder) integer(path string, in any, out reflect.Value) {
	n, err := strconv.Atoi(fmt.Sprint(in))
	if err != nil || n < 1 {
		d.report(path, d.show(in), "a positive integer")
		return
	}
	out.SetInt(int64(n))
}

func (d *decoder) boolean(path string, in any, out reflect.Value) {
	switch fmt.Sprint(in) {
	case "true":
		out.SetBool(true)
	case "false":
		out.SetBool(false)
	default:
		d.report(path, d.show(in), "true, false")
	}
}

// moved are keys of earlier versions, which moved into the list of workloads.
var moved = []string{
	"access", "mount", "namespace", "podSecurity", "probe", "secretProviderClass", "serviceAccount", "syncSecrets",
	"testPod",
	"testPodImage", "testPodName",
}

func (d *decoder) unknown(prefix string, keys []string, known map[string]reflect.Value) {
	_, hasWorkloads := known["workloads"]
	for _, key := range keys {
		_, ok := known[key]
		switch {
		case prefix == "" && hasWorkloads && slices.Contains(moved, key):
			d.report(key, "a removed key", "the same key in an item of workloads, see docs/Pulumi.example.yaml")
		case !ok:
			d.report(prefix+key, "an unknown key", strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
	}
}

func (d *decoder) report(path, given, allowed string) {
	d.violations.add(path, given, allowed)
}

func (d *decoder) show(in any) string {
	if d.hidden {
		return "an invalid value (not shown)"
	}
	text, err := json.Marshal(in)
	if err != nil {
		return "an invalid value (not shown)"
	}
	return string(text)
}

// fields returns a struct's fields by the name in their pulumi tag.
func fields(v reflect.Value) map[string]reflect.Value {
	byName := map[string]reflect.Value{}
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("pulumi"), ",")
		if name != "" && name != "-" {
			byName[name] = v.Field(i)
		}
	}
	return byName
}
