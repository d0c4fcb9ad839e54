package tests

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

// wasInterrupted matches the output of an interrupted command.
var wasInterrupted = regexp.MustCompile(`signal: |interrupt|context canceled`)

// TestScenario_InterruptedTestsLeaveNothing runs a test of this package in its own process and interrupts it as a
// terminal does, at a random moment while its stack comes up. The test must fail and leave nothing.
func TestScenario_InterruptedTestsLeaveNothing(t *testing.T) {
	scenario(t, every, func(t *testing.T, _ uint64, random *rand.Rand) {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		dir, err := os.MkdirTemp("", "i-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		cmd := exec.CommandContext(untilEnding(t), self, "-test.run", "^TestScenario_Drift$", "-test.parallel", "1")
		cmd.Env = append(os.Environ(), "TMPDIR="+dir)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		interrupt := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
		cmd.Cancel, cmd.WaitDelay = interrupt, time.Minute
		var printed bytes.Buffer
		cmd.Stdout, cmd.Stderr = &printed, &printed
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { // if this test fails before it waits
			if cmd.ProcessState == nil {
				_ = interrupt()
				_ = cmd.Wait()
			}
		}()
		eventually(t, "the test's local cloud runs", func() bool {
			found, _ := filepath.Glob(filepath.Join(dir, "e2e-*", "aks-*", "home", localcloudtest.StateFile))
			return len(found) > 0 && len(processesWith(dir+"/")) > 0
		})
		most := 3 * time.Second
		if long() {
			most = 12 * time.Second
		}
		time.Sleep(time.Duration(random.Int64N(int64(most)))) // a random moment; no event to wait for
		if err := interrupt(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil || !wasInterrupted.Match(printed.Bytes()) {
			t.Errorf("the test was not interrupted: %v\n%s", err, printed.Bytes())
		}
		if left := leftovers(dir); len(left) > 0 || bytes.Contains(printed.Bytes(), []byte(leftBehind)) {
			t.Errorf("the interrupted test left %q\n%s", left, printed.Bytes())
		}
	})
}
