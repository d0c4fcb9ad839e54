package podmount_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/components/podmount"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

func mountArgs() *components.SecretMountArgs {
	return &components.SecretMountArgs{
		VaultID:            pulumi.String(mockengine.Group + "/providers/Microsoft.KeyVault/vaults/kv-1"),
		VaultName:          pulumi.String("kv-1"),
		TenantID:           pulumi.String(mockengine.TenantID),
		ClientID:           pulumi.String("client"),
		PrincipalID:        pulumi.String("principal"),
		Namespace:          "ns",
		ServiceAccountName: pulumi.String("sa"),
		ClassName:          "class",
		Objects: []components.ObjectArgs{
			{Type: "secret", Name: "my-secret"},
			{Type: "key", Name: "my-key", Alias: "keys/my-key.pem"},
			{Type: "cert", Name: "my-cert", Version: strings.Repeat("0", 32)},
		},
	}
}

// syncedArgs returns the arguments of a mount with two Kubernetes Secrets.
func syncedArgs() *components.SecretMountArgs {
	args := mountArgs()
	args.Objects = append(args.Objects,
		components.ObjectArgs{Type: "secret", Name: "my-cert", Alias: "tls/both.pem"},
		components.ObjectArgs{Type: "secret", Name: "password", VersionHistory: 2},
	)
	args.SyncSecrets = []components.SyncSecretArgs{
		{Name: "app", Data: []components.SyncDataArgs{
			{Key: "PASSWORD", File: "password/0"}, {Key: "OLD", File: "password/2"},
		}},
		{Name: "web-tls", Type: "kubernetes.io/tls", Data: []components.SyncDataArgs{
			{Key: "tls.crt", File: "my-cert"}, {Key: "tls.key", File: "tls/both.pem"},
		}},
	}
	return args
}

func newMount(ctx *pulumi.Context, name string, args *components.SecretMountArgs) (*components.SecretMount, error) {
	provider, err := kubernetes.NewProvider(ctx, name+"-k8s", &kubernetes.ProviderArgs{Kubeconfig: pulumi.String("{}")})
	if err != nil {
		return nil, err
	}
	return components.NewSecretMount(ctx, name, args, pulumi.Provider(provider))
}

func run(t *testing.T, e *mockengine.Engine, program func(ctx *pulumi.Context) error) {
	t.Helper()
	if err := e.Run(program); err != nil {
		t.Fatal(err)
	}
}

// wantInputs compares inputs by path; nil means absent.
func wantInputs(t *testing.T, got mockengine.Registered, want map[string]any) {
	t.Helper()
	for path, value := range want {
		at := got.At(path)
		switch {
		case value == nil && at != nil:
			t.Errorf("%s: %s is %v, want it absent", got.Name, path, at)
		case value != nil && (at == nil || !at.DeepEquals(resource.NewPropertyValue(value))):
			t.Errorf("%s: %s is %v, want %v", got.Name, path, at, value)
		}
	}
}

// wantViolations checks an error's paths.
func wantViolations(t *testing.T, err error, paths ...string) {
	t.Helper()
	var invalid *components.ValidationError
	if !errors.As(err, &invalid) {
		t.Fatalf("got error %v, want violations", err)
	}
	var got []string
	for _, one := range invalid.Violations {
		got = append(got, one.Path)
	}
	if !slices.Equal(got, paths) {
		t.Errorf("violations at %v, want %v", got, paths)
	}
}

// workload returns a pod spec with an init container, two containers, and a volume of its own.
func workload() *corev1.PodSpecArgs {
	return &corev1.PodSpecArgs{
		InitContainers: corev1.ContainerArray{corev1.ContainerArgs{Name: pulumi.String("init")}},
		Containers: corev1.ContainerArray{
			corev1.ContainerArgs{Name: pulumi.String("main"), VolumeMounts: corev1.VolumeMountArray{
				corev1.VolumeMountArgs{Name: pulumi.String("tmp"), MountPath: pulumi.String("/tmp/")},
			}},
			&corev1.ContainerArgs{Name: pulumi.String("side")},
		},
		Volumes: corev1.VolumeArray{corev1.VolumeArgs{Name: pulumi.String("tmp")}},
	}
}

// deploy registers a StatefulSet with the spec after add.
func deploy(
	t *testing.T, add func(c *components.SecretMount, spec *corev1.PodSpecArgs) error,
) (mockengine.Registered, *mockengine.Engine) {
	t.Helper()
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		c, err := newMount(ctx, "mount", mountArgs())
		if err != nil {
			return err
		}
		spec := workload()
		if err := add(c, spec); err != nil {
			return err
		}
		_, err = appsv1.NewStatefulSet(ctx, "set", &appsv1.StatefulSetArgs{Spec: appsv1.StatefulSetSpecArgs{
			Template: corev1.PodTemplateSpecArgs{Spec: spec},
		}})
		return err
	})
	return e.Get(t, "set"), e
}

func TestAdd_MountsReadOnlyInAllContainers(t *testing.T) {
	set, e := deploy(t, func(c *components.SecretMount, spec *corev1.PodSpecArgs) error {
		return podmount.Add(c, spec, "/secrets")
	})
	wantInputs(t, set, map[string]any{
		"spec.template.spec.volumes[0].name":                                     "tmp",
		"spec.template.spec.volumes[1].name":                                     "secrets-store",
		"spec.template.spec.volumes[1].csi.readOnly":                             true,
		"spec.template.spec.volumes[1].csi.volumeAttributes.secretProviderClass": "class",
		"spec.template.spec.volumes[2]":                                          nil,
		"spec.template.spec.initContainers[0].volumeMounts[0].mountPath":         "/secrets",
		"spec.template.spec.containers[0].volumeMounts[0].name":                  "tmp",
		"spec.template.spec.containers[0].volumeMounts[1].mountPath":             "/secrets",
		"spec.template.spec.containers[0].volumeMounts[1].readOnly":              true,
		"spec.template.spec.containers[0].volumeMounts[1].subPath":               nil,
		"spec.template.spec.containers[1].volumeMounts[0].mountPath":             "/secrets",
		"spec.template.spec.serviceAccountName":                                  "sa",
	})
	for _, name := range []string{"mount-class", "mount-role-key-my-key"} {
		if !set.WaitsFor(e.Get(t, name)) {
			t.Errorf("the workload does not wait for %s", name)
		}
	}
}

func TestAdd_MountsInNamedContainersRepeatedly(t *testing.T) {
	set, _ := deploy(t, func(c *components.SecretMount, spec *corev1.PodSpecArgs) error {
		spec.ServiceAccountName = pulumi.String("own")
		if err := podmount.Add(c, spec, "/secrets", "side"); err != nil {
			return err
		}
		return podmount.Add(c, spec, "/again", "init", "side")
	})
	wantInputs(t, set, map[string]any{
		"spec.template.spec.volumes[1].name":                             "secrets-store",
		"spec.template.spec.volumes[2]":                                  nil,
		"spec.template.spec.initContainers[0].volumeMounts[0].mountPath": "/again",
		"spec.template.spec.containers[0].volumeMounts[1]":               nil,
		"spec.template.spec.containers[1].volumeMounts[0].mountPath":     "/secrets",
		"spec.template.spec.containers[1].volumeMounts[1].mountPath":     "/again",
		"spec.template.spec.serviceAccountName":                          "own",
	})
}

func TestAdd_KeepsCallersLists(t *testing.T) {
	deploy(t, func(c *components.SecretMount, spec *corev1.PodSpecArgs) error {
		// Spare capacity, which append would use.
		containers := append(make(corev1.ContainerArray, 0, 8), spec.Containers.(corev1.ContainerArray)...)
		spec.Containers = containers
		if err := podmount.Add(c, spec, "/secrets"); err != nil {
			return err
		}
		if want := workload().Containers; !reflect.DeepEqual(corev1.ContainerArrayInput(containers), want) {
			t.Errorf("the caller's containers became %v", containers)
		}
		return nil
	})
}

func TestAdd_ChangesNothingOnError(t *testing.T) {
	for name, test := range map[string]struct {
		change     func(*corev1.PodSpecArgs)
		path       string
		containers []string
		want       string
	}{
		"a relative path":      {path: "secrets", want: "mountPath"},
		"the root":             {path: "/", want: "mountPath"},
		"a path that climbs":   {path: "/a/../b", want: "mountPath"},
		"a path with a colon":  {path: "/a:b", want: "mountPath"},
		"an unknown container": {path: "/secrets", containers: []string{"main", "mian"}, want: "containers[1]"},
		"a path that is taken": {path: "/tmp", want: "containers[0].volumeMounts[0].mountPath"},
		"a volume of that name": {path: "/secrets", want: "volumes[0].name", change: func(s *corev1.PodSpecArgs) {
			s.Volumes = corev1.VolumeArray{&corev1.VolumeArgs{Name: pulumi.String("secrets-store")}}
		}},
		"containers that are an output": {path: "/secrets", want: "containers", change: func(s *corev1.PodSpecArgs) {
			s.Containers = s.Containers.ToContainerArrayOutput()
		}},
		"a container that is an output": {path: "/secrets", want: "containers[0]", change: func(s *corev1.PodSpecArgs) {
			s.Containers = corev1.ContainerArray{corev1.ContainerArgs{Name: pulumi.String("main")}.ToContainerOutput()}
		}},
		"mounts that are an output": {
			path: "/secrets", want: "containers[0].volumeMounts", change: func(s *corev1.PodSpecArgs) {
				s.Containers = corev1.ContainerArray{corev1.ContainerArgs{
					Name: pulumi.String("main"), VolumeMounts: corev1.VolumeMountArray{}.ToVolumeMountArrayOutput(),
				}}
			},
		},
		"volumes that are an output": {path: "/secrets", want: "volumes", change: func(s *corev1.PodSpecArgs) {
			s.Volumes = corev1.VolumeArray{}.ToVolumeArrayOutput()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			deploy(t, func(c *components.SecretMount, spec *corev1.PodSpecArgs) error {
				if test.change != nil {
					test.change(spec)
				}
				before := *spec
				wantViolations(t, podmount.Add(c, spec, test.path, test.containers...), test.want)
				if !reflect.DeepEqual(*spec, before) {
					t.Error("the spec was changed")
				}
				return nil
			})
		})
	}
}

func TestAdd_SeparatesMountsInOnePod(t *testing.T) {
	run(t, &mockengine.Engine{}, func(ctx *pulumi.Context) error {
		var mounts []*components.SecretMount
		for _, volume := range []string{"one", "two", "two"} {
			args := mountArgs()
			args.VolumeName = volume
			c, err := newMount(ctx, "mount"+string(rune('a'+len(mounts))), args)
			if err != nil {
				return err
			}
			mounts = append(mounts, c)
		}
		spec := workload()
		if err := podmount.Add(mounts[0], spec, "/one"); err != nil {
			t.Error(err)
		}
		if err := podmount.Add(mounts[1], spec, "/two"); err != nil {
			t.Error(err)
		}
		// The third would show the files of the second.
		wantViolations(t, podmount.Add(mounts[2], spec, "/three"), "volumes[2].name")
		return nil
	})
}

func TestVolume_WaitsForRolesAndClass(t *testing.T) {
	e := &mockengine.Engine{}
	args := mountArgs()
	args.VolumeName = "store"
	run(t, e, func(ctx *pulumi.Context) error {
		c, err := newMount(ctx, "mount", args)
		if err != nil {
			return err
		}
		_, err = corev1.NewPod(ctx, "pod", &corev1.PodArgs{Spec: corev1.PodSpecArgs{
			Containers: corev1.ContainerArray{corev1.ContainerArgs{
				Name:         pulumi.String("main"),
				VolumeMounts: corev1.VolumeMountArray{podmount.VolumeMount(c, "/secrets")},
			}},
			Volumes: corev1.VolumeArray{podmount.Volume(c)},
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
	for _, name := range []string{
		"mount-class", "mount-role-secret-my-secret", "mount-role-key-my-key", "mount-role-cert-my-cert",
	} {
		if !pod.WaitsFor(e.Get(t, name)) {
			t.Errorf("a pod that uses the volume does not wait for %s", name)
		}
	}
}

func TestEnv_RefersToSyncedSecrets(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		c, err := newMount(ctx, "mount", syncedArgs())
		if err != nil {
			return err
		}
		env, err := podmount.Env(c, map[string]podmount.Ref{
			"PASSWORD": {Secret: "app", Key: "PASSWORD"}, "CERT": {Secret: "web-tls", Key: "tls.crt"},
		})
		if err != nil {
			return err
		}
		_, err = corev1.NewPod(ctx, "pod", &corev1.PodArgs{Spec: corev1.PodSpecArgs{
			Containers: corev1.ContainerArray{corev1.ContainerArgs{Name: pulumi.String("main"), Env: env}},
		}})
		return err
	})
	pod := e.Get(t, "pod")
	wantInputs(t, pod, map[string]any{
		"spec.containers[0].env[0].name":                        "CERT",
		"spec.containers[0].env[0].valueFrom.secretKeyRef.name": "web-tls",
		"spec.containers[0].env[0].valueFrom.secretKeyRef.key":  "tls.crt",
		"spec.containers[0].env[1].name":                        "PASSWORD",
		"spec.containers[0].env[1].valueFrom.secretKeyRef.name": "app",
		"spec.containers[0].env[1].valueFrom.secretKeyRef.key":  "PASSWORD",
		"spec.containers[0].env[1].value":                       nil,
		"spec.containers[0].env[2]":                             nil,
	})
	if !pod.WaitsFor(e.Get(t, "mount-class")) {
		t.Error("a pod with the variables does not wait for the class")
	}
}

func TestEnv_RejectsUnknownSecrets(t *testing.T) {
	run(t, &mockengine.Engine{}, func(ctx *pulumi.Context) error {
		c, err := newMount(ctx, "mount", syncedArgs())
		if err != nil {
			return err
		}
		_, err = podmount.Env(c, map[string]podmount.Ref{
			"1": {Secret: "app", Key: "OLD"}, "A": {Secret: "apps", Key: "OLD"}, "B": {Secret: "app", Key: "old"},
		})
		wantViolations(t, err, "vars", "vars[A].secret", "vars[B].key")
		return nil
	})
}

func TestEnv_IsEmptyWithoutVars(t *testing.T) {
	run(t, &mockengine.Engine{}, func(ctx *pulumi.Context) error {
		c, err := newMount(ctx, "mount", mountArgs())
		if err != nil {
			return err
		}
		if env, err := podmount.Env(c, nil); err != nil || len(env) != 0 {
			t.Errorf("got %v, error %v", env, err)
		}
		return nil
	})
}

func TestAdd_KeepsSpecsServiceAccount(t *testing.T) {
	run(t, &mockengine.Engine{}, func(ctx *pulumi.Context) error {
		args := mountArgs()
		args.ServiceAccountName = nil
		c, err := newMount(ctx, "mount", args)
		if err != nil {
			return err
		}
		spec := workload()
		if err := podmount.Add(c, spec, "/secrets"); err != nil {
			return err
		}
		if spec.ServiceAccountName != nil {
			t.Error("the spec was given a service account")
		}
		return nil
	})
}

// TestVolume_MatchesMountsOutput compares two pods, one with the SDK's types and one with the output for other
// languages.
func TestVolume_MatchesMountsOutput(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		c, err := newMount(ctx, "mount", mountArgs())
		if err != nil {
			return err
		}
		if _, err := corev1.NewPod(ctx, "typed", &corev1.PodArgs{Spec: corev1.PodSpecArgs{
			Containers: corev1.ContainerArray{}, Volumes: corev1.VolumeArray{podmount.Volume(c)},
		}}); err != nil {
			return err
		}
		var untyped pulumi.CustomResourceState
		return ctx.RegisterResource("kubernetes:core/v1:Pod", "untyped", pulumi.Map{
			"spec": pulumi.Map{"volumes": pulumi.Array{c.Volume}},
		}, &untyped)
	})
	typed, untyped := e.Get(t, "typed"), e.Get(t, "untyped")
	for _, pod := range []mockengine.Registered{typed, untyped} {
		if !pod.WaitsFor(e.Get(t, "mount-class")) || !pod.WaitsFor(e.Get(t, "mount-role-secret-my-secret")) {
			t.Errorf("%s does not wait for the class and the roles", pod.Name)
		}
	}
	if got, want := untyped.At("spec.volumes"), typed.At("spec.volumes"); got == nil || !got.DeepEquals(*want) {
		t.Errorf("the output is %v, the typed volume %v", got, want)
	}
}

func TestLabelsAndAnnotations_ComeFromMount(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		c, err := newMount(ctx, "mount", mountArgs())
		if err != nil {
			return err
		}
		_, err = corev1.NewPod(ctx, "pod", &corev1.PodArgs{Metadata: metav1.ObjectMetaArgs{
			Labels: podmount.Labels(c), Annotations: podmount.Annotations(c),
		}})
		if err != nil {
			return err
		}
		own := pulumi.StringMap{"app": pulumi.String("api"), "azure.workload.identity/use": pulumi.String("false")}
		_, err = corev1.NewPod(ctx, "own",
			&corev1.PodArgs{Metadata: metav1.ObjectMetaArgs{Labels: podmount.Labels(c, own, nil, pulumi.StringMap(nil))}})
		return err
	})
	wantInputs(t, e.Get(t, "own"),
		map[string]any{"metadata.labels": map[string]any{"app": "api", "azure.workload.identity/use": "true"}})
	pod, mount := e.Get(t, "pod"), e.Get(t, "mount")
	wantInputs(t, pod, map[string]any{"metadata.labels": map[string]any{"azure.workload.identity/use": "true"}})
	if got := pod.At("metadata.annotations"); got == nil || !got.DeepEquals(mount.Outputs["podAnnotations"]) ||
		len(got.ObjectValue()[components.ChecksumAnnotation].StringValue()) != 64 {
		t.Errorf("the annotations are %v, those of the mount %v", got, mount.Outputs["podAnnotations"])
	}
}
