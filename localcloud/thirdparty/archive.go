package thirdparty

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
)

// An archive is a tar file, compressed with zstd. It has a manifest and then the files that the manifest lists, in the
// same order. Its bytes depend only on the contents of the cache.

// manifest is the first member of an archive.
type manifest struct {
	Format   int            `json:"format"`
	OS       string         `json:"os"`
	Arch     string         `json:"arch"`
	Compiler string         `json:"compiler"` // version of Go, which affects the names of folders
	Units    []archivedUnit `json:"units"`
}

type archivedUnit struct {
	Name   string         `json:"name"`
	Folder string         `json:"folder"` // in the cache
	Files  []archivedFile `json:"files"`
}

type archivedFile struct {
	Name    string `json:"name"`
	Size    int64  `json:"size"`
	SHA256  string `json:"sha256"`
	Program bool   `json:"program,omitempty"`
}

const (
	archiveFormat = 1
	manifestName  = "manifest.json"
	maxManifest   = 1 << 20
	maxArchive    = 16 << 30
	maxWindow     = 8 << 20 // memory for decompression: the window of zstd's default level
)

var compiler = runtime.Version()

// Export writes the cache's programs to an archive, and prints its contents and SHA-256. On an error an existing file
// stays as it is. Export returns an error if the cache lacks a program that every up needs.
func Export(ctx context.Context, o Options, file string) error {
	if file == "" {
		return errors.New("the archive has no name")
	}
	if info, err := os.Lstat(file); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s exists and is not a regular file", file)
	}
	unlock, err := lockCache(ctx, o.Cache, o.Say)
	if err != nil {
		return err
	}
	defer unlock()
	start := time.Now()
	var done, all atomic.Int64
	defer Waiting(func(passed time.Duration) {
		o.Say("  exporting: %d of %d MiB, %s", done.Load()>>20, all.Load()>>20, passed)
	})()

	m, absent, err := collect(ctx, o, &all)
	if err != nil {
		return err
	}
	part, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+partMark)
	if err != nil {
		return fmt.Errorf("creating the archive: %w", err)
	}
	defer os.Remove(part.Name())
	defer part.Close()
	sum := sha256.New()
	var written counter
	err = m.write(ctx, o.Cache, io.MultiWriter(part, sum, &written), &done)
	if err = errors.Join(err, part.Chmod(0o644), part.Sync(), part.Close()); err != nil {
		return fmt.Errorf("writing the archive: %w", err)
	}
	if err := os.Rename(part.Name(), file); err != nil {
		return fmt.Errorf("writing the archive: %w", err)
	}
	o.Say("%s: %s, %d MiB unpacked, in %s", file, m.names(), m.size()>>20, time.Since(start).Round(time.Second))
	for _, why := range absent {
		o.Say("  not in it: %s", why)
	}
	o.Say("  size    %d bytes (%d MiB)\n  sha256  %x", written, written>>20, sum.Sum(nil))
	o.Say("  to import it on %s/%s, with the same version of localcloud: localcloud programs import %s --sha256 %x",
		m.OS, m.Arch, file, sum.Sum(nil))
	return nil
}

// collect lists the programs in the cache and describes the missing ones that up does not always need. It adds the size
// of the programs to all.
func collect(ctx context.Context, o Options, all *atomic.Int64) (m manifest, absent []string, err error) {
	m = manifest{Format: archiveFormat, OS: runtime.GOOS, Arch: runtime.GOARCH, Compiler: compiler}
	o.cacheOnly = true
	for _, u := range units {
		o.Also = append(o.Also, u.names()...)
	}
	found, missing, err := look(ctx, o)
	if err != nil {
		return m, nil, err
	}
	var needed []string
	for _, u := range units {
		isMissing := slices.ContainsFunc(missing, func(missing unit) bool { return missing.name == u.name })
		own := Programs{}
		switch {
		case !isMissing:
			dir := filepath.Dir(found[u.names()[0]])
			if slices.ContainsFunc(m.Units, func(in archivedUnit) bool { return in.Folder == filepath.Base(dir) }) {
				continue // part of the same release
			}
			files, err := listFiles(ctx, dir)
			if err != nil {
				return m, nil, fmt.Errorf("reading %s in the cache: %w", u.name, err)
			}
			m.Units = append(m.Units, archivedUnit{Name: u.name, Folder: filepath.Base(dir), Files: files})
			all.Store(m.size())
		case u.later:
			absent = append(absent, fmt.Sprintf("%s (to get it first, run `localcloud programs build %s`)",
				u.name, strings.Join(u.names(), " ")))
		case u.has(Pulumi) && installedPulumi(ctx, own):
			absent = append(absent, fmt.Sprintf("%s, since this machine uses the installed %s; machines without it will "+
				"build it", u.name, own[Pulumi]))
		default:
			needed = append(needed, u.name)
		}
	}
	if len(needed) > 0 {
		return m, nil, fmt.Errorf("%s lacks the pinned versions of %s, which `up` always needs: run `localcloud programs "+
			"build` first", o.Cache, strings.Join(needed, ", "))
	}
	if len(m.Units) == 0 {
		return m, nil, fmt.Errorf("%s has no programs in the pinned versions: run `localcloud programs build` first", o.Cache)
	}
	return m, absent, nil
}

// listFiles lists all files in dir, a unit's folder.
func listFiles(ctx context.Context, dir string) ([]archivedFile, error) {
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return nil, err
	}
	var files []archivedFile
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a file: remove it", filepath.Join(dir, entry.Name()))
		}
		file := archivedFile{Name: entry.Name(), Size: info.Size(), Program: info.Mode()&0o100 != 0}
		if file.SHA256, err = copyFile(ctx, io.Discard, filepath.Join(dir, file.Name)); err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// copyFile copies a file and returns its SHA-256.
func copyFile(ctx context.Context, to io.Writer, name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	return copySum(ctx, to, file)
}

func copySum(ctx context.Context, to io.Writer, from io.Reader) (string, error) {
	sum := sha256.New()
	_, err := io.CopyBuffer(io.MultiWriter(to, sum), readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return from.Read(p)
	}), make([]byte, 1<<18))
	return hex.EncodeToString(sum.Sum(nil)), err
}

// counter is a writer that counts bytes.
type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

// write writes the archive, and adds the bytes that it has read to done.
func (m manifest) write(ctx context.Context, cache string, w io.Writer, done *atomic.Int64) error {
	first, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	compressed, err := zstd.NewWriter(w, zstd.WithWindowSize(maxWindow))
	if err != nil {
		return err
	}
	defer compressed.Close()
	archive := tar.NewWriter(compressed)
	header := func(name string, size, mode int64) error {
		return archive.WriteHeader(&tar.Header{Name: name, Size: size, Mode: mode, Format: tar.FormatUSTAR})
	}
	if err := header(manifestName, int64(len(first)), 0o644); err != nil {
		return err
	}
	if _, err := archive.Write(first); err != nil {
		return err
	}
	for _, u := range m.Units {
		for _, file := range u.Files {
			if err := header(u.Folder+"/"+file.Name, file.Size, int64(file.mode())); err != nil {
				return err
			}
			sum, err := copyFile(ctx, archive, filepath.Join(cache, u.Folder, file.Name))
			if err == nil && sum != file.SHA256 {
				err = errors.New("it changed while it was being read")
			}
			if err != nil {
				return fmt.Errorf("%s of %s: %w", file.Name, u.Folder, err)
			}
			done.Add(file.Size)
		}
	}
	return errors.Join(archive.Close(), compressed.Close())
}

func (f archivedFile) mode() fs.FileMode {
	if f.Program {
		return 0o755
	}
	return 0o644
}

func (u archivedUnit) size() (size int64) {
	for _, file := range u.Files {
		size += file.Size
	}
	return size
}

func (m manifest) size() (size int64) {
	for _, u := range m.Units {
		size += u.size()
	}
	return size
}

func (m manifest) names() string {
	var names []string
	for _, u := range m.Units {
		names = append(names, u.Name)
	}
	return strings.Join(names, ", ")
}

// Import adds the programs of an archive to the cache. from is a file or an http or https URL. sum is the archive's
// SHA-256 in hexadecimal, which is required for a URL. The archive must be for this system and architecture, have the
// same pinned versions and match its manifest. Otherwise, or if ctx ends, Import does not change the cache. Only if an
// unpacked folder cannot be moved, others may already be in place. Complete units in the cache always stay.
func Import(ctx context.Context, o Options, from, sum string) error {
	given := sum
	sum = strings.ToLower(strings.TrimPrefix(sum, "sha256:"))
	if given != "" && !isSum(sum) {
		return fmt.Errorf("%q is not a SHA-256, which has 64 hexadecimal digits", sum)
	}
	isURL := strings.Contains(from, "://")
	if isURL && sum == "" {
		return errors.New("an archive at a URL needs --sha256: set it to the sum that `programs export` printed")
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	unlock, err := lockCache(ctx, o.Cache, o.Say)
	if err != nil {
		return err
	}
	defer unlock()
	removeParts(o.Cache)

	start := time.Now()
	in, err := open(ctx, from, isURL, o.Say)
	if err != nil {
		return err
	}
	defer in.body.Close()
	defer context.AfterFunc(ctx, func() { _ = in.body.Close() })() // ends a blocked read, for instance from a pipe
	in.stalled = time.AfterFunc(stall, func() { cancel(fmt.Errorf("%s: no data for %s", in.name, stall)) })
	defer in.stalled.Stop()
	defer Waiting(func(passed time.Duration) { o.Say("  importing: %s, %s", in.progress(), passed) })()

	parts := map[string]string{} // folder in the cache -> temporary folder
	defer func() {
		for _, part := range parts {
			_ = os.RemoveAll(part)
		}
	}()
	m, err := o.unpack(ctx, in, sum, parts)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", in.name, err)
	}
	o.Say("%s: %d bytes, sha256 %x", in.name, in.read.Load(), in.sum.Sum(nil))
	for _, u := range m.Units {
		part, unpacked := parts[u.Folder]
		if !unpacked {
			o.Say("  %s: already in the cache", u.Name)
			continue
		}
		dir := filepath.Join(o.Cache, u.Folder)
		if err := errors.Join(os.RemoveAll(dir), os.Rename(part, dir)); err != nil {
			return fmt.Errorf("moving %s into the cache: %w", u.Name, err)
		}
		o.Say("  %s: imported, %d MiB", u.Name, u.size()>>20)
	}
	o.Say("  in %s", time.Since(start).Round(time.Second))
	return nil
}

func isSum(s string) bool {
	decoded, err := hex.DecodeString(s)
	return err == nil && len(decoded) == sha256.Size
}

// unpack reads the whole archive, verifies all checksums and unpacks the units that are incomplete in the cache into
// temporary folders. It fills parts even if it fails.
func (o Options) unpack(ctx context.Context, in *incoming, sum string, parts map[string]string) (
	m manifest, err error,
) {
	decompressed, err := zstd.NewReader(in, zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return m, err
	}
	defer decompressed.Close()
	defer in.body.Close() // before decompressed is closed, which reads ahead
	archive := tar.NewReader(decompressed)
	if m, err = readManifest(archive); err != nil {
		return m, fmt.Errorf("it is not an archive of `programs export`, or it is truncated: %w", err)
	}
	folders, err := m.check(o)
	if err != nil {
		return m, err
	}
	in.limit.Store(m.size() + m.size()>>4 + 2*maxManifest) // incompressible data grows slightly

	var need int64
	for _, u := range m.Units {
		if dir := filepath.Join(o.Cache, u.Folder); !folders[u.Folder](dir) || !u.isIn(dir) {
			parts[u.Folder] = ""
			need += u.size()
		}
	}
	if err := enoughDisk(o.Cache, uint64(need), "unpacking the archive"); err != nil {
		return m, err
	}
	for _, u := range m.Units {
		part, unpacked := parts[u.Folder]
		if unpacked {
			if part, err = os.MkdirTemp(o.Cache, u.Folder+partMark); err != nil {
				return m, fmt.Errorf("creating a folder in the cache: %w", err)
			}
			parts[u.Folder] = part
			if err := os.Chmod(part, 0o755); err != nil {
				return m, err
			}
		}
		for _, file := range u.Files {
			if err := file.unpack(ctx, archive, u.Folder, part); err != nil {
				return m, fmt.Errorf("%s of %s: %w", file.Name, u.Folder, err)
			}
		}
		if unpacked && !folders[u.Folder](part) {
			return m, fmt.Errorf("it lacks files of %s", u.Folder)
		}
	}
	switch header, err := archive.Next(); {
	case err == nil:
		return m, fmt.Errorf("it has %q, which its manifest does not list", header.Name)
	case err != io.EOF:
		return m, cutShort(err)
	}
	switch n, err := io.CopyN(io.Discard, decompressed, 1); {
	case n > 0:
		return m, errors.New("it has data after its end")
	case !errors.Is(err, io.EOF):
		return m, cutShort(err)
	}
	if got := hex.EncodeToString(in.sum.Sum(nil)); sum != "" && got != sum {
		return m, fmt.Errorf("its SHA-256 is %s instead of %s: it is damaged, or another archive", got, sum)
	}
	return m, nil
}

// cutShort explains an error in reading the archive, unless it is an error of the disk.
func cutShort(err error) error {
	if disk := (*fs.PathError)(nil); errors.As(err, &disk) {
		return err
	}
	return fmt.Errorf("it is damaged or truncated: %w", err)
}

func readManifest(archive *tar.Reader) (m manifest, err error) {
	header, err := archive.Next()
	if err != nil {
		return m, err
	}
	if header.Name != manifestName || header.Typeflag != tar.TypeReg || header.Size > maxManifest {
		return m, fmt.Errorf("its first member is %q with %d bytes", header.Name, header.Size)
	}
	content, err := io.ReadAll(archive)
	if err != nil {
		return m, err
	}
	err = json.Unmarshal(content, &m)
	return m, err
}

// isWhole reports whether a folder has all files of its unit.
type isWhole func(dir string) bool

// check checks that the manifest is for this machine and that this program uses all its folders. It returns an isWhole
// for each folder of the cache.
func (m manifest) check(o Options) (map[string]isWhole, error) {
	if m.Format != archiveFormat {
		return nil, fmt.Errorf("it has format %d, but this localcloud reads format %d: export it again with this version",
			m.Format, archiveFormat)
	}
	if m.OS != runtime.GOOS || m.Arch != runtime.GOARCH {
		return nil, fmt.Errorf("it has programs for %q, but this machine needs %q",
			m.OS+"/"+m.Arch, runtime.GOOS+"/"+runtime.GOARCH)
	}
	ours, folders := map[string]isWhole{}, map[string][]string{}
	o.Way = "" // accept both built folders and releases
	for _, u := range units {
		places, err := o.places(u)
		if err != nil {
			return nil, err
		}
		for _, p := range places {
			folder := filepath.Base(p.dir)
			folders[u.name] = append(folders[u.name], folder)
			ours[folder] = func(dir string) bool { return place{dir, p.release}.has(u) }
		}
	}
	var others strings.Builder
	for _, u := range m.Units {
		if _, ok := ours[u.Folder]; !ok || !slices.Contains(folders[u.Name], u.Folder) {
			fmt.Fprintf(&others, "\n  %q, but this localcloud needs %q", u.Folder, folders[u.Name])
		}
	}
	if others.Len() > 0 {
		return nil, fmt.Errorf("it has other pinned versions, or was built with another Go, than this localcloud: it has%s\n"+
			"it was built with %q, but this localcloud builds with %q: import it with the version of localcloud that exported "+
			"it, or export it again with this version", others.String(), m.Compiler, compiler)
	}
	return ours, m.sane()
}

// isIn reports whether a folder has files with the names and sizes of the unit's.
func (u archivedUnit) isIn(dir string) bool {
	return !slices.ContainsFunc(u.Files, func(file archivedFile) bool {
		info, err := os.Stat(filepath.Join(dir, file.Name))
		return err != nil || info.Size() != file.Size
	})
}

// sane returns an error if Export cannot have written the manifest.
func (m manifest) sane() error {
	seen := map[string]bool{}
	var size int64
	if len(m.Units) == 0 {
		return errors.New("its manifest lists no programs")
	}
	for _, u := range m.Units {
		if seen[u.Folder] {
			return fmt.Errorf("its manifest lists %q twice", u.Folder)
		}
		seen[u.Folder] = true
		for _, file := range u.Files {
			name := u.Folder + "/" + file.Name
			isName := fs.ValidPath(file.Name) && file.Name != "." && !strings.ContainsAny(file.Name, `/\`)
			if !isName || seen[name] || !isSum(file.SHA256) {
				return fmt.Errorf("its manifest has an invalid entry for %q", name)
			}
			seen[name] = true
			if file.Size < 0 || file.Size > maxArchive || size+file.Size > maxArchive {
				return fmt.Errorf("the size of %q, %d bytes, is not valid", name, file.Size)
			}
			size += file.Size
		}
	}
	return nil
}

// unpack unpacks the archive's next member, which must be this file, into a folder. If folder is empty, it only
// verifies the file.
func (f archivedFile) unpack(ctx context.Context, archive *tar.Reader, of, folder string) error {
	header, err := archive.Next()
	if err != nil {
		return cutShort(err)
	}
	if header.Name != of+"/"+f.Name || header.Typeflag != tar.TypeReg || header.Size != f.Size {
		return fmt.Errorf("the archive has %q instead, of type %q with %d bytes", header.Name, header.Typeflag, header.Size)
	}
	if folder == "" {
		return f.copy(ctx, io.Discard, archive)
	}
	file, err := os.OpenFile(filepath.Join(folder, f.Name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, f.mode())
	if err != nil {
		return err
	}
	defer file.Close()
	if err := f.copy(ctx, file, archive); err != nil {
		return err
	}
	return errors.Join(file.Chmod(f.mode()), file.Close())
}

func (f archivedFile) copy(ctx context.Context, to io.Writer, from io.Reader) error {
	sum, err := copySum(ctx, to, from)
	if err != nil {
		return cutShort(err)
	}
	if sum != f.SHA256 {
		return fmt.Errorf("its SHA-256 is %s instead of %s", sum, f.SHA256)
	}
	return nil
}

// incoming is an archive that is being read.
type incoming struct {
	name    string // without a URL's secrets
	body    io.ReadCloser
	size    int64 // or -1
	read    atomic.Int64
	limit   atomic.Int64
	sum     hash.Hash
	stalled *time.Timer
}

// stall is how long a read may take.
const stall = time.Minute

func (in *incoming) Read(p []byte) (int, error) {
	in.stalled.Reset(stall)
	n, err := in.body.Read(p)
	in.stalled.Stop()
	in.sum.Write(p[:n])
	if in.read.Add(int64(n)) > in.limit.Load() {
		return n, errors.New("it is longer than its manifest says")
	}
	return n, err
}

func (in *incoming) progress() string {
	if in.size < 0 {
		return fmt.Sprintf("%d MiB", in.read.Load()>>20)
	}
	return fmt.Sprintf("%d of %d MiB", in.read.Load()>>20, in.size>>20)
}

func open(ctx context.Context, from string, isURL bool, say func(string, ...any)) (*incoming, error) {
	in := &incoming{name: from, size: -1, sum: sha256.New()}
	in.limit.Store(maxArchive)
	if isURL {
		return in, in.get(ctx, from, say)
	}
	file, err := os.Open(from)
	if err != nil {
		return nil, err
	}
	in.body = file
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		in.size = info.Size()
	}
	return in, nil
}

// get requests the archive from a URL, through the user's proxy if there is one.
func (in *incoming) get(ctx context.Context, from string, say func(string, ...any)) error {
	address, err := url.Parse(from)
	if err != nil || address.Scheme != "http" && address.Scheme != "https" {
		return errors.New("only files and http or https URLs can be imported")
	}
	in.name = (&url.URL{Scheme: address.Scheme, Host: address.Host, Path: address.Path}).String()
	transport := outsideTransport()
	transport.DisableCompression = true // the sum is that of the file on the server
	transport.ResponseHeaderTimeout = stall
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil) //nolint:gosec // the user names it
	if err != nil {
		return fmt.Errorf("%s: not a URL to get", in.name)
	}
	defer Waiting(func(passed time.Duration) { say("  requesting %s: %s", in.name, passed) })()
	response, err := (&http.Client{Transport: transport}).Do(request) //nolint:gosec // the user names it
	if err != nil {
		return fmt.Errorf("getting %s: %w", in.name, withoutURL(err))
	}
	in.body, in.size = response.Body, response.ContentLength
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return fmt.Errorf("getting %s: the server answered %s", in.name, response.Status)
	}
	return nil
}
