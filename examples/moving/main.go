// Moving fills the ids of what exists into the file that `pulumi preview --import-file` writes, so that `pulumi import`
// can take it up. docs/moving.md walks through it.
//
//	go run ./examples/moving resources.json ids > import.json
//
// A line of the file ids has the name of a resource in Pulumi and the id of what exists, with spaces between. Resources
// without one are left out, for `pulumi up` to create. So is what needs a provider that is not in the stack yet: pulumi
// import cannot make a provider below a component, so a targeted up makes it, and what is in the cluster is the second
// round's.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: moving resources.json ids > import.json")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "moving:", err)
		os.Exit(1)
	}
}

// importFile is a file of pulumi import. What is not of interest here stays as it is.
type importFile struct {
	NameTable map[string]string `json:"nameTable,omitempty"`
	Resources []map[string]any  `json:"resources"`
}

func run(resources, ids string, out, said io.Writer) error {
	content, err := os.ReadFile(resources)
	if err != nil {
		return err
	}
	var file importFile
	if err := json.Unmarshal(content, &file); err != nil {
		return fmt.Errorf("reading %s: %w", resources, err)
	}
	content, err = os.ReadFile(ids)
	if err != nil {
		return err
	}
	known, err := readIDs(content)
	if err != nil {
		return fmt.Errorf("reading %s: %w", ids, err)
	}
	without, unused := file.fill(known)
	for _, name := range without {
		fmt.Fprintln(said, "not imported:", name)
	}
	for _, name := range unused {
		fmt.Fprintln(said, "in the stack already, or no resource of it:", name)
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "    ")
	return encoder.Encode(file)
}

// readIDs reads the ids by the names of the resources.
func readIDs(content []byte) (map[string]string, error) {
	ids := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(content))
	for n := 1; lines.Scan(); n++ {
		switch fields := strings.Fields(lines.Text()); {
		case len(fields) == 0 || strings.HasPrefix(fields[0], "#"):
		case len(fields) != 2:
			return nil, fmt.Errorf("line %d: want a name and an id, got %q", n, lines.Text())
		case ids[fields[0]] != "":
			return nil, fmt.Errorf("line %d: %s has an id already", n, fields[0])
		default:
			ids[fields[0]] = fields[1]
		}
	}
	return ids, lines.Err()
}

// scoped are the types of azure-native whose ids begin with that of another resource. From the id, azure-native takes
// this without the slash before it, as in scope: subscriptions/..., while programs write one: an up would replace the
// resource. With a second slash before the id the first stays, and nothing else reads the id in another way.
var scoped = []string{
	"DataCollectionRuleAssociation",
	"DiagnosticSetting",
	"ManagementLockByScope",
	"RoleAssignment",
	"RoleDefinition",
}

// fill gives the resources their ids and leaves out those without. It returns the names of these, and of the ids that
// no resource has taken.
func (f *importFile) fill(ids map[string]string) (without, unused []string) {
	ids = maps.Clone(ids)
	left := map[string]bool{} // without has them in order
	var kept []map[string]any
	for _, r := range f.Resources { // what others refer to comes before them
		text := func(key string) string { value, _ := r[key].(string); return value }
		name := text("name")
		id, known := ids[name]
		component, _ := r["component"].(bool)
		switch {
		case left[text("parent")],
			left[text("provider")],
			strings.HasPrefix(text("type"), "pulumi:providers:"),
			!component && !known:
			left[name] = true
			without = append(without, name)
		case component:
			kept = append(kept, r)
			continue
		default:
			if kind := text("type"); slices.Contains(scoped, kind[strings.LastIndex(kind, ":")+1:]) {
				id = "/" + id
			}
			r["id"] = id
			kept = append(kept, r)
		}
		delete(ids, name)
	}
	f.Resources = kept
	return without, slices.Sorted(maps.Keys(ids))
}
