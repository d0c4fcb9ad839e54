package store

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// writerVariable names a store. If it is set, this test program writes to the store until it is killed.
const writerVariable = "KEYVAULT_AKS_TEST_STORE"

func TestMain(m *testing.M) {
	if file := os.Getenv(writerVariable); file != "" {
		fmt.Fprintln(os.Stderr, write(file))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// value returns a value that is large enough to touch more than one page.
func value(n int) string { return strings.Repeat(strconv.Itoa(n)+" ", 500) }

// write writes numbers and prints each after its transaction. Every third transaction also deletes the previous number.
func write(file string) error {
	s, err := Open(file)
	if err != nil {
		return err
	}
	next := 0
	if err := s.View(func(tx *Tx) (err error) {
		next, _, err = Get[int](tx, "next", "next")
		return err
	}); err != nil {
		return err
	}
	for n := next; ; n++ {
		if err := s.Update(func(tx *Tx) error {
			var gone error
			if n%3 == 2 {
				gone = Delete(tx, "numbers", strconv.Itoa(n-1))
			}
			return errors.Join(gone, Put(tx, "numbers", strconv.Itoa(n), value(n)), Put(tx, "next", "next", n+1))
		}); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// check checks that the store has all numbers below next that are not deleted, and nothing else.
func check(t *testing.T, file string) (next int) {
	t.Helper()
	s, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.View(func(tx *Tx) error {
		var err error
		if next, _, err = Get[int](tx, "next", "next"); err != nil {
			return err
		}
		all, err := List[string](tx, "numbers", "")
		if err != nil {
			return err
		}
		if want := next - next/3; len(all) != want {
			t.Errorf("after %d writes there are %d values, want %d", next, len(all), want)
		}
		for n := range next {
			got, ok, err := Get[string](tx, "numbers", strconv.Itoa(n))
			gone := n%3 == 1 && n+1 < next
			if err != nil || ok == gone || ok && got != value(n) {
				return fmt.Errorf("%d of %d exists: %t, %w", n, next, ok, err)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	return next
}

// TestOpen_FindsAllWritesAfterAKill kills a writing process at random moments.
func TestOpen_FindsAllWritesAfterAKill(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "azure.db")
	for round := range 25 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), writerVariable+"="+file)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(time.Duration(rand.IntN(60_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
		told, lines := -1, bufio.NewReader(out)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				break // ignores an incomplete line
			}
			told, _ = strconv.Atoi(strings.TrimSpace(line))
		}
		_ = cmd.Wait() // killed
		kill.Stop()
		if next := check(t, file); next <= told {
			t.Fatalf("round %d: %d was written, but the next is %d", round, told, next)
		}
	}
	if check(t, file) < 25 {
		t.Error("too little was written for a kill to lose anything")
	}
}

// TestUpdate_SurvivesAFullDisk writes until the disk is full. The store keeps its contents, and writes succeed again
// when there is room.
func TestUpdate_SurvivesAFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("none", disk, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	file, ballast := filepath.Join(disk, "azure.db"), filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 512<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	put := func(n int) error {
		return s.Update(func(tx *Tx) error {
			return errors.Join(Put(tx, "numbers", strconv.Itoa(n), value(n)), Put(tx, "next", "next", n+1))
		})
	}
	written := 0
	for ; written < 10_000; written++ {
		if err = put(written); err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.ENOSPC) || written == 0 {
		t.Fatalf("after %d writes: %v", written, err)
	}
	if err := put(written); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the next write: %v", err)
	}
	read := func() {
		t.Helper()
		if err := s.View(func(tx *Tx) error {
			for n := range written {
				if got, _, err := Get[string](tx, "numbers", strconv.Itoa(n)); err != nil || got != value(n) {
					return fmt.Errorf("%d of %d is lost: %w", n, written, err)
				}
			}
			next, _, err := Get[int](tx, "next", "next")
			if next != written {
				t.Errorf("the next is %d after %d", next, written)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	}
	read()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if s, err = Open(file); err != nil { // restart with a full disk
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	read()
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := put(written); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	written++
	read()
}

// TestUpdate_ConcurrentWritesAreKept interleaves writes with transactions that are rolled back.
func TestUpdate_ConcurrentWritesAreKept(t *testing.T) {
	t.Parallel()
	s, err := Open(filepath.Join(t.TempDir(), "azure.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if err := s.Update(func(tx *Tx) error {
					n, _, err := Get[int](tx, "count", "count")
					return errors.Join(err, Put(tx, "count", "count", n+1))
				}); err != nil {
					t.Error(err)
				}
				_ = s.Update(func(tx *Tx) error { return errors.Join(Put(tx, "count", "count", -1), io.EOF) })
			}
		})
	}
	all.Wait()
	if err := s.View(func(tx *Tx) error {
		if n, _, err := Get[int](tx, "count", "count"); n != 400 || err != nil {
			t.Errorf("the count is %d, want 400: %v", n, err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
