package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
)

// output collects what a command prints.
type output struct {
	mu sync.Mutex
	bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.Buffer.Write(p)
}

// ReadFrom hides the buffer's own, which does not lock.
func (o *output) ReadFrom(r io.Reader) (int64, error) { return io.Copy(struct{ io.Writer }{o}, r) }

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.Buffer.String()
}

func TestLogs_ListsAndShows(t *testing.T) {
	h := &home.Home{Dir: t.TempDir()}
	show := func(ctx context.Context, to *output, o LogsOptions) error {
		return (&cloud{Home: h, stdout: to}).logs(ctx, o)
	}
	if err := show(t.Context(), new(output), LogsOptions{}); err == nil {
		t.Error("no error, although there are no logs")
	}
	files := map[string]string{
		"cloud": h.Path(home.LogFile), "0a/kubelet": h.Path(home.KubeDir, "0a", "log", "kubelet.log"),
		"0a/supervisor": h.Path(home.KubeDir, "0a", "supervisor.log"),
	}
	for name, file := range files {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("it is "+name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, file := range files {
		var got output
		if err := show(t.Context(), &got, LogsOptions{What: name}); err != nil || got.String() != "it is "+name+"\n" {
			t.Errorf("%s: %q, %v", name, got.String(), err)
		}
		var list output
		err := show(t.Context(), &list, LogsOptions{})
		if err != nil || !strings.Contains(list.String(), name+" "+file+"\n") {
			t.Errorf("the list: %q, %v", list.String(), err)
		}
	}
	for _, wrong := range []LogsOptions{{What: "0a"}, {What: "etcd"}, {Follow: true}} {
		if err := show(t.Context(), new(output), wrong); err == nil || !strings.Contains(err.Error(), "0a/kubelet") {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
}

func TestLogs_FollowsUntilInterrupted(t *testing.T) {
	h := &home.Home{Dir: t.TempDir()}
	if err := os.WriteFile(h.Path(home.LogFile), []byte("one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	var got output
	ended := make(chan error, 1)
	go func() { ended <- (&cloud{Home: h, stdout: &got}).logs(ctx, LogsOptions{What: cloudLog, Follow: true}) }()
	await := func(want string) {
		t.Helper()
		for begin := time.Now(); got.String() != want; time.Sleep(10 * time.Millisecond) {
			if time.Since(begin) > 10*time.Second {
				t.Fatalf("it shows %q", got.String())
			}
		}
	}
	await("one\n")
	file, err := os.OpenFile(h.Path(home.LogFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString("two\n"); err != nil {
		t.Fatal(err)
	}
	await("one\ntwo\n")
	interrupt()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestLogs_FollowsRotationAndEndsWithLog replaces a log, as the kubelet does, and removes it, as `down` does. All that
// was written must be shown.
func TestLogs_FollowsRotationAndEndsWithLog(t *testing.T) {
	h := &home.Home{Dir: t.TempDir()}
	log := h.Path(home.LogFile)
	write := func(file, content string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(log, "one\n")
	var got, errs output
	ended := make(chan error, 1)
	go func() {
		ended <- (&cloud{Home: h, stdout: &got, stderr: &errs}).logs(t.Context(), LogsOptions{What: cloudLog, Follow: true})
	}()
	await := func(want string) {
		t.Helper()
		for begin := time.Now(); got.String() != want; time.Sleep(10 * time.Millisecond) {
			if time.Since(begin) > 10*time.Second {
				t.Fatalf("it shows %q", got.String())
			}
		}
	}
	await("one\n")
	write(log+".part", "two\n")
	if err := os.Rename(log+".part", log); err != nil {
		t.Fatal(err)
	}
	await("one\ntwo\n")
	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil || got.String() != "one\ntwo\n" || !strings.Contains(errs.String(), log) {
			t.Errorf("it showed %q, %q: %v", got.String(), errs.String(), err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it does not end although the log is gone")
	}
}
