package machine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestInstallPackages_LetsAptGetFinishWhenInterrupted(t *testing.T) {
	dir := t.TempDir()
	begun, finished := filepath.Join(dir, "begun"), filepath.Join(dir, "finished")
	// The script waits on a pipe for the interrupt. When it ends, it writes its command into a file.
	script := "#!/bin/sh\necho > " + begun + "\nread go < " + begun + ".not\necho $3 >> " + finished + "\n"
	if err := os.WriteFile(filepath.Join(dir, "apt-get"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(begun+".not", 0o600); err != nil {
		t.Skip(err)
	}
	if err := syscall.Mkfifo(begun, 0o600); err != nil {
		t.Skip(err)
	}
	t.Setenv("PATH", dir)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = os.ReadFile(begun)
		cancel()
		_ = os.WriteFile(begun+".not", []byte("on\n"), 0)
	}()
	if err := InstallPackages(ctx, []string{"runc"}, t.Logf); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if did, _ := os.ReadFile(finished); string(did) != "update\n" {
		t.Errorf("apt-get finished %q, want update", did)
	}
}
