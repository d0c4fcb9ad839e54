package thirdparty

import (
	"maps"
	"slices"
)

// unit is programs that are built by one call of go, so that both cores are used, and lie in one folder of the cache.
type unit struct {
	name     string
	dir      string            // of its go.mod, below localcloud/
	programs map[string]string // package -> the name that the program is given
	ldflags  string
	files    []string // what is put beside the programs, of the module filesOf
	filesOf  string
	later    bool // whether it is got when it is first needed instead of by the first up
}

// has reports whether name is one of the unit's programs.
func (u unit) has(name string) bool {
	return slices.Contains(u.names(), name)
}

// names are those of the unit's programs.
func (u unit) names() []string { return slices.Sorted(maps.Values(u.programs)) }

// CompilerFlags leave out what the linker would strip: it takes the compiler a sixth of its time. All that is built for the
// local cloud is built with them, so that packages that several programs share are compiled once.
const CompilerFlags = "all=-dwarf=false"

// sameAnywhere leaves the checkout's folder out of what is compiled, so that another checkout finds it compiled. A stack's state then has
// source positions by module instead of in the project.
const sameAnywhere = "-trimpath"

const kubernetesVersion = "v1.34.10"

// shared is the go.mod of all programs whose dependencies agree: each package is compiled once for all of them.
const shared = "thirdparty/programs"

// units are in the order of their cost: who waits sees the long ones first.
var units = []unit{
	{
		name: "kubernetes", dir: shared,
		programs: map[string]string{
			"go.etcd.io/etcd/server/v3":                     Etcd,
			"k8s.io/kubernetes/cmd/kube-apiserver":          APIServer,
			"k8s.io/kubernetes/cmd/kube-controller-manager": ControllerManager,
			"k8s.io/kubernetes/cmd/kube-scheduler":          Scheduler,
			"k8s.io/kubernetes/cmd/kubelet":                 Kubelet,
		},
		ldflags: kubernetesLDFlags,
	},
	{
		name: "pulumi", dir: shared,
		programs: map[string]string{
			"github.com/pulumi/pulumi/pkg/v3/cmd/pulumi":            Pulumi,
			"github.com/pulumi/pulumi/sdk/go/pulumi-language-go/v3": LanguageGo,
		},
		ldflags: "-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=" + PulumiVersion,
	},
	{
		name: "pulumi-kubernetes", dir: shared,
		programs: map[string]string{"./" + KubernetesPlugin: KubernetesPlugin},
		ldflags:  "-X github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version.Version=" + KubernetesPluginVersion,
		files:    []string{"cmd/pulumi-resource-kubernetes/schema.json", "cmd/pulumi-resource-kubernetes/terraform-mapping.json"},
		filesOf:  "github.com/pulumi/pulumi-kubernetes/provider/v4",
	},
	{
		name: "secrets-store-csi-driver", dir: "thirdparty/secrets-store-csi-driver",
		programs: map[string]string{"sigs.k8s.io/secrets-store-csi-driver/cmd/secrets-store-csi-driver": CSIDriver},
		filesOf:  "sigs.k8s.io/secrets-store-csi-driver",
		files: []string{
			"deploy/rbac-secretproviderclass.yaml", "deploy/rbac-secretprovidersyncing.yaml",
			"deploy/secrets-store.csi.x-k8s.io_secretproviderclasses.yaml", "deploy/secrets-store.csi.x-k8s.io_secretproviderclasspodstatuses.yaml",
		},
	},
	{
		name: "provider-azure", dir: shared,
		programs: map[string]string{"github.com/Azure/secrets-store-csi-driver-provider-azure/cmd": AzureProvider},
	},
	{
		name: "kubectl", dir: shared, later: true,
		programs: map[string]string{"k8s.io/kubernetes/cmd/kubectl": Kubectl},
		ldflags:  kubernetesLDFlags,
	},
	{
		name: "kubelogin", dir: shared, later: true,
		programs: map[string]string{"github.com/Azure/kubelogin": Kubelogin},
		ldflags:  "-X main.gitTag=v0.2.10",
	},
}

const kubernetesLDFlags = "-X k8s.io/component-base/version.gitVersion=" + kubernetesVersion +
	" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34" +
	" -X k8s.io/client-go/pkg/version.gitVersion=" + kubernetesVersion
