package kube

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// machineDir is where a cluster's folder is seen inside its namespaces: a short name, for the paths of sockets.
const machineDir = "/run/aks"

// nodeAddress is the first one that AKS gives to a node in its default virtual network.
const nodeAddress = "10.224.0.4"

// ownProgram is this program, also when its file was replaced by a newer build.
func ownProgram() string { return "/proc/self/exe" }

// isolate gives the supervisor its own processes, mounts, host name and network, and ends it with its parent.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
}

// endWithParent has the kernel end a program with the supervisor, however that ends.
func endWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

func lockThread() (unlock func()) {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}

// end ends the supervisor. In namespaces it is their first process, and the kernel ends all others with it.
func end(cmd *exec.Cmd, done <-chan struct{}) {
	if cmd.SysProcAttr == nil || cmd.SysProcAttr.Cloneflags == 0 {
		select { // it ends its children first
		case <-done:
			return
		case <-time.After(10 * time.Second):
		}
	}
	_ = cmd.Process.Kill()
}

// enterMachine makes of new namespaces those that the control plane runs in: the cluster's folder is at machineDir, /run is their
// own, changes to /var are thrown away, and there is a network, which is the node's too.
func enterMachine(dir string) error {
	if err := mountMachine(dir); err != nil {
		return fmt.Errorf("mounting the cluster's file system: %w", err)
	}
	if err := connectMachine(); err != nil {
		return fmt.Errorf("making the cluster's network: %w", err)
	}
	return nil
}

func mountMachine(dir string) error {
	scratch := filepath.Join(dir, "scratch")
	run, upper, work := filepath.Join(scratch, "run"), filepath.Join(scratch, "var"), filepath.Join(scratch, "work")
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return err
	}
	mount := func(source, target, kind string, flags uintptr, data string) error {
		if err := unix.Mount(source, target, kind, flags, data); err != nil {
			return fmt.Errorf("%s on %s: %w", source, target, err)
		}
		return nil
	}
	err := mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") // nothing that is mounted here is seen outside
	if err == nil {
		err = mount("proc", "/proc", "proc", 0, "")
	}
	if err == nil {
		err = mount("tmpfs", scratch, "tmpfs", 0, "mode=0755")
	}
	for _, d := range []string{filepath.Join(run, "aks"), filepath.Join(run, "tmp"), upper, work} {
		if err == nil {
			err = os.MkdirAll(d, 0o755)
		}
	}
	if err == nil {
		err = mount(dir, filepath.Join(run, "aks"), "", unix.MS_BIND, "") // before /run is covered
	}
	if err == nil {
		err = mount("overlay", "/var", "overlay", 0, "lowerdir=/var,upperdir="+upper+",workdir="+work)
	}
	if err == nil {
		err = mount(run, "/run", "", unix.MS_BIND|unix.MS_REC, "")
	}
	if err == nil {
		err = os.Setenv("TMPDIR", "/run/tmp")
	}
	return err
}

// coverKernelParameters gives the kubelet copies of the parameters that it sets for the whole machine when it starts
// (k8s.io/component-helpers/node/util/sysctl), so that the machine keeps its own.
func coverKernelParameters(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"} {
		parameter := filepath.Join("/proc/sys", name)
		value, err := os.ReadFile(parameter)
		if err != nil {
			return err
		}
		replica := filepath.Join(dir, strings.ReplaceAll(name, "/", "."))
		if err := os.WriteFile(replica, value, 0o644); err != nil {
			return err
		}
		if err := unix.Mount(replica, parameter, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("%s: %w", parameter, err)
		}
	}
	return nil
}

func setHostname(name string) error { return unix.Sethostname([]byte(name)) }

// connectMachine gives the node its address, on the loopback device: there is nothing beyond that it could lead to.
func connectMachine() error {
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(loopback); err != nil {
		return err
	}
	address, err := netlink.ParseAddr(nodeAddress + "/32")
	if err != nil {
		return err
	}
	return netlink.AddrAdd(loopback, address)
}

// reapUntilExit starts a second process that does the work and waits for every process that ends, as the first one of a
// machine must. It returns the exit status of the one that it started.
func reapUntilExit(args []string, files []uintptr) (int, error) {
	pid, err := syscall.ForkExec(ownProgram(), args, &syscall.ProcAttr{Env: os.Environ(), Files: files})
	if err != nil {
		return 0, err
	}
	for {
		var status syscall.WaitStatus
		ended, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 0, err
		case ended == pid:
			return status.ExitStatus(), nil
		}
	}
}

// cgroupRoot is the name of the control group that a cluster's pods are in: one for each folder.
func cgroupRoot(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return "/keyvault-aks-" + hex.EncodeToString(sum[:4])
}

const cgroupMount = "/sys/fs/cgroup"

// cgroupHierarchies are the mount points under which a control group is made: one with cgroup v2, one a controller with v1.
func cgroupHierarchies() []string {
	if _, err := os.Stat(filepath.Join(cgroupMount, "cgroup.controllers")); err == nil {
		return []string{cgroupMount}
	}
	entries, _ := os.ReadDir(cgroupMount)
	var dirs []string
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, filepath.Join(cgroupMount, e.Name()))
		}
	}
	return dirs
}

func makeCgroups(root string) error {
	for _, h := range cgroupHierarchies() {
		if err := os.MkdirAll(filepath.Join(h, root), 0o755); err != nil {
			return fmt.Errorf("making control group %s: %w", root, err)
		}
		// A new cpuset is empty, and nothing can run in it, until it has what its parent has.
		for _, f := range []string{"cpuset.cpus", "cpuset.mems"} {
			if value, err := os.ReadFile(filepath.Join(h, f)); err == nil && filepath.Base(h) == "cpuset" {
				if err := os.WriteFile(filepath.Join(h, root, f), value, 0o644); err != nil {
					return fmt.Errorf("filling control group %s: %w", root, err)
				}
			}
		}
	}
	if controllers, err := os.ReadFile(filepath.Join(cgroupMount, "cgroup.controllers")); err == nil {
		enable := "+" + strings.Join(strings.Fields(string(controllers)), " +")
		for _, dir := range []string{cgroupMount, filepath.Join(cgroupMount, root)} {
			if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(enable), 0o644); err != nil {
				return fmt.Errorf("delegating controllers to %s: %w", root, err)
			}
		}
	}
	return nil
}

// removeCgroups removes the control groups of a cluster whose processes have ended; the kernel lets go of the last ones a
// moment later.
func removeCgroups(root string) {
	for range 50 {
		left := false
		for _, h := range cgroupHierarchies() {
			var dirs []string
			_ = filepath.WalkDir(filepath.Join(h, root), func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					dirs = append(dirs, path)
				}
				return nil
			})
			slices.Reverse(dirs) // the inner ones first
			for _, d := range dirs {
				if err := syscall.Rmdir(d); err != nil && !errors.Is(err, syscall.ENOENT) {
					left = true
				}
			}
		}
		if !left {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// CanRunRealNode reports whether this machine can run a real node, or why not. It tries to, up to where programs would be started:
// what a container's root may do cannot be told otherwise.
var CanRunRealNode = sync.OnceValue(func() error {
	if os.Geteuid() != 0 {
		return errors.New("not root")
	}
	for _, h := range cgroupHierarchies() {
		if err := unix.Access(h, unix.W_OK); err != nil {
			return fmt.Errorf("making control groups in %s: %w", h, err)
		}
	}
	// Not in TMPDIR: one that cannot be used says nothing about the machine.
	dir, err := os.MkdirTemp("/run", "node-")
	if err != nil {
		dir, err = os.MkdirTemp("/tmp", "node-")
	}
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command(ownProgram())
	cmd.Args = []string{os.Args[0], SupervisorCommand, triedMachine}
	cmd.Env = append(os.Environ(), machineFolder+"="+dir)
	isolate(cmd)
	defer lockThread()() // the kernel ends it with the thread that started it
	why, err := cmd.Output()
	switch {
	case len(why) > 0:
		return errors.New(strings.TrimSpace(string(why)))
	case err != nil:
		return fmt.Errorf("making namespaces: %w", err)
	}
	return nil
})
