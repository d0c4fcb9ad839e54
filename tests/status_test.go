package tests

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// killProgram kills one of the cloud's programs, which has the given arguments. The cloud must start it again.
func (c *cloud) killProgram(t *testing.T, name string, with ...string) {
	t.Helper()
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		arguments, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		program, rest, _ := bytes.Cut(arguments, []byte{0})
		environment, _ := os.ReadFile(filepath.Join(dir, "environ"))
		ours := bytes.Contains(rest, []byte(c.home)) || bytes.Contains(environment, []byte(c.home))
		for _, argument := range with {
			ours = ours && bytes.Contains(rest, []byte(argument+"\x00"))
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || filepath.Base(string(program)) != name || !ours {
			continue
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("there is no %s to kill", name)
}

// TestStatus_ReportsKilledPrograms kills the API server, and on a real node the kubelet, the driver and the node
// itself. It checks that status and logs report each end, and that the cloud starts them again.
func TestStatus_ReportsKilledPrograms(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.up(t)
	show := func(args ...string) string {
		t.Helper()
		out, err := c.command(t, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	status := func() string { return show("status") }
	const ready = "aks-keyvault-cluster: ready, provisioning state Succeeded"
	before := status()
	if !strings.Contains(before, ready) || strings.Contains(before, "not ready") {
		t.Fatalf("status of a ready cluster, want %q:\n%s", ready, before)
	}
	programs := []string{"kube-apiserver"}
	if strings.Contains(before, " kubelet ") {
		programs = append(programs, "kubelet", "secrets-store-csi-driver")
	}
	for _, program := range programs {
		c.killProgram(t, program)
		// It may be back before status looks; status then mentions its end beside it.
		eventually(t, "status reports the end of "+program, func() bool {
			for line := range strings.Lines(status()) {
				if words := strings.Fields(line); len(words) > 0 && words[0] == program {
					return strings.Contains(line, "not ready: ended") || strings.Contains(line, "ended unexpectedly")
				}
			}
			return false
		})
		eventually(t, program+" is back", func() bool {
			now := status()
			return strings.Contains(now, ready) && !strings.Contains(now, "not ready")
		})
	}
	if len(programs) > 1 { // everything on the node ends with its first process, also the supervisor
		c.killProgram(t, "localcloud", "on-node")
		eventually(t, "the log reports the node's end", func() bool {
			return strings.Contains(show("logs", "aks-keyvault-cluster/supervisor"), "the node's first process ended")
		})
		eventually(t, "the node is back", func() bool {
			now := status()
			return strings.Contains(now, ready) && !strings.Contains(now, "not ready")
		})
	}
	for _, name := range append(programs, "supervisor", "etcd") {
		if show("logs", "aks-keyvault-cluster/"+name) == "" && name != "supervisor" {
			t.Errorf("%s has logged nothing", name)
		}
	}
	if printed := show("logs", "aks-keyvault-cluster/supervisor"); !strings.Contains(printed, "kube-apiserver ended") {
		t.Errorf("the supervisor logged %q, want the API server's end", printed)
	}
}
