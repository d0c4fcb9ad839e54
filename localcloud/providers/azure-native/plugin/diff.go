package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/structpb"
)

// Diff compares the old and the new inputs. Values that ARM added to the outputs are no difference.
func (p *azureNative) Diff(_ context.Context, req *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	rt, apiVersion, err := p.typeOf(req.GetUrn())
	if err != nil {
		return nil, err
	}
	described, err := rt.described(apiVersion)
	if err != nil {
		return nil, err
	}
	state, err := decode(req.GetOlds())
	if err != nil {
		return nil, fmt.Errorf("reading the state: %w", err)
	}
	olds, err := oldInputs(req.GetOldInputs(), state)
	if err != nil {
		return nil, err
	}
	news, err := decode(req.GetNews())
	if err != nil {
		return nil, fmt.Errorf("reading the inputs: %w", err)
	}

	d := differ{
		replace: append(rt.parameters(), rt.replace...),
		keyed:   rt.keyed,
		found:   map[string]*pulumirpc.PropertyDiff{},
	}
	d.objects(nil, "", false, olds, news)
	resp := &pulumirpc.DiffResponse{
		Changes:         pulumirpc.DiffResponse_DIFF_NONE,
		HasDetailedDiff: true,
		DetailedDiff:    d.found,
	}
	changed := map[string]bool{}
	for _, path := range slices.Sorted(maps.Keys(d.found)) {
		kind := d.found[path].Kind
		key := resource.PropertyKey(path)
		if kind == pulumirpc.PropertyDiff_ADD_REPLACE && state.HasValue(key) && news[key].DeepEquals(state[key]) {
			// The program now sets the value that ARM had chosen.
			d.found[path].Kind, kind = pulumirpc.PropertyDiff_ADD, pulumirpc.PropertyDiff_ADD
		} else if kind == pulumirpc.PropertyDiff_ADD && isDefault(news[key], described.inputs[path].Default) {
			d.found[path].InputDiff = false
			continue // the program now sets the default
		}
		if replaces(kind) {
			resp.Replaces = append(resp.Replaces, path)
		}
		changed[strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' })[0]] = true
	}
	resp.Diffs = slices.Sorted(maps.Keys(changed))
	if len(changed) > 0 {
		resp.Changes = pulumirpc.DiffResponse_DIFF_SOME
	}
	// The new resource needs the old one's name unless the plugin chose it.
	resp.DeleteBeforeReplace = len(resp.Replaces) > 0
	if flag, ok := olds[createBeforeDelete]; ok && flag.IsBool() && flag.BoolValue() {
		resp.DeleteBeforeReplace = false
	}
	return resp, nil
}

// oldInputs returns the inputs that the engine sends, or else those in the state.
func oldInputs(sent *structpb.Struct, state resource.PropertyMap) (resource.PropertyMap, error) {
	if sent != nil {
		inputs, err := decode(sent)
		if err != nil {
			return nil, fmt.Errorf("reading the old inputs: %w", err)
		}
		return inputs, nil
	}
	if v, ok := state["__inputs"]; ok && v.IsObject() {
		return v.ObjectValue(), nil
	}
	return resource.PropertyMap{}, nil
}

func replaces(kind pulumirpc.PropertyDiff_Kind) bool {
	return kind == pulumirpc.PropertyDiff_ADD_REPLACE || kind == pulumirpc.PropertyDiff_DELETE_REPLACE ||
		kind == pulumirpc.PropertyDiff_UPDATE_REPLACE
}

// isDefault reports whether a value equals a property's default. A property without a default has byDefault nil.
func isDefault(value resource.PropertyValue, byDefault any) bool {
	return byDefault != nil && value.DeepEquals(resource.NewPropertyValue(byDefault))
}

// differ collects the differences between two trees of inputs.
type differ struct {
	// replace are the dotted paths whose change replaces the resource.
	replace []string
	// keyed are the properties that identify the elements of arrays, see resourceType.
	keyed map[string][]string
	found map[string]*pulumirpc.PropertyDiff
}

// objects compares two objects at a path. rule is the same path as written in replace. within means that a parent's
// change replaces, and so updates inside it do.
func (d *differ) objects(path resource.PropertyPath, rule string, within bool, olds, news resource.PropertyMap) {
	for k := range olds {
		if _, kept := news[k]; !kept {
			d.value(append(slices.Clone(path), string(k)), join(rule, string(k)), within, olds[k], resource.NewNullProperty())
		}
	}
	for k := range news {
		d.value(append(slices.Clone(path), string(k)), join(rule, string(k)), within, olds[k], news[k])
	}
}

func (d *differ) value(path resource.PropertyPath, rule string, within bool, before, after resource.PropertyValue) {
	if key, ok := path[len(path)-1].(string); ok && strings.HasPrefix(key, "__") {
		return
	}
	own := slices.Contains(d.replace, rule)
	switch {
	case !before.HasValue() && !after.HasValue():
	case !before.HasValue():
		d.add(path, own, pulumirpc.PropertyDiff_ADD, pulumirpc.PropertyDiff_ADD_REPLACE)
	case !after.HasValue():
		d.add(path, own, pulumirpc.PropertyDiff_DELETE, pulumirpc.PropertyDiff_DELETE_REPLACE)
	case rule == "sku" && sameSKU(before, after):
	case before.IsObject() && after.IsObject():
		d.objects(path, rule, within || own, before.ObjectValue(), after.ObjectValue())
	case before.IsArray() && after.IsArray():
		d.arrays(path, rule, within || own, before.ArrayValue(), after.ArrayValue())
	case !same(rule, before, after):
		d.add(path, within || own, pulumirpc.PropertyDiff_UPDATE, pulumirpc.PropertyDiff_UPDATE_REPLACE)
	}
}

// arrays compares two arrays by index or, if they are sets, by key.
func (d *differ) arrays(path resource.PropertyPath, rule string, within bool, olds, news []resource.PropertyValue) {
	if before, after := byKey(olds, d.keyed[rule]), byKey(news, d.keyed[rule]); before != nil && after != nil {
		for key, i := range after {
			old := resource.NewNullProperty()
			if j, ok := before[key]; ok {
				old = olds[j]
			}
			d.value(append(slices.Clone(path), i), join(rule, "*"), within, old, news[i])
		}
		for key, i := range before {
			if _, kept := after[key]; !kept {
				d.value(append(slices.Clone(path), i), join(rule, "*"), within, olds[i], resource.NewNullProperty())
			}
		}
		return
	}
	for i := range max(len(olds), len(news)) {
		before, after := resource.NewNullProperty(), resource.NewNullProperty()
		if i < len(olds) {
			before = olds[i]
		}
		if i < len(news) {
			after = news[i]
		}
		d.value(append(slices.Clone(path), i), join(rule, "*"), within, before, after)
	}
}

// byKey returns the indexes of a set's elements by their keys. It returns nil if the array is not a set: it has no
// keys, an element lacks one, or two elements have the same.
func byKey(array []resource.PropertyValue, keys []string) map[string]int {
	if len(keys) == 0 {
		return nil
	}
	found := make(map[string]int, len(array))
	for i, element := range array {
		if !element.IsObject() {
			return nil
		}
		var id []any
		for _, key := range keys {
			v, ok := element.ObjectValue()[resource.PropertyKey(key)]
			if !ok {
				return nil
			}
			id = append(id, v.Mappable())
		}
		text, err := json.Marshal(id)
		if _, twice := found[string(text)]; twice || err != nil {
			return nil
		}
		found[string(text)] = i
	}
	return found
}

func (d *differ) add(path resource.PropertyPath, replace bool, kind, replaceKind pulumirpc.PropertyDiff_Kind) {
	if replace {
		kind = replaceKind
	}
	d.found[path.String()] = &pulumirpc.PropertyDiff{Kind: kind, InputDiff: true}
}

// sameSKU reports whether two SKUs of clusters are equal. AKS has renamed the SKU Basic to Base, and the tier Paid to
// Standard.
func sameSKU(before, after resource.PropertyValue) bool {
	read := func(v resource.PropertyValue) (name, tier string, ok bool) {
		if !v.IsObject() || len(v.ObjectValue()) != 2 {
			return "", "", false
		}
		n, t := v.ObjectValue()["name"], v.ObjectValue()["tier"]
		if !n.IsString() || !t.IsString() {
			return "", "", false
		}
		name, tier = n.StringValue(), t.StringValue()
		if name == "Basic" {
			name = "Base"
		}
		if tier == "Paid" {
			tier = "Standard"
		}
		return name, tier, true
	}
	oldName, oldTier, known := read(before)
	name, tier, ok := read(after)
	return known && ok && oldName == name && oldTier == tier
}

// same compares two values that are neither objects nor arrays.
func same(rule string, before, after resource.PropertyValue) bool {
	if before.IsString() && after.IsString() {
		switch rule {
		case "location":
			return normalLocation(before.StringValue()) == normalLocation(after.StringValue())
		case "resourceGroupName":
			return strings.EqualFold(before.StringValue(), after.StringValue())
		}
	}
	return before.DeepEquals(after)
}

// normalLocation maps "West US 2" and "westus2" to the same string.
func normalLocation(s string) string { return strings.ToLower(strings.ReplaceAll(s, " ", "")) }

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
