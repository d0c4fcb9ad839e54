package thirdparty

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write pins.txtar")

// TestPins_MatchFolders compares the embedded pins with the folders of all units and stand-ins.
func TestPins_MatchFolders(t *testing.T) {
	var want txtar.Archive
	modules, err := filepath.Glob("*/go.mod")
	if err != nil || len(modules) < 5 {
		t.Fatalf("the go.mod files are %v, %v", modules, err)
	}
	for _, dir := range append(modules, filepath.Base(standIns)) {
		if filepath.Base(dir) == "go.mod" {
			dir = filepath.Dir(dir)
		}
		err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			content, err := os.ReadFile(file)
			want.Files = append(want.Files, txtar.File{Name: "thirdparty/" + filepath.ToSlash(file), Data: content})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if *update {
		if err := os.WriteFile("pins.txtar", txtar.Format(&want), 0o644); err != nil {
			t.Fatal(err)
		}
		pinsArchive = txtar.Format(&want)
	}
	if !bytes.Equal(pinsArchive, txtar.Format(&want)) {
		t.Error("pins.txtar differs from the folders with go.mod files: run go generate ./thirdparty")
	}
	// Both must lead to the same folders of the cache.
	for _, u := range units {
		checkout, err := u.cacheDir(os.DirFS(".."), "/cache")
		if err != nil {
			t.Fatal(err)
		}
		if embedded, err := u.cacheDir(embeddedPins(), "/cache"); err != nil || embedded != checkout {
			t.Errorf("%s is in %s, and with what is embedded in %s: %v", u.name, checkout, embedded, err)
		}
	}
}
