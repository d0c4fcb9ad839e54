package tests

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// eventually waits for what no event tells.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("not so after 30 s: %s", what)
}

// TestUpConvergesAfterAKill kills `up` while a real node starts the pod, and brings the stack up. Beside it runs the local cloud of another
// test. Kills at other resources are a scenario's.
func TestUpConvergesAfterAKill(t *testing.T) {
	needsRealNode(t)
	t.Parallel()
	c := newCloud(t)
	killedAt(t, c, "Pod mount-test-pod creating")
	c.project = checkout
	_, first := c.up(t)
	if !strings.Contains(first, "my-secret = ") {
		t.Error("the pod reads no secret")
	}
	program, err := os.Open(filepath.Join(checkout, "bin", "keyvault-aks")) // while it is open no other file can have its place
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	c.pulumi(t, "preview", "--expect-no-changes")
	if _, again := c.up(t); again != first {
		t.Error("the pod reads something else after another up")
	}
	before, err := program.Stat()
	now, err2 := os.Stat(program.Name())
	if err := errors.Join(err, err2); err != nil || !os.SameFile(before, now) {
		t.Error("the program was linked again although it has not changed")
	}

	// A down that finds half of it gone removes the other half.
	kill(t, c)
	if err := os.RemoveAll(filepath.Join(c.home, "azure")); err != nil {
		t.Fatal(err)
	}
	c.down(t)
	if left := c.processes(); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
}

// killedAt runs up until it prints a text, and kills it. The engine and its plugins end with it, or with the next up.
func killedAt(t *testing.T, c *cloud, text string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := c.command(t, "up")
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	killed := false
	printed := watchFor(r, text, func() {
		killed = true
		_ = cmd.Process.Signal(syscall.SIGKILL)
	})
	if err := cmd.Wait(); err == nil { // it came to its last line, which shows the secret
		printed, _ = withoutLastLine(printed)
	}
	c.said.WriteString(printed)
	if !killed {
		t.Fatalf("up did not print %q", text)
	}
}

// TestEveryMistakeIsReportedAndNothingIsCreated gives a wrong value to several keys at once.
func TestEveryMistakeIsReportedAndNothingIsCreated(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	var mistakes []string
	for _, mistake := range []string{
		"vaultRetentionDays=3", "vaultNamePrefix=9-lives", "systemPool={count: none}", "namespace=Not_A_Label", "unheardOf=1",
		`secrets=[{name: "under_score", generate: {length: 4}}]`, `mount=[{type: Secret, name: absent}]`,
	} {
		mistakes = append(mistakes, "--config", mistake)
	}
	printed, _, err := c.tryUp(t, mistakes...)
	if err == nil {
		t.Fatal("up succeeded")
	}
	for _, path := range []string{
		"vaultRetentionDays", "vaultNamePrefix", "systemPool.count", "namespace", "unheardOf", "secrets[0].name", "secrets[0].generate.length", "mount[0].type",
	} {
		if !strings.Contains(printed, path+":") {
			t.Errorf("%s is not reported", path)
		}
	}
	if left := resourceGroups(t, c); left != 0 {
		t.Errorf("%d resource groups were created", left)
	}
}
