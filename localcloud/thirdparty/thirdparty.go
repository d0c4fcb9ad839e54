// Package thirdparty builds the programs that the local cloud runs and does not write, once, from modules pinned in the
// go.mod files of the folders beside this file.
package thirdparty

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// The programs, by the names under which Programs finds them.
const (
	Pulumi            = "pulumi"
	LanguageGo        = "pulumi-language-go"
	KubernetesPlugin  = "pulumi-resource-kubernetes"
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Kubectl           = "kubectl"
	Kubelet           = "kubelet"
	CSIDriver         = "secrets-store-csi-driver"
	AzureProvider     = "secrets-store-csi-driver-provider-azure"
	Kubelogin         = "kubelogin"
)

// The versions that the engine asks for.
const (
	PulumiVersion           = "3.259.0"
	KubernetesPluginVersion = "4.25.0"
)

// Programs is where each program is.
type Programs map[string]string

// CSIManifests are the manifests that the Secrets Store CSI driver is installed with.
func (p Programs) CSIManifests() ([]string, error) {
	return filepath.Glob(filepath.Join(filepath.Dir(p[CSIDriver]), "*.yaml"))
}

// Options say what Ensure gets, and from where.
type Options struct {
	// Source is the folder localcloud/ of a checkout, whose go.mod files pin what is built.
	Source string
	// Cache is the folder that programs are put into. All local clouds of a machine share it.
	Cache string
	// Also names programs to get that are otherwise got when they are first needed: Kubectl, Kubelogin.
	Also []string
	// Say is told what is going on, at least every ten seconds.
	Say func(format string, args ...any)

	cacheOnly bool // whether a pulumi on PATH does not count
}

// Ensure returns where each program is, and puts into the cache what is not there yet. A pulumi of the right version on PATH, with
// its Go language host, is used instead of one of the cache.
func Ensure(ctx context.Context, o Options) (Programs, error) {
	found, missing, err := look(ctx, o)
	if err != nil || len(missing) == 0 {
		return found, err
	}
	unlock, err := lockCache(ctx, o.Cache, o.Say)
	if err != nil {
		return nil, err
	}
	defer unlock()
	// Somebody else may have built them meanwhile.
	if found, missing, err = look(ctx, o); err != nil || len(missing) == 0 {
		return found, err
	}
	removeParts(o.Cache)
	const most = 10 << 30 // Go's own cache and the programs
	if err := enoughDisk(o.Cache, most, "building the third-party programs"); err != nil {
		return nil, err
	}
	o.Say("building third-party programs, once, into %s", o.Cache)
	for i, u := range missing {
		dir, err := u.cacheDir(o.Source, o.Cache)
		if err != nil {
			return nil, err
		}
		if err := u.build(ctx, o.Source, dir, fmt.Sprintf("%d/%d %s", i+1, len(missing), u.name), o.Say); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// look returns where every program is or will be, and which units are missing for those that are wanted.
func look(ctx context.Context, o Options) (found Programs, missing []unit, err error) {
	found = Programs{}
	for _, u := range units {
		if !o.cacheOnly && u.has(Pulumi) && installedPulumi(ctx, found) {
			continue
		}
		dir, err := u.cacheDir(o.Source, o.Cache)
		if err != nil {
			return nil, nil, err
		}
		for _, name := range u.programs {
			found[name] = filepath.Join(dir, name)
		}
		if (!u.later || slices.ContainsFunc(o.Also, u.has)) && !u.whole(dir) {
			missing = append(missing, u)
		}
	}
	return found, missing, nil
}

func installedPulumi(ctx context.Context, found Programs) bool {
	pulumi, err := exec.LookPath(Pulumi)
	if err != nil {
		return false
	}
	// In a shell with the environment of a local cloud, its own pulumi is the first on PATH, and goes when that cloud does.
	if home := os.Getenv(HomeVariable); home != "" && strings.HasPrefix(pulumi, home+string(filepath.Separator)) {
		return false
	}
	language, err := exec.LookPath(LanguageGo)
	if err != nil {
		return false
	}
	version, err := exec.CommandContext(ctx, pulumi, "version").Output()
	if err != nil || strings.TrimPrefix(strings.TrimSpace(string(version)), "v") != PulumiVersion {
		return false
	}
	found[Pulumi], found[LanguageGo] = pulumi, language
	return true
}
