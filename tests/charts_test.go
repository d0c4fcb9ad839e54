package tests

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestKubernetesPlugin_DeploysManifestsAndCharts checks the components that the plugin implements itself. They use the
// stand-in of the plugin's own SDK that it is built with.
func TestKubernetesPlugin_DeploysManifestsAndCharts(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--node=stand-in", "--config", "workloads=[]")
	p := newProgram(t, c, "tests/programs/charts", map[string]string{
		"kubeconfig!": c.kubeconfig(t), "chart": filepath.Join(checkout, "tests", "programs", "charts", "chart"),
		"manifests": `
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Secret, metadata: {name: listed}, stringData: {value: not-for-the-state}}
- apiVersion: policy/v1
  kind: PodDisruptionBudget
  metadata: {name: listed}
  spec: {maxUnavailable: 1, selector: {matchLabels: {a: b}}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: greetings.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {kind: Greeting, plural: greetings, singular: greeting}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: example.org/v1
kind: Greeting
metadata: {name: mine}
spec: {to: you}
`,
	})
	p.up(t)
	if got := c.kubectl(t, "get", "configmap", "greeting", "--output=jsonpath={.data.greeting}"); got != "good day" {
		t.Errorf("the chart's ConfigMap has greeting %q, want good day from its value and post-renderer", got)
	}
	objects := c.kubectl(t, "get", "greetings,pdb,secrets", "--output=name")
	if !containsAll(objects, "greeting.example.org/mine", "poddisruptionbudget.policy/listed", "secret/listed") {
		t.Errorf("the cluster has only %s of the manifests", objects)
	}
	state := p.pulumi(t, "stack", "export")
	if strings.Contains(state, "not-for-the-state") || strings.Contains(state, "bm90LWZvci10aGUtc3RhdGU") { // or in base64
		t.Error("the state contains the Secret's value")
	}
	if !containsAll(state, "kubernetes:core/v1:Secret::", "kubernetes:core/v1:ConfigMap::",
		"kubernetes:policy/v1:PodDisruptionBudget::", "kubernetes:example.org/v1:Greeting::") {
		t.Errorf("the resources do not have the types that the plugin's release gives them:\n%s", state)
	}
	p.pulumi(t, "up", "--yes", "--expect-no-changes")
	p.pulumi(t, "destroy", "--yes")
	left := c.kubectl(t, "get", "configmap,secrets,pdb", "--namespace=default", "--output=name")
	if strings.Contains(left, "greeting") || strings.Contains(left, "listed") {
		t.Errorf("destroy left %s", left)
	}
}

func containsAll(text string, parts ...string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
}
