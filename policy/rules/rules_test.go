package rules_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
	"gopkg.in/yaml.v3"

	"github.com/keyvault-aks/keyvault-aks/policy/rules"
)

// one is a resource of a test's stack.
type one struct {
	Name, Type          string
	Protect             bool
	Properties, Outputs map[string]any
	From                map[string]string
	After               []string
	Parent              string
}

// good returns the stack that meets every rule.
func good(t *testing.T) []*one {
	t.Helper()
	content, err := os.ReadFile("testdata/good.yaml")
	var stack []*one
	if err == nil {
		err = yaml.Unmarshal(content, &stack)
	}
	if err != nil {
		t.Fatal(err)
	}
	return stack
}

func urn(typ, name string) string { return "urn:pulumi:prod::project::" + typ + "::" + name }

// asRules returns the stack as the rules see it.
func asRules(stack []*one) (all rules.Stack) {
	of := map[string]string{}
	for _, r := range stack {
		of[r.Name] = urn(r.Type, r.Name)
	}
	for _, r := range stack {
		from := map[string][]string{}
		var after []string
		for key, name := range r.From {
			from[key] = []string{of[name]}
		}
		for _, name := range r.After {
			after = append(after, of[name])
		}
		all.Resources = append(all.Resources, rules.Resource{
			Type: r.Type, Name: r.Name, URN: of[r.Name], Protect: r.Protect, Dependencies: after, PropertyDependencies: from,
			Parent:     of[r.Parent],
			Properties: properties(r.Properties), Outputs: properties(r.Outputs),
		})
	}
	return all
}

func properties(of map[string]any) property.Map {
	return resource.FromResourcePropertyMap(marked(resource.NewProperty(resource.NewPropertyMapFromMap(of))).ObjectValue())
}

// marked replaces the marks of good.yaml with what they stand for.
func marked(v resource.PropertyValue) resource.PropertyValue {
	switch {
	case v.IsString() && v.StringValue() == "unknown!":
		return resource.MakeComputed(resource.NewProperty(""))
	case v.IsString() && strings.HasPrefix(v.StringValue(), "secret!"):
		return resource.MakeSecret(resource.NewProperty(strings.TrimPrefix(v.StringValue(), "secret!")))
	case v.IsArray():
		for i, item := range v.ArrayValue() {
			v.ArrayValue()[i] = marked(item)
		}
	case v.IsObject():
		for key, item := range v.ObjectValue() {
			v.ObjectValue()[key] = marked(item)
		}
	}
	return v
}

// broken returns the rules that a stack breaks, with the names of the resources.
func broken(stack []*one) (found []string) {
	all := asRules(stack)
	for _, rule := range rules.All() {
		findings := rule.CheckStack(all)
		for _, r := range all.Resources {
			findings = append(findings, rule.Check(r)...)
		}
		for _, f := range findings {
			found = append(found, rule.ID+" "+f.URN[strings.LastIndex(f.URN, ":")+1:])
		}
	}
	return found
}

// change changes the stack that meets every rule.
type change func(stack *[]*one)

// set sets a resource's value at a path, or removes it if it is nil.
func set(name, path string, value any) change {
	return func(stack *[]*one) {
		for _, r := range *stack {
			if r.Name != name {
				continue
			}
			at, err := resource.ParsePropertyPath(path)
			if err != nil {
				panic(err)
			}
			object := resource.NewPropertyValue(r.Properties)
			if value == nil {
				if !at.Delete(object) {
					panic(fmt.Sprintf("%s has nothing at %s", name, path))
				}
			} else if object, _ = at.Add(object, resource.NewPropertyValue(value)); !object.IsObject() {
				panic(fmt.Sprintf("%s cannot have anything at %s", name, path))
			}
			r.Properties = object.ObjectValue().Mappable()
			return
		}
		panic("there is no " + name)
	}
}

// without removes resources from the stack.
func without(names ...string) change {
	return func(stack *[]*one) {
		*stack = slices.DeleteFunc(*stack, func(r *one) bool { return slices.Contains(names, r.Name) })
	}
}

func with(r one) change { return func(stack *[]*one) { *stack = append(*stack, &r) } }

func edit(name string, how func(*one)) change {
	return func(stack *[]*one) {
		for _, r := range *stack {
			if r.Name == name {
				how(r)
			}
		}
	}
}

const (
	pool   = "agentPoolProfiles[0]."
	pods   = "spec.template.spec."
	params = "spec.parameters."
	role   = "/subscriptions/s/providers/Microsoft.Authorization/roleDefinitions/"
	vaults = "/subscriptions/s/resourceGroups/group/providers/Microsoft.KeyVault/vaults/"
)

// bad contains changes that each break one rule, by rule and resource.
var bad = map[string][]change{
	"vault-purge-protection vault":       {set("vault", "properties.enablePurgeProtection", nil)},
	"vault-purge-protection-false vault": {set("vault", "properties.enablePurgeProtection", false)},
	"vault-soft-delete vault": {
		set("vault", "properties.enableSoftDelete", false), set("vault", "properties.softDeleteRetentionInDays", 7),
	},
	"vault-rbac vault": {
		set("vault", "properties.enableRbacAuthorization", nil),
		set("vault", "properties.enableRbacAuthorization", false),
	},
	"vault-firewall vault": {
		set("vault", "properties.networkAcls", nil),
		set("vault", "properties.networkAcls.defaultAction", "Allow"),
	},
	"vault-public-access vault": {
		set("vault", "properties.publicNetworkAccess", nil),
		set("vault", "properties.publicNetworkAccess", "Enabled"),
	},
	"vault-private-endpoint vault": {
		without("endpoint"), set("endpoint", "privateLinkServiceConnections[0].groupIds[0]", "blob"),
		set("endpoint", "privateLinkServiceConnections[0].privateLinkServiceId", nil),
		edit("endpoint", func(r *one) { r.From["privateLinkServiceConnections"] = "cluster" }),
	},
	"vault-logs vault": {
		without("vault-diagnostics"),
		set("vault-diagnostics", "logs[0].enabled", false),
		set("vault-diagnostics", "workspaceId", nil),
		set("vault-diagnostics", "logs[0].category", "AzurePolicyEvaluationDetails"),
		set("vault-diagnostics", "resourceUri", vaults+"kv-other"),
	},
	"secret-expires secret": {set("secret", "properties.attributes", nil)},
	"secret-content-type secret": {
		set("secret", "properties.contentType", nil),
		set("secret", "properties.contentType", ""),
	},
	"key-expires key": {set("key", "properties.attributes.expires", nil)},
	"key-hsm key":     {set("key", "properties.kty", "RSA"), set("key", "properties.kty", nil)},
	"key-rotation key": {
		set("key", "properties.rotationPolicy", nil),
		set("key", "properties.rotationPolicy.lifetimeActions[1].action.type", "notify"),
	},

	"cluster-secrets-store cluster":    {set("cluster", "addonProfiles.azureKeyvaultSecretsProvider.enabled", false)},
	"cluster-secrets-rotation cluster": {set("cluster", "addonProfiles.azureKeyvaultSecretsProvider.config", nil)},
	"cluster-workload-identity cluster": {
		set("cluster", "oidcIssuerProfile", nil), set("cluster", "securityProfile.workloadIdentity.enabled", false),
	},
	"cluster-rbac cluster":           {set("cluster", "enableRBAC", false), set("cluster", "enableRBAC", nil)},
	"cluster-entra cluster":          {set("cluster", "aadProfile.managed", nil)},
	"cluster-azure-rbac cluster":     {set("cluster", "aadProfile.enableAzureRBAC", false)},
	"cluster-local-accounts cluster": {set("cluster", "disableLocalAccounts", nil)},
	"cluster-api-access cluster": {
		set("cluster", "apiServerAccessProfile.authorizedIPRanges", nil),
		set("cluster", "apiServerAccessProfile.authorizedIPRanges", []any{}),
		set("cluster", "apiServerAccessProfile.authorizedIPRanges[0]", "0.0.0.0/0"),
	},
	"cluster-run-command cluster": {set("cluster", "apiServerAccessProfile.disableRunCommand", nil)},
	"cluster-network-policy cluster": {
		set("cluster", "networkProfile.networkPolicy", nil),
		set("cluster", "networkProfile.networkPolicy", "none"),
	},
	"cluster-cni cluster": {
		set("cluster", "networkProfile.networkPlugin", "kubenet"),
		set("cluster", "networkProfile.networkPluginMode", nil),
	},
	"cluster-load-balancer cluster": {set("cluster", "networkProfile.loadBalancerSku", "Basic")},
	"cluster-policy-addon cluster":  {set("cluster", "addonProfiles.azurepolicy", nil)},
	"cluster-audit-logs cluster": {
		set("cluster-diagnostics", "logs[0].enabled", false),
		set("cluster-diagnostics", "logs[1].category", "kube-audit"),
	},
	"cluster-platform-logs cluster": {
		set("cluster-diagnostics", "logs[2].enabled", false),
		set("cluster-diagnostics", "metrics", nil),
	},
	"cluster-monitoring cluster": {set("cluster", "addonProfiles.omsagent.enabled", false)},
	"cluster-defender cluster":   {set("cluster", "securityProfile.defender", nil)},
	"cluster-upgrades cluster": {
		set("cluster", "autoUpgradeProfile.upgradeChannel", "none"),
		set("cluster", "autoUpgradeProfile.upgradeChannel", nil),
	},
	"cluster-node-upgrades cluster": {set("cluster", "autoUpgradeProfile.nodeOSUpgradeChannel", "Unmanaged")},
	"cluster-maintenance cluster": {without("upgrades"), without("node-os"),
		set("upgrades", "resourceName", "aks-other")},
	"cluster-sla cluster":           {set("cluster", "sku.tier", "Free"), set("cluster", "sku", nil)},
	"cluster-image-cleaner cluster": {set("cluster", "securityProfile.imageCleaner", nil)},
	"cluster-managed-identity cluster": {
		set("cluster", "identity", nil), set("cluster", "identity.type", "None"),
	},
	"pool-public-addresses cluster": {set("cluster", pool+"enableNodePublicIP", true)},
	"pool-public-addresses apps":    {set("apps", "enableNodePublicIP", true)},
	"pool-zones cluster":            {set("cluster", pool+"availabilityZones", nil)},
	"pool-zones apps":               {set("apps", "availabilityZones[2]", nil)},
	"pool-autoscaling apps":         {set("apps", "enableAutoScaling", nil)},
	"pool-nodes cluster":            {set("cluster", pool+"minCount", 2)},
	"pool-pods apps":                {set("apps", "maxPods", 30), set("apps", "maxPods", nil)},
	"pool-scale-sets cluster":       {set("cluster", pool+"type", "AvailabilitySet")},
	"pool-system cluster": {
		set("cluster", pool+"nodeTaints", nil),
		set("cluster", pool+"nodeTaints[0]", "spot=true:NoSchedule"),
	},
	"pool-ephemeral-disks apps":    {set("apps", "osDiskType", "Managed")},
	"pool-host-encryption cluster": {set("cluster", pool+"enableEncryptionAtHost", false)},
	"locked vault": {without("vault-lock"),
		edit("vault-lock", func(r *one) { r.From["scope"] = "cluster" })},
	"locked cluster":    {without("cluster-lock"), set("cluster-lock", "level", "NotSpecified")},
	"protected secret":  {edit("secret", func(r *one) { r.Protect = false })},
	"protected cluster": {edit("cluster", func(r *one) { r.Protect = false })},
	"namespace-pod-security namespace": {
		set("namespace", "metadata.labels", nil),
		set("namespace", `metadata.labels["pod-security.kubernetes.io/enforce"]`, "baseline"),
	},
	"bare-pod pod": {with(one{Name: "pod", Type: "kubernetes:core/v1:Pod"})},

	"class-workload-identity class": {
		set("class", params+"useVMManagedIdentity", "true"), set("class", params+"usePodIdentity", "True"),
		set("class", params+"useAzureTokenProxy", "true"), set("class", params+"userAssignedIdentityID", "id"),
	},
	"class-parameters class": {
		set("class", params+"clientID", nil), set("class", params+"clientID", ""), set("class", params+"keyvaultName", nil),
		set("class", params+"tenantID", nil),
	},
	"class-objects class": {
		set("class", params+"objects", nil),
		set("class", params+"objects", "array: []"),
		set("class", params+"objects", "- objectName: x"),
		set("class", params+"objects", "array:\n  - objectName: x\n    objectType: secret\n"),
		set("class", params+"objects", "array:\n  - '{objectName: x, objectType: Secret}'\n"),
		set("class", params+"objects", "array:\n  - '{objectType: secret, objectAlias: x}'\n"),
		set("class", params+"objects", "array:\n  - '{objectName: x, objectType: secret, objectAlias: ../x}'\n"),
		set("class", params+"objects", "array:\n  - '{objectName: x, objectType: secret, objectAlias: /x}'\n"),
		set("class", params+"objects",
			"array:\n  - '{objectName: x, objectType: secret}'\n  - '{objectName: x, objectType: key}'\n"),
	},
	"role-too-wide role": {
		set("role", "roleDefinitionId", role+"00482a5a-887f-4fb3-b363-3b7fe8e74483"),
		set("role", "roleDefinitionId", role+"B86A8FE4-44CE-4948-AEE5-ECCB2C155CD7"),
		set("role", "roleDefinitionId", role+"14b46e9e-c2b7-41b4-b07b-48a6ebf60603"),
		set("role", "roleDefinitionId", role+"8e3af657-a8ff-443c-a75c-2fe8c4bcb635"),
		func(stack *[]*one) { // of the nodes, and of an identity that is known by its principal
			set("role", "roleDefinitionId", role+"b24988ac-6180-42a0-ab88-20f7382dd24c")(stack)
			edit("role", func(r *one) { r.From["principalId"] = "cluster" })(stack)
		},
		func(stack *[]*one) {
			set("role", "roleDefinitionId", role+"b24988ac-6180-42a0-ab88-20f7382dd24c")(stack)
			set("role", "principalId", "33333333-3333-3333-3333-333333333333")(stack)
			edit("role", func(r *one) { r.From = nil })(stack)
		},
		func(stack *[]*one) { // which is a part of a component that the principal comes from
			set("role", "roleDefinitionId", role+"b24988ac-6180-42a0-ab88-20f7382dd24c")(stack)
			with(one{Name: "workload", Type: "keyvaultaks:index:WorkloadIdentity"})(stack)
			edit("identity", func(r *one) { r.Parent = "workload" })(stack)
			edit("role", func(r *one) { r.From["principalId"] = "workload" })(stack)
		},
	},
	"role-scope role": {
		set("role", "scope", vaults+"kv-prod-abc123"), set("role", "scope", "/subscriptions/s/resourceGroups/group"),
		set("role", "scope", "/subscriptions/s"),
	},
	"role-principal-type role": {set("role", "principalType", nil), set("role", "principalType", "User")},
	"credential-audience credential": {
		set("credential", "audiences", nil),
		set("credential", "audiences[0]", "https://vault.azure.net"),
		set("credential", "audiences", []any{"api://AzureADTokenExchange", "api://AzureADTokenExchange"}),
		set("credential", "audiences[0]", "api://azureadtokenexchange"),
		set("credential", "audiences[0]", "api://AzureADTokenExchangeChina"),
	},
	"credential-issuer credential": {
		set("credential", "issuer", "https://eastus.oic.prod-aks.azure.com/tenant/cluster"),
		set("credential", "issuer", "https://other.example/"),
		set("credential", "issuer", nil),
		set("credential", "issuer", "http://eastus.oic.prod-aks.azure.com/tenant/cluster/"),
	},
	"credential-issuer credential-2": {set("credential-2", "issuer", "http://token.actions.githubusercontent.com")},
	"credential-subject credential": {
		set("credential", "subject", "system:serviceaccount:payments:*"),
		set("credential", "subject", "system:serviceaccount:payments"),
		set("credential", "subject", "system:serviceaccount:payments:api "),
		set("credential", "subject", nil),
		set("credential", "subject", "system:serviceaccount::api"),
	},
	"credential-subject credential-2": {set("credential-2", "subject", "repo:owner/*:ref:refs/heads/main")},
	"credential-order identity": {
		edit("credential-2", func(r *one) { r.After = nil }),
		func(stack *[]*one) {
			for i, before := 0, "credential-2"; i < 19; i++ {
				name := fmt.Sprintf("more-%d", i)
				with(
					one{
						Name:  name,
						Type:  "azure-native:managedidentity:FederatedIdentityCredential",
						After: []string{before},
						Properties: map[string]any{
							"resourceName": "payments",
							"audiences":    []any{"api://AzureADTokenExchange"},
							"issuer":       "https://other.example",
							"subject":      name,
						},
					},
				)(stack)
				before = name
			}
		},
	},
	"secret-in-plain secret": {set("secret", "properties.value", "hunter2")},
	"config-map-in-plain configuration": {
		set("configuration", "data.dbPassword", "hunter2"), set("configuration", "data.clientSecret", "hunter2"),
		set("configuration", "data.password", "hunter2"), set("configuration", `data["DB_PASSWORD"]`, "hunter2"),
		set("configuration", `data["app.yaml"]`, "secret!hunter2"),
	},
	"kubeconfig-in-plain kubernetes": {set("kubernetes", "kubeconfig", "config")},
	"variable-in-plain app": {
		set("app", pods+"containers[0].env[2]", map[string]any{"name": "DB_PASSWORD", "value": "hunter2"}),
		set("app", pods+"containers[0].env[2].value", "secret!hunter2"),
		set("app", pods+"containers[0].args", []any{"--verbose", "secret!hunter2"}),
		set("app", pods+"initContainers",
			[]any{map[string]any{"env": []any{map[string]any{"name": "API_KEY", "value": "hunter2"}}}}),
	},
	"variable-in-plain jobs": {with(one{Name: "jobs", Type: "kubernetes:batch/v1:CronJob", Properties: map[string]any{
		"spec": map[string]any{
			"jobTemplate": map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
				"containers": []any{map[string]any{"env": []any{map[string]any{"name": "TOKEN", "value": "hunter2"}}}},
			}}}},
		},
	}})},
	"variable-in-plain legacy": {
		with(one{Name: "legacy", Type: "kubernetes:core/v1:ReplicationController", Properties: map[string]any{
			"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
				"containers": []any{map[string]any{"env": []any{map[string]any{"name": "PGPASSWORD", "value": "hunter2"}}}},
			}}},
		}}),
	},
	"variable-in-plain template": {
		with(one{Name: "template", Type: "kubernetes:core/v1:PodTemplate", Properties: map[string]any{
			"template": map[string]any{"spec": map[string]any{
				"containers": []any{map[string]any{"env": []any{map[string]any{"name": "apiKey", "value": "hunter2"}}}},
			}},
		}}),
	},
	"mount-sign-in app": {
		set("app", pods+"volumes[0].csi.readOnly", nil),
		set("app", pods+"volumes[0].csi.nodePublishSecretRef", map[string]any{"name": "x"}),
	},
	"mount-sub-path app": {set("app", pods+"containers[0].volumeMounts[0].subPath", "db/password")},
}

// fine are changes after which the stack still meets every rule.
var fine = map[string]change{
	"what is not known yet": func(stack *[]*one) {
		for _, path := range []string{"networkAcls", "enableRbacAuthorization", "publicNetworkAccess",
			"enablePurgeProtection"} {
			set("vault", "properties."+path, "unknown!")(stack)
		}
		for _, path := range []string{"addonProfiles", "agentPoolProfiles", "apiServerAccessProfile", "sku"} {
			set("cluster", path, "unknown!")(stack)
		}
		set("secret", "properties", "unknown!")(stack)
		set("key", "properties.rotationPolicy.lifetimeActions", "unknown!")(stack)
		set("credential", "audiences", "unknown!")(stack)
		set("credential", "issuer", "unknown!")(stack)
		set("credential", "subject", "unknown!")(stack)
		set("role", "scope", "unknown!")(stack)
		set("role", "roleDefinitionId", "unknown!")(stack)
		set("class", "spec.parameters.objects", "unknown!")(stack)
		set("configuration", "data", "unknown!")(stack)
		set("app", "spec.template", "unknown!")(stack)
		set("vault-diagnostics", "logs", "unknown!")(stack)
		set("namespace", "metadata", "unknown!")(stack)
	},
	"Azure's upper and lower case": func(stack *[]*one) {
		set("vault", "properties.networkAcls.defaultAction", "deny")(stack)
		set("cluster", "networkProfile.loadBalancerSku", "Standard")(stack)
		set("vault-diagnostics", "resourceUri", strings.ToUpper(vaults+"kv-prod-abc123"))(stack)
	},
	"groups of categories": func(stack *[]*one) {
		set("vault-diagnostics", "logs", []any{map[string]any{"categoryGroup": "audit", "enabled": true}})(stack)
		set("cluster-diagnostics", "logs", []any{map[string]any{"categoryGroup": "allLogs", "enabled": true}})(stack)
	},
	"a private cluster": func(stack *[]*one) {
		set("cluster", "apiServerAccessProfile.authorizedIPRanges", nil)(stack)
		set("cluster", "apiServerAccessProfile.enablePrivateCluster", true)(stack)
	},
	"a lock of the resource group": func(stack *[]*one) {
		without("cluster-lock")(stack)
		set("vault-lock", "scope", "/subscriptions/s/resourceGroups/Group")(stack)
	},
	"roles of other principals": func(stack *[]*one) {
		set("role", "roleDefinitionId", role+"b86a8fe4-44ce-4948-aee5-eccb2c155cd7")(stack)
		set("role", "principalId", "44444444-4444-4444-4444-444444444444")(stack)
		set("role", "principalType", "User")(stack)
		edit("role", func(r *one) { r.From = nil })(stack)
	},
	"an identity of continuous integration": func(stack *[]*one) {
		without("credential")(stack)
		set("role", "roleDefinitionId", role+"b86a8fe4-44ce-4948-aee5-eccb2c155cd7")(stack)
	},
	"a cluster of another stack": without("cluster", "cluster-lock"),
	"a class of another provider": func(stack *[]*one) {
		set("class", "spec", map[string]any{"provider": "vault", "parameters": map[string]any{}})(stack)
	},
	"variables that say where a secret is": func(stack *[]*one) {
		set("configuration", "data.SECRET_NAME", "db")(stack)
		set("configuration", "data.tokens", "3")(stack)
		set("configuration", "data.secretName", "db")(stack)
		set("configuration", "data.passwordFile", "/run/password")(stack)
		set("configuration", "data.publicKeyID", "3")(stack)
		set("app", pods+"containers[0].env[2]", map[string]any{"name": "TOKEN_URL", "value": "https://issuer.example"})(stack)
	},
}

func changed(t *testing.T, how change) []*one {
	t.Helper()
	stack := good(t)
	how(&stack)
	return stack
}

// throwAway is the finding of a production stack about a rule for other stacks.
const throwAway = "vault-throw-away vault"

func TestRules_FindViolations(t *testing.T) {
	seen := map[string]bool{}
	for want, changes := range bad {
		id, _, _ := strings.Cut(want, " ")
		seen[id] = true
		for i, how := range changes {
			if found := broken(changed(t, how)); !slices.Contains(found, want) {
				t.Errorf("change %d of %s is not found, but %q", i, want, found)
			}
		}
	}
	for _, rule := range rules.All() {
		if !seen[rule.ID] && rule.When != rules.Elsewhere {
			t.Errorf("no change breaks %s", rule.ID)
		}
	}
}

// TestRules_FindNothingElse checks that a change breaks one rule, or the listed related ones.
func TestRules_FindNothingElse(t *testing.T) {
	beside := map[string][]string{
		"vault-purge-protection-false": {"vault-purge-protection"},
		"vault-purge-protection":       {"vault-purge-protection-false"},
		"locked":                       {"locked"},
		"cluster-audit-logs":           {"cluster-platform-logs"},
		"vault-private-endpoint":       {"locked"},
	}
	for want, changes := range bad {
		id, _, _ := strings.Cut(want, " ")
		for i, how := range changes {
			for _, found := range broken(changed(t, how)) {
				other, _, _ := strings.Cut(found, " ")
				if other != id && found != throwAway && !slices.Contains(beside[id], other) {
					t.Errorf("change %d of %s also breaks %s", i, want, found)
				}
			}
		}
	}
}

func TestRules_PassGoodStack(t *testing.T) {
	if found := broken(good(t)); !slices.Equal(found, []string{throwAway}) {
		t.Errorf("broken are %q", found)
	}
	for name, how := range fine {
		t.Run(name, func(t *testing.T) {
			found := slices.DeleteFunc(broken(changed(t, how)), func(one string) bool { return one == throwAway })
			if len(found) > 0 {
				t.Errorf("broken are %q", found)
			}
		})
	}
	found := broken(changed(t, set("vault", "properties.enablePurgeProtection", nil)))
	if slices.Contains(found, throwAway) {
		t.Errorf("broken are %q", found)
	}
}

// TestRules_NeverShowASecret checks values that are marked as secret, and values that should be.
func TestRules_NeverShowASecret(t *testing.T) {
	for _, changes := range bad {
		for _, how := range changes {
			stack := asRules(changed(t, how))
			for _, rule := range rules.All() {
				findings := rule.CheckStack(stack)
				for _, r := range stack.Resources {
					findings = append(findings, rule.Check(r)...)
				}
				for _, f := range findings {
					if m := f.Message(); strings.Contains(m, "hunter2") || strings.Contains(m, "aHVudGVyMg") {
						t.Errorf("%s shows it: %s", rule.ID, m)
					}
				}
			}
		}
	}
}

// TestRules_NeverShowPartsOfASecret checks that all parts of a secret value are treated as secret.
func TestRules_NeverShowPartsOfASecret(t *testing.T) {
	for name, c := range map[string]struct{ typ, key, path string }{
		"the parameters of a class": {"class", "spec", "spec.parameters.userAssignedIdentityID"},
		"the objects of a class":    {"class", "spec", "spec.parameters.objects"},
		"the pools of a cluster":    {"cluster", "agentPoolProfiles", "agentPoolProfiles[0].osDiskType"},
		"a pod's specification":     {"app", "spec", pods + "volumes[0].csi.readOnly"},
		"the ranges of a cluster":   {"cluster", "apiServerAccessProfile", "apiServerAccessProfile.authorizedIPRanges[0]"},
		"the audiences":             {"credential", "audiences", "audiences[0]"},
		"the logs of a cluster":     {"cluster", "networkProfile", "networkProfile.networkPolicy"},
		"a vault":                   {"vault", "properties", "properties.publicNetworkAccess"},
	} {
		t.Run(name, func(t *testing.T) {
			value := "hunter2/0"
			if strings.HasSuffix(c.path, "objects") {
				value = "array: ['{objectName: hunter2, objectType: hunter2, objectAlias: /hunter2}']"
			}
			stack := asRules(changed(t, set(c.typ, c.path, value)))
			for i, r := range stack.Resources {
				if r.Name == c.typ {
					stack.Resources[i].Properties = r.Properties.Set(c.key, r.Properties.Get(c.key).WithSecret(true))
				}
			}
			found := 0
			for _, rule := range rules.All() {
				findings := rule.CheckStack(stack)
				for _, r := range stack.Resources {
					findings = append(findings, rule.Check(r)...)
				}
				for _, f := range findings {
					if found++; strings.Contains(f.Message(), "hunter2") {
						t.Errorf("%s shows it: %s", rule.ID, f.Message())
					}
				}
			}
			if found < 2 { // a vault that a stack cannot get rid of is one
				t.Error("nothing is found")
			}
		})
	}
}

func TestRules_AreDocumented(t *testing.T) {
	seen := map[string]bool{"all": true, "exemptions": true}
	for _, rule := range rules.All() {
		if seen[rule.ID] || rule.Title == "" || rule.Remedy == "" || strings.HasSuffix(rule.Remedy, ".") ||
			len(rule.Kinds) == 0 {
			t.Errorf("%+v", rule)
		}
		seen[rule.ID] = true
	}
}

func TestKind_IgnoresVersion(t *testing.T) {
	for token, want := range map[string]string{
		"azure-native:keyvault/v20241101:Vault":                              "keyvault:Vault",
		"azure-native:keyvault:Vault":                                        "keyvault:Vault",
		"azure-native_keyvault_v20260201:keyvault:Vault":                     "keyvault:Vault",
		"azure-native_keyvault_v20260201:keyvault/v20260201:Vault":           "keyvault:Vault",
		"azure-nativex:keyvault:Vault":                                       "",
		"azure:keyvault/keyVault:KeyVault":                                   "",
		"kubernetes:core/v1:Secret":                                          "core:Secret",
		"kubernetes:apps/v1:Deployment":                                      "apps:Deployment",
		"kubernetes:secrets-store.csi.x-k8s.io/v1:SecretProviderClass":       "secrets-store.csi.x-k8s.io:SecretProviderClass",
		"kubernetes:secrets-store.csi.x-k8s.io/v1alpha1:SecretProviderClass": "secrets-store.csi.x-k8s.io:SecretProviderClass",
		"pulumi:providers:kubernetes":                                        "providers:kubernetes",
		"keyvaultaks:index:KeyVaultStack":                                    "",
		"pulumi:pulumi:Stack":                                                "pulumi:Stack",
		"Stack":                                                              "",
	} {
		if got := rules.Kind(token); got != want {
			t.Errorf("%s is %q, want %q", token, got, want)
		}
	}
}

func TestExemptions_Check(t *testing.T) {
	day := time.Date(2026, 11, 28, 23, 59, 0, 0, time.UTC)
	valid := rules.Exemption{
		Rule:     "vault-firewall",
		Resource: "vault",
		Reason:   "until the network is there",
		Until:    "2026-11-28",
	}
	if err := valid.Check(day); err != nil {
		t.Error(err)
	}
	if err := valid.Check(day.Add(time.Minute)); err == nil {
		t.Error("one that has ended is valid")
	}
	for name, how := range map[string]func(*rules.Exemption){
		"no rule":       func(e *rules.Exemption) { e.Rule = "vault-fire" },
		"every rule":    func(e *rules.Exemption) { e.Rule = "*" },
		"no resource":   func(e *rules.Exemption) { e.Resource = "" },
		"all resources": func(e *rules.Exemption) { e.Resource = "**" },
		"all URNs":      func(e *rules.Exemption) { e.Resource = "urn:*" },
		"all of a type": func(e *rules.Exemption) { e.Resource = "urn:*::azure-native:keyvault:Vault::*" },
		"no reason":     func(e *rules.Exemption) { e.Reason = " " },
		"no day":        func(e *rules.Exemption) { e.Until = "" },
		"no such day":   func(e *rules.Exemption) { e.Until = "2026-11-31" },
		"a time":        func(e *rules.Exemption) { e.Until = "2026-12-01T00:00:00Z" },
	} {
		e := valid
		if how(&e); e.Check(day) == nil {
			t.Errorf("%s: it is valid", name)
		}
	}
	rule := func(id string) rules.Rule {
		return rules.All()[slices.IndexFunc(rules.All(), func(r rules.Rule) bool { return r.ID == id })]
	}
	for _, c := range []struct {
		resource, rule, name string
		want                 bool
	}{
		{"vault", "vault-firewall", "vault", true},
		{"vault", "vault-rbac", "vault", false},
		{"vault", "vault-firewall", "vault-2", false},
		{"vault*", "vault-firewall", "vault-2", true},
		{"v.ult", "vault-firewall", "vault", false},
		{"urn:pulumi:prod::*::vault", "vault-firewall", "vault", true},
		{"urn:pulumi:dev::*::vault", "vault-firewall", "vault", false},
		{"*:*", "vault-firewall", "vault", false},
		{"*:vault", "vault-firewall", "vault", false},
		{"*vault", "vault-firewall", "other::vault", true},
		{"vault", "vault-firewall", "other::vault", false},
		{"vault*", "vault-firewall", "vault\nof two lines", true},
	} {
		e := valid
		e.Resource = c.resource
		f := rules.Finding{Rule: rule(c.rule), URN: urn("azure-native:keyvault:Vault", c.name)}
		if got := e.Exempts(f); got != c.want {
			t.Errorf("%s exempts %s from %s: %v, want %v", c.resource, c.name, c.rule, got, c.want)
		}
	}
}
