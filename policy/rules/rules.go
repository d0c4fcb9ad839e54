// Package rules are the rules of the policy pack, as pure functions over what a stack registers. They know no engine:
// the pack has the engine's resources checked, and this repository's unit tests those of the production stack.
package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

// Resource is one that a stack registers.
type Resource struct {
	Type, Name, URN string
	// Parent is the URN of the component that the resource is part of.
	Parent string
	// Properties are the inputs. What is secret and what is not known yet is marked.
	Properties property.Map
	// Outputs are what the provider says of it, as far as that is known.
	Outputs property.Map
	// Protect says whether Pulumi refuses to delete it.
	Protect bool
	// Dependencies are the URNs of what it waits for, and PropertyDependencies those that a property's value comes from.
	Dependencies         []string
	PropertyDependencies map[string][]string
}

// Stack is all that a stack registers.
type Stack struct {
	Resources []Resource
}

// When says which stacks a rule must hold in.
type When int

const (
	// Always is for what is a mistake in any stack.
	Always When = iota
	// Production is for what production needs. In other stacks the rule advises.
	Production
	// Elsewhere is for what production needs and others cannot get rid of. It advises, and not in production.
	Elsewhere
)

// Rule is one rule. It looks at resources one by one, or at one in the midst of the others.
type Rule struct {
	// ID is the policy's name.
	ID string
	// Title says what holds where the rule is kept.
	Title string
	// Remedy says what to do where it is not.
	Remedy string
	// Also are the ids of the same rule in Checkov (CKV_*) and PSRule for Azure.
	Also []string
	When When
	// Kinds are what it looks at: a module and a type of azure-native, or a group and a kind of Kubernetes.
	Kinds []string

	alone func(Resource) []string
	among func(Resource, Stack) []string
}

// Finding is a resource that breaks a rule.
type Finding struct {
	Rule    Rule
	URN     string
	Problem string
}

// Message says what is wrong and what to do. It never holds a value that could be secret.
func (f Finding) Message() string {
	message := f.Problem + ". " + f.Rule.Remedy
	if len(f.Rule.Also) > 0 {
		message += " (" + strings.Join(f.Rule.Also, ", ") + ")"
	}
	return message
}

// All are the rules, in the order of the documentation.
func All() []Rule {
	return slices.Concat(mistakes, vaultRules, clusterRules, otherRules)
}

// OfStack reports whether the rule looks at a resource in the midst of the others.
func (r Rule) OfStack() bool { return r.among != nil }

// Applies reports whether the rule looks at resources of a type.
func (r Rule) Applies(typ string) bool { return slices.Contains(r.Kinds, Kind(typ)) }

// Check returns what is wrong with a resource by itself.
func (r Rule) Check(one Resource) []Finding {
	if r.alone == nil || !r.Applies(one.Type) {
		return nil
	}
	return r.findings(one, r.alone(one))
}

// CheckStack returns what is wrong with the resources of a stack in the midst of each other.
func (r Rule) CheckStack(stack Stack) []Finding {
	var found []Finding
	for _, one := range stack.Resources {
		if r.among != nil && r.Applies(one.Type) {
			found = append(found, r.findings(one, r.among(one, stack))...)
		}
	}
	return found
}

func (r Rule) findings(one Resource, problems []string) []Finding {
	var found []Finding
	for _, problem := range problems {
		found = append(found, Finding{Rule: r, URN: one.URN, Problem: problem})
	}
	return found
}

// Kind is what a type's token names, whatever version it has: keyvault:Vault is azure-native:keyvault:Vault,
// azure-native:keyvault/v20241101:Vault and azure-native_keyvault_v20260201:keyvault:Vault, and core:Pod is
// kubernetes:core/v1:Pod. It is empty for types of other packages.
func Kind(token string) string {
	parts := strings.Split(token, ":")
	if len(parts) != 3 {
		return ""
	}
	module, _, _ := strings.Cut(parts[1], "/")
	switch pkg := parts[0]; {
	case pkg == "azure-native", strings.HasPrefix(pkg, "azure-native_"), pkg == "kubernetes", pkg == "pulumi":
		return module + ":" + parts[2]
	}
	return ""
}

// of are the stack's resources of a kind.
func (s Stack) of(kinds ...string) []Resource {
	return slices.DeleteFunc(slices.Clone(s.Resources), func(one Resource) bool {
		return !slices.Contains(kinds, Kind(one.Type))
	})
}

// comesFrom reports whether a property's value comes from another resource, as far as the engine knows: from it, or
// from a component that it is part of.
func (s Stack) comesFrom(one Resource, key string, other Resource) bool {
	for at := other; ; {
		if slices.Contains(one.PropertyDependencies[key], at.URN) {
			return true
		}
		i := slices.IndexFunc(s.Resources, func(r Resource) bool { return at.Parent != "" && r.URN == at.Parent })
		if i < 0 {
			return false
		}
		at = s.Resources[i]
	}
}

// isAbout reports whether a property of a resource names another one: its ARM id, or its name. What is not known yet is
// about what its value comes from, and about anything where that is not known either.
func (s Stack) isAbout(one Resource, key string, other Resource, nameKey string) bool {
	v, known := get(one.Properties, key)
	if !known {
		return s.comesFrom(one, key, other) || len(one.PropertyDependencies[key]) == 0
	}
	text, ok := asText(v)
	name := other.name(nameKey)
	if !ok || name == "" {
		return s.comesFrom(one, key, other)
	}
	return strings.EqualFold(text[strings.LastIndexByte(text, '/')+1:], name) || s.comesFrom(one, key, other)
}

// name is the resource's name in Azure, or empty where that is not known.
func (r Resource) name(key string) string {
	for _, v := range []property.Value{r.Properties.Get(key), r.Outputs.Get("name")} {
		if text, ok := asText(v); ok && text != "" {
			return text
		}
	}
	return ""
}

// say is a problem.
func say(format string, args ...any) []string { return []string{fmt.Sprintf(format, args...)} }
