package infra_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/infra"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

// load loads the dev stack's configuration with some keys changed.
func load(t *testing.T, change map[string]string, secretKeys ...string) (*infra.Config, error) {
	t.Helper()
	e := &mockengine.Engine{Config: mockengine.StackConfig(t, "..", "dev")}
	for key, value := range change {
		e.Config[mockengine.Project+":"+key] = value
	}
	for _, key := range secretKeys {
		e.SecretKeys = append(e.SecretKeys, mockengine.Project+":"+key)
	}
	var cfg *infra.Config
	err := e.Run(func(ctx *pulumi.Context) (err error) {
		cfg, err = infra.LoadConfig(ctx, e.Config)
		return err
	})
	return cfg, err
}

func paths(t *testing.T, err error) []string {
	t.Helper()
	var invalid *components.ValidationError
	if !errors.As(err, &invalid) {
		t.Fatalf("got error %v, want violations", err)
	}
	var list []string
	for _, one := range invalid.Violations {
		list = append(list, one.Path)
	}
	return list
}

func TestDev_DeploysGuide(t *testing.T) {
	cfg, err := load(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]any{
		"location":        {cfg.Location, "eastus"},
		"resource group":  {cfg.ResourceGroupName, "keyvault-demo"},
		"cluster":         {cfg.ClusterName, "aks-keyvault-cluster"},
		"nodes":           {cfg.SystemPool, (*components.NodePoolArgs)(nil)},
		"workloads":       {len(cfg.Workloads), 1},
		"namespace":       {cfg.Workloads[0].Namespace, "keyvault-ns"},
		"service account": {cfg.Workloads[0].ServiceAccounts, []components.ServiceAccountArgs{{Name: "keyvault-sa"}}},
		"class":           {cfg.Workloads[0].ClassName, "keyvault-secrets"},
		"secret":          {cfg.Secrets[0].Name, "my-secret"},
		"key":             {cfg.Keys[0], components.KeyArgs{Name: "my-key", Type: "RSA", Size: 2048}},
		"pod":             {cfg.Workloads[0].TestPod, &components.TestPodArgs{Name: "keyvault-test-pod"}},
		"mount": {cfg.Workloads[0].Objects, []components.ObjectArgs{
			{Type: "secret", Name: "my-secret"}, {Type: "key", Name: "my-key"},
		}},
		"purge protection": {cfg.VaultPurgeProtection, false},
		"retention":        {cfg.VaultRetentionDays, 7},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: got %v, want %v", name, pair[0], pair[1])
		}
	}
}

func TestConfig_MatchesPulumiYAML(t *testing.T) {
	declared := map[string]bool{}
	for key := range mockengine.StackConfig(t, "..", "") {
		declared[strings.TrimPrefix(key, mockengine.Project+":")] = true
	}
	fields := map[string]bool{}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[infra.Config]()) {
		if field.IsExported() {
			fields[field.Tag.Get("pulumi")] = true
		}
	}
	if !reflect.DeepEqual(declared, fields) {
		t.Errorf("Pulumi.yaml declares %v\nConfig has %v", declared, fields)
	}
}

// Each mistake is reported at its key only.
func TestLoadConfig_Validates(t *testing.T) {
	for _, tt := range []struct{ name, key, value, path string }{
		{"a location", "location", "East US", "location"},
		{"a resource group", "resourceGroupName", "group.", "resourceGroupName"},
		{"a tag's name", "tags", `{"a/b":"c"}`, "tags"},
		{"a tag's value", "tags", `{"a":"` + strings.Repeat("x", 257) + `"}`, "tags.a"},
		{"tags that are no object", "tags", `["a"]`, "tags"},
		{"a tag of Azure's", "tags", `{"azure-region":"x"}`, "tags"},
		{"tags but for case", "tags", `{"Team":"x","team":"y"}`, "tags"},
		{"a tag of the program's but for case", "tags", `{"Pulumi-Stack":"x"}`, "tags"},
		{"51 tags", "tags", manyTags(51), "tags"},
		{"49 tags, and two of the program's", "tags", manyTags(49), "tags"},
		{"a reserved prefix", "vaultNamePrefix", "my-windows", "vaultNamePrefix"},
		{"a reserved name", "vaultName", "my-windows", "vaultName"},
		{"a vault's name", "vaultName", "my_vault", "vaultName"},
		{"a cluster's DNS prefix", "clusterDnsPrefix", "my_cluster", "clusterDnsPrefix"},
		{"a reserved cluster's name", "clusterName", "azure", "clusterName"},
		{"pods where AKS is", "podCidr", "172.30.0.0/16", "podCidr"},
		{"services where AKS is", "serviceCidr", "172.31.0.0/20", "serviceCidr"},
		{"a network where AKS is", "network",
			`{"addressSpace":"172.30.0.0/15","nodes":"172.30.0.0/20","endpoints":"172.30.16.0/24"}`, "network.addressSpace"},
		{"a network of multicast", "network",
			`{"addressSpace":"224.0.0.0/16","nodes":"224.0.0.0/20","endpoints":"224.0.16.0/24"}`, "network.addressSpace"},
		{"a network of loopback", "network",
			`{"addressSpace":"127.0.0.0/16","nodes":"127.0.0.0/20","endpoints":"127.0.16.0/24"}`, "network.addressSpace"},
		{"a network with Azure's DNS", "network",
			`{"addressSpace":"168.63.0.0/16","nodes":"168.63.0.0/20","endpoints":"168.63.16.0/24"}`, "network.addressSpace"},
		{"an identity that is none", "clusterIdentityId", "aks", "clusterIdentityId"},
		{"a disk encryption set that is none", "diskEncryptionSetId", "/subscriptions/s", "diskEncryptionSetId"},
		{"an endpoint in no subnet of Azure's", "vaultPrivateEndpoint", `{"subnetId":"apps"}`,
			"vaultPrivateEndpoint.subnetId"},
		{"an endpoint's zone that is none", "vaultPrivateEndpoint", `{"subnetId":"/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/n/subnets/s","privateDnsZoneId":"privatelink.vaultcore.azure.net"}`, "vaultPrivateEndpoint.privateDnsZoneId"},
		{"events for nobody", "vaultExpiryEvents", `{}`, "vaultExpiryEvents"},
		{"an event", "vaultExpiryEvents", `{"emails":["a@example.com"],"types":["SecretGone"]}`,
			"vaultExpiryEvents.types[0]"},
		{"a webhook", "vaultExpiryEvents", `{"webhooks":{"oncall":"http://example.com"}}`,
			"vaultExpiryEvents.webhooks.oncall"},
		{"a queue", "vaultExpiryEvents", `{"queues":{"rotation":"expiry"}}`, "vaultExpiryEvents.queues.rotation"},
		{"a secret's large value", "secrets", `[{"name":"my-secret","value":"` + strings.Repeat("x", 25<<10+1) + `"}]`,
			"secrets[0].value"},
		{"a prefix", "vaultNamePrefix", "kv--", "vaultNamePrefix"},
		{"a SKU", "vaultSku", "free", "vaultSku"},
		{"a retention", "vaultRetentionDays", "91", "vaultRetentionDays"},
		{"a retention in words", "vaultRetentionDays", "ninety", "vaultRetentionDays"},
		{"purge protection", "vaultPurgeProtection", "yes", "vaultPurgeProtection"},
		{"public access", "vaultPublicNetworkAccess", "true", "vaultPublicNetworkAccess"},
		{"secrets that are no list", "secrets", "my-secret", "secrets"},
		{"a secret's name", "secrets", `[{"name":"my_secret","generate":{}},{"name":"my-secret","generate":{}}]`,
			"secrets[0].name"},
		{"a secret's name as number", "secrets", `[{"name":7,"generate":{}},{"name":"my-secret","generate":{}}]`,
			"secrets[0].name"},
		{"a secret's empty value", "secrets", `[{"name":"my-secret","value":""}]`, "secrets[0].value"},
		{"a secret's value as number", "secrets", `[{"name":"my-secret","value":1}]`, "secrets[0].value"},
		{"a mistyped key in a secret", "secrets", `[{"name":"my-secret","valeu":"x"}]`, "secrets[0].valeu"},
		{"a length of nothing", "secrets", `[{"name":"my-secret","generate":{"length":0}}]`, "secrets[0].generate.length"},
		{"a key's size", "keys", `[{"name":"my-key","size":1000}]`, "keys[0].size"},
		{"a cluster's name", "clusterName", "my_cluster", "clusterName"},
		{"a version", "kubernetesVersion", "latest", "kubernetesVersion"},
		{"no nodes", "systemPool", `{"count":0}`, "systemPool.count"},
		{"half a node", "systemPool", `{"count":1.5}`, "systemPool.count"},
		{"a pool that is no object", "systemPool", `3`, "systemPool"},
		{"a mistyped key in a pool", "nodePools", `[{"name":"apps","counts":3}]`, "nodePools[0].counts"},
		{"a pool's name", "nodePools", `[{"name":"Apps"}]`, "nodePools[0].name"},
		{"a network", "network", `{"addressSpace":"10.2.0.1/16","nodes":"10.2.0.0/20","endpoints":"10.2.16.0/24"}`,
			"network.addressSpace"},
		{"a subnet outside", "network", `{"addressSpace":"10.2.0.0/16","nodes":"10.1.0.0/20","endpoints":"10.2.16.0/24"}`,
			"network.nodes"},
		{"subnets that overlap", "network", `{"addressSpace":"10.2.0.0/16","nodes":"10.2.0.0/20","endpoints":"10.2.1.0/24"}`,
			"network.endpoints"},
		{"a tiny subnet", "network", `{"addressSpace":"10.2.0.0/16","nodes":"10.2.0.0/20","endpoints":"10.2.16.0/30"}`,
			"network.endpoints"},
		{"a network over the services", "network",
			`{"addressSpace":"10.0.0.0/15","nodes":"10.1.0.0/20","endpoints":"10.1.16.0/24"}`, "network.addressSpace"},
		{"a firewall", "vaultNetwork", `{"defaultAction":"Forbid"}`, "vaultNetwork.defaultAction"},
		{"long names", "resourceGroupName", strings.Repeat("g", 60), "nodeResourceGroup"},
		{"a tier", "clusterTier", "Gold", "clusterTier"},
		{"a login", "entra", `{"login":"password"}`, "entra.login"},
		{"logs for a week", "logRetentionDays", "7", "logRetentionDays"},
		{"logs to nowhere", "defender", "true", "logRetentionDays"},
		{"a cloud", "cloudName", "AzureGermanCloud", "cloudName"},
		{"an interval", "rotationPollInterval", "2", "rotationPollInterval"},
		{"an API version", "vaultApiVersion", "2020-01-01", "vaultApiVersion"},
		{"a subnet of no name", "systemPool", `{"subnet":"apps"}`, "systemPool.subnet"},
		{"a subnet that is none", "subnets", `{"apps":"10.0.0.0/16"}`, "subnets.apps"},
		{"a zone of nobody's", "apiServer", `{"private":true,"privateDnsZone":"/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/privateDnsZones/privatelink.eastus.azmk8s.io"}`, "clusterIdentityId"},
		{"a range", "apiServer", `{"authorizedIpRanges":["203.0.113.7/24"]}`, "apiServer.authorizedIpRanges[0]"},
		{"a range as number", "apiServer", `{"authorizedIpRanges":[7]}`, "apiServer.authorizedIpRanges[0]"},
		{"secrets that are left out", "secrets", "", "workloads[0].mount[0].name"},
		{"keys that are left out", "keys", "", "workloads[0].mount[1].name"},
		{"a vault that nobody reaches", "vaultPublicNetworkAccess", "Disabled", "vaultPublicNetworkAccess"},
		{"a firewall that lets nobody in", "vaultNetwork", `{}`, "vaultNetwork"},
		{"an endpoint in no subnet", "vaultPrivateEndpoint", `{}`, "vaultPrivateEndpoint.subnetId"},
		{"an image", "probeImage", "registry.example/Busybox", "probeImage"},
		{"workloads that are no list", "workloads", `{}`, "workloads"},
		{"a key of before the list", "testPod", `true`, "testPod"},
		{"an unknown key", "nodecount", "3", "nodecount"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, map[string]string{tt.key: tt.value})
			if got := paths(t, err); !reflect.DeepEqual(got, []string{tt.path}) {
				t.Errorf("violations at %v, want %s alone: %v", got, tt.path, err)
			}
		})
	}
}

// manyTags returns a number of tags as a JSON object.
func manyTags(count int) string {
	var tags []string
	for i := range count {
		tags = append(tags, fmt.Sprintf(`"tag-%d":"x"`, i))
	}
	return "{" + strings.Join(tags, ",") + "}"
}

// The private DNS zone of the stack's network also has the stack's tags, of which Azure allows fifteen. AKS labels
// nodes with the name of the network's resource group.
func TestNetwork_LimitsTagsAndGroupName(t *testing.T) {
	const network = `{"addressSpace":"10.2.0.0/16","nodes":"10.2.0.0/20","endpoints":"10.2.16.0/24"}`
	for name, tt := range map[string]struct {
		change map[string]string
		want   []string
	}{
		"thirteen tags": {map[string]string{"tags": manyTags(13)}, nil},
		"fourteen tags": {map[string]string{"tags": manyTags(14)}, []string{"tags"}},
		"fourteen tags without the zone": {map[string]string{"tags": manyTags(14), "vaultPrivateEndpoint": `{"subnetId":` +
			`"/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/n/subnets/s"}`}, nil},
		"a long group": {map[string]string{"resourceGroupName": strings.Repeat("g", 64), "nodeResourceGroup": "nodes"},
			[]string{"resourceGroupName"}},
	} {
		t.Run(name, func(t *testing.T) {
			change := map[string]string{"network": network}
			maps.Copy(change, tt.change)
			_, err := load(t, change)
			if tt.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if got := paths(t, err); !slices.Equal(got, tt.want) {
				t.Errorf("violations at %v, want %v", got, tt.want)
			}
		})
	}
}

// AKS sets the cluster's tags on the zone of a private cluster.
func TestPrivateCluster_LimitsTags(t *testing.T) {
	_, err := load(t, map[string]string{"tags": manyTags(14), "apiServer": `{"private":true}`})
	if !slices.Equal(paths(t, err), []string{"tags"}) {
		t.Errorf("got error %v", err)
	}
}

// workload returns a valid workload with some keys changed, and its place in the list.
func workload(name string, change map[string]any) map[string]any {
	w := map[string]any{
		"name": name, "namespace": name, "serviceAccounts": []any{map[string]any{"name": name}},
		"mount": []any{map[string]any{"type": "secret", "name": "my-secret"}},
	}
	maps.Copy(w, change)
	return w
}

func list(t *testing.T, workloads ...map[string]any) map[string]string {
	t.Helper()
	text, err := json.Marshal(workloads)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"workloads": string(text)}
}

func TestWorkloads_ReportMistakesWithPaths(t *testing.T) {
	type object = map[string]any
	secret := object{"type": "secret", "name": "my-secret"}
	for _, tt := range []struct {
		name   string
		change object
		paths  []string
	}{
		{"no name", object{"name": ""}, []string{"name"}},
		{"a former name that another has", object{"formerName": "first"}, []string{"formerName"}},
		{"a former name that is none", object{"formerName": "A"}, []string{"formerName"}},
		{"a name of two", object{"name": "first"}, []string{"name"}},
		{"a namespace", object{"namespace": "NS"}, []string{"namespace"}},
		{"no namespace", object{"namespace": ""}, []string{"namespace"}},
		{"a namespace of two", object{"namespace": "first"}, []string{"namespace"}},
		{"an existing namespace of the stack's", object{"namespace": "first", "existingNamespace": true},
			[]string{"namespace"}},
		{"a namespace of Kubernetes'", object{"namespace": "kube-apps"}, []string{"namespace"}},
		{"the default namespace", object{"namespace": "default"}, []string{"namespace"}},
		{"a namespace of AKS'", object{"namespace": "gatekeeper-system"}, []string{"namespace"}},
		{"the default account", object{"serviceAccounts": []any{object{"name": "default"}}},
			[]string{"serviceAccounts[0].name"}},
		{"pod security of others' labels", object{"labels": object{"pod-security.kubernetes.io/warn": "strict"}},
			[]string{"labels.pod-security.kubernetes.io/warn"}},
		{"an image", object{"testPod": object{"image": "Busy Box"}}, []string{"testPod.image"}},
		{"pod security", object{"podSecurity": "strict"}, []string{"podSecurity"}},
		{"pod security of what exists", object{"podSecurity": "baseline", "existingNamespace": true},
			[]string{"podSecurity"}},
		{"a label", object{"labels": object{"team": "a b"}}, []string{"labels.team"}},
		{"no accounts", object{"serviceAccounts": []any{}}, []string{"serviceAccounts"}},
		{"an account", object{"serviceAccounts": []any{object{"name": "a_b"}}}, []string{"serviceAccounts[0].name"}},
		{"an account elsewhere", object{"serviceAccounts": []any{object{"name": "a", "namespace": "b"}}},
			[]string{"serviceAccounts[0].namespace"}},
		{"a class", object{"className": "A"}, []string{"className"}},
		{"nothing to mount", object{"mount": []any{}}, []string{"mount"}},
		{"a mount that is no object", object{"mount": []any{"my-secret"}}, []string{"mount[0]"}},
		{"a mounted secret that is not declared", object{"mount": []any{object{"type": "secret", "name": "other"}}},
			[]string{"mount[0].name"}},
		{"a mounted key that is a secret", object{"mount": []any{object{"type": "key", "name": "my-secret"}}},
			[]string{"mount[0].name"}},
		{"a mounted type", object{"mount": []any{object{"type": "Secret", "name": "my-secret"}}}, []string{"mount[0].type"}},
		{"an alias", object{"mount": []any{secret, object{"type": "key", "name": "my-key", "alias": "../x"}}},
			[]string{"mount[1].alias"}},
		{"access", object{"access": "subscription"}, []string{"access"}},
		{"a Secret of no file",
			object{"syncSecrets": []any{object{"name": "s", "data": []any{object{"key": "k", "file": "absent"}}}}},
			[]string{"syncSecrets[0].data[0].file"}},
		{"a pod's name", object{"testPod": object{"name": "A"}}, []string{"testPod.name"}},
		{"a probe's name", object{"probe": object{"name": "A"}}, []string{"probe.name"}},
		{"a pod's image", object{"testPod": object{"image": "a b"}}, []string{"testPod.image"}},
		{"a probe's image", object{"probe": object{"image": "A"}}, []string{"probe.image"}},
		{"a file that the test pod cannot read", object{
			"testPod": object{}, "mount": []any{object{"type": "secret", "name": "my-secret", "filePermission": "0400"}},
		}, []string{"mount[0].filePermission"}},
		{"an audience", object{"audience": "a b"}, []string{"audience"}},
		{"a mistyped key", object{"testpod": object{}}, []string{"testpod"}},
		{"several", object{"name": "A", "access": "all", "mount": []any{object{"type": "cert", "name": "c", "alias": "/c"}}},
			[]string{"name", "mount[0].alias", "access"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, list(t, workload("first", nil), workload("second", tt.change)))
			var want []string
			for _, path := range tt.paths {
				want = append(want, "workloads[1]."+path)
			}
			if got := paths(t, err); !reflect.DeepEqual(got, want) {
				t.Errorf("violations at %v, want %v: %v", got, want, err)
			}
		})
	}
}

// Two workloads must not claim the same thing in an existing namespace, nor the same identity.
func TestWorkloads_RejectSharedResources(t *testing.T) {
	shared := map[string]any{
		"namespace":          "theirs",
		"existingNamespace":  true,
		"className":          "class",
		"testPod":            map[string]any{},
		"probe":              map[string]any{},
		"serviceAccounts":    []any{map[string]any{"name": "account"}},
		"existingIdentityId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i",
		"syncSecrets": []any{map[string]any{"name": "s",
			"data": []any{map[string]any{"key": "k", "file": "my-secret"}}}},
	}
	_, err := load(t, list(t, workload("first", shared), workload("second", shared)))
	got := paths(t, err)
	slices.Sort(got)
	want := []string{
		"workloads[1].className",
		"workloads[1].existingIdentityId",
		"workloads[1].probe.name",
		"workloads[1].serviceAccounts[0].name",
		"workloads[1].syncSecrets[0].name",
		"workloads[1].testPod.name",
	}
	if !slices.Equal(got, want) {
		t.Errorf("violations at %v, want %v", got, want)
	}
}

// Resources of names that are parts of each other's would have the same name in Pulumi.
func TestWorkloads_RejectSharedNamesInPulumi(t *testing.T) {
	for _, pair := range [][2]map[string]any{
		{workload("a", map[string]any{"namespace": "namespace-x"}),
			workload("a-namespace", map[string]any{"namespace": "x"})},
		{workload("a-namespace", map[string]any{"namespace": "x"}),
			workload("a", map[string]any{"namespace": "namespace-x"})},
		{
			workload("a", map[string]any{"namespace": "namespace-x"}),
			workload("b", map[string]any{"namespace": "x", "formerName": "a-namespace"}),
		},
	} {
		_, err := load(t, list(t, pair[0], pair[1]))
		if got := paths(t, err); !slices.Equal(got, []string{"workloads[1].name"}) &&
			!slices.Equal(got, []string{"workloads[1].formerName"}) {
			t.Errorf("violations at %v: %v", got, err)
		}
	}
	if _, err := load(t, list(t, workload("a", nil), workload("a-namespace", nil), workload("a-mount", nil))); err != nil {
		t.Error(err)
	}
}

// One image is the default of all test pods and probes of the stack.
func TestProbeImage_IsDefaultImage(t *testing.T) {
	config := list(t, workload("first", map[string]any{"testPod": map[string]any{}, "probe": map[string]any{}}),
		workload("second", map[string]any{"testPod": map[string]any{"image": "own:1"}}))
	config["probeImage"] = "registry.example/busybox:1"
	cfg, err := load(t, config)
	if err != nil {
		t.Fatal(err)
	}
	var images []string
	for _, w := range cfg.Workloads {
		mount := w.Mount(components.SecretMountArgs{}, pulumi.StringMap{}.ToStringMapOutput())
		images = append(images, mount.TestPod.Image)
		if mount.Probe != nil {
			images = append(images, mount.Probe.Image)
		}
	}
	if want := []string{"registry.example/busybox:1", "registry.example/busybox:1", "own:1"}; !slices.Equal(images, want) {
		t.Errorf("the images are %q, want %q", images, want)
	}
}

func TestWorkloads_UseConfiguredAudience(t *testing.T) {
	cfg, err := load(t, list(t, workload("first", map[string]any{"audience": "api://other"})))
	if err != nil {
		t.Fatal(err)
	}
	got := cfg.Workloads[0].Identity(&infra.Surroundings{}, components.WorkloadIdentityArgs{}).Audience
	if got != "api://other" {
		t.Errorf("the audience is %q", got)
	}
}

func TestWorkloads_CanBeEmpty(t *testing.T) {
	if _, err := load(t, map[string]string{"workloads": "[]"}); err != nil {
		t.Error(err)
	}
}

func TestLoadConfig_ReportsAllMistakesAtOnce(t *testing.T) {
	change := list(t, workload("first", map[string]any{"namespace": ""}))
	maps.Copy(change, map[string]string{
		"systemPool":  `{"count":"many"}`,
		"testpod":     "true",
		"vaultSku":    "free",
		"secrets":     `[{"name":"a b","generate":{"size":1}}]`,
		"clusterName": "-",
	})
	_, err := load(t, change)
	want := []string{
		"secrets[0].generate.size",
		"systemPool.count",
		"testpod", // cannot be read
		"vaultSku",
		"secrets[0].name",
		"clusterName",
		"clusterName",
		"workloads[0].namespace",
		"workloads[0].mount[0].name", // cannot be used
	}
	if got := paths(t, err); !reflect.DeepEqual(got, want) {
		t.Errorf("violations at %v, want %v", got, want)
	}
}

// What something that exists would silently not get is refused.
// TestNames_CanBeGiven has a vault and a cluster with names that the program would not make.
func TestNames_CanBeGiven(t *testing.T) {
	cfg, err := load(t, map[string]string{"vaultName": "mykeyvault4711", "clusterDnsPrefix": "my-dns"})
	if err != nil {
		t.Fatal(err)
	}
	vault, cluster := cfg.Vault(&infra.Surroundings{}), cfg.Cluster(&infra.Surroundings{})
	if vault.VaultName != "mykeyvault4711" || vault.NamePrefix != "" || cluster.DNSPrefix != "my-dns" {
		t.Errorf("the vault is called %q and %q, the cluster's DNS prefix is %q", vault.NamePrefix, vault.VaultName,
			cluster.DNSPrefix)
	}
}

func TestExisting_RejectsOtherKeys(t *testing.T) {
	_, err := load(t, map[string]string{
		"existingVaultId":      "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v",
		"vaultPurgeProtection": "true",
		"vaultNetwork":         "{}",
		"vaultName":            "kv-payments",
		"clusterDnsPrefix":     "payments",
		"existingClusterId":    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c",
		"azurePolicy":          "true",
	})
	got := paths(t, err)
	slices.Sort(got)
	want := []string{"azurePolicy", "clusterDnsPrefix", "vaultName", "vaultNetwork", "vaultPurgeProtection"}
	if !slices.Equal(got, want) {
		t.Errorf("violations at %v, want %v", got, want)
	}
}

func TestLoadConfig_ReportsMissingKey(t *testing.T) {
	e := &mockengine.Engine{Config: map[string]string{}}
	err := e.Run(func(ctx *pulumi.Context) error {
		_, err := infra.LoadConfig(ctx, e.Config)
		return err
	})
	if got, want := len(paths(t, err)), len(mockengine.StackConfig(t, "..", "")); got != want {
		t.Errorf("%d violations, want one for each of %d keys", got, want)
	}
}

// The error must not contain a value in the wrong place.
func TestLoadConfig_HidesSecretsInMistakes(t *testing.T) {
	for name, secrets := range map[string]string{
		"instead of the list":     `"marker"`,
		"instead of an object":    `["marker"]`,
		"in a list as the value":  `[{"name":"my-secret","value":["marker"]}]`,
		"instead of a generation": `[{"name":"my-secret","generate":"marker"}]`,
		"instead of a length":     `[{"name":"my-secret","generate":{"length":"marker"}}]`,
		"not JSON":                `marker`,
	} {
		t.Run(name, func(t *testing.T) {
			for _, encrypted := range [][]string{{"secrets"}, nil} {
				if _, err := load(
					t,
					map[string]string{"secrets": secrets},
					encrypted...); err == nil ||
					strings.Contains(err.Error(), "marker") {
					t.Errorf("got error %v", err)
				}
			}
		})
	}
}

// The example is a valid configuration, except for alternatives that exclude each other, and shows every key and every
// field.
func TestExample_ShowsEveryKey(t *testing.T) {
	content, err := os.ReadFile("../docs/Pulumi.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	e := &mockengine.Engine{Config: mockengine.Config(t, "..", "docs/Pulumi.example.yaml")}
	if err := e.Run(func(ctx *pulumi.Context) error {
		_, err := infra.LoadConfig(ctx, e.Config)
		return err
	}); err != nil {
		t.Error(err)
	}
	shown := map[string]bool{}
	for _, match := range regexp.MustCompile(`(\w+):`).FindAllStringSubmatch(string(content), -1) {
		shown[match[1]] = true
	}
	fields(reflect.TypeFor[infra.Config](), func(name string) {
		if !shown[name] {
			t.Errorf("the example does not show %s", name)
		}
	})
}

// fields calls a function with the name of every field of a type and of its nested types.
func fields(in reflect.Type, found func(name string)) {
	switch in.Kind() {
	case reflect.Pointer, reflect.Slice:
		fields(in.Elem(), found)
	case reflect.Struct:
		for _, field := range reflect.VisibleFields(in) {
			if name, _, _ := strings.Cut(field.Tag.Get("pulumi"), ","); name != "" && name != "-" {
				found(name)
				fields(field.Type, found)
			}
		}
	}
}

// A value comes from an environment variable that the configuration names. A missing variable is a mistake, and its
// name, which is not secret, is reported.
func TestLoadConfig_ReadsEnvironment(t *testing.T) {
	t.Setenv("SHOP_DB_PASSWORD", "marker")
	cfg, err := load(t,
		map[string]string{"secrets": `[{"name":"db","value":{"env":"SHOP_DB_PASSWORD"}},{"name":"my-secret","generate":{}}]`})
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.Secrets[0].Value; got != pulumi.String("marker") {
		t.Errorf("the value is %v", got)
	}
	for _, value := range []string{`{"env":"SHOP_NO_PASSWORD"}`, `{"env":""}`} {
		_, err = load(t,
			map[string]string{"secrets": `[{"name":"db","value":` + value + `},{"name":"my-secret","generate":{}}]`})
		if got := paths(t, err); !slices.Contains(got, "secrets[0].value.env") {
			t.Errorf("with %s: %v", value, err)
		}
	}
	for _, value := range []string{`{"env":"SHOP_DB_PASSWORD","marker":1}`, `{"env":1}`, `{"marker":"SHOP_DB_PASSWORD"}`} {
		_, err = load(t,
			map[string]string{"secrets": `[{"name":"db","value":` + value + `},{"name":"my-secret","generate":{}}]`})
		if got := paths(t, err); !slices.Contains(got, "secrets[0].value") || strings.Contains(err.Error(), "marker") {
			t.Errorf("with %s: %v", value, err)
		}
	}
}

// An encrypted value is also hidden if it could be read and only breaks a rule.
func TestLoadConfig_HidesEncryptedValues(t *testing.T) {
	_, err := load(t, map[string]string{"vaultNamePrefix": "marker--"}, "vaultNamePrefix")
	if got := paths(t, err); !slices.Equal(got, []string{"vaultNamePrefix"}) {
		t.Errorf("violations at %v", got)
	}
	if strings.Contains(err.Error(), "marker") {
		t.Errorf("got error %v", err)
	}
}

// Names of fields are not values.
func TestLoadConfig_NamesFieldsOfEncryptedValues(t *testing.T) {
	_, err := load(t,
		map[string]string{"secrets": `[{"name":"my_secret","value":"name"},{"name":"my-secret","generate":{}}]`}, "secrets")
	if got := paths(t, err); !slices.Equal(got, []string{"secrets[0].name"}) ||
		strings.Contains(err.Error(), "my_secret") {
		t.Errorf("got error %v", err)
	}
}

// It is also hidden in another key's rule.
func TestLoadConfig_HidesEncryptedValuesInOtherRules(t *testing.T) {
	for name, tt := range map[string]struct {
		change    map[string]string
		encrypted string
		marker    string
	}{
		"a range": {map[string]string{"serviceCidr": "10.77.0.0/16", "dnsServiceIp": "10.0.0.10"}, "serviceCidr",
			"10.77.0.0"},
		"a range in a network": {map[string]string{
			"podCidr": "10.77.0.0/16", "network": `{"addressSpace":"10.64.0.0/10","nodes":"10.64.0.0/20","endpoints":"10.65.0.0/24"}`,
		}, "podCidr", "10.77.0.0"},
		"names": {map[string]string{"clusterName": "marker" + strings.Repeat("c", 40),
			"resourceGroupName": strings.Repeat("g", 40)}, "clusterName", "marker"},
		"a name in a map": {map[string]string{
			"subnets": `{"marker":"/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/n/subnets/s"}`, "systemPool": `{"subnet":"x"}`,
		}, "subnets", "marker"},
		"a registry's name": {map[string]string{"containerRegistryIds": `{"marker-registry":"x"}`}, "containerRegistryIds",
			"marker"},
		"a tag's name": {map[string]string{"tags": `{"marker/":"x"}`}, "tags", "marker"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, tt.change, tt.encrypted)
			if err == nil || strings.Contains(err.Error(), tt.marker) {
				t.Errorf("got error %v", err)
			}
		})
	}
}

// The vault's firewall must admit a subnet of the nodes, if their subnets are known.
func TestVaultNetwork_MustAdmitPools(t *testing.T) {
	const apps = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/apps"
	const agents = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/agents"
	only := func(ids ...string) string {
		text, _ := json.Marshal(map[string]any{"subnetIds": ids})
		return string(text)
	}
	two := `{"apps":"` + apps + `","system":"` + apps + `2"}`
	for name, tt := range map[string]struct {
		change map[string]string
		want   []string
	}{
		"another subnet": {map[string]string{"subnets": `{"apps":"` + apps + `"}`, "vaultNetwork": only(agents)},
			[]string{"vaultNetwork.subnetIds"}},
		"no address": {map[string]string{"subnets": `{"apps":"` + apps + `"}`,
			"vaultNetwork": `{"subnetIds":["` + agents + `"],"allowedIpRanges":[]}`}, []string{"vaultNetwork.subnetIds"}},
		"the subnet": {map[string]string{"subnets": `{"apps":"` + strings.ToUpper(apps[:15]) + apps[15:] + `"}`, "vaultNetwork": only(agents, apps)}, nil},
		"an address as well": {map[string]string{"subnets": `{"apps":"` + apps + `"}`,
			"vaultNetwork": `{"subnetIds":["` + agents + `"],"allowedIpRanges":["203.0.113.7"]}`}, nil},
		"everybody": {map[string]string{"subnets": `{"apps":"` + apps + `"}`,
			"vaultNetwork": `{"subnetIds":["` + agents + `"],"defaultAction":"Allow"}`}, nil},
		"an endpoint of others'": {map[string]string{"subnets": `{"apps":"` + apps + `"}`, "vaultNetwork": only(agents),
			"vaultPrivateEndpoint": `{"external":true}`}, nil},
		"subnets of AKS's own": {map[string]string{"vaultNetwork": only(agents)}, nil},
		"the subnet of one pool": {map[string]string{"subnets": two, "systemPool": `{"subnet":"system"}`,
			"nodePools": `[{"name":"apps","subnet":"apps"}]`, "vaultNetwork": only(apps)}, nil},
		"the subnet of no pool's": {map[string]string{"subnets": two, "systemPool": `{"subnet":"system"}`,
			"vaultNetwork": only(apps)}, []string{"vaultNetwork.subnetIds"}},
		"nobody, for others to open": {map[string]string{"vaultPublicNetworkAccess": "Disabled",
			"vaultPrivateEndpoint": `{"external":true}`}, nil},
	} {
		_, err := load(t, tt.change)
		var got []string
		if err != nil {
			got = paths(t, err)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: violations at %v, want %v: %v", name, got, tt.want, err)
		}
	}
}

// TestExistingVault_ExpectsMountedObjects checks the arguments of the vault's component for an existing vault.
func TestExistingVault_ExpectsMountedObjects(t *testing.T) {
	const own, other = "22222222-2222-2222-2222-222222222222", "33333333-3333-3333-3333-333333333333"
	vault := "/subscriptions/" + other + "/resourceGroups/hub/providers/Microsoft.KeyVault/vaults/hub"
	mount := []any{
		map[string]any{"type": "secret", "name": "My-Secret"},
		map[string]any{"type": "secret", "name": "theirs"},
		map[string]any{"type": "cert", "name": "web"},
		map[string]any{"type": "key", "name": "theirs", "alias": "key"},
		map[string]any{"type": "secret", "name": "Theirs", "alias": "again"},
	}
	change := list(t, workload("a", map[string]any{"mount": mount, "access": "none"}))
	change["existingVaultId"] = vault
	cfg, err := load(t, change)
	if err != nil {
		t.Fatal(err)
	}
	args := cfg.Vault(&infra.Surroundings{TenantID: pulumi.String("tenant"), SubscriptionID: own})
	want := []components.ObjectArgs{
		{Type: "secret", Name: "theirs"},
		{Type: "cert", Name: "web"},
		{Type: "key", Name: "theirs"},
	}
	if !reflect.DeepEqual(args.ExpectedObjects, want) {
		t.Errorf("it expects %v, want %v", args.ExpectedObjects, want)
	}
	if args.TenantID == nil || !args.AllowAccessPolicies {
		t.Errorf("a vault elsewhere whose readers others choose: %+v", args)
	}
	args = cfg.Vault(&infra.Surroundings{TenantID: pulumi.String("tenant"), SubscriptionID: strings.ToUpper(other)})
	if args.TenantID != nil {
		t.Error("a vault of the subscription is not looked up")
	}
	change = list(t, workload("a", map[string]any{"access": "none"}), workload("b", nil))
	change["existingVaultId"] = vault
	if cfg, err = load(t, change); err != nil {
		t.Fatal(err)
	}
	if cfg.Vault(&infra.Surroundings{}).AllowAccessPolicies {
		t.Error("a workload needs a role, which a vault with access policies does not know")
	}
	// In a new vault, only certificates are created elsewhere.
	if cfg, err = load(t, list(t, workload("a", map[string]any{"mount": []any{mount[0], mount[2]}}))); err != nil {
		t.Fatal(err)
	}
	if got := cfg.Vault(&infra.Surroundings{}).ExpectedObjects; !reflect.DeepEqual(got, want[1:2]) {
		t.Errorf("a new vault is expected to have %v", got)
	}
}

// Secrets and keys of a vault in another subscription would be looked up in the stack's own.
func TestExistingVault_ElsewhereRejectsSecrets(t *testing.T) {
	e := &mockengine.Engine{Config: mockengine.StackConfig(t, "..", "dev")}
	e.Config[mockengine.Project+":existingVaultId"] = "/subscriptions/other/resourceGroups/hub/providers/Microsoft.KeyVault/vaults/hub"
	err := e.Run(func(ctx *pulumi.Context) error {
		cfg, err := infra.LoadConfig(ctx, e.Config)
		if err != nil {
			return err
		}
		_, err = infra.NewSurroundings(ctx, cfg)
		return err
	})
	if got := paths(t, err); !slices.Equal(got, []string{"secrets", "keys"}) {
		t.Errorf("violations at %v", got)
	}
	if made := e.Resources(); len(made) > 0 {
		t.Errorf("%s is registered before", made[0].Name)
	}
}
