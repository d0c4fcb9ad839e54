package main

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

const entraKubeconfig = "users:\n- name: u\n  user:\n    exec: {command: kubelogin, args: [get-token, --login, " +
	"devicecode]}\n"

func runStack(t *testing.T, stack string, dryRun bool, change map[string]string) *mockengine.Engine {
	t.Helper()
	e := &mockengine.Engine{DryRun: dryRun, Config: mockengine.StackConfig(t, ".", stack)}
	if stack == "prod" { // whose cluster answers as one that is entered with Entra ID
		e.Answers = map[string]map[string]any{
			"azure-native:containerservice/v20240901:listManagedClusterUserCredentials": {"kubeconfigs": []any{map[string]any{
				"name": "clusterUser", "value": base64.StdEncoding.EncodeToString([]byte(entraKubeconfig)),
			}}},
		}
	}
	for key, value := range change {
		e.Config[mockengine.Project+":"+key] = value
	}
	if err := e.Run(func(ctx *pulumi.Context) error { return program(ctx, e.Config) }); err != nil {
		t.Fatal(err)
	}
	return e
}

// workloads returns a change of the stack's workloads.
func workloads(t *testing.T, stack string, change func([]map[string]any)) map[string]string {
	t.Helper()
	var list []map[string]any
	err := json.Unmarshal([]byte(mockengine.StackConfig(t, ".", stack)[mockengine.Project+":workloads"]), &list)
	if err != nil {
		t.Fatal(err)
	}
	change(list)
	text, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"workloads": string(text)}
}

func TestStackOutputs_DescribeVaultAndCluster(t *testing.T) {
	outputs := runStack(t, "dev", false, nil).StackOutputs()
	vault := mockengine.Group + "/providers/Microsoft.KeyVault/vaults/kv-demo-" + mockengine.Suffix
	for name, want := range map[string]string{
		"vaultId":            vault,
		"vaultName":          "kv-demo-" + mockengine.Suffix,
		"vaultUri":           "https://vault.example/",
		"clusterId":          mockengine.Group + "/providers/Microsoft.ContainerService/managedClusters/aks-keyvault-cluster",
		"clusterName":        "aks-keyvault-cluster",
		"issuerUrl":          mockengine.IssuerURL,
		"fqdn":               mockengine.FQDN,
		"nodeResourceGroup":  "nodes",
		"kubeletPrincipalId": "kubelet-principal-id",
		"readSecretCommand":  "kubectl exec -n keyvault-ns keyvault-test-pod -- cat /mnt/secrets/my-secret",
	} {
		if got := outputs[resource.PropertyKey(name)]; got != resource.NewProperty(want) {
			t.Errorf("%s is %v, want %s", name, got, want)
		}
	}
	if kubeconfig := outputs["kubeconfig"]; !kubeconfig.IsSecret() {
		t.Error("the kubeconfig is not a secret")
	}
	if got := outputs["outboundIps"].ArrayValue(); len(got) != 1 || got[0] != resource.NewProperty(mockengine.OutboundIP) {
		t.Errorf("outboundIps is %v", got)
	}
	if len(outputs) != 14 {
		t.Errorf("there are %d outputs, want 14", len(outputs))
	}
}

func TestStackReadme_NamesOutputsThatMayBeShown(t *testing.T) {
	for _, stack := range []string{"dev", "prod"} {
		outputs := runStack(t, stack, false, nil).StackOutputs()
		page := outputs["readme"].StringValue()
		names := regexp.MustCompile(`\$\{outputs\.(\w+)\}`).FindAllStringSubmatch(page, -1)
		if len(names) == 0 || strings.Count(page, "${") != len(names) {
			t.Errorf("%d of %d placeholders name an output", len(names), strings.Count(page, "${"))
		}
		for _, name := range names {
			if value, ok := outputs[resource.PropertyKey(name[1])]; !ok || !value.IsString() {
				t.Errorf("in %s, the output %s is no plain text", stack, name[1])
			}
		}
	}
}

func TestStackOutputs_DescribeEachWorkload(t *testing.T) {
	workloads := runStack(t, "prod", false, nil).StackOutputs()["workloads"].ObjectValue()
	if len(workloads) != 2 {
		t.Errorf("there are %d workloads, want 2", len(workloads))
	}
	api := workloads["api"].ObjectValue()
	for name, want := range map[string]string{
		"identityId":          mockengine.Group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/api-identity-auto",
		"clientId":            "client-id",
		"principalId":         "principal-id",
		"namespace":           "keyvault-ns",
		"secretProviderClass": "keyvault-secrets",
	} {
		if got := api[resource.PropertyKey(name)]; got != resource.NewProperty(want) {
			t.Errorf("%s is %v, want %s", name, got, want)
		}
	}
	if _, ok := api["readSecretCommand"]; ok {
		t.Error("there is a command for a pod that does not exist")
	}
}

// A renamed workload keeps its resources: through its former name, and the first workload through the names of versions
// without the list.
func TestWorkloads_KeepResourcesWhenRenamed(t *testing.T) {
	e := runStack(t, "prod", false, workloads(t, "prod", func(w []map[string]any) { w[1]["formerName"] = "invoices" }))
	for name, want := range map[string][]string{
		"api": {"workload"}, "api-mount": {"mount"}, "billing": {"invoices"}, "billing-mount": {"invoices-mount"},
	} {
		var got []string
		for _, alias := range e.Get(t, name).RPC.GetAliases() {
			got = append(got, alias.GetSpec().GetName())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s was %v, want %v", name, got, want)
		}
	}
}

// TestWorkloads_RejectSharedNamesInPulumi pairs names that are parts of each other's. It determines the names in Pulumi
// by running each workload alone.
func TestWorkloads_RejectSharedNamesInPulumi(t *testing.T) {
	type one = struct{ name, namespace, account, secret string }
	alone := func(w one) map[string]string {
		text, err := json.Marshal([]map[string]any{{
			"name": w.name, "namespace": w.namespace,
			"serviceAccounts": []any{map[string]any{"name": w.account}},
			"mount":           []any{map[string]any{"type": "secret", "name": w.secret}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		return map[string]string{
			"workloads": string(text),
			"secrets":   `[{"name":"x","generate":{}},{"name":"mount-role-secret-x","generate":{}}]`,
		}
	}
	urns := func(w one) map[string]bool {
		found := map[string]bool{}
		for _, r := range runStack(t, "dev", true, alone(w)).Resources() {
			if strings.Contains(r.URN, "WorkloadIdentity") || strings.Contains(r.URN, "SecretMount") {
				found[r.URN] = true
			}
		}
		return found
	}
	all := []one{
		{"a", "x", "s", "x"},
		{"a", "namespace-x", "s", "x"},
		{"a", "account-x", "s", "x"},
		{"a", "credential-x", "s", "x"},
		{"a", "y", "s", "mount-role-secret-x"},
		{"a-namespace", "x", "s", "x"},
		{"a-account", "x", "s", "x"},
		{"a-account", "x", "r", "x"},
		{"a-credential", "x", "s", "x"},
		{"a-mount", "x", "s", "x"},
		{"a-mount-role-secret", "z", "s", "x"},
	}
	refused := 0
	for i, first := range all {
		for _, second := range all[:i] {
			if first.name == second.name || first.namespace == second.namespace { // refused anyway
				continue
			}
			want := false
			of := urns(first)
			for urn := range urns(second) {
				want = want || of[urn]
			}
			var lists [2][]map[string]any
			for k, w := range []one{first, second} {
				if err := json.Unmarshal([]byte(alone(w)["workloads"]), &lists[k]); err != nil {
					t.Fatal(err)
				}
			}
			text, err := json.Marshal(append(lists[0], lists[1]...))
			if err != nil {
				t.Fatal(err)
			}
			e := &mockengine.Engine{DryRun: true, Config: mockengine.StackConfig(t, ".", "dev")}
			for key, value := range alone(first) {
				e.Config[mockengine.Project+":"+key] = value
			}
			e.Config[mockengine.Project+":workloads"] = string(text)
			err = e.Run(func(ctx *pulumi.Context) error { return program(ctx, e.Config) })
			if got := err != nil && strings.Contains(err.Error(), "workloads[1].name"); got != want || err != nil && !got {
				t.Errorf("%v and %v: got error %v, want it refused: %t", first, second, err, want)
			}
			if want {
				refused++
			}
		}
	}
	if refused == 0 {
		t.Error("no pair has to be refused: nothing is proven")
	}
}

func TestStackOutputs_NameDefaultTestPod(t *testing.T) {
	outputs := runStack(t, "dev", false,
		workloads(t, "dev", func(w []map[string]any) { w[0]["testPod"] = map[string]any{} })).StackOutputs()
	got, want := outputs["readSecretCommand"].StringValue(), "kubectl exec -n keyvault-ns keyvault-test-pod -- "
	if !strings.HasPrefix(got, want) {
		t.Errorf("it is %s", got)
	}
}

// Data alone gives the order of resources.
func TestProgram_DependenciesGiveOrder(t *testing.T) {
	e := runStack(t, "dev", false, nil)
	for _, tt := range []struct{ later, earlier string }{
		{"vault-vault", "resource-group"},
		{"vault-secret-my-secret", "vault-vault"},
		{"vault-key-my-key", "vault-vault"},
		{"cluster-kubernetes", "cluster-cluster"},
		{"keyvault-demo-credential-keyvault-ns_keyvault-sa", "keyvault-demo-identity"},
		{"keyvault-demo-credential-keyvault-ns_keyvault-sa", "cluster-cluster"},
		{"keyvault-demo-account-keyvault-ns_keyvault-sa", "keyvault-demo-namespace-keyvault-ns"},
		{"keyvault-demo-mount-role-secret-my-secret", "vault-secret-my-secret"},
		{"keyvault-demo-mount-role-key-my-key", "vault-key-my-key"},
		{"keyvault-demo-mount-role-secret-my-secret", "keyvault-demo-identity"},
		{"keyvault-demo-mount-class", "vault-vault"},
		{"keyvault-demo-mount-class", "keyvault-demo-identity"},
		{"keyvault-demo-mount-class", "keyvault-demo-namespace-keyvault-ns"},
		{"keyvault-demo-mount-test-pod", "keyvault-demo-mount-class"},
		{"keyvault-demo-mount-test-pod", "keyvault-demo-mount-role-secret-my-secret"},
		{"keyvault-demo-mount-test-pod", "keyvault-demo-mount-role-key-my-key"},
		{"keyvault-demo-mount-test-pod", "keyvault-demo-account-keyvault-ns_keyvault-sa"},
		{"keyvault-demo-mount-test-pod", "keyvault-demo-credential-keyvault-ns_keyvault-sa"},
		{"keyvault-demo-mount-test-pod", "keyvault-demo-namespace-keyvault-ns"},
	} {
		if !e.Get(t, tt.later).WaitsFor(e.Get(t, tt.earlier)) {
			t.Errorf("%s does not wait for %s", tt.later, tt.earlier)
		}
	}
}

func TestProgram_CreatesVaultClusterAndIdentityInParallel(t *testing.T) {
	e := runStack(t, "dev", false, nil)
	for name, earlier := range map[string][]string{
		"vault-vault":            {"resource-group", "vault-suffix"},
		"cluster-cluster":        {"resource-group"},
		"keyvault-demo-identity": {"resource-group"},
	} {
		var want []string
		for _, one := range earlier {
			want = append(want, e.Get(t, one).URN)
		}
		slices.Sort(want)
		if got := e.Get(t, name).RPC.GetDependencies(); !slices.Equal(got, want) {
			t.Errorf("%s waits for %v, want %v", name, got, want)
		}
	}
}

// Creating the cluster takes longer than all of this together, and a role takes more minutes to take effect.
func TestWorkloadIdentity_IsCreatedInParallelWithCluster(t *testing.T) {
	early := []string{
		"keyvault-demo-identity",
		"keyvault-demo-mount-role-secret-my-secret",
		"keyvault-demo-mount-role-key-my-key",
	}
	var all sync.WaitGroup
	all.Add(len(early))
	made := make(chan struct{})
	go func() {
		all.Wait()
		close(made)
	}()
	e := &mockengine.Engine{Config: mockengine.StackConfig(t, ".", "dev"), Hold: func(name string) {
		if slices.Contains(early, name) {
			all.Done()
		}
		if name != "cluster-cluster" {
			return
		}
		select {
		case <-made:
		case <-time.After(20 * time.Second):
			t.Errorf("not all of %v is registered before the cluster is there", early)
		}
	}}
	if err := e.Run(func(ctx *pulumi.Context) error { return program(ctx, e.Config) }); err != nil {
		t.Fatal(err)
	}
}

func TestObjects_UseClustersProvider(t *testing.T) {
	e := runStack(t, "dev", false, nil)
	count := 0
	for _, one := range e.Resources() {
		if strings.HasPrefix(one.Type, "kubernetes:") {
			count++
			if want := e.Get(t, "cluster-kubernetes").URN; !strings.HasPrefix(one.RPC.GetProvider(), want+"::") {
				t.Errorf("%s goes through %q", one.Name, one.RPC.GetProvider())
			}
		}
	}
	if count != 4 {
		t.Errorf("%d objects in the cluster, want namespace, service account, class and pod", count)
	}
}

func TestTags_AreOnEveryAzureResource(t *testing.T) {
	e := runStack(t, "dev", false, map[string]string{"tags": `{"team":"a"}`})
	for _, name := range []string{"resource-group", "vault-vault", "cluster-cluster", "keyvault-demo-identity"} {
		for tag, want := range map[string]string{"team": "a", "pulumi-project": mockengine.Project,
			"pulumi-stack": mockengine.Stack} {
			if got := e.Get(t, name).At("tags." + tag); got == nil || *got != resource.NewProperty(want) {
				t.Errorf("%s: tag %s is %v", name, tag, got)
			}
		}
	}
}

func TestConfig_EncryptsSecrets(t *testing.T) {
	e := runStack(t, "dev", false, map[string]string{
		"secrets": `[{"name":"my-secret","value":"given-marker"},{"name":"other","generate":{}}]`,
	})
	for _, text := range []string{"given-marker", mockengine.Password, mockengine.Kubeconfig} {
		if found := e.Plaintext(text); len(found) > 0 {
			t.Errorf("a secret is in the clear in %v", found)
		}
	}
}

// A preview of the first update, when no resource exists, plans the same resources as the update.
func TestPreview_MatchesUpdate(t *testing.T) {
	for _, stack := range []string{"dev", "prod"} {
		t.Run(stack, func(t *testing.T) {
			var lists [2][]string
			for i, dryRun := range []bool{true, false} {
				for _, one := range runStack(t, stack, dryRun, nil).Resources() {
					lists[i] = append(lists[i], one.URN)
				}
				slices.Sort(lists[i])
			}
			if !slices.Equal(lists[0], lists[1]) {
				t.Errorf("the preview has %v, the update %v", lists[0], lists[1])
			}
		})
	}
}

func TestProgram_RegistersNothingIfInvalid(t *testing.T) {
	e := &mockengine.Engine{DryRun: true, Config: mockengine.StackConfig(t, ".", "dev")}
	e.Config[mockengine.Project+":systemPool"] = `{"count": "many"}`
	if err := e.Run(func(ctx *pulumi.Context) error { return program(ctx, e.Config) }); err == nil {
		t.Error("the program went on")
	}
	if registered := e.Resources(); len(registered) > 0 {
		t.Errorf("%s was registered", registered[0].Name)
	}
}

// The private DNS zone of a network hides the public names of vaults whose endpoints are elsewhere.
func TestNetwork_ResolvesOwnVaultOnly(t *testing.T) {
	for name, change := range map[string]map[string]string{
		"another vault": {"existingVaultId": mockengine.Group + "/providers/Microsoft.KeyVault/vaults/theirs",
			"vaultPurgeProtection": "false", "vaultNetwork": ""},
		"another endpoint": {"vaultPrivateEndpoint": `{"subnetId":"` + mockengine.Group + `/providers/Microsoft.Network/virtualNetworks/n/subnets/s"}`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, one := range runStack(t, "prod", false, change).Resources() {
				if strings.Contains(one.Type, "network/v20240601") {
					t.Errorf("%s is a %s", one.Name, one.Type)
				}
			}
		})
	}
}

func TestProbe_RestartsWithVersions(t *testing.T) {
	e := runStack(t, "prod", false, workloads(t, "prod", func(w []map[string]any) { w[0]["probe"] = map[string]any{} }))
	annotation := e.Get(t, "api-mount-probe").At(`spec.template.metadata.annotations["keyvault-aks/checksum"]`)
	if annotation == nil || !annotation.IsString() {
		t.Fatalf("the checksum is %v", annotation)
	}
	if !e.Get(t, "api-mount-probe").WaitsFor(e.Get(t, "vault-secret-my-secret")) {
		t.Error("the checksum does not come from the vault's secrets")
	}
}
