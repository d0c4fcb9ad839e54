package thirdparty

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"
)

// checkout sets units for the test, and returns options with their pins and an empty cache.
func checkout(t *testing.T) Options {
	t.Helper()
	before := units
	t.Cleanup(func() { units = before })
	units = []unit{
		{
			name: "one", dir: "one", programs: map[string]string{"x/a": "first", "x/b": "second"},
			files: []string{"deploy/file.yaml"}, filesOf: "x",
		},
		{name: "two", dir: "two", programs: map[string]string{"x/c": "third"}},
		{name: "rare", dir: "two", programs: map[string]string{"x/d": "fourth"}, later: true},
	}
	source := t.TempDir()
	o := Options{pins: os.DirFS(source), Cache: t.TempDir(), Progress: &Progress{Say: t.Logf}}
	for _, u := range units {
		write(t, filepath.Join(source, u.dir, "go.mod"), "module "+u.dir)
	}
	write(t, filepath.Join(source, standIns, "go.mod"), "module standin")
	return o
}

// elsewhere returns the options for another machine, with an empty cache.
func elsewhere(t *testing.T, o Options) Options {
	o.Cache = t.TempDir()
	return o
}

// fill adds the named units to the cache.
func fill(t *testing.T, o Options, names ...string) {
	t.Helper()
	random := rand.NewChaCha8([32]byte{})
	for _, u := range units {
		dir, err := u.cacheDir(o.pins, o.Cache)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if name != u.name {
				continue
			}
			for _, program := range u.names() {
				content := make([]byte, 60000) // several blocks of zstd
				_, _ = random.Read(content)
				write(t, filepath.Join(dir, program), program+strings.Repeat(" of the unit "+name, 1000)+string(content))
				if err := os.Chmod(filepath.Join(dir, program), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for _, file := range u.files {
				write(t, filepath.Join(dir, filepath.Base(file)), "a file of "+name)
			}
		}
	}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// listing lists everything in a folder except the lock, with modes and contents.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() == "lock" || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		fmt.Fprintf(&all, "%s %s", name, info.Mode())
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&all, " %x", sha256.Sum256(content))
		}
		all.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// exported returns the archive of a complete cache and its checksum.
func exported(t *testing.T, o Options) (archive []byte, sum string) {
	t.Helper()
	fill(t, o, "one", "two", "rare")
	file := filepath.Join(t.TempDir(), "archive")
	if err := Export(t.Context(), o, file); err != nil {
		t.Fatal(err)
	}
	archive, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return archive, hexSum(archive)
}

func hexSum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// refused imports an archive and returns the error. It fails the test if there is none, or if the cache changes, in
// which one unit is complete and one is not.
func refused(t *testing.T, o Options, archive []byte, sum string) error {
	t.Helper()
	return refusedFrom(t, t.Context(), o, archivedTar(t, archive), sum)
}

func refusedFrom(t *testing.T, ctx context.Context, o Options, from, sum string) error {
	t.Helper()
	o = elsewhere(t, o)
	fill(t, o, "one", "two")
	third, _ := filepath.Glob(filepath.Join(o.Cache, "two-*", "third"))
	if len(third) != 1 || os.Rename(third[0], third[0]+".broken") != nil {
		t.Fatalf("no program to break: %v", third)
	}
	before := listing(t, o.Cache)
	err := Import(ctx, o, from, sum)
	if err == nil {
		t.Error("it is taken")
	}
	if after := listing(t, o.Cache); after != before {
		t.Errorf("the cache has changed, from\n%sto\n%s", before, after)
	}
	return err
}

func TestImport_RestoresExport(t *testing.T) {
	o := checkout(t)
	archive, sum := exported(t, o)
	want := listing(t, o.Cache)
	file := filepath.Join(t.TempDir(), "archive")
	write(t, file, string(archive))
	for _, sum := range []string{"", sum, "sha256:" + strings.ToUpper(sum)} {
		there := elsewhere(t, o)
		write(t, filepath.Join(there.Cache, "one-0123"+partMark+"1", "first"), "what a killed import left")
		if err := Import(t.Context(), there, file, sum); err != nil {
			t.Fatal(err)
		}
		if got := listing(t, there.Cache); got != want {
			t.Errorf("with the sum %q there is\n%swant\n%s", sum, got, want)
		}
		there.cacheOnly, there.Also = true, []string{"fourth"}
		if _, missing, err := look(t.Context(), there); err != nil || len(missing) > 0 {
			t.Errorf("up would build %v, %v", missing, err)
		}
	}
}

func TestExport_IsReproducible(t *testing.T) {
	o := checkout(t)
	archive, _ := exported(t, o)
	there := elsewhere(t, o)
	old := time.Now().Add(-time.Hour)
	fill(t, there, "rare")
	fill(t, there, "two")
	fill(t, there, "one", "two", "rare") // as the first, with other times
	if err := filepath.WalkDir(there.Cache, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(path, old, old))
	}); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(there.Cache, "two-of-other-pins", "third"), "not of this checkout")
	file := filepath.Join(t.TempDir(), "archive")
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(5))
	if err := Export(t.Context(), there, file); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(file); err != nil || !bytes.Equal(archive, again) {
		t.Errorf("%d and %d bytes that differ: %v", len(archive), len(again), err)
	}
}

func TestExport_RequiresProgramsOfUp(t *testing.T) {
	o := checkout(t)
	folder := t.TempDir()
	file := filepath.Join(folder, "archive")
	write(t, file, "an earlier one")
	var said strings.Builder
	o.Say = func(format string, args ...any) { fmt.Fprintf(&said, format+"\n", args...) }
	for _, has := range [][]string{nil, {"rare"}, {"one", "rare"}} {
		fill(t, o, has...)
		err := Export(t.Context(), o, file)
		if err == nil || !strings.Contains(err.Error(), "programs build") || !strings.Contains(err.Error(), "two") {
			t.Errorf("with %v in the cache: %v", has, err)
		}
	}
	got := listing(t, folder)
	if strings.Count(got, "\n") != 1 || !strings.Contains(got, hexSum([]byte("an earlier one"))) {
		t.Errorf("a failed export leaves\n%s", got)
	}

	o.Cache = t.TempDir()
	fill(t, o, "one", "two")
	said.Reset()
	if err := Export(t.Context(), o, file); err != nil {
		t.Fatal(err)
	}
	archive, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"programs build fourth", hexSum(archive), fmt.Sprint(len(archive)), "--sha256"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("export does not print %q but\n%s", want, said.String())
		}
	}
	if got := listing(t, folder); strings.Count(got, "\n") != 1 || !strings.Contains(got, "archive -rw-r--r-- ") {
		t.Errorf("beside the archive there is more, or it has another mode:\n%s", got)
	}
	there := elsewhere(t, o)
	if err := Import(t.Context(), there, file, ""); err != nil || listing(t, there.Cache) != listing(t, o.Cache) {
		t.Errorf("import does not restore the exported cache: %v", err)
	}
}

func TestExport_MayLackPulumiOnPath(t *testing.T) {
	o := checkout(t)
	units[1].programs = map[string]string{"x/p": Pulumi, "x/l": LanguageGo}
	fill(t, o, "one")
	file := filepath.Join(t.TempDir(), "archive")
	t.Setenv("PATH", t.TempDir())
	if err := Export(t.Context(), o, file); err == nil {
		t.Error("an archive lacks pulumi, which nobody has")
	}
	for _, name := range []string{Pulumi, LanguageGo} {
		program := filepath.Join(os.Getenv("PATH"), name)
		write(t, program, "#!/bin/sh\necho v"+PulumiVersion+"\n")
		if err := os.Chmod(program, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	small, err := size(file, Export(t.Context(), o, file))
	if err != nil {
		t.Fatal(err)
	}
	fill(t, o, "two")
	if big, err := size(file, Export(t.Context(), o, file)); err != nil || big <= small {
		t.Errorf(
			"what the cache has of pulumi is not exported where there is one on PATH: %d and %d bytes, %v",
			small,
			big,
			err,
		)
	}
}

func size(file string, before error) (int64, error) {
	info, err := os.Stat(file)
	if err = errors.Join(before, err); err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// ending is a context that is done after a few calls of Err.
type ending struct {
	context.Context
	asked *int
}

func (c ending) Err() error {
	if *c.asked--; *c.asked < 0 {
		return context.Canceled
	}
	return nil
}

func TestExport_LeavesNothingWhenInterrupted(t *testing.T) {
	o := checkout(t)
	fill(t, o, "one", "two")
	folder := t.TempDir()
	file := filepath.Join(folder, "archive")
	interrupted := 0
	for {
		asked := interrupted
		if Export(ending{t.Context(), &asked}, o, file) == nil {
			break
		}
		if left := listing(t, folder); left != "" {
			t.Fatalf("interrupted at %d, it leaves %s", interrupted, left)
		}
		interrupted++
	}
	if interrupted < 8 { // each file is read twice
		t.Errorf("it could be interrupted %d times", interrupted)
	}
}

func TestExport_RejectsOtherFiles(t *testing.T) {
	o := checkout(t)
	fill(t, o, "one", "two")
	folder := t.TempDir()
	if err := Export(t.Context(), o, folder); err == nil {
		t.Error("a folder is overwritten")
	}
	m, _, err := collect(t.Context(), o, new(atomic.Int64))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(o.Cache, m.Units[0].Folder)
	write(t, filepath.Join(dir, "file.yaml"), "A FILE of one")
	if err := m.write(t.Context(), o.Cache, io.Discard, new(atomic.Int64)); err == nil {
		t.Error("a file that changes while it is read is packed with a wrong sum")
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := Export(t.Context(), o, filepath.Join(folder, "archive")); err == nil || listing(t, folder) != "" {
		t.Errorf("a link in a unit is packed or left out, and nobody is told: %v", err)
	}
}

func TestImport_LeavesCacheIfArchiveIsDamaged(t *testing.T) {
	o := checkout(t)
	o.Say = func(string, ...any) {}
	archive, sum := exported(t, o)
	want := listing(t, o.Cache)
	step := max(1, len(archive)/97)
	for at := 0; at < len(archive); at += step {
		cut := archive[:at]
		_ = refused(t, o, cut, "")
		_ = refused(t, o, cut, sum)
		flipped := bytes.Clone(archive)
		flipped[at] ^= 0x10
		_ = refused(t, o, flipped, sum)
		// Some bits of a zstd header have no effect. Changes of these may pass without a sum.
		there, left := elsewhere(t, o), ""
		if Import(t.Context(), there, archivedTar(t, flipped), "") == nil {
			left = want
		}
		if got := listing(t, there.Cache); got != left {
			t.Errorf("with a flipped bit at %d there is\n%swant\n%s", at, got, left)
		}
	}
	for at := 1; at <= 8; at++ { // the end of the stream, where all content has been read
		_ = refused(t, o, archive[:len(archive)-at], "")
		flipped := bytes.Clone(archive)
		flipped[len(flipped)-at] ^= 0x10
		_ = refused(t, o, flipped, "")
	}
	for _, after := range []string{"\x00", "garbage", strings.Repeat("\x00", 1024), string(archive)} {
		if err := refused(t, o, append(bytes.Clone(archive), after...), ""); strings.Contains(err.Error(), "%!") {
			t.Error(err)
		}
	}
	err := refused(t, o, archive, hexSum(nil))
	if err == nil || !strings.Contains(err.Error(), sum) || !strings.Contains(err.Error(), hexSum(nil)) {
		t.Errorf("which sums differ is not said: %v", err)
	}
	for _, sum := range []string{"abc", sum + "00", strings.Repeat("x", 64)} {
		_ = refused(t, o, archive, sum)
	}
	_ = refused(t, o, []byte("<html>please log in</html>"), "")
	_ = refusedFrom(t, t.Context(), o, filepath.Join(t.TempDir(), "not there"), "")
	_ = refusedFrom(t, t.Context(), o, t.TempDir(), "")
}

// tarMember is a member of a tar file.
type tarMember struct {
	header  tar.Header
	content string
}

// members returns the members of an archive.
func members(t *testing.T, archive []byte) (all []tarMember) {
	t.Helper()
	decompressed, err := zstd.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	defer decompressed.Close()
	reader := tar.NewReader(decompressed)
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return all
		}
		content, readErr := io.ReadAll(reader)
		if err != nil || readErr != nil {
			t.Fatal(err, readErr)
		}
		all = append(all, tarMember{*header, string(content)})
	}
}

// pack returns an archive of the members. If m is not nil, it replaces the first member's content.
func pack(t *testing.T, all []tarMember, m *manifest) []byte {
	t.Helper()
	if m != nil {
		content, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		all[0].content, all[0].header.Size = string(content), int64(len(content))
	}
	var archive bytes.Buffer
	compressed, err := zstd.NewWriter(&archive)
	if err != nil {
		t.Fatal(err)
	}
	writer := tar.NewWriter(compressed)
	for _, one := range all {
		if err := writer.WriteHeader(&one.header); err != nil {
			t.Fatal(err)
		}
		if _, err := writer.Write([]byte(one.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(writer.Close(), compressed.Close()); err != nil {
		t.Fatal(err)
	}
	return archive.Bytes()
}

func TestImport_RejectsWrongManifest(t *testing.T) {
	o := checkout(t)
	archive, _ := exported(t, o)
	tests := map[string]struct {
		change func(all []tarMember, m *manifest) []tarMember
		says   []string
	}{
		"another processor": {
			func(all []tarMember, m *manifest) []tarMember { m.Arch = "z80"; return all },
			[]string{"/z80", "/" + runtime.GOARCH},
		},
		"another system": {func(all []tarMember, m *manifest) []tarMember { m.OS = "cp/m"; return all }, []string{"cp/m"}},
		"another format": {
			func(all []tarMember, m *manifest) []tarMember { m.Format = 7; return all },
			[]string{"7", "1"},
		},
		"other pins": {func(all []tarMember, m *manifest) []tarMember {
			m.Units[1].Folder, m.Compiler = "two-of-other-pins", "go0.1"
			return all
		}, []string{"two-of-other-pins", "go0.1", runtime.Version()}},
		"another folder": {func(all []tarMember, m *manifest) []tarMember { m.Units[1].Folder = "../two"; return all }, nil},
		"a unit twice": {func(all []tarMember, m *manifest) []tarMember {
			m.Units = append(m.Units, m.Units[0])
			return append(all, all[1:4]...)
		}, nil},
		"no units":    {func(all []tarMember, m *manifest) []tarMember { m.Units = nil; return all[:1] }, nil},
		"no manifest": {func(all []tarMember, m *manifest) []tarMember { return all[1:] }, nil},
		"nothing":     {func(all []tarMember, m *manifest) []tarMember { return nil }, nil},
		"a manifest not JSON": {
			func(all []tarMember, m *manifest) []tarMember { all[0].content = "x" + all[0].content[1:]; return all },
			nil,
		},
		"a link for a manifest": {func(all []tarMember, m *manifest) []tarMember {
			first := &all[0]
			first.header.Typeflag, first.header.Linkname = tar.TypeSymlink, "/etc/passwd"
			first.header.Size, first.content = 0, ""
			return all
		}, nil},
		"a huge manifest": {func(all []tarMember, m *manifest) []tarMember {
			all[0].content += strings.Repeat(" ", maxManifest)
			all[0].header.Size = int64(len(all[0].content))
			return all
		}, nil},
		"a member more": {func(all []tarMember, m *manifest) []tarMember {
			return append(all, tarMember{tar.Header{Name: "x"}, ""})
		}, []string{`"x"`}},
		"a member less":  {func(all []tarMember, m *manifest) []tarMember { return all[:len(all)-1] }, nil},
		"a member twice": {func(all []tarMember, m *manifest) []tarMember { return append(all, all[len(all)-1]) }, nil},
		"another order": {
			func(all []tarMember, m *manifest) []tarMember { all[1], all[2] = all[2], all[1]; return all },
			nil,
		},
		"a program less": {func(all []tarMember, m *manifest) []tarMember {
			m.Units[1].Files = nil
			return append(all[:4], all[5:]...)
		}, nil},
		"a longer member": {func(all []tarMember, m *manifest) []tarMember {
			all[4].content += "x"
			all[4].header.Size++
			return all
		}, nil},
		"another content": {
			func(all []tarMember, m *manifest) []tarMember { all[4].content = "X" + all[4].content[1:]; return all },
			nil,
		},
		"a file with no sum": {
			func(all []tarMember, m *manifest) []tarMember { m.Units[1].Files[0].SHA256 = ""; return all },
			nil,
		},
		"a name with a way":  {func(all []tarMember, m *manifest) []tarMember { return renamed(all, m, "../../x") }, nil},
		"an absolute name":   {func(all []tarMember, m *manifest) []tarMember { return renamed(all, m, "/tmp/x") }, nil},
		"a name in a folder": {func(all []tarMember, m *manifest) []tarMember { return renamed(all, m, "x/third") }, nil},
		"the folder's name":  {func(all []tarMember, m *manifest) []tarMember { return renamed(all, m, ".") }, nil},
		"the name above":     {func(all []tarMember, m *manifest) []tarMember { return renamed(all, m, "..") }, nil},
		"a name outside":     {func(all []tarMember, m *manifest) []tarMember { return renamed(all, m, "../x") }, nil},
		"another name":       {func(all []tarMember, m *manifest) []tarMember { all[4].header.Name += "x"; return all }, nil},
		"a unit twice, and empty": {func(all []tarMember, m *manifest) []tarMember {
			m.Units = append(m.Units[:2:2], archivedUnit{Name: "two", Folder: m.Units[1].Folder})
			return all[:5]
		}, nil},
		"no name":         {func(all []tarMember, m *manifest) []tarMember { return renamed(all, m, "") }, nil},
		"a symbolic link": {func(all []tarMember, m *manifest) []tarMember { return typed(all, m, tar.TypeSymlink) }, nil},
		"a hard link":     {func(all []tarMember, m *manifest) []tarMember { return typed(all, m, tar.TypeLink) }, nil},
		"a device":        {func(all []tarMember, m *manifest) []tarMember { return typed(all, m, tar.TypeChar) }, nil},
		"a folder":        {func(all []tarMember, m *manifest) []tarMember { return typed(all, m, tar.TypeDir) }, nil},
		"more than a disk": {
			func(all []tarMember, m *manifest) []tarMember { m.Units[1].Files[0].Size = 1 << 60; return all },
			nil,
		},
		"less than nothing": {
			func(all []tarMember, m *manifest) []tarMember { m.Units[1].Files[0].Size = -1; return all },
			nil,
		},
		"more than all disks": {func(all []tarMember, m *manifest) []tarMember {
			m.Units[1].Files[0].Size = maxArchive
			m.Units[0].Files[0].Size = 1
			return all
		}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			all := members(t, archive)
			var m manifest
			if err := json.Unmarshal([]byte(all[0].content), &m); err != nil {
				t.Fatal(err)
			}
			untouched, _ := json.Marshal(m)
			changed := test.change(all, &m)
			with := &m
			if now, _ := json.Marshal(m); bytes.Equal(now, untouched) {
				with = nil
			}
			err := refused(t, o, pack(t, changed, with), "")
			t.Log(err)
			for _, want := range test.says {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not said: %v", want, err)
				}
			}
		})
	}
	if err := Import(t.Context(), elsewhere(t, o), archivedTar(t, pack(t, members(t, archive), nil)), ""); err != nil {
		t.Errorf("what is put together as it was is not taken: %v", err)
	}
}

// archivedTar writes the archive to a file.
func archivedTar(t *testing.T, archive []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "archive")
	write(t, file, string(archive))
	return file
}

// renamed renames the third program, also in the manifest.
func renamed(all []tarMember, m *manifest, name string) []tarMember {
	m.Units[1].Files[0].Name = name
	if name != "" { // which a tar cannot have
		all[4].header.Name = m.Units[1].Folder + "/" + name
	}
	return all
}

// typed changes the type of the third program, which is empty in the manifest.
func typed(all []tarMember, m *manifest, kind byte) []tarMember {
	m.Units[1].Files[0].Size, m.Units[1].Files[0].SHA256 = 0, hexSum(nil)
	all[4] = tarMember{tar.Header{Name: all[4].header.Name, Typeflag: kind, Linkname: "/etc/passwd"}, ""}
	return all
}

func TestImport_RejectsWrongArchiveEarly(t *testing.T) {
	o := checkout(t)
	archive, sum := exported(t, o)
	all := members(t, archive)
	var m manifest
	if err := json.Unmarshal([]byte(all[0].content), &m); err != nil {
		t.Fatal(err)
	}
	m.Arch = "z80"
	small := pack(t, all, &m)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(small)
		w.(http.Flusher).Flush()
		<-r.Context().Done() // the rest never comes
	}))
	defer server.Close()
	start := time.Now()
	_ = refusedFrom(t, t.Context(), o, server.URL, sum)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("after %s", took)
	}
}

func TestImport_LimitsDecompression(t *testing.T) {
	o := checkout(t)
	archive, _ := exported(t, o)
	var bomb bytes.Buffer
	compressed, err := zstd.NewWriter(&bomb)
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"", "manifest"} { // before the first member, and as it
		bomb.Reset()
		compressed.Reset(&bomb)
		if content != "" {
			writer := tar.NewWriter(compressed)
			if err := writer.WriteHeader(&tar.Header{Name: manifestName, Size: 4 << 30}); err != nil {
				t.Fatal(err)
			}
		}
		for range 256 {
			if _, err := compressed.Write(make([]byte, 1<<20)); err != nil {
				t.Fatal(err)
			}
		}
		if err := compressed.Close(); err != nil {
			t.Fatal(err)
		}
		_ = refused(t, o, bomb.Bytes(), "")
	}
	_ = refused(t, o, append(bytes.Clone(archive), bomb.Bytes()...), "")

	// Skipped data counts too.
	o = elsewhere(t, o)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := w.Write(archive)
		for n := 0; err == nil; n++ { // empty frames that may be skipped
			_, err = w.Write([]byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 1, 0})
			if err == nil {
				_, err = w.Write(make([]byte, 1<<16))
			}
		}
	}))
	defer server.Close()
	_ = refusedFrom(t, t.Context(), o, server.URL, hexSum(archive))
}

func TestImport_ReadsURL(t *testing.T) {
	o := checkout(t)
	archive, sum := exported(t, o)
	want := listing(t, o.Cache)
	var asked atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/whole", func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("Range") != "" || r.Header.Get("Accept-Encoding") != "" {
			t.Errorf("it is asked for with %v", r.Header)
		}
		_, _ = w.Write(archive)
	})
	mux.Handle("/moved", http.RedirectHandler("/whole", http.StatusFound))
	mux.Handle("/round", http.RedirectHandler("/round", http.StatusFound))
	mux.HandleFunc("/short", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(archive)))
		_, _ = w.Write(archive[:len(archive)/2])
	})
	mux.HandleFunc("/chunked-short", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(archive[:len(archive)/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/another-length", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(archive)/2))
		_, _ = w.Write(archive[:len(archive)/2])
	})
	mux.HandleFunc("/part", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(archive)
	})
	mux.HandleFunc("/login", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>please log in</html>") })
	server := httptest.NewServer(mux)
	defer server.Close()

	for _, path := range []string{"/whole", "/moved"} {
		there := elsewhere(t, o)
		if err := Import(t.Context(), there, server.URL+path, sum); err != nil || listing(t, there.Cache) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	before := asked.Load()
	for _, bad := range []struct{ from, sum string }{
		{server.URL + "/whole", ""}, {"https://127.0.0.1:1/whole", ""}, {"ftp://127.0.0.1:1/x", sum}, {"http://[::1", sum},
	} {
		_ = refusedFrom(t, t.Context(), o, bad.from, bad.sum)
	}
	if asked.Load() != before {
		t.Error("it is requested without a sum")
	}
	for _, path := range []string{
		"/not-there", "/round", "/short", "/chunked-short", "/another-length", "/part", "/login",
	} {
		t.Log(refusedFrom(t, t.Context(), o, server.URL+path, sum))
	}
	_ = refusedFrom(t, t.Context(), o, server.URL+"/whole", hexSum(nil))
	server.Close()
	for _, path := range []string{"/x?sig=hidden", "/round?sig=hidden"} {
		secret := strings.Replace(server.URL, "http://", "http://user:hidden@", 1) + path
		if err := refusedFrom(t, t.Context(), o, secret, sum); err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("the error has a secret in it: %v", err)
		}
	}
}

// TestImport_UsesTheUsersProxy runs child processes, since Go reads a proxy's variables only once in a process.
func TestImport_UsesTheUsersProxy(t *testing.T) {
	if from := os.Getenv("TEST_IMPORT_FROM"); from != "" {
		err := Import(t.Context(), Options{Cache: t.TempDir(), Progress: &Progress{Say: t.Logf}}, from, hexSum(nil))
		fmt.Printf("import: %v\n", err)
		return
	}
	var users, clouds atomic.Int64
	count := func(n *atomic.Int64) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			n.Add(1)
			w.WriteHeader(http.StatusTeapot)
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	user, cloud := count(&users), count(&clouds)
	run := func(from string, env ...string) {
		t.Helper()
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), append(env, "TEST_IMPORT_FROM="+from)...)
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("import: getting ")) {
			t.Errorf("%v\n%s", err, out)
		}
	}
	run("http://archives.invalid/x", "HTTP_PROXY="+user, "NO_PROXY=", "HTTPS_PROXY=")
	run("https://archives.invalid/x", "HTTPS_PROXY="+user, "NO_PROXY=", "HTTP_PROXY=")
	if users.Load() != 2 {
		t.Errorf("the user's proxy was asked %d times, want 2", users.Load())
	}
	run(
		"https://archives.invalid/x",
		HomeVariable+"=/home",
		"HTTPS_PROXY="+cloud,
		"https_proxy="+cloud,
		"HTTP_PROXY=",
		"NO_PROXY=",
	)
	if clouds.Load() != 0 {
		t.Error("the local cloud was asked")
	}
}

func TestImport_LeavesNothingWhenInterrupted(t *testing.T) {
	o := checkout(t)
	archive, sum := exported(t, o)
	for _, at := range []int{0, 10, len(archive) / 3, len(archive) - 1} {
		ctx, cancel := context.WithCancel(t.Context())
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(archive)))
			_, _ = w.Write(archive[:at])
			w.(http.Flusher).Flush()
			time.AfterFunc(100*time.Millisecond, cancel)
			<-r.Context().Done()
		}))
		if err := refusedFrom(t, ctx, o, server.URL, sum); !errors.Is(err, context.Canceled) {
			t.Errorf("after %d bytes: %v", at, err)
		}
		server.Close()

		pipe := filepath.Join(t.TempDir(), "pipe")
		if err := syscall.Mkfifo(pipe, 0o600); err != nil {
			t.Fatal(err)
		}
		writer, err := os.OpenFile(pipe, os.O_RDWR, 0) // does not wait for a reader
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		go func() {
			_, _ = writer.Write(archive[:at])
			time.AfterFunc(100*time.Millisecond, cancel)
		}()
		if err := refusedFrom(t, ctx, o, pipe, sum); !errors.Is(err, context.Canceled) {
			t.Errorf("after %d bytes of a pipe: %v", at, err)
		}
		writer.Close()
	}
}

func TestImport_RepairsOnlyIncompleteUnits(t *testing.T) {
	o := checkout(t)
	archive, sum := exported(t, o)
	there := elsewhere(t, o)
	fill(t, there, "one", "two")
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip("no program to run")
	}
	program, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	// Run a program of a complete unit, and one of a unit that has lost its other program.
	found, _, err := look(t.Context(), there)
	if err != nil {
		t.Fatal(err)
	}
	var running []*exec.Cmd
	for _, name := range []string{"third", "first"} {
		info, err := os.Stat(found[name])
		if err != nil {
			t.Fatal(err)
		}
		padding := strings.Repeat("\x00", max(0, int(info.Size())-len(program))) // up to the expected size
		write(t, found[name], string(program)+padding)
		cmd := exec.Command(found[name], "600")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Process.Kill()
		running = append(running, cmd)
	}
	if err := os.Remove(found["second"]); err != nil {
		t.Fatal(err)
	}
	whole := listing(t, filepath.Dir(found["third"]))
	before, err := os.Stat(found["third"])
	if err != nil {
		t.Fatal(err)
	}

	if err := Import(t.Context(), there, archivedTar(t, archive), sum); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(found["third"])
	if err != nil || !os.SameFile(before, after) || listing(t, filepath.Dir(found["third"])) != whole {
		t.Errorf("what was whole is another now: %v", err)
	}
	broken := filepath.Dir(found["first"])
	if got, want := listing(t, broken), listing(t, filepath.Join(o.Cache, filepath.Base(broken))); got != want {
		t.Errorf("what was broken is\n%swant\n%s", got, want)
	}
	for _, cmd := range running {
		if err := cmd.Process.Signal(syscall.Signal(0)); err != nil {
			t.Errorf("%s is no longer running: %v", cmd.Path, err)
		}
	}
}

func TestExportAndImport_WaitForBuilds(t *testing.T) {
	o := checkout(t)
	archive, _ := exported(t, o)
	o = elsewhere(t, o)
	unlock, err := lockCache(t.Context(), o.Cache, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	fill(t, o, "one", "two")
	before := listing(t, o.Cache)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := Import(ctx, o, archivedTar(t, archive), ""); err == nil || listing(t, o.Cache) != before {
		t.Errorf("it is imported: %v", err)
	}
	if err := Export(ctx, o, filepath.Join(t.TempDir(), "archive")); err == nil {
		t.Error("it is exported")
	}
}

func TestImport_EndsAfterAMinuteWithoutData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := io.Pipe()
		in := &incoming{body: from, sum: sha256.New()}
		in.limit.Store(100)
		stalled := errors.New("stalled")
		in.stalled = time.AfterFunc(stall, func() { _ = from.CloseWithError(stalled) })
		start := time.Now()
		go func() {
			for range 5 {
				time.Sleep(stall - time.Second)
				_, _ = to.Write([]byte("x"))
			}
		}()
		read := func(p []byte) (int, error) {
			n, err := in.Read(p)
			time.Sleep(2 * stall) // a slow disk is not a slow server
			return n, err
		}
		_, err := io.Copy(io.Discard, readerFunc(read))
		if took := time.Since(start); in.read.Load() != 5 || err == nil || took < 11*stall || took > 15*stall {
			t.Errorf("%d bytes and %v after %s", in.read.Load(), err, took)
		}
	})
}

func TestImport_ChecksDiskSpace(t *testing.T) {
	cache := t.TempDir()
	if err := enoughDisk(cache, 1, "this"); err != nil {
		t.Errorf("no room for a byte: %v", err)
	}
	if err := enoughDisk(cache, 1<<62, "this"); err == nil {
		t.Error("room for everything")
	}
}
