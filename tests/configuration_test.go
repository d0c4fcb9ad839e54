package tests

import (
	"errors"
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
)

// TestConfigurationThatNoStackHas brings the program up with what neither Pulumi.dev.yaml nor Pulumi.prod.yaml configures.
func TestConfigurationThatNoStackHas(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	base := []string{"--node=stand-in"}
	for _, one := range []string{
		`tags={team: payments}`, `vaultSku=premium`,
		`access=vault`, `podSecurity=baseline`, `cloudName=AzurePublicCloud`, `probe=true`, `testPodName=looker`,
		`kubernetesVersion="1.34"`, `clusterTier=Premium`, `outboundType=managedNATGateway`, `upgradeChannel=patch`, `nodeOsUpgradeChannel=SecurityPatch`, `networkPolicy=azure`,
		`maintenance={upgrades: {weekday: Saturday, intervalWeeks: 2, startTime: "22:00", utcOffset: "+01:00", durationHours: 6}}`,
		`systemPool={name: sys, count: 2, osDiskType: Managed, osDiskSizeGb: 128, maxPods: 60, taints: ["x=y:PreferNoSchedule"]}`,
		`nodePools=[{name: apps, labels: {workload: payments}, taints: ["only=payments:NoSchedule"]}, {name: batch, spot: true, minCount: 1, maxCount: 3}]`,
		`apiServer={authorizedIpRanges: [203.0.113.1/32]}`, `vaultPurgeProtection=true`,
	} {
		base = append(base, "--config", one)
	}
	// Who is on this machine has the address 203.0.113.1, and what runs in the cluster 203.0.113.2.
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
	grant(t, c, outputs["vaultId"], secretsOfficer)
	secrets, keys := vaultClients(t, c, outputs["vaultUri"])
	hub := newHub(t, c)
	both := []string{
		`vaultNetwork={allowedIpRanges: [203.0.113.1, 203.0.113.2], bypass: None, subnetIds: [` + hub + `/subnets/agents]}`,
		`vaultPrivateEndpoint={subnetId: ` + hub + `/subnets/endpoints}`,
	}

	t.Run("the cluster is as configured", func(t *testing.T) {
		c.pulumi(t, "preview", "--expect-no-changes")
		clusters, err := armcontainerservice.NewManagedClustersClient(r.Credentials.SubscriptionID, owner, armOptions(options))
		if err != nil {
			t.Fatal(err)
		}
		cluster, err := clusters.Get(t.Context(), "keyvault-demo", outputs["clusterName"], nil)
		if err != nil {
			t.Fatal(err)
		}
		if *cluster.SKU.Tier != "Premium" || *cluster.Properties.NetworkProfile.NetworkPolicy != "azure" || *cluster.Tags["team"] != "payments" ||
			*cluster.Properties.AutoUpgradeProfile.UpgradeChannel != "patch" || *cluster.Properties.KubernetesVersion != "1.34" ||
			*cluster.Properties.NetworkProfile.OutboundType != "managedNATGateway" {
			t.Errorf("it is %+v", cluster.Properties)
		}
		pools := map[string]*armcontainerservice.ManagedClusterAgentPoolProfile{}
		for _, pool := range cluster.Properties.AgentPoolProfiles {
			pools[*pool.Name] = pool
		}
		if len(pools) != 3 || *pools["sys"].Count != 2 || *pools["sys"].OSDiskSizeGB != 128 || *pools["apps"].NodeLabels["workload"] != "payments" ||
			*pools["batch"].ScaleSetPriority != "Spot" || *pools["batch"].MaxCount != 3 {
			t.Errorf("its pools are %+v", pools)
		}
	})
	t.Run("who is in no authorized range does not reach the API server", func(t *testing.T) {
		authorize := func(ranges ...string) {
			clusters, err := armcontainerservice.NewManagedClustersClient(r.Credentials.SubscriptionID, owner, armOptions(options))
			if err != nil {
				t.Fatal(err)
			}
			cluster, err := clusters.Get(t.Context(), "keyvault-demo", outputs["clusterName"], nil)
			if err != nil {
				t.Fatal(err)
			}
			cluster.Properties.APIServerAccessProfile.AuthorizedIPRanges = to.SliceOfPtrs(ranges...)
			poller, err := clusters.BeginCreateOrUpdate(t.Context(), "keyvault-demo", outputs["clusterName"], cluster.ManagedCluster, nil)
			if err == nil {
				_, err = poller.PollUntilDone(t.Context(), nil)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		authorize("198.51.100.0/24")
		if _, err := c.run(t, "", "kubectl", "get", "namespaces"); err == nil {
			t.Error("it answers")
		}
		authorize("203.0.113.1/32")
		c.kubectl(t, "get", "namespaces")
	})
	t.Run("clusters of their own networks", func(t *testing.T) { wantPrivateClusters(t, c, outputs) })
	t.Run("a firewall decides before roles do", func(t *testing.T) {
		_, err := secrets.GetSecret(t.Context(), "my-secret", "", nil)
		var refused *azcore.ResponseError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), "ForbiddenByFirewall") {
			t.Errorf("got %v, want ForbiddenByFirewall", err)
		}
		c.up(t, with(both...)...)
		vaults, err := armkeyvault.NewVaultsClient(r.Credentials.SubscriptionID, owner, armOptions(options))
		if err != nil {
			t.Fatal(err)
		}
		vault, err := vaults.Get(t.Context(), "keyvault-demo", outputs["vaultName"], nil)
		if err != nil {
			t.Fatal(err)
		}
		if rules := vault.Properties.NetworkACLs; len(rules.IPRules) != 2 || len(rules.VirtualNetworkRules) != 1 || *rules.Bypass != "None" ||
			len(vault.Properties.PrivateEndpointConnections) != 1 {
			t.Errorf("the vault's network is %+v", vault.Properties)
		}
		if value := getSecret(t, secrets, "my-secret"); !strings.Contains(lastLine, value) {
			t.Error("the pod, which the firewall let in, reads something else")
		}
	})
	t.Run("a vault that was deleted behind Pulumi's back is recovered with what was in it", func(t *testing.T) {
		value, version := getSecret(t, secrets, "my-secret"), latest(t, secrets, "my-secret")
		vaults, err := armkeyvault.NewVaultsClient(r.Credentials.SubscriptionID, owner, armOptions(options))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := vaults.Delete(t.Context(), "keyvault-demo", outputs["vaultName"], nil); err != nil {
			t.Fatal(err)
		}
		c.up(t, with(append(both, `vaultCreateMode=recover`)...)...)
		// Azure does not recover roles on the vault, neither this one's nor those of the mount.
		grant(t, c, outputs["vaultId"], secretsOfficer)
		if getSecret(t, secrets, "my-secret") != value || latest(t, secrets, "my-secret") != version {
			t.Error("the secret is another one")
		}
		c.pulumi(t, "refresh", "--yes", "--skip-preview")
		c.up(t, with(both...)...)
		c.kubectl(t, "rollout", "restart", "-n", outputs["namespace"], "deployment/keyvault-probe")
		c.kubectl(t, "rollout", "status", "-n", outputs["namespace"], "deployment/keyvault-probe", "--timeout=60s")
		c.kubectl(t, "rollout", "undo", "-n", outputs["namespace"], "deployment/keyvault-probe")
		c.pulumi(t, "preview", "--expect-no-changes")
	})
	t.Run("a second stack uses vault and cluster of the first", func(t *testing.T) {
		p := newProgram(t, c, ".", map[string]string{
			"resourceGroupName": "second", "existingVaultId": outputs["vaultId"], "existingClusterId": outputs["clusterId"],
			"secrets":   `[{"name":"second","generate":{"noSpecial":true,"noUpper":true},"rotate":"1","notBefore":"P1D","expires":"2099-12-31T00:00:00Z","tags":{"of":"second"}}]`,
			"keys":      `[{"name":"second","type":"EC-HSM","curve":"P-521","operations":["sign"]}]`,
			"namespace": "second", "serviceAccount": "second", "secretProviderClass": "second", "testPod": "true", "testPodName": "second",
			"mount": `[{"type":"secret","name":"second","alias":"in/folder","versionHistory":2},{"type":"key","name":"second"}]`,
		})
		grant(t, c, outputs["vaultId"], cryptoOfficer)
		p.up(t)
		p.pulumi(t, "preview", "--expect-no-changes")
		if phase := c.kubectl(t, "get", "pod", "-n", "second", "second", "--output=jsonpath={.status.phase}"); phase != "Running" {
			t.Errorf("the pod is %s", phase)
		}
		second, err := secrets.GetSecret(t.Context(), "second", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if attributes := second.Attributes; attributes.Expires.UTC().Format(time.RFC3339) != "2099-12-31T00:00:00Z" || !attributes.NotBefore.After(time.Now()) {
			t.Errorf("the secret is valid from %s to %s", attributes.NotBefore, attributes.Expires)
		}
		if files, err := filepath.Glob(filepath.Join(c.home, "c", "*", "pods", "second", "second", "*", "in", "folder", "*")); err != nil || len(files) != 1 || filepath.Base(files[0]) != "0" {
			t.Errorf("of the one version there is, and the role on the object lets the pod list, there is %q: %v", files, err)
		}
		if value := getSecret(t, secrets, "second"); !regexp.MustCompile(`^[a-z0-9]{32}$`).MatchString(value) {
			t.Error("the generated secret has other characters")
		}
		key, err := keys.GetKey(t.Context(), "second", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if *key.Key.Kty != azkeys.KeyTypeECHSM {
			t.Errorf("the key is %s", *key.Key.Kty)
		}

		// The local cloud is the public one, so of another one there is to see that the real provider asks there.
		p.configure(t, map[string]string{"cloudName": "AzureUSGovernmentCloud", "testPod": "false"})
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
		c.wantRefusedMounts(t, "second", map[string]string{"elsewhere": "https://" + outputs["vaultName"] + ".vault.usgovcloudapi.net/secrets/second"})
		p.pulumi(t, "destroy", "--yes", "--skip-preview")
		p.pulumi(t, "stack", "rm", "--yes")
		c.pulumi(t, "preview", "--expect-no-changes")
	})
}

// TestEveryMistakeIsReportedAndNothingIsCreated gives a wrong value to several keys at once.
func TestEveryMistakeIsReportedAndNothingIsCreated(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	var mistakes []string
	for _, mistake := range []string{
		"vaultRetentionDays=3", "vaultNamePrefix=9-lives", "systemPool={count: none}", "namespace=Not_A_Label", "unheardOf=1",
		`secrets=[{name: "under_score", generate: {length: 4}}]`, `mount=[{type: Secret, name: absent}]`,
	} {
		mistakes = append(mistakes, "--config", mistake)
	}
	printed, _, err := c.tryUp(t, mistakes...)
	if err == nil {
		t.Fatal("up succeeded")
	}
	for _, path := range []string{
		"vaultRetentionDays", "vaultNamePrefix", "systemPool.count", "namespace", "unheardOf", "secrets[0].name", "secrets[0].generate.length", "mount[0].type",
	} {
		if !strings.Contains(printed, path+":") {
			t.Errorf("%s is not reported", path)
		}
	}
	if left := resourceGroups(t, c); left != 0 {
		t.Errorf("%d resource groups were created", left)
	}
}

// newHub makes a virtual network as another team would, and returns its ARM id.
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
	poller, err := resources.BeginCreateOrUpdateByID(t.Context(), *group.ID+"/providers/Microsoft.Network/virtualNetworks/hub", "2023-06-01",
		armresources.GenericResource{Location: group.Location, Properties: object{
			"addressSpace": object{"addressPrefixes": []string{"10.50.0.0/16"}},
			"subnets": []object{
				subnet("agents", "10.50.0.0/24", object{"service": "Microsoft.KeyVault"}), subnet("endpoints", "10.50.1.0/24"),
			},
		}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	hub, err := poller.PollUntilDone(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return *hub.ID
}
