package tests

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
)

// guide has the resources of Microsoft's guide, which somebody created with az and kubectl
// (https://learn.microsoft.com/azure/aks/csi-secrets-store-identity-access).
type guide struct {
	*cloud
	group, vault, cluster, pool, identity, credential string // ARM ids
	secretsRole, keysRole                             string // ARM ids of the role assignments
	kubeconfig                                        string // name of the file
}

const (
	guideSecret    = "MyAKSExampleSecret"
	guideDNSPrefix = "myAKSClust-myResourceGroup-1c0d5b" // az derives it from names and subscription
	guidePod       = "busybox-secrets-store-inline-wi"
)

// guideObjects are the guide's objects without the pod, with verbs for the client, vault and tenant.
const guideObjects = `
apiVersion: v1
kind: Namespace
metadata: {name: apps}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: workload-identity-sa, namespace: apps, annotations: {azure.workload.identity/client-id: %[1]s}}
---
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata: {name: azure-kvname-wi, namespace: apps}
spec:
  provider: azure
  parameters:
    usePodIdentity: "false"
    clientID: %[1]s
    keyvaultName: %[2]s
    cloudName: ""
    objects: |
      array:
        - |
          objectName: ExampleSecret
          objectType: secret
          objectVersion: ""
        - |
          objectName: ExampleKey
          objectType: key
          objectVersion: ""
    tenantId: %[3]s
`

// guidePods is the guide's pod, with a verb for its name.
const guidePods = `
---
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: apps, labels: {azure.workload.identity/use: "true"}}
spec:
  serviceAccountName: workload-identity-sa
  terminationGracePeriodSeconds: 0
  containers:
    - name: busybox
      image: busybox:1.35.0
      command: [/bin/sleep, "10000"]
      volumeMounts: [{name: secrets-store01-inline, mountPath: /mnt/secrets-store, readOnly: true}]
  volumes:
    - name: secrets-store01-inline
      csi: {driver: secrets-store.csi.k8s.io, readOnly: true, volumeAttributes: {secretProviderClass: azure-kvname-wi}}
`

// newGuide follows the guide with the requests that az sends.
func newGuide(t *testing.T, c *cloud) *guide {
	t.Helper()
	r := c.running(t)
	subscription := "/subscriptions/" + r.Credentials.SubscriptionID
	g := &guide{
		cloud:      c,
		group:      subscription + "/resourceGroups/myResourceGroup",
		kubeconfig: filepath.Join(c.home, "guide.kubeconfig"),
	}
	g.vault = g.group + "/providers/Microsoft.KeyVault/vaults/mykeyvault4711"
	g.cluster = g.group + "/providers/Microsoft.ContainerService/managedClusters/myAKSCluster"
	g.pool = g.cluster + "/agentPools/more"
	g.identity = g.group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/myIdentity"
	g.credential = g.identity + "/federatedIdentityCredentials/aksfederatedidentity"
	g.secretsRole = g.vault + "/providers/Microsoft.Authorization/roleAssignments/11111111-0000-4000-8000-000000000001"
	g.keysRole = g.vault + "/providers/Microsoft.Authorization/roleAssignments/11111111-0000-4000-8000-000000000002"

	c.arm(t, http.MethodPut, g.group, "2022-09-01", `{"location": "eastus"}`) // az group create
	// az aks create --node-count 1 --enable-addons azure-keyvault-secrets-provider --enable-oidc-issuer
	// --enable-workload-identity --enable-secret-rotation --generate-ssh-keys
	c.arm(t, http.MethodPut, g.cluster, "2024-09-01", `{"location": "eastus", "identity": {"type": "SystemAssigned"},
		"sku": {"name": "Base", "tier": "Free"}, "properties": {"dnsPrefix": "`+guideDNSPrefix+`", "enableRBAC": true,
			"agentPoolProfiles": [{"name": "nodepool1", "count": 1, "vmSize": "Standard_D2s_v5", "osType": "Linux",
				"mode": "System", "type": "VirtualMachineScaleSets", "enableNodePublicIP": false, "enableFIPS": false,
				"upgradeSettings": {}}],
			"linuxProfile": {"adminUsername": "azureuser",
				"ssh": {"publicKeys": [{"keyData": "ssh-rsa AAAAB3NzaC1yc2E= azureuser"}]}},
			"windowsProfile": {"adminUsername": "azureuser", "enableCSIProxy": true},
			"servicePrincipalProfile": {"clientId": "msi"},
			"addonProfiles": {"azureKeyvaultSecretsProvider": {"enabled": true,
				"config": {"enableSecretRotation": "true", "rotationPollInterval": "2m"}}},
			"oidcIssuerProfile": {"enabled": true}, "securityProfile": {"workloadIdentity": {"enabled": true}},
			"disableLocalAccounts": false, "storageProfile": {}, "networkProfile": {"networkPlugin": "azure",
				"networkPluginMode": "overlay", "loadBalancerSku": "standard", "outboundType": "loadBalancer"}}}`)
	// az keyvault create --enable-rbac-authorization
	c.arm(t, http.MethodPut, g.vault, "2024-11-01", fmt.Sprintf(`{"location": "eastus", "tags": {}, "properties": {
		"tenantId": %q, "sku": {"family": "A", "name": "standard"}, "accessPolicies": [], "enabledForDeployment": false,
		"enabledForDiskEncryption": false, "enabledForTemplateDeployment": false, "enableSoftDelete": true,
		"softDeleteRetentionInDays": 90, "enableRbacAuthorization": true, "publicNetworkAccess": "Enabled"}}`,
		r.Credentials.TenantID))
	grant(t, c, g.vault, secretsOfficer, cryptoOfficer) // az role assignment create, which the next commands require
	secrets, keys := vaultClients(t, c, "https://mykeyvault4711.vault.azure.net/")
	setSecret(t, secrets, "ExampleSecret", guideSecret)                                // az keyvault secret set
	if _, err := keys.CreateKey(t.Context(), "ExampleKey", azkeys.CreateKeyParameters{ // az keyvault key create
		Kty: to.Ptr(azkeys.KeyTypeRSA), KeyAttributes: &azkeys.KeyAttributes{Enabled: to.Ptr(true)},
	}, nil); err != nil {
		t.Fatal(err)
	}
	// az identity create, az role assignment create
	made := c.arm(t, http.MethodPut, g.identity, "2023-01-31", `{"location": "eastus"}`)["properties"].(map[string]any)
	for assignment, role := range map[string]string{g.secretsRole: secretsUser, g.keysRole: vaultReader} {
		c.arm(t, http.MethodPut, assignment, "2022-04-01", fmt.Sprintf(`{"properties": {
			"principalId": %q, "principalType": "ServicePrincipal",
			"roleDefinitionId": "%s/providers/Microsoft.Authorization/roleDefinitions/%s"}}`,
			made["principalId"], subscription, role))
	}
	var issuer any
	eventually(t, "the cluster is created", func() bool {
		cluster := c.arm(t, http.MethodGet, g.cluster, "2024-09-01", "")["properties"].(map[string]any)
		issuer = cluster["oidcIssuerProfile"].(map[string]any)["issuerURL"]
		return cluster["provisioningState"] == "Succeeded"
	})
	// az aks nodepool add; Pulumi does not manage this pool
	c.arm(t, http.MethodPut, g.pool, "2024-09-01", `{"properties": {"count": 1, "vmSize": "Standard_D2s_v5",
		"osType": "Linux", "type": "VirtualMachineScaleSets", "mode": "User", "enableNodePublicIP": false,
		"upgradeSettings": {}}}`)
	// az identity federated-credential create
	c.arm(t, http.MethodPut, g.credential, "2023-01-31", fmt.Sprintf(`{"properties": {"issuer": %q,
		"subject": "system:serviceaccount:apps:workload-identity-sa", "audiences": ["api://AzureADTokenExchange"]}}`, issuer))
	// az aks get-credentials
	listed := c.arm(t, http.MethodPost, g.cluster+"/listClusterUserCredential", "2024-09-01", "")
	credentials := listed["kubeconfigs"].([]any)
	kubeconfig, err := base64.StdEncoding.DecodeString(credentials[0].(map[string]any)["value"].(string))
	if err == nil {
		err = os.WriteFile(g.kubeconfig, kubeconfig, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	g.apply(t, fmt.Sprintf(guideObjects, made["clientId"], "mykeyvault4711", r.Credentials.TenantID)+
		fmt.Sprintf(guidePods, guidePod))
	g.kubectl(t, "wait", "--for=condition=Ready", "pod/"+guidePod, "--timeout=90s")
	return g
}

func (g *guide) apply(t *testing.T, manifests string) {
	t.Helper()
	if _, err := g.run(t, manifests, "kubectl", "--kubeconfig", g.kubeconfig, "apply", "--filename=-"); err != nil {
		t.Fatal(err)
	}
}

// wantMounted checks that a new pod reads the secret.
func (g *guide) wantMounted(t *testing.T) {
	t.Helper()
	const another = "another"
	g.apply(t, fmt.Sprintf(guidePods, another))
	g.kubectl(t, "wait", "--for=condition=Ready", "pod/"+another, "--timeout=90s")
	if read := g.kubectl(t, "exec", another, "--", "cat", "/mnt/secrets-store/ExampleSecret"); read != guideSecret {
		t.Error("a new pod does not read the secret")
	}
	g.kubectl(t, "delete", "pod", another)
}

func (g *guide) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return g.cloud.kubectl(t, append([]string{"--kubeconfig", g.kubeconfig, "--namespace", "apps"}, args...)...)
}

// snapshot returns all resources of the guide by ARM id or kind/name, each with what distinguishes it from another with
// the same name, and what the pod reads.
func (g *guide) snapshot(t *testing.T) map[string]string {
	t.Helper()
	has := map[string]string{}
	for _, id := range g.resources(t) {
		if strings.HasPrefix(id, strings.ToLower(g.group)) {
			has[id] = ""
		}
	}
	for id, version := range map[string]string{
		g.group: "2022-09-01", g.cluster: "2024-09-01", g.pool: "2024-09-01",
		g.vault: "2024-11-01", g.vault + "/secrets/ExampleSecret": "2024-11-01", g.vault + "/keys/ExampleKey": "2024-11-01",
		g.identity: "2023-01-31", g.credential: "2023-01-31",
		g.secretsRole: "2022-04-01", g.keysRole: "2022-04-01",
	} {
		body := g.arm(t, http.MethodGet, id, version, "")
		properties, _ := body["properties"].(map[string]any)
		kept := []any{body["id"], identity(body)}
		for _, key := range []string{"updatedOn", "issuer", "subject", "linuxProfile"} { // an assignment's role cannot change
			kept = append(kept, properties[key])
		}
		text, _ := json.Marshal(kept)
		has[strings.ToLower(id)] = string(text)
	}
	for what, file := range map[string]string{"the secret": "ExampleSecret", "the key": "ExampleKey"} {
		has[what] = g.kubectl(t, "exec", guidePod, "--", "cat", "/mnt/secrets-store/"+file)
	}
	for _, object := range []string{
		"namespace/apps", "serviceaccount/workload-identity-sa", "secretproviderclass/azure-kvname-wi", "pod/" + guidePod,
	} {
		has[object] = g.kubectl(t, "get", object,
			"--output=jsonpath={.metadata.uid} {.status.containerStatuses[*].containerID}")
	}
	return has
}

// want checks that the guide's resources have not changed, and that there are no others.
func (g *guide) want(t *testing.T, before map[string]string) {
	t.Helper()
	now := g.snapshot(t)
	for _, what := range slices.Sorted(maps.Keys(before)) {
		if now[what] != before[what] {
			t.Errorf("%s is\n%s\nwant as before\n%s", what, now[what], before[what])
		}
	}
	for what := range now {
		if _, ok := before[what]; !ok {
			t.Errorf("%s is new", what)
		}
	}
}

// importIDs imports the resources with the given ids, as docs/moving.md describes. The first import takes those in
// Azure, and a later one those in the cluster, once its Kubernetes provider exists.
func (p *program) importIDs(t *testing.T, ids map[string]string) {
	t.Helper()
	lines := "# as az prints them\n"
	for name, id := range ids {
		lines += name + "  " + id + "\n"
	}
	if err := os.WriteFile(filepath.Join(p.dir, "ids"), []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	p.pulumi(t, "preview", "--import-file", "resources.json")
	fill := exec.CommandContext(untilEnding(t), "go", "run", "./examples/moving", filepath.Join(p.dir, "resources.json"),
		filepath.Join(p.dir, "ids"))
	fill.Dir, fill.Env = checkout, append(os.Environ(), "GOFLAGS="+programFlags, "GOWORK=off")
	filled, err := fill.Output()
	if err == nil {
		err = os.WriteFile(filepath.Join(p.dir, "import.json"), filled, 0o600)
	}
	if err != nil {
		t.Fatalf("filling in the ids: %v", err)
	}
	p.pulumi(t, "import", "--file", "import.json", "--generate-code=false", "--yes")
}

// wantUpdates checks that a preview plans nothing but updates in place.
func (p *program) wantUpdates(t *testing.T) {
	t.Helper()
	plan := p.plan(t)
	for name, op := range plan {
		if op != "same" && op != "update" {
			t.Errorf("the plan for %s is %q, want same or update", name, op)
		}
	}
	if t.Failed() || len(plan) == 0 {
		t.Fatalf("the plan is %v", plan)
	}
}

// wantProtected checks that destroy fails because resources are protected.
func (p *program) wantProtected(t *testing.T) {
	t.Helper()
	if _, err := p.tryPulumi(t, "destroy", "--yes"); err == nil || !strings.Contains(err.Error(), "protected") {
		t.Fatalf("destroy: got %v, want an error about protected resources", err)
	}
}

// TestMoving_ReplacesNothing imports the resources of Microsoft's guide into a stack, as docs/moving.md describes:
// first all of them, and then only an application team's. Nothing may be replaced.
func TestMoving_ReplacesNothing(t *testing.T) {
	needsRealNode(t)
	t.Parallel()
	c := newCloud(t)
	c.up(t)
	g := newGuide(t, c)
	before := g.snapshot(t)
	if before["the secret"] != guideSecret {
		t.Fatal("the guide's pod does not have its secret")
	}
	const account = `"serviceAccounts": [{"name": "workload-identity-sa", "credentialName": "aksfederatedidentity"}]`
	const workload = `[{"name": "example", "namespace": "apps", ` + account + `, "className": "azure-kvname-wi", %s,
		"access": "vault", "mount": [{"type": "secret", "name": "ExampleSecret"}, {"type": "key", "name": "ExampleKey"}]}]`
	theirs := map[string]string{
		"example-identity": g.identity,
		"example-credential-apps_workload-identity-sa": g.credential,
		"example-mount-role-vault-secrets-user":        g.secretsRole,
		"example-mount-role-vault-reader":              g.keysRole,
		"example-account-apps_workload-identity-sa":    "apps/workload-identity-sa",
		"example-mount-class":                          "apps/azure-kvname-wi",
	}
	ofIdentity, ofProvider := "**example-identity", "**cluster-kubernetes"

	t.Run("everything", func(t *testing.T) {
		p := newProgram(t, c, ".", map[string]string{
			"resourceGroupName": "myResourceGroup",
			"protect":           "true",
			"vaultName":         "mykeyvault4711",
			"clusterName":       "myAKSCluster",
			"clusterDnsPrefix":  guideDNSPrefix,
			"nodeResourceGroup": "MC_myResourceGroup_myAKSCluster_eastus",
			"systemPool":        `{"name": "nodepool1"}`,
			"keys":              `[{"name": "ExampleKey"}]`,
			"workloads":         fmt.Sprintf(workload, `"podSecurity": "privileged"`),
			"secrets!":          `[{"name": "ExampleSecret", "value": "` + guideSecret + `", "once": true}]`,
		})
		all := maps.Clone(theirs)
		maps.Copy(all, map[string]string{
			"resource-group": g.group, "vault-vault": g.vault, "vault-secret-ExampleSecret": g.vault + "/secrets/ExampleSecret",
			"vault-key-ExampleKey": g.vault + "/keys/ExampleKey", "cluster-cluster": g.cluster,
			"example-namespace-apps": "apps",
		})
		p.importIDs(t, all)
		g.want(t, before)
		p.wantProtected(t)
		p.pulumi(t, "up", "--yes", "--skip-preview", "--target", ofIdentity, "--target", ofProvider)
		p.importIDs(t, all)
		p.wantUpdates(t)
		p.up(t)
		g.want(t, before)
		g.wantMounted(t)
		p.pulumi(t, "preview", "--expect-no-changes")
		p.pulumi(t, "refresh", "--yes", "--skip-preview", "--expect-no-changes")
		p.pulumi(t, "preview", "--expect-no-changes")
		p.wantProtected(t)
		g.want(t, before)
		// Without once, Pulumi writes the secret.
		p.configure(t, map[string]string{"secrets!": `[{"name": "ExampleSecret", "value": "another"}]`})
		for name, op := range p.plan(t) {
			if op != "same" && name != "vault-secret-ExampleSecret" {
				t.Errorf("the plan for %s is %q, want same", name, op)
			}
		}
		// Pulumi can forget the resources again.
		p.pulumi(t, "stack", "rm", "--force", "--yes")
		g.want(t, before)
	})
	if t.Failed() {
		return
	}
	t.Run("application team", func(t *testing.T) {
		p := newProgram(t, c, ".", map[string]string{
			"resourceGroupName": "myResourceGroup", "existingResourceGroup": "true", "existingVaultId": g.vault,
			"existingClusterId": g.cluster, "secrets": "[]", "keys": "[]",
			"workloads": fmt.Sprintf(workload, `"existingNamespace": true`),
		})
		p.importIDs(t, theirs)
		p.pulumi(t, "up", "--yes", "--skip-preview", "--target", ofIdentity, "--target", ofProvider)
		p.importIDs(t, theirs)
		p.wantUpdates(t)
		p.up(t)
		g.want(t, before)
		g.wantMounted(t)
		p.pulumi(t, "preview", "--expect-no-changes")
		p.pulumi(t, "refresh", "--yes", "--skip-preview", "--expect-no-changes")
		p.pulumi(t, "destroy", "--yes")
		for _, id := range []string{g.vault + "/secrets/ExampleSecret", g.vault + "/keys/ExampleKey"} {
			c.arm(t, http.MethodGet, id, "2024-11-01", "")
		}
		g.kubectl(t, "get", "pod", guidePod)
	})
}
