package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestOpen_NamesADamagedFile damages a store in every way that a disk or a person does. Where Open takes it all the same, what is in
// it is whole.
func TestOpen_NamesADamagedFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "azure.db")
	s, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Update(func(tx *Tx) error {
		for i := range 500 {
			if err := Put(tx, "bucket", fmt.Sprint(i), bytes.Repeat([]byte("v"), 100)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	noise := func(from, to int) []byte {
		damaged := bytes.Clone(whole)
		for i := from; i < min(to, len(damaged)); i++ {
			damaged[i] = byte(random.Uint32())
		}
		return damaged
	}
	for name, content := range map[string][]byte{
		"text": []byte("not a database"), "noise": noise(0, len(whole)), "zeros": make([]byte, len(whole)), "cut in the first page": whole[:1000],
		"cut in the middle": whole[:len(whole)/2&^4095], "cut oddly": whole[:len(whole)/3+17],
	} {
		if err := reopen(t, content); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for page := 0; page < len(whole); page += 4096 {
		for _, content := range [][]byte{noise(page, page+4096), noise(page, page+64), noise(page+16, page+80), append(bytes.Clone(whole[:page]), make([]byte, len(whole)-page)...)} {
			if err := reopen(t, content); err != nil && !errors.Is(err, ErrDamaged) {
				t.Errorf("page at %d: %v", page, err)
			}
		}
	}
}

// reopen opens a file with a content, and reads and writes it.
func reopen(t *testing.T, content []byte) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "azure.db")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(file)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.View(func(tx *Tx) error {
		_, err := List[[]byte](tx, "bucket", "")
		return err
	})
}
