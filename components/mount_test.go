package components_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"gopkg.in/yaml.v3"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

const vaultID = mockengine.Group + "/providers/Microsoft.KeyVault/vaults/kv-1"

func mountArgs() *components.SecretMountArgs {
	return &components.SecretMountArgs{
		VaultID:            pulumi.String(vaultID),
		VaultName:          pulumi.String("kv-1"),
		TenantID:           pulumi.String(mockengine.TenantID),
		ClientID:           pulumi.String("client"),
		PrincipalID:        pulumi.String("principal"),
		Namespace:          "ns",
		ServiceAccountName: pulumi.String("sa"),
		ClassName:          "class",
		Objects: []components.ObjectArgs{
			{Type: "secret", Name: "my-secret"},
			{Type: "key", Name: "my-key", Alias: "keys/my-key.pem", FilePermission: "0444"},
			{Type: "cert", Name: "my-cert", Version: strings.Repeat("0", 32)},
		},
		TestPod: &components.TestPodArgs{},
	}
}

// fullMountArgs returns every plain argument.
func fullMountArgs() *components.SecretMountArgs {
	args := mountArgs()
	args.Objects = append(args.Objects,
		components.ObjectArgs{Type: "secret", Name: "my-cert", Alias: "tls/both.pem"},
		components.ObjectArgs{Type: "secret", Name: "password", VersionHistory: 2, FilePermission: "0444"},
	)
	args.CloudName = "AzureChinaCloud"
	args.SyncSecrets = []components.SyncSecretArgs{
		{
			Name: "app",
			Data: []components.SyncDataArgs{{Key: "PASSWORD", File: "password/0"}, {Key: "OLD", File: "password/2"}},
		},
		{
			Name: "web-tls", Type: "kubernetes.io/tls",
			Labels:      map[string]string{"app.kubernetes.io/part-of": "web", "empty": ""},
			Annotations: map[string]string{"example.com/why": "An Ingress cannot read files."},
			Data:        []components.SyncDataArgs{{Key: "tls.crt", File: "my-cert"}, {Key: "tls.key", File: "tls/both.pem"}},
		},
	}
	args.Probe = &components.ProbeArgs{}
	return args
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

func TestSecretProviderClass_UsesWorkloadIdentityOnly(t *testing.T) {
	class := runMount(t, mountArgs()).Get(t, "mount-class")
	wantInputs(t, class, map[string]any{
		"apiVersion":                   "secrets-store.csi.x-k8s.io/v1",
		"kind":                         "SecretProviderClass",
		"metadata.name":                "class",
		"metadata.namespace":           "ns",
		"spec.provider":                "azure",
		"spec.parameters.clientID":     "client",
		"spec.parameters.keyvaultName": "kv-1",
		"spec.parameters.tenantID":     mockengine.TenantID,
		// It would create another copy of the secrets, in etcd.
		"spec.secretObjects": nil,
	})
	if parameters := class.At("spec.parameters").ObjectValue(); len(parameters) != 4 {
		t.Errorf("the class has parameters %v, want only clientID, keyvaultName, tenantID and objects", parameters)
	}
}

func TestSecretProviderClass_ListsObjectsInProvidersFormat(t *testing.T) {
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
		{"objectName": "my-key", "objectType": "key", "objectAlias": "keys/my-key.pem", "filePermission": "0444"},
		{"objectName": "my-cert", "objectType": "cert", "objectVersion": strings.Repeat("0", 32)},
		{
			"objectName":     "123",
			"objectType":     "secret",
			"objectAlias":    "a: b #c",
			"objectFormat":   "pfx",
			"objectEncoding": "base64",
		},
	}
	if len(list.Array) != len(want) {
		t.Fatalf("%d objects, want %d", len(list.Array), len(want))
	}
	for i, item := range list.Array {
		// The provider decodes strings; an unquoted 0444 or 123 would be a number.
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

func TestSecretMount_VolumeWaitsForRolesAndClass(t *testing.T) {
	for _, dryRun := range []bool{false, true} {
		run(t, &mockengine.Engine{DryRun: dryRun}, func(ctx *pulumi.Context) error {
			args := mountArgs()
			args.TestPod, args.VolumeName = nil, "store"
			c, err := newMount(ctx, "mount", args)
			if err != nil {
				return err
			}
			got := mockengine.Await(t, ctx, c.Volume)
			want := map[string]any{"name": "store", "csi": map[string]any{
				"driver": "secrets-store.csi.k8s.io", "readOnly": true,
				"volumeAttributes": map[string]string{"secretProviderClass": "class"},
			}}
			// In a preview, the class has no known outputs, not even its name.
			if got.Known == dryRun || got.Secret || !dryRun && !reflect.DeepEqual(got.Value, want) {
				t.Errorf("dry run %t: got %v, known: %t, secret: %t, want %v", dryRun, got.Value, got.Known, got.Secret, want)
			}
			for _, name := range []string{
				"mount-class", "mount-role-secret-my-secret", "mount-role-key-my-key", "mount-role-cert-my-cert",
			} {
				if !slices.Contains(resourceNames(got.Dependencies), name) {
					t.Errorf("dry run %t: a pod that uses the volume does not wait for %s", dryRun, name)
				}
			}
			return nil
		})
	}
}

func TestTestPod_MeetsRestrictedPodSecurity(t *testing.T) {
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
	// A role may take up to 10 minutes to take effect.
	if got := pod.RPC.GetCustomTimeouts().GetCreate(); got != "15m" {
		t.Errorf("the pod is awaited for %q", got)
	}
}

func TestTestPod_DefaultsToNone(t *testing.T) {
	args := mountArgs()
	args.TestPod, args.ServiceAccountName = nil, nil
	for _, one := range runMount(t, args).Resources() {
		if one.Type == "kubernetes:core/v1:Pod" {
			t.Errorf("%s was registered", one.Name)
		}
	}
}

func TestSecretMount_PreviewsWithUnknownInputs(t *testing.T) {
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

func TestSecretMount_ChecksInputsOnceKnown(t *testing.T) {
	for path, change := range map[string]func(*components.SecretMountArgs){
		"vaultId":   func(a *components.SecretMountArgs) { a.VaultID = pulumi.String(mockengine.Group) },
		"vaultName": func(a *components.SecretMountArgs) { a.VaultName = pulumi.String("another-vault") },
		"clientId":  func(a *components.SecretMountArgs) { a.ClientID = pulumi.String("") },
		"tenantId":  func(a *components.SecretMountArgs) { a.TenantID = pulumi.String("my tenant") },
		// The name of a vault in another cloud, or of a managed HSM.
		"vaultName ": func(a *components.SecretMountArgs) {
			a.Access, a.VaultName = "none", pulumi.String("kv.vault.azure.cn")
		},
	} {
		args := mountArgs()
		change(args)
		err := (&mockengine.Engine{DryRun: true}).Run(func(ctx *pulumi.Context) error {
			_, err := newMount(ctx, "mount", args)
			return err
		})
		if path = strings.TrimSpace(path); err == nil || !strings.Contains(err.Error(), path+":") {
			t.Errorf("%s: got error %v", path, err)
		}
	}
}

func TestSecretMount_WithAccessNoneNeedsNoVaultIDAndPrincipal(t *testing.T) {
	args := mountArgs()
	args.Access, args.VaultID, args.PrincipalID = "none", nil, nil
	class := runMount(t, args).Get(t, "mount-class")
	wantInputs(t, class, map[string]any{"spec.parameters.keyvaultName": "kv-1"})
}

func TestCloudName_OmitsPublicCloud(t *testing.T) {
	for given, want := range map[components.Cloud]any{
		"AzurePublicCloud": nil, "AzureUSGovernmentCloud": "AzureUSGovernmentCloud", "AzureChinaCloud": "AzureChinaCloud",
	} {
		args := mountArgs()
		args.CloudName = given
		wantInputs(t, runMount(t, args).Get(t, "mount-class"), map[string]any{"spec.parameters.cloudName": want})
	}
}

func TestSecretMount_TwoDoNotCollide(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		for _, name := range []string{"a", "b"} {
			args := mountArgs()
			args.Probe = &components.ProbeArgs{}
			if _, err := newMount(ctx, name, args); err != nil {
				return err
			}
		}
		return nil
	})
	wantDistinct(t, e, 2*8)
}

func TestSecretMount_Validates(t *testing.T) {
	type args = components.SecretMountArgs
	testRules(t, mountArgs, (*args).Validate, []rule[args]{
		{"a namespace is needed", "namespace", func(a *args) { a.Namespace = "" }},
		{"a namespace has no dot", "namespace", func(a *args) { a.Namespace = "my.ns" }},
		{"a label's key", "labels", func(a *args) { a.Labels = map[string]string{"a b": ""} }},
		{"a label's value", "labels.a", func(a *args) { a.Labels = map[string]string{"a": "b c"} }},
		{"the label of workload identity", "labels", func(a *args) {
			a.Labels = map[string]string{"azure.workload.identity/use": "false"}
		}},
		{"the label of the probe", "labels", func(a *args) {
			a.Labels, a.Probe = map[string]string{"app.kubernetes.io/name": "mine"}, &components.ProbeArgs{}
		}},
		{"a class's name", "className", func(a *args) { a.ClassName = "My Class" }},
		{"a volume's name", "volumeName", func(a *args) { a.VolumeName = "a.b" }},
		{"a pod's name", "testPod.name", func(a *args) { a.TestPod.Name = "Pod" }},
		{
			"a class's name that leaves no room for the pod's",
			"className",
			func(a *args) { a.ClassName = strings.Repeat("c", 126) },
		},
		{"a pod's image", "testPod.image", func(a *args) { a.TestPod.Image = "busybox latest" }},
		{"a probe's image", "probe.image", func(a *args) { a.Probe = &components.ProbeArgs{Image: "Busybox"} }},
		{"a pod's name that is too long", "testPod.name", func(a *args) { a.TestPod.Name = strings.Repeat("p", 64) }},
		{"a probe's name", "probe.name", func(a *args) { a.Probe = &components.ProbeArgs{Name: "a.b"} }},
		{"a cloud", "cloudName", func(a *args) { a.CloudName = "AzureGermanCloud" }},
		{"a cloud's case", "cloudName", func(a *args) { a.CloudName = "azurechinacloud" }},
		{"access", "access", func(a *args) { a.Access = "Object" }},
	})
}

func TestSecretMount_RegistersNothingIfInvalid(t *testing.T) {
	wantRefused(t, func(ctx *pulumi.Context) error {
		_, err := components.NewSecretMount(ctx, "mount", &components.SecretMountArgs{
			CloudName: "Mars",
			Objects: []components.ObjectArgs{
				{Type: "Secret", Name: "a", VersionHistory: -1}, {Type: "key", Name: "a", Encoding: "hex"},
			},
			Access:      "all",
			SyncSecrets: []components.SyncSecretArgs{{Name: "A", Data: []components.SyncDataArgs{{Key: "/", File: "b"}}}},
			TestPod:     &components.TestPodArgs{},
			Probe:       &components.ProbeArgs{Name: "P"},
		})
		return err
	}, "namespace", "cloudName",
		"objects[0].type", "objects[0].versionHistory", "objects[1].encoding", "objects[1]", "access",
		"syncSecrets[0].name", "syncSecrets[0].data[0].key", "syncSecrets[0].data[0].file", "probe.name",
		"vaultId", "vaultName", "tenantId", "clientId", "principalId", "serviceAccountName")
}

func TestSecretMount_PodsRequireServiceAccount(t *testing.T) {
	for _, change := range []func(*components.SecretMountArgs){
		func(a *components.SecretMountArgs) { a.TestPod = &components.TestPodArgs{} },
		func(a *components.SecretMountArgs) { a.Probe = &components.ProbeArgs{} },
	} {
		args := mountArgs()
		args.TestPod, args.ServiceAccountName = nil, nil
		change(args)
		wantRefused(t, func(ctx *pulumi.Context) error {
			_, err := components.NewSecretMount(ctx, "mount", args)
			return err
		}, "serviceAccountName")
	}
}

func TestSecretMount_KeepsCallersArguments(t *testing.T) {
	args, want := fullMountArgs(), fullMountArgs()
	runMount(t, args)
	if !reflect.DeepEqual(args, want) {
		t.Errorf("the arguments became %+v", args)
	}
}

func TestSecretProviderClass_ResolvesOnceUsable(t *testing.T) {
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

func TestSecretMount_RegistersOutputsForPods(t *testing.T) {
	e := runMount(t, fullMountArgs())
	outputs := e.Get(t, "mount").Outputs
	for key, want := range map[resource.PropertyKey]any{
		"secretProviderClass": "class",
		"syncedSecrets":       []any{"app", "web-tls"},
		"podLabels":           map[string]any{"azure.workload.identity/use": "true"},
		"volume": map[string]any{"name": "secrets-store", "csi": map[string]any{
			"driver": "secrets-store.csi.k8s.io", "readOnly": true,
			"volumeAttributes": map[string]any{"secretProviderClass": "class"},
		}},
	} {
		if got := outputs[key]; !got.DeepEquals(resource.NewPropertyValue(want)) {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	// The annotations of the probe, which restarts with its mounted objects.
	want := e.Get(t, "mount-probe").At("spec.template.metadata.annotations")
	if got := outputs["podAnnotations"]; !got.DeepEquals(*want) {
		t.Errorf("podAnnotations are %v, the probe's %v", got, want)
	}
}

func TestSecretMount_ReturnsArguments(t *testing.T) {
	for given, want := range map[string]string{"": "secrets-store", "store": "store"} {
		run(t, &mockengine.Engine{}, func(ctx *pulumi.Context) error {
			args := fullMountArgs()
			args.VolumeName = given
			c, err := newMount(ctx, "mount", args)
			if err != nil {
				return err
			}
			wanted := *fullMountArgs()
			wanted.VolumeName = want
			if got := c.Args(); !reflect.DeepEqual(got, wanted) {
				t.Errorf("the arguments are %+v, want %+v", got, wanted)
			}
			return nil
		})
	}
}

func TestSecretMount_LabelsObjects(t *testing.T) {
	args := fullMountArgs()
	args.Labels = map[string]string{"team": "payments", "example.com/app": "shop"}
	e := runMount(t, args)
	labels := func(more map[string]any) map[string]any {
		all := map[string]any{"team": "payments", "example.com/app": "shop"}
		maps.Copy(all, more)
		return all
	}
	wantInputs(t, e.Get(t, "mount-class"), map[string]any{"metadata.labels": labels(nil)})
	wantInputs(t, e.Get(t, "mount-test-pod"), map[string]any{
		"metadata.labels": labels(map[string]any{"azure.workload.identity/use": "true"}),
	})
	probe := map[string]any{"app.kubernetes.io/name": "keyvault-probe"}
	wantInputs(t, e.Get(t, "mount-probe"), map[string]any{
		"metadata.labels": labels(probe),
		// Kubernetes refuses to change the selector, so it must not contain labels that may change.
		"spec.selector.matchLabels": probe,
		"spec.template.metadata.labels": labels(map[string]any{
			"app.kubernetes.io/name": "keyvault-probe", "azure.workload.identity/use": "true",
		}),
	})
	wantInputs(t, runMount(t, fullMountArgs()).Get(t, "mount-class"), map[string]any{"metadata.labels": nil})
}

func TestSecretMount_LetsPulumiNameClass(t *testing.T) {
	args := fullMountArgs()
	args.ClassName = ""
	e := runMount(t, args)
	wantInputs(t, e.Get(t, "mount-class"), map[string]any{"metadata.name": nil})
	const named = "mount-class-auto"
	wantInputs(t, e.Get(t, "mount-test-pod"), map[string]any{
		"spec.volumes[0].csi.volumeAttributes.secretProviderClass": named,
	})
	wantInputs(t, e.Get(t, "mount-probe"), map[string]any{
		"spec.template.spec.volumes[0].csi.volumeAttributes.secretProviderClass": named,
	})
	if got := e.Get(t, "mount").Outputs["secretProviderClass"]; got.V != named {
		t.Errorf("the class is called %v", got)
	}
}

// TestSecretMount_RetriesInForeignCluster makes a cluster that is not an AksWithCsi refuse an object because a role is
// missing.
func TestSecretMount_RetriesInForeignCluster(t *testing.T) {
	const late = "User does not have access to the resource in Azure. Update role assignment to allow access."
	for refusal, again := range map[string]bool{late: true, "secretproviderclasses is forbidden": false} {
		e := &mockengine.Engine{Refusals: map[string][]string{"mount-class": {refusal}}}
		err := e.Run(func(ctx *pulumi.Context) error {
			_, err := newMount(ctx, "mount", mountArgs())
			return err
		})
		if (err == nil) != again {
			t.Errorf("%q is tried again: %t, want %t: %v", refusal, err == nil, again, err)
		}
	}
}
