package kube

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// lookAround follows SupervisorCommand in a process that becomes a node, prints which of the given files exist there,
// and writes to all of them.
const lookAround = "look-around"

func lookAroundNode(dir string, files []string) error {
	if err := enterMachine(dir); err != nil {
		return err
	}
	if err := enterNode(machineDir, nil); err != nil {
		return err
	}
	for _, file := range files {
		if _, err := os.Stat(file); err == nil {
			fmt.Println("there is", file)
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte("of the node"), 0o644); err != nil {
			return err
		}
	}
	devices, err := filepath.Glob("/dev/*")
	for _, device := range devices {
		if info, err := os.Stat(device); err == nil && info.Mode()&(os.ModeDevice|os.ModeCharDevice) == os.ModeDevice {
			fmt.Println("there is a disk,", device)
		}
	}
	return err
}

func TestNode_IsolatesMachinesFiles(t *testing.T) {
	t.Parallel()
	if err := CanRunRealNode(); err != nil {
		t.Skip(err)
	}
	dir := shortDir(t)
	for _, name := range append(nodeFolders, "pki") {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	files := []string{
		filepath.Join(t.TempDir(), "canary"),
		filepath.Join(dir, "pki", "canary"),
		filepath.Join(machineDir, "pki", "canary"),
		"/usr/lib/keyvault-aks-canary",
		"/etc/ssl/certs/keyvault-aks-canary",
		"/var/lib/keyvault-aks-canary",
		"/root/keyvault-aks-canary",
	}
	for _, file := range files[:2] {
		if err := os.WriteFile(file, []byte("of the machine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	own := filepath.Join(machineDir, "node", "own") // in the node's own folder, which is kept
	cmd := exec.Command(ownProgram())
	cmd.Args = append([]string{os.Args[0], SupervisorCommand, lookAround, dir, own}, files...)
	isolate(cmd)
	defer lockThread()()
	if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "" {
		t.Errorf("on a new node: %s, %v", out, err)
	}
	for i, file := range files {
		content, err := os.ReadFile(file)
		if i < 2 && string(content) != "of the machine" || i >= 2 && err == nil {
			t.Errorf("the node has changed the machine's %s: %s, %v", file, content, err)
		}
	}
	if content, _ := os.ReadFile(filepath.Join(dir, "node", "own")); string(content) != "of the node" {
		t.Errorf("the node has not kept its own file: %q", content)
	}
}
