package main

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

const testWorkloads = 7

// registered returns the program's resources without components, by type and name, and the number of components.
func registered(t *testing.T, preview, bare bool) (resources map[string]mockengine.Registered, components int) {
	t.Helper()
	e := &mockengine.Engine{
		DryRun:     preview,
		Config:     map[string]string{},
		SecretKeys: []string{"keyvault-aks:kubeconfig", "keyvault-aks:value"},
	}
	for key, value := range map[string]string{
		"workloads": strconv.Itoa(testWorkloads), "bare": strconv.FormatBool(bare),
		"vaultId":   mockengine.Group + "/providers/Microsoft.KeyVault/vaults/vault",
		"vaultName": "vault", "tenantId": mockengine.TenantID, "issuerUrl": mockengine.IssuerURL,
		"resourceGroupName": "group", "namespace": "namespace", "kubeconfig": mockengine.Kubeconfig, "value": "a value",
	} {
		e.Config["keyvault-aks:"+key] = value
	}
	if err := e.Run(program); err != nil {
		t.Fatal(err)
	}
	resources = map[string]mockengine.Registered{}
	for _, one := range e.Resources() {
		if !one.RPC.GetCustom() {
			components++
			continue
		}
		resources[one.Type+" "+one.Name] = one
	}
	return resources, components
}

// request returns a registration without traces of the component, and without aliases and hooks. Components add aliases
// for their earlier names and hooks for errors, which are part of their cost.
func request(t *testing.T, one mockengine.Registered) *pulumirpc.RegisterResourceRequest {
	t.Helper()
	in := proto.CloneOf(one.RPC)
	in.Parent = ""
	in.Object, in.Aliases = nil, nil // compared separately
	in.SourcePosition, in.StackTrace, in.Hooks = nil, nil, nil
	in.Provider = outside(in.GetProvider())
	in.DeletedWith = outside(in.GetDeletedWith())
	in.Dependencies = allOutside(in.GetDependencies())
	for _, of := range in.GetPropertyDependencies() {
		of.Urns = allOutside(of.GetUrns())
	}
	for name, provider := range in.GetProviders() {
		in.Providers[name] = outside(provider)
	}
	return in
}

func allOutside(urns []string) (outsides []string) {
	for _, urn := range urns {
		outsides = append(outsides, outside(urn))
	}
	slices.Sort(outsides)
	return slices.Compact(outsides)
}

// outside returns a URN as if the resource had no parent.
func outside(urn string) string {
	parts := strings.SplitN(urn, "::", 4)
	if len(parts) == 4 {
		parts[2] = parts[2][strings.LastIndex(parts[2], "$")+1:]
	}
	return strings.Join(parts, "::")
}

// TestBare_RegistersSameResources checks that the program registers the same resources with and without components:
// type, name, inputs, dependencies, provider and options, except additional aliases. Otherwise a comparison of their
// times would mean nothing.
func TestBare_RegistersSameResources(t *testing.T) {
	for _, preview := range []bool{true, false} {
		with, components := registered(t, preview, false)
		without, none := registered(t, preview, true)
		if components != 2+2*testWorkloads || none != 0 {
			t.Errorf("the program registers %d components, and bare %d; want %d and 0", components, none, 2+2*testWorkloads)
		}
		if want := 1 + secretCount + 7*testWorkloads; len(with) != want {
			t.Errorf("the program registers %d resources, want %d", len(with), want)
		}
		names := slices.Sorted(maps.Keys(with))
		if others := slices.Sorted(maps.Keys(without)); !slices.Equal(names, others) {
			t.Fatalf("the resources with components are\n%s\nwithout\n%s", strings.Join(names, "\n"),
				strings.Join(others, "\n"))
		}
		for name, one := range with {
			other := without[name]
			if !resource.NewProperty(one.Inputs).DeepEquals(resource.NewProperty(other.Inputs)) {
				t.Errorf("preview %t: %s has the inputs\n%v\nwithout components\n%v", preview, name, one.Inputs, other.Inputs)
			}
			for _, alias := range other.RPC.GetAliases() {
				if !slices.ContainsFunc(one.RPC.GetAliases(), func(a *pulumirpc.Alias) bool { return proto.Equal(a, alias) }) {
					t.Errorf("preview %t: %s lacks the alias %s", preview, name, prototext.Format(alias))
				}
			}
			if a, b := request(t, one), request(t, other); !proto.Equal(a, b) {
				t.Errorf("preview %t: %s is registered with\n%s\nwithout components with\n%s", preview, name,
					prototext.Format(a), prototext.Format(b))
			}
		}
	}
}

// TestFleet_MountsDistinctSecrets checks that no two workloads mount the same secrets.
func TestFleet_MountsDistinctSecrets(t *testing.T) {
	taken := map[[3]string]bool{}
	for i := range maxCount {
		set := mounted(i)
		if taken[set] || set[0] >= set[1] || set[1] >= set[2] || set[2] > secretName(secretCount-1) {
			t.Errorf("workload %d mounts %v, want three secrets in order that no other workload mounts", i, set)
		}
		taken[set] = true
	}
}
