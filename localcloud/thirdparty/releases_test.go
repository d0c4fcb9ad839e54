package thirdparty

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// vendors is a server on loopback that stands in for all vendors, with releases for Linux on amd64.
type vendors struct {
	mutex    sync.Mutex
	files    map[string][]byte           // by host and path
	special  map[string]http.HandlerFunc // goes before
	requests []string
	gone     atomic.Bool // nobody answers
	network  *network
}

func serveVendors(t *testing.T) *vendors {
	v := &vendors{files: map[string][]byte{}, special: map[string]http.HandlerFunc{}}
	server := httptest.NewUnstartedServer(http.HandlerFunc(v.serve))
	server.Config.ErrorLog = nil
	server.StartTLS()
	t.Cleanup(server.Close)
	transport := server.Client().Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.ServerName = "example.com" // of the server's certificate, whichever vendor is asked
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		if v.gone.Load() {
			return nil, errors.New("no such host")
		}
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}
	t.Cleanup(transport.CloseIdleConnections)
	v.network = &network{client: overTLS(transport), silence: 200 * time.Millisecond, pause: time.Millisecond}
	return v
}

func (v *vendors) serve(w http.ResponseWriter, r *http.Request) {
	at := r.Host + r.URL.Path
	v.mutex.Lock()
	v.requests = append(v.requests, at)
	content, ok := v.files[at]
	special := v.special[at]
	v.mutex.Unlock()
	switch {
	case special != nil:
		special(w, r)
	case ok:
		_, _ = w.Write(content)
	default:
		http.NotFound(w, r)
	}
}

func (v *vendors) asked() int {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	return len(v.requests)
}

const (
	pulumiArchive = "get.pulumi.com/releases/sdk/pulumi-v3.259.0-linux-x64.tar.gz"
	pulumiSums    = "get.pulumi.com/releases/sdk/pulumi-3.259.0-checksums.txt"
	etcdArchive   = "github.com/etcd-io/etcd/releases/download/v3.6.4/etcd-v3.6.4-linux-amd64.tar.gz"
	kubectlFile   = "dl.k8s.io/release/v1.34.10/bin/linux/amd64/kubectl"
	loginArchive  = "github.com/Azure/kubelogin/releases/download/v0.2.10/kubelogin-linux-amd64.zip"
	pluginArchive = "get.pulumi.com/releases/plugins/pulumi-resource-kubernetes-v4.25.0-linux-amd64.tar.gz"
	objects       = "release-assets.example.com"
)

// publish serves releases in the vendors' layout, and pins the checksums of those whose real ones are pinned.
func (v *vendors) publish(t *testing.T) {
	was, wasHere := releases, here
	t.Cleanup(func() { releases, here = was, wasHere })
	here = platform{"linux", "amd64"}
	v.files[pulumiArchive] = tarball(t,
		file("pulumi/pulumi", "released pulumi"), file("pulumi/pulumi-language-go", "released go"),
		file("pulumi/pulumi-language-nodejs", "released nodejs"), file("pulumi/pulumi-language-python-exec", "released exec"),
		file("pulumi/pulumi-watch", "not wanted"))
	v.sums(pulumiArchive, pulumiSums)
	v.files[pluginArchive] = tarball(t, file("LICENSE", "x"), file("pulumi-resource-kubernetes", "released plugin"))
	v.files[loginArchive] = zipped(t, map[string]string{"bin/linux_amd64/kubelogin": "released kubelogin"})
	v.files[objects+"/etcd"] = tarball(
		t,
		folder("etcd-v3.6.4-linux-amd64"),
		file("etcd-v3.6.4-linux-amd64/etcd", "released etcd"),
		file("etcd-v3.6.4-linux-amd64/etcdctl", "x"),
	)
	v.special[etcdArchive] = http.RedirectHandler("https://"+objects+"/etcd", http.StatusFound).ServeHTTP // as GitHub does
	v.files[etcdArchive] = v.files[objects+"/etcd"]
	for _, name := range []string{APIServer, ControllerManager, Scheduler, Kubelet, Kubectl} {
		v.files["dl.k8s.io/release/v1.34.10/bin/linux/amd64/"+name] = []byte("released " + name)
	}
	releases = maps.Clone(releases)
	for name, r := range releases {
		r.assets = slices.Clone(r.assets)
		for i, a := range r.assets {
			if a.pinned == nil {
				continue
			}
			content, ok := v.files[strings.TrimPrefix(here.in(a.url), "https://")]
			if !ok {
				t.Fatalf("nothing is published at %s", here.in(a.url))
			}
			r.assets[i].pinned = map[string]string{"linux/amd64": sha(content)}
		}
		releases[name] = r
	}
}

// sums publishes the checksum of a file among those of others.
func (v *vendors) sums(file, at string) {
	v.files[at] = fmt.Appendf(
		nil,
		"%064d  another.tar.gz\n%s  %s\n%064d  third.tar.gz\n",
		1,
		sha(v.files[file]),
		path.Base(file),
		2,
	)
}

func sha(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

type packed struct {
	tar.Header
	content string
}

func file(name, content string) packed {
	return packed{tar.Header{Name: name, Mode: 0o4640, Typeflag: tar.TypeReg}, content}
}
func folder(name string) packed {
	return packed{tar.Header{Name: name + "/", Typeflag: tar.TypeDir}, ""}
}

func tarball(t *testing.T, members ...packed) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, m := range members {
		m.Size = int64(len(m.content))
		if err := w.WriteHeader(&m.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipped(t *testing.T, members map[string]string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, content := range members {
		f, err := w.Create(name)
		if err == nil {
			_, err = io.WriteString(f, content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// options returns the options for a machine without third-party programs, and sets small units with these names.
func options(t *testing.T, v *vendors, names ...string) (Options, *said) {
	t.Setenv("PATH", filepath.Dir(goTool(t))) // no pulumi
	was := units
	t.Cleanup(func() { units = was })
	source := t.TempDir()
	units = nil
	write := func(name, content string) {
		file := filepath.Join(source, "x", name)
		err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o644))
		if err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module x\n")
	if err := os.MkdirAll(filepath.Join(source, standIns), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, u := range was {
		if !slices.Contains(names, u.name) {
			continue
		}
		small := unit{name: u.name, dir: "x", programs: map[string]string{}, inPulumi: u.inPulumi}
		for _, program := range u.names() {
			small.programs["./"+program] = program
			write(program+"/main.go", "package main\nfunc main() { println(`built`) }\n")
		}
		units = append(units, small)
	}
	var s said
	return Options{pins: os.DirFS(source), Cache: t.TempDir(), Progress: &Progress{Say: s.say}, vendors: v.network}, &s
}

func goTool(t *testing.T) string {
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	return tool
}

// said collects the lines of a progress.
type said struct {
	mutex sync.Mutex
	lines []string
}

func (s *said) say(format string, args ...any) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

func (s *said) String() string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return strings.Join(s.lines, "\n")
}

// isReleased reports whether a program was downloaded. Built ones are larger than the tests' releases.
func isReleased(t *testing.T, program string) bool {
	t.Helper()
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.HasPrefix(content, []byte("released "))
}

func inCache(t *testing.T, o Options) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(o.Cache, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range found {
		found[i] = filepath.Base(found[i])
	}
	return slices.DeleteFunc(found, func(name string) bool { return name == "lock" })
}

func TestReleases_HaveTheirUnitsPrograms(t *testing.T) {
	byName := map[string]unit{}
	for _, u := range units {
		byName[u.name] = u
	}
	for name, r := range releases {
		u, ok := byName[name]
		if !ok {
			t.Errorf("there is no unit for the release %s", name)
		}
		var programs []string
		for _, a := range r.assets {
			programs = slices.AppendSeq(programs, maps.Values(a.take))
			if a.sha1 || !strings.HasPrefix(a.url, "https://") || !strings.HasPrefix(a.sums, "https://") {
				t.Errorf("%s: %+v", name, a)
			}
			for p, sum := range a.pinned {
				system, _, _ := strings.Cut(p, "/")
				if !regexp.MustCompile("^[0-9a-f]{64}$").MatchString(sum) || !slices.Contains(r.on, system) {
					t.Errorf("%s pins %q for %s", name, sum, p)
				}
			}
		}
		for _, program := range u.names() {
			if program != LanguageGo && !slices.Contains(programs, program) {
				t.Errorf("the release %s has no %s", name, program)
			}
		}
	}
	if a := releases["pulumi"].assets[0]; !func() bool { _, ok := a.wanted("pulumi/" + LanguageGo); return ok }() {
		t.Errorf("the release of pulumi has no %s", LanguageGo)
	}
}

// TestEnsure_UsesPulumisLanguageHosts looks for them in pulumi's release and beside a pulumi on PATH.
func TestEnsure_UsesPulumisLanguageHosts(t *testing.T) {
	v := serveVendors(t)
	v.publish(t)
	o, said := options(t, v, "pulumi", "pulumi-language-nodejs", "pulumi-language-yaml")
	for range 2 { // the second time they are in the cache
		found, err := Ensure(t.Context(), o)
		if err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		if !isReleased(t, found[LanguageNodejs]) || filepath.Dir(found[LanguageNodejs]) != filepath.Dir(found[Pulumi]) {
			t.Errorf("with a release of pulumi, the host for Node is %s", found[LanguageNodejs])
		}
		if isReleased(t, found[LanguageYAML]) {
			t.Error("one that the release does not have is not built")
		}
	}
	if got := inCache(t, o); len(got) != 2 {
		t.Errorf("in the cache: %v", got)
	}
	file := filepath.Join(t.TempDir(), "archive")
	if err := Export(t.Context(), o, file); err != nil {
		t.Fatal(err)
	}
	there := elsewhere(t, o)
	if err := Import(t.Context(), there, file, ""); err != nil || listing(t, there.Cache) != listing(t, o.Cache) {
		t.Errorf("what was exported is not what is imported: %v", err)
	}

	path := t.TempDir()
	t.Setenv("PATH", path+":"+os.Getenv("PATH"))
	for _, name := range []string{Pulumi, LanguageGo, LanguageYAML} {
		program := filepath.Join(path, name)
		write(t, program, "#!/bin/sh\necho v"+PulumiVersion+"\n")
		if err := os.Chmod(program, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	found, err := Ensure(t.Context(), o)
	if err != nil || found[LanguageYAML] != filepath.Join(path, LanguageYAML) ||
		filepath.Dir(found[LanguageNodejs]) == path {
		t.Errorf("with a pulumi on PATH that has one host beside it, they are %s and %s, %v",
			found[LanguageYAML], found[LanguageNodejs], err)
	}
}

// TestReleases_HaveTheVersionsOfBuilds compares constants, which releases use, with the go.mod files, which builds use.
func TestReleases_HaveTheVersionsOfBuilds(t *testing.T) {
	pins, err := filepath.Glob("*/go.mod")
	if err != nil || len(pins) == 0 {
		t.Fatal(pins, err)
	}
	var all strings.Builder
	for _, file := range pins {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(content)
	}
	for _, want := range []string{
		"github.com/pulumi/pulumi/pkg/v3 v" + PulumiVersion, "go.etcd.io/etcd/server/v3 " + etcdVersion,
		"k8s.io/kubernetes " + kubernetesVersion, "github.com/Azure/kubelogin " + kubeloginVersion,
		"github.com/pulumi/pulumi-kubernetes/sdk/v4 v" + KubernetesPluginVersion,
	} {
		if !regexp.MustCompile(`(?m)^\s*(require )?` + regexp.QuoteMeta(want) + `( |$)`).MatchString(all.String()) {
			t.Errorf("no go.mod has %s", want)
		}
	}
}

func TestEnsure_DownloadsFromVendorsThatAnswer(t *testing.T) {
	v := serveVendors(t)
	v.publish(t)
	o, told := options(t, v, "kubernetes", "pulumi", "pulumi-kubernetes", "provider-azure", "kubectl", "kubelogin")
	o.Also = []string{Kubectl, Kubelogin}
	programs, err := Ensure(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for name, program := range programs {
		if isReleased(t, program) != (name != AzureProvider) { // published only as an image
			t.Errorf("%s is released: %t", name, isReleased(t, program))
		}
		if info, err := os.Stat(program); err != nil || info.Mode() != 0o755 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	var beside []string
	files, _ := filepath.Glob(filepath.Join(filepath.Dir(programs[Pulumi]), "*"))
	for _, f := range files {
		beside = append(beside, filepath.Base(f))
	}
	want := []string{"pulumi", "pulumi-language-go", "pulumi-language-nodejs", "pulumi-language-python-exec"}
	if !slices.Equal(beside, want) {
		t.Errorf("Pulumi's folder has %v, want %v", beside, want)
	}
	before := v.asked()
	again, err := Ensure(t.Context(), o)
	if err != nil || !maps.Equal(again, programs) || v.asked() != before {
		t.Errorf("programs in the cache are downloaded again: %v, %v, %d requests", again, err, v.asked()-before)
	}
	for _, want := range []string{"downloading kubernetes, pulumi,", "building provider-azure"} {
		if !strings.Contains(told.String(), want) {
			t.Errorf("%q is not said:\n%s", want, told)
		}
	}
}

func TestEnsure_BuildsOrStopsForBadRelease(t *testing.T) {
	half := func(w http.ResponseWriter, content []byte) { // a connection that is cut
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content[:len(content)/2])
	}
	long := tarball(t, file("pulumi/pulumi", "released pulumi"), file("pulumi/pulumi-language-go", "released go"),
		file("pulumi/x", strings.Repeat("x", 1<<20)))
	link := func(kind byte) packed {
		return packed{tar.Header{Name: "pulumi/pulumi", Linkname: "/bin/sh", Typeflag: kind}, ""}
	}
	for name, test := range map[string]struct {
		change func(*vendors)
		stops  bool
		says   string // in the error, or in the reason for building
	}{
		"no such version":  {change: func(v *vendors) { delete(v.files, pulumiArchive) }, says: "404"},
		"no checksum file": {change: func(v *vendors) { delete(v.files, pulumiSums) }, says: "404"},
		"no checksum of it": {
			change: func(v *vendors) { v.sums(pluginArchive, pulumiSums) },
			says:   "no checksum of pulumi-v3.259.0-linux-x64.tar.gz",
		},
		"a checksum too weak": {change: func(v *vendors) {
			v.files[pulumiSums] = fmt.Appendf(nil, "%x  %s\n", sha1.Sum(v.files[pulumiArchive]), path.Base(pulumiArchive))
		}, says: "not a SHA-256"},
		"no checksum at all": {change: func(v *vendors) { v.files[pulumiSums] = []byte("<html>") }, says: "not a checksum"},
		"an error": {change: func(v *vendors) {
			v.special[pulumiSums] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
		}, says: "503"},
		"a wrong checksum": {
			change: func(v *vendors) {
				v.files[pulumiArchive] = tarball(t, file("pulumi/pulumi", "evil"), file("pulumi/pulumi-language-go", "evil"))
			},
			stops: true, says: "https://" + pulumiSums,
		},
		"a wrong checksum of half an archive": {
			change: func(v *vendors) { v.files[pulumiArchive] = v.files[pulumiArchive][:100] },
			stops:  true, says: "https://" + pulumiArchive,
		},
		"half an archive, published": {change: func(v *vendors) {
			v.files[pulumiArchive] = long[:len(long)-40]
			v.sums(pulumiArchive, pulumiSums)
		}, says: "unexpected EOF"},
		"an archive without the program": {change: func(v *vendors) {
			v.files[pulumiArchive] = tarball(t, file("pulumi/pulumi", "released pulumi"))
			v.sums(pulumiArchive, pulumiSums)
		}, says: "does not have all of"},
		"a connection that is always cut": {
			change: func(v *vendors) {
				content := v.files[pulumiArchive]
				v.special[pulumiArchive] = func(w http.ResponseWriter, _ *http.Request) { half(w, content) }
			}, says: "unexpected EOF",
		},
		"a redirect to http": {
			change: func(v *vendors) {
				v.special[pulumiArchive] = http.RedirectHandler("http://"+objects+"/x", http.StatusFound).ServeHTTP
			}, says: "not https",
		},
		"a member outside": {change: func(v *vendors) {
			v.files[pulumiArchive] = tarball(t, file("pulumi/../../pulumi", "evil"),
				file("pulumi/pulumi", "released pulumi"), file("pulumi/pulumi-language-go", "x"))
			v.sums(pulumiArchive, pulumiSums)
		}, stops: true, says: "leaves the folder"},
		"a member at the root": {change: func(v *vendors) {
			v.files[pulumiArchive] = tarball(t, file("/pulumi/pulumi", "evil"))
			v.sums(pulumiArchive, pulumiSums)
		}, stops: true, says: "leaves the folder"},
		"a symbolic link": {change: func(v *vendors) {
			v.files[pulumiArchive] = tarball(t, link(tar.TypeSymlink))
			v.sums(pulumiArchive, pulumiSums)
		}, stops: true, says: "is not a file"},
		"a hard link": {change: func(v *vendors) {
			v.files[pulumiArchive] = tarball(t, link(tar.TypeLink))
			v.sums(pulumiArchive, pulumiSums)
		}, stops: true, says: "is not a file"},
		"a device": {change: func(v *vendors) {
			v.files[pulumiArchive] = tarball(t, packed{tar.Header{Name: "pulumi/pulumi", Typeflag: tar.TypeChar}, ""})
			v.sums(pulumiArchive, pulumiSums)
		}, stops: true, says: "is not a file"},
	} {
		for _, way := range []Way{"", Releases} {
			t.Run(name+", "+string(way), func(t *testing.T) {
				v := serveVendors(t)
				v.publish(t)
				test.change(v)
				o, told := options(t, v, "pulumi")
				o.Way = way
				programs, err := Ensure(t.Context(), o)
				if n := v.asked(); n > 2+2*tries {
					t.Errorf("%d requests", n)
				}
				if outside, _ := filepath.Glob(filepath.Join(filepath.Dir(o.Cache), "pulumi*")); len(outside) > 0 {
					t.Errorf("outside the cache: %v", outside)
				}
				if test.stops || way == Releases {
					if err == nil || !strings.Contains(err.Error(), test.says) || len(inCache(t, o)) > 0 {
						t.Errorf("it is %v, want %q, and leaves %v", err, test.says, inCache(t, o))
					}
					return
				}
				if err != nil || isReleased(t, programs[Pulumi]) || len(inCache(t, o)) != 1 {
					t.Fatalf("not built: %v, %v", err, inCache(t, o))
				}
				if !strings.Contains(told.String(), test.says) {
					t.Errorf("%q is not said:\n%s", test.says, told)
				}
			})
		}
	}
}

// TestEnsure_NamesBothChecksums also checks that a pinned checksum takes precedence over the vendor's own file.
func TestEnsure_NamesBothChecksums(t *testing.T) {
	v := serveVendors(t)
	v.publish(t)
	want := sha(v.files[loginArchive])
	v.files[loginArchive] = zipped(t, map[string]string{"bin/linux_amd64/kubelogin": "evil"})
	v.files[loginArchive+".sha256"] = []byte(sha(v.files[loginArchive]) + "  kubelogin-linux-amd64.zip\n")
	o, _ := options(t, v, "kubelogin")
	o.Also = []string{Kubelogin}
	_, err := Ensure(t.Context(), o)
	if err == nil || len(inCache(t, o)) > 0 {
		t.Fatalf("it is taken: %v", inCache(t, o))
	}
	for _, part := range []string{"https://" + loginArchive, want, sha(v.files[loginArchive]), "pinned"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %q", err, part)
		}
	}
}

func TestDownload_ContinuesWhenCutOff(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	for name, test := range map[string]struct {
		tag       string
		stalls    bool
		wantRange string
	}{
		"cut, and gone on with":    {tag: `"1"`, wantRange: "bytes=500000-"},
		"cut, and restarted":       {},
		"cut, of a weak version":   {tag: `W/"1"`},
		"silent, and gone on with": {tag: `"1"`, stalls: true, wantRange: "bytes=500000-"},
	} {
		t.Run(name, func(t *testing.T) {
			v := serveVendors(t)
			var ranges []string
			v.special["dl.k8s.io/x"] = func(w http.ResponseWriter, r *http.Request) {
				ranges = append(ranges, r.Header.Get("Range"))
				w.Header().Set("ETag", test.tag)
				if len(ranges) > 1 {
					http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
					return
				}
				w.Header().Set("Content-Length", strconv.Itoa(len(content)))
				_, _ = w.Write(content[:500_000])
				if test.stalls {
					w.(http.Flusher).Flush()
					<-r.Context().Done()
				}
			}
			o := filepath.Join(t.TempDir(), "x")
			want := checksum{sum: sha(content), hash: crypto.SHA256}
			if err := v.network.download(t.Context(), "https://dl.k8s.io/x", o, want, &tally{}); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(o); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if !slices.Equal(ranges, []string{"", test.wantRange}) {
				t.Errorf("asked for %q", ranges)
			}
		})
	}
}

func TestEnsure_LeavesNothingWhenInterrupted(t *testing.T) {
	v := serveVendors(t)
	v.publish(t)
	v.network.silence = time.Minute
	o, told := options(t, v, "pulumi", "kubectl")
	o.Also = []string{Kubectl}
	ctx, interrupt := context.WithCancel(t.Context())
	content := v.files[pulumiArchive]
	asked := 0
	v.special[pulumiArchive] = func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked != 2 { // the first asks whether it is there
			_, _ = w.Write(content)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content[:10])
		w.(http.Flusher).Flush()
		interrupt()
		<-r.Context().Done()
	}
	if _, err := Ensure(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("it was not interrupted: %v", err)
	}
	if strings.Contains(told.String(), "built") || strings.Contains(told.String(), "building") {
		t.Errorf("it is built then:\n%s", told)
	}
	if left := inCache(t, o); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	programs, err := Ensure(t.Context(), o)
	if err != nil || !isReleased(t, programs[Pulumi]) || !isReleased(t, programs[Kubectl]) {
		t.Errorf("the next download is not complete: %v", err)
	}
}

func TestEnsure_ObeysWay(t *testing.T) {
	v := serveVendors(t)
	v.publish(t)
	o, _ := options(t, v, "pulumi")
	way := func(way Way) (string, bool) {
		t.Helper()
		o.Way = way
		programs, err := Ensure(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return programs[Pulumi], isReleased(t, programs[Pulumi])
	}
	if at, released := way(Build); released || v.asked() > 0 {
		t.Errorf("%s is not built, or vendors were asked: %q", at, v.requests)
	}
	if at, released := way(""); released || v.asked() > 0 {
		t.Errorf("%s is not the one in the cache, or vendors were asked: %q", at, v.requests)
	}
	if at, released := way(Releases); !released {
		t.Errorf("%s is not released", at)
	}
	if at, released := way(Build); released {
		t.Errorf("%s is not built", at)
	}
}

func TestEnsure_FailsWithReleasesIfNoVendorAnswers(t *testing.T) {
	v := serveVendors(t)
	v.publish(t)
	v.gone.Store(true)
	o, _ := options(t, v, "kubernetes", "provider-azure")
	o.Way = Releases
	_, err := Ensure(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "kubernetes: ") || !strings.Contains(err.Error(), "no such host") {
		t.Errorf("got error %v", err)
	}
	if left := inCache(t, o); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestEnsure_BuildsOnlyForVendorsThatDoNotAnswer(t *testing.T) {
	v := serveVendors(t)
	v.publish(t)
	v.special[kubectlFile] = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	o, told := options(t, v, "pulumi", "kubectl")
	o.Also = []string{Kubectl}
	programs, err := Ensure(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !isReleased(t, programs[Pulumi]) || isReleased(t, programs[Kubectl]) {
		t.Errorf("pulumi is released: %t; kubectl: %t", isReleased(t, programs[Pulumi]), isReleased(t, programs[Kubectl]))
	}
	if !strings.Contains(told.String(), "building kubectl, since its release") ||
		!strings.Contains(told.String(), kubectlFile+": no answer in time") {
		t.Errorf("it is not said:\n%s", told)
	}
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestDropUnreachable_DecidesWithinTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := tripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		var told said
		o := Options{Progress: &Progress{Say: told.say}, vendors: &network{client: overTLS(silent)}}
		released := map[string]place{}
		for name, r := range releases {
			released[name] = place{release: &r}
		}
		start := time.Now()
		if err := o.dropUnreachable(t.Context(), released); err != nil || len(released) > 0 {
			t.Errorf("%v, left: %v", err, released)
		}
		if passed := time.Since(start); passed > 2*time.Second || passed < time.Second {
			t.Errorf("decided after %s", passed)
		}
		if len(told.lines) != 1 || !strings.Contains(told.lines[0], "no answer in time") {
			t.Errorf("said: %q", told.lines)
		}
	})
}

func TestDownload_ReportsProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := tripper(func(*http.Request) (*http.Response, error) {
			sent := 0
			body := readerFunc(func(p []byte) (int, error) {
				if sent++; sent > 4 {
					return 0, io.EOF
				}
				time.Sleep(9 * time.Second)
				return copy(p, make([]byte, 1<<20)), nil
			})
			return &http.Response{
				StatusCode:    http.StatusOK,
				Header:        http.Header{},
				ContentLength: 4 << 20,
				Body:          io.NopCloser(body),
			}, nil
		})
		n := &network{client: overTLS(slow), silence: 30 * time.Second}
		var told said
		a := asset{
			url:    "https://x/kubectl",
			take:   map[string]string{"kubectl": "kubectl"},
			pinned: map[string]string{here.String(): "0"},
		}
		var stop *refusal
		if err := a.get(t.Context(), n, t.TempDir(), "1/1 kubectl", told.say); !errors.As(err, &stop) {
			t.Errorf("it is %v", err)
		}
		if len(told.lines) != 3 || !strings.Contains(told.lines[2], "of 4 MiB, 30s") {
			t.Errorf("said: %q", told.lines)
		}
	})
}

func TestRead_LimitsSize(t *testing.T) {
	for name, length := range map[string]int64{"known length": maxDownload + 1, "unknown length": -1} {
		t.Run(name, func(t *testing.T) {
			read := int64(0)
			endless := tripper(func(*http.Request) (*http.Response, error) {
				body := readerFunc(func(p []byte) (int, error) { read += int64(len(p)); return len(p), nil })
				return &http.Response{
					StatusCode: http.StatusOK, Header: http.Header{}, ContentLength: length, Body: io.NopCloser(body),
				}, nil
			})
			n := &network{client: overTLS(endless), silence: time.Minute}
			var sums text
			err := n.read(t.Context(), "https://x/sums", &sums, maxSums, nil)
			if err == nil || read > 2*maxSums || length > 0 && read > 0 {
				t.Errorf("%v, %d bytes", err, read)
			}
		})
	}
}

func TestPlugin_DownloadsFromVendor(t *testing.T) {
	v := serveVendors(t)
	v.publish(t)
	const base = "github.com/pulumi/pulumi-azure-native/releases/download/v2.92.0/"
	const name = "pulumi-resource-azure-native-v2.92.0-linux-amd64.tar.gz"
	v.files[base+name] = tarball(t, folder("."), file("./pulumi-resource-azure-native", "released plugin"),
		file("README.md", "x"))
	sums := fmt.Appendf(nil, "%x  ./%s\n", sha1.Sum(v.files[base+name]), name)
	v.files[base+"pulumi-azure-native_2.92.0_checksums.txt"] = sums
	o, _ := options(t, v)
	for range 2 {
		program, err := Plugin(t.Context(), o, "azure-native", "2.92.0")
		if err != nil || !isReleased(t, program) || filepath.Base(program) != "pulumi-resource-azure-native" {
			t.Fatalf("%s, %v", program, err)
		}
	}
	if v.asked() != 3 { // the probe, the checksum and the archive
		t.Errorf("asked for %q", v.requests)
	}
	_, err := Plugin(t.Context(), o, "random", "4.21.2")
	if err == nil || !strings.Contains(err.Error(), "404") || len(inCache(t, o)) != 1 {
		t.Errorf("a missing plugin: %v, %v", err, inCache(t, o))
	}
}

// TestOutside_UsesTheUsersProxy checks that the user's proxy and CAs are used, but not those of a local cloud.
func TestOutside_UsesTheUsersProxy(t *testing.T) {
	if at := os.Getenv("THIRDPARTY_TEST_ASKS"); at != "" {
		n := newOutside()
		transport := n.client.Transport.(*http.Transport)
		if transport.Proxy != nil {
			proxy, err := transport.Proxy(httptest.NewRequest(http.MethodGet, "https://"+kubectlFile, nil))
			fmt.Println("proxy", proxy, err)
		}
		transport.Proxy = nil
		fmt.Println("trusted", n.probe(t.Context(), at) == nil)
		return
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	certificates := filepath.Join(t.TempDir(), "ca.pem")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(certificates, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	for home, want := range map[string]string{
		"": "proxy http://127.0.0.1:1 <nil>\ntrusted true\n", t.TempDir(): "trusted false\n",
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "THIRDPARTY_TEST_ASKS="+server.URL, "HTTPS_PROXY=http://127.0.0.1:1", "NO_PROXY=",
			"SSL_CERT_FILE="+certificates, HomeVariable+"="+home)
		if out, err := cmd.Output(); err != nil || !strings.HasPrefix(string(out), want) {
			t.Errorf("in the shell of a local cloud: %t: %v\n%s", home != "", err, out)
		}
	}
}
