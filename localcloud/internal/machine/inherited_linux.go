package machine

import (
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// unblockSignals starts this program again, in its own place, where it was started with signals blocked: that a
// thread takes them does not reach the threads that are to come.
func unblockSignals() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var none, blocked unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &none, &blocked); err != nil || blocked == none {
		return err
	}
	return unix.Exec("/proc/self/exe", os.Args, os.Environ())
}

// closeOnExec keeps the files that were open from the start, beside the standard ones, from what this process starts.
func closeOnExec() {
	open, _ := os.ReadDir("/proc/self/fd")
	for _, file := range open {
		if fd, err := strconv.Atoi(file.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
}
