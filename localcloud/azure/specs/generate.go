//go:build ignore

// Command generate writes specs.json.gz from the descriptions of Azure's types in a pinned module.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The pinned module and its checksum as in go.sum, so that the output is reproducible.
const (
	module = "github.com/Azure/terraform-provider-azapi@v1.15.0"
	sum    = "h1:A963Vm8nOaOTu9uUKvI6fr3Q69TFOdqwSqSp8Y0/p7M="
)

// described lists the types whose bodies are described. Other types in their namespaces are listed by name only.
var described = []string{
	"Microsoft.Authorization/locks",
	"Microsoft.Authorization/roleAssignments",
	"Microsoft.Authorization/roleDefinitions",
	"Microsoft.Compute/diskEncryptionSets",
	"Microsoft.ContainerRegistry/registries",
	"Microsoft.ContainerService/managedClusters",
	"Microsoft.ContainerService/managedClusters/agentPools",
	"Microsoft.ContainerService/managedClusters/maintenanceConfigurations",
	"Microsoft.EventGrid/systemTopics",
	"Microsoft.EventGrid/systemTopics/eventSubscriptions",
	"Microsoft.Insights/actionGroups",
	"Microsoft.Insights/dataCollectionRuleAssociations",
	"Microsoft.Insights/dataCollectionRules",
	"Microsoft.Insights/diagnosticSettings",
	"Microsoft.KeyVault/vaults",
	"Microsoft.KeyVault/vaults/keys",
	"Microsoft.KeyVault/vaults/keys/versions",
	"Microsoft.KeyVault/vaults/secrets",
	"Microsoft.ManagedIdentity/userAssignedIdentities",
	"Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
	"Microsoft.Network/natGateways",
	"Microsoft.Network/networkSecurityGroups",
	"Microsoft.Network/privateDnsZones",
	"Microsoft.Network/privateDnsZones/virtualNetworkLinks",
	"Microsoft.Network/privateEndpoints",
	"Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
	"Microsoft.Network/publicIPAddresses",
	"Microsoft.Network/routeTables",
	"Microsoft.Network/virtualNetworks",
	"Microsoft.Network/virtualNetworks/subnets",
	"Microsoft.OperationalInsights/workspaces",
	"Microsoft.Resources/deployments",
	"Microsoft.Resources/subscriptions/resourceGroups",
	"Microsoft.Storage/storageAccounts",
	"Microsoft.Storage/storageAccounts/queueServices/queues",
}

// renamed maps names of the module to Resource Manager's names.
var renamed = map[string]string{
	"microsoft.resources/resourcegroups": "Microsoft.Resources/subscriptions/resourceGroups",
}

// reference refers to a type, in the same file if it names no other.
type reference struct {
	Ref string `json:"$ref"`
}

// source is a type in the module's format.
type source struct {
	Kind                 string `json:"$type"`
	Body                 reference
	Properties           map[string]sourceProperty
	BaseProperties       map[string]sourceProperty
	AdditionalProperties *reference
	Discriminator        string
	ItemType             reference
	Value                string
	Pattern              string
	MinLength, MaxLength *float64
	MinValue, MaxValue   *float64
	Elements             json.RawMessage // a list for a union, a map for an object with a discriminator
}

type sourceProperty struct {
	Type  reference
	Flags int
}

// readOnly and required are flags of a property.
const required, readOnly = 1, 2

// node is a type in the format of specs.json.gz, see specs.go. References are indexes of generator.nodes.
type node struct {
	Kind       string            `json:"k"`
	Properties map[string][2]int `json:"p,omitempty"`
	Additional *int              `json:"x,omitempty"`
	Key        string            `json:"d,omitempty"`
	Cases      map[string]int    `json:"c,omitempty"`
	Item       *int              `json:"t,omitempty"`
	Values     []string          `json:"v,omitempty"`
	Any        []int             `json:"u,omitempty"`
	Pattern    string            `json:"r,omitempty"`
	Min        *float64          `json:"m,omitempty"`
	Max        *float64          `json:"n,omitempty"`
}

// renumber returns a copy of the node whose references are mapped by to.
func (n node) renumber(to func(int) int) node {
	n.Properties, n.Cases, n.Any = maps.Clone(n.Properties), maps.Clone(n.Cases), slices.Clone(n.Any)
	for name, p := range n.Properties {
		n.Properties[name] = [2]int{p[0], to(p[1])}
	}
	for name, i := range n.Cases {
		n.Cases[name] = to(i)
	}
	for i := range n.Any {
		n.Any[i] = to(n.Any[i])
	}
	for _, one := range []**int{&n.Additional, &n.Item} {
		if *one != nil {
			i := to(**one)
			*one = &i
		}
	}
	return n
}

type generator struct {
	dir   string
	files map[string][]source
	seen  map[string]int // indexes of nodes, by file and number
	nodes []node
	lost  map[string]bool // patterns that package regexp cannot compile
}

func main() {
	g := generator{dir: download(), files: map[string][]source{}, seen: map[string]int{}, lost: map[string]bool{}}
	g.nodes = append(g.nodes, node{Kind: "*"}) // for read-only properties
	var index struct{ Resources map[string]reference }
	g.read("index.json", &index)

	namespaces, names := map[string]bool{}, map[string]string{}
	for _, name := range described {
		namespace, _, _ := strings.Cut(strings.ToLower(name), "/")
		namespaces[namespace] = true
		names[strings.ToLower(name)] = name
	}
	types, others := map[string]map[string]int{}, map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(index.Resources)) {
		name, version, _ := strings.Cut(key, "@")
		if other, ok := renamed[strings.ToLower(name)]; ok {
			name = other
		}
		namespace, _, _ := strings.Cut(strings.ToLower(name), "/")
		ours, ok := names[strings.ToLower(name)]
		switch {
		case !namespaces[namespace]:
			continue
		case !ok:
			others[strings.ToLower(name)] = name
			continue
		case types[ours] == nil:
			types[ours] = map[string]int{}
		}
		file, number := locate("", index.Resources[key].Ref)
		resource := g.load(file)[number]
		types[ours][version] = g.add(locate(file, resource.Body.Ref))
	}
	for _, name := range described {
		if types[name] == nil {
			log.Fatalf("the module has no %s", name)
		}
	}
	merged, classes := merge(g.nodes)
	for _, versions := range types {
		for version, i := range versions {
			versions[version] = classes[i]
		}
	}
	write(map[string]any{
		"source": module,
		"license": "what is in the module's internal/azure/generated comes from github.com/Azure/bicep-types-az: MIT, " +
			"(c) Microsoft Corporation",
		"types":  types,
		"others": slices.Sorted(maps.Values(others)),
		"nodes":  merged,
	})
	fmt.Printf("%d types; %d nodes merged to %d; dropped patterns: %q\n",
		len(types), len(g.nodes), len(merged), slices.Sorted(maps.Keys(g.lost)))
}

// download downloads the module and returns the directory of its descriptions.
func download() string {
	cmd := exec.Command("go", "mod", "download", "-json", module)
	cmd.Dir, cmd.Stderr = os.TempDir(), os.Stderr
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		log.Fatalf("downloading %s: %v\n%s", module, err, out)
	}
	var got struct{ Dir, Sum string }
	if err := json.Unmarshal(out, &got); err != nil {
		log.Fatal(err)
	}
	if got.Sum != sum {
		log.Fatalf("%s has the checksum %s, want %s", module, got.Sum, sum)
	}
	return filepath.Join(got.Dir, "internal", "azure", "generated")
}

func (g *generator) read(name string, into any) {
	data, err := os.ReadFile(filepath.Join(g.dir, filepath.FromSlash(name)))
	if err != nil {
		log.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		log.Fatalf("%s: %v", name, err)
	}
}

func (g *generator) load(file string) []source {
	if g.files[file] == nil {
		var types []source
		g.read(file, &types)
		g.files[file] = types
	}
	return g.files[file]
}

// locate returns the file and the number that a reference in a file refers to.
func locate(file, ref string) (string, int) {
	other, number, _ := strings.Cut(ref, "#/")
	if other != "" {
		file = other
	}
	i, err := strconv.Atoi(number)
	if err != nil {
		log.Fatalf("%s: reference %q", file, ref)
	}
	return file, i
}

// add adds a type and the types that it refers to, and returns its index.
func (g *generator) add(file string, number int) int {
	key := fmt.Sprint(file, "#", number)
	if i, ok := g.seen[key]; ok {
		return i
	}
	i := len(g.nodes)
	g.seen[key] = i
	g.nodes = append(g.nodes, node{})
	g.nodes[i] = g.convert(file, g.load(file)[number])
	return i
}

func (g *generator) convert(file string, s source) node {
	at := func(r reference) int { return g.add(locate(file, r.Ref)) }
	properties := func(of map[string]sourceProperty) map[string][2]int {
		all := map[string][2]int{}
		for _, name := range slices.Sorted(maps.Keys(of)) {
			switch flags := of[name].Flags & (required | readOnly); {
			case flags&readOnly != 0:
				all[name] = [2]int{readOnly, 0}
			default:
				all[name] = [2]int{flags, at(of[name].Type)}
			}
		}
		return all
	}
	switch s.Kind {
	case "ObjectType":
		n := node{Kind: "o", Properties: properties(s.Properties)}
		if s.AdditionalProperties != nil {
			i := at(*s.AdditionalProperties)
			n.Additional = &i
		}
		return n
	case "DiscriminatedObjectType":
		n := node{Kind: "d", Properties: properties(s.BaseProperties), Key: s.Discriminator, Cases: map[string]int{}}
		var cases map[string]reference
		if err := json.Unmarshal(s.Elements, &cases); err != nil {
			log.Fatal(err)
		}
		for _, name := range slices.Sorted(maps.Keys(cases)) {
			n.Cases[name] = at(cases[name])
		}
		return n
	case "ArrayType":
		i := at(s.ItemType)
		return node{Kind: "a", Item: &i, Min: s.MinLength, Max: s.MaxLength}
	case "StringType":
		if _, err := regexp.Compile(s.Pattern); err != nil {
			g.lost[s.Pattern] = true
			s.Pattern = ""
		}
		return node{Kind: "s", Pattern: s.Pattern, Min: s.MinLength, Max: s.MaxLength}
	case "StringLiteralType":
		return node{Kind: "e", Values: []string{s.Value}}
	case "IntegerType":
		return node{Kind: "n", Min: s.MinValue, Max: s.MaxValue}
	case "BooleanType":
		return node{Kind: "b"}
	case "AnyType":
		return node{Kind: "*"}
	case "UnionType":
		return g.union(file, s)
	}
	log.Fatalf("%s: unknown kind %s", file, s.Kind)
	return node{}
}

// union converts a union. Literals alone become an enumeration. Literals and a string become a string.
func (g *generator) union(file string, s source) node {
	var elements []reference
	if err := json.Unmarshal(s.Elements, &elements); err != nil {
		log.Fatal(err)
	}
	kinds := map[string]bool{}
	enumeration := node{Kind: "e"}
	for _, element := range elements {
		at, number := locate(file, element.Ref)
		one := g.load(at)[number]
		kinds[one.Kind] = true
		enumeration.Values = append(enumeration.Values, one.Value)
	}
	switch {
	case len(kinds) == 1 && kinds["StringLiteralType"]:
		return enumeration
	case len(kinds) == 2 && kinds["StringLiteralType"] && kinds["StringType"]:
		return node{Kind: "s"}
	}
	union := node{Kind: "u"}
	for _, element := range elements {
		union.Any = append(union.Any, g.add(locate(file, element.Ref)))
	}
	return union
}

// merge merges nodes that are structurally equal, including all that they refer to. It returns the new index of each
// node.
func merge(nodes []node) (merged []node, classes []int) {
	classes = make([]int, len(nodes))
	for count := 0; ; {
		ids := map[string]int{}
		next := make([]int, len(nodes))
		for i, n := range nodes {
			text, err := json.Marshal(n.renumber(func(i int) int { return classes[i] }))
			if err != nil {
				log.Fatal(err)
			}
			if _, ok := ids[string(text)]; !ok {
				ids[string(text)] = len(ids)
			}
			next[i] = ids[string(text)]
		}
		classes = next
		if len(ids) == count {
			break
		}
		count = len(ids)
	}
	for i, n := range nodes {
		if classes[i] == len(merged) {
			merged = append(merged, n.renumber(func(i int) int { return classes[i] }))
		}
	}
	return merged, classes
}

func write(what any) {
	text, err := json.Marshal(what)
	if err != nil {
		log.Fatal(err)
	}
	var compressed bytes.Buffer
	w, err := gzip.NewWriterLevel(&compressed, gzip.BestCompression)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		log.Fatal(err)
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile("specs.json.gz", compressed.Bytes(), 0o600); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d bytes, %d compressed\n", len(text), compressed.Len())
}
