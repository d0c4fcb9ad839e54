package infra_test

import (
	"strings"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

const (
	networkKey   = `{"addressSpace":"10.2.0.0/16","nodes":"10.2.0.0/20","endpoints":"10.2.16.0/24"}`
	getNetwork   = "azure-native:network/v20230601:getVirtualNetwork"
	nodesSubnet  = mockengine.Group + "/providers/Microsoft.Network/virtualNetworks/n/subnets/nodes"
	networkToken = "azure-native:network/v20230601:VirtualNetwork"
)

// The provider sends a network without subnets with those that exist.
func TestSubnets_AreSeparateResources(t *testing.T) {
	e := &mockengine.Engine{}
	if err := surround(t, e, map[string]string{"network": networkKey}); err != nil {
		t.Fatal(err)
	}
	if network := e.Get(t, "network"); network.Type != networkToken || network.At("subnets") != nil {
		t.Errorf("%s has the subnets %v", network.Type, network.At("subnets"))
	}
	nodes, endpoints := e.Get(t, "network-nodes"), e.Get(t, "network-endpoints")
	if !nodes.WaitsFor(e.Get(t, "network")) || !endpoints.WaitsFor(nodes) {
		t.Error("the subnets are not made one after the other")
	}
	if nodes.RPC.GetImportId() != "" || nodes.At("addressPrefix").StringValue() != "10.2.0.0/20" {
		t.Errorf("nodes is imported from %q, with %v", nodes.RPC.GetImportId(), nodes.Inputs)
	}
}

// Earlier versions created the subnets as a part of the network.
func TestSubnets_ImportExisting(t *testing.T) {
	subnet := map[string]any{"id": nodesSubnet, "name": "nodes", "addressPrefix": "10.2.0.0/20"}
	e := &mockengine.Engine{Answers: map[string]map[string]any{getNetwork: {"subnets": []any{subnet}}}}
	if err := surround(t, e, map[string]string{"network": networkKey}); err != nil {
		t.Fatal(err)
	}
	if id := e.Get(t, "network-nodes").RPC.GetImportId(); id != nodesSubnet {
		t.Errorf("nodes is imported from %q", id)
	}
	if id := e.Get(t, "network-endpoints").RPC.GetImportId(); id != "" {
		t.Errorf("endpoints is imported from %q", id)
	}
}

// Azure would not change the range of a subnet in use, and the write would drop what others have set.
func TestSubnets_RejectChangedRange(t *testing.T) {
	subnet := map[string]any{"id": nodesSubnet, "name": "nodes", "addressPrefix": "10.2.32.0/20"}
	e := &mockengine.Engine{Answers: map[string]map[string]any{getNetwork: {"subnets": []any{subnet}}}}
	err := surround(t, e, map[string]string{"network": networkKey})
	if err == nil || !strings.Contains(err.Error(), "network.nodes") || !strings.Contains(err.Error(), "10.2.32.0/20") {
		t.Errorf("got error %v", err)
	}
}
