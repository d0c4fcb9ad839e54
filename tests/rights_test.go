package tests

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// azureAlone are actions in the role files that Azure requires and the local cloud does not. Each needs a source.
var azureAlone []string

// TestRoles_AreLeastPrivilege brings stacks up and down as principals with exactly the roles in docs/roles, and checks
// that the roles have all actions that Azure Resource Manager required, and no others.
func TestRoles_AreLeastPrivilege(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	record := t.TempDir()
	if printed, _, err := c.tryUp(t, "--node=stand-in", "--record", record, "--config", "location=no where"); err == nil {
		t.Fatalf("up with an invalid location, which is only to start the cloud, succeeds: %s", printed)
	}
	deployer := c.newPrincipal(t, "deploy.json", "assign.json")
	previewer := c.newPrincipal(t, "preview.json")
	subscription := "/subscriptions/" + c.running(t).Credentials.SubscriptionID
	c.arm(t, http.MethodPut, subscription+"/resourceGroups/shared", "2022-09-01", `{"location": "eastus"}`)
	registry := subscription + "/resourceGroups/shared/providers/Microsoft.ContainerRegistry/registries/images"
	c.arm(t, http.MethodPut, registry, "2023-07-01", `{"location": "eastus", "sku": {"name": "Basic"}}`)
	before := c.resources(t)
	assigned := map[string]bool{} // by role id

	for _, stack := range []string{"dev", "prod"} {
		t.Run(stack, func(t *testing.T) {
			config := configuredTexts(t, stack)
			pools := config["keyvault-aks:nodePools"]
			if stack == "dev" {
				config["keyvault-aks:kubernetesVersion"] = "1.33"
			}
			if stack == "prod" {
				config["keyvault-aks:nodePools"] = strings.TrimSuffix(pools, "]") + `,{"name":"gone"}]`
				config["keyvault-aks:protect"], config["keyvault-aks:deployerRoles"] = "false", "true"
				config["keyvault-aks:vaultExpiryEvents"] = asJSON(t, map[string]any{
					"webhooks": map[string]string{"test": newWebhook(t, c).url}, "emails": []string{"somebody@example.com"},
				})
				config["keyvault-aks:containerRegistryIds"] = asJSON(t, map[string]string{"images": registry})
			}
			p := newProgram(t, c, ".", config)
			p.besides = previewer.environment(c.running(t).Credentials.TenantID)
			p.pulumi(t, "preview")
			if _, err := p.tryPulumi(t, "up", "--yes", "--skip-preview"); err == nil ||
				!strings.Contains(err.Error(), "AuthorizationFailed") {
				t.Errorf("up as the previewer: got %v, want AuthorizationFailed", err)
			}
			if now := c.resources(t); stack == "dev" && !slices.Equal(now, before) {
				t.Errorf("after an up as the previewer there is %v, want %v", now, before)
			}

			p.besides = deployer.environment(c.running(t).Credentials.TenantID)
			p.up(t)
			p.pulumi(t, "up", "--yes", "--skip-preview", "--expect-no-changes")
			if stack == "prod" {
				// An update sends again what others attached to the subnets.
				networks := slices.DeleteFunc(c.resources(t),
					func(id string) bool { return path.Base(path.Dir(id)) != "virtualnetworks" })
				if len(networks) != 1 {
					t.Fatalf("the networks are %v, want one", networks)
				}
				c.attachToSubnets(t, subscription+"/resourceGroups/keyvault-prod", networks[0])
			}
			p.configure(t, map[string]string{"keyvault-aks:tags": `{"team":"a"}`})
			p.up(t)
			c.wantConditionKept(t, deployer, assigned)

			p.besides = previewer.environment(c.running(t).Credentials.TenantID)
			there := c.resources(t)
			p.pulumi(t, "preview", "--expect-no-changes")
			p.pulumi(t, "preview", "--refresh")
			workloads := config["keyvault-aks:workloads"]
			p.configure(t, map[string]string{
				"keyvault-aks:tags": `{"team":"b"}`,
				// Labels for the first workload.
				"keyvault-aks:workloads": strings.Replace(workloads, `"mount":`, `"labels":{"team":"b"},"mount":`, 1),
			})
			p.pulumi(t, "preview")
			p.configure(t, map[string]string{"keyvault-aks:tags": `{"team":"a"}`, "keyvault-aks:workloads": workloads})
			if _, err := p.tryPulumi(t, "destroy", "--yes", "--skip-preview"); err == nil {
				t.Error("destroy as the previewer succeeds")
			}
			if now := c.resources(t); !slices.Equal(now, there) {
				t.Errorf("after a destroy as the previewer there is %v, want %v", now, there)
			}

			// The rejected destroy has removed the cluster's objects from the state, because they would go with the cluster.
			p.besides = deployer.environment(c.running(t).Credentials.TenantID)
			p.configure(t, map[string]string{"keyvault-aks:adoptObjects": "true"})
			p.up(t)
			p.configure(t, map[string]string{"keyvault-aks:adoptObjects": "false"})
			p.up(t)
			if stack == "prod" {
				p.configure(t, map[string]string{"keyvault-aks:lock": "false"})
				p.up(t)
				p.configure(t, map[string]string{"keyvault-aks:nodePools": pools, "keyvault-aks:maintenance": ""})
				p.up(t)
			}
			p.pulumi(t, "destroy", "--yes", "--skip-preview")
			p.pulumi(t, "stack", "rm", "--yes")
			if err := os.RemoveAll(p.dir); err != nil {
				t.Fatal(err)
			}
		})
	}
	if t.Failed() {
		return
	}
	for _, role := range assignableRoles(t) {
		if !assigned[role] {
			t.Errorf("the condition allows the role %s, which no stack assigns", role)
		}
	}
	for _, one := range []principal{deployer, previewer} {
		asked := map[string]bool{}
		content, err := os.ReadFile(filepath.Join(record, "asked.txt"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			if who, action, _ := strings.Cut(strings.TrimSpace(line), " "); who == one.ObjectID {
				asked[strings.ToLower(action)] = true
			}
		}
		for action := range one.may {
			if !asked[action] && !slices.Contains(azureAlone, action) {
				t.Errorf("%v allow %s, which nothing requires", one.files, action)
			}
		}
		for _, action := range slices.Sorted(maps.Keys(asked)) {
			// The previewer has also tried up and destroy.
			if !one.may[action] && (one.ObjectID == deployer.ObjectID || strings.HasSuffix(action, "/read")) {
				t.Errorf("%v do not allow %s, which was required", one.files, action)
			}
		}
	}
}

// assignableRoles returns the roles that the condition in docs/roles allows to assign.
func assignableRoles(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(checkout, "docs", "roles", "assign-condition.txt"))
	if err != nil {
		t.Fatal(err)
	}
	roles := regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`).FindAllString(string(content), -1)
	slices.Sort(roles)
	return slices.Compact(roles)
}

// wantConditionKept checks that a principal has assigned only roles that the condition allows, and adds them to
// assigned.
func (c *cloud) wantConditionKept(t *testing.T, by principal, assigned map[string]bool) {
	t.Helper()
	subscription := "/subscriptions/" + c.running(t).Credentials.SubscriptionID
	list := subscription + "/providers/Microsoft.Authorization/roleAssignments"
	for _, one := range c.arm(t, http.MethodGet, list, "2022-04-01", "")["value"].([]any) {
		properties := one.(map[string]any)["properties"].(map[string]any)
		if properties["createdBy"] != by.ObjectID {
			continue
		}
		role := path.Base(properties["roleDefinitionId"].(string))
		assigned[role] = true
		if !slices.Contains(assignableRoles(t), role) {
			t.Errorf("the stack assigns the role %s, which the condition does not allow", role)
		}
	}
}

// principal is a service principal with roles from docs/roles on the subscription.
type principal struct {
	ClientID, ObjectID, ClientSecret string

	files []string
	may   map[string]bool // the roles' actions in lower case
}

// environment returns the variables by which the Azure provider and kubelogin sign in as the principal.
func (p principal) environment(tenant string) []string {
	return []string{
		"ARM_CLIENT_ID=" + p.ClientID,
		"ARM_CLIENT_SECRET=" + p.ClientSecret,
		"AZURE_CLIENT_ID=" + p.ClientID,
		"AZURE_CLIENT_SECRET=" + p.ClientSecret,
		"AZURE_TENANT_ID=" + tenant,
	}
}

// roleFile is a custom role as `az role definition create` takes it.
type roleFile struct {
	Name, Description                                string
	Actions, NotActions, DataActions, NotDataActions []string
	AssignableScopes                                 []string
}

// newPrincipal creates a principal that has the roles in the files, and no others.
func (c *cloud) newPrincipal(t *testing.T, files ...string) principal {
	t.Helper()
	status, content := c.control(t, http.MethodPost, "/principals", "")
	made := principal{files: files, may: map[string]bool{}}
	if err := json.Unmarshal(content, &made); err != nil || status != http.StatusCreated {
		t.Fatalf("creating a principal: %d %s", status, content)
	}
	c.giveRoles(t, made)
	return made
}

// giveRoles gives a principal the roles in its files.
func (c *cloud) giveRoles(t *testing.T, made principal) {
	t.Helper()
	subscription := "/subscriptions/" + c.running(t).Credentials.SubscriptionID
	for _, file := range made.files {
		content, err := os.ReadFile(filepath.Join(checkout, "docs", "roles", file))
		var role roleFile
		if err == nil {
			err = json.Unmarshal(content, &role)
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(role.AssignableScopes) != 1 || !strings.HasPrefix(role.AssignableScopes[0], "/subscriptions/") {
			t.Errorf("%s is assignable at %v, want one subscription", file, role.AssignableScopes)
		}
		for _, action := range role.Actions {
			made.may[strings.ToLower(action)] = true
		}
		type object = map[string]any
		definition := subscription + "/providers/Microsoft.Authorization/roleDefinitions/" + uuid.NewString()
		c.arm(t, http.MethodPut, definition, "2022-04-01", asJSON(t, object{"properties": object{
			"roleName":         role.Name,
			"description":      role.Description,
			"type":             "CustomRole",
			"assignableScopes": []string{subscription},
			"permissions": []object{
				{
					"actions":        role.Actions,
					"notActions":     role.NotActions,
					"dataActions":    role.DataActions,
					"notDataActions": role.NotDataActions,
				},
			},
		}}))
		assignment := object{
			"roleDefinitionId": definition,
			"principalId":      made.ObjectID,
			"principalType":    "ServicePrincipal",
		}
		if file == "assign.json" {
			condition, err := os.ReadFile(filepath.Join(checkout, "docs", "roles", "assign-condition.txt"))
			if err != nil {
				t.Fatal(err)
			}
			assignment["condition"], assignment["conditionVersion"] = string(condition), "2.0"
		}
		c.arm(t, http.MethodPut, subscription+"/providers/Microsoft.Authorization/roleAssignments/"+uuid.NewString(),
			"2022-04-01", asJSON(t, object{"properties": assignment}))
	}
}
