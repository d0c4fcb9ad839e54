package thirdparty

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// Way is how third-party programs are obtained.
type Way string

// The ways that can be selected. By default releases are downloaded from vendors that answer, and the rest is built.
const (
	Build    Way = "build"    // build everything, without requests to vendors
	Releases Way = "releases" // download releases, and fail if one is not available; build only programs without any
)

// release is a vendor's release of a unit: the same programs in the same version, ready to run.
//
// The vendors' own hosts are untested. The URLs, the layouts of archives and the formats of checksum files follow the
// vendors' documentation and release workflows. The tests serve the same on loopback.
type release struct {
	version string
	on      []string // GOOS; each with amd64 and arm64
	assets  []asset
}

// asset is a file of a release. In its strings, {os} and {arch} stand for Go's names, and {x64} for Pulumi's name of
// the processor.
type asset struct {
	url    string            // of a .tar.gz or .zip archive, or of a program itself
	take   map[string]string // member of the archive (a path.Match pattern) -> name of the program; "": the member's own
	pinned map[string]string // os/arch -> SHA-256, if there is a source for it other than the vendor's own host
	sums   string            // the vendor's own checksum file, for the other platforms
	sha1   bool              // the vendor's file has SHA-1, which is accepted only then
}

// releases are the releases by the names of units. The Secrets Store CSI driver and its Azure provider are always
// built: they are published only as container images and Helm charts.
var releases = map[string]release{
	// SHA-256 of Kubernetes' programs as kOps pins them (https://github.com/kubernetes/kops,
	// pkg/assets/assetdata/k8s-1.34.yaml), of kubelet and kubectl the same in Kubespray; of etcd as Kubespray pins it
	// (https://github.com/kubernetes-sigs/kubespray, roles/kubespray_defaults/vars/main/checksums.yml).
	"kubernetes": {version: kubernetesVersion, on: []string{"linux"}, assets: []asset{
		{
			url: "https://github.com/etcd-io/etcd/releases/download/" + etcdVersion +
				"/etcd-" + etcdVersion + "-{os}-{arch}.tar.gz",
			sums: "https://github.com/etcd-io/etcd/releases/download/" + etcdVersion + "/SHA256SUMS",
			take: map[string]string{"etcd-" + etcdVersion + "-{os}-{arch}/etcd": Etcd},
			pinned: map[string]string{
				"linux/amd64": "4d5f3101daa534e45ccaf3eec8d21c19b7222db377bcfd5e5a9144155238c105",
				"linux/arm64": "323421fa279f4f3d7da4c7f2dfa17d9e49529cb2b4cdf40899a7416bccdde42d",
			},
		},
		kubernetesProgram(APIServer, map[string]string{
			"linux/amd64": "daef57d947b3f9cf3058e7c9635339ee4a54de7ff2c7d94e0c5721280e088396",
			"linux/arm64": "23a8e7df99269347c2006a99de4f426fad36f290dcfb70de9ebc25e43d5b6cb5",
		}),
		kubernetesProgram(ControllerManager, map[string]string{
			"linux/amd64": "2096d333229562714e9ea683eeb745d36b49e0d48d871a8f64892bf349c9294b",
			"linux/arm64": "a5439a457c8115e75b4747da90e793ca6d209faf20db04ca273ae1763caec5a1",
		}),
		kubernetesProgram(Scheduler, map[string]string{
			"linux/amd64": "bbb86cdc7c0999d1cf6e1bd5fec539b0c80e594ce1b726b98b453f1b825f4d32",
			"linux/arm64": "9b18db732f4a7eae3c488fb321f7c848a356e6a7ebd3b2dca1d236fe2788584e",
		}),
		kubernetesProgram(Kubelet, map[string]string{
			"linux/amd64": "59669fd1233989fda877aa8a785bd56d4c73e739afcd90596c62e0172af2738c",
			"linux/arm64": "8f9305c7c639056e9544af4d360119af03c43cec470b2fb28ddaca26525b2564",
		}),
	}},
	"kubectl": {version: kubernetesVersion, on: []string{"linux", "darwin"}, assets: []asset{
		kubernetesProgram(Kubectl, map[string]string{
			"linux/amd64":  "95bd70842bd11a524d24acd5b68726899e3488e153e45e2b4ae846545beda050",
			"linux/arm64":  "52d3aeefea32fdfa3671ccd636be5da463ddfd0a2fc09d7bcbaedcff4c76cad5",
			"darwin/amd64": "10d81e40dfdb3869f94535eace2f1d9098406bdf8c611447bedadb3fbc3bb350",
			"darwin/arm64": "25f48d8fa23c39d844f9e384350056af496151a35d25b8e9e9c1e97f2f378be7",
		}),
	}},
	// The archives and their checksums, SHA-256, are listed in https://github.com/pulumi/docs, data/versions.json; what
	// is in them is in https://github.com/pulumi/pulumi, .goreleaser.yml. No other source of the checksums of this
	// version is known.
	"pulumi": {version: PulumiVersion, on: []string{"linux", "darwin"}, assets: []asset{{
		url:  "https://get.pulumi.com/releases/sdk/pulumi-v" + PulumiVersion + "-{os}-{x64}.tar.gz",
		sums: "https://get.pulumi.com/releases/sdk/pulumi-" + PulumiVersion + "-checksums.txt",
		take: map[string]string{"pulumi/pulumi": Pulumi, "pulumi/pulumi-language-*": ""},
	}}},
	// SHA-256 as Nixpkgs pins them for the same archives (https://github.com/NixOS/nixpkgs,
	// pkgs/by-name/pu/pulumi-bin/data.nix).
	"pulumi-kubernetes": {version: KubernetesPluginVersion, on: []string{"linux", "darwin"}, assets: []asset{
		{
			url: "https://get.pulumi.com/releases/plugins/" + KubernetesPlugin + "-v" + KubernetesPluginVersion +
				"-{os}-{arch}.tar.gz",
			sums: "https://github.com/pulumi/pulumi-kubernetes/releases/download/v" + KubernetesPluginVersion +
				"/pulumi-kubernetes_" + KubernetesPluginVersion + "_checksums.txt",
			take: map[string]string{KubernetesPlugin: KubernetesPlugin}, // the vendor's has its schema in it
			pinned: map[string]string{
				"linux/amd64":  "6ea3d53c16a00c4d1017c4d109928d8f4801fd7cd978965cd43917561f3774b0",
				"linux/arm64":  "e4260240ed14bff6ed1a5a25a362311380ea1c072544fc262532b8197ea0725c",
				"darwin/amd64": "e5dffbef3525bb6f41c2b328afb471149c7396c263d2acd2ef2fab51d63d47f3",
				"darwin/arm64": "566425b7767be7184d59c7ea151812c98426d7dab85f93c9c676c1dc9d488d91",
			},
		},
	}},
	// SHA-256 as Microsoft's Homebrew tap pins them, which has none for arm64 on Linux
	// (https://github.com/Azure/homebrew-kubelogin, Formula/kubelogin.rb); the checksum file is what sha256sum prints
	// (https://github.com/Azure/kubelogin, .github/workflows/release.yml).
	"kubelogin": {version: kubeloginVersion, on: []string{"linux", "darwin"}, assets: []asset{
		{
			url: "https://github.com/Azure/kubelogin/releases/download/" + kubeloginVersion + "/kubelogin-{os}-{arch}.zip",
			sums: "https://github.com/Azure/kubelogin/releases/download/" + kubeloginVersion +
				"/kubelogin-{os}-{arch}.zip.sha256",
			take: map[string]string{"bin/{os}_{arch}/kubelogin": Kubelogin},
			pinned: map[string]string{
				"linux/amd64":  "d765147460b8719b34cb35e8bc6d9d7c3b8f53bd1a1b9f1e70069e22bd1b6c03",
				"darwin/amd64": "66b848732b5d9236755267649150adfba56ea044babbd9d6113b7a0915071b7f",
				"darwin/arm64": "5780860a5e2facd3928970bf166e18407d7a0d452daab095b421877521bcf968",
			},
		},
	}},
}

// kubernetesProgram returns the asset of a Kubernetes program, which is published beside a file with only its checksum
// (https://kubernetes.io/releases/download/).
func kubernetesProgram(name string, pinned map[string]string) asset {
	url := "https://dl.k8s.io/release/" + kubernetesVersion + "/bin/{os}/{arch}/" + name
	return asset{url: url, sums: url + ".sha256", take: map[string]string{name: name}, pinned: pinned}
}

// pluginRelease returns Pulumi's release of a resource plugin, at the URL that the engine tries first. The checksum
// file is the output of shasum, with SHA-1 (https://github.com/pulumi/pulumi-random, .github/workflows/publish.yml;
// https://github.com/pulumi/pulumi-azure-native, Makefile).
func pluginRelease(name, version string) release {
	base := "https://github.com/pulumi/pulumi-" + name + "/releases/download/v" + version + "/"
	program := "pulumi-resource-" + name
	return release{version: version, on: []string{"linux", "darwin"}, assets: []asset{{
		url:  base + program + "-v" + version + "-{os}-{arch}.tar.gz",
		sums: base + "pulumi-" + name + "_" + version + "_checksums.txt", sha1: true,
		take: map[string]string{program: program},
	}}}
}

// Plugin returns the program of a resource plugin, such as azure-native in version 2.92.0, and downloads it if it is
// not in the cache. Plugins are never built, so o.Way does not matter.
func Plugin(ctx context.Context, o Options, name, version string) (string, error) {
	r := pluginRelease(name, version)
	program := "pulumi-resource-" + name
	if !r.isFor(here) {
		return "", fmt.Errorf("the plugin %s %s is not published for %s", name, version, here)
	}
	dir := r.cacheDir(program, o.Cache)
	file := filepath.Join(dir, program)
	if holds(dir, []string{program}) {
		return file, nil
	}
	if err := o.mustReach(ctx, map[string]place{"the plugin " + name + " " + version: {dir, &r}}); err != nil {
		return "", err
	}
	unlock, err := lockCache(ctx, o.Cache, o.Say)
	if err != nil {
		return "", err
	}
	defer unlock()
	if holds(dir, []string{program}) {
		return file, nil
	}
	removeParts(o.Cache)
	if err := enoughDisk(o.Cache, roomForReleases, "a plugin"); err != nil {
		return "", err
	}
	o.Say("downloading the plugin %s %s to %s (only once)", name, version, o.Cache)
	if err := r.get(ctx, o, dir, []string{program}, "plugin "+name); err != nil {
		return "", err
	}
	return file, nil
}

// platform is a system and its processor, in Go's names.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "/" + p.arch }

// in replaces the placeholders of an asset's string.
func (p platform) in(s string) string {
	x64 := strings.ReplaceAll(p.arch, "amd64", "x64")
	return strings.NewReplacer("{os}", p.os, "{arch}", p.arch, "{x64}", x64).Replace(s)
}

var here = platform{runtime.GOOS, runtime.GOARCH}

func (r release) isFor(p platform) bool {
	return slices.Contains(r.on, p.os) && slices.Contains([]string{"amd64", "arm64"}, p.arch)
}

// cacheDir returns the release's folder in the cache. Its name depends on everything that affects the download.
func (r release) cacheDir(name, cache string) string {
	sum := sha256.Sum256(fmt.Append(nil, r.assets))
	parts := []string{name, "release", r.version, here.os, here.arch, hex.EncodeToString(sum[:])[:12]}
	return filepath.Join(cache, strings.Join(parts, "-"))
}

// get downloads the release to dir, completely or not at all. It must have the given programs.
func (r release) get(ctx context.Context, o Options, dir string, programs []string, title string) error {
	start := time.Now()
	err := wholeOrNot(dir, func(part string) error {
		for _, a := range r.assets {
			if err := a.get(ctx, o.network(), part, title, o.Say); err != nil {
				return err
			}
		}
		if !holds(part, programs) {
			return fmt.Errorf("the release %s does not have all of %s", r.version, strings.Join(programs, ", "))
		}
		return nil
	})
	if err == nil {
		o.Say("  %s: downloaded in %s", title, time.Since(start).Round(time.Second))
	}
	return err
}

// place is a possible folder of a unit in the cache.
type place struct {
	dir     string
	release *release // nil: the unit is built there
}

// places returns the possible places of a unit, the preferred one first.
func (o Options) places(u unit) ([]place, error) {
	dir, err := u.cacheDir(o.pinned(), o.Cache)
	if err != nil {
		return nil, err
	}
	built := place{dir: dir}
	r, published := releases[u.name]
	if !published || !r.isFor(here) || o.Way == Build {
		return []place{built}, nil
	}
	released := place{r.cacheDir(u.name, o.Cache), &r}
	if o.Way == Releases {
		return []place{released}, nil
	}
	return []place{released, built}, nil
}

func (p place) has(u unit) bool {
	if p.release != nil {
		return holds(p.dir, u.names())
	}
	return u.whole(p.dir)
}

// The free space needed for Go's build cache and the programs, or for archives and their contents.
const (
	roomForBuilds   = 10 << 30
	roomForReleases = 3 << 30
)

// get downloads or builds the missing units and returns their folders.
func (o Options) get(ctx context.Context, missing []unit) (map[string]string, error) {
	got := map[string]string{}
	released := map[string]place{}
	built := map[string]place{}
	for _, u := range missing {
		places, err := o.places(u)
		if err != nil {
			return nil, err
		}
		if first := places[0]; first.release != nil {
			released[u.name] = first
		}
		if last := places[len(places)-1]; last.release == nil {
			built[u.name] = last
		}
	}
	reach := o.dropUnreachable
	if o.Way == Releases {
		reach = o.mustReach
	}
	if err := reach(ctx, released); err != nil {
		return nil, err
	}
	if len(released) > 0 {
		if err := enoughDisk(o.Cache, roomForReleases, "downloading the third-party programs"); err != nil {
			return nil, err
		}
		o.Say("third-party programs, into %s (only once): downloading %s", o.Cache, names(missing, released))
	}
	title := func(u unit) string { return fmt.Sprintf("%d/%d %s", len(got)+1, len(missing), u.name) }
	for _, u := range missing {
		p, ok := released[u.name]
		if !ok {
			continue
		}
		err := p.release.get(ctx, o, p.dir, u.names(), title(u))
		var stop *refusal
		_, buildable := built[u.name]
		switch {
		case err == nil:
			got[u.name] = p.dir
		case ctx.Err() != nil || errors.As(err, &stop) || !buildable:
			return nil, fmt.Errorf("%s: %w", u.name, err)
		default:
			o.Say("building %s, since its release is not available: %v", u.name, err)
		}
	}
	for _, u := range missing {
		if dir := got["pulumi"]; u.inPulumi && dir != "" && holds(dir, u.names()) {
			got[u.name] = dir
		}
	}
	for name := range got {
		delete(built, name)
	}
	if len(built) > 0 {
		if err := enoughDisk(o.Cache, roomForBuilds, "building the third-party programs"); err != nil {
			return nil, err
		}
		o.Say("third-party programs, into %s (only once): building %s", o.Cache, names(missing, built))
		source, remove, err := o.unpackPins()
		if err != nil {
			return nil, err
		}
		defer remove()
		if err := o.planBuilds(ctx, source, missing, built); err != nil {
			return nil, err
		}
		for _, u := range missing {
			p, ok := built[u.name]
			if !ok {
				continue
			}
			if err := u.build(ctx, source, p.dir, o.Progress); err != nil {
				return nil, err
			}
			got[u.name] = p.dir
		}
	}
	return got, nil
}

// planBuilds adds everything that will be built to the progress.
func (o Options) planBuilds(ctx context.Context, source string, missing []unit, built map[string]place) error {
	defer Waiting(func(passed time.Duration) { o.Say("  fetching modules and planning the builds: %s", passed) })()
	for _, u := range missing {
		if _, ok := built[u.name]; !ok {
			continue
		}
		for _, part := range u.parts() {
			if err := o.plan(ctx, part.name, filepath.Join(source, part.dir), noStamp, part.buildArgs()...); err != nil {
				return fmt.Errorf("planning the build of %s: %w", part.name, err)
			}
		}
	}
	if o.Program == "" {
		return nil
	}
	if err := o.plan(ctx, programJob, o.Program, ProgramFlags(), "."); err != nil {
		return fmt.Errorf("planning the build of %s: %w", programJob, err)
	}
	return nil
}

// names returns the names of the units that are in a map, in the units' order.
func names(units []unit, in map[string]place) string {
	var s []string
	for _, u := range units {
		if _, ok := in[u.name]; ok {
			s = append(s, u.name)
		}
	}
	return strings.Join(s, ", ")
}

// decisionTime is how long all vendors together have to answer. A user without a network thus waits less than two
// seconds.
const decisionTime = 1800 * time.Millisecond

// unreachable requests all files of the releases at the same time. It returns the errors of releases of which a file is
// not available in time.
func (o Options) unreachable(ctx context.Context, released map[string]place) (map[string]error, error) {
	inTime, cancel := context.WithTimeout(ctx, decisionTime)
	defer cancel()
	var mutex sync.Mutex
	var asked sync.WaitGroup
	why := map[string]error{}
	for name, p := range released {
		for _, a := range p.release.assets {
			asked.Go(func() {
				if err := o.network().probe(inTime, here.in(a.url)); err != nil {
					mutex.Lock()
					defer mutex.Unlock()
					why[name] = err
				}
			})
		}
	}
	asked.Wait()
	return why, ctx.Err()
}

// mustReach returns an error for releases that are not available. A slow server is no error.
func (o Options) mustReach(ctx context.Context, released map[string]place) error {
	why, err := o.unreachable(ctx, released)
	for _, name := range slices.Sorted(maps.Keys(why)) {
		if !errors.Is(why[name], errSlow) {
			err = errors.Join(err, fmt.Errorf("%s: the release is not available: %w", name, why[name]))
		}
	}
	return err
}

// dropUnreachable removes the releases that are not available in time, and says so.
func (o Options) dropUnreachable(ctx context.Context, released map[string]place) error {
	if len(released) == 0 {
		return nil
	}
	why, err := o.unreachable(ctx, released)
	if err != nil {
		return err
	}
	unreachable := slices.Sorted(maps.Keys(why))
	if len(released) > 1 && len(why) == len(released) { // most likely there is no network: one line is enough
		o.Say("building all programs, since no vendor's release is available: %v", why[unreachable[0]])
	} else {
		for _, name := range unreachable {
			o.Say("building %s, since its release is not available: %v", name, why[name])
		}
	}
	for _, name := range unreachable {
		delete(released, name)
	}
	return nil
}

// network returns the network for downloads from vendors.
func (o Options) network() *network {
	if o.vendors != nil {
		return o.vendors
	}
	return outside()
}
