package machine

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keyvault-aks/keyvault-aks/localcloud/kube"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// CheckCompilers returns an error if a compiler is missing for the programs that the local cloud runs.
func CheckCompilers() error {
	for _, program := range []string{"go", "cc"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is not on PATH, but the local cloud builds programs: install Go and a C compiler "+
				"(on Debian: apt-get install golang gcc)", program)
		}
	}
	return nil
}

// EnoughDisk returns an error if a folder has less than need bytes of free space.
func EnoughDisk(dir string, need uint64) error {
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		return fmt.Errorf("checking disk space: %w", err)
	}
	if free := disk.Bavail * uint64(disk.Bsize); free < need {
		return fmt.Errorf("%s has %d MiB free, but a node needs %d MiB: free some space or choose another folder with --home",
			dir, free>>20, need>>20)
	}
	return nil
}

// InstallPackages installs Debian packages and reports its progress.
func InstallPackages(ctx context.Context, names []string, say func(format string, args ...any)) error {
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("the node needs %s, but there is no apt-get: install them by hand", strings.Join(names, ", "))
	}
	say("installing Debian packages: %s", strings.Join(names, ", "))
	install := append([]string{"install", "--yes", "--no-install-recommends"}, names...)
	for _, args := range [][]string{{"update"}, install} {
		if err := ctx.Err(); err != nil {
			return err
		}
		// An interrupted dpkg leaves packages half configured. Its own process group protects it from Ctrl-C.
		cmd := exec.Command("apt-get", append([]string{"-qq", "-o=Dpkg::Use-Pty=0"}, args...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Env = append(thirdparty.OutsideEnv(), "DEBIAN_FRONTEND=noninteractive")
		stop := thirdparty.Waiting(func(passed time.Duration) { say("  apt-get %s: %s", args[0], passed) })
		impatient := context.AfterFunc(ctx, func() { say("interrupted: waiting for apt-get %s to finish", args[0]) })
		out, err := cmd.CombinedOutput()
		impatient()
		stop()
		if err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, out)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if left := kube.RealNode.MissingPackages(); len(left) > 0 {
		return fmt.Errorf("packages are installed, but their programs are not found: %s", strings.Join(left, ", "))
	}
	return nil
}
