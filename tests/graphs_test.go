package tests

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// graphNode is a resource in docs/graphs/*.json, from which `make pictures` draws. It has names and types, and no
// values of the state.
type graphNode struct {
	Key   string   `json:"key"`             // the type's last part and the name
	Type  string   `json:"type"`            // without API version
	In    string   `json:"in,omitempty"`    // the key of its component
	Needs []string `json:"needs,omitempty"` // keys of its dependencies
}

// graphState is the part of a resource's state that a graph needs.
type graphState struct {
	URN, Type, Parent, Provider string
	Delete                      bool // replaced, and not deleted yet
	Dependencies                []string
	PropertyDependencies        map[string][]string
}

// apiVersion matches the version in types such as azure-native:keyvault/v20241101:Vault and
// azure-native_keyvault_v20260201:keyvault:Vault.
var apiVersion = regexp.MustCompile(`^(azure-native)(?:_[a-z]+_v\d{8}(?:preview)?)?:(\w+)(?:/v\d{8}(?:preview)?)?:`)

// graphOf returns the graph of a stack, ordered by key. It leaves out the stack and its providers. A resource with an
// explicit provider needs the dependencies of the provider: objects in a cluster need the cluster.
func graphOf(state []graphState) ([]graphNode, error) {
	key, providers := map[string]string{}, map[string]graphState{}
	for _, r := range state {
		parts := strings.SplitN(r.URN, "::", 4) // urn:pulumi:STACK::PROJECT::TYPES::NAME
		switch {
		case r.Delete || r.Type == "pulumi:pulumi:Stack":
		case strings.HasPrefix(r.Type, "pulumi:providers:"):
			providers[r.URN] = r
		default:
			key[r.URN] = r.Type[strings.LastIndexByte(r.Type, ':')+1:] + " " + parts[3]
		}
	}
	needs := func(r graphState) []string {
		of := slices.Clone(r.Dependencies)
		for _, more := range r.PropertyDependencies {
			of = append(of, more...)
		}
		return of
	}
	var graph []graphNode
	seen := map[string]bool{}
	for _, r := range state {
		node := graphNode{Key: key[r.URN], Type: apiVersion.ReplaceAllString(r.Type, "$1:$2:"), In: key[r.Parent]}
		if node.Key == "" {
			continue
		}
		if seen[node.Key] {
			return nil, errors.New("two resources are " + node.Key)
		}
		seen[node.Key] = true
		provider := r.Provider[:max(0, strings.LastIndex(r.Provider, "::"))] // its URN and its ID
		for _, dependency := range append(needs(r), needs(providers[provider])...) {
			if of := key[dependency]; of != "" && of != node.Key {
				node.Needs = append(node.Needs, of)
			}
		}
		slices.Sort(node.Needs)
		node.Needs = slices.Compact(node.Needs)
		graph = append(graph, node)
	}
	slices.SortFunc(graph, func(a, b graphNode) int { return cmp.Compare(a.Key, b.Key) })
	return graph, nil
}

// graphFile returns the file of a source in docs/graphs.
func graphFile(name string) string { return filepath.Join(checkout, "docs", "graphs", name+".json") }

// wantGraph compares a state with its graph in docs/graphs, without the resources in besides, which the test adds.
func wantGraph(t *testing.T, name string, state []graphState, besides ...string) {
	t.Helper()
	graph, err := graphOf(state)
	if err != nil {
		t.Fatal(err)
	}
	graph = slices.DeleteFunc(graph, func(n graphNode) bool { return slices.Contains(besides, n.Key) })
	wantSource(t, name, graph)
}

// wantSource compares elements with the source in docs/graphs, which has one on each line. With -update it writes them.
func wantSource[E any](t *testing.T, name string, elements []E) {
	t.Helper()
	var got bytes.Buffer
	got.WriteString("[\n")
	for i, element := range elements {
		line, err := json.Marshal(element)
		if err != nil {
			t.Fatal(err)
		}
		got.Write(line)
		if i < len(elements)-1 {
			got.WriteByte(',')
		}
		got.WriteByte('\n')
	}
	got.WriteString("]\n")
	if *update {
		if err := os.WriteFile(graphFile(name), got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(graphFile(name))
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("docs/graphs/%s.json is out of date; run `make graphs`\n%s",
			name, firstDifference(string(want), got.String()))
	}
}

// wantGraph compares the stack's state with docs/graphs.
func (c *cloud) wantGraph(t *testing.T, stack string, besides ...string) {
	t.Helper()
	var latest struct{ Resources []graphState }
	c.readCheckpoint(t, &latest)
	wantGraph(t, stack, latest.Resources, besides...)
}

// wantGraph compares an example's state with docs/graphs. It ignores programs without a graph there.
func (p *program) wantGraph(t *testing.T) {
	t.Helper()
	name, source := filepath.Base(p.dir), graphFile(filepath.Base(p.dir))
	if *update {
		source = filepath.Join(checkout, "examples", name)
	}
	if _, err := os.Stat(source); err != nil {
		return
	}
	var exported struct {
		Deployment struct{ Resources []graphState }
	}
	if err := json.Unmarshal([]byte(p.pulumi(t, "stack", "export")), &exported); err != nil {
		t.Fatal(err)
	}
	wantGraph(t, name, exported.Deployment.Resources)
}

// TestGraphOf_HasNoValues has a state with values, an explicit provider and a replaced resource.
func TestGraphOf_HasNoValues(t *testing.T) {
	t.Parallel()
	const urn = "urn:pulumi:dev::project::"
	var state []graphState
	if err := json.Unmarshal([]byte(`[
		{"urn":"`+urn+`pulumi:pulumi:Stack::project-dev","type":"pulumi:pulumi:Stack","outputs":{"value":"s3cret"}},
		{"urn":"`+urn+`azure-native:containerservice/v20240901:ManagedCluster::aks",
			"type":"azure-native:containerservice/v20240901:ManagedCluster","id":"s3cret","outputs":{"key":"s3cret"}},
		{"urn":"`+urn+`azure-native_keyvault_v20260201:keyvault:Vault::old","delete":true,
			"type":"azure-native_keyvault_v20260201:keyvault:Vault"},
		{"urn":"`+urn+`pulumi:providers:kubernetes::in-aks","type":"pulumi:providers:kubernetes",
			"inputs":{"kubeconfig":"s3cret"},"propertyDependencies":{"kubeconfig":[
				"`+urn+`azure-native:containerservice/v20240901:ManagedCluster::aks"]}},
		{"urn":"`+urn+`keyvaultaks:index:KeyVaultStack::v","type":"keyvaultaks:index:KeyVaultStack",
			"parent":"`+urn+`pulumi:pulumi:Stack::project-dev"},
		{"urn":"`+urn+`keyvaultaks:index:KeyVaultStack$azure-native_keyvault_v20260201:keyvault:Vault::v-vault",
			"type":"azure-native_keyvault_v20260201:keyvault:Vault","parent":"`+urn+`keyvaultaks:index:KeyVaultStack::v",
			"provider":"`+urn+`pulumi:providers:azure-native::default::s3cret","inputs":{"tags":"s3cret"}},
		{"urn":"`+urn+`kubernetes:core/v1:Pod::pod","type":"kubernetes:core/v1:Pod",
			"provider":"`+urn+`pulumi:providers:kubernetes::in-aks::s3cret","dependencies":[
				"`+urn+`keyvaultaks:index:KeyVaultStack::v","`+urn+`keyvaultaks:index:KeyVaultStack::v"]}]`), &state); err != nil {
		t.Fatal(err)
	}
	graph, err := graphOf(state)
	if err != nil {
		t.Fatal(err)
	}
	want := []graphNode{
		{Key: "KeyVaultStack v", Type: "keyvaultaks:index:KeyVaultStack"},
		{Key: "ManagedCluster aks", Type: "azure-native:containerservice:ManagedCluster"},
		{Key: "Pod pod", Type: "kubernetes:core/v1:Pod", Needs: []string{"KeyVaultStack v", "ManagedCluster aks"}},
		{Key: "Vault v-vault", Type: "azure-native:keyvault:Vault", In: "KeyVaultStack v"},
	}
	if !reflect.DeepEqual(graph, want) {
		t.Errorf("got %+v\nwant %+v", graph, want)
	}
}
