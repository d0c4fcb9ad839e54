// Package machine checks and prepares the machine that the local cloud runs on.
package machine

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// DropInherited resets what this process inherited and what the local cloud's programs would inherit in turn: the umask
// (a strict one closes an image's root to its user), blocked signals, open files such as another program's lock, a low
// limit of open files, and core dumps.
func DropInherited() error {
	if err := unblockSignals(); err != nil {
		return fmt.Errorf("unblocking signals: %w", err)
	}
	closeOnExec()
	unix.Umask(0o022)
	for limit, change := range map[int]func(*syscall.Rlimit){
		syscall.RLIMIT_CORE: func(l *syscall.Rlimit) { l.Cur = 0 },
		// The Go runtime raises this limit only for its own process. A node's containers get the maximum.
		syscall.RLIMIT_NOFILE: func(l *syscall.Rlimit) { l.Cur = l.Max },
	} {
		var have syscall.Rlimit
		if err := syscall.Getrlimit(limit, &have); err != nil {
			return fmt.Errorf("reading limits: %w", err)
		}
		change(&have)
		if err := syscall.Setrlimit(limit, &have); err != nil {
			return fmt.Errorf("setting limits: %w", err)
		}
	}
	return nil
}

// CheckLimits returns an error if a limit of this process is too low for a control plane.
func CheckLimits() error {
	for _, of := range []struct {
		limit      int
		what, flag string
		need, unit uint64
	}{
		{unix.RLIMIT_NOFILE, "open files", "-n", 4096, 1},
		{unix.RLIMIT_FSIZE, "a file's size", "-f", 2 << 30, 1 << 10},
		{unix.RLIMIT_AS, "virtual memory", "-v", 64 << 30, 1 << 10},
		{unix.RLIMIT_DATA, "data", "-d", 64 << 30, 1 << 10},
		{unix.RLIMIT_CPU, "processor time", "-t", 1 << 40, 1},
	} {
		var have unix.Rlimit
		if err := unix.Getrlimit(of.limit, &have); err != nil {
			return fmt.Errorf("reading limits: %w", err)
		}
		// The Go runtime of each program raises its soft limit of open files to the hard limit.
		if of.limit == unix.RLIMIT_NOFILE {
			have.Cur = have.Max
		}
		if have.Cur < of.need {
			return fmt.Errorf("the limit of %s (`ulimit %s`) is %d, but the local cloud needs at least %d: raise it and try "+
				"again", of.what, of.flag, have.Cur/of.unit, of.need/of.unit)
		}
	}
	if dir := os.TempDir(); !isFolder(dir) {
		return fmt.Errorf("TMPDIR is %s, which is not a folder: set it to a folder, or unset it", dir)
	}
	return nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
