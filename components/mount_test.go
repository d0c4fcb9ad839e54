package components_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"gopkg.in/yaml.v3"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

const vaultID = mockengine.Group + "/providers/Microsoft.KeyVault/vaults/kv"

func mountArgs() *components.SecretMountArgs {
	return &components.SecretMountArgs{
		VaultID:            pulumi.String(vaultID),
		VaultName:          pulumi.String("kv"),
		TenantID:           pulumi.String(mockengine.TenantID),
		ClientID:           pulumi.String("client"),
		PrincipalID:        pulumi.String("principal"),
		Namespace:          pulumi.String("ns"),
		ServiceAccountName: pulumi.String("sa"),
		ClassName:          "class",
		Objects: []components.ObjectArgs{
			{Type: "secret", Name: "my-secret"},
			{Type: "key", Name: "my-key", Alias: "keys/my-key.pem", FilePermission: "0400"},
			{Type: "cert", Name: "my-cert", Version: strings.Repeat("0", 32)},
		},
		TestPod: &components.TestPodArgs{},
	}
}

func newMount(ctx *pulumi.Context, name string, args *components.SecretMountArgs) (*components.SecretMount, error) {
	provider, err := kubernetes.NewProvider(ctx, name+"-k8s", &kubernetes.ProviderArgs{Kubeconfig: pulumi.String("{}")})
	if err != nil {
		return nil, err
	}
	return components.NewSecretMount(ctx, name, args, pulumi.Provider(provider))
}

func runMount(t *testing.T, args *components.SecretMountArgs) *mockengine.Engine {
	t.Helper()
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		_, err := newMount(ctx, "mount", args)
		return err
	})
	return e
}

func TestMountGrantsTheLeastRoleOnEachObjectAndNothingElse(t *testing.T) {
	args := mountArgs()
	// The same object twice is one role.
	args.Objects = append(args.Objects, components.ObjectArgs{Type: "secret", Name: "My-Secret", Alias: "again"})
	e := runMount(t, args)
	const definitions = "/subscriptions/22222222-2222-2222-2222-222222222222/providers/Microsoft.Authorization/roleDefinitions/"
	want := map[string][2]string{
		"mount-role-secret-my-secret": {"/secrets/my-secret", "4633458b-17de-408a-b874-0445c86b69e6"},
		"mount-role-key-my-key":       {"/keys/my-key", "21090545-7ca7-4776-b22c-e363652d74d2"},
		"mount-role-cert-my-cert":     {"/certificates/my-cert", "21090545-7ca7-4776-b22c-e363652d74d2"},
	}
	count := 0
	for _, one := range e.Resources() {
		if one.Type != "azure-native:authorization/v20220401:RoleAssignment" {
			continue
		}
		count++
		wantInputs(t, one, map[string]any{
			"scope":            vaultID + want[one.Name][0],
			"roleDefinitionId": definitions + want[one.Name][1],
			"principalId":      "principal",
			"principalType":    "ServicePrincipal",
		})
	}
	if count != len(want) {
		t.Errorf("%d roles are assigned, want %d", count, len(want))
	}
}

func TestClassIsForWorkloadIdentityOnly(t *testing.T) {
	class := runMount(t, mountArgs()).Get(t, "mount-class")
	wantInputs(t, class, map[string]any{
		"apiVersion":                   "secrets-store.csi.x-k8s.io/v1",
		"kind":                         "SecretProviderClass",
		"metadata.name":                "class",
		"metadata.namespace":           "ns",
		"spec.provider":                "azure",
		"spec.parameters.clientID":     "client",
		"spec.parameters.keyvaultName": "kv",
		"spec.parameters.tenantID":     mockengine.TenantID,
		// Would make another copy of the secrets, in etcd.
		"spec.secretObjects": nil,
	})
	if parameters := class.At("spec.parameters").ObjectValue(); len(parameters) != 4 {
		t.Errorf("the class has parameters %v, want only clientID, keyvaultName, tenantID and objects", parameters)
	}
}

func TestClassListsItsObjectsAsTheProviderReadsThem(t *testing.T) {
	args := mountArgs()
	args.Objects = append(args.Objects, components.ObjectArgs{
		Type: "secret", Name: "123", Alias: "a: b #c", Format: "pfx", Encoding: "base64",
	})
	objects := runMount(t, args).Get(t, "mount-class").At("spec.parameters.objects").StringValue()
	var list struct{ Array []string }
	if err := yaml.Unmarshal([]byte(objects), &list); err != nil {
		t.Fatal(err)
	}
	want := []map[string]string{
		{"objectName": "my-secret", "objectType": "secret"},
		{"objectName": "my-key", "objectType": "key", "objectAlias": "keys/my-key.pem", "filePermission": "0400"},
		{"objectName": "my-cert", "objectType": "cert", "objectVersion": strings.Repeat("0", 32)},
		{"objectName": "123", "objectType": "secret", "objectAlias": "a: b #c", "objectFormat": "pfx", "objectEncoding": "base64"},
	}
	if len(list.Array) != len(want) {
		t.Fatalf("%d objects, want %d", len(list.Array), len(want))
	}
	for i, item := range list.Array {
		// The provider decodes into strings; a bare 0400 or 123 would be a number.
		got := map[string]any{}
		if err := yaml.Unmarshal([]byte(item), &got); err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want[i]) {
			t.Errorf("object %d is %v, want %v", i, got, want[i])
		}
		for key, value := range want[i] {
			if got[key] != value {
				t.Errorf("object %d: %s is %v (%T), want %q", i, key, got[key], got[key], value)
			}
		}
	}
}

func TestVolumeComesAfterRolesAndClass(t *testing.T) {
	e := &mockengine.Engine{}
	args := mountArgs()
	args.TestPod, args.VolumeName = nil, "store"
	run(t, e, func(ctx *pulumi.Context) error {
		c, err := newMount(ctx, "mount", args)
		if err != nil {
			return err
		}
		_, err = corev1.NewPod(ctx, "pod", &corev1.PodArgs{Spec: corev1.PodSpecArgs{
			Containers: corev1.ContainerArray{corev1.ContainerArgs{
				Name:         pulumi.String("main"),
				VolumeMounts: corev1.VolumeMountArray{c.VolumeMount("/secrets")},
			}},
			Volumes: corev1.VolumeArray{c.Volume()},
		}})
		return err
	})
	pod := e.Get(t, "pod")
	wantInputs(t, pod, map[string]any{
		"spec.volumes[0].name":                                     "store",
		"spec.volumes[0].csi.driver":                               "secrets-store.csi.k8s.io",
		"spec.volumes[0].csi.readOnly":                             true,
		"spec.volumes[0].csi.volumeAttributes.secretProviderClass": "class",
		"spec.containers[0].volumeMounts[0].name":                  "store",
		"spec.containers[0].volumeMounts[0].mountPath":             "/secrets",
		"spec.containers[0].volumeMounts[0].readOnly":              true,
		"spec.containers[0].volumeMounts[0].subPath":               nil,
	})
	for _, name := range []string{"mount-class", "mount-role-secret-my-secret", "mount-role-key-my-key", "mount-role-cert-my-cert"} {
		if !pod.WaitsFor(e.Get(t, name)) {
			t.Errorf("a pod that uses the volume does not wait for %s", name)
		}
	}
}

func TestTestPodMeetsTheRestrictedPodSecurityStandard(t *testing.T) {
	pod := runMount(t, mountArgs()).Get(t, "mount-test-pod")
	wantInputs(t, pod, map[string]any{
		"metadata.name":      "keyvault-test-pod",
		"metadata.namespace": "ns",
		`metadata.labels["azure.workload.identity/use"]`:              "true",
		"spec.serviceAccountName":                                     "sa",
		"spec.automountServiceAccountToken":                           false,
		"spec.securityContext.runAsNonRoot":                           true,
		"spec.securityContext.runAsUser":                              65534.0,
		"spec.securityContext.seccompProfile.type":                    "RuntimeDefault",
		"spec.containers[0].securityContext.allowPrivilegeEscalation": false,
		"spec.containers[0].securityContext.capabilities.drop[0]":     "ALL",
		"spec.containers[0].securityContext.capabilities.add":         nil,
		"spec.containers[0].image":                                    "busybox:1.35.0",
		"spec.containers[0].volumeMounts[0].mountPath":                "/mnt/secrets",
		"spec.containers[1]":                                          nil,
		"spec.volumes[0].csi.volumeAttributes.secretProviderClass":    "class",
		"spec.hostNetwork":                                            nil,
	})
	// Azure takes up to 10 minutes to honour a role.
	if got := pod.RPC.GetCustomTimeouts().GetCreate(); got != "15m" {
		t.Errorf("the pod is awaited for %q", got)
	}
}

func TestNoTestPodUnlessAsked(t *testing.T) {
	args := mountArgs()
	args.TestPod, args.ServiceAccountName = nil, nil
	for _, one := range runMount(t, args).Resources() {
		if one.Type == "kubernetes:core/v1:Pod" {
			t.Errorf("%s was registered", one.Name)
		}
	}
}

func TestMountInAPreviewOfEverything(t *testing.T) {
	e := &mockengine.Engine{DryRun: true}
	run(t, e, func(ctx *pulumi.Context) error {
		vault, err := components.NewKeyVaultStack(ctx, "vault", vaultArgs())
		if err != nil {
			return err
		}
		args := mountArgs()
		args.VaultID, args.VaultName = vault.VaultID, vault.VaultName
		_, err = newMount(ctx, "mount", args)
		return err
	})
	role := e.Get(t, "mount-role-secret-my-secret")
	for _, path := range []string{"scope", "roleDefinitionId"} {
		if at := role.At(path); at == nil || !at.IsComputed() {
			t.Errorf("%s is %v, want it unknown", path, at)
		}
	}
	for _, object := range []string{"vault-secret-given", "vault-key-rsa"} {
		if !role.WaitsFor(e.Get(t, object)) {
			t.Errorf("the role does not wait for %s", object)
		}
	}
}

func TestVaultIDThatIsNoVaultIsRefused(t *testing.T) {
	args := mountArgs()
	args.VaultID = pulumi.String(mockengine.Group)
	err := (&mockengine.Engine{}).Run(func(ctx *pulumi.Context) error {
		_, err := newMount(ctx, "mount", args)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "vaultId") {
		t.Errorf("got error %v", err)
	}
}

func TestTwoMountsInOneStackDoNotCollide(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		for _, name := range []string{"a", "b"} {
			if _, err := newMount(ctx, name, mountArgs()); err != nil {
				return err
			}
		}
		return nil
	})
	wantDistinct(t, e, 2*7)
}

func TestMountRules(t *testing.T) {
	type args = components.SecretMountArgs
	testRules(t, mountArgs, (*args).Validate, []rule[args]{
		{"a class's name", "className", func(a *args) { a.ClassName = "My Class" }},
		{"a volume's name", "volumeName", func(a *args) { a.VolumeName = "a.b" }},
		{"a pod's name", "testPod.name", func(a *args) { a.TestPod.Name = "Pod" }},
		{"an object is needed", "objects", func(a *args) { a.Objects = nil }},
		{"a type is needed", "objects[0].type", func(a *args) { a.Objects[0].Type = "" }},
		{"a type's case", "objects[0].type", func(a *args) { a.Objects[0].Type = "Secret" }},
		{"a type's spelling", "objects[2].type", func(a *args) { a.Objects[2].Type = "certificate" }},
		{"a name is needed", "objects[2].name", func(a *args) { a.Objects[2].Name, a.Objects[2].Alias = "", "file" }},
		{"a name's characters", "objects[0].name", func(a *args) { a.Objects[0].Name = "my/secret" }},
		{"an absolute alias", "objects[0].alias", func(a *args) { a.Objects[0].Alias = "/etc/passwd" }},
		{"a climbing alias", "objects[0].alias", func(a *args) { a.Objects[0].Alias = "../secret" }},
		{"an alias that climbs inside", "objects[0].alias", func(a *args) { a.Objects[0].Alias = "a/../b" }},
		{"an alias of the driver", "objects[0].alias", func(a *args) { a.Objects[0].Alias = "..data" }},
		{"an alias that is not clean", "objects[0].alias", func(a *args) { a.Objects[0].Alias = "a//b" }},
		{"an alias that is a directory", "objects[0].alias", func(a *args) { a.Objects[0].Alias = "a/" }},
		{"an alias of the mount itself", "objects[0].alias", func(a *args) { a.Objects[0].Alias = "." }},
		{"an alias with a line break", "objects[0].alias", func(a *args) { a.Objects[0].Alias = "a\nb" }},
		{"an alias that is too long", "objects[0].alias", func(a *args) { a.Objects[0].Alias = strings.Repeat("a", 256) }},
		{"a version", "objects[0].version", func(a *args) { a.Objects[0].Version = "latest" }},
		{"a format", "objects[0].format", func(a *args) { a.Objects[0].Format = "PEM" }},
		{"pfx on a key", "objects[1].format", func(a *args) { a.Objects[1].Format = "pfx" }},
		{"an encoding", "objects[0].encoding", func(a *args) { a.Objects[0].Encoding = "utf8" }},
		{"an encoding on a key", "objects[1].encoding", func(a *args) { a.Objects[1].Encoding = "hex" }},
		{"a permission that is not octal", "objects[0].filePermission", func(a *args) { a.Objects[0].FilePermission = "0888" }},
		{"a permission in letters", "objects[0].filePermission", func(a *args) { a.Objects[0].FilePermission = "rw-r--r--" }},
		{"two objects in one file", "objects[1]", func(a *args) { a.Objects[1].Alias = "my-secret" }},
		{"a secret and a key of one name", "objects[1]", func(a *args) { a.Objects[1] = components.ObjectArgs{Type: "key", Name: "my-secret"} }},
		{"a file that is a directory", "objects[2]", func(a *args) { a.Objects[2].Alias = "keys" }},
		{"a directory that is a file", "objects[1]", func(a *args) { a.Objects[1].Alias = "my-secret/key" }},
	})
}

func TestInvalidMountRegistersNothing(t *testing.T) {
	wantRefused(t, func(ctx *pulumi.Context) error {
		_, err := components.NewSecretMount(ctx, "mount", &components.SecretMountArgs{
			Objects: []components.ObjectArgs{{Type: "Secret", Name: "a"}, {Type: "key", Name: "a", Encoding: "hex"}},
			TestPod: &components.TestPodArgs{},
		})
		return err
	}, "objects[0].type", "objects[1].encoding", "objects[1]",
		"vaultId", "vaultName", "tenantId", "clientId", "principalId", "namespace", "serviceAccountName")
}

func TestOutputNamesTheClassOnceItIsUsable(t *testing.T) {
	run(t, &mockengine.Engine{}, func(ctx *pulumi.Context) error {
		c, err := newMount(ctx, "mount", mountArgs())
		if err != nil {
			return err
		}
		got := mockengine.Await(t, ctx, c.SecretProviderClass)
		if got.Value != "class" || !slices.Contains(resourceNames(got.Dependencies), "mount-role-key-my-key") {
			t.Errorf("got %v, waiting for %v", got.Value, resourceNames(got.Dependencies))
		}
		return nil
	})
}
