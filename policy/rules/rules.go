// Package rules contains the rules of the policy pack, as pure functions over the resources of a stack. They do not
// depend on the engine: the pack checks the engine's resources, and this repository's unit tests check those of the
// production stack.
package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

// Resource is a resource of a stack.
type Resource struct {
	Type, Name, URN string
	// Parent is the URN of the component that contains the resource.
	Parent string
	// Properties are the inputs. Secret and unknown values are marked.
	Properties property.Map
	// Outputs are the known outputs.
	Outputs property.Map
	// Protect reports whether Pulumi refuses to delete the resource.
	Protect bool
	// Dependencies are the URNs of the resources that it depends on. PropertyDependencies are those that a property's
	// value comes from.
	Dependencies         []string
	PropertyDependencies map[string][]string
}

// Stack is all resources of a stack.
type Stack struct {
	Resources []Resource
}

// When says in which stacks a rule must hold.
type When int

const (
	// Always is for mistakes in any stack.
	Always When = iota
	// Production is for requirements of production. In other stacks the rule is advisory.
	Production
	// Elsewhere is for settings that production requires and that other stacks cannot undo. It is advisory, and does not
	// apply to production.
	Elsewhere
)

// Rule is one rule. It checks single resources, or a resource in the context of the stack.
type Rule struct {
	// ID is the policy's name.
	ID string
	// Title says what holds if the rule is met.
	Title string
	// Remedy says what to do if it is not.
	Remedy string
	// Also are the ids of the same rule in Checkov (CKV_*) and PSRule for Azure.
	Also []string
	When When
	// Kinds are the kinds that it checks: a module and a type of azure-native, or a group and a kind of Kubernetes.
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

// Message says what is wrong and what to do. It never contains a value that could be secret.
func (f Finding) Message() string {
	message := f.Problem + ". " + f.Rule.Remedy
	if len(f.Rule.Also) > 0 {
		message += " (" + strings.Join(f.Rule.Also, ", ") + ")"
	}
	return message
}

// All returns the rules, in the order of the documentation.
func All() []Rule {
	return slices.Concat(mistakes, vaultRules, clusterRules, otherRules)
}

// OfStack reports whether the rule checks a resource in the context of the stack.
func (r Rule) OfStack() bool { return r.among != nil }

// Applies reports whether the rule checks resources of a type.
func (r Rule) Applies(typ string) bool { return slices.Contains(r.Kinds, Kind(typ)) }

// Check returns the findings about a single resource.
func (r Rule) Check(one Resource) []Finding {
	if r.alone == nil || !r.Applies(one.Type) {
		return nil
	}
	return r.findings(one, r.alone(one))
}

// CheckStack returns the findings about the resources of a stack in context.
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

// Kind returns what a type's token names, regardless of the version: keyvault:Vault for azure-native:keyvault:Vault,
// azure-native:keyvault/v20241101:Vault and azure-native_keyvault_v20260201:keyvault:Vault, and core:Pod for
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

// of returns the stack's resources of the given kinds.
func (s Stack) of(kinds ...string) []Resource {
	return slices.DeleteFunc(slices.Clone(s.Resources), func(one Resource) bool {
		return !slices.Contains(kinds, Kind(one.Type))
	})
}

// comesFrom reports whether a property's value comes from another resource, or from a component that contains it, as
// far as the engine knows.
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

// isAbout reports whether a property of a resource refers to another one, by its ARM id or its name. An unknown value
// refers to what it comes from, or to anything if that is unknown, too.
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

// name returns the resource's name in Azure, or the empty string if it is unknown.
func (r Resource) name(key string) string {
	for _, v := range []property.Value{r.Properties.Get(key), r.Outputs.Get("name")} {
		if text, ok := asText(v); ok && text != "" {
			return text
		}
	}
	return ""
}

// say returns one problem.
func say(format string, args ...any) []string { return []string{fmt.Sprintf(format, args...)} }
