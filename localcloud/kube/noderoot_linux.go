package kube

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// namespaces are the node's namespaces of processes and of mounts.
type namespaces struct{ processes, mounts *os.File }

// makeNode starts the first process of the node's namespaces and returns when their file system is ready. When that
// process ends, all others on the node end too. The supervisor then exits, so that the cluster is restarted.
func (s *supervisor) makeNode(ctx context.Context) (*namespaces, error) {
	cmd := exec.Command(ownProgram())
	cmd.Args = []string{os.Args[0], SupervisorCommand, onNode, s.Dir}
	for _, program := range []string{thirdparty.Kubelet, thirdparty.CSIDriver, thirdparty.AzureProvider} {
		if folder := filepath.Dir(s.Programs[program]); !slices.Contains(cmd.Args, folder) {
			cmd.Args = append(cmd.Args, folder)
		}
	}
	cmd.Env = nodeEnvironment()
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
	}
	report, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	wait, err := startOnThread(cmd, func(*exec.Cmd) error { return nil })
	if err != nil {
		return nil, err
	}
	said, err := bufio.NewReader(report).ReadString('\n')
	if err == nil && said != reportReady+"\n" {
		err = errors.New(strings.TrimSpace(said))
	}
	if err != nil {
		_ = cmd.Process.Kill()
		_ = wait()
		return nil, err
	}
	of := fmt.Sprintf("/proc/%d/ns/", cmd.Process.Pid)
	n := new(namespaces)
	if n.processes, err = os.Open(of + "pid"); err != nil {
		return nil, err
	}
	if n.mounts, err = os.Open(of + "mnt"); err != nil {
		return nil, err
	}
	go func() {
		if err := wait(); ctx.Err() == nil {
			fmt.Fprintf(os.Stderr, "the node's first process ended: %v\n", err)
			os.Exit(1)
		}
	}()
	return n, nil
}

// enter moves the calling thread to the node's file system, and makes the program that it starts one of the node's
// processes. These end with the first of them, so Pdeathsig is not needed. It would end the program at once, since the
// parent has no id among the node's processes.
func (n *namespaces) enter(program *exec.Cmd) error {
	program.SysProcAttr.Pdeathsig = 0
	if err := unix.Unshare(unix.CLONE_FS); err != nil { // Setns requires it for mount namespaces
		return fmt.Errorf("entering the node: %w", err)
	}
	for file, kind := range map[*os.File]int{n.processes: unix.CLONE_NEWPID, n.mounts: unix.CLONE_NEWNS} {
		if err := unix.Setns(int(file.Fd()), kind); err != nil {
			return fmt.Errorf("entering the node: %w", err)
		}
	}
	return nil
}

// beNode runs the first process of a node until it is killed. It reports when the node's file system is ready.
func beNode(report io.Writer, dir string, programs []string) error {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	if err := enterNode(dir, programs); err != nil {
		fmt.Fprintln(report, err)
		return err
	}
	fmt.Fprintln(report, reportReady)
	for range ended { // reap processes whose parent has ended
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 && !errors.Is(err, syscall.EINTR) {
				break
			}
		}
	}
	return nil
}

// newRoot is where enterNode creates the node's root, in the cluster's own /run.
const newRoot = "/run/root"

// enterNode replaces the root of the calling process's mount namespace by the node's. The node's root has the machine's
// system programs and the given folders of programs, and discards changes to them; a few settings; devices that do not
// lead to the machine's disks; and the node's folders in dir, the cluster's folder. No other files of the machine are
// reachable.
func enterNode(dir string, programs []string) error {
	m := &mounter{root: filepath.Join(newRoot, "root")}
	m.mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	m.do(os.MkdirAll(newRoot, 0o755))
	m.mount("tmpfs", newRoot, "tmpfs", 0, "mode=0755")
	m.do(os.MkdirAll(m.root, 0o755))
	m.mount(m.root, m.root, "", unix.MS_BIND, "")

	m.system("/usr")
	for _, name := range []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"} {
		m.system(name)
	}
	m.hide("/usr/local")
	for _, folder := range programs {
		m.system(folder)
	}
	m.settings(dir)
	m.devices()
	for _, name := range []string{
		"/proc", "/sys", "/root", "/mnt", "/opt", "/run/tmp", "/var/lib", "/var/log", "/var/tmp", "/tmp",
	} {
		m.folder(name)
	}
	for _, name := range []string{"/tmp", "/var/tmp", "/run/tmp"} {
		m.do(os.Chmod(m.at(name), 0o777|fs.ModeSticky))
	}
	m.link("/run", "/var/run")
	m.mount("proc", m.at("/proc"), "proc", 0, "")
	m.mount("/sys", m.at("/sys"), "", unix.MS_BIND|unix.MS_REC, "")
	for _, name := range nodeFolders {
		if source := filepath.Join(dir, name); m.has(source) {
			m.folder(source)
			m.mount(source, m.at(source), "", unix.MS_BIND, "")
		}
	}
	// Pivot puts the machine's root over the new one. Unmount it.
	m.do(os.Chdir(m.root))
	m.do(unix.PivotRoot(".", "."))
	m.do(unix.Unmount(".", unix.MNT_DETACH))
	m.do(os.Chdir("/"))
	m.do(coverKernelParameters("/run/sys"))
	m.mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "") // so that pods see what the CSI driver mounts
	return m.err
}

// mounter builds a root and keeps the first error.
type mounter struct {
	root   string
	lowers int
	err    error
}

// at returns where a path of the node is while its root is being built.
func (m *mounter) at(path string) string { return filepath.Join(m.root, path) }

func (m *mounter) do(err error) {
	if m.err == nil {
		m.err = err
	}
}

func (m *mounter) mount(source, target, kind string, flags uintptr, data string) {
	if m.err != nil {
		return
	}
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		m.err = fmt.Errorf("mounting %s on %s: %w", source, target, err)
	}
}

func (m *mounter) has(path string) bool {
	_, err := os.Lstat(path)
	return m.err == nil && err == nil
}

func (m *mounter) folder(path string) { m.do(os.MkdirAll(m.at(path), 0o755)) }

func (m *mounter) write(path, content string) { m.do(os.WriteFile(m.at(path), []byte(content), 0o644)) }

func (m *mounter) link(target, path string) { m.do(os.Symlink(target, m.at(path))) }

// system shows a folder of the machine, or a link, to the node. The node's changes to it stay in the node. A read-only
// mount would not be enough: a container's root can make it writable.
func (m *mounter) system(path string) {
	if !m.has(path) {
		return
	}
	if target, err := os.Readlink(path); err == nil {
		m.link(target, path)
		return
	}
	m.lowers++
	layers := filepath.Join(newRoot, fmt.Sprint(m.lowers)) // without characters that are special in mount options
	for _, name := range []string{"lower", "upper", "work"} {
		m.do(os.MkdirAll(filepath.Join(layers, name), 0o755))
	}
	m.folder(path)
	m.mount(path, filepath.Join(layers, "lower"), "", unix.MS_BIND, "")
	options := strings.ReplaceAll("lowerdir=D/lower,upperdir=D/upper,workdir=D/work", "D", layers)
	m.mount("overlay", m.at(path), "overlay", 0, options)
}

// hide empties a folder of the machine that the node sees.
func (m *mounter) hide(path string) {
	if m.has(path) {
		m.mount("tmpfs", m.at(path), "tmpfs", 0, "mode=0755")
	}
}

// settings creates /etc, with the machine's settings that programs need to start and the node's own.
func (m *mounter) settings(dir string) {
	m.folder("/etc")
	for _, name := range []string{"/etc/alternatives", "/etc/ssl/certs"} {
		m.system(name)
	}
	for _, name := range []string{"ld.so.cache", "ld.so.conf", "nsswitch.conf", "protocols", "services", "resolv.conf"} {
		content, err := os.ReadFile(filepath.Join("/etc", name))
		if err == nil || name == "resolv.conf" { // containers get a copy of resolv.conf, so it must exist
			m.write(filepath.Join("/etc", name), string(content))
		}
	}
	hostname, _ := os.Hostname()
	m.write("/etc/hostname", hostname+"\n")
	m.write("/etc/hosts", "127.0.0.1 localhost\n"+nodeAddress+" "+hostname+"\n")
	m.write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
	m.write("/etc/group", "root:x:0:\nnogroup:x:65534:\n")
	m.write("/etc/machine-id", fmt.Sprintf("%.16x\n", sha256.Sum256([]byte(dir+os.Getenv(machineFolder)))))
	m.link("../usr/lib/os-release", "/etc/os-release")
}

// devices creates /dev with the devices that the kubelet and containers need. A privileged container gets all of them,
// so there are no disks among them.
func (m *mounter) devices() {
	m.folder("/dev")
	m.mount("tmpfs", m.at("/dev"), "tmpfs", unix.MS_NOSUID, "mode=0755")
	for _, name := range []string{"pts", "shm", "net"} {
		m.folder(filepath.Join("/dev", name))
	}
	m.mount("devpts", m.at("/dev/pts"), "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
	m.mount("tmpfs", m.at("/dev/shm"), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777")
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty", "kmsg", "fuse", "net/tun"} {
		if device := filepath.Join("/dev", name); m.has(device) {
			m.write(device, "")
			m.mount(device, m.at(device), "", unix.MS_BIND, "")
		}
	}
	for name, target := range map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd",
		"stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		m.link(target, filepath.Join("/dev", name))
	}
}
