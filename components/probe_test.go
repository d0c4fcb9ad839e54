package components_test

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/keyvault-aks/keyvault-aks/components"
)

func TestProbe_ChecksEveryFile(t *testing.T) {
	args := fullMountArgs()
	args.TestPod = nil
	args.Objects = append(args.Objects, components.ObjectArgs{Type: "secret", Name: "odd", Alias: "$(HOME) $x"})
	e := runMount(t, args)
	probe := e.Get(t, "mount-probe")
	const pod, container = "spec.template.spec.", "spec.template.spec.containers[0]."
	wantInputs(t, probe, map[string]any{
		"apiVersion":         "apps/v1",
		"kind":               "Deployment",
		"metadata.name":      "keyvault-probe",
		"metadata.namespace": "ns",
		"spec.replicas":      1.0,
		`spec.selector.matchLabels["app.kubernetes.io/name"]`:          "keyvault-probe",
		`spec.template.metadata.labels["app.kubernetes.io/name"]`:      "keyvault-probe",
		`spec.template.metadata.labels["azure.workload.identity/use"]`: "true",
		pod + "serviceAccountName":                                     "sa",
		container + "image":                                            "busybox:1.35.0",
		container + "volumeMounts[0].mountPath":                        "/mnt/secrets",
	})
	// A Deployment that waits for a role must not give up before the role takes effect.
	wantInputs(t, probe, map[string]any{"spec.progressDeadlineSeconds": 900.0})
	if got := probe.RPC.GetCustomTimeouts(); got.GetCreate() != "15m" || got.GetUpdate() != "15m" {
		t.Errorf("the probe is awaited for %v", got)
	}
	// The kubelet reads two dollar signs as one.
	want := []string{
		"test",
		"-s",
		"/mnt/secrets/$$(HOME) $$x",
		"-a",
		"-s",
		"/mnt/secrets/keys/my-key.pem",
		"-a",
		"-s",
		"/mnt/secrets/my-cert",
		"-a",
		"-s",
		"/mnt/secrets/my-secret",
		"-a",
		"-s",
		"/mnt/secrets/password/0",
		"-a",
		"-s",
		"/mnt/secrets/tls/both.pem",
	}
	command := probe.At(container + "readinessProbe.exec.command").ArrayValue()
	if len(command) != len(want) {
		t.Fatalf("the probe runs %v, want %v", command, want)
	}
	for i := range want {
		if !command[i].DeepEquals(resource.NewProperty(want[i])) {
			t.Errorf("argument %d of the probe is %v, want %q", i, command[i], want[i])
		}
	}
	for _, name := range []string{"mount-class", "mount-role-secret-password"} {
		if !probe.WaitsFor(e.Get(t, name)) {
			t.Errorf("the probe does not wait for %s", name)
		}
	}
}

func TestTestPodAndProbe_MeetRestrictedPodSecurity(t *testing.T) {
	e := runMount(t, fullMountArgs())
	for name, spec := range map[string]string{"mount-test-pod": "spec", "mount-probe": "spec.template.spec"} {
		container := spec + ".containers[0]"
		wantInputs(t, e.Get(t, name), map[string]any{
			// https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, and the baseline below it.
			spec + ".securityContext.runAsNonRoot":                  true,
			spec + ".securityContext.runAsUser":                     65534.0,
			spec + ".securityContext.seccompProfile.type":           "RuntimeDefault",
			spec + ".securityContext.sysctls":                       nil,
			spec + ".securityContext.seLinuxOptions":                nil,
			spec + ".hostNetwork":                                   nil,
			spec + ".hostPID":                                       nil,
			spec + ".hostIPC":                                       nil,
			spec + ".initContainers":                                nil,
			spec + ".volumes[0].csi.driver":                         "secrets-store.csi.k8s.io",
			spec + ".volumes[1]":                                    nil,
			spec + ".containers[1]":                                 nil,
			container + ".ports":                                    nil,
			container + ".securityContext.privileged":               nil,
			container + ".securityContext.procMount":                nil,
			container + ".securityContext.runAsUser":                nil,
			container + ".securityContext.runAsNonRoot":             nil,
			container + ".securityContext.seccompProfile":           nil,
			container + ".securityContext.allowPrivilegeEscalation": false,
			container + ".securityContext.capabilities.drop[0]":     "ALL",
			container + ".securityContext.capabilities.add":         nil,
			// Beyond it.
			spec + ".automountServiceAccountToken":                false,
			container + ".securityContext.readOnlyRootFilesystem": true,
		})
	}
}

func TestProbe_DefaultsToNone(t *testing.T) {
	for _, one := range runMount(t, mountArgs()).Resources() {
		if one.Type == "kubernetes:apps/v1:Deployment" {
			t.Errorf("%s was registered", one.Name)
		}
	}
}
