package components_test

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
)

func TestNamespaces_OfKubernetesAndAKSAreNotCreated(t *testing.T) {
	for _, name := range []string{
		"default", "kube-system", "kube-mine", "gatekeeper-system", "app-routing-system", "aks-command", "calico-system", "tigera-operator",
	} {
		args := identityArgs()
		args.Namespace = name
		wantViolations(t, args.Validate(), "namespace")
		args.CreateNamespace = false
		wantViolations(t, args.Validate())
		args.CreateNamespace, args.ExistingNamespaces = true, []string{name}
		wantViolations(t, args.Validate())
		args = identityArgs()
		args.ServiceAccounts[1].Namespace = name
		wantViolations(t, args.Validate(), "serviceAccounts[1].namespace")
	}
	args := identityArgs()
	args.Namespace = "kubernetes-apps"
	wantViolations(t, args.Validate())
}

func TestServiceAccounts_ThatKubernetesMakesAreNotCreated(t *testing.T) {
	args := identityArgs()
	args.ServiceAccounts[1].Name = "default"
	wantViolations(t, args.Validate(), "serviceAccounts[1].name")
	args.ServiceAccounts[1].Existing = true
	wantViolations(t, args.Validate())
}

func TestLabelsAndAnnotations_ThatTheAPIServerReadsAreRight(t *testing.T) {
	type args = components.WorkloadIdentityArgs
	labels := func(key, value string) func(*args) {
		return func(a *args) { a.NamespaceLabels = map[string]string{key: value} }
	}
	annotation := func(value string) func(*args) {
		return func(a *args) {
			a.ServiceAccounts[0].Annotations = map[string]string{"azure.workload.identity/service-account-token-expiration": value}
		}
	}
	testRules(t, identityArgs, (*args).Validate, []rule[args]{
		{"the name of a namespace", "namespaceLabels", labels("kubernetes.io/metadata.name", "ns")},
		{"the name of a namespace for all", "labels", func(a *args) { a.Labels = map[string]string{"kubernetes.io/metadata.name": "ns"} }},
		{"a level", "namespaceLabels.pod-security.kubernetes.io/warn", labels("pod-security.kubernetes.io/warn", "strict")},
		{"a version", "namespaceLabels.pod-security.kubernetes.io/enforce-version", labels("pod-security.kubernetes.io/enforce-version", "1.34")},
		{"a level for all", "labels.pod-security.kubernetes.io/audit", func(a *args) {
			a.Labels = map[string]string{"pod-security.kubernetes.io/audit": "strict"}
		}},
		{"a token for a minute", "serviceAccounts[0].annotations.azure.workload.identity/service-account-token-expiration", annotation("60")},
		{"a token for a while", "serviceAccounts[0].annotations.azure.workload.identity/service-account-token-expiration", annotation("1h")},
	})
	good := identityArgs()
	good.NamespaceLabels = map[string]string{
		"pod-security.kubernetes.io/warn": "baseline", "pod-security.kubernetes.io/enforce-version": "v1.34",
		"pod-security.kubernetes.io/audit-version": "latest", "kubernetes.io/team": "payments",
	}
	annotation("3600")(good)
	wantViolations(t, good.Validate())
}

func TestServiceAccountOfAMount_IsAName(t *testing.T) {
	args := mountArgs()
	args.ServiceAccountName = pulumi.String("My_SA")
	wantViolations(t, args.Validate(), "serviceAccountName")
}

func TestImages_AreReferences(t *testing.T) {
	for image, ok := range map[string]bool{
		"busybox": true, "busybox:1.35.0": true, "registry.example.com:5000/team/busybox:1.35.0@sha256:" + sha256: true,
		"localhost/a__b": true,
		"Busybox":        false, "busy box": false, "busybox:": false, "busybox:1.35.0 ": false, "https://example.com/busybox": false,
		"busybox@sha256:12": false, "example.com/": false,
	} {
		args := mountArgs()
		args.TestPod, args.Probe = &components.TestPodArgs{Image: image}, &components.ProbeArgs{Image: image}
		if ok {
			wantViolations(t, args.Validate())
		} else {
			wantViolations(t, args.Validate(), "testPod.image", "probe.image")
		}
	}
}

const sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
