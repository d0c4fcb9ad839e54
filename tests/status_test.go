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

// killProgram ends a program of the cloud's that has the arguments among its own, and which is started again.
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

// TestStatus_ReportsKilledPrograms of the API server, and of the kubelet where there is one.
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
		t.Fatalf("a cluster that is ready:\n%s", before)
	}
	programs := []string{"kube-apiserver"}
	if strings.Contains(before, " kubelet ") {
		programs = append(programs, "kubelet", "secrets-store-csi-driver")
	}
	for _, program := range programs {
		c.killProgram(t, program)
		// It may be back before anybody looks: then its end is told beside it.
		eventually(t, "the end of "+program+" is seen", func() bool {
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
	if len(programs) > 1 { // all that is on the node ends with its first process, and so does the supervisor
		c.killProgram(t, "localcloud", "on-node")
		eventually(t, "the node's end is seen", func() bool {
			return strings.Contains(show("logs", "aks-keyvault-cluster/supervisor"), "the node's first process ended")
		})
		eventually(t, "the node is back", func() bool {
			now := status()
			return strings.Contains(now, ready) && !strings.Contains(now, "not ready")
		})
	}
	for _, name := range append(programs, "supervisor", "etcd") {
		if show("logs", "aks-keyvault-cluster/"+name) == "" && name != "supervisor" {
			t.Errorf("%s has said nothing", name)
		}
	}
	if said := show("logs", "aks-keyvault-cluster/supervisor"); !strings.Contains(said, "kube-apiserver ended") {
		t.Errorf("the supervisor says %q", said)
	}
}
