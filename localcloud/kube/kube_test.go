package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
)

// TestMain also runs the test binary as a supervisor, whose cluster is only a file with process ids.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || os.Args[1] != SupervisorCommand {
		os.Exit(m.Run())
	}
	if len(os.Args) > 2 { // CanRunRealNode and tests of nodes
		if err := superviseForTest(os.Args[2:]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	var s settings
	if err := json.NewDecoder(os.Stdin).Decode(&s); err != nil {
		panic(err)
	}
	started, err := os.OpenFile(filepath.Join(s.Dir, "started"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(started, os.Getpid())
	fmt.Fprintln(os.NewFile(reportFile, "report"), reportReady)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func superviseForTest(args []string) error {
	if args[0] == lookAround {
		return lookAroundNode(args[1], args[2:])
	}
	return Supervise(context.Background(), args)
}

// noEdge is an Edge without connections.
type noEdge struct{}

func (noEdge) Serve(ctx context.Context, _ net.Listener) error        { <-ctx.Done(); return nil }
func (noEdge) Tunnel(string, func(context.Context) (net.Conn, error)) {}
func (noEdge) Untunnel(string)                                        {}
func (noEdge) CAFile() string                                         { return "" }

func TestManager_RestartsClusterUntilDeleted(t *testing.T) {
	dir := shortDir(t)
	m := New(Options{Dir: dir, Node: StandInNode, Edge: noEdge{}, Log: slog.New(slog.DiscardHandler)})
	m.pause = time.Millisecond
	defer m.Close()
	spec := azure.ClusterSpec{ID: "/c", Name: "c", FQDN: "c.test"}
	if err := m.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	c := m.cluster(spec.ID)
	started := func(want int) int { // waits for the want-th start and returns its process id
		for ctx := t.Context(); ; {
			content, _ := os.ReadFile(filepath.Join(c.dir, "started"))
			if all := strings.Fields(string(content)); len(all) >= want {
				pid, _ := strconv.Atoi(all[len(all)-1])
				return pid
			}
			if !pause(ctx, 5*time.Millisecond) {
				t.Fatal("it is not restarted")
			}
		}
	}
	for time := 1; time <= 2; time++ {
		if err := syscall.Kill(started(time), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	last := started(3)
	if err := m.Delete(t.Context(), spec.ID); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(last, 0); err == nil {
		t.Error("the supervisor of a deleted cluster runs")
	}
	if !pause(t.Context(), 50*time.Millisecond) {
		return
	}
	if _, err := os.Stat(c.dir); err == nil {
		t.Error("a deleted cluster was restarted")
	}
}

func TestSupervisor_EndsWhenStartIsCancelled(t *testing.T) {
	for range 100 {
		ctx, cancel := context.WithCancel(t.Context())
		var s supervisor
		waits := func() error { <-ctx.Done(); return ctx.Err() }
		time.AfterFunc(time.Millisecond, cancel)
		if err := s.together(waits, func() error { return nil }, waits); !errors.Is(err, context.Canceled) {
			t.Fatalf("a cancelled start ends with %v", err)
		}
		s.processes.Wait()
	}
}

// TestManager_ClosesDuringStart holds the cluster's lock, as a start does, and then acquires the manager's.
func TestManager_ClosesDuringStart(t *testing.T) {
	m := New(Options{Dir: t.TempDir()})
	c := m.cluster("/x")
	c.mu.Lock()
	closed := make(chan struct{})
	go func() { m.Close(); close(closed) }()
	<-m.open.Done() // Close has begun
	time.Sleep(50 * time.Millisecond)
	gave := make(chan error, 1)
	go func() { gave <- m.giveKey(c) }()
	select {
	case err := <-gave:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("deadlock")
	}
	c.mu.Unlock()
	<-closed
}
