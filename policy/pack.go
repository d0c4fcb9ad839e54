package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/blang/semver"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/policyx"

	"github.com/keyvault-aks/keyvault-aks/policy/rules"
)

// productionKey is the configuration key with which a stack declares whether it is a production stack.
const productionKey = "keyvault-aks-policy:production"

var productionName = regexp.MustCompile(`(?i)(^|[^a-z0-9])(prod|production|prd|live)($|[^a-z0-9])`)

// production reports whether a stack must meet the production rules: as its configuration says, or else by its name.
func production(stack string, config func(key string) (string, bool)) (bool, error) {
	text, ok := config(productionKey)
	if !ok {
		return productionName.MatchString(stack), nil
	}
	is, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%s: given %q, allowed: true, false", productionKey, text)
	}
	return is, nil
}

// pack is the state that the policies share during one preview or update.
type pack struct {
	now time.Time
	say func(message string) error

	mu sync.Mutex
	// inputs are the registered inputs of resources. For the whole stack, the engine passes outputs.
	inputs     map[string]rules.Resource
	configured bool
	exemptions []rules.Exemption
}

// newPack returns the policies with their default levels, which the pack's configuration can change.
func newPack(production bool, now time.Time, say func(string) error) (policyx.PolicyPack, error) {
	p := &pack{now: now, say: say, inputs: map[string]rules.Resource{}}
	policies := []policyx.Policy{p.exempting()}
	for _, rule := range rules.All() {
		if rule.OfStack() {
			policies = append(policies, policyx.NewStackValidationPolicy(rule.ID, policyx.StackValidationPolicyArgs{
				Description: rule.Title, EnforcementLevel: level(rule.When, production),
				ValidateStack: func(_ context.Context, args policyx.StackValidationArgs) error {
					return p.report(args.Manager, rule.CheckStack(p.stack(args.Resources)))
				},
			}))
			continue
		}
		policies = append(policies, policyx.NewResourceValidationPolicy(rule.ID, policyx.ResourceValidationPolicyArgs{
			Description: rule.Title, EnforcementLevel: level(rule.When, production),
			ValidateResource: func(_ context.Context, args policyx.ResourceValidationArgs) error {
				return p.report(args.Manager, rule.Check(p.register(args.Resource)))
			},
		}))
	}
	return policyx.NewPolicyPack("keyvault-aks", semver.MustParse("0.1.0"), policyx.EnforcementLevelAdvisory, policies)
}

func level(when rules.When, production bool) policyx.EnforcementLevel {
	switch {
	case when == rules.Elsewhere && production:
		return policyx.EnforcementLevelDisabled
	case when == rules.Always || when == rules.Production && production:
		return policyx.EnforcementLevelMandatory
	}
	return policyx.EnforcementLevelAdvisory
}

// exempting returns the policy whose configuration contains the exemptions. It comes first: the engine passes one
// resource after another to all policies, and then the whole stack to the stack policies, which have no configuration.
func (p *pack) exempting() policyx.Policy {
	text := map[string]any{"type": "string"}
	return policyx.NewResourceValidationPolicy(exemptionsPolicy, policyx.ResourceValidationPolicyArgs{
		Description:      "Exemptions have a reason and have not ended",
		EnforcementLevel: policyx.EnforcementLevelMandatory,
		ConfigSchema: &policyx.ConfigSchema{Properties: map[string]map[string]any{"list": {
			"type": "array",
			"items": map[string]any{
				"type":                 "object",
				"properties":           map[string]any{"rule": text, "resource": text, "reason": text, "until": text},
				"required":             []any{"rule", "resource", "reason", "until"},
				"additionalProperties": false,
			},
		}}},
		ValidateResource: func(_ context.Context, args policyx.ResourceValidationArgs) error {
			p.register(args.Resource)
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.configured {
				return nil
			}
			p.configured = true
			list, err := exemptions(args.Config)
			if err != nil {
				return err
			}
			for i, one := range list {
				if err := one.Check(p.now); err != nil {
					args.Manager.ReportViolation(fmt.Sprintf("list[%d], of %s from %s: %v. Renew it with its reason, or remove it",
						i, one.Resource, one.Rule, err), "")
					continue
				}
				p.exemptions = append(p.exemptions, one)
			}
			return nil
		},
	})
}

const exemptionsPolicy = "exemptions"

// exemptions returns the exemptions in the configuration of their policy.
func exemptions(config map[string]any) (list []rules.Exemption, err error) {
	text, err := json.Marshal(config["list"])
	if err == nil {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		err = decoder.Decode(&list)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the configuration of %s: %w", exemptionsPolicy, err)
	}
	return list, nil
}

// report reports a violation to the engine, unless an exemption applies.
func (p *pack) report(to policyx.PolicyManager, findings []rules.Finding) error {
	for _, f := range findings {
		exempt := p.exemption(f)
		if exempt == nil {
			to.ReportViolation(f.Message(), f.URN)
			continue
		}
		said := fmt.Sprintf("%s is exempt from %s until %s: %s", exempt.Resource, exempt.Rule, exempt.Until, exempt.Reason)
		if err := p.say(said); err != nil {
			return err
		}
	}
	return nil
}

func (p *pack) exemption(f rules.Finding) *rules.Exemption {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.exemptions {
		if one.Exempts(f) {
			return &one
		}
	}
	return nil
}

func (p *pack) register(r policyx.AnalyzerResource) rules.Resource {
	one := rules.Resource{
		Type: r.Type, Name: r.Name, URN: r.URN, Parent: r.Parent, Properties: r.Properties, Protect: r.Options.Protect,
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inputs[r.URN] = one
	return one
}

// stack returns the whole stack. A resource that was not registered, such as in a targeted update, has its previous
// outputs.
func (p *pack) stack(resources []policyx.AnalyzerResource) rules.Stack {
	p.mu.Lock()
	defer p.mu.Unlock()
	var stack rules.Stack
	for _, r := range resources {
		one, ok := p.inputs[r.URN]
		if !ok {
			one = rules.Resource{Type: r.Type, Name: r.Name, URN: r.URN, Properties: r.Properties}
		}
		one.Parent, one.Outputs, one.Protect = r.Parent, r.Properties, r.Options.Protect
		one.Dependencies, one.PropertyDependencies = r.Dependencies, r.PropertyDependencies
		stack.Resources = append(stack.Resources, one)
	}
	return stack
}
