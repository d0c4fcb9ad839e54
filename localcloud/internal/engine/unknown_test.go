package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/providers/unknowntypes"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// TestCheckTypes_NamesUnknownTypes has a script in place of the engine.
func TestCheckTypes_NamesUnknownTypes(t *testing.T) {
	const notes = `echo "not implemented here: a:b:C" >> "$` + unknowntypes.FileVariable + `"; `
	for name, test := range map[string]struct {
		program home.Program
		script  string
		fails   string // empty: it does not
	}{
		"all is known":           {home.Program{Name: "other"}, "exit 0", ""},
		"something is unknown":   {home.Program{Name: "other"}, notes + "exit 0", "a:b:C"},
		"and the program fails":  {home.Program{Name: "other"}, notes + "echo it broke; exit 1", "a:b:C"},
		"the program fails":      {home.Program{Name: "other"}, "echo it broke; exit 1", "it broke"},
		"YAML needs no preview":  {home.Program{Name: "other", Runtime: home.Runtime{Name: "yaml"}}, "exit 1", ""},
		"nor does what is known": {home.Program{}, "exit 1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := &home.Home{Dir: t.TempDir(), Project: t.TempDir(), Program: test.program}
			for _, dir := range []string{h.BinDir(), h.Path(home.TempDir)} {
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			script := "#!/bin/sh\n[ \"$1\" = preview ] || exit 1\n" + test.script + "\n"
			if err := os.WriteFile(filepath.Join(h.BinDir(), thirdparty.Pulumi), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			err := (&Stack{Home: h, name: "dev", envs: os.Environ()}).checkTypes(t.Context())
			if (err != nil) != (test.fails != "") || err != nil && !strings.Contains(err.Error(), test.fails) {
				t.Errorf("%v; want %q", err, test.fails)
			}
			if left, _ := os.ReadDir(h.Path(home.TempDir)); len(left) > 0 {
				t.Errorf("it leaves %v", left)
			}
		})
	}
}
