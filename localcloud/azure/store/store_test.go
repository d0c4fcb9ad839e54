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

// TestOpen_DetectsDamage damages a store in many ways. If Open succeeds all the same, the contents must be readable.
func TestOpen_DetectsDamage(t *testing.T) {
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
		"text":              []byte("not a database"),
		"noise":             noise(0, len(whole)),
		"zeros":             make([]byte, len(whole)),
		"cut in first page": whole[:1000],
		"cut between pages": whole[:len(whole)/2&^4095],
		"cut within a page": whole[:len(whole)/3+17],
	} {
		if err := reopen(t, content); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for page := 0; page < len(whole); page += 4096 {
		zeros := append(bytes.Clone(whole[:page]), make([]byte, len(whole)-page)...)
		for _, content := range [][]byte{
			noise(page, page+4096), noise(page, page+64), noise(page+16, page+80), zeros,
		} {
			if err := reopen(t, content); err != nil && !errors.Is(err, ErrDamaged) {
				t.Errorf("page at %d: %v", page, err)
			}
		}
	}
}

// reopen opens a file with a content and reads it.
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
