// Package thirdparty gets the third-party programs that the local cloud runs, and caches them. It downloads the
// vendors' releases if it can reach them, or else builds the programs from the modules pinned in the go.mod files of
// the folders beside this file.
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

// The names of the programs, which are the keys of Programs.
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

// Programs maps the names of programs to their paths.
type Programs map[string]string

// CSIManifests returns the files of the manifests that install the Secrets Store CSI driver.
func (p Programs) CSIManifests() ([]string, error) {
	return filepath.Glob(filepath.Join(filepath.Dir(p[CSIDriver]), "*.yaml"))
}

// Options are the options of Ensure, Export, Import and Plugin.
type Options struct {
	// Cache is the folder of the programs. All local clouds of a machine share it.
	Cache string
	// Also names additional programs to get now. Those of Later are otherwise got when they are first needed.
	Also []string
	// Only limits the programs to those in Also.
	Only bool
	// Way is Build or Releases. By default, programs in the cache are used however they were obtained. Missing ones are
	// downloaded from vendors that answer within two seconds, and the rest is built.
	Way Way
	// Program is the folder of a Pulumi program that the caller compiles afterwards. It is counted in the progress.
	Program string
	// Progress receives the progress.
	*Progress

	pins      fs.FS    // Defaults to the pins embedded in this program; set in tests.
	vendors   *network // Defaults to the vendors' own hosts; set in tests.
	cacheOnly bool     // ignore a pulumi on PATH
}

// Ensure gets programs that are missing in the cache and returns the paths of all programs. Unless o.Way is set, a
// pulumi of the right version on PATH, with its Go language host, is used instead of the cache's. A release with a
// wrong checksum is always an error. A release that is not available is an error only if o.Way is Releases.
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
	// Another process may have built them meanwhile.
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

// look returns where every program is or will be, and the units to get for the programs that are wanted.
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

// installedPulumi looks for pulumi and its Go language host on PATH, in the right version. It adds them to found and
// reports whether they are there.
func installedPulumi(ctx context.Context, found Programs) bool {
	pulumi, err := exec.LookPath(Pulumi)
	if err != nil {
		return false
	}
	// With the environment of a local cloud, its own pulumi is first on PATH. That one is removed with the cloud.
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
