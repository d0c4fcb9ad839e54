package thirdparty

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"
)

// cacheDir returns the unit's folder in the cache. Its name depends on everything that affects the build, so that
// checkouts share a folder only if their builds are the same.
func (u unit) cacheDir(pins fs.FS, cache string) (string, error) {
	h := sha256.New()
	dirs, err := standInsOf(pins, u)
	if err != nil {
		return "", fmt.Errorf("reading the pins of %s: %w", u.name, err)
	}
	for _, part := range u.parts() {
		dirs = append(dirs, part.dir)
	}
	for _, dir := range dirs {
		err := fs.WalkDir(pins, dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			content, err := fs.ReadFile(pins, path)
			fmt.Fprintf(h, "%s %d\n%s", d.Name(), len(content), content)
			return err
		})
		if err != nil {
			return "", fmt.Errorf("reading the pins of %s: %w", u.name, err)
		}
	}
	for _, part := range u.parts() {
		fmt.Fprint(h, runtime.GOOS, runtime.GOARCH, runtime.Version(),
			part.buildArgs(), part.programs, part.filesOf, part.files)
	}
	return filepath.Join(cache, u.name+"-"+hex.EncodeToString(h.Sum(nil))[:12]), nil
}

// standInsOf returns the folders of the stand-in modules that the unit's go.mod files use.
func standInsOf(pins fs.FS, u unit) (dirs []string, err error) {
	all, err := fs.ReadDir(pins, standIns)
	if err != nil {
		return nil, err
	}
	for _, part := range u.parts() {
		mod, err := fs.ReadFile(pins, path.Join(part.dir, "go.mod"))
		if err != nil {
			return nil, err
		}
		for _, one := range all {
			if bytes.Contains(mod, []byte("../"+path.Base(standIns)+"/"+one.Name()+"\n")) {
				dirs = append(dirs, path.Join(standIns, one.Name()))
			}
		}
	}
	return dirs, nil
}

// enoughDisk returns an error if fewer than need bytes are free in the cache.
func enoughDisk(cache string, need uint64, what string) error {
	var disk unix.Statfs_t
	if err := unix.Statfs(cache, &disk); err != nil {
		return fmt.Errorf("checking disk space: %w", err)
	}
	if free := disk.Bavail * uint64(disk.Bsize); free < need {
		return fmt.Errorf("%s has %d MiB free, but %s needs up to %d MiB: free some space or move the cache with "+
			"XDG_CACHE_HOME", cache, free>>20, what, need>>20)
	}
	return nil
}

// whole reports whether dir has all files that build puts there: tools that clean up caches may have removed some.
func (u unit) whole(dir string) bool {
	names := u.names()
	for _, file := range u.files {
		names = append(names, filepath.Base(file))
	}
	return holds(dir, names)
}

// holds reports whether dir has files with these names that are neither empty nor truncated. A power failure can leave
// such files.
func holds(dir string, names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool {
		info, err := os.Stat(filepath.Join(dir, name))
		return err != nil || !info.Mode().IsRegular() || info.Size() == 0 || cutOff(filepath.Join(dir, name), info.Size())
	})
}

// cutOff reports whether an ELF file is shorter than its headers say. It returns false for other kinds of files.
func cutOff(file string, size int64) bool {
	f, err := os.Open(file)
	if err != nil {
		return true
	}
	defer f.Close()
	magic := make([]byte, len(elf.ELFMAG))
	if _, err := io.ReadFull(f, magic); err != nil || string(magic) != elf.ELFMAG {
		return false
	}
	program, err := elf.NewFile(f)
	return err != nil || slices.ContainsFunc(program.Progs, func(p *elf.Prog) bool {
		return p.Filesz > uint64(size) || p.Off > uint64(size)-p.Filesz
	})
}

// wholeOrNot creates dir completely or not at all: fill fills a folder beside it, which is then renamed. It replaces an
// existing dir.
func wholeOrNot(dir string, fill func(part string) error) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("creating the cache: %w", err)
	}
	part, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+partMark)
	if err != nil {
		return fmt.Errorf("creating a folder in the cache: %w", err)
	}
	defer os.RemoveAll(part)
	if err := os.Chmod(part, 0o755); err != nil {
		return err
	}
	if err := fill(part); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(dir), os.Rename(part, dir)); err != nil {
		return fmt.Errorf("moving %s into the cache: %w", filepath.Base(dir), err)
	}
	return nil
}

const partMark = ".part-"

// removeParts removes what killed builds have left in the cache. The caller must hold the cache's lock.
func removeParts(cache string) {
	parts, _ := filepath.Glob(filepath.Join(cache, "*"+partMark+"*"))
	for _, part := range parts {
		_ = os.RemoveAll(part)
	}
}

// lockCache waits until no other process changes the cache: two builds of the same programs would both take twice as
// long.
func lockCache(ctx context.Context, cache string, say func(string, ...any)) (unlock func(), err error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("creating the cache: %w", err)
	}
	lock := flock.New(filepath.Join(cache, "lock"))
	for {
		waiting, cancel := context.WithTimeout(ctx, 10*time.Second)
		_, err := lock.TryLockContext(waiting, 100*time.Millisecond)
		cancel()
		switch {
		case err == nil:
			return func() { _ = lock.Unlock() }, nil
		case ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded):
			return nil, fmt.Errorf("locking the cache: %w", err)
		}
		say("waiting for another command that changes the third-party programs in %s", cache)
	}
}
