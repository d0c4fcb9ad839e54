// Moving fills the ids of existing resources into the file that `pulumi preview --import-file` writes, so that `pulumi
// import` can import them. docs/moving.md walks through it.
//
//	go run ./examples/moving resources.json ids > import.json
//
// A line of the file ids has the name of a resource in Pulumi and the id of the existing resource, separated by spaces.
// Resources without an id are left out, for `pulumi up` to create. So are resources with a provider that is not in the
// stack yet: pulumi import cannot create a provider below a component. A targeted up creates it, and a second round
// imports what is in the cluster.
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

// importFile is a file for pulumi import. Fields that are not listed here stay unchanged.
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
		fmt.Fprintln(said, "already in the stack, or not a resource of it:", name)
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "    ")
	return encoder.Encode(file)
}

// readIDs returns the ids by the names of the resources.
func readIDs(content []byte) (map[string]string, error) {
	ids := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(content))
	for n := 1; lines.Scan(); n++ {
		switch fields := strings.Fields(lines.Text()); {
		case len(fields) == 0 || strings.HasPrefix(fields[0], "#"):
		case len(fields) != 2:
			return nil, fmt.Errorf("line %d: given %q, allowed: a name and an id", n, lines.Text())
		case ids[fields[0]] != "":
			return nil, fmt.Errorf("line %d: %s already has an id", n, fields[0])
		default:
			ids[fields[0]] = fields[1]
		}
	}
	return ids, lines.Err()
}

// scoped are the types of azure-native whose ids begin with the id of another resource. azure-native derives the scope
// from the id without the leading slash (scope: subscriptions/...), while programs write one, so an up would replace
// the resource. With a second slash at the start of the id, the first one is kept, and nothing else reads the id
// differently.
var scoped = []string{
	"DataCollectionRuleAssociation",
	"DiagnosticSetting",
	"ManagementLockByScope",
	"RoleAssignment",
	"RoleDefinition",
}

// fill sets the resources' ids and removes resources without one. It returns the names of these, and the names in ids
// that match no resource.
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
