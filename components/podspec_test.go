package components_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

// workload is a pod's spec with an init container, two containers, and a volume of its own.
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

// deploy registers a StatefulSet with what add has done to the spec.
func deploy(t *testing.T, add func(c *components.SecretMount, spec *corev1.PodSpecArgs) error) (mockengine.Registered, *mockengine.Engine) {
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

func TestAddMountMountsIntoAllContainersReadOnly(t *testing.T) {
	set, e := deploy(t, func(c *components.SecretMount, spec *corev1.PodSpecArgs) error {
		return components.AddMount(c, spec, "/secrets")
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

func TestAddMountMountsIntoNamedContainersAndOnceMore(t *testing.T) {
	set, _ := deploy(t, func(c *components.SecretMount, spec *corev1.PodSpecArgs) error {
		spec.ServiceAccountName = pulumi.String("own")
		if err := components.AddMount(c, spec, "/secrets", "side"); err != nil {
			return err
		}
		return components.AddMount(c, spec, "/again", "init", "side")
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

func TestAddMountLeavesTheCallersListsAlone(t *testing.T) {
	deploy(t, func(c *components.SecretMount, spec *corev1.PodSpecArgs) error {
		// Room to grow, which append would use.
		containers := append(make(corev1.ContainerArray, 0, 8), spec.Containers.(corev1.ContainerArray)...)
		spec.Containers = containers
		if err := components.AddMount(c, spec, "/secrets"); err != nil {
			return err
		}
		if want := workload().Containers; !reflect.DeepEqual(corev1.ContainerArrayInput(containers), want) {
			t.Errorf("the caller's containers became %v", containers)
		}
		return nil
	})
}

func TestAddMountRefusesAndThenChangesNothing(t *testing.T) {
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
		"mounts that are an output": {path: "/secrets", want: "containers[0].volumeMounts", change: func(s *corev1.PodSpecArgs) {
			s.Containers = corev1.ContainerArray{corev1.ContainerArgs{
				Name: pulumi.String("main"), VolumeMounts: corev1.VolumeMountArray{}.ToVolumeMountArrayOutput(),
			}}
		}},
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
				wantViolations(t, components.AddMount(c, spec, test.path, test.containers...), test.want)
				if !reflect.DeepEqual(*spec, before) {
					t.Error("the spec was changed")
				}
				return nil
			})
		})
	}
}

func TestTwoMountsInOnePod(t *testing.T) {
	run(t, &mockengine.Engine{}, func(ctx *pulumi.Context) error {
		var mounts []*components.SecretMount
		for _, volume := range []string{"one", "two", "two"} {
			args := mountArgs()
			args.VolumeName, args.TestPod = volume, nil
			c, err := newMount(ctx, "mount"+string(rune('a'+len(mounts))), args)
			if err != nil {
				return err
			}
			mounts = append(mounts, c)
		}
		spec := workload()
		if err := components.AddMount(mounts[0], spec, "/one"); err != nil {
			t.Error(err)
		}
		if err := components.AddMount(mounts[1], spec, "/two"); err != nil {
			t.Error(err)
		}
		// The third would show the second's files.
		wantViolations(t, components.AddMount(mounts[2], spec, "/three"), "volumes[2].name")
		return nil
	})
}

// TestNoMethodNamesThePodsTypes looks at the signatures of all methods, and at the fields of all types: whoever names a component has the
// compiler read them, with all that they name.
func TestNoMethodNamesThePodsTypes(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no files: %v", err)
	}
	methods, imported := 0, 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		var kubernetes []string // the names of the packages of its API
		for _, one := range file.Imports {
			_, of, ok := strings.Cut(strings.Trim(one.Path.Value, `"`), "/pulumi-kubernetes/sdk/v4/go/kubernetes/")
			if !ok {
				continue
			}
			called := path.Base(of)
			if one.Name != nil {
				called = one.Name.Name
			}
			kubernetes = append(kubernetes, called)
		}
		imported += len(kubernetes)
		look := func(node ast.Node) {
			ast.Inspect(node, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					if pkg, ok := s.X.(*ast.Ident); ok && slices.Contains(kubernetes, pkg.Name) {
						t.Errorf("%s names %s.%s", set.Position(s.Pos()), pkg.Name, s.Sel.Name)
					}
				}
				return true
			})
		}
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Recv != nil {
					methods++
					look(d.Type)
				}
			case *ast.GenDecl:
				if d.Tok == token.TYPE {
					look(d)
				}
			}
		}
	}
	if methods == 0 || imported == 0 {
		t.Errorf("there are %d methods, and %d imports of Kubernetes' API: nothing is proven", methods, imported)
	}
}
