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

// machineDir is the path of a cluster's folder inside its namespaces. It is short, for the paths of sockets.
const machineDir = "/run/aks"

// nodeAddress is the first address that AKS assigns to a node in its default virtual network.
const nodeAddress = "10.224.0.4"

// ownProgram returns a path to this program that stays valid if the file is replaced by a newer build.
func ownProgram() string { return "/proc/self/exe" }

// isolate gives the supervisor its own processes, mounts, host name and network, and ends it with its parent.
func isolate(cmd *exec.Cmd) {
	const network = syscall.CLONE_NEWUTS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | network,
		Pdeathsig:  syscall.SIGKILL,
	}
}

// endWithParent makes the kernel end a program when the supervisor ends, for whatever reason.
func endWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

func lockThread() (unlock func()) {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}

// end ends the supervisor. If that is the first process of its own namespaces, the kernel ends all others with it.
func end(cmd *exec.Cmd, done <-chan struct{}) {
	if cmd.SysProcAttr == nil || cmd.SysProcAttr.Cloneflags == 0 {
		select { // the supervisor ends its children first
		case <-done:
			return
		case <-time.After(10 * time.Second):
		}
	}
	_ = cmd.Process.Kill()
}

// enterMachine prepares new namespaces for the control plane: the cluster's folder is at machineDir, /run is private,
// changes to /var are discarded, and there is a network, which the node shares.
func enterMachine(dir string) error {
	if err := mountMachine(dir); err != nil {
		return fmt.Errorf("mounting the cluster's file system: %w", err)
	}
	if err := connectMachine(); err != nil {
		return fmt.Errorf("creating the cluster's network: %w", err)
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
	err := mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") // mounts in here stay invisible outside
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
		err = mount(dir, filepath.Join(run, "aks"), "", unix.MS_BIND, "") // dir may be in /run, which is covered below
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

// coverKernelParameters gives the kubelet copies of the kernel parameters that it sets when it starts
// (k8s.io/component-helpers/node/util/sysctl), so that the machine keeps its own.
func coverKernelParameters(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range []string{
		"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys",
		"kernel/keys/root_maxbytes",
	} {
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

// connectMachine adds the node's address to the loopback device. The network leads nowhere else.
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

// reapUntilExit starts a process and reaps every process that ends, as the first process of a machine must. It returns
// the exit status of the process that it started.
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

// cgroupRoot returns the name of the control group of a cluster's pods. It depends on the cluster's folder.
func cgroupRoot(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return "/keyvault-aks-" + hex.EncodeToString(sum[:4])
}

const cgroupMount = "/sys/fs/cgroup"

// cgroupHierarchies returns the mount points where control groups must be created: one with cgroup v2, one for each
// controller with v1.
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
			return fmt.Errorf("creating control group %s: %w", root, err)
		}
		// Nothing can run in a new cpuset, which is empty, until it has its parent's values.
		for _, f := range []string{"cpuset.cpus", "cpuset.mems"} {
			if value, err := os.ReadFile(filepath.Join(h, f)); err == nil && filepath.Base(h) == "cpuset" {
				if err := os.WriteFile(filepath.Join(h, root, f), value, 0o644); err != nil {
					return fmt.Errorf("configuring control group %s: %w", root, err)
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

// removeCgroups removes the control groups of a cluster whose processes have ended. It retries, since the kernel
// releases the last processes a moment later.
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
			slices.Reverse(dirs) // remove inner ones first
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

// CanRunRealNode returns an error if this machine cannot run a real node. It tries everything short of starting
// programs: there is no other way to find out what a container's root may do.
var CanRunRealNode = sync.OnceValue(func() error {
	if os.Geteuid() != 0 {
		return errors.New("not root")
	}
	for _, h := range cgroupHierarchies() {
		if err := unix.Access(h, unix.W_OK); err != nil {
			return fmt.Errorf("creating control groups in %s: %w", h, err)
		}
	}
	// Do not use TMPDIR: an unusable one says nothing about the machine.
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
	defer lockThread()() // the kernel would end the process together with the thread that started it
	why, err := cmd.Output()
	switch {
	case len(why) > 0:
		return errors.New(strings.TrimSpace(string(why)))
	case err != nil:
		return fmt.Errorf("creating namespaces: %w", err)
	}
	return nil
})
