// Package machine has what the local cloud needs of the machine that it runs on, and takes nothing from it that would
// harm it.
package machine

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// DropInherited ends what this process has of the one that started it and what it starts would have too, for as long
// as the local cloud runs: a file mode mask, with which an image's root is closed to its user, signals that are
// blocked, files that are open, such as another program's lock, a low limit of open files, and the permission to
// write what is in memory to a disk.
func DropInherited() error {
	if err := unblockSignals(); err != nil {
		return fmt.Errorf("unblocking signals: %w", err)
	}
	closeOnExec()
	unix.Umask(0o022)
	for limit, change := range map[int]func(*syscall.Rlimit){
		syscall.RLIMIT_CORE: func(l *syscall.Rlimit) { l.Cur = 0 },
		// Go raises it for itself alone. The containers of a node have as many as there are.
		syscall.RLIMIT_NOFILE: func(l *syscall.Rlimit) { l.Cur = l.Max },
	} {
		var have syscall.Rlimit
		if err := syscall.Getrlimit(limit, &have); err != nil {
			return fmt.Errorf("looking for limits: %w", err)
		}
		change(&have)
		if err := syscall.Setrlimit(limit, &have); err != nil {
			return fmt.Errorf("setting limits: %w", err)
		}
	}
	return nil
}

// CheckLimits says early which limit of this process is too low for a control plane.
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
			return fmt.Errorf("looking for limits: %w", err)
		}
		// The Go runtime raises the first limit of open files as far as the second, in each of the programs.
		if of.limit == unix.RLIMIT_NOFILE {
			have.Cur = have.Max
		}
		if have.Cur < of.need {
			return fmt.Errorf(
				"the limit of %s (`ulimit %s`) is %d, and the local cloud needs %d or more: raise it, and try again",
				of.what,
				of.flag,
				have.Cur/of.unit,
				of.need/of.unit,
			)
		}
	}
	if dir := os.TempDir(); !isFolder(dir) {
		return fmt.Errorf("TMPDIR names %s, which is no folder: set it to one, or not at all", dir)
	}
	return nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
