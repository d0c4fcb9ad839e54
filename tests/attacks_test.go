package tests

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

// rootPod is a pod with everything Kubernetes can grant: the node's root, processes and network, and all privileges.
const rootPod = `
apiVersion: v1
kind: Pod
metadata: {name: root, namespace: default}
spec:
  hostPID: true
  hostIPC: true
  hostNetwork: true
  terminationGracePeriodSeconds: 0
  containers:
  - name: root
    image: busybox:1.35.0
    command: [sleep, infinity]
    securityContext: {privileged: true}
    volumeMounts: [{name: root, mountPath: /host, mountPropagation: Bidirectional}]
  volumes: [{name: root, hostPath: {path: /}}]
`

// TestAttack_PrivilegedPodCannotReachTheMachine checks that a pod with all privileges neither finds nor writes files of
// the machine, such as the local cloud's state and the control plane's keys. It tries the node's root, and the root,
// folder and open files of each process that it sees.
func TestAttack_PrivilegedPodCannotReachTheMachine(t *testing.T) {
	t.Parallel()
	needsRealNode(t)
	c := newCloud(t)
	c.up(t)
	canary := filepath.Join(t.TempDir(), "canary")
	if err := os.WriteFile(canary, []byte("of the machine"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.apply(t, rootPod)
	c.kubectl(t, "wait", "--for=condition=Ready", "pod/root", "--timeout=60s")
	exec := func(script string, args ...string) string {
		t.Helper()
		return strings.TrimSpace(c.kubectl(t, append([]string{"exec", "root", "--", "sh", "-c", script}, args...)...))
	}
	clusters, err := filepath.Glob(filepath.Join(c.home, localcloudtest.ClustersDir, "*"))
	if err != nil || len(clusters) != 1 {
		t.Fatalf("the clusters are %q, want one: %v", clusters, err)
	}
	secret := []string{
		canary,
		filepath.Join(c.home, localcloudtest.StateFile),
		filepath.Join(c.home, "azure", "azure.db"),
		filepath.Join(clusters[0], "pki", "admin.key"),
		filepath.Join(clusters[0], "pki", "service-account.key"),
		"/run/aks/pki/admin.key",
		"/run/aks/etcd/member",
		filepath.Join(checkout, "main.go"),
		"/etc/shadow",
	}
	for _, file := range secret[:5] {
		if _, err := os.Stat(file); err != nil {
			t.Errorf("the machine does not have the file that the pod must not find: %v", err)
		}
	}
	const find = `for root in /host /proc/[0-9]*/root /proc/[0-9]*/cwd /proc/[0-9]*/fd/*; do
		for file; do [ ! -e "$root$file" ] || echo "$root$file"; done; done`
	if found := exec(find, append([]string{"sh"}, secret...)...); found != "" {
		t.Errorf("a pod finds\n%s", found)
	}
	for _, process := range []string{"etcd", "kube-apiserver", "localcloud serve"} {
		if seen := exec(`ps -o args | grep -F "$0" | grep -v grep`+" || true", process); seen != "" {
			t.Errorf("a pod sees %s", seen)
		}
	}
	environments := exec(
		`cat /proc/[0-9]*/environ | tr '\0' '\n' | grep -E '^(ARM_|AZURE_|PULUMI_|KEYVAULT_AKS_HOME=|SSH_)' || true`,
	)
	if environments != "" {
		t.Errorf("a pod sees in environments of processes:\n%s", environments)
	}
	if disks := exec(`find /dev /host/dev -type b`); disks != "" {
		t.Errorf("a pod has the disks %s", disks)
	}
	// A read-only mount does not stop a pod that may mount.
	const written = "keyvault-aks-canary"
	exec(`for dir in /host /host/usr /host/usr/lib /host/etc /host/root /host/tmp /host/var/lib; do
		mount -o remount,rw "$dir" 2>/dev/null; echo of the pod > "$dir/$0" || exit 1; done`, written)
	for _, dir := range []string{"/", "/usr", "/usr/lib", "/etc", "/root", "/tmp", "/var/lib"} {
		if _, err := os.Stat(filepath.Join(dir, written)); err == nil {
			t.Errorf("a pod has written to %s on the machine", dir)
			os.Remove(filepath.Join(dir, written))
		}
	}
	if _, err := os.Stat(canary); err != nil {
		t.Error(err)
	}
	// The pod may break the node itself, which the local cloud repairs.
	exec("kill -9 $(pidof kubelet)")
	eventually(t, "the kubelet is back", func() bool {
		out, err := c.run(t, "", "kubectl", "exec", "root", "--", "pidof", "kubelet")
		return err == nil && out != ""
	})
}

// escapes are names for a secret's file that lead out of the pod's folder.
var escapes = []string{
	"../escaped",
	"../../../escaped",
	"/tmp/keyvault-aks-escaped",
	"a/../../escaped",
	"..data/../../escaped",
	"..2026/escaped",
}

// TestAttack_StandInNodeConfinesPods checks that pods cannot make the stand-in node write outside their folders, where
// it would write with the user's rights, and cannot mount the machine's files.
func TestAttack_StandInNodeConfinesPods(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--node=stand-in")
	outputs := c.outputs(t)
	before := c.outsideOfPods(t)
	want := map[string]string{}
	for n, name := range escapes {
		pod := fmt.Sprint("escape-", n)
		c.apply(t, fmt.Sprintf(`
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata: {name: %[1]s, namespace: %[2]s}
spec:
  provider: azure
  parameters:
    clientID: %[3]s
    keyvaultName: %[4]s
    tenantId: %[5]s
    objects: |
      array:
      - |
        objectName: my-secret
        objectType: secret
        objectAlias: %[6]q
---
%[7]s`, pod, outputs.Namespace, outputs.ClientID, outputs.VaultName, c.running(t).Credentials.TenantID, name,
			mountingPod(outputs, pod, pod)))
		want[pod] = "file name must " // the Azure provider's error: not contain "..", or be relative
	}
	c.wantRefusedMounts(t, outputs.Namespace, want)
	// A stand-in node ignores hostPath volumes.
	c.apply(t, rootPod)
	c.kubectl(t, "wait", "--for=condition=Ready", "pod/root", "--timeout=60s")
	volumes := filepath.Join(c.home, localcloudtest.ClustersDir, "*", "pods", "default", "root", "*")
	if found, _ := filepath.Glob(volumes); len(found) > 0 {
		t.Errorf("a pod that mounts the machine's root has the volumes %q, want none", found)
	}
	pod := strings.Replace(mountingPod(outputs, "sub", outputs.SecretProviderClass), "mountPath: /mnt",
		"mountPath: /mnt, subPath: ../..", 1)
	if _, err := c.run(t, pod, "kubectl", "apply", "--filename=-"); err == nil {
		t.Error("the API server accepts a subPath that leads out of the volume")
	}
	if after := c.outsideOfPods(t); after != before {
		t.Errorf("beside the pods' folders there is\n%s\nwant as before\n%s", after, before)
	}
	if _, err := os.Stat("/tmp/keyvault-aks-escaped"); err == nil {
		t.Error("a pod has written to /tmp")
	}
}

// outsideOfPods lists the folders that contain the pods' folders, without kubectl's cache.
func (c *cloud) outsideOfPods(t *testing.T) string {
	t.Helper()
	var all []string
	clusters := filepath.Join(localcloudtest.ClustersDir, "*")
	for _, pattern := range []string{"*", clusters, filepath.Join(clusters, "*")} {
		found, err := filepath.Glob(filepath.Join(c.home, pattern))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	all = slices.DeleteFunc(all, func(path string) bool { return filepath.Base(path) == "cache" })
	return strings.Join(all, "\n")
}

// mountingPod returns the manifest of a pod that mounts a class, like the stack's own pod.
func mountingPod(outputs stackOutputs, name, class string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s, labels: {azure.workload.identity/use: "true"}}
spec:
  serviceAccountName: %s
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 0
  securityContext: {runAsNonRoot: true, runAsUser: 65534, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: a
    image: busybox:1.35.0
    command: [sleep, infinity]
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    volumeMounts: [{name: secrets, readOnly: true, mountPath: /mnt}]
  volumes:
  - name: secrets
    csi: {driver: secrets-store.csi.k8s.io, readOnly: true, volumeAttributes: {secretProviderClass: %s}}
`, name, outputs.Namespace, outputs.ServiceAccounts[0], class)
}

// TestAttack_AzureRBACDeniesWithoutRole checks that principals can do with kubectl what their Azure roles allow, at the
// cluster or a namespace, and nothing else. The cluster has no local accounts.
func TestAttack_AzureRBACDeniesWithoutRole(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--node=stand-in", "--config", `entra={"login":"spn"}`,
		"--config", "disableLocalAccounts=true", "--config", "deployerRoles=true")
	outputs := c.outputs(t)
	namespace := "/namespaces/" + outputs.Namespace
	requests := map[string][]string{
		"read":         {"get", "pods", "--namespace=" + outputs.Namespace},
		"read secrets": {"get", "secrets", "--namespace=" + outputs.Namespace},
		"write":        {"create", "configmap", "made", "--dry-run=server", "--namespace=" + outputs.Namespace},
		"assign": {
			"create", "rolebinding", "made", "--clusterrole=view", "--user=x", "--dry-run=server",
			"--namespace=" + outputs.Namespace,
		},
		"read others":   {"get", "pods", "--namespace=kube-system"},
		"read the rest": {"get", "nodes"},
	}
	const ( // https://learn.microsoft.com/azure/aks/manage-azure-rbac
		rbacReader       = "7f6c6a51-bcf8-42ba-9220-52d62157d7db"
		rbacWriter       = "a7ffa36f-339b-4b5c-8bdf-e2c188b2c0eb"
		rbacAdmin        = "3498e952-d568-435e-9b2c-8d77e338d7f7"
		rbacClusterAdmin = "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b"
		azureOwner       = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
	)
	for name, test := range map[string]struct {
		role, scope string
		may         string
	}{
		"no role":                     {"", "", ""},
		"reader":                      {rbacReader, "", "read, read others"},
		"reader of the namespace":     {rbacReader, namespace, "read"},
		"reader of another namespace": {rbacReader, "/namespaces/kube-system", "read others"},
		"writer of the namespace":     {rbacWriter, namespace, "read, read secrets, write"},
		"admin of the namespace":      {rbacAdmin, namespace, "read, read secrets, write, assign"},
		"admin of the cluster":        {rbacClusterAdmin, "", strings.Join(slices.Sorted(maps.Keys(requests)), ", ")},
		"owner of the Azure resource": {azureOwner, "", ""},
	} {
		who := c.newPrincipal(t)
		if test.role != "" {
			c.role(t, outputs.ClusterID+test.scope, test.role, who.ObjectID)
		}
		for what, request := range requests {
			if err := os.RemoveAll(filepath.Join(c.home, "cache")); err != nil { // it has the previous principal's tokens
				t.Fatal(err)
			}
			cmd, err := c.prepare(t, "kubectl", request...)
			if err != nil {
				t.Fatal(err)
			}
			cmd.Env = append(cmd.Env, who.environment(c.running(t).Credentials.TenantID)...)
			out, err := cmd.CombinedOutput()
			may := strings.Contains(", "+test.may+",", ", "+what+",")
			denied := err != nil && strings.Contains(strings.ToLower(string(out)), "forbidden") &&
				strings.Contains(string(out), "in Azure")
			if may && err != nil || !may && !denied {
				t.Errorf("%s may %s: want %t, got %v: %s", name, what, may, err, out)
			}
		}
	}
	url := "https://management.azure.com" + outputs.ClusterID + "/listClusterAdminCredential?api-version=2023-04-01"
	if status, content := c.request(t, "POST", url, ""); status < 400 {
		t.Errorf("a cluster without local accounts issues administrator credentials: %d %.60s", status, content)
	}
}
