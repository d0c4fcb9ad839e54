package cli

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
)

func TestCallFor_AddsOnlyNeededFlags(t *testing.T) {
	here, other := t.TempDir(), t.TempDir()
	t.Chdir(here)
	t.Setenv("XDG_STATE_HOME", "/state")
	std, err := home.Locate(here, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ project, dir, want string }{
		{".", "", "localcloud"},
		{here, std.Dir, "localcloud"},
		{other, "", "localcloud --project " + other},
		{".", "/a/home", "localcloud --home /a/home"},
		{filepath.Join(here, "sub"), "/a/home", "localcloud --project " + filepath.Join(here, "sub") + " --home /a/home"},
	} {
		h, err := home.Locate(c.project, c.dir)
		if err != nil {
			t.Fatal(err)
		}
		if got := callFor(h); got != c.want {
			t.Errorf("project %q, home %q: %q, want %q", c.project, c.dir, got, c.want)
		}
	}
}

func TestWord_StaysOneWordInShell(t *testing.T) {
	for _, path := range []string{"/a/b-c_d.e+1", "/a b", "/it's", `/$HOME"`, "/a;b", "/ä*"} {
		if got, err := exec.Command("sh", "-c", "printf %s "+word(path)).Output(); err != nil || string(got) != path {
			t.Errorf("%q becomes %q, %v", path, got, err)
		}
	}
	if got := word("/a/b-c_d.e+1"); got != "/a/b-c_d.e+1" {
		t.Errorf("%s is quoted unnecessarily", got)
	}
}
