// Package unknowntypes lets one preview report every type and function of a program that the plugins do not implement,
// before anything is created. Without it, a preview stops at the first.
//
// To use it, set FileVariable to the path of a file and run the preview. Then call Read, whether or not the preview
// failed. Do not set the variable for an update.
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

// Note appends to the file why a type or function is unknown. It returns false if FileVariable is not set or the file
// cannot be written. The plugin must then fail at once.
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

// Read returns the noted reasons, sorted and without duplicates. It returns nothing if the file does not exist.
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
