package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// export is what `pulumi stack export` prints.
type export struct {
	Deployment apitype.DeploymentV3 `json:"deployment"`
}

// caller is the user who brought the stack up.
type caller struct{ SubscriptionID, TenantID string }

// recorder records a stack.
type recorder struct {
	caller
	urns  []resource.URN
	byURN map[resource.URN]apitype.ResourceV3
}

// record returns the recording of a stack. It replaces outputs of other resources in inputs by references, and fails
// for secrets that are not outputs.
func record(resources []apitype.ResourceV3, caller caller) (state, error) {
	r := recorder{caller: caller, byURN: map[resource.URN]apitype.ResourceV3{}}
	taken := map[string]bool{callerName: true}
	for _, one := range resources {
		r.urns, r.byURN[one.URN] = append(r.urns, one.URN), one
		if isDefaultProvider(one) {
			continue
		}
		if taken[one.URN.Name()] {
			return state{}, fmt.Errorf("%s: another resource has its name", one.URN)
		}
		taken[one.URN.Name()] = true
	}
	var s state
	for _, one := range resources {
		var err error
		switch {
		case isDefaultProvider(one):
		case string(one.Type) == stackType:
			s.Outputs, err = r.values(one.Outputs, r.urns)
		default:
			var kept recorded
			if kept, err = r.resource(one); err == nil {
				s.Resources = append(s.Resources, kept)
			}
		}
		if err != nil {
			return state{}, fmt.Errorf("%s: %w", one.URN, err)
		}
	}
	return s, nil
}

// isDefaultProvider reports whether the engine registered the provider by itself.
func isDefaultProvider(one apitype.ResourceV3) bool {
	return strings.HasPrefix(string(one.Type), providerPrefix) && strings.HasPrefix(one.URN.Name(), "default")
}

// resource returns the recording of a resource.
func (r *recorder) resource(one apitype.ResourceV3) (recorded, error) {
	if one.External || one.Delete || len(one.InitErrors) > 0 {
		return recorded{}, errors.New("it was only read, or is incomplete")
	}
	kept := recorded{
		Type: string(one.Type), Name: one.URN.Name(), Component: !one.Custom, DependsOn: names(one.Dependencies),
		Protect: one.Protect, RetainOnDelete: one.RetainOnDelete, IgnoreChanges: one.IgnoreChanges,
		ReplaceOnChanges: one.ReplaceOnChanges, Timeouts: one.CustomTimeouts,
	}
	for _, output := range one.AdditionalSecretOutputs {
		kept.SecretOutputs = append(kept.SecretOutputs, string(output))
	}
	if string(one.Parent.Type()) != stackType {
		kept.Parent = one.Parent.Name()
	}
	if one.DeletedWith != "" {
		kept.DeletedWith = one.DeletedWith.Name()
	}
	var err error
	if kept.Provider, kept.Version, err = r.provider(one); err != nil {
		return recorded{}, err
	}
	kept.Inputs, err = r.inputs(one)
	return kept, err
}

// inputs returns the inputs that the program set, which have known dependencies. The provider chose others, such as
// generated names.
func (r *recorder) inputs(one apitype.ResourceV3) (map[string]any, error) {
	inputs := map[string]any{}
	for key, dependencies := range one.PropertyDependencies {
		value, err := r.value(one.Inputs[string(key)], dependencies)
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", key, err)
		}
		inputs[string(key)] = value
	}
	// A principal that is not an output is the user who ran Pulumi.
	principal, ok := inputs["principalId"].(string)
	if ok && strings.HasSuffix(string(one.Type), assignmentSuffix) && !reference.MatchString(principal) {
		inputs["principalId"] = "${" + callerName + "#objectId}"
	}
	return inputs, nil
}

// provider returns the name of a resource's provider, or the version of the plugin if it is the default provider.
func (r *recorder) provider(one apitype.ResourceV3) (name, version string, err error) {
	if strings.HasPrefix(string(one.Type), providerPrefix) {
		version, _ = one.Inputs["version"].(string)
		return "", version, nil
	}
	if one.Provider == "" {
		return "", "", nil
	}
	provider, ok := r.byURN[resource.URN(one.Provider[:max(0, strings.LastIndex(one.Provider, "::"))])]
	switch {
	case !ok:
		return "", "", fmt.Errorf("the stack has no provider %s", one.Provider)
	case isDefaultProvider(provider):
		version, _ = provider.Inputs["version"].(string)
		return "", version, nil
	default:
		return provider.URN.Name(), "", nil
	}
}

// names returns the names of resources.
func names(urns []resource.URN) (list []string) {
	for _, urn := range urns {
		list = append(list, urn.Name())
	}
	return list
}

// values returns values with references to outputs of the dependencies.
func (r *recorder) values(of map[string]any, dependencies []resource.URN) (map[string]any, error) {
	kept := map[string]any{}
	for key, one := range of {
		value, err := r.value(one, dependencies)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		kept[key] = value
	}
	return kept, nil
}

// value returns a value with references to outputs of the dependencies.
func (r *recorder) value(of any, dependencies []resource.URN) (any, error) {
	switch of := of.(type) {
	case string:
		return r.text(of, dependencies)
	case []any:
		list := []any{}
		for i, one := range of {
			value, err := r.value(one, dependencies)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			list = append(list, value)
		}
		return list, nil
	case map[string]any:
		plain, secret, err := reveal(of)
		switch {
		case err != nil:
			return nil, err
		case secret:
			return r.secret(plain, dependencies)
		default:
			return r.values(of, dependencies)
		}
	default:
		return of, nil
	}
}

// reveal returns the value in an exported secret, or the value itself if it is not a secret.
func reveal(value map[string]any) (plain any, secret bool, err error) {
	switch value[resource.SigKey] {
	case nil:
		return value, false, nil
	case resource.SecretSig:
		text, ok := value["plaintext"].(string)
		if !ok {
			return nil, false, errors.New("it is encrypted: use pulumi stack export --show-secrets")
		}
		err = json.Unmarshal([]byte(text), &plain)
		return plain, true, err
	default:
		return nil, false, fmt.Errorf("values with the signature %v are not supported", value[resource.SigKey])
	}
}

// text returns a text with references to outputs of the dependencies.
func (r *recorder) text(text string, dependencies []resource.URN) (string, error) {
	if strings.Contains(text, "${") {
		return "", errors.New("it has ${, which would begin a reference")
	}
	return replaced(text, r.outputsOf(dependencies)), nil
}

// secret returns a secret that consists of references. A kubeconfig has them in the lines that are the cluster's own.
func (r *recorder) secret(plain any, dependencies []resource.URN) (any, error) {
	text, ok := plain.(string)
	if !ok {
		return nil, errors.New("it is secret and not a string")
	}
	var kept string
	if kubeconfigLine.MatchString(text) {
		cluster, err := r.cluster(dependencies)
		if err != nil {
			return nil, err
		}
		kept = replaced(kubeconfigLine.ReplaceAllString(text, "$1$${"+cluster+"#kubeconfig.$2}"), r.outputsOf(nil))
	} else if kept = replaced(text, r.outputsOf(dependencies)); reference.ReplaceAllString(kept, "") != "" {
		return nil, errors.New("it is secret and not an output of what it depends on")
	}
	return map[string]any{secretKey: kept}, nil
}

// cluster returns the name of the only cluster among dependencies.
func (r *recorder) cluster(dependencies []resource.URN) (string, error) {
	var found []string
	for _, urn := range dependencies {
		if strings.HasSuffix(string(urn.Type()), clusterSuffix) {
			found = append(found, urn.Name())
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("it is a kubeconfig and depends on the clusters %q, want one", found)
	}
	return found[0], nil
}

// output is a text among a resource's outputs. The lowest rank is preferred among equal ones.
type output struct {
	reference, value string
	rank             int
}

// rank prefers ids, then names, then the shortest path.
func rank(path resource.PropertyPath) int {
	if first := slices.Index([]any{"id", "name"}, path[0]); first >= 0 {
		return first
	}
	return 1 + len(path)
}

// shortest is the length from which a text counts as an output. Shorter ones may be equal by chance.
const shortest = 6

// outputsOf returns the outputs of resources and of the caller.
func (r *recorder) outputsOf(urns []resource.URN) []output {
	var found []output
	add := func(name string, path resource.PropertyPath, value string) {
		if len(value) >= shortest {
			found = append(found, output{fmt.Sprintf("${%s#%s}", name, path), value, rank(path)})
		}
	}
	for _, urn := range urns {
		one := r.byURN[urn]
		if !one.Custom || strings.HasPrefix(string(one.Type), providerPrefix) {
			continue
		}
		eachText(one.Outputs, nil, func(path resource.PropertyPath, value string) {
			if top := path[0].(string); !reflect.DeepEqual(one.Outputs[top], one.Inputs[top]) { // as tags are
				add(urn.Name(), path, value)
			}
		})
	}
	add(callerName, resource.PropertyPath{"subscriptionId"}, r.SubscriptionID)
	add(callerName, resource.PropertyPath{"tenantId"}, r.TenantID)
	slices.SortStableFunc(found, func(a, b output) int { return a.rank - b.rank })
	return found
}

// eachText visits the texts in a value, except below keys that begin with two underscores, which are providers' own.
func eachText(value any, at resource.PropertyPath, visit func(resource.PropertyPath, string)) {
	switch value := value.(type) {
	case string:
		visit(at, value)
	case []any:
		for i, one := range value {
			eachText(one, append(slices.Clone(at), i), visit)
		}
	case map[string]any:
		if plain, secret, err := reveal(value); err != nil || secret {
			eachText(plain, at, visit)
			return
		}
		for _, key := range slices.Sorted(maps.Keys(value)) {
			if !strings.HasPrefix(key, "__") {
				eachText(value[key], append(slices.Clone(at), key), visit)
			}
		}
	}
}

// replaced returns a text with references in place of outputs, the longest ones first.
func replaced(text string, outputs []output) string {
	var kept strings.Builder
	for text != "" {
		var longest output
		for _, one := range outputs {
			if len(one.value) > len(longest.value) && strings.HasPrefix(text, one.value) {
				longest = one
			}
		}
		if longest.value == "" {
			kept.WriteByte(text[0])
			text = text[1:]
			continue
		}
		kept.WriteString(longest.reference)
		text = text[len(longest.value):]
	}
	return kept.String()
}
