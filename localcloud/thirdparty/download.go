package thirdparty

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/gzip"
	"context"
	"crypto"
	_ "crypto/sha1" //nolint:gosec // see asset.sha1
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// What is larger is not what a vendor publishes: azure-native, the largest, has some 200 MB packed.
const (
	maxDownload = 1 << 30
	maxUnpacked = 4 << 30 // of one archive
	maxSums     = 1 << 20
)

// tries are how often a download is begun or gone on with.
const tries = 3

// refusal is what is wrong with a release in a way that somebody should look at, and that building instead would hide.
type refusal struct{ error }

// network is how files are downloaded.
type network struct {
	client  *http.Client
	silence time.Duration // after which a download is begun anew
	pause   time.Duration // before that; twice, three times as long later
}

// outside reaches the vendors as this process's environment says, but not through a local cloud (see OutsideEnv).
var outside = sync.OnceValue(newOutside)

func newOutside() *network {
	return &network{client: overTLS(outsideTransport()), silence: 30 * time.Second, pause: time.Second}
}

func outsideTransport() *http.Transport {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
		IdleConnTimeout:       10 * time.Second,
	}
	if os.Getenv(HomeVariable) != "" {
		transport.Proxy = nil
		transport.TLSClientConfig = &tls.Config{RootCAs: machinesCertificates(), MinVersion: tls.VersionTLS12}
	}
	return transport
}

// machinesCertificates are those that this machine trusts, where a local cloud has its clients trust others. Nil: those
// that the process uses anyway. It must be called before the process has used any.
func machinesCertificates() *x509.CertPool {
	const variable = "SSL_CERT_FILE"
	if file, ok := os.LookupEnv(variable); ok {
		os.Unsetenv(variable)
		defer os.Setenv(variable, file)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil
	}
	return pool
}

// overTLS is a client that follows no redirect to where anybody could answer.
func overTLS(transport http.RoundTripper) *http.Client {
	return &http.Client{Transport: transport, CheckRedirect: func(to *http.Request, via []*http.Request) error {
		switch {
		case to.URL.Scheme != "https":
			return fmt.Errorf("redirected to %s by %s, which is not https", to.URL.Host, to.URL.Scheme)
		case len(via) >= 10:
			return errors.New("redirected ten times")
		}
		return nil
	}}
}

func (n *network) ask(ctx context.Context, address string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil) //nolint:gosec // of the table of releases
	if err != nil {
		return nil, err
	}
	if header != nil {
		req.Header = header
	}
	req.Header.Set(
		"Accept-Encoding",
		"identity",
	) // or an archive would be unpacked on its way, and its checksum be another
	resp, err := n.client.Do(req) //nolint:gosec // of the table of releases
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, withoutURL(err))
	}
	return resp, nil
}

// withoutURL is an error of a client without the URL of the last redirect, which may have a password or a signature.
func withoutURL(err error) error {
	if known := (*url.Error)(nil); errors.As(err, &known) {
		return known.Err
	}
	return err
}

// errSlow is why a file cannot be had whose server has not answered within decisionTime.
var errSlow = errors.New("no answer in time")

// probe says why a file cannot be had, or nothing.
func (n *network) probe(ctx context.Context, url string) error {
	resp, err := n.ask(ctx, url, nil)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", url, errSlow)
	case err != nil:
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

// checksum is what a file is held against.
type checksum struct {
	hash crypto.Hash
	sum  string // in hexadecimal
	from string // who says so
}

// checksum finds what the asset is held against.
func (a asset) checksum(ctx context.Context, n *network) (checksum, error) {
	if sum, ok := a.pinned[here.String()]; ok {
		return checksum{crypto.SHA256, sum, "pinned in localcloud/thirdparty/releases.go"}, nil
	}
	url := here.in(a.sums)
	var content text
	if err := n.read(ctx, url, &content, maxSums, nil); err != nil {
		return checksum{}, fmt.Errorf("finding the checksum of %s: %w", here.in(a.url), err)
	}
	sum, err := sumOf(content.String(), path.Base(here.in(a.url)))
	if err != nil {
		return checksum{}, fmt.Errorf("%s: %w", url, err)
	}
	for _, kind := range []crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA512} {
		if len(sum) == 2*kind.Size() && (kind != crypto.SHA1 || a.sha1) {
			return checksum{kind, sum, url}, nil
		}
	}
	return checksum{}, fmt.Errorf("%s: %q is no SHA-256 or SHA-512", url, sum)
}

// sumOf finds a file's checksum in what sha256sum prints and the like: lines of a checksum and a name, or a checksum
// alone.
func sumOf(content, name string) (string, error) {
	lines := strings.Split(strings.TrimSpace(content), "\n")
	for _, line := range lines {
		fields := strings.Fields(line)
		alone := len(fields) == 1 && len(lines) == 1
		if !alone && (len(fields) != 2 || strings.TrimPrefix(strings.TrimPrefix(fields[1], "*"), "./") != name) {
			continue
		}
		sum := strings.ToLower(fields[0])
		if _, err := hex.DecodeString(sum); err != nil {
			return "", fmt.Errorf("%q is no checksum", sum)
		}
		return sum, nil
	}
	return "", fmt.Errorf("there is no checksum of %s", name)
}

// get downloads the asset, holds it against its checksum and puts the programs of it into a folder.
func (a asset) get(ctx context.Context, n *network, into, title string, say func(string, ...any)) error {
	url := here.in(a.url)
	var progress tally
	defer progress.tell(title+", "+path.Base(url), say)()
	sum, err := a.checksum(ctx, n)
	if err != nil {
		return err
	}
	file := filepath.Join(into, ".download")
	defer os.Remove(file)
	if err := n.download(ctx, url, file, sum, &progress); err != nil {
		return err
	}
	if err := a.unpack(ctx, file, into); err != nil {
		return fmt.Errorf("unpacking %s: %w", url, err)
	}
	return nil
}

// tally is how far a download is.
type tally struct{ done, total atomic.Int64 }

// tell says how far it is, every ten seconds until stop is called.
func (t *tally) tell(title string, say func(string, ...any)) (stop func()) {
	return Waiting(func(passed time.Duration) {
		of := "" // not every server says how much comes
		if total := t.total.Load(); total > 0 {
			of = fmt.Sprintf(" of %d", total>>20)
		}
		say("  %s: %d%s MiB, %s", title, t.done.Load()>>20, of, passed)
	})
}

// download makes a file of what is at a URL, if its checksum is the right one.
func (n *network) download(ctx context.Context, url, file string, want checksum, progress *tally) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	to := &hashedFile{File: out, hash: want.hash.New()}
	if err := n.read(ctx, url, to, maxDownload, progress); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	if given := hex.EncodeToString(to.hash.Sum(nil)); given != want.sum {
		return &refusal{
			fmt.Errorf("%s has the %s %s and not %s (%s): what came is not what was published, and is thrown away",
				url, want.hash, given, want.sum, want.from),
		}
	}
	return nil
}

// target takes what is downloaded, and can begin anew.
type target interface {
	io.Writer
	Reset() error
}

// text is kept in memory.
type text struct{ strings.Builder }

// Reset empties it.
func (t *text) Reset() error { t.Builder.Reset(); return nil }

// hashedFile is hashed while it is written.
type hashedFile struct {
	*os.File
	hash hash.Hash
}

func (f *hashedFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.hash.Write(p[:n])
	return n, err
}

// Reset empties the file.
func (f *hashedFile) Reset() error {
	f.hash.Reset()
	_, err := f.Seek(0, io.SeekStart)
	return errors.Join(err, f.Truncate(0))
}

// read reads what is at a URL. What breaks off is gone on with where the server can, and begun anew where it cannot.
func (n *network) read(ctx context.Context, url string, to target, limit int64, progress *tally) error {
	if progress == nil {
		progress = &tally{}
	}
	var version string // of what was begun
	for try := 1; ; try++ {
		again, err := n.readOnce(ctx, url, to, limit, progress, &version)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !again || try == tries:
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(try) * n.pause):
		}
	}
}

// readOnce reports whether it makes sense to try again.
func (n *network) readOnce(ctx context.Context, url string, to target, limit int64, progress *tally, version *string) (
	again bool, err error,
) {
	silent := fmt.Errorf("%s: nothing came for %s", url, n.silence)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(n.silence, func() { cancel(silent) })
	defer timer.Stop()

	header := http.Header{}
	have := progress.done.Load()
	if have > 0 && *version != "" {
		header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		header.Set("If-Range", *version)
	}
	resp, err := n.ask(ctx, url, header) //nolint:bodyclose // it is closed below
	if err != nil {
		if errors.Is(context.Cause(ctx), silent) {
			err = silent
		}
		return true, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusPartialContent && strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", have)):
	case resp.StatusCode == http.StatusOK:
		if err := to.Reset(); err != nil {
			return false, err
		}
		have = 0
		progress.done.Store(0)
	default:
		return resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests, fmt.Errorf("%s: %s", url, resp.Status)
	}
	if *version = resp.Header.Get("ETag"); strings.HasPrefix(*version, "W/") {
		*version = "" // says that it means the same, not that it is the same
	}
	if resp.ContentLength >= 0 {
		progress.total.Store(have + resp.ContentLength)
	}
	if have+resp.ContentLength > limit {
		return false, fmt.Errorf("%s has %d MiB, more than can be right", url, (have+resp.ContentLength)>>20)
	}
	body := readerFunc(func(p []byte) (int, error) {
		read, err := resp.Body.Read(p)
		timer.Reset(n.silence)
		progress.done.Add(int64(read))
		return read, err
	})
	_, err = io.Copy(writerOnly{to}, io.LimitReader(body, limit-have+1))
	switch {
	case errors.Is(context.Cause(ctx), silent):
		return true, silent
	case err != nil:
		disk := (*fs.PathError)(nil)
		return !errors.As(err, &disk), fmt.Errorf("%s: %w", url, err)
	case progress.done.Load() > limit:
		return false, fmt.Errorf("%s has more than %d MiB, more than can be right", url, limit>>20)
	}
	return false, nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// writerOnly hides ReadFrom, which a file would have io.Copy use past its hash.
type writerOnly struct{ io.Writer }

// unpack puts the programs of a downloaded file into a folder, under their names and with our modes.
func (a asset) unpack(ctx context.Context, file, into string) error {
	var members func(string, func(member) error) error
	switch {
	case strings.HasSuffix(a.url, ".tar.gz"):
		members = tarMembers
	case strings.HasSuffix(a.url, ".zip"):
		members = zipMembers
	default:
		name, ok := a.take[path.Base(a.url)]
		if !ok {
			return fmt.Errorf("%s names no program", a.url)
		}
		return errors.Join(os.Chmod(file, 0o755), os.Rename(file, filepath.Join(into, name)))
	}
	return members(file, func(m member) error {
		name := path.Clean(m.name)
		if !filepath.IsLocal(name) || strings.Contains(name, `\`) {
			return &refusal{fmt.Errorf("it has %q, which leaves the folder", m.name)}
		}
		as, ok := a.wanted(name)
		switch {
		case !ok || m.kind.IsDir():
			return nil
		case !m.kind.IsRegular():
			return &refusal{fmt.Errorf("its %s is no file but a %s", m.name, m.kind)}
		}
		from, err := m.open()
		if err != nil {
			return err
		}
		defer from.Close()
		to, err := os.OpenFile(filepath.Join(into, as), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
		if err != nil {
			return err
		}
		defer to.Close()
		_, err = io.Copy(to, readerFunc(func(p []byte) (int, error) {
			if ctx.Err() != nil {
				return 0, ctx.Err()
			}
			return from.Read(p)
		}))
		return errors.Join(err, to.Close())
	})
}

// wanted is the name under which a member is taken.
func (a asset) wanted(member string) (as string, ok bool) {
	for pattern, as := range a.take {
		if ok, err := path.Match(here.in(pattern), member); err == nil && ok {
			if as == "" {
				as = path.Base(member)
			}
			return as, true
		}
	}
	return "", false
}

// member is a file, or something else, in an archive.
type member struct {
	name string
	kind os.FileMode // its type alone
	open func() (io.ReadCloser, error)
}

func tarMembers(file string, visit func(member) error) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return err
	}
	archive := tar.NewReader(io.LimitReader(unzipped, maxUnpacked))
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		kind := os.ModeIrregular // of hard links too, which tar's FileInfo takes for files
		switch header.Typeflag {
		case tar.TypeXGlobalHeader:
			continue
		case tar.TypeReg:
			kind = 0
		case tar.TypeDir:
			kind = os.ModeDir
		}
		if err := visit(
			member{header.Name, kind, func() (io.ReadCloser, error) { return io.NopCloser(archive), nil }},
		); err != nil {
			return err
		}
	}
}

func zipMembers(file string, visit func(member) error) error {
	archive, err := zip.OpenReader(file)
	if err != nil {
		return err
	}
	defer archive.Close()
	left := uint64(maxUnpacked)
	for _, f := range archive.File {
		if f.UncompressedSize64 > left { // the reader gives no more than that
			return errors.New("it has more than can be right")
		}
		left -= f.UncompressedSize64
		if err := visit(member{f.Name, f.Mode().Type(), f.Open}); err != nil {
			return err
		}
	}
	return nil
}
