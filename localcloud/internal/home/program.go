package home

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

// Program is a Pulumi program, as its Pulumi.yaml has it
// (https://www.pulumi.com/docs/iac/concepts/projects/project-file/). The zero value is where there is none.
type Program struct {
	Name    string
	Runtime Runtime
	// Main is the folder of the program, or its file, in that of Pulumi.yaml. Defaults to that folder.
	Main string
	// StackConfigDir is where its stacks have their configuration, in the folder of Pulumi.yaml. Defaults to that
	// folder.
	StackConfigDir string
	// Packages are what it takes from plugins, by the names that it gives them.
	Packages map[string]Package
	Plugins  Plugins
}

// Plugins are those whose places Pulumi.yaml has.
type Plugins struct{ Providers []Plugin }

// Plugin is one of them.
type Plugin struct{ Name string }

// Package is one that a program uses. Pulumi.yaml has it as source@version, or as an object.
type Package struct {
	Source            string // the name of a plugin, or a place that it comes from
	Version           string // empty: any
	PluginDownloadURL string
}

// UnmarshalJSON reads either.
func (p *Package) UnmarshalJSON(text []byte) error {
	var short string
	if json.Unmarshal(text, &short) == nil {
		p.Source, p.Version, _ = strings.Cut(short, "@")
		return nil
	}
	type object Package
	return json.Unmarshal(text, (*object)(p))
}

// Runtime is what runs a program. Pulumi.yaml has its name, or an object.
type Runtime struct {
	Name    string
	Options struct {
		Binary      string // a program in Go that is built already
		BuildTarget string // what a program in Go is linked into; empty: a new file each time
	}
}

// UnmarshalJSON reads either.
func (r *Runtime) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &r.Name) == nil {
		return nil
	}
	type object Runtime
	return json.Unmarshal(text, (*object)(r))
}

// projectName matches what Pulumi takes for a project's name, but for a dot at its beginning: it names folders.
var projectName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}$`)

// programFile describes a Pulumi program.
const programFile = "Pulumi.yaml"

// readProgram returns the program in a folder, if there is one.
func readProgram(folder string) (p Program, err error) {
	file := filepath.Join(folder, programFile)
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = yaml.Unmarshal(content, &p)
	}
	switch {
	case err != nil:
	case !projectName.MatchString(p.Name):
		err = fmt.Errorf("its name is %q, and must be 1-100 letters, digits, - _ and dots, with no dot first", p.Name)
	case p.Runtime.Name == "":
		err = errors.New("it has no runtime")
	}
	if err != nil {
		return Program{}, fmt.Errorf("reading %s: %w", file, err)
	}
	return p, nil
}

// ours is the program of this repository. Its files are where they were when there was no other.
const ours = "keyvault-aks"

// ProjectName returns its name, or in a folder without one that of the program of this repository.
func (p Program) ProjectName() string { return cmp.Or(p.Name, ours) }

// IsOurs reports whether it is the program of this repository.
func (p Program) IsOurs() bool { return p.ProjectName() == ours }

// ProgramPath returns a path in one of the home's folders that is the program's own, so that a stack of another program
// may have the same name.
func (h *Home) ProgramPath(folder string, elem ...string) string {
	if h.Program.IsOurs() {
		return h.Path(append([]string{folder}, elem...)...)
	}
	return h.Path(append([]string{folder, h.Program.Name}, elem...)...)
}
