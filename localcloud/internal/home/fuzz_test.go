package home

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzFiles fills the files of a home with arbitrary contents. They are read or rejected, and never change.
func FuzzFiles(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "null", "[]", "{", "\x00", `{"Format":1}`, `{"Format":99}`, `{"Format":-1}`,
		`{"PID":1,"Proxy":"127.0.0.1:1"}`, `{"PID":"x"}`, "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "name: a\nruntime: go\n",
		"runtime: {name: go, options: [1]}", "&a [*a]", "123", "-1", "99999999999999999999",
	} {
		f.Add([]byte(seed))
	}
	home, program := f.TempDir(), f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte) {
		h := &Home{Project: program, Dir: home, Cache: home, Program: Program{Name: "p"}}
		files := []string{
			h.Path(StateFile), h.Path(SetupFile), h.Path(LockFile), h.Path(PassphraseFile), h.StackFile("dev"),
			filepath.Join(program, "Pulumi.yaml"),
		}
		for _, file := range files {
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = h.Running()
		_, _ = h.LastRunning()
		_, _ = h.Setup()
		_, _, _ = h.SetupBefore()
		_, _ = h.HasStack("dev")
		_, _ = readProgram(program)
		made := false
		_ = h.EnsurePassphrase(func() string { made = true; return "other" })
		if made {
			t.Error("a new passphrase was created although there are stacks")
		}
		for _, file := range files {
			if kept, err := os.ReadFile(file); err != nil || string(kept) != string(content) {
				t.Errorf("%s changed from %q to %q, %v", file, content, kept, err)
			}
		}
	})
}
