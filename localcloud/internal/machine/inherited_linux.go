package machine

import (
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// unblockSignals replaces this process by a new run of the program if it was started with blocked signals. Unblocking
// them in one thread would not affect the runtime's later threads.
func unblockSignals() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var none, blocked unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &none, &blocked); err != nil || blocked == none {
		return err
	}
	return unix.Exec("/proc/self/exe", os.Args, os.Environ())
}

// closeOnExec keeps inherited files, except the standard ones, from the programs that this process starts.
func closeOnExec() {
	open, _ := os.ReadDir("/proc/self/fd")
	for _, file := range open {
		if fd, err := strconv.Atoi(file.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
}
