package infra_test

import (
	"errors"
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
	var v components.Violations
	if !errors.As(err, &v) {
		t.Fatalf("got error %v, want violations", err)
	}
	var list []string
	for _, one := range v {
		list = append(list, one.Path)
	}
	return list
}

func TestDevStackIsTheGuide(t *testing.T) {
	cfg, err := load(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]any{
		"location":        {cfg.Location, "eastus"},
		"resource group":  {cfg.ResourceGroupName, "keyvault-demo"},
		"cluster":         {cfg.ClusterName, "aks-keyvault-cluster"},
		"nodes":           {cfg.SystemPool, (*components.NodePoolArgs)(nil)},
		"namespace":       {cfg.Namespace, "keyvault-ns"},
		"service account": {cfg.ServiceAccount, "keyvault-sa"},
		"secret":          {cfg.Secrets[0].Name, "my-secret"},
		"key":             {cfg.Keys[0], components.KeyArgs{Name: "my-key", Type: "RSA", Size: 2048}},
		"pod":             {cfg.TestPodName, "keyvault-test-pod"},
		"pod is on":       {cfg.TestPod, true},
		"mount": {cfg.Objects, []components.ObjectArgs{
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

func TestEveryKeyOfPulumiYAMLIsReadAndTheOtherWayRound(t *testing.T) {
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

// Each mistake is reported at its key, alone.
func TestConfigurationRules(t *testing.T) {
	for _, tt := range []struct{ name, key, value, path string }{
		{"a location", "location", "East US", "location"},
		{"a resource group", "resourceGroupName", "group.", "resourceGroupName"},
		{"a tag's name", "tags", `{"a/b":"c"}`, "tags"},
		{"a tag's value", "tags", `{"a":"` + strings.Repeat("x", 257) + `"}`, "tags.a"},
		{"tags that are no object", "tags", `["a"]`, "tags"},
		{"a prefix", "vaultNamePrefix", "kv--", "vaultNamePrefix"},
		{"a SKU", "vaultSku", "free", "vaultSku"},
		{"a retention", "vaultRetentionDays", "91", "vaultRetentionDays"},
		{"a retention in words", "vaultRetentionDays", "ninety", "vaultRetentionDays"},
		{"purge protection", "vaultPurgeProtection", "yes", "vaultPurgeProtection"},
		{"public access", "vaultPublicNetworkAccess", "true", "vaultPublicNetworkAccess"},
		{"secrets that are no list", "secrets", "my-secret", "secrets"},
		{"a secret's name", "secrets", `[{"name":"my_secret","generate":{}},{"name":"my-secret","generate":{}}]`, "secrets[0].name"},
		{"a secret's name as number", "secrets", `[{"name":7,"generate":{}},{"name":"my-secret","generate":{}}]`, "secrets[0].name"},
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
		{"a network", "network", `{"addressSpace":"10.2.0.1/16","nodes":"10.2.0.0/20","endpoints":"10.2.16.0/24"}`, "network.addressSpace"},
		{"a subnet outside", "network", `{"addressSpace":"10.2.0.0/16","nodes":"10.1.0.0/20","endpoints":"10.2.16.0/24"}`, "network.nodes"},
		{"subnets that overlap", "network", `{"addressSpace":"10.2.0.0/16","nodes":"10.2.0.0/20","endpoints":"10.2.1.0/24"}`, "network.endpoints"},
		{"a tiny subnet", "network", `{"addressSpace":"10.2.0.0/16","nodes":"10.2.0.0/20","endpoints":"10.2.16.0/30"}`, "network.endpoints"},
		{"a network over the services", "network", `{"addressSpace":"10.0.0.0/15","nodes":"10.1.0.0/20","endpoints":"10.1.16.0/24"}`, "network.addressSpace"},
		{"a firewall", "vaultNetwork", `{"defaultAction":"Forbid"}`, "vaultNetwork.defaultAction"},
		{"long names", "resourceGroupName", strings.Repeat("g", 60), "nodeResourceGroup"},
		{"a tier", "clusterTier", "Gold", "clusterTier"},
		{"a login", "entra", `{"login":"password"}`, "entra.login"},
		{"logs for a week", "logRetentionDays", "7", "logRetentionDays"},
		{"logs to nowhere", "defender", "true", "logRetentionDays"},
		{"a Secret of no file", "syncSecrets", `[{"name":"s","data":[{"key":"k","file":"absent"}]}]`, "syncSecrets[0].data[0].file"},
		{"a cloud", "cloudName", "AzureGermanCloud", "cloudName"},
		{"access", "access", "subscription", "access"},
		{"pod security", "podSecurity", "strict", "podSecurity"},
		{"an interval", "rotationPollInterval", "2", "rotationPollInterval"},
		{"a namespace", "namespace", "NS", "namespace"},
		{"a service account", "serviceAccount", "a_b", "serviceAccount"},
		{"a class", "secretProviderClass", "A", "secretProviderClass"},
		{"nothing to mount", "mount", `[]`, "mount"},
		{"a mounted secret that is not declared", "mount", `[{"type":"secret","name":"other"}]`, "mount[0].name"},
		{"a mounted key that is a secret", "mount", `[{"type":"key","name":"my-secret"}]`, "mount[0].name"},
		{"a mounted type", "mount", `[{"type":"Secret","name":"my-secret"}]`, "mount[0].type"},
		{"a mount that is no object", "mount", `["my-secret"]`, "mount[0]"},
		{"a pod's name", "testPodName", "A", "testPodName"},
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

func TestAllMistakesAreReportedAtOnce(t *testing.T) {
	_, err := load(t, map[string]string{
		"systemPool": `{"count":"many"}`, "testpod": "true", "vaultSku": "free", "namespace": "", "secrets": `[{"name":"a b","generate":{"size":1}}]`,
		"clusterName": "-",
	})
	want := []string{
		"secrets[0].generate.size", "systemPool.count", "testpod", // cannot be read
		"vaultSku", "secrets[0].name", "clusterName", "clusterName", "namespace", "mount[0].name", // cannot be used
	}
	if got := paths(t, err); !reflect.DeepEqual(got, want) {
		t.Errorf("violations at %v, want %v", got, want)
	}
}

// What something that exists would silently not get is refused.
func TestWhatExistsIsNotConfigured(t *testing.T) {
	_, err := load(t, map[string]string{
		"existingVaultId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v", "vaultPurgeProtection": "true", "vaultNetwork": "{}",
		"existingClusterId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c", "azurePolicy": "true",
	})
	got := paths(t, err)
	slices.Sort(got)
	if want := []string{"azurePolicy", "vaultNetwork", "vaultPurgeProtection"}; !slices.Equal(got, want) {
		t.Errorf("violations at %v, want %v", got, want)
	}
}

func TestMissingKeyIsReported(t *testing.T) {
	e := &mockengine.Engine{Config: map[string]string{}}
	err := e.Run(func(ctx *pulumi.Context) error {
		_, err := infra.LoadConfig(ctx, e.Config)
		return err
	})
	if got, want := len(paths(t, err)), len(mockengine.StackConfig(t, "..", "")); got != want {
		t.Errorf("%d violations, want one for each of %d keys", got, want)
	}
}

// A value in the wrong place must not come out in the error's text.
func TestMistakesAroundSecretsDoNotShowThem(t *testing.T) {
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
				if _, err := load(t, map[string]string{"secrets": secrets}, encrypted...); err == nil || strings.Contains(err.Error(), "marker") {
					t.Errorf("got error %v", err)
				}
			}
		})
	}
}

// The example is a valid configuration, but for what excludes something else in it, and shows every key and every field.
func TestExampleShowsEverything(t *testing.T) {
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

// fields calls a function with the name of every field of a type and of the types in it.
func fields(in reflect.Type, found func(name string)) {
	switch in.Kind() {
	case reflect.Pointer, reflect.Slice:
		fields(in.Elem(), found)
	case reflect.Struct:
		for _, field := range reflect.VisibleFields(in) {
			if name, _, _ := strings.Cut(field.Tag.Get("pulumi"), ","); name != "" {
				found(name)
				fields(field.Type, found)
			}
		}
	}
}
