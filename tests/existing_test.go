package tests

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// foreignManifests are somebody else's objects in the cluster, one of each kind that the program creates.
const foreignManifests = `
apiVersion: v1
kind: Namespace
metadata: {name: somebody, labels: {owner: somebody}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: data, namespace: somebody}
data: {all: of it}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: taken, namespace: somebody, annotations: {owner: somebody}}
---
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata: {name: taken, namespace: somebody}
spec: {provider: vault, parameters: {roleName: somebody}}
---
apiVersion: v1
kind: Pod
metadata: {name: taken, namespace: somebody}
spec: {serviceAccountName: taken, containers: [{name: theirs, image: "busybox:1.35.0", command: [sleep, infinity]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: taken, namespace: somebody}
spec:
  replicas: 0
  selector: {matchLabels: {app: taken}}
  template:
    metadata: {labels: {app: taken}}
    spec: {containers: [{name: theirs, image: "busybox:1.35.0"}]}
`

// TestForeignObjects_AreLeftAlone checks that workloads neither change nor delete somebody else's objects with the same
// names, when they are created, moved, renamed and destroyed.
func TestForeignObjects_AreLeftAlone(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--node=stand-in")
	first := c.outputs(t)
	c.apply(t, foreignManifests)
	theirs := c.foreignObjects(t)
	p := newProgram(t, c, ".", map[string]string{
		"resourceGroupName": "second", "existingVaultId": first.VaultID, "existingClusterId": first.ClusterID,
		"secrets": "[]", "keys": "[]",
	})
	workload := func(change string) map[string]string {
		values := map[string]any{
			"name":              "second",
			"namespace":         "somebody",
			"existingNamespace": true,
			"serviceAccounts":   []any{map[string]any{"name": "second"}},
			"className":         "second",
			"mount":             []any{map[string]any{"type": "secret", "name": "my-secret"}},
		}
		if err := json.Unmarshal([]byte(change), &values); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal([]any{values})
		if err != nil {
			t.Fatal(err)
		}
		return map[string]string{"workloads": string(text)}
	}
	for _, meeting := range []struct{ kind, change, named string }{
		{"Namespace", `{"existingNamespace":false}`, "somebody"},
		{"ServiceAccount", `{"serviceAccounts":[{"name":"taken"}]}`, "taken"},
		{"SecretProviderClass", `{"className":"taken"}`, "taken"},
		{"Pod", `{"testPod":{"name":"taken"}}`, "taken"},
		{"Deployment", `{"probe":{"name":"taken"}}`, "taken"},
	} {
		t.Run("existing "+meeting.kind, func(t *testing.T) {
			p.configure(t, workload(meeting.change))
			_, err := p.tryPulumi(t, "up", "--yes", "--skip-preview")
			if err == nil {
				t.Error("up succeeded")
			} else if !strings.Contains(err.Error(), fmt.Sprintf("%q already exists", meeting.named)) ||
				!strings.Contains(err.Error(), "import") {
				t.Errorf("got %v, want an error that names the object and how to import it", err)
			}
			theirs.want(t, c)
			p.pulumi(t, "destroy", "--yes", "--skip-preview")
			theirs.want(t, c)
		})
	}
	t.Run("another Kubernetes provider", func(t *testing.T) {
		p := newProgram(t, c, "tests/programs/theirprovider", map[string]string{
			"kubeconfig!": c.kubeconfig(t), "namespace": "somebody", "className": "taken", "secret": "first",
		})
		if _, err := p.tryPulumi(t, "up", "--yes"); err == nil ||
			!strings.Contains(err.Error(), "SecretProviderClass somebody/taken ") {
			t.Errorf("up: got %v, want an error that names the SecretProviderClass", err)
		}
		theirs.want(t, c)
		p.configure(t, map[string]string{"className": "free"})
		p.pulumi(t, "up", "--yes")
		p.configure(t, map[string]string{"secret": "second"})
		p.pulumi(t, "up", "--yes")
		p.pulumi(t, "up", "--yes", "--expect-no-changes", "--refresh")
		p.pulumi(t, "destroy", "--yes")
		p.pulumi(t, "stack", "rm", "--yes")
		theirs.want(t, c)
	})
	t.Run("existing Azure resources", func(t *testing.T) {
		group := "/subscriptions/" + c.running(t).Credentials.SubscriptionID + "/resourceGroups/keyvault-demo"
		identity := group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/theirs"
		made := c.arm(t, http.MethodPut, identity, "2023-01-31", `{"location": "eastus"}`)
		role := first.VaultID + "/secrets/my-secret/providers/Microsoft.Authorization/roleAssignments/" + uuid.NewString()
		c.arm(t, http.MethodPut, role, "2022-04-01", asJSON(t, map[string]any{"properties": map[string]any{
			"principalType": "ServicePrincipal", "principalId": made["properties"].(map[string]any)["principalId"],
			"roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/" + secretsUser,
		}}))
		credential := identity + "/federatedIdentityCredentials/somebody_second"
		c.arm(t, http.MethodPut, credential, "2023-01-31", `{"properties": {
			"issuer": "https://theirs.example", "subject": "theirs", "audiences": ["api://AzureADTokenExchange"]}}`)
		secret := first.VaultID + "/secrets/theirs"
		c.arm(t, http.MethodPut, secret, "2024-11-01", `{"properties": {"value": "theirs", "contentType": "theirs"}}`)
		theirs := map[string]string{
			identity:   "2023-01-31",
			role:       "2022-04-01",
			credential: "2023-01-31",
			secret:     "2024-11-01",
		}
		is := func() string {
			all, _ := json.Marshal(slices.Collect(func(yield func(any) bool) {
				for _, id := range slices.Sorted(maps.Keys(theirs)) {
					yield(c.arm(t, http.MethodGet, id, theirs[id], ""))
				}
			}))
			return string(all)
		}
		before := is()
		for what, with := range map[string][2]string{
			"a role and a credential": {`{"existingIdentityId":"` + identity + `"}`, "[]"},
			"a secret":                {`{}`, `[{"name":"theirs","generate":{}}]`},
		} {
			configuration := workload(with[0])
			configuration["secrets"] = with[1]
			p.configure(t, configuration)
			if _, err := p.tryPulumi(t, "up", "--yes", "--skip-preview"); err == nil {
				t.Errorf("up took over %s", what)
			}
			p.pulumi(t, "destroy", "--yes", "--skip-preview")
			if now := is(); now != before {
				t.Errorf("after up with %s, the existing resources are\n%s\nwant\n%s", what, now, before)
			}
		}
		p.configure(t, map[string]string{"secrets": "[]"})
	})
	t.Run("move to an existing namespace", func(t *testing.T) {
		p.configure(t, workload(`{"namespace":"second","existingNamespace":false,"testPod":{"name":"second"}}`))
		p.up(t)
		ours := c.kubectl(t, "get", "pod,sa,ns", "-n", "second", "--output=jsonpath={.items[*].metadata.uid}")
		for what, change := range map[string]string{
			"into somebody's namespace": `{"existingNamespace":false,"testPod":{"name":"second"}}`,
			"to a new name without formerName": `{"name":"other","namespace":"second","existingNamespace":false,
				"testPod":{"name":"second"}}`,
		} {
			p.configure(t, workload(change))
			if _, err := p.tryPulumi(t, "up", "--yes", "--skip-preview"); err == nil {
				t.Errorf("up moved the workload %s", what)
			}
			theirs.want(t, c)
			if c.kubectl(t, "get", "pod,sa,ns", "-n", "second", "--output=jsonpath={.items[*].metadata.uid}") != ours {
				t.Errorf("the attempt to move the workload %s replaced its objects", what)
			}
		}
	})
	t.Run("own resources declared as existing", func(t *testing.T) {
		p.configure(t, workload(`{"namespace":"second","existingNamespace":false,"testPod":{"name":"second"}}`))
		p.up(t)
		ours := c.kubectl(t, "get", "pod,sa,ns", "-n", "second", "--output=jsonpath={.items[*].metadata.uid}")
		group := "/subscriptions/" + c.running(t).Credentials.SubscriptionID + "/resourceGroups/second"
		c.arm(t, http.MethodPatch, group, "2022-09-01", `{"tags": {"owner": "somebody"}}`)
		for key, value := range map[string]string{
			"existingResourceGroup": "true",
			"workloads":             workload(`{"namespace":"second","testPod":{"name":"second"}}`)["workloads"],
		} {
			p.configure(t, map[string]string{key: value})
			if _, err := p.tryPulumi(t, "up", "--yes", "--skip-preview"); err == nil ||
				!strings.Contains(err.Error(), "existing") {
				t.Errorf("up with %s: got %v, want an error about existing", key, err)
			}
			p.configure(t, workload(`{"namespace":"second","existingNamespace":false,"testPod":{"name":"second"}}`))
			p.configure(t, map[string]string{"existingResourceGroup": "false"})
		}
		c.arm(t, http.MethodGet, group, "2022-09-01", "")
		if c.kubectl(t, "get", "pod,sa,ns", "-n", "second", "--output=jsonpath={.items[*].metadata.uid}") != ours {
			t.Error("the objects in the namespace were replaced")
		}
	})
	t.Run("adoptObjects", func(t *testing.T) {
		uid := func() string {
			return c.kubectl(t, "get", "ns", "second", "--output=jsonpath={.metadata.uid}")
		}
		before := uid()
		const lost = "urn:pulumi:test::keyvault-aks::keyvaultaks:index:WorkloadIdentity$kubernetes:core/v1:Namespace" +
			"::second-namespace-second"
		p.pulumi(t, "state", "delete", lost, "--target-dependents", "--yes")
		if _, err := p.tryPulumi(t, "up", "--yes", "--skip-preview"); err == nil ||
			!strings.Contains(err.Error(), "adoptObjects") {
			t.Errorf("up after the state lost the namespace: got %v, want an error about adoptObjects", err)
		}
		p.configure(t, map[string]string{"adoptObjects": "true"})
		p.pulumi(t, "up", "--yes")
		p.configure(t, map[string]string{"adoptObjects": "false"})
		p.pulumi(t, "up", "--yes")
		p.pulumi(t, "preview", "--expect-no-changes")
		if uid() != before {
			t.Error("the namespace was replaced")
		}
		p.configure(t, map[string]string{"adoptObjects": "true"})
		p.configure(t, workload(`{"existingNamespace":false}`))
		if _, err := p.tryPulumi(t, "up", "--yes"); err == nil {
			t.Error("up adopted somebody else's namespace")
		}
		theirs.want(t, c)
		p.configure(t, map[string]string{"adoptObjects": "false"})
	})
	t.Run("workload in somebody's namespace", func(t *testing.T) {
		p.configure(t, workload(`{"testPod":{"name":"second"}}`))
		p.up(t)
		theirs.want(t, c)
		p.pulumi(t, "preview", "--expect-no-changes")
	})
	p.pulumi(t, "destroy", "--yes", "--skip-preview")
	theirs.want(t, c)
	if left := c.kubectl(t, "get", "ns", "--output=name"); strings.Contains(left, "namespace/second") {
		t.Error("destroy left the namespace that the stack created")
	}
	c.pulumi(t, "preview", "--expect-no-changes")
}

// objectsOf has objects by kind and name, without what the cluster's controllers write.
type objectsOf map[string]string

// foreignObjects returns the namespace somebody and the objects in it.
func (c *cloud) foreignObjects(t *testing.T) objectsOf {
	t.Helper()
	var list struct{ Items []map[string]any }
	found := objectsOf{}
	c.get(t, &list,
		"namespaces,configmaps,serviceaccounts,secretproviderclasses.secrets-store.csi.x-k8s.io,pods,deployments.apps",
		"--show-managed-fields")
	for _, o := range list.Items {
		metadata := o["metadata"].(map[string]any)
		if metadata["namespace"] != "somebody" && metadata["name"] != "somebody" {
			continue
		}
		managers := []string{}
		fields, _ := metadata["managedFields"].([]any)
		for _, field := range fields {
			if manager, _ := field.(map[string]any)["manager"].(string); strings.Contains(manager, "pulumi") {
				managers = append(managers, manager)
			}
		}
		kept, _ := json.Marshal([]any{
			metadata["uid"],
			metadata["labels"],
			metadata["annotations"],
			metadata["deletionTimestamp"],
			o["spec"],
			o["data"],
			managers,
		})
		found[fmt.Sprint(o["kind"], " ", metadata["name"])] = string(kept)
	}
	return found
}

// want checks that the objects have not changed.
func (before objectsOf) want(t *testing.T, c *cloud) {
	t.Helper()
	now := c.foreignObjects(t)
	var names []string
	for name := range before {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if now[name] != before[name] {
			t.Errorf("%s is\n%s\nwant as before\n%s", name, now[name], before[name])
		}
	}
}
