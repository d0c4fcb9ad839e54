package engine

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"

	"github.com/keyvault-aks/keyvault-aks/localcloud/providers/azure-native/plugin"
)

func TestCreated_IgnoresUpdates(t *testing.T) {
	for _, typ := range []string{"azure-native:keyvault/v20241101:Vault", "kubernetes:core/v1:Pod"} {
		op := pendingOperation{Type: "updating"}
		op.Resource.Type = typ
		// Without a client, any request would panic.
		if there, err := op.created(t.Context(), nil, "s", nil); there.id != "" || err != nil {
			t.Errorf("%s: %q, %v", typ, there.id, err)
		}
	}
}

// TestCreated_TakesOnlyTheProvidersObject has objects of the same name that others have created.
func TestCreated_TakesOnlyTheProvidersObject(t *testing.T) {
	const made = `"managedFields": [{"manager": "kubelet"}, {"manager": "pulumi-kubernetes"}]`
	pod := func(metadata, spec string) string {
		return `{"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "namespace": "ns", ` + metadata +
			`}, "spec": {` + spec + `}}`
	}
	for name, test := range map[string]struct {
		live string
		ours bool
	}{
		"nothing": {"", false},
		"created by the provider": {pod(`"uid": "u", "labels": {"a": "b", "c": "d"}, `+made,
			`"containers": [{"name": "c", "image": "i"}], "nodeName": "n"`), true},
		"other contents":  {pod(`"labels": {"a": "b"}, `+made, `"containers": [{"name": "other"}]`), false},
		"without a label": {pod(made, `"containers": [{"name": "c"}]`), false},
		"created by another": {pod(`"labels": {"a": "b"}, "managedFields": [{"manager": "kubectl"}]`,
			`"containers": [{"name": "c"}]`), false},
	} {
		op := pendingOperation{Type: "creating"}
		op.Resource.Type = "kubernetes:core/v1:Pod"
		op.Resource.Inputs = map[string]any{
			"kind": "Pod", "apiVersion": "v1",
			"metadata": map[string]any{"name": "p", "namespace": "ns", "labels": map[string]any{"a": "b"}},
			"spec":     map[string]any{"containers": []any{map[string]any{"name": "c"}}},
		}
		there, err := op.created(t.Context(), nil, "s", func(_ context.Context, of, kind, in, called string) ([]byte, error) {
			if got := []string{of, kind, in, called}; !slices.Equal(got, []string{"v1", "Pod", "ns", "p"}) {
				t.Errorf("%s: asked for %q", name, got)
			}
			return []byte(test.live), nil
		})
		if err != nil || (there.id == "ns/p") != test.ours {
			t.Errorf("%s: got id %q, want one: %t: %v", name, there.id, test.ours, err)
		}
	}
}

// answers is a transport that records the last request.
type answers struct{ asked, body string }

func (a *answers) Do(req *http.Request) (*http.Response, error) {
	a.asked = req.URL.Path + "?" + req.URL.RawQuery
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(a.body)), Request: req}, nil
}

func (*answers) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "t", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func TestCreated_FindsVaultInBothVersions(t *testing.T) {
	const id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv"
	for token, version := range map[string]string{
		"azure-native:keyvault/v20241101:Vault":                    "2024-11-01",
		"azure-native_keyvault_v20260201:keyvault/v20260201:Vault": "2026-02-01",
	} {
		azure := &answers{body: `{"id": "` + id + `", "properties": {"vaultUri": "https://kv.vault.azure.net/"}}`}
		options := arm.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: azure}}
		client, err := armresources.NewClient("s", azure, &options)
		if err != nil {
			t.Fatal(err)
		}
		op := pendingOperation{Type: "creating"}
		op.Resource.Type, op.Resource.Inputs = token, map[string]any{"resourceGroupName": "rg", "vaultName": "kv"}
		there, err := op.created(t.Context(), client, "s", nil)
		if err != nil || there.id != id || there.outputs["azureApiVersion"] != version {
			t.Errorf("%s: %v, %v", token, there, err)
		}
		if want := id + "?api-version=" + version; azure.asked != want {
			t.Errorf("%s: asked for %s, want %s", token, azure.asked, want)
		}
	}
}

// TestSettled_KeepsOutputs checks that outputs go to the state. Without them the next up would replace resources with
// values that Azure chose.
func TestSettled_KeepsOutputs(t *testing.T) {
	s, err := parseState(apitype.UntypedDeployment{Deployment: []byte(`{
		"resources": [{"urn": "a"}],
		"pending_operations": [
			{"type": "creating", "resource": {"urn": "b", "inputs": {"x": 1}}},
			{"type": "creating", "resource": {"urn": "c"}},
			{"type": "updating", "resource": {"urn": "d"}}
		]
	}`)})
	if err != nil {
		t.Fatal(err)
	}
	outputs, err := plugin.Outputs("azure-native:containerservice/v20240901:ManagedCluster",
		map[string]any{"id": "/b", "properties": map[string]any{"nodeResourceGroup": "MC_chosen"}})
	if err != nil {
		t.Fatal(err)
	}
	edited, err := s.settled(map[string]created{"b": {"/b", outputs}})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Deployment struct {
			Resources []struct {
				URN, ID         string
				Inputs, Outputs map[string]any
			}
			Pending []struct{ Type string } `json:"pending_operations"`
		}
	}
	if err := json.Unmarshal(edited, &got); err != nil {
		t.Fatal(err)
	}
	d := got.Deployment
	if len(d.Resources) != 2 || d.Resources[1].ID != "/b" || d.Resources[1].Inputs["x"] != 1.0 ||
		d.Resources[1].Outputs["nodeResourceGroup"] != "MC_chosen" {
		t.Errorf("resources: %v", d.Resources)
	}
	if len(d.Pending) != 1 || d.Pending[0].Type != "updating" {
		t.Errorf("pending: %v", d.Pending)
	}
}

func TestSettled_DropsFirstResourceOfKilledRun(t *testing.T) {
	const deployment = `{"pending_operations": [{"type": "creating", "resource": {"urn": "a"}}]}`
	s, err := parseState(apitype.UntypedDeployment{Deployment: []byte(deployment)})
	if err != nil {
		t.Fatal(err)
	}
	if edited, err := s.settled(nil); err != nil || strings.Contains(string(edited), "urn") {
		t.Errorf("%s, %v", edited, err)
	}
}

// TestCreated_DistinguishesUnnamedResources from failures, since up and down continue without them.
func TestCreated_DistinguishesUnnamedResources(t *testing.T) {
	hidden := map[string]any{"name": map[string]any{"ciphertext": "c"}}
	for typ, inputs := range map[string]map[string]any{
		"azure-native:compute/v20240701:VirtualMachine": {"resourceGroupName": "rg", "vmName": "vm"},
		"azure-native:keyvault/v20150602:Vault":         {"resourceGroupName": "rg", "vaultName": "kv"},
		"azure-native:keyvault/v20241101:Vault":         {"resourceGroupName": "rg"},
		"kubernetes:core/v1:Pod":                        {"kind": "Pod", "metadata": hidden},
	} {
		op := pendingOperation{Type: "creating"}
		op.Resource.Type, op.Resource.Inputs = typ, inputs
		// Without clients, any request would panic.
		if there, err := op.created(t.Context(), nil, "s", nil); !errors.Is(err, errUnnamed) || there.id != "" {
			t.Errorf("%s: %v, %v", typ, there, err)
		}
	}
}

func TestParseState_AcceptsMissingDeployment(t *testing.T) {
	if s, err := parseState(apitype.UntypedDeployment{Version: 3}); err != nil || len(s.pending()) != 0 {
		t.Errorf("%v, %v", s, err)
	}
}
