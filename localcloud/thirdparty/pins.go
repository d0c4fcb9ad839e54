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

// pinsArchive has the folders with a go.mod file beside this one, whose pins decide what is built. Neither go:embed nor
// the zip of a module takes folders that are modules of their own.
//
//go:generate go test -run ^TestPins_AreThoseBesideThem$ . -update
//go:embed pins.txtar
var pinsArchive []byte

var embeddedPins = sync.OnceValue(func() fs.FS {
	pins, err := txtar.FS(txtar.Parse(pinsArchive))
	if err != nil {
		panic(err) // a test reads them
	}
	return pins
})

// pinned has the go.mod files that pin what is built, in folders of the names that units have.
func (o Options) pinned() fs.FS {
	if o.pins != nil {
		return o.pins
	}
	return embeddedPins()
}

// unpackPins puts the pins where go can build from them, until remove is called.
func (o Options) unpackPins() (dir string, remove func(), err error) {
	if dir, err = os.MkdirTemp(o.Cache, "pins"+partMark); err == nil {
		err = os.CopyFS(dir, o.pinned())
	}
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("unpacking the pins: %w", err), os.RemoveAll(dir))
	}
	return dir, func() { _ = os.RemoveAll(dir) }, nil
}
