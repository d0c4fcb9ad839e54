package main

import (
	"reflect"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
	"github.com/keyvault-aks/keyvault-aks/policy/rules"
)

// asRules returns the resources of a stack as the policy pack sees them.
func asRules(e *mockengine.Engine) (stack rules.Stack) {
	for _, one := range e.Resources() {
		from := map[string][]string{}
		for property, dependencies := range one.RPC.GetPropertyDependencies() {
			from[property] = dependencies.GetUrns()
		}
		stack.Resources = append(stack.Resources, rules.Resource{
			Type: one.Type, Name: one.Name, URN: one.URN, Parent: one.RPC.GetParent(), Protect: one.RPC.GetProtect(),
			Properties:   resource.FromResourcePropertyMap(one.Inputs),
			Dependencies: one.RPC.GetDependencies(), PropertyDependencies: from,
		})
	}
	return stack
}

// TestProd_PassesRules checks prod against the rules of the policy pack, which include those of Checkov and PSRule for
// Azure. Pulumi.prod.yaml explains the exceptions to the latter two.
func TestProd_PassesRules(t *testing.T) {
	for name, dryRun := range map[string]bool{"preview": true, "update": false} {
		stack := asRules(runStack(t, "prod", dryRun, nil))
		for _, rule := range rules.All() {
			if rule.When == rules.Elsewhere {
				continue
			}
			t.Run(name+"/"+rule.ID, func(t *testing.T) {
				looked := 0
				findings := rule.CheckStack(stack)
				for _, one := range stack.Resources {
					if rule.Applies(one.Type) {
						looked++
					}
					findings = append(findings, rule.Check(one)...)
				}
				for _, f := range findings {
					t.Errorf("%s: %s", f.URN, f.Message())
				}
				if rule.When == rules.Production && looked == 0 && rule.ID != "bare-pod" {
					t.Errorf("prod has nothing of %v", rule.Kinds)
				}
			})
		}
	}
}

// TestDev_PassesMandatoryRules checks that dev, although cheap, makes no mistakes.
func TestDev_PassesMandatoryRules(t *testing.T) {
	several := workloads(t, "dev", func(w []map[string]any) {
		w[0]["serviceAccounts"] = []map[string]any{{"name": "keyvault-sa"}, {"name": "worker"}, {"name": "cleaner"}}
	})
	stack := asRules(runStack(t, "dev", false, several))
	for _, rule := range rules.All() {
		findings := rule.CheckStack(stack)
		for _, one := range stack.Resources {
			findings = append(findings, rule.Check(one)...)
		}
		for _, f := range findings {
			if rule.When != rules.Production {
				t.Errorf("%s: %s", f.URN, f.Message())
			}
		}
	}
}

// TestProd_ExceedsRules checks what prod decides where the rules leave a choice.
func TestProd_ExceedsRules(t *testing.T) {
	e := runStack(t, "prod", false, nil)
	for _, one := range []struct {
		resource, path string
		want           any
	}{
		{"vault-vault", "properties.sku.name", "premium"}, // which keys in an HSM take
		{"vault-vault", "properties.softDeleteRetentionInDays", 90.0},
		{"vault-secret-my-secret", "properties.contentType", "text/plain"},
		{"vault-dns-zone-group", "privateDnsZoneConfigs[0].privateDnsZoneId",
			mockengine.Group + "/providers/Microsoft.Network/privateDnsZones/privatelink.vaultcore.azure.net"},
		{"vault-lock", "level", "CanNotDelete"},
		{"cluster-lock", "level", "CanNotDelete"},
		{"cluster-cluster", "networkProfile.networkPolicy", "cilium"},
		{"cluster-cluster", "networkProfile.loadBalancerSku", nil}, // AKS' default, which is Standard
		{"cluster-cluster", "autoUpgradeProfile.upgradeChannel", "stable"},
		{"cluster-cluster", "autoUpgradeProfile.nodeOSUpgradeChannel", "NodeImage"},
		{"cluster-cluster", "identity.type", "UserAssigned"},
		{"cluster-cluster", "agentPoolProfiles[0].enableNodePublicIP", false},
		{"cluster-pool-apps", "enableNodePublicIP", false},
		{"cluster-pool-apps", "mode", "User"},
		{"cluster-maintenance-upgrades", "maintenanceWindow.durationHours", 8.0},
		{"cluster-maintenance-node-os", "maintenanceWindow.durationHours", 8.0},
	} {
		switch at := e.Get(t, one.resource).At(one.path); {
		case at == nil:
			if one.want != nil {
				t.Errorf("%s has nothing at %s", one.resource, one.path)
			}
		case !reflect.DeepEqual(*at, resource.NewPropertyValue(one.want)):
			t.Errorf("%s has %v at %s, want %v", one.resource, at, one.path, one.want)
		}
	}
}

// TestProd_HasNoTestPod checks that production runs workloads only.
func TestProd_HasNoTestPod(t *testing.T) {
	e := runStack(t, "prod", false, nil)
	if _, ok := e.StackOutputs()["readSecretCommand"]; ok {
		t.Error("there is a command for a pod that does not exist")
	}
	for _, one := range e.Resources() {
		if one.Type == "kubernetes:core/v1:Pod" || one.Type == "kubernetes:apps/v1:Deployment" {
			t.Errorf("%s is a %s", one.Name, one.Type)
		}
	}
}

// TestProd_IsProtected checks that neither Pulumi nor Azure can accidentally delete what cannot be restored.
func TestProd_IsProtected(t *testing.T) {
	e := runStack(t, "prod", false, nil)
	for _, name := range []string{"vault-vault", "vault-secret-my-secret", "vault-key-my-key", "cluster-cluster"} {
		if !e.Get(t, name).RPC.GetProtect() {
			t.Errorf("%s is not protected", name)
		}
	}
}
