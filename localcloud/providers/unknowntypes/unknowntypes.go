// Package unknowntypes has the plugins name every type and function of a program that they do not know, in one preview,
// before anything is created. A preview by itself ends with the first.
//
// Who runs the preview sets FileVariable to the path of a file, and reads that with Read afterwards, whether or not the
// preview failed. An update must not have the variable.
package unknowntypes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// FileVariable is the environment variable that names the file.
const FileVariable = "KEYVAULT_AKS_UNKNOWN_TYPES"

// Note adds why a type or function is unknown to the file. It returns false if there is none, or it cannot be written:
// then the plugin must fail at once.
func Note(why error) bool {
	path := os.Getenv(FileVariable)
	if path == "" {
		return false
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return false
	}
	_, err = fmt.Fprintln(file, strings.ReplaceAll(why.Error(), "\n", " "))
	return errors.Join(err, file.Close()) == nil
}

// Read returns what was noted, sorted and each once; nothing if the file is not there.
func Read(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	lines := strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' })
	slices.Sort(lines)
	return slices.Compact(lines), nil
}
