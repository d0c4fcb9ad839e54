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

// Program is a Pulumi program as its Pulumi.yaml describes it
// (https://www.pulumi.com/docs/iac/concepts/projects/project-file/). The zero value means that there is no program.
type Program struct {
	Name    string
	Runtime Runtime
	// Main is the program's folder or file, relative to the folder of Pulumi.yaml. Defaults to that folder.
	Main string
	// StackConfigDir is the folder of the stacks' configuration, relative to the folder of Pulumi.yaml. Defaults to
	// that folder.
	StackConfigDir string
	// Packages maps the program's names of packages to their plugins.
	Packages map[string]Package
	Plugins  Plugins
}

// Plugins are the plugins for which Pulumi.yaml sets a path.
type Plugins struct{ Providers []Plugin }

// Plugin is a plugin with a path of its own.
type Plugin struct{ Name string }

// Package is a package that a program uses. Pulumi.yaml has it as source@version or as an object.
type Package struct {
	Source            string // the name of a plugin, or where it comes from
	Version           string // empty: any version
	PluginDownloadURL string
}

// UnmarshalJSON reads both forms.
func (p *Package) UnmarshalJSON(text []byte) error {
	var short string
	if json.Unmarshal(text, &short) == nil {
		p.Source, p.Version, _ = strings.Cut(short, "@")
		return nil
	}
	type object Package
	return json.Unmarshal(text, (*object)(p))
}

// Runtime selects the language host of a program. Pulumi.yaml has its name or an object.
type Runtime struct {
	Name    string
	Options struct {
		Binary      string // a Go program that is already built
		BuildTarget string // the binary that a Go program is built into; empty: a new file each time
	}
}

// UnmarshalJSON reads both forms.
func (r *Runtime) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &r.Name) == nil {
		return nil
	}
	type object Runtime
	return json.Unmarshal(text, (*object)(r))
}

// projectName matches the project names that Pulumi allows, except those that begin with a dot: the names are also used
// for folders.
var projectName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}$`)

// programFile describes a Pulumi program.
const programFile = "Pulumi.yaml"

// readProgram returns the program in a folder, or the zero value if there is none.
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
		err = fmt.Errorf("its name is %q, but must have 1-100 letters, digits, - _ or dots, and not begin with a dot", p.Name)
	case p.Runtime.Name == "":
		err = errors.New("it has no runtime")
	}
	if err != nil {
		return Program{}, fmt.Errorf("reading %s: %w", file, err)
	}
	return p, nil
}

// ours names the program of this repository. Its files have no folder of their own, for compatibility with homes that
// know only this program.
const ours = "keyvault-aks"

// ProjectName returns the program's name. Defaults to the name of this repository's program.
func (p Program) ProjectName() string { return cmp.Or(p.Name, ours) }

// IsOurs reports whether p is the program of this repository, or none.
func (p Program) IsOurs() bool { return p.ProjectName() == ours }

// ProgramPath returns a path of the program's own in one of the home's folders: stacks of two programs may have the
// same name.
func (h *Home) ProgramPath(folder string, elem ...string) string {
	if h.Program.IsOurs() {
		return h.Path(append([]string{folder}, elem...)...)
	}
	return h.Path(append([]string{folder, h.Program.Name}, elem...)...)
}
