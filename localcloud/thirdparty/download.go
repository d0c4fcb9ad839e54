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

// Limits for downloads. The largest release, azure-native, has about 200 MB compressed.
const (
	maxDownload = 1 << 30
	maxUnpacked = 4 << 30 // of one archive
	maxSums     = 1 << 20
)

// tries is how often a download is attempted, including attempts that continue it.
const tries = 3

// refusal is an error of a release that the user should know about. Building the program instead would hide it.
type refusal struct{ error }

// network downloads files.
type network struct {
	client  *http.Client
	silence time.Duration // how long a server may be silent before the download is retried
	pause   time.Duration // before the first retry; twice and three times as long before later ones
}

// outside is the network of this process's environment, without a local cloud's proxy (see OutsideEnv).
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

// machinesCertificates returns the CAs that this machine trusts, instead of those that a local cloud's environment
// sets, or nil for the default ones. It must be called before the process uses any certificates.
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

// overTLS returns a client that follows only redirects to https.
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
	req.Header.Set("Accept-Encoding", "identity") // otherwise the transport would decompress archives
	resp, err := n.client.Do(req)                 //nolint:gosec // of the table of releases
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, withoutURL(err))
	}
	return resp, nil
}

// withoutURL removes the URL from a client's error, since a redirect's URL may have a password or a signature.
func withoutURL(err error) error {
	if known := (*url.Error)(nil); errors.As(err, &known) {
		return known.Err
	}
	return err
}

// errSlow is returned if a server does not answer within decisionTime.
var errSlow = errors.New("no answer in time")

// probe returns an error if a file is not available.
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

// checksum is the expected checksum of a file.
type checksum struct {
	hash crypto.Hash
	sum  string // in hexadecimal
	from string // its source
}

// checksum returns the asset's expected checksum.
func (a asset) checksum(ctx context.Context, n *network) (checksum, error) {
	if sum, ok := a.pinned[here.String()]; ok {
		return checksum{crypto.SHA256, sum, "pinned in localcloud/thirdparty/releases.go"}, nil
	}
	url := here.in(a.sums)
	var content text
	if err := n.read(ctx, url, &content, maxSums, nil); err != nil {
		return checksum{}, fmt.Errorf("getting the checksum of %s: %w", here.in(a.url), err)
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
	return checksum{}, fmt.Errorf("%s: %q is not a SHA-256 or SHA-512", url, sum)
}

// sumOf finds a file's checksum in the output of sha256sum and similar programs: lines with a checksum and a name, or
// only a checksum.
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
			return "", fmt.Errorf("%q is not a checksum", sum)
		}
		return sum, nil
	}
	return "", fmt.Errorf("there is no checksum of %s", name)
}

// get downloads the asset, verifies its checksum and unpacks its programs into a folder.
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

// tally counts the bytes of a download.
type tally struct{ done, total atomic.Int64 }

// tell reports the progress every ten seconds until stop is called.
func (t *tally) tell(title string, say func(string, ...any)) (stop func()) {
	return Waiting(func(passed time.Duration) {
		of := "" // the server may not tell the size
		if total := t.total.Load(); total > 0 {
			of = fmt.Sprintf(" of %d", total>>20)
		}
		say("  %s: %d%s MiB, %s", title, t.done.Load()>>20, of, passed)
	})
}

// download saves the contents of a URL to a file and verifies the checksum.
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
		return &refusal{fmt.Errorf("%s has the %s %s instead of %s (%s): it is not the published file, and is discarded",
			url, want.hash, given, want.sum, want.from)}
	}
	return nil
}

// target is a writer that can be reset to start again.
type target interface {
	io.Writer
	Reset() error
}

// text is a target in memory.
type text struct{ strings.Builder }

// Reset empties the text.
func (t *text) Reset() error { t.Builder.Reset(); return nil }

// hashedFile is a file that is hashed while it is written.
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

// read reads the contents of a URL. It retries an interrupted download, and continues where it stopped if the server
// supports that.
func (n *network) read(ctx context.Context, url string, to target, limit int64, progress *tally) error {
	if progress == nil {
		progress = &tally{}
	}
	var version string // ETag of the partial download
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

// readOnce makes one attempt for read, and reports whether it makes sense to try again.
func (n *network) readOnce(ctx context.Context, url string, to target, limit int64, progress *tally, version *string) (
	again bool, err error,
) {
	silent := fmt.Errorf("%s: the server has sent nothing for %s", url, n.silence)
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
	isRest := strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", have))
	switch {
	case resp.StatusCode == http.StatusPartialContent && isRest:
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
		*version = "" // a weak ETag does not guarantee the same bytes
	}
	if resp.ContentLength >= 0 {
		progress.total.Store(have + resp.ContentLength)
	}
	if have+resp.ContentLength > limit {
		return false, fmt.Errorf("%s has %d MiB, more than the limit of %d", url, (have+resp.ContentLength)>>20, limit>>20)
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
		return false, fmt.Errorf("%s has more than the limit of %d MiB", url, limit>>20)
	}
	return false, nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// writerOnly hides a file's ReadFrom, with which io.Copy would bypass the hash.
type writerOnly struct{ io.Writer }

// unpack unpacks the programs of a downloaded file into a folder, with the units' names and fixed modes.
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
			return fmt.Errorf("%s does not name a program", a.url)
		}
		return errors.Join(os.Chmod(file, 0o755), os.Rename(file, filepath.Join(into, name)))
	}
	return members(file, func(m member) error {
		name := path.Clean(m.name)
		if !filepath.IsLocal(name) || strings.Contains(name, `\`) {
			return &refusal{fmt.Errorf("it has a member %q, which leaves the folder", m.name)}
		}
		as, ok := a.wanted(name)
		switch {
		case !ok || m.kind.IsDir():
			return nil
		case !m.kind.IsRegular():
			return &refusal{fmt.Errorf("its %s is not a file but a %s", m.name, m.kind)}
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

// wanted returns the name under which a member is unpacked.
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

// member is a member of an archive.
type member struct {
	name string
	kind os.FileMode // only its type
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
		kind := os.ModeIrregular // also for hard links, which tar's FileInfo treats as files
		switch header.Typeflag {
		case tar.TypeXGlobalHeader:
			continue
		case tar.TypeReg:
			kind = 0
		case tar.TypeDir:
			kind = os.ModeDir
		}
		open := func() (io.ReadCloser, error) { return io.NopCloser(archive), nil }
		if err := visit(member{header.Name, kind, open}); err != nil {
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
		if f.UncompressedSize64 > left { // the reader stops at this size
			return fmt.Errorf("it has more than the limit of %d MiB", maxUnpacked>>20)
		}
		left -= f.UncompressedSize64
		if err := visit(member{f.Name, f.Mode().Type(), f.Open}); err != nil {
			return err
		}
	}
	return nil
}
