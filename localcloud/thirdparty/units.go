package thirdparty

import (
	"maps"
	"slices"
)

// unit is a set of programs that share a folder of the cache. One call of go build builds them, and one more those of
// each unit in with.
type unit struct {
	name     string
	dir      string            // of its go.mod, below localcloud/; units may share one
	programs map[string]string // package -> name of the program
	ldflags  string
	files    []string // files of the module filesOf that are copied beside the programs
	filesOf  string
	with     []unit // units built into the same folder, since their vendor publishes them together
	later    bool   // got when it is first needed, instead of by the first up
	inPulumi bool   // Pulumi publishes and installs it beside pulumi
}

// parts returns the unit and those that are built into its folder.
func (u unit) parts() []unit { return append([]unit{u}, u.with...) }

// names returns the names of the unit's programs, sorted.
func (u unit) names() (names []string) {
	for _, part := range u.parts() {
		names = slices.AppendSeq(names, maps.Values(part.programs))
	}
	slices.Sort(names)
	return names
}

// has reports whether name is one of the unit's programs.
func (u unit) has(name string) bool { return slices.Contains(u.names(), name) }

// Later returns the names of the programs that are got only when they are first needed.
func Later() (names []string) {
	for _, u := range units {
		if u.later {
			names = append(names, u.names()...)
		}
	}
	return names
}

// LanguageHost returns the name of the language host for a runtime in Pulumi.yaml, or "" if the runtime is not
// supported.
func LanguageHost(runtime string) string {
	switch host := "pulumi-language-" + runtime; host {
	case LanguageGo, LanguageNodejs, LanguagePython, LanguageYAML:
		return host
	}
	return ""
}

// IsLater reports whether a program is got only when it is first needed, instead of by the first up.
func IsLater(name string) bool {
	return slices.ContainsFunc(units, func(u unit) bool { return u.later && u.has(name) })
}

// CompilerFlags omit debug information, which the linker strips anyway. It would take a sixth of the compiler's time.
// Everything in the local cloud is built with these flags, so that shared packages are compiled only once.
const CompilerFlags = "all=-dwarf=false"

// sameAnywhere keeps the checkout's path out of compiled packages, so that other checkouts can use them. As a result,
// source positions in a stack's state are relative to modules instead of the project.
const sameAnywhere = "-trimpath"

// seldom lists packages of which little runs, or runs rarely. They are compiled without inlining, which saves up to
// half of the compiler's time. The Pulumi program and the local cloud itself use none of them, or would compile them
// again.
var seldom = []string{
	"cloud.google.com/...",
	"github.com/alecthomas/...",
	"github.com/aws/...",
	"github.com/envoyproxy/...",
	"github.com/hashicorp/vault/...",
	"github.com/pulumi/pulumi-kubernetes/...",
	"google.golang.org/api/...",
	"helm.sh/...",
	"k8s.io/apiextensions-apiserver/...",
	"k8s.io/kube-aggregator/...",
	"k8s.io/kubectl/...",
	"k8s.io/kubernetes/...",
	"sigs.k8s.io/kustomize/...",
}

// standIns is the folder of the stand-in modules that replace others in go.mod files.
const standIns = "thirdparty/standin"

// Versions that the go.mod files pin, but that the programs do not know by themselves. They also name the releases.
const (
	kubernetesVersion = "v1.34.10"
	etcdVersion       = "v3.6.4"
	kubeloginVersion  = "v0.2.10"
)

// units are sorted by cost, the most expensive first. Their go.mod files agree on the versions of shared modules, so
// that these are compiled only once (TestModules_Agree).
var units = []unit{
	{
		name: "kubernetes", dir: "thirdparty/kubernetes",
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
		name: "pulumi", dir: "thirdparty/pulumi",
		programs: map[string]string{"github.com/pulumi/pulumi/pkg/v3/cmd/pulumi": Pulumi},
		ldflags:  "-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=" + PulumiVersion,
		with: []unit{{
			name: "pulumi-language-go", dir: "thirdparty/pulumi-language-go",
			programs: map[string]string{"github.com/pulumi/pulumi/sdk/go/pulumi-language-go/v3": LanguageGo},
		}},
	},
	{
		name:     "pulumi-kubernetes",
		dir:      "thirdparty/pulumi-kubernetes",
		programs: map[string]string{"./" + KubernetesPlugin: KubernetesPlugin},
		ldflags:  "-X github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version.Version=" + KubernetesPluginVersion,
		files: []string{
			"cmd/pulumi-resource-kubernetes/schema.json",
			"cmd/pulumi-resource-kubernetes/terraform-mapping.json",
		},
		filesOf: "github.com/pulumi/pulumi-kubernetes/provider/v4",
	},
	{
		name: "secrets-store-csi-driver", dir: "thirdparty/secrets-store-csi-driver",
		programs: map[string]string{"sigs.k8s.io/secrets-store-csi-driver/cmd/secrets-store-csi-driver": CSIDriver},
		filesOf:  "sigs.k8s.io/secrets-store-csi-driver",
		files: []string{
			"deploy/rbac-secretproviderclass.yaml",
			"deploy/rbac-secretprovidersyncing.yaml",
			"deploy/secrets-store.csi.x-k8s.io_secretproviderclasses.yaml",
			"deploy/secrets-store.csi.x-k8s.io_secretproviderclasspodstatuses.yaml",
		},
	},
	{
		name: "provider-azure", dir: "thirdparty/provider-azure",
		programs: map[string]string{"github.com/Azure/secrets-store-csi-driver-provider-azure/cmd": AzureProvider},
	},
	{
		name: "kubectl", dir: "thirdparty/kubernetes", later: true,
		programs: map[string]string{"k8s.io/kubernetes/cmd/kubectl": Kubectl},
		ldflags:  kubernetesLDFlags,
	},
	{
		name: "kubelogin", dir: "thirdparty/kubelogin", later: true,
		programs: map[string]string{"github.com/Azure/kubelogin": Kubelogin},
		ldflags:  "-X main.gitTag=" + kubeloginVersion,
	},
	{
		name: "pulumi-language-yaml", dir: "thirdparty/pulumi-language-yaml", later: true, inPulumi: true,
		programs: map[string]string{"github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml": LanguageYAML},
	},
	{
		name: "pulumi-language-nodejs", dir: "thirdparty/pulumi-language-nodejs", later: true, inPulumi: true,
		programs: map[string]string{"github.com/pulumi/pulumi/sdk/nodejs/cmd/pulumi-language-nodejs/v3": LanguageNodejs},
	},
	{
		name: "pulumi-language-python", dir: "thirdparty/pulumi-language-python", later: true, inPulumi: true,
		programs: map[string]string{"github.com/pulumi/pulumi/sdk/python/cmd/pulumi-language-python/v3": LanguagePython},
		files:    []string{"python/cmd/pulumi-language-python-exec"}, // runs a program
		filesOf:  "github.com/pulumi/pulumi/sdk/v3",
	},
}

const kubernetesLDFlags = "-X k8s.io/component-base/version.gitVersion=" + kubernetesVersion +
	" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34" +
	" -X k8s.io/client-go/pkg/version.gitVersion=" + kubernetesVersion
