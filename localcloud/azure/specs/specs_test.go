package specs

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	vaults   = "Microsoft.KeyVault/vaults"
	clusters = "Microsoft.ContainerService/managedClusters"
	tenant   = "11111111-1111-1111-1111-111111111111"
)

// decode decodes a body.
func decode(t testing.TB, text string) map[string]any {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		t.Fatal(err)
	}
	return body
}

func TestVersions_ReturnsAzuresVersions(t *testing.T) {
	for name, versions := range map[string][]string{
		clusters:                    {"2017-08-31", "2022-11-01", "2024-05-01", "2024-06-02-preview"},
		"microsoft.KEYVAULT/vaults": {"2015-06-01", "2023-02-01", "2024-04-01-preview"},
		"Microsoft.Resources/subscriptions/resourceGroups": {"2015-11-01", "2022-09-01"},
		// Azure spells the name in two ways.
		"Microsoft.Insights/diagnosticSettings": {"2016-09-01", "2021-05-01-preview"},
	} {
		got := Versions(name)
		for _, version := range versions {
			if !slices.Contains(got, version) {
				t.Errorf("%s has no %s: %v", name, version, got)
			}
		}
		if !slices.IsSorted(got) {
			t.Errorf("%s: not in order: %v", name, got)
		}
	}
	if got := Versions("Microsoft.KeyVault/managedHSMs"); got != nil {
		t.Errorf("a type without a description has the versions %v", got)
	}
	if !Exists("microsoft.keyvault/MANAGEDHSMS") || !Exists(vaults) || Exists("Microsoft.KeyVault/safes") {
		t.Error("Exists does not report Azure's types")
	}
}

// TestDocument_IsComplete follows all references, in every type and version.
func TestDocument_IsComplete(t *testing.T) {
	all := load()
	for i := range all.Nodes {
		n := all.Nodes[i]
		references := append(slices.Collect(maps.Values(n.Cases)), n.Any...)
		for _, p := range n.Properties {
			references = append(references, p[1])
		}
		if n.Additional != nil {
			references = append(references, *n.Additional)
		}
		for _, at := range append(references, n.Item) {
			if at < 0 || at >= len(all.Nodes) {
				t.Fatalf("node %d refers to %d of %d", i, at, len(all.Nodes))
			}
		}
		for _, at := range n.Cases {
			if all.Nodes[at].Kind != "o" {
				t.Errorf("a case of node %d is not an object", i)
			}
		}
		if _, err := regexp.Compile(n.Pattern); err != nil {
			t.Error(err)
		}
	}
	for name, versions := range all.Types {
		for version := range versions {
			described, ok := Lookup(name, version)
			if !ok || described.Version != version || all.Nodes[described.root].want() != "object" {
				t.Errorf("%s in %s: %+v", name, version, described)
			}
		}
	}
}

func TestLookup_UsesTheNewestVersionForLaterOnes(t *testing.T) {
	for version, want := range map[string]string{
		"2023-02-01": "2023-02-01", "2024-04-01-PREVIEW": "2024-04-01-preview", "2026-02-01": "2023-07-01",
		"2023-03-01": "", "1999-01-01": "",
	} {
		got, ok := Lookup(vaults, version)
		if ok != (want != "") || ok && got.Version != want {
			t.Errorf("%s: got %+v, want %s", version, got, want)
		}
	}
	if _, ok := Lookup("Microsoft.KeyVault/managedHSMs", "2023-02-01"); ok {
		t.Error("Lookup returns a type without a description")
	}
}

// TestDocument_SharesNodes checks that versions of a type share the nodes that they have in common.
func TestDocument_SharesNodes(t *testing.T) {
	all, seen := load(), map[string]bool{}
	for _, n := range all.Nodes {
		text, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		if seen[string(text)] {
			t.Fatalf("two nodes are equal: %s", text)
		}
		seen[string(text)] = true
	}
	if len(compressed) > 1<<20 {
		t.Errorf("specs.json.gz has %d bytes", len(compressed))
	}
}

func TestCheck_ReturnsAllViolations(t *testing.T) {
	const vault = `{"location": "westeurope", ` +
		`"properties": {"tenantId": "` + tenant + `", "sku": {"family": "A", "name": "standard"}`
	const subscriptions = "Microsoft.EventGrid/systemTopics/eventSubscriptions"
	const secondPool = "properties.agentPoolProfiles[1]."
	cluster := func(properties string) string {
		return `{"location": "westeurope", "properties": {` + properties + `}}`
	}
	pool := func(rest string) string {
		return cluster(`"agentPoolProfiles": [{"name": "first"}, {"name": "second", ` + rest + `}]`)
	}
	for name, test := range map[string]struct {
		kind, version, body string
		want                []Violation
	}{
		"nothing":         {vaults, "2023-02-01", vault + `, "enableRbacAuthorization": null}}`, nil},
		"case of an enum": {vaults, "2023-02-01", strings.Replace(vault, "standard", "Standard", 1) + `}}`, nil},
		"lookalike of an enum": {
			vaults, "2023-02-01", strings.Replace(vault, "standard", "\u017ftandard", 1) + `}}`,
			[]Violation{{"properties.sku.name", Enum, "string", "standard, premium", false}},
		},
		"open enum": {vaults, "2023-02-01", strings.Replace(vault, `"A"`, `"B"`, 1) + `}}`, nil},
		"any tag":   {vaults, "2023-02-01", vault + `}, "tags": {"a": "b"}}`, nil},
		"envelope":  {vaults, "2023-02-01", vault + `}, "id": "/x", "name": 1, "type": "x", "systemData": {}}`, nil},
		"type of a tag": {
			vaults, "2023-02-01", vault + `}, "tags": {"a": 1}}`,
			[]Violation{{"tags.a", Kind, "number", "string", true}},
		},
		"required in a list": {
			vaults, "2023-02-01", vault + `, "accessPolicies": [{"objectId": "x", "tenantId": "` + tenant + `"}]}}`,
			[]Violation{{"properties.accessPolicies[0].permissions", Required, "", "", false}},
		},
		"null counts as missing": {
			vaults, "2023-02-01", `{"location": "x", "properties": null}`,
			[]Violation{{"properties", Required, "", "", false}},
		},
		"several": {
			vaults, "2023-02-01", `{"properties": {"tenantId": "secret", "sku": {"name": "secret"}, "networkAcls": []}}`,
			[]Violation{
				{"location", Required, "", "", false},
				{"properties.networkAcls", Kind, "array", "object", false},
				{"properties.sku.family", Required, "", "", false},
				{"properties.sku.name", Enum, "string", "standard, premium", false},
				{"properties.tenantId", MinLength, "6", "36", false},
				{"properties.tenantId", Pattern, "string", "^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$", false},
			},
		},
		"ranges": {
			clusters, "2023-10-01",
			pool(`"osDiskSizeGB": 2049, "linuxOSConfig": {"sysctls": {"netIpv4TcpkeepaliveIntvl": 9.5}}`),
			[]Violation{
				{secondPool + "linuxOSConfig.sysctls.netIpv4TcpkeepaliveIntvl", MinValue, "number", "10", false},
				{secondPool + "osDiskSizeGB", MaxValue, "number", "2048", false},
			},
		},
		"length of an array": {
			clusters, "2023-10-01", cluster(`"serviceMeshProfile": {"mode": "Istio", "istio": {"revisions": ["a", "b", "c"]}}`),
			[]Violation{{"properties.serviceMeshProfile.istio.revisions", MaxItems, "3", "2", false}},
		},
		"read-only": {
			clusters, "2023-10-01", pool(`"provisioningState": {"any": "thing"}`),
			[]Violation{{secondPool + "provisioningState", ReadOnly, "", "", false}},
		},
		"unknown in this version": {
			clusters, "2022-11-01", cluster(`"serviceMeshProfile": {"mode": "Istio"}, "nonsense": 1`),
			[]Violation{
				{"properties.nonsense", Unknown, "", "", false},
				{"properties.serviceMeshProfile", Unknown, "", "", false},
			},
		},
		"discriminator": {
			subscriptions, "2022-06-15",
			`{"properties": {"destination": {"endpointType": "storageQueue", "properties": ` +
				`{"queueName": 1, "endpointUrl": "x"}}}}`,
			[]Violation{
				{"properties.destination.properties.endpointUrl", Unknown, "", "", true},
				{"properties.destination.properties.queueName", Kind, "number", "string", true},
			},
		},
		"missing discriminator": {
			subscriptions, "2022-06-15", `{"properties": {"destination": {"properties": {}}}}`,
			[]Violation{{"properties.destination.endpointType", Required, "", "", true}},
		},
		"wrong discriminator": {
			subscriptions, "2022-06-15", `{"properties": {"destination": {"endpointType": "secret"}}}`,
			[]Violation{{
				"properties.destination.endpointType", Enum, "string",
				"AzureFunction, EventHub, HybridConnection, ServiceBusQueue, ServiceBusTopic, StorageQueue, WebHook", true,
			}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			kind, ok := Lookup(test.kind, test.version)
			if !ok {
				t.Fatal("there is no description")
			}
			got := kind.Check(decode(t, test.body))
			if !slices.Equal(got, test.want) {
				t.Errorf("got  %v\nwant %v", got, test.want)
			}
			for _, v := range got {
				if text := v.String(); text == "" || strings.Contains(text, "secret") {
					t.Errorf("%q", text)
				}
			}
		})
	}
}

func TestCheck_AllowsUnknownValues(t *testing.T) {
	kind, _ := Lookup(vaults, "2023-02-01")
	type unknown struct{}
	body := decode(t, `{"location": "x", "properties": {"sku": {"family": "A"}}}`)
	properties := body["properties"].(map[string]any)
	properties["tenantId"], properties["networkAcls"] = unknown{}, unknown{}
	properties["sku"].(map[string]any)["name"] = unknown{}
	if got := kind.Check(body); len(got) > 0 {
		t.Errorf("got %v", got)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(`{"properties": {"destination": {"endpointType": "WebHook", "properties": {"endpointUrl": []}}}}`)
	f.Add(`{"properties": {"agentPoolProfiles": [{"name": 1}, null, 3], "networkProfile": ""}, "tags": {"a": {}}}`)
	f.Add(`{"properties": 1, "identity": {"type": null, "userAssignedIdentities": {"": {}}}}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, text string) {
		var body map[string]any
		if json.Unmarshal([]byte(text), &body) != nil {
			return
		}
		for name, versions := range load().Types {
			all := slices.Sorted(maps.Keys(versions))
			for _, version := range []string{all[0], all[len(all)-1]} {
				kind, _ := Lookup(name, version)
				for _, v := range kind.Check(body) {
					_ = v.String()
				}
			}
		}
	})
}
