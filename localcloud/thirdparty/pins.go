package thirdparty

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/tools/txtar"
)

// pinsArchive has the folders with go.mod files beside this file, which pin the versions to build. Neither go:embed nor
// a module's zip file includes folders that are modules themselves.
//
//go:generate go test -run ^TestPins_MatchFolders$ . -update
//go:embed pins.txtar
var pinsArchive []byte

var embeddedPins = sync.OnceValue(func() fs.FS {
	pins, err := txtar.FS(txtar.Parse(pinsArchive))
	if err != nil {
		panic(err) // impossible: a test reads the archive
	}
	return pins
})

// pinned returns the folders of go.mod files, by the units' dir.
func (o Options) pinned() fs.FS {
	if o.pins != nil {
		return o.pins
	}
	return embeddedPins()
}

// unpackPins copies the pins to a folder from which go can build, until remove is called.
func (o Options) unpackPins() (dir string, remove func(), err error) {
	if dir, err = os.MkdirTemp(o.Cache, "pins"+partMark); err == nil {
		err = os.CopyFS(dir, o.pinned())
	}
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("unpacking the pins: %w", err), os.RemoveAll(dir))
	}
	return dir, func() { _ = os.RemoveAll(dir) }, nil
}
