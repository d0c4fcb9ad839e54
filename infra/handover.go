package infra

import (
	"fmt"
	"path"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
)

// existing is a resource that the configuration declares as existing.
type existing struct {
	at   string // the key
	kind string // the type of such a resource in Pulumi, from its last colon on
	name string // in Azure, or the namespace and name in the cluster
}

// existing returns all resources that the configuration declares as existing.
func (cfg *Config) existing() []existing {
	var all []existing
	add := func(is bool, at, kind, name string) {
		if is {
			all = append(all, existing{at, kind, strings.ToLower(name)})
		}
	}
	add(cfg.ExistingResourceGroup, "existingResourceGroup", "ResourceGroup", cfg.ResourceGroupName)
	add(cfg.ExistingVaultID != "", "existingVaultId", "Vault", path.Base(cfg.ExistingVaultID))
	add(cfg.ExistingClusterID != "", "existingClusterId", "ManagedCluster", path.Base(cfg.ExistingClusterID))
	for i, w := range cfg.Workloads {
		at := fmt.Sprintf("workloads[%d]", i)
		add(w.ExistingNamespace, at+".existingNamespace", "Namespace", w.Namespace)
		add(w.ExistingIdentityID != "", at+".existingIdentityId", "UserAssignedIdentity", path.Base(w.ExistingIdentityID))
		for k, account := range w.ServiceAccounts {
			add(account.Existing, fmt.Sprintf("%s.serviceAccounts[%d].existing", at, k), "ServiceAccount",
				w.Namespace+"/"+account.Name)
		}
	}
	return all
}

// checkHandover rejects a configuration that declares as existing what this stack created. Pulumi would delete it with
// its contents, because the program no longer contains it.
func checkHandover(ctx *pulumi.Context, cfg *Config) error {
	exist := cfg.existing()
	if len(exist) == 0 && !cfg.AdoptObjects {
		return nil
	}
	made, err := recordedNames(ctx)
	if err != nil {
		return fmt.Errorf("reading the stack's state: %w", err)
	}
	var v violations
	for _, e := range exist {
		v.check(made[e.kind+" "+e.name] == "", e.at, e.name,
			"a resource that this stack did not create: Pulumi would delete this one")
	}
	for i, w := range cfg.Workloads {
		// A resource adopted under another name would be deleted under its old one.
		has := made["Namespace "+strings.ToLower(w.Namespace)]
		twice := cfg.AdoptObjects && has != "" && !w.ExistingNamespace && !w.hadNamespace(has)
		v.check(!twice, fmt.Sprintf("workloads[%d].name", i), w.Name,
			"with adoptObjects, a name that the workload had before, or formerName: the stack has its namespace as "+has)
	}
	if len(v) == 0 {
		return nil
	}
	v.hideLate(func(at string) bool { return ctx.IsConfigSecret(ctx.Project() + ":" + keyOf(at)) })
	return fmt.Errorf("configuration of stack %s: %w", ctx.Stack(), &components.ValidationError{Violations: v})
}

// hadNamespace reports whether the workload's namespace has, or had, the given name in Pulumi.
func (w *Workload) hadNamespace(name string) bool {
	for _, component := range []string{w.Name, w.FormerName, onlyIdentity} {
		if component != "" && (name == component+"-namespace-"+w.Namespace || name == component+"-namespace") {
			return true
		}
	}
	return false
}

// recordedNames returns the names in Pulumi of the resources in the stack's state, by kind and name.
func recordedNames(ctx *pulumi.Context) (map[string]string, error) {
	// All outputs are secret if one of them is, but names are not.
	var state map[string]any
	_, err := ctx.InvokePackageRaw("pulumi:pulumi:readStackResourceOutputs", &struct {
		StackName string `pulumi:"stackName"`
	}{ctx.Organization() + "/" + ctx.Project() + "/" + ctx.Stack()}, &state, "")
	if err != nil {
		return nil, err
	}
	made := map[string]string{}
	resources, _ := state["outputs"].(map[string]any)
	for urn, r := range resources {
		resource, _ := r.(map[string]any)
		kind, _ := resource["type"].(string)
		outputs, _ := resource["outputs"].(map[string]any)
		name, _ := outputs["name"].(string)
		if metadata, ok := outputs["metadata"].(map[string]any); ok {
			name, _ = metadata["name"].(string)
			if namespace, ok := metadata["namespace"].(string); ok {
				name = namespace + "/" + name
			}
		}
		made[kind[strings.LastIndex(kind, ":")+1:]+" "+strings.ToLower(name)] = urn[strings.LastIndex(urn, "::")+2:]
	}
	return made, nil
}
