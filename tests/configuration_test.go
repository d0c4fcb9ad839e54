package tests

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/keyvault/armkeyvault"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"sigs.k8s.io/yaml"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

// TestProgram_RunsUncommonConfiguration brings the program up with options that neither Pulumi.dev.yaml nor
// Pulumi.prod.yaml uses.
func TestProgram_RunsUncommonConfiguration(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	base := []string{"--node=stand-in"}
	for _, one := range []string{
		`tags={team: payments}`, `vaultSku=premium`,
		`cloudName=AzurePublicCloud`, `probeImage=docker.io/library/busybox:1.35.0`,
		workloadsWith(t, "dev", `{access: vault, podSecurity: baseline, audience: "api://AzureADTokenExchange", probe: {},
			testPod: {name: looker}}`),
		`kubernetesVersion="1.34"`, `clusterTier=Premium`, `outboundType=managedNATGateway`,
		`upgradeChannel=patch`, `nodeOsUpgradeChannel=SecurityPatch`, `networkPolicy=azure`,
		`maintenance={upgrades: {
			weekday: Saturday, intervalWeeks: 2, startTime: "22:00", utcOffset: "+01:00", durationHours: 6}}`,
		`systemPool={name: sys, count: 2, osDiskType: Managed, osDiskSizeGb: 128, maxPods: 60,
			taints: ["x=y:PreferNoSchedule"]}`,
		`nodePools=[{name: apps, labels: {workload: payments}, taints: ["only=payments:NoSchedule"]},
			{name: batch, spot: true, minCount: 1, maxCount: 3}]`,
		`apiServer={authorizedIpRanges: [203.0.113.1/32]}`, `vaultPurgeProtection=true`,
	} {
		base = append(base, "--config", one)
	}
	// In the local cloud this machine has the address 203.0.113.1, and the cluster 203.0.113.2.
	const onlyCluster = `vaultNetwork={allowedIpRanges: [203.0.113.2]}`
	with := func(more ...string) []string {
		args := slices.Clone(base)
		for _, one := range more {
			args = append(args, "--config", one)
		}
		return args
	}
	_, lastLine := c.up(t, with(onlyCluster)...)
	outputs := c.outputs(t)
	owner, options, r := c.azure(t)
	grant(t, c, outputs.VaultID, secretsOfficer)
	secrets, keys := vaultClients(t, c, outputs.VaultURI)
	hub := newHub(t, c)
	both := []string{
		`vaultNetwork={allowedIpRanges: [203.0.113.1, 203.0.113.2], bypass: None, subnetIds: [` + hub + `/subnets/agents]}`,
		`vaultPrivateEndpoint={subnetId: ` + hub + `/subnets/endpoints}`,
	}

	t.Run("cluster", func(t *testing.T) {
		c.pulumi(t, "preview", "--expect-no-changes")
		clusters, err := armcontainerservice.NewManagedClustersClient(r.Credentials.SubscriptionID, owner,
			armOptions(options))
		if err != nil {
			t.Fatal(err)
		}
		cluster, err := clusters.Get(t.Context(), "keyvault-demo", outputs.ClusterName, nil)
		if err != nil {
			t.Fatal(err)
		}
		if is := cluster.Properties; *cluster.SKU.Tier != "Premium" || *cluster.Tags["team"] != "payments" ||
			*is.KubernetesVersion != "1.34" || *is.AutoUpgradeProfile.UpgradeChannel != "patch" ||
			*is.NetworkProfile.NetworkPolicy != "azure" || *is.NetworkProfile.OutboundType != "managedNATGateway" {
			t.Errorf("the cluster has tier %s, tags %v and %+v", *cluster.SKU.Tier, cluster.Tags, is)
		}
		pools := map[string]*armcontainerservice.ManagedClusterAgentPoolProfile{}
		for _, pool := range cluster.Properties.AgentPoolProfiles {
			pools[*pool.Name] = pool
		}
		if len(pools) != 3 || *pools["sys"].Count != 2 || *pools["sys"].OSDiskSizeGB != 128 ||
			*pools["apps"].NodeLabels["workload"] != "payments" ||
			*pools["batch"].ScaleSetPriority != "Spot" || *pools["batch"].MaxCount != 3 {
			t.Errorf("the cluster has the pools %+v", pools)
		}
	})
	t.Run("authorized ranges of the API server", func(t *testing.T) {
		authorize := func(ranges ...string) {
			clusters, err := armcontainerservice.NewManagedClustersClient(r.Credentials.SubscriptionID, owner,
				armOptions(options))
			if err != nil {
				t.Fatal(err)
			}
			cluster, err := clusters.Get(t.Context(), "keyvault-demo", outputs.ClusterName, nil)
			if err != nil {
				t.Fatal(err)
			}
			cluster.Properties.APIServerAccessProfile.AuthorizedIPRanges = to.SliceOfPtrs(ranges...)
			poller, err := clusters.BeginCreateOrUpdate(t.Context(), "keyvault-demo", outputs.ClusterName,
				cluster.ManagedCluster, nil)
			if err == nil {
				_, err = poller.PollUntilDone(t.Context(), nil)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		authorize("198.51.100.0/24")
		if _, err := c.run(t, "", "kubectl", "get", "namespaces"); err == nil {
			t.Error("the API server responds to an address outside the authorized ranges")
		}
		authorize("203.0.113.1/32")
		c.kubectl(t, "get", "namespaces")
	})
	t.Run("private clusters", func(t *testing.T) { wantPrivateClusters(t, c, outputs) })
	t.Run("vault firewall", func(t *testing.T) {
		_, err := secrets.GetSecret(t.Context(), "my-secret", "", nil)
		var refused *azcore.ResponseError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), "ForbiddenByFirewall") {
			t.Errorf("reading the secret from outside the firewall: got %v, want ForbiddenByFirewall", err)
		}
		c.up(t, with(both...)...)
		vaults, err := armkeyvault.NewVaultsClient(r.Credentials.SubscriptionID, owner, armOptions(options))
		if err != nil {
			t.Fatal(err)
		}
		vault, err := vaults.Get(t.Context(), "keyvault-demo", outputs.VaultName, nil)
		if err != nil {
			t.Fatal(err)
		}
		if rules := vault.Properties.NetworkACLs; len(rules.IPRules) != 2 || len(rules.VirtualNetworkRules) != 1 ||
			*rules.Bypass != "None" || len(vault.Properties.PrivateEndpointConnections) != 1 {
			t.Errorf("the vault has the network rules %+v and %d private endpoints", *rules,
				len(vault.Properties.PrivateEndpointConnections))
		}
		if value := getSecret(t, secrets, "my-secret"); !strings.Contains(lastLine, value) {
			t.Error("the pod, which the firewall allows, does not read the vault's value")
		}
	})
	t.Run("recovery of a deleted vault", func(t *testing.T) {
		value, version := getSecret(t, secrets, "my-secret"), latest(t, secrets, "my-secret")
		vaults, err := armkeyvault.NewVaultsClient(r.Credentials.SubscriptionID, owner, armOptions(options))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := vaults.Delete(t.Context(), "keyvault-demo", outputs.VaultName, nil); err != nil {
			t.Fatal(err)
		}
		c.up(t, with(append(both, `vaultCreateMode=recover`)...)...)
		// Azure does not recover the roles on the vault.
		grant(t, c, outputs.VaultID, secretsOfficer)
		if getSecret(t, secrets, "my-secret") != value || latest(t, secrets, "my-secret") != version {
			t.Error("the recovered secret has another value or version")
		}
		c.pulumi(t, "refresh", "--yes", "--skip-preview")
		c.up(t, with(both...)...)
		c.kubectl(t, "rollout", "restart", "-n", outputs.Namespace, "deployment/keyvault-probe")
		c.kubectl(t, "rollout", "status", "-n", outputs.Namespace, "deployment/keyvault-probe", "--timeout=60s")
		c.kubectl(t, "rollout", "undo", "-n", outputs.Namespace, "deployment/keyvault-probe")
		c.pulumi(t, "preview", "--expect-no-changes")
	})
	t.Run("second stack", func(t *testing.T) {
		const mounted = `"mount":[
			{"type":"secret","name":"second","alias":"in/folder","versionHistory":2},{"type":"key","name":"second"}]`
		p := newProgram(t, c, ".", map[string]string{
			"resourceGroupName": "second",
			"existingVaultId":   outputs.VaultID,
			"existingClusterId": outputs.ClusterID,
			"secrets": `[{"name":"second","generate":{"noSpecial":true,"noUpper":true},"rotate":"1",
				"notBefore":"P1D","expires":"2099-12-31T00:00:00Z","tags":{"of":"second"}}]`,
			"keys":      `[{"name":"second","type":"EC-HSM","curve":"P-521","operations":["sign"]}]`,
			"workloads": secondWorkload(mounted + `,"testPod":{"name":"second"}`),
		})
		grant(t, c, outputs.VaultID, cryptoOfficer)
		p.up(t)
		p.pulumi(t, "preview", "--expect-no-changes")
		phase := c.kubectl(t, "get", "pod", "-n", "second", "second", "--output=jsonpath={.status.phase}")
		if phase != "Running" {
			t.Errorf("the pod is %s, want Running", phase)
		}
		second, err := secrets.GetSecret(t.Context(), "second", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if attributes := second.Attributes; attributes.Expires.UTC().Format(time.RFC3339) != "2099-12-31T00:00:00Z" ||
			!attributes.NotBefore.After(time.Now()) {
			t.Errorf("the secret is valid from %s to %s, want from tomorrow to the end of 2099", attributes.NotBefore,
				attributes.Expires)
		}
		// The role on the object also lets the pod list its versions, of which there is one.
		folder := filepath.Join(c.home, localcloudtest.ClustersDir, "*", "pods", "second", "second", "*", "in", "folder")
		files, err := filepath.Glob(filepath.Join(folder, "*"))
		if err != nil || len(files) != 1 || filepath.Base(files[0]) != "0" {
			t.Errorf("the folder of the secret's versions has %q, want 0: %v", files, err)
		}
		if value := getSecret(t, secrets, "second"); !regexp.MustCompile(`^[a-z0-9]{32}$`).MatchString(value) {
			t.Error("the generated secret is not 32 lower-case letters and digits")
		}
		key, err := keys.GetKey(t.Context(), "second", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if *key.Key.Kty != azkeys.KeyTypeECHSM {
			t.Errorf("the key has type %s, want EC-HSM", *key.Key.Kty)
		}

		// The local cloud is Azure's public cloud; of another cloud the test can only see that the provider tries it.
		p.configure(t, map[string]string{"cloudName": "AzureUSGovernmentCloud", "workloads": secondWorkload(mounted)})
		p.up(t)
		c.apply(t, `
apiVersion: v1
kind: Pod
metadata: {name: elsewhere, namespace: second}
spec:
  serviceAccountName: second
  securityContext: {runAsNonRoot: true, runAsUser: 65534, seccompProfile: {type: RuntimeDefault}}
  containers:
  - {name: c, image: "busybox:1.35.0", securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}
  volumes:
  - name: v
    csi: {driver: secrets-store.csi.k8s.io, readOnly: true, volumeAttributes: {secretProviderClass: second}}
`)
		c.wantRefusedMounts(t, "second",
			map[string]string{"elsewhere": "https://" + outputs.VaultName + ".vault.usgovcloudapi.net/secrets/second"})
		p.pulumi(t, "destroy", "--yes", "--skip-preview")
		p.pulumi(t, "stack", "rm", "--yes")
		c.pulumi(t, "preview", "--expect-no-changes")
	})
}

// wrongWorkloads each have mistakes, and two have the same name and namespace.
const wrongWorkloads = `workloads=[
	{name: Api, namespace: Not_A_Label, serviceAccounts: [{name: a}], mount: [{type: Secret, name: absent}]},
	{name: twice, namespace: one, podSecurity: strict, serviceAccounts: [{name: a, namespace: two}], mount: []},
	{name: twice, namespace: one, serviceAccounts: [], mounts: [], probe: {name: a.b},
		mount: [{type: key, name: my-key, encoding: hex}]},
	{name: reserved, namespace: kube-payments, serviceAccounts: [{name: default}],
		mount: [{type: key, name: my-key}], testPod: {image: Busy Box}},
	{name: last, namespace: last, serviceAccounts: [{name: last}], access: everything, testPod: {name: Pod},
		mount: [{type: secret, name: absent, alias: ../outside}],
		syncSecrets: [{name: copy, data: [{key: k, file: nowhere}]}]}]`

// givenAt matches the path of a reported mistake.
var givenAt = regexp.MustCompile(`(?m)^\s*(\S+): given `)

// TestProgram_ReportsAllMistakesBeforeCreating checks that up reports all mistakes in the configuration at once, and
// creates nothing.
func TestProgram_ReportsAllMistakesBeforeCreating(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	var mistakes []string
	for _, mistake := range []string{
		"vaultRetentionDays=3", "vaultNamePrefix=9-lives", "systemPool={count: none}", "unheardOf=1",
		"tags={azure-team: payments}", "clusterName=login-payments", "podCidr=172.30.0.0/16", "clusterIdentityId=payments",
		`secrets=[{name: "under_score", generate: {length: 4}}]`, wrongWorkloads,
	} {
		mistakes = append(mistakes, "--config", mistake)
	}
	printed, _, err := c.tryUp(t, mistakes...)
	if err == nil {
		t.Fatal("up succeeded")
	}
	want := []string{
		"vaultRetentionDays",
		"vaultNamePrefix",
		"systemPool.count",
		"unheardOf",
		"tags",
		"clusterName",
		"podCidr",
		"clusterIdentityId",
		"secrets[0].name",
		"secrets[0].generate.length",
		"workloads[0].name",
		"workloads[0].namespace",
		"workloads[0].mount[0].type",
		"workloads[1].podSecurity",
		"workloads[1].serviceAccounts[0].namespace",
		"workloads[1].mount",
		"workloads[2].name",
		"workloads[2].namespace",
		"workloads[2].serviceAccounts",
		"workloads[2].mounts",
		"workloads[2].probe.name",
		"workloads[2].mount[0].encoding",
		"workloads[3].namespace",
		"workloads[3].serviceAccounts[0].name",
		"workloads[3].testPod.image",
		"workloads[4].access",
		"workloads[4].testPod.name",
		"workloads[4].mount[0].name",
		"workloads[4].mount[0].alias",
		"workloads[4].syncSecrets[0].data[0].file",
	}
	var got []string
	for _, match := range givenAt.FindAllStringSubmatch(printed, -1) {
		got = append(got, match[1])
	}
	slices.Sort(want)
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("up reports\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if left := resourceGroups(t, c); left != 0 {
		t.Errorf("%d resource groups were created, want 0", left)
	}
}

// configured returns the configuration of a stack in the checkout.
func configured(t *testing.T, stack string) map[string]any {
	t.Helper()
	var file struct{ Config map[string]any }
	content, err := os.ReadFile(filepath.Join(checkout, "Pulumi."+stack+".yaml"))
	if err == nil {
		err = yaml.Unmarshal(content, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file.Config
}

// configuredTexts returns the configuration of a stack for [program.configure]. Values that are not strings are JSON.
func configuredTexts(t *testing.T, stack string) map[string]string {
	t.Helper()
	config := map[string]string{}
	for key, value := range configured(t, stack) {
		text, isText := value.(string)
		if !isText {
			text = asJSON(t, value)
		}
		config[key] = text
	}
	return config
}

// workloadsWith returns a configuration for `up --config`: a stack's workloads, the first of which get the changes,
// which are YAML. A null value removes a key.
func workloadsWith(t *testing.T, stack string, changes ...string) string {
	t.Helper()
	workloads := configured(t, stack)["keyvault-aks:workloads"].([]any)
	for i, change := range changes {
		var values map[string]any
		if err := yaml.Unmarshal([]byte(change), &values); err != nil {
			t.Fatal(err)
		}
		of := workloads[i].(map[string]any)
		for key, value := range values {
			if of[key] = value; value == nil {
				delete(of, key)
			}
		}
	}
	text, err := json.Marshal(workloads)
	if err != nil {
		t.Fatal(err)
	}
	return "workloads=" + string(text)
}

// secondWorkload returns the configuration of a second stack's only workload, all whose names are second. More are its
// other fields in JSON.
func secondWorkload(more string) string {
	const names = `"name":"second","namespace":"second","serviceAccounts":[{"name":"second"}],"className":"second"`
	return "[{" + names + "," + more + "}]"
}

// newHub creates another team's virtual network and returns its ARM id.
func newHub(t *testing.T, c *cloud) string {
	t.Helper()
	owner, options, r := c.azure(t)
	groups, err := armresources.NewResourceGroupsClient(r.Credentials.SubscriptionID, owner, armOptions(options))
	if err != nil {
		t.Fatal(err)
	}
	group, err := groups.CreateOrUpdate(t.Context(), "hub", armresources.ResourceGroup{Location: to.Ptr("eastus")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	resources, err := armresources.NewClient(r.Credentials.SubscriptionID, owner, armOptions(options))
	if err != nil {
		t.Fatal(err)
	}
	type object = map[string]any
	subnet := func(name, prefix string, endpoints ...object) object {
		return object{"name": name, "properties": object{"addressPrefix": prefix, "serviceEndpoints": endpoints}}
	}
	poller, err := resources.BeginCreateOrUpdateByID(
		t.Context(),
		*group.ID+"/providers/Microsoft.Network/virtualNetworks/hub",
		"2023-06-01",
		armresources.GenericResource{Location: group.Location, Properties: object{
			"addressSpace": object{"addressPrefixes": []string{"10.50.0.0/16"}},
			"subnets": []object{
				subnet("agents", "10.50.0.0/24", object{"service": "Microsoft.KeyVault"}), subnet("endpoints", "10.50.1.0/24"),
			},
		}},
		nil,
	)
	if err != nil {
		t.Fatal(err)
	}
	hub, err := poller.PollUntilDone(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return *hub.ID
}
