package components_test

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
)

func TestNamespaces_RejectReserved(t *testing.T) {
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

func TestServiceAccounts_RejectDefault(t *testing.T) {
	args := identityArgs()
	args.ServiceAccounts[1].Name = "default"
	wantViolations(t, args.Validate(), "serviceAccounts[1].name")
	args.ServiceAccounts[1].Existing = true
	wantViolations(t, args.Validate())
}

func TestLabelsAndAnnotations_Validate(t *testing.T) {
	type args = components.WorkloadIdentityArgs
	labels := func(key, value string) func(*args) {
		return func(a *args) { a.NamespaceLabels = map[string]string{key: value} }
	}
	annotation := func(value string) func(*args) {
		return func(a *args) {
			a.ServiceAccounts[0].Annotations = map[string]string{
				"azure.workload.identity/service-account-token-expiration": value,
			}
		}
	}
	testRules(t, identityArgs, (*args).Validate, []rule[args]{
		{"the name of a namespace", "namespaceLabels", labels("kubernetes.io/metadata.name", "ns")},
		{
			"the name of a namespace for all",
			"labels",
			func(a *args) { a.Labels = map[string]string{"kubernetes.io/metadata.name": "ns"} },
		},
		{"a level", "namespaceLabels.pod-security.kubernetes.io/warn", labels("pod-security.kubernetes.io/warn", "strict")},
		{
			"a version",
			"namespaceLabels.pod-security.kubernetes.io/enforce-version",
			labels("pod-security.kubernetes.io/enforce-version", "1.34"),
		},
		{"a level for all", "labels.pod-security.kubernetes.io/audit", func(a *args) {
			a.Labels = map[string]string{"pod-security.kubernetes.io/audit": "strict"}
		}},
		{
			"a token for a minute",
			"serviceAccounts[0].annotations.azure.workload.identity/service-account-token-expiration",
			annotation("60"),
		},
		{
			"a token for a while",
			"serviceAccounts[0].annotations.azure.workload.identity/service-account-token-expiration",
			annotation("1h"),
		},
	})
	good := identityArgs()
	good.NamespaceLabels = map[string]string{
		"pod-security.kubernetes.io/warn": "baseline", "pod-security.kubernetes.io/enforce-version": "v1.34",
		"pod-security.kubernetes.io/audit-version": "latest", "kubernetes.io/team": "payments",
	}
	annotation("3600")(good)
	wantViolations(t, good.Validate())
}

func TestSecretMount_ValidatesServiceAccount(t *testing.T) {
	args := mountArgs()
	args.ServiceAccountName = pulumi.String("My_SA")
	wantViolations(t, args.Validate(), "serviceAccountName")
}

// TestImages_MatchContainerd tries references that the grammar of github.com/distribution/reference allows, and some
// that it does not.
func TestImages_MatchContainerd(t *testing.T) {
	digest := strings.Repeat("0a", 32)
	for image, valid := range map[string]bool{
		"":                                  true, // the default
		"busybox":                           true,
		"busybox:1.35.0":                    true,
		"library/busybox":                   true,
		"a__b/c.d/e---f:_x.Y-1":             true,
		"localhost:5000/a":                  true,
		"Registry.example/a/b":              true,
		"10.0.0.1:5000/a:1":                 true,
		"[2001:db8::1]:5000/a":              true,
		"r.azurecr.io/a@sha256:" + digest:   true,
		"r.azurecr.io/a:1@sha256:" + digest: true,
		"a@sha512:" + digest + digest:       true,
		"a:" + strings.Repeat("t", 128):     true,
		strings.Repeat("a", 127) + "/" + strings.Repeat("b", 127): true,

		" busybox":                            false,
		"busybox ":                            false,
		"busybox latest":                      false,
		"Busybox":                             false,
		"library/BusyBox":                     false,
		"busybox:":                            false,
		":1":                                  false,
		"a//b":                                false,
		"/a":                                  false,
		"a/":                                  false,
		"a_-b":                                false,
		"a..b":                                false,
		"-a":                                  false,
		"-r.example/a":                        false,
		"a:-1":                                false,
		"a:1:2":                               false,
		"r.example:port/a":                    false,
		"https://r.example/a":                 false,
		"a@sha256:" + digest[1:]:              false,
		"a@sha256:" + strings.ToUpper(digest): false,
		"a@md5:" + digest[:32]:                false,
		"a@":                                  false,
		digest:                                false, // an id
		"a:" + strings.Repeat("t", 129):       false,
		strings.Repeat("a", 128) + "/" + strings.Repeat("b", 127): false,
	} {
		args := mountArgs()
		args.TestPod.Image, args.Probe = image, &components.ProbeArgs{Image: image}
		if err := args.Validate(); (err == nil) != valid {
			t.Errorf("%q: got error %v, want it valid: %t", image, err, valid)
		} else if !valid {
			wantViolations(t, err, "testPod.image", "probe.image")
		}
	}
}
