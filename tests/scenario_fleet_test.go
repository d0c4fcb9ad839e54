package tests

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

// fiftyWorkloads brings up fifty workloads in one namespace, each with its own identity, account and mount of three
// secrets, no two the same. It checks that each reads its own secrets as its own identity, and nothing else.
func fiftyWorkloads(c *cloud, random *rand.Rand) func(t *testing.T) {
	return func(t *testing.T) {
		const workloads = 50
		first := c.outputs(t)
		value := strconv.FormatUint(random.Uint64(), 36)
		p := newProgram(t, c, "tests/programs/fleet", map[string]string{
			"workloads": strconv.Itoa(workloads), "pods": "true", "value!": value,
			"vaultId": first.VaultID, "vaultName": first.VaultName, "tenantId": c.running(t).Credentials.TenantID,
			"resourceGroupName": "keyvault-demo", "issuerUrl": first.IssuerURL, "namespace": first.Namespace,
			"kubeconfig!": c.kubeconfig(t),
		})
		// Otherwise the engine writes the whole state after each step, whose cost grows with the square of the resources.
		p.besides = []string{"PULUMI_SKIP_CHECKPOINTS=true"}
		p.pulumi(t, "up", "--yes", "--skip-preview")
		var outputs struct{ Secrets map[string][]string }
		p.outputs(t, &outputs)
		names := slices.Sorted(maps.Keys(outputs.Secrets))
		if len(names) != workloads {
			t.Fatalf("there are %d workloads, want %d", len(names), workloads)
		}
		for _, name := range names {
			wantMounted(t, c, first.Namespace, name, value, outputs.Secrets[name])
		}
		identities := fleetIdentities(t, c)
		for _, name := range names {
			wantGranted(t, identities[name], outputs.Secrets[name], first.VaultID)
			want := []string{first.IssuerURL + " system:serviceaccount:" + first.Namespace + ":" + name}
			if got := credentialsOf(t, c, identities[name].id); !slices.Equal(got, want) {
				t.Errorf("the identity of %s trusts %q, want %q", name, got, want)
			}
		}
		wantApart(t, c, first, names, outputs.Secrets, identities, random)
	}
}

// wantMounted checks the files in the pod of a workload against the vault.
func wantMounted(t *testing.T, c *cloud, namespace, name, value string, secrets []string) {
	t.Helper()
	volumes, err := filepath.Glob(filepath.Join(c.home, localcloudtest.ClustersDir, "*", "pods", namespace, name, "*"))
	if err != nil || len(volumes) != 1 {
		t.Errorf("%s has the volumes %q, want one: %v", name, volumes, err)
		return
	}
	files := filesIn(t, volumes[0])
	if got := slices.Sorted(maps.Keys(files)); len(secrets) != 3 || !slices.Equal(got, secrets) {
		t.Errorf("%s has the files %q, want %q", name, got, secrets)
	}
	for _, secret := range secrets {
		if string(files[secret].content) != value+" "+secret {
			t.Errorf("%s: file %s does not have the vault's value", name, secret)
		}
	}
}

// fleetIdentity is a workload's identity as Azure returns it.
type fleetIdentity struct {
	id, clientID string
	grants       []string // scope and role of each assignment
}

// fleetIdentities returns the identities of the workloads by name.
func fleetIdentities(t *testing.T, c *cloud) map[string]fleetIdentity {
	t.Helper()
	subscription := "/subscriptions/" + c.running(t).Credentials.SubscriptionID
	type object = map[string]any
	grants := map[string][]string{}
	assignments := subscription + "/providers/Microsoft.Authorization/roleAssignments"
	for _, one := range c.arm(t, http.MethodGet, assignments, "2022-04-01", "")["value"].([]any) {
		properties := one.(object)["properties"].(object)
		principal, role := properties["principalId"].(string), properties["roleDefinitionId"].(string)
		grants[principal] = append(grants[principal], properties["scope"].(string)+" "+role[strings.LastIndex(role, "/")+1:])
	}
	identities := map[string]fleetIdentity{}
	list := subscription + "/resourceGroups/keyvault-demo/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
	for _, one := range c.arm(t, http.MethodGet, list, "2023-01-31", "")["value"].([]any) {
		identity := one.(object)
		properties := identity["properties"].(object)
		name, _, _ := strings.Cut(identity["name"].(string), "-identity")
		identities[name] = fleetIdentity{
			identity["id"].(string),
			properties["clientId"].(string),
			grants[properties["principalId"].(string)],
		}
	}
	return identities
}

// wantGranted checks that an identity has the role to read its secrets, and no other.
func wantGranted(t *testing.T, identity fleetIdentity, secrets []string, vaultID string) {
	t.Helper()
	var want []string
	for _, secret := range secrets {
		want = append(want, vaultID+"/secrets/"+secret+" "+secretsUser)
	}
	got := slices.Sorted(slices.Values(identity.grants))
	if !slices.Equal(got, want) {
		t.Errorf("%s has the roles %q, want %q", identity.id, got, want)
	}
}

// wantApart checks that pods cannot mount another workload's secret: neither as its identity, which does not trust
// their account, nor as their own, which has no role on the secret.
func wantApart(
	t *testing.T,
	c *cloud,
	first stackOutputs,
	names []string,
	secrets map[string][]string,
	identities map[string]fleetIdentity,
	random *rand.Rand,
) {
	t.Helper()
	count := 5
	if long() {
		count = len(names)
	}
	refusals := map[string]string{} // by pod
	var manifests strings.Builder
	at := random.Perm(len(names))
	for i := range count {
		name, other := names[at[i]], names[at[(i+1)%len(names)]]
		foreign := slices.IndexFunc(secrets[other], func(s string) bool { return !slices.Contains(secrets[name], s) })
		fmt.Fprintf(&manifests, `
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata: {name: %[1]s-wants-more, namespace: %[2]s}
spec:
  provider: azure
  parameters:
    clientID: %[3]s
    keyvaultName: %[4]s
    tenantID: %[5]s
    objects: "array: ['{objectName: %[6]s, objectType: secret}']"
---`, name, first.Namespace, identities[name].clientID, first.VaultName, c.running(t).Credentials.TenantID,
			secrets[other][foreign])
		for class, refusal := range map[string]string{other: "AADSTS700213", name + "-wants-more": "ForbiddenByRbac"} {
			pod := name + "-as-" + class
			refusals[pod] = refusal
			fmt.Fprintf(&manifests, `
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s}
spec:
  serviceAccountName: %s
  securityContext: {runAsNonRoot: true, runAsUser: 65534, seccompProfile: {type: RuntimeDefault}}
  containers:
  - {name: c, image: "busybox:1.35.0", securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}
  volumes:
  - name: v
    csi: {driver: secrets-store.csi.k8s.io, readOnly: true, volumeAttributes: {secretProviderClass: %s}}
---`, pod, first.Namespace, name, class)
		}
	}
	c.apply(t, manifests.String())
	c.wantRefusedMounts(t, first.Namespace, refusals)
}
