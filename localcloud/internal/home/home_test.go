package home

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gofrs/flock"
)

func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	const program = "name: keyvault-aks\nruntime: go\n"
	if err := os.WriteFile(filepath.Join(dir, "Pulumi.yaml"), []byte(program), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestLocate_GivesEachCheckoutItsOwnHome(t *testing.T) {
	const state = "/state" // Locate creates nothing in it
	t.Setenv("XDG_STATE_HOME", state)
	homes := map[string]bool{}
	for range 2 {
		project := checkout(t)
		h, err := Locate(project, "")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(h.Dir, state) || strings.HasPrefix(h.Dir, project) {
			t.Errorf("home %s, want it below %s", h.Dir, state)
		}
		homes[h.Dir] = true
	}
	if len(homes) != 2 {
		t.Errorf("two checkouts share a home: %v", homes)
	}
}

func TestLocate_ReadsTheProgram(t *testing.T) {
	for content, want := range map[string]Program{
		"name: a\nruntime: yaml\nresources: {b: {type: c}}":   {Name: "a", Runtime: Runtime{Name: "yaml"}},
		"name: a.b\nruntime: {name: nodejs, options: {c: d}}": {Name: "a.b", Runtime: Runtime{Name: "nodejs"}},
		"name: a\nruntime: go\nmain: b\nstackConfigDir: c": {
			Name: "a", Runtime: Runtime{Name: "go"}, Main: "b", StackConfigDir: "c",
		},
		"name: a\nruntime: go\npackages: {b: c@1.0.0, d: {source: e, version: 2.0.0, parameters: [f]}, g: ./h}\n" +
			"plugins: {providers: [{name: i, path: j}]}": {
			Name: "a", Runtime: Runtime{Name: "go"},
			Packages: map[string]Package{
				"b": {Source: "c", Version: "1.0.0"}, "d": {Source: "e", Version: "2.0.0"}, "g": {Source: "./h"},
			},
			Plugins: Plugins{Providers: []Plugin{{Name: "i"}}},
		},
		"":                             {},
		"runtime: go":                  {},
		"name: a":                      {},
		"name: ..\nruntime: go":        {},
		"name: a/b\nruntime: go":       {},
		"name: a\nruntime: [go]":       {},
		"name: a\nruntime: go\n\tb: c": {},
	} {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, programFile), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		h, err := Locate(folder, "")
		switch {
		case want.Name == "":
			if err != nil || h.ProgramErr == nil || !strings.Contains(h.ProgramErr.Error(), filepath.Join(folder, programFile)) {
				t.Errorf("%q: %+v, %v", content, h, err)
			}
		case err != nil || h.ProgramErr != nil || !reflect.DeepEqual(h.Program, want):
			t.Errorf("%q: %+v, %v", content, h, err)
		}
	}
	if h, err := Locate(t.TempDir(), ""); err != nil || !reflect.DeepEqual(h.Program, Program{}) {
		t.Errorf("a folder without a program: %+v, %v", h, err)
	}
}

// TestHome_SeparatesPrograms compares the files of programs in the same home. Those of this repository's program must
// stay where they have always been.
func TestHome_SeparatesPrograms(t *testing.T) {
	dir := t.TempDir()
	a, b := &Home{Dir: dir, Program: Program{Name: "a"}}, &Home{Dir: dir, Program: Program{Name: "b"}}
	ours, none := &Home{Dir: dir, Program: Program{Name: "keyvault-aks"}}, &Home{Dir: dir}
	for name, file := range map[string]func(h *Home) string{
		"configuration": func(h *Home) string { return h.ConfigFile("dev") },
		"state":         func(h *Home) string { return h.StackFile("dev") },
		"locks":         func(h *Home) string { return h.StackLocks("dev") },
		"salt":          func(h *Home) string { return h.ProgramPath(InitDir, "Pulumi.dev.yaml") },
	} {
		if file(a) == file(b) || file(a) == file(ours) || file(ours) != file(none) {
			t.Errorf("the %s of three programs and of none: %s, %s, %s, %s", name, file(a), file(b), file(ours), file(none))
		}
	}
	if got, want := ours.ConfigFile("dev"), filepath.Join(dir, "config", "Pulumi.dev.json"); got != want {
		t.Errorf("the configuration is %s, want %s", got, want)
	}
	if err := errors.Join(
		os.MkdirAll(filepath.Dir(a.StackFile("dev")), 0o700),
		os.WriteFile(a.StackFile("dev"), []byte("{}"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	if len(a.Stacks()) != 1 || len(b.Stacks()) != 0 || !b.HasServed() {
		t.Errorf("with a stack of a: %v, %v, and it has served: %t", a.Stacks(), b.Stacks(), b.HasServed())
	}
}

func TestLocate_RejectsSpecialCharacters(t *testing.T) {
	project := checkout(t)
	for _, c := range notInHome {
		if _, err := Locate(project, "/state/a"+string(c)+"b"); err == nil {
			t.Errorf("%q is accepted", c)
		}
	}
	if _, err := Locate(project, "/state/a-b_c.d"); err != nil {
		t.Error(err)
	}
}

func TestLocate_DefaultHomeHasNoSpecialCharacters(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", "/state")
	project := filepath.Join(t.TempDir(), "50% c#, what?")
	if err := os.Rename(checkout(t), project); err != nil {
		t.Fatal(err)
	}
	h, err := Locate(project, "")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^[A-Za-z0-9-]+$`).MatchString(filepath.Base(h.Dir)) {
		t.Errorf("home %s", h.Dir)
	}
}

func TestLocate_RejectsPathTooLongForSockets(t *testing.T) {
	home := filepath.Join(t.TempDir(), strings.Repeat("x", 90))
	if _, err := Locate(checkout(t), home); err == nil {
		t.Error("it is accepted")
	}
	if _, err := os.Stat(home); err == nil {
		t.Error("it was created")
	}
}

func TestRunning_IgnoresStateOfKilledCloud(t *testing.T) {
	h := &Home{Dir: t.TempDir()}
	if err := h.SaveRunning(Running{PID: 7, Settled: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Running(); !errors.Is(err, ErrNotRunning) {
		t.Errorf("without a lock file: %v", err)
	}
	lock := flock.New(h.Path(LockFile))
	if _, err := lock.TryLock(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.Path(LockFile), []byte("8"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := h.Running(); !errors.Is(err, ErrStarting) || r != nil {
		t.Errorf("while the lock is held by another process: %v, %v", r, err)
	}
	if err := os.WriteFile(h.Path(LockFile), []byte("7"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := h.Running(); err != nil || r.PID != 7 {
		t.Errorf("while the lock is held: %v, %v", r, err)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Running(); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after the lock was released: %v", err)
	}
}

func TestRunning_StartsUntilClustersAreBack(t *testing.T) {
	h := &Home{Dir: t.TempDir()}
	lock := flock.New(h.Path(LockFile))
	if _, err := lock.TryLock(); err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	if err := os.WriteFile(h.Path(LockFile), []byte("7"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, settled := range []bool{false, true} {
		if err := h.SaveRunning(Running{PID: 7, Settled: settled}); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Running(); errors.Is(err, ErrStarting) == settled {
			t.Errorf("settled %v: %v", settled, err)
		}
	}
}

func TestAlone_KeepsOthersOut(t *testing.T) {
	h := &Home{Dir: filepath.Join(t.TempDir(), "home")}
	done, err := h.Alone()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Alone(); err == nil {
		t.Error("a second command got the lock")
	}
	done()
	again, err := h.Alone()
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestStacks_ReturnsOnlyTheProgramsOwn(t *testing.T) {
	h := &Home{Dir: t.TempDir(), Program: Program{Name: "a"}}
	for _, of := range []string{"a", "b"} {
		if err := os.MkdirAll(h.Path(StacksDir, ".pulumi", "stacks", of), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(h.Path(StacksDir, ".pulumi", "stacks", of, "dev.json"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if own, others := h.Stacks(), h.OtherStacks(); !slices.Equal(own, []string{"dev"}) ||
		!slices.Equal(others, []string{"b/dev"}) {
		t.Errorf("%q, others %q", own, others)
	}
	h.Program, h.ProgramErr = Program{}, errors.New("it is not known")
	if own, others := h.Stacks(), h.OtherStacks(); len(own) > 0 || !slices.Equal(others, []string{"a/dev", "b/dev"}) {
		t.Errorf("if the program is not known: %q, others %q", own, others)
	}
}
