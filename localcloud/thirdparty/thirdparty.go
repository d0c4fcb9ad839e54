// Package thirdparty gets the programs that the local cloud runs and does not write, once: it takes releases of their
// vendors where these can be reached, and builds them from modules pinned in the go.mod files of the folders beside
// this file where not.
package thirdparty

import (
	"context"
	"io/fs"
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
	LanguageNodejs    = "pulumi-language-nodejs"
	LanguagePython    = "pulumi-language-python"
	LanguageYAML      = "pulumi-language-yaml"
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
	// Cache is the folder that programs are put into. All local clouds of a machine share it.
	Cache string
	// Also names programs to get that are otherwise got when they are first needed: those of Later.
	Also []string
	// Only is whether the programs of Also are all that is to be got.
	Only bool
	// Way is how they are got: Build or Releases. Defaults to releases from those vendors that answer within two
	// seconds, and to building the rest. What is in the cache already, either way, is used, unless a way is asked for.
	Way Way
	// Program is the folder of a Pulumi program that the caller compiles afterwards: it is part of what is to be done.
	Program string
	// Progress is told what is going on.
	*Progress

	pins      fs.FS    // Defaults to those in this program. Tests have others.
	vendors   *network // Defaults to the vendors' own hosts. Tests have others.
	cacheOnly bool     // whether a pulumi on PATH does not count
}

// Ensure returns where each program is, and puts into the cache what is not there yet. A pulumi of the right version on
// PATH, with its Go language host, is used instead of one of the cache, unless a way is asked for. A release whose
// checksum is wrong is an error, whichever way is asked for. A release that is not available is an error only if the
// way is Releases.
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
	got, err := o.get(ctx, missing)
	if err != nil {
		return nil, err
	}
	for _, u := range missing {
		for _, name := range u.names() {
			found[name] = filepath.Join(got[u.name], name)
		}
	}
	return found, nil
}

// look returns where every program is, or would be, and which units are missing for those that are wanted.
func look(ctx context.Context, o Options) (found Programs, missing []unit, err error) {
	found = Programs{}
	for _, u := range units {
		if u.has(Pulumi) && o.Way == "" && !o.cacheOnly && installedPulumi(ctx, found) {
			continue
		}
		if beside := filepath.Dir(found[Pulumi]); u.inPulumi && holds(beside, u.names()) {
			for _, name := range u.names() {
				found[name] = filepath.Join(beside, name)
			}
			continue
		}
		places, err := o.places(u)
		if err != nil {
			return nil, nil, err
		}
		in := slices.IndexFunc(places, func(p place) bool { return p.has(u) })
		if in < 0 && (!u.later && !o.Only || slices.ContainsFunc(o.Also, u.has)) {
			missing = append(missing, u)
		}
		if in < 0 {
			in = len(places) - 1
		}
		for _, name := range u.names() {
			found[name] = filepath.Join(places[in].dir, name)
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
