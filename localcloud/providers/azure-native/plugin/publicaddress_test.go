package plugin

import (
	"net/netip"
	"path"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
)

func TestInvoke_ReadsOutboundAddressOfCluster(t *testing.T) {
	engine := startLocalCloud(t)(Version2)
	create := func(token string, inputs object) resource.PropertyMap {
		t.Helper()
		made, err := engine.Create(t.Context(), plugin.CreateRequest{
			URN: urn(token, "x"), Properties: resource.NewPropertyMapFromMap(inputs),
		})
		if err != nil {
			t.Fatalf("%s: %v", token, err)
		}
		return made.Properties
	}
	create("resources/v20220901:ResourceGroup", object{"resourceGroupName": "rg", "location": "eastus"})
	cluster := create("containerservice/v20240901:ManagedCluster", object{
		"resourceGroupName": "rg", "resourceName": "aks", "location": "eastus", "dnsPrefix": "aks",
		"identity":          object{"type": "SystemAssigned"},
		"agentPoolProfiles": []any{object{"name": "system", "mode": "System", "count": 1, "vmSize": "Standard_D2s_v5"}},
	}).Mappable()
	shown, _ := valueAt(cluster, "networkProfile.loadBalancerProfile.effectiveOutboundIPs").([]any)
	if len(shown) != 1 {
		t.Fatalf("got cluster %v, want one outbound address", cluster)
	}
	id, _ := shown[0].(object)["id"].(string)
	got, err := invoke(t, engine, "network/v20230601:getPublicIPAddress", resource.NewPropertyMapFromMap(object{
		"resourceGroupName": cluster["nodeResourceGroup"], "publicIpAddressName": path.Base(id),
	}))
	if err != nil {
		t.Fatal(err)
	}
	address := values(t, got)
	ip, _ := address["ipAddress"].(string)
	if _, err := netip.ParseAddr(ip); err != nil || address["id"] != id || address["publicIPAddressVersion"] != "IPv4" {
		t.Errorf("got %v", address)
	}
}
