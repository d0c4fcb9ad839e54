package tests

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// TestSubnets_KeepWhatOthersAttach checks that a stack's subnets keep a route table and a network security group that
// somebody else attached, when the stack changes tags or an address range, with a refresh and without.
func TestSubnets_KeepWhatOthersAttach(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	config := []string{
		"--node=stand-in", "--config", "network={addressSpace: 10.10.0.0/16, nodes: 10.10.0.0/20, endpoints: 10.10.16.0/24}",
	}
	c.up(t, config...)
	c.pulumi(t, "preview", "--expect-no-changes")

	group := "/subscriptions/" + c.running(t).Credentials.SubscriptionID + "/resourceGroups/keyvault-demo"
	c.attachToSubnets(t, group, c.resourceNamed(t, "network").ID)
	for _, team := range []string{"a", "b", "c"} {
		if team == "b" {
			c.pulumi(t, "refresh", "--yes", "--skip-preview")
		}
		c.up(t, append(config, "--config", "tags={team: "+team+"}")...)
		c.wantAttached(t, "the tag "+team, group, c.resourceNamed(t, "network").ID)
		c.pulumi(t, "preview", "--expect-no-changes")
	}
	network := c.arm(t, http.MethodGet, c.resourceNamed(t, "network").ID, "2023-06-01", "")
	if team := network["tags"].(map[string]any)["team"]; team != "c" {
		t.Errorf("the network has the tag team %v, want c", team)
	}
	// The empty subnet gets another range in Azure first, and then in the configuration. The state knows neither the range
	// nor what is attached now.
	config = append(config, "--config", "vaultPrivateEndpoint={external: true}")
	c.up(t, append(config, "--config", "tags={team: c}")...)
	for _, name := range []string{"routeTables/hub", "networkSecurityGroups/policy"} {
		c.arm(t, http.MethodPut, group+"/providers/Microsoft.Network/"+name+"2", "2023-06-01", `{"location":"eastus"}`)
	}
	endpoints := c.resourceNamed(t, "network").ID + "/subnets/endpoints"
	subnet := c.arm(t, http.MethodGet, endpoints, "2023-06-01", "")
	theirs := strings.NewReplacer("10.10.16.0/24", "10.10.16.0/23", "routeTables/hub", "routeTables/hub2",
		"networkSecurityGroups/policy", "networkSecurityGroups/policy2").Replace(asJSON(t, subnet))
	c.arm(t, http.MethodPut, endpoints, "2023-06-01", theirs)
	config[2] = strings.Replace(config[2], "10.10.16.0/24", "10.10.16.0/23", 1)
	c.up(t, append(config, "--config", "tags={team: d}")...)
	text := asJSON(t, c.arm(t, http.MethodGet, endpoints, "2023-06-01", ""))
	for _, part := range []string{"10.10.16.0/23", "routeTables/hub2", "networkSecurityGroups/policy2"} {
		if !strings.Contains(text, part) {
			t.Errorf("after the change of range, the subnet lacks %s: %s", part, text)
		}
	}
	c.pulumi(t, "preview", "--expect-no-changes")
	c.pulumi(t, "destroy", "--yes", "--skip-preview")
}

// attachToSubnets attaches a route table and a network security group to both subnets of a network. Like az, it sends
// back what the subnets have.
func (c *cloud) attachToSubnets(t *testing.T, group, network string) {
	t.Helper()
	table := group + "/providers/Microsoft.Network/routeTables/hub"
	security := group + "/providers/Microsoft.Network/networkSecurityGroups/policy"
	c.arm(t, http.MethodPut, table, "2023-06-01", `{"location":"eastus"}`)
	c.arm(t, http.MethodPut, security, "2023-06-01", `{"location":"eastus"}`)
	for _, name := range []string{"nodes", "endpoints"} {
		subnet := c.arm(t, http.MethodGet, network+"/subnets/"+name, "2023-06-01", "")
		properties := subnet["properties"].(map[string]any)
		properties["routeTable"] = map[string]any{"id": table}
		properties["networkSecurityGroup"] = map[string]any{"id": security}
		c.arm(t, http.MethodPut, network+"/subnets/"+name, "2023-06-01", asJSON(t, subnet))
	}
}

// wantAttached checks that both are still attached, and that the program's service endpoint is there.
func (c *cloud) wantAttached(t *testing.T, after, group, network string) {
	t.Helper()
	for name, endpoint := range map[string]string{"nodes": "Microsoft.KeyVault", "endpoints": ""} {
		text := asJSON(t, c.arm(t, http.MethodGet, network+"/subnets/"+name, "2023-06-01", ""))
		for _, part := range []string{
			group + "/providers/Microsoft.Network/routeTables/hub",
			group + "/providers/Microsoft.Network/networkSecurityGroups/policy",
			endpoint,
		} {
			if !strings.Contains(text, part) {
				t.Errorf("after %s, %s lacks %s: %s", after, name, part, text)
			}
		}
	}
}

func asJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
