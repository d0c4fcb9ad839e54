// Package roles provides the custom roles in this folder to programs that define and assign them.
package roles

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"strings"
)

//go:embed *.json assign-condition.txt
var files embed.FS

// Role is a custom role as in its file, which `az role definition create` accepts. The caller chooses the scopes at
// which it can be assigned.
type Role struct {
	Name             string
	IsCustom         bool
	Description      string
	Actions          []string
	NotActions       []string
	DataActions      []string
	NotDataActions   []string
	AssignableScopes []string
}

// Read returns the role of a file, without its .json.
func Read(name string) (Role, error) {
	var role Role
	content, err := files.ReadFile(name + ".json")
	if err == nil {
		decoder := json.NewDecoder(bytes.NewReader(content))
		decoder.DisallowUnknownFields()
		err = decoder.Decode(&role)
	}
	if err != nil {
		return role, fmt.Errorf("reading the role %s: %w", name, err)
	}
	return role, nil
}

// AssignCondition returns the condition that the role of assign.json is assigned with.
func AssignCondition() (string, error) {
	content, err := files.ReadFile("assign-condition.txt")
	if err != nil {
		return "", fmt.Errorf("reading the condition: %w", err)
	}
	return strings.TrimSpace(string(content)), nil
}
