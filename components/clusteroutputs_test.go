package components_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

const addressFunction = "azure-native:network/v20230601:getPublicIPAddress"

// addressID returns the id of a public address in the nodes' resource group.
func addressID(name string) string {
	return "/subscriptions/22222222-2222-2222-2222-222222222222/resourceGroups/nodes" +
		"/providers/Microsoft.Network/publicIPAddresses/" + name
}

// described returns Azure's description of a cluster, beyond what mounts need.
func described(change map[string]any) map[string]any {
	more := map[string]any{
		"fqdn": mockengine.FQDN, "nodeResourceGroup": "nodes",
		"identityProfile": map[string]any{"kubeletidentity": map[string]any{
			"resourceId": "kubelet-id", "clientId": "kubelet-client-id", "objectId": "kubelet-principal-id",
		}},
		"networkProfile": map[string]any{"loadBalancerProfile": map[string]any{"effectiveOutboundIPs": []any{
			map[string]any{"id": addressID("a")}, map[string]any{"id": addressID("b")},
		}}},
	}
	maps.Copy(more, change)
	return existingCluster(more)
}

// wantDescribed checks the outputs about a cluster.
func wantDescribed(t *testing.T, got resource.PropertyMap, want map[string]any) {
	t.Helper()
	for key, value := range want {
		if got := got[resource.PropertyKey(key)]; !reflect.DeepEqual(got, resource.NewPropertyValue(value)) {
			t.Errorf("%s is %v, want %v", key, got, value)
		}
	}
}

func TestAksWithCsi_DescribesClusterInOutputs(t *testing.T) {
	want := map[string]any{
		"fqdn": mockengine.FQDN, "nodeResourceGroup": "nodes", "kubeletIdentityId": "kubelet-id",
		"kubeletClientId": "kubelet-client-id", "kubeletPrincipalId": "kubelet-principal-id",
		"outboundIps": []any{mockengine.OutboundIP},
	}
	made := runCluster(t, func(*components.AksWithCsiArgs) {})
	wantDescribed(t, made.Get(t, "cluster").Outputs, want)

	existing := &mockengine.Engine{Answers: map[string]map[string]any{lookupFunction: described(nil)}}
	if err := runExisting(existing, existingArgs(), nil); err != nil {
		t.Fatal(err)
	}
	want["outboundIps"] = []any{mockengine.OutboundIP, mockengine.OutboundIP}
	wantDescribed(t, existing.Get(t, "cluster").Outputs, want)
	var asked []string
	for _, call := range existing.Invoked() {
		if call.Token == addressFunction {
			group, name := call.Args["resourceGroupName"], call.Args["publicIpAddressName"]
			asked = append(asked, group.StringValue()+"/"+name.StringValue())
		}
	}
	if !slices.Equal(asked, []string{"nodes/a", "nodes/b"}) {
		t.Errorf("the addresses that are asked for are %v", asked)
	}
}

func TestAksWithCsi_LeavesOutputsEmptyWithGivenKubeconfig(t *testing.T) {
	e := &mockengine.Engine{}
	if err := runExisting(e, existingByKubeconfig(), nil); err != nil {
		t.Fatal(err)
	}
	wantDescribed(t, e.Get(t, "cluster").Outputs, map[string]any{
		"clusterId": "", "clusterName": "", "fqdn": "", "nodeResourceGroup": "",
		"kubeletIdentityId": "", "kubeletClientId": "", "kubeletPrincipalId": "", "outboundIps": []any{},
	})
	if calls := e.Invoked(); len(calls) > 0 {
		t.Errorf("%s is called", calls[0].Token)
	}
}

func TestAksWithCsi_OmitsMissingParts(t *testing.T) {
	for name, test := range map[string]struct {
		change, want map[string]any
	}{
		"a private cluster has a private name": {
			map[string]any{"privateFQDN": "private.example"}, map[string]any{"fqdn": "private.example"},
		},
		"nodes leave by a gateway of AKS'": {
			map[string]any{"networkProfile": map[string]any{"natGatewayProfile": map[string]any{
				"effectiveOutboundIPs": []any{map[string]any{"id": addressID("nat")}},
			}}},
			map[string]any{"outboundIps": []any{mockengine.OutboundIP}},
		},
		"nodes leave by routes of others": {
			map[string]any{"networkProfile": map[string]any{}}, map[string]any{"outboundIps": []any{}},
		},
		"an address is a prefix": {
			map[string]any{"networkProfile": map[string]any{"loadBalancerProfile": map[string]any{"effectiveOutboundIPs": []any{
				map[string]any{"id": strings.Replace(addressID("a"), "publicIPAddresses", "publicIPPrefixes", 1)}, map[string]any{},
			}}}},
			map[string]any{"outboundIps": []any{}},
		},
		"Azure tells little": {
			map[string]any{"fqdn": nil, "nodeResourceGroup": nil, "identityProfile": nil, "networkProfile": nil},
			map[string]any{
				"fqdn": "", "nodeResourceGroup": "", "kubeletIdentityId": "", "kubeletClientId": "", "kubeletPrincipalId": "",
				"outboundIps": []any{},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := &mockengine.Engine{Answers: map[string]map[string]any{lookupFunction: described(test.change)}}
			if err := runExisting(e, existingArgs(), nil); err != nil {
				t.Fatal(err)
			}
			wantDescribed(t, e.Get(t, "cluster").Outputs, test.want)
		})
	}
}

func TestAksWithCsi_LogsUnreadableAddress(t *testing.T) {
	e := &mockengine.Engine{Answers: map[string]map[string]any{lookupFunction: described(nil), addressFunction: nil}}
	if err := runExisting(e, existingArgs(), nil); err != nil {
		t.Fatal(err)
	}
	wantDescribed(t, e.Get(t, "cluster").Outputs, map[string]any{"outboundIps": []any{}})
	said := strings.Join(e.Infos(), "\n")
	for _, id := range []string{addressID("a"), addressID("b")} {
		if !strings.Contains(said, id) {
			t.Errorf("%s is not said to be left out: %s", id, said)
		}
	}
}

func TestAksWithCsi_ExposesManagedCluster(t *testing.T) {
	e := &mockengine.Engine{Answers: map[string]map[string]any{lookupFunction: existingCluster(nil)}}
	run(t, e, func(ctx *pulumi.Context) error {
		made, err := components.NewAksWithCsi(ctx, "made", aksArgs())
		if err != nil {
			return err
		}
		existing, err := components.NewAksWithCsi(ctx, "existing", existingArgs())
		if err != nil {
			return err
		}
		if existing.ManagedCluster != nil {
			t.Error("a cluster of others is handed out")
		}
		if made.ManagedCluster == nil {
			t.Fatal("the cluster is not handed out")
		}
		wantOutput(t, ctx, "its name", made.ManagedCluster.Name, "aks")
		return nil
	})
}
