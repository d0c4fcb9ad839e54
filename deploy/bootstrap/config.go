package main

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/infra"
)

// config is the stack's configuration. Pulumi.yaml describes every key and holds its default. An empty value omits a
// key. The components check the arguments that they get from it.
type config struct {
	Location          string            `pulumi:"location"`
	ResourceGroupName string            `pulumi:"resourceGroupName"`
	Tags              map[string]string `pulumi:"tags"`
	Protect           bool              `pulumi:"protect"`
	Audience          string            `pulumi:"audience"`
	Identities        []identityConfig  `pulumi:"identities"`

	SecretsProvider      secretsProvider              `pulumi:"secretsProvider"`
	KeyName              string                       `pulumi:"keyName"`
	KeySize              int                          `pulumi:"keySize"`
	KeyForDeployer       bool                         `pulumi:"keyForDeployer"`
	VaultAPIVersion      components.VaultAPIVersion   `pulumi:"vaultApiVersion"`
	VaultNamePrefix      string                       `pulumi:"vaultNamePrefix"`
	VaultSku             components.VaultSku          `pulumi:"vaultSku"`
	VaultRetentionDays   int                          `pulumi:"vaultRetentionDays"`
	VaultPurgeProtection bool                         `pulumi:"vaultPurgeProtection"`
	VaultNetwork         *components.VaultNetworkArgs `pulumi:"vaultNetwork"`

	// allTags are Tags and the tags that every resource gets.
	allTags pulumi.StringMap
}

// identityConfig is an identity that pipelines sign in with.
type identityConfig struct {
	Name           string   `pulumi:"name"`
	May            right    `pulumi:"may"`
	ResourceGroups []string `pulumi:"resourceGroups"`

	GitHub []gitHubTrust `pulumi:"github"`
	GitLab []gitLabTrust `pulumi:"gitlab"`
	Pulumi []pulumiTrust `pulumi:"pulumi"`
	ESC    []escTrust    `pulumi:"esc"`
	Other  []otherTrust  `pulumi:"other"`
}

// right is what an identity may do.
type right string

const (
	mayPreview right = "preview" // read, and change nothing
	mayDeploy  right = "deploy"  // bring stacks up and down
)

// secretsProvider is how stacks encrypt their secrets: with a key of a vault that this program creates, or with one of
// Pulumi's other providers.
type secretsProvider string

const (
	secretsInVault      secretsProvider = "azurekeyvault"
	secretsInCloud      secretsProvider = "default" // Pulumi Cloud
	secretsByPassphrase secretsProvider = "passphrase"
)

// credentialsMax is the number of federated credentials that Azure allows for an identity:
// https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations
const credentialsMax = 20

var (
	location     = regexp.MustCompile(`^[a-z0-9]+$`)
	identityName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)
	// https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations
	audienceRule = regexp.MustCompile(`^\S{1,600}$`)
)

func loadConfig(ctx *pulumi.Context, values map[string]string) (*config, error) {
	cfg := &config{}
	tags := map[string]string{"pulumi-project": ctx.Project(), "pulumi-stack": ctx.Stack()}
	check := func() []components.Violation {
		maps.Copy(tags, cfg.Tags)
		return cfg.validate(tags)
	}
	if err := infra.Decode(ctx, values, cfg, check); err != nil {
		return nil, err
	}
	cfg.allTags = pulumi.ToStringMap(tags)
	return cfg, nil
}

// violations collects the mistakes in the configuration.
type violations []components.Violation

func (v *violations) add(path, given, allowed string) {
	*v = append(*v, components.Violation{Path: path, Given: given, Allowed: allowed})
}

// check adds a violation unless ok.
func (v *violations) check(ok bool, path, given, allowed string) {
	if !ok {
		v.add(path, fmt.Sprintf("%q", given), allowed)
	}
}

// of adds a component's violations, under the configuration keys that set its arguments.
func (v *violations) of(err error, keys map[string]string) {
	var invalid *components.ValidationError
	if !errors.As(err, &invalid) {
		return
	}
	for _, one := range invalid.Violations {
		for argument, key := range keys {
			if rest, ok := strings.CutPrefix(one.Path, argument); ok {
				one.Path = key + rest
				break
			}
		}
		*v = append(*v, one)
	}
}

// validate checks the configuration. The tags are all tags of the resources.
func (cfg *config) validate(tags map[string]string) violations {
	var v violations
	v.check(location.MatchString(cfg.Location), "location", cfg.Location,
		"a location, lower-case letters and digits, such as eastus")
	v.of(components.ValidateResourceGroupName(cfg.ResourceGroupName), nil)
	v.of(components.ValidateTags(tags), nil)
	v.check(audienceRule.MatchString(cfg.Audience), "audience", cfg.Audience, "1-600 characters without spaces")
	switch cfg.SecretsProvider {
	case secretsInVault:
		v.of(cfg.vault(nil, nil).Validate(), map[string]string{
			"apiVersion": "vaultApiVersion", "namePrefix": "vaultNamePrefix", "sku": "vaultSku",
			"softDeleteRetentionDays": "vaultRetentionDays", "network": "vaultNetwork",
			"keys[0].name": "keyName", "keys[0].size": "keySize",
		})
	case secretsInCloud, secretsByPassphrase:
		v.check(!cfg.KeyForDeployer, "keyForDeployer", "true", "false without secretsProvider azurekeyvault")
	default:
		v.check(false, "secretsProvider", string(cfg.SecretsProvider), "azurekeyvault, default, passphrase")
	}
	if len(cfg.Identities) == 0 {
		v.add("identities", "nothing", "at least one identity")
	}
	seen := map[string]bool{}
	for i, one := range cfg.Identities {
		path := fmt.Sprintf("identities[%d]", i)
		v.check(identityName.MatchString(one.Name), path+".name", one.Name,
			"1-32 lower-case letters, digits and dashes, starting and ending with a letter or digit")
		v.check(!seen[one.Name], path+".name", one.Name, "a name used once in the list")
		seen[one.Name] = true
		v.check(one.May == mayPreview || one.May == mayDeploy, path+".may", string(one.May), "preview, deploy")
		cfg.validateResourceGroups(&v, path, one)
		cfg.validateTrusts(&v, path, one)
	}
	return v
}

func (cfg *config) validateResourceGroups(v *violations, path string, one identityConfig) {
	seen := map[string]bool{}
	for k, group := range one.ResourceGroups {
		at := fmt.Sprintf("%s.resourceGroups[%d]", path, k)
		v.of(components.ValidateResourceGroupName(group), map[string]string{"resourceGroupName": at})
		v.check(!seen[strings.ToLower(group)], at, group, "a group listed once, without regard to case")
		seen[strings.ToLower(group)] = true
		// Somebody who deploys to this group could let anybody sign in with any of the identities.
		v.check(!strings.EqualFold(group, cfg.ResourceGroupName), at, group,
			"an existing group, not this stack's own")
	}
}

// findResourceGroups fails if resource groups do not exist, and reports all of them at once.
func (cfg *config) findResourceGroups(ctx *pulumi.Context) error {
	var missing []error
	for i, one := range cfg.Identities {
		for k, group := range one.ResourceGroups {
			key := fmt.Sprintf("identities[%d].resourceGroups[%d]", i, k)
			missing = append(missing, infra.FindResourceGroup(ctx, group, key))
		}
	}
	return errors.Join(missing...)
}

func (cfg *config) validateTrusts(v *violations, path string, one identityConfig) {
	trusts := one.trusts(path, cfg.Audience)
	if len(trusts) == 0 || len(trusts) > credentialsMax {
		v.add(path, fmt.Sprintf("%d trusted subjects", len(trusts)),
			fmt.Sprintf("1-%d in github, gitlab, pulumi, esc and other together", credentialsMax))
	}
	subjects := map[string]bool{}
	for _, t := range trusts {
		if len(t.violations) > 0 {
			*v = append(*v, t.violations...)
			continue
		}
		v.check(len(t.subject) <= 600, t.path, t.subject, "a subject of at most 600 characters")
		v.check(!subjects[t.issuer+" "+t.subject], t.path, t.subject,
			"a subject listed once for this issuer in the identity")
		subjects[t.issuer+" "+t.subject] = true
	}
}
